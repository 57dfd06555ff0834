//! Bad input: a sentence that says what to do, an exit code that is not 0, and a node that goes on.

use std::fs;

use weir_tests::process::Weir;

use super::{Place, any_port, text, weir};

/// A refusal, whose last words on stderr are one line.
fn refused(weir: &Weir, arguments: &[&str], words: &[&str]) {
    let said = weir.run(arguments).refused(words);
    let lines: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("weir: ")).collect();
    assert_eq!(lines.len(), 1, "not one sentence: {said}");
}

#[test]
fn topics_that_cannot_be() {
    let place = Place::new();
    let long = "x".repeat(300);
    for (name, words) in [
        ("a/b", ["'/'", "not allowed"]),
        ("../evil", ["'/'", "not allowed"]),
        ("..", ["'..'", "must not"]),
        (".", ["'.'", "must not"]),
        ("", ["must not", "empty"]),
        (&long, ["at most 249", "300"]),
    ] {
        refused(&place.weir, &["topics", "create", name], &words);
    }
    let create = |flag, value, words: &[&str]| {
        refused(&place.weir, &["topics", "create", "t", flag, value], words);
    };
    create("--partitions", "0", &["1 to 10000 partitions"]);
    create("--partitions", "10001", &["1 to 10000 partitions"]);
    create("--replication-factor", "3", &["replication factor of 3", "live nodes"]);
    create("--config", "retnetion.ms=1", &["'retnetion.ms'", "did you mean 'retention.ms'"]);
    create("--config", "retention.ms=soon", &["retention.ms", "soon"]);
    refused(&place.weir, &["topics", "describe", "t"], &["no topic 't'", "topics list"]);
    place.create("t", &[]);
    refused(&place.weir, &["topics", "create", "t"], &["'t' exists already"]);
    place.assert_serves();
}

#[test]
fn topics_and_partitions_that_are_not_there() {
    let place = Place::new();
    refused(&place.weir, &["topics", "describe", "nosuch"], &["'nosuch'", "weir topics list"]);
    refused(&place.weir, &["topics", "delete", "nosuch"], &["'nosuch'", "weir topics list"]);
    let how = ["'nosuch'", "weir topics create nosuch"];
    refused(&place.weir, &["consume", "nosuch", "--until-end"], &how);
    refused(&place.weir, &["produce", "nosuch"], &how);
    place.create("t", &["--partitions", "2"]);
    let how = ["no partition 2", "it has 2"];
    refused(&place.weir, &["produce", "t", "--partition", "2"], &how);
    refused(&place.weir, &["consume", "t", "--partition", "2", "--until-end"], &how);
    let there_is = ["offset 99 of t-0 is not stored", "--offset 0 to 0", "earliest"];
    refused(&place.weir, &["consume", "t", "--offset", "99", "--max", "1"], &there_is);
    let it_ends = ["offset 99 of topic 't' is not stored", "ends at offset 0"];
    refused(&place.weir, &["consume", "t", "--offset", "99", "--until-end"], &it_ends);
    place.assert_serves();
}

#[test]
fn input_that_cannot_be_read() {
    let place = Place::new();
    place.create("t", &[]);
    let missing = text(&place.path("missing"));
    refused(&place.weir, &["produce", "t", "--input", &missing], &["cannot read", &missing]);
    let folder = text(place.folder.path());
    refused(&place.weir, &["produce", "t", "--input", &folder], &["it is a folder", "name a file"]);
    place.assert_serves();
}

#[test]
fn flags_that_make_no_sense() {
    let weir = weir();
    weir.run(&["produce", "t", "--partition=-1"]).refused(&["--partition"]);
    weir.run(&["produce", "t", "--partition", "one"]).refused(&["--partition", "'one'"]);
    weir.run(&["produce", "t", "--acks", "2"]).refused(&["0, 1 or all"]);
    weir.run(&["produce", "t", "--compression", "brotli"]).refused(&["brotli", "zstd"]);
    weir.run(&["consume", "t", "--since", "yesterday"]).refused(&["10m"]);
    weir.run(&["topics", "create", "t", "--config", "retention.ms"]).refused(&["KEY=VALUE"]);
}

#[test]
fn lines_that_are_too_large_hold_up_no_others() {
    let place = Place::new();
    place.create("t", &["--config", "max.message.bytes=1000"]);
    // The second fits by itself, but not as a record of a batch.
    let lines = ["first", &"x".repeat(1000), &"y".repeat(5000), &"z".repeat(10_000_000), "last"].join("\n");
    let input = place.file("lines", lines.as_bytes());
    let said = place.weir.run(&["produce", "t", "--input", &input, "--output", "json"]);
    let said = said.refused(&[
        "line 2 ",
        "line 3 has 5000 bytes",
        "line 4 has 10000000 bytes",
        "max.message.bytes",
        "1000",
    ]);
    let summary = said.json();
    assert_eq!((&summary["acknowledged"], &summary["failed"]), (&2.into(), &3.into()), "{said}");
    assert_eq!(place.stored("t"), b"first\nlast\n");
    place.assert_serves();
}

#[test]
fn data_folders_that_cannot_be_used() {
    let place = Place::new();
    let node = |data: &str, words: &[&str]| {
        refused(&weir(), &["node", "--data", data, "--listen", "127.0.0.1:0"], words);
    };
    node(&text(place.node.data()), &["in use", "--data"]);
    node(&place.file("a file", b"not a folder"), &["is a file", "--data"]);
    node(&format!("{}/below", place.file("another", b"")), &["another/below"]);
    place.assert_serves();
}

#[test]
fn a_port_that_is_taken() {
    let place = Place::new();
    let address = place.node.address().to_string();
    let data = text(&place.path("other"));
    let arguments = ["node", "--data", &data, "--listen", &address];
    refused(&weir(), &arguments, &[&address, "is taken", "another port"]);
    place.assert_serves();
}

#[test]
fn certificates_that_do_not_fit() {
    let place = Place::new();
    let other = weir().node(&place.path("other"), any_port());
    let stranger = weir().client_of(place.node.address(), &other.certs());
    refused(&stranger, &["topics", "list"], &["not to be trusted", "--certs"]);
    let nobody = weir().client_of(place.node.address(), &place.path("nowhere"));
    refused(&nobody, &["topics", "list"], &["no client certificate", "nowhere", "--certs"]);
    let broken = place.path("broken");
    fs::create_dir_all(&broken).unwrap();
    for name in ["ca.pem", "client.pem", "client.key"] {
        fs::write(broken.join(name), "this is no certificate\n").unwrap();
    }
    let broken = weir().client_of(place.node.address(), &broken);
    refused(&broken, &["topics", "list"], &["broken"]);
    place.assert_serves();
}

#[test]
fn configuration_that_is_misspelt() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("weir.toml"), folder.path().join("data"));
    for (content, words) in [
        ("nod.id = 1\n", ["'nod.id'", "did you mean 'node.id'"]),
        ("node.id = \"one\"\n", ["node.id = one", "whole number"]),
        ("node.id = 1\nnode id\n", ["line 2", "not TOML"]),
    ] {
        fs::write(&file, content).unwrap();
        let arguments = ["node", "--config", &text(&file), "--data", &text(&data), "--listen", "127.0.0.1:0"];
        refused(&weir(), &arguments, &words);
        assert!(!data.exists(), "a node that is refused leaves nothing behind");
    }
}

#[test]
fn files_that_are_no_log() {
    let place = Place::new();
    let foreign = place.file("foreign", b"this was never a segment");
    refused(&weir(), &["log", "dump", &foreign], &["not a segment"]);
    let missing = text(&place.path("missing"));
    refused(&weir(), &["log", "dump", &missing], &["there is no file", &missing, "name a segment"]);
    refused(&weir(), &["log", "verify", &missing], &[&missing, "name a node's data folder"]);
    refused(&weir(), &["log", "verify", &foreign], &[&foreign, "name a node's data folder"]);
    let folder = text(place.node.data());
    refused(&weir(), &["log", "dump", &folder], &["is a folder", "weir log verify"]);
    // A folder as there are many, with a name such as partitions have.
    fs::create_dir_all(place.path("other/dbus-1")).unwrap();
    fs::write(place.path("other/dbus-1/system.conf"), "no log").unwrap();
    let other = text(&place.path("other"));
    refused(&weir(), &["log", "verify", &other], &["no partitions", "data folder"]);
    // In a data folder it is a partition's, and what should be in it is missing.
    place.create("t", &[]);
    fs::remove_file(place.path("data/topics/t-0/partition.metadata")).unwrap();
    for folder in ["data", "data/topics", "data/topics/t-0"] {
        let found = weir().run(&["log", "verify", &text(&place.path(folder))]);
        let is_told = found.status.code() == Some(1) && found.text().contains("DAMAGED");
        // By itself an empty folder is no partition's.
        assert!(is_told || found.stderr.contains("no partitions"), "{folder}: {found}");
        assert_eq!(is_told, folder != "data/topics/t-0", "{folder}: {found}");
    }
}
