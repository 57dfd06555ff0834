//! The catch-up stream: what lags is sent from the disk, at a lower priority and as far as credit goes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weir_quic::{FrameReader, FrameWriter, StreamCode};
use weir_wire::ids::Offset;
use weir_wire::replication::{CATCH_UP_CREDIT_BYTES_MAX, FollowerFrame, REPLICA_FRAME_BYTES};

use super::super::Replication;
use super::broken;
use super::live::count_sent;
use super::manners::Manners;
use super::pace::Pace;
use super::session::{Queue, Session, Step};
use crate::storage::{ColdRead, ReadError, Slice};

/// How long a changed throttle may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Serves the stream until the follower or the session ends it, or the node stops.
pub(super) async fn serve(
    replication: &Replication,
    session: &Session,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let most = i64::try_from(CATCH_UP_CREDIT_BYTES_MAX).unwrap_or(i64::MAX);
    // Payload bytes that may still be sent; below 0 after a frame that overdrew it.
    let mut credit = 0_i64;
    let mut ahead = None;
    let mut manners = Manners::new(Instant::now());
    loop {
        let has_queued = writer.queued_bytes() > 0;
        let rate = replication.0.controller.settings().throttled_rate;
        let (now, pace) = (Instant::now(), Arc::clone(&replication.0.pace));
        let paid_at = locked(&pace).wait_until(now, rate);
        let rests_until = manners.rests_until(now);
        let may_queue = credit > 0 && !writer.is_full() && rests_until.is_none();
        // The rate may change meanwhile.
        let look_again = paid_at.map_or(now, |paid_at| paid_at.min(now + LOOK_EVERY));
        tokio::select! {
            biased;
            frame = reader.next::<FollowerFrame>() => match frame {
                Ok(Some(frame)) => match frame.header {
                    FollowerFrame::Credit { bytes } => {
                        credit = credit.saturating_add_unsigned(bytes).min(most);
                    }
                    _ => return reader.refuse(StreamCode::Protocol),
                },
                Ok(None) => return,
                Err(error) => return broken(&mut reader, &error),
            },
            () = session.bell(Queue::CatchUp).wait(), if may_queue => {
                let bytes = send(replication, session, &mut writer, Queue::CatchUp, REPLICA_FRAME_BYTES, &mut ahead).await;
                credit = credit.saturating_sub_unsigned(bytes as u64);
                let now = Instant::now();
                manners.sent(now, replication.0.live.is_fresh(now));
            },
            () = session.bell(Queue::Added).wait(), if may_queue && paid_at.is_none() => {
                let most = Pace::frame_bytes(rate);
                let bytes = send(replication, session, &mut writer, Queue::Added, most, &mut ahead).await;
                credit = credit.saturating_sub_unsigned(bytes as u64);
                let now = Instant::now();
                locked(&pace).sent(now, bytes, rate);
                manners.sent(now, replication.0.live.is_fresh(now));
            },
            () = tokio::time::sleep_until(look_again), if may_queue && paid_at.is_some() => {}
            () = tokio::time::sleep_until(rests_until.unwrap_or(now)), if rests_until.is_some() => {}
            flushed = writer.flush(), if has_queued => if flushed.is_err() {
                return;
            },
            () = session.over() => return,
            _ = replication.0.stopping.wait_until(|stopping| *stopping) => return,
        }
    }
}

/// What a worker reads while what is before it is sent: otherwise the one waits for the other.
struct Ahead {
    subscription: u64,
    from: Offset,
    read: Pin<Box<dyn Future<Output = Result<Slice, ReadError>> + Send>>,
}

impl Ahead {
    fn begin(replication: &Replication, subscription: u64, read: ColdRead) -> Ahead {
        let from = read.from();
        Ahead {
            subscription,
            from,
            read: Box::pin(replication.0.outside.begin_on_worker(move || read.run())),
        }
    }
}

/// Does what is next in a queue; how many bytes of the log that sends.
async fn send(
    replication: &Replication,
    session: &Session,
    writer: &mut FrameWriter,
    queue: Queue,
    bytes_max: usize,
    ahead: &mut Option<Ahead>,
) -> usize {
    let mut step = session.step(queue, bytes_max);
    if let Step::Cold(number, read) = step {
        let is_this = |ahead: &Ahead| ahead.subscription == number && ahead.from == read.from();
        let begun = ahead.take().filter(is_this);
        let begun = begun.unwrap_or_else(|| Ahead::begin(replication, number, read));
        step = session.have_read(number, begun.read.await);
        let next = session.next_read(number, queue, bytes_max);
        *ahead = next.map(|read| Ahead::begin(replication, number, read));
    } else {
        // Nobody asks for it next: its memory is not kept.
        *ahead = None;
    }
    match step {
        Step::Send(frame, chunks) => {
            let bytes = count_sent(&chunks);
            writer.queue_parts(&frame, chunks);
            bytes
        }
        Step::Lost(frame) => {
            writer.queue(&frame, Bytes::new());
            0
        }
        Step::Nothing | Step::Cold(..) => 0,
    }
}

fn locked(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    // One value, whole at any time.
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}
