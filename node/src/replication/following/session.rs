//! One connection to a leader's node: its two streams, always drained.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use weir_quic::{FrameReader, FrameWriter, Peer, Priority};
use weir_wire::ids::Incarnation;
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::replication::{FollowerFrame, LeaderFrame, REPLICA_LIMITS, ReplicaOpen, Subscription};
use weir_wire::request::encode_body;

use super::super::Replication;
use super::give_up;
use super::table::{GivenUp, Table};
use crate::partitions::{CreditMeter, FRAME_BYTES_QUEUED_MAX, FollowerOrder, LeaderLink, Outgoing};

/// Bytes that may be on their way, or wait for replicas, on the catch-up stream. At most what one replica's mailbox
/// takes, so that catching up never fills one.
const CATCH_UP_BYTES: u64 = FRAME_BYTES_QUEUED_MAX as u64;
/// Credit is given back in pieces of at least this, to save frames.
const CREDIT_BYTES_MIN: u64 = CATCH_UP_BYTES / 8;
/// A session without subscriptions ends after this.
const IDLE: Duration = Duration::from_secs(30);

/// Follows over `peer` until something ends it. Returns what.
pub(super) async fn run(
    replication: &Replication,
    link: &LeaderLink,
    peer: &Peer,
    first: Outgoing,
) -> String {
    let Some(incarnation) = incarnation_of(&first) else { return "nobody follows".to_owned() };
    let open = ReplicaOpen {
        cluster: replication.0.cluster,
        follower: replication.0.node,
        incarnation,
        session: replication.next_number(),
    };
    let opened = async {
        let live = open_stream(peer, StreamKind::REPLICA_LIVE, Priority::Replication, &open).await?;
        let catch_up = open_stream(peer, StreamKind::REPLICA_CATCH_UP, Priority::Background, &open).await?;
        Ok::<_, String>((live, catch_up))
    };
    let (live, catch_up) = match opened.await {
        Ok(streams) => streams,
        Err(reason) => {
            give_up(first);
            return reason;
        }
    };
    tracing::debug!(leader = %link.node, session = open.session, "following");
    let session = Session {
        replication,
        link,
        incarnation,
        table: Mutex::new(Table::default()),
        meter: Arc::new(CreditMeter::default()),
    };
    let ((live_writer, live_reader), (catch_up_writer, catch_up_reader)) = (live, catch_up);
    let end = tokio::select! {
        biased;
        end = session.read(live_reader, false) => end,
        end = session.read(catch_up_reader, true) => end,
        end = session.write(live_writer, first) => end,
        end = session.grant(catch_up_writer) => end,
    };
    peer.close(weir_quic::CloseCode::Done, "");
    end
}

/// The life in which the replicas want to follow.
fn incarnation_of(outgoing: &Outgoing) -> Option<Incarnation> {
    let of = |order: &FollowerOrder| match order {
        FollowerOrder::Subscribe { subscribe, .. } => Some(subscribe.follower.incarnation),
        FollowerOrder::Unsubscribe { .. } => None,
    };
    outgoing.orders.iter().filter_map(of).max()
}

async fn open_stream(
    peer: &Peer,
    kind: StreamKind,
    priority: Priority,
    open: &ReplicaOpen,
) -> Result<(FrameWriter, FrameReader), String> {
    let (mut writer, mut reader) =
        peer.open(priority, REPLICA_LIMITS).await.map_err(|end| end.to_string())?;
    let sent = writer.send(&StreamOpen::new(kind), Bytes::from(encode_body(open))).await;
    let answer = reader.next::<StreamAnswer>().await;
    match (answer, sent) {
        (Ok(Some(frame)), _) => match frame.header {
            StreamAnswer::Opened { .. } => Ok((writer, reader)),
            StreamAnswer::Refused(error) => Err(error.to_string()),
        },
        (Ok(None), Ok(())) => Err("the leader's node ended the stream".to_owned()),
        (_, Err(error)) => Err(error.to_string()),
        (Err(error), _) => Err(error.to_string()),
    }
}

struct Session<'a> {
    replication: &'a Replication,
    link: &'a LeaderLink,
    incarnation: Incarnation,
    table: Mutex<Table>,
    /// The credit of the catch-up stream.
    meter: Arc<CreditMeter>,
}

impl Session<'_> {
    /// Drains a stream. Nothing that a replica does makes this wait.
    async fn read(&self, mut reader: FrameReader, is_catch_up: bool) -> String {
        loop {
            let frame = match reader.next::<LeaderFrame>().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "the leader's node ended the stream".to_owned(),
                Err(error) => {
                    if let Some(code) = error.refusal() {
                        reader.refuse(code);
                    }
                    return error.to_string();
                }
            };
            let bytes = frame.payload.len() as u64;
            // Also what finds no replica any more was sent on credit.
            let credit = is_catch_up.then(|| self.meter.spent(bytes));
            metrics::counter!("weir_replication_received_bytes_total").increment(bytes);
            let given_up = self.table().receive(frame.header, &frame.payload, credit);
            if let Some(GivenUp { subscription, reason }) = given_up {
                tracing::warn!(leader = %self.link.node, reason, "a replica stops following for the moment");
                self.link.abandon(subscription);
            }
        }
    }

    /// Says what the replicas want and how far they are. What waited together leaves together.
    async fn write(&self, mut writer: FrameWriter, first: Outgoing) -> String {
        let mut outgoing = first;
        loop {
            while let Some(order) = outgoing.orders.pop_front() {
                if let Err(end) = self.order(order, &mut writer) {
                    give_up(outgoing);
                    return end;
                }
            }
            for subscription in outgoing.abandoned {
                writer.queue(&FollowerFrame::Unsubscribe { subscription }, Bytes::new());
            }
            for ((topic, partition), report) in outgoing.reports {
                let number = report.subscription;
                if let Some(subscription) = self.table().find(topic, partition, number) {
                    let (log_end, flushed_end) = (report.log_end, report.flushed_end);
                    let report = FollowerFrame::Report { subscription, log_end, flushed_end };
                    writer.queue(&report, Bytes::new());
                }
            }
            if let Err(error) = writer.flush().await {
                return error.to_string();
            }
            let is_idle = self.table().is_empty();
            tokio::select! {
                biased;
                () = self.link.wait() => {}
                () = tokio::time::sleep(IDLE), if is_idle => return "nobody follows any more".to_owned(),
            }
            outgoing = self.link.take();
        }
    }

    /// # Errors
    /// Why the session has to end.
    fn order(&self, order: FollowerOrder, writer: &mut FrameWriter) -> Result<(), String> {
        match order {
            FollowerOrder::Subscribe { replica, subscribe } => {
                if subscribe.follower.incarnation != self.incarnation {
                    // It asks again, and the next session is of the life that asks.
                    replica.mail.ended(subscribe.subscription);
                    return Err("this node was registered again".to_owned());
                }
                let subscription = Subscription(self.replication.next_number());
                let frame = FollowerFrame::Subscribe {
                    subscription,
                    topic: replica.topic,
                    partition: replica.partition,
                    leader_epoch: subscribe.leader_epoch,
                    leader_incarnation: subscribe.leader.incarnation,
                    log_end: subscribe.log_end,
                    flushed_end: subscribe.flushed_end,
                    last_epoch: subscribe.last_epoch,
                };
                self.table().insert(subscription, replica, &subscribe);
                writer.queue(&frame, Bytes::new());
            }
            FollowerOrder::Unsubscribe { topic, partition, subscription } => {
                let mut table = self.table();
                if let Some(subscription) = table.find(topic, partition, subscription) {
                    table.remove(subscription);
                    writer.queue(&FollowerFrame::Unsubscribe { subscription }, Bytes::new());
                }
            }
        }
        Ok(())
    }

    /// Lets the leader send on the catch-up stream what the replicas have room for.
    async fn grant(&self, mut writer: FrameWriter) -> String {
        let mut bytes = CATCH_UP_BYTES;
        loop {
            if let Err(error) = writer.send(&FollowerFrame::Credit { bytes }, Bytes::new()).await {
                return error.to_string();
            }
            bytes = self.meter.returned(CREDIT_BYTES_MIN).await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The guarded code inserts and removes whole entries.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
