//! Whether all lanes moved on to the pipeline in force, so that nothing of an earlier revision can follow, although its grace
//! is not over.
//!
//! A client goes on at a newer revision only when everything that it sent before is settled. So a producer that was seen at
//! the newest revision sends nothing again under an earlier one; one that was not may, from anywhere, until the grace is
//! over. A lane that is still open under an earlier revision, or ended with parts on their way, may have something arrive
//! whatever its producer did since.

use std::collections::BTreeMap;

use weir_wire::ids::{ProducerEpoch, ProducerId, Revision};

/// How many producers of a topic are remembered on a node. Beyond that the one that was seen at the oldest revision is
/// forgotten, and the node can say nothing about that revision any more.
const PRODUCERS_MAX: usize = 10_000;
/// How many producers a node tells of.
pub const TOLD_MAX: usize = 2_000;

/// The lanes of one topic that one node has seen in this life of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Of this revision and earlier ones the node may have seen lanes that it does not remember.
    forgotten: Revision,
    /// Lanes that are open, or ended with parts on their way, by revision.
    open: BTreeMap<Revision, u64>,
    /// The newest revision at which each producer was seen, and its epoch then.
    producers: BTreeMap<ProducerId, (Revision, ProducerEpoch)>,
}

/// What one node says of the lanes of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LanesSeen {
    /// Lanes that are open under an earlier revision, or ended with parts on their way.
    pub open: u64,
    /// Producers that this node has not seen at the revision in force.
    pub behind: Vec<(ProducerId, ProducerEpoch)>,
    /// Producers that it has.
    pub moved: Vec<(ProducerId, ProducerEpoch)>,
}

impl Lanes {
    /// Nothing was seen, but for what an earlier life of the node may have seen up to a revision.
    #[must_use]
    pub fn after(forgotten: Revision) -> Lanes {
        Lanes { forgotten, open: BTreeMap::new(), producers: BTreeMap::new() }
    }

    /// A lane was opened.
    pub fn opened(&mut self, revision: Revision, producer: Option<(ProducerId, ProducerEpoch)>) {
        *self.open.entry(revision).or_default() += 1;
        if let Some((id, epoch)) = producer {
            let seen = self.producers.entry(id).or_insert((revision, epoch));
            *seen = (*seen).max((revision, epoch));
            if self.producers.len() > PRODUCERS_MAX {
                self.forget_one();
            }
        }
    }

    /// A lane ended, with nothing of it on its way any more.
    pub fn ended(&mut self, revision: Revision) {
        if let Some(open) = self.open.get_mut(&revision) {
            *open = open.saturating_sub(1);
        }
    }

    /// Forgets what lies below the oldest revision under which anything can still be sent.
    pub fn close_below(&mut self, oldest: Revision) {
        self.open.retain(|revision, _| *revision >= oldest);
        self.producers.retain(|_, (revision, _)| *revision >= oldest);
    }

    /// What there is to say, where `oldest` is the oldest revision under which anything can still be sent. `None` if lanes
    /// of it may be forgotten, or there is too much to tell.
    #[must_use]
    pub fn seen(&self, oldest: Revision, in_force: Revision) -> Option<LanesSeen> {
        if oldest < in_force && oldest <= self.forgotten {
            return None;
        }
        let mut seen = LanesSeen {
            open: self.open.range(oldest..in_force).map(|(_, open)| open).sum(),
            ..LanesSeen::default()
        };
        for (id, (revision, epoch)) in &self.producers {
            let list = if *revision < in_force { &mut seen.behind } else { &mut seen.moved };
            list.push((*id, *epoch));
        }
        (seen.behind.len() <= TOLD_MAX && seen.moved.len() <= TOLD_MAX).then_some(seen)
    }

    fn forget_one(&mut self) {
        let oldest = self.producers.iter().min_by_key(|(_, (revision, _))| *revision);
        if let Some((id, revision)) = oldest.map(|(id, (revision, _))| (*id, *revision)) {
            self.producers.remove(&id);
            self.forgotten = self.forgotten.max(revision);
        }
    }
}

/// Whether all lanes moved on, by what every node says. What one cannot say, nobody can.
#[must_use]
pub fn all_moved_on(nodes: &[Option<LanesSeen>]) -> bool {
    let Some(nodes) = nodes.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else { return false };
    let mut moved: BTreeMap<ProducerId, ProducerEpoch> = BTreeMap::new();
    for (id, epoch) in nodes.iter().flat_map(|node| &node.moved) {
        let newest = moved.entry(*id).or_insert(*epoch);
        *newest = (*newest).max(*epoch);
    }
    let is_past =
        |(id, epoch): &(ProducerId, ProducerEpoch)| moved.get(id).is_some_and(|newest| newest >= epoch);
    nodes.iter().all(|node| node.open == 0 && node.behind.iter().all(is_past))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of two nodes, in words: `1 opens P@R`, `1 ends R`; then whether all moved on to revision 2.
    fn moved_on(script: &str) -> bool {
        let mut nodes = [Lanes::after(Revision(0)), Lanes::after(Revision(0))];
        for step in script.split(", ") {
            let (node, step) = step.split_once(' ').unwrap();
            let node = &mut nodes[node.parse::<usize>().unwrap() - 1];
            match step.split_once(' ').unwrap() {
                ("ends", revision) => node.ended(Revision(revision.parse().unwrap())),
                ("opens", lane) => {
                    let (producer, revision) = lane.split_once('@').unwrap();
                    let producer = producer.parse().ok().map(|id| (ProducerId(id), ProducerEpoch(0)));
                    node.opened(Revision(revision.parse().unwrap()), producer);
                }
                _ => panic!("what is {step}?"),
            }
        }
        all_moved_on(&nodes.map(|node| node.seen(Revision(1), Revision(2))))
    }

    #[test]
    fn every_producer_must_have_been_seen_at_the_newest_revision_somewhere() {
        assert!(moved_on("1 opens 7@2"), "none was behind");
        assert!(!moved_on("1 opens 7@1"), "open");
        assert!(!moved_on("1 opens 7@1, 1 ends 1"), "it may come back");
        assert!(!moved_on("1 opens 7@1, 2 opens 7@2"), "what is open may have something on its way");
        assert!(moved_on("1 opens 7@1, 1 ends 1, 2 opens 7@2"), "on another node");
        assert!(moved_on("1 opens 7@1, 1 ends 1, 2 opens 7@2, 2 ends 2"), "and gone since");
        assert!(!moved_on("1 opens 7@1, 1 ends 1, 1 opens 8@1, 1 ends 1, 2 opens 7@2"), "8 is behind");
        assert!(moved_on("1 opens none@1, 1 ends 1"), "nothing of it is ever sent again");
        assert!(!moved_on("1 opens none@1"));
    }

    #[test]
    fn a_node_that_may_have_forgotten_says_nothing() {
        let lanes = Lanes::after(Revision(1));
        assert_eq!(lanes.seen(Revision(1), Revision(2)), None, "an earlier life may have seen lanes");
        assert_eq!(lanes.seen(Revision(2), Revision(3)), Some(LanesSeen::default()));
        assert_eq!(lanes.seen(Revision(1), Revision(1)), Some(LanesSeen::default()), "nothing is earlier");
        assert!(!all_moved_on(&[Some(LanesSeen::default()), None]));
        let mut crowded = Lanes::after(Revision(0));
        for id in 0..=PRODUCERS_MAX as u64 {
            crowded.opened(Revision(1), Some((ProducerId(id), ProducerEpoch(0))));
        }
        assert_eq!(crowded.seen(Revision(1), Revision(2)), None);
    }

    #[test]
    fn what_is_closed_is_forgotten() {
        let mut lanes = Lanes::after(Revision(0));
        lanes.opened(Revision(1), Some((ProducerId(7), ProducerEpoch(0))));
        lanes.close_below(Revision(2));
        assert_eq!(lanes, Lanes::after(Revision(0)));
    }

    #[test]
    fn an_older_life_of_a_producer_is_past_when_a_newer_one_is() {
        let seen = |behind: &[u16], moved: &[u16]| {
            let of =
                |epochs: &[u16]| epochs.iter().map(|epoch| (ProducerId(7), ProducerEpoch(*epoch))).collect();
            Some(LanesSeen { open: 0, behind: of(behind), moved: of(moved) })
        };
        assert!(all_moved_on(&[seen(&[0], &[]), seen(&[], &[1])]));
        assert!(!all_moved_on(&[seen(&[1], &[]), seen(&[], &[0])]));
    }
}
