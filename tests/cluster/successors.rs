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
    // The producer may have ended by now; what it is told counts.
    let _ = writeln!(lines, "for whom?");
    drop(lines);
    let told = producer.finish();
    let summary = told.json();
    told.refused(&["'t'"]);
    assert_eq!(
        summary["acknowledged"], 1,
        "only what was meant for the old topic was stored, in it: {summary}"
    );
    reader.finish().refused(&["'t'"]);

    assert!(place.stored("t").is_empty(), "what the old topic held is gone");
    place.weir.run_with_input(&["produce", "t"], b"new\n").ok();
    // Also across a crash, when leftovers on disk could be taken for the topic's.
    place.node.kill();
    place.node.start();
    assert_eq!(place.stored("t"), b"new\n");
}
