//! What works without a word, and where reading starts and ends.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use weir_tests::process::{Signal, Weir, free_address};

use super::{PROGRAM, Place, weir};

/// Two terminals, no flags: only where something else has the port is a port named.
#[test]
fn a_second_terminal_just_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut here = weir().in_folder(folder.path());
    let is_free = UdpSocket::bind("127.0.0.1:9440").is_ok();
    let node = if is_free {
        here.spawn(&["node"])
    } else {
        let address = free_address().to_string();
        here = here.with("WEIR_BOOTSTRAP", &address);
        here.spawn(&["node", "--listen", &address])
    };
    let ready = node.wait_for_line("ready ");
    assert!(!is_free || ready == "ready 127.0.0.1:9440", "{ready}");

    here.run(&["topics", "create", "quakes"]).ok();
    here.run_with_input(&["produce", "quakes"], b"one\ntwo\n").ok();
    let read = here.run(&["consume", "quakes", "--from-beginning", "--until-end"]).ok();
    assert_eq!(read.text(), "one\ntwo\n");
    assert!(here.run(&["topics", "list"]).ok().text().contains("quakes"));
    assert!(folder.path().join("weir-data/certs/ca.pem").exists());
    node.signal(Signal::Term);
    assert_eq!(node.finish().status.code(), Some(0));
}

#[test]
fn reading_starts_and_ends_where_it_is_told_to() {
    let place = Place::new();
    place.create("t", &[]);
    place.weir.run_with_input(&["produce", "t"], b"a\nb\nc\nd\n").ok();
    let read = |flags: &[&str]| place.weir.run(&[&["consume", "t"], flags].concat()).ok().text();
    assert_eq!(read(&["--offset", "2", "--until-end"]), "c\nd\n");
    assert_eq!(read(&["--offset", "earliest", "--max", "2"]), "a\nb\n");
    assert_eq!(read(&["--offset", "latest", "--until-end"]), "");
    assert_eq!(read(&["--until-end"]), "", "without a word about it, reading starts at the end");
    assert_eq!(read(&["--since", "1h", "--until-end", "--partition", "0"]), "a\nb\nc\nd\n");
    assert_eq!(read(&["--since", "2100-01-01T00:00:00Z", "--until-end"]), "");
}

/// Whoever has read enough goes, and a reader of a topic to which nothing more comes would not notice by writing.
#[test]
fn a_reader_ends_when_nobody_reads_its_output_any_more() {
    let place = Place::new();
    place.create("t", &[]);
    place.weir.run_with_input(&["produce", "t"], b"one\ntwo\n").ok();
    let shell = Weir::other_program("sh").client_of(place.node.address(), &place.node.certs());
    for flags in ["", "--output json", "--max 5"] {
        let reads = format!("{{ \"$0\" consume t --from-beginning {flags}; echo ended $? >&2; }} | head -1");
        let said = shell.run(&["-c", &reads, PROGRAM]).ok();
        assert_eq!((said.text(), &*said.stderr), ("one\n".to_owned(), "ended 0\n"), "{flags}");
    }
}

/// Long work shows how far it is where somebody looks, takes that away when it is done, and is quiet in a pipe.
#[test]
fn long_work_shows_progress_on_a_terminal_and_nothing_in_a_pipe() {
    let place = Place::new();
    place.create("t", &[]);
    let input = place.file("lines", &b"a line of 20 bytes.\n".repeat(300));
    let produce = ["produce", "t", "--input", &input, "--rate", "300", "--output", "json"];
    let consume = ["consume", "t", "--from-beginning", "--max", "900"];

    let sending = place.weir.spawn_on_terminal(&produce);
    let sent = sending.finish().ok();
    assert_eq!(sent.json()["acknowledged"], 300, "{sent}");
    assert_eq!(sent.lines().count(), 1, "stdout is not the terminal: {sent}");
    let (shown, left) = sent.stderr.rsplit_once("\u{1b}[2K").expect("the line is taken away");
    assert!(!left.contains("bytes") && left.contains("300 acknowledged"), "{left:?}");
    let positions: BTreeSet<&str> =
        shown.split(" of 6,000 bytes").filter_map(|before| before.rsplit(' ').next()).collect();
    assert!(positions.len() > 2, "it moves while lines are sent, not at their end: {positions:?}");

    let reading = place.weir.spawn_on_terminal(&consume);
    reading.wait_for_stderr("300 of 900 records");
    let piped = place.weir.run(&produce).ok();
    assert!(!piped.stderr.contains("of 6,000 bytes"), "{piped}");
    place.weir.run(&produce).ok();
    let read = reading.finish().ok();
    assert_eq!(read.lines().count(), 900, "{read}");
    let piped = place.weir.run(&consume).ok();
    assert!(!piped.stderr.contains("of 900 records"), "{piped}");
}

#[test]
fn any_bytes_survive() {
    let place = Place::new();
    place.create("bytes", &[]);
    let mut line: Vec<u8> = (0..=u8::MAX).filter(|byte| *byte != b'\n').collect();
    line.extend_from_slice("snow ☃\r\n\n   \n".as_bytes());
    place.weir.run_with_input(&["produce", "bytes"], &line).ok();
    assert_eq!(place.stored("bytes"), line);
}

#[test]
fn a_refusal_is_json_too_where_json_was_asked_for() {
    let place = Place::new();
    let run = place.weir.run(&["topics", "describe", "nosuch", "--output", "json"]);
    assert!(run.json()["error"].as_str().unwrap().contains("'nosuch'"));
    run.refused(&["'nosuch'"]);
}

#[test]
fn help_is_a_page_and_a_misspelt_command_is_told() {
    let help = weir().run(&["--help"]).ok().text();
    for command in ["demo", "node", "topics", "produce", "consume", "log"] {
        assert!(help.contains(command), "{help}");
    }
    weir().run(&["prodcue", "t"]).refused(&["prodcue", "produce"]);
    weir().run::<&str>(&[]).refused(&["usage"]);
}
