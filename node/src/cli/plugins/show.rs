//! Plugins and pipelines, for people and for scripts.

use serde::Serialize;
use weir_client::BoundPlugin;

/// A bound plugin, for scripts.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Bound {
    name: String,
    version: String,
    digest: String,
    place: &'static str,
    options: Vec<(String, String)>,
    limits: Vec<(String, u64)>,
    on_failure: String,
    reuse: bool,
}

pub(in crate::cli) fn bound(plugin: &BoundPlugin) -> Bound {
    Bound {
        name: plugin.plugin.clone(),
        version: plugin.version.clone(),
        digest: plugin.digest.to_string(),
        place: plugin.kind.name(),
        options: plugin.options.clone(),
        limits: plugin.limits.clone(),
        on_failure: plugin.on_failure.clone(),
        reuse: plugin.reuse,
    }
}

/// The plugins of a pipeline in one line.
pub(in crate::cli) fn chain(plugins: &[BoundPlugin]) -> String {
    if plugins.is_empty() {
        return "no plugins".to_owned();
    }
    let one = |plugin: &BoundPlugin| {
        let options: Vec<_> = plugin.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let options = if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
        format!("{} {}@{}{options}", plugin.kind.name(), plugin.plugin, plugin.version)
    };
    plugins.iter().map(one).collect::<Vec<_>>().join(", then ")
}
