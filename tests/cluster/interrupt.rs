//! Ctrl-C in the middle of each command.

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Command, Stdio};

use weir_tests::process::Signal;

use super::{Place, any_port, text, weir};

/// What the command line promises for an interruption before the end.
const INTERRUPTED: Option<i32> = Some(130);

#[test]
fn produce_settles_what_it_sent() {
    let place = Place::new();
    place.create("t", &[]);
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    let (input, mut lines) = std::io::pipe().unwrap();
    let producer = place.weir.spawn_with(&["produce", "t", "--output", "json"], Stdio::from(input));
    lines.write_all(b"one\ntwo\nhalf a li").unwrap();
    reader.wait_for_lines(2);
    producer.signal(Signal::Int);
    let said = producer.finish();
    assert_eq!(said.status.code(), INTERRUPTED, "{said}");
    assert!(said.stderr.contains("interrupted"), "{said}");
    let summary = said.json();
    assert_eq!((&summary["records"], &summary["acknowledged"]), (&2.into(), &2.into()), "{said}");
    assert_eq!(summary["unknown"], 0, "{said}");
    // Until here its input was open.
    drop(lines);
    assert_eq!(place.stored("t"), b"one\ntwo\n", "half a line is no record");
}

#[test]
fn consume_prints_what_it_read() {
    let place = Place::new();
    place.create("t", &[]);
    place.weir.run_with_input(&["produce", "t"], b"one\ntwo\n").ok();
    // Without an end of its own, an interruption is its end; with one, it is not what was asked for.
    for (end, code) in [(&[][..], Some(0)), (&["--max", "3"][..], INTERRUPTED)] {
        let arguments = [&["consume", "t", "--from-beginning", "--output", "json"], end].concat();
        let reader = place.weir.spawn(&arguments);
        reader.wait_for_lines(2);
        reader.signal(Signal::Int);
        let said = reader.finish();
        assert_eq!(said.status.code(), code, "{said}");
        assert!(said.stdout.starts_with(b"one\ntwo\n"), "{said}");
        assert_eq!(said.json()["records"], 2, "{said}");
    }
}

#[test]
fn waiting_for_a_node_that_does_not_answer() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = Place::new();
    let client = weir().client_of(silent.local_addr().unwrap(), &place.node.certs());
    for arguments in [&["topics", "list"][..], &["produce", "t"], &["consume", "t"]] {
        let waiting = client.spawn(arguments);
        waiting.wait_for_stderr("waiting for a node at");
        waiting.signal(Signal::Int);
        let said = waiting.finish();
        assert_eq!(said.status.code(), INTERRUPTED, "{said}");
    }
}

/// A file that is never there to its end: a pipe into which nobody writes.
#[test]
fn looking_into_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = text(&folder.path().join("00000000000000000000.log"));
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "no pipe could be made");
    let reading = weir().spawn(&["log", "dump", &pipe, "-vv"]);
    reading.wait_for_stderr("reading files");
    reading.signal(Signal::Int);
    let said = reading.finish();
    assert_eq!(said.status.code(), INTERRUPTED, "{said}");
}

#[test]
fn a_node_stops_as_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Started by hand, as the harness stops its nodes with another signal.
    let process = weir().spawn(&["node", "--data", &text(&data), "--listen", "127.0.0.1:0"]);
    let ready = process.wait_for_line("ready ");
    let client = weir().client_of(ready["ready ".len()..].parse().unwrap(), &data.join("certs"));
    client.run(&["topics", "create", "t"]).ok();
    client.run_with_input(&["produce", "t"], b"one\n").ok();
    process.signal(Signal::Int);
    let said = process.finish();
    assert_eq!(said.status.code(), Some(0), "{said}");
    let node = weir().node(&data, any_port());
    let read = node.client().run(&["consume", "t", "--from-beginning", "--until-end"]).ok();
    assert_eq!(read.stdout, b"one\n");
}
