//! Choosing who assigns the partitions of a group.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{AssignorSet, SetAssignor};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_coordinator, mixed_up};

pub(in super::super) async fn handle(context: Context, request: SetAssignor) -> Answer<AssignorSet> {
    let group = request.group.clone();
    match ask_coordinator(&context, Operation::Alter, &group, Ask::SetAssignor(request)).await? {
        Reply::AssignorSet(set) => Ok((context.image.index, set)),
        _ => Err(mixed_up()),
    }
}
