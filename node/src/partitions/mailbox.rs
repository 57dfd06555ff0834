//! What a replica hears from replicas on other nodes, and from the controller about its proposals.
//!
//! Beside the inbox, since whoever delivers must not wait: one replica that is slow would hold up all others that share
//! its stream. Nothing here grows without bound. Frames are refused beyond a limit, of reports only the newest counts,
//! ticks are one, and everything else comes at most twice per subscription or proposal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use weir_core::partition::{Member, ProposalNumber, Report, Subscribe, SubscribeAnswer, SubscriptionNumber};
use weir_wire::ids::Offset;

use crate::storage::StampedBatch;

/// Bytes of frames that may wait for one replica; beyond that it is behind, and asks again later.
pub const FRAME_BYTES_QUEUED_MAX: usize = 8 * 1024 * 1024;
/// What a waiting frame costs beside its bytes.
const FRAME_OVERHEAD_BYTES: usize = 256;

/// Something from another node.
#[derive(Debug)]
pub(super) enum PeerMessage {
    Subscribe { subscribe: Subscribe, sink: FollowerSink },
    Unsubscribe { follower: Member, subscription: SubscriptionNumber },
    Answered { subscription: SubscriptionNumber, answer: SubscribeAnswer },
    Replicated(ReplicaFrame),
    Ended(SubscriptionNumber),
    IsrRefused(ProposalNumber),
    IsrUnknown(ProposalNumber),
}

/// Batches or marks out of the leader's log, checked down to each batch's checksum.
#[derive(Debug)]
pub struct ReplicaFrame {
    /// Under which number of this replica's.
    pub subscription: SubscriptionNumber,
    /// Where the frame before it ended.
    pub from: Offset,
    /// The batches, without a gap between them.
    pub batches: Vec<StampedBatch>,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The first offset that the leader serves.
    pub log_start: Offset,
    /// Given back when the frame was taken.
    pub credit: Option<Credit>,
}

impl ReplicaFrame {
    fn cost(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes.len()).sum::<usize>() + FRAME_OVERHEAD_BYTES
    }
}

/// Bytes that somebody allowed to be sent, and allows again when this is dropped.
#[derive(Debug)]
pub struct Credit {
    bytes: u64,
    meter: Arc<CreditMeter>,
}

/// Counts the bytes that may be allowed again.
#[derive(Debug, Default)]
pub struct CreditMeter {
    returned: Mutex<u64>,
    arrived: Notify,
}

impl CreditMeter {
    /// Notes that so many bytes came.
    #[must_use]
    pub fn spent(self: &Arc<Self>, bytes: u64) -> Credit {
        Credit { bytes, meter: Arc::clone(self) }
    }

    /// Waits until at least `bytes` were given back, and takes all that were. Cancel safe.
    pub async fn returned(&self, bytes: u64) -> u64 {
        loop {
            {
                let mut returned = self.lock();
                if *returned >= bytes {
                    return std::mem::take(&mut returned);
                }
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // A number is whole whatever happened to who held it.
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        *self.meter.lock() += self.bytes;
        self.meter.arrived.notify_one();
    }
}

/// What a leading replica says to a follower about one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToFollower {
    /// Send what lies behind `from`, as it grows.
    Accepted {
        /// The follower's log end.
        from: Offset,
    },
    /// Anything but yes.
    Answered(SubscribeAnswer),
    /// Send no more.
    Ended,
}

/// Where a leading replica answers one subscription. A follower whose replica is gone is told that it ended.
#[derive(Debug)]
pub struct FollowerSink {
    subscription: SubscriptionNumber,
    session: mpsc::UnboundedSender<(SubscriptionNumber, ToFollower)>,
    is_open: bool,
}

impl FollowerSink {
    /// Answers go to `session`, under the subscription's number: at most two for each.
    #[must_use]
    pub fn new(
        subscription: SubscriptionNumber,
        session: mpsc::UnboundedSender<(SubscriptionNumber, ToFollower)>,
    ) -> FollowerSink {
        FollowerSink { subscription, session, is_open: true }
    }

    pub(super) fn accept(&self, from: Offset) {
        self.say(ToFollower::Accepted { from });
    }

    pub(super) fn answer(mut self, answer: SubscribeAnswer) {
        self.is_open = false;
        self.say(ToFollower::Answered(answer));
    }

    /// The follower itself wants no more.
    pub(super) fn forget(mut self) {
        self.is_open = false;
    }

    fn say(&self, message: ToFollower) {
        // The follower's connection may be gone.
        let _ = self.session.send((self.subscription, message));
    }
}

impl Drop for FollowerSink {
    fn drop(&mut self) {
        if self.is_open {
            self.say(ToFollower::Ended);
        }
    }
}

/// Everything that waits for a replica's task.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) messages: VecDeque<PeerMessage>,
    pub(super) reports: BTreeMap<Member, Report>,
    pub(super) tick: bool,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.reports.is_empty() && !self.tick
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Whether anything may have to be done because time passed, as the core says.
    wants_ticks: AtomicBool,
    /// Whether [`Ticking`] holds it. Changed only under that one's lock.
    is_listed: AtomicBool,
}

/// The mailboxes of one thread's replicas that hear of time passing. The others, which are most of an idle node's, are
/// not looked at: ten thousand of them four times a second took 7 % of a core.
#[derive(Debug, Default)]
pub(super) struct Ticking {
    mailboxes: Mutex<Vec<Arc<Mailbox>>>,
}

impl Ticking {
    /// Says whether the replica of this mailbox wants to hear that time passes.
    pub(super) fn want(&self, mailbox: &Arc<Mailbox>, wanted: bool) {
        if mailbox.wants_ticks.swap(wanted, Ordering::Relaxed) == wanted || !wanted {
            return;
        }
        let mut mailboxes = self.lock();
        if !mailbox.is_listed.swap(true, Ordering::Relaxed) {
            mailboxes.push(Arc::clone(mailbox));
        }
    }

    /// Time passed.
    pub(super) fn tick(&self) {
        self.lock().retain(|mailbox| {
            let is_wanted = mailbox.wants_ticks.load(Ordering::Relaxed);
            if is_wanted {
                mailbox.tick();
            }
            mailbox.is_listed.store(is_wanted, Ordering::Relaxed);
            is_wanted
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Mailbox>>> {
        // A mailbox is in the list or not, whatever happened to who held it.
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    mail: Mail,
    frame_bytes: usize,
    /// The task ended: nobody will look again.
    is_closed: bool,
}

impl Mailbox {
    pub(super) fn push(&self, message: PeerMessage) {
        let mut waiting = self.lock();
        if !waiting.is_closed {
            waiting.mail.messages.push_back(message);
            self.arrived.notify_one();
        }
    }

    /// Returns false, and drops the frame, when too much waits already.
    pub(super) fn push_frame(&self, frame: ReplicaFrame) -> bool {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return false;
        }
        // An empty queue takes a frame of any size: a single batch may be larger than all that may wait.
        if waiting.frame_bytes > 0 && waiting.frame_bytes + frame.cost() > FRAME_BYTES_QUEUED_MAX {
            return false;
        }
        waiting.frame_bytes += frame.cost();
        waiting.mail.messages.push_back(PeerMessage::Replicated(frame));
        self.arrived.notify_one();
        true
    }

    pub(super) fn report(&self, report: Report) {
        let mut waiting = self.lock();
        if !waiting.is_closed {
            waiting.mail.reports.insert(report.follower, report);
            self.arrived.notify_one();
        }
    }

    fn tick(&self) {
        let mut waiting = self.lock();
        if !std::mem::replace(&mut waiting.mail.tick, true) {
            self.arrived.notify_one();
        }
    }

    /// Waits until there is something to take. Cancel safe.
    pub(super) async fn wait(&self) {
        while self.lock().mail.is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Takes all that waits.
    pub(super) fn take(&self) -> Mail {
        let mut waiting = self.lock();
        waiting.frame_bytes = 0;
        std::mem::take(&mut waiting.mail)
    }

    /// Nobody looks any more; followers that wait for an answer hear so.
    pub(super) fn close(&self) {
        self.wants_ticks.store(false, Ordering::Relaxed);
        let dropped = {
            let mut waiting = self.lock();
            waiting.is_closed = true;
            std::mem::take(&mut waiting.mail)
        };
        drop(dropped);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The guarded code pushes and takes whole messages.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a replica's mailbox that whoever brings frames from its leader holds.
#[derive(Clone, Debug)]
pub struct FollowerMail(pub(super) Arc<Mailbox>);

impl FollowerMail {
    /// What the leader said to the replica's wish to follow.
    pub fn answered(&self, subscription: SubscriptionNumber, answer: SubscribeAnswer) {
        self.0.push(PeerMessage::Answered { subscription, answer });
    }

    /// Hands batches or marks over. Returns false when the replica cannot take them: it must be unsubscribed.
    #[must_use]
    pub fn replicated(&self, frame: ReplicaFrame) -> bool {
        self.0.push_frame(frame)
    }

    /// The subscription is over.
    pub fn ended(&self, subscription: SubscriptionNumber) {
        self.0.push(PeerMessage::Ended(subscription));
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::ids::{Incarnation, NodeId};

    use super::*;

    fn frame(bytes: usize) -> ReplicaFrame {
        let mut builder = weir_wire::batch::BatchBuilder::new(weir_wire::batch::Compression::None);
        builder.push(7, None, Some(&vec![7; bytes]), &[]);
        let bytes = builder.finish(None);
        let header = weir_wire::batch::BatchHeader::parse(&bytes).expect("made just now");
        ReplicaFrame {
            subscription: SubscriptionNumber(1),
            from: Offset(0),
            batches: vec![StampedBatch { header, bytes }],
            high_watermark: Offset(0),
            log_start: Offset(0),
            credit: None,
        }
    }

    #[test]
    fn a_full_mailbox_refuses_frames_and_takes_everything_else() {
        let mailbox = Mailbox::default();
        assert!(mailbox.push_frame(frame(FRAME_BYTES_QUEUED_MAX)), "an empty one takes a frame of any size");
        assert!(!mailbox.push_frame(frame(1)));
        mailbox.push(PeerMessage::Ended(SubscriptionNumber(1)));
        assert_eq!(mailbox.take().messages.len(), 2);
        assert!(mailbox.push_frame(frame(1)), "there is room again");
    }

    #[test]
    fn only_the_newest_report_of_a_follower_waits() {
        let mailbox = Mailbox::default();
        let follower = Member { node: NodeId(2), incarnation: Incarnation(1) };
        for end in [3, 5] {
            let (log_end, flushed_end) = (Offset(end), Offset(end));
            mailbox.report(Report { follower, subscription: SubscriptionNumber(1), log_end, flushed_end });
        }
        let mail = mailbox.take();
        assert_eq!(mail.reports.values().map(|report| report.log_end.0).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn only_who_wants_to_hears_that_time_passes() {
        let (ticking, mailbox) = (Ticking::default(), Arc::new(Mailbox::default()));
        let hears = || {
            ticking.tick();
            mailbox.take().tick
        };
        assert!(!hears());
        ticking.want(&mailbox, true);
        assert!(hears() && hears());
        ticking.want(&mailbox, false);
        ticking.want(&mailbox, true);
        assert_eq!(
            (hears(), ticking.lock().len()),
            (true, 1),
            "once in the list, although it changed its mind"
        );
        ticking.want(&mailbox, false);
        assert_eq!((hears(), ticking.lock().len()), (false, 0));
        ticking.want(&mailbox, true);
        assert!(hears(), "it can come back");
        mailbox.close();
        assert_eq!((hears(), ticking.lock().len()), (false, 0), "a task that ended hears nothing");
    }

    #[tokio::test]
    async fn credit_comes_back_when_a_frame_is_dropped() {
        let meter = Arc::new(CreditMeter::default());
        let (first, second) = (meter.spent(10), meter.spent(5));
        drop(first);
        drop(second);
        assert_eq!(meter.returned(15).await, 15);
    }

    #[test]
    fn a_follower_of_a_replica_that_is_gone_hears_that_it_ended() {
        let mailbox = Mailbox::default();
        let (session, mut heard) = mpsc::unbounded_channel();
        let subscription = SubscriptionNumber(4);
        let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
        let subscribe = Subscribe {
            follower: member(2),
            leader: member(1),
            leader_epoch: weir_wire::ids::LeaderEpoch(0),
            subscription,
            log_end: Offset(0),
            flushed_end: Offset(0),
            last_epoch: None,
        };
        let sink = || FollowerSink::new(subscription, session.clone());
        mailbox.push(PeerMessage::Subscribe { subscribe, sink: sink() });
        mailbox.close();
        assert_eq!(heard.try_recv(), Ok((subscription, ToFollower::Ended)));
        mailbox.push(PeerMessage::Subscribe { subscribe, sink: sink() });
        assert_eq!(heard.try_recv(), Ok((subscription, ToFollower::Ended)));
    }
}
