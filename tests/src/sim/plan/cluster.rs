//! Several nodes, and everything that may go wrong between them.
//!
//! What the plan does must leave the promises standing: what no cluster of this configuration survives is not in it.
//! Under fsync any power may fail at any time, also everywhere at once. With `write.caching` a power cut takes records
//! from a disk, so the run lets at most one node lose power at a time (see `run.rs`), and syncs do not fail.

use super::{
    Dice, Duration, Fault, GroupPlan, NodeId, Operation, Others, PartitionIndex, Plan, Planned, Whom,
    Workload, any_disk, any_end, any_starts, any_ways, seconds, small,
};
use crate::sim::moves::Moves;
use crate::sim::swaps::Swaps;
use weir_client::Acks;

/// How likely a seed has a consumer group.
const GROUPS: f64 = 0.3;

impl Plan {
    /// A cluster of `nodes`, replicated topics, and everything that may go wrong, at random.
    #[must_use]
    pub fn cluster(seed: u64, nodes: u32) -> Plan {
        let dice = &mut Dice::new(seed, "cluster");
        let faults_until = dice.time(seconds(3.0)..=seconds(12.0));
        let mut workload = any_workload(dice, nodes, faults_until);
        // Dice of their own: what else a seed stands for stays.
        workload.swaps = Swaps::any(&mut Dice::new(seed, "swaps"));
        Moves::plan(&mut Dice::new(seed, "moves"), nodes, &mut workload);
        let slowest = *dice.pick(&[1, 1, 1, 3, 10]);
        let latency = Duration::from_millis(1)..=Duration::from_millis(slowest);
        let disk_takes = any_disk(dice);
        let mut faults = Vec::new();
        let mut at = dice.time(Duration::ZERO..=seconds(2.0));
        let gap_max = dice.time(seconds(0.5)..=seconds(4.0));
        while at < faults_until {
            let whom = any_whom(dice, nodes, workload.partitions);
            faults.push(Planned { at, whom, fault: any_fault(dice, &workload) });
            at += dice.time(Duration::ZERO..=gap_max);
        }
        let is_careful = workload.write_caching;
        let (lie, without) = (None, None);
        let plan = Plan {
            seed,
            nodes,
            workload,
            latency,
            disk_takes,
            faults,
            faults_until,
            is_careful,
            lie,
            without,
        };
        if Dice::new(seed, "whether there is a group").chance(GROUPS) { plan.with_group() } else { plan }
    }

    /// The same with a group, and with what goes wrong for it in particular. It has dice of its own: apart from it a seed
    /// stands for what it stands for without.
    #[must_use]
    pub fn with_group(mut self) -> Plan {
        let dice = &mut Dice::new(self.seed, "group");
        let mut group = GroupPlan::any(dice, self.faults_until);
        self.faults.extend(group.any_faults(dice, self.faults_until));
        self.faults.sort_by_key(|planned| planned.at);
        if self.workload.swaps.is_some() {
            // Who swaps pipelines takes each new revision for a swap.
            group.operations.retain(|(_, operation)| *operation != Operation::AddPartition);
        }
        self.workload.group = Some(group);
        self
    }

    /// Three nodes, two partitions that all of them have, two in-sync replicas needed, nothing cached, and nothing goes
    /// wrong but these faults: what named scenarios start from.
    #[must_use]
    pub fn of_scenario(seed: u64, faults: Vec<Planned>, faults_until: Duration) -> Plan {
        let dice = &mut Dice::new(seed, "scenario");
        let workload = Workload {
            partitions: 2,
            replication_factor: 3,
            min_insync: 2,
            acks: vec![Acks::All],
            producers: 2,
            delivery_timeout: seconds(120.0),
            request_timeout: seconds(0.5),
            value_bytes: 10..=200,
            ..Workload::any(dice, faults_until, 80..=200)
        };
        let latency = Duration::from_millis(1)..=Duration::from_millis(1);
        let (disk_takes, is_careful, lie, without) = (super::QUICK, false, None, None);
        let nodes = workload.replication_factor;
        Plan { seed, nodes, workload, latency, disk_takes, faults, faults_until, is_careful, lie, without }
    }
}

fn any_workload(dice: &mut Dice, nodes: u32, lasts: Duration) -> Workload {
    let workload = Workload::any(dice, lasts, 40..=200);
    let replication_factor = nodes.min(3);
    let acks =
        dice.pick(&[&[Acks::All][..], &[Acks::All], &[Acks::All], &[Acks::All, Acks::Leader]]).to_vec();
    let partitions = small(dice, 1..=3);
    let min_insync = (*dice.pick(&[1, 2, 2, 2, 3])).min(replication_factor);
    let write_caching = dice.chance(0.25);
    // What a lone replica acknowledged from its cache is gone with its power.
    let min_insync = if write_caching { min_insync.max(2).min(replication_factor) } else { min_insync };
    Workload {
        partitions,
        replication_factor,
        min_insync,
        write_caching,
        acks,
        names_partitions: dice.chance(0.25),
        // What a cluster takes to elect a leader must be in it, or nothing but unknown outcomes is left.
        delivery_timeout: *dice.pick(&[seconds(8.0), seconds(30.0), seconds(60.0)]),
        value_bytes: 10..=*dice.pick(&[20, 200, 2_000]),
        ..workload
    }
}

fn any_whom(dice: &mut Dice, nodes: u32, partitions: u32) -> Whom {
    let node = NodeId(small(dice, 1..=u64::from(nodes)));
    let partition = PartitionIndex(small(dice, 0..=u64::from(partitions) - 1));
    match dice.within(0..=13) {
        0..=4 => Whom::Leader(partition),
        5..=6 => Whom::Follower(partition),
        7..=8 => Whom::Controller,
        9..=11 => Whom::Node(node),
        12 => Whom::AllBut(node),
        _ => Whom::Everybody,
    }
}

fn any_fault(dice: &mut Dice, workload: &Workload) -> Fault {
    let lasts = dice.time(Duration::from_millis(100)..=seconds(4.0));
    let down = dice.time(Duration::from_millis(10)..=seconds(3.0));
    match dice.within(0..=24) {
        0..=1 => {
            let loss = *dice.pick(&[0.01, 0.05, 0.2]);
            Fault::Weather { loss, duplication: *dice.pick(&[0.0, 0.02, 0.2]), lasts }
        }
        2..=6 => Fault::Cut { from: any_others(dice), ways: any_ways(dice), lasts },
        7..=8 => Fault::Pause { lasts },
        9..=13 => Fault::End { end: any_end(dice), down },
        14..=17 => {
            let after = dice.within(0..=100);
            Fault::EndInOperation { end: any_end(dice), after, again: any_starts(dice), down }
        }
        18 => Fault::Restart { down },
        19 if !workload.write_caching => Fault::FailSyncs { count: small(dice, 1..=2), noticed_after: lasts },
        19..=20 => Fault::FailWrites { count: small(dice, 1..=2), noticed_after: lasts },
        21 => {
            let room_bytes = *dice.pick(&[0, 32 << 20]) + dice.within(0..=60_000);
            Fault::FullDisk { room_bytes, lasts }
        }
        22..=23 => {
            let slowest = dice.time(Duration::from_millis(10)..=Duration::from_millis(300));
            Fault::SlowDisk { takes: Duration::ZERO..=slowest, lasts }
        }
        _ => Fault::KillProducer { producer: small(dice, 0..=u64::from(workload.producers) - 1), down },
    }
}

fn any_others(dice: &mut Dice) -> Others {
    *dice.pick(&[Others::Clients, Others::Nodes, Others::Nodes, Others::Controller, Others::Everybody])
}
