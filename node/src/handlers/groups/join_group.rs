//! Joining a group.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{JoinGroup, Membership};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_coordinator, mixed_up};

pub(in super::super) async fn handle(context: Context, request: JoinGroup) -> Answer<Membership> {
    let group = request.group.clone();
    match ask_coordinator(&context, Operation::Read, &group, Ask::Join(request)).await? {
        Reply::Membership(membership) => Ok((context.image.index, membership)),
        _ => Err(mixed_up()),
    }
}
