//! How long a lane waits: for a record's result, for a node that is silent, and with nothing to do.

use std::time::Duration;

use weir_wire::error::{ErrorCode, WireError};

use super::{Effect, Lane, Producer, settle_whole};
use crate::backoff::Moment;
use crate::producer::delivery::DeliveryResult;

/// A lane without a batch for this long gives its stream back.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A node that is silent for so long may be gone: the metadata is asked, and if somebody else leads, the lane goes there.
/// Before the cluster itself has missed the node there is nothing to learn.
const SUSPICION: Duration = Duration::from_millis(400);
/// How soon it is asked again, while somebody else may be elected at any moment.
const SUSPICION_AGAIN: Duration = Duration::from_millis(200);
/// After so long it is asked less often: whoever could take over would have by now.
const SUSPICION_FRESH: Duration = Duration::from_secs(5);
/// That often.
const SUSPICION_LATER: Duration = Duration::from_secs(1);
/// How often a plugin may fail on a batch that is sent again.
const PLUGIN_TRIES: u32 = 5;

impl Lane {
    /// When to call [`handle`](Lane::handle) with [`Input::Tick`](super::Input::Tick) at the latest.
    pub(crate) fn next_wake(&self) -> Option<Moment> {
        // Batches are made in order with one timeout, so the first of each queue expires first.
        let deadlines =
            [self.in_flight.front().map(|sent| sent.batch.deadline), self.queue.front().map(|b| b.deadline)];
        let waits_for_id = matches!(self.producer, Producer::Asked);
        let reopen = self.reopen_at.filter(|_| !self.is_idle() && !waits_for_id);
        let silence = [self.patience_ends(), self.suspicion_ends()];
        deadlines.into_iter().chain(silence).chain([reopen, self.idle_ends()]).flatten().min()
    }

    pub(super) fn expire(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mut gap = false;
        while let Some(sent) = self.in_flight.pop_front_if(|sent| sent.batch.deadline <= now) {
            let error = WireError::new(
                ErrorCode::OutcomeUnknown,
                "the record was sent, and no answer came within delivery.timeout.ms: it may or may not be stored",
            );
            settle_whole(&sent.batch, DeliveryResult::Unknown(error), effects);
            self.release(effects);
            gap = true;
        }
        while let Some(batch) = self.queue.pop_front_if(|batch| batch.deadline <= now) {
            let error = WireError::new(
                ErrorCode::TimedOut,
                "the record could not be sent within delivery.timeout.ms: is the partition's leader up?",
            );
            settle_whole(&batch, DeliveryResult::Failed(error), effects);
        }
        if gap {
            self.leave_gap();
        }
    }

    /// A node does not say what became of a batch on which a plugin fails when it is sent again: an earlier try may have
    /// been stored. What fails whenever it is tried would hold the lane until it is given up; so it is given up sooner.
    pub(super) fn plugin_failed_again(&mut self, at: usize, error: &WireError, effects: &mut Vec<Effect>) {
        let Some(sent) = self.in_flight.get_mut(at) else { return };
        sent.plugin_failures += 1;
        if at > 0 || sent.plugin_failures < PLUGIN_TRIES {
            return;
        }
        let sentence = format!("the record was sent again, and may or may not be stored: {}", error.message);
        let error = WireError::new(ErrorCode::OutcomeUnknown, sentence);
        settle_whole(&sent.batch, DeliveryResult::Unknown(error), effects);
        self.in_flight.pop_front();
        self.release(effects);
        self.leave_gap();
    }

    /// The oldest batch waits for one that was given up: no further try helps. It was not stored by this try, but an
    /// earlier one may still be on its way together with the one that was given up.
    pub(super) fn settle_behind_gap(&mut self, effects: &mut Vec<Effect>) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        let error = WireError::new(
            ErrorCode::OutcomeUnknown,
            "the batch before it was given up, so nobody can say whether this one is stored",
        );
        settle_whole(&sent.batch, DeliveryResult::Unknown(error), effects);
        self.release(effects);
    }

    /// A lane that nobody uses gives its stream back: a node serves a limited number of them.
    pub(super) fn rest(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.idle_since.get_or_insert(now);
        if self.idle_ends().is_some_and(|end| end <= now)
            && let Some(stream) = self.stream.take()
        {
            effects.push(Effect::Close(stream.opening));
        }
    }

    fn idle_ends(&self) -> Option<Moment> {
        self.idle_since.filter(|_| self.stream.is_some()).map(|since| since + IDLE_MAX)
    }

    /// A node that neither answers nor closes the stream is left: at once for one that is known to lead instead.
    pub(super) fn give_up_on_silence(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let (has_moved, is_over) = (self.has_moved(), self.patience_ends().is_some_and(|end| end <= now));
        if is_over && let Some(stream) = self.stream.take() {
            effects.push(Effect::Close(stream.opening));
            if !has_moved {
                effects.push(Effect::RefreshMetadata);
                self.reopen_later(now);
            }
        }
    }

    /// A lane that sends nothing twice lets go of what is in flight when its stream ends.
    pub(super) fn give_up_resending(&mut self, effects: &mut Vec<Effect>) {
        if !self.settings.resends && !self.in_flight.is_empty() {
            let error = WireError::new(
                ErrorCode::OutcomeUnknown,
                "the stream ended before the node had answered, and with acks=0 nothing is sent twice",
            );
            self.settle_in_flight(&error, effects);
        }
    }

    /// When the stream has been silent for too long. A node that leads no more has less time to answer for what it
    /// got while it did: it may be gone, and its connection does not know yet.
    fn patience_ends(&self) -> Option<Moment> {
        let request_timeout = self.settings.request_timeout;
        let patience = if self.has_moved() { request_timeout.min(SUSPICION) } else { request_timeout };
        Some(self.silent_since()? + patience)
    }

    /// Since when the stream has been silent: since it was asked for, or since the oldest batch was sent on it.
    fn silent_since(&self) -> Option<Moment> {
        let stream = self.stream.as_ref()?;
        if !stream.ready {
            return Some(stream.since);
        }
        let oldest = self.in_flight.front().filter(|sent| sent.opening == stream.opening)?;
        Some(oldest.at.max(stream.since))
    }

    /// Asks whether somebody else leads, now and then while a node is silent.
    pub(super) fn suspect(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.suspicion_ends().is_some_and(|end| end <= now) {
            self.suspected_at = Some(now);
            effects.push(Effect::RefreshMetadata);
        }
    }

    fn suspicion_ends(&self) -> Option<Moment> {
        let since = self.silent_since()?;
        let Some(asked) = self.suspected_at.filter(|asked| *asked >= since) else {
            return Some(since + SUSPICION);
        };
        let again = if asked < since + SUSPICION_FRESH { SUSPICION_AGAIN } else { SUSPICION_LATER };
        Some(asked + again)
    }
}
