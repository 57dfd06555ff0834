//! One member of the group, a client with a connection of its own.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use weir_client::{
    ClientError, Consumer, ConsumerConfig, ConsumerEvent, ErrorCode, GroupEvent, Offset, PartitionIndex,
    ResetPolicy,
};

use super::super::target::Target;
use super::board::Board;
use crate::cli::output::Failure;

/// What a member is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Read.
    Read,
    /// Commit.
    Commit {
        /// The least time for one commit.
        each: Duration,
    },
    /// Leave the group.
    Leave,
    /// End as a process does that is killed.
    Vanish,
}

/// A member, from outside.
pub(super) struct Member {
    orders: mpsc::UnboundedSender<Order>,
    is_there: AtomicBool,
    failure: Arc<Mutex<Option<Failure>>>,
    ended: oneshot::Receiver<()>,
}

/// Threads that many members share: a thread for each would have the nodes wait for their turn among all of them, which
/// clients on machines of their own do not.
pub(super) struct Threads {
    handles: Vec<tokio::runtime::Handle>,
    /// Each thread ends with its sender.
    _ends: Vec<oneshot::Sender<()>>,
}

impl Threads {
    pub(super) fn start(count: usize) -> Result<Threads, Failure> {
        let mut threads = Threads { handles: Vec::new(), _ends: Vec::new() };
        for _ in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (end, over) = oneshot::channel::<()>();
            threads.handles.push(runtime.handle().clone());
            threads._ends.push(end);
            std::thread::spawn(move || runtime.block_on(over));
        }
        Ok(threads)
    }
}

impl Member {
    /// A member that shares a thread with others.
    pub(super) fn start(
        number: usize,
        target: &Arc<Target>,
        board: &Arc<Board>,
        threads: &Threads,
    ) -> Member {
        let (member, life) = Member::new(number, target, board);
        drop(threads.handles[number % threads.handles.len()].spawn(life));
        member
    }

    /// A member that can vanish: its tasks end with a runtime of its own, in the middle of whatever they do.
    pub(super) fn start_alone(
        number: usize,
        target: &Arc<Target>,
        board: &Arc<Board>,
    ) -> Result<Member, Failure> {
        let (member, life) = Member::new(number, target, board);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || runtime.block_on(life));
        Ok(member)
    }

    fn new(
        number: usize,
        target: &Arc<Target>,
        board: &Arc<Board>,
    ) -> (Member, impl Future<Output = ()> + Send + use<>) {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (done, ended) = oneshot::channel();
        let failure = Arc::new(Mutex::new(None));
        let (target, board, failed) = (Arc::clone(target), Arc::clone(board), Arc::clone(&failure));
        let life = async move {
            if let Err(failure) = live(number, &target, &board, inbox).await {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            }
            // Whoever hears that this member is gone has the bench's nodes to itself.
            drop((target, board));
            // Who asked may have been interrupted.
            let _ = done.send(());
        };
        (Member { orders, is_there: AtomicBool::new(true), failure, ended }, life)
    }

    pub(super) fn order(&self, order: Order) {
        if matches!(order, Order::Leave | Order::Vanish) {
            self.is_there.store(false, Relaxed);
        }
        // One that is gone is done.
        let _ = self.orders.send(order);
    }

    /// Whether it was not told to go.
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) async fn end(self) -> Result<(), Failure> {
        self.order(Order::Leave);
        let failure = Arc::clone(&self.failure);
        // A thread that panicked has said so.
        let _ = self.ended.await;
        let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failed.map_or(Ok(()), Err)
    }
}

async fn live(
    number: usize,
    target: &Target,
    board: &Board,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> Result<(), Failure> {
    let client = target.connect().await?;
    let config = ConsumerConfig {
        group: Some(board.group().to_owned()),
        reset: ResetPolicy::Latest,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([board.topic()])?;
    let mut order = Order::Read;
    loop {
        tokio::select! {
            biased;
            next = orders.recv() => order = next.unwrap_or(Order::Leave),
            event = consumer.next_event() => take(number, board, event?),
        }
        match order {
            Order::Read => {}
            Order::Commit { each } => commit(&mut consumer, board, &mut orders, &mut order, each).await?,
            Order::Vanish => return Ok(()),
            Order::Leave => {
                consumer.close().await?;
                client.close().await;
                return Ok(());
            }
        }
    }
}

fn take(number: usize, board: &Board, event: ConsumerEvent) {
    match event {
        ConsumerEvent::Records(batch) => {
            for record in &batch {
                let stamp = record.value.and_then(|value| value.try_into().ok()).map(u64::from_be_bytes);
                board.read(number, batch.partition(), stamp.unwrap_or_default());
            }
        }
        ConsumerEvent::Group(GroupEvent::Assigned { partitions }) => board.assign(number, |assigned| {
            assigned.extend(partitions.into_iter().map(|(_, partition)| partition));
        }),
        ConsumerEvent::Group(GroupEvent::Revoked { partitions } | GroupEvent::Lost { partitions }) => {
            board.assign(number, |assigned| {
                assigned.retain(|kept| !partitions.iter().any(|(_, partition)| partition == kept));
            });
        }
        ConsumerEvent::CaughtUp { .. } | ConsumerEvent::Reset { .. } => {}
    }
}

/// Commits each of its partitions again and again, until it is to do something else.
async fn commit(
    consumer: &mut Consumer,
    board: &Board,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    order: &mut Order,
    each: Duration,
) -> Result<(), Failure> {
    while matches!(order, Order::Commit { .. }) {
        let round = Instant::now();
        let positions: Vec<(PartitionIndex, Offset)> = consumer
            .assignment()
            .into_iter()
            .filter_map(|(topic, partition)| Some((partition, consumer.position(&topic, partition)?.offset)))
            .collect();
        let mut begun = Vec::new();
        for (partition, offset) in positions {
            let commit = consumer.start_commit_of(&[(board.topic(), partition, offset, "")])?;
            begun.push((Instant::now(), commit));
        }
        if begun.is_empty() {
            return Ok(());
        }
        let next = round + each * u32::try_from(begun.len()).unwrap_or(u32::MAX);
        for (started, commit) in begun {
            match commit.await {
                Ok(()) => board.committed(started.elapsed()),
                // What moves meanwhile is another member's.
                Err(ClientError::Node(error)) if error.code == ErrorCode::NotPartitionOwner => {}
                Err(error) => return Err(error.into()),
            }
        }
        tokio::time::sleep_until(next).await;
        while let Ok(next) = orders.try_recv() {
            *order = next;
        }
    }
    Ok(())
}
