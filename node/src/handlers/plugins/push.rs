//! Making an uploaded component a plugin: checked, compiled, kept, named, spread.

use weir_core::metadata::{Command, PluginState};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::names;
use weir_wire::request::{PluginPushed, PushPlugin};

use super::{catalogue, invalid};
use crate::components::ComponentError;
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context, submit_error};
use crate::plugins::{Grants, Plugins, Purpose};

pub(in crate::handlers) async fn handle(context: Context, request: PushPlugin) -> Answer<PluginPushed> {
    authorize(&context.principal, Operation::Create, Resource::Cluster)?;
    let services = &context.services;
    names::check_plugin_name(&request.name).map_err(invalid)?;
    names::check_plugin_version(&request.version).map_err(invalid)?;
    let file = services.uploads.finish(request.upload)?;
    let component = Plugins::component(file).map_err(invalid)?;
    let grants = Grants { wasi: request.wasi };
    let loaded = services.pipelines.plugins().load(component.clone(), grants, Purpose::Run).await;
    let loaded = loaded.map_err(invalid)?;
    let component_bytes = component.len() as u64;
    let digest = services.components.keep(component).await.map_err(component_error)?;
    let (kind, shape) = (loaded.kind(), loaded.shape());
    let plugin =
        PluginState { digest, kind, shape, component_bytes, wasi: request.wasi, reuse: request.reuse };
    let taken = catalogue(services, &context.image);
    let known = taken.get(&request.name).and_then(|versions| versions.get(&request.version));
    if let Some(known) = known.filter(|known| **known != plugin) {
        let (name, version) = (&request.name, &request.version);
        let sentence = format!(
            "plugin {name}@{version} exists already, with other bytes or another grant (digest {}); push yours under \
             another version",
            known.digest
        );
        return Err(WireError::new(ErrorCode::PluginAlreadyExists, sentence));
    }
    let command = Command::PushPlugin { name: request.name, version: request.version, plugin };
    let (index, _) = services.controller.submit(command).await.map_err(submit_error)?;
    let nodes = services.components.spread(digest).await;
    let live = context.image.nodes.values().filter(|state| !state.fenced).count();
    if nodes.len() <= live / 2 {
        let sentence = format!(
            "the plugin is known, but only {} of {live} live nodes hold it by now; push again to see whether more do",
            nodes.len()
        );
        return Err(WireError::new(ErrorCode::TimedOut, sentence));
    }
    Ok((index, PluginPushed { digest, kind, shape, component_bytes, nodes }))
}

fn component_error(error: ComponentError) -> WireError {
    let code = match &error {
        ComponentError::Nowhere { .. } => ErrorCode::UnknownPlugin,
        ComponentError::Store(_) => ErrorCode::StorageFailed,
    };
    WireError::new(code, error.to_string())
}
