//! What happened in a run, in order: the proof that a seed repeats, and what a person reads when one fails.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3Default;

/// The most events that are kept. A run of ten virtual minutes has some hundred thousand.
pub const EVENTS_MAX: usize = 4_000_000;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that the simulation did to the world: a crash, a cut, a full disk.
    Fault,
    /// What a client did or learned.
    Client,
    /// What a node says of itself in its log.
    Log,
    /// Inputs and effects of a partition's core.
    Core,
    /// Files and folders.
    Disk,
    /// A datagram.
    Packet,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Fault => "FAULT",
            Kind::Client => "client",
            Kind::Log => "log",
            Kind::Core => "core",
            Kind::Disk => "disk",
            Kind::Packet => "packet",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since the start of the run.
    pub at: Duration,
    /// On which host; empty for the world.
    pub host: Arc<str>,
    /// What it is about.
    pub kind: Kind,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { at, host, kind, text } = self;
        write!(f, "{:>5}.{:06} {host:<8} {:<6} {text}", at.as_secs(), at.subsec_micros(), kind.name())
    }
}

/// A run's record. Clones write into the same one.
#[derive(Clone)]
pub struct Trace {
    /// Whether anything is noted at all.
    listens: bool,
    record: Arc<Mutex<Record>>,
}

struct Record {
    /// Whether events are kept, or only counted and hashed.
    keeps: bool,
    events: Vec<Event>,
    count: u64,
    hash: Xxh3Default,
    /// The latest moment, for what happens between two steps of the simulation.
    now: Duration,
    line: String,
}

impl Trace {
    /// A record that keeps every event.
    #[must_use]
    pub fn keeping() -> Trace {
        Trace::new(true, true)
    }

    /// A record that only hashes what happens.
    #[must_use]
    pub fn hashing() -> Trace {
        Trace::new(true, false)
    }

    /// A record of nothing: for hunting through many seeds, of which the few that fail are run again. Writing down what
    /// happens costs about as much as letting it happen.
    #[must_use]
    pub fn silent() -> Trace {
        Trace::new(false, false)
    }

    fn new(listens: bool, keeps: bool) -> Trace {
        let record = Record {
            keeps,
            events: Vec::new(),
            count: 0,
            hash: Xxh3Default::new(),
            now: Duration::ZERO,
            line: String::new(),
        };
        Trace { listens, record: Arc::new(Mutex::new(record)) }
    }

    /// Whether it takes note of anything.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Notes an event at this moment of the simulation.
    pub fn note(&self, host: &Arc<str>, kind: Kind, text: fmt::Arguments<'_>) {
        if !self.listens {
            return;
        }
        let mut record = self.record();
        record.now = turmoil::sim_elapsed().unwrap_or(record.now);
        let event = Event { at: record.now, host: Arc::clone(host), kind, text: text.to_string() };
        record.line.clear();
        let Record { line, hash, .. } = &mut *record;
        writeln!(line, "{event}").expect("a string takes what is written");
        hash.update(line.as_bytes());
        record.count += 1;
        if record.keeps && record.events.len() < EVENTS_MAX {
            record.events.push(event);
        }
    }

    /// Moves the clock for what happens between two steps of the simulation.
    pub fn set_now(&self, now: Duration) {
        self.record().now = now;
    }

    /// How many events were noted, and the hash over all of them: equal for equal runs.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let record = self.record();
        Digest { events: record.count, hash: record.hash.digest() }
    }

    /// The events, oldest first; none if this record only hashes.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.record().events.clone()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic while an event is noted loses that event, nothing else.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.digest()).finish()
    }
}

/// Stands for a whole trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// How many events there were.
    pub events: u64,
    /// The hash over all of them, in order.
    pub hash: u64,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events, hash {:016x}", self.events, self.hash)
    }
}

/// Where two runs that should be one part: the first differing events, with some of what led there.
#[must_use]
pub fn first_difference(left: &[Event], right: &[Event]) -> Option<String> {
    const SHOWN_BEFORE: usize = 5;
    let same = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    if same == left.len() && same == right.len() {
        return None;
    }
    let mut text = format!("the runs part at event {same} (of {} and {}):\n", left.len(), right.len());
    for event in &left[same.saturating_sub(SHOWN_BEFORE)..same] {
        let _ = writeln!(text, "  both:   {event}");
    }
    for (side, events) in [("first", left), ("second", right)] {
        match events.get(same) {
            Some(event) => _ = writeln!(text, "  {side:<6}: {event}"),
            None => _ = writeln!(text, "  {side:<6}: nothing more"),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        Event {
            at: Duration::from_micros(1_000_002),
            host: "a".into(),
            kind: Kind::Packet,
            text: text.into(),
        }
    }

    #[test]
    fn the_first_difference_is_shown() {
        let (one, two) = ([event("x"), event("y")], [event("x"), event("z")]);
        assert_eq!(first_difference(&one, &one), None);
        let shown = first_difference(&one, &two).unwrap();
        assert!(shown.contains("event 1") && shown.contains("1.000002 a        packet y"), "{shown}");
        assert!(first_difference(&one, &one[..1]).unwrap().contains("second: nothing more"));
    }

    #[test]
    fn a_hash_stands_for_the_events() {
        let digest = |texts: &[&str]| {
            let trace = Trace::hashing();
            texts.iter().for_each(|text| trace.note(&"a".into(), Kind::Client, format_args!("{text}")));
            assert!(trace.events().is_empty());
            trace.digest()
        };
        assert_eq!(digest(&["x", "y"]), digest(&["x", "y"]));
        assert_ne!(digest(&["x", "y"]), digest(&["xy", ""]));
    }

    #[test]
    fn a_silent_record_notes_nothing() {
        let trace = Trace::silent();
        trace.note(&"a".into(), Kind::Client, format_args!("x"));
        assert_eq!(trace.digest(), Trace::hashing().digest());
    }
}
