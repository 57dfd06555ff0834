//! Consumer groups: one coordinator, as a synchronous function over the records of its partition.
//!
//! [`Coordinator::handle`] takes something that happened and appends what is to be done about it to a list. A change
//! is a batch of records: it is applied at once, so that later requests see it, and answered when it is committed, so
//! that nobody else hears of what might yet be lost. On any failure the coordinator ends, and the next one is made
//! from the records that are there ([`Replay`]); members keep what they hold.
//!
//! ```text
//!  join, leave, session over, topics, assignor ──▶ epoch moves ──▶ Assign ──▶ answer checked ──▶ target
//!  target ──▶ told to let go ──▶ confirmed by a heartbeat ──▶ free ──▶ given to whom the target names
//! ```
//!
//! The shape is KIP-848's (group epoch, target, members that reconcile one by one), with three differences, each of
//! which closes a hole that reordered or repeated messages open:
//!
//! - every change of a group is numbered from one count, so a membership, a tenure of a partition and a target are
//!   never mistaken for an earlier one;
//! - a heartbeat confirms an epoch rather than listing partitions, so a late one confirms nothing new;
//! - a member that does not let go in time is heard no more, and its partitions move when its session is over, when
//!   it has stopped by itself.
//!
//! The shell must answer heartbeats, and what was committed, only while its node's lease holds: a deposed coordinator that
//! goes on answering would keep members going that its successor has given up, or send others back to where they were.
//!
//! | file | what it decides |
//! |---|---|
//! | `state` | what is stored, changed by records only |
//! | `members` | joining, staying, leaving, being given up |
//! | `reconcile` | who lets go of what, who gets what |
//! | `calls`, `assignors` | asking assignors, checking what they say |
//! | `offsets` | committing, and forgetting |
//! | `admin` | looking at groups |
//! | `waiting` | when an answer may be given |

mod admin;
pub mod assignors;
mod calls;
mod error;
#[expect(clippy::module_inception, reason = "one group, among all that is about groups")]
mod group;
mod members;
mod messages;
mod offsets;
mod reconcile;
mod replay;
mod rules;
mod state;
mod subscription;
mod timers;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_wire::group_log::GroupRecord;
use weir_wire::names;
use weir_wire::request::{GroupsListed, OffsetsFetched};

pub use error::GroupError;
pub use messages::{
    Ask, Asker, CallId, Effect, GroupConfig, Input, LogEnds, Reply, Report, RequestId, TopicPartition,
    TopicShape, Topics, WriteId,
};
pub use replay::Replay;
#[doc(hidden)]
pub use rules::Rule;
pub use waiting::WAITING_MAX;

use crate::time::Now;
use calls::Calls;
use group::{Desk, Group};
use rules::Rules;
use timers::{Timer, Timers};
use waiting::Waiting;

/// The most timers that one tick looks at, so that it ends; the next deadline is then in the past.
const TIMERS_PER_TICK_MAX: usize = 1_000;

/// The coordinator of the groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Coordinator {
    config: GroupConfig,
    topics: Arc<Topics>,
    rules: Rules,
    groups: BTreeMap<String, Group>,
    waiting: Waiting,
    timers: Timers,
    calls: Calls,
    /// When it was looked for old groups last.
    swept_ns: u64,
    /// Ended: everything is refused.
    is_stopped: bool,
}

impl Coordinator {
    /// Takes in one thing that happened and appends what is to be done about it, in order.
    ///
    /// # Panics
    /// When the shell reports what cannot be (the commit of a write that was not asked for).
    pub fn handle(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        if self.is_stopped {
            if let Input::Request { request, .. } = input {
                effects.push(Effect::Respond { request, answer: Err(GroupError::NotCoordinator) });
            }
            return;
        }
        match input {
            Input::Request { request, .. } if self.waiting.is_full() => {
                effects.push(Effect::Respond { request, answer: Err(GroupError::Busy) });
            }
            Input::Request { request, asker, ask } => self.request(now, request, &asker, ask, effects),
            Input::Committed { write } => self.waiting.commit(write, effects),
            Input::Stop => self.stop(effects),
            Input::Topics(topics) => self.follow_topics(now, topics, effects),
            Input::Configure(config) => self.configure(now, config, effects),
            Input::Assigned { call, answer } => self.assigned(now, call, answer, effects),
            Input::Tick => self.tick(now, effects),
        }
    }

    /// When [`Input::Tick`] is wanted, on the monotonic clock.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        self.timers.first().map_or(self.next_sweep_ns(), |timer| timer.min(self.next_sweep_ns()))
    }

    /// When it is looked for old groups.
    fn next_sweep_ns(&self) -> u64 {
        self.swept_ns.saturating_add(self.config.offsets_check_interval_ms * 1_000_000)
    }

    /// The records that make a coordinator like this one, without those that were written over: what a compacted log
    /// holds. Also what is not committed yet.
    #[must_use]
    pub fn records(&self) -> Vec<GroupRecord> {
        self.groups.values().flat_map(|group| group.stored.to_records(&group.name)).collect()
    }

    fn request(&mut self, now: Now, request: RequestId, asker: &Asker, ask: Ask, effects: &mut Vec<Effect>) {
        let refuse = |error| Turn::Answer(Err(error));
        match ask {
            Ask::Join(join) => {
                let checked = members::check_join(&join);
                self.found(now, &join.group.clone(), request, checked, effects, |group, desk| {
                    Turn::Answer(group.join(desk, asker, join))
                });
            }
            Ask::Heartbeat(heartbeat) => {
                let missing = GroupError::UnknownMember(heartbeat.member.clone());
                self.known(now, &heartbeat.group.clone(), request, Err(missing), effects, |group, desk| {
                    match group.heartbeat(desk, request, heartbeat) {
                        Ok(Some(reply)) => Turn::Answer(Ok(reply)),
                        Ok(None) => Turn::Later,
                        Err(error) => refuse(error),
                    }
                });
            }
            Ask::Leave(leave) => {
                let missing = GroupError::UnknownMember(leave.member.clone());
                self.known(now, &leave.group.clone(), request, Err(missing), effects, |group, desk| {
                    Turn::Answer(group.leave(desk, &leave))
                });
            }
            Ask::Commit(commit, ends) => {
                let checked = offsets::check_request(&commit.group, commit.offsets.len());
                self.found(now, &commit.group.clone(), request, checked, effects, |group, desk| {
                    Turn::Answer(group.commit(desk, commit, &ends))
                });
            }
            Ask::Fetch(fetch) => {
                let nothing = Reply::Fetched(OffsetsFetched { offsets: Vec::new() });
                self.known(now, &fetch.group.clone(), request, Ok(nothing), effects, |group, _| {
                    Turn::Answer(group.fetch(&fetch))
                });
            }
            Ask::DeleteOffsets(delete) => {
                self.admin(now, &delete.group.clone(), request, effects, |group, desk| {
                    Turn::Answer(group.delete_offsets(desk, &delete))
                });
            }
            Ask::Reset(reset, ends) => {
                let checked = offsets::check_request(&reset.group, reset.offsets.len());
                self.found(now, &reset.group.clone(), request, checked, effects, |group, desk| {
                    Turn::Answer(group.reset(desk, reset, &ends))
                });
            }
            Ask::List => {
                let groups = self.groups.values().map(|group| group.listing(&self.config)).collect();
                let answer = Ok(Reply::Listed(GroupsListed { groups }));
                self.answer_after_all(request, answer, effects);
            }
            Ask::Describe(describe) => {
                self.admin(now, &describe.group, request, effects, |group, desk| {
                    Turn::Answer(Ok(group.describe(desk)))
                });
            }
            Ask::Delete(delete) => {
                self.admin(now, &delete.group, request, effects, |group, desk| {
                    Turn::Answer(group.delete(desk))
                });
            }
            Ask::SetAssignor(set) => {
                let checked = names::check_group_name(&set.group).map_err(GroupError::from);
                self.found(now, &set.group.clone(), request, checked, effects, |group, desk| {
                    Turn::Answer(group.set_assignor(desk, set))
                });
            }
            Ask::Explain(explain) => {
                self.admin(now, &explain.group.clone(), request, effects, |group, desk| {
                    group.explain(desk, request, explain).map_or_else(refuse, |()| Turn::Later)
                });
            }
        }
    }

    /// Works on a group that need not exist yet.
    fn found(
        &mut self,
        now: Now,
        name: &str,
        request: RequestId,
        checked: Result<(), GroupError>,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Desk<'_>) -> Turn,
    ) {
        let is_new = !self.groups.contains_key(name);
        if let Err(error) = checked {
            effects.push(Effect::Respond { request, answer: Err(error) });
        } else if is_new && self.groups.len() >= self.config.groups_max {
            let answer = Err(GroupError::TooManyGroups(self.config.groups_max));
            effects.push(Effect::Respond { request, answer });
        } else {
            self.groups.entry(name.to_owned()).or_insert_with(|| Group::new(name));
            self.turn(now, name, Some(request), effects, work);
        }
    }

    /// Works on a group; if there is none, the answer is `missing`.
    fn known(
        &mut self,
        now: Now,
        name: &str,
        request: RequestId,
        missing: Result<Reply, GroupError>,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Desk<'_>) -> Turn,
    ) {
        if self.groups.contains_key(name) {
            self.turn(now, name, Some(request), effects, work);
        } else {
            // That there is none may be news that is not committed yet.
            self.answer_after_all(request, missing, effects);
        }
    }

    /// As [`known`](Self::known), for whoever expects the group to exist.
    fn admin(
        &mut self,
        now: Now,
        name: &str,
        request: RequestId,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Desk<'_>) -> Turn,
    ) {
        let missing = Err(GroupError::UnknownGroup(name.chars().take(names::GROUP_NAME_BYTES_MAX).collect()));
        self.known(now, name, request, missing, effects, work);
    }

    /// One turn of one group: what it changes is one batch, and what it answers waits for that and all before it.
    fn turn(
        &mut self,
        now: Now,
        name: &str,
        request: Option<RequestId>,
        effects: &mut Vec<Effect>,
        work: impl FnOnce(&mut Group, &mut Desk<'_>) -> Turn,
    ) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let mut reports = Vec::new();
        let mut desk = Desk {
            now,
            config: &self.config,
            topics: &self.topics,
            rules: self.rules,
            timers: &mut self.timers,
            calls: &mut self.calls,
            records: Vec::new(),
            answers: Vec::new(),
            effects: &mut reports,
        };
        let turn = work(group, &mut desk);
        if let (Some(request), Turn::Answer(answer)) = (request, turn) {
            desk.answer(request, answer);
        }
        group.ask(&mut desk);
        let Desk { records, answers, .. } = desk;
        if !records.is_empty() {
            group.last_write = self.waiting.next_write();
            effects.push(Effect::Append { write: group.last_write, records });
        }
        effects.append(&mut reports);
        let waits_for = if group.exists() { group.last_write } else { self.waiting.last_write() };
        for answer in answers {
            if self.rules.hold(Rule::AnswersAreCommitted) {
                self.waiting.answer(waits_for, answer, effects);
            } else {
                effects.push(Effect::Respond { request: answer.0, answer: answer.1 });
            }
        }
        if group.is_over || !group.exists() {
            self.groups.remove(name);
        }
    }

    fn each(&mut self, now: Now, effects: &mut Vec<Effect>, mut work: impl FnMut(&mut Group, &mut Desk<'_>)) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            self.turn(now, &name, None, effects, |group, desk| {
                work(group, desk);
                Turn::Later
            });
        }
    }

    fn answer_after_all(
        &mut self,
        request: RequestId,
        answer: Result<Reply, GroupError>,
        effects: &mut Vec<Effect>,
    ) {
        let last = self.waiting.last_write();
        self.waiting.answer(last, (request, answer), effects);
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) {
        self.is_stopped = true;
        self.waiting.stop(effects);
        let members = self.groups.values_mut().flat_map(|group| group.live.values_mut());
        let parked = members.filter_map(|live| live.parked.take()).map(|parked| parked.request);
        let requests: Vec<RequestId> = parked.chain(self.calls.stop()).collect();
        effects.extend(
            requests
                .into_iter()
                .map(|request| Effect::Respond { request, answer: Err(GroupError::NotCoordinator) }),
        );
    }

    fn follow_topics(&mut self, now: Now, topics: Arc<Topics>, effects: &mut Vec<Effect>) {
        if topics.index < self.topics.index {
            return;
        }
        self.topics = topics;
        self.each(now, effects, |group, desk| group.follow_topics(desk));
    }

    fn configure(&mut self, now: Now, config: GroupConfig, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.config, config);
        let after = self.config.clone();
        self.each(now, effects, |group, desk| {
            if group.assignor(&before) != group.assignor(&after) && !group.stored.members.is_empty() {
                group.want_target(desk);
            }
        });
    }

    fn assigned(
        &mut self,
        now: Now,
        call: CallId,
        answer: Result<assignors::Assignment, String>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(name) = self.calls.group_of(call).map(str::to_owned) else { return };
        let Some(asked) = self.calls.close(call) else { return };
        if self.groups.contains_key(&name) {
            self.turn(now, &name, None, effects, |group, desk| {
                group.answered(desk, call, asked, answer);
                Turn::Later
            });
        } else if let Some(request) = asked.explains() {
            self.answer_after_all(request, Err(GroupError::UnknownGroup(name)), effects);
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        for _ in 0..TIMERS_PER_TICK_MAX {
            let Some((at_ns, timer)) = self.timers.take_due(now.monotonic_ns) else { break };
            match timer {
                Timer::Member(group, member) => self.turn(now, &group, None, effects, |group, desk| {
                    group.member_is_due(desk, &member, at_ns);
                    Turn::Later
                }),
                Timer::Call(call) => {
                    let late = format!("it did not answer within {} ms", self.config.assign_timeout_ms);
                    self.assigned(now, call, Err(late), effects);
                }
            }
        }
        if now.monotonic_ns >= self.next_sweep_ns() {
            self.swept_ns = now.monotonic_ns;
            self.each(now, effects, |group, desk| group.expire(desk));
        }
    }
}

/// What comes of a request.
enum Turn {
    /// This.
    Answer(Result<Reply, GroupError>),
    /// It is answered later, or nobody asked.
    Later,
}
