//! Other replicas for partitions, by name or for a whole node. What is under way is kept by the metadata: whoever asked
//! may be gone.

use std::collections::BTreeMap;

use weir_core::metadata::{Applied, Command, ConfigChange, Image, MetadataError, Move};
use weir_core::node_config::THROTTLE_KEY;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{MetadataIndex, NodeId, PartitionIndex, TopicId};
use weir_wire::request::{
    AlterReassignments, ListReassignments, ReassignmentAltered, ReassignmentProgress, ReassignmentsAltered,
    ReassignmentsListed, ReplicaState, ReplicasShifting, ReplicasWanted, Shift, ShiftReplicas, Throttle,
};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};
use super::describe_topic::progress;
use super::metadata::find;
use crate::controller::SubmitError;

/// Commands of one request that are under way at a time: enough that they share entries of the metadata log.
const AT_A_TIME: usize = 64;

pub(super) async fn alter(context: Context, request: AlterReassignments) -> Answer<ReassignmentsAltered> {
    authorize(&context.principal, Operation::Alter, Resource::Cluster)?;
    let (asked, max) = (request.partitions.len(), AlterReassignments::PARTITIONS_MAX);
    if asked > max {
        let sentence = format!("one request names at most {max} partitions, not {asked}; ask in several");
        return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
    }
    let index = throttle(&context, request.throttle).await?;
    let image = context.services.controller.image();
    let wanted = request.partitions.into_iter().map(|wanted| {
        let ReplicasWanted { topic, partition, replicas } = wanted;
        let id = find(&image, &topic).map(|topic| topic.id);
        Wanted { name: topic, id, partition, target: replicas }
    });
    let (reached, partitions) = carry_out(&context, wanted.collect()).await;
    Ok((index.max(reached), ReassignmentsAltered { partitions }))
}

pub(super) async fn list(context: Context, _: ListReassignments) -> Answer<ReassignmentsListed> {
    authorize(&context.principal, Operation::Describe, Resource::Cluster)?;
    let image = &context.image;
    let mut reassignments = Vec::new();
    for (name, topic) in &image.topics {
        if topic.partitions.iter().all(|partition| partition.reassignment.is_none()) {
            continue;
        }
        let mut known = progress(&context, topic).await;
        for (index, state) in (0..).map(PartitionIndex).zip(&topic.partitions) {
            let Some(under_way) = &state.reassignment else { continue };
            let told = known.remove(&index);
            let log_start = told.as_ref().map(|told| told.log_start);
            let ends: BTreeMap<NodeId, _> = told.into_iter().flat_map(|told| told.log_ends).collect();
            let replica = |node: &NodeId| ReplicaState { node: *node, log_end: ends.get(node).copied() };
            reassignments.push(ReassignmentProgress {
                topic: name.clone(),
                partition: index,
                origin: under_way.origin.clone(),
                target: under_way.target.clone(),
                isr: state.isr.clone(),
                leader: state.leader,
                log_start,
                replicas: state.replicas.iter().map(replica).collect(),
            });
        }
    }
    Ok((image.index, ReassignmentsListed { reassignments }))
}

pub(super) async fn shift(context: Context, request: ShiftReplicas) -> Answer<ReplicasShifting> {
    authorize(&context.principal, Operation::Alter, Resource::Cluster)?;
    let ShiftReplicas { node, shift, throttle: rate } = request;
    let controller = &context.services.controller;
    if shift == Shift::Away {
        // What cannot be emptied stays as it is.
        moves(&controller.image(), node, shift).map_err(refused)?;
    }
    let index = throttle(&context, rate).await?;
    let draining = shift == Shift::Away;
    let set = controller.submit(Command::SetDraining { node, draining }).await;
    let (reached, _) = set.map_err(submit_error)?;
    let image = controller.image();
    let moves = moves(&image, node, shift).map_err(refused)?;
    let wanted = moves.into_iter().map(|one| {
        let name = image.topic_names.get(&one.topic).cloned().unwrap_or_default();
        Wanted { name, id: Ok(one.topic), partition: one.partition, target: Some(one.target) }
    });
    let (moved, mut partitions) = carry_out(&context, wanted.collect()).await;
    // Of a topic that was deleted meanwhile there is nothing to move.
    let is_gone = |error: &WireError| error.code == ErrorCode::UnknownTopic;
    partitions.retain(|one| !one.outcome.as_ref().is_err_and(is_gone));
    let replicas = u32::try_from(controller.image().replicas_on(node)).unwrap_or(u32::MAX);
    Ok((index.max(reached).max(moved), ReplicasShifting { partitions, replicas }))
}

fn moves(image: &Image, node: NodeId, shift: Shift) -> Result<Vec<Move>, MetadataError> {
    match shift {
        Shift::Away => image.emptying(node),
        Shift::Allow => Ok(Vec::new()),
        Shift::Onto => image.filling(node),
    }
}

fn refused(error: MetadataError) -> WireError {
    submit_error(SubmitError::Refused(error))
}

/// Sets how fast the nodes send to replicas that are being added.
async fn throttle(context: &Context, rate: Option<Throttle>) -> Result<MetadataIndex, WireError> {
    let mut change = ConfigChange::default();
    match rate {
        None => return Ok(context.image.index),
        Some(Throttle::Off) => {
            change.delete.insert(THROTTLE_KEY.to_owned());
        }
        Some(Throttle::BytesPerSecond(rate)) => {
            change.set.insert(THROTTLE_KEY.to_owned(), rate.to_string());
        }
    }
    let command = Command::AlterNodeConfigs { node: None, change };
    let (index, _) = context.services.controller.submit(command).await.map_err(submit_error)?;
    Ok(index)
}

/// A partition with the replicas that it is to have.
struct Wanted {
    name: String,
    id: Result<TopicId, WireError>,
    partition: PartitionIndex,
    target: Option<Vec<NodeId>>,
}

/// Submits what is wanted, many at a time; what becomes of each, in the order asked.
async fn carry_out(context: &Context, wanted: Vec<Wanted>) -> (MetadataIndex, Vec<ReassignmentAltered>) {
    let (mut index, mut altered) = (context.image.index, Vec::with_capacity(wanted.len()));
    let mut wanted = wanted.into_iter();
    loop {
        let asked: Vec<_> = wanted
            .by_ref()
            .take(AT_A_TIME)
            .map(|Wanted { name, id, partition, target }| {
                let controller = context.services.controller.clone();
                let submitted = tokio::spawn(async move {
                    let topic = id?;
                    let command = Command::Reassign { topic, partition, target };
                    controller.submit(command).await.map_err(submit_error)
                });
                (name, partition, submitted)
            })
            .collect();
        if asked.is_empty() {
            return (index, altered);
        }
        for (topic, partition, submitted) in asked {
            let outcome = match submitted.await {
                Ok(Ok((reached, applied))) => {
                    index = index.max(reached);
                    Ok(matches!(applied, Applied::Reassigned { under_way: true }))
                }
                Ok(Err(error)) => Err(error),
                Err(_) => Err(super::stopping()),
            };
            altered.push(ReassignmentAltered { topic, partition, outcome });
        }
    }
}
