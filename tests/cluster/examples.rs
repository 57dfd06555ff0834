//! The examples, as their readers run them.

use weir_tests::process::{Running, Signal, Weir};

use super::Place;

fn example(path: &str, place: &Place) -> Weir {
    Weir::other_program(path)
        .client_of(place.node.address(), &place.node.certs())
        .in_folder(place.folder.path())
}

#[test]
fn what_one_example_sends_the_other_prints_and_not_twice() {
    let mut place = Place::that_restarts();
    let producer = example(env!("CARGO_BIN_EXE_example-producer"), &place);
    let consumer = example(env!("CARGO_BIN_EXE_example-consumer"), &place);
    let read_all = |reader: Running| {
        for partition in 0..3 {
            reader.wait_for_stderr(&format!("partition {partition}: read up to"));
        }
        reader
    };
    for round in 0..2 {
        let said = producer.run::<&str>(&[]).ok();
        assert_eq!(said.text(), "3000 stored, 0 dropped, 0 not stored or not known to be\n", "{said}");
        let reader = consumer.spawn::<&str>(&[]);
        reader.wait_for_lines(3000);
        if round == 1 {
            // Nothing is lost on the way, and nothing said, while the node is away.
            place.node.kill();
            place.node.start();
            producer.run::<&str>(&[]).ok();
            reader.wait_for_lines(6000);
        }
        let reader = read_all(reader);
        reader.signal(Signal::Kill);
        let printed = reader.finish().text();
        for sensor in ["cellar", "roof", "yard"] {
            let mark = format!("\"sensor\":\"{sensor}\"");
            let lines = printed.lines().filter(|line| line.contains(&mark));
            assert_eq!(lines.count(), if round == 0 { 1000 } else { 2000 }, "{sensor} in round {round}");
        }
    }
}
