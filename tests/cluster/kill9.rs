//! `kill -9` in the middle of a produce: nothing acknowledged is lost, nothing is stored twice, every key keeps its
//! order.

use std::io::{BufWriter, PipeWriter, Write};
use std::process::Stdio;
use std::sync::mpsc;

use serde_json::Value;
use weir_tests::book::Book;

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
    let consume = ["consume", topic, "--from-beginning", "--format", "json"];
    let reader = place.weir.spawn(&[&consume[..], &["--max", &records.to_string()]].concat());
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

    let mut book = Book::default();
    for number in 0..records {
        book.sent(0, number as u64, Some(&key_of(number)));
    }
    book.all_acknowledged(0, &producer.finish().ok().json());
    let after = place.weir.run(&[&consume[..], &["--until-end"]].concat()).ok();
    // Nor may a reader that was there all the time see anything twice, or miss it.
    for reading in [after, reader.finish().ok()] {
        let reader = book.reader();
        book.printed(reader, &reading.stdout, number_of);
    }
    let report = book.assert_kept();
    assert_eq!(report.read, 2 * records as u64, "each of two readers got each record once");
}

fn key_of(number: usize) -> String {
    format!("k{}", number % KEYS)
}

fn write_lines(lines: PipeWriter, records: usize, last_may_go: &mpsc::Receiver<()>) {
    let mut lines = BufWriter::new(lines);
    for number in 0..records {
        if number + 1 == records {
            lines.flush().unwrap();
            // Where the other end is gone the test has failed already.
            let _ = last_may_go.recv();
        }
        writeln!(lines, r#"{{"key":"{}","n":{number}}}"#, key_of(number)).unwrap();
    }
    lines.flush().unwrap();
}

/// The number of a record as `weir consume --format json` prints it.
fn number_of(record: &Value) -> Option<u64> {
    let value: Value = serde_json::from_str(record["value"].as_str()?).ok()?;
    value["n"].as_u64()
}
