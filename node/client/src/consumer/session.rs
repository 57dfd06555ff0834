//! The consumer's state and every decision about it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_wire::error::{ErrorClass, ErrorCode, WireError};
use weir_wire::fetch::{FetchCommand, FetchEnd, FetchEvent, Position};
use weir_wire::ids::{NodeId, Offset, PartitionIndex};
use weir_wire::request::{ListedOffset, OffsetSpec, TopicEntry};

use super::group::{Grouped, Woken};
use super::partition::{Assigned, DataFrame, Place, Ready, State, What, take_apart};
use super::stream::{FetchStream, StreamNumber, Told};
use super::whole_topics::WholeTopics;
use super::{ConsumerConfig, ConsumerEvent, ConsumerMetrics, ResetPolicy, StartAt};
use crate::backoff::Backoff;
use crate::client::{Client, Inner};
use crate::error::ClientError;
use crate::metadata::find_partition;
use crate::watched::Watcher;

/// A stream that says nothing for so long may be one of a node that died without a word, which the connection itself
/// notices much later: the metadata is asked whether others lead. A client asks once, for all its consumers; an idle
/// topic costs one such request in this time, as Kafka's fetch requests do (`fetch.max.wait.ms`).
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// Into how many pieces the credit of a stream is divided on its way back: few frames, and a node that is rarely short.
const CREDIT_PIECES: u64 = 8;

/// Everything that a consumer holds.
pub(super) struct Session {
    pub(super) client: Arc<Inner>,
    pub(super) config: ConsumerConfig,
    backoff: Backoff,
    /// The assigned partitions by a number that is never used twice: what comes late for a partition that was
    /// unassigned finds nobody.
    pub(super) assigned: BTreeMap<u64, Assigned>,
    /// Topics whose partitions were all assigned.
    pub(super) whole_topics: WholeTopics,
    streams: BTreeMap<NodeId, FetchStream>,
    /// For keys, streams, subscriptions and look-ups alike.
    next_number: u64,
    told: Channel<(StreamNumber, Told)>,
    found: Channel<LookedUp>,
    metadata: Watcher<u64>,
    /// What the application gets next, in order.
    ready: VecDeque<Ready>,
    metrics: ConsumerMetrics,
    /// The part in a group, if there is one.
    pub(super) grouped: Option<Grouped>,
}

/// Both ends: the sending one is cloned into tasks.
type Channel<T> = (mpsc::UnboundedSender<T>, mpsc::UnboundedReceiver<T>);

/// The end of a look-up: the partition's key, the look-up's number, and the offset.
type LookedUp = (u64, u64, Result<ListedOffset, ClientError>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("assigned", &self.assigned.len()).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(client: Arc<Inner>, config: ConsumerConfig) -> Session {
        Session {
            backoff: client.net.backoff(),
            metadata: client.metadata.watch(),
            grouped: Grouped::new(&client, &config),
            client,
            config,
            assigned: BTreeMap::new(),
            whole_topics: WholeTopics::new(),
            streams: BTreeMap::new(),
            next_number: 0,
            told: mpsc::unbounded_channel(),
            found: mpsc::unbounded_channel(),
            ready: VecDeque::new(),
            metrics: ConsumerMetrics::default(),
        }
    }

    pub(super) fn metrics(&self) -> ConsumerMetrics {
        self.metrics
    }

    pub(super) async fn assign(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        start: StartAt,
    ) -> Result<(), ClientError> {
        self.check_assigns_itself()?;
        let entry = self.client.metadata.fresh_topic(&self.client.net, topic).await?;
        if find_partition(&entry, partition).is_none() {
            let (topic, count) = (topic.to_owned(), entry.partitions.len());
            return Err(ClientError::UnknownPartition { topic, partition, count });
        }
        self.assign_known(&entry, partition, start);
        Ok(())
    }

    pub(super) fn check_assigns_itself(&self) -> Result<(), ClientError> {
        if self.grouped.as_ref().is_some_and(Grouped::is_subscribed) {
            let sentence = "a consumer assigns partitions itself or subscribes, not both";
            return Err(ClientError::Config(sentence.to_owned()));
        }
        Ok(())
    }

    pub(super) fn assign_known(&mut self, entry: &TopicEntry, partition: PartitionIndex, start: StartAt) {
        // Another assignment of the same partition is forgotten with all that is on its way for it.
        self.unassign(&entry.name, partition);
        let key = self.number();
        let assigned = Assigned {
            topic: entry.name.as_str().into(),
            topic_id: entry.id,
            partition,
            place: place_of(start),
            state: State::Idle,
            paused: false,
            high_watermark: None,
            failures: 0,
        };
        self.assigned.insert(key, assigned);
    }

    pub(super) fn unassign(&mut self, topic: &str, partition: PartitionIndex) {
        if let Some(key) = self.key_of(topic, partition) {
            self.unsubscribe(key);
            self.assigned.remove(&key);
        }
    }

    pub(super) fn assignment(&self) -> Vec<(String, PartitionIndex)> {
        self.assigned.values().map(|assigned| (assigned.topic.to_string(), assigned.partition)).collect()
    }

    pub(super) fn seek(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        to: StartAt,
    ) -> Result<(), ClientError> {
        let key = self.assigned_key(topic, partition)?;
        self.unsubscribe(key);
        self.with(key, |assigned| {
            assigned.place = place_of(to);
            assigned.failures = 0;
        });
        Ok(())
    }

    pub(super) fn set_paused(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        paused: bool,
    ) -> Result<(), ClientError> {
        let key = self.assigned_key(topic, partition)?;
        if paused {
            // What was fetched and not taken is fetched again later: the position is behind what was handed out.
            self.unsubscribe(key);
        }
        self.with(key, |assigned| assigned.paused = paused);
        Ok(())
    }

    pub(super) fn find(&self, topic: &str, partition: PartitionIndex) -> Option<&Assigned> {
        self.assigned.get(&self.key_of(topic, partition)?)
    }

    /// The next event. Everything that is awaited keeps what it has when it is dropped.
    pub(super) async fn next(&mut self) -> Result<ConsumerEvent, ClientError> {
        self.application_is_back();
        loop {
            if let Some(event) = self.follow_group() {
                return event;
            }
            while let Some(item) = self.take_ready() {
                if let Some(event) = self.hand_out(item) {
                    return event;
                }
            }
            let retry_at = self.advance();
            let silent_at = self.silent_at();
            if self.has_ready() {
                // A step that failed has something to say, and nothing else may ever come.
                continue;
            }
            let commit_at = self.grouped.as_ref().and_then(|grouped| grouped.commits_at(&self.config));
            let wake_at = [retry_at, commit_at].into_iter().flatten().min();
            tokio::select! {
                biased;
                woken = group_woken(&mut self.grouped) => self.woken(woken),
                // What comes seldom goes first: a stream that always has something must not keep another partition
                // from being found, or from its new leader.
                () = self.metadata.changed() => {
                    self.follow_leaders();
                    self.follow_partitions();
                }
                Some((key, number, found)) = self.found.1.recv() => self.looked_up(key, number, found),
                Some((stream, told)) = self.told.1.recv() => self.take(stream, told),
                () = sleep_until(wake_at) => {}
                () = sleep_until(silent_at) => self.doubt_the_silent(),
            }
        }
    }

    /// The first item that may be handed out at this moment. What a group may have given to another consumer stays,
    /// until the session goes on or the group takes it away.
    fn take_ready(&mut self) -> Option<Ready> {
        let at = self.first_ready()?;
        self.ready.remove(at)
    }

    fn has_ready(&self) -> bool {
        self.first_ready().is_some()
    }

    fn first_ready(&self) -> Option<usize> {
        let Some(grouped) = self.grouped.as_ref().filter(|grouped| grouped.is_subscribed()) else {
            return (!self.ready.is_empty()).then_some(0);
        };
        self.ready.iter().position(|item| {
            let assigned = self.assigned.get(&item.key);
            assigned.is_none_or(|assigned| grouped.may_hand_out(&(assigned.topic_id, assigned.partition)))
        })
    }

    /// Hands an item to the application: its credit comes back and its position counts.
    fn hand_out(&mut self, item: Ready) -> Option<Result<ConsumerEvent, ClientError>> {
        self.give_back(item.credit);
        let bytes = item.credit.map_or(0, |(_, bytes)| bytes);
        let assigned = self.assigned.get_mut(&item.key)?;
        let stands_at = item.then.map_or(assigned.place, Place::At);
        let (topic, partition) = (Arc::clone(&assigned.topic), assigned.partition);
        let event = match item.what {
            What::Batch(packed) => match packed.open(assigned, &self.config.batch_limits) {
                Ok(batch) => batch.map(|batch| {
                    self.metrics.batches += 1;
                    self.metrics.bytes += bytes;
                    self.metrics.records += batch.record_count();
                    ConsumerEvent::Records(batch)
                }),
                Err((offset, reason)) => {
                    let error = assigned.corrupt_batch(offset, reason);
                    self.unsubscribe(item.key);
                    self.with(item.key, |assigned| assigned.state = State::WaitsForSeek);
                    return Some(Err(error));
                }
            },
            What::CaughtUp(high_watermark) => {
                Some(ConsumerEvent::CaughtUp { topic: topic.to_string(), partition, high_watermark })
            }
            What::Reset { from, to } => {
                self.metrics.resets += 1;
                Some(ConsumerEvent::Reset { topic: topic.to_string(), partition, from, to })
            }
            What::Failed(error) => return Some(Err(error)),
            What::Nothing => None,
        };
        assigned.place = stands_at;
        event.map(Ok)
    }

    /// Takes the next step for every partition that can go on; returns when the earliest of the others can.
    fn advance(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut earliest = None;
        let keys: Vec<u64> = self.assigned.keys().copied().collect();
        for key in keys {
            let assigned = &self.assigned[&key];
            match assigned.state {
                State::Pausing(until) if until > now => {
                    earliest = Some(earliest.map_or(until, |other: Instant| other.min(until)));
                }
                State::Idle | State::Pausing(_) if !assigned.paused => self.step(key),
                _ => {}
            }
        }
        earliest
    }

    /// When the first of the streams that should send something will have been silent for too long.
    fn silent_at(&self) -> Option<Instant> {
        let heard =
            self.streams.values().filter(|stream| self.is_in_use(stream.number)).map(|stream| stream.heard);
        heard.min().map(|heard| heard + SILENCE_MAX)
    }

    fn is_in_use(&self, number: StreamNumber) -> bool {
        self.assigned
            .values()
            .any(|assigned| matches!(assigned.state, State::Subscribed(on, _) if on == number))
    }

    /// Asks whether others lead by now. If not, the streams are silent since there is nothing to say.
    fn doubt_the_silent(&mut self) {
        let now = Instant::now();
        for stream in self.streams.values_mut().filter(|stream| stream.heard + SILENCE_MAX <= now) {
            stream.heard = now;
        }
        self.client.metadata.refresh();
    }

    /// Looks the position up, or subscribes at it.
    fn step(&mut self, key: u64) {
        let number = self.number();
        let assigned = &self.assigned[&key];
        match assigned.place {
            Place::LookUp(start) => {
                let (client, found) = (Client { inner: Arc::clone(&self.client) }, self.found.0.clone());
                let (topic, partition) = (Arc::clone(&assigned.topic), assigned.partition);
                let spec = match start {
                    StartAt::Earliest => OffsetSpec::Earliest,
                    StartAt::Timestamp(timestamp_ms) => OffsetSpec::Timestamp(timestamp_ms),
                    StartAt::Latest | StartAt::Offset(_) | StartAt::Position(_) => OffsetSpec::Latest,
                };
                tokio::spawn(async move {
                    let listed = client.list_offsets(&topic, &[(partition, spec)]).await;
                    let one = listed.and_then(|listed| listed.first().copied().ok_or(ClientError::Closed));
                    // The consumer may be gone.
                    let _ = found.send((key, number, one));
                });
                self.with(key, |assigned| assigned.state = State::LookingUp(number));
            }
            Place::At(position) => self.subscribe(key, number, position),
        }
    }

    fn subscribe(&mut self, key: u64, subscription: u64, position: Position) {
        let assigned = &self.assigned[&key];
        let image = self.client.metadata.image();
        let Some(entry) = image.topic(&assigned.topic, assigned.topic_id) else {
            let (topic, name) = (assigned.topic.to_string(), &*assigned.topic);
            return match image.topics.contains_key(name) {
                true => self.fail(key, ClientError::TopicRecreated { topic }),
                false => self.fail(key, ClientError::UnknownTopic { topic }),
            };
        };
        let Some((leader, leader_epoch)) = image.leader(entry, assigned.partition) else {
            return self.again(key);
        };
        let (topic, partition) = (assigned.topic_id, assigned.partition);
        let stream = self.stream_to(leader);
        stream.send(FetchCommand::Subscribe { subscription, topic, partition, leader_epoch, position });
        let number = stream.number;
        self.with(key, |assigned| assigned.state = State::Subscribed(number, subscription));
        self.metrics.subscriptions += 1;
    }

    /// Partitions that another node leads now are read there: the old leader may be gone without a word.
    fn follow_leaders(&mut self) {
        let image = self.client.metadata.image();
        let has_moved = |assigned: &Assigned| {
            let State::Subscribed(number, _) = assigned.state else { return false };
            let on = self.streams.iter().find(|(_, stream)| stream.number == number).map(|(node, _)| *node);
            let entry = image.topic(&assigned.topic, assigned.topic_id);
            let leader = entry.and_then(|entry| image.leader(entry, assigned.partition));
            leader.is_some_and(|(leader, _)| on != Some(leader))
        };
        let moved = self.assigned.iter().filter(|(_, assigned)| has_moved(assigned));
        let keys: Vec<u64> = moved.map(|(key, _)| *key).collect();
        for key in keys {
            self.unsubscribe(key);
        }
    }

    fn stream_to(&mut self, node: NodeId) -> &FetchStream {
        if !self.streams.contains_key(&node) {
            let number = StreamNumber(self.number());
            let frame_bytes = self.config.partition_fetch_bytes;
            let stream = FetchStream::open(&self.client, number, node, frame_bytes, &self.told.0);
            stream.send(FetchCommand::Credit { bytes: u64::from(self.config.fetch_bytes) });
            self.streams.insert(node, stream);
        }
        &self.streams[&node]
    }

    fn looked_up(&mut self, key: u64, number: u64, found: Result<ListedOffset, ClientError>) {
        let Some(assigned) = self.assigned.get_mut(&key) else { return };
        if assigned.state != State::LookingUp(number) {
            return;
        }
        match found {
            Ok(listed) => {
                assigned.place = Place::At(Position { offset: listed.offset, epoch: None });
                assigned.state = State::Idle;
            }
            // The requests behind a look-up are tried for `api_timeout`; a consumer waits longer than that.
            Err(error) if error.is_retryable() => self.again(key),
            Err(error) => self.fail(key, error),
        }
    }

    fn take(&mut self, stream: StreamNumber, told: Told) {
        if let Some(stream) = self.streams.values_mut().find(|open| open.number == stream) {
            stream.heard = Instant::now();
        }
        match told {
            Told::Event(event, payload) => self.event(stream, event, payload),
            Told::Over(why, refusal) => self.stream_over(stream, &why, refusal),
        }
    }

    /// A stream is over: its partitions go on wherever the metadata says by then.
    fn stream_over(&mut self, stream: StreamNumber, why: &str, refusal: Option<WireError>) {
        tracing::debug!(why, "a fetch stream is over");
        self.streams.retain(|_, open| open.number != stream);
        self.client.metadata.refresh();
        let on_it = |assigned: &Assigned| matches!(assigned.state, State::Subscribed(on, _) if on == stream);
        let keys: Vec<u64> =
            self.assigned.iter().filter(|(_, assigned)| on_it(assigned)).map(|(key, _)| *key).collect();
        for key in keys {
            self.throw_away(key);
            match &refusal {
                Some(error) if !error.code.is_retryable() => self.fail(key, ClientError::Node(error.clone())),
                _ => self.again(key),
            }
        }
    }

    fn event(&mut self, stream: StreamNumber, event: FetchEvent, payload: Bytes) {
        let subscription = match &event {
            FetchEvent::Data { subscription, .. }
            | FetchEvent::CaughtUp { subscription, .. }
            | FetchEvent::Ended { subscription, .. } => *subscription,
        };
        let current = self.assigned.iter().find(|(_, assigned)| assigned.is_current(stream, subscription));
        let Some(key) = current.map(|(key, _)| *key) else {
            // An overtaken subscription; what it sent used credit all the same.
            return self.give_back(Some((stream, payload.len() as u64)));
        };
        match event {
            FetchEvent::Data { next_offset, high_watermark, leader_epoch, .. } => {
                let Some(wanted) = self.fetched_up_to(key) else { return };
                let frame = DataFrame { payload, wanted, next_offset, high_watermark, leader_epoch };
                self.data(key, stream, &frame);
            }
            FetchEvent::CaughtUp { high_watermark, .. } => {
                self.with(key, |assigned| {
                    assigned.high_watermark = Some(high_watermark);
                    assigned.failures = 0;
                });
                self.ready.push_back(Ready {
                    key,
                    credit: None,
                    then: None,
                    what: What::CaughtUp(high_watermark),
                });
            }
            FetchEvent::Ended { reason, .. } => self.ended(key, reason),
        }
    }

    fn data(&mut self, key: u64, stream: StreamNumber, frame: &DataFrame) {
        let assigned = self.assigned.get_mut(&key).expect("the subscription was found among the assigned");
        assigned.high_watermark = Some(frame.high_watermark);
        assigned.failures = 0;
        if let Err((offset, reason)) = take_apart(key, frame, stream, &mut self.ready) {
            let error = assigned.corrupt_batch(offset, reason);
            self.unsubscribe_keeping_ready(key);
            self.fail(key, error);
        }
    }

    fn ended(&mut self, key: u64, reason: FetchEnd) {
        let assigned = &self.assigned[&key];
        let (topic, partition) = (assigned.topic.to_string(), assigned.partition);
        let Some(offset) = self.fetched_up_to(key) else { return };
        let position = Position { offset, epoch: assigned.position().and_then(|position| position.epoch) };
        match reason {
            FetchEnd::OutOfRange { log_start, high_watermark } => {
                let to = match self.config.reset {
                    ResetPolicy::Earliest => log_start,
                    ResetPolicy::Latest => high_watermark,
                    ResetPolicy::None => {
                        let position = position.offset;
                        let error = ClientError::OffsetOutOfRange {
                            topic,
                            partition,
                            position,
                            log_start,
                            high_watermark,
                        };
                        return self.fail(key, error);
                    }
                };
                let then = Position { offset: to, epoch: None };
                let what = What::Reset { from: position.offset, to };
                self.ready.push_back(Ready { key, credit: None, then: Some(then), what });
                self.with(key, |assigned| {
                    assigned.place = Place::At(then);
                    assigned.state = State::Idle;
                });
            }
            FetchEnd::Truncated { diverges_at } => {
                self.fail(key, ClientError::LogTruncated { topic, partition, position, diverges_at });
            }
            FetchEnd::Error(error) => self.refused(key, error),
        }
    }

    fn refused(&mut self, key: u64, error: WireError) {
        let may_have_moved = matches!(
            error.code,
            ErrorCode::UnknownTopic | ErrorCode::UnknownPartition | ErrorCode::StorageFailed
        );
        if error.code.class() == ErrorClass::Retryable || may_have_moved {
            // The next attempt asks the metadata, which knows whether the topic is gone for good.
            self.throw_away(key);
            self.again(key);
        } else {
            self.fail(key, ClientError::Node(error));
        }
    }

    /// Up to where a partition was fetched: behind what is ready, else behind what was handed out.
    fn fetched_up_to(&self, key: u64) -> Option<Offset> {
        let ready = self.ready.iter().rev().filter(|item| item.key == key).find_map(|item| item.then);
        ready.or_else(|| self.assigned.get(&key)?.position()).map(|position| position.offset)
    }

    /// Tries again after a pause, with fresh metadata.
    fn again(&mut self, key: u64) {
        self.client.metadata.refresh();
        let Some(assigned) = self.assigned.get_mut(&key) else { return };
        assigned.failures = assigned.failures.saturating_add(1);
        assigned.state = State::Pausing(Instant::now() + self.backoff.pause(assigned.failures));
    }

    /// Reports an error behind what was fetched before it: those records are good. Only a seek goes on.
    pub(super) fn fail(&mut self, key: u64, error: ClientError) {
        self.with(key, |assigned| assigned.state = State::WaitsForSeek);
        self.ready.push_back(Ready { key, credit: None, then: None, what: What::Failed(error) });
    }

    /// Stops a partition's stream and throws away what is ready of it.
    pub(super) fn unsubscribe(&mut self, key: u64) {
        self.unsubscribe_keeping_ready(key);
        self.throw_away(key);
    }

    fn unsubscribe_keeping_ready(&mut self, key: u64) {
        let Some(assigned) = self.assigned.get_mut(&key) else { return };
        if let State::Subscribed(number, subscription) = std::mem::replace(&mut assigned.state, State::Idle)
            && let Some(stream) = self.streams.values().find(|stream| stream.number == number)
        {
            stream.send(FetchCommand::Unsubscribe { subscription });
        }
    }

    /// Forgets what is ready of a partition; its credit comes back.
    fn throw_away(&mut self, key: u64) {
        let (gone, kept) = std::mem::take(&mut self.ready).into_iter().partition(|item| item.key == key);
        self.ready = kept;
        let gone: VecDeque<Ready> = gone;
        for item in gone {
            self.give_back(item.credit);
        }
    }

    /// Gives credit back, in pieces that are worth a frame: the node has all but the last piece.
    fn give_back(&mut self, credit: Option<(StreamNumber, u64)>) {
        let Some((number, bytes)) = credit else { return };
        // A stream that is over has no credit to get back.
        if let Some(stream) = self.streams.values_mut().find(|stream| stream.number == number) {
            stream.owed += bytes;
            if stream.owed > u64::from(self.config.fetch_bytes) / CREDIT_PIECES {
                let bytes = std::mem::take(&mut stream.owed);
                stream.send(FetchCommand::Credit { bytes });
            }
        }
    }

    pub(super) fn with(&mut self, key: u64, change: impl FnOnce(&mut Assigned)) {
        if let Some(assigned) = self.assigned.get_mut(&key) {
            change(assigned);
        }
    }

    fn key_of(&self, topic: &str, partition: PartitionIndex) -> Option<u64> {
        let same = |assigned: &Assigned| &*assigned.topic == topic && assigned.partition == partition;
        self.assigned.iter().find(|(_, assigned)| same(assigned)).map(|(key, _)| *key)
    }

    fn assigned_key(&self, topic: &str, partition: PartitionIndex) -> Result<u64, ClientError> {
        let error = || ClientError::NotAssigned { topic: topic.to_owned(), partition };
        self.key_of(topic, partition).ok_or_else(error)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What wakes a consumer that takes part in a group; nothing where it does not. Cancel safe.
async fn group_woken(grouped: &mut Option<Grouped>) -> Woken {
    match grouped {
        Some(grouped) => grouped.next().await,
        None => std::future::pending().await,
    }
}

/// Offsets and positions need no look-up.
fn place_of(start: StartAt) -> Place {
    match start {
        StartAt::Offset(offset) => Place::At(Position { offset, epoch: None }),
        StartAt::Position(position) => Place::At(position),
        StartAt::Earliest | StartAt::Latest | StartAt::Timestamp(_) => Place::LookUp(start),
    }
}
