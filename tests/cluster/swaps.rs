//! Plugins that are swapped while records flow, and plugins that misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{PipeWriter, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::{Value, json};
use weir_guests::Guest;
use weir_tests::book::Book;
use weir_tests::process::DEADLINE;

use super::Place;

/// How many swaps, unless the variable `WEIR_SWAPS` says otherwise.
const SWAPS: usize = 20;
/// How many records a second go through meanwhile.
const RATE: &str = "800";

fn swaps() -> usize {
    std::env::var("WEIR_SWAPS").ok().and_then(|text| text.parse().ok()).unwrap_or(SWAPS)
}

/// A numbered JSON line of one of ten keys.
fn line(number: usize) -> String {
    format!("{{\"key\":\"{}\",\"number\":{number},\"card\":\"4111\"}}\n", key_of(number))
}

fn key_of(number: usize) -> String {
    format!("k{}", number % 10)
}

fn lines(count: usize) -> String {
    (0..count).map(line).collect()
}

/// Lines that are written to a pipe for as long as somebody wants more.
struct Lines {
    is_enough: Arc<AtomicBool>,
    writing: JoinHandle<usize>,
}

impl Lines {
    fn into(mut pipe: PipeWriter) -> Lines {
        let is_enough = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&is_enough);
        let writing = std::thread::spawn(move || {
            let mut count = 0;
            while !watched.load(Relaxed) && pipe.write_all(line(count).as_bytes()).is_ok() {
                count += 1;
            }
            count
        });
        Lines { is_enough, writing }
    }

    /// Ends them; how many there were.
    fn end(self) -> usize {
        self.is_enough.store(true, Relaxed);
        self.writing.join().unwrap()
    }
}

/// The records of a topic, as `weir consume` tells them.
fn stored(place: &Place, topic: &str) -> Vec<Value> {
    let said =
        place.weir.run(&["consume", topic, "--from-beginning", "--until-end", "--format", "json"]).ok();
    said.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bind(place: &Place, topic: &str, arguments: &[&str]) -> Value {
    let command: Vec<&str> = ["plugins", "bind", topic]
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(["--output", "json"])
        .collect();
    place.weir.run(&command).ok().json()
}

fn status(place: &Place, topic: &str) -> Value {
    place.weir.run(&["plugins", "status", topic, "--output", "json"]).ok().json()
}

/// Each swap changes the interceptor and the partitioner at once. Nothing is lost, repeated, reordered or refused, and the
/// log says from where on which revision made the records: the stamps agree.
#[test]
fn swaps_under_load_lose_repeat_and_fail_nothing() {
    let place = Place::new();
    place.create("orders", &["--partitions", "3"]);
    bind(&place, "orders", &["--interceptor", "stamp:headers=revision", "--partitioner", "hash"]);
    let (reader, writer) = std::io::pipe().unwrap();
    let produce = ["produce", "orders", "--key-field", "key", "--rate", RATE, "--output", "json"];
    let sending = place.weir.spawn_with(&produce, Stdio::from(reader));
    let lines = Lines::into(writer);
    for swap in 0..swaps() {
        let partitioner = ["murmur2", "hash"][swap % 2];
        bind(&place, "orders", &["--interceptor", "stamp:headers=revision", "--partitioner", partitioner]);
        assert!(sending.is_running(), "the producer ended after {swap} swaps: {:?}", sending.finish());
    }
    let count = lines.end();
    let mut book = Book::default();
    // Each swap changes the rule that places records.
    book.may_move(swaps());
    for number in 0..count {
        book.sent(0, number as u64, Some(&key_of(number)));
    }
    book.all_acknowledged(0, &sending.finish().ok().json());

    let consume = ["consume", "orders", "--from-beginning", "--until-end", "--format", "json"];
    let said = place.weir.run(&consume).ok();
    let reader = book.reader();
    book.printed(reader, &said.stdout, |record| {
        let value: Value = serde_json::from_str(record["value"].as_str()?).ok()?;
        value["number"].as_u64()
    });
    let mut first_of: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for record in said.lines().map(|line| serde_json::from_slice::<Value>(line).unwrap()) {
        let revision = stamp_of(&record);
        book.made(&record, revision.to_string(), record["headers"].as_array().unwrap().len());
        // What was sent before a swap and sent again after it may stand behind the first of the new revision.
        let (partition, offset) = (record["partition"].as_u64().unwrap(), record["offset"].as_u64().unwrap());
        let first = first_of.entry((revision, partition)).or_insert(offset);
        *first = offset.min(*first);
    }
    book.assert_kept();
    let revisions: BTreeSet<u64> = first_of.keys().map(|(revision, _)| *revision).collect();
    assert!(revisions.len() > swaps() / 2, "of {} swaps records met only {revisions:?}", swaps());

    let status = status(&place, "orders");
    let revision = status["revision"].as_u64().unwrap();
    for partition in status["partitions"].as_array().unwrap() {
        let index = partition["partition"].as_u64().unwrap();
        // The last swap may have come behind the last record.
        if let Some(first) = first_of.get(&(revision, index)) {
            assert_eq!(partition["first_offset"], json!(first), "partition {index}: {status}");
        }
    }
}

/// The revision that a record is stamped with.
fn stamp_of(record: &Value) -> u64 {
    let text = record["headers"][0].to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no revision in {record}"))
}

/// What an interceptor does is seen by the producer and in the log; a topic without plugins is as before.
#[test]
fn an_interceptor_rejects_with_its_reason_and_the_rest_goes_on() {
    let place = Place::new();
    place.create("orders", &["--partitions", "2"]);
    bind(&place, "orders", &["--interceptor", "require-json"]);
    let input = place.file("input", b"{\"a\":1}\nno json\n{\"a\":2}\n");
    let finished = place.weir.run(&["produce", "orders", "--input", &input, "--output", "json"]);
    let summary = finished.json();
    assert_eq!((&summary["acknowledged"], &summary["rejected"]), (&json!(2), &json!(1)), "{summary}");
    assert_eq!(stored(&place, "orders").len(), 2);
}

/// What a plugin fails on is put aside, each record once and with the reason; another topic goes on, and a rollback is all
/// it takes.
#[test]
fn what_a_plugin_fails_on_is_put_aside_and_hurts_no_other_topic() {
    let place = Place::new();
    place.create("orders", &["--partitions", "1"]);
    place.create("others", &["--partitions", "1"]);
    let guest = Guest::named("errs_in_on_send");
    let file = place.file("hostile.wasm", &guest.component());
    place.weir.run(&["plugins", "push", &file, "--name", "hostile", "--version", "1"]).ok();
    let mode = format!("mode={}", guest.mode);
    bind(&place, "orders", &["--interceptor", "hostile@1", "--option", &mode, "--on-failure", "dead-letter"]);
    let input = place.file("input", lines(3).as_bytes());
    let summary = place.weir.run(&["produce", "orders", "--input", &input, "--output", "json"]).json();
    assert_eq!((&summary["acknowledged"], &summary["rejected"]), (&json!(0), &json!(3)), "{summary}");
    assert_eq!(stored(&place, "orders").len(), 0);
    let letters = stored(&place, "orders.dead-letter");
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters[0]["headers"].to_string().contains("weir.dead-letter.reason"), "{}", letters[0]);
    let summary = place.weir.run(&["produce", "others", "--input", &input, "--output", "json"]).ok().json();
    assert_eq!(summary["acknowledged"], 3, "{summary}");
    place.weir.run(&["plugins", "rollback", "orders"]).ok();
    let summary = place.weir.run(&["produce", "orders", "--input", &input, "--output", "json"]).ok().json();
    assert_eq!(summary["acknowledged"], 3, "{summary}");
}

/// A plugin that passes its trial and fails on what really comes is taken out by the node itself, once.
#[test]
fn a_plugin_that_fails_too_often_is_rolled_back_by_itself() {
    let place = Place::new();
    place.create("orders", &["--partitions", "1"]);
    let file = place.file("pass.wasm", weir_guests::PASS_TYPED);
    place.weir.run(&["plugins", "push", &file, "--name", "pass", "--version", "1"]).ok();
    // Enough for the trial, not for a batch of 700 kB.
    let bound = bind(&place, "orders", &["--interceptor", "pass@1", "--limit", "memory.bytes=1500000"]);
    let large = "x".repeat(700_000) + "\n";
    let input = place.file("input", large.repeat(8).as_bytes());
    let summary = place.weir.run(&["produce", "orders", "--input", &input, "--output", "json"]).json();
    assert!(summary["rejected"].as_u64() > Some(0), "{summary}");
    let deadline = Instant::now() + DEADLINE;
    let revision = loop {
        let status = status(&place, "orders");
        if status["revision"] != bound["revision"] {
            break status["revision"].clone();
        }
        assert!(Instant::now() < deadline, "nothing was rolled back: {status}");
    };
    let summary = place.weir.run(&["produce", "orders", "--input", &input, "--output", "json"]).ok().json();
    assert_eq!(summary["acknowledged"], 8, "{summary}");
    assert_eq!(status(&place, "orders")["revision"], revision, "it is rolled back once");
}

/// While a consumer interceptor fails nobody is shown what it did not look at, and the log keeps it all.
#[test]
fn what_a_consumer_interceptor_fails_on_is_not_shown() {
    let place = Place::new();
    place.create("orders", &["--partitions", "1"]);
    place.weir.run_with_input(&["produce", "orders"], lines(3).as_bytes()).ok();
    let guest = Guest::named("errs_in_on_consume");
    let file = place.file("hostile.wasm", &guest.component());
    place.weir.run(&["plugins", "push", &file, "--name", "hostile", "--version", "1"]).ok();
    let mode = format!("mode={}", guest.mode);
    bind(&place, "orders", &["--consumer-interceptor", "hostile@1", "--option", &mode]);
    let read = place.weir.run(&["consume", "orders", "--from-beginning", "--max", "1"]);
    assert!(!read.status.success() && read.stdout.is_empty(), "a fetch fails while its interceptor does");
    bind(&place, "orders", &["--no", "consumer-interceptor"]);
    assert_eq!(stored(&place, "orders").len(), 3);
}
