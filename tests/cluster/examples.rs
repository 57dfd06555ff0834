//! The examples, as their readers run them.

use std::time::Duration;

use weir_tests::process::{Running, Signal, Weir};

use super::{PROGRAM, Place};

fn example(path: &str, place: &Place) -> Weir {
    Weir::other_program(path)
        .client_of(place.node.address(), &place.node.certs())
        .in_folder(place.folder.path())
}

#[test]
fn what_one_example_sends_the_other_prints_and_not_twice() {
    let mut place = Place::that_restarts();
    let producer = example(env!("CARGO_BIN_EXE_example-producer"), &place);
    let consumer = example(env!("CARGO_BIN_EXE_example-consumer"), &place);
    let read_all = |reader: Running| {
        for partition in 0..3 {
            reader.wait_for_stderr(&format!("partition {partition}: read up to"));
        }
        reader
    };
    for round in 0..2 {
        let said = producer.run::<&str>(&[]).ok();
        assert_eq!(said.text(), "3000 stored, 0 dropped, 0 not stored or not known to be\n", "{said}");
        let reader = consumer.spawn::<&str>(&[]);
        reader.wait_for_lines(3000);
        if round == 1 {
            // Nothing is lost on the way, and nothing said, while the node is away.
            place.node.kill();
            place.node.start();
            producer.run::<&str>(&[]).ok();
            reader.wait_for_lines(6000);
        }
        let reader = read_all(reader);
        reader.signal(Signal::Kill);
        let printed = reader.finish().text();
        for sensor in ["cellar", "roof", "yard"] {
            let mark = format!("\"sensor\":\"{sensor}\"");
            let lines = printed.lines().filter(|line| line.contains(&mark));
            assert_eq!(lines.count(), if round == 0 { 1000 } else { 2000 }, "{sensor} in round {round}");
        }
    }
}

/// Of the examples' folder.
macro_rules! script {
    ($path:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/", $path)
    };
}
/// How long a script may take on a machine that has other things to do.
const SCRIPT_LIMIT: Duration = Duration::from_mins(5);

/// A script that starts a node of its own, and ends with 0 if its story comes out as told.
fn told(script: &str, arguments: &[&str]) -> String {
    let script = Weir::other_program(script);
    script.spawn(arguments).finish_within(SCRIPT_LIMIT).ok().text()
}

#[test]
fn personal_data_is_never_stored() {
    let told = told(script!("redaction/run"), &[PROGRAM]);
    assert!(told.contains("as told: no address and no card number is stored"), "{told}");
}

#[test]
fn what_is_wrong_is_refused_and_what_failed_is_not_lost() {
    let told = told(script!("validation/run"), &[PROGRAM]);
    assert!(told.contains("as told: 6 readings are stored, each once; 2 were refused"), "{told}");
}

#[test]
fn what_belongs_together_is_read_together() {
    let joiner = env!("CARGO_BIN_EXE_example-joiner");
    let told = told(script!("colocated-assignor/run"), &[PROGRAM, joiner]);
    assert!(told.contains("as told: 40 orders met their payments, and before that none"), "{told}");
}

#[test]
fn the_same_plugins_in_many_languages_do_the_same_on_a_node() {
    let told = told(script!("plugins/test"), &["--committed", "--program", PROGRAM]);
    let committed = ["assemblyscript", "rust", "zig"];
    let languages = told.lines().filter(|line| committed.contains(line));
    assert_eq!(languages.count(), committed.len(), "{told}");
    let last = format!("{} passed, 0 failed\n", 9 * committed.len());
    assert!(told.ends_with(&last), "{told}");
}
