//! A disk without room: nothing more is stored, what is stored can be read, and nothing is lost by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{any_port, text, weir};

/// Of the disk's 64 MiB; a node keeps 32 MiB free.
const BALLAST_BYTES: usize = 44 << 20;
/// Of 100 kB each.
const LINES: usize = 80;

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
    let stored = || client.run(&["consume", "t", "--from-beginning", "--until-end"]).ok().text();
    client.run(&["topics", "create", "t"]).ok();
    client.run_with_input(&["produce", "t"], b"before\n").ok();
    // A file beside the log leaves less than the node keeps free for itself.
    let ballast = disk.0.join("ballast");
    fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();

    // More than a node appends before it looks at the disk again; what it takes before, it has room for.
    let during = format!("{}\n", "x".repeat(100_000)).repeat(LINES);
    let input = folder.path().join("input");
    fs::write(&input, &during).unwrap();
    let producer = client.spawn(&["produce", "t", "--input", &text(&input), "--output", "json"]);
    node.process().wait_for_stderr("appends are refused until there is room");
    let read = stored();
    let taken = read.strip_prefix("before\n").expect("what was stored before can be read");
    assert!(during.starts_with(taken) && taken.len() < during.len(), "{} bytes were taken", taken.len());
    assert!(producer.is_running(), "a disk may get room again, so the producer waits");

    fs::remove_file(&ballast).unwrap();
    let summary = producer.finish().ok().json();
    assert_eq!(summary["acknowledged"], LINES, "{summary}");
    client.run_with_input(&["produce", "t"], b"after\n").ok();
    assert!(stored() == format!("before\n{during}after\n"), "not every record once and in order");
    drop(node);
    drop(disk);
}
