//! Which plugin a person means: a name, perhaps a version; and a pipeline with a change to it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::PluginState;

/// Plugins by name and version: those of the metadata, and those that ship with a node.
pub type Catalogue = BTreeMap<String, BTreeMap<String, PluginState>>;

/// The plugin that a name and perhaps a version stand for; without one, the newest.
///
/// # Errors
/// A sentence with what comes nearest.
pub fn resolve<'a>(
    catalogue: &'a Catalogue,
    name: &str,
    version: Option<&str>,
) -> Result<(&'a str, &'a PluginState), String> {
    let Some(versions) = catalogue.get(name) else {
        let nearest = crate::config_keys::nearest(name, catalogue.keys().map(String::as_str));
        let hint = nearest.map(|nearest| format!(", did you mean '{nearest}'?")).unwrap_or_default();
        return Err(format!("there is no plugin '{name}'{hint}; 'weir plugins list' shows which there are"));
    };
    let Some(version) = version else {
        let newest = versions.iter().max_by(|(one, _), (other, _)| compare_versions(one, other));
        return newest
            .map(|(version, plugin)| (version.as_str(), plugin))
            .ok_or_else(|| format!("plugin '{name}' has no version"));
    };
    versions.get_key_value(version).map(|(version, plugin)| (version.as_str(), plugin)).ok_or_else(|| {
        let mut known: Vec<&str> = versions.keys().map(String::as_str).collect();
        known.sort_by(|one, other| compare_versions(one, other));
        format!("plugin '{name}' has no version {version}; it has {}", known.join(", "))
    })
}

/// Which of two versions is newer: numbers count as numbers, all else as text, part by part. What has a part more is
/// newer, unless that part is a word, as in `1.0.0-rc.1`.
#[must_use]
pub fn compare_versions(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (parts(one), parts(other));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return one.cmp(other),
            (Some(part), None) => {
                if part.parse::<u64>().is_ok() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (None, Some(part)) => {
                if part.parse::<u64>().is_ok() {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                (Ok(_), Err(_)) => Ordering::Greater,
                (Err(_), Ok(_)) => Ordering::Less,
                (Err(_), Err(_)) => one.cmp(other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn parts(version: &str) -> impl Iterator<Item = &str> {
    version.split(['.', '-', '_'])
}

#[cfg(test)]
mod tests {
    use weir_wire::plugin::{PluginDigest, PluginKind, PluginShape};

    use super::*;

    fn catalogue() -> Catalogue {
        let plugin = PluginState {
            digest: PluginDigest([1; 32]),
            kind: PluginKind::Partitioner,
            shape: PluginShape::Flat,
            component_bytes: 1,
            wasi: false,
            reuse: false,
        };
        let versions = |versions: &[&str]| {
            versions.iter().map(|version| ((*version).to_owned(), plugin.clone())).collect::<BTreeMap<_, _>>()
        };
        BTreeMap::from([
            ("redact".to_owned(), versions(&["0.9.0", "0.10.0", "0.10.0-rc.1"])),
            ("filter".to_owned(), versions(&["2"])),
        ])
    }

    #[test]
    fn a_plugin_is_found_and_what_is_not_there_is_answered_with_what_is() {
        let catalogue = catalogue();
        let found = |name, version| resolve(&catalogue, name, version).map(|(version, _)| version.to_owned());
        assert_eq!(found("redact", None).unwrap(), "0.10.0");
        assert_eq!(found("redact", Some("0.9.0")).unwrap(), "0.9.0");
        assert_eq!(
            found("redact", Some("1.0.0")).unwrap_err(),
            "plugin 'redact' has no version 1.0.0; it has 0.9.0, 0.10.0-rc.1, 0.10.0"
        );
        assert_eq!(
            found("redcat", None).unwrap_err(),
            "there is no plugin 'redcat', did you mean 'redact'?; 'weir plugins list' shows which there are"
        );
        assert_eq!(
            found("xyz", None).unwrap_err(),
            "there is no plugin 'xyz'; 'weir plugins list' shows which there are"
        );
    }

    #[test]
    fn versions_are_compared_part_by_part() {
        let mut versions =
            ["1.0.0", "1", "0.10", "0.9", "1.0.0-rc.1", "1.0.0.1", "beta", "1.0.0-rc.10", "1.0.0-rc.9"];
        versions.sort_by(|one, other| compare_versions(one, other));
        assert_eq!(
            versions,
            ["beta", "0.9", "0.10", "1", "1.0.0-rc.1", "1.0.0-rc.9", "1.0.0-rc.10", "1.0.0", "1.0.0.1"]
        );
    }
}
