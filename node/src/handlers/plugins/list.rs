//! Which plugins there are.

use weir_wire::request::{ListPlugins, PluginEntry, PluginsListed};

use super::catalogue;
use crate::components::SHIPPED_VERSION;
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context};

pub(in crate::handlers) async fn handle(context: Context, _: ListPlugins) -> Answer<PluginsListed> {
    authorize(&context.principal, Operation::Describe, Resource::Cluster)?;
    let image = &context.image;
    let mut plugins = Vec::new();
    for (name, versions) in catalogue(&context.services, image) {
        for (version, plugin) in versions {
            let topics = image.topics.iter().filter(|(_, topic)| {
                let mut bindings = topic.current_pipeline().spec.bindings();
                bindings.any(|(_, binding)| binding.plugin == name && binding.version == version)
            });
            let is_shipped = version == SHIPPED_VERSION
                && context.services.components.shipped().any(|shipped| shipped.digest == plugin.digest);
            plugins.push(PluginEntry {
                topics: topics.map(|(topic, _)| topic.clone()).collect(),
                name: name.clone(),
                version,
                digest: plugin.digest,
                kind: plugin.kind,
                shape: plugin.shape,
                component_bytes: plugin.component_bytes,
                wasi: plugin.wasi,
                reuse: plugin.reuse,
                is_shipped,
            });
        }
    }
    Ok((image.index, PluginsListed { plugins }))
}
