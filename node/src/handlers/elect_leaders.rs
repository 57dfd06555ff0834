//! Electing leaders by hand: preferred ones, or unclean ones where no clean choice is left.

use weir_core::metadata::{self, Command, Image, MetadataError, PartitionState, Selection};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::PartitionIndex;
use weir_wire::request::{ElectLeaders, Election, ElectionKind, LeadersElected};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};
use super::metadata::find;
use crate::controller::SubmitError;

pub(super) async fn handle(context: Context, request: ElectLeaders) -> Answer<LeadersElected> {
    let resource = request.topic.as_deref().map_or(Resource::Cluster, Resource::Topic);
    authorize(&context.principal, Operation::Alter, resource)?;
    let kind = match request.kind {
        ElectionKind::Preferred => metadata::ElectionKind::Preferred,
        ElectionKind::Unclean => metadata::ElectionKind::Unclean,
    };
    let controller = &context.services.controller;
    let before = controller.image();
    let mut index = before.index;
    for selection in selections(&before, &request)? {
        match controller.submit(Command::ElectLeaders { selection, kind }).await {
            Ok((reached, _)) => index = index.max(reached),
            // That a partition needs no election, or has no candidate, is an answer about that partition.
            Err(SubmitError::Refused(
                MetadataError::ElectionNotNeeded { .. } | MetadataError::NoCandidate { .. },
            )) => {}
            Err(error) => return Err(submit_error(error)),
        }
    }
    let after = controller.image();
    Ok((index, LeadersElected { elections: elections(&before, &after, &request) }))
}

/// The partitions that were asked for.
fn selections(image: &Image, request: &ElectLeaders) -> Result<Vec<Selection>, WireError> {
    let Some(name) = &request.topic else {
        return match request.partition {
            None => Ok(vec![Selection::All]),
            Some(_) => {
                let sentence = "a partition alone says nothing: name its topic too";
                Err(WireError::new(ErrorCode::InvalidRequest, sentence))
            }
        };
    };
    let topic = find(image, name)?;
    let one = |partition| Selection::One { topic: name.clone(), partition };
    match request.partition {
        Some(partition) if (partition.0 as usize) < topic.partitions.len() => Ok(vec![one(partition)]),
        Some(partition) => {
            let sentence =
                format!("topic '{name}' has no partition {partition}; it has {}", topic.partitions.len());
            Err(WireError::new(ErrorCode::UnknownPartition, sentence))
        }
        None => Ok((0..).map(PartitionIndex).zip(&topic.partitions).map(|(index, _)| one(index)).collect()),
    }
}

/// What became of each partition whose leader changed, or should have.
fn elections(before: &Image, after: &Image, request: &ElectLeaders) -> Vec<Election> {
    let asked = |name: &str, index| {
        request.topic.as_deref().is_none_or(|topic| topic == name)
            && request.partition.is_none_or(|partition| partition == index)
    };
    let known = |name: &str, index: PartitionIndex| {
        before.topics.get(name).and_then(|topic| topic.partitions.get(index.0 as usize))
    };
    after
        .partitions()
        .filter(|(name, _, index, _)| asked(name, *index))
        .filter_map(|(name, _, partition, state)| {
            let outcome = outcome(known(name, partition), state, request.kind)?;
            Some(Election { topic: name.to_owned(), partition, outcome })
        })
        .collect()
}

fn outcome(
    before: Option<&PartitionState>,
    after: &PartitionState,
    kind: ElectionKind,
) -> Option<Result<(weir_wire::ids::NodeId, weir_wire::ids::LeaderEpoch), WireError>> {
    let changed = before.is_some_and(|before| before.leader_epoch != after.leader_epoch);
    let is_as_wished = match kind {
        ElectionKind::Preferred => after.leader == after.replicas.first().copied(),
        ElectionKind::Unclean => after.leader.is_some(),
    };
    match after.leader {
        Some(leader) if changed && is_as_wished => Some(Ok((leader, after.leader_epoch))),
        _ if is_as_wished => None,
        _ => {
            let sentence = match kind {
                ElectionKind::Preferred => "its preferred leader is not in sync; try again when it caught up",
                ElectionKind::Unclean => "none of its replicas is alive; start one of its nodes first",
            };
            Some(Err(WireError::new(ErrorCode::LeaderNotAvailable, sentence)))
        }
    }
}
