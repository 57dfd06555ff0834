//! `roundrobin`: all partitions of all topics in order, dealt out one by one, as Kafka's `RoundRobinAssignor`.
//!
//! One circular pass over the members, static ones first by their lasting name, then the others by their own; it goes
//! on from topic to topic, and members that do not subscribe to a topic are passed over for it. Where all members
//! subscribe to the same topics, their shares differ by at most one partition. It moves more than it must when a
//! member comes or goes, and it does not keep equal partitions of several topics together: that is `range`.

use weir_plugin::{Assignment, Assignor, Error, Member, Options, Result, Topic};

/// The assignor; it has no options.
pub struct RoundRobin;

impl Assignor for RoundRobin {
    fn configure(options: &Options) -> Result<RoundRobin> {
        options.allow(&[])?;
        Ok(RoundRobin)
    }

    fn assign(&mut self, members: &[Member], topics: &[Topic]) -> Result<Assignment> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&member| members[member].order());
        let mut assignment = Assignment::of(members.len());
        let mut turn = 0;
        for (index, topic) in (0..).zip(topics) {
            if !members.iter().any(|member| member.subscribes(index)) {
                return Err(Error::new(format!("nobody subscribes to {}", topic.name)));
            }
            for partition in 0..topic.partitions {
                while !members[order[turn]].subscribes(index) {
                    turn = (turn + 1) % order.len();
                }
                assignment.give(order[turn], index, partition);
                turn = (turn + 1) % order.len();
            }
        }
        Ok(assignment)
    }
}

weir_plugin::export!(RoundRobin as assignor);
