//! Three nodes and their metadata quorum: it forms, elects, forwards, survives what it must, and repeats itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use weir_client::{Client, ClientError, ErrorCode, NewTopic};
use weir_node::controller::Controller;
use weir_tests::sim::logs;
use weir_tests::sim::machine::NodeState;
use weir_tests::sim::plan::End;
use weir_tests::sim::trace::{Event, Kind, Trace, first_difference};
use weir_tests::sim::world::World;
use weir_wire::ids::NodeId;

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// The longest that a healthy majority may take to elect a controller, and that to fence the one before.
const FAIL_OVER_MAX: Duration = Duration::from_millis(1500);
/// The longest that the client may take to find out that its node is gone, and to ask another.
const CLIENT_MAX: Duration = Duration::from_secs(30);

/// Three nodes, and a client that creates one topic after the other.
struct Quorum {
    world: World,
    trace: Trace,
    acknowledged: Rc<RefCell<BTreeSet<String>>>,
}

impl Quorum {
    fn new(seed: u64, trace: &Trace) -> Quorum {
        let latency = Duration::from_millis(1)..=Duration::from_millis(2);
        let mut world = World::new(seed, 3, latency, None, None, trace.clone());
        let acknowledged: Rc<RefCell<BTreeSet<String>>> = Rc::default();
        let book = Rc::clone(&acknowledged);
        world.add_client("creator", move |config| {
            let book = Rc::clone(&book);
            async move {
                let client = loop {
                    match Client::connect(config.clone()).await {
                        Ok(client) => break client,
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    }
                };
                for number in 0.. {
                    let name = format!("t{number}");
                    create(&client, &name).await;
                    book.borrow_mut().insert(name);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            }
        });
        let mut quorum = Quorum { world, trace: trace.clone(), acknowledged };
        quorum.until("three nodes vote", Duration::from_secs(20), |quorum| {
            let voters = quorum.controllers().iter().map(|controller| controller.voters().len()).min();
            quorum.controllers().len() == 3 && voters == Some(3)
        });
        quorum
    }

    fn until(&mut self, what: &str, limit: Duration, condition: impl Fn(&Quorum) -> bool) {
        let deadline = self.world.now() + limit;
        while !condition(self) {
            assert!(
                self.world.now() < deadline,
                "{what}: not within {limit:?}; {:?}\n{}",
                self.states(),
                self.last_logs()
            );
            self.world.step().unwrap();
        }
    }

    /// What nodes and the client said last, where the trace keeps it.
    fn last_logs(&self) -> String {
        let events = self.trace.events();
        let logs = events.iter().filter(|event| matches!(event.kind, Kind::Log | Kind::Client | Kind::Fault));
        let mut lines: Vec<String> = logs.rev().take(40).map(ToString::to_string).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn states(&self) -> Vec<NodeState> {
        NODES.iter().map(|node| self.world.state(*node)).collect()
    }

    fn controllers(&self) -> Vec<Controller> {
        NODES.iter().filter_map(|node| self.world.machine(*node).controller()).collect()
    }

    fn leader(&self) -> Option<NodeId> {
        self.controllers().iter().find(|controller| controller.is_active()).map(Controller::node)
    }

    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.borrow().clone()
    }

    /// The client gets so many more answers.
    fn goes_on(&mut self, limit: Duration) {
        let before = self.acknowledged().len();
        self.until("commands are taken", limit, |quorum| quorum.acknowledged().len() > before + 2);
    }

    /// Every node comes to know everything that was acknowledged.
    fn holds_everything(&mut self) {
        let acknowledged = self.acknowledged();
        self.until("every node knows every acknowledged topic", Duration::from_secs(20), |quorum| {
            let knows = |controller: &Controller| {
                let image = controller.image();
                acknowledged.iter().all(|name| image.topics.contains_key(name))
            };
            quorum.controllers().len() == 3 && quorum.controllers().iter().all(knows)
        });
    }

    fn end(&mut self, node: NodeId, end: End) {
        self.world.end(node, end);
        self.world.step().unwrap();
    }
}

async fn create(client: &Client, name: &str) {
    let topic = NewTopic::new(name).partitions(1).replication_factor(1);
    loop {
        match client.create_topic(topic.clone()).await {
            Ok(_) => return,
            Err(ClientError::Node(error)) if error.code == ErrorCode::TopicAlreadyExists => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn run(seed: u64, trace: &Trace, scenario: impl FnOnce(&mut Quorum)) {
    logs::collect(trace, || scenario(&mut Quorum::new(seed, trace)));
}

#[test]
fn a_new_controller_is_elected_soon_after_the_old_one_died() {
    for seed in 0..5 {
        run(seed, &Trace::keeping(), |quorum| {
            let old = quorum.leader().unwrap();
            quorum.end(old, End::Killed);
            // That it could be fenced shows that commands are taken again.
            quorum.until("another one leads and has fenced the old one", FAIL_OVER_MAX, |quorum| {
                let is_fenced = |controller: &Controller| controller.image().nodes[&old].fenced;
                quorum.controllers().iter().any(|controller| controller.is_active() && is_fenced(controller))
            });
            quorum.goes_on(CLIENT_MAX);
            quorum.world.start(old);
            quorum.holds_everything();
        });
    }
}

#[test]
fn a_loss_of_power_on_all_nodes_takes_back_nothing_that_was_acknowledged() {
    for seed in 0..5 {
        run(seed, &Trace::hashing(), |quorum| {
            for _ in 0..3 {
                quorum.goes_on(Duration::from_secs(20));
                for node in NODES {
                    quorum.world.end(node, End::PowerCut);
                }
                quorum.world.step().unwrap();
                for node in NODES {
                    quorum.world.start(node);
                }
                quorum.holds_everything();
            }
        });
    }
}

#[test]
fn a_node_that_was_away_for_long_gets_a_snapshot() {
    run(6, &Trace::hashing(), |quorum| {
        let leader = quorum.leader().unwrap();
        let away = NODES.into_iter().find(|node| *node != leader).unwrap();
        quorum.end(away, End::PowerCut);
        let before = quorum.acknowledged().len();
        quorum.until("more than a snapshot's worth is acknowledged", Duration::from_secs(30), |quorum| {
            quorum.acknowledged().len() > before + 60
        });
        quorum.world.start(away);
        quorum.holds_everything();
    });
}

#[test]
fn a_node_without_a_majority_answers_reads_and_says_so_of_changes() {
    run(3, &Trace::hashing(), |quorum| {
        let survivor = quorum.leader().unwrap();
        for node in NODES.into_iter().filter(|node| *node != survivor) {
            quorum.end(node, End::Killed);
        }
        let (before, started) = (quorum.acknowledged(), quorum.world.now());
        while quorum.world.now() < started + Duration::from_secs(15) {
            quorum.world.step().unwrap();
        }
        let controller = quorum.world.machine(survivor).controller().unwrap();
        assert!(before.iter().all(|name| controller.image().topics.contains_key(name)));
        assert!(
            quorum.acknowledged().len() <= before.len() + 1,
            "nothing is acknowledged without a majority"
        );
        for node in NODES.into_iter().filter(|node| *node != survivor) {
            quorum.world.start(node);
        }
        quorum.goes_on(Duration::from_secs(20));
        quorum.holds_everything();
    });
}

#[test]
fn a_node_that_dies_is_fenced_and_one_that_returns_is_not() {
    run(4, &Trace::hashing(), |quorum| {
        let leader = quorum.leader().unwrap();
        let victim = NODES.into_iter().find(|node| *node != leader).unwrap();
        let is_fenced = move |quorum: &Quorum| {
            let controller = quorum.world.machine(leader).controller().unwrap();
            controller.image().nodes[&victim].fenced
        };
        quorum.end(victim, End::Killed);
        quorum.until("it is fenced", FAIL_OVER_MAX, is_fenced);
        quorum.world.start(victim);
        quorum.until("it is not fenced", Duration::from_secs(5), |quorum| !is_fenced(quorum));
    });
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let events = |seed| -> Vec<Event> {
        let trace = Trace::keeping();
        run(seed, &trace, |quorum| {
            let old = quorum.leader().unwrap();
            quorum.end(old, End::PowerCut);
            quorum.goes_on(CLIENT_MAX);
            quorum.world.start(old);
            quorum.holds_everything();
        });
        trace.events()
    };
    for seed in 0..3 {
        if let Some(difference) = first_difference(&events(seed), &events(seed)) {
            panic!("seed {seed}: {difference}");
        }
    }
}
