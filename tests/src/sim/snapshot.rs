//! What every node shows of its replicas at one moment, for rules that must hold at every moment.
//!
//! Looking changes nothing: no time passes, no dice are thrown, no datagram is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use weir_core::metadata::{Image, PartitionState};
use weir_node::partitions::{PartitionHandle, Standing};
use weir_node::pipelines::Pipelines;
use weir_wire::batch::BatchHeader;
use weir_wire::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex, Revision};
use xxhash_rust::xxh3::xxh3_64;

use super::world::World;

/// Bytes that are read of a log at a time.
const BYTES_READ: usize = 256 * 1024;

/// One life of a node's replica of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaId {
    /// The partition.
    pub partition: PartitionIndex,
    /// The node.
    pub node: NodeId,
    /// Counts the starts of the node.
    pub life: u32,
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} on node {} in life {}", self.partition, self.node, self.life)
    }
}

/// A replica as everybody on its node sees it.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Which one.
    pub id: ReplicaId,
    /// The first offset that is served.
    pub log_start: Offset,
    /// The end of what is committed, as far as it knows.
    pub high_watermark: Offset,
    /// The end of its log.
    pub log_end: Offset,
    /// The reign in force, as far as it knows.
    pub leader_epoch: LeaderEpoch,
    /// Whether it leads.
    pub standing: Standing,
    handle: PartitionHandle,
}

/// A committed batch, as it was read from one replica.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Where it was read.
    pub replica: ReplicaId,
    /// What its header says.
    pub header: BatchHeader,
    /// The hash of all of its bytes.
    pub hash: u64,
    /// All of its bytes.
    pub bytes: Bytes,
}

/// Everything at one moment, of one topic.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// The topic's name.
    pub topic: &'static str,
    /// The newest metadata that any node has had.
    pub image: Option<Arc<Image>>,
    /// The replicas of all nodes that serve.
    pub replicas: Vec<Replica>,
    /// The pipelines of all nodes that serve, and in which of their lives.
    pub pipelines: Vec<(NodeId, u32, Pipelines)>,
    /// What was committed since the last snapshot, each replica's batches in the order of its log.
    pub committed: Vec<Committed>,
}

impl Snapshot {
    /// What the metadata says of the topic's partitions.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &PartitionState)> {
        let topic = self.image.as_ref().and_then(|image| image.topics.get(self.topic));
        topic.into_iter().flat_map(|topic| (0..).map(PartitionIndex).zip(&topic.partitions))
    }

    /// The replicas of a partition.
    pub fn replicas_of(&self, partition: PartitionIndex) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(move |replica| replica.id.partition == partition)
    }
}

/// Takes snapshots of one topic.
#[derive(Debug)]
pub struct Observer {
    topic: &'static str,
    /// Up to where each replica was read.
    read_to: BTreeMap<ReplicaId, Offset>,
    /// The newest metadata that was ever seen. Who has it may be gone, but it is on a majority's disks: an older one that
    /// a lone node still has says nothing of now.
    newest: Option<Arc<Image>>,
}

impl Observer {
    /// Who looks at this topic.
    #[must_use]
    pub fn of(topic: &'static str) -> Observer {
        Observer { topic, read_to: BTreeMap::new(), newest: None }
    }

    /// Which topic it looks at.
    #[must_use]
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// Looks at every node. Logs are read only if `reads` says so, since that costs most.
    ///
    /// # Panics
    /// Beyond four billion partitions.
    #[must_use]
    pub fn look(&mut self, world: &World, reads: bool) -> Snapshot {
        let of_node = |node| world.machine(node).pipelines().map(|(life, pipelines)| (node, life, pipelines));
        let pipelines = world.node_ids().into_iter().filter_map(of_node).collect();
        let index = |image: &Option<Arc<Image>>| image.as_ref().map(|image| image.index);
        let now = world.newest_image();
        if index(&now) > index(&self.newest) {
            self.newest = now;
        }
        let mut seen =
            Snapshot { topic: self.topic, image: self.newest.clone(), pipelines, ..Snapshot::default() };
        let topic = seen.image.as_ref().and_then(|image| image.topics.get(self.topic));
        let Some((topic, partitions)) = topic.map(|topic| (topic.id, topic.partitions.len())) else {
            return seen;
        };
        let partitions = u32::try_from(partitions).expect("few partitions");
        for node in world.node_ids() {
            let Some((life, hosted)) = world.machine(node).partitions() else { continue };
            for partition in (0..partitions).map(PartitionIndex) {
                let Some(handle) = hosted.get(topic, partition) else { continue };
                let id = ReplicaId { partition, node, life };
                seen.replicas.push(Replica::of(id, handle));
            }
        }
        if reads {
            for replica in &seen.replicas {
                let from = self.read_to.entry(replica.id).or_insert(replica.log_start);
                *from = (*from).max(replica.log_start);
                seen.committed.extend(read(replica, from));
            }
        }
        seen
    }

    /// Whether all that is committed could be read; if not, where it could not.
    ///
    /// # Errors
    /// Where it could not.
    pub fn has_read_all(&self, seen: &Snapshot) -> Result<(), String> {
        for Replica { id, high_watermark, .. } in &seen.replicas {
            match self.read_to.get(id) {
                Some(read_to) if read_to >= high_watermark => {}
                read_to => return Err(format!("{id} was read to {read_to:?}, not to {high_watermark}")),
            }
        }
        Ok(())
    }

    /// The newest revision of the topic's pipeline that anybody knew of.
    #[must_use]
    pub fn newest_revision(&self) -> Revision {
        let topic = self.newest.as_ref().and_then(|image| image.topics.get(self.topic));
        topic.map_or(Revision(0), |topic| topic.revision)
    }

    /// Forgets what was read, so that the next look reads every log from its start.
    pub fn start_over(&mut self) {
        self.read_to.clear();
    }
}

impl Replica {
    fn of(id: ReplicaId, handle: PartitionHandle) -> Replica {
        let view = &handle.view;
        let (log_start, high_watermark) = (view.log_start(), view.high_watermark());
        let (log_end, leader_epoch, standing) = (view.log_end(), view.leader_epoch(), view.standing());
        Replica { id, log_start, high_watermark, log_end, leader_epoch, standing, handle }
    }
}

/// Reads what is committed from `from` on, and moves it behind that.
fn read(replica: &Replica, from: &mut Offset) -> Vec<Committed> {
    let mut found = Vec::new();
    while *from < replica.high_watermark {
        let slice = match replica.handle.reader.read(*from, replica.high_watermark, BYTES_READ, true) {
            Ok(slice) => slice,
            // The log was cut meanwhile, it is damaged, or its disk is gone: another look tells.
            Err(_) => break,
        };
        if slice.next_offset <= *from {
            break;
        }
        for mut chunk in slice.chunks {
            while !chunk.is_empty() {
                let header = BatchHeader::parse(&chunk).expect("a batch that was checked when it was read");
                let bytes = chunk.split_to(usize::try_from(header.total_bytes).expect("batches are small"));
                found.push(Committed { replica: replica.id, header, hash: xxh3_64(&bytes), bytes });
            }
        }
        *from = slice.next_offset;
    }
    found
}
