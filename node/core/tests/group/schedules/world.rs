//! Members, a coordinator, its log, and the messages between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_core::group::assignors::{self, AssignInput, Assignment};
use weir_core::group::{
    Ask, Asker, CallId, Coordinator, Effect, GroupConfig, GroupError, Input, LogEnds, Replay, Reply,
    RequestId, Rule, TopicPartition, TopicShape, Topics, WriteId,
};
use weir_core::time::Now;
use weir_wire::group_log::GroupRecord;
use weir_wire::ids::{MetadataIndex, Offset, PartitionIndex, TopicId};
use weir_wire::request::{
    CommitOffsets, CommittedOffset, Committer, GroupHeartbeat, JoinGroup, LeaveGroup, PartitionOffset,
    SetAssignor, Subscription, TopicPartitions,
};

use super::cleaning::cleaned;
use super::client::Client;
use crate::invariants::{
    Compacted, OffsetsKept, Order, Tenures, failover_moves_nothing, log_is_state,
    one_owner_for_the_coordinator, one_owner_for_the_world,
};
use crate::random::Random;

const GROUP: &str = "g";
const CLIENTS: usize = 4;
const REBALANCE_MS: u32 = 40_000;

/// A request on its way, and what is known of it.
#[derive(Clone, Debug)]
struct Message {
    /// `None`: an operator.
    client: Option<(usize, u64)>,
    sent_ns: u64,
    ask: Ask,
    /// For commits: in which tenure the records were taken.
    tenure: Option<u64>,
}

pub(crate) struct World {
    random: Random,
    now: Now,
    config: GroupConfig,
    rule: Option<Rule>,
    coordinator: Coordinator,
    /// Batches, in order; those below `committed` stay.
    log: Vec<Vec<GroupRecord>>,
    committed: usize,
    /// Where the writes of this coordinator begin in the log.
    writes_from: usize,
    pub(crate) clients: Vec<Client>,
    requests: Vec<Message>,
    answers: Vec<(Message, Result<Reply, GroupError>)>,
    asked: BTreeMap<RequestId, Message>,
    request_count: u64,
    calls: Vec<(CallId, String, AssignInput)>,
    topics: BTreeMap<String, TopicShape>,
    index: u64,
    /// The metadata of the last change, and of the one before.
    views: Vec<Arc<Topics>>,
    compacted: Compacted,
    tenures: Tenures,
    kept: OffsetsKept,
    order: Order,
    offset: u64,
    broken: Option<String>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn new(seed: u64, rule: Option<Rule>) -> World {
        let config = GroupConfig::default();
        let (now, topics) = (Now::default(), Arc::new(Topics::default()));
        let mut world = World {
            random: Random::new(seed),
            now,
            coordinator: replay(rule).finish(now, config.clone(), topics.clone(), &mut Vec::new()),
            config,
            rule,
            log: Vec::new(),
            committed: 0,
            writes_from: 0,
            clients: (0..CLIENTS).map(Client::new).collect(),
            requests: Vec::new(),
            answers: Vec::new(),
            asked: BTreeMap::new(),
            request_count: 0,
            calls: Vec::new(),
            topics: BTreeMap::new(),
            index: 0,
            views: vec![topics],
            compacted: Compacted::default(),
            tenures: Tenures::default(),
            kept: OffsetsKept::default(),
            order: Order::default(),
            offset: 0,
            broken: None,
            counts: BTreeMap::new(),
        };
        world.change_topics();
        world
    }

    fn session_ns(&self) -> u64 {
        u64::from(self.config.session_timeout_ms) * 1_000_000
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// One random thing happens.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let client = self.random.below(CLIENTS);
        match self.random.below(100) {
            0..22 => self.beat(client, true),
            22..52 => drop(self.deliver_request(true)),
            52..70 => drop(self.deliver_answer(true)),
            70..80 => self.commit_writes(true),
            80..84 => drop(self.answer_call(true)),
            84..89 => self.clients[client].let_go(),
            89..94 => self.commit_offset(client),
            94 => self.start_or_stop(client),
            95 => self.change_topics(),
            96 => self.swap_assignor(),
            97 if self.random.percent(40) => self.fail_over(),
            _ => {
                let ms = [10, 300, 3_000][self.random.below(3)];
                self.pass_ms(ms);
            }
        }
        self.check()
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end_ns = self.now.monotonic_ns + ms * 1_000_000;
        while self.coordinator.deadline_ns() <= end_ns {
            self.now.monotonic_ns = self.now.monotonic_ns.max(self.coordinator.deadline_ns());
            self.input(Input::Tick);
        }
        self.now.monotonic_ns = end_ns;
    }

    /// The client says what it has to say: that it wants to join, or that it is there.
    pub(crate) fn beat(&mut self, client: usize, may_wait: bool) {
        let Client { is_up, is_member, number, life, id, instance, confirmed, heard, .. } =
            &self.clients[client];
        if !is_up {
            return;
        }
        let ask = if *is_member {
            Ask::Heartbeat(GroupHeartbeat {
                group: GROUP.to_owned(),
                member: id.clone(),
                confirmed: *confirmed,
                heard: *heard,
                subscription: None,
                wait_ms_max: if may_wait { 3_000 } else { 0 },
            })
        } else {
            let subscription = Subscription { topics: vec!["a".to_owned()], pattern: Some("b.*".to_owned()) };
            Ask::Join(JoinGroup {
                group: GROUP.to_owned(),
                member: id.clone(),
                instance: instance.clone(),
                subscription,
                rebalance_timeout_ms: REBALANCE_MS,
            })
        };
        let client = Some((*number, *life));
        self.requests.push(Message { client, sent_ns: self.now.monotonic_ns, ask, tenure: None });
    }

    fn commit_offset(&mut self, client: usize) {
        let session_ns = self.session_ns();
        let known = &self.clients[client];
        let handed_out: Vec<TopicPartition> = known.hands_out(self.now.monotonic_ns, session_ns).collect();
        if handed_out.is_empty() {
            return;
        }
        let (topic, partition) = handed_out[self.random.below(handed_out.len())];
        let known = &self.clients[client];
        let tenure = self.tenures.of(&(topic, partition)).filter(|(member, _)| *member == known.id);
        self.offset += 1;
        let committed =
            CommittedOffset { offset: Offset(self.offset), leader_epoch: None, metadata: String::new() };
        let commit = CommitOffsets {
            group: GROUP.to_owned(),
            committer: Some(Committer { member: known.id.clone(), member_epoch: known.heard }),
            offsets: vec![PartitionOffset { topic, partition, committed }],
        };
        let message = Message {
            client: Some((known.number, known.life)),
            sent_ns: self.now.monotonic_ns,
            tenure: tenure.map(|(_, tenure)| *tenure),
            ask: Ask::Commit(commit, LogEnds::new()),
        };
        self.requests.push(message);
    }

    fn start_or_stop(&mut self, client: usize) {
        if !self.clients[client].is_up {
            self.clients[client].start_over();
            self.clients[client].is_up = true;
            return;
        }
        let known = &self.clients[client];
        if self.random.percent(50) && known.is_member {
            let leave = LeaveGroup {
                group: GROUP.to_owned(),
                member: known.id.clone(),
                member_epoch: known.heard,
                returns: known.instance.is_some(),
            };
            let message = Message {
                client: Some((known.number, known.life)),
                sent_ns: self.now.monotonic_ns,
                ask: Ask::Leave(leave),
                tenure: None,
            };
            self.requests.push(message);
            self.count("leaves");
        } else {
            self.count("crashes");
        }
        self.clients[client].start_over();
        self.clients[client].is_up = false;
    }

    /// A topic comes, or grows, or stays as it is in a newer image.
    fn change_topics(&mut self) {
        let name = ["a", "b1", "b2"][self.random.below(3)].to_owned();
        self.index += 1;
        match self.topics.get_mut(&name) {
            Some(shape) if shape.partitions < 4 => shape.partitions += 1,
            Some(_) => {}
            None => {
                let id = TopicId([u8::try_from(self.topics.len() + 1).unwrap(); 16]);
                let partitions = u32::try_from(1 + self.random.below(3)).unwrap();
                self.topics.insert(name, TopicShape { id, partitions });
            }
        }
        let view = Arc::new(Topics::new(MetadataIndex(self.index), self.topics.clone()));
        self.views.push(view.clone());
        self.input(Input::Topics(view));
    }

    fn swap_assignor(&mut self) {
        let assignor = ["range", "roundrobin"][self.random.below(2)].to_owned();
        let set = SetAssignor { group: GROUP.to_owned(), assignor: Some(assignor) };
        let ask = Ask::SetAssignor(set);
        self.requests.push(Message { client: None, sent_ns: self.now.monotonic_ns, ask, tenure: None });
        self.count("swaps");
    }

    pub(crate) fn deliver_request(&mut self, faults: bool) -> bool {
        if self.requests.is_empty() {
            return false;
        }
        let at = if faults { self.random.below(self.requests.len()) } else { 0 };
        let message = self.requests.remove(at);
        if faults && self.random.percent(8) {
            return true;
        }
        if faults && self.random.percent(25) {
            self.requests.push(message.clone());
        }
        self.request_count += 1;
        let request = RequestId(self.request_count);
        let before = self.log.len();
        self.asked.insert(request, message.clone());
        self.input(Input::Request { request, asker: Asker::default(), ask: message.ask.clone() });
        // Whatever was accepted was written by this very turn.
        let wrote = self.log[before..].iter().flatten();
        let accepted: Vec<TopicPartition> = wrote
            .filter_map(|record| match record {
                GroupRecord::Offset(_, topic, partition, Some(_)) => Some((*topic, *partition)),
                _ => None,
            })
            .collect();
        if let Ask::Commit(CommitOffsets { committer: Some(committer), .. }, _) = &message.ask {
            for partition in accepted {
                self.count("commits");
                let is_owner = self.tenures.accepted(&partition, &committer.member, message.tenure);
                self.broken = self.broken.take().or(is_owner.err());
            }
        }
        true
    }

    pub(crate) fn deliver_answer(&mut self, faults: bool) -> bool {
        if self.answers.is_empty() {
            return false;
        }
        let at = if faults { self.random.below(self.answers.len()) } else { 0 };
        let (message, answer) = self.answers.remove(at);
        let Some((client, life)) = message.client else { return true };
        let client = &mut self.clients[client];
        if client.life != life || !client.is_up || faults && self.random.percent(8) {
            return true;
        }
        match answer {
            Ok(Reply::Membership(membership)) => client.hear(&membership, message.sent_ns),
            Ok(_) | Err(GroupError::NotCoordinator | GroupError::InstanceInUse(_)) => {}
            Err(_) if matches!(message.ask, Ask::Commit(..)) => {}
            Err(_) => client.start_over(),
        }
        true
    }

    /// The log is committed a little further, or all of it.
    pub(crate) fn commit_writes(&mut self, faults: bool) {
        let open = self.log.len() - self.committed;
        let more = if faults && open > 0 { 1 + self.random.below(open) } else { open };
        self.committed += more;
        if self.committed > self.writes_from && more > 0 {
            let write = WriteId(u64::try_from(self.committed - self.writes_from).unwrap());
            self.input(Input::Committed { write });
        }
    }

    pub(crate) fn answer_call(&mut self, faults: bool) -> bool {
        if self.calls.is_empty() {
            return false;
        }
        let (call, assignor, input) = self.calls.remove(0);
        let by_rule = |rule: &str| match rule {
            "range" => assignors::range(&input),
            _ => assignors::roundrobin(&input),
        };
        let mut target = by_rule(&assignor);
        let mut is_answered = true;
        if faults {
            match self.random.below(10) {
                0 => is_answered = false,
                1 => {
                    // Somebody gets what belongs to somebody else, or nobody gets it.
                    let first = target.values().flatten().next().copied();
                    let last = target.values_mut().next_back();
                    if let (Some(first), Some(last)) = (first, last)
                        && !last.remove(&first)
                    {
                        last.insert(first);
                    }
                }
                2 | 3 => {
                    // Any valid answer.
                    let members: Vec<String> = target.keys().cloned().collect();
                    let all: BTreeSet<TopicPartition> = target.values().flatten().copied().collect();
                    target.values_mut().for_each(BTreeSet::clear);
                    for partition in all {
                        let member = &members[self.random.below(members.len())];
                        target.entry(member.clone()).or_default().insert(partition);
                    }
                }
                _ => {}
            }
        }
        let members =
            target.into_iter().map(|(member, holds)| (member, TopicPartitions::gather(holds))).collect();
        if is_answered {
            self.input(Input::Assigned { call, answer: Ok(Assignment { members }) });
        }
        true
    }

    /// Another coordinator, after the log was cut anywhere above what is committed; perhaps with old metadata.
    pub(crate) fn fail_over(&mut self) {
        self.count("failovers");
        self.input(Input::Stop);
        let kept = self.committed + self.random.below(self.log.len() - self.committed + 1);
        self.log.truncate(kept);
        self.committed = kept;
        self.writes_from = kept;
        self.calls.clear();
        let (mut compacted, mut tenures) = (Compacted::default(), Tenures::default());
        self.order = Order::default();
        for (position, records) in self.log.iter().enumerate() {
            for record in records {
                compacted.append(record);
                tenures.apply(record);
                note_order(&mut self.order, position, record);
            }
        }
        (self.compacted, self.tenures) = (compacted, tenures);
        let mut replay = replay(self.rule);
        // Compacted now and then, or perfectly.
        let some = self.random.percent(75);
        let records = if some { cleaned(&self.log, &mut self.random) } else { self.compacted.records() };
        records.iter().for_each(|record| replay.apply(record));
        let newest = self.views.len() - 1;
        let view =
            if self.random.percent(50) { newest } else { newest.saturating_sub(1 + self.random.below(2)) };
        let view = self.views[view].clone();
        let mut effects = Vec::new();
        self.coordinator = replay.finish(self.now, self.config.clone(), view.clone(), &mut effects);
        let made_from = self.compacted.records().iter().find_map(|record| match record {
            GroupRecord::Group(_, Some(value)) if value.epoch == value.target_epoch => {
                Some(value.metadata_index)
            }
            _ => None,
        });
        if made_from.is_some_and(|made_from| made_from >= view.index) {
            let wrote: Vec<GroupRecord> = effects
                .iter()
                .filter_map(|effect| match effect {
                    Effect::Append { records, .. } => Some(records.clone()),
                    _ => None,
                })
                .flatten()
                .collect();
            let nothing = failover_moves_nothing(&wrote);
            self.broken = self.broken.take().or(nothing.err());
            self.count("plain failovers");
        }
        self.carry_out(effects);
        if self.random.percent(80) {
            self.input(Input::Topics(self.views[newest].clone()));
        }
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.coordinator.handle(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append { write, records } => {
                    self.append(&records);
                    assert_eq!(u64::try_from(self.log.len() - self.writes_from).unwrap(), write.0);
                }
                Effect::Respond { request, answer } => {
                    let message = self.asked.remove(&request).expect("each request is answered once");
                    self.acknowledge(&message, &answer);
                    self.answers.push((message, answer));
                }
                Effect::Assign { call, assignor, input, .. } => self.calls.push((call, assignor, input)),
                Effect::Report(_) => self.count("reports"),
            }
        }
    }

    fn append(&mut self, records: &[GroupRecord]) {
        for record in records {
            // As bytes, so that what is written can be read.
            let (key, value) = record.encode();
            assert_eq!(GroupRecord::decode(&key, value.as_deref()).as_ref(), Ok(record));
            self.compacted.append(record);
            self.tenures.apply(record);
            note_order(&mut self.order, self.log.len(), record);
        }
        self.log.push(records.to_vec());
    }

    fn acknowledge(&mut self, message: &Message, answer: &Result<Reply, GroupError>) {
        if let (Ask::Commit(commit, _), Ok(Reply::Committed(committed))) = (&message.ask, answer) {
            for (offset, result) in commit.offsets.iter().zip(&committed.results) {
                if result.is_ok() {
                    self.kept.acknowledged((offset.topic, offset.partition), offset.committed.offset);
                }
            }
        }
    }

    pub(crate) fn check(&mut self) -> Result<(), String> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let records = self.coordinator.records();
        one_owner_for_the_coordinator(&records)?;
        one_owner_for_the_world(self.handed_out().into_iter())?;
        log_is_state(&self.compacted, &records)?;
        self.kept.check(&records, &self.order)
    }

    /// Who hands out records of what.
    fn handed_out(&self) -> Vec<(&str, TopicPartition)> {
        let (now_ns, session_ns) = (self.now.monotonic_ns, self.session_ns());
        let clients = self.clients.iter();
        let each = clients.flat_map(|client| {
            client.hands_out(now_ns, session_ns).map(|partition| (client.id.as_str(), partition))
        });
        each.collect()
    }

    /// Somebody takes part.
    pub(crate) fn start_somebody(&mut self) {
        if self.clients.iter().all(|client| !client.is_up) {
            self.start_or_stop(0);
        }
    }

    /// What somebody wants, and what is handed out.
    pub(crate) fn wanted_and_handed_out(&self) -> (BTreeSet<TopicPartition>, BTreeSet<TopicPartition>) {
        let shapes = self.topics.values();
        let all =
            shapes.flat_map(|shape| (0..shape.partitions).map(|index| (shape.id, PartitionIndex(index))));
        let is_anybody_up = self.clients.iter().any(|client| client.is_up);
        let wanted = all.filter(|_| is_anybody_up).collect();
        (wanted, self.handed_out().into_iter().map(|(_, partition)| partition).collect())
    }

    /// The newest metadata reaches the coordinator.
    pub(crate) fn hear_of_topics(&mut self) {
        if let Some(view) = self.views.last().cloned() {
            self.input(Input::Topics(view));
        }
    }
}

fn note_order(order: &mut Order, position: usize, record: &GroupRecord) {
    if let GroupRecord::Offset(_, _, _, Some(value)) = record {
        order.append(value.offset, u64::try_from(position).unwrap());
    }
}

fn replay(rule: Option<Rule>) -> Replay {
    rule.map_or_else(Replay::new, |rule| Replay::new().without_rule(rule))
}
