//! Twenty consumers that are killed, frozen, stopped and started at random, and nodes that are killed, while two producers
//! write: every acknowledged record is processed at least once.
//!
//! `WEIR_CHURN_EVENTS=500 cargo test --release -p weir-tests --test cluster group_churn` is the long form.

use std::io::{PipeWriter, Write};
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use weir_tests::book::Book;
use weir_tests::process::{DEADLINE, Running, Signal, Weir};

use super::group_support::{describe, lag, lines, member, wait_for_group};
use super::setting;
use super::three_nodes::{Cluster, create_on_all};

const CONSUMERS: usize = 20;
/// More than there are consumers, so that each has something to lose.
const PARTITIONS: usize = 24;
/// How many records each producer sends with each event.
const RECORDS_PER_EVENT: u32 = 50;
/// A node is killed and started again each time that so many events have happened.
const EVENTS_PER_NODE: u64 = 15;

/// A place where a consumer runs, or not.
#[derive(Default)]
struct Place {
    running: Option<Running>,
    is_frozen: bool,
}

/// What producers were told, and what was printed by members that are gone.
#[derive(Default)]
struct Processed {
    book: Book,
    count: usize,
}

impl Processed {
    /// All that a member printed in its life.
    fn take(&mut self, text: &[u8]) {
        // Who was killed may have been in the middle of a line.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let member = self.book.member();
        self.book.printed(member, &text[..whole], number_of);
        self.count += text[..whole].iter().filter(|byte| **byte == b'\n').count();
    }
}

/// The number that a record carries.
fn number_of(record: &Value) -> Option<u64> {
    record["value"].as_str()?.parse().ok()
}

/// One thing happens to one consumer.
fn happen(
    place: &mut Place,
    random: &mut fastrand::Rng,
    client: &Weir,
    processed: &mut Processed,
) -> &'static str {
    let Some(running) = place.running.take() else {
        place.running = Some(member(client, "g", &["--format", "json"]));
        return "started";
    };
    if place.is_frozen {
        running.signal(Signal::Continue);
        (place.running, place.is_frozen) = (Some(running), false);
        return "thawed";
    }
    let (signal, what) = match random.u8(..3) {
        0 => (Signal::Kill, "killed"),
        1 => (Signal::Term, "stopped"),
        _ => {
            running.signal(Signal::Stop);
            (place.running, place.is_frozen) = (Some(running), true);
            return "frozen";
        }
    };
    running.signal(signal);
    let finished = running.finish();
    assert!(signal == Signal::Kill || finished.status.success(), "{finished}");
    processed.take(&finished.stdout);
    what
}

/// How many records were printed so far, those of who is gone included.
fn count(places: &[Place], processed: &Processed) -> usize {
    let running = places.iter().filter_map(|place| place.running.as_ref());
    processed.count + running.map(|running| running.stdout().text().lines().count()).sum::<usize>()
}

/// A producer that is given numbers.
struct Source {
    process: u32,
    producer: Running,
    input: PipeWriter,
}

impl Source {
    fn start(client: &Weir, process: u32, flags: &[&str]) -> Source {
        let (records, input) = std::io::pipe().unwrap();
        let arguments = [&["produce", "t", "--key-separator", ":", "--output", "json"], flags].concat();
        Source { process, producer: client.spawn_with(&arguments, Stdio::from(records)), input }
    }

    fn send(&mut self, next: &mut u32, book: &mut Book) {
        let numbers = *next..*next + RECORDS_PER_EVENT;
        for number in numbers.clone() {
            book.sent(self.process, number.into(), Some(&format!("key-{number}")));
        }
        *next = numbers.end;
        self.input.write_all(lines(numbers).as_bytes()).unwrap();
    }

    /// Waits until all of it was acknowledged.
    fn finish(self, book: &mut Book) {
        drop(self.input);
        book.all_acknowledged(self.process, &self.producer.finish().ok().json());
    }
}

#[test]
fn twenty_consumers_come_and_go_and_every_record_is_processed() {
    let seed = setting("WEIR_SEED").unwrap_or_else(|| fastrand::u64(..));
    let events = setting("WEIR_CHURN_EVENTS").unwrap_or(30);
    println!("WEIR_SEED={seed} WEIR_CHURN_EVENTS={events}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    client.run(&["topics", "alter", "t", "--partitions", &PARTITIONS.to_string()]).ok();
    // Keys spread over all partitions, and a partition that is named.
    let mut sources = [Source::start(&client, 0, &[]), Source::start(&client, 1, &["--partition", "7"])];
    let mut next = 0;
    let mut places: Vec<Place> = (0..CONSUMERS).map(|_| Place::default()).collect();
    let mut processed = Processed::default();
    for place in &mut places {
        happen(place, &mut random, &client, &mut processed);
    }
    wait_for_group(&client, "g", "all of them share", |group| {
        group["members"].as_array().unwrap().len() == CONSUMERS
    });
    for event in 0..events {
        let index = random.usize(..CONSUMERS);
        let what = happen(&mut places[index], &mut random, &client, &mut processed);
        println!("event {event}: consumer {index} {what}");
        if event % EVENTS_PER_NODE == EVENTS_PER_NODE - 1 {
            let node = random.usize(..3);
            println!("node {} killed, and started", node + 1);
            cluster.nodes[node].kill();
            cluster.nodes[node].start();
        }
        // Somebody reads on, if somebody is there: the moments are of the log, not of a clock.
        let before = count(&places, &processed);
        for source in &mut sources {
            source.send(&mut next, &mut processed.book);
        }
        let deadline = Instant::now() + DEADLINE;
        let is_anybody_there = places.iter().any(|place| place.running.is_some() && !place.is_frozen);
        while is_anybody_there && count(&places, &processed) == before {
            assert!(Instant::now() < deadline, "nobody reads any more");
            describe(&client, "g");
        }
    }
    for source in sources {
        source.finish(&mut processed.book);
    }

    for place in places.iter_mut().filter(|place| place.is_frozen || place.running.is_none()) {
        happen(place, &mut random, &client, &mut processed);
    }
    wait_for_group(&client, "g", "all is read", |group| lag(group) == 0);
    for running in places.into_iter().filter_map(|place| place.running) {
        running.signal(Signal::Term);
        processed.take(&running.finish().ok().stdout);
    }
    // At least once: what was acknowledged and printed by nobody is lost, and what was printed again is counted.
    let report = processed.book.assert_kept();
    println!("{next} records, {} processed, of which {} again", report.read, report.redelivered);
}
