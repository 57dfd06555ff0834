//! What plugins say: lines for the log, and figures. Both cost the node little, whatever a plugin does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use super::contract::log::Level;
use crate::outside::Clock;

/// What is kept of a message.
const MESSAGE_BYTES_MAX: usize = 1024;
/// How many lines a plugin may write a second, and at once after a silence.
const LINES_PER_SECOND: u64 = 100;
/// How many lines a slow reader may be behind.
const LINES_KEPT: usize = 1024;
/// How many names of figures a plugin may use.
const FIGURES_MAX: usize = 32;
/// The longest name of a figure.
const FIGURE_NAME_BYTES_MAX: usize = 64;

/// A line that a plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in milliseconds since 1970.
    pub wall_ms: i64,
    /// How grave it is, as in the contract: error, warn, info, debug.
    pub level: &'static str,
    /// Which plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The topic that it was called for.
    pub topic: String,
    /// The partition that the batch is for, where that is known.
    pub partition: Option<u32>,
    /// What it says.
    pub message: String,
}

/// Where the lines of a node's plugins go: to the node's log, and to whoever follows.
pub(super) struct Lines {
    clock: Arc<dyn Clock>,
    followers: broadcast::Sender<Arc<Line>>,
    /// What each plugin may still write, by `name@version`.
    buckets: Mutex<BTreeMap<String, Arc<Bucket>>>,
}

impl Lines {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Lines {
        Lines { clock, followers: broadcast::Sender::new(LINES_KEPT), buckets: Mutex::default() }
    }

    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<Line>> {
        self.followers.subscribe()
    }

    /// The share of a plugin, over all its bindings.
    fn bucket(&self, plugin: String) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(buckets.entry(plugin).or_default())
    }
}

/// Who speaks: a plugin, bound to a topic.
pub(super) struct Speaker {
    plugin: String,
    version: String,
    topic: String,
    lines: Arc<Lines>,
    bucket: Arc<Bucket>,
    figures: Mutex<BTreeMap<String, Figure>>,
    suppressed: metrics::Counter,
    refused: metrics::Counter,
}

enum Figure {
    Counter(metrics::Counter),
    Histogram(metrics::Histogram),
}

/// One instance's voice. Silent without a speaker: a canary's words would mislead.
#[derive(Clone, Default)]
pub(super) struct Voice {
    speaker: Option<Arc<Speaker>>,
    pub(super) partition: Option<u32>,
}

impl Speaker {
    pub(super) fn new(lines: &Arc<Lines>, plugin: &str, version: &str, topic: &str) -> Arc<Speaker> {
        let counter = |name: &'static str| {
            let (plugin, version, topic) = (plugin.to_owned(), version.to_owned(), topic.to_owned());
            metrics::counter!(name, "plugin" => plugin, "version" => version, "topic" => topic)
        };
        Arc::new(Speaker {
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            topic: topic.to_owned(),
            lines: Arc::clone(lines),
            bucket: lines.bucket(format!("{plugin}@{version}")),
            figures: Mutex::default(),
            suppressed: counter("weir_plugins_log_lines_suppressed_total"),
            refused: counter("weir_plugins_figures_refused_total"),
        })
    }

    fn figure(&self, name: &str, make: impl FnOnce(String) -> Figure, put: impl FnOnce(&Figure) -> bool) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(figure) = figures.get(name) {
            if !put(figure) {
                self.refused.increment(1);
            }
            return;
        }
        if figures.len() >= FIGURES_MAX || !is_figure_name(name) {
            self.refused.increment(1);
            return;
        }
        let figure = make(format!("weir_plugin_{name}"));
        put(&figure);
        figures.insert(name.to_owned(), figure);
    }

    fn labels(&self) -> [(&'static str, String); 3] {
        [("plugin", self.plugin.clone()), ("version", self.version.clone()), ("topic", self.topic.clone())]
    }
}

impl Voice {
    pub(super) fn of(speaker: &Arc<Speaker>) -> Voice {
        Voice { speaker: Some(Arc::clone(speaker)), partition: None }
    }

    /// The same, about a partition.
    pub(super) fn about(self, partition: Option<u32>) -> Voice {
        Voice { partition, ..self }
    }

    pub(super) fn write(&self, level: Level, message: &str) {
        let Some(speaker) = &self.speaker else { return };
        let now = speaker.lines.clock.now();
        if !speaker.bucket.take(now.monotonic_ns) {
            speaker.suppressed.increment(1);
            return;
        }
        let line = Line {
            wall_ms: now.wall_ms,
            level: level_name(level),
            plugin: speaker.plugin.clone(),
            version: speaker.version.clone(),
            topic: speaker.topic.clone(),
            partition: self.partition,
            message: tame(message),
        };
        line.trace();
        // Nobody follows, mostly.
        let _ = speaker.lines.followers.send(Arc::new(line));
    }

    pub(super) fn count(&self, name: &str, amount: u64) {
        let Some(speaker) = &self.speaker else { return };
        let make = |name| Figure::Counter(metrics::counter!(name, &speaker.labels()));
        speaker.figure(name, make, |figure| match figure {
            Figure::Counter(counter) => {
                counter.increment(amount);
                true
            }
            Figure::Histogram(_) => false,
        });
    }

    pub(super) fn observe(&self, name: &str, value: f64) {
        let Some(speaker) = &self.speaker else { return };
        let make = |name| Figure::Histogram(metrics::histogram!(name, &speaker.labels()));
        speaker.figure(name, make, |figure| match figure {
            Figure::Histogram(histogram) => {
                histogram.record(value);
                true
            }
            Figure::Counter(_) => false,
        });
    }
}

impl Line {
    /// Puts the line into the node's own log.
    fn trace(&self) {
        let Line { plugin, version, topic, partition, message, .. } = self;
        match self.level {
            "error" => tracing::error!(target: "plugin", plugin, version, topic, partition, "{message}"),
            "warn" => tracing::warn!(target: "plugin", plugin, version, topic, partition, "{message}"),
            "info" => tracing::info!(target: "plugin", plugin, version, topic, partition, "{message}"),
            _ => tracing::debug!(target: "plugin", plugin, version, topic, partition, "{message}"),
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

/// A message as one line of bounded length that cannot steer a terminal.
fn tame(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    message[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn is_figure_name(name: &str) -> bool {
    name.len() <= FIGURE_NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Lines that may still be written: as many as there were parts of a second since the last one, up to a second's.
#[derive(Default)]
struct Bucket(Mutex<Option<Fill>>);

/// How full a bucket is, and when that was so.
#[derive(Clone, Copy)]
struct Fill {
    lines: u64,
    at_ns: u64,
}

/// The time in which one line more may be written.
const LINE_NS: u64 = 1_000_000_000 / LINES_PER_SECOND;

impl Bucket {
    fn take(&self, now_ns: u64) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut level = state.unwrap_or(Fill { lines: LINES_PER_SECOND, at_ns: now_ns });
        let earned = now_ns.saturating_sub(level.at_ns) / LINE_NS;
        level.at_ns += earned * LINE_NS;
        level.lines = (level.lines + earned).min(LINES_PER_SECOND);
        let may = level.lines > 0;
        level.lines -= u64::from(may);
        *state = Some(level);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_a_seconds_lines_at_once_and_then_its_rate() {
        let bucket = Bucket::default();
        let taken = |at_ns: u64| (0..1000).filter(|_| bucket.take(at_ns)).count();
        assert_eq!(taken(5), 100);
        assert_eq!(taken(5 + LINE_NS - 1), 0);
        assert_eq!(taken(5 + LINE_NS), 1);
        assert_eq!(taken(5 + 50 * LINE_NS), 49);
        assert_eq!(taken(u64::MAX / 2), 100);
    }

    #[test]
    fn a_message_becomes_one_short_line() {
        assert_eq!(tame("a\n\u{1b}[31mb"), "a  [31mb");
        let long = tame(&"é".repeat(2000));
        assert_eq!(long.len(), 1024);
    }

    #[test]
    fn names_of_figures_keep_to_the_contract() {
        for good in ["a", "records_seen2"] {
            assert!(is_figure_name(good), "{good}");
        }
        for bad in ["", "2a", "_a", "a-b", "A", "é", &"a".repeat(65)] {
            assert!(!is_figure_name(bad), "{bad}");
        }
    }
}
