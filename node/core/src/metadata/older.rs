//! Images as earlier versions of Weir stored them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_wire::frame::decode_exactly;
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, MetadataIndex, NodeId, Offset, PartitionEpoch, PartitionIndex,
    ProducerId, Revision, TopicId,
};

use super::{
    Image, LogTail, NodeState, Origin, PartitionState, PipelineSpec, PipelineState, PluginState, ProcessId,
    StagedPipeline, TopicState,
};

/// The image of another version, as one of today's.
pub(super) fn decode(version: u8, body: &[u8]) -> Option<Image> {
    match version {
        2 => decode_exactly::<ImageTwo>(body).map(ImageTwo::upgrade),
        4 => decode_exactly::<ImageFour>(body).map(ImageFour::upgrade),
        _ => None,
    }
}

/// Version 4: without reassignments, and without nodes that are drained or removed.
#[derive(Serialize, Deserialize)]
struct ImageFour {
    index: MetadataIndex,
    cluster: Option<ClusterId>,
    nodes: BTreeMap<NodeId, NodeFour>,
    node_configs: BTreeMap<String, String>,
    topics: BTreeMap<String, TopicFour>,
    topic_names: BTreeMap<TopicId, String>,
    next_producer: ProducerId,
    plugins: BTreeMap<String, BTreeMap<String, PluginState>>,
    new_topic_pipeline: PipelineSpec,
    log_starts: BTreeMap<(TopicId, PartitionIndex), Offset>,
}

#[derive(Serialize, Deserialize)]
struct NodeFour {
    incarnation: Incarnation,
    process: ProcessId,
    earlier: Vec<ProcessId>,
    address: String,
    rack: Option<String>,
    fenced: bool,
    stopping: bool,
    configs: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct TopicFour {
    id: TopicId,
    revision: Revision,
    created_at_revision: Revision,
    newest_revision: Revision,
    pipelines: BTreeMap<Revision, PipelineState>,
    staged: Option<StagedPipeline>,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionFour>,
}

#[derive(Serialize, Deserialize)]
struct PartitionFour {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    elr: Vec<NodeId>,
    leader: Option<NodeId>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    unclean: bool,
    cut: BTreeMap<NodeId, LogTail>,
    unflushed: BTreeSet<NodeId>,
    failed: BTreeSet<NodeId>,
}

impl ImageFour {
    fn upgrade(self) -> Image {
        Image {
            index: self.index,
            cluster: self.cluster,
            nodes: upgrade_nodes(self.nodes),
            node_configs: self.node_configs,
            topics: self.topics.into_iter().map(|(name, topic)| (name, topic.upgrade())).collect(),
            topic_names: self.topic_names,
            next_producer: self.next_producer,
            plugins: self.plugins,
            new_topic_pipeline: self.new_topic_pipeline,
            log_starts: self.log_starts,
            removed_nodes: BTreeMap::new(),
        }
    }
}

fn upgrade_nodes(nodes: BTreeMap<NodeId, NodeFour>) -> BTreeMap<NodeId, NodeState> {
    nodes.into_iter().map(|(node, state)| (node, state.upgrade())).collect()
}

impl NodeFour {
    fn upgrade(self) -> NodeState {
        let NodeFour { incarnation, process, earlier, address, rack, fenced, stopping, configs } = self;
        let draining = false;
        NodeState { incarnation, process, earlier, address, rack, fenced, stopping, configs, draining }
    }
}

impl TopicFour {
    fn upgrade(self) -> TopicState {
        TopicState {
            id: self.id,
            revision: self.revision,
            created_at_revision: self.created_at_revision,
            newest_revision: self.newest_revision,
            pipelines: self.pipelines,
            staged: self.staged,
            configs: self.configs,
            partitions: self.partitions.into_iter().map(PartitionFour::upgrade).collect(),
        }
    }
}

impl PartitionFour {
    fn upgrade(self) -> PartitionState {
        PartitionState {
            replicas: self.replicas,
            isr: self.isr,
            elr: self.elr,
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            unclean: self.unclean,
            cut: self.cut,
            unflushed: self.unflushed,
            failed: self.failed,
            reassignment: None,
        }
    }
}

/// Version 2: without plugins, and without replicas that failed or were not flushed.
#[derive(Serialize, Deserialize)]
struct ImageTwo {
    index: MetadataIndex,
    cluster: Option<ClusterId>,
    nodes: BTreeMap<NodeId, NodeFour>,
    node_configs: BTreeMap<String, String>,
    topics: BTreeMap<String, TopicTwo>,
    topic_names: BTreeMap<TopicId, String>,
    next_producer: ProducerId,
}

#[derive(Serialize, Deserialize)]
struct TopicTwo {
    id: TopicId,
    revision: Revision,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionTwo>,
}

#[derive(Serialize, Deserialize)]
struct PartitionTwo {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    elr: Vec<NodeId>,
    leader: Option<NodeId>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    unclean: bool,
    cut: BTreeMap<NodeId, LogTail>,
}

impl ImageTwo {
    fn upgrade(self) -> Image {
        Image {
            index: self.index,
            cluster: self.cluster,
            nodes: upgrade_nodes(self.nodes),
            node_configs: self.node_configs,
            topics: self.topics.into_iter().map(|(name, topic)| (name, topic.upgrade())).collect(),
            topic_names: self.topic_names,
            next_producer: self.next_producer,
            ..Image::default()
        }
    }
}

impl TopicTwo {
    /// No log of that time says at which revision it was written: all of it counts as of the one in force.
    fn upgrade(self) -> TopicState {
        let partitions = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let spec = PipelineSpec { partitions, ..PipelineSpec::default() };
        TopicState {
            revision: self.revision,
            created_at_revision: self.revision,
            newest_revision: self.revision,
            pipelines: BTreeMap::from([(self.revision, PipelineState::new(spec, Origin::Created))]),
            ..TopicState::new(
                self.id,
                self.configs,
                self.partitions.into_iter().map(PartitionTwo::upgrade).collect(),
                PipelineSpec::default(),
            )
        }
    }
}

impl PartitionTwo {
    fn upgrade(self) -> PartitionState {
        let PartitionTwo { replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut } = self;
        let (unflushed, failed) = (BTreeSet::new(), BTreeSet::new());
        PartitionState {
            replicas,
            isr,
            elr,
            leader,
            leader_epoch,
            partition_epoch,
            unclean,
            cut,
            unflushed,
            failed,
            reassignment: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::stored::{self, Stored};

    use super::*;

    impl Stored for ImageFour {
        const NAME: &'static str = "metadata image";
        const VERSION: u8 = 4;
    }

    #[test]
    fn an_image_without_reassignments_is_read() {
        let node = NodeFour {
            incarnation: Incarnation(3),
            process: ProcessId([1; 16]),
            earlier: Vec::new(),
            address: "a:1".to_owned(),
            rack: None,
            fenced: true,
            stopping: false,
            configs: BTreeMap::new(),
        };
        let PartitionTwo { replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut } =
            alone();
        let (unflushed, failed) = (BTreeSet::from([NodeId(1)]), BTreeSet::new());
        let partition = PartitionFour {
            replicas,
            isr,
            elr,
            leader,
            leader_epoch,
            partition_epoch,
            unclean,
            cut,
            unflushed,
            failed,
        };
        let id = TopicId([7; 16]);
        let topic = TopicFour {
            id,
            revision: Revision(1),
            created_at_revision: Revision(1),
            newest_revision: Revision(1),
            pipelines: BTreeMap::new(),
            staged: None,
            configs: BTreeMap::new(),
            partitions: vec![partition],
        };
        let old = ImageFour {
            index: MetadataIndex(9),
            cluster: Some(ClusterId([1; 16])),
            nodes: BTreeMap::from([(NodeId(1), node)]),
            node_configs: BTreeMap::new(),
            topics: BTreeMap::from([("t".to_owned(), topic)]),
            topic_names: BTreeMap::from([(id, "t".to_owned())]),
            next_producer: ProducerId(5),
            plugins: BTreeMap::new(),
            new_topic_pipeline: PipelineSpec::default(),
            log_starts: BTreeMap::from([((id, PartitionIndex(0)), Offset(4))]),
        };
        let image = stored::decode::<Image>(&stored::encode(&old)).unwrap();
        assert_eq!((image.index, image.next_producer), (MetadataIndex(9), ProducerId(5)));
        assert!(image.nodes[&NodeId(1)].fenced && !image.nodes[&NodeId(1)].draining);
        let partition = &image.topics["t"].partitions[0];
        assert_eq!(partition.unflushed, BTreeSet::from([NodeId(1)]));
        assert_eq!(partition.reassignment, None);
        assert_eq!(image.deleted_before(id, PartitionIndex(0)), Offset(4));
    }

    impl Stored for ImageTwo {
        const NAME: &'static str = "metadata image";
        const VERSION: u8 = 2;
    }

    fn alone() -> PartitionTwo {
        let PartitionState {
            replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut, ..
        } = PartitionState::new(vec![NodeId(1)]);
        PartitionTwo { replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut }
    }

    #[test]
    fn an_image_without_plugins_is_read() {
        let id = TopicId([7; 16]);
        let topic = TopicTwo {
            id,
            revision: Revision(3),
            configs: BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]),
            partitions: vec![alone(), alone()],
        };
        let old = ImageTwo {
            index: MetadataIndex(9),
            cluster: Some(ClusterId([1; 16])),
            nodes: BTreeMap::new(),
            node_configs: BTreeMap::new(),
            topics: BTreeMap::from([("t".to_owned(), topic)]),
            topic_names: BTreeMap::from([(id, "t".to_owned())]),
            next_producer: ProducerId(5),
        };
        let image = stored::decode::<Image>(&stored::encode(&old)).unwrap();
        assert_eq!((image.index, image.next_producer), (MetadataIndex(9), ProducerId(5)));
        let topic = &image.topics["t"];
        assert_eq!((topic.revision, topic.created_at_revision, topic.newest_revision), {
            let three = Revision(3);
            (three, three, three)
        });
        assert_eq!(topic.configs["retention.ms"], "1");
        let spec = topic.pipeline(Revision(3)).unwrap();
        assert_eq!(topic.partitions[1], PartitionState::new(vec![NodeId(1)]));
        assert!(spec.is_plain());
        assert_eq!(spec.partitions, 2);
        assert_eq!(stored::decode::<Image>(&stored::encode(&image)).unwrap(), image);
    }
}
