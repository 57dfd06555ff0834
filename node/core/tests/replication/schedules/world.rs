//! One schedule: faults for a while, then everything heals and must settle.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::partition::{
    Append, AppendCheck, AppendOutcome, BatchMeta, Input, Member, PartitionConfig, RequestId, Rule,
    StoredBatch,
};
use weir_core::time::Now;
use weir_wire::ids::{Incarnation, NodeId, Offset};
use weir_wire::lane::Acks;

use super::clients::{Client, Produce};
use super::tally::Tally;
use crate::controller::Controller;
use crate::invariants::{self, Committed, Leaders, Marks, Verdict};
use crate::node::{Message, Node, Out, Proposal};
use crate::random::Random;

const STEPS: usize = 320;
const LAG_MAX_MS: u64 = 400;

/// What a request was for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Idempotent(Produce),
    /// Of nobody, with any acks.
    Plain {
        content: u32,
        acks: Acks,
    },
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) now: Now,
    pub(super) nodes: Vec<Node>,
    pub(super) controller: Controller,
    pub(super) config: PartitionConfig,
    /// The newest version that each node heard of.
    pub(super) learned: Vec<usize>,
    pub(super) flight: Vec<Message>,
    pub(super) proposals: Vec<Proposal>,
    /// Nodes that are down and lost what they had not flushed.
    pub(super) lost: BTreeSet<NodeId>,
    /// What power cuts took, of any node.
    pub(super) power_cut: Vec<StoredBatch>,
    pub(super) clients: Vec<Client>,
    pub(super) produces: Vec<Produce>,
    pub(super) asked: BTreeMap<(NodeId, RequestId), Asked>,
    pub(super) requests: u64,
    /// Content and offset of plain batches that were acknowledged with `acks=all`.
    pub(super) acknowledged: Vec<(u32, Offset)>,
    pub(super) committed: Committed,
    pub(super) leaders: Leaders,
    pub(super) marks: Marks,
    pub(super) rule: Option<Rule>,
    pub(super) is_healing: bool,
    pub(super) broken: Verdict,
    pub(super) trace: bool,
    pub(super) step: usize,
}

impl World {
    pub(super) fn new(seed: u64, rule: Option<Rule>, trace: bool) -> World {
        let mut random = Random::new(seed);
        let count = if random.percent(70) { 3 } else { 2 };
        let min_isr = 1 + random.below(2);
        let write_caching = random.percent(40);
        let config = PartitionConfig {
            write_caching,
            min_insync_replicas: Some(u32::try_from(min_isr).unwrap()),
            replica_lag_time_max_ms: LAG_MAX_MS,
            ..PartitionConfig::default()
        };
        let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
        World {
            random,
            now: Now { monotonic_ns: 1_000_000_000, wall_ms: 1_000_000 },
            nodes: (0..count).map(|node| Node::new(member(node), config, rule)).collect(),
            controller: Controller::new(count, min_isr, write_caching),
            config,
            learned: (0..count).map(|_| 0).collect(),
            flight: Vec::new(),
            proposals: Vec::new(),
            lost: BTreeSet::new(),
            power_cut: Vec::new(),
            clients: vec![Client::new(0, false), Client::new(1, true)],
            produces: Vec::new(),
            asked: BTreeMap::new(),
            requests: 0,
            acknowledged: Vec::new(),
            committed: Committed::default(),
            leaders: Leaders::default(),
            marks: Marks::default(),
            rule,
            is_healing: false,
            broken: Ok(()),
            trace,
            step: 0,
        }
    }

    pub(super) fn play(mut self, tally: &mut Tally) -> Verdict {
        for place in 0..self.nodes.len() {
            self.learn(place, 0);
        }
        for step in 0..STEPS {
            self.step = step;
            let elapsed_ms = 1 + self.random.below(12);
            self.pass_time(elapsed_ms);
            self.fault_or_progress(tally);
            self.check()?;
        }
        self.heal(tally)?;
        tally.acknowledged += self.clients.iter().map(|client| client.acknowledged.len()).sum::<usize>();
        Ok(())
    }

    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>4} {:>6} ms  {}", self.step, self.now.monotonic_ns / 1_000_000, what());
        }
    }

    pub(super) fn pass_time(&mut self, ms: usize) {
        let ms = u64::try_from(ms).unwrap();
        self.now.monotonic_ns += ms * 1_000_000;
        self.now.wall_ms += i64::try_from(ms).unwrap();
    }

    fn fault_or_progress(&mut self, tally: &mut Tally) {
        let place = self.random.below(self.nodes.len());
        let other = self.random.below(self.nodes.len());
        match self.random.below(100) {
            0..26 => self.deliver_one(tally),
            26..44 => self.stream(place, other),
            44..54 => self.on(place, |node, now, out| node.finish_flush(now, out), tally),
            54..64 => self.produce(tally),
            64..70 => self.deliver_produce(place, tally),
            70..72 => self.append_plain(place, tally),
            72..79 => self.learn_something(place),
            79..84 => self.on(place, |node, now, out| node.finish_cut(now, out), tally),
            84..88 => self.tick(place, tally),
            88..92 => self.decide(tally),
            92 => self.elect(place, tally),
            93 => self.crash(place, tally),
            94 | 95 => self.start(place, tally),
            96 if self.random.percent(30) => self.controller.fence(self.nodes[place].me.node),
            97 if self.random.percent(30) => self.switch_caching(tally),
            98 if self.random.percent(60) => {
                self.note(|| "a pause".into());
                self.pass_time(500);
            }
            99 if self.nodes[place].is_up => self.nodes[place].take_snapshot(),
            _ => {}
        }
    }

    /// Does something on a node that is up, and takes what comes out.
    pub(super) fn on(
        &mut self,
        place: usize,
        act: impl FnOnce(&mut Node, Now, &mut Vec<Out>),
        tally: &mut Tally,
    ) {
        if !self.nodes[place].is_up {
            return;
        }
        let mut out = Vec::new();
        let was_cutting = self.nodes[place].cut.is_some();
        act(&mut self.nodes[place], self.now, &mut out);
        tally.truncations += u64::from(self.nodes[place].cut.is_some() && !was_cutting);
        for out in out {
            match out {
                Out::Message(message) => {
                    self.note(|| format!("node {place} sends {message:?}"));
                    self.flight.push(message);
                }
                Out::Proposal(proposal) => {
                    self.note(|| format!("node {place} proposes {proposal:?}"));
                    tally.proposals += 1;
                    self.proposals.push(proposal);
                }
                Out::Answer(request, outcome) => self.answer(place, request, &outcome, tally),
            }
        }
    }

    /// Looks at an answer before it travels: it must be true when it is given. (A client that never hears it is tried by
    /// reopening.)
    fn answer(&mut self, place: usize, request: RequestId, outcome: &AppendOutcome, tally: &mut Tally) {
        self.note(|| format!("node {place} answers r{} {outcome:?}", request.0));
        let node = self.nodes[place].me.node;
        let Some(asked) = self.asked.remove(&(node, request)) else { return };
        tally.interrupted += u64::from(matches!(outcome, AppendOutcome::Retry(_)));
        let (content, acks) = match asked {
            Asked::Idempotent(produce) => (self.clients[produce.client].content(produce.batch), Acks::All),
            Asked::Plain { content, acks } => (content, acks),
        };
        if let AppendOutcome::Stored { base_offset: Some(offset), promise, duplicate } = outcome {
            tally.duplicates += u64::from(*duplicate);
            let truth = invariants::promise_is_true(&self.nodes, &self.power_cut, content, *offset, *promise);
            self.break_on(truth);
            if acks == Acks::All && matches!(asked, Asked::Plain { .. }) {
                self.acknowledged.push((content, *offset));
            }
        }
        if let Asked::Idempotent(produce) = asked {
            if self.random.percent(8) && !self.is_healing {
                return;
            }
            let taken = self.clients[produce.client].take(&produce, outcome);
            self.break_on(taken);
        }
    }

    fn break_on(&mut self, verdict: Verdict) {
        if self.broken.is_ok() {
            self.broken = verdict;
        }
    }

    fn deliver_one(&mut self, tally: &mut Tally) {
        if self.flight.is_empty() {
            return;
        }
        let index = match self.random.percent(60) {
            true => 0,
            false => self.random.below(self.flight.len()),
        };
        let message = self.flight.remove(index);
        if self.random.percent(6) {
            self.note(|| format!("lost: {message:?}"));
            return;
        }
        if self.random.percent(12) {
            tally.late_frames += 1;
            self.flight.push(message.clone());
        }
        self.deliver(message, tally);
    }

    pub(super) fn deliver(&mut self, message: Message, tally: &mut Tally) {
        self.note(|| format!("delivered: {message:?}"));
        let place = usize::try_from(message.to.0).unwrap();
        self.on(place, |node, now, out| node.handle(now, message.input, out), tally);
    }

    pub(super) fn stream(&mut self, from: usize, to: usize) {
        let batches_max = 1 + self.random.below(3);
        let to = self.nodes[to].me.node;
        if self.nodes[from].is_up
            && let Some(frame) = self.nodes[from].next_frame(to, batches_max)
        {
            self.flight.push(frame);
        }
    }

    fn produce(&mut self, _: &mut Tally) {
        let client = self.random.below(self.clients.len());
        let client = &mut self.clients[client];
        if client.has_failed && self.random.percent(40) || self.random.percent(3) {
            client.reopen();
        }
        self.produces.extend(client.send());
    }

    pub(super) fn deliver_produce(&mut self, place: usize, tally: &mut Tally) {
        if self.produces.is_empty() || !self.nodes[place].is_up {
            return;
        }
        let index = if self.random.percent(70) { 0 } else { self.random.below(self.produces.len()) };
        let produce = self.produces.remove(index);
        if self.random.percent(15) && !self.is_healing {
            self.produces.push(produce);
        }
        let place = if self.random.percent(70) { self.leader().unwrap_or(place) } else { place };
        let client = &self.clients[produce.client];
        let (batch, check) = (client.meta(produce.batch), client.check(&produce));
        self.append(place, batch, check, Acks::All, Asked::Idempotent(produce), tally);
    }

    fn append_plain(&mut self, place: usize, tally: &mut Tally) {
        let acks = [Acks::Leader, Acks::All, Acks::None][self.random.below(3)];
        let content = u32::try_from(100_000 + self.requests).unwrap();
        let (record_count, last_offset_delta) = (1, 0);
        let batch = BatchMeta {
            bytes: content,
            record_count,
            last_offset_delta,
            max_timestamp_ms: 0,
            is_control: false,
            revision: None,
            producer: None,
        };
        self.append(place, batch, AppendCheck::Unchecked, acks, Asked::Plain { content, acks }, tally);
    }

    fn append(
        &mut self,
        place: usize,
        batch: BatchMeta,
        check: AppendCheck,
        acks: Acks,
        asked: Asked,
        tally: &mut Tally,
    ) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let leader_epoch = self.nodes[place].partition.leading().unwrap_or_default();
        self.asked.insert((self.nodes[place].me.node, request), asked);
        self.note(|| format!("node {place} r{} is to append {batch:?}", request.0));
        let append = Append { request, leader_epoch, batch, check, acks, revision: None };
        self.on(place, |node, now, out| node.append(now, append, out), tally);
    }

    /// The newest leader that believes it is one.
    pub(super) fn leader(&self) -> Option<usize> {
        let led = self.nodes.iter().enumerate().filter(|(_, node)| node.is_up);
        let led = led.filter_map(|(place, node)| Some((node.partition.leading()?, place)));
        led.max().map(|(_, place)| place)
    }

    fn learn_something(&mut self, place: usize) {
        let newer = self.controller.versions.len() - 1 - self.learned[place];
        if newer > 0 && self.nodes[place].is_up {
            let version = self.learned[place] + 1 + self.random.below(newer);
            self.learn(place, version);
        }
    }

    pub(super) fn learn(&mut self, place: usize, version: usize) {
        self.learned[place] = version;
        let Some(role) = self.controller.role(version, self.nodes[place].me) else { return };
        self.note(|| format!("node {place} hears of version {version}: {role:?}"));
        self.on(place, |node, now, out| node.handle(now, role, out), &mut Tally::default());
        // The role first: who counts what was written must know who has lived on.
        let config = self.config_of(version);
        if self.nodes[place].config != config {
            self.nodes[place].config = config;
            let configure = Input::Configure(config);
            self.on(place, |node, now, out| node.handle(now, configure, out), &mut Tally::default());
        }
    }

    pub(super) fn config_of(&self, version: usize) -> PartitionConfig {
        PartitionConfig { write_caching: self.controller.versions[version].write_caching, ..self.config }
    }

    pub(super) fn tick(&mut self, place: usize, tally: &mut Tally) {
        self.on(place, |node, now, out| node.handle(now, Input::Tick, out), tally);
    }

    pub(super) fn check(&mut self) -> Verdict {
        std::mem::replace(&mut self.broken, Ok(()))?;
        if let Some((node, cause)) = self.nodes.iter().find_map(|node| Some((node.me, node.retired?))) {
            return Err(format!("{node:?} retired: {cause:?}"));
        }
        self.committed.observe(&self.nodes)?;
        invariants::isr_has_all_that_is_committed(&self.controller, &self.nodes, &self.committed)?;
        invariants::logs_match(&self.nodes)?;
        self.leaders.observe(&self.nodes)?;
        self.marks.observe(&self.nodes)?;
        invariants::leaders_know_no_more_than_is_true(&self.nodes)?;
        invariants::acknowledged_is_committed(&self.acknowledged, &self.committed)?;
        for client in &self.clients {
            invariants::acknowledged_is_committed(&client.acknowledged, &self.committed)?;
            invariants::stored_once_and_in_order(&self.committed, client.id(), |batch| {
                client.content(batch)
            })?;
        }
        // Without this rule the memory differs by itself; what has to be noticed is what comes of it.
        let is_memory_kept = self.rule != Some(Rule::ProducersSurviveReload);
        for node in &self.nodes {
            invariants::epoch_cache_is_a_function_of_the_log(node)?;
            invariants::marks_are_in_order(node)?;
            if is_memory_kept && self.step.is_multiple_of(16) {
                invariants::producers_are_a_function_of_the_log(self.now, node)?;
            }
        }
        Ok(())
    }
}
