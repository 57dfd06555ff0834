//! The subscriptions of one follower's node, and what is sent next for each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use weir_core::partition::{Member, Report, SubscriptionNumber};
use weir_wire::ids::{LeaderEpoch, NodeId, Offset};
use weir_wire::replication::{LeaderFrame, Subscription};

use super::Kind;
use super::flow::{Flow, Lane, Next};
use crate::partitions::{Bell, Interest, PartitionHandle, Standing, View, Watch};
use crate::storage::{ColdRead, ReadError, ReadPlan, Slice};
use crate::watched::Watched;

/// One follower's node, over one connection.
pub(in super::super) struct Session {
    /// Who follows.
    pub(super) follower: Member,
    /// This node.
    pub(super) leader: NodeId,
    /// Rung with a subscription's number when there may be something to send for it on that stream.
    live: Arc<Bell>,
    catch_up: Arc<Bell>,
    /// As `catch_up`, for replicas that are being added: they are sent no faster than the throttle lets.
    added: Arc<Bell>,
    subscriptions: Mutex<BTreeMap<u64, Followed>>,
    attached: Mutex<Attached>,
    over: Watched<bool>,
}

#[derive(Default)]
struct Attached {
    live: bool,
    catch_up: bool,
    over: bool,
}

/// A subscription as the leading side knows it.
struct Followed {
    handle: PartitionHandle,
    leader_epoch: LeaderEpoch,
    /// The replica is only being added to the partition.
    is_added: bool,
    /// `None` until the replica accepted it.
    sending: Option<Sending>,
}

struct Sending {
    flow: Flow,
    /// Rings the bell of the stream that it is on.
    watch: Watch,
}

/// Where a subscription waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// On the live stream.
    Live,
    /// On the catch-up stream.
    CatchUp,
    /// On the catch-up stream, under the throttle.
    Added,
}

impl Queue {
    fn of(lane: Lane, is_added: bool) -> Queue {
        match lane {
            Lane::Live => Queue::Live,
            Lane::CatchUp if is_added => Queue::Added,
            Lane::CatchUp => Queue::CatchUp,
        }
    }

    fn lane(self) -> Lane {
        match self {
            Queue::Live => Lane::Live,
            Queue::CatchUp | Queue::Added => Lane::CatchUp,
        }
    }
}

/// What a ring led to.
pub(super) enum Step {
    /// Nothing to send for the moment.
    Nothing,
    /// A frame to send.
    Send(LeaderFrame, Vec<Bytes>),
    /// The disk has to be asked; [`Session::have_read`] takes the answer.
    Cold(u64, ColdRead),
    /// What the follower needs cannot be read: the subscription is over.
    Lost(LeaderFrame),
}

impl Session {
    pub(super) fn new(follower: Member, leader: NodeId) -> Session {
        Session {
            follower,
            leader,
            live: Arc::default(),
            catch_up: Arc::default(),
            added: Arc::default(),
            subscriptions: Mutex::default(),
            attached: Mutex::default(),
            over: Watched::new(false),
        }
    }

    /// Takes one of the two streams; false if there is one of that kind already, or the session is over.
    pub(super) fn attach(&self, kind: Kind) -> bool {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match kind {
            _ if attached.over => return false,
            Kind::Live => &mut attached.live,
            Kind::CatchUp => &mut attached.catch_up,
        };
        !std::mem::replace(slot, true)
    }

    /// A stream ended: so does the session. Replicas hear that the follower is gone.
    pub(super) fn end(&self) {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.over.set(true);
        for (number, followed) in std::mem::take(&mut *self.lock()) {
            followed.handle.unsubscribe(self.follower, SubscriptionNumber(number));
        }
    }

    /// Waits until a stream of the session ended.
    pub(super) async fn over(&self) {
        self.over.wait_until(|over| *over).await;
    }

    pub(super) fn bell(&self, queue: Queue) -> &Arc<Bell> {
        match queue {
            Queue::Live => &self.live,
            Queue::CatchUp => &self.catch_up,
            Queue::Added => &self.added,
        }
    }

    /// How many subscriptions there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Notes a subscription that its replica has not answered yet.
    pub(super) fn insert(
        &self,
        number: u64,
        handle: PartitionHandle,
        leader_epoch: LeaderEpoch,
        is_added: bool,
    ) {
        self.lock().insert(number, Followed { handle, leader_epoch, is_added, sending: None });
    }

    /// Forgets a subscription; returns its replica, if there was one.
    pub(super) fn remove(&self, number: u64) -> Option<PartitionHandle> {
        Some(self.lock().remove(&number)?.handle)
    }

    /// The replica accepted: what lies behind `from` is sent as it grows. Returns the answer to the follower.
    pub(super) fn accept(&self, number: u64, from: Offset) -> Option<LeaderFrame> {
        let mut subscriptions = self.lock();
        let followed = subscriptions.get_mut(&number)?;
        let mut flow = Flow::new(from);
        if followed.is_added {
            // However little it lacks, the throttle holds for it.
            flow.lags();
            flow.move_if_due();
        }
        let bell = self.bell(Queue::of(flow.lane(), followed.is_added));
        // Watched before the marks are read, so that nothing that moves in between goes unnoticed.
        let watch = followed.handle.view.watch(Interest::Written, Arc::clone(bell), number);
        let marks = marks(&followed.handle.view);
        flow.told(marks);
        followed.sending = Some(Sending { flow, watch });
        bell.ring(number);
        let (high_watermark, log_start) = marks;
        Some(LeaderFrame::Subscribed { subscription: Subscription(number), from, high_watermark, log_start })
    }

    /// Passes a report on.
    pub(super) fn report(&self, number: u64, log_end: Offset, flushed_end: Offset) {
        let mut subscriptions = self.lock();
        let Some(followed) = subscriptions.get_mut(&number) else { return };
        let subscription = SubscriptionNumber(number);
        followed.handle.report(Report { follower: self.follower, subscription, log_end, flushed_end });
        if followed.sending.as_mut().is_some_and(|sending| sending.flow.reported(log_end)) {
            self.moved(number, followed);
        }
    }

    /// What is to be done for the subscription that has waited longest in a queue, with a frame of about so many bytes.
    pub(super) fn step(&self, queue: Queue, bytes_max: usize) -> Step {
        let lane = queue.lane();
        let Some(number) = self.bell(queue).take() else { return Step::Nothing };
        let mut subscriptions = self.lock();
        let Some(followed) = subscriptions.get_mut(&number) else { return Step::Nothing };
        let leads = leads(followed);
        let Some(sending) = &mut followed.sending else { return Step::Nothing };
        let marks = marks(&followed.handle.view);
        let log_end = followed.handle.view.log_end();
        let from = match sending.flow.next(lane, log_end, marks) {
            Next::Read { from } => from,
            Next::Marks { .. } if !leads => return Step::Nothing,
            Next::Marks { from } => {
                sending.flow.sent(from, 0, log_end, marks);
                let (high_watermark, log_start) = marks;
                let subscription = Subscription(number);
                let frame = LeaderFrame::Marks { subscription, from, high_watermark, log_start };
                return Step::Send(frame, Vec::new());
            }
            Next::Nothing => {
                if sending.flow.move_if_due() {
                    self.moved(number, followed);
                }
                return Step::Nothing;
            }
        };
        match followed.handle.reader.plan(from, log_end, bytes_max, true) {
            Ok(ReadPlan::Ready(slice)) => self.data(number, followed, from, slice),
            Ok(ReadPlan::Cold(_)) if lane == Lane::Live => {
                sending.flow.lags();
                if sending.flow.move_if_due() {
                    self.moved(number, followed);
                }
                Step::Nothing
            }
            Ok(ReadPlan::Cold(read)) => Step::Cold(number, read),
            Err(error) => {
                drop(subscriptions);
                self.lost(number, &error)
            }
        }
    }

    /// Goes on with what the disk gave.
    pub(super) fn have_read(&self, number: u64, read: Result<Slice, ReadError>) -> Step {
        let slice = match read {
            Ok(slice) => slice,
            Err(error) => return self.lost(number, &error),
        };
        let mut subscriptions = self.lock();
        let Some(followed) = subscriptions.get_mut(&number) else { return Step::Nothing };
        let Some(sending) = &mut followed.sending else { return Step::Nothing };
        let from = sending.flow.position();
        self.data(number, followed, from, slice)
    }

    fn data(&self, number: u64, followed: &mut Followed, from: Offset, slice: Slice) -> Step {
        // Looked at after reading: a replica gives up its reign before its log is cut, so what was read while it led
        // is of that reign.
        if slice.is_empty() || !leads(followed) {
            return Step::Nothing;
        }
        let view = Arc::clone(&followed.handle.view);
        let Some(sending) = &mut followed.sending else { return Step::Nothing };
        let marks = marks(&view);
        sending.flow.sent(slice.next_offset, slice.len() as u64, view.log_end(), marks);
        // At the end of the queue: every partition that has something gets its turn.
        self.bell(Queue::of(sending.flow.lane(), followed.is_added)).ring(number);
        let (high_watermark, log_start) = marks;
        let subscription = Subscription(number);
        Step::Send(LeaderFrame::Data { subscription, from, high_watermark, log_start }, slice.chunks)
    }

    /// What the disk will be asked for next, if that is known: nobody else waits before the subscription.
    pub(super) fn next_read(&self, number: u64, queue: Queue, bytes_max: usize) -> Option<ColdRead> {
        let subscriptions = self.lock();
        let followed = subscriptions.get(&number).filter(|_| self.bell(queue).first() == Some(number))?;
        let (from, log_end) = (followed.sending.as_ref()?.flow.position(), followed.handle.view.log_end());
        match followed.handle.reader.plan(from, log_end, bytes_max, true) {
            Ok(ReadPlan::Cold(read)) => Some(read),
            Ok(ReadPlan::Ready(_)) | Err(_) => None,
        }
    }

    /// The log does not have what the follower needs: it asks again, and is told where to begin.
    fn lost(&self, number: u64, error: &ReadError) -> Step {
        let Some(handle) = self.remove(number) else { return Step::Nothing };
        tracing::warn!(follower = %self.follower.node, %error, "a follower cannot be sent what it needs");
        if let ReadError::Corrupt { offset, .. } = error {
            handle.tell_damaged(*offset);
        }
        handle.unsubscribe(self.follower, SubscriptionNumber(number));
        Step::Lost(super::live::ended(number, "the leader cannot read on there; subscribe again"))
    }

    /// The subscription goes on with the other stream.
    fn moved(&self, number: u64, followed: &mut Followed) {
        let Some(sending) = &mut followed.sending else { return };
        let lane = sending.flow.lane();
        tracing::debug!(follower = %self.follower.node, number, ?lane, "a subscription changes its stream");
        let bell = self.bell(Queue::of(lane, followed.is_added));
        sending.watch = followed.handle.view.watch(Interest::Written, Arc::clone(bell), number);
        bell.ring(number);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Followed>> {
        // The guarded code leaves whole entries.
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// High watermark and log start, read in the order in which one bounds the other.
fn marks(view: &View) -> (Offset, Offset) {
    let log_start = view.log_start();
    (view.high_watermark(), log_start)
}

/// Whether the replica leads in the reign that the follower subscribed to.
fn leads(followed: &Followed) -> bool {
    let view = &followed.handle.view;
    view.leader_epoch() == followed.leader_epoch && view.standing() == Standing::Leading
}
