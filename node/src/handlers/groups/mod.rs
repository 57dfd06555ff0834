//! Requests about groups, one file each. All of them go to the group's coordinator.

pub(super) mod commit_offsets;
pub(super) mod delete_group;
pub(super) mod delete_offsets;
pub(super) mod describe_group;
pub(super) mod explain_group;
pub(super) mod fetch_offsets;
pub(super) mod group_heartbeat;
pub(super) mod join_group;
pub(super) mod leave_group;
pub(super) mod list_groups;
pub(super) mod reset_offsets;
pub(super) mod set_assignor;

use weir_core::group::{Ask, Asker, GroupError, Reply};
use weir_wire::error::{ErrorCode, WireError};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Context, submit_error};

/// Asks the coordinator of a group that need not exist yet: neither need the topic in which groups are kept.
async fn ask_coordinator(
    context: &Context,
    operation: Operation,
    group: &str,
    ask: Ask,
) -> Result<Reply, WireError> {
    authorize(&context.principal, operation, Resource::Group(group))?;
    context.services.groups.ensure_topic().await.map_err(submit_error)?;
    context.services.groups.ask(group, asker(context), ask).await
}

/// Asks the coordinator of a group that whoever asks expects to exist. While no group was ever made here, none does.
async fn ask_known(
    context: &Context,
    operation: Operation,
    group: &str,
    ask: Ask,
) -> Result<Reply, WireError> {
    authorize(&context.principal, operation, Resource::Group(group))?;
    if !context.services.groups.has_topic() {
        return Err(GroupError::UnknownGroup(group.to_owned()).to_wire());
    }
    context.services.groups.ask(group, asker(context), ask).await
}

/// Who asks.
fn asker(context: &Context) -> Asker {
    Asker { client: context.principal.to_string(), host: context.host.to_string() }
}

/// A coordinator never answers one request with the answer to another.
fn mixed_up() -> WireError {
    WireError::new(ErrorCode::Internal, "the coordinator answered something else; this is a bug of the node")
}
