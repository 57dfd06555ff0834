//! What a seed stands for: the workload, and what goes wrong when.
//!
//! Everything is decided before the run begins, so that a plan can be printed, and so that what a node does never
//! changes what is done to it.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use weir_client::{Acks, Promise};
use weir_node::server::Rule;
use weir_wire::batch::Compression;
use weir_wire::ids::{NodeId, PartitionIndex};

mod cluster;
mod group;

use super::damage::Damage;
use super::dice::Dice;
use super::disk::Lie;
use super::moves::Moves;
use super::swaps::Swaps;
use super::workers::QUICK;

pub use group::{GROUP, GroupPlan, Operation};

/// One run, whole.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything below, and every later throw of dice, follows from.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u32,
    /// What the clients do.
    pub workload: Workload,
    /// How long a datagram takes; a range in which they overtake each other.
    pub latency: RangeInclusive<Duration>,
    /// How long the disk takes for a job, as long as it is not slower than usual.
    pub disk_takes: RangeInclusive<Duration>,
    /// What goes wrong, in order of time. Afterwards everything is mended and must heal.
    pub faults: Vec<Planned>,
    /// When the faults end.
    pub faults_until: Duration,
    /// Whether a power cut takes what the others may lack. Then a node loses power only while all others have
    /// everything, and is killed instead at any other time.
    pub is_careful: bool,
    /// A disk that breaks its word, for tests of the simulation itself.
    pub lie: Option<Lie>,
    /// A rule that the nodes do not keep, for the same.
    pub without: Option<Rule>,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Partitions of the one topic.
    pub partitions: u32,
    /// How many nodes have each of them.
    pub replication_factor: u32,
    /// `min.insync.replicas`: with fewer nothing is committed.
    pub min_insync: u32,
    /// `write.caching`: whether what is written counts before it is flushed.
    pub write_caching: bool,
    /// What each producing process asks for, in turn.
    pub acks: Vec<Acks>,
    /// Size at which segments end, in bytes.
    pub segment_bytes: u32,
    /// `retention.bytes`: how much of a partition is kept, if not all.
    pub retention_bytes: Option<u64>,
    /// How many producing processes there are.
    pub producers: u32,
    /// Records that each of them sends.
    pub records: u32,
    /// Keys that each life of each of them has.
    pub keys: u32,
    /// How long a value is, in bytes.
    pub value_bytes: RangeInclusive<u64>,
    /// Records that are sent without a pause.
    pub burst: u32,
    /// The pause before a burst.
    pub pause: RangeInclusive<Duration>,
    /// Size at which a batch is sent, in bytes.
    pub batch_bytes: u32,
    /// How long a batch waits for more.
    pub linger: Duration,
    /// Batches of a lane that are under way at a time.
    pub in_flight: usize,
    /// Lanes without a guess; 0 for one guessed lane per partition.
    pub unguessed_lanes: u32,
    /// Whether producers name the partition of each record.
    pub names_partitions: bool,
    /// How batches are compressed.
    pub compression: Compression,
    /// How long a producer waits for an answer before it opens its lane anew. Where the disk or the network is slower
    /// than this, what is under way is sent again.
    pub request_timeout: Duration,
    /// How long a producer tries.
    pub delivery_timeout: Duration,
    /// How many processes read along.
    pub readers: u32,
    /// Whether another process creates and deletes a topic all the time.
    pub churns: bool,
    /// A consumer group that reads the topic too.
    pub group: Option<GroupPlan>,
    /// Whether operators swap the topic's pipeline all the time, and how.
    pub swaps: Option<Swaps>,
    /// Whether an operator gives partitions other replicas all the time, and how.
    pub moves: Option<Moves>,
}

/// How a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `kill -9`, the process alone: everything it wrote is still there, synced or not.
    Killed,
    /// The power fails, the whole machine: what was not synced is there in part, or not.
    PowerCut,
}

/// A fault and when it strikes.
#[derive(Clone, Debug)]
pub struct Planned {
    /// When, since the cluster was formed.
    pub at: Duration,
    /// To whom.
    pub whom: Whom,
    /// What.
    pub fault: Fault,
}

/// Whom a fault strikes. Who leads is found out when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// All nodes at once.
    Everybody,
    /// This one.
    Node(NodeId),
    /// All but this one.
    AllBut(NodeId),
    /// The leader of this partition.
    Leader(PartitionIndex),
    /// A node that follows in this partition, and serves.
    Follower(PartitionIndex),
    /// The active controller.
    Controller,
    /// The coordinator of the group.
    Coordinator,
}

/// Who is on the other side of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// The clients.
    Clients,
    /// The other nodes.
    Nodes,
    /// The active controller.
    Controller,
    /// All of them.
    Everybody,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Datagrams are lost and doubled with these probabilities.
    Weather {
        /// How likely a datagram is lost.
        loss: f64,
        /// How likely a datagram comes twice.
        duplication: f64,
        /// For how long.
        lasts: Duration,
    },
    /// Nothing passes between the node and others.
    Cut {
        /// Which others.
        from: Others,
        /// Which ways.
        ways: Ways,
        /// For how long.
        lasts: Duration,
    },
    /// What the node sends, and what is sent to it, stays under way until the end of the fault, and then arrives all at
    /// once: to everybody else the node stands still.
    Pause {
        /// For how long.
        lasts: Duration,
    },
    /// The node ends between two moments of its own.
    End {
        /// How.
        end: End,
        /// How long until it is started again.
        down: Duration,
    },
    /// The node ends in the middle of an operation of its disk.
    EndInOperation {
        /// How.
        end: End,
        /// After how many more changing operations.
        after: u64,
        /// And once more, so many operations after each of the following starts: recovery is interrupted too.
        again: Vec<u64>,
        /// How long until it is started again.
        down: Duration,
    },
    /// The node is asked to stop, and started again.
    Restart {
        /// How long until it is started again.
        down: Duration,
    },
    /// Syncs fail, and what they should have made durable is lost. Someone notices, and starts the process again.
    FailSyncs {
        /// How many.
        count: u32,
        /// How long until then.
        noticed_after: Duration,
    },
    /// Writes fail half way. Someone notices, and the node is started again.
    FailWrites {
        /// How many.
        count: u32,
        /// How long until the restart.
        noticed_after: Duration,
    },
    /// The disk has no room but this many bytes.
    FullDisk {
        /// Bytes beyond what is used.
        room_bytes: u64,
        /// For how long.
        lasts: Duration,
    },
    /// The node is killed, and while it is away bits of its files flip.
    Damage {
        /// In which files.
        damage: Damage,
        /// How many.
        flips: u32,
        /// How long until it is started again.
        down: Duration,
    },
    /// The node ends, and starts again with an empty disk in place of its own.
    ReplaceDisk {
        /// How long until then.
        down: Duration,
    },
    /// The disk is slow.
    SlowDisk {
        /// How long a job takes.
        takes: RangeInclusive<Duration>,
        /// For how long.
        lasts: Duration,
    },
    /// A producing process is killed. Its next life sends on, under other keys.
    KillProducer {
        /// Which one, from 0.
        producer: u32,
        /// How long until it is started again.
        down: Duration,
    },
    /// A process that takes part in the group is killed.
    KillMember {
        /// Which one, from 0.
        member: u32,
        /// How long until it is started again.
        down: Duration,
    },
}

/// The directions in which a cut network passes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ways {
    /// Neither.
    Both,
    /// Not to the node.
    ToNode,
    /// Not from the node.
    FromNode,
}

impl Plan {
    /// Everything that may go wrong, at random.
    #[must_use]
    pub fn chaos(seed: u64) -> Plan {
        let dice = &mut Dice::new(seed, "plan");
        let faults_until = dice.time(seconds(4.0)..=seconds(20.0));
        let workload = Workload::any(dice, faults_until, 50..=400);
        let slowest = *dice.pick(&[1, 1, 1, 3, 20]);
        let latency = Duration::from_millis(1)..=Duration::from_millis(slowest);
        let disk_takes = any_disk(dice);
        let mut faults = Vec::new();
        let mut at = dice.time(Duration::ZERO..=seconds(2.0));
        let gap_max = dice.time(seconds(0.5)..=seconds(5.0));
        while at < faults_until {
            faults.push(Planned { at, whom: Whom::Everybody, fault: Fault::any(dice, &workload) });
            at += dice.time(Duration::ZERO..=gap_max);
        }
        Plan {
            seed,
            nodes: 1,
            workload,
            latency,
            disk_takes,
            faults,
            faults_until,
            is_careful: false,
            lie: None,
            without: None,
        }
    }

    /// Nothing but the power failing again and again, most of the time in the middle of a disk operation: a short
    /// run on a quiet network, so that there can be many.
    #[must_use]
    pub fn power_loss(seed: u64) -> Plan {
        let dice = &mut Dice::new(seed, "power loss");
        let mut faults = Vec::new();
        let mut at = Duration::ZERO;
        for _ in 0..dice.within(2..=4) {
            at += dice.time(Duration::from_millis(50)..=Duration::from_millis(800));
            let (end, down) = (End::PowerCut, Duration::from_millis(20));
            let fault = if dice.chance(0.3) {
                Fault::End { end, down }
            } else {
                Fault::EndInOperation { end, after: dice.within(0..=40), again: any_starts(dice), down }
            };
            faults.push(Planned { at, whom: Whom::Everybody, fault });
        }
        let faults_until = at + Duration::from_millis(500);
        let workload = Workload {
            partitions: small(dice, 1..=2),
            producers: 1,
            readers: 1,
            churns: false,
            delivery_timeout: seconds(60.0),
            value_bytes: 10..=300,
            ..Workload::any(dice, faults_until, 40..=80)
        };
        let latency = Duration::from_millis(1)..=Duration::from_millis(1);
        let disk_takes = any_disk(dice);
        Plan {
            seed,
            nodes: 1,
            workload,
            latency,
            disk_takes,
            faults,
            faults_until,
            is_careful: false,
            lie: None,
            without: None,
        }
    }

    /// The same on a disk that lies.
    #[must_use]
    pub fn with_lie(self, lie: Lie) -> Plan {
        Plan { lie: Some(lie), ..self }
    }

    /// The same without a group.
    #[must_use]
    pub fn without_group(mut self) -> Plan {
        self.workload.group = None;
        self.faults.retain(|planned| {
            planned.whom != Whom::Coordinator && !matches!(planned.fault, Fault::KillMember { .. })
        });
        self
    }

    /// The same with nobody who swaps pipelines or moves replicas.
    #[must_use]
    pub fn without_operators(mut self) -> Plan {
        (self.workload.swaps, self.workload.moves) = (None, None);
        self
    }

    /// The same with nodes that do not keep a rule.
    #[must_use]
    pub fn without(self, rule: Rule) -> Plan {
        Plan { without: Some(rule), ..self }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, nodes, latency, disk_takes, lie, without, .. } = self;
        writeln!(
            f,
            "seed {seed}, nodes {nodes}, latency {latency:?}, a disk that takes {disk_takes:?}, lie {lie:?}"
        )?;
        if let Some(rule) = without {
            writeln!(f, "without {rule:?}")?;
        }
        writeln!(f, "{:?}", self.workload)?;
        for Planned { at, whom, fault } in &self.faults {
            writeln!(f, "{:>10.6} {whom:?}: {fault:?}", at.as_secs_f64())?;
        }
        writeln!(f, "{:>10.6} faults end", self.faults_until.as_secs_f64())
    }
}

impl Workload {
    /// How many processes there are that come to an end.
    #[must_use]
    pub fn processes(&self) -> usize {
        let operators = self.swaps.as_ref().map_or(0, |swaps| swaps.operators);
        let count = self.producers
            + u32::from(self.churns)
            + u32::from(self.group.is_some())
            + operators
            + u32::from(self.moves.is_some());
        usize::try_from(count).expect("a few processes")
    }

    /// The operators that swap pipelines, and what they do.
    #[must_use]
    pub fn operators(&self) -> Vec<(u32, Swaps)> {
        self.swaps
            .iter()
            .flat_map(|swaps| (0..swaps.operators).map(|number| (number, swaps.clone())))
            .collect()
    }

    /// What a producing process asks for.
    #[must_use]
    pub fn acks_of(&self, producer: u32) -> Acks {
        let index = usize::try_from(producer).expect("a few producers") % self.acks.len();
        self.acks[index]
    }

    /// Whether an acknowledgement promises what was asked for. What an earlier try stored is committed, and stays so
    /// also where fewer replicas are in sync by now, of which the promise tells.
    #[must_use]
    pub fn is_kept(&self, acks: Acks, promise: Promise, is_duplicate: bool) -> bool {
        let replicas_min = if acks == Acks::All && !is_duplicate { self.min_insync } else { 1 };
        (promise.flushed || self.write_caching) && promise.replicas >= replicas_min
    }

    /// How many partitions the topic has once everything was done that is planned.
    #[must_use]
    pub fn partitions_in_the_end(&self) -> u32 {
        self.partitions + self.group.as_ref().map_or(0, GroupPlan::partitions_added)
    }

    /// What producers send in about `lasts`.
    fn any(dice: &mut Dice, lasts: Duration, records: RangeInclusive<u64>) -> Workload {
        let value_bytes_max = *dice.pick(&[20, 200, 2_000, 20_000]);
        let records = small(dice, records);
        let burst = *dice.pick(&[1, 1, 5, 30]);
        // Most of them are busy for as long as there are faults; a few are done at once.
        let pause_max = lasts * 2 * burst / records * *dice.pick(&[0, 1, 1, 1, 1]);
        Workload {
            partitions: small(dice, 1..=4),
            replication_factor: 1,
            min_insync: 1,
            write_caching: false,
            acks: vec![Acks::All],
            names_partitions: false,
            segment_bytes: *dice.pick(&[4_096, 16_384, 65_536, 1 << 20]),
            retention_bytes: None,
            producers: small(dice, 1..=2),
            records,
            keys: small(dice, 1..=6),
            value_bytes: 10..=value_bytes_max,
            burst,
            pause: Duration::ZERO..=pause_max,
            batch_bytes: *dice.pick(&[500, 4_000, 65_536]),
            linger: Duration::from_millis(*dice.pick(&[0, 1, 5, 50])),
            in_flight: *dice.pick(&[1, 2, 5, 5, 20]),
            unguessed_lanes: *dice.pick(&[0, 0, 0, 1, 3]),
            compression: *dice.pick(&[
                Compression::None,
                Compression::None,
                Compression::Lz4,
                Compression::Zstd,
            ]),
            request_timeout: *dice.pick(&[seconds(0.1), seconds(0.5), seconds(3.0)]),
            delivery_timeout: *dice.pick(&[seconds(5.0), seconds(30.0), seconds(120.0)]),
            readers: small(dice, 1..=2),
            churns: dice.chance(0.5),
            group: None,
            swaps: None,
            moves: None,
        }
    }
}

impl Fault {
    fn any(dice: &mut Dice, workload: &Workload) -> Fault {
        let lasts = dice.time(Duration::from_millis(100)..=seconds(4.0));
        let down = dice.time(Duration::from_millis(10)..=seconds(2.0));
        match dice.within(0..=20) {
            0..=2 => {
                let loss = *dice.pick(&[0.01, 0.05, 0.2, 0.5]);
                Fault::Weather { loss, duplication: *dice.pick(&[0.0, 0.02, 0.2]), lasts }
            }
            3..=4 => Fault::Cut { from: Others::Clients, ways: any_ways(dice), lasts },
            5..=8 => Fault::End { end: any_end(dice), down },
            9..=12 => {
                let after = dice.within(0..=200);
                Fault::EndInOperation { end: any_end(dice), after, again: any_starts(dice), down }
            }
            13 => Fault::Restart { down },
            14 => Fault::FailSyncs { count: small(dice, 1..=2), noticed_after: lasts },
            15 => Fault::FailWrites { count: small(dice, 1..=2), noticed_after: lasts },
            16..=17 => {
                // Nothing, or about what a node keeps in reserve, so that it runs out and comes back by the record.
                let room_bytes = *dice.pick(&[0, 32 << 20, 32 << 20]) + dice.within(0..=60_000);
                Fault::FullDisk { room_bytes, lasts }
            }
            18..=19 => {
                let slowest = dice.time(Duration::from_millis(10)..=Duration::from_millis(500));
                Fault::SlowDisk { takes: Duration::ZERO..=slowest, lasts }
            }
            _ => Fault::KillProducer { producer: small(dice, 0..=u64::from(workload.producers) - 1), down },
        }
    }
}

fn any_ways(dice: &mut Dice) -> Ways {
    *dice.pick(&[Ways::Both, Ways::ToNode, Ways::FromNode])
}

fn any_end(dice: &mut Dice) -> End {
    *dice.pick(&[End::Killed, End::PowerCut])
}

/// In how many operations of the starts that follow the node ends again: most of the time in none.
fn any_starts(dice: &mut Dice) -> Vec<u64> {
    let times = *dice.pick(&[0, 0, 0, 1, 3]);
    (0..times).map(|_| dice.within(0..=15)).collect()
}

/// A good disk, a common one, a bad one.
fn any_disk(dice: &mut Dice) -> RangeInclusive<Duration> {
    let millis = |from, to| Duration::from_millis(from)..=Duration::from_millis(to);
    dice.pick(&[QUICK, QUICK, millis(0, 20), millis(5, 80)]).clone()
}

fn small(dice: &mut Dice, range: RangeInclusive<u64>) -> u32 {
    u32::try_from(dice.within(range)).expect("the ranges here are small")
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_plan() {
        assert_eq!(Plan::chaos(5).to_string(), Plan::chaos(5).to_string());
        assert_ne!(Plan::chaos(5).to_string(), Plan::chaos(6).to_string());
        assert_eq!(Plan::power_loss(5).to_string(), Plan::power_loss(5).to_string());
    }

    #[test]
    fn faults_come_in_order_and_end() {
        for seed in 0..200 {
            for plan in [Plan::chaos(seed), Plan::power_loss(seed), Plan::cluster(seed, 3)] {
                assert!(plan.faults.is_sorted_by_key(|planned| planned.at));
                assert!(plan.faults.iter().all(|planned| planned.at < plan.faults_until), "{plan}");
            }
        }
    }
}
