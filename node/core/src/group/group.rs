//! One group while it is coordinated: what is stored, what follows from it, and what dies with the coordinator.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::group_log::GroupRecord;
use weir_wire::ids::{GroupEpoch, MemberEpoch, TopicId};
use weir_wire::request::{GroupState, MemberState, Membership, TopicPartitions};

use super::calls::Calls;
use super::error::GroupError;
use super::messages::{CallId, Effect, GroupConfig, Reply, RequestId, TopicPartition, Topics, WriteId};
use super::rules::Rules;
use super::state::{StoredGroup, StoredMember};
use super::subscription;
use super::timers::{Timer, Timers};
use super::waiting::Answer;
use crate::time::Now;

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) stored: StoredGroup,
    /// The highest number given out on the group's count: see [`GroupEpoch`].
    pub(crate) count: u64,
    /// Who may hold each partition, from the members' holdings.
    pub(crate) owners: BTreeMap<TopicPartition, String>,
    /// Who should hold each partition, from the members' targets.
    pub(crate) targets: BTreeMap<TopicPartition, String>,
    /// What is not stored of each member.
    pub(crate) live: BTreeMap<String, LiveMember>,
    /// What was wrong with the assignor, while another stands in for it. A successor does not know it.
    pub(crate) failure: Option<String>,
    /// A new target is wanted.
    pub(crate) wanted: Option<Wanted>,
    /// The newest write of this group.
    pub(crate) last_write: WriteId,
    /// Deleted: to be forgotten at the end of the turn.
    pub(crate) is_over: bool,
}

/// What is not stored of a member.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveMember {
    /// The topics that its subscription means.
    pub(crate) topics: BTreeSet<TopicId>,
    /// When its session ends.
    pub(crate) session_ends_ns: u64,
    /// The heartbeat that waits for news.
    pub(crate) parked: Option<Parked>,
    /// When it is expelled, if it has not let go by then.
    pub(crate) let_go_by_ns: Option<u64>,
    /// When it gets what is free by then.
    pub(crate) gather_by_ns: Option<u64>,
    /// It has not let go in time: it is heard no more, so its session runs out.
    pub(crate) expelled: bool,
    /// The earliest timer that was set for it.
    pub(crate) timer_ns: Option<u64>,
}

/// A heartbeat that waits for news.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub(crate) request: RequestId,
    /// The membership that the member heard of.
    pub(crate) heard: MemberEpoch,
    /// When it is answered without any.
    pub(crate) until_ns: u64,
}

/// A target that is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// When an assignor was asked first.
    pub(crate) since_ns: Option<u64>,
    /// The question that is on its way.
    pub(crate) call: Option<CallId>,
}

/// What a turn works with: what it may look at, and where it puts what comes of it.
pub(crate) struct Desk<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a GroupConfig,
    pub(crate) topics: &'a Topics,
    pub(crate) rules: Rules,
    pub(crate) timers: &'a mut Timers,
    pub(crate) calls: &'a mut Calls,
    /// The change, to be written as one batch.
    pub(crate) records: Vec<GroupRecord>,
    /// The answers, to be given once that is committed.
    pub(crate) answers: Vec<Answer>,
    /// Everything else.
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Desk<'_> {
    pub(crate) fn answer(&mut self, request: RequestId, answer: Result<Reply, GroupError>) {
        self.answers.push((request, answer));
    }

    pub(crate) fn in_ms(&self, ms: u32) -> u64 {
        self.now.monotonic_ns.saturating_add(u64::from(ms) * 1_000_000)
    }
}

impl Group {
    /// A group of which nothing is stored yet.
    pub(crate) fn new(name: &str) -> Group {
        Group::from_stored(name, StoredGroup::default())
    }

    /// A group as its records have it. Members have no session yet.
    pub(crate) fn from_stored(name: &str, stored: StoredGroup) -> Group {
        let count = stored.count();
        let of_members = |partitions: fn(&StoredMember) -> Vec<TopicPartition>| {
            let members = stored.members.iter();
            let pairs = members.flat_map(move |(id, member)| {
                partitions(member).into_iter().map(move |partition| (partition, id.clone()))
            });
            pairs.collect::<BTreeMap<_, _>>()
        };
        Group {
            name: name.to_owned(),
            count,
            owners: of_members(|member| member.holding.partitions().collect()),
            targets: of_members(|member| member.target.iter().copied().collect()),
            live: stored.members.keys().map(|id| (id.clone(), LiveMember::default())).collect(),
            failure: None,
            wanted: None,
            last_write: WriteId(0),
            is_over: false,
            stored,
        }
    }

    /// Whether anything is stored of it.
    pub(crate) fn exists(&self) -> bool {
        self.stored.value.epoch.0 > 0
    }

    /// Changes what is stored.
    pub(crate) fn put(&mut self, desk: &mut Desk<'_>, record: GroupRecord) {
        self.stored.apply(&record);
        desk.records.push(record);
    }

    pub(crate) fn put_group(&mut self, desk: &mut Desk<'_>) {
        let record = GroupRecord::Group(self.name.clone(), Some(self.stored.value.clone()));
        self.put(desk, record);
    }

    /// The next number on the group's count.
    pub(crate) fn next_count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Stores a group that begins to exist without members.
    pub(crate) fn begin(&mut self, desk: &mut Desk<'_>) {
        if !self.exists() {
            self.stored.value.epoch = GroupEpoch(self.next_count());
            self.stored.value.target_epoch = self.stored.value.epoch;
            self.stored.value.empty_since_ms = Some(desk.now.wall_ms);
            self.put_group(desk);
        }
    }

    /// The assignor in force.
    pub(crate) fn assignor<'a>(&'a self, config: &'a GroupConfig) -> &'a str {
        self.stored.value.assignor.as_deref().unwrap_or(&config.assignor)
    }

    /// Finds out which topics a member's subscription means.
    pub(crate) fn resolve(&mut self, member: &str, topics: &Topics) {
        if let (Some(stored), Some(live)) = (self.stored.members.get(member), self.live.get_mut(member)) {
            live.topics = subscription::resolve(&stored.value.subscription, topics);
        }
    }

    /// What a member is told: all of what it may hold, unless it heard of that.
    pub(crate) fn membership(
        &self,
        desk: &Desk<'_>,
        member: &StoredMember,
        heard: Option<MemberEpoch>,
    ) -> Membership {
        let holding = &member.holding;
        let is_news = heard != Some(holding.epoch);
        Membership {
            member_epoch: holding.epoch,
            assignment: is_news.then(|| TopicPartitions::gather(holding.assigned.keys().copied())),
            heartbeat_interval_ms: desk.config.heartbeat_interval_ms,
            session_timeout_ms: desk.config.session_timeout_ms,
        }
    }

    /// Answers the heartbeat of a member that waits, if one does.
    pub(crate) fn unpark(&mut self, desk: &mut Desk<'_>, member: &str) {
        let Some(parked) = self.live.get_mut(member).and_then(|live| live.parked.take()) else { return };
        let answer = match self.stored.members.get(member) {
            Some(stored) => Ok(Reply::Membership(self.membership(desk, stored, Some(parked.heard)))),
            None => Err(GroupError::UnknownMember(member.to_owned())),
        };
        desk.answer(parked.request, answer);
    }

    /// Sets the timer of a member to what is due for it first.
    pub(crate) fn set_timer(&mut self, desk: &mut Desk<'_>, member: &str) {
        let Some(live) = self.live.get_mut(member) else { return };
        let parked = live.parked.map(|parked| parked.until_ns);
        let let_go_by = live.let_go_by_ns.filter(|_| !live.expelled);
        let due =
            [parked, let_go_by, live.gather_by_ns].into_iter().flatten().fold(live.session_ends_ns, u64::min);
        if live.timer_ns.is_none_or(|set| due < set) {
            live.timer_ns = Some(due);
            desk.timers.set(due, Timer::Member(self.name.clone(), member.to_owned()));
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        if self.stored.members.is_empty() {
            GroupState::Empty
        } else if self.stored.value.target_epoch < self.stored.value.epoch {
            GroupState::Assigning
        } else if self.stored.members.values().all(|member| member_state(member) == MemberState::Stable) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }
}

pub(crate) fn member_state(member: &StoredMember) -> MemberState {
    let holding = &member.holding;
    if member.value.away {
        MemberState::Away
    } else if !holding.revoking.is_empty() {
        MemberState::Revoking
    } else if holding.assigned.keys().eq(member.target.iter()) {
        MemberState::Stable
    } else {
        MemberState::Waiting
    }
}
