//! Forgetting how far a group has come.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{DeleteOffsets, OffsetsDeleted};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_known, mixed_up};

pub(in super::super) async fn handle(context: Context, request: DeleteOffsets) -> Answer<OffsetsDeleted> {
    let group = request.group.clone();
    match ask_known(&context, Operation::Delete, &group, Ask::DeleteOffsets(request)).await? {
        Reply::OffsetsDeleted(deleted) => Ok((context.image.index, deleted)),
        _ => Err(mixed_up()),
    }
}
