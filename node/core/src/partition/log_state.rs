//! What a replica is, whatever its role: the ends of its log, its reigns, its producers, its revisions.

use weir_wire::ids::Offset;

use super::epochs::EpochCache;
use super::messages::Effect;
use super::producers::Producers;
use super::revisions::Revisions;
use super::rules::{Rule, Rules};
use super::settings::PartitionConfig;
use crate::time::Now;

/// For how long a follower that lacks what is committed leaves unflushed what it makes up for. Long enough that a flush is
/// of tens of megabytes: each one has the disk empty its own cache, which holds up those of whoever shares the disk.
const BEHIND_FLUSH_MS: u64 = 50;

/// The state that every role works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) config: PartitionConfig,
    pub(crate) ends: LogEnds,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: Producers,
    pub(crate) revisions: Revisions,
    pub(crate) rules: Rules,
    /// Where the log was begun anew.
    pub(crate) bare_at: Option<Offset>,
    /// What an operator has deleted lies below this.
    pub(crate) deleted_before: Offset,
    /// The flush under way.
    flush_under_way: Option<AskedFlush>,
    /// Since when something is written and not flushed.
    unflushed_since_ns: Option<u64>,
}

/// A flush that was asked for and is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AskedFlush {
    up_to: Offset,
    at_ns: u64,
}

/// The marks of a log:
///
/// ```text
///  log start      high watermark    flushed   written     end
///      |  committed: readable |        |         |         |
///      v                      v        v         v         v
///  ----[======================|--------|---------|---------)   offsets grow ->
/// ```
///
/// `log start <= high watermark <= written <= end` and `flushed <= written` always. Without `write.caching` the high
/// watermark is at or below `flushed` as well, except right after `write.caching` was switched off, since it never
/// falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogEnds {
    pub(crate) log_start: Offset,
    pub(crate) high_watermark: Offset,
    pub(crate) flushed: Offset,
    pub(crate) written: Offset,
    /// The next offset to give out (the LEO as far as numbering goes).
    pub(crate) end: Offset,
}

impl LogState {
    pub(crate) fn new(
        config: PartitionConfig,
        ends: LogEnds,
        epochs: EpochCache,
        producers: Producers,
        revisions: Revisions,
    ) -> LogState {
        LogState {
            config,
            ends,
            epochs,
            producers,
            revisions,
            rules: Rules::default(),
            bare_at: None,
            deleted_before: Offset::ZERO,
            flush_under_way: None,
            unflushed_since_ns: None,
        }
    }

    /// The end that counts for the high watermark and for acknowledgements on this replica.
    pub(crate) fn durable_end(&self) -> Offset {
        if self.only_flushed_counts() { self.ends.flushed } else { self.ends.written }
    }

    /// Whether an end counts, on any replica, only as far as it is flushed.
    pub(crate) fn only_flushed_counts(&self) -> bool {
        !self.config.write_caching && self.rules.hold(Rule::OnlyFlushedCounts)
    }

    /// Whether the storage holds nothing, not even deleted records: the first batch may then hold the log's start.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare_at == Some(self.ends.end)
    }

    /// The log was cut, and this is what is left. What is committed stays committed as far as the log goes.
    pub(crate) fn truncated(&mut self, left: LogState, effects: &mut Vec<Effect>) {
        let before = self.ends;
        let mut ends = left.ends;
        ends.high_watermark = before.high_watermark.clamp(ends.log_start, ends.end);
        let mut producers = left.producers;
        producers.go_on_counting(&self.producers);
        if !self.rules.hold(Rule::ProducersSurviveReload) {
            producers = Producers::new();
        }
        let LogState { config, rules, deleted_before, .. } = *self;
        *self = LogState { config, rules, deleted_before, ends, producers, ..left };
        // A reign that this replica began and wrote nothing in goes too (KAFKA-10706).
        self.epochs.truncate_from_end(ends.end);
        effects.push(Effect::SaveEpochs(self.epochs.checkpoint()));
        if ends.high_watermark != before.high_watermark {
            effects.push(Effect::HighWatermark(ends.high_watermark));
        }
        if ends.log_start != before.log_start {
            effects.push(Effect::LogStart(ends.log_start));
        }
    }

    /// Asks for a flush where one is needed and none is under way. Beyond those that are asked for the storage flushes
    /// when it likes: at a roll, at shutdown. With `is_behind`, what is written was committed without this replica:
    /// nobody waits until it is flushed here.
    pub(crate) fn flush_if_needed(&mut self, now: Now, is_behind: bool, effects: &mut Vec<Effect>) {
        if self.flush_under_way.is_none() && self.needs_flush(now, is_behind) {
            let up_to = self.ends.written;
            self.flush_under_way = Some(AskedFlush { up_to, at_ns: now.monotonic_ns });
            effects.push(Effect::Flush { up_to });
        }
    }

    /// Whether the promise needs a flush, or what `write.caching` left is as old or as much as it may be.
    fn needs_flush(&self, now: Now, is_behind: bool) -> bool {
        let LogEnds { written, flushed, .. } = self.ends;
        if written <= flushed {
            return false;
        }
        // What was found unflushed when the log was opened or cut has waited for who knows how long.
        let waited = |ms| self.unflushed_since_ns.is_none_or(|ns| now.ms_since(ns) >= ms);
        if self.config.write_caching {
            return written.since(flushed) >= self.config.flush_messages || waited(self.config.flush_ms);
        }
        !is_behind || waited(BEHIND_FLUSH_MS)
    }

    /// Whether time alone will make a flush needed.
    pub(crate) fn awaits_flush(&self) -> bool {
        self.ends.written > self.ends.flushed && self.flush_under_way.is_none()
    }

    pub(crate) fn written(&mut self, now: Now, end: Offset) {
        assert!(self.ends.written <= end, "the written end never falls");
        assert!(end <= self.ends.end, "only what was asked for is written");
        self.ends.written = end;
        if end > self.ends.flushed {
            self.unflushed_since_ns.get_or_insert(now.monotonic_ns);
        }
    }

    pub(crate) fn flushed(&mut self, now: Now, end: Offset) {
        assert!(end <= self.ends.written, "only what was written is flushed");
        self.ends.flushed = self.ends.flushed.max(end);
        let done = self.flush_under_way.take_if(|asked| asked.up_to <= end);
        // What is left was written after the flush was asked for.
        let since_ns = done.map_or(now.monotonic_ns, |asked| asked.at_ns);
        self.unflushed_since_ns = (self.ends.written > self.ends.flushed).then_some(since_ns);
    }

    /// Moves the high watermark up; never down.
    pub(crate) fn commit(&mut self, to: Offset, effects: &mut Vec<Effect>) {
        if to > self.ends.high_watermark {
            self.ends.high_watermark = to;
            effects.push(Effect::HighWatermark(to));
        }
    }

    /// Moves the log start up, at most to the high watermark: what is not committed may still be taken back, and a
    /// log start above it would say that it was once readable.
    pub(crate) fn move_log_start(&mut self, to: Offset, effects: &mut Vec<Effect>) {
        let to = to.min(self.ends.high_watermark);
        if to > self.ends.log_start {
            self.ends.log_start = to;
            self.epochs.truncate_from_start(to);
            self.revisions.truncate_from_start(to);
            effects.push(Effect::LogStart(to));
        }
    }
}
