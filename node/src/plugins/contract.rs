//! The contract of `sdk-wasm/wit` as Rust sees it, and what a plugin may call.

use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, ResourceLimiter};

use super::epochs::EPOCH;
use super::voice::Voice;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the contract, which has the documentation"
)]
mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package weir:host;
            world every-kind {
                import weir:plugin/log@1.0.0;
                import weir:plugin/metrics@1.0.0;
                export weir:plugin/producer-hooks@1.0.0;
                export weir:plugin/producer-hooks-flat@1.0.0;
                export weir:plugin/consumer-hooks@1.0.0;
                export weir:plugin/consumer-hooks-flat@1.0.0;
                export weir:plugin/partitioner-hooks@1.0.0;
                export weir:plugin/partitioner-hooks-flat@1.0.0;
                export weir:plugin/assignor-hooks@1.0.0;
            }
        ",
        path: "../sdk-wasm/wit",
        world: "weir:host/every-kind",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

pub(super) use generated::exports::weir::plugin as hooks;
pub(super) use generated::weir::plugin::{flat, log, metrics, types};

/// What stands behind one instance: its bounds, and where its words go.
pub(super) struct State {
    pub(super) bounds: Bounds,
    pub(super) voice: Voice,
    /// Where the random numbers of the empty WASI are in their sequence.
    pub(super) random_state: u64,
}

/// What one instance may still take, and which bound it ran into.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) memory_bytes: usize,
    pub(super) table_elements: usize,
    /// How many epochs the call under way may still run.
    pub(super) epochs_left: u64,
    /// The most memory that the instance ever had.
    pub(super) memory_high: usize,
    pub(super) hit: Option<Hit>,
}

/// A bound that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Hit {
    #[error("it wanted {wanted} bytes of memory, the limit memory.bytes is {limit}")]
    Memory { wanted: usize, limit: usize },
    #[error("it wanted a table of {wanted} elements, the limit table.elements is {limit}")]
    Table { wanted: usize, limit: usize },
    #[error("the call took all the time that it may take")]
    Time,
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.memory_bytes {
            return self.hit(Hit::Memory { wanted: desired, limit: self.memory_bytes });
        }
        self.memory_high = self.memory_high.max(desired);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_elements {
            return self.hit(Hit::Table { wanted: desired, limit: self.table_elements });
        }
        Ok(true)
    }
}

impl Bounds {
    /// Ends the call: a plugin that is told "no" goes on with less, and then its answer depends on its past.
    fn hit(&mut self, hit: Hit) -> wasmtime::Result<bool> {
        self.hit = Some(hit);
        Err(hit.into())
    }

    /// One epoch more has passed in the call under way.
    ///
    /// # Errors
    /// When it was the last one.
    pub(super) fn pass_epoch(&mut self) -> wasmtime::Result<()> {
        match self.epochs_left.checked_sub(1) {
            Some(left) => self.epochs_left = left,
            None => {
                self.hit = Some(Hit::Time);
                return Err(Hit::Time.into());
            }
        }
        Ok(())
    }

    /// Gives the next call its time.
    pub(super) fn start_call(&mut self, time: Duration) {
        self.hit = None;
        self.epochs_left = u64::try_from(time.as_millis().div_ceil(EPOCH.as_millis())).unwrap_or(u64::MAX);
    }
}

/// Everything that a component may import.
pub(super) fn linker(
    engine: &Engine,
    component: &Component,
    with_wasi: bool,
) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    log::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    metrics::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    if with_wasi {
        super::wasi::add_to_linker(&mut linker, component)?;
    }
    Ok(linker)
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        self.voice.write(level, &message);
    }
}

impl metrics::Host for State {
    fn count(&mut self, name: String, amount: u64) {
        self.voice.count(&name, amount);
    }

    fn observe(&mut self, name: String, value: f64) {
        self.voice.observe(&name, value);
    }
}
