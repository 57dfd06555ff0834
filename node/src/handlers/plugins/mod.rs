//! Requests about plugins and pipelines: one file per request kind, and what they share.

pub(super) mod activate;
pub(super) mod delete;
pub(super) mod describe;
pub(super) mod explain;
pub(super) mod lines;
pub(super) mod list;
pub(super) mod push;
pub(super) mod roll_back;
pub(super) mod shadow;
pub(super) mod stage;
pub(super) mod upload;

use weir_core::metadata::catalogue::Catalogue;
use weir_core::metadata::{Image, PipelineSpec, PluginState};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::request::BoundPlugin;

use super::Services;
use crate::components::{SHIPPED_VERSION, Shipped};

/// Every plugin that can be bound: those of the metadata, and those that ship with this node.
fn catalogue(services: &Services, image: &Image) -> Catalogue {
    let mut catalogue = image.plugins.clone();
    for plugin in services.components.shipped() {
        let versions = catalogue.entry(plugin.name.to_owned()).or_default();
        versions.entry(SHIPPED_VERSION.to_owned()).or_insert_with(|| state(plugin));
    }
    catalogue
}

/// A plugin that ships, as the metadata would know it.
fn state(plugin: &Shipped) -> PluginState {
    PluginState {
        digest: plugin.digest,
        kind: plugin.kind,
        shape: plugin.shape,
        component_bytes: plugin.component.len() as u64,
        wasi: false,
        reuse: false,
    }
}

/// The plugins of a pipeline, as clients see them.
fn bound(spec: &PipelineSpec) -> Vec<BoundPlugin> {
    spec.bindings()
        .map(|(kind, binding)| BoundPlugin {
            kind,
            plugin: binding.plugin.clone(),
            version: binding.version.clone(),
            digest: binding.digest,
            options: binding.options.clone(),
            limits: binding.limits.iter().map(|(name, value)| (name.clone(), *value)).collect(),
            on_failure: binding.on_failure.name().to_owned(),
            reuse: binding.reuse,
        })
        .collect()
}

/// A plugin, a binding or a file that cannot be.
fn invalid(sentence: impl ToString) -> WireError {
    WireError::new(ErrorCode::InvalidPlugin, sentence.to_string())
}
