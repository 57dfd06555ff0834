//! Follows the metadata: what it names and this node does not hold is pulled, what it does not name any more goes.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_wire::plugin::PluginDigest;

use super::{ComponentStore, named};

/// The pause before a component is asked for again that no node had.
const RETRY: Duration = Duration::from_secs(2);

/// Follows until the node stops.
pub(super) async fn run(store: ComponentStore) {
    let mut image = store.0.controller.image();
    let mut held = BTreeSet::new();
    loop {
        let wanted = named(&image);
        let missing: Vec<PluginDigest> = wanted.difference(&held).copied().collect();
        let mut lacks = false;
        for digest in missing {
            match hold(&store, digest).await {
                Ok(()) => drop(held.insert(digest)),
                Err(error) => {
                    lacks = true;
                    tracing::warn!(%error, "a plugin cannot be had yet; trying on");
                }
            }
        }
        for gone in held.difference(&wanted).copied().collect::<Vec<_>>() {
            held.remove(&gone);
            let folder = store.0.folder.clone();
            let removed = store.0.outside.on_worker(move || folder.remove(&gone.to_string())).await;
            if let Err(error) = removed {
                tracing::warn!(%error, digest = %gone, "a component that nobody needs cannot be removed");
            }
        }
        let newer = store.0.controller.newer_than(image.index);
        if lacks {
            image = tokio::time::timeout(RETRY, newer).await.unwrap_or_else(|_| store.0.controller.image());
        } else {
            image = newer.await;
        }
    }
}

/// Puts a component into this node's folder, also one that ships: a later version of the program may ship another.
async fn hold(store: &ComponentStore, digest: PluginDigest) -> Result<(), super::ComponentError> {
    let component = store.get(digest).await?;
    if store.0.shipped.contains_key(&digest) {
        store.keep(component).await?;
    }
    Ok(())
}
