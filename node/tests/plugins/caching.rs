//! Compiled code on disk is believed only where this node wrote it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_node::outside::{BlobStore, Outside};
use weir_node::plugins::{Engines, Plugins};

use crate::support::{Blobs, alone, binding, context, described, engines, host_with, load, pipeline, run};

/// Loads a plugin on a host of its own, and shows that it runs.
async fn use_it(engines: Engines, blobs: &Arc<Blobs>) {
    let plugins = host_with(engines, Arc::clone(blobs));
    let loaded = load(&plugins, weir_guests::PASS_FLAT).await.unwrap();
    let pipeline = pipeline(&plugins, alone(binding(&loaded, "pass", &[]))).await.unwrap();
    assert!(described(&run(&pipeline, &["a"], &context()).await).starts_with("1 to partition"));
}

/// The name and bytes of the one entry.
fn entry(blobs: &Blobs) -> (String, Vec<u8>) {
    let blobs = blobs.0.lock().unwrap();
    let mut entries = blobs.iter().filter(|(name, _)| *name != "key");
    let (name, bytes) = entries.next().unwrap();
    assert_eq!(entries.next(), None);
    (name.clone(), bytes.clone())
}

#[tokio::test]
async fn what_was_compiled_is_read_back() {
    let blobs = Arc::new(Blobs::default());
    use_it(engines(), &blobs).await;
    let first = entry(&blobs);
    use_it(engines(), &blobs).await;
    assert_eq!(entry(&blobs), first);
}

/// An engine takes damaged code for good (it looks at the frame only), so the checksum must not let it get there.
#[tokio::test]
async fn damaged_code_is_compiled_again() {
    let blobs = Arc::new(Blobs::default());
    use_it(engines(), &blobs).await;
    let (name, good) = entry(&blobs);
    for at in [0, 9, 20, 44, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        blobs.0.lock().unwrap().insert(name.clone(), bad);
        use_it(engines(), &blobs).await;
        assert_eq!(entry(&blobs), (name.clone(), good.clone()), "byte {at} was not noticed");
    }
    for length in [0, 11, 43, 44, good.len() - 1] {
        blobs.0.lock().unwrap().insert(name.clone(), good[..length].to_vec());
        use_it(engines(), &blobs).await;
        assert_eq!(entry(&blobs).1.len(), good.len(), "{length} bytes were believed");
    }
}

#[tokio::test]
async fn code_of_another_node_or_plugin_is_not_believed() {
    let (own, foreign) = (Arc::new(Blobs::default()), Arc::new(Blobs::default()));
    use_it(engines(), &own).await;
    use_it(engines(), &foreign).await;
    let (name, good) = entry(&own);
    let (same_name, other) = entry(&foreign);
    assert_eq!(name, same_name);
    assert_ne!(good, other, "each node has a key of its own");
    own.0.lock().unwrap().insert(name.clone(), other);
    use_it(engines(), &own).await;
    assert_eq!(entry(&own), (name.clone(), good));

    // The code of one component under the name of another.
    let plugins = host_with(engines(), Arc::clone(&own));
    load(&plugins, weir_guests::PASS_TYPED).await.unwrap();
    let typed = own
        .0
        .lock()
        .unwrap()
        .iter()
        .find(|(other, _)| **other != name && *other != "key")
        .map(|(_, code)| code.clone());
    own.0.lock().unwrap().insert(name.clone(), typed.unwrap());
    let loaded = load(&plugins, weir_guests::PASS_FLAT).await.unwrap();
    pipeline(&plugins, alone(binding(&loaded, "pass", &[]))).await.unwrap();
}

#[tokio::test]
async fn an_engine_with_other_settings_has_entries_of_its_own() {
    let blobs = Arc::new(Blobs::default());
    use_it(engines(), &blobs).await;
    let (of_epochs, _) = entry(&blobs);
    use_it(Engines::simulated().unwrap(), &blobs).await;
    let names: Vec<_> = blobs.0.lock().unwrap().keys().filter(|name| *name != "key").cloned().collect();
    assert_eq!(names.len(), 2);
    let (digest, _) = of_epochs.split_once('-').unwrap();
    assert!(names.iter().all(|name| name.starts_with(digest)), "{names:?}");
}

#[tokio::test]
async fn a_key_that_is_none_is_made_anew() {
    let blobs = Arc::new(Blobs::default());
    use_it(engines(), &blobs).await;
    let (name, old) = entry(&blobs);
    blobs.0.lock().unwrap().insert("key".to_owned(), vec![1, 2, 3]);
    use_it(engines(), &blobs).await;
    assert_eq!(blobs.0.lock().unwrap()["key"].len(), 32);
    assert_ne!(entry(&blobs), (name, old));
}

/// Blobs that count how often one is written.
#[derive(Default)]
struct Counted {
    blobs: Blobs,
    written: AtomicUsize,
}

impl BlobStore for Counted {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.blobs.read(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.written.fetch_add(1, Ordering::SeqCst);
        self.blobs.write(name, bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.blobs.remove(name)
    }
}

/// A node that starts with an empty cache has as many topics ask for a plugin as it is bound to.
#[tokio::test]
async fn what_many_ask_for_at_once_is_compiled_once() {
    let counted = Arc::new(Counted::default());
    let outside = Outside::real().unwrap().with_workers("compile", Plugins::WORKERS).unwrap();
    let plugins = Plugins::start(engines(), outside, Arc::clone(&counted) as _).unwrap();
    let load = || load(&plugins, weir_guests::PASS_FLAT);
    let (one, two, three) = tokio::join!(load(), load(), load());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(counted.written.load(Ordering::SeqCst), 2, "the key of the cache, and the code");
}
