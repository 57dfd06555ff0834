//! Records that an operator deletes stay deleted.

use super::Place;

fn log_start(place: &Place) -> u64 {
    let described = place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok().json();
    described["partitions"][0]["log_start"].as_u64().unwrap()
}

#[test]
fn deleted_records_stay_deleted() {
    let mut place = Place::that_restarts();
    place.create("t", &["--config", "segment.bytes=2048"]);
    let lines: Vec<String> = (0..200).map(|number| format!("{number:050}\n")).collect();
    for lines in lines.chunks(20) {
        place.weir.run_with_input(&["produce", "t"], lines.concat().as_bytes()).ok();
    }
    let delete = |place: &Place, before: &str| {
        place.weir.run(&["topics", "delete-records", "t", "--partition", "0", "--before-offset", before])
    };
    delete(&place, "201").refused(&["200"]);
    assert_eq!(log_start(&place), 0, "what was refused did nothing");
    let answer = delete(&place, "77").ok();
    assert!(answer.text().contains("starts at offset 77"), "{answer}");
    assert_eq!(log_start(&place), 77);
    let left = lines[77..].concat();
    assert!(place.stored("t") == left.as_bytes(), "earliest is the log start");
    place.weir.run(&["consume", "t", "--offset", "76", "--until-end"]).refused(&["77"]);

    place.node.kill();
    place.node.start();
    assert_eq!(log_start(&place), 77, "a crash brings nothing back");
    assert!(place.stored("t") == left.as_bytes());
    delete(&place, "50").ok();
    assert_eq!(log_start(&place), 77, "a log start never goes back");
    delete(&place, "-1").ok();
    assert_eq!(log_start(&place), 200);
    assert!(place.stored("t").is_empty());
    place.weir.run_with_input(&["produce", "t"], b"next\n").ok();
    assert_eq!(place.stored("t"), b"next\n");
}
