//! Asking assignors. The two that every node knows answer at once; what operators pushed runs in the plugin host, beside
//! the coordinator.

use std::collections::BTreeMap;

use weir_core::group::assignors::{self, AssignInput, Assignment, Target};
use weir_core::pipeline::assignment;
use weir_wire::ids::PartitionIndex;
use weir_wire::request::TopicPartitions;

use crate::pipelines::Pipelines;

/// Asks an assignor that every node knows; `None` if it is another.
pub(super) fn ask_known(assignor: &str, input: &AssignInput) -> Option<Assignment> {
    match assignor {
        "range" => Some(answer(assignors::range(input))),
        "roundrobin" => Some(answer(assignors::roundrobin(input))),
        _ => None,
    }
}

/// Asks an assignor that was pushed, by `name@version`.
///
/// # Errors
/// Why there is no answer.
pub(super) async fn ask_pushed(
    pipelines: &Pipelines,
    group: &str,
    assignor: &str,
    input: &AssignInput,
) -> Result<Assignment, String> {
    let Some((name, version)) = assignor.split_once('@') else {
        return Err(format!("this node has no assignor '{assignor}'"));
    };
    let ready = pipelines.assignor(name, version, group).await?;
    let (members, topics) = question(input);
    let shares = ready.assign(&members, &topics).await.map_err(|failure| failure.to_string())?;
    let given = input.members.iter().zip(shares).map(|(member, shares)| {
        let each = shares.into_iter().flat_map(|share| {
            // An answer names only topics that were in the question.
            let topic = input.topics[share.topic as usize].id;
            share.partitions.into_iter().map(move |partition| (topic, PartitionIndex(partition)))
        });
        (member.id.clone(), TopicPartitions::gather(each))
    });
    Ok(Assignment { members: given.collect() })
}

/// The question as plugins are asked it: topics by their place in the list.
fn question(input: &AssignInput) -> (Vec<assignment::Member>, Vec<assignment::Topic>) {
    let places: BTreeMap<_, u32> = input.topics.iter().map(|topic| topic.id).zip(0..).collect();
    let topics = input.topics.iter().map(|topic| assignment::Topic {
        name: topic.name.clone(),
        partitions: topic.partitions,
        racks: vec![Vec::new(); topic.partitions as usize],
    });
    let members = input.members.iter().map(|member| {
        let mut wanted: Vec<u32> =
            member.subscribed.iter().filter_map(|id| places.get(id).copied()).collect();
        wanted.sort_unstable();
        let mut owned: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (topic, partition) in &member.holds {
            // What it held of a topic that is gone is nobody's.
            if let Some(place) = places.get(topic) {
                owned.entry(*place).or_default().push(partition.0);
            }
        }
        let owned =
            owned.into_iter().map(|(topic, partitions)| assignment::TopicPartitions { topic, partitions });
        assignment::Member {
            member_id: member.id.clone(),
            instance_id: member.instance.clone(),
            rack: None,
            topics: wanted,
            owned: owned.collect(),
        }
    });
    (members.collect(), topics.collect())
}

fn answer(target: Target) -> Assignment {
    let members = target.into_iter().map(|(member, holds)| (member, TopicPartitions::gather(holds)));
    Assignment { members: members.collect() }
}
