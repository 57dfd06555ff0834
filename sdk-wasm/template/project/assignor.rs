//! Gives every partition to the subscriber that has the fewest so far. It has no options.

use weir_plugin::{Assignment, Assignor, Error, Member, Options, Result, Topic};

/// The assignor.
pub struct Plugin;

impl Assignor for Plugin {
    fn configure(options: &Options) -> Result<Plugin> {
        options.allow(&[])?;
        Ok(Plugin)
    }

    fn assign(&mut self, members: &[Member], topics: &[Topic]) -> Result<Assignment> {
        let mut assignment = Assignment::of(members.len());
        let mut counts = vec![0_u32; members.len()];
        for (index, topic) in (0..).zip(topics) {
            for partition in 0..topic.partitions {
                let subscribers = (0..members.len()).filter(|&member| members[member].subscribes(index));
                let Some(member) = subscribers.min_by_key(|&member| counts[member]) else {
                    return Err(Error::new(format!("nobody subscribes to {}", topic.name)));
                };
                assignment.give(member, index, partition);
                counts[member] += 1;
            }
        }
        Ok(assignment)
    }
}

weir_plugin::export!(Plugin as assignor);

#[cfg(test)]
mod tests {
    use weir_plugin::testing::Group;

    use super::*;

    #[test]
    fn a_member_with_more_topics_does_not_get_more() {
        let group = Group::of(&[("t0", 2), ("t1", 2)]).member("a", &["t0", "t1"]).member("b", &["t1"]);
        let assigned = group.assign::<Plugin>().unwrap();
        assert_eq!(assigned.to_string(), "a: t0p0 t0p1\nb: t1p0 t1p1\n");
    }
}
