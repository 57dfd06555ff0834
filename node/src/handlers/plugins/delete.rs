//! Forgetting a plugin.

use weir_core::metadata::Command;
use weir_wire::request::{DeletePlugin, PluginDeleted};

use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context, submit_error};

pub(in crate::handlers) async fn handle(context: Context, request: DeletePlugin) -> Answer<PluginDeleted> {
    authorize(&context.principal, Operation::Delete, Resource::Cluster)?;
    let command = Command::DeletePlugin { name: request.name, version: request.version };
    let (index, _) = context.services.controller.submit(command).await.map_err(submit_error)?;
    Ok((index, PluginDeleted))
}
