//! Leaving a group.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{GroupLeft, LeaveGroup};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_known, mixed_up};

pub(in super::super) async fn handle(context: Context, request: LeaveGroup) -> Answer<GroupLeft> {
    let group = request.group.clone();
    match ask_known(&context, Operation::Read, &group, Ask::Leave(request)).await? {
        Reply::Left => Ok((context.image.index, GroupLeft {})),
        _ => Err(mixed_up()),
    }
}
