//! Committing how far a group has come.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{CommitOffsets, OffsetsCommitted};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_coordinator, mixed_up};

pub(in super::super) async fn handle(context: Context, request: CommitOffsets) -> Answer<OffsetsCommitted> {
    let group = request.group.clone();
    let ends = context.services.groups.log_ends(&request.offsets);
    match ask_coordinator(&context, Operation::Read, &group, Ask::Commit(request, ends)).await? {
        Reply::Committed(committed) => Ok((context.image.index, committed)),
        _ => Err(mixed_up()),
    }
}
