//! Which groups this node coordinates.

use weir_wire::request::{GroupsListed, ListGroups};

use super::super::authorize::{Operation, Resource, authorize};
use super::super::control::{Answer, Context};
use super::asker;

pub(in super::super) async fn handle(context: Context, _: ListGroups) -> Answer<GroupsListed> {
    authorize(&context.principal, Operation::Describe, Resource::Cluster)?;
    let groups = context.services.groups.list(&asker(&context)).await?;
    Ok((context.image.index, GroupsListed { groups }))
}
