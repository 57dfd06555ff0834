//! A few nodes with their folders, and everybody who sends commands about them.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::metadata::rules::Rule;
use weir_core::metadata::{
    AlterPartition, Applied, Command, ConfigChange, CutLog, ElectionKind, Image, LastLife, LogTail,
    MetadataError, PartitionState, ProcessId, Registration, Selection,
};
use weir_wire::ids::{ClusterId, Incarnation, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};

use crate::invariants::{Invariants, Step};
use crate::random::Random;

const NODES: u32 = 4;
const STEPS: usize = 150;
/// One schedule of so many is mostly about swaps.
const SWAPPING: u64 = 5;
const TOPICS: [&str; 3] = ["a", "b", "c"];

/// What some schedule must lead to, or they prove little.
pub(super) const SITUATIONS: [&str; 27] = [
    "altered",
    "refused: another incarnation caught up",
    "refused: another process",
    "refused: not the leader",
    "refused: the partition changed",
    "registered with a lost disk",
    "registered with a cut log",
    "a partition without a leader",
    "led from the elr",
    "led by the longest of those that lost something",
    "led uncleanly by order",
    "led by a node that stops",
    "told flushed",
    "activated",
    "rolled back",
    "closed a revision",
    "refused: not ready",
    "refused: the pipeline changed",
    "refused: the plugin is used",
    "reassigned",
    "a target took over",
    "a target took over, and the leader with it",
    "reassigned again while under way",
    "a reassignment taken back",
    "refused: too few would stay",
    "refused: takes no replicas",
    "removed a node",
];

/// What a data folder remembers.
#[derive(Clone, Debug, Default)]
struct Folder {
    last: Option<Incarnation>,
    /// The processes that were started on it: the newest that knew its answer, and those after it.
    earlier: Vec<ProcessId>,
    /// What the node had is not in it, and the metadata was not told yet.
    is_hollow: bool,
}

pub(super) struct World {
    pub(super) random: Random,
    rule_missing: Option<Rule>,
    is_told: bool,
    pub(super) image: Image,
    /// The time, as those who close revisions know it.
    pub(super) now_ms: u64,
    /// How many steps are swaps, for each hundred that are not.
    swaps: usize,
    invariants: Invariants,
    commands: Vec<Command>,
    folders: BTreeMap<NodeId, Folder>,
    /// Wishes of leaders that are still on their way, each with how often its topic had been switched when it was made.
    delayed: Vec<(AlterPartition, u64)>,
    /// Who may hold in memory only what was acknowledged with `write.caching`.
    unflushed: BTreeMap<(TopicId, PartitionIndex), BTreeSet<NodeId>>,
    /// How often `write.caching` was switched, by topic.
    switches: BTreeMap<TopicId, u64>,
    names: u8,
    /// How often what happened.
    pub(super) tally: BTreeMap<&'static str, u64>,
}

impl World {
    pub(super) fn new(seed: u64, rule_missing: Option<Rule>, is_told: bool) -> World {
        World {
            random: Random::new(seed),
            rule_missing,
            is_told,
            image: Image::default(),
            now_ms: 0,
            swaps: if seed % SWAPPING == SWAPPING - 1 { 500 } else { 5 },
            invariants: Invariants::default(),
            commands: Vec::new(),
            folders: BTreeMap::new(),
            delayed: Vec::new(),
            unflushed: BTreeMap::new(),
            switches: BTreeMap::new(),
            names: 0,
            tally: BTreeMap::new(),
        }
    }

    pub(super) fn play(&mut self) -> Result<(), String> {
        let _named = self.submit(Command::Initialise { cluster: ClusterId([1; 16]) }, &[])?;
        for _ in 0..STEPS {
            self.step()?;
        }
        self.reassignments_end()?;
        self.repeats()
    }

    /// The same commands lead to the same image, wherever they are applied.
    fn repeats(&self) -> Result<(), String> {
        let mut again = Image::default();
        for command in &self.commands {
            let _ = apply(&mut again, self.rule_missing, command);
        }
        if again == self.image { Ok(()) } else { Err("the same commands led to another image".into()) }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100 + self.swaps) {
            100.. => self.swap(),
            0..25 => self.register(),
            25..28 => self.reassign(),
            28..42 => self.node_goes(true),
            42..46 => self.node_goes(false),
            46..48 => self.replica_fails(),
            48..67 => self.leader_wishes(),
            67..77 => self.late_wish(),
            77..86 => self.topic_command(),
            86..88 => self.reassign(),
            88..91 => self.configure(),
            _ => self.elect(),
        }
    }

    pub(super) fn submit(
        &mut self,
        command: Command,
        lost: &[(TopicId, PartitionIndex, NodeId)],
    ) -> Result<Result<Applied, MetadataError>, String> {
        let before = self.image.clone();
        let result = apply(&mut self.image, self.rule_missing, &command);
        if self.is_told {
            println!("{command:?}\n  {result:?}");
        }
        let step = Step { before: &before, command: &command, result: &result, after: &self.image, lost };
        let checked = self.invariants.check(&step);
        self.count(&before, &command, &result);
        self.count_takeovers(&before);
        self.note_caching(&before);
        self.commands.push(command);
        checked.map_err(|broken| format!("step {}: {broken}", self.commands.len()))?;
        Ok(result)
    }

    fn count(&mut self, before: &Image, command: &Command, result: &Result<Applied, MetadataError>) {
        use weir_core::metadata::Ineligible::OtherIncarnation;
        let mut note = |what| *self.tally.entry(what).or_insert(0) += 1;
        match result {
            Ok(Applied::PartitionAltered(_)) => note("altered"),
            Err(MetadataError::IneligibleReplica { why: OtherIncarnation { .. }, .. }) => {
                note("refused: another incarnation caught up");
            }
            Err(MetadataError::DuplicateNode { .. }) => note("refused: another process"),
            Err(MetadataError::NotLeader { .. }) => note("refused: not the leader"),
            Err(MetadataError::StalePartitionEpoch { .. }) => note("refused: the partition changed"),
            _ => {}
        }
        for (_, topic, index, state) in self.image.partitions() {
            let earlier = before.topic_by_id(topic.id).map(|(_, topic)| &topic.partitions);
            let at = usize::try_from(index.0).unwrap();
            let Some(earlier) = earlier.and_then(|partitions| partitions.get(at)) else { continue };
            let Some(leader) = state.leader else {
                note("a partition without a leader");
                continue;
            };
            if earlier.leader == Some(leader) {
                continue;
            }
            if earlier.elr.contains(&leader) {
                note("led from the elr");
            }
            let is_ordered = matches!(command, Command::ElectLeaders { kind: ElectionKind::Unclean, .. });
            if is_ordered {
                note("led uncleanly by order");
            } else if state.unclean && !earlier.unclean {
                note("led by the longest of those that lost something");
            }
            if self.image.nodes[&leader].stopping {
                note("led by a node that stops");
            }
        }
    }

    /// While `write.caching` is on, every replica may hold in memory what was acknowledged.
    fn note_caching(&mut self, before: &Image) {
        for (_, topic, index, state) in
            self.image.partitions().filter(|(_, topic, ..)| topic.config().write_caching)
        {
            self.unflushed.insert((topic.id, index), state.replicas.iter().copied().collect());
        }
        for topic in self.image.topics.values() {
            let earlier = before.topic_by_id(topic.id).map(|(_, earlier)| earlier.config().write_caching);
            if earlier.is_some_and(|was| was != topic.config().write_caching) {
                *self.switches.entry(topic.id).or_insert(0) += 1;
            }
        }
    }

    /// A leader says who has flushed all that it knew when it said so.
    fn submit_wish(&mut self, asked: AlterPartition, switches: u64) -> Result<(), String> {
        let (place, flushed) = ((asked.topic, asked.partition), asked.flushed.clone());
        let granted = self.submit(Command::AlterPartition(asked), &[])?.is_ok();
        if granted && !flushed.is_empty() && self.switches_of(place.0) == switches {
            *self.tally.entry("told flushed").or_insert(0) += 1;
            self.unflushed.entry(place).or_default().retain(|node| !flushed.contains(node));
        }
        Ok(())
    }

    fn switches_of(&self, topic: TopicId) -> u64 {
        self.switches.get(&topic).copied().unwrap_or(0)
    }

    pub(super) fn node(&mut self) -> NodeId {
        NodeId(1 + u32::try_from(self.random.below(NODES as usize)).unwrap())
    }

    fn fresh(&mut self) -> [u8; 16] {
        self.names += 1;
        [self.names; 16]
    }

    /// A process starts on a node: on its folder, on an empty one, or on an old copy.
    fn register(&mut self) -> Result<(), String> {
        let node = self.node();
        if self.random.percent(10) {
            return self.register_again(node);
        }
        if self.random.percent(15) {
            self.lose_folder(node);
        }
        let process = ProcessId(self.fresh());
        let folder = self.folders.entry(node).or_default();
        let (last, earlier) = (folder.last, folder.earlier.clone());
        folder.earlier.push(process);
        let is_clean = self.random.percent(50);
        let registration = Registration {
            node,
            process,
            address: format!("n{node}"),
            rack: self.random.percent(50).then(|| format!("rack {}", node.0 % 2)),
            last: last.map(|incarnation| LastLife { incarnation, clean: is_clean }),
            earlier,
            cut: self.cut(node, is_clean),
        };
        let registered = self.submit_registration(registration)?;
        // Now and then the process dies before it can note the answer.
        if let Some(incarnation) = registered.filter(|_| self.random.percent(90)) {
            let folder = Folder { last: Some(incarnation), earlier: vec![process], is_hollow: false };
            self.folders.insert(node, folder);
        }
        Ok(())
    }

    /// A process starts on the node's folder, after a polite stop of the one before, which may have to wait for its lease.
    pub(super) fn comes_back(&mut self, node: NodeId) -> Result<(), String> {
        let Some(known) = self.image.nodes.get(&node) else { return Ok(()) };
        let incarnation = known.incarnation;
        self.submit(Command::FenceNode { node, incarnation }, &[])?.map_err(|error| error.to_string())?;
        let process = ProcessId(self.fresh());
        let registration = Registration {
            node,
            process,
            address: format!("n{node}"),
            rack: None,
            last: Some(LastLife { incarnation, clean: true }),
            earlier: Vec::new(),
            cut: Vec::new(),
        };
        let folder = Folder { last: Some(incarnation), earlier: vec![process], is_hollow: false };
        self.folders.insert(node, folder);
        self.submit_registration(registration).map(|_| ())
    }

    /// A registration that a process of this folder asked for arrives once more, word for word, when nobody waits for
    /// the answer.
    fn register_again(&mut self, node: NodeId) -> Result<(), String> {
        let Some(folder) = self.folders.get(&node) else { return Ok(()) };
        let asked: Vec<Registration> = self
            .commands
            .iter()
            .filter_map(|command| match command {
                Command::RegisterNode(asked) if folder.earlier.contains(&asked.process) => {
                    Some(asked.clone())
                }
                _ => None,
            })
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let asked = asked[self.random.below(asked.len())].clone();
        self.submit_registration(asked).map(|_| ())
    }

    fn submit_registration(&mut self, registration: Registration) -> Result<Option<Incarnation>, String> {
        let node = registration.node;
        let is_hollow = self.folders[&node].is_hollow && self.image.nodes.contains_key(&node);
        let is_answered_already = self
            .image
            .nodes
            .get(&node)
            .is_some_and(|known| known.process == registration.process && !known.fenced);
        let lost = if is_answered_already { Vec::new() } else { self.lost(&registration, is_hollow) };
        let result = self.submit(Command::RegisterNode(registration), &lost)?;
        let Ok(Applied::Registered(incarnation)) = result else { return Ok(None) };
        if !lost.is_empty() {
            let what = if is_hollow { "registered with a lost disk" } else { "registered with a cut log" };
            *self.tally.entry(what).or_insert(0) += 1;
        }
        self.folders.entry(node).or_default().is_hollow = false;
        Ok(Some(incarnation))
    }

    fn lose_folder(&mut self, node: NodeId) {
        let copy = self.folders.get(&node).and_then(|folder| folder.last).filter(|last| last.0 > 1);
        let last = copy.map(|last| Incarnation(last.0 - 1)).filter(|_| self.random.percent(50));
        self.folders.insert(node, Folder { last, earlier: Vec::new(), is_hollow: true });
    }

    /// Logs that lost something.
    fn cut(&mut self, node: NodeId, is_clean: bool) -> Vec<CutLog> {
        let mut cut = Vec::new();
        let percent = if is_clean { 2 } else { 40 };
        for (_, topic, partition, state) in self.image.partitions() {
            if state.replicas.contains(&node) && self.random.percent(percent) {
                let last_epoch = Some(LeaderEpoch(u32::try_from(self.random.below(3)).unwrap()));
                let end = Offset(u64::try_from(self.random.below(100)).unwrap());
                cut.push(CutLog { topic: topic.id, partition, tail: LogTail { last_epoch, end } });
            }
        }
        cut
    }

    /// The replicas that hold less than their node vouched for before.
    fn lost(&self, registration: &Registration, everything: bool) -> Vec<(TopicId, PartitionIndex, NodeId)> {
        let node = registration.node;
        let unclean = registration.last.is_some_and(|last| !last.clean);
        let is_in_memory =
            |place| self.unflushed.get(&place).is_some_and(|nodes: &BTreeSet<NodeId>| nodes.contains(&node));
        let on_node = self.image.partitions().filter(|(.., state)| state.replicas.contains(&node));
        on_node
            .filter(|(_, topic, index, _)| {
                let is_cut =
                    registration.cut.iter().any(|log| log.topic == topic.id && log.partition == *index);
                everything || is_cut || (unclean && is_in_memory((topic.id, *index)))
            })
            .map(|(_, topic, index, _)| (topic.id, index, node))
            .collect()
    }

    /// A lease runs out, or a node says that it is about to stop; now and then that is said of an earlier life.
    fn node_goes(&mut self, is_fenced: bool) -> Result<(), String> {
        let node = self.node();
        let newest = self.image.nodes.get(&node).map_or(Incarnation(1), |state| state.incarnation);
        let incarnation = Incarnation(newest.0 - u64::from(self.random.percent(10)));
        let command = if is_fenced {
            Command::FenceNode { node, incarnation }
        } else {
            Command::BeginShutdown { node, incarnation }
        };
        self.submit(command, &[]).map(|_| ())
    }

    /// A replica fails, or a process says late that one did.
    fn replica_fails(&mut self) -> Result<(), String> {
        let node = self.node();
        let Some(state) = self.image.nodes.get(&node) else { return Ok(()) };
        let incarnation = Incarnation(state.incarnation.0 - u64::from(self.random.percent(10)));
        let hosted: Vec<_> =
            self.image.hosted(node).map(|hosted| (hosted.topic.id, hosted.partition)).collect();
        let replicas = hosted.into_iter().filter(|_| self.random.percent(40)).collect();
        self.submit(Command::FailReplicas { node, incarnation, replicas }, &[]).map(|_| ())
    }

    /// A leader sees who keeps up, as they run now. What it wishes arrives at once, or later.
    fn leader_wishes(&mut self) -> Result<(), String> {
        let led: Vec<(TopicId, PartitionIndex, PartitionState)> = self
            .image
            .partitions()
            .filter(|(.., state)| state.leader.is_some())
            .map(|(_, topic, index, state)| (topic.id, index, state.clone()))
            .collect();
        if led.is_empty() {
            return Ok(());
        }
        let (topic, partition, state) = led[self.random.below(led.len())].clone();
        let leader = state.leader.unwrap();
        let eager = self.random.percent(70);
        let mut isr = vec![leader];
        for node in state.replicas.iter().filter(|node| **node != leader) {
            let is_live = self.image.nodes[node].is_active() || self.random.percent(5);
            if is_live && self.random.percent(if eager { 90 } else { 40 }) {
                isr.push(*node);
            }
        }
        let asked = AlterPartition {
            topic,
            partition,
            leader,
            leader_incarnation: self.image.nodes[&leader].incarnation,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr: self.image.with_incarnations(&isr),
            flushed: self.flushed(topic, &state),
        };
        let switches = self.switches_of(topic);
        if self.random.percent(40) {
            self.delayed.push((asked, switches));
            return Ok(());
        }
        self.submit_wish(asked, switches)
    }

    /// Some replicas that flushed what was acknowledged, if that had to be flushed only since.
    fn flushed(&mut self, topic: TopicId, state: &PartitionState) -> Vec<NodeId> {
        let (_, topic) = self.image.topic_by_id(topic).expect("it is led");
        if topic.config().write_caching {
            return Vec::new();
        }
        let unflushed: Vec<NodeId> = state.unflushed.iter().copied().collect();
        unflushed.into_iter().filter(|_| self.random.percent(50)).collect()
    }

    fn late_wish(&mut self) -> Result<(), String> {
        if self.delayed.is_empty() {
            return Ok(());
        }
        let at = self.random.below(self.delayed.len());
        let (asked, switches) =
            if self.random.percent(20) { self.delayed[at].clone() } else { self.delayed.swap_remove(at) };
        self.submit_wish(asked, switches)
    }

    fn topic_command(&mut self) -> Result<(), String> {
        let name = TOPICS[self.random.below(TOPICS.len())].to_owned();
        let count = 1 + u32::try_from(self.random.below(3)).unwrap();
        let command = match self.random.below(10) {
            0 => Command::DeleteTopic { name, id: None },
            1 => Command::CreatePartitions { topic: name, count },
            _ => Command::CreateTopic {
                name,
                id: TopicId(self.fresh()),
                partitions: Some(count),
                replication_factor: Some(1 + u32::try_from(self.random.below(3)).unwrap()),
                configs: self.configs(),
            },
        };
        self.submit(command, &[]).map(|_| ())
    }

    fn configs(&mut self) -> BTreeMap<String, String> {
        let mut configs = BTreeMap::new();
        if self.random.percent(40) {
            configs.insert("write.caching".into(), self.random.percent(70).to_string());
        }
        if self.random.percent(40) {
            configs.insert("min.insync.replicas".into(), (1 + self.random.below(3)).to_string());
        }
        if self.random.percent(60) {
            configs.insert("pipeline.revision.grace.ms".into(), self.random.below(1000).to_string());
        }
        configs
    }

    fn configure(&mut self) -> Result<(), String> {
        let topic = TOPICS[self.random.below(TOPICS.len())].to_owned();
        let set = self.configs();
        let delete = self.random.percent(20).then(|| "min.insync.replicas".to_owned()).into_iter().collect();
        self.submit(Command::AlterTopicConfigs { topic, change: ConfigChange { set, delete } }, &[])
            .map(|_| ())
    }

    fn elect(&mut self) -> Result<(), String> {
        let kind = if self.random.percent(30) { ElectionKind::Unclean } else { ElectionKind::Preferred };
        let partition = PartitionIndex(u32::try_from(self.random.below(3)).unwrap());
        let selection = if self.random.percent(30) {
            Selection::All
        } else {
            Selection::One { topic: TOPICS[self.random.below(TOPICS.len())].to_owned(), partition }
        };
        self.submit(Command::ElectLeaders { selection, kind }, &[]).map(|_| ())
    }
}

fn apply(image: &mut Image, missing: Option<Rule>, command: &Command) -> Result<Applied, MetadataError> {
    match missing {
        None => image.apply(command),
        Some(rule) => image.apply_without(rule, command),
    }
}
