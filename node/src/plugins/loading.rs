//! From the bytes of a component to something that can be instantiated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};
use weir_core::pipeline::failing::{Failure, Hook};
use weir_wire::plugin::PluginDigest;

use super::cache::{Cache, Code, digest_of};
use super::contract::{self, State, hooks};
use super::engines::{Bounded, Engines};
use super::examine::{self, Examined, Grants, Kind, LoadError, Shape};
use super::instance::{Broken, Instance};
use super::limits::Limits;
use super::voice::Voice;
use crate::outside::Outside;

/// How long a component may take to compile. A Python runtime takes some 15 seconds on an idle core.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a component waits for those that are compiled before it.
const COMPILE_WAIT_MAX: Duration = Duration::from_secs(120);

/// A component that was checked, compiled and linked: instances of it are cheap.
pub struct Loaded {
    digest: PluginDigest,
    kind: Kind,
    shape: Shape,
    pub(super) bounded: Bounded,
    pub(super) component: Linked,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Loaded { digest, kind, shape, .. } = self;
        f.debug_struct("Loaded")
            .field("digest", digest)
            .field("kind", kind)
            .field("shape", shape)
            .finish_non_exhaustive()
    }
}

impl Loaded {
    /// The SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> PluginDigest {
        self.digest
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it gets its records.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Starts an instance that no hook is called on; it ends with the value. What a fresh instance costs is measured so.
    ///
    /// # Errors
    /// What the component did instead of starting.
    pub async fn start(&self, limits: Limits) -> Result<Started, Failure> {
        let started = Instance::start(self, limits, Voice::default()).await;
        started.map(|instance| Started { _instance: instance }).map_err(|broken| {
            let Broken { cause, message, backtrace } = broken;
            Failure { plugin: self.digest.to_string(), hook: Hook::Configure, cause, message, backtrace }
        })
    }
}

/// An instance that lives.
pub struct Started {
    _instance: Instance,
}

/// A component with its imports, and where its hooks are.
pub(super) struct Linked {
    pub(super) pre: InstancePre<State>,
    pub(super) exports: Exports,
}

/// Where a component's hooks are.
pub(super) enum Exports {
    Producer(hooks::producer_hooks::GuestIndices),
    ProducerFlat(hooks::producer_hooks_flat::GuestIndices),
    Consumer(hooks::consumer_hooks::GuestIndices),
    ConsumerFlat(hooks::consumer_hooks_flat::GuestIndices),
    Partitioner(hooks::partitioner_hooks::GuestIndices),
    PartitionerFlat(hooks::partitioner_hooks_flat::GuestIndices),
    Assignor(hooks::assignor_hooks::GuestIndices),
}

/// For which engine a component is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run: assignors on fuel, everything else on epochs.
    Run,
    /// To try: everything on fuel, so that a try ends the same everywhere.
    Try,
}

/// Loads components, each once at a time and off the data path.
pub(super) struct Loader {
    pub(super) engines: Engines,
    cache: Arc<Cache>,
    outside: Outside,
    /// One compiles at a time: it takes a core for itself.
    compiling: Arc<Semaphore>,
}

impl Loader {
    /// `outside` has the workers that compile.
    pub(super) fn new(engines: Engines, cache: Cache, outside: Outside) -> Loader {
        Loader { engines, cache: Arc::new(cache), outside, compiling: Arc::new(Semaphore::new(1)) }
    }

    /// Loads a component, from the cache if it is there.
    pub(super) async fn load(
        &self,
        bytes: Bytes,
        grants: Grants,
        purpose: Purpose,
    ) -> Result<Loaded, LoadError> {
        // Most likely it is no assignor. To look at a language runtime takes as long as to read its code back: both at once.
        let likely = match purpose {
            Purpose::Try => &self.engines.exact,
            Purpose::Run => &self.engines.data,
        };
        let examine = {
            let bytes = bytes.clone();
            self.outside.on_worker(move || examine::examine(&bytes, grants))
        };
        let read = self.read(None, bytes.clone(), &likely.engine);
        let (examined, (digest, mut compiled)) = tokio::join!(examine, read);
        let examined = examined?;
        let bounded = match (purpose, examined.kind) {
            (Purpose::Try, _) | (_, Kind::Assignor) => self.engines.exact.clone(),
            _ => self.engines.data.clone(),
        };
        if !Engine::same(&bounded.engine, &likely.engine) {
            (_, compiled) = self.read(Some(digest), bytes.clone(), &bounded.engine).await;
        }
        let engine = bounded.engine.clone();
        let component = match compiled {
            Some(component) => component,
            None => self.compile(digest, bytes, engine).await?,
        };
        let component = link(&component, &examined)?;
        Ok(Loaded { digest, kind: examined.kind, shape: examined.shape, bounded, component })
    }

    /// What the cache has of a component, and its digest where that is not known.
    async fn read(
        &self,
        digest: Option<PluginDigest>,
        bytes: Bytes,
        engine: &Engine,
    ) -> (PluginDigest, Option<Component>) {
        let (engine, cache) = (engine.clone(), Arc::clone(&self.cache));
        let read = move || {
            let digest = digest.unwrap_or_else(|| digest_of(&bytes));
            (digest, cache.get(&digest, &engine).and_then(|code| from_cache(&engine, &code)))
        };
        self.outside.on_worker(read).await
    }

    async fn compile(
        &self,
        digest: PluginDigest,
        bytes: Bytes,
        engine: Engine,
    ) -> Result<Component, LoadError> {
        // A compilation that took too long cannot be ended: it keeps its permit until it is over.
        let turn = Arc::clone(&self.compiling).acquire_owned();
        let permit = tokio::time::timeout(COMPILE_WAIT_MAX, turn)
            .await
            .map_err(|_| LoadError::CompileWait { seconds: COMPILE_WAIT_MAX.as_secs() })?;
        let (cache, engines) = (Arc::clone(&self.cache), self.engines.clone());
        let compile = move || {
            let engine = &engine;
            // Several topics may want the same component at once: one compiles it, those that waited read it.
            if let Some(ready) = cache.get(&digest, engine).and_then(|code| from_cache(engine, &code)) {
                return Ok(ready);
            }
            let code = engines.compile(engine, digest, &bytes).map_err(|error| compile_error(&error))?;
            cache.put(&digest, engine, &code);
            // What was just written is read back as every later start will read it.
            let own = cache.get(&digest, engine).and_then(|code| from_cache(engine, &code));
            // Or the engine says what it cannot run, such as more memory than a slot of its pool has.
            own.map_or_else(
                || deserialized(engine, &Code::just_made(&code)).map_err(|error| compile_error(&error)),
                Ok,
            )
        };
        let work = move || {
            let _permit = permit;
            // A compiler that panics over a component must not take the node with it.
            catch_unwind(AssertUnwindSafe(compile))
                .unwrap_or_else(|_| Err(LoadError::Compile("the compiler failed over it".to_owned())))
        };
        tokio::time::timeout(COMPILE_TIME_MAX, self.outside.on_worker(work))
            .await
            .map_err(|_| LoadError::CompileTime { seconds: COMPILE_TIME_MAX.as_secs() })?
    }
}

/// Code as a component.
fn deserialized(engine: &Engine, code: &Code) -> wasmtime::Result<Component> {
    // SAFETY: the engine wants bytes that it made itself. `Code` is what it just made, or what the cache hands out: only
    // such bytes whose keyed checksum this node made right after its engine made them, for this digest and these settings.
    #[expect(unsafe_code, reason = "compiled code is trusted where this node wrote it")]
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// Code as it came out of the cache, as a component.
fn from_cache(engine: &Engine, code: &Code) -> Option<Component> {
    deserialized(engine, code)
        .inspect_err(
            |error| tracing::warn!(%error, "compiled code does not fit the engine; it is compiled again"),
        )
        .ok()
}

/// Gives a component what it may import, and finds its hooks.
fn link(component: &Component, examined: &Examined) -> Result<Linked, LoadError> {
    let wrong = |error: wasmtime::Error| LoadError::Signature(format!("{error:#}"));
    let linker = contract::linker(component.engine(), component, examined.wants_wasi).map_err(wrong)?;
    let pre = linker.instantiate_pre(component).map_err(wrong)?;
    let exports = match (examined.kind, examined.shape) {
        (Kind::ProducerInterceptor, Shape::Typed) => {
            hooks::producer_hooks::GuestIndices::new(&pre).map(Exports::Producer)
        }
        (Kind::ProducerInterceptor, Shape::Flat) => {
            hooks::producer_hooks_flat::GuestIndices::new(&pre).map(Exports::ProducerFlat)
        }
        (Kind::ConsumerInterceptor, Shape::Typed) => {
            hooks::consumer_hooks::GuestIndices::new(&pre).map(Exports::Consumer)
        }
        (Kind::ConsumerInterceptor, Shape::Flat) => {
            hooks::consumer_hooks_flat::GuestIndices::new(&pre).map(Exports::ConsumerFlat)
        }
        (Kind::Partitioner, Shape::Typed) => {
            hooks::partitioner_hooks::GuestIndices::new(&pre).map(Exports::Partitioner)
        }
        (Kind::Partitioner, Shape::Flat) => {
            hooks::partitioner_hooks_flat::GuestIndices::new(&pre).map(Exports::PartitionerFlat)
        }
        (Kind::Assignor, _) => hooks::assignor_hooks::GuestIndices::new(&pre).map(Exports::Assignor),
    };
    Ok(Linked { pre, exports: exports.map_err(wrong)? })
}

fn compile_error(error: &wasmtime::Error) -> LoadError {
    LoadError::Compile(format!("{error:#}"))
}
