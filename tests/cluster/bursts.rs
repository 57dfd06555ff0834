//! Peak shaving: far more is offered than a node can store. The producers wait, the node's memory stays bounded, and
//! nothing that was acknowledged is lost.

use weir_tests::process::Running;

use super::Place;

/// Each of them offers as much as one alone could get stored.
const PRODUCERS: u64 = 10;
/// What each of them sends, in megabytes, unless `WEIR_BURST_MEGABYTES` says more: on a release build 600 are a burst of
/// half a minute.
const MEGABYTES: u64 = 12;
/// With its number and its newline.
const LINE_BYTES: usize = 1000;
/// How much more memory a node may take for all that it is offered, which is twice as much: the windows of ten connections
/// at 4 MiB, the tail of the log, and what waits to be written.
const MEMORY_BYTES_MAX: u64 = 60 * 1024 * 1024;

#[test]
fn a_burst_is_stored_in_bounded_memory_and_without_loss() {
    let place = Place::new();
    place.create("peak", &[]);
    let megabytes = std::env::var("WEIR_BURST_MEGABYTES");
    let megabytes = megabytes.map_or(MEGABYTES, |text| text.parse().expect("a number of megabytes"));
    let lines = megabytes * 1000;
    let inputs: Vec<String> = (0..PRODUCERS)
        .map(|producer| {
            let numbers = producer * lines..(producer + 1) * lines;
            let input: String = numbers.map(line_of).collect();
            place.file(&format!("lines-{producer}"), input.as_bytes())
        })
        .collect();
    let before = place.node.resident_bytes();

    let produce = |input| place.weir.spawn(&["produce", "peak", "--input", input, "--output", "json"]);
    let producers: Vec<Running> = inputs.iter().map(|input| produce(input)).collect();
    for producer in producers {
        let said = producer.finish_within(PATIENCE).ok();
        assert_eq!(said.json()["acknowledged"], lines, "{said}");
    }

    let grown = place.node.peak_resident_bytes().saturating_sub(before);
    assert!(grown <= MEMORY_BYTES_MAX, "the node took {grown} bytes more than before the burst");
    let consume = ["consume", "peak", "--from-beginning", "--until-end"];
    let all = place.weir.spawn(&consume).finish_within(PATIENCE).ok();
    let mut numbers: Vec<u64> = all.lines().map(number_of).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..PRODUCERS * lines), "what was stored is not what was sent");
    place.assert_serves();
}

/// How long a burst may take on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

fn line_of(number: u64) -> String {
    let mut line = format!("{number:010} ");
    line.extend(std::iter::repeat_n('x', LINE_BYTES - line.len() - 1));
    line.push('\n');
    line
}

fn number_of(line: &[u8]) -> u64 {
    let line = std::str::from_utf8(line).expect("lines are text");
    let number = line[..10].parse().expect("a line starts with its number");
    assert!(line_of(number).trim_end() == line, "line {number} is not as it was sent");
    number
}
