//! The three ways to read, with a crash in each: how often a payment is booked is what the way promises.

use std::collections::BTreeMap;

use weir_tests::process::Weir;

use super::Place;

const PAYMENTS: u64 = 400;

/// What a program said at its end.
fn counts(said: &str) -> BTreeMap<&str, u64> {
    let words: Vec<&str> = said.trim().split([' ', ',']).filter(|word| !["of", ""].contains(word)).collect();
    words.chunks(2).map(|pair| (pair[1], pair[0].parse().unwrap())).collect()
}

#[test]
fn a_crash_repeats_or_loses_or_does_neither_as_promised() {
    let place = Place::new();
    place.create("payments", &["--partitions", "3"]);
    let payments: String = (0..PAYMENTS).map(|number| format!("key-{number}:{number}\n")).collect();
    // Small batches: several are behind the crash, and several before it.
    let produce = ["produce", "payments", "--key-separator", ":", "--batch-size", "600"];
    place.weir.run_with_input(&produce, payments.as_bytes()).ok();

    let programs = [
        env!("CARGO_BIN_EXE_example-at-least-once"),
        env!("CARGO_BIN_EXE_example-at-most-once"),
        env!("CARGO_BIN_EXE_example-exactly-once"),
    ];
    let said = programs.map(|program| {
        let program = Weir::other_program(program)
            .client_of(place.node.address(), &place.node.certs())
            .in_folder(place.folder.path());
        let crashing = program.with("CRASH_IN_BATCH", "3");
        (crashing.spawn::<&str>(&[]), program)
    });
    // The ones that crashed are members until their sessions end: the next ones wait for that, all at once.
    let said = said.map(|(crashing, program)| {
        let crashed = crashing.finish();
        assert!(!crashed.status.success(), "{crashed}");
        assert!(crashed.stderr.contains("crashing on purpose"), "{crashed}");
        program.spawn::<&str>(&[])
    });
    let said = said.map(|running| running.finish().ok().text());
    let [at_least_once, at_most_once, exactly_once] = said.each_ref().map(|said| counts(said));

    assert_eq!(at_least_once["payments"], PAYMENTS, "none is missing: {said:?}");
    assert!(at_least_once["repeated"] > 0, "half a batch was booked twice: {said:?}");
    assert!(at_most_once["payments"] < PAYMENTS, "half a batch is missing: {said:?}");
    assert_eq!(at_most_once["repeated"], 0, "none is booked twice: {said:?}");
    assert_eq!(exactly_once["bookings"], PAYMENTS, "each once: {said:?}");
    assert_eq!(exactly_once["payments"], PAYMENTS, "each once: {said:?}");
}
