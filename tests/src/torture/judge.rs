//! What must hold once nothing fails any more: everybody is there, replicas are the same, and all promises were kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use weir_client::{Client, NodeId, NodeStanding, TopicDescription};
use weir_node::storage::{Inspected, RealDisk, inspect_segment, partition_folder_name, segment_files};
use weir_wire::ids::{Offset, PartitionIndex};
use xxhash_rust::xxh3::xxh3_128;

use super::round::Field;
use super::workload::{Ends, TOPIC};

/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// How long one look may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// How many nodes vote, where there are as many.
const VOTERS: usize = 3;

/// A partition whose replicas all have the same.
#[derive(Clone, Debug)]
pub(super) struct WholePartition {
    topic: String,
    index: PartitionIndex,
    end: Offset,
    replicas: Vec<NodeId>,
}

/// Every partition of every topic.
pub(super) type Whole = Vec<WholePartition>;

/// The ends of the one topic.
pub(super) fn ends(whole: &Whole) -> Ends {
    whole.iter().filter(|one| one.topic == TOPIC).map(|one| (one.index, one.end)).collect()
}

/// Waits until nodes, quorum and replicas are all there.
///
/// # Errors
/// What was missing when the time was over.
pub(super) async fn wait_until_whole(field: &Field, patience: Duration) -> Result<Whole, String> {
    let deadline = Instant::now() + patience;
    loop {
        let looked = tokio::time::timeout(LOOK_PATIENCE, look(&field.client, field.cluster.count())).await;
        match looked.unwrap_or_else(|_| Err("nobody answers".to_owned())) {
            Ok(whole) => return Ok(whole),
            Err(why) if Instant::now() > deadline => return Err(why),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// The nodes on which replicas are offline that are assigned to them.
pub(super) async fn offline(client: &Client) -> Vec<NodeId> {
    let mut offline = Vec::new();
    for topic in client.list_topics().await.unwrap_or_default() {
        if let Ok(described) = client.describe_topic(&topic.name).await {
            offline.extend(described.partitions.into_iter().flat_map(|one| one.offline));
        }
    }
    offline.sort_unstable();
    offline.dedup();
    offline
}

async fn look(client: &Client, nodes: usize) -> Result<Whole, String> {
    let cluster = client.describe_cluster().await.map_err(|error| error.to_string())?;
    let live = cluster.nodes.iter().filter(|node| node.standing == NodeStanding::Live).count();
    if live != nodes {
        return Err(format!("{live} of {nodes} nodes are live"));
    }
    let voters = cluster.quorum.members.iter().filter(|member| member.is_voter).count();
    if cluster.quorum.controller.is_none() || voters != VOTERS.min(nodes) {
        return Err(format!("{voters} nodes vote, the controller is {:?}", cluster.quorum.controller));
    }
    let behind =
        cluster.quorum.members.iter().find(|member| member.matched_index < cluster.quorum.committed_index);
    if let Some(member) = behind {
        return Err(format!("node {} lacks metadata", member.node));
    }
    let mut whole = Vec::new();
    for topic in client.list_topics().await.map_err(|error| error.to_string())? {
        let described = client.describe_topic(&topic.name).await.map_err(|error| error.to_string())?;
        whole.extend(look_at(&described)?);
    }
    Ok(whole)
}

fn look_at(topic: &TopicDescription) -> Result<Whole, String> {
    let mut whole = Vec::new();
    for one in &topic.partitions {
        let name = format!("{}-{}", topic.name, one.index);
        let replicas: Vec<NodeId> = one.replicas.iter().map(|replica| replica.node).collect();
        if one.leader.is_none() || one.isr.len() != replicas.len() || !one.offline.is_empty() {
            let (leader, isr, offline) = (one.leader, &one.isr, &one.offline);
            return Err(format!(
                "{name}: leader {leader:?}, ISR {isr:?} of {replicas:?}, offline {offline:?}"
            ));
        }
        let Some(end) = one.high_watermark else { return Err(format!("{name}: its leader does not answer")) };
        whole.push(WholePartition { topic: topic.name.clone(), index: one.index, end, replicas });
    }
    Ok(whole)
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compared {
    /// Batches that were the same on every replica.
    pub(super) batches: u64,
    /// Batches that a disk damaged and nobody has read since.
    pub(super) damaged: u64,
}

/// A batch, as far as it must be known to be told from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    next: Offset,
    digest: u128,
    /// Of what the checksum covers, and of the checksum.
    checked: u128,
}

/// What stands before it in a batch: base offset, length and leader epoch.
const UNCHECKED_BYTES: usize = 16;

/// Compares the files of all replicas, byte for byte, below the high watermark. Bits that flipped on the victim's disk are
/// not made whole before somebody reads them: what their checksums give away is counted, and no difference.
pub(super) async fn compare(field: &Field, whole: &Whole) -> Compared {
    let mut compared = Compared::default();
    for one in whole {
        let mut replicas = BTreeMap::new();
        for node in &one.replicas {
            let index = usize::try_from(node.0).expect("few nodes") - 1;
            let (topic, partition, end) = (one.topic.clone(), one.index, one.end);
            let read = move |data: &Path| batches_below(data, &topic, partition, end);
            match field.cluster.with_data(index, read).await {
                Ok(found) => drop(replicas.insert(*node, found)),
                Err(error) => {
                    field.journal.finding(format_args!("divergent: node {node} on {one:?}: {error}"))
                }
            }
        }
        compare_one(field, one, &replicas, &mut compared);
    }
    compared
}

type Found = (BTreeMap<Offset, Seen>, Vec<String>);

fn compare_one(
    field: &Field,
    one: &WholePartition,
    replicas: &BTreeMap<NodeId, Found>,
    compared: &mut Compared,
) {
    let victim =
        field.plan.flips_bits().then(|| NodeId(u32::try_from(field.plan.victim + 1).expect("few nodes")));
    let name = format!("{}-{}", one.topic, one.index);
    let mut all: BTreeMap<Offset, Seen> = BTreeMap::new();
    // The others have the last word about what the victim's disk may have changed.
    let (of_victim, of_others): (Vec<_>, Vec<_>) =
        replicas.iter().partition(|(node, _)| Some(**node) == victim);
    of_victim.iter().chain(&of_others).for_each(|(_, (batches, _))| all.extend(batches));
    for (node, (batches, damage)) in replicas {
        let is_victim = Some(*node) == victim;
        compared.damaged += u64::try_from(damage.len()).expect("lengths fit 64 bits");
        if !damage.is_empty() && !is_victim {
            field.journal.finding(format_args!("divergent: {name} on node {node} is damaged: {damage:?}"));
        }
        let mut differs = Vec::new();
        for (offset, seen) in &all {
            match batches.get(offset) {
                Some(here) if here == seen => {}
                // No checksum covers where a flipped bit changed it.
                Some(here) if is_victim && here.checked == seen.checked => compared.damaged += 1,
                None if is_victim && !damage.is_empty() => {}
                _ => differs.push(*offset),
            }
        }
        if let Some(first) = differs.first() {
            let count = differs.len();
            field.journal.finding(format_args!(
                "divergent: {name} on node {node}: {count} batches differ from the others' or are missing, the first at {first}"
            ));
        }
    }
    compared.batches += u64::try_from(all.len()).expect("lengths fit 64 bits");
}

fn batches_below(data: &Path, topic: &str, partition: PartitionIndex, end: Offset) -> Result<Found, String> {
    let name = partition_folder_name(topic, partition).map_err(|error| error.to_string())?;
    let folder = data.join("topics").join(name);
    let mut batches = BTreeMap::new();
    let mut damage = Vec::new();
    // A batch from the end on, which no other one below the end may follow.
    let mut beyond = None;
    for (_, file) in segment_files(&RealDisk, &folder).map_err(|error| error.to_string())? {
        for item in inspect_segment(&RealDisk, &file).map_err(|error| error.to_string())? {
            match item.map_err(|error| error.to_string())? {
                Inspected::Batch { header, .. } if header.base_offset >= end => {
                    beyond = Some(header.base_offset)
                }
                Inspected::Batch { header, bytes, .. } => {
                    if let Some(beyond) = beyond.take() {
                        damage.push(format!(
                            "{}: a batch of offset {beyond} lies before the end",
                            file.display()
                        ));
                    }
                    let seen = Seen {
                        next: header.next_offset(),
                        digest: xxh3_128(&bytes),
                        checked: xxh3_128(&bytes[UNCHECKED_BYTES..]),
                    };
                    batches.insert(header.base_offset, seen);
                }
                Inspected::Damaged { position, reason, .. } => {
                    damage.push(format!("{} at {position}: {reason}", file.display()));
                }
            }
        }
    }
    Ok((batches, damage))
}

#[cfg(test)]
mod tests {
    use weir_wire::batch::{self, BatchBuilder, Compression};
    use weir_wire::ids::LeaderEpoch;

    use super::*;

    /// Seed 11438: the base offset of a batch flipped to one beyond the log, and all that followed it in its segment was taken
    /// for missing.
    #[test]
    fn a_base_offset_that_flipped_hides_nothing_behind_it() {
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().join("topics/torture-0");
        std::fs::create_dir_all(&folder).expect("create");
        let mut log = Vec::new();
        for offset in [0, 1 + (1 << 18), 2] {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.push(7, None, Some(b"value"), &[]);
            let mut bytes = builder.finish(None).to_vec();
            batch::stamp(&mut bytes, Offset(offset), LeaderEpoch(1));
            log.extend(bytes);
        }
        std::fs::write(folder.join("00000000000000000000.log"), log).expect("write");
        let (batches, damage) =
            batches_below(data.path(), "torture", PartitionIndex(0), Offset(3)).expect("read");
        assert_eq!(batches.keys().map(|offset| offset.0).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(damage.len(), 1, "{damage:?}");
        let (batches, damage) =
            batches_below(data.path(), "torture", PartitionIndex(0), Offset(1)).expect("read");
        assert_eq!((batches.len(), damage.len()), (1, 0), "what lies behind the end is no damage");
    }
}
