//! What a seed stands for: which faults come when, and who produces meanwhile.
//!
//! Real processes do not run twice in the same way, so a seed repeats what is done to them, and not what they do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::sim::dice::Dice;

/// How long faults come, unless they have to last longer.
const LENGTH: Duration = Duration::from_secs(6);
/// How long a fault lasts at least and at most.
const LASTS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(2500));
/// The pause before a fault, at least and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1200));
/// Of how many rounds replicas are moved, plugins swapped, or links disturbed.
const SHARE: f64 = 0.5;
/// In how many rounds one node's disk is damaged.
const DAMAGE_SHARE: f64 = 0.5;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9` of the node that leads a partition.
    KillLeader,
    /// `kill -9` of a node that follows.
    KillFollower,
    /// `kill -9` of the active controller.
    KillController,
    /// `kill -9` of all nodes at once.
    KillAll,
    /// SIGSTOP of the node that leads a partition, and SIGCONT.
    PauseLeader,
    /// SIGSTOP of any node, and SIGCONT.
    PauseAny,
    /// SIGTERM of one node after the other.
    RollingRestart,
    /// The leader of a partition is cut off from everybody.
    CutLeader,
    /// The active controller is cut off from the other nodes.
    CutController,
    /// Nothing arrives from one node at another, or at all others.
    CutOneWay,
    /// The nodes are cut into halves.
    Halves,
    /// What some send comes late.
    Delay,
    /// Some of what is sent is lost.
    Loss,
    /// One node's disk is full.
    FullDisk,
    /// One node is killed, and bits of its closed segments flip.
    FlipSegments,
    /// One node is killed, and bits of its indexes flip.
    FlipIndexes,
    /// One node is killed, and bits of its checkpoints and snapshots flip.
    FlipCheckpoints,
    /// One node loses its data folder.
    Wipe,
    /// Partitions get other replicas.
    Reassign,
    /// A node is drained.
    Drain,
    /// A pipeline is staged and activated, or rolled back.
    Swap,
}

/// Who carries a fault out: one after the other within a lane, and all lanes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Processes and disks.
    Nodes,
    /// What lies between them.
    Links,
    /// An operator who moves replicas.
    Moves,
    /// An operator who swaps plugins.
    Swaps,
}

/// All kinds with their names.
pub const KINDS: [(Kind, &str); 21] = [
    (Kind::KillLeader, "kill-leader"),
    (Kind::KillFollower, "kill-follower"),
    (Kind::KillController, "kill-controller"),
    (Kind::KillAll, "kill-all"),
    (Kind::PauseLeader, "pause-leader"),
    (Kind::PauseAny, "pause-any"),
    (Kind::RollingRestart, "rolling-restart"),
    (Kind::CutLeader, "cut-leader"),
    (Kind::CutController, "cut-controller"),
    (Kind::CutOneWay, "cut-one-way"),
    (Kind::Halves, "halves"),
    (Kind::Delay, "delay"),
    (Kind::Loss, "loss"),
    (Kind::FullDisk, "full-disk"),
    (Kind::FlipSegments, "flip-segments"),
    (Kind::FlipIndexes, "flip-indexes"),
    (Kind::FlipCheckpoints, "flip-checkpoints"),
    (Kind::Wipe, "wipe"),
    (Kind::Reassign, "reassign"),
    (Kind::Drain, "drain"),
    (Kind::Swap, "swap"),
];

impl Kind {
    /// Who carries it out.
    #[must_use]
    pub fn lane(self) -> Lane {
        match self {
            Kind::Reassign | Kind::Drain => Lane::Moves,
            Kind::Swap => Lane::Swaps,
            _ if self.needs_network() => Lane::Links,
            _ => Lane::Nodes,
        }
    }

    /// Whether it takes a network of our own.
    #[must_use]
    pub fn needs_network(self) -> bool {
        use Kind::{CutController, CutLeader, CutOneWay, Delay, Halves, Loss};
        matches!(self, CutLeader | CutController | CutOneWay | Halves | Delay | Loss)
    }

    /// Whether a node may lose what it stored: only one node of a cluster may.
    #[must_use]
    pub fn damages(self) -> bool {
        use Kind::{FlipCheckpoints, FlipIndexes, FlipSegments, FullDisk, Wipe};
        matches!(self, FullDisk | FlipSegments | FlipIndexes | FlipCheckpoints | Wipe)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = KINDS.iter().find(|(kind, _)| kind == self).expect("every kind has a name");
        f.write_str(name)
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let found = KINDS.iter().find(|(_, name)| *name == text);
        let names = || KINDS.map(|(_, name)| name).join(", ");
        found.map(|(kind, _)| *kind).ok_or_else(|| format!("a fault is one of: {}", names()))
    }
}

/// What a round may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes there are.
    pub nodes: usize,
    /// The faults to choose from.
    pub kinds: Vec<Kind>,
    /// Faults that come in any case.
    pub must: Vec<Kind>,
    /// Whether every producer waits until it knows what became of a record; else some give up soon.
    pub patient: bool,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long after the one before.
    pub after: Duration,
    /// What.
    pub kind: Kind,
    /// For how long.
    pub lasts: Duration,
}

/// How a producer chooses the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// By key.
    Keys(u32),
    /// It says which.
    Explicit,
    /// Anywhere.
    Anywhere,
}

/// One producer.
#[derive(Clone, Copy, Debug)]
pub struct Producing {
    /// Where its records go.
    pub placing: Placing,
    /// How long it waits after each handful of records.
    pub pace: Duration,
    /// How long it waits for a result before that is unknown.
    pub patience: Duration,
}

/// A round.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it follows from, with the options.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// The one node, from 0, whose disk may be damaged.
    pub victim: usize,
    /// All faults, in the order of each lane.
    pub steps: Vec<Step>,
    /// Who produces.
    pub producers: Vec<Producing>,
}

impl Plan {
    /// What a seed stands for.
    #[must_use]
    pub fn new(seed: u64, options: &Options) -> Plan {
        let dice = &mut Dice::new(seed, "torture");
        let last = u64::try_from(options.nodes).expect("few nodes") - 1;
        let victim = usize::try_from(dice.within(0..=last)).expect("few nodes");
        let mut steps = Vec::new();
        for lane in [Lane::Nodes, Lane::Links, Lane::Moves, Lane::Swaps] {
            steps.extend(lane_steps(dice, lane, options));
        }
        let partitions = u32::try_from(dice.within(3..=8)).expect("few partitions");
        let producers = producers(dice, options.patient);
        Plan { seed, nodes: options.nodes, partitions, victim, steps, producers }
    }

    /// The faults of one lane.
    pub fn of(&self, lane: Lane) -> impl Iterator<Item = Step> + '_ {
        self.steps.iter().copied().filter(move |step| step.kind.lane() == lane)
    }

    /// Whether the victim's disk is to be full once.
    #[must_use]
    pub fn fills_a_disk(&self) -> bool {
        self.steps.iter().any(|step| step.kind == Kind::FullDisk)
    }

    /// Whether the victim may lose what it stored.
    #[must_use]
    pub fn damages(&self) -> bool {
        self.steps.iter().any(|step| step.kind.damages())
    }

    /// Whether bits of the victim's files flip.
    #[must_use]
    pub fn flips_bits(&self) -> bool {
        let flips = [Kind::FlipSegments, Kind::FlipIndexes, Kind::FlipCheckpoints];
        self.steps.iter().any(|step| flips.contains(&step.kind))
    }

    /// How many replicas a partition has.
    #[must_use]
    pub fn replication_factor(&self) -> u32 {
        3
    }
}

fn lane_steps(dice: &mut Dice, lane: Lane, options: &Options) -> Vec<Step> {
    let in_lane =
        |kinds: &[Kind]| -> Vec<Kind> { kinds.iter().copied().filter(|kind| kind.lane() == lane).collect() };
    let (mut must, mut choice) = (in_lane(&options.must), in_lane(&options.kinds));
    // Few rounds damage a disk, and those that do damage it once.
    let mut damage = must.iter().filter(|kind| kind.damages()).count();
    if damage == 0 && !dice.chance(DAMAGE_SHARE) {
        damage = 1;
    }
    let is_idle = lane != Lane::Nodes && !dice.chance(SHARE);
    let mut steps = Vec::new();
    let mut at = Duration::ZERO;
    while !must.is_empty() || (at < LENGTH && !is_idle) {
        if damage > 0 {
            choice.retain(|kind| !kind.damages());
        }
        if must.is_empty() && choice.is_empty() {
            break;
        }
        // What damages a disk comes second, when there is something to damage.
        let is_early =
            steps.is_empty() && !choice.is_empty() && must.first().is_some_and(|kind| kind.damages());
        let kind = if must.is_empty() || is_early { *dice.pick(&choice) } else { must.remove(0) };
        damage += usize::from(kind.damages());
        let step = Step { after: dice.time(PAUSE.0..=PAUSE.1), kind, lasts: dice.time(LASTS.0..=LASTS.1) };
        at += step.after + step.lasts;
        steps.push(step);
    }
    steps
}

fn producers(dice: &mut Dice, patient: bool) -> Vec<Producing> {
    const PATIENT_MS: u64 = 100_000;
    let more = dice.within(0..=2);
    let mut placings = vec![Placing::Keys(8), Placing::Explicit, Placing::Anywhere];
    placings.extend((0..more).map(|_| *dice.pick(&[Placing::Keys(3), Placing::Explicit, Placing::Anywhere])));
    let producing = |placing| Producing {
        placing,
        pace: dice.time(Duration::from_millis(5)..=Duration::from_millis(30)),
        patience: match *dice.pick(&[2_000, PATIENT_MS, PATIENT_MS]) {
            _ if patient => Duration::from_millis(PATIENT_MS),
            patience => Duration::from_millis(patience),
        },
    };
    placings.into_iter().map(producing).collect()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, nodes, partitions, victim, producers, .. } = self;
        let producers = producers.len();
        writeln!(f, "seed {seed}: {nodes} nodes, {partitions} partitions, {producers} producers")?;
        if self.damages() {
            writeln!(f, "  the disk of node {} is damaged", victim + 1)?;
        }
        for lane in [Lane::Nodes, Lane::Links, Lane::Moves, Lane::Swaps] {
            let steps: Vec<String> = self.of(lane).map(|step| step.to_string()).collect();
            if !steps.is_empty() {
                writeln!(f, "  {lane:?}: {}", steps.join(", "))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { after, kind, lasts } = self;
        write!(f, "+{} ms {kind} for {} ms", after.as_millis(), lasts.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { nodes: 3, kinds: KINDS.map(|(kind, _)| kind).to_vec(), must: Vec::new(), patient: false }
    }

    #[test]
    fn a_seed_stands_for_one_plan() {
        let show = |seed| Plan::new(seed, &options()).to_string();
        assert_eq!(show(7), show(7));
        assert_ne!(show(7), show(8));
    }

    #[test]
    fn only_one_disk_is_damaged_and_once() {
        for seed in 0..200 {
            let plan = Plan::new(seed, &options());
            assert!(plan.steps.iter().filter(|step| step.kind.damages()).count() <= 1, "{plan}");
        }
    }

    #[test]
    fn what_must_come_comes_and_nothing_else_is_chosen() {
        let options = Options { must: vec![Kind::Wipe, Kind::Swap], kinds: vec![Kind::KillAll], ..options() };
        for seed in 0..50 {
            let plan = Plan::new(seed, &options);
            for (kind, _) in KINDS {
                let count = plan.steps.iter().filter(|step| step.kind == kind).count();
                match kind {
                    Kind::Wipe | Kind::Swap => assert_eq!(count, 1, "{plan}"),
                    Kind::KillAll => {}
                    _ => assert_eq!(count, 0, "{plan}"),
                }
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for (kind, name) in KINDS {
            assert_eq!((kind.to_string().as_str(), name.parse()), (name, Ok(kind)));
        }
    }
}
