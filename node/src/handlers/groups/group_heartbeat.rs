//! Saying that a member is alive. The answer may be held for news.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{GroupHeartbeat, Membership};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_known, mixed_up};

pub(in super::super) async fn handle(context: Context, request: GroupHeartbeat) -> Answer<Membership> {
    let group = request.group.clone();
    match ask_known(&context, Operation::Read, &group, Ask::Heartbeat(request)).await? {
        Reply::Membership(membership) => Ok((context.image.index, membership)),
        _ => Err(mixed_up()),
    }
}
