//! A new coordinator, out of the records that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_wire::group_log::GroupRecord;

use super::Coordinator;
use super::calls::Calls;
use super::group::Group;
use super::messages::{Effect, GroupConfig, Topics};
use super::rules::{Rule, Rules};
use super::state::{self, StoredGroups};
use super::timers::Timers;
use super::waiting::Waiting;
use crate::time::Now;

/// Reads a partition of `__consumer_offsets`, from its start to the end that the log had when this node began to lead
/// it. [`finish`](Replay::finish) is for when all of that is committed.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    groups: StoredGroups,
    rules: Rules,
}

impl Replay {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Replay {
        Replay::default()
    }

    /// The same with one rule of the coordinator taken away, for tests that must then fail.
    #[doc(hidden)]
    #[must_use]
    pub fn without_rule(mut self, rule: Rule) -> Replay {
        self.rules = Rules::all_but(rule);
        self
    }

    /// Reads the next record.
    pub fn apply(&mut self, record: &GroupRecord) {
        state::apply(&mut self.groups, record);
    }

    /// Begins to coordinate.
    #[must_use]
    pub fn finish(
        self,
        now: Now,
        config: GroupConfig,
        topics: Arc<Topics>,
        effects: &mut Vec<Effect>,
    ) -> Coordinator {
        let mut groups = BTreeMap::new();
        for (name, mut stored) in self.groups {
            // What lost its head to compaction before its tail: ended, all of it.
            stored.members.retain(|_, member| member.value.joined.0 > 0);
            if stored.value.epoch.0 > 0 {
                groups.insert(name.clone(), Group::from_stored(&name, stored));
            }
        }
        let mut coordinator = Coordinator {
            config,
            topics,
            rules: self.rules,
            groups,
            waiting: Waiting::default(),
            timers: Timers::default(),
            calls: Calls::default(),
            swept_ns: now.monotonic_ns,
            is_stopped: false,
        };
        coordinator.each(now, effects, |group, desk| group.take_over(desk));
        coordinator
    }
}
