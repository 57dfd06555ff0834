//! The engines: how guest code is compiled and bounded.
//!
//! Two of them, which run the same components. The *data* engine counts time by epochs: cheap, and good enough where
//! a plugin only must not take too long. The *exact* engine counts fuel: the same call ends at the same instruction
//! on every machine, as assignors and replays want it. In simulation the data engine is the exact one, so that a
//! seed repeats what plugins do. `node/docs/decisions/0010-plugin-sandbox.md` says why each setting is as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};
use weir_wire::plugin::PluginDigest;

use super::epochs::{Epochs, Running};
use super::limits::{MEMORY_BYTES_MAX, STACK_BYTES, TABLE_ELEMENTS_MAX};

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
    /// None in simulation.
    epochs: Option<Arc<Epochs>>,
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
        let counted = [data.clone(), exact.clone()];
        let epochs = Epochs::start(move || counted.iter().for_each(Engine::increment_epoch))
            .map_err(|error| EngineError(format!("nothing counts the time of calls: {error}")))?;
        Ok(Engines {
            data: Bounded { engine: data, mode: Mode::Epochs, epochs: Some(Arc::clone(&epochs)) },
            exact: Bounded { engine: exact, mode: Mode::Fuel, epochs: Some(epochs) },
            compiled: None,
        })
    }

    /// Engines for simulation: no clock, no thread, everything on fuel. One for all runs of a process compiles each
    /// component once.
    ///
    /// # Errors
    /// As [`Engines::real`].
    pub fn simulated() -> Result<Engines, EngineError> {
        let exact = Bounded { engine: engine(Mode::Fuel)?, mode: Mode::Fuel, epochs: None };
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
    pub(super) fn running(&self) -> Option<Running<'_>> {
        self.epochs.as_ref().map(|epochs| epochs.running())
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
