//! The consumer's part in a group: what was assigned is read, what is taken away is let go of, what was taken is
//! committed.
//!
//! ```text
//! Move::Assigned ──▶ look up where to begin ──▶ event Assigned ──▶ the application comes back ──▶ read
//! Move::Revoke ──▶ no more records ──▶ event Revoked ──▶ the application comes back ──▶ commit ──▶ let go
//! Move::Gone ──▶ no more records, no commit ──▶ event Lost
//! ```
//!
//! That the application comes back, for the next event, is how it says that it is done with what it was given before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use weir_wire::fetch::Position;
use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::request::{CommittedOffset, Committer, Subscription};

use super::partition::{Assigned, Place, State};
use super::session::Session;
use super::{ConsumerConfig, ConsumerEvent, GroupEvent, ResetPolicy, StartAt};
use crate::client::Inner;
use crate::error::ClientError;
use crate::group::member::{Input, MemberConfig};
use crate::group::{Commits, Committed, Membership, Move, Moved, Start, TopicPartition, find_starts};

/// How long a consumer that is closed waits for its last commit and for the coordinator's farewell.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before it is looked up again where to begin.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(200);

/// A consumer's part in a group.
pub(super) struct Grouped {
    name: String,
    membership: Option<Membership>,
    commits: Commits,
    /// By what to commit, as of the newest move that this consumer followed.
    committer: Option<Committer>,
    /// What is assigned, by the number of the look-up that finds out where to begin.
    tenures: BTreeMap<TopicPartition, u64>,
    /// Look-ups that ended.
    found: (mpsc::UnboundedSender<Found>, mpsc::UnboundedReceiver<Found>),
    /// What the application hears next, and what follows when it comes back from that.
    events: VecDeque<(GroupEvent, After)>,
    after: After,
    /// Why the group goes on without this consumer.
    failed: Option<ClientError>,
    /// What was asked to be committed, so that only news is.
    committed: BTreeMap<TopicPartition, Offset>,
    /// When to commit by itself next.
    next_commit: Instant,
}

/// The end of a look-up: its number, what was looked up, and where to begin.
pub(super) type Found = (u64, Vec<TopicPartition>, Result<Vec<Start>, ClientError>);

/// What follows when the application comes back.
#[derive(Debug)]
enum After {
    Nothing,
    Read(Vec<TopicPartition>),
    LetGo(Vec<TopicPartition>),
}

/// What woke a consumer.
pub(super) enum Woken {
    Moved(Moved),
    Found(Found),
    /// The coordinator answered: perhaps the session goes on.
    Heard,
}

impl Grouped {
    /// `None` where the configuration names no group.
    pub(super) fn new(client: &Arc<Inner>, config: &ConsumerConfig) -> Option<Grouped> {
        let name = config.group.clone()?;
        Some(Grouped {
            commits: Commits::of_group(client, &name),
            name,
            membership: None,
            committer: None,
            tenures: BTreeMap::new(),
            found: mpsc::unbounded_channel(),
            events: VecDeque::new(),
            after: After::Nothing,
            failed: None,
            committed: BTreeMap::new(),
            next_commit: Instant::now() + config.auto_commit_interval,
        })
    }

    /// Whether the group says what is assigned.
    pub(super) fn is_subscribed(&self) -> bool {
        self.membership.is_some()
    }

    /// Whether records of the partition may be handed out at this moment.
    pub(super) fn may_hand_out(&self, partition: &TopicPartition) -> bool {
        self.membership.as_ref().is_none_or(|membership| membership.may_hand_out(partition))
    }

    /// What wakes a consumer that waits. Cancel safe.
    pub(super) async fn next(&mut self) -> Woken {
        let Grouped { membership: Some(membership), found, .. } = self else {
            return std::future::pending().await;
        };
        tokio::select! {
            biased;
            moved = membership.next_or_heard() => moved.map_or(Woken::Heard, Woken::Moved),
            Some(found) = found.1.recv() => Woken::Found(found),
        }
    }

    /// When there is something to commit by itself; `None` where that is the application's business.
    pub(super) fn commits_at(&self, config: &ConsumerConfig) -> Option<Instant> {
        (config.auto_commit && self.is_subscribed()).then_some(self.next_commit)
    }

    fn look_up_starts(
        &self,
        client: &Arc<Inner>,
        number: u64,
        partitions: Vec<TopicPartition>,
        pause: Duration,
    ) {
        let (client, group, found) = (Arc::clone(client), self.name.clone(), self.found.0.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let starts = find_starts(&client, &group, &partitions).await;
            // The consumer may be gone.
            let _ = found.send((number, partitions, starts));
        });
    }

    /// Lets go once what is to be committed is, and everything before it.
    fn let_go(&self, partitions: Vec<TopicPartition>, last: BTreeMap<TopicPartition, CommittedOffset>) {
        let Some(membership) = &self.membership else { return };
        let (voice, committed) = (membership.voice(), self.commits.ask(last, self.committer.clone()));
        tokio::spawn(async move {
            if let Ok(Err(error)) = committed.await {
                tracing::debug!(%error, "the last commit before a partition moves failed; records will repeat");
            }
            // The membership may be over.
            let _ = voice.send(Input::LetGo(partitions));
        });
    }
}

impl Session {
    pub(super) fn subscribe_to(&mut self, subscription: Subscription) -> Result<(), ClientError> {
        let refuse = |sentence: &str| Err(ClientError::Config(sentence.to_owned()));
        let has_assigned = !self.assigned.is_empty();
        let Some(grouped) = &mut self.grouped else {
            return refuse("who subscribes takes part in a group: set ConsumerConfig::group");
        };
        match &grouped.membership {
            Some(membership) => membership.say(Input::Subscribe(subscription)),
            None if has_assigned => {
                return refuse("a consumer assigns partitions itself or subscribes, not both");
            }
            None => {
                let mut random = self.client.net.outside.random();
                let config = MemberConfig {
                    group: grouped.name.clone(),
                    process: format!("{:016x}{:016x}", random.next(), random.next()),
                    instance: self.config.group_instance.clone(),
                    subscription,
                    rebalance_timeout_ms: self.config.rebalance_timeout_ms(),
                };
                grouped.membership = Some(Membership::begin(&self.client, config));
            }
        }
        Ok(())
    }

    /// The application came back: it is done with everything that it was given.
    pub(super) fn application_is_back(&mut self) {
        let Some(grouped) = &mut self.grouped else { return };
        match std::mem::replace(&mut grouped.after, After::Nothing) {
            After::Nothing => {}
            After::Read(partitions) => {
                for key in self.keys_of(&partitions) {
                    self.with(key, |assigned| {
                        if assigned.state == State::Held {
                            assigned.state = State::Idle;
                        }
                    });
                }
            }
            After::LetGo(partitions) => self.let_go(partitions),
        }
    }

    /// Follows what happened in the group, and commits if it is time; returns what the application is to hear.
    pub(super) fn follow_group(&mut self) -> Option<Result<ConsumerEvent, ClientError>> {
        while let Some(moved) =
            self.grouped.as_mut().and_then(|grouped| grouped.membership.as_mut()?.try_next())
        {
            self.follow(moved);
        }
        self.commit_if_due();
        let grouped = self.grouped.as_mut()?;
        if let Some((event, after)) = grouped.events.pop_front() {
            grouped.after = after;
            return Some(Ok(ConsumerEvent::Group(event)));
        }
        grouped.failed.take().map(Err)
    }

    pub(super) fn woken(&mut self, woken: Woken) {
        match woken {
            Woken::Moved(moved) => self.follow(moved),
            Woken::Found(found) => self.found_starts(found),
            Woken::Heard => {}
        }
    }

    fn follow(&mut self, Moved { what, committer }: Moved) {
        let number = self.number();
        let Some(grouped) = &mut self.grouped else { return };
        grouped.committer = committer;
        match what {
            Move::Assigned(partitions) => {
                grouped.tenures.extend(partitions.iter().map(|partition| (*partition, number)));
                grouped.look_up_starts(&self.client, number, partitions, Duration::ZERO);
            }
            Move::Revoke(partitions) => self.revoke(partitions),
            Move::Gone(partitions) => {
                let known = self.names_of(&partitions);
                self.forget(&partitions);
                if !known.is_empty() {
                    self.say(GroupEvent::Lost { partitions: known }, After::Nothing);
                }
            }
            Move::Failed(error) => grouped.failed = Some(error),
            Move::Left => {}
        }
    }

    /// Hands out nothing more; positions stay for the last commit.
    fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        for key in self.keys_of(&partitions) {
            self.unsubscribe(key);
            self.with(key, |assigned| assigned.state = State::Held);
        }
        let known = self.names_of(&partitions);
        if known.is_empty() {
            // The application never heard of them.
            return self.let_go(partitions);
        }
        self.say(GroupEvent::Revoked { partitions: known }, After::LetGo(partitions));
    }

    fn let_go(&mut self, partitions: Vec<TopicPartition>) {
        let last =
            if self.config.auto_commit { self.uncommitted(Some(&partitions)) } else { BTreeMap::new() };
        self.forget(&partitions);
        if let Some(grouped) = &mut self.grouped {
            grouped.let_go(partitions, last);
        }
    }

    fn forget(&mut self, partitions: &[TopicPartition]) {
        for key in self.keys_of(partitions) {
            self.unsubscribe(key);
            self.assigned.remove(&key);
        }
        if let Some(grouped) = &mut self.grouped {
            for partition in partitions {
                grouped.tenures.remove(partition);
                grouped.committed.remove(partition);
            }
        }
    }

    fn found_starts(&mut self, (number, partitions, found): Found) {
        let Some(grouped) = &mut self.grouped else { return };
        let is_current = |partition: &TopicPartition| grouped.tenures.get(partition) == Some(&number);
        let current: Vec<TopicPartition> = partitions.into_iter().filter(is_current).collect();
        if current.is_empty() {
            return;
        }
        let starts = match found {
            Ok(starts) => starts,
            Err(error) if error.is_retryable() => {
                return grouped.look_up_starts(&self.client, number, current, LOOK_UP_PAUSE);
            }
            Err(error) => return grouped.failed = Some(error),
        };
        let (mut assigned, mut held) = (Vec::new(), Vec::new());
        for start in starts.into_iter().filter(|start| current.contains(&start.partition)) {
            assigned.push((start.topic.clone(), start.partition.1));
            held.push(start.partition);
            self.hold(start);
        }
        // Their topic is gone, and they will be taken away; or who was asked has not heard of it yet.
        let missing: Vec<TopicPartition> =
            current.into_iter().filter(|partition| !held.contains(partition)).collect();
        if let Some(grouped) = self.grouped.as_ref().filter(|_| !missing.is_empty()) {
            grouped.look_up_starts(&self.client, number, missing, LOOK_UP_PAUSE);
        }
        if !assigned.is_empty() {
            self.say(GroupEvent::Assigned { partitions: assigned }, After::Read(held));
        }
    }

    /// Assigns a partition that is read once the application has heard of it.
    fn hold(&mut self, start: Start) {
        let Start { partition: (topic_id, partition), topic, committed } = start;
        let (place, state) = match (&committed, self.config.reset) {
            (Some(committed), _) => {
                let position = Position { offset: committed.offset, epoch: committed.leader_epoch };
                (Place::At(position), State::Held)
            }
            (None, ResetPolicy::Earliest) => (Place::LookUp(StartAt::Earliest), State::Held),
            (None, ResetPolicy::Latest) => (Place::LookUp(StartAt::Latest), State::Held),
            (None, ResetPolicy::None) => (Place::LookUp(StartAt::Latest), State::WaitsForSeek),
        };
        if let (Some(grouped), Some(committed)) = (&mut self.grouped, &committed) {
            grouped.committed.insert((topic_id, partition), committed.offset);
        }
        let waits_for_seek = state == State::WaitsForSeek;
        let key = self.number();
        let assigned = Assigned {
            topic: topic.as_str().into(),
            topic_id,
            partition,
            place,
            state,
            paused: false,
            high_watermark: None,
            failures: 0,
        };
        self.assigned.insert(key, assigned);
        if waits_for_seek {
            let group = self.config.group.clone().unwrap_or_default();
            self.fail(key, ClientError::NoCommittedOffset { group, topic, partition });
        }
    }

    fn say(&mut self, event: GroupEvent, after: After) {
        if let Some(grouped) = &mut self.grouped {
            grouped.events.push_back((event, after));
        }
    }

    /// The positions that are not committed yet, of all partitions or of some.
    fn uncommitted(&mut self, only: Option<&[TopicPartition]>) -> BTreeMap<TopicPartition, CommittedOffset> {
        let Some(grouped) = &mut self.grouped else { return BTreeMap::new() };
        if grouped.commits.has_failed() {
            // Of some or all of it: it is committed once more.
            grouped.committed.clear();
        }
        let positions = self.assigned.values().filter_map(|assigned| {
            let (partition, position) = ((assigned.topic_id, assigned.partition), assigned.position()?);
            let is_news = grouped.committed.get(&partition) != Some(&position.offset);
            let is_asked = only.is_none_or(|only| only.contains(&partition));
            let Position { offset, epoch: leader_epoch } = position;
            let committed = CommittedOffset { offset, leader_epoch, metadata: String::new() };
            (is_news && is_asked).then_some((partition, committed))
        });
        positions.collect()
    }

    /// Commits everything that was taken; what becomes of it comes later.
    pub(super) fn commit_taken(&mut self) -> Result<oneshot::Receiver<Committed>, ClientError> {
        let offsets = self.uncommitted(None);
        self.commit(offsets)
    }

    /// Commits these offsets; what becomes of it comes later.
    pub(super) fn commit(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<oneshot::Receiver<Committed>, ClientError> {
        let Some(grouped) = &mut self.grouped else {
            let sentence = "who commits takes part in a group: set ConsumerConfig::group";
            return Err(ClientError::Config(sentence.to_owned()));
        };
        let news = offsets.iter().map(|(partition, committed)| (*partition, committed.offset));
        grouped.committed.extend(news);
        Ok(grouped.commits.ask(offsets, grouped.committer.clone()))
    }

    fn commit_if_due(&mut self) {
        let Some(grouped) = &mut self.grouped else { return };
        let now = Instant::now();
        if grouped.commits_at(&self.config).is_none_or(|at| now < at) {
            return;
        }
        grouped.next_commit = now + self.config.auto_commit_interval;
        let offsets = self.uncommitted(None);
        if !offsets.is_empty() {
            // A commit that fails is made good by the next one.
            let _ = self.commit(offsets);
        }
    }

    /// Ends the part in the group: commits what was taken, leaves, and waits for both, for a while.
    ///
    /// # Errors
    /// What became of the last commit.
    pub(super) async fn leave(&mut self) -> Result<(), ClientError> {
        if self.grouped.is_none() {
            return Ok(());
        }
        let offsets = if self.config.auto_commit { self.uncommitted(None) } else { BTreeMap::new() };
        // Also without offsets: earlier commits may be on their way.
        let committed = self.commit(offsets)?;
        let outcome = match tokio::time::timeout(CLOSE_TIMEOUT, committed).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ClientError::Closed),
            Err(_) => Err(ClientError::TimedOut { what: "the last commit".to_owned(), after: CLOSE_TIMEOUT }),
        };
        let returns = self.config.group_instance.is_some();
        if let Some(membership) = self.grouped.as_mut().and_then(|grouped| grouped.membership.as_mut()) {
            membership.say(Input::Close { returns });
            // A coordinator that is gone hears nothing; the session ends by itself.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell(membership)).await;
        }
        outcome
    }

    fn keys_of(&self, partitions: &[TopicPartition]) -> Vec<u64> {
        let among = |assigned: &Assigned| partitions.contains(&(assigned.topic_id, assigned.partition));
        self.assigned.iter().filter(|(_, assigned)| among(assigned)).map(|(key, _)| *key).collect()
    }

    fn names_of(&self, partitions: &[TopicPartition]) -> Vec<(String, PartitionIndex)> {
        let keys = self.keys_of(partitions);
        let named = keys.iter().filter_map(|key| self.assigned.get(key));
        named.map(|assigned| (assigned.topic.to_string(), assigned.partition)).collect()
    }
}

/// Lets go of everything, which is committed already, until the membership is over.
async fn farewell(membership: &mut Membership) {
    while let Some(moved) = membership.next().await {
        match moved.what {
            Move::Revoke(partitions) => membership.say(Input::LetGo(partitions)),
            Move::Left | Move::Failed(_) => return,
            Move::Assigned(_) | Move::Gone(_) => {}
        }
    }
}
