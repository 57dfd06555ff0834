//! Plugins: which components there are, under which names.

use serde::{Deserialize, Serialize};
use weir_wire::names;
use weir_wire::plugin::{PluginDigest, PluginKind, PluginShape};

use super::{Applied, Image, MetadataError};

/// The most versions of plugins that one cluster knows.
pub const PLUGINS_MAX: usize = 1000;

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginState {
    /// Which bytes.
    pub digest: PluginDigest,
    /// What it is for.
    pub kind: PluginKind,
    /// How it gets its records.
    pub shape: PluginShape,
    /// How many bytes the component has.
    pub component_bytes: u64,
    /// Whether it was granted an empty WASI.
    pub wasi: bool,
    /// Whether one instance serves many batches.
    pub reuse: bool,
}

/// How people name a version of a plugin.
pub(super) fn label(name: &str, version: &str) -> String {
    format!("{name}@{version}")
}

impl Image {
    /// The plugin of this name and version.
    #[must_use]
    pub fn plugin(&self, name: &str, version: &str) -> Option<&PluginState> {
        self.plugins.get(name)?.get(version)
    }

    /// A name and version stand for the same bytes for good; pushing them again changes nothing.
    pub(super) fn push_plugin(
        &mut self,
        name: &str,
        version: &str,
        plugin: &PluginState,
    ) -> Result<Applied, MetadataError> {
        let legal = names::check_plugin_name(name).and_then(|()| names::check_plugin_version(version));
        legal.map_err(|error| MetadataError::InvalidPluginName(error.to_string()))?;
        match self.plugin(name, version) {
            Some(known) if known == plugin => return Ok(Applied::PluginPushed),
            Some(known) => {
                let known = known.digest;
                return Err(MetadataError::PluginExists { plugin: label(name, version), known });
            }
            None => {}
        }
        if self.plugins.values().map(|versions| versions.len()).sum::<usize>() >= PLUGINS_MAX {
            return Err(MetadataError::TooManyPlugins);
        }
        self.plugins.entry(name.to_owned()).or_default().insert(version.to_owned(), plugin.clone());
        Ok(Applied::PluginPushed)
    }

    /// What an open pipeline names stays: a batch may be sent again under it, on any node.
    pub(super) fn delete_plugin(&mut self, name: &str, version: &str) -> Result<Applied, MetadataError> {
        let unknown = || MetadataError::UnknownPlugin(label(name, version));
        self.plugin(name, version).ok_or_else(unknown)?;
        if let Some(user) = self.user_of(name, version) {
            return Err(MetadataError::PluginInUse { plugin: label(name, version), user });
        }
        if let Some(versions) = self.plugins.get_mut(name) {
            versions.remove(version);
            if versions.is_empty() {
                self.plugins.remove(name);
            }
        }
        Ok(Applied::PluginDeleted)
    }

    /// The first pipeline that names a plugin, for people.
    fn user_of(&self, name: &str, version: &str) -> Option<String> {
        if self.new_topic_pipeline.names(name, version) {
            return Some("the pipeline of new topics".to_owned());
        }
        self.topics.iter().find_map(|(topic, state)| {
            let staged = state.staged.iter().map(|staged| (staged.revision, &staged.spec));
            let open = state.pipelines.iter().map(|(revision, pipeline)| (*revision, &pipeline.spec));
            let (revision, _) = open.chain(staged).find(|(_, spec)| spec.names(name, version))?;
            Some(format!("revision {revision} of topic '{topic}'"))
        })
    }
}
