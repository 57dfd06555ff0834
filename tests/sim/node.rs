//! A node alone in the world: it starts, dies and starts again, the same way each time.

use std::time::Duration;

use weir_tests::sim::logs;
use weir_tests::sim::machine::NodeState;
use weir_tests::sim::plan::End;
use weir_tests::sim::trace::{Event, Trace, first_difference};
use weir_tests::sim::world::World;
use weir_wire::ids::NodeId;

const NODE: NodeId = NodeId(1);

#[test]
fn a_node_starts_after_every_kind_of_end_and_repeats_itself() {
    for seed in 0..5 {
        let (first, second) = (lives(seed), lives(seed));
        if let Some(difference) = first_difference(&first, &second) {
            panic!("seed {seed}: {difference}");
        }
    }
}

fn lives(seed: u64) -> Vec<Event> {
    let trace = Trace::keeping();
    logs::collect(&trace, || {
        let latency = Duration::from_millis(1)..=Duration::from_millis(1);
        let mut world = World::new(seed, 1, latency, None, None, trace.clone());
        until(&mut world, &NodeState::Serving);
        for end in [End::Killed, End::PowerCut, End::PowerCut] {
            world.end(NODE, end);
            world.step().unwrap();
            world.start(NODE);
            until(&mut world, &NodeState::Serving);
        }
        world.ask_to_stop(NODE);
        until(&mut world, &NodeState::Ended(Ok(())));
        world.end(NODE, End::PowerCut);
        world.start(NODE);
        until(&mut world, &NodeState::Serving);
    });
    trace.events()
}

fn until(world: &mut World, state: &NodeState) {
    for _ in 0..1000 {
        if world.state(NODE) == *state {
            return;
        }
        world.step().unwrap();
    }
    panic!("after a second the node is {:?}, not {state:?}", world.state(NODE));
}
