//! A member of a group, as a synchronous function: no sockets, no clock, no callbacks.
//!
//! [`Member::handle`] takes something that happened and appends what is to be done about it to a list.
//!
//! ```text
//!            Assigned                     Revoke                    LetGo
//!  nothing ────────────▶ held: handed out ───────▶ letting go: not ───────▶ nothing; confirmed with the next heartbeat
//!                                                  handed out, commits
//!                                                  still taken
//! ```
//!
//! Three rules keep two members from reading one partition at once:
//!
//! - records are handed out only while the newest heartbeat that was answered was *sent* less than a session ago
//!   ([`Member::may_hand_out`]); the coordinator counts the session from when it came, which is later;
//! - a membership is confirmed when every partition that it takes away was let go of, never before;
//! - an error that ends the membership ends everything held at once, and the next life has another id.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::error::{ErrorClass, ErrorCode, WireError};
use weir_wire::ids::{MemberEpoch, PartitionIndex, TopicId};
use weir_wire::request::{
    Committer, GroupHeartbeat, JoinGroup, LeaveGroup, Membership, Subscription, TopicPartitions,
};

#[cfg(test)]
mod tests;

/// One partition of one topic.
pub(crate) type TopicPartition = (TopicId, PartitionIndex);

/// How long a member waits after a failed request before the next.
const RETRY_NS: u64 = 200_000_000;

/// Who takes part in what.
#[derive(Clone, Debug)]
pub(crate) struct MemberConfig {
    /// The group.
    pub(crate) group: String,
    /// Random, of this process; the ids of its lives begin with it.
    pub(crate) process: String,
    /// `group.instance.id`.
    pub(crate) instance: Option<String>,
    /// What it wants to read.
    pub(crate) subscription: Subscription,
    /// How long the application may take to let go of a partition.
    pub(crate) rebalance_timeout_ms: u32,
}

/// Something that happened. Times are nanoseconds on one monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Time passed: wanted when [`Member::due_ns`] is reached.
    Tick,
    /// A request was answered.
    Answered {
        /// Which.
        request: u64,
        /// How; leaving answers nothing.
        answer: Result<Option<Membership>, WireError>,
    },
    /// Nobody will answer this request: its connection is gone, or the coordinator moved.
    Lost {
        /// Which.
        request: u64,
    },
    /// The application let go of partitions: its callback returned, and what it committed was answered.
    LetGo(Vec<TopicPartition>),
    /// The application wants to read something else.
    Subscribe(Subscription),
    /// The application is done with the group.
    Close {
        /// A member with an instance id comes back soon: nothing is to move.
        returns: bool,
    },
}

/// Something to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send to the group's coordinator, at once.
    Send {
        /// The number to report.
        request: u64,
        /// What to send.
        message: Message,
    },
    /// Tell the application, then begin to read these.
    Assigned(Vec<TopicPartition>),
    /// Hand out nothing more of these; let the application commit and say so ([`Input::LetGo`]).
    Revoke(Vec<TopicPartition>),
    /// These are gone: somebody else may have them already. Hand out nothing more, commit nothing.
    Gone(Vec<TopicPartition>),
    /// The coordinator refuses for good; the application must change something.
    Failed(WireError),
    /// The membership is over, as the application wanted.
    Left,
}

/// What is sent to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Join(JoinGroup),
    Heartbeat(GroupHeartbeat),
    Leave(LeaveGroup),
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    config: MemberConfig,
    /// Counts the ids of this process.
    life: u32,
    phase: Phase,
    /// The newest membership that was heard of.
    heard: MemberEpoch,
    /// The newest membership whose revocations are done.
    confirmed: MemberEpoch,
    held: BTreeSet<TopicPartition>,
    letting_go: BTreeSet<TopicPartition>,
    /// Requests without an answer.
    open: BTreeMap<u64, Sent>,
    last_request: u64,
    /// The newest confirmation that is on its way or was answered.
    told: MemberEpoch,
    /// When the newest answered request was sent.
    answered_ns: Option<u64>,
    /// When the next request is due, if none is on its way.
    next_ns: u64,
    /// When the next request may be sent at all: after one that failed, not at once.
    not_before_ns: u64,
    /// What the coordinator asked for.
    heartbeat_interval_ms: u32,
    session_timeout_ms: u32,
    /// Whether the coordinator knows the subscription.
    subscription: Told,
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at_ns: u64,
    /// It says what the member wants to read.
    has_subscription: bool,
    /// It ends the membership.
    is_leave: bool,
}

/// Whether something is known to the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Not,
    OnItsWay,
    Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No member yet, or no more.
    Joining,
    /// A member.
    Joined,
    /// Lets go of everything, then leaves.
    Leaving { returns: bool },
    /// Nothing more to do.
    Over,
}

impl Member {
    /// A member that wants to join.
    pub(crate) fn new(config: MemberConfig) -> Member {
        Member {
            config,
            life: 1,
            phase: Phase::Joining,
            heard: MemberEpoch(0),
            confirmed: MemberEpoch(0),
            held: BTreeSet::new(),
            letting_go: BTreeSet::new(),
            open: BTreeMap::new(),
            last_request: 0,
            told: MemberEpoch(0),
            answered_ns: None,
            next_ns: 0,
            not_before_ns: 0,
            heartbeat_interval_ms: 3_000,
            session_timeout_ms: 15_000,
            subscription: Told::Not,
        }
    }

    /// Takes in one thing that happened and appends what is to be done about it, in order.
    pub(crate) fn handle(&mut self, now_ns: u64, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick => {}
            Input::Answered { request, answer } => self.answered(now_ns, request, answer, effects),
            Input::Lost { request } => {
                if let Some(sent) = self.open.remove(&request) {
                    self.retry(now_ns, sent, effects);
                }
            }
            Input::LetGo(partitions) => {
                for partition in &partitions {
                    self.letting_go.remove(partition);
                }
                self.confirm();
            }
            Input::Subscribe(subscription) => {
                self.config.subscription = subscription;
                self.subscription = Told::Not;
            }
            Input::Close { returns } => self.close(now_ns, returns, effects),
        }
        self.send_what_is_due(now_ns, effects);
    }

    /// When [`Input::Tick`] is wanted; `None` while only an answer or the application is waited for.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        match self.phase {
            Phase::Over => None,
            Phase::Leaving { .. } if self.letting_go.is_empty() => {
                (!self.is_leaving()).then_some(self.not_before_ns)
            }
            _ if self.has_news() => Some(self.not_before_ns),
            _ => self.open.is_empty().then_some(self.next_ns.max(self.not_before_ns)),
        }
    }

    /// Whether records of the partition may be handed out at this moment. To be asked before every batch.
    pub(crate) fn may_hand_out(&self, now_ns: u64, partition: &TopicPartition) -> bool {
        self.held.contains(partition) && self.session_ends_ns().is_some_and(|ends_ns| now_ns < ends_ns)
    }

    /// When the session may be over, unless another heartbeat is answered.
    pub(crate) fn session_ends_ns(&self) -> Option<u64> {
        Some(self.answered_ns? + u64::from(self.session_timeout_ms) * 1_000_000)
    }

    /// By what to commit for records that are taken now; `None`: no member.
    pub(crate) fn committer(&self) -> Option<Committer> {
        (self.heard > MemberEpoch(0)).then(|| Committer { member: self.id(), member_epoch: self.heard })
    }

    fn id(&self) -> String {
        format!("{}.{}", self.config.process, self.life)
    }

    fn answered(
        &mut self,
        now_ns: u64,
        request: u64,
        answer: Result<Option<Membership>, WireError>,
        effects: &mut Vec<Effect>,
    ) {
        // An answer to an earlier life says nothing about this one.
        let Some(sent) = self.open.remove(&request) else { return };
        match answer {
            Ok(Some(membership)) => self.hear(now_ns, sent, &membership, effects),
            Ok(None) => self.end(Effect::Left, effects),
            Err(error) if matches!(error.code, ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
                self.start_over(now_ns, effects);
            }
            Err(error) if error.code.class() == ErrorClass::Retryable => self.retry(now_ns, sent, effects),
            Err(error) => {
                self.lose_everything(effects);
                self.end(Effect::Failed(error), effects);
            }
        }
    }

    fn hear(&mut self, now_ns: u64, sent: Sent, membership: &Membership, effects: &mut Vec<Effect>) {
        self.answered_ns = self.answered_ns.max(Some(sent.at_ns));
        self.heartbeat_interval_ms = membership.heartbeat_interval_ms;
        self.session_timeout_ms = membership.session_timeout_ms;
        if sent.has_subscription && self.subscription == Told::OnItsWay {
            self.subscription = Told::Known;
        }
        if self.phase == Phase::Joining {
            self.phase = Phase::Joined;
        }
        // One that was held for the whole interval is followed at once; one that was answered early is not, unless there
        // is something to say.
        self.next_ns = now_ns.max(sent.at_ns + u64::from(self.heartbeat_interval_ms) * 1_000_000);
        let Some(assignment) = &membership.assignment else { return };
        if membership.member_epoch <= self.heard {
            return;
        }
        self.heard = membership.member_epoch;
        self.next_ns = now_ns;
        if self.phase == Phase::Joined {
            let assigned: BTreeSet<TopicPartition> = TopicPartitions::each(assignment).collect();
            let lost: Vec<TopicPartition> = self.held.difference(&assigned).copied().collect();
            let gained: Vec<TopicPartition> = assigned.difference(&self.held).copied().collect();
            self.letting_go.extend(&lost);
            self.held = assigned;
            if !lost.is_empty() {
                effects.push(Effect::Revoke(lost));
            }
            if !gained.is_empty() {
                effects.push(Effect::Assigned(gained));
            }
        }
        self.confirm();
    }

    /// What was heard is confirmed once everything that it takes away was let go of.
    fn confirm(&mut self) {
        if self.letting_go.is_empty() {
            self.confirmed = self.heard;
        }
    }

    /// A request came to nothing: what it said is said again, a little later.
    fn retry(&mut self, now_ns: u64, sent: Sent, effects: &mut Vec<Effect>) {
        self.not_before_ns = now_ns + RETRY_NS;
        self.next_ns = self.not_before_ns;
        self.told = MemberEpoch(0);
        if sent.has_subscription && self.subscription == Told::OnItsWay {
            self.subscription = Told::Not;
        }
        if matches!(self.phase, Phase::Leaving { .. }) && self.heard == MemberEpoch(0) {
            // It wanted to join and then did not; if the coordinator heard of it, a session forgets it.
            self.end(Effect::Left, effects);
        }
    }

    /// The membership is over, and nobody says what became of what was held.
    fn start_over(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        self.lose_everything(effects);
        if matches!(self.phase, Phase::Leaving { .. }) {
            return self.end(Effect::Left, effects);
        }
        self.life += 1;
        self.phase = Phase::Joining;
        self.subscription = Told::Not;
        self.next_ns = now_ns;
    }

    fn lose_everything(&mut self, effects: &mut Vec<Effect>) {
        self.open.clear();
        self.answered_ns = None;
        (self.heard, self.confirmed, self.told) = (MemberEpoch(0), MemberEpoch(0), MemberEpoch(0));
        let mut gone = std::mem::take(&mut self.held);
        gone.append(&mut self.letting_go);
        if !gone.is_empty() {
            effects.push(Effect::Gone(gone.into_iter().collect()));
        }
    }

    fn close(&mut self, now_ns: u64, returns: bool, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Over | Phase::Leaving { .. } => return,
            Phase::Joining if self.open.is_empty() => return self.end(Effect::Left, effects),
            Phase::Joining | Phase::Joined => self.phase = Phase::Leaving { returns },
        }
        self.next_ns = now_ns;
        let held: Vec<TopicPartition> = std::mem::take(&mut self.held).into_iter().collect();
        self.letting_go.extend(&held);
        if !held.is_empty() {
            effects.push(Effect::Revoke(held));
        }
    }

    fn end(&mut self, last: Effect, effects: &mut Vec<Effect>) {
        self.phase = Phase::Over;
        self.open.clear();
        effects.push(last);
    }

    fn send_what_is_due(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        if now_ns < self.not_before_ns {
            return;
        }
        let is_due = self.open.is_empty() && now_ns >= self.next_ns;
        match self.phase {
            Phase::Joining if is_due => self.join(now_ns, effects),
            // The heartbeat that waits at the coordinator is ended by one that has something to say.
            Phase::Joined if is_due || self.has_news() => self.heartbeat(now_ns, effects),
            Phase::Leaving { returns } if self.letting_go.is_empty() => {
                if self.heard > MemberEpoch(0) && !self.is_leaving() {
                    self.leave(now_ns, returns, effects);
                }
            }
            Phase::Leaving { .. } if is_due => self.heartbeat(now_ns, effects),
            Phase::Joining | Phase::Joined | Phase::Leaving { .. } | Phase::Over => {}
        }
    }

    /// Whether the coordinator should hear of something at once.
    fn has_news(&self) -> bool {
        self.phase == Phase::Joined && (self.told < self.confirmed || self.subscription == Told::Not)
    }

    fn is_leaving(&self) -> bool {
        self.open.values().any(|sent| sent.is_leave)
    }

    fn join(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        let join = JoinGroup {
            group: self.config.group.clone(),
            member: self.id(),
            instance: self.config.instance.clone(),
            subscription: self.config.subscription.clone(),
            rebalance_timeout_ms: self.config.rebalance_timeout_ms,
        };
        self.subscription = Told::OnItsWay;
        let sent = Sent { at_ns: now_ns, has_subscription: true, is_leave: false };
        self.send(sent, Message::Join(join), effects);
    }

    fn heartbeat(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        let has_subscription = self.subscription == Told::Not;
        let heartbeat = GroupHeartbeat {
            group: self.config.group.clone(),
            member: self.id(),
            confirmed: self.confirmed,
            heard: self.heard,
            subscription: has_subscription.then(|| self.config.subscription.clone()),
            wait_ms_max: self.heartbeat_interval_ms,
        };
        self.told = self.confirmed;
        if has_subscription {
            self.subscription = Told::OnItsWay;
        }
        let sent = Sent { at_ns: now_ns, has_subscription, is_leave: false };
        self.send(sent, Message::Heartbeat(heartbeat), effects);
    }

    fn leave(&mut self, now_ns: u64, returns: bool, effects: &mut Vec<Effect>) {
        let leave = LeaveGroup {
            group: self.config.group.clone(),
            member: self.id(),
            member_epoch: self.heard,
            returns: returns && self.config.instance.is_some(),
        };
        let sent = Sent { at_ns: now_ns, has_subscription: false, is_leave: true };
        self.send(sent, Message::Leave(leave), effects);
    }

    fn send(&mut self, sent: Sent, message: Message, effects: &mut Vec<Effect>) {
        self.last_request += 1;
        self.open.insert(self.last_request, sent);
        effects.push(Effect::Send { request: self.last_request, message });
    }
}
