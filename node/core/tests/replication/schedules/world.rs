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
use crate::controller::{Controller, Refusal};
use crate::invariants::{self, Committed, Leaders, Marks, Verdict};
use crate::node::{Message, Node, Out, Proposal};
use crate::random::Random;

const STEPS: usize = 320;
const LAG_MAX_MS: u64 = 400;
const HEALING_ROUNDS_MAX: usize = 120;

/// What happened over many schedules, so that a run can show that it tried everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    acknowledged: usize,
    duplicates: u64,
    interrupted: u64,
    elections: u64,
    crashes: u64,
    lost_bytes: u64,
    truncations: u64,
    proposals: u64,
    refused: u64,
    unknown: u64,
    expansions: u64,
    shrinks: u64,
    switches: u64,
    late_frames: u64,
}

impl Tally {
    /// A schedule that never tries a thing proves nothing about it.
    pub(super) fn assert_everything_happened(&self) {
        let counts = [
            ("duplicates", self.duplicates),
            ("interrupted", self.interrupted),
            ("elections", self.elections),
            ("crashes", self.crashes),
            ("lost bytes", self.lost_bytes),
            ("truncations", self.truncations),
            ("proposals", self.proposals),
            ("refused", self.refused),
            ("unknown", self.unknown),
            ("expansions", self.expansions),
            ("shrinks", self.shrinks),
            ("switches", self.switches),
            ("late frames", self.late_frames),
        ];
        for (what, count) in counts {
            assert!(count > 10, "only {count} {what} in all schedules: {self:?}");
        }
    }
}

/// What a request was for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Idempotent(Produce),
    /// Of nobody, with any acks.
    Plain {
        content: u32,
        acks: Acks,
    },
}

pub(super) struct World {
    random: Random,
    now: Now,
    nodes: Vec<Node>,
    controller: Controller,
    config: PartitionConfig,
    /// The newest version that each node heard of.
    learned: Vec<usize>,
    flight: Vec<Message>,
    proposals: Vec<Proposal>,
    /// Nodes that are down and lost what they had not flushed.
    lost: BTreeSet<NodeId>,
    /// What power cuts took, of any node.
    power_cut: Vec<StoredBatch>,
    /// Whether a crash may still cost what was acknowledged: until every replica has flushed what it had when
    /// `write.caching` was switched off.
    caching_counts: bool,
    clients: Vec<Client>,
    produces: Vec<Produce>,
    asked: BTreeMap<(NodeId, RequestId), Asked>,
    requests: u64,
    /// Content and offset of plain batches that were acknowledged with `acks=all`.
    acknowledged: Vec<(u32, Offset)>,
    committed: Committed,
    leaders: Leaders,
    marks: Marks,
    rule: Option<Rule>,
    is_healing: bool,
    broken: Verdict,
    trace: bool,
    step: usize,
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
            caching_counts: write_caching,
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

    fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>4} {:>6} ms  {}", self.step, self.now.monotonic_ns / 1_000_000, what());
        }
    }

    fn pass_time(&mut self, ms: usize) {
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
    fn on(&mut self, place: usize, act: impl FnOnce(&mut Node, Now, &mut Vec<Out>), tally: &mut Tally) {
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

    fn deliver(&mut self, message: Message, tally: &mut Tally) {
        self.note(|| format!("delivered: {message:?}"));
        let place = usize::try_from(message.to.0).unwrap();
        self.on(place, |node, now, out| node.handle(now, message.input, out), tally);
    }

    fn stream(&mut self, from: usize, to: usize) {
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

    fn deliver_produce(&mut self, place: usize, tally: &mut Tally) {
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
        let append = Append { request, leader_epoch, batch, check, acks };
        self.on(place, |node, now, out| node.append(now, append, out), tally);
    }

    /// The newest leader that believes it is one.
    fn leader(&self) -> Option<usize> {
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

    fn learn(&mut self, place: usize, version: usize) {
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

    fn config_of(&self, version: usize) -> PartitionConfig {
        PartitionConfig { write_caching: self.controller.versions[version].write_caching, ..self.config }
    }

    fn tick(&mut self, place: usize, tally: &mut Tally) {
        self.on(place, |node, now, out| node.handle(now, Input::Tick, out), tally);
    }

    /// The controller gets a proposal, or it is lost, or its answer is.
    fn decide(&mut self, tally: &mut Tally) {
        if self.proposals.is_empty() {
            return;
        }
        let index = self.random.below(self.proposals.len());
        let proposal = self.proposals.remove(index);
        let place = usize::try_from(proposal.leader.node.0).unwrap();
        if self.random.percent(20) && !self.is_healing {
            // Nobody knows; it may still arrive.
            if self.random.percent(60) {
                self.proposals.push(proposal.clone());
            }
            return self.answer_proposal(place, &proposal, Input::IsrUnknown(proposal.number), tally);
        }
        if self.random.percent(10) {
            self.proposals.push(proposal.clone());
        }
        let before = self.controller.current().isr.len();
        let decided = self.controller.alter(&proposal);
        self.note(|| format!("{proposal:?} is decided: {decided:?}"));
        match decided {
            Ok(()) => {
                let after = self.controller.current().isr.len();
                tally.expansions += u64::from(after > before);
                tally.shrinks += u64::from(after < before);
                if self.random.percent(30) {
                    self.answer_proposal(place, &proposal, Input::IsrUnknown(proposal.number), tally);
                }
            }
            Err(Refusal::Stale) => {
                self.answer_proposal(place, &proposal, Input::IsrUnknown(proposal.number), tally);
            }
            // A copy that is still on its way may be decided otherwise.
            Err(Refusal::Ineligible) => {
                self.proposals
                    .retain(|other| other.number != proposal.number || other.leader != proposal.leader);
                self.answer_proposal(place, &proposal, Input::IsrRefused(proposal.number), tally);
            }
        }
    }

    fn answer_proposal(&mut self, place: usize, proposal: &Proposal, answer: Input, tally: &mut Tally) {
        if self.nodes[place].me != proposal.leader {
            return;
        }
        tally.refused += u64::from(matches!(answer, Input::IsrRefused(_)));
        tally.unknown += u64::from(matches!(answer, Input::IsrUnknown(_)));
        if self.random.percent(80) || self.is_healing {
            self.on(place, |node, now, out| node.handle(now, answer, out), tally);
        } else {
            // Late.
            self.flight.push(Message { to: proposal.leader.node, input: answer });
        }
    }

    fn elect(&mut self, place: usize, tally: &mut Tally) {
        tally.elections += 1;
        self.controller.elect(self.nodes[place].me.node);
        self.note(|| format!("elected: {:?}", self.controller.current()));
    }

    fn crash(&mut self, place: usize, tally: &mut Tally) {
        let node = self.nodes[place].me.node;
        if !self.nodes[place].is_up {
            return;
        }
        let version = self.controller.current();
        let has_spare = version.isr.iter().chain(&version.elr).any(|other| *other != node);
        // With `write.caching` one crash less than `min.insync.replicas` may cost what was not flushed (KIP-966).
        let is_tolerable = has_spare && self.lost.len() + 1 < self.controller.min_isr;
        let may_lose = !self.caching_counts || is_tolerable;
        let (flushed, end) = (self.nodes[place].disk.flushed, self.nodes[place].disk.end());
        // A clean stop flushes; a power cut takes any part of what was not flushed.
        let kept =
            if may_lose { Offset(flushed.0 + self.random.next() % (end.since(flushed) + 1)) } else { end };
        if may_lose && self.caching_counts {
            self.lost.insert(node);
        }
        tally.crashes += 1;
        tally.lost_bytes += u64::from(kept < end);
        self.note(|| format!("node {place} crashes at {end}, {flushed} flushed, {kept} kept"));
        let before = self.nodes[place].disk.batches.clone();
        self.nodes[place].crash(kept);
        self.power_cut.extend(&before[self.nodes[place].disk.batches.len()..]);
        self.asked.retain(|(asked, _), asked_for| {
            if *asked == node
                && let Asked::Idempotent(produce) = asked_for
            {
                self.clients[produce.client].has_failed = true;
            }
            *asked != node
        });
    }

    fn start(&mut self, place: usize, _: &mut Tally) {
        if self.nodes[place].is_up {
            return;
        }
        let node = self.nodes[place].me.node;
        let lost = self.lost.remove(&node);
        let me = self.controller.register(node, lost);
        let knows_watermark = self.random.percent(60);
        let config = self.config_of(self.controller.versions.len() - 1);
        self.nodes[place].start(self.now, me, config, knows_watermark);
        self.note(|| format!("node {place} starts as {me:?}"));
        self.learned[place] = self.controller.versions.len() - 2;
    }

    /// Switching on holds at once for what a crash may cost; switching off only when every replica has flushed
    /// (INVARIANTS 1.4, to 13).
    fn switch_caching(&mut self, tally: &mut Tally) {
        if self.nodes.iter().any(|node| !node.is_up) {
            // What counts for a node that is down is what held when it went down.
            return;
        }
        tally.switches += 1;
        self.controller.switch_caching();
        self.caching_counts = true;
        self.note(|| format!("write.caching is {}", self.controller.current().write_caching));
    }

    fn notice_flushed(&mut self) {
        let is_flushed = |node: &Node| {
            let is_told = node.is_up && node.cut.is_none() && !node.config.write_caching;
            is_told && node.disk.flushed == node.disk.end()
        };
        if !self.controller.current().write_caching && self.nodes.iter().all(is_flushed) {
            self.caching_counts = false;
        }
    }

    /// No more faults.
    fn heal(&mut self, tally: &mut Tally) -> Verdict {
        self.is_healing = true;
        self.note(|| "healing".into());
        for _ in 0..HEALING_ROUNDS_MAX {
            self.pass_time(50);
            for place in 0..self.nodes.len() {
                self.start(place, tally);
                let node = self.nodes[place].me.node;
                if !self.controller.current().nodes[&node].1 {
                    // A fenced node that lives takes its place again with its next heartbeat; here, by a restart.
                    self.crash_cleanly(place);
                    self.start(place, tally);
                }
                self.learn_newest(place);
                self.tick(place, tally);
                self.on(place, |node, now, out| node.finish_cut(now, out), tally);
                self.on(place, |node, now, out| node.finish_flush(now, out), tally);
            }
            for from in 0..self.nodes.len() {
                (0..self.nodes.len()).for_each(|to| self.stream(from, to));
            }
            while !self.flight.is_empty() {
                let message = self.flight.remove(0);
                self.deliver(message, tally);
            }
            while !self.proposals.is_empty() {
                self.decide(tally);
                self.step += 1;
            }
            for client in &mut self.clients {
                if client.has_failed || client.send_again() {
                    client.reopen();
                }
                while let Some(produce) = client.send() {
                    self.produces.push(produce);
                }
            }
            while !self.produces.is_empty() && self.leader().is_some() {
                self.deliver_produce(self.leader().unwrap_or_default(), tally);
            }
            self.check()?;
            if self.is_healed() {
                return Ok(());
            }
        }
        let ends: Vec<Offset> = self.nodes.iter().map(|node| node.disk.end()).collect();
        Err(format!("does not heal: logs end at {ends:?}, {:?}", self.controller.current()))
    }

    fn crash_cleanly(&mut self, place: usize) {
        let end = self.nodes[place].disk.end();
        self.nodes[place].crash(end);
    }

    fn learn_newest(&mut self, place: usize) {
        let newest = self.controller.versions.len() - 1;
        if self.learned[place] < newest {
            self.learn(place, newest);
        }
    }

    fn is_healed(&self) -> bool {
        let first = &self.nodes[0].disk.batches;
        let all_in = self.controller.current().isr.len() == self.nodes.len();
        let all_committed =
            |node: &Node| node.disk.batches == *first && node.partition.high_watermark() == node.disk.end();
        all_in && self.nodes.iter().all(all_committed) && self.clients.iter().all(Client::is_done)
    }

    fn check(&mut self) -> Verdict {
        self.notice_flushed();
        std::mem::replace(&mut self.broken, Ok(()))?;
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
