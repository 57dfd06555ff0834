//! What somebody may want done to the metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, Revision, TopicId,
};

use super::{PipelineSpec, PluginState, RollbackCause};

/// A change that somebody wants made to the metadata. Stored and sent between nodes: new kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Names the cluster, once.
    Initialise {
        /// Random, from the node that forms the cluster.
        cluster: ClusterId,
    },
    /// A node started, or one that was fenced returns: it gets the next incarnation, and every reign of its earlier
    /// one ends.
    RegisterNode(Registration),
    /// Creates a topic.
    CreateTopic {
        /// Its name.
        name: String,
        /// Random, from the node that asks.
        id: TopicId,
        /// How many partitions; `None` for the default.
        partitions: Option<u32>,
        /// How many replicas of each; `None` for the default.
        replication_factor: Option<u32>,
        /// Configuration under Kafka's key names.
        configs: BTreeMap<String, String>,
    },
    /// Deletes a topic.
    DeleteTopic {
        /// Its name.
        name: String,
        /// Its id, so that a command that is carried out late does not take a topic that was created anew under the name
        /// (as Kafka's deletions go by id, KIP-516). `None` where the node that asks does not know the topic yet.
        id: Option<TopicId>,
    },
    /// Takes producer ids out of the pool for good.
    GrantProducers {
        /// How many consecutive ids.
        count: u32,
    },
    /// A node's lease ran out: it leads nothing any more, and nothing new is placed on it until it registers again.
    FenceNode {
        /// The node.
        node: NodeId,
        /// The incarnation whose lease ran out.
        incarnation: Incarnation,
    },
    /// A node is about to stop: its leaderships go to others first.
    BeginShutdown {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// A leader wants another set of replicas in sync.
    AlterPartition(AlterPartition),
    /// Moves leaderships, or gives leaderless partitions a leader at the price of records.
    ElectLeaders {
        /// Of which partitions.
        selection: Selection,
        /// By which rule.
        kind: ElectionKind,
    },
    /// Adds partitions to a topic.
    CreatePartitions {
        /// The topic's name.
        topic: String,
        /// How many partitions it has afterwards.
        count: u32,
    },
    /// Sets and deletes some of a topic's configuration (KIP-339).
    AlterTopicConfigs {
        /// The topic's name.
        topic: String,
        /// What changes.
        change: ConfigChange,
    },
    /// Sets and deletes some of the configuration of one node, or of all.
    AlterNodeConfigs {
        /// The node; `None` for what holds where a node has nothing of its own.
        node: Option<NodeId>,
        /// What changes.
        change: ConfigChange,
    },
    /// Makes a component known under a name and a version. Its bytes are with the nodes already.
    PushPlugin {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// What is known about it.
        plugin: PluginState,
    },
    /// Forgets a plugin's version that no pipeline uses.
    DeletePlugin {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
    /// Has a pipeline made ready on every node. It takes the place of one that was staged before.
    StagePipeline {
        /// The topic.
        topic: TopicId,
        /// The revision in force as the asker knows it.
        expected: Revision,
        /// The plugins. How many partitions the topic has is not the asker's to say.
        spec: PipelineSpec,
    },
    /// A node made a staged pipeline ready, or could not.
    ReportReady {
        /// The topic.
        topic: TopicId,
        /// The staged revision.
        revision: Revision,
        /// Who reports.
        node: NodeId,
        /// As which incarnation.
        incarnation: Incarnation,
        /// Why it could not; `None` when it is ready.
        failure: Option<String>,
    },
    /// Puts a staged pipeline in force: a compare-and-set.
    ActivatePipeline {
        /// The topic.
        topic: TopicId,
        /// The staged revision.
        revision: Revision,
        /// The revision in force as the asker knows it.
        expected: Revision,
        /// Nodes that need not be ready. They take no records for the topic until they are.
        without: Vec<NodeId>,
    },
    /// Puts the plugins in force again that were so before the last activation, as one more revision.
    RollbackPipeline {
        /// The topic.
        topic: TopicId,
        /// The revision that is to go.
        expected: Revision,
        /// Who wants it.
        cause: RollbackCause,
    },
    /// Closes superseded revisions whose grace is over, and notes the time on those that were superseded since.
    RetireRevisions {
        /// The time, in milliseconds since 1970.
        now_ms: u64,
    },
    /// Says which plugins topics get that are created from now on.
    SetNewTopicPipeline {
        /// The plugins.
        spec: PipelineSpec,
    },
    /// Lets the log of a partition start later.
    DeleteRecords {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The first offset that stays.
        before: Offset,
    },
    /// Some replicas of a node take nothing more, and the node lives on: others lead them from now on, if they can.
    FailReplicas {
        /// The node.
        node: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Which replicas.
        replicas: Vec<(TopicId, PartitionIndex)>,
    },
    /// Sees to it that a topic of the cluster's own exists: made, with as many replicas as there are nodes up to three,
    /// unless it is there already. Never asked by a client.
    EnsureInternalTopic {
        /// Its name, which begins as only such names do.
        name: String,
        /// Random, from the node that asks.
        id: TopicId,
        /// How many partitions it gets.
        partitions: u32,
        /// Configuration under Kafka's key names.
        configs: BTreeMap<String, String>,
    },
    /// Gives a partition other replicas (KIP-455).
    Reassign {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The replicas, the preferred leader first; `None` takes back what is under way.
        target: Option<Vec<NodeId>>,
    },
    /// Lets a node get replicas, or not.
    SetDraining {
        /// The node.
        node: NodeId,
        /// Whether it is to get none.
        draining: bool,
    },
    /// Forgets a node that is gone for good and has no replicas.
    RemoveNode {
        /// The node.
        node: NodeId,
    },
}

/// How many earlier processes of a data folder are looked at. A node that starts more often than that without ever
/// hearing that it is registered may be taken for one that lost its folder.
pub const EARLIER_PROCESSES_MAX: usize = 64;

/// A node's report on itself at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The node's number.
    pub node: NodeId,
    /// Names the process, so that a repeated proposal registers it once.
    pub process: ProcessId,
    /// Where clients reach it, as `host:port`.
    pub address: String,
    /// Where it stands: replicas of a partition are spread over racks (KIP-36).
    pub rack: Option<String>,
    /// The newest life that its data folder knows of; `None` for a new folder.
    pub last: Option<LastLife>,
    /// The processes that asked from the same folder before: the newest that knew its answer, and those after it. One
    /// of them may be the node that the metadata knows. At most [`EARLIER_PROCESSES_MAX`] count, the last ones.
    pub earlier: Vec<ProcessId>,
    /// The logs for which it cannot vouch: cut by recovery, ended below their high-watermark checkpoint, or held a
    /// good batch behind a bad one; after an unclean stop also those with `write.caching`.
    pub cut: Vec<CutLog>,
}

/// What a data folder remembers of its newest registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLife {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Whether it stopped politely, everything flushed. True as well for a process that was fenced, still lives
    /// and registers again.
    pub clean: bool,
}

/// What is left of a log that lost something, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutLog {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// How far it goes.
    pub tail: LogTail,
}

/// How far a log goes: of two replicas that both lost something, the one with the higher tail holds more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogTail {
    /// The leader epoch of its last batch; `None` if it is empty.
    pub last_epoch: Option<LeaderEpoch>,
    /// The next offset to be written.
    pub end: Offset,
}

/// A compare-and-set of the in-sync replicas (KIP-497).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartition {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// Who asks: the leader.
    pub leader: NodeId,
    /// The leader's incarnation.
    pub leader_incarnation: Incarnation,
    /// The reign in which it asks.
    pub leader_epoch: LeaderEpoch,
    /// The state that it wants changed.
    pub partition_epoch: PartitionEpoch,
    /// Who shall be in sync, each as the incarnation that caught up (KIP-903).
    pub isr: Vec<(NodeId, Incarnation)>,
    /// Who has flushed everything that was acknowledged while `write.caching` was on.
    pub flushed: Vec<NodeId>,
}

/// Which partitions a command is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Every partition of the cluster.
    All,
    /// One partition.
    One {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
}

/// By which rule leaders are elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionKind {
    /// The first assigned replica leads wherever it is in sync. Loses nothing.
    Preferred,
    /// A partition without a leader gets one that may lack acknowledged records.
    Unclean,
}

/// What changes in a configuration; keys that are not named stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// New values under Kafka's key names.
    pub set: BTreeMap<String, String>,
    /// Keys that go back to their default.
    pub delete: BTreeSet<String>,
}

/// Names one process for good: 128 random bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId(pub [u8; 16]);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessId({self})")
    }
}
