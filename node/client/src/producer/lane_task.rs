//! Carries out what a [`Lane`] decides: one task per lane, `select`, then `apply`, which never waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_wire::batch::{BatchBuilder, ProducerFields};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::LeaderEpoch;
use weir_wire::lane::{LaneBatch, LaneOpen};

use super::Shared;
use super::accumulator::{Accumulator, Filling, Patience};
use super::delivery::{Completion, DeliveredRun, SettledRun};
use super::lane::{Batch, BatchKey, Effect, Input, Lane, Opening, Settings, Stamp, View, Way};
use super::stream::LaneStream;
use super::topic::TopicName;
use crate::backoff::Backoff;
use crate::watched::Watcher;

/// One lane at work.
pub(super) struct LaneTask {
    shared: Arc<Shared>,
    topic: Arc<TopicName>,
    way: Way,
    accumulator: Arc<Accumulator>,
    patience: Patience,
    lane: Lane,
    batches: BTreeMap<BatchKey, Held>,
    stream: Option<(Opening, LaneStream)>,
    inputs: mpsc::UnboundedReceiver<Input>,
    to_inputs: mpsc::UnboundedSender<Input>,
    effects: Vec<Effect>,
}

/// A batch between the accumulator and its release.
struct Held {
    content: Content,
    completion: Arc<Completion>,
    memory: usize,
}

/// Producer fields, and so the bytes, are known when a batch is first sent.
enum Content {
    Building(Box<BatchBuilder>),
    Bytes(Bytes),
}

/// What a lane's task waits for.
enum Event {
    Inputs(Input),
    Metadata,
    Work,
    Abandoned,
}

impl LaneTask {
    /// Starts a lane. It ends when the producer is dropped.
    pub(super) fn start(shared: &Arc<Shared>, topic: &Arc<TopicName>, way: Way) -> Arc<Accumulator> {
        let config = &shared.config;
        let accumulator = Arc::new(Accumulator::new(Arc::clone(&shared.builders)));
        let random = shared.client.net.outside.random();
        let backoff = Backoff::new(config.retry_backoff, config.retry_backoff_max, random);
        let (to_inputs, inputs) = mpsc::unbounded_channel();
        let task = LaneTask {
            shared: Arc::clone(shared),
            topic: Arc::clone(topic),
            way,
            accumulator: Arc::clone(&accumulator),
            patience: Patience { linger: config.linger, delivery_timeout: config.delivery_timeout },
            lane: Lane::new(Settings::new(way, config), backoff),
            batches: BTreeMap::new(),
            stream: None,
            inputs,
            to_inputs,
            effects: Vec::new(),
        };
        let metadata = shared.client.metadata.watch();
        let abandoned = shared.abandoned.watch();
        tokio::spawn(task.run(metadata, abandoned));
        accumulator
    }

    async fn run(mut self, mut metadata: Watcher<u64>, mut abandoned: Watcher<bool>) {
        self.apply(Event::Metadata);
        loop {
            let event = self.select(&mut metadata, &mut abandoned).await;
            let over = matches!(event, Event::Abandoned);
            self.apply(event);
            if over {
                return;
            }
        }
    }

    async fn select(&mut self, metadata: &mut Watcher<u64>, abandoned: &mut Watcher<bool>) -> Event {
        let wake =
            [self.lane.next_wake(), self.accumulator.next_take(self.lane.wants_batch(), self.patience)];
        let sleep_until =
            wake.into_iter().flatten().min().map(|at| self.shared.client.net.outside.instant(at));
        let timer = async {
            match sleep_until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = abandoned.changed() => Event::Abandoned,
            Some(input) = self.inputs.recv() => Event::Inputs(input),
            () = metadata.changed() => Event::Metadata,
            () = self.accumulator.wake.notified() => Event::Work,
            () = timer => Event::Work,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Inputs(input) => {
                self.tell(input);
                while let Ok(input) = self.inputs.try_recv() {
                    self.tell(input);
                }
            }
            Event::Metadata => {
                let input = self.view();
                self.tell(input);
            }
            Event::Work => self.tell(Input::Tick),
            Event::Abandoned => {
                let _ = self.accumulator.flush();
                self.take_batches();
                let error = WireError::new(
                    ErrorCode::ShuttingDown,
                    "the producer was dropped before the record was stored",
                );
                self.tell(Input::Abandon(error));
                return;
            }
        }
        self.take_batches();
    }

    /// Hands the lane what is ready, as long as it makes the lane want more.
    fn take_batches(&mut self) {
        loop {
            let now = self.shared.client.net.outside.now();
            let taken = self.accumulator.take(now, self.lane.wants_batch(), self.patience);
            if taken.is_empty() {
                return;
            }
            for filling in taken {
                self.hold(filling);
            }
        }
    }

    fn hold(&mut self, filling: Filling) {
        let Filling { key, builder, completion, since, memory } = filling;
        let records = builder.record_count();
        self.batches.insert(key, Held { content: Content::Building(Box::new(builder)), completion, memory });
        self.tell(Input::Ready(Batch { key, records, deadline: since + self.patience.delivery_timeout }));
    }

    fn tell(&mut self, input: Input) {
        let now = self.shared.client.net.outside.now();
        let mut effects = std::mem::take(&mut self.effects);
        self.lane.handle(now, input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::RefreshMetadata => self.shared.client.metadata.refresh(),
            Effect::AskProducer => self.ask_producer(),
            Effect::Open { opening, node, producer, revision, target } => {
                let open = LaneOpen {
                    cluster: self.shared.client.net.cluster(),
                    topic: self.topic.id,
                    producer,
                    acks: self.shared.config.acks,
                    revision,
                    target,
                };
                self.shared.counters.opened(opening);
                let stream = LaneStream::open(&self.shared.client, opening, node, open, &self.to_inputs);
                self.stream = Some((opening, stream));
            }
            Effect::Close(opening) => {
                self.stream.take_if(|(open, _)| *open == opening);
            }
            Effect::Send { opening, key, ordinal, stamp, resent } => {
                self.send(opening, key, LaneBatch { ordinal, resent }, stamp);
            }
            Effect::Settle { key, runs } => self.settle(key, runs),
            Effect::Release(key) => {
                if let Some(held) = self.batches.remove(&key) {
                    self.shared.memory.add_permits(held.memory);
                }
            }
        }
    }

    fn send(&mut self, opening: Opening, key: BatchKey, header: LaneBatch, stamp: Option<Stamp>) {
        let held = self.batches.get_mut(&key).expect("a lane sends what it was handed and did not release");
        let bytes = match &mut held.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Building(builder) => {
                let producer = stamp.map(|stamp| ProducerFields {
                    id: stamp.producer,
                    epoch: stamp.epoch,
                    base_sequence: stamp.sequence,
                });
                let bytes = builder.finish(producer);
                let finished = std::mem::replace(&mut held.content, Content::Bytes(bytes.clone()));
                if let Content::Building(builder) = finished {
                    self.shared.builders.reuse(*builder);
                }
                bytes
            }
        };
        self.shared.counters.sent(bytes.len(), header.resent);
        if let Some((_, stream)) = self.stream.as_ref().filter(|(open, _)| *open == opening) {
            stream.send(header, bytes);
        }
    }

    fn settle(&mut self, key: BatchKey, runs: Vec<SettledRun>) {
        for run in &runs {
            self.shared.counters.settled(run);
            if let Some(observer) = &self.shared.config.observer {
                observer.delivered(&DeliveredRun {
                    topic: &self.topic.name,
                    records: run.records,
                    first: &run.first,
                });
            }
        }
        if let Some(held) = self.batches.get(&key) {
            held.completion.settle(runs);
        }
        self.accumulator.settled(key);
    }

    fn ask_producer(&self) {
        let (shared, inputs) = (Arc::clone(&self.shared), self.to_inputs.clone());
        tokio::spawn(async move {
            let input = match shared.ids.take(&shared.client.net).await {
                Ok((id, epoch)) => Input::Producer(id, epoch),
                Err(error) => Input::ProducerRefused(error),
            };
            // The lane may be gone.
            let _ = inputs.send(input);
        });
    }

    /// What the metadata says that matters here.
    fn view(&self) -> Input {
        let image = self.shared.client.metadata.image();
        let Some(topic) = image.topic(&self.topic.name, self.topic.id) else {
            let name = &self.topic.name;
            let (code, what) = match image.topics.contains_key(&**name) {
                true => (ErrorCode::TopicRecreated, "was deleted and created again"),
                false => (ErrorCode::UnknownTopic, "was deleted"),
            };
            return Input::Gone(WireError::new(
                code,
                format!("topic '{name}' {what}; the record is not stored in it"),
            ));
        };
        let entries = match self.way {
            Way::Explicit(partition) | Way::Guessed(partition) => {
                image.leader(topic, partition).into_iter().collect()
            }
            Way::Unguessed(number) => {
                let mut nodes: Vec<_> = image.nodes.keys().map(|node| (*node, LeaderEpoch(0))).collect();
                let middle = usize::try_from(number).ok().and_then(|number| number.checked_rem(nodes.len()));
                nodes.rotate_left(middle.unwrap_or(0));
                nodes
            }
        };
        Input::Metadata(View { revision: topic.revision, entries })
    }
}

impl Drop for LaneTask {
    /// A runtime that ends drops its tasks where they stand: nobody is left waiting all the same.
    fn drop(&mut self) {
        for held in self.batches.values() {
            let error = WireError::new(ErrorCode::OutcomeUnknown, "the runtime ended before an answer came");
            held.completion.abandon(&error);
        }
    }
}
