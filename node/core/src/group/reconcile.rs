//! From what members may hold to what they should, one partition at a time and without a stop: who should let go of a
//! partition is told so, and who should have it gets it once nobody holds it.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::group_log::{GroupRecord, TargetValue};
use weir_wire::ids::{GroupEpoch, MemberEpoch};
use weir_wire::request::TopicPartitions;

use super::assignors::Target;
use super::group::{Desk, Group, Wanted};
use super::messages::TopicPartition;
use super::rules::Rule;
use super::state::{Holding, Revoking};

/// How long partitions that are free wait for others that the same member gets.
const GATHER_MS: u32 = 20;

impl Group {
    /// Something changed that decides who should read what: the group's epoch moves, and a new target is wanted.
    pub(crate) fn want_target(&mut self, desk: &mut Desk<'_>) {
        let epoch = GroupEpoch(self.next_count());
        self.stored.value.epoch = epoch;
        if self.stored.members.is_empty() {
            self.stored.value.target_epoch = epoch;
            self.stored.value.empty_since_ms = Some(desk.now.wall_ms);
            self.wanted = None;
        } else {
            self.stored.value.empty_since_ms = None;
            self.wanted.get_or_insert_default();
        }
        self.put_group(desk);
    }

    /// Makes `target` what members should hold.
    pub(crate) fn install(&mut self, desk: &mut Desk<'_>, target: &Target, assigned_by: &str) {
        (self.wanted, self.failure) = (None, None);
        self.targets.clear();
        self.stored.value.target_epoch = self.stored.value.epoch;
        self.stored.value.metadata_index = desk.topics.index;
        assigned_by.clone_into(&mut self.stored.value.assigned_by);
        self.put_group(desk);
        let members: BTreeSet<String> = self.stored.members.keys().cloned().collect();
        for id in &members {
            let nothing = BTreeSet::new();
            let wanted = target.get(id).unwrap_or(&nothing);
            self.targets.extend(wanted.iter().map(|partition| (*partition, id.clone())));
            if self.stored.members[id].target != *wanted {
                let partitions = TopicPartitions::gather(wanted.iter().copied());
                let value = Some(TargetValue { partitions });
                self.put(desk, GroupRecord::Target(self.name.clone(), id.clone(), value));
            }
        }
        self.reconcile(desk, &members);
    }

    /// A member let go of these partitions: who should have them gets them. Where all partitions of a large group move, each
    /// member waits for several others; it is told once or twice what it got, not of each partition by itself.
    pub(crate) fn free(&mut self, desk: &mut Desk<'_>, from: &str, partitions: &[TopicPartition]) {
        let mut waiting = BTreeSet::new();
        for partition in partitions {
            if self.owners.get(partition).is_some_and(|owner| owner == from) {
                self.owners.remove(partition);
            }
            waiting.extend(self.targets.get(partition).cloned());
        }
        self.reconcile_gathered(desk, waiting);
    }

    /// Moves these members towards their targets: now where all of it is free, else in a moment.
    fn reconcile_gathered(&mut self, desk: &mut Desk<'_>, mut members: BTreeSet<String>) {
        members.retain(|id| self.gets_all_now(id) || !self.gathers(desk, id));
        self.reconcile(desk, &members);
    }

    /// Whether nobody else holds anything that a member should have.
    fn gets_all_now(&self, id: &str) -> bool {
        let others_hold = |partition| self.owners.get(partition).is_some_and(|owner| owner != id);
        self.stored.members.get(id).is_some_and(|member| !member.target.iter().any(others_hold))
    }

    /// Has a member wait for the rest of what it should have, for a moment.
    fn gathers(&mut self, desk: &mut Desk<'_>, id: &str) -> bool {
        let by_ns = desk.in_ms(GATHER_MS);
        let Some(live) = self.live.get_mut(id) else { return false };
        live.gather_by_ns.get_or_insert(by_ns);
        self.set_timer(desk, id);
        true
    }

    /// Moves these members towards their targets, as far as it goes now.
    pub(crate) fn reconcile(&mut self, desk: &mut Desk<'_>, members: &BTreeSet<String>) {
        let mut changed: BTreeMap<String, Holding> = BTreeMap::new();
        for id in members {
            let Some(member) = self.stored.members.get(id) else { continue };
            let lost = member.holding.assigned.keys().filter(|partition| !member.target.contains(partition));
            let lost: Vec<TopicPartition> = lost.copied().collect();
            let is_away = member.value.away;
            if lost.is_empty() {
                continue;
            }
            let holding = self.change_of(id, &mut changed);
            for partition in &lost {
                let since = holding.assigned.remove(partition).unwrap_or_default();
                if !is_away {
                    holding.revoking.insert(*partition, Revoking { since, told: holding.epoch });
                }
            }
            if is_away {
                self.owners.retain(|partition, _| !lost.contains(partition));
            }
        }
        for id in members {
            if let Some(live) = self.live.get_mut(id) {
                live.gather_by_ns = None;
            }
            let Some(member) = self.stored.members.get(id) else { continue };
            let is_free = |partition: &TopicPartition| {
                !self.owners.contains_key(partition) || !desk.rules.hold(Rule::OneOwner)
            };
            let held = changed.get(id).unwrap_or(&member.holding);
            let given: Vec<TopicPartition> = member
                .target
                .iter()
                .filter(|partition| held.held_since(partition).is_none() && is_free(partition))
                .copied()
                .collect();
            if given.is_empty() {
                continue;
            }
            let holding = self.change_of(id, &mut changed);
            holding.assigned.extend(given.iter().map(|partition| (*partition, holding.epoch)));
            self.owners.extend(given.into_iter().map(|partition| (partition, id.clone())));
        }
        for (id, holding) in changed {
            self.tell(desk, &id, holding);
        }
    }

    /// The next holding of a member, under a number of its own.
    fn change_of<'a>(&mut self, id: &str, changed: &'a mut BTreeMap<String, Holding>) -> &'a mut Holding {
        changed.entry(id.to_owned()).or_insert_with(|| {
            let holding = self.stored.members.get(id).map(|member| member.holding.clone());
            Holding { epoch: MemberEpoch(self.next_count()), ..holding.unwrap_or_default() }
        })
    }

    /// Stores what a member may hold from now on, and lets it know.
    fn tell(&mut self, desk: &mut Desk<'_>, id: &str, holding: Holding) {
        let must_let_go = !holding.revoking.is_empty();
        self.put_holding(desk, id, holding);
        self.watch_letting_go(desk, id, must_let_go);
        self.unpark(desk, id);
    }

    /// Sets the time by which a member must have let go.
    pub(crate) fn watch_letting_go(&mut self, desk: &mut Desk<'_>, id: &str, must_let_go: bool) {
        let timeout_ms = self.stored.members.get(id).map_or(0, |member| member.value.rebalance_timeout_ms);
        let by_ns = desk.in_ms(timeout_ms);
        let Some(live) = self.live.get_mut(id) else { return };
        live.let_go_by_ns = must_let_go.then(|| live.let_go_by_ns.unwrap_or(by_ns));
        self.set_timer(desk, id);
    }

    /// Begins to coordinate a group that another coordinator left: every member gets a whole session.
    pub(crate) fn take_over(&mut self, desk: &mut Desk<'_>) {
        let members: BTreeSet<String> = self.stored.members.keys().cloned().collect();
        for id in &members {
            self.resolve(id, desk.topics);
            if desk.rules.hold(Rule::SessionsRestart) {
                self.renew(desk, id);
            } else {
                self.set_timer(desk, id);
            }
            let must_let_go = !self.stored.members[id].holding.revoking.is_empty();
            self.watch_letting_go(desk, id, must_let_go);
        }
        if self.stored.value.target_epoch < self.stored.value.epoch {
            self.wanted = Some(Wanted::default());
        }
        self.follow_topics(desk);
        // What the one before gathered is not stored.
        self.reconcile_gathered(desk, members);
    }
}
