//! One running plugin: a store of its own, its bounds, and calls into it.

use std::time::Duration;

use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};
use weir_core::pipeline::answer::Answer;
use weir_core::pipeline::failing::Cause;

use super::contract::{Bounds, Hit, State, hooks, types};
use super::engines::{Bounded, FUEL_PER_MILLISECOND, Mode};
use super::hooks::Shown;
use super::limits::{Limits, STACK_BYTES};
use super::loading::{Exports, Loaded};
use super::voice::Voice;

/// What a call may hand over besides what it answers: the frames of lists, and log lines.
const OUTPUT_OVERHEAD_BYTES: usize = 64 * 1024;
/// What an answer's lists may take for each record that it was asked about.
const OUTPUT_BYTES_PER_RECORD: usize = 128;
/// How many functions of a backtrace are kept, and how much of the name of each.
const FRAMES_MAX: usize = 16;
/// See [`FRAMES_MAX`].
const FRAME_BYTES_MAX: usize = 100;
/// The most bytes that any call may hand over, whatever its limits and records are.
const OUTPUT_BYTES_MAX: usize = 512 * 1024 * 1024;

/// An instance. After a failed call it is good for nothing but being dropped.
pub(super) struct Instance {
    store: Store<State>,
    hooks: Hooks,
    bounded: Bounded,
    limits: Limits,
}

/// The functions of an instance.
pub(super) enum Hooks {
    Producer(hooks::producer_hooks::Guest),
    ProducerFlat(hooks::producer_hooks_flat::Guest),
    Consumer(hooks::consumer_hooks::Guest),
    ConsumerFlat(hooks::consumer_hooks_flat::Guest),
    Partitioner(hooks::partitioner_hooks::Guest),
    PartitionerFlat(hooks::partitioner_hooks_flat::Guest),
    Assignor(hooks::assignor_hooks::Guest),
}

/// Why a call failed: what is counted, and what people read.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) cause: Cause,
    pub(super) message: String,
    /// Where in the guest it happened.
    pub(super) backtrace: Option<String>,
}

impl Broken {
    pub(super) fn new(cause: Cause, message: impl Into<String>) -> Broken {
        Broken { cause, message: message.into(), backtrace: None }
    }
}

/// Calls a function of the instance's interface within its bounds.
macro_rules! call {
    ($instance:expr, $records:expr, $guest:ident . $call:ident ( $($argument:expr),* )) => {{
        $instance.start_call($records);
        let _running = $instance.bounded.running();
        $guest.$call(&mut $instance.store $(, $argument)*).await
    }};
}
pub(super) use call;

impl Instance {
    /// A new instance, on which nothing was called yet.
    pub(super) async fn start(loaded: &Loaded, limits: Limits, voice: Voice) -> Result<Instance, Broken> {
        let bounded = loaded.bounded.clone();
        let bounds = Bounds {
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
            epochs_left: 0,
            memory_high: 0,
            hit: None,
        };
        let mut store = Store::new(&bounded.engine, State { bounds, voice, random_state: super::wasi::SEED });
        store.limiter(|state| &mut state.bounds);
        let counts_epochs = bounded.mode == Mode::Epochs;
        store.epoch_deadline_callback(move |mut context| {
            if counts_epochs {
                context.data_mut().bounds.pass_epoch()?;
            }
            // tokio's own yield lets the thread look at its sockets before it comes back here.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        begin_call(&mut store, &bounded, &limits, 0);
        let running = bounded.running();
        let started = loaded.component.pre.instantiate_async(&mut store).await;
        drop(running);
        let loaded_hooks = match started {
            Ok(instance) => find(&loaded.component.exports, &mut store, &instance),
            Err(error) => Err(error),
        };
        match loaded_hooks {
            Ok(hooks) => Ok(Instance { store, hooks, bounded, limits }),
            Err(error) => Err(judge(&store, &bounded, &limits, &error, Cause::Start)),
        }
    }

    /// Its functions, to be called through [`call`].
    pub(super) fn parts(&mut self) -> (&Hooks, Calls<'_>) {
        (&self.hooks, Calls { store: &mut self.store, bounded: &self.bounded, limits: &self.limits })
    }

    /// Says which batch the next lines of its log are about.
    pub(super) fn speak_of(&mut self, voice: Voice) {
        self.store.data_mut().voice = voice;
    }

    /// The most memory that it ever had.
    pub(super) fn memory_high(&self) -> usize {
        self.store.data().bounds.memory_high
    }
}

/// What a call needs of its instance, apart from the functions.
pub(super) struct Calls<'a> {
    pub(super) store: &'a mut Store<State>,
    pub(super) bounded: &'a Bounded,
    limits: &'a Limits,
}

impl Calls<'_> {
    /// Sets the bounds of the next call, which is about so many records.
    pub(super) fn start_call(&mut self, records: usize) {
        begin_call(self.store, self.bounded, self.limits, records);
    }

    /// Whether an answer keeps to the binding's limit. The engine's own bound on what a guest hands over leaves room
    /// for what is not counted.
    pub(super) fn within_limits(&self, answer: &Answer) -> Result<(), Broken> {
        let is_within = answer.byte_count() <= self.limits.answer_bytes as usize;
        if is_within { Ok(()) } else { Err(too_much(self.limits)) }
    }

    /// What an ended call came to.
    pub(super) fn ended<T>(&mut self, result: wasmtime::Result<T>) -> Result<T, Broken> {
        result.map_err(|error| judge(self.store, self.bounded, self.limits, &error, Cause::Trap))
    }
}

fn too_much(limits: &Limits) -> Broken {
    let limit = limits.answer_bytes;
    Broken::new(
        Cause::Output,
        format!("it handed over more bytes than the limit answer.bytes, {limit}, allows"),
    )
}

fn begin_call(store: &mut Store<State>, bounded: &Bounded, limits: &Limits, records: usize) {
    let output = (limits.answer_bytes as usize)
        .saturating_add(OUTPUT_OVERHEAD_BYTES)
        .saturating_add(records.saturating_mul(OUTPUT_BYTES_PER_RECORD));
    store.set_hostcall_fuel(output.min(OUTPUT_BYTES_MAX));
    store.data_mut().bounds.start_call(limits.call_time);
    store.set_epoch_deadline(1);
    if bounded.mode == Mode::Fuel {
        let set = store.set_fuel(fuel(limits.call_time));
        debug_assert!(set.is_ok(), "the engine counts fuel");
    }
}

fn fuel(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_mul(FUEL_PER_MILLISECOND)
}

/// What the engine's error means, and where in the guest it happened.
fn judge(
    store: &Store<State>,
    bounded: &Bounded,
    limits: &Limits,
    error: &wasmtime::Error,
    otherwise: Cause,
) -> Broken {
    Broken { backtrace: backtrace(error), ..judged(store, bounded, limits, error, otherwise) }
}

/// The functions that the guest was in, the innermost first. Their names come from the guest, so they are cut.
fn backtrace(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => name[..name.floor_char_boundary(FRAME_BYTES_MAX)].to_owned(),
        None => format!("function {}", frame.func_index()),
    };
    let frames: Vec<_> = trace.frames().iter().take(FRAMES_MAX).map(name).collect();
    (!frames.is_empty()).then(|| frames.join(" < "))
}

fn judged(
    store: &Store<State>,
    bounded: &Bounded,
    limits: &Limits,
    error: &wasmtime::Error,
    otherwise: Cause,
) -> Broken {
    match store.data().bounds.hit {
        Some(Hit::Time) => return out_of_time(bounded, limits),
        Some(hit @ Hit::Memory { .. }) => return Broken::new(Cause::Memory, hit.to_string()),
        Some(hit @ Hit::Table { .. }) => return Broken::new(Cause::Table, hit.to_string()),
        None => {}
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            Broken::new(Cause::Stack, format!("its calls went deeper than its {STACK_BYTES} bytes of stack"))
        }
        Some(Trap::OutOfFuel | Trap::Interrupt) => out_of_time(bounded, limits),
        Some(trap) => Broken::new(otherwise, format!("it trapped: {trap}")),
        None => {
            let text = format!("{error:#}");
            if text.contains(OUTPUT_EXHAUSTED) {
                return too_much(limits);
            }
            Broken::new(if otherwise == Cause::Start { otherwise } else { Cause::Answer }, text)
        }
    }
}

/// How the engine words that a call handed over too much; its type is private. The guest `answers_far_too_much` holds it.
const OUTPUT_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";

fn out_of_time(bounded: &Bounded, limits: &Limits) -> Broken {
    let (milliseconds, fuel) = (limits.call_time.as_millis(), fuel(limits.call_time));
    let message = match bounded.mode {
        Mode::Epochs => format!("it ran longer than the limit call.time.ms, {milliseconds} ms, allows"),
        Mode::Fuel => format!(
            "it ran longer than the limit call.time.ms, {milliseconds} ms, allows ({fuel} units of fuel here)"
        ),
    };
    Broken::new(Cause::Time, message)
}

/// The functions of a new instance.
fn find(
    exports: &Exports,
    store: &mut Store<State>,
    instance: &wasmtime::component::Instance,
) -> wasmtime::Result<Hooks> {
    Ok(match exports {
        Exports::Producer(exports) => Hooks::Producer(exports.load(store, instance)?),
        Exports::ProducerFlat(exports) => Hooks::ProducerFlat(exports.load(store, instance)?),
        Exports::Consumer(exports) => Hooks::Consumer(exports.load(store, instance)?),
        Exports::ConsumerFlat(exports) => Hooks::ConsumerFlat(exports.load(store, instance)?),
        Exports::Partitioner(exports) => Hooks::Partitioner(exports.load(store, instance)?),
        Exports::PartitionerFlat(exports) => Hooks::PartitionerFlat(exports.load(store, instance)?),
        Exports::Assignor(exports) => Hooks::Assignor(exports.load(store, instance)?),
    })
}

/// What the first instance of a revision asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// To learn what became of batches.
    pub acknowledgements: bool,
    /// To learn of committed positions.
    pub commits: bool,
    /// To be told that an instance ends.
    pub close: bool,
    /// Not to be shown the records.
    pub no_records: bool,
    /// To be shown a long batch in parts.
    pub in_parts: bool,
}

impl Wants {
    fn of(names: &[String]) -> Wants {
        let has = |want: &str| names.iter().any(|name| name == want);
        Wants {
            acknowledgements: has("acknowledgements"),
            commits: has("commits"),
            close: has("close"),
            no_records: has("no-records"),
            in_parts: has("in-parts"),
        }
    }

    /// What the hook on records is shown.
    pub(super) fn shown(self) -> Shown {
        match (self.no_records, self.in_parts) {
            (true, _) => Shown::NoRecords,
            (false, true) => Shown::InParts,
            (false, false) => Shown::Whole,
        }
    }
}

impl Instance {
    /// Hands the options in.
    pub(super) async fn configure(&mut self, context: types::Context<'_>) -> Result<Wants, Broken> {
        let (hooks, mut calls) = self.parts();
        let answered = match hooks {
            Hooks::Producer(guest) => call!(calls, 0, guest.call_configure(context)),
            Hooks::ProducerFlat(guest) => call!(calls, 0, guest.call_configure(context)),
            Hooks::Consumer(guest) => call!(calls, 0, guest.call_configure(context)),
            Hooks::ConsumerFlat(guest) => call!(calls, 0, guest.call_configure(context)),
            Hooks::Partitioner(guest) => call!(calls, 0, guest.call_configure(context)),
            Hooks::PartitionerFlat(guest) => call!(calls, 0, guest.call_configure(context)),
            Hooks::Assignor(guest) => call!(calls, 0, guest.call_configure(context.options)),
        };
        let wants = calls.ended(answered)?.map_err(|refused| Broken::new(Cause::Refused, refused))?;
        Ok(Wants::of(&wants))
    }

    /// Tells it that it ends.
    pub(super) async fn close(&mut self) -> Result<(), Broken> {
        let (hooks, mut calls) = self.parts();
        let answered = match hooks {
            Hooks::Producer(guest) => call!(calls, 0, guest.call_close()),
            Hooks::ProducerFlat(guest) => call!(calls, 0, guest.call_close()),
            Hooks::Consumer(guest) => call!(calls, 0, guest.call_close()),
            Hooks::ConsumerFlat(guest) => call!(calls, 0, guest.call_close()),
            Hooks::Partitioner(guest) => call!(calls, 0, guest.call_close()),
            Hooks::PartitionerFlat(guest) => call!(calls, 0, guest.call_close()),
            Hooks::Assignor(guest) => call!(calls, 0, guest.call_close()),
        };
        calls.ended(answered)
    }
}
