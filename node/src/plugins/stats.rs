//! What a plugin did for a topic, in figures: for the metrics, and for `weir plugins status`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use weir_core::pipeline::draft::Changes;
use weir_core::pipeline::failing::Cause;

use super::binding::Place;

/// Calls are sorted by time into this many classes: below 1, 2, 4, ... microseconds.
const TIME_CLASSES: usize = 24;

/// Of what a binding has a share, so that calls above it wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Time, as long as its calls fail.
    Failing,
    /// Time of threads.
    Time,
    /// Memory of instances.
    Memory,
}

impl Share {
    /// Every share, in the order of the figures.
    const ALL: [Share; 3] = [Share::Failing, Share::Time, Share::Memory];

    /// The name that users see.
    fn name(self) -> &'static str {
        match self {
            Share::Failing => "failing",
            Share::Time => "time",
            Share::Memory => "memory",
        }
    }
}

/// The figures of one binding, counted since it was made.
pub(super) struct Stats {
    calls: AtomicU64,
    busy_ns: AtomicU64,
    waited_ns: [AtomicU64; Share::ALL.len()],
    kept: AtomicU64,
    replaced: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    failures: [AtomicU64; Cause::ALL.len()],
    times: [AtomicU64; TIME_CLASSES],
    memory_high: AtomicU64,
    instances: AtomicI64,
    observations_left_out: AtomicU64,
    metrics: Handles,
}

/// Where the same figures go.
struct Handles {
    calls: metrics::Counter,
    busy_nanoseconds: metrics::Counter,
    waited_nanoseconds: [metrics::Counter; Share::ALL.len()],
    records: [metrics::Counter; 4],
    failures: [metrics::Counter; Cause::ALL.len()],
    seconds: metrics::Histogram,
    memory_high: metrics::Gauge,
    instances: metrics::Gauge,
    observations_left_out: metrics::Counter,
}

/// The figures of one binding at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// The topic, or the group of an assignor.
    pub topic: String,
    /// The number of the topic's pipeline.
    pub revision: u32,
    /// Calls of the hook, failed ones too.
    pub calls: u64,
    /// How long its calls held a thread.
    pub busy_ns: u64,
    /// How long calls waited since the plugin had its share, by which: those that occurred.
    pub waited_ns: Vec<(&'static str, u64)>,
    /// Records left as they were.
    pub kept: u64,
    /// Records changed.
    pub replaced: u64,
    /// Records dropped.
    pub dropped: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Failed calls by cause, those that occurred.
    pub failures: Vec<(&'static str, u64)>,
    /// How many calls took less than so many microseconds, and not less than half of it; those that occurred.
    pub times: Vec<(u64, u64)>,
    /// The most memory that an instance had.
    pub memory_high_bytes: u64,
    /// Instances alive now.
    pub instances: u64,
    /// Observing calls that were left out under overload.
    pub observations_left_out: u64,
}

impl Stats {
    pub(super) fn new(plugin: &str, version: &str, place: &Place) -> Stats {
        // What runs in shadow has figures of its own, so that those of what is in force stay what they are.
        let role = if place.is_shadow { "shadow" } else { "live" };
        let labels = [
            ("plugin", plugin.to_owned()),
            ("version", version.to_owned()),
            ("topic", place.topic.clone()),
            ("role", role.to_owned()),
        ];
        let with = |name: &'static str, value: &'static str| {
            let [plugin, version, topic, role] = labels.clone();
            [plugin, version, topic, role, (name, value.to_owned())]
        };
        metrics::gauge!("weir_plugins_revision", &labels).set(f64::from(place.revision));
        let records = ["kept", "replaced", "dropped", "rejected"]
            .map(|outcome| metrics::counter!("weir_plugins_records_total", &with("outcome", outcome)));
        let failures = Cause::ALL
            .map(|cause| metrics::counter!("weir_plugins_failures_total", &with("cause", cause.name())));
        let waited_nanoseconds = Share::ALL.map(|share| {
            metrics::counter!("weir_plugins_throttled_nanoseconds_total", &with("share", share.name()))
        });
        Stats {
            calls: AtomicU64::default(),
            busy_ns: AtomicU64::default(),
            waited_ns: Default::default(),
            kept: AtomicU64::default(),
            replaced: AtomicU64::default(),
            dropped: AtomicU64::default(),
            rejected: AtomicU64::default(),
            failures: Default::default(),
            times: Default::default(),
            memory_high: AtomicU64::default(),
            instances: AtomicI64::default(),
            observations_left_out: AtomicU64::default(),
            metrics: Handles {
                calls: metrics::counter!("weir_plugins_calls_total", &labels),
                busy_nanoseconds: metrics::counter!("weir_plugins_busy_nanoseconds_total", &labels),
                waited_nanoseconds,
                records,
                failures,
                seconds: metrics::histogram!("weir_plugins_call_seconds", &labels),
                memory_high: metrics::gauge!("weir_plugins_memory_high_bytes", &labels),
                instances: metrics::gauge!("weir_plugins_instances", &labels),
                observations_left_out: metrics::counter!("weir_plugins_observations_left_out_total", &labels),
            },
        }
    }

    /// A call of the hook ended, after `ran_ns`, in which it held a thread for `busy_ns`.
    pub(super) fn called(&self, ran_ns: u64, busy_ns: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
        let microseconds = ran_ns / 1000;
        let class = (64 - microseconds.leading_zeros()) as usize;
        self.times[class.min(TIME_CLASSES - 1)].fetch_add(1, Ordering::Relaxed);
        self.metrics.calls.increment(1);
        self.metrics.busy_nanoseconds.increment(busy_ns);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a histogram does not need the last nanosecond of months"
        )]
        self.metrics.seconds.record(ran_ns as f64 / 1e9);
    }

    /// A call waited so long for its turn, as the plugin had its share.
    pub(super) fn waited(&self, share: Share, waited_ns: u64) {
        self.waited_ns[share as usize].fetch_add(waited_ns, Ordering::Relaxed);
        self.metrics.waited_nanoseconds[share as usize].increment(waited_ns);
    }

    /// What the hook did to records.
    pub(super) fn changed(&self, changes: &Changes) {
        let counts = [
            (&self.kept, changes.kept),
            (&self.replaced, changes.replaced),
            (&self.dropped, changes.dropped),
            (&self.rejected, changes.rejected),
        ];
        for ((count, records), metric) in counts.into_iter().zip(&self.metrics.records) {
            if records > 0 {
                count.fetch_add(u64::from(records), Ordering::Relaxed);
                metric.increment(u64::from(records));
            }
        }
    }

    /// A call failed.
    pub(super) fn failed(&self, cause: Cause) {
        let at = Cause::ALL.iter().position(|known| *known == cause).expect("all causes are listed");
        self.failures[at].fetch_add(1, Ordering::Relaxed);
        self.metrics.failures[at].increment(1);
    }

    /// How much memory an instance has had at most.
    pub(super) fn memory(&self, bytes: usize) {
        let bytes = bytes as u64;
        if self.memory_high.fetch_max(bytes, Ordering::Relaxed) < bytes {
            #[expect(clippy::cast_precision_loss, reason = "memories are far below 2^53 bytes")]
            self.metrics.memory_high.set(bytes as f64);
        }
    }

    /// The most memory that an instance has had.
    pub(super) fn memory_high(&self) -> u64 {
        self.memory_high.load(Ordering::Relaxed)
    }

    /// An instance was made (1) or ended (-1).
    pub(super) fn instances(&self, change: i64) {
        self.instances.fetch_add(change, Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "1 or -1")]
        self.metrics.instances.increment(change as f64);
    }

    /// An observing call was left out.
    pub(super) fn left_out(&self) {
        self.observations_left_out.fetch_add(1, Ordering::Relaxed);
        self.metrics.observations_left_out.increment(1);
    }

    /// The figures of this moment, without the names.
    pub(super) fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let failures =
            Cause::ALL.iter().zip(&self.failures).map(|(cause, count)| (cause.name(), read(count)));
        let waited = Share::ALL.iter().zip(&self.waited_ns).map(|(share, ns)| (share.name(), read(ns)));
        let times = (0_u32..).zip(&self.times).map(|(class, count)| (1 << class, read(count)));
        Snapshot {
            calls: read(&self.calls),
            busy_ns: read(&self.busy_ns),
            waited_ns: waited.filter(|(_, ns)| *ns > 0).collect(),
            kept: read(&self.kept),
            replaced: read(&self.replaced),
            dropped: read(&self.dropped),
            rejected: read(&self.rejected),
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            times: times.filter(|(_, count)| *count > 0).collect(),
            memory_high_bytes: read(&self.memory_high),
            instances: u64::try_from(self.instances.load(Ordering::Relaxed)).unwrap_or(0),
            observations_left_out: read(&self.observations_left_out),
            ..Snapshot::default()
        }
    }
}
