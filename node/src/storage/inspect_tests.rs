//! Looking at segment files from outside.

#![allow(clippy::type_complexity, reason = "a table of cases is read where it stands")]

use std::path::Path;

use weir_wire::ids::Offset;

use super::disk::{Disk, OpenMode};
use super::testing::{FOLDER, all_bytes, open_folder, open_log, run};
use super::{BatchFault, FileKind, Inspected, SimDisk, file_name, inspect_segment, verify_partition};

fn path(kind: FileKind) -> String {
    format!("{FOLDER}/{}", file_name(Offset(0), kind))
}

fn filled() -> SimDisk {
    let disk = SimDisk::new(0);
    let (mut log, _) = open_log(&open_folder(&disk));
    for base in (0..60).step_by(4) {
        log.append(&run(base, 4, 39)).expect("append");
    }
    log.close().expect("close");
    disk
}

fn inspect(disk: &SimDisk) -> Vec<Inspected> {
    let file = inspect_segment(disk, Path::new(&path(FileKind::Log))).expect("opens");
    file.collect::<Result<_, _>>().expect("readable")
}

#[test]
fn every_batch_is_shown_with_its_place() {
    let found = inspect(&filled());
    let expected = run(0, 20, 39);
    assert_eq!(found.len(), expected.len());
    for (number, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        let position = number as u64 * 100;
        let (header, bytes) = (expected.header, expected.bytes);
        assert_eq!(found, Inspected::Batch { position, header, bytes, fault: None });
    }
}

#[test]
fn damage_is_shown_and_what_follows_it_too() {
    let disk = filled();
    disk.flip_bit(path(FileKind::Log), 350, 0);
    let found = inspect(&disk);
    assert_eq!(found.len(), 20);
    assert!(matches!(&found[3], Inspected::Damaged { position: 300, bytes: 100, .. }), "{:?}", found[3]);
    let gap = BatchFault::Offset { expected: Offset(3), found: Offset(4) };
    assert!(matches!(&found[4], Inspected::Batch { position: 400, fault: Some(fault), .. } if *fault == gap));
    assert!(matches!(&found[5], Inspected::Batch { fault: None, .. }));
}

#[test]
fn a_file_that_is_no_segment_is_damage_from_its_start() {
    let disk = SimDisk::new(0);
    for content in [&b"a host name\n"[..], &[0; 500], &[0xff; 70]] {
        let file = disk.open(Path::new("/hostname"), OpenMode::Create).expect("open");
        file.set_len(0).expect("empty");
        file.write_at(&[content], 0).expect("write");
        let found: Vec<_> = inspect_segment(&disk, Path::new("/hostname")).expect("opens").collect();
        let [Ok(Inspected::Damaged { position: 0, bytes, .. })] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*bytes, content.len() as u64);
    }
    assert!(inspect_segment(&disk, Path::new("/nothing")).is_err());
}

#[test]
fn a_sound_partition_has_no_problems() {
    let found = verify_partition(&filled(), Path::new(FOLDER)).expect("readable");
    assert_eq!((found.start, found.end, found.batches, found.records), (Offset(0), Offset(60), 60, 60));
    assert_eq!((found.segments, found.bytes), (3, all_bytes(&run(0, 60, 39)).len() as u64));
    assert!(found.is_whole() && found.problems.is_empty());
}

#[test]
fn each_kind_of_problem_is_found() {
    let cases: [(&str, &dyn Fn(&SimDisk), bool); 6] = [
        ("a flipped bit", &|disk| disk.flip_bit(path(FileKind::Log), 1990, 0), true),
        (
            "a cut segment",
            &|disk| disk.vandalise(path(FileKind::Log), |content| content.truncate(1900)),
            true,
        ),
        (
            "a missing segment",
            &|disk| {
                let second = format!("{FOLDER}/{}", file_name(Offset(20), FileKind::Log));
                disk.remove_file(Path::new(&second)).expect("remove");
            },
            true,
        ),
        ("metadata", &|disk| disk.flip_bit(format!("{FOLDER}/partition.metadata"), 3, 0), true),
        ("an index entry", &|disk| disk.flip_bit(path(FileKind::Index), 7, 0), false),
        ("a time index entry", &|disk| disk.flip_bit(path(FileKind::TimeIndex), 7, 0), false),
    ];
    for (name, vandal, is_damage) in cases {
        let disk = filled();
        vandal(&disk);
        let operations = disk.operations();
        let found = verify_partition(&disk, Path::new(FOLDER)).expect("readable");
        assert_eq!(disk.operations(), operations, "{name}: looking changes nothing");
        assert!(!found.problems.is_empty(), "{name}");
        assert_eq!(found.is_whole(), !is_damage, "{name}: {:?}", found.problems);
    }
}
