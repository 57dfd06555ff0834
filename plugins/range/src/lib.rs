//! `range`: each member gets neighbouring partitions of each topic, as Kafka's `RangeAssignor`.
//!
//! Every topic is shared out on its own: of `P` partitions among `C` subscribers each gets `P / C`, and the first
//! `P % C` of them one more; static members stand first, by their lasting name, then the others by their own. Topics
//! with equal partition counts and equal subscribers are shared out alike, so that equal partitions of them meet at
//! one member: that is what it is for. The price is skew: the members that get one more are the same in every
//! topic. `roundrobin` has none.
//!
//! Where the racks of members and partitions are known and differ, partitions first go to members in their rack, up
//! to the same shares; topics that are shared out alike stay together (KIP-881).
//!
//! It has no options.

mod share;

use weir_plugin::{Assignment, Assignor, Member, Options, Result, Topic};

use crate::share::Share;

/// The assignor.
pub struct Range;

impl Assignor for Range {
    fn configure(options: &Options) -> Result<Range> {
        options.allow(&[])?;
        Ok(Range)
    }

    fn assign(&mut self, members: &[Member], topics: &[Topic]) -> Result<Assignment> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&member| members[member].order());
        let mut assignment = Assignment::of(members.len());
        let mut shares: Vec<_> = (0..)
            .zip(topics)
            .map(|(index, topic)| Share::of(index, topic, members, &order))
            .collect::<Result<_>>()?;
        if shares.iter().any(Share::has_racks_to_match) {
            for alike in alike(&mut shares) {
                share::match_racks(alike, &mut assignment);
            }
        }
        for share in &mut shares {
            share.deal_out(|_, _| true, &mut assignment);
        }
        Ok(assignment)
    }
}

/// Topics with the same subscribers and as many partitions.
fn alike<'a, 'b>(shares: &'b mut [Share<'a>]) -> Vec<Vec<&'b mut Share<'a>>> {
    let mut groups: Vec<Vec<&mut Share<'a>>> = Vec::new();
    for share in shares {
        match groups.iter_mut().find(|group| group[0].is_like(share)) {
            Some(group) => group.push(share),
            None => groups.push(vec![share]),
        }
    }
    groups
}

weir_plugin::export!(Range as assignor);
