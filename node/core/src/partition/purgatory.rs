//! Appends that are stored and wait for their promise.

use std::collections::BTreeMap;

use weir_wire::ids::Offset;
use weir_wire::lane::Acks;

use super::messages::RequestId;
use super::outcome::{AppendOutcome, Interruption, RetryReason, UnknownReason};

/// The most appends that may wait in one partition; above it the next ones are told to come back.
pub const WAITING_MAX: usize = 16_384;

/// The appends that wait, each for an end to be covered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Purgatory {
    /// `acks=1`, by the end that the leader's own log must cover.
    leader: BTreeMap<(Offset, RequestId), Waiting>,
    /// `acks=all`, by the end that the high watermark must cover.
    all: BTreeMap<(Offset, RequestId), Waiting>,
}

/// An append that is stored and waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Where its first record lies, if that is remembered.
    pub(crate) base_offset: Option<Offset>,
    /// Whether an earlier try had stored it.
    pub(crate) duplicate: bool,
    /// Whether a second try would find it by its producer's sequence.
    pub(crate) idempotent: bool,
}

impl Waiting {
    /// How it ends when the promise cannot be kept.
    fn interrupted(self, by: Interruption) -> AppendOutcome {
        if self.idempotent {
            AppendOutcome::Retry(RetryReason::Interrupted(by))
        } else {
            AppendOutcome::Unknown(UnknownReason::Interrupted(by))
        }
    }
}

/// One that waits no more: the end it waited for, and itself.
pub(crate) type Released = (Offset, RequestId, Waiting);

impl Purgatory {
    pub(crate) fn len(&self) -> usize {
        self.leader.len() + self.all.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= WAITING_MAX
    }

    pub(crate) fn insert(&mut self, acks: Acks, end: Offset, request: RequestId, waiting: Waiting) {
        let queue = match acks {
            Acks::All => &mut self.all,
            Acks::Leader => &mut self.leader,
            Acks::None => unreachable!("acks=0 waits for nothing"),
        };
        let before = queue.insert((end, request), waiting);
        assert!(before.is_none(), "a request number is used once");
    }

    /// Takes out the lowest `acks=1` append that `end` covers.
    pub(crate) fn take_leader(&mut self, end: Offset) -> Option<Released> {
        take_covered(&mut self.leader, end)
    }

    /// Takes out the lowest `acks=all` append that `high_watermark` covers.
    pub(crate) fn take_all(&mut self, high_watermark: Offset) -> Option<Released> {
        take_covered(&mut self.all, high_watermark)
    }

    /// Ends every `acks=all` append.
    pub(crate) fn interrupt_all(&mut self, by: Interruption) -> Vec<(RequestId, AppendOutcome)> {
        interrupt(&mut self.all, by)
    }

    /// Ends every append.
    pub(crate) fn interrupt(&mut self, by: Interruption) -> Vec<(RequestId, AppendOutcome)> {
        let mut ended = interrupt(&mut self.leader, by);
        ended.extend(interrupt(&mut self.all, by));
        ended
    }

    /// The lowest end that an append waits for, per queue: (`acks=1`, `acks=all`).
    pub(crate) fn lowest(&self) -> (Option<Offset>, Option<Offset>) {
        let lowest = |queue: &BTreeMap<(Offset, RequestId), Waiting>| {
            queue.first_key_value().map(|((end, _), _)| *end)
        };
        (lowest(&self.leader), lowest(&self.all))
    }
}

fn take_covered(queue: &mut BTreeMap<(Offset, RequestId), Waiting>, covered: Offset) -> Option<Released> {
    let first = queue.first_entry()?;
    let (end, request) = *first.key();
    (end <= covered).then(|| (end, request, first.remove()))
}

fn interrupt(
    queue: &mut BTreeMap<(Offset, RequestId), Waiting>,
    by: Interruption,
) -> Vec<(RequestId, AppendOutcome)> {
    std::mem::take(queue)
        .into_iter()
        .map(|((_, request), waiting)| (request, waiting.interrupted(by)))
        .collect()
}
