//! Turns the lines of a script into commands, and what they led to into lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weir_core::metadata::{
    AlterPartition, Applied, Command, ConfigChange, CutLog, ElectionKind, Image, LastLife, LogTail,
    MetadataError, Move, PartitionState, ProcessId, Registration, Role, Selection,
};
use weir_core::node_config::NodeConfig;
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, TopicId,
};

use super::plugins::versioned;

pub(super) fn run(script: &str) -> String {
    let mut runner = Runner { image: Image::default(), ids: 0, out: String::new() };
    runner.image.apply(&Command::Initialise { cluster: ClusterId([1; 16]) }).unwrap();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(runner.out, "> {line}").unwrap();
        runner.line(&Line::parse(line));
    }
    runner.out
}

pub(super) struct Runner {
    pub(super) image: Image,
    /// How many processes and topics were named.
    ids: u8,
    out: String,
}

/// A line: its command, its plain words and its `key=value` words.
pub(super) struct Line<'a> {
    command: &'a str,
    pub(super) words: Vec<&'a str>,
    pub(super) values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Line<'a> {
        let mut parts = line.split_whitespace();
        let command = parts.next().unwrap_or_default();
        let (values, words): (Vec<_>, Vec<_>) = parts.partition(|part| part.contains('='));
        let values = values.into_iter().filter_map(|part| part.split_once('=')).collect();
        Line { command, words, values }
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.values.get(key).map(|text| parse(text))
    }

    pub(super) fn list(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.values.get(key).copied().unwrap_or_default().split(',').filter(|part| !part.is_empty())
    }

    fn node(&self) -> NodeId {
        parse(self.words[0])
    }

    /// The `key=value` words that are configuration, and the `-key` words.
    fn config_change(&self) -> ConfigChange {
        let is_config = |key: &str| key.contains('.');
        let set = self.values.iter().filter(|(key, _)| is_config(key));
        ConfigChange {
            set: set.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            delete: self.words.iter().filter_map(|word| word.strip_prefix('-')).map(str::to_owned).collect(),
        }
    }
}

pub(super) fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap_or_else(|| panic!("'{text}' is not what it should be"))
}

fn partition(text: &str) -> (&str, PartitionIndex) {
    let (topic, index) = text.split_once('/').expect("TOPIC/INDEX");
    (topic, parse(index))
}

fn process(text: &str) -> ProcessId {
    ProcessId([parse(text); 16])
}

impl Runner {
    fn line(&mut self, line: &Line<'_>) {
        match line.command {
            "register" => self.register(line),
            "fence" => {
                let (node, incarnation) = self.life(line);
                self.apply(&Command::FenceNode { node, incarnation });
            }
            "stop" => {
                let (node, incarnation) = self.life(line);
                self.apply(&Command::BeginShutdown { node, incarnation });
            }
            "fail" => {
                let (node, incarnation) = self.life(line);
                let replicas = line.words[1..].iter().map(|text| self.place(text)).collect();
                self.apply(&Command::FailReplicas { node, incarnation, replicas });
            }
            "create" => self.create(line),
            "grow" => {
                let (topic, count) = (line.words[0].to_owned(), parse(line.words[1]));
                self.apply(&Command::CreatePartitions { topic, count });
            }
            "delete" => self.apply(&Command::DeleteTopic { name: line.words[0].to_owned(), id: None }),
            "alter" => self.alter(line),
            "elect" => self.elect(line),
            "reassign" => self.reassign(line, Some(line.list("to").map(parse).collect())),
            "cancel" => self.reassign(line, None),
            "drain" => {
                let (node, draining) = (line.node(), !line.has("off"));
                self.apply(&Command::SetDraining { node, draining });
            }
            "remove" => self.apply(&Command::RemoveNode { node: line.node() }),
            "emptying" => self.show_moves(self.image.emptying(line.node())),
            "filling" => self.show_moves(self.image.filling(line.node())),
            "config" => {
                let (topic, change) = (line.words[0].to_owned(), line.config_change());
                self.apply(&Command::AlterTopicConfigs { topic, change });
            }
            "node-config" => {
                let node = (line.words[0] != "all").then(|| line.node());
                self.apply(&Command::AlterNodeConfigs { node, change: line.config_change() });
            }
            "push" => self.push(line),
            "forget" => {
                let (name, version) = versioned(line.words[0]);
                self.apply(&Command::DeletePlugin { name: name.to_owned(), version: version.to_owned() });
            }
            "stage" => self.stage(line),
            "ready" => self.ready(line),
            "activate" => self.activate(line),
            "rollback" => self.roll_back(line),
            "new-topics" => {
                let spec = self.spec(line);
                self.apply(&Command::SetNewTopicPipeline { spec });
            }
            "retire" => {
                let now_ms = parse(line.words[0]);
                let is_due = self.image.retirement(now_ms).is_some();
                self.print(if is_due { "due" } else { "not due" });
                self.apply(&Command::RetireRevisions { now_ms });
            }
            "pipelines" => self.pipelines(line.words[0]),
            "grant" => self.apply(&Command::GrantProducers { count: parse(line.words[0]) }),
            "show" => self.show_changes(&Image::default()),
            "nodes" => self.nodes(),
            "hosted" => self.hosted(line.node()),
            "offline" => {
                let (topic, index) = partition(line.words[0]);
                let offline = self.image.offline(self.state(topic, index));
                self.print(&format!("offline: {}", show_nodes(&offline)));
            }
            "moves" => {
                let moves: Vec<_> = self.image.preferred_moves();
                let moves = moves.iter().map(|(id, index)| format!("{}/{index}", self.image.topic_names[id]));
                let moves = moves.collect::<Vec<_>>().join(" ");
                self.print(&format!("moves: {moves}"));
            }
            "rebalance" => {
                let started_with = NodeConfig::default();
                let command = self.image.rebalance(&self.image.node_config(NodeId(0), &started_with));
                self.print(if command.is_some() { "leaderships go back" } else { "nothing to do" });
            }
            "may-stop" => {
                let answer = if self.image.may_stop(line.node()) { "yes" } else { "no" };
                self.print(answer);
            }
            other => panic!("unknown command '{other}'"),
        }
    }

    pub(super) fn apply(&mut self, command: &Command) {
        let before = self.image.clone();
        match self.image.apply(command) {
            Ok(applied) => self.print(&describe(&applied)),
            Err(error) => {
                self.print(&format!("refused: {error}"));
                assert_eq!(Image { index: before.index, ..self.image.clone() }, before);
            }
        }
        self.show_changes(&before);
    }

    pub(super) fn print(&mut self, line: &str) {
        writeln!(self.out, "  {line}").unwrap();
    }

    /// Prints every partition that is not as it was.
    fn show_changes(&mut self, before: &Image) {
        let known: BTreeMap<_, _> =
            before.partitions().map(|(_, topic, index, state)| ((topic.id, index), state)).collect();
        let lines: Vec<String> = self
            .image
            .partitions()
            .filter(|(_, topic, index, state)| known.get(&(topic.id, *index)) != Some(state))
            .map(|(name, _, index, state)| format!("{name}/{index} {}", describe_partition(state)))
            .collect();
        lines.iter().for_each(|line| self.print(line));
    }

    fn state(&self, topic: &str, index: PartitionIndex) -> &PartitionState {
        &self.image.topics[topic].partitions[usize::try_from(index.0).unwrap()]
    }

    fn place(&self, text: &str) -> (TopicId, PartitionIndex) {
        let (topic, index) = partition(text);
        (self.image.topics.get(topic).map_or(TopicId([0; 16]), |topic| topic.id), index)
    }

    fn fresh(&mut self) -> u8 {
        self.ids += 1;
        100 + self.ids
    }

    pub(super) fn incarnation(&self, node: NodeId) -> Incarnation {
        self.image.nodes.get(&node).map_or(Incarnation(0), |state| state.incarnation)
    }

    /// The node that a line names, and the incarnation: the newest unless the line says another.
    fn life(&self, line: &Line<'_>) -> (NodeId, Incarnation) {
        let node = line.node();
        (node, line.number("inc").unwrap_or(self.incarnation(node)))
    }

    fn register(&mut self, line: &Line<'_>) {
        let numbers = line.words.iter().filter_map(|word| word.parse().ok()).map(NodeId);
        for node in numbers.collect::<Vec<_>>() {
            let newest = self.image.nodes.get(&node).map(|state| state.incarnation);
            let last = line.number("last").or(newest).filter(|_| !line.has("wiped"));
            let fresh = self.fresh();
            self.apply(&Command::RegisterNode(Registration {
                node,
                process: line.values.get("process").map_or(ProcessId([fresh; 16]), |text| process(text)),
                address: format!("n{node}:9440"),
                rack: line.values.get("rack").map(|rack| (*rack).to_owned()),
                last: last.map(|incarnation| LastLife { incarnation, clean: !line.has("unclean") }),
                earlier: line.list("earlier").map(process).collect(),
                cut: line.list("cut").map(|text| self.cut(text)).collect(),
            }));
        }
    }

    /// `T/I:EPOCH@END`
    fn cut(&self, text: &str) -> CutLog {
        let (at, tail) = text.split_once(':').expect("T/I:EPOCH@END");
        let (topic, partition) = partition(at);
        let (epoch, end) = tail.split_once('@').expect("EPOCH@END");
        let last_epoch = (epoch != "-").then(|| LeaderEpoch(parse(epoch)));
        let topic = self.image.topics.get(topic).map_or(TopicId([0; 16]), |topic| topic.id);
        CutLog { topic, partition, tail: LogTail { last_epoch, end: Offset(parse(end)) } }
    }

    fn create(&mut self, line: &Line<'_>) {
        let id = TopicId([self.fresh(); 16]);
        self.apply(&Command::CreateTopic {
            name: line.words[0].to_owned(),
            id,
            partitions: line.number("p"),
            replication_factor: line.number("rf"),
            configs: line.config_change().set,
        });
    }

    fn alter(&mut self, line: &Line<'_>) {
        let (topic, index) = partition(line.words[0]);
        let leader: NodeId = line.number("by").expect("by=N");
        let known = self.image.topics.get(topic);
        let state = known.and_then(|topic| topic.partitions.get(usize::try_from(index.0).unwrap()));
        let member = |text: &str| match text.split_once('@') {
            Some((node, incarnation)) => (parse(node), parse(incarnation)),
            None => (parse(text), self.incarnation(parse(text))),
        };
        let command = Command::AlterPartition(AlterPartition {
            topic: known.map_or(TopicId([0; 16]), |topic| topic.id),
            partition: index,
            leader,
            leader_incarnation: line.number("inc").unwrap_or(self.incarnation(leader)),
            leader_epoch: line
                .number("epoch")
                .unwrap_or(state.map_or(LeaderEpoch(0), |state| state.leader_epoch)),
            partition_epoch: line
                .number("pepoch")
                .unwrap_or(state.map_or(PartitionEpoch(0), |state| state.partition_epoch)),
            isr: line.list("isr").map(member).collect(),
            flushed: line.list("flushed").map(parse).collect(),
        });
        self.apply(&command);
    }

    fn elect(&mut self, line: &Line<'_>) {
        let kind = match line.words[0] {
            "preferred" => ElectionKind::Preferred,
            "unclean" => ElectionKind::Unclean,
            other => panic!("no election is '{other}'"),
        };
        let selection = line.words.get(1).map_or(Selection::All, |text| {
            let (topic, partition) = partition(text);
            Selection::One { topic: topic.to_owned(), partition }
        });
        self.apply(&Command::ElectLeaders { selection, kind });
    }

    fn reassign(&mut self, line: &Line<'_>, target: Option<Vec<NodeId>>) {
        let (topic, partition) = self.place(line.words[0]);
        self.apply(&Command::Reassign { topic, partition, target });
    }

    fn show_moves(&mut self, moves: Result<Vec<Move>, MetadataError>) {
        match moves {
            Err(error) => self.print(&format!("refused: {error}")),
            Ok(moves) if moves.is_empty() => self.print("nothing to move"),
            Ok(moves) => moves.iter().for_each(|one| {
                let name = self.image.topic_names[&one.topic].clone();
                self.print(&format!("{name}/{} to {}", one.partition, show_nodes(&one.target)));
            }),
        }
    }

    fn nodes(&mut self) {
        let lines: Vec<String> = self
            .image
            .nodes
            .iter()
            .map(|(node, state)| {
                let rack = state.rack.as_ref().map(|rack| format!(" in {rack}")).unwrap_or_default();
                let fenced = if state.fenced { ", fenced" } else { "" };
                let stopping = if state.stopping { ", stopping" } else { "" };
                let draining = if state.draining { ", draining" } else { "" };
                format!(
                    "{node} at {}{rack}: incarnation {}{fenced}{stopping}{draining}",
                    state.address, state.incarnation
                )
            })
            .collect();
        lines.iter().for_each(|line| self.print(line));
    }

    fn hosted(&mut self, node: NodeId) {
        let lines: Vec<String> = self
            .image
            .hosted(node)
            .map(|hosted| {
                let role = match hosted.role {
                    Role::Leader { isr } => format!("leads, in sync {}", show_lives(&isr)),
                    Role::Follower { leader, incarnation } => format!("follows {leader}@{incarnation}"),
                    Role::Leaderless => "waits for a leader".to_owned(),
                };
                format!("{}/{} {role}", hosted.name, hosted.partition)
            })
            .collect();
        lines.iter().for_each(|line| self.print(line));
    }
}

fn describe(applied: &Applied) -> String {
    match applied {
        Applied::Initialised => "initialised".into(),
        Applied::Registered(incarnation) => format!("registered as incarnation {incarnation}"),
        Applied::TopicCreated { partitions, replication_factor, .. } => {
            format!("created: {partitions} partitions, {replication_factor} replicas")
        }
        Applied::TopicDeleted(_) => "deleted".into(),
        Applied::ProducersGranted { first, count } => format!("granted {count} ids from {first}"),
        Applied::Fenced => "fenced".into(),
        Applied::ShutdownBegun => "shutdown begun".into(),
        Applied::PartitionAltered(epoch) => format!("altered, partition epoch {epoch}"),
        Applied::LeadersElected { changed, impossible } => {
            format!("elected: {changed} changed, {impossible} impossible")
        }
        Applied::PartitionsCreated { partitions, .. } => format!("grown to {partitions} partitions"),
        Applied::ConfigsAltered => "configured".into(),
        Applied::PluginPushed => "pushed".into(),
        Applied::PluginDeleted => "deleted".into(),
        Applied::PipelineStaged(revision) => format!("staged as revision {revision}"),
        Applied::ReadinessNoted => "noted".into(),
        Applied::PipelineActivated(revision) => format!("revision {revision} in force"),
        Applied::PipelineRolledBack { revision, to } => format!("revision {revision} in force, as {to}"),
        Applied::RevisionsRetired { count } => format!("closed {count}"),
        Applied::NewTopicPipelineSet => "set".into(),
        Applied::ReplicasFailed => "noted".into(),
        Applied::Reassigned { under_way: true } => "under way".into(),
        Applied::Reassigned { under_way: false } => "assigned".into(),
        Applied::DrainingSet => "set".into(),
        Applied::NodeRemoved => "removed".into(),
        Applied::RecordsDeleted { log_start } => format!("the log starts at {log_start}"),
    }
}

fn describe_partition(state: &PartitionState) -> String {
    let leader = state.leader.map_or("nobody leads".into(), |leader| format!("{leader} leads"));
    let mut line = format!(
        "{leader}, epochs {}/{}, isr {} of {}",
        state.leader_epoch,
        state.partition_epoch,
        show_nodes(&state.isr),
        show_nodes(&state.replicas)
    );
    if !state.elr.is_empty() {
        write!(line, ", elr {}", show_nodes(&state.elr)).unwrap();
    }
    for (node, tail) in &state.cut {
        let epoch = tail.last_epoch.map_or("-".into(), |epoch| epoch.to_string());
        write!(line, ", {node} cut to {epoch}@{}", tail.end).unwrap();
    }
    if !state.unflushed.is_empty() {
        let unflushed: Vec<NodeId> = state.unflushed.iter().copied().collect();
        write!(line, ", not flushed {}", show_nodes(&unflushed)).unwrap();
    }
    if !state.failed.is_empty() {
        let failed: Vec<NodeId> = state.failed.iter().copied().collect();
        write!(line, ", failed {}", show_nodes(&failed)).unwrap();
    }
    if state.unclean {
        line.push_str(", unclean");
    }
    if let Some(reassignment) = &state.reassignment {
        write!(line, ", on its way to {}", show_nodes(&reassignment.target)).unwrap();
    }
    line
}

fn show_nodes(nodes: &[NodeId]) -> String {
    if nodes.is_empty() {
        return "-".into();
    }
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

pub(super) fn show_lives(lives: &[(NodeId, Incarnation)]) -> String {
    lives.iter().map(|(node, incarnation)| format!("{node}@{incarnation}")).collect::<Vec<_>>().join(" ")
}
