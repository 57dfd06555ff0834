//! The door to wasmtime: checks, compiles, pools and calls plugins.
//!
//! ```text
//!  bytes ──examine──▶ compile (worker, once per digest; cache) ──▶ Loaded ──bind──▶ Pipeline ──run──▶ Processed
//!           imports,     engines: epochs or fuel                     │    options,    │   a fresh instance
//!           kind         keyed checksum                              │    limits      │   per batch and plugin
//!                                                                    └──────────────▶ Assignor
//! ```
//!
//! Nothing here knows where batches come from or go to, and nothing outside knows that there is WebAssembly. What an
//! answer means is decided in [`weir_core::pipeline`]; what a plugin may do to the node is decided here.

mod alarm;
mod assignor;
mod binding;
mod cache;
mod chain;
mod contract;
mod engines;
mod epochs;
mod examine;
mod hooks;
mod instance;
mod limits;
mod loading;
mod observer;
mod stats;
mod voice;
mod wasi;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;
use weir_core::pipeline::failing::Failure;

pub use self::assignor::Assignor;
pub use self::binding::{BindingConfig, Place};
pub use self::cache::digest_of;
use self::cache::{Cache, KEY_BYTES};
pub use self::chain::{BatchContext, BatchTarget, Bindings, Opening, Pipeline, Processed};
pub use self::engines::{EngineError, Engines};
pub use self::examine::{CONTRACT_VERSION, Grants, Kind, LoadError, Shape};
pub use self::limits::{COMPONENT_BYTES_MAX, Limits};
use self::loading::Loader;
pub use self::loading::{Loaded, Purpose, Started};
pub use self::observer::{Acknowledgement, Commit, ObservedBatch};
pub use self::stats::Snapshot;
pub use self::voice::Line;
use self::voice::Lines;
use crate::outside::{BlobStore, Clock, Outside};

/// The plugins of a node. Cheap to clone.
#[derive(Clone)]
pub struct Plugins {
    clock: Arc<dyn Clock>,
    lines: Arc<Lines>,
    loader: Arc<Loader>,
}

impl Plugins {
    /// How many workers it wants: one compiles; the other looks at files, and reads what was compiled before.
    pub const WORKERS: usize = 2;

    /// Starts. `outside` has [`Plugins::WORKERS`] that compile: not those that flush, as compiling takes long. `blobs` is a
    /// folder that nobody else can read or write.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn start(engines: Engines, outside: Outside, blobs: Arc<dyn BlobStore>) -> std::io::Result<Plugins> {
        let key = || {
            let mut key = [0; KEY_BYTES];
            outside.random.fill(&mut key);
            key
        };
        let cache = Cache::open(blobs, key)?;
        let clock = Arc::clone(&outside.clock);
        Ok(Plugins {
            lines: Arc::new(Lines::new(Arc::clone(&clock))),
            loader: Arc::new(Loader::new(engines, cache, outside)),
            clock,
        })
    }

    /// Makes a pushed file a component: what it is stored, digested and loaded as. A core module that says which world
    /// it implements is wrapped; a component stays as it is.
    ///
    /// # Errors
    /// When it is too large, damaged, or neither.
    pub fn component(file: Bytes) -> Result<Bytes, LoadError> {
        let wrapped = match examine::component(&file)? {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(component) => Some(component),
        };
        Ok(wrapped.map_or(file, Bytes::from))
    }

    /// What a component is for and how it gets its records, told without compiling it.
    ///
    /// # Errors
    /// See [`LoadError`]; each says what to do.
    pub fn examine(component: &[u8], grants: Grants) -> Result<(Kind, Shape), LoadError> {
        examine::examine(component, grants).map(|examined| (examined.kind, examined.shape))
    }

    /// Checks, compiles and links a component; fast if this node has compiled it before.
    ///
    /// # Errors
    /// See [`LoadError`]; each says what to do.
    pub async fn load(
        &self,
        component: Bytes,
        grants: Grants,
        purpose: Purpose,
    ) -> Result<Arc<Loaded>, LoadError> {
        self.loader.load(component, grants, purpose).await.map(Arc::new)
    }

    /// Makes a revision of a topic's pipeline ready. Call it inside a runtime.
    ///
    /// # Errors
    /// See [`Opening`]: the first plugin that fails, with what it said.
    pub async fn pipeline(
        &self,
        bindings: Bindings,
        place: Place,
        opening: Opening,
    ) -> Result<Arc<Pipeline>, Failure> {
        Pipeline::build(bindings, place, opening, &self.clock, &self.lines).await
    }

    /// Makes an assignor ready for a group.
    ///
    /// # Errors
    /// When it refuses its options, or does not survive taking them.
    pub async fn assignor(&self, binding: BindingConfig, group: &str) -> Result<Assignor, Failure> {
        Assignor::build(binding, group, &self.clock, &self.lines).await
    }

    /// The lines that plugins write from now on. Who reads too slowly misses some.
    #[must_use]
    pub fn follow_lines(&self) -> broadcast::Receiver<Arc<Line>> {
        self.lines.follow()
    }
}
