//! Idempotent producers: they number their batches and send again, from the oldest unsettled one, whatever was not
//! answered "stored".

use std::collections::BTreeMap;

use weir_core::partition::{AppendCheck, AppendOutcome, BatchMeta, ProducerStamp};
use weir_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence};

/// How many batches a client sends in all.
const BATCHES: usize = 16;
/// How many may be in flight; Kafka's limit for contiguous producers.
const IN_FLIGHT_MAX: usize = 5;

/// A batch on its way to whoever leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Produce {
    pub(super) client: usize,
    pub(super) batch: usize,
    opening: u32,
    after: Option<Sequence>,
}

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) number: usize,
    is_lane: bool,
    /// Which opening sends now.
    opening: u32,
    next: usize,
    after: Option<Sequence>,
    /// How many batches are settled: the client goes on in order.
    settled: usize,
    answered: BTreeMap<usize, Offset>,
    /// Content and offset of everything that was acknowledged.
    pub(super) acknowledged: Vec<(u32, Offset)>,
    pub(super) has_failed: bool,
}

impl Client {
    pub(super) fn new(number: usize, is_lane: bool) -> Client {
        Client {
            number,
            is_lane,
            opening: 0,
            next: 0,
            after: None,
            settled: 0,
            answered: BTreeMap::new(),
            acknowledged: Vec::new(),
            has_failed: false,
        }
    }

    pub(super) fn id(&self) -> ProducerId {
        ProducerId(100 + u64::try_from(self.number).unwrap())
    }

    pub(super) fn is_done(&self) -> bool {
        self.settled == BATCHES
    }

    pub(super) fn send(&mut self) -> Option<Produce> {
        if self.next >= BATCHES.min(self.settled + IN_FLIGHT_MAX) {
            return None;
        }
        let (batch, opening, after) = (self.next, self.opening, self.after);
        self.after = Some(self.sequence(batch));
        self.next += 1;
        Some(Produce { client: self.number, batch, opening, after })
    }

    /// Whether batches were sent that nobody answered; while faults are over, nobody will.
    pub(super) fn send_again(&self) -> bool {
        self.next > self.settled && self.next >= BATCHES.min(self.settled + IN_FLIGHT_MAX)
    }

    /// Begins again at the oldest unsettled batch.
    pub(super) fn reopen(&mut self) {
        self.next = self.settled;
        self.answered.clear();
        self.opening += 1;
        self.after = None;
        self.has_failed = false;
    }

    /// Takes in an answer.
    pub(super) fn take(&mut self, produce: &Produce, outcome: &AppendOutcome) -> Result<(), String> {
        let is_live = produce.opening == self.opening && produce.batch >= self.settled;
        match outcome {
            AppendOutcome::Stored { base_offset: Some(offset), .. } => {
                self.acknowledged.push((self.content(produce.batch), *offset));
                if is_live {
                    self.answered.insert(produce.batch, *offset);
                }
            }
            AppendOutcome::Retry(_) => self.has_failed |= is_live,
            // Too old to be remembered: only an old message may be.
            _ if !is_live => {}
            other => return Err(format!("{produce:?} was answered {other:?}")),
        }
        while self.answered.remove(&self.settled).is_some() {
            self.settled += 1;
        }
        self.next = self.next.max(self.settled);
        Ok(())
    }

    pub(super) fn content(&self, batch: usize) -> u32 {
        u32::try_from(1_000 * (1 + self.number) + batch).unwrap()
    }

    fn sequence(&self, batch: usize) -> Sequence {
        // Two records each; a lane leaves gaps, for what went to other partitions.
        Sequence(u32::try_from(batch * if self.is_lane { 7 } else { 2 }).unwrap())
    }

    pub(super) fn meta(&self, batch: usize) -> BatchMeta {
        let base_sequence = self.sequence(batch);
        BatchMeta {
            bytes: self.content(batch),
            record_count: 2,
            last_offset_delta: 1,
            max_timestamp_ms: 0,
            is_control: false,
            revision: None,
            producer: Some(ProducerStamp { id: self.id(), epoch: ProducerEpoch(0), base_sequence }),
        }
    }

    pub(super) fn check(&self, produce: &Produce) -> AppendCheck {
        let after = produce.after;
        if self.is_lane { AppendCheck::Lane { after } } else { AppendCheck::Contiguous { after } }
    }
}
