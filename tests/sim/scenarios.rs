//! What once broke systems like this one, by name. Each runs with some seeds, which decide times and traffic; the
//! promises and invariants are those of every run. `tests/README.md` says where each comes from.

use std::time::Duration;

use weir_client::Acks;
use weir_tests::sim::damage::Damage;
use weir_tests::sim::dice::Dice;
use weir_tests::sim::hunt::{Limits, hunt, run_guarded};
use weir_tests::sim::moves::Moves;
use weir_tests::sim::plan::{End, Fault, GroupPlan, Others, Plan, Planned, Ways, Whom};
use weir_tests::sim::swaps::{Guests, Swaps};
use weir_tests::sim::trace::{Kind, Trace};
use weir_wire::ids::{NodeId, PartitionIndex};

const SEEDS: u64 = 3;
const P0: PartitionIndex = PartitionIndex(0);
const KILLED: End = End::Killed;
const LEADER: Whom = Whom::Leader(P0);
const FOLLOWER: Whom = Whom::Follower(P0);
const COORDINATOR: Whom = Whom::Coordinator;

/// Every seed of the scenario must end clean. Returns how many commits of groups were answered.
fn holds(scenario: impl Fn(u64, &mut Faults) -> Plan + Sync) -> u64 {
    let plan = |seed| scenario(seed, &mut Faults::new(seed));
    let tally = hunt(plan, 0, Limits { seeds: SEEDS, time: None, failures: 1, twice: false });
    if let Some((seed, failure)) = tally.failures.first() {
        panic!("seed {seed} {failure}{}", plan(*seed));
    }
    assert!(tally.acknowledged > 0, "nothing was acknowledged: {tally}");
    tally.commits
}

/// The faults of a scenario, in the order in which they strike.
struct Faults {
    dice: Dice,
    planned: Vec<Planned>,
    now: Duration,
    seed: u64,
}

impl Faults {
    fn new(seed: u64) -> Faults {
        Faults { dice: Dice::new(seed, "scenario's times"), planned: Vec::new(), now: Duration::ZERO, seed }
    }

    /// Lets so much time pass, in milliseconds.
    fn wait(&mut self, from: u64, to: u64) -> &mut Faults {
        self.now += self.dice.time(millis(from)..=millis(to));
        self
    }

    fn strike(&mut self, whom: Whom, fault: Fault) -> &mut Faults {
        self.planned.push(Planned { at: self.now, whom, fault });
        self
    }

    fn end(&mut self, whom: Whom, end: End, down: u64) -> &mut Faults {
        self.strike(whom, Fault::End { end, down: millis(down) })
    }

    /// One of the nodes, whatever it does.
    fn any_node(&mut self) -> Whom {
        Whom::Node(NodeId(u32::try_from(self.dice.within(1..=3)).unwrap()))
    }

    fn replace_disk(&mut self, whom: Whom, down: u64) -> &mut Faults {
        self.strike(whom, Fault::ReplaceDisk { down: millis(down) })
    }

    fn plan(&mut self) -> Plan {
        self.wait(500, 500);
        Plan::of_scenario(self.seed, std::mem::take(&mut self.planned), self.now)
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Scenario 1: A follower that holds a committed record above its high watermark restarts, and is elected.
#[test]
fn a_follower_that_restarts_and_leads_keeps_what_is_above_its_high_watermark() {
    holds(|_, faults| {
        for _ in 0..3 {
            faults.wait(500, 1500).end(FOLLOWER, KILLED, 20);
            faults.wait(0, 150).end(LEADER, KILLED, 1500);
            faults.wait(2500, 3000);
        }
        faults.plan()
    });
}

/// Scenario 2: Three leaders in a row write nothing, and then the fourth one does.
#[test]
fn leaders_that_wrote_nothing_leave_no_trace() {
    holds(|_, faults| {
        for _ in 0..3 {
            faults.wait(1500, 2500).end(LEADER, KILLED, 1200);
        }
        faults.wait(2000, 2000);
        let mut plan = faults.plan();
        // Everything in the first seconds, then nothing, then everything else.
        plan.workload.burst = plan.workload.records / 2;
        plan.workload.pause = millis(400)..=plan.faults_until;
        plan
    });
}

/// Scenario 3: Leaders change in quick succession, each having written what not all of the others got.
#[test]
fn leaders_that_each_wrote_something_else_come_together() {
    holds(|_, faults| {
        for _ in 0..4 {
            faults.wait(800, 2000).strike(
                LEADER,
                Fault::Cut { from: Others::Nodes, ways: Ways::FromNode, lasts: millis(2500) },
            );
            faults.wait(0, 300).end(LEADER, KILLED, 900);
        }
        let mut plan = faults.plan();
        plan.workload.acks = vec![Acks::All, Acks::Leader];
        plan
    });
}

/// Scenario 4: A leader stands still for a minute. Others lead and write; then it wakes up with all that was sent to it.
#[test]
fn a_leader_that_slept_for_a_minute_acknowledges_nothing_of_its_own() {
    holds(|_, faults| {
        faults.wait(500, 2000).strike(LEADER, Fault::Pause { lasts: millis(60_000) });
        faults.wait(63_000, 63_000);
        let mut plan = faults.plan();
        plan.workload.acks = vec![Acks::All, Acks::Leader];
        plan
    });
}

/// Scenario 5: A leader hears everybody, and some do not hear it: the controller, its followers.
#[test]
fn a_leader_that_only_some_can_hear_does_no_harm() {
    holds(|_, faults| {
        for from in [Others::Controller, Others::Nodes, Others::Everybody] {
            for ways in [Ways::FromNode, Ways::ToNode] {
                faults.wait(300, 1000).strike(LEADER, Fault::Cut { from, ways, lasts: millis(2500) });
                faults.wait(2600, 3200);
            }
        }
        faults.plan()
    });
}

/// Scenario 6: What the controller answers to a changed ISR is lost, comes late, or the controller changes meanwhile.
#[test]
fn an_isr_whose_fate_is_unknown_is_taken_for_the_larger_one() {
    holds(|_, faults| {
        for _ in 0..2 {
            faults.wait(300, 800).end(FOLLOWER, KILLED, 900);
            faults.wait(700, 1200).strike(
                LEADER,
                Fault::Cut { from: Others::Controller, ways: Ways::ToNode, lasts: millis(700) },
            );
            faults.wait(0, 500).end(Whom::Controller, KILLED, 800);
            faults.wait(2500, 3000);
        }
        faults.plan()
    });
}

/// Scenario 7: A follower has caught up, and its leader asks for it to be taken into the ISR; the answer is late, and meanwhile
/// the follower begins anew with an empty disk (KIP-903).
#[test]
fn a_follower_that_lost_its_disk_is_not_in_sync_by_what_it_had() {
    holds(|_, faults| {
        for _ in 0..2 {
            let follower = faults.any_node();
            faults.wait(500, 1500).end(follower, KILLED, 1500);
            let cut = Fault::Cut { from: Others::Controller, ways: Ways::FromNode, lasts: millis(800) };
            faults.wait(1500, 2000).strike(LEADER, cut);
            faults.wait(0, 600).replace_disk(follower, 20);
            faults.wait(500, 1500).end(LEADER, KILLED, 1000);
            faults.wait(5000, 6000);
        }
        faults.plan()
    });
}

/// Scenario 7: One disk after the other is replaced, each when the node before has come back.
#[test]
fn every_disk_can_be_replaced_in_turn() {
    holds(|_, faults| {
        for number in [3, 1, 2] {
            faults.wait(500, 1500).replace_disk(Whom::Node(NodeId(number)), 500);
            faults.wait(8000, 9000);
        }
        faults.plan()
    });
}

/// Scenario 8: The followers are away, the last replica goes on alone and loses power; the others come back first.
#[test]
fn the_last_replica_that_loses_power_is_waited_for() {
    holds(|seed, faults| {
        faults.wait(500, 1500).end(FOLLOWER, KILLED, 5000);
        faults.wait(0, 1500).end(FOLLOWER, KILLED, 4000);
        faults.wait(0, 2500).end(LEADER, End::PowerCut, 5500);
        faults.wait(7000, 7000);
        let mut plan = faults.plan();
        plan.workload.min_insync = if seed.is_multiple_of(2) { 1 } else { 2 };
        plan
    });
}

/// Scenario 8: The same with `write.caching`, under which a power cut takes what was acknowledged: what two have, two must lose.
#[test]
fn with_write_caching_a_leader_that_loses_power_loses_only_its_own() {
    holds(|_, faults| {
        for _ in 0..3 {
            faults.wait(1000, 2000).end(LEADER, End::PowerCut, 1500);
            faults.wait(4000, 5000);
        }
        let mut plan = faults.plan();
        (plan.workload.write_caching, plan.is_careful) = (true, true);
        plan
    });
}

/// Scenario 9: All replicas lose power at once, in the middle of their operations, and again while they recover.
#[test]
fn a_loss_of_power_everywhere_takes_nothing_that_was_flushed() {
    holds(|_, faults| {
        for _ in 0..3 {
            let after = faults.dice.within(0..=60);
            faults.wait(500, 1500).strike(
                Whom::Everybody,
                Fault::EndInOperation {
                    end: End::PowerCut,
                    after,
                    again: vec![after % 11],
                    down: millis(50),
                },
            );
            faults.wait(2500, 3500);
        }
        faults.plan()
    });
}

/// Scenario 10: A sync fails: of the leader, of a follower.
#[test]
fn a_sync_that_fails_acknowledges_nothing() {
    holds(|_, faults| {
        for whom in [LEADER, FOLLOWER, LEADER] {
            let count = 1 + u32::from(faults.dice.chance(0.5));
            faults.wait(500, 1000).strike(whom, Fault::FailSyncs { count, noticed_after: millis(1500) });
            faults.wait(2500, 3500);
        }
        faults.plan()
    });
}

/// Scenario 11: Bits flip on one node's disk where everything can be made anew.
#[test]
fn bits_that_flip_in_what_can_be_made_anew_are_nobodys_loss() {
    for damage in [Damage::Indexes, Damage::LeaderEpochs, Damage::ProducerSnapshots] {
        holds(|_, faults| {
            for _ in 0..2 {
                let node = faults.any_node();
                faults.wait(1500, 2500).strike(node, Fault::Damage { damage, flips: 3, down: millis(100) });
                faults.wait(1000, 2000).end(LEADER, KILLED, 900);
                faults.wait(2500, 3500);
            }
            let mut plan = faults.plan();
            plan.workload.segment_bytes = 4_096;
            plan
        });
    }
}

/// Scenario 11: Bits flip in committed batches, or in the snapshot of the metadata, of one node, which leads for a while, until
/// somebody replaces its disk: nobody is shown anything else, and nobody else loses anything.
#[test]
fn bits_that_flip_in_what_was_committed_cost_one_disk() {
    for damage in [Damage::ClosedSegments, Damage::MetadataSnapshot] {
        holds(|_, faults| {
            let node = faults.any_node();
            faults.wait(2000, 3000).strike(node, Fault::Damage { damage, flips: 3, down: millis(100) });
            faults.wait(1500, 2500).end(LEADER, KILLED, 1500);
            faults.wait(3000, 4000).replace_disk(node, 500);
            faults.wait(6000, 7000);
            let mut plan = faults.plan();
            plan.workload.segment_bytes = 4_096;
            plan
        });
    }
}

/// Scenario 12: Five batches are under way, answers are lost, and leaders die; producers are read back from snapshots.
#[test]
fn what_producers_send_again_is_stored_once() {
    holds(|_, faults| {
        let (loss, duplication) = (0.05, 0.05);
        faults.strike(Whom::Everybody, Fault::Weather { loss, duplication, lasts: millis(12_000) });
        for end in [KILLED, End::PowerCut, KILLED] {
            faults.wait(1000, 2000).end(LEADER, end, 1000);
            faults.wait(1500, 2000);
        }
        let mut plan = faults.plan();
        (plan.workload.in_flight, plan.workload.batch_bytes) = (5, 500);
        plan.workload.segment_bytes = 4_096;
        plan.workload.request_timeout = millis(100);
        plan
    });
}

/// Scenario 13: A follower is away for about as long as it may be before it leaves the ISR, again and again.
#[test]
fn a_follower_at_the_edge_of_its_lag_does_no_harm() {
    holds(|_, faults| {
        for _ in 0..2 {
            let lasts = faults.dice.time(millis(9_500)..=millis(10_600));
            faults
                .wait(300, 800)
                .strike(FOLLOWER, Fault::Cut { from: Others::Nodes, ways: Ways::FromNode, lasts });
            faults.wait(11_000, 11_500);
        }
        faults.plan()
    });
}

/// Scenario 14: Two of three are gone: nothing is acknowledged by all in sync, and nothing that was is lost.
#[test]
fn a_single_replica_acknowledges_nothing_where_two_are_asked_for() {
    holds(|_, faults| {
        for number in 1..=3 {
            faults.wait(500, 1500).end(Whom::AllBut(NodeId(number)), KILLED, 2500);
            faults.wait(3000, 4000);
        }
        let mut plan = faults.plan();
        plan.workload.acks = vec![Acks::All, Acks::Leader];
        plan
    });
}

/// Scenario 15: A follower is away until its leader has let go of what it lacks (KAFKA-7104).
#[test]
fn retention_overtakes_a_follower_that_was_away() {
    holds(|_, faults| {
        for _ in 0..2 {
            let lasts = faults.dice.time(millis(31_000)..=millis(36_000));
            let cut = Fault::Cut { from: Others::Nodes, ways: Ways::Both, lasts };
            faults.wait(500, 1000).strike(FOLLOWER, cut);
            faults.wait(39_000, 40_000);
        }
        let mut plan = faults.plan();
        (plan.workload.segment_bytes, plan.workload.retention_bytes) = (4_096, Some(8_192));
        (plan.workload.records, plan.workload.burst) = (400, 5);
        plan.workload.pause = millis(0)..=millis(1600);
        plan
    });
}

/// Scenario 16: Members come and go, so that partitions change hands and are committed for the last time by who had them, and
/// the coordinator dies in the middle, or is cut off from the replicas that its answers wait for.
#[test]
fn a_coordinator_that_dies_while_partitions_change_hands_loses_no_commit() {
    let commits = holds(|seed, faults| {
        for end in [KILLED, End::PowerCut, KILLED] {
            // Its next life joins at once, while its old one is a member still.
            let member = u32::try_from(seed).unwrap() % 3;
            faults
                .wait(1000, 2000)
                .strike(Whom::Node(NodeId(1)), Fault::KillMember { member, down: millis(50) });
            let cut = Fault::Cut { from: Others::Nodes, ways: Ways::ToNode, lasts: millis(700) };
            faults.wait(0, 300).strike(COORDINATOR, cut);
            faults.wait(0, 300).end(COORDINATOR, end, 1500);
            faults.wait(7000, 8000);
        }
        let mut plan = faults.plan();
        plan.workload.partitions = 6;
        plan.workload.group = Some(GroupPlan::of_scenario());
        plan
    });
    assert!(commits > 0, "nothing was committed");
}

/// Scenario 18: A leader goes on alone and takes what never is committed, under the eyes of readers and of a group; another
/// leads, the end of the log is cut off, and they go on there by the epochs in their positions. None of them is shown
/// anything that was cut off, or passes anything by.
#[test]
fn readers_of_a_log_whose_end_is_cut_off_see_only_what_stays() {
    let scenario = |seed| {
        let faults = &mut Faults::new(seed);
        for ways in [Ways::Both, Ways::FromNode, Ways::Both] {
            let cut = Fault::Cut { from: Others::Nodes, ways, lasts: millis(3000) };
            faults.wait(1000, 2000).strike(LEADER, cut);
            faults.wait(5000, 6000);
        }
        let mut plan = faults.plan();
        (plan.workload.acks, plan.workload.readers) = (vec![Acks::All, Acks::Leader], 2);
        plan.workload.group = Some(GroupPlan::of_scenario());
        plan
    };
    holds(|seed, _| scenario(seed));
    let cut_off = (0..SEEDS).any(|seed| {
        let trace = Trace::keeping();
        let _ = run_guarded(&scenario(seed), &trace);
        trace.events().iter().any(|event| event.kind == Kind::Core && event.text.contains("effect=Truncate"))
    });
    assert!(cut_off, "no log was cut, so there was nothing to be seen");
}

/// Scenario 17: Plugins are swapped under load, and some of them trap, do not come back, or grow to 64 MiB once they are in
/// force. What they fail on is rejected, or passes; nothing else is lost, held up for ever or made by anything else.
#[test]
fn plugins_that_misbehave_once_in_force_cost_nothing_but_what_they_fail_on() {
    const SEEN: [&str; 4] = [
        "failed in 'on-send': it trapped",
        "it ran longer than the limit call.time.ms, 2 ms",
        "the limit memory.bytes is 67108864",
        "not swapped: plugin 'hostile@1' failed in",
    ];
    let scenario = |_: u64, faults: &mut Faults| {
        for end in [KILLED, End::PowerCut] {
            faults.wait(1500, 3000).end(LEADER, end, 900);
            faults.wait(1500, 2500);
        }
        let mut plan = faults.plan();
        // A batch that was sent before, and that a guest fails on now, holds its lane until then, also when other plugins
        // are in force since.
        plan.workload.delivery_timeout = millis(1_500);
        plan.workload.unguessed_lanes = 1;
        (plan.workload.records, plan.workload.burst) = (400, 4);
        plan.workload.pause = millis(0)..=millis(200);
        let (operators, pause, guests) = (1, millis(100)..=millis(600), Guests::Misbehaving);
        plan.workload.swaps = Some(Swaps { operators, pause, guests });
        plan
    };
    holds(scenario);
    let mut said = String::new();
    for seed in 0..SEEDS {
        let trace = Trace::keeping();
        run_guarded(&scenario(seed, &mut Faults::new(seed)), &trace).unwrap();
        trace.events().iter().for_each(|event| said += &event.text);
    }
    for seen in SEEN {
        println!("{:>5} {seen}", said.matches(seen).count());
    }
    let missing: Vec<_> = SEEN.into_iter().filter(|seen| !said.contains(seen)).collect();
    assert!(missing.is_empty(), "it never came to this: {missing:?}");
}

/// Scenario 19: Whoever leads is taken out of the replicas, again and again, while it dies, or sleeps, or nobody hears it.
#[test]
fn a_leader_that_is_taken_out_of_the_replicas_takes_nothing_with_it() {
    holds(|seed, faults| {
        for _ in 0..3 {
            faults.wait(500, 1500).strike(LEADER, Fault::Pause { lasts: millis(1500) });
            faults.wait(500, 1500).end(LEADER, KILLED, 900);
            let cut = Fault::Cut { from: Others::Nodes, ways: Ways::FromNode, lasts: millis(1000) };
            faults.wait(500, 1500).strike(LEADER, cut);
            faults.wait(1500, 2500);
        }
        let mut plan = faults.plan();
        // With four nodes there is always one that is added.
        plan.nodes = if seed.is_multiple_of(2) { 3 } else { 4 };
        let (nodes, replicas_min, pause) = (plan.nodes, plan.workload.min_insync, millis(0)..=millis(800));
        plan.workload.moves = Some(Moves { nodes, replicas_min, pause, removes_leaders: true });
        plan
    });
}
