//! The nodes' own logs, as events of the trace.
//!
//! Everything that nodes and clients say by `tracing` at level info or above is noted, and what the core of a
//! partition is told and decides (target `weir_core`), which is logged at level trace.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber};
use tracing::{Event, Level, Metadata, Subscriber};

use super::trace::{Kind, Trace};

/// The target under which inputs and effects of partitions are logged.
pub const CORE_TARGET: &str = "weir_core";

/// Runs `work` with everything that is logged on this thread going to the trace.
pub fn collect<T>(trace: &Trace, work: impl FnOnce() -> T) -> T {
    if !trace.listens() {
        return tracing::subscriber::with_default(NoSubscriber::new(), work);
    }
    let logs = Logs { trace: trace.clone(), spans: AtomicU64::new(1), hosts: Mutex::default() };
    tracing::subscriber::with_default(logs, work)
}

struct Logs {
    trace: Trace,
    spans: AtomicU64,
    /// The hosts that turmoil's spans stand for.
    hosts: Mutex<BTreeMap<u64, Arc<str>>>,
}

thread_local! {
    /// The hosts that run at the moment; turmoil runs one at a time.
    static RUNNING: RefCell<Vec<Arc<str>>> = const { RefCell::new(Vec::new()) };
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        return metadata.target().starts_with("turmoil") && metadata.name() == "node";
    }
    metadata.target() == CORE_TARGET
        || (metadata.target().starts_with("weir") && *metadata.level() <= Level::INFO)
}

impl Subscriber for Logs {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.spans.fetch_add(1, Ordering::Relaxed);
        let mut name = Text::default();
        span.record(&mut name);
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(id, name.named.into());
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let host = RUNNING.with_borrow(|running| running.last().cloned()).unwrap_or_default();
        let metadata = event.metadata();
        if metadata.target() == CORE_TARGET {
            self.trace.note(&host, Kind::Core, format_args!("{}{}", text.message, text.fields));
        } else {
            let (level, Text { message, fields, .. }) = (metadata.level(), text);
            self.trace.note(&host, Kind::Log, format_args!("{level} {message}{fields}"));
        }
    }

    fn enter(&self, span: &Id) {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.get(&span.into_u64()).cloned().unwrap_or_default();
        RUNNING.with_borrow_mut(|running| running.push(host));
    }

    fn exit(&self, _: &Id) {
        RUNNING.with_borrow_mut(|running| _ = running.pop());
    }

    fn try_close(&self, span: Id) -> bool {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(&span.into_u64()).is_some()
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
    named: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A string takes whatever is written to it.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            value.clone_into(&mut self.named);
        }
        self.record_debug(field, &value);
    }
}
