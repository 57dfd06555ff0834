//! Moving a group to other offsets.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{OffsetsReset, ResetOffsets};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_coordinator, mixed_up};

pub(in super::super) async fn handle(context: Context, request: ResetOffsets) -> Answer<OffsetsReset> {
    let group = request.group.clone();
    let ends = context.services.groups.log_ends(&request.offsets);
    match ask_coordinator(&context, Operation::Alter, &group, Ask::Reset(request, ends)).await? {
        Reply::Reset(reset) => Ok((context.image.index, reset)),
        _ => Err(mixed_up()),
    }
}
