//! One reign of one coordinator: what happens goes in, what it wants done is done, in order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use weir_core::group::assignors::{AssignInput, Assignment};
use weir_core::group::{
    CallId, Coordinator, Effect, GroupConfig, GroupError, Input, Replay, Reply, Report, RequestId, WriteId,
};
use weir_core::partition::{AppendCheck, AppendOutcome, BatchMeta};
use weir_wire::batch::{BatchBuilder, BatchHeader, Compression};
use weir_wire::error::WireError;
use weir_wire::group_log::GroupRecord;
use weir_wire::ids::{LeaderEpoch, MetadataIndex};
use weir_wire::lane::Acks;

use super::seat::{Asked, leads};
use super::{Shared, assigning};
use crate::partitions::{AppendRequest, AppendTag, Bell, PartitionHandle};

/// Inputs that are taken before what they changed is looked at again.
const REQUESTS_PER_TURN_MAX: usize = 256;

/// A coordinator at work.
pub(super) struct Serving<'a> {
    shared: &'a Shared,
    handle: &'a PartitionHandle,
    leader_epoch: LeaderEpoch,
    coordinator: Coordinator,
    /// The metadata that the coordinator has heard of.
    heard: MetadataIndex,
    /// The settings that the coordinator has heard of.
    configured: Arc<GroupConfig>,
    /// Who waits for an answer.
    asking: BTreeMap<RequestId, oneshot::Sender<Result<Reply, WireError>>>,
    last_request: u64,
    /// Where the outcomes of writes come.
    outcome: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    outcomes: mpsc::UnboundedReceiver<(AppendTag, AppendOutcome)>,
    /// Where the answers of pushed assignors come.
    answer: mpsc::UnboundedSender<(CallId, Result<Assignment, String>)>,
    answers: mpsc::UnboundedReceiver<(CallId, Result<Assignment, String>)>,
    /// What follows from effects themselves.
    next: VecDeque<Input>,
    is_over: bool,
}

/// Something that happened.
enum Event {
    /// The partition's marks moved.
    Moved,
    Appended(AppendTag, AppendOutcome),
    Assigned(CallId, Result<Assignment, String>),
    Topics,
    Tick,
    Asked(Asked),
    /// Nobody can ask any more.
    Forgotten,
}

impl<'a> Serving<'a> {
    /// Begins to coordinate what was loaded.
    pub(super) async fn begin(
        shared: &'a Shared,
        handle: &'a PartitionHandle,
        leader_epoch: LeaderEpoch,
        replay: Replay,
    ) -> Serving<'a> {
        let mut effects = Vec::new();
        let topics = shared.topics.get();
        let (heard, configured) = (topics.index, shared.config.get());
        let now = shared.outside.clock.now();
        let replay = match shared.without {
            Some(rule) => replay.without_rule(rule),
            None => replay,
        };
        let coordinator = replay.finish(now, GroupConfig::clone(&configured), topics, &mut effects);
        let (outcome, outcomes) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let mut serving = Serving {
            shared,
            handle,
            leader_epoch,
            coordinator,
            heard,
            configured,
            asking: BTreeMap::new(),
            last_request: 0,
            outcome,
            outcomes,
            answer,
            answers,
            next: VecDeque::new(),
            is_over: false,
        };
        serving.carry_out(effects).await;
        serving.settle().await;
        serving
    }

    /// Coordinates until the reign is over or a write failed.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Asked>, bell: &Arc<Bell>) {
        while !self.is_over {
            let event = self.select(&mut requests, bell).await;
            self.apply(event, bell).await;
            for _ in 1..REQUESTS_PER_TURN_MAX {
                let Ok(asked) = requests.try_recv() else { break };
                self.apply(Event::Asked(asked), bell).await;
            }
        }
        requests.close();
    }

    async fn select(&mut self, requests: &mut mpsc::Receiver<Asked>, bell: &Arc<Bell>) -> Event {
        let (heard, due) = (self.heard, self.due());
        tokio::select! {
            biased;
            () = bell.wait() => Event::Moved,
            Some((tag, outcome)) = self.outcomes.recv() => Event::Appended(tag, outcome),
            Some((call, answer)) = self.answers.recv() => Event::Assigned(call, answer),
            _ = self.shared.topics.wait_until(|topics| topics.index > heard) => Event::Topics,
            () = tokio::time::sleep_until(due) => Event::Tick,
            asked = requests.recv() => asked.map_or(Event::Forgotten, Event::Asked),
        }
    }

    /// When the coordinator wants to hear that time passed.
    fn due(&self) -> Instant {
        let now_ns = self.shared.outside.clock.now().monotonic_ns;
        let wait_ns = self.coordinator.deadline_ns().saturating_sub(now_ns);
        // A timer counts whole milliseconds: never early.
        Instant::now() + Duration::from_millis(wait_ns.div_ceil(1_000_000))
    }

    async fn apply(&mut self, event: Event, bell: &Arc<Bell>) {
        match event {
            Event::Moved => {
                while bell.take().is_some() {}
                if leads(self.handle) != Some(self.leader_epoch) {
                    self.next.push_back(Input::Stop);
                }
            }
            Event::Appended(tag, AppendOutcome::Stored { .. }) => {
                self.next.push_back(Input::Committed { write: WriteId(tag.ordinal) });
            }
            Event::Appended(_, outcome) => {
                tracing::warn!(
                    ?outcome,
                    "a change of a group could not be written; what is committed is read again"
                );
                self.next.push_back(Input::Stop);
            }
            Event::Assigned(call, answer) => self.next.push_back(Input::Assigned { call, answer }),
            Event::Topics => {
                let topics = self.shared.topics.get();
                self.heard = topics.index;
                // Settings are metadata too.
                let configured = self.shared.config.get();
                if configured != self.configured {
                    self.next.push_back(Input::Configure(GroupConfig::clone(&configured)));
                    self.configured = configured;
                }
                self.next.push_back(Input::Topics(topics));
            }
            Event::Tick => self.next.push_back(Input::Tick),
            Event::Asked(Asked { asker, ask, reply }) => {
                self.last_request += 1;
                let request = RequestId(self.last_request);
                self.asking.insert(request, reply);
                self.next.push_back(Input::Request { request, asker, ask });
            }
            Event::Forgotten => self.next.push_back(Input::Stop),
        }
        self.settle().await;
    }

    /// Handles what is to be handled, and what follows from it.
    async fn settle(&mut self) {
        while let Some(input) = self.next.pop_front() {
            self.is_over |= input == Input::Stop;
            let mut effects = Vec::new();
            self.coordinator.handle(self.shared.outside.clock.now(), input, &mut effects);
            self.carry_out(effects).await;
        }
    }

    async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append { write, records } => self.append(write, &records).await,
                Effect::Respond { request, answer } => self.respond(request, answer),
                Effect::Assign { call, group, assignor, input } => {
                    self.assign(call, group, assignor, input);
                }
                Effect::Report(report) => tell(report),
            }
        }
    }

    async fn append(&mut self, write: WriteId, records: &[GroupRecord]) {
        let batch = encode(records, self.shared.outside.clock.now().wall_ms);
        let header = BatchHeader::parse(&batch).expect("the batch was made here");
        let request = AppendRequest {
            meta: BatchMeta::from(&header),
            batch,
            leader_epoch: self.leader_epoch,
            check: AppendCheck::Unchecked,
            acks: Acks::All,
            // Topics of the cluster's own run no plugins.
            made_by: None,
            by_plugins: false,
            tag: AppendTag { ordinal: write.0, part: 0 },
            reply: self.outcome.clone(),
            memory: None,
        };
        if self.handle.append(request).await.is_err() {
            self.next.push_back(Input::Stop);
        }
    }

    fn respond(&mut self, request: RequestId, answer: Result<Reply, GroupError>) {
        let Some(asking) = self.asking.remove(&request) else { return };
        let answer = as_told(answer, || self.shared.controller.holds_lease());
        // Who asked may be gone.
        let _ = asking.send(answer.map_err(|error| error.to_wire()));
    }

    /// A pushed assignor answers when it does: the coordinator goes on, and stops waiting by itself.
    fn assign(&mut self, call: CallId, group: String, assignor: String, input: AssignInput) {
        tracing::debug!(group, assignor, "an assignor is asked");
        if let Some(answer) = assigning::ask_known(&assignor, &input) {
            self.next.push_back(Input::Assigned { call, answer: Ok(answer) });
            return;
        }
        let (pipelines, reply) = (self.shared.pipelines.clone(), self.answer.clone());
        tokio::spawn(async move {
            let answer = assigning::ask_pushed(&pipelines, &group, &assignor, &input).await;
            // The reign may be over.
            let _ = reply.send((call, answer));
        });
    }
}

/// A node whose lease ran out may have a successor that does not know of this answer: a member that hears it would go on
/// with what the successor gives to others, or where the group was before. What was done is told in any case: it is in the
/// log, where the successor finds it.
fn as_told(answer: Result<Reply, GroupError>, holds_lease: impl Fn() -> bool) -> Result<Reply, GroupError> {
    match answer {
        Ok(Reply::Membership(_) | Reply::Fetched(_)) if !holds_lease() => Err(GroupError::NotCoordinator),
        answer => answer,
    }
}

/// The records of one change as one batch.
fn encode(records: &[GroupRecord], timestamp_ms: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        let (key, value) = record.encode();
        builder.push(timestamp_ms, Some(&key), value.as_deref(), &[]);
    }
    builder.finish(None)
}

fn tell(report: Report) {
    match report {
        Report::AssignorFailed { group, assignor, why } => {
            metrics::counter!("weir_assignor_failures_total").increment(1);
            tracing::error!(group, assignor, why, "an assignor failed; 'range' stands in for it");
        }
        Report::SessionEnded { group, member } => {
            tracing::info!(group, member, "a member's session ended; its partitions go to others");
        }
        Report::MemberExpelled { group, member } => {
            tracing::warn!(group, member, "a member did not let go of partitions in time and was expelled");
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::ids::MemberEpoch;
    use weir_wire::request::{Membership, OffsetsCommitted, OffsetsFetched};

    use super::*;

    #[test]
    fn what_a_member_goes_on_with_is_told_under_a_lease_only() {
        let membership = Membership {
            member_epoch: MemberEpoch(1),
            assignment: None,
            heartbeat_interval_ms: 3_000,
            session_timeout_ms: 15_000,
        };
        let goes_on_with =
            [Reply::Membership(membership), Reply::Fetched(OffsetsFetched { offsets: Vec::new() })];
        for reply in goes_on_with {
            assert_eq!(as_told(Ok(reply.clone()), || true), Ok(reply.clone()));
            assert_eq!(as_told(Ok(reply), || false), Err(GroupError::NotCoordinator));
        }
        for done in [Reply::Left, Reply::Deleted, Reply::Committed(OffsetsCommitted { results: Vec::new() })]
        {
            assert_eq!(as_told(Ok(done.clone()), || false), Ok(done));
        }
        let refused = Err(GroupError::UnknownMember("m".to_owned()));
        assert_eq!(as_told(refused.clone(), || false), refused);
    }
}
