//! Deleting a group.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{DeleteGroup, GroupDeleted};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_known, mixed_up};

pub(in super::super) async fn handle(context: Context, request: DeleteGroup) -> Answer<GroupDeleted> {
    let group = request.group.clone();
    match ask_known(&context, Operation::Delete, &group, Ask::Delete(request)).await? {
        Reply::Deleted => Ok((context.image.index, GroupDeleted {})),
        _ => Err(mixed_up()),
    }
}
