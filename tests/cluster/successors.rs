//! A topic that comes back under its old name is another topic: to those who knew the old one, and on disk.

use std::io::Write;
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
