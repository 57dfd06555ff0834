//! `kill -9` in the middle of a produce: nothing acknowledged is lost, nothing is stored twice, every key keeps its
//! order.

use std::io::{BufWriter, PipeWriter, Write};
use std::process::Stdio;
use std::sync::mpsc;

use serde_json::Value;

use super::{Place, setting, text};

const KEYS: usize = 7;
const PARTITIONS: &str = "3";

#[test]
fn kill9_loses_nothing_and_stores_nothing_twice() {
    let seed = setting("WEIR_SEED").unwrap_or_else(|| fastrand::u64(..));
    let rounds = setting("WEIR_KILL_ROUNDS").unwrap_or(2);
    let records = usize::try_from(setting("WEIR_KILL_RECORDS").unwrap_or(30_000)).unwrap();
    assert!(records >= 10, "WEIR_KILL_RECORDS={records} is too few to be in the middle of");
    println!("WEIR_SEED={seed} WEIR_KILL_ROUNDS={rounds} WEIR_KILL_RECORDS={records}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut place = Place::that_restarts();
    for round in 0..rounds {
        // What a reader has seen when the node dies: the moments are of the log, not of a clock.
        let moment = random.usize(1..records * 9 / 10);
        println!("round {round}: killed once {moment} records were read");
        self::round(&mut place, &format!("round-{round}"), records, moment);
    }
    place.node.stop().ok();
    let data = text(place.node.data());
    place.weir.run(&["log", "verify", &data]).ok();
}

fn round(place: &mut Place, topic: &str, records: usize, moment: usize) {
    place.create(topic, &["--partitions", PARTITIONS]);
    let reader = place.weir.spawn(&["consume", topic, "--from-beginning", "--max", &records.to_string()]);
    let (input, lines) = std::io::pipe().unwrap();
    let producer = place
        .weir
        .spawn_with(&["produce", topic, "--key-field", "key", "--output", "json"], Stdio::from(input));
    let (killed, last_may_go) = mpsc::channel();
    let writer = std::thread::spawn(move || write_lines(lines, records, &last_may_go));
    reader.wait_for_lines(moment);
    // The last line is not written yet, so this is in the middle.
    place.node.kill();
    place.node.start();
    killed.send(()).unwrap();
    writer.join().unwrap();

    let summary = producer.finish().ok().json();
    assert_eq!(summary["records"], records, "{summary}");
    assert_eq!(summary["acknowledged"], records, "{summary}");
    check(topic, &place.stored(topic), records);
    // Nor may a reader that was there all the time see anything twice, or miss it.
    check(topic, &reader.finish().ok().stdout, records);
}

fn write_lines(lines: PipeWriter, records: usize, last_may_go: &mpsc::Receiver<()>) {
    let mut lines = BufWriter::new(lines);
    for number in 0..records {
        if number + 1 == records {
            lines.flush().unwrap();
            // Where the other end is gone the test has failed already.
            let _ = last_may_go.recv();
        }
        writeln!(lines, r#"{{"key":"k{}","n":{number}}}"#, number % KEYS).unwrap();
    }
    lines.flush().unwrap();
}

/// Counts by number, apart from what the producer says.
fn check(topic: &str, stored: &[u8], records: usize) {
    let mut seen = vec![0_u8; records];
    let mut last_of_key = [None; KEYS];
    let mut disordered = 0_u64;
    for line in stored.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line).unwrap();
        let number = usize::try_from(record["n"].as_u64().unwrap()).unwrap();
        seen[number] = seen[number].saturating_add(1);
        let last = &mut last_of_key[number % KEYS];
        disordered += u64::from(last.is_some_and(|last| last >= number));
        *last = Some(number);
    }
    let lost = seen.iter().filter(|times| **times == 0).count();
    let twice = seen.iter().filter(|times| **times > 1).count();
    assert_eq!((lost, twice, disordered), (0, 0, 0), "lost, twice, out of order in {topic}");
}
