//! What one produce lane decides. No runtime, no stream, no clock: inputs and the time come in, effects go out.
//!
//! ```text
//!            oldest unsettled                    next_ordinal
//!                  |                                  |
//!   released .  .  b4   b5(settled)   b6   b7         |  queue: no ordinal, no sequence, never sent
//!                  +--------- in_flight ---------+    +------------------------------------------->
//! ```
//!
//! What must hold (DESIGN sections 2 and 7; the partition's side is in `weir-core`):
//!
//! - A batch keeps ordinal, sequence and epoch over all its tries, and no other batch ever gets them. It keeps its revision
//!   too, unless it was sent once and refused untouched since the revision is in force no more.
//! - Batches are sent in order in each opening: an opening starts with the oldest unsettled batch, and resends all
//!   unsettled ones before anything new. That, with the partitions' rule about `after`, is what keeps order.
//! - An answer with one retry in it settles nothing of its batch: what was stored will be answered as a duplicate.
//! - Answers of earlier openings are ignored. (While a reopening is waited for, the current one still counts.)
//! - A batch that was sent and given up is `unknown`, never `failed`; one that was not sent is `failed`.
//! - Batches of two revisions, or of two producer epochs, are never in flight together.
//! - Without acks to a chosen partition there is no id, and nothing is sent twice (see `settings`).
//!
//! A batch that was settled while an older one was not (their records went to different partitions) stays in flight,
//! and is sent again with the others when the lane is reopened: the ordinals of an opening have no gaps.

mod answers;
mod settings;
mod waiting;

use std::collections::VecDeque;

use weir_wire::error::{ErrorClass, ErrorCode, WireError};
use weir_wire::ids::{LeaderEpoch, NodeId, PartitionIndex, ProducerEpoch, ProducerId, Revision, Sequence};
use weir_wire::lane::{LaneAnswer, LaneTarget, Outcome};

use self::answers::{is_whole, settled_runs};
pub(crate) use self::settings::Settings;
use super::delivery::{DeliveryResult, SettledRun};
use crate::backoff::{Backoff, Moment};

/// Kafka's producer epoch is a signed 16-bit field; after this one a new id is needed.
const PRODUCER_EPOCH_MAX: ProducerEpoch = ProducerEpoch(i16::MAX.unsigned_abs() - 1);

/// Names a batch between the lane and whoever holds its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchKey(pub(crate) u64);

/// Numbers the openings of one lane, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Opening(pub(crate) u64);

/// Where a lane's batches go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// To a partition that the application chose; sequences are contiguous per partition, as Kafka's.
    Explicit(PartitionIndex),
    /// Where the partitioner says, most likely to this partition.
    Guessed(PartitionIndex),
    /// Where the partitioner says. The number tells the lanes of a topic apart.
    Unguessed(u32),
}

/// A batch that is ready to be sent, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) key: BatchKey,
    pub(crate) records: u32,
    /// When it is given up.
    pub(crate) deadline: Moment,
}

/// What the metadata says that matters to a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The topic's pipeline revision in force.
    pub(crate) revision: Revision,
    /// Where to enter, best first: the leader, or for an unguessed lane any node. Empty when there is none.
    pub(crate) entries: Vec<(NodeId, LeaderEpoch)>,
}

/// What happens to a lane.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A batch is ready.
    Ready(Batch),
    /// The metadata may have changed.
    Metadata(View),
    /// The topic was deleted, or another one has its name.
    Gone(WireError),
    /// An own producer id.
    Producer(ProducerId, ProducerEpoch),
    /// No producer id could be had.
    ProducerRefused(WireError),
    /// The node serves the stream.
    Opened(Opening),
    /// The node does not serve the stream.
    Refused(Opening, WireError),
    /// The stream ended, or could not be made.
    Lost(Opening),
    /// An answer.
    Answer(Opening, LaneAnswer),
    /// Time passed.
    Tick,
    /// The producer ends: everything is given up.
    Abandon(WireError),
}

/// What a lane wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask for newer metadata.
    RefreshMetadata,
    /// Ask for a producer id.
    AskProducer,
    /// Open a stream; answer with `Opened`, `Refused` or `Lost`.
    Open {
        opening: Opening,
        node: NodeId,
        producer: Option<(ProducerId, ProducerEpoch)>,
        revision: Revision,
        target: LaneTarget,
    },
    /// Drop the stream; nothing of it is heard any more.
    Close(Opening),
    /// Send a batch; `stamp` is what goes into its header, the same at every try.
    Send { opening: Opening, key: BatchKey, ordinal: u64, stamp: Option<Stamp>, resent: bool },
    /// What became of the batch's records. It may still have to be sent again.
    Settle { key: BatchKey, runs: Vec<SettledRun> },
    /// The batch is settled, and will not be sent again: its bytes are not needed any more.
    Release(BatchKey),
}

/// The producer fields of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer: ProducerId,
    pub(crate) epoch: ProducerEpoch,
    pub(crate) sequence: Sequence,
}

/// One lane.
#[derive(Debug)]
pub(crate) struct Lane {
    settings: Settings,
    backoff: Backoff,
    view: View,
    producer: Producer,
    /// The sequence of the next batch that is sent for the first time.
    next_sequence: u32,
    /// Set when sequences must start over, which waits until nothing is in flight.
    renewal: Option<Renewal>,
    /// A batch in front of what is in flight may never be stored, and the partition would miss its sequences.
    gap: bool,
    next_ordinal: u64,
    next_opening: u64,
    /// Never sent, in order.
    queue: VecDeque<Batch>,
    /// Sent at least once, from the oldest unsettled one on, in order.
    in_flight: VecDeque<Sent>,
    /// The revision of what is in flight, and of the stream.
    revision: Revision,
    /// A node said that this revision takes no new batches.
    left_revision: Option<Revision>,
    stream: Option<Stream>,
    /// A reopening is due then; nothing is sent before.
    reopen_at: Option<Moment>,
    /// Reopenings since the last batch was settled.
    failures: u32,
    /// Since when there has been nothing to do.
    idle_since: Option<Moment>,
    /// When it was last asked whether somebody else leads, since the node is silent.
    suspected_at: Option<Moment>,
    /// The topic is gone: nothing will ever be stored through this lane.
    dead: Option<WireError>,
}

#[derive(Debug)]
enum Producer {
    NotNeeded,
    Missing,
    Asked,
    Has(ProducerId, ProducerEpoch),
}

/// How sequences start over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Renewal {
    NextEpoch,
    NewId,
}

#[derive(Debug)]
struct Sent {
    batch: Batch,
    ordinal: u64,
    stamp: Option<Stamp>,
    /// The last opening in which it was sent, and when.
    opening: Opening,
    at: Moment,
    /// How often a plugin failed on it when it was sent again.
    plugin_failures: u32,
    /// Its result is known, but not that of an older one. Never so for the first in flight.
    settled: bool,
    /// It was sent more than once: a try may have been stored whose answer was lost.
    resent: bool,
    /// It was sent once, and refused before anything was done with it: for the cluster it was never sent.
    untouched: bool,
}

#[derive(Debug)]
struct Stream {
    opening: Opening,
    entry: (NodeId, LeaderEpoch),
    /// Whether the node has said that it serves the stream.
    ready: bool,
    since: Moment,
}

impl Lane {
    pub(crate) fn new(settings: Settings, backoff: Backoff) -> Lane {
        Lane {
            producer: if settings.idempotent { Producer::Missing } else { Producer::NotNeeded },
            settings,
            backoff,
            view: View::default(),
            next_sequence: 0,
            renewal: None,
            gap: false,
            next_ordinal: 0,
            next_opening: 1,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            revision: Revision(0),
            left_revision: None,
            stream: None,
            reopen_at: None,
            failures: 0,
            idle_since: None,
            suspected_at: None,
            dead: None,
        }
    }

    /// Takes one input, at a time not before that of the last one.
    pub(crate) fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Ready(batch) => self.queue.push_back(batch),
            Input::Metadata(view) => self.on_metadata(now, view),
            Input::Gone(error) => self.die(error, effects),
            Input::Producer(id, epoch) => self.producer = Producer::Has(id, epoch),
            Input::ProducerRefused(error) => self.on_producer_refused(now, error, effects),
            Input::Opened(opening) => self.on_opened(opening, now),
            Input::Refused(opening, error) => self.on_refused(now, opening, error, effects),
            Input::Lost(opening) => self.on_lost(now, opening, effects),
            Input::Answer(opening, answer) => self.on_answer(now, opening, answer, effects),
            Input::Tick => {}
            Input::Abandon(error) => self.give_up_all(&error, effects),
        }
        self.advance(now, effects);
    }

    /// Whether a batch that could still grow would be sent at once. If not, it had better grow.
    pub(crate) fn wants_batch(&self) -> bool {
        // A lane that is to go on elsewhere and waits for nothing goes there with the next batch.
        let must_settle = self.is_draining() && !self.in_flight.is_empty();
        self.queue.is_empty() && self.in_flight.len() < self.settings.in_flight_max && !must_settle
    }

    /// Whether nothing waits for a result.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_empty()
    }
}

/// Inputs.
impl Lane {
    fn on_metadata(&mut self, now: Moment, view: View) {
        // A topic's revision only rises: a node that lags behind is not believed.
        let revision = view.revision.max(self.view.revision);
        let view = View { revision, ..view };
        if view != self.view && self.reopen_at.is_some() {
            // Perhaps what was waited for has happened. Metadata changes are few, so this cannot spin.
            self.reopen_at = Some(now);
        }
        self.view = view;
    }

    fn on_producer_refused(&mut self, now: Moment, error: WireError, effects: &mut Vec<Effect>) {
        self.producer = Producer::Missing;
        if error.code.is_retryable() {
            self.reopen_later(now);
        } else {
            self.give_up_all(&error, effects);
        }
    }

    fn on_opened(&mut self, opening: Opening, now: Moment) {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.opening == opening) {
            stream.ready = true;
            stream.since = now;
        }
    }

    fn on_refused(&mut self, now: Moment, opening: Opening, error: WireError, effects: &mut Vec<Effect>) {
        if !self.is_current(opening) {
            return;
        }
        self.stream = None;
        match (error.code, error.code.class()) {
            (ErrorCode::StaleRevision, _) => {
                self.left_revision = Some(self.revision);
                self.reopen_later(now);
                effects.push(Effect::RefreshMetadata);
            }
            // A node that has not heard of the topic yet says the same as one that heard of its end; the metadata tells.
            (ErrorCode::UnknownTopic, _) | (_, ErrorClass::Retryable) => {
                self.reopen_later(now);
                effects.push(Effect::RefreshMetadata);
            }
            (ErrorCode::InvalidProducerEpoch, _) => {
                self.settle_in_flight(&error, effects);
                self.renew(Renewal::NewId);
            }
            (ErrorCode::TopicRecreated, _) => self.die(error, effects),
            _ => self.give_up_all(&error, effects),
        }
    }

    fn on_lost(&mut self, now: Moment, opening: Opening, effects: &mut Vec<Effect>) {
        if self.is_current(opening) {
            self.stream = None;
            self.reopen_later(now);
            effects.push(Effect::RefreshMetadata);
        }
    }

    fn on_answer(&mut self, now: Moment, opening: Opening, answer: LaneAnswer, effects: &mut Vec<Effect>) {
        if !self.is_current(opening) {
            return;
        }
        let Some(at) = self.in_flight.iter().position(|sent| sent.ordinal == answer.ordinal) else {
            return; // given up meanwhile
        };
        let sent = &self.in_flight[at];
        let fits = sent.opening == opening && is_whole(&answer, sent.batch.records);
        if !fits {
            tracing::warn!(
                ordinal = answer.ordinal,
                "a node's answer does not fit its batch; the lane is reopened"
            );
            effects.push(Effect::Close(opening));
            self.on_lost(now, opening, effects);
            return;
        }
        let retry = answer.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Retry(error) => Some(error),
            _ => None,
        });
        if let Some(error) = retry {
            if self.gap && at == 0 && error.code == ErrorCode::OutOfOrderSequence {
                self.settle_behind_gap(effects);
                return;
            }
            if error.code == ErrorCode::StaleRevision {
                self.left_revision = Some(self.revision);
                // What is known already may be newer than what the answer names.
                let names_newer = answer.promise.revision > self.revision;
                self.view.revision = self.view.revision.max(answer.promise.revision);
                // A part may be refused so by its leader, while others of its batch are stored: such an answer names none.
                if !sent.resent && names_newer && answer.outcomes.iter().all(is_stale) {
                    // So is everything behind it: once the older ones are settled, they go to the newer revision together.
                    self.in_flight[at].untouched = true;
                    effects.push(Effect::RefreshMetadata);
                    return;
                }
            }
            if error.code == ErrorCode::PluginFailed && self.settings.resends {
                self.plugin_failed_again(at, error, effects);
            }
            if !self.settings.resends
                && let Some(sent) = self.in_flight.remove(at)
            {
                settle_whole(&sent.batch, DeliveryResult::Failed(error.clone()), effects);
            }
            self.reopen_later(now);
            effects.push(Effect::RefreshMetadata);
            return;
        }
        let sent = &mut self.in_flight[at];
        if std::mem::replace(&mut sent.settled, true) {
            return; // the result is the first one
        }
        self.failures = 0;
        effects.push(Effect::Settle { key: sent.batch.key, runs: settled_runs(&answer) });
        self.release(effects);
        self.learn_from(&answer, effects);
    }

    /// Lets go of what is settled, up to the oldest that is not.
    fn release(&mut self, effects: &mut Vec<Effect>) {
        while let Some(sent) = self.in_flight.pop_front_if(|sent| sent.settled) {
            effects.push(Effect::Release(sent.batch.key));
        }
    }

    /// What the outcomes of a settled batch mean for the lane.
    fn learn_from(&mut self, answer: &LaneAnswer, effects: &mut Vec<Effect>) {
        for outcome in &answer.outcomes {
            match outcome {
                Outcome::Failed(error) | Outcome::Unknown(error) => {
                    match error.code {
                        ErrorCode::InvalidProducerEpoch => self.renew(Renewal::NewId),
                        ErrorCode::UnknownTopic | ErrorCode::TopicRecreated => {
                            self.die(error.clone(), effects);
                        }
                        _ => {}
                    }
                    self.leave_gap();
                }
                Outcome::Stored { .. } | Outcome::Dropped | Outcome::Rejected(_) | Outcome::Retry(_) => {}
            }
        }
    }
}

/// What follows from the state, whatever changed it.
impl Lane {
    fn advance(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(error) = self.dead.clone() {
            self.give_up_all(&error, effects);
            return;
        }
        self.expire(now, effects);
        self.give_up_on_silence(now, effects);
        if self.stream.is_none() {
            self.give_up_resending(effects);
        }
        self.suspect(now, effects);
        if self.is_idle() {
            self.rest(now, effects);
            return;
        }
        self.idle_since = None;
        self.start_sequences_over(effects);
        if self.reopen_at.is_some_and(|at| at > now) || !self.has_producer(effects) {
            return;
        }
        if self.must_open() && !self.open(now, effects) {
            return;
        }
        self.send(now, effects);
    }

    /// Sequences never wrap and are never used again: the lane goes on at the next epoch from 0, once nothing is in
    /// flight.
    fn start_sequences_over(&mut self, effects: &mut Vec<Effect>) {
        self.look_ahead();
        if !self.in_flight.is_empty() {
            return;
        }
        let Some(renewal) = self.renewal.take() else { return };
        self.gap = false;
        self.next_sequence = 0;
        self.producer = match (renewal, &self.producer) {
            (Renewal::NextEpoch, Producer::Has(id, epoch)) if *epoch < PRODUCER_EPOCH_MAX => {
                Producer::Has(*id, ProducerEpoch(epoch.0 + 1))
            }
            (_, Producer::NotNeeded) => Producer::NotNeeded,
            (_, Producer::Asked) => Producer::Asked,
            _ => Producer::Missing,
        };
        // The stream is of the old epoch.
        if let Some(stream) = self.stream.take() {
            effects.push(Effect::Close(stream.opening));
        }
    }

    fn has_producer(&mut self, effects: &mut Vec<Effect>) -> bool {
        match self.producer {
            Producer::NotNeeded | Producer::Has(..) => true,
            Producer::Asked => false,
            Producer::Missing => {
                self.producer = Producer::Asked;
                effects.push(Effect::AskProducer);
                false
            }
        }
    }

    fn must_open(&self) -> bool {
        // A due reopening, or a lane that is to go on elsewhere and has nothing left to wait for here.
        let Some(stream) = &self.stream else { return true };
        let is_done_here = self.in_flight.iter().all(|sent| sent.untouched && sent.opening == stream.opening);
        self.reopen_at.is_some() || (is_done_here && self.is_draining())
    }

    /// Opens the lane, if there is where. What is in flight stays with its revision, unless nobody has touched it.
    fn open(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let is_untouched = self.is_untouched();
        let revision = if is_untouched { self.view.revision } else { self.revision };
        let only_left = is_untouched && self.left_revision == Some(revision);
        let entries = &self.view.entries;
        let failures = usize::try_from(self.failures).unwrap_or(usize::MAX);
        let entry = failures.checked_rem(entries.len()).and_then(|at| entries.get(at)).copied();
        let Some(entry) = entry.filter(|_| !only_left) else {
            self.reopen_later(now);
            effects.push(Effect::RefreshMetadata);
            return false;
        };
        if let Some(stream) = self.stream.take() {
            effects.push(Effect::Close(stream.opening));
            if !is_untouched {
                self.give_up_resending(effects);
            }
        }
        let opening = Opening(self.next_opening);
        self.next_opening += 1;
        self.reopen_at = None;
        self.revision = revision;
        self.stream = Some(Stream { opening, entry, ready: false, since: now });
        let (node, leader_epoch) = entry;
        let target = match self.settings.way {
            Way::Explicit(partition) => LaneTarget::Explicit { partition, leader_epoch },
            Way::Guessed(partition) => LaneTarget::Guessed { partition, leader_epoch },
            Way::Unguessed(_) => LaneTarget::Unguessed,
        };
        effects.push(Effect::Open { opening, node, producer: self.producer_fields(), revision, target });
        true
    }

    fn send(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(Stream { opening, ready: true, .. }) = self.stream else { return };
        // Beside one that may be stored all are sent again under the old revision, where order is kept.
        let resent = !self.is_untouched();
        for sent in self.in_flight.iter_mut().filter(|sent| sent.opening != opening) {
            sent.opening = opening;
            sent.at = now;
            sent.resent |= resent;
            sent.untouched = false;
            let (key, ordinal, stamp) = (sent.batch.key, sent.ordinal, sent.stamp);
            effects.push(Effect::Send { opening, key, ordinal, stamp, resent });
        }
        while self.in_flight.len() < self.settings.in_flight_max && !self.is_draining() {
            let Some(batch) = self.queue.pop_front() else { return };
            let stamp = self.producer_fields().map(|(producer, epoch)| {
                let sequence = Sequence(self.next_sequence);
                self.next_sequence += batch.records;
                assert!(
                    self.next_sequence <= self.settings.sequence_max.0,
                    "sequences start over before they wrap"
                );
                Stamp { producer, epoch, sequence }
            });
            let ordinal = self.next_ordinal;
            self.next_ordinal += 1;
            effects.push(Effect::Send { opening, key: batch.key, ordinal, stamp, resent: false });
            self.in_flight.push_back(Sent {
                batch,
                ordinal,
                stamp,
                opening,
                at: now,
                plugin_failures: 0,
                settled: false,
                resent: false,
                untouched: false,
            });
            self.look_ahead();
        }
    }
}

/// Helpers.
impl Lane {
    fn is_current(&self, opening: Opening) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.opening == opening)
    }

    /// Whether the cluster has done nothing with all that is in flight, so that it may go under another revision.
    fn is_untouched(&self) -> bool {
        self.in_flight.iter().all(|sent| sent.untouched)
    }

    /// Whether nothing new may be sent until what is in flight is settled: the lane has to go on at another node,
    /// revision or epoch.
    fn is_draining(&self) -> bool {
        if self.stream.is_none() {
            return false;
        }
        let left = self.left_revision == Some(self.revision);
        let renewed = self.view.revision != self.revision;
        left || renewed || self.has_moved() || self.renewal.is_some()
    }

    /// Whether the metadata names other nodes to enter at.
    fn has_moved(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        let entries = &self.view.entries;
        !entries.is_empty() && entries.iter().all(|(node, _)| *node != stream.entry.0)
    }

    /// Notices before the next batch is taken that its sequences would not fit.
    fn look_ahead(&mut self) {
        let next_records = self.queue.front().map_or(0, |batch| batch.records);
        if self.settings.idempotent
            && self.next_sequence.saturating_add(next_records) > self.settings.sequence_max.0
        {
            self.renew(Renewal::NextEpoch);
        }
    }

    fn renew(&mut self, renewal: Renewal) {
        if self.settings.idempotent {
            self.renewal = self.renewal.max(Some(renewal));
        }
    }

    /// Some sequences of this lane may never be stored. Only an explicit partition counts them one by one, and would
    /// refuse everything that follows.
    fn leave_gap(&mut self) {
        if matches!(self.settings.way, Way::Explicit(_)) {
            self.gap = true;
            self.renew(Renewal::NextEpoch);
        }
    }

    fn producer_fields(&self) -> Option<(ProducerId, ProducerEpoch)> {
        match self.producer {
            Producer::Has(id, epoch) => Some((id, epoch)),
            _ => None,
        }
    }

    fn reopen_later(&mut self, now: Moment) {
        if self.reopen_at.is_none_or(|at| at <= now) {
            self.failures = self.failures.saturating_add(1);
            self.reopen_at = Some(now + self.backoff.pause(self.failures));
        }
    }

    fn die(&mut self, error: WireError, effects: &mut Vec<Effect>) {
        self.dead = Some(error.clone());
        self.give_up_all(&error, effects);
    }

    /// Settles everything: what was sent as unknown, what was not as failed.
    fn give_up_all(&mut self, error: &WireError, effects: &mut Vec<Effect>) {
        self.settle_in_flight(error, effects);
        for batch in std::mem::take(&mut self.queue) {
            settle_whole(&batch, DeliveryResult::Failed(error.clone()), effects);
        }
        if let Some(stream) = self.stream.take() {
            effects.push(Effect::Close(stream.opening));
        }
    }

    fn settle_in_flight(&mut self, error: &WireError, effects: &mut Vec<Effect>) {
        for sent in std::mem::take(&mut self.in_flight) {
            if sent.settled {
                effects.push(Effect::Release(sent.batch.key));
            } else {
                settle_whole(&sent.batch, DeliveryResult::Unknown(error.clone()), effects);
                self.leave_gap();
            }
        }
    }
}

fn is_stale(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry(error) if error.code == ErrorCode::StaleRevision)
}

fn settle_whole(batch: &Batch, result: DeliveryResult, effects: &mut Vec<Effect>) {
    let runs = vec![SettledRun { records: batch.records, first: result }];
    effects.push(Effect::Settle { key: batch.key, runs });
    effects.push(Effect::Release(batch.key));
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
