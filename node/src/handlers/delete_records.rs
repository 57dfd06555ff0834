//! Deleting the oldest records of a partition: its leader says what may go, the quorum keeps the word.

use weir_core::metadata::Command;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::request::{DeleteRecords, RecordsDeleted};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};
use super::find_partition;

pub(super) async fn handle(context: Context, request: DeleteRecords) -> Answer<RecordsDeleted> {
    let DeleteRecords { topic, partition, before } = request;
    let name = context.image.topic_by_id(topic).map(|(name, _)| name).unwrap_or_default();
    authorize(&context.principal, Operation::Alter, Resource::Topic(name))?;
    let handle = find_partition(&context.services, topic, partition)?;
    let latest = handle.latest_offset(handle.view.leader_epoch()).await;
    let high_watermark = latest.unwrap_or_else(|_| Err(super::stopping()))?;
    let before = before.unwrap_or(high_watermark);
    if before > high_watermark {
        let sentence = format!(
            "records before {before} cannot be deleted: the committed log of the partition ends at {high_watermark}"
        );
        return Err(WireError::new(ErrorCode::OffsetOutOfRange, sentence));
    }
    if before <= handle.view.log_start() {
        return Ok((context.image.index, RecordsDeleted { log_start: handle.view.log_start() }));
    }
    let command = Command::DeleteRecords { topic, partition, before };
    let (index, _) = context.services.controller.submit(command).await.map_err(submit_error)?;
    context.services.partitions.applied(index).await;
    Ok((index, RecordsDeleted { log_start: handle.view.log_start().max(before) }))
}
