//! What follows a topic that is deleted. One that comes back under its old name is another topic: to those who knew the old
//! one, and on disk.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use super::Place;

#[test]
fn who_knew_the_old_topic_is_told_and_the_new_one_is_empty() {
    let mut place = Place::that_restarts();
    place.create("t", &[]);
    let id = |place: &Place| {
        place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok().json()["id"].clone()
    };
    let old = id(&place);
    let (input, mut lines) = std::io::pipe().unwrap();
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    let producer = place.weir.spawn_with(&["produce", "t", "--output", "json"], Stdio::from(input));
    writeln!(lines, "for the old one").unwrap();
    reader.wait_for_lines(1);

    place.weir.run(&["topics", "delete", "t"]).ok();
    place.create("t", &[]);
    assert_ne!(id(&place), old);
    // The producer may have ended by now, or go on with the new topic; what it is told counts.
    let _ = writeln!(lines, "for whom?");
    drop(lines);
    let told = producer.finish();
    let summary = told.json();
    let mut expected = match summary["acknowledged"].as_u64() {
        Some(1) => {
            told.refused(&["'t'"]);
            String::new()
        }
        Some(2) => "for whom?\n".to_owned(),
        _ => panic!("{told}"),
    };
    reader.finish().refused(&["'t'"]);

    assert_eq!(place.stored("t"), expected.as_bytes(), "what the old topic held is gone");
    place.weir.run_with_input(&["produce", "t"], b"new\n").ok();
    expected.push_str("new\n");
    // Also across a crash, when leftovers on disk could be taken for the topic's.
    place.node.kill();
    place.node.start();
    assert_eq!(place.stored("t"), expected.as_bytes());
}

/// As after a crash between hearing of the end and removing the folder. What does not say whose it is stays, for a person
/// to look at.
#[test]
fn the_folder_of_a_topic_that_is_gone_is_removed_at_the_next_start() {
    let mut place = Place::that_restarts();
    for topic in ["gone", "kept"] {
        place.create(topic, &[]);
        place.weir.run_with_input(&["produce", topic], b"a line\n").ok();
    }
    let folder = |place: &Place, topic: &str| place.node.data().join(format!("topics/{topic}-0"));
    place.node.kill();
    let aside = tempfile::tempdir().unwrap();
    copy_files(&folder(&place, "gone"), aside.path());
    place.node.start();
    place.weir.run(&["topics", "delete", "gone"]).ok();
    place.node.stop().ok();
    for (topic, from) in [("gone", Some(aside.path())), ("stray", None)] {
        let folder = folder(&place, topic);
        assert!(!folder.exists());
        fs::create_dir(&folder).unwrap();
        from.inspect(|from| copy_files(from, &folder));
    }
    place.node.start();
    place.node.process().wait_for_stderr("a partition that is not here any more was removed");
    let there = ["gone", "kept", "stray"].map(|topic| folder(&place, topic).exists());
    assert_eq!(there, [false, true, true]);
    assert_eq!(place.stored("kept"), b"a line\n");
}

fn copy_files(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
