//! The components of plugins: what ships, what was pushed, and what other nodes hold. Bytes by digest; who runs them is
//! no business of this module.
//!
//! ```text
//!  push ──▶ keep ──▶ DATA/components/DIGEST ◀── pull ── another node, as soon as the metadata names a digest
//!                         │ checked again at each reading
//!                         ▼
//!                  get(digest) ──▶ pipelines
//! ```
//!
//! Each node keeps its own copy of every component that the metadata names, so that it starts, and opens every revision,
//! without asking anybody. What is read is digested again: a damaged copy counts as none, and is pulled anew.

mod pulling;
mod shipped;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::AbortHandle;
use weir_core::metadata::Image;
use weir_wire::ids::NodeId;
use weir_wire::plugin::PluginDigest;

pub use shipped::{Shipped, VERSION as SHIPPED_VERSION};

use crate::controller::Controller;
use crate::outside::Outside;
use crate::pipelines::{Components, Fetching};
use crate::plugins::{COMPONENT_BYTES_MAX, digest_of};
use crate::replication::Replication;
use crate::storage::PrivateFolder;

/// Components of plugins. Cheap to clone.
#[derive(Clone)]
pub struct ComponentStore(Arc<Shared>);

struct Shared {
    node: NodeId,
    outside: Outside,
    folder: PrivateFolder,
    controller: Controller,
    replication: Replication,
    shipped: BTreeMap<PluginDigest, Shipped>,
    /// One is pulled at a time: each may be large, and whoever waits for the same one finds it afterwards.
    pulling: tokio::sync::Mutex<()>,
    /// What runs until the node stops.
    background: Mutex<Option<AbortHandle>>,
}

/// Why a component is not here.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// No other node has it either, or none answers.
    #[error("the component with digest {digest} is on no node that answers ({}); push the plugin again", .asked.join("; "))]
    Nowhere {
        /// Which.
        digest: PluginDigest,
        /// What each node that was asked said.
        asked: Vec<String>,
    },
    /// The disk.
    #[error("a component cannot be kept: {0}")]
    Store(#[from] std::io::Error),
}

impl ComponentStore {
    /// The components in a folder, beside those that ship.
    #[must_use]
    pub fn new(
        node: NodeId,
        outside: Outside,
        folder: PrivateFolder,
        controller: Controller,
        replication: Replication,
    ) -> ComponentStore {
        let shipped = shipped::all().into_iter().map(|plugin| (plugin.digest, plugin)).collect();
        ComponentStore(Arc::new(Shared {
            node,
            outside,
            folder,
            controller,
            replication,
            shipped,
            pulling: tokio::sync::Mutex::default(),
            background: Mutex::default(),
        }))
    }

    /// Keeps a copy of what the metadata names, from now on.
    pub fn start(&self) {
        let following = tokio::spawn(pulling::run(self.clone()));
        self.background().replace(following.abort_handle());
    }

    /// Ends what runs.
    pub fn stop(&self) {
        if let Some(following) = self.background().take() {
            following.abort();
        }
    }

    fn background(&self) -> MutexGuard<'_, Option<AbortHandle>> {
        self.0.background.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugins that ship, by name.
    pub fn shipped(&self) -> impl Iterator<Item = &Shipped> {
        self.0.shipped.values()
    }

    /// Keeps a component.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn keep(&self, component: Bytes) -> Result<PluginDigest, ComponentError> {
        let folder = self.0.folder.clone();
        let kept = self.0.outside.on_worker(move || {
            let digest = digest_of(&component);
            folder.write(&digest.to_string(), &component).map(|()| digest)
        });
        Ok(kept.await?)
    }

    /// A component that this node holds; `None` if it holds none, or a damaged one.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn held(&self, digest: PluginDigest) -> Result<Option<Bytes>, ComponentError> {
        if let Some(plugin) = self.0.shipped.get(&digest) {
            return Ok(Some(plugin.component.clone()));
        }
        let folder = self.0.folder.clone();
        let read = self.0.outside.on_worker(move || {
            let bytes = folder.read(&digest.to_string())?;
            Ok::<_, std::io::Error>(bytes.filter(|bytes| digest_of(bytes) == digest))
        });
        Ok(read.await?.map(Bytes::from))
    }

    /// A component, from this node or from another one, which this node then holds too.
    ///
    /// # Errors
    /// When no node that answers has it.
    pub async fn get(&self, digest: PluginDigest) -> Result<Bytes, ComponentError> {
        if let Some(component) = self.held(digest).await? {
            return Ok(component);
        }
        let _turn = self.0.pulling.lock().await;
        if let Some(component) = self.held(digest).await? {
            return Ok(component);
        }
        let image = self.0.controller.image();
        let mut asked = Vec::new();
        for node in image.nodes.iter().filter(|(node, state)| **node != self.0.node && !state.fenced) {
            match self.0.replication.component(*node.0, digest, COMPONENT_BYTES_MAX).await {
                Ok(component) if digest_of(&component) == digest => {
                    tracing::info!(%digest, from = %node.0, bytes = component.len(), "pulled a component");
                    self.keep(component.clone()).await?;
                    return Ok(component);
                }
                Ok(_) => asked.push(format!("node {} sent other bytes", node.0)),
                Err(why) => asked.push(format!("node {}: {why}", node.0)),
            }
        }
        Err(ComponentError::Nowhere { digest, asked })
    }

    /// Makes nodes hold a component, and says which do: this one, and those that answer in time.
    pub async fn spread(&self, digest: PluginDigest) -> Vec<NodeId> {
        let image = self.0.controller.image();
        let others = live_nodes(&image).filter(|node| *node != self.0.node);
        let asking: Vec<_> = others
            .map(|node| {
                let replication = self.0.replication.clone();
                tokio::spawn(async move { replication.hold_component(node, digest).await.then_some(node) })
            })
            .collect();
        let mut holders = vec![self.0.node];
        for asked in asking {
            holders.extend(asked.await.ok().flatten());
        }
        holders.sort_unstable();
        holders
    }
}

impl Components for ComponentStore {
    fn get(&self, digest: PluginDigest) -> Fetching<'_> {
        Box::pin(async move { ComponentStore::get(self, digest).await.map_err(|error| error.to_string()) })
    }
}

/// The nodes that answer, as far as the metadata knows.
fn live_nodes(image: &Image) -> impl Iterator<Item = NodeId> {
    image.nodes.iter().filter(|(_, state)| !state.fenced).map(|(node, _)| *node)
}

/// The digests of every plugin that the metadata names.
fn named(image: &Image) -> std::collections::BTreeSet<PluginDigest> {
    image.plugins.values().flat_map(BTreeMap::values).map(|plugin| plugin.digest).collect()
}
