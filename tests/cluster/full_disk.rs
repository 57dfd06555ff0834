//! A disk without room: nothing more is stored, what is stored can be read, and nothing is lost by it.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use weir_tests::book::Book;

use super::{any_port, text, weir};

/// Of the disk's 64 MiB; a node keeps 32 MiB free.
const BALLAST_BYTES: usize = 44 << 20;
/// How many records the disk has to take before it is full, of 100 kB each; the first of them while it has room.
const LINES: u64 = 81;

/// A small file system in memory, gone with this value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(path: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "weir-test"]).arg(path).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| SmallDisk(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a failed test may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_folder_that_takes_no_writes_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.0).status();
    assert!(remounted.is_ok_and(|status| status.success()), "the disk could not be made read-only");
    let data = text(&disk.0.join("data"));
    let refused = weir().run(&["node", "--data", &data, "--listen", "127.0.0.1:0"]);
    refused.refused(&[&data, "takes no writes", "choose another folder"]);
}

#[test]
fn a_full_disk_takes_nothing_serves_reads_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk")) else {
        println!("skipped: this user may not mount a small disk");
        return;
    };
    let node = weir().node(&disk.0.join("data"), any_port());
    let client = node.client();
    let consume = ["consume", "t", "--from-beginning", "--until-end", "--format", "json"];
    let stored = || client.run(&consume).ok().stdout;
    client.run(&["topics", "create", "t"]).ok();
    let mut book = Book::default();
    let mut produce = |process: u32, numbers: Range<u64>| {
        numbers.clone().for_each(|number| book.sent(process, number, Some("t")));
        let input = folder.path().join(format!("input-{process}"));
        fs::write(&input, numbers.map(line).collect::<String>()).unwrap();
        client.spawn(&["produce", "t", "--input", &text(&input), "--output", "json"])
    };
    let before = produce(0, 0..1).finish().ok().json();
    // A file beside the log leaves less than the node keeps free for itself.
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();

    // More than a node appends before it looks at the disk again; what it takes before, it has room for.
    let producer = produce(1, 1..LINES);
    node.process().wait_for_stderr("appends are refused until there is room");
    let read = stored();
    assert!(producer.is_running(), "a disk may get room again, so the producer waits");

    fs::remove_file(&ballast).unwrap();
    let during = producer.finish().ok().json();
    let after = produce(2, LINES..LINES + 1).finish().ok().json();
    for (process, summary) in [before, during, after].iter().enumerate() {
        book.all_acknowledged(u32::try_from(process).unwrap(), summary);
    }
    // Who read from the full disk got the beginning of the log, and not all of it.
    let taken = read.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!((1..LINES).contains(&taken), "{taken} records were taken");
    for printed in [read, stored()] {
        let reader = book.reader();
        book.printed(reader, &printed, number_of);
    }
    let report = book.assert_kept();
    assert_eq!(report.read, taken + LINES + 1, "each of two readers got each record once");
    drop(node);
    drop(disk);
}

/// Its number, and enough that a disk is full soon.
fn line(number: u64) -> String {
    format!("{number} {}\n", "x".repeat(100_000))
}

/// `None` where the line is not as it was sent.
fn number_of(record: &Value) -> Option<u64> {
    let value = record["value"].as_str()?;
    let number = value.split_once(' ')?.0.parse().ok()?;
    (line(number).trim_end() == value).then_some(number)
}
