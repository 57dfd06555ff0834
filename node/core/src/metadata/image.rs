//! The state that commands lead to: what every node knows about the cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, MetadataIndex, NodeId, Offset, PartitionEpoch, PartitionIndex,
    ProducerId, Revision, TopicId,
};
use weir_wire::stored::Stored;

use super::{LogTail, PipelineSpec, PipelineState, PluginState, ProcessId, StagedPipeline, older};

/// All metadata of a cluster at one index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// How many commands led here, refused ones included.
    pub index: MetadataIndex,
    /// The cluster's name; `None` before it is formed.
    pub cluster: Option<ClusterId>,
    /// All registered nodes.
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// What was set for nodes that have nothing of their own, under Kafka's key names.
    pub node_configs: BTreeMap<String, String>,
    /// All topics by name.
    pub topics: BTreeMap<String, TopicState>,
    /// The names of all topics by id.
    pub topic_names: BTreeMap<TopicId, String>,
    /// The first producer id that nobody has yet.
    pub next_producer: ProducerId,
    /// All plugins that were pushed or bound, by name and version.
    pub plugins: BTreeMap<String, BTreeMap<String, PluginState>>,
    /// The plugins of topics that will be created.
    pub new_topic_pipeline: PipelineSpec,
    /// The offsets below which an operator had records deleted.
    pub log_starts: BTreeMap<(TopicId, PartitionIndex), Offset>,
    /// The nodes that were removed, with their last incarnations: a node that comes under the number of one of them goes
    /// on counting.
    pub removed_nodes: BTreeMap<NodeId, Incarnation>,
}

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Counts its registrations.
    pub incarnation: Incarnation,
    /// The process that registered.
    pub process: ProcessId,
    /// Processes of its folder that are over; what they asked arrives late.
    pub earlier: Vec<ProcessId>,
    /// Where clients reach it, as `host:port`.
    pub address: String,
    /// Where it stands, if it said so.
    pub rack: Option<String>,
    /// Its lease ran out: it leads nothing and is in no ISR.
    pub fenced: bool,
    /// It is about to stop: it gets nothing new, and leads only what nobody else can.
    pub stopping: bool,
    /// What was set for it alone, under Kafka's key names.
    pub configs: BTreeMap<String, String>,
    /// An operator empties it: it gets no replicas. It keeps its part in those that it has until they are moved.
    pub draining: bool,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Its id for good.
    pub id: TopicId,
    /// The pipeline revision in force.
    pub revision: Revision,
    /// The revision with which every log of the topic begins; later ones stand in the logs.
    pub created_at_revision: Revision,
    /// The highest revision that was ever given out, staged ones included.
    pub newest_revision: Revision,
    /// The pipelines under which batches may still be taken: the one in force, and those before it in their grace.
    pub pipelines: BTreeMap<Revision, PipelineState>,
    /// The pipeline that is made ready, if one is.
    pub staged: Option<StagedPipeline>,
    /// What was set for it, under Kafka's key names.
    pub configs: BTreeMap<String, String>,
    /// Its partitions by index.
    pub partitions: Vec<PartitionState>,
}

/// A partition.
///
/// ```text
/// replicas = ISR + ELR + others        ISR and ELR hold everything that is committed, the others may lack some
///          = settled + being added     while a reassignment is under way
/// ```
///
/// ELR = eligible leader replicas (KIP-966): they left the ISR while fewer than `min.insync.replicas` remained, so
/// nothing was committed without them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// All assigned replicas (AR), the preferred leader first; those that are being added are the last.
    pub replicas: Vec<NodeId>,
    /// The replicas in sync, in the order of `replicas`. Empty when all of them are gone.
    pub isr: Vec<NodeId>,
    /// The replicas that may lead besides, in the order of `replicas`; empty unless the ISR is below its minimum.
    pub elr: Vec<NodeId>,
    /// The leader, if there is one: a live member of the ISR.
    pub leader: Option<NodeId>,
    /// The current reign.
    pub leader_epoch: LeaderEpoch,
    /// Counts every change of this entry.
    pub partition_epoch: PartitionEpoch,
    /// Whether the leader was elected although it may lack acknowledged records. Stands until all replicas are in
    /// sync again.
    pub unclean: bool,
    /// Replicas that had to leave ISR and ELR since their logs lost something, with what is left of them. If all had
    /// to leave, the one with the highest tail leads. Forgotten when the replica is in sync again.
    pub cut: BTreeMap<NodeId, LogTail>,
    /// Replicas that may hold acknowledged records in memory only, since `write.caching` was switched off and their
    /// leader has not said yet that they flushed what they had. They lose what an unclean stop takes as if it were on.
    pub unflushed: BTreeSet<NodeId>,
    /// Replicas that take nothing more, as their node said, which lives. They hold what they had, as far as anybody
    /// knows. Until another process of the node registers they are in no ISR and lead nothing, but for one that leads
    /// since nobody else can.
    pub failed: BTreeSet<NodeId>,
    /// The other replicas that it is to have, while they catch up.
    pub reassignment: Option<Reassignment>,
}

/// A change of the replicas of a partition that is under way (KIP-455).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The replicas before, the preferred leader first.
    pub origin: Vec<NodeId>,
    /// The replicas afterwards, the preferred leader first.
    pub target: Vec<NodeId>,
}

impl NodeState {
    /// Whether new leaderships and replicas may be given to it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.stopping
    }

    /// Whether replicas may be given to it that it does not have.
    #[must_use]
    pub fn takes_replicas(&self) -> bool {
        self.is_active() && !self.draining
    }
}

impl PartitionState {
    /// A partition whose replicas are all in sync, since all of them are empty.
    #[must_use]
    pub fn new(replicas: Vec<NodeId>) -> PartitionState {
        let leader = replicas.first().copied();
        PartitionState {
            isr: replicas.clone(),
            replicas,
            elr: Vec::new(),
            leader,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            unclean: false,
            cut: BTreeMap::new(),
            unflushed: BTreeSet::new(),
            failed: BTreeSet::new(),
            reassignment: None,
        }
    }
}

impl Image {
    /// The topic with this id, and its name.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<(&str, &TopicState)> {
        let (name, topic) = self.topics.get_key_value(self.topic_names.get(&id)?)?;
        Some((name, topic))
    }

    /// Every partition with the name and id of its topic, in the order of names and indexes.
    pub fn partitions(&self) -> impl Iterator<Item = (&str, &TopicState, PartitionIndex, &PartitionState)> {
        self.topics.iter().flat_map(|(name, topic)| {
            (0..)
                .map(PartitionIndex)
                .zip(&topic.partitions)
                .map(move |(index, state)| (name.as_str(), topic, index, state))
        })
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }

    /// How many nodes can be given something new.
    #[must_use]
    pub fn active_count(&self) -> u32 {
        u32::try_from(self.nodes.values().filter(|node| node.takes_replicas()).count()).unwrap_or(u32::MAX)
    }
}

impl Stored for Image {
    const NAME: &'static str = "metadata image";
    const VERSION: u8 = 5;

    fn decode_older(version: u8, body: &[u8]) -> Option<Image> {
        older::decode(version, body)
    }
}
