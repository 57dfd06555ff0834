//! Processes that take part in the consumer group, and an operator who changes it while it reads.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use weir_client::{
    Client, ClientConfig, ClientError, Commit, ConsumedBatch, Consumer, ConsumerConfig, ConsumerEvent,
    ErrorCode, GroupEvent, ResetPolicy,
};
use weir_wire::ids::{Offset, PartitionIndex};

use super::group_book::GroupBook;
use super::plan::{GROUP, GroupPlan, Operation};
use super::workload::{Common, PAUSE, TOPIC};
use super::world::{HostResult, World};

/// The operator's host.
pub const OPERATOR: &str = "operator";
/// Who the operator is, among the producers.
pub(super) const OPERATOR_NUMBER: u32 = u32::MAX - 2;
/// The longest that a member dawdles over a batch.
const DAWDLES_MAX: Duration = Duration::from_secs(8);
/// The longest that a member that left stays away.
const AWAY_MAX: Duration = Duration::from_secs(3);

/// The name of a process that takes part.
#[must_use]
pub fn member_name(member: u32) -> String {
    format!("member-{member}")
}

/// Adds the group's processes to the world. `common` makes what a process shares with the others of its run.
pub(super) fn add(world: &mut World, plan: &GroupPlan, book: &GroupBook, common: impl Fn(&str) -> Common) {
    for number in 0..plan.members {
        let name = member_name(number);
        let (common, book, plan) = (common(&name), book.clone(), plan.clone());
        world.add_client(&name.clone(), move |config| {
            book.holds_nothing(&name);
            let member = Member {
                common: common.clone(),
                book: book.clone(),
                plan: plan.clone(),
                name: name.clone(),
                number,
                tenures: Rc::default(),
            };
            async move { member.live(config).await }
        });
    }
    let (common, plan) = (common(OPERATOR), plan.clone());
    world.add_client(OPERATOR, move |config| {
        let (common, plan) = (common.clone(), plan.clone());
        async move {
            operate(&common, config, &plan).await;
            Ok(())
        }
    });
}

/// What a member has of one partition.
#[derive(Clone, Copy, Debug)]
struct Tenure {
    number: u64,
    /// Behind what it did its work on; `None` before the first record.
    done: Option<Offset>,
    /// Up to where it asked to commit.
    asked: Option<Offset>,
}

/// One life of a process that takes part.
struct Member {
    common: Common,
    book: GroupBook,
    plan: GroupPlan,
    name: String,
    number: u32,
    tenures: Rc<RefCell<BTreeMap<PartitionIndex, Tenure>>>,
}

impl Member {
    /// Takes part for as long as the process lives, now and then as a new member.
    async fn live(self, config: ClientConfig) -> HostResult {
        let client = self.common.connect(config).await;
        loop {
            let mut consumer = client.consumer(self.config())?;
            consumer.subscribe([TOPIC])?;
            let leaves = self.take_part(&mut consumer).await;
            self.leave(consumer, leaves).await;
            let away = self.throw(|dice| dice.time(Duration::ZERO..=AWAY_MAX));
            tokio::time::sleep(away).await;
        }
    }

    fn config(&self) -> ConsumerConfig {
        let is_static = self.number < self.plan.static_members;
        ConsumerConfig {
            reset: ResetPolicy::Earliest,
            group: Some(GROUP.to_owned()),
            group_instance: is_static.then(|| self.name.clone()),
            auto_commit: self.is_auto(),
            auto_commit_interval: Duration::from_millis(500),
            rebalance_timeout: self.plan.rebalance_timeout,
            ..ConsumerConfig::default()
        }
    }

    fn is_auto(&self) -> bool {
        self.number + self.plan.auto_members >= self.plan.members
    }

    /// Reads until it wants to leave, or fails; says which.
    async fn take_part(&self, consumer: &mut Consumer) -> bool {
        loop {
            match consumer.next_event().await {
                Ok(ConsumerEvent::Records(batch)) => {
                    self.work(consumer, &batch).await;
                    if self.is_troubled() && self.throw(|dice| dice.chance(self.plan.leaves)) {
                        return true;
                    }
                }
                Ok(ConsumerEvent::CaughtUp { partition, .. }) => self.commit(consumer, &[partition]).await,
                Ok(ConsumerEvent::Group(GroupEvent::Assigned { partitions })) => {
                    self.given(consumer, &indexes(&partitions));
                }
                Ok(ConsumerEvent::Group(GroupEvent::Revoked { partitions })) => {
                    let partitions = indexes(&partitions);
                    self.common.note(format_args!("has to let go of {partitions:?}"));
                    self.commit(consumer, &partitions).await;
                    self.forget(&partitions);
                }
                Ok(ConsumerEvent::Group(GroupEvent::Lost { partitions })) => {
                    let partitions = indexes(&partitions);
                    self.common.note(format_args!("lost {partitions:?}"));
                    self.forget(&partitions);
                }
                Ok(ConsumerEvent::Reset { partition, from, to, .. }) => {
                    let who = &self.name;
                    self.book.violated(format!("{who}: {partition} was moved from {from} to {to}"));
                }
                Err(error) => {
                    self.common.failed("reading in the group", &error).await;
                    return false;
                }
            }
        }
    }

    fn given(&self, consumer: &Consumer, partitions: &[PartitionIndex]) {
        for partition in partitions {
            let position = consumer.position(TOPIC, *partition).map(|position| position.offset);
            let number = self.book.given(&self.name, *partition, position);
            self.common.note(format_args!("tenure {number}: {partition} from {position:?}"));
            self.tenures.borrow_mut().insert(*partition, Tenure { number, done: None, asked: position });
        }
    }

    fn forget(&self, partitions: &[PartitionIndex]) {
        for partition in partitions {
            self.tenures.borrow_mut().remove(partition);
            self.book.let_go(&self.name, *partition);
        }
    }

    async fn work(&self, consumer: &mut Consumer, batch: &ConsumedBatch) {
        let partition = batch.partition();
        let tenure = self.tenures.borrow().get(&partition).copied();
        let Some(tenure) = tenure else {
            let who = &self.name;
            return self.book.violated(format!("{who} was handed records of {partition}, which it has not"));
        };
        self.book.handed_out(&self.name, tenure.number, batch);
        let takes = self.throw(|dice| match dice.chance(self.plan.dawdles) && self.is_troubled() {
            true => dice.time(Duration::ZERO..=DAWDLES_MAX.min(self.plan.rebalance_timeout * 2)),
            false => dice.time(self.plan.works.clone()),
        });
        tokio::time::sleep(takes).await;
        self.book.processed(batch);
        if let Some(tenure) = self.tenures.borrow_mut().get_mut(&partition) {
            tenure.done = Some(batch.next_offset());
        }
        let next = batch.next_offset();
        self.common.note(format_args!("tenure {}: {partition} is done up to {next}", tenure.number));
        if self.throw(|dice| dice.chance(self.plan.commits)) {
            self.commit(consumer, &[partition]).await;
        }
    }

    /// Commits what was done in these partitions and was not asked to be committed yet. A member that leaves commits to
    /// the library does nothing here.
    async fn commit(&self, consumer: &mut Consumer, partitions: &[PartitionIndex]) {
        if self.is_auto() {
            return;
        }
        for partition in partitions {
            let tenure = self.tenures.borrow().get(partition).copied();
            let Some(Tenure { number, done: Some(done), asked }) = tenure else { continue };
            if Some(done) <= asked {
                continue;
            }
            let by = format!("{}/{number}", self.name);
            match consumer.start_commit_of(&[(TOPIC, *partition, done, &by)]) {
                Ok(commit) => {
                    if let Some(tenure) = self.tenures.borrow_mut().get_mut(partition) {
                        tenure.asked = Some(done);
                    }
                    let told =
                        tell_of_commit(self.common.clone(), self.book.clone(), by, *partition, done, commit);
                    if self.throw(|dice| dice.chance(0.5)) {
                        told.await;
                    } else {
                        tokio::task::spawn_local(told);
                    }
                }
                // Its session is over, which it is told of next.
                Err(error @ ClientError::NotAssigned { .. }) => {
                    self.common.note(format_args!("{by}: {error}"));
                }
                Err(error) => self.common.failed("committing", &error).await,
            }
        }
    }

    async fn leave(&self, consumer: Consumer, politely: bool) {
        let all: Vec<PartitionIndex> = self.tenures.borrow().keys().copied().collect();
        let politely = politely && self.throw(|dice| dice.chance(0.5));
        self.common.note(format_args!("leaves {all:?}, politely: {politely}"));
        self.forget(&all);
        if politely {
            if let Err(error) = consumer.close().await {
                self.common.note(format_args!("the last commit: {error}"));
            }
        } else {
            drop(consumer);
        }
    }

    /// Whether things may go wrong: once the faults are over, nobody leaves or dawdles.
    fn is_troubled(&self) -> bool {
        !self.common.journal.faults_are_over()
    }

    fn throw<T>(&self, throw: impl FnOnce(&mut super::dice::Dice) -> T) -> T {
        throw(&mut self.common.dice.borrow_mut())
    }
}

/// Waits for what becomes of a commit.
async fn tell_of_commit(
    common: Common,
    book: GroupBook,
    by: String,
    partition: PartitionIndex,
    offset: Offset,
    commit: Commit,
) {
    match commit.await {
        Ok(()) => {
            common.note(format_args!("{by}: {partition}/{offset} is committed"));
            book.committed(partition, offset);
        }
        // Somebody else has the partition by now, or this membership is over: what commits are fenced for.
        Err(ClientError::Node(error))
            if matches!(
                error.code,
                ErrorCode::NotPartitionOwner | ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch
            ) =>
        {
            common.note(format_args!("{by}: {partition}/{offset} was refused: {error}"));
        }
        Err(error) => common.failed("committing", &error).await,
    }
}

fn indexes(partitions: &[(String, PartitionIndex)]) -> Vec<PartitionIndex> {
    partitions.iter().map(|(_, index)| *index).collect()
}

/// Does what is planned, each until it is done.
async fn operate(common: &Common, config: ClientConfig, plan: &GroupPlan) {
    let client = common.connect(config).await;
    common.create_topic(&client).await;
    let begun = tokio::time::Instant::now();
    let mut partitions = common.workload.partitions;
    for (at, operation) in &plan.operations {
        tokio::time::sleep_until(begun + *at).await;
        match operation {
            Operation::AddPartition => {
                partitions += 1;
                add_partition(common, &client, partitions).await;
                common.journal.grew(partitions);
            }
            Operation::Assign(assignor) => choose(common, &client, assignor).await,
        }
        common.note(format_args!("{operation:?} is done"));
    }
    common.journal.finished(OPERATOR_NUMBER);
}

async fn add_partition(common: &Common, client: &Client, partitions: u32) {
    loop {
        match client.add_partitions(TOPIC, partitions).await {
            Ok(_) => return,
            // Not all nodes are there.
            Err(ClientError::Node(error)) if error.code == ErrorCode::InvalidReplicationFactor => {
                common.note(format_args!("adding a partition: {error}"));
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => common.failed("adding a partition", &error).await,
        }
    }
}

async fn choose(common: &Common, client: &Client, assignor: &str) {
    while let Err(error) = client.set_group_assignor(GROUP, Some(assignor)).await {
        common.failed("choosing an assignor", &error).await;
    }
}
