//! The live stream: subscriptions and their answers, reports, and data at the tail of the log.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_core::partition::{Member, Subscribe, SubscribeAnswer, SubscribeRefusal, SubscriptionNumber};
use weir_quic::{FrameReader, FrameWriter, StreamCode};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{PartitionIndex, TopicId};
use weir_wire::replication::{
    FollowerFrame, LeaderFrame, REPLICA_FRAME_BYTES, REPLICA_SUBSCRIPTIONS_MAX, Subscription,
};

use super::super::Replication;
use super::broken;
use super::session::{Queue, Session, Step};
use crate::partitions::{FollowerSink, ToFollower};

/// Serves the stream until the follower or the session ends it, or the node stops.
pub(super) async fn serve(
    replication: &Replication,
    session: &Session,
    mut reader: FrameReader,
    writer: FrameWriter,
) {
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut live = Live { replication, session, writer, answers, newest: 0 };
    loop {
        let may_queue = !live.writer.is_full();
        let has_queued = live.writer.queued_bytes() > 0;
        tokio::select! {
            biased;
            frame = reader.next::<FollowerFrame>() => match frame {
                Ok(Some(frame)) => if let Err(error) = live.take(frame.header) {
                    tracing::warn!(follower = %session.follower.node, %error, "a follower broke the protocol");
                    return reader.refuse(StreamCode::Protocol);
                },
                Ok(None) => return,
                Err(error) => return broken(&mut reader, &error),
            },
            Some((number, answer)) = answered.recv() => live.answer(number, answer),
            () = session.bell(Queue::Live).wait(), if may_queue => live.send_next(),
            flushed = live.writer.flush(), if has_queued => if flushed.is_err() {
                return;
            },
            () = session.over() => return,
            _ = replication.0.stopping.wait_until(|stopping| *stopping) => return,
        }
    }
}

struct Live<'a> {
    replication: &'a Replication,
    session: &'a Session,
    writer: FrameWriter,
    /// Where replicas answer.
    answers: mpsc::UnboundedSender<(SubscriptionNumber, ToFollower)>,
    /// The highest number subscribed under; they only grow.
    newest: u64,
}

impl Live<'_> {
    /// # Errors
    /// When the follower broke the protocol and the stream must end.
    fn take(&mut self, frame: FollowerFrame) -> Result<(), WireError> {
        let wrong = |sentence: String| Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        match frame {
            FollowerFrame::Subscribe { subscription: Subscription(number), .. }
                if number <= self.newest || self.session.len() >= REPLICA_SUBSCRIPTIONS_MAX =>
            {
                wrong(format!(
                    "subscription numbers grow, and a follower holds at most {REPLICA_SUBSCRIPTIONS_MAX}; got \
                     {number} after {}",
                    self.newest
                ))
            }
            FollowerFrame::Subscribe {
                subscription: Subscription(number),
                topic,
                partition,
                leader_epoch,
                leader_incarnation,
                log_end,
                flushed_end,
                last_epoch,
            } => {
                self.newest = number;
                let Some(handle) = self.replication.0.partitions.get(topic, partition) else {
                    self.writer.queue(&ended(number, "the partition is not hosted here"), Bytes::new());
                    return Ok(());
                };
                let subscribe = Subscribe {
                    follower: self.session.follower,
                    leader: Member { node: self.session.leader, incarnation: leader_incarnation },
                    leader_epoch,
                    subscription: SubscriptionNumber(number),
                    log_end,
                    flushed_end,
                    last_epoch,
                };
                let sink = FollowerSink::new(SubscriptionNumber(number), self.answers.clone());
                let is_added = self.is_added(topic, partition);
                self.session.insert(number, handle.clone(), leader_epoch, is_added);
                handle.subscribe(subscribe, sink);
                Ok(())
            }
            FollowerFrame::Report { subscription: Subscription(number), log_end, flushed_end } => {
                self.session.report(number, log_end, flushed_end);
                Ok(())
            }
            FollowerFrame::Unsubscribe { subscription: Subscription(number) } => {
                if let Some(handle) = self.session.remove(number) {
                    handle.unsubscribe(self.session.follower, SubscriptionNumber(number));
                }
                Ok(())
            }
            FollowerFrame::Credit { .. } => wrong("credit is for the catch-up stream".to_owned()),
        }
    }

    /// Whether the follower is only being added to the partition: the throttle is for it then.
    fn is_added(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        let image = self.replication.0.controller.image();
        let topic = image.topic_by_id(topic).map(|(_, topic)| topic);
        let state = topic.and_then(|topic| topic.partitions.get(partition.0 as usize));
        state.is_some_and(|state| !state.settled().contains(&self.session.follower.node))
    }

    fn answer(&mut self, SubscriptionNumber(number): SubscriptionNumber, answer: ToFollower) {
        let subscription = Subscription(number);
        let frame = match answer {
            ToFollower::Accepted { from } => self.session.accept(number, from),
            // The follower may have given it up meanwhile.
            _ if self.session.remove(number).is_none() => None,
            ToFollower::Answered(SubscribeAnswer::Diverged(end)) => {
                Some(LeaderFrame::Diverged { subscription, epoch: end.epoch, end: end.end })
            }
            ToFollower::Answered(SubscribeAnswer::OutOfRange { log_start }) => {
                Some(LeaderFrame::OutOfRange { subscription, log_start })
            }
            ToFollower::Answered(SubscribeAnswer::Refused(refusal)) => {
                Some(LeaderFrame::Ended { subscription, error: refused(refusal) })
            }
            ToFollower::Answered(SubscribeAnswer::Subscribed) | ToFollower::Ended => {
                Some(ended(number, "the leader serves this subscription no more; subscribe again"))
            }
        };
        if let Some(frame) = frame {
            self.writer.queue(&frame, Bytes::new());
        }
    }

    fn send_next(&mut self) {
        match self.session.step(Queue::Live, REPLICA_FRAME_BYTES) {
            Step::Send(frame, chunks) => {
                if count_sent(&chunks) > 0 {
                    self.replication.0.live.note(Instant::now());
                }
                self.writer.queue_parts(&frame, chunks);
            }
            Step::Lost(frame) => self.writer.queue(&frame, Bytes::new()),
            Step::Nothing | Step::Cold(..) => {}
        }
    }
}

/// Counts what is sent; how many bytes of the log that is.
pub(super) fn count_sent(chunks: &[Bytes]) -> usize {
    let bytes = chunks.iter().map(Bytes::len).sum();
    metrics::counter!("weir_replication_sent_bytes_total").increment(bytes as u64);
    bytes
}

/// Says that a subscription is over.
pub(super) fn ended(number: u64, sentence: &str) -> LeaderFrame {
    let error = WireError::new(ErrorCode::NotLeader, sentence);
    LeaderFrame::Ended { subscription: Subscription(number), error }
}

fn refused(refusal: SubscribeRefusal) -> WireError {
    let code = match refusal {
        SubscribeRefusal::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        SubscribeRefusal::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        _ => ErrorCode::NotLeader,
    };
    WireError::new(code, refusal.to_string())
}
