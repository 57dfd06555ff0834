//! Every run of small clusters, breadth first, with the real code: two or three replicas, few records and few reigns
//! (INVARIANTS 1.1; the spaces in which Hachikuji's TLA+ modules show what each truncation rule loses).
//!
//! One step is: the controller elects, a node hears of a version (late ones too), a leader appends, a subscription is
//! asked for and answered, a frame is delivered, a report is delivered, the controller decides on a proposal, a
//! follower tries again, a leader finds its followers late. Writing, flushing and cutting take no step: what follows
//! from a power cut is the schedules' subject.
//!
//! With "truncate to the high watermark" the search must find the loss: a leader commits with an in-sync follower whose
//! own high watermark lags, and the follower hears of a newer reign. In the counting of the specification that is 9
//! steps; here some of them are one and others two.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use weir_core::partition::{
    Append, AppendCheck, BatchMeta, Input, Member, PartitionConfig, REPLICA_LAG_TIME_MAX_MS, RequestId, Rule,
};
use weir_core::time::Now;
use weir_wire::ids::{Incarnation, NodeId};
use weir_wire::lane::Acks;

use crate::controller::Controller;
use crate::invariants::{self, Committed, Verdict};
use crate::node::{Message, Node, Out, Proposal};

/// How large a space is.
#[derive(Clone, Copy, Debug)]
struct Space {
    replicas: u32,
    records: u64,
    elections: usize,
    /// How often leaders may find their followers late, and followers may try again.
    late: u64,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Elect(usize),
    Hear(usize, usize),
    Append(usize),
    Ask(usize),
    Stream(usize, usize),
    Report(usize),
    Decide(usize),
    TryAgain(usize),
    FindLate(usize),
}

#[derive(Clone, Debug)]
struct State {
    nodes: Vec<Node>,
    controller: Controller,
    heard: Vec<Option<usize>>,
    /// The newest message of each kind of each follower.
    asks: BTreeMap<usize, Message>,
    reports: BTreeMap<usize, Message>,
    proposals: BTreeMap<usize, Proposal>,
    clocks: Vec<u64>,
    records: u64,
    elections: usize,
    late: u64,
    committed: Committed,
}

impl State {
    fn new(space: Space, rule: Option<Rule>) -> State {
        let config = PartitionConfig { min_insync_replicas: Some(1), ..PartitionConfig::default() };
        let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
        let places = usize::try_from(space.replicas).unwrap();
        State {
            nodes: (0..space.replicas).map(|node| Node::new(member(node), config, rule)).collect(),
            controller: Controller::new(space.replicas, 1, false),
            heard: vec![None; places],
            asks: BTreeMap::new(),
            reports: BTreeMap::new(),
            proposals: BTreeMap::new(),
            clocks: vec![0; places],
            records: 0,
            elections: 0,
            late: 0,
            committed: Committed::default(),
        }
    }

    /// Every step that can be taken.
    fn steps(&self, space: Space) -> Vec<Step> {
        let mut steps = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            if self.elections < space.elections && self.controller.current().isr.contains(&node.me.node) {
                steps.push(Step::Elect(place));
            }
            let next = self.heard[place].map_or(0, |heard| heard + 1);
            steps.extend((next..self.controller.versions.len()).map(|version| Step::Hear(place, version)));
            if self.asks.contains_key(&place) {
                steps.push(Step::Ask(place));
            }
            if self.reports.contains_key(&place) {
                steps.push(Step::Report(place));
            }
            if self.proposals.contains_key(&place) {
                steps.push(Step::Decide(place));
            }
            let is_apart = node.partition.following().is_some() && node.partition.subscription().is_none();
            if is_apart && !self.asks.contains_key(&place) && self.late < space.late {
                steps.push(Step::TryAgain(place));
            }
            if node.partition.leading().is_none() {
                continue;
            }
            if self.records < space.records {
                steps.push(Step::Append(place));
            }
            if self.late < space.late {
                steps.push(Step::FindLate(place));
            }
            let others = (0..self.nodes.len()).filter(|other| *other != place);
            steps.extend(others.map(|other| Step::Stream(place, other)));
        }
        steps
    }

    /// Takes a step; false if nothing came of it.
    fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Elect(place) => {
                self.elections += 1;
                self.controller.elect(self.nodes[place].me.node);
            }
            Step::Hear(place, version) => {
                self.heard[place] = Some(version);
                let role = self.controller.role(version, self.nodes[place].me);
                self.tell(place, role.expect("nobody registers anew"));
            }
            Step::Append(place) => self.append(place),
            Step::Ask(place) => {
                let ask = self.asks.remove(&place).expect("it is offered only then");
                self.deliver(ask);
            }
            Step::Report(place) => {
                let report = self.reports.remove(&place).expect("it is offered only then");
                self.deliver(report);
            }
            Step::Stream(leader, follower) => {
                let to = self.nodes[follower].me.node;
                let Some(frame) = self.nodes[leader].next_frame(to, 1) else { return false };
                self.deliver(frame);
            }
            Step::Decide(place) => {
                let proposal = self.proposals.remove(&place).expect("it is offered only then");
                if self.controller.alter(&proposal).is_err() {
                    self.tell(place, Input::IsrUnknown(proposal.number));
                }
            }
            Step::TryAgain(place) => {
                self.late += 1;
                self.tell(place, Input::Tick);
            }
            Step::FindLate(place) => {
                self.late += 1;
                self.clocks[place] += REPLICA_LAG_TIME_MAX_MS + 1;
                self.tell(place, Input::Tick);
            }
        }
        true
    }

    fn append(&mut self, place: usize) {
        self.records += 1;
        let leader_epoch = self.nodes[place].partition.leading().expect("it is offered only then");
        let batch = BatchMeta {
            bytes: 10 * leader_epoch.0 + u32::try_from(place).unwrap(),
            record_count: 1,
            last_offset_delta: 0,
            max_timestamp_ms: 0,
            is_control: false,
            revision: None,
            producer: None,
        };
        let (request, check, acks) = (RequestId(self.records), AppendCheck::Unchecked, Acks::None);
        let append = Append { request, leader_epoch, batch, check, acks, revision: None };
        let (mut out, now) = (Vec::new(), self.now(place));
        self.nodes[place].append(now, append, &mut out);
        self.settle(place, out);
    }

    fn now(&self, place: usize) -> Now {
        Now { monotonic_ns: self.clocks[place] * 1_000_000, wall_ms: 0 }
    }

    fn deliver(&mut self, message: Message) {
        self.tell(usize::try_from(message.to.0).unwrap(), message.input);
    }

    fn tell(&mut self, place: usize, input: Input) {
        let (mut out, now) = (Vec::new(), self.now(place));
        self.nodes[place].handle(now, input, &mut out);
        self.settle(place, out);
    }

    /// Finishes what the storage was asked for, and posts what came out.
    fn settle(&mut self, place: usize, mut out: Vec<Out>) {
        let now = self.now(place);
        self.nodes[place].finish_flush(now, &mut out);
        self.nodes[place].finish_cut(now, &mut out);
        for out in out {
            match out {
                Out::Proposal(proposal) => {
                    self.proposals.insert(place, proposal);
                }
                Out::Answer(..) => {}
                Out::Message(message) => match &message.input {
                    Input::Subscribe(_) => {
                        self.reports.remove(&place);
                        self.asks.insert(place, message);
                    }
                    Input::Report(_) => {
                        self.reports.insert(place, message);
                    }
                    _ => self.deliver(message),
                },
            }
        }
    }

    fn check(&mut self) -> Verdict {
        self.committed.observe(&self.nodes)?;
        invariants::isr_has_all_that_is_committed(&self.controller, &self.nodes, &self.committed)?;
        invariants::logs_match(&self.nodes)
    }

    fn fingerprint(&self) -> [u64; 2] {
        let text = format!("{self:?}");
        [1u8, 2].map(|salt| {
            let mut hasher = DefaultHasher::new();
            (salt, &text).hash(&mut hasher);
            hasher.finish()
        })
    }
}

/// Looks at every state; the shortest way to one that breaks an invariant, or how many states there are.
fn search(space: Space, rule: Option<Rule>) -> Result<usize, (Vec<Step>, String)> {
    let first = State::new(space, rule);
    let mut seen = HashSet::from([first.fingerprint()]);
    let mut frontier = VecDeque::from([(first, Vec::new())]);
    while let Some((state, way)) = frontier.pop_front() {
        for step in state.steps(space) {
            let mut next = state.clone();
            if !next.take(step) {
                continue;
            }
            let mut way = way.clone();
            way.push(step);
            if let Err(broken) = next.check() {
                return Err((way, broken));
            }
            if seen.insert(next.fingerprint()) {
                frontier.push_back((next, way));
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_run_of_a_small_cluster_loses_what_is_committed() {
    let spaces = [
        Space { replicas: 2, records: 1, elections: 2, late: 1 },
        Space { replicas: 2, records: 2, elections: 1, late: 1 },
        Space { replicas: 3, records: 1, elections: 1, late: 0 },
    ];
    for space in spaces {
        match search(space, None) {
            Ok(states) => println!("{space:?}: {states} states"),
            Err((way, broken)) => panic!("{space:?}: {broken} after {way:?}"),
        }
    }
}

#[test]
fn truncating_to_the_high_watermark_loses_what_is_committed() {
    let space = Space { replicas: 2, records: 1, elections: 2, late: 1 };
    let (way, broken) = search(space, Some(Rule::TruncateByEpoch)).expect_err("the loss is found");
    println!("{broken} after {} steps: {way:?}", way.len());
    assert!(way.len() <= 9, "the specification needs 9 steps, this {way:?}");
}
