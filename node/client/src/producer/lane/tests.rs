//! Every transition, as text: what happens on the left, what the lane wants done on the right.

mod refusals;
mod revisions;

use std::fmt::Write;
use std::time::Duration;

use expect_test::{Expect, expect};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{
    LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision, Sequence,
};
use weir_wire::lane::{LaneAnswer, Outcome, Promise, Run};

use super::{Batch, BatchKey, Effect, Input, Lane, Opening, Settings, View, Way};
use crate::backoff::{Backoff, Random};
use crate::producer::ProducerConfig;
use crate::producer::delivery::DeliveryResult;

/// Plays a script, one input per line: `AT_MS WHAT ...`; see `parse`. Pauses are 100 ms: scripts wait longer.
fn check(way: Way, script: &str, expected: Expect) {
    check_with(way, |settings| settings, script, expected);
}

pub(super) fn check_with(
    way: Way,
    change: impl FnOnce(Settings) -> Settings,
    script: &str,
    expected: Expect,
) {
    let config = ProducerConfig { in_flight_batches: 3, ..ProducerConfig::default() };
    let pause = Duration::from_millis(100);
    let mut lane = Lane::new(change(Settings::new(way, &config)), Backoff::new(pause, pause, Random::new(1)));
    let mut shown = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at_ms, what) = line.split_once(' ').expect("a line is a time and an input");
        let now = Duration::from_millis(at_ms.parse().expect("a time"));
        let mut effects = Vec::new();
        lane.handle(now, parse(what), &mut effects);
        writeln!(shown, "{line}").unwrap();
        for (at, effect) in effects.iter().enumerate() {
            // A batch is mostly let go of where it is settled.
            let released_at_once = |before: usize| match (&effects[before], effect) {
                (Effect::Settle { key, .. }, Effect::Release(released)) => key == released,
                _ => false,
            };
            if !at.checked_sub(1).is_some_and(released_at_once) {
                writeln!(shown, "    {}", show(effect)).unwrap();
            }
        }
        if let Some(wake) = lane.next_wake() {
            assert!(wake > now, "a lane that wants to be woken in the past would spin: {line}");
        }
    }
    expected.assert_eq(&shown);
}

fn parse(what: &str) -> Input {
    let words: Vec<_> = what.split_whitespace().collect();
    let number =
        |word: &str| word.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().expect("a number");
    let error = |name: &str| {
        let code = match name {
            "NotLeader" => ErrorCode::NotLeader,
            "StaleRevision" => ErrorCode::StaleRevision,
            "MissingPart" => ErrorCode::MissingPart,
            "UnknownTopic" => ErrorCode::UnknownTopic,
            "TopicRecreated" => ErrorCode::TopicRecreated,
            "InvalidProducerEpoch" => ErrorCode::InvalidProducerEpoch,
            "MessageTooLarge" => ErrorCode::MessageTooLarge,
            "OutcomeUnknown" => ErrorCode::OutcomeUnknown,
            "Unauthorized" => ErrorCode::Unauthorized,
            "Busy" => ErrorCode::Busy,
            "PluginFailed" => ErrorCode::PluginFailed,
            other => panic!("teach the test the code {other}"),
        };
        WireError::new(code, "why")
    };
    match words[..] {
        // ready b1 x10 until 5000
        ["ready", key, records, "until", deadline] => Input::Ready(Batch {
            key: BatchKey(u64::from(number(key))),
            records: number(records),
            deadline: Duration::from_millis(u64::from(number(deadline))),
        }),
        // metadata r1 n2@3
        ["metadata", revision, entry] => {
            let entries = match entry.split_once('@') {
                Some((node, epoch)) => vec![(NodeId(number(node)), LeaderEpoch(number(epoch)))],
                None => Vec::new(),
            };
            Input::Metadata(View { revision: Revision(number(revision)), entries })
        }
        ["producer", id] => Input::Producer(ProducerId(u64::from(number(id))), ProducerEpoch(0)),
        ["no-producer", code] => Input::ProducerRefused(error(code)),
        ["opened", opening] => Input::Opened(Opening(u64::from(number(opening)))),
        ["refused", opening, code] => Input::Refused(Opening(u64::from(number(opening))), error(code)),
        ["lost", opening] => Input::Lost(Opening(u64::from(number(opening)))),
        ["tick"] => Input::Tick,
        ["abandon"] => Input::Abandon(error("Busy")),
        // answer o1 #0 stored:p0@100x7 dropped:x2 retry:NotLeader:x1, or answer o1 #0 r2 retry:StaleRevision:x1
        ["answer", opening, ordinal, ref parts @ ..] => {
            let mut answer = LaneAnswer {
                ordinal: u64::from(number(ordinal)),
                promise: Promise { replicas: 1, flushed: true, revision: Revision(1) },
                outcomes: Vec::new(),
                runs: Vec::new(),
            };
            for part in parts {
                if part.starts_with('r') && !part.contains(':') {
                    answer.promise.revision = Revision(number(part));
                    continue;
                }
                let (rest, records) = part.rsplit_once('x').expect("a part ends with xCOUNT");
                let outcome = match rest.trim_end_matches(':').split(':').collect::<Vec<_>>()[..] {
                    ["stored", place] => {
                        let (partition, offset) = place.split_once('@').expect("pP@OFFSET");
                        Outcome::Stored {
                            partition: PartitionIndex(number(partition)),
                            base_offset: Some(Offset(u64::from(number(offset)))),
                            duplicate: false,
                        }
                    }
                    ["dropped"] => Outcome::Dropped,
                    ["retry", code] => Outcome::Retry(error(code)),
                    ["failed", code] => Outcome::Failed(error(code)),
                    ["unknown", code] => Outcome::Unknown(error(code)),
                    ref other => panic!("teach the test the outcome {other:?}"),
                };
                let known = answer.outcomes.iter().position(|other| *other == outcome);
                let at = known.unwrap_or_else(|| {
                    answer.outcomes.push(outcome);
                    answer.outcomes.len() - 1
                });
                answer.runs.push(Run { records: number(records), outcome: u32::try_from(at).unwrap() });
            }
            Input::Answer(Opening(u64::from(number(opening))), answer)
        }
        _ => panic!("teach the test the input {what}"),
    }
}

fn show(effect: &Effect) -> String {
    match effect {
        Effect::RefreshMetadata => "refresh metadata".to_owned(),
        Effect::AskProducer => "ask for a producer id".to_owned(),
        Effect::Open { opening, node, producer, revision, target } => {
            let producer = producer.map_or("none".to_owned(), |(id, epoch)| format!("{id}.{epoch}"));
            format!("open o{} at n{node}: producer {producer} r{revision} {target:?}", opening.0)
        }
        Effect::Close(opening) => format!("close o{}", opening.0),
        Effect::Send { opening, key, ordinal, stamp, resent } => {
            let stamp = stamp.map_or(String::new(), |stamp| {
                format!(" {}.{} seq {}", stamp.producer, stamp.epoch, stamp.sequence)
            });
            let again = if *resent { " again" } else { "" };
            format!("send{again} b{} on o{} as #{ordinal}{stamp}", key.0, opening.0)
        }
        Effect::Release(key) => format!("release b{}", key.0),
        Effect::Settle { key, runs } => {
            let mut line = format!("settle b{}:", key.0);
            for run in runs {
                let result = match &run.first {
                    DeliveryResult::Stored { partition, offset, .. } => {
                        format!("stored p{partition}@{}", offset.map_or("?".to_owned(), |at| at.to_string()))
                    }
                    DeliveryResult::Dropped => "dropped".to_owned(),
                    DeliveryResult::Rejected(error) => format!("rejected {}", error.code),
                    DeliveryResult::Failed(error) => format!("failed {}", error.code),
                    DeliveryResult::Unknown(error) => format!("unknown {}", error.code),
                };
                write!(line, " {result} x{}", run.records).unwrap();
            }
            line
        }
    }
}

pub(super) const GUESSED: Way = Way::Guessed(PartitionIndex(0));
pub(super) const EXPLICIT: Way = Way::Explicit(PartitionIndex(0));

#[test]
fn the_first_batch_asks_for_an_id_opens_and_is_sent_once_the_node_agrees() {
    check(
        GUESSED,
        "0 metadata r1 n1@4
         0 ready b1 x10 until 5000
         0 ready b2 x5 until 5000
         1 producer 7
         2 opened o1
         3 answer o1 #0 stored:p0@100x10
         4 answer o1 #1 stored:p0@110x3 dropped:x2",
        expect![[r#"
            0 metadata r1 n1@4
            0 ready b1 x10 until 5000
                ask for a producer id
            0 ready b2 x5 until 5000
            1 producer 7
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(4) }
            2 opened o1
                send b1 on o1 as #0 7.0 seq 0
                send b2 on o1 as #1 7.0 seq 10
            3 answer o1 #0 stored:p0@100x10
                settle b1: stored p0@100 x10
            4 answer o1 #1 stored:p0@110x3 dropped:x2
                settle b2: stored p0@110 x3 dropped x2
        "#]],
    );
}

#[test]
fn offsets_of_one_outcome_go_on_over_its_runs() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x6 until 5000
         0 opened o1
         1 answer o1 #0 stored:p0@100x2 stored:p1@7x1 stored:p0@100x2 stored:p1@7x1",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x6 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 answer o1 #0 stored:p0@100x2 stored:p1@7x1 stored:p0@100x2 stored:p1@7x1
                settle b1: stored p0@100 x2 stored p1@7 x1 stored p0@102 x2 stored p1@8 x1
        "#]],
    );
}

#[test]
fn a_retry_settles_nothing_and_all_unsettled_go_again_in_order() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x10 until 5000
         0 opened o1
         0 ready b2 x10 until 5000
         0 ready b3 x10 until 5000
         0 ready b4 x10 until 5000
         1 answer o1 #1 stored:p1@0x10
         2 answer o1 #0 stored:p0@0x9 retry:NotLeader:x1
         3 answer o1 #2 retry:MissingPart:x10
         130 tick
         131 answer o1 #0 stored:p0@0x10
         131 opened o2
         132 answer o2 #0 stored:p0@0x10
         133 answer o2 #2 stored:p0@10x10
         134 answer o2 #1 retry:MissingPart:x10",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x10 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            0 ready b2 x10 until 5000
                send b2 on o1 as #1 7.0 seq 10
            0 ready b3 x10 until 5000
                send b3 on o1 as #2 7.0 seq 20
            0 ready b4 x10 until 5000
            1 answer o1 #1 stored:p1@0x10
                settle b2: stored p1@0 x10
            2 answer o1 #0 stored:p0@0x9 retry:NotLeader:x1
                refresh metadata
            3 answer o1 #2 retry:MissingPart:x10
                refresh metadata
            130 tick
                close o1
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            131 answer o1 #0 stored:p0@0x10
            131 opened o2
                send again b1 on o2 as #0 7.0 seq 0
                send again b2 on o2 as #1 7.0 seq 10
                send again b3 on o2 as #2 7.0 seq 20
            132 answer o2 #0 stored:p0@0x10
                settle b1: stored p0@0 x10
                release b2
                send b4 on o2 as #3 7.0 seq 30
            133 answer o2 #2 stored:p0@10x10
                settle b3: stored p0@10 x10
            134 answer o2 #1 retry:MissingPart:x10
        "#]],
    );
}

#[test]
fn a_lost_stream_is_opened_at_the_new_leader_as_soon_as_it_is_known() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         1 lost o1
         2 metadata r1 n1@0
         3 metadata r1 -
         4 metadata r1 n2@1
         5 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 lost o1
                refresh metadata
            2 metadata r1 n1@0
            3 metadata r1 -
                refresh metadata
            4 metadata r1 n2@1
                open o2 at n2: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(1) }
            5 opened o2
                send again b1 on o2 as #0 7.0 seq 0
        "#]],
    );
}

#[test]
fn a_leader_that_moved_gets_nothing_new_and_the_lane_follows_once_it_is_settled() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         1 metadata r1 n2@1
         1 ready b2 x1 until 5000
         2 answer o1 #0 stored:p0@0x1
         3 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 metadata r1 n2@1
            1 ready b2 x1 until 5000
            2 answer o1 #0 stored:p0@0x1
                settle b1: stored p0@0 x1
                close o1
                open o2 at n2: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(1) }
            3 opened o2
                send b2 on o2 as #1 7.0 seq 1
        "#]],
    );
}

#[test]
fn in_the_end_what_was_sent_is_unknown_and_what_was_not_is_failed() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 1000
         0 opened o1
         10 lost o1
         20 ready b2 x2 until 1020
         20 metadata r1 -
         1000 tick
         1020 tick
         1030 ready b3 x1 until 2030
         1030 metadata r1 n1@1
         1031 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 1000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            10 lost o1
                refresh metadata
            20 ready b2 x2 until 1020
            20 metadata r1 -
                refresh metadata
            1000 tick
                settle b1: unknown OUTCOME_UNKNOWN x1
                refresh metadata
            1020 tick
                settle b2: failed TIMED_OUT x2
            1030 ready b3 x1 until 2030
            1030 metadata r1 n1@1
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(1) }
            1031 opened o2
                send b3 on o2 as #1 7.0 seq 1
        "#]],
    );
}

#[test]
fn sequences_start_over_at_the_next_epoch_once_nothing_is_in_flight() {
    check_with(
        GUESSED,
        |settings| Settings { sequence_max: Sequence(25), ..settings },
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x10 until 5000
         0 opened o1
         0 ready b2 x10 until 5000
         0 ready b3 x10 until 5000
         1 answer o1 #1 stored:p0@10x10
         2 answer o1 #0 stored:p0@0x10
         3 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x10 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            0 ready b2 x10 until 5000
                send b2 on o1 as #1 7.0 seq 10
            0 ready b3 x10 until 5000
            1 answer o1 #1 stored:p0@10x10
                settle b2: stored p0@10 x10
            2 answer o1 #0 stored:p0@0x10
                settle b1: stored p0@0 x10
                release b2
                close o1
                open o2 at n1: producer 7.1 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            3 opened o2
                send b3 on o2 as #2 7.1 seq 0
        "#]],
    );
}

#[test]
fn a_failed_batch_of_an_explicit_partition_leaves_a_gap_so_a_new_epoch_begins() {
    check(
        EXPLICIT,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x10 until 5000
         0 opened o1
         1 answer o1 #0 failed:MessageTooLarge:x10
         2 ready b2 x10 until 5000
         3 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x10 until 5000
                open o1 at n1: producer 7.0 r1 Explicit { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 answer o1 #0 failed:MessageTooLarge:x10
                settle b1: failed MESSAGE_TOO_LARGE x10
            2 ready b2 x10 until 5000
                close o1
                open o2 at n1: producer 7.1 r1 Explicit { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            3 opened o2
                send b2 on o2 as #1 7.1 seq 0
        "#]],
    );
}

#[test]
fn a_fenced_producer_gets_a_new_id() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         1 answer o1 #0 failed:InvalidProducerEpoch:x1
         2 ready b2 x1 until 5000
         3 producer 8
         4 refused o2 InvalidProducerEpoch",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 answer o1 #0 failed:InvalidProducerEpoch:x1
                settle b1: failed INVALID_PRODUCER_EPOCH x1
            2 ready b2 x1 until 5000
                close o1
                ask for a producer id
            3 producer 8
                open o2 at n1: producer 8.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            4 refused o2 InvalidProducerEpoch
                ask for a producer id
        "#]],
    );
}

#[test]
fn a_refusal_that_is_not_for_good_fails_what_is_there_and_later_batches_try_anew() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         1 refused o1 Unauthorized
         2 ready b2 x1 until 5000
         3 refused o2 Busy
         150 tick",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            1 refused o1 Unauthorized
                settle b1: failed UNAUTHORIZED x1
            2 ready b2 x1 until 5000
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            3 refused o2 Busy
                refresh metadata
            150 tick
                open o3 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
        "#]],
    );
}

#[test]
fn a_node_that_falls_silent_is_left_and_a_nonsensical_answer_is_not_believed() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x2 until 90000
         0 opened o1
         30000 tick
         30130 tick
         30131 opened o2
         30132 answer o2 #0 stored:p0@0x1
         30300 tick",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x2 until 90000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            30000 tick
                close o1
                refresh metadata
            30130 tick
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            30131 opened o2
                send again b1 on o2 as #0 7.0 seq 0
            30132 answer o2 #0 stored:p0@0x1
                close o2
                refresh metadata
            30300 tick
                open o3 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
        "#]],
    );
}

/// A leader that died is missed by the cluster after about a second; whoever takes over is found soon after that.
#[test]
fn a_silent_node_is_suspected_often_at_first_and_left_as_soon_as_somebody_else_leads() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 90000
         0 opened o1
         399 tick
         400 tick
         500 tick
         600 tick
         700 metadata r1 n2@1
         760 tick",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 90000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            399 tick
            400 tick
                refresh metadata
            500 tick
            600 tick
                refresh metadata
            700 metadata r1 n2@1
                close o1
                open o2 at n2: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(1) }
            760 tick
        "#]],
    );
}

#[test]
fn no_id_for_a_passing_reason_is_asked_for_again_and_for_good_fails() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 ready b1 x1 until 5000
         1 no-producer Busy
         130 tick
         131 no-producer Unauthorized
         132 abandon",
        expect![[r#"
            0 metadata r1 n1@0
            0 ready b1 x1 until 5000
                ask for a producer id
            1 no-producer Busy
            130 tick
                ask for a producer id
            131 no-producer Unauthorized
                settle b1: failed UNAUTHORIZED x1
            132 abandon
        "#]],
    );
}
