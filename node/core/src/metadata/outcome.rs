//! What a command led to, or why it was refused. Both travel from the active controller to who asked.

use serde::{Deserialize, Serialize};
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, ProducerId,
    Revision, TopicId,
};
use weir_wire::plugin::{PluginDigest, PluginKind};

use super::{OPENABLE_REVISIONS_MAX, PARTITIONS_PER_CLUSTER_MAX, PLUGINS_MAX};
use crate::config_keys::ConfigError;

/// What a command led to. Sent between nodes: new kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// The cluster has its name.
    Initialised,
    /// The node runs under this incarnation.
    Registered(Incarnation),
    /// The topic exists.
    TopicCreated {
        /// Its id.
        id: TopicId,
        /// How many partitions it got.
        partitions: u32,
        /// How many replicas each of them has.
        replication_factor: u32,
    },
    /// The topic with this id is gone.
    TopicDeleted(TopicId),
    /// `count` ids from `first` belong to the asker.
    ProducersGranted {
        /// The first of them.
        first: ProducerId,
        /// How many.
        count: u32,
    },
    /// The node leads nothing any more.
    Fenced,
    /// The node leads nothing that another could lead.
    ShutdownBegun,
    /// The in-sync replicas are as asked, at this partition epoch.
    PartitionAltered(PartitionEpoch),
    /// An election took place.
    LeadersElected {
        /// How many partitions have another leader now.
        changed: u32,
        /// How many should have, but nobody could be elected.
        impossible: u32,
    },
    /// The topic has this many partitions now.
    PartitionsCreated {
        /// Its id.
        id: TopicId,
        /// How many partitions it has.
        partitions: u32,
    },
    /// The configuration is as asked.
    ConfigsAltered,
    /// The plugin can be bound.
    PluginPushed,
    /// The plugin is forgotten.
    PluginDeleted,
    /// The pipeline waits for the nodes, under this revision.
    PipelineStaged(Revision),
    /// What the node reported is noted.
    ReadinessNoted,
    /// This revision is in force.
    PipelineActivated(Revision),
    /// The plugins of an earlier revision are in force again.
    PipelineRolledBack {
        /// The revision in force.
        revision: Revision,
        /// The one whose plugins it has.
        to: Revision,
    },
    /// Revisions whose grace was over are closed.
    RevisionsRetired {
        /// How many.
        count: u32,
    },
    /// New topics get the pipeline.
    NewTopicPipelineSet,
    /// The log starts here, or later.
    RecordsDeleted {
        /// The first offset that stays.
        log_start: Offset,
    },
    /// The replicas lead nothing and are not in sync any more.
    ReplicasFailed,
    /// The partition has the replicas that it is to have, or will.
    Reassigned {
        /// Whether they are still to come.
        under_way: bool,
    },
    /// The node gets replicas, or not, as asked.
    DrainingSet,
    /// The node is forgotten.
    NodeRemoved,
}

/// Why a command was refused; the image stays as it was, but for its index. Sent between nodes: new kinds go to the
/// end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum MetadataError {
    /// The cluster has a name already.
    #[error("this node belongs to cluster {0} already")]
    AlreadyInitialised(ClusterId),
    /// The topic's name is not legal; the sentence says why.
    #[error("{0}")]
    InvalidName(String),
    /// The name belongs to the cluster itself.
    #[error("topic names that start with '__' belong to the cluster itself; choose another than '{0}'")]
    InternalName(String),
    /// There is such a topic.
    #[error("topic '{0}' exists already")]
    TopicExists(String),
    /// There is no such topic.
    #[error("there is no topic '{0}'; 'weir topics list' shows which there are")]
    UnknownTopic(String),
    /// A count outside of what is possible.
    #[error("a topic has 1 to {max} partitions, not {asked}")]
    Partitions {
        /// What was asked for.
        asked: u32,
        /// The most there may be.
        max: u32,
    },
    /// The cluster is full.
    #[error("the cluster holds at most {PARTITIONS_PER_CLUSTER_MAX} partitions; delete topics first")]
    TooManyPartitions,
    /// More replicas than nodes, or none.
    #[error("a replication factor of {asked} needs as many live nodes; there {} {live}", if *.live == 1 { "is" } else { "are" })]
    ReplicationFactor {
        /// What was asked for.
        asked: u32,
        /// How many nodes are alive.
        live: u32,
    },
    /// A configuration key or value is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Producer ids ran out: 2^63 were granted.
    #[error("all producer ids of this cluster are used up")]
    NoProducerIds,
    /// Another process has the number, and may live.
    #[error(
        "another process runs as node {node} at {address}, or its lease has not run out yet: give this node another \
         --node-id, or wait for a lease and start it again"
    )]
    DuplicateNode {
        /// The number.
        node: NodeId,
        /// Where the other one is reached.
        address: String,
    },
    /// No node has this number.
    #[error("there is no node {0}; 'weir cluster nodes' shows which there are")]
    UnknownNode(NodeId),
    /// A life of the node that is over.
    #[error("node {node} runs as incarnation {known}: incarnation {asked} is over and must register again")]
    StaleIncarnation {
        /// The node.
        node: NodeId,
        /// Who asked, or was asked about.
        asked: Incarnation,
        /// Who lives.
        known: Incarnation,
    },
    /// The topic was deleted, or never was.
    #[error("there is no topic with id {0}; it may have been deleted")]
    UnknownTopicId(TopicId),
    /// The topic has fewer partitions.
    #[error("topic '{topic}' has no partition {partition}; it has {count}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: PartitionIndex,
        /// How many there are.
        count: u32,
    },
    /// Who asks does not lead the partition, or not in the reign that it names.
    #[error("the partition is led by {} in leader epoch {leader_epoch}; only its leader may change who is in sync", show_leader(*.leader))]
    NotLeader {
        /// Who leads.
        leader: Option<NodeId>,
        /// In which reign.
        leader_epoch: LeaderEpoch,
    },
    /// The partition changed meanwhile.
    #[error("the partition is at partition epoch {known}, not {asked}: it changed meanwhile")]
    StalePartitionEpoch {
        /// What the asker knew.
        asked: PartitionEpoch,
        /// What holds.
        known: PartitionEpoch,
    },
    /// A set of in-sync replicas that cannot be.
    #[error("node {node} cannot be counted as in sync: {why}")]
    IneligibleReplica {
        /// The first such node.
        node: NodeId,
        /// Why it cannot.
        why: Ineligible,
    },
    /// Partitions cannot be taken away.
    #[error("topic '{topic}' has {known} partitions already: partitions can be added, not removed")]
    NotMorePartitions {
        /// The topic.
        topic: String,
        /// How many it has.
        known: u32,
    },
    /// The partition has a leader that lost nothing.
    #[error(
        "partition {partition} of topic '{topic}' is led by node {leader}: an unclean election is for partitions \
         without a leader"
    )]
    ElectionNotNeeded {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// Who leads.
        leader: NodeId,
    },
    /// Nobody can lead by the rule asked for.
    #[error("{}", show_no_candidate(.topic, *.partition, *.preferred))]
    NoCandidate {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// The replica that should lead, where only that one may.
        preferred: Option<NodeId>,
    },
    /// The name or the version of a plugin is not legal; the sentence says why.
    #[error("{0}")]
    InvalidPluginName(String),
    /// Other bytes under a name and version that are taken.
    #[error(
        "plugin {plugin} exists already with other bytes (digest {known}); push yours under another version"
    )]
    PluginExists {
        /// As `name@version`.
        plugin: String,
        /// Which bytes it has.
        known: PluginDigest,
    },
    /// No such plugin.
    #[error("there is no plugin {0}; 'weir plugins list' shows which there are")]
    UnknownPlugin(String),
    /// There are as many plugins as there may be.
    #[error("the cluster holds at most {PLUGINS_MAX} plugins; delete some that no topic uses")]
    TooManyPlugins,
    /// A pipeline uses the plugin.
    #[error("plugin {plugin} is used by {user}; it can be deleted once that is closed")]
    PluginInUse {
        /// As `name@version`.
        plugin: String,
        /// Which pipeline.
        user: String,
    },
    /// A plugin of one kind where another belongs.
    #[error("{plugin} is {}, not {}: bind it with {}", with_article(.kind.name()), with_article(.wanted.name()), bind_option(*.kind))]
    WrongKind {
        /// As `name@version`.
        plugin: String,
        /// What it is.
        kind: PluginKind,
        /// What belongs there.
        wanted: PluginKind,
    },
    /// A binding that cannot be.
    #[error("{0}")]
    InvalidBinding(String),
    /// Topics of the cluster itself run no plugins.
    #[error("topic '{0}' belongs to the cluster itself and runs no plugins")]
    NoPlugins(String),
    /// The pipeline changed meanwhile.
    #[error(
        "topic '{topic}' is at revision {known}, not {asked}: its pipeline changed meanwhile; look at 'weir plugins status \
         {topic}' and ask again"
    )]
    StaleRevision {
        /// The topic.
        topic: String,
        /// What the asker knew.
        asked: Revision,
        /// What is in force.
        known: Revision,
    },
    /// Nothing is staged under that revision.
    #[error(
        "revision {asked} of topic '{topic}' is not staged ({}); stage it with 'weir plugins stage'",
        .staged.map_or("nothing is".to_owned(), |staged| format!("revision {staged} is"))
    )]
    NotStaged {
        /// The topic.
        topic: String,
        /// What the asker knew.
        asked: Revision,
        /// What is staged.
        staged: Option<Revision>,
    },
    /// Some nodes are not ready.
    #[error("{}", show_not_ready(.topic, *.revision, .waiting, .failed))]
    NotReady {
        /// The topic.
        topic: String,
        /// The staged revision.
        revision: Revision,
        /// Nodes that did not report.
        waiting: Vec<NodeId>,
        /// Nodes that could not, with the reason.
        failed: Vec<(NodeId, String)>,
    },
    /// There is nothing to go back to.
    #[error("revision {revision} of topic '{topic}' cannot be rolled back: {why}")]
    NoRollback {
        /// The topic.
        topic: String,
        /// What is in force.
        revision: Revision,
        /// Why not.
        why: String,
    },
    /// The topic changed its pipeline too often.
    #[error(
        "topic '{0}' has {OPENABLE_REVISIONS_MAX} revisions under which batches may be sent again; wait until the \
         oldest are closed, or lower its pipeline.revision.grace.ms"
    )]
    TooManyRevisions(String),
    /// The topic is the cluster's own.
    #[error("topic '{0}' belongs to the cluster itself: it is neither deleted nor given more partitions")]
    InternalTopic(String),
    /// A partition without replicas.
    #[error("a partition needs at least one replica; name the nodes that shall have one")]
    NoReplicas,
    /// A node twice among the replicas.
    #[error("node {0} is named twice: the replicas of a partition are on different nodes")]
    ReplicaNamedTwice(NodeId),
    /// A node that cannot be given a replica.
    #[error("node {node} takes no replicas: {}", if *.draining {
        "it is being drained; 'weir cluster add-node' takes it in again"
    } else {
        "it is not alive, or stopping; start it first"
    })]
    TakesNoReplicas {
        /// The node.
        node: NodeId,
        /// Whether it lives, and is being drained.
        draining: bool,
    },
    /// Too few of the replicas that would stay are in sync.
    #[error(
        "partition {partition} of topic '{topic}' cannot give up replicas that are being added: too few of those that would \
         stay are in sync; wait until they caught up, or let the reassignment end"
    )]
    TooFewWouldStay {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
    /// No node is left that could hold a replica.
    #[error("{}", show_no_room(*.node, .topic, *.partition, *.replicas))]
    NoRoom {
        /// The node that should be emptied.
        node: NodeId,
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// How many replicas it has.
        replicas: usize,
    },
    /// The node cannot be removed.
    #[error("node {node} cannot be removed: {why}")]
    NodeInUse {
        /// The node.
        node: NodeId,
        /// Why not, and what to do.
        why: String,
    },
    /// The data folder is of a node that was removed.
    #[error(
        "node {0} was removed from the cluster, and this is its old data folder: start it with an empty --data folder to \
         take part again"
    )]
    NodeRemoved(NodeId),
    /// All nodes are fenced, at this moment.
    #[error("no node is alive at the moment that could hold a replica; try again")]
    NoLiveNode,
}

/// Why a node cannot be counted as in sync (KIP-841, KIP-903).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Ineligible {
    /// The partition is not assigned to it.
    #[error("the partition is not assigned to it")]
    NotAssigned,
    /// It is named twice.
    #[error("it is named twice")]
    NamedTwice,
    /// The leader itself must be in sync.
    #[error("it leads, and was left out")]
    LeaderLeftOut,
    /// No such node.
    #[error("it is not registered")]
    NotRegistered,
    /// Its lease ran out.
    #[error("its lease ran out")]
    Fenced,
    /// It is about to stop.
    #[error("it is stopping")]
    Stopping,
    /// It was registered again since it caught up, perhaps with an empty disk.
    #[error("it runs as incarnation {known}, and incarnation {asked} caught up")]
    OtherIncarnation {
        /// Who caught up.
        asked: Incarnation,
        /// Who lives.
        known: Incarnation,
    },
    /// Its disk failed for this partition, or its log could not be opened.
    #[error("its replica failed; its node's log says why, and a restart of the node tries again")]
    Failed,
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn bind_option(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::ProducerInterceptor => "--interceptor",
        PluginKind::ConsumerInterceptor => "--consumer-interceptor",
        PluginKind::Partitioner => "--partitioner",
        PluginKind::Assignor => "'weir groups set-assignor'",
    }
}

fn show_not_ready(
    topic: &str,
    revision: Revision,
    waiting: &[NodeId],
    failed: &[(NodeId, String)],
) -> String {
    let mut reasons: Vec<String> =
        failed.iter().map(|(node, why)| format!("node {node} cannot run it: {why}")).collect();
    if !waiting.is_empty() {
        let nodes = waiting.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ");
        let (noun, verb) = if waiting.len() == 1 { ("node", "has") } else { ("nodes", "have") };
        reasons.push(format!("{noun} {nodes} {verb} not reported yet"));
    }
    format!(
        "revision {revision} of topic '{topic}' is not ready everywhere: {}; wait, or leave nodes out with --without NODE",
        reasons.join("; ")
    )
}

fn show_no_room(node: NodeId, topic: &str, partition: PartitionIndex, replicas: usize) -> String {
    let what = if replicas == 1 { "the only replica" } else { "a replica" };
    format!(
        "node {node} cannot be drained: it has {what} of partition {partition} of topic '{topic}', and no other live node is \
         left that could hold it; start another node first"
    )
}

fn show_leader(leader: Option<NodeId>) -> String {
    leader.map_or("nobody".into(), |leader| format!("node {leader}"))
}

fn show_no_candidate(topic: &str, partition: PartitionIndex, preferred: Option<NodeId>) -> String {
    match preferred {
        Some(node) => format!(
            "node {node} is the preferred leader of partition {partition} of topic '{topic}', but it is not in sync; \
             try again when it caught up"
        ),
        None => format!(
            "no replica of partition {partition} of topic '{topic}' is alive; start one of its nodes first"
        ),
    }
}
