//! What a replica is, whatever its role: the ends of its log, its reigns, its producers, its revisions.

use weir_wire::ids::Offset;

use super::epochs::EpochCache;
use super::messages::Effect;
use super::producers::Producers;
use super::revisions::Revisions;
use super::rules::{Rule, Rules};
use super::settings::PartitionConfig;

/// The state that every role works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    pub(crate) config: PartitionConfig,
    pub(crate) ends: LogEnds,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: Producers,
    pub(crate) revisions: Revisions,
    pub(crate) rules: Rules,
    /// What an operator has deleted lies below this.
    pub(crate) deleted_before: Offset,
    /// What the flush under way was asked to cover.
    flush_under_way: Option<Offset>,
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
            deleted_before: Offset::ZERO,
            flush_under_way: None,
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

    /// Asks for a flush where the promise needs one and none is under way. With `write.caching` the storage flushes
    /// when it likes: at a roll, at an interval, at shutdown.
    pub(crate) fn flush_if_needed(&mut self, effects: &mut Vec<Effect>) {
        let needed = !self.config.write_caching && self.ends.written > self.ends.flushed;
        if needed && self.flush_under_way.is_none() {
            self.flush_under_way = Some(self.ends.written);
            effects.push(Effect::Flush { up_to: self.ends.written });
        }
    }

    pub(crate) fn written(&mut self, end: Offset) {
        assert!(self.ends.written <= end, "the written end never falls");
        assert!(end <= self.ends.end, "only what was asked for is written");
        self.ends.written = end;
    }

    pub(crate) fn flushed(&mut self, end: Offset) {
        assert!(end <= self.ends.written, "only what was written is flushed");
        self.ends.flushed = self.ends.flushed.max(end);
        if self.flush_under_way.is_some_and(|asked| asked <= end) {
            self.flush_under_way = None;
        }
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
