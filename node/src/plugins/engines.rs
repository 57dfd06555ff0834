//! The engines: how guest code is compiled and bounded.
//!
//! Two of them, which run the same components. The *data* engine counts time by epochs: cheap, and good enough where
//! a plugin only must not take too long. The *exact* engine counts fuel: the same call ends at the same instruction
//! on every machine, as assignors and replays want it. In simulation the data engine is the exact one, so that a
//! seed repeats what plugins do. `node/docs/decisions/0010-plugin-sandbox.md` says why each setting is as it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};
use weir_wire::plugin::PluginDigest;

use super::limits::{MEMORY_BYTES_MAX, STACK_BYTES, TABLE_ELEMENTS_MAX};

/// How long an epoch lasts: a plugin that runs longer makes room for others. Each costs a wake of a thread.
pub(super) const EPOCH: Duration = Duration::from_millis(2);
/// For how many epochs without a call the ticking goes on, before it pauses.
const IDLE_EPOCHS: u32 = 25;
/// How much fuel stands for a millisecond. (Redpanda's figure for its transforms, which measured the same.)
pub(super) const FUEL_PER_MILLISECOND: u64 = 2_000_000;

/// How many instances may live at once.
const INSTANCES_MAX: u32 = 256;
/// What one component may be made of: language runtimes link several modules into one component.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 64;
/// See [`CORE_INSTANCES_PER_COMPONENT_MAX`].
const TABLES_PER_COMPONENT_MAX: u32 = 16;
/// Code of its own that a component brings its instance's state for.
const INSTANCE_STATE_BYTES_MAX: usize = 1024 * 1024;
/// What of a returned slot is cleared by writing, and kept, rather than given back to the system page by page: room
/// for a batch of a megabyte and what is made of it, so that the next one meets no page faults. Only pages that were
/// written are cleared, where the system says which those are (`PAGEMAP_SCAN`, Linux 6.7).
const KEEP_RESIDENT_BYTES: usize = 4 * 1024 * 1024;
/// The same where the system does not say it, and all of it is cleared each time.
const KEEP_RESIDENT_BLINDLY_BYTES: usize = 256 * 1024;
/// Slots that keep memory while nobody uses them.
const WARM_SLOTS_MAX: u32 = 16;

/// What bounds the calls of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Epochs: wall-clock time.
    Epochs,
    /// Fuel: instructions.
    Fuel,
}

/// An engine and how it bounds calls.
#[derive(Clone)]
pub(super) struct Bounded {
    pub(super) engine: Engine,
    pub(super) mode: Mode,
    ticker: Arc<Ticker>,
}

/// Code by what it was compiled from.
type Compiled = Mutex<BTreeMap<PluginDigest, Arc<[u8]>>>;

/// The engines of a process.
#[derive(Clone)]
pub struct Engines {
    pub(super) data: Bounded,
    pub(super) exact: Bounded,
    /// In simulation: what its one engine compiled in this process, so that not every seed compiles it again.
    compiled: Option<Arc<Compiled>>,
}

/// Why there are no engines.
#[derive(Debug, thiserror::Error)]
#[error("plugins cannot run on this machine: {0}")]
pub struct EngineError(String);

impl Engines {
    /// Engines for the real world: time is counted by a thread of their own.
    ///
    /// # Errors
    /// When the machine lacks what generated code needs, or address space, or threads.
    pub fn real() -> Result<Engines, EngineError> {
        let data = engine(Mode::Epochs)?;
        let exact = engine(Mode::Fuel)?;
        let ticker = Arc::new(Ticker::default());
        ticker.start(vec![data.clone(), exact.clone()])?;
        Ok(Engines {
            data: Bounded { engine: data, mode: Mode::Epochs, ticker: Arc::clone(&ticker) },
            exact: Bounded { engine: exact, mode: Mode::Fuel, ticker },
            compiled: None,
        })
    }

    /// Engines for simulation: no clock, no thread, everything on fuel. One for all runs of a process compiles each
    /// component once.
    ///
    /// # Errors
    /// As [`Engines::real`].
    pub fn simulated() -> Result<Engines, EngineError> {
        let exact =
            Bounded { engine: engine(Mode::Fuel)?, mode: Mode::Fuel, ticker: Arc::new(Ticker::default()) };
        Ok(Engines { data: exact.clone(), exact, compiled: Some(Arc::default()) })
    }
}

impl std::fmt::Debug for Engines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engines").field("data", &self.data.mode).finish_non_exhaustive()
    }
}

impl Engines {
    /// The code of a component for one of these engines.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        digest: PluginDigest,
        component: &[u8],
    ) -> wasmtime::Result<Arc<[u8]>> {
        let Some(compiled) = &self.compiled else {
            return engine.precompile_component(component).map(Arc::from);
        };
        // Whole entries are inserted, so that a compiler which panicked left nothing behind.
        let mut compiled = compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = compiled.get(&digest) {
            return Ok(Arc::clone(code));
        }
        let code: Arc<[u8]> = engine.precompile_component(component)?.into();
        compiled.insert(digest, Arc::clone(&code));
        Ok(code)
    }

    /// How many instances live in the pools at this moment.
    #[must_use]
    pub fn live_instances(&self) -> u64 {
        let mut engines = vec![&self.data.engine];
        if !Engine::same(&self.data.engine, &self.exact.engine) {
            engines.push(&self.exact.engine);
        }
        let of_pool =
            |engine: &&Engine| engine.pooling_allocator_metrics().map(|pool| pool.component_instances());
        engines.iter().filter_map(of_pool).sum()
    }
}

impl Bounded {
    /// Announces a call, for as long as the returned value lives: epochs pass meanwhile.
    pub(super) fn running(&self) -> Running<'_> {
        self.ticker.begin();
        Running(&self.ticker)
    }
}

/// A call that is under way.
pub(super) struct Running<'a>(&'a Ticker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn engine(mode: Mode) -> Result<Engine, EngineError> {
    let keep_resident = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => KEEP_RESIDENT_BYTES,
        false => KEEP_RESIDENT_BLINDLY_BYTES,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_core_instances(INSTANCES_MAX * 8)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * 4)
        .total_stacks(INSTANCES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_PER_COMPONENT_MAX)
        .max_component_instance_size(INSTANCE_STATE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_STATE_BYTES_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(64 * 1024)
        .async_stack_keep_resident(STACK_BYTES / 4);
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .consume_fuel(mode == Mode::Fuel)
        .max_wasm_stack(STACK_BYTES)
        // Host functions and the runtime run on the same stack, above the guest's frames.
        .async_stack_size(STACK_BYTES + 256 * 1024)
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        .wasm_simd(false)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    Engine::new(&config).map_err(|error| EngineError(format!("{error:#}")))
}

/// Makes epochs pass while calls run, and rests otherwise: an idle node wakes for nothing.
#[derive(Default)]
struct Ticker {
    /// How many calls are under way.
    running: AtomicUsize,
    /// Whether the thread waits to be told of a call.
    resting: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Ticker {
    fn begin(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.resting.load(Ordering::SeqCst) {
            // Taking the lock: the thread is either before its last look at `running` or waits already.
            let _waits = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.bell.notify_all();
        }
    }

    /// Starts the thread. It ends when nobody but it knows the ticker any more.
    fn start(self: &Arc<Ticker>, engines: Vec<Engine>) -> Result<(), EngineError> {
        let ticker = Arc::downgrade(self);
        let work = move || {
            let mut idle = 0;
            while let Some(ticker) = ticker.upgrade() {
                idle = if ticker.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
                ticker.wait(idle > IDLE_EPOCHS);
                for engine in &engines {
                    engine.increment_epoch();
                }
            }
        };
        std::thread::Builder::new()
            .name("weir-epochs".to_owned())
            .spawn(work)
            .map_err(|error| EngineError(format!("no thread for the epochs: {error}")))?;
        Ok(())
    }

    /// Waits for an epoch, or for a call.
    fn wait(&self, rest: bool) {
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !rest {
            let _ = self.bell.wait_timeout(held, EPOCH);
            return;
        }
        self.resting.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 {
            // A second is often enough to notice that the engines are gone.
            let _ = self.bell.wait_timeout(held, Duration::from_secs(1));
        }
        self.resting.store(false, Ordering::SeqCst);
    }
}
