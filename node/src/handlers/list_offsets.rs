//! Looking up offsets: earliest, latest, by time.

use weir_wire::batch;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::request::{CreateTopic, ListOffsets, ListedOffset, OffsetSpec, OffsetsListed};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context};
use super::find_partition;
use crate::partitions::PartitionHandle;
use crate::storage::{LogReader, ReadError};

pub(super) async fn handle(context: Context, request: ListOffsets) -> Answer<OffsetsListed> {
    let name = context.image.topic_by_id(request.topic).map(|(name, _)| name).unwrap_or_default();
    authorize(&context.principal, Operation::Describe, Resource::Topic(name))?;
    if request.partitions.len() > CreateTopic::PARTITIONS_MAX as usize {
        let sentence = format!("a topic has at most {} partitions", CreateTopic::PARTITIONS_MAX);
        return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
    }
    let mut offsets = Vec::with_capacity(request.partitions.len());
    for (partition, leader_epoch, spec) in request.partitions {
        offsets.push(look_up(&context, request.topic, partition, leader_epoch, spec).await);
    }
    Ok((context.image.index, OffsetsListed { offsets }))
}

async fn look_up(
    context: &Context,
    topic: TopicId,
    partition: PartitionIndex,
    leader_epoch: Option<LeaderEpoch>,
    spec: OffsetSpec,
) -> Result<ListedOffset, WireError> {
    let handle = find_partition(&context.services, topic, partition)?;
    let current = handle.view.leader_epoch();
    super::check_leader_epoch(leader_epoch, current)?;
    let offset = match spec {
        OffsetSpec::Earliest => handle.view.log_start(),
        OffsetSpec::Latest => latest(&handle, current).await?,
        OffsetSpec::Timestamp(timestamp_ms) => at_time(context, &handle, current, timestamp_ms).await?,
    };
    Ok(ListedOffset { offset, leader_epoch: current })
}

async fn latest(handle: &PartitionHandle, leader_epoch: LeaderEpoch) -> Result<Offset, WireError> {
    handle.latest_offset(leader_epoch).await.unwrap_or_else(|_| Err(super::stopping()))
}

/// The first committed offset whose record is at or after the time, else the high watermark.
async fn at_time(
    context: &Context,
    handle: &PartitionHandle,
    leader_epoch: LeaderEpoch,
    timestamp_ms: i64,
) -> Result<Offset, WireError> {
    let (reader, below) = (handle.reader.clone(), latest(handle, leader_epoch).await?);
    let found =
        context.services.outside.on_worker(move || first_at_or_after(&reader, timestamp_ms, below)).await;
    match found {
        Ok(offset) => Ok(offset.unwrap_or(below).max(handle.view.log_start())),
        Err(error) => Err(super::read_error(&error)),
    }
}

/// Storage finds the batch; the record within it is looked for here.
fn first_at_or_after(
    reader: &LogReader,
    timestamp_ms: i64,
    below: Offset,
) -> Result<Option<Offset>, ReadError> {
    let Some(hit) = reader.find_timestamp(timestamp_ms, below)? else { return Ok(None) };
    let slice = reader.read(hit.offset, below, 0, true)?;
    let Some(batch) = slice.chunks.first() else { return Ok(Some(hit.offset)) };
    // A batch that does not unpack is the consumer's to complain about: it begins where it begins.
    let Ok(records) = batch::records(batch, &batch::Limits::default()) else { return Ok(Some(hit.offset)) };
    let base = records.header().base_offset;
    let record = records.iter().find(|record| record.timestamp_ms >= timestamp_ms);
    Ok(Some(record.map_or(hit.offset, |record| base + u64::from(record.offset_delta))))
}
