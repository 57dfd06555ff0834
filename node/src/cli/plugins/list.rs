//! `weir plugins list`: every plugin that can be bound.

use serde::Serialize;
use weir_client::{Client, PluginEntry};

use crate::cli::output::{Done, Exit, Output, columns, grouped};

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    version: String,
    digest: String,
    kind: &'static str,
    shape: &'static str,
    bytes: u64,
    wasi: bool,
    reuse: bool,
    ships: bool,
    topics: Vec<String>,
}

impl Listed {
    fn of(plugin: PluginEntry) -> Listed {
        Listed {
            name: plugin.name,
            version: plugin.version,
            digest: plugin.digest.to_string(),
            kind: plugin.kind.name(),
            shape: plugin.shape.name(),
            bytes: plugin.component_bytes,
            wasi: plugin.wasi,
            reuse: plugin.reuse,
            ships: plugin.is_shipped,
            topics: plugin.topics,
        }
    }

    fn row(&self) -> [String; 6] {
        let origin = if self.ships { "ships with weir" } else { "pushed" };
        [
            format!("{}@{}", self.name, self.version),
            self.kind.to_owned(),
            grouped(self.bytes),
            origin.to_owned(),
            self.digest[..12].to_owned(),
            if self.topics.is_empty() { "-".to_owned() } else { self.topics.join(", ") },
        ]
    }
}

pub(super) async fn run(client: &Client, output: Output) -> Done {
    let plugins: Vec<Listed> = client.list_plugins().await?.plugins.into_iter().map(Listed::of).collect();
    let mut rows = vec![["plugin", "kind", "bytes", "origin", "digest", "topics"].map(str::to_owned)];
    rows.extend(plugins.iter().map(Listed::row));
    for line in columns(&rows) {
        output.line(&line)?;
    }
    output.result(&serde_json::json!({ "plugins": plugins }))?;
    Ok(Exit::Success)
}
