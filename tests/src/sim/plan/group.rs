//! A consumer group beside the other clients, and what goes wrong for it in particular.

use super::{
    Dice, Duration, Fault, NodeId, Others, Planned, RangeInclusive, Whom, any_end, any_ways, seconds, small,
};

/// The one group.
pub const GROUP: &str = "readers";

/// Who takes part in the group, and what they do.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// How many processes take part.
    pub members: u32,
    /// How many of them, the first ones, have a `group.instance.id`.
    pub static_members: u32,
    /// How many of them, the last ones, leave commits to the library. The others say with each offset in which tenure
    /// they got there.
    pub auto_members: u32,
    /// How long they may take to let go of a partition.
    pub rebalance_timeout: Duration,
    /// How long a batch keeps them busy.
    pub works: RangeInclusive<Duration>,
    /// How likely a batch keeps them busy for far longer: up to twice what they have to let go.
    pub dawdles: f64,
    /// How likely they leave the group after a batch, for a while.
    pub leaves: f64,
    /// How likely they commit after a batch.
    pub commits: f64,
    /// What an operator does, each so long after the topic was made.
    pub operations: Vec<(Duration, Operation)>,
}

/// What an operator does to a group and its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds a partition.
    AddPartition,
    /// Chooses another assignor.
    Assign(&'static str),
}

impl GroupPlan {
    /// A group of three members who do what well-behaved members do, and of whom nobody leaves.
    #[must_use]
    pub fn of_scenario() -> GroupPlan {
        GroupPlan {
            members: 3,
            static_members: 0,
            auto_members: 0,
            rebalance_timeout: seconds(20.0),
            works: Duration::ZERO..=Duration::from_millis(20),
            dawdles: 0.0,
            leaves: 0.0,
            commits: 1.0,
            operations: Vec::new(),
        }
    }

    /// Partitions that are added while the group reads.
    #[must_use]
    pub fn partitions_added(&self) -> u32 {
        let added = self.operations.iter().filter(|(_, operation)| *operation == Operation::AddPartition);
        u32::try_from(added.count()).expect("few operations")
    }

    pub(super) fn any(dice: &mut Dice, lasts: Duration) -> GroupPlan {
        let members = small(dice, 2..=4);
        let mut operations: Vec<_> = (0..dice.within(0..=3))
            .map(|_| {
                (
                    dice.time(Duration::ZERO..=lasts),
                    Operation::Assign(dice.pick::<&str>(&["range", "roundrobin"])),
                )
            })
            .collect();
        if dice.chance(0.3) {
            operations.push((dice.time(Duration::ZERO..=lasts), Operation::AddPartition));
        }
        operations.sort_by_key(|(at, _)| *at);
        GroupPlan {
            members,
            static_members: *dice.pick(&[0, 0, 1, members]),
            auto_members: *dice.pick(&[0, 0, 1, members]),
            rebalance_timeout: *dice.pick(&[seconds(2.0), seconds(20.0)]),
            works: Duration::ZERO..=Duration::from_millis(*dice.pick(&[0, 20, 300])),
            dawdles: *dice.pick(&[0.0, 0.02, 0.05]),
            leaves: *dice.pick(&[0.0, 0.02, 0.1]),
            commits: *dice.pick(&[0.3, 1.0]),
            operations,
        }
    }

    /// What goes wrong for the group in particular.
    pub(super) fn any_faults(&self, dice: &mut Dice, until: Duration) -> Vec<Planned> {
        let fault = |_| {
            let at = dice.time(seconds(1.0)..=until - Duration::from_millis(1));
            let lasts = dice.time(Duration::from_millis(100)..=seconds(8.0));
            let down = dice.time(Duration::from_millis(10)..=seconds(3.0));
            let whom = Whom::Coordinator;
            match dice.within(0..=7) {
                0..=2 => {
                    let member = small(dice, 0..=u64::from(self.members) - 1);
                    // It strikes none of the nodes, whoever is named.
                    let whom = Whom::Node(NodeId(1));
                    Planned { at, whom, fault: Fault::KillMember { member, down } }
                }
                3..=4 => Planned { at, whom, fault: Fault::End { end: any_end(dice), down } },
                5 => Planned { at, whom, fault: Fault::Pause { lasts } },
                _ => {
                    let from = *dice.pick(&[Others::Clients, Others::Nodes, Others::Everybody]);
                    Planned { at, whom, fault: Fault::Cut { from, ways: any_ways(dice), lasts } }
                }
            }
        };
        (0..3).map(fault).collect()
    }
}
