//! Carries out what a [`Member`] decides, in a task of its own: the session goes on while the application works.
//!
//! ```text
//! consumer ── let go, subscribe, close ──▶ Member ── requests ──▶ coordinator
//!    ▲                                       │ ◀── answers ──────────┘
//!    └── moves: assigned, revoke, gone ◀─────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::NodeId;
use weir_wire::request::{Committer, Membership as Told};

use super::coordinator;
use super::member::{Effect, Input, Member, MemberConfig, Message, TopicPartition};
use crate::client::Inner;
use crate::error::ClientError;

/// How long an answer may take beyond the time for which the node may hold it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a member whose consumer was dropped tries to leave politely.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Something that happened to what the consumer holds.
#[derive(Debug)]
pub(crate) struct Moved {
    /// What.
    pub(crate) what: Move,
    /// By what to commit for records that are taken after this.
    pub(crate) committer: Option<Committer>,
}

/// See [`Effect`], whose words these are.
#[derive(Debug)]
pub(crate) enum Move {
    Assigned(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
    Gone(Vec<TopicPartition>),
    Failed(ClientError),
    Left,
}

/// A consumer's end of its membership; dropping it leaves the group.
pub(crate) struct Membership {
    shared: Arc<Shared>,
    inputs: mpsc::UnboundedSender<Input>,
    moves: mpsc::UnboundedReceiver<Moved>,
}

struct Shared {
    client: Arc<Inner>,
    group: String,
    member: Mutex<Member>,
    /// Rings when the member heard something.
    heard: Notify,
}

impl Membership {
    /// Begins to take part.
    pub(crate) fn begin(client: &Arc<Inner>, config: MemberConfig) -> Membership {
        let group = config.group.clone();
        let (inputs, inbox) = mpsc::unbounded_channel();
        let (outbox, moves) = mpsc::unbounded_channel();
        let (client, member) = (Arc::clone(client), Mutex::new(Member::new(config)));
        let shared = Arc::new(Shared { client, group, member, heard: Notify::new() });
        tokio::spawn(Driver::new(Arc::clone(&shared), outbox).run(inbox));
        Membership { shared, inputs, moves }
    }

    /// Tells the member something.
    pub(crate) fn say(&self, input: Input) {
        // A member that is over needs to hear nothing.
        let _ = self.inputs.send(input);
    }

    /// What says it later, from wherever that turns out.
    pub(crate) fn voice(&self) -> mpsc::UnboundedSender<Input> {
        self.inputs.clone()
    }

    /// The next thing that happened, if something did already.
    pub(crate) fn try_next(&mut self) -> Option<Moved> {
        self.moves.try_recv().ok()
    }

    /// The next thing that happens; `None` when the membership is over. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Moved> {
        self.moves.recv().await
    }

    /// As [`next`](Membership::next), but also returns, with nothing, when the member heard something. Cancel safe.
    pub(crate) async fn next_or_heard(&mut self) -> Option<Moved> {
        tokio::select! {
            biased;
            Some(moved) = self.moves.recv() => Some(moved),
            () = self.shared.heard.notified() => None,
        }
    }

    /// Whether records of the partition may be handed out at this moment, and nothing waits that says otherwise.
    pub(crate) fn may_hand_out(&self, partition: &TopicPartition) -> bool {
        let member = self.shared.member();
        self.moves.is_empty() && member.may_hand_out(self.shared.now_ns(), partition)
    }
}

impl Shared {
    fn member(&self) -> MutexGuard<'_, Member> {
        // A member that panicked in the middle of a decision says so itself.
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.client.net.outside.now().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A request's number, and its answer; an answer that never came is an error of the client's own.
type Answered = (u64, Result<Option<Told>, ClientError>);

struct Driver {
    shared: Arc<Shared>,
    outbox: mpsc::UnboundedSender<Moved>,
    answered: (mpsc::UnboundedSender<Answered>, mpsc::UnboundedReceiver<Answered>),
    /// Requests on their way, and to whom.
    on_the_way: BTreeMap<u64, Option<NodeId>>,
    /// What the application was asked to let go of, and has not yet.
    letting_go: BTreeSet<TopicPartition>,
    /// Set when the application is not there any more, and this task is all that can let go: until when it tries.
    alone_until: Option<Instant>,
    /// That another member has this one's instance id was said.
    has_told: bool,
    is_over: bool,
}

impl Driver {
    fn new(shared: Arc<Shared>, outbox: mpsc::UnboundedSender<Moved>) -> Driver {
        Driver {
            shared,
            outbox,
            answered: mpsc::unbounded_channel(),
            on_the_way: BTreeMap::new(),
            letting_go: BTreeSet::new(),
            alone_until: None,
            has_told: false,
            is_over: false,
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Input>) {
        let client = Arc::clone(&self.shared.client);
        let mut metadata = client.metadata.watch();
        self.handle(Input::Tick);
        while !self.is_over {
            let due = self.shared.member().due_ns().map(|due_ns| {
                let moment = Duration::from_nanos(due_ns).max(client.net.outside.now());
                client.net.outside.instant(moment)
            });
            tokio::select! {
                biased;
                input = inbox.recv(), if self.alone_until.is_none() => match input {
                    Some(input) => self.handle(input),
                    None => self.go_on_alone(),
                },
                Some((request, answer)) = self.answered.1.recv() => self.take(request, answer),
                () = metadata.changed() => self.follow_coordinator(),
                () = at(due) => self.handle(Input::Tick),
                () = at(self.alone_until) => return,
            }
        }
    }

    /// The consumer was dropped: the others need not wait for the session to end.
    fn go_on_alone(&mut self) {
        self.alone_until = Some(Instant::now() + LEAVE_TIMEOUT);
        self.handle(Input::Close { returns: false });
        self.let_go_if_alone();
    }

    fn let_go_if_alone(&mut self) {
        if self.alone_until.is_some() && !self.letting_go.is_empty() {
            let all = self.letting_go.iter().copied().collect();
            self.handle(Input::LetGo(all));
        }
    }

    fn take(&mut self, request: u64, answer: Result<Option<Told>, ClientError>) {
        self.on_the_way.remove(&request);
        match answer {
            Ok(told) => self.handle(Input::Answered { request, answer: Ok(told) }),
            Err(ClientError::Node(error)) => {
                self.tell_of(&error);
                self.handle(Input::Answered { request, answer: Err(error) });
            }
            Err(error @ ClientError::Closed) => {
                // The consumer may be gone.
                let _ = self.outbox.send(Moved { what: Move::Failed(error), committer: None });
                self.is_over = true;
            }
            Err(error) => {
                tracing::debug!(%error, group = self.shared.group, "the coordinator did not answer");
                self.handle(Input::Lost { request });
            }
        }
        self.let_go_if_alone();
    }

    /// What may go on for as long as somebody else lives is said, once.
    fn tell_of(&mut self, error: &WireError) {
        if error.code == ErrorCode::UnreleasedInstanceId && !self.has_told {
            tracing::warn!(%error, group = self.shared.group, "waiting to become a member");
            self.has_told = true;
        }
    }

    /// Requests at a node that coordinates no more, which may be gone without a word, are answered by nobody.
    fn follow_coordinator(&mut self) {
        let now = coordinator::known(&self.shared.client, &self.shared.group);
        let moved = self.on_the_way.iter().filter(|(_, to)| now.is_some() && to.is_some() && **to != now);
        let lost: Vec<u64> = moved.map(|(request, _)| *request).collect();
        for request in lost {
            self.on_the_way.remove(&request);
            self.handle(Input::Lost { request });
        }
    }

    fn handle(&mut self, input: Input) {
        if let Input::LetGo(partitions) = &input {
            self.letting_go.retain(|partition| !partitions.contains(partition));
        }
        let (mut effects, shared) = (Vec::new(), Arc::clone(&self.shared));
        // What is to be said is said before anybody else looks at the member.
        let mut member = shared.member();
        member.handle(shared.now_ns(), input, &mut effects);
        let committer = member.committer();
        for effect in effects {
            self.carry_out(effect, committer.as_ref());
        }
        drop(member);
        shared.heard.notify_one();
    }

    fn carry_out(&mut self, effect: Effect, committer: Option<&Committer>) {
        let what = match effect {
            Effect::Send { request, message } => return self.send(request, message),
            Effect::Assigned(partitions) => Move::Assigned(partitions),
            Effect::Revoke(partitions) => {
                self.letting_go.extend(&partitions);
                Move::Revoke(partitions)
            }
            Effect::Gone(partitions) => {
                self.letting_go.retain(|partition| !partitions.contains(partition));
                Move::Gone(partitions)
            }
            Effect::Failed(error) => Move::Failed(ClientError::Node(error)),
            Effect::Left => Move::Left,
        };
        self.is_over |= matches!(what, Move::Failed(_) | Move::Left);
        // The consumer may be gone.
        let _ = self.outbox.send(Moved { what, committer: committer.cloned() });
    }

    fn send(&mut self, request: u64, message: Message) {
        self.on_the_way.insert(request, coordinator::known(&self.shared.client, &self.shared.group));
        let (shared, answered) = (Arc::clone(&self.shared), self.answered.0.clone());
        tokio::spawn(async move {
            let answer = ask(&shared, message).await;
            // The member may be over.
            let _ = answered.send((request, answer));
        });
    }
}

async fn ask(shared: &Shared, message: Message) -> Result<Option<Told>, ClientError> {
    let (client, group) = (&*shared.client, shared.group.as_str());
    let at_once = Duration::ZERO;
    match message {
        Message::Join(join) => {
            coordinator::ask_once(client, group, &join, at_once, ANSWER_TIMEOUT).await.map(Some)
        }
        Message::Heartbeat(heartbeat) => {
            let wait = Duration::from_millis(u64::from(heartbeat.wait_ms_max));
            coordinator::ask_once(client, group, &heartbeat, wait, wait + ANSWER_TIMEOUT).await.map(Some)
        }
        Message::Leave(leave) => {
            coordinator::ask_once(client, group, &leave, at_once, ANSWER_TIMEOUT).await.map(|_| None)
        }
    }
}

/// Waits for a moment; for ever where there is none. Cancel safe.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
