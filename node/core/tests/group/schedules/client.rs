//! A member as a client is: it hears, lets go when it gets round to it, confirms, and stops by itself when its last
//! answered heartbeat was sent a session ago.

use std::collections::BTreeSet;

use weir_core::group::TopicPartition;
use weir_wire::ids::MemberEpoch;
use weir_wire::request::{Membership, TopicPartitions};

#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Which process: its lives have other ids.
    pub(crate) number: usize,
    pub(crate) life: u64,
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    /// It is to take part; otherwise it left or crashed.
    pub(crate) is_up: bool,
    /// It was answered once, so it is a member.
    pub(crate) is_member: bool,
    pub(crate) heard: MemberEpoch,
    pub(crate) confirmed: MemberEpoch,
    /// What it hands records out of.
    pub(crate) held: BTreeSet<TopicPartition>,
    /// What it was told to let go of, and still holds.
    pub(crate) letting_go: BTreeSet<TopicPartition>,
    /// When the newest answered request was sent.
    pub(crate) answered_ns: u64,
}

impl Client {
    pub(crate) fn new(number: usize) -> Client {
        // The first one is static.
        let instance = (number == 0).then(|| "i0".to_owned());
        Client {
            number,
            life: 0,
            id: format!("m{number}.0"),
            instance,
            is_up: false,
            is_member: false,
            heard: MemberEpoch(0),
            confirmed: MemberEpoch(0),
            held: BTreeSet::new(),
            letting_go: BTreeSet::new(),
            answered_ns: 0,
        }
    }

    /// Forgets everything: the next join is of another member.
    pub(crate) fn start_over(&mut self) {
        self.life += 1;
        *self = Client {
            life: self.life,
            id: format!("m{}.{}", self.number, self.life),
            is_up: self.is_up,
            ..Client::new(self.number)
        };
    }

    pub(crate) fn hear(&mut self, membership: &Membership, sent_ns: u64) {
        self.is_member = true;
        self.answered_ns = self.answered_ns.max(sent_ns);
        let Some(assignment) = &membership.assignment else { return };
        if membership.member_epoch <= self.heard {
            return;
        }
        self.heard = membership.member_epoch;
        let assigned: BTreeSet<TopicPartition> = TopicPartitions::each(assignment).collect();
        let lost: Vec<TopicPartition> = self.held.difference(&assigned).copied().collect();
        self.letting_go.extend(lost);
        self.held = assigned;
        if self.letting_go.is_empty() {
            self.confirmed = self.heard;
        }
    }

    pub(crate) fn let_go(&mut self) {
        self.letting_go.clear();
        self.confirmed = self.heard;
    }

    /// What it hands out records of at this moment.
    pub(crate) fn hands_out(&self, now_ns: u64, session_ns: u64) -> impl Iterator<Item = TopicPartition> {
        let is_valid = self.is_up && self.is_member && now_ns < self.answered_ns + session_ns;
        self.held.iter().chain(&self.letting_go).copied().filter(move |_| is_valid)
    }
}
