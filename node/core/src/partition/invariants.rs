//! What holds after every input, one function each, asserted in production too: each costs a few comparisons, and a
//! replica that broke one must not go on.
//!
//! They look and change nothing. What costs more than that (the epoch cache and the producers against the whole log)
//! is checked by the tests.

use super::log_state::LogEnds;
use super::rules::Rule;
use super::{Partition, Role};

/// Asserts all of them. `before` is where the log stood before the input.
pub(crate) fn assert_all(partition: &Partition, before: LogEnds) {
    marks_are_in_order(partition);
    marks_never_fall(partition, before);
    only_what_counts_was_committed(partition, before);
    committed_is_held_by_the_isr(partition, before);
    newest_reign_lies_within_the_log(partition);
    subscriptions_are_the_newest_asked(partition);
    a_log_that_is_being_cut_stands_still(partition, before);
    nobody_waits_in_vain(partition);
}

/// log start <= high watermark <= log end on every replica (Kafka's `UnifiedLog.updateHighWatermark`), and what is
/// flushed was written, and what was written was asked for.
fn marks_are_in_order(partition: &Partition) {
    let ends = &partition.log.ends;
    assert!(ends.log_start <= ends.high_watermark, "the log starts above its high watermark: {ends:?}");
    assert!(ends.high_watermark <= ends.written, "more is committed than is written: {ends:?}");
    assert!(ends.flushed <= ends.written, "more is flushed than is written: {ends:?}");
    assert!(ends.written <= ends.end, "more is written than was given out: {ends:?}");
}

/// The high watermark never falls within a leadership (`Partition.maybeIncrementLeaderHW`); without truncation no
/// mark does. (`before` is the end of a truncation where the input was one.)
fn marks_never_fall(partition: &Partition, before: LogEnds) {
    let after = &partition.log.ends;
    let fell = after.log_start < before.log_start
        || after.high_watermark < before.high_watermark
        || after.flushed < before.flushed
        || after.written < before.written
        || after.end < before.end;
    assert!(!fell, "a mark of the log fell: {before:?} to {after:?}");
}

/// Without `write.caching` the high watermark moves over flushed bytes only.
fn only_what_counts_was_committed(partition: &Partition, before: LogEnds) {
    let after = &partition.log.ends;
    let moved = after.high_watermark > before.high_watermark;
    let applies = !partition.log.config.write_caching && partition.log.rules.hold(Rule::OnlyFlushedCounts);
    assert!(
        !(moved && applies) || after.high_watermark <= after.flushed,
        "the high watermark moved over bytes that are not flushed: {after:?}"
    );
}

/// A leader's high watermark moves only over what every replica in sync says it has (INVARIANTS 13, 14 and 24; Kafka's
/// `Partition.maybeIncrementLeaderHW`).
fn committed_is_held_by_the_isr(partition: &Partition, before: LogEnds) {
    let Role::Leader(leader) = &partition.role else { return };
    let log = &partition.log;
    let applies = log.rules.hold(Rule::MaximalIsr) && log.rules.hold(Rule::FollowersUnknownAtReignStart);
    if log.ends.high_watermark > before.high_watermark && applies {
        let lacking = leader.progress.lacking(log, log.ends.high_watermark);
        assert!(lacking.is_none(), "committed up to {}, which {lacking:?} lacks", log.ends.high_watermark);
    }
}

/// A reign starts within the log, or at its end if it wrote nothing (Kafka's `LeaderEpochFileCache.assign`), and a
/// leader's own reign is the newest.
fn newest_reign_lies_within_the_log(partition: &Partition) {
    let newest = partition.log.epochs.newest();
    assert!(
        newest.is_none_or(|newest| newest.start <= partition.log.ends.end),
        "a reign starts behind the log end: {newest:?}"
    );
    if let Role::Leader(leader) = &partition.role {
        assert!(
            newest.is_some_and(|newest| newest.epoch == leader.epoch),
            "a leader serves whose reign is not recorded"
        );
    }
}

/// Nothing older than what a follower asked last is in force, so no late frame can bring it back (INVARIANTS 56).
fn subscriptions_are_the_newest_asked(partition: &Partition) {
    let Role::Leader(leader) = &partition.role else { return };
    for follower in leader.progress.followers.values() {
        let (in_force, newest) = (follower.subscription, follower.newest_asked);
        assert!(in_force.is_none() || in_force == newest, "{in_force:?} is in force, {newest:?} was asked");
    }
}

/// A truncation is one unit (Kafka's `UnifiedLog.truncateTo`): until the storage is done, no mark moves.
fn a_log_that_is_being_cut_stands_still(partition: &Partition, before: LogEnds) {
    let after = partition.log.ends;
    assert!(
        partition.cutting.is_none() || after == before,
        "a log moved while it was cut: {before:?} to {after:?}"
    );
    assert!(
        partition.cutting.is_none() || !matches!(partition.role, Role::Leader(_)),
        "a replica leads while its log is being cut"
    );
}

/// An append whose promise holds is not left waiting.
fn nobody_waits_in_vain(partition: &Partition) {
    let Role::Leader(leader) = &partition.role else { return };
    let (lowest_leader, lowest_all) = leader.waiting.lowest();
    let durable = partition.log.durable_end();
    assert!(lowest_leader.is_none_or(|end| end > durable), "acks=1 waits for {lowest_leader:?} at {durable}");
    let committed = partition.log.ends.high_watermark;
    assert!(lowest_all.is_none_or(|end| end > committed), "acks=all waits for {lowest_all:?} at {committed}");
}
