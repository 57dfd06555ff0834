//! The catch-up stream: what lags is sent from the disk, at a lower priority and as far as credit goes.

use bytes::Bytes;
use weir_quic::{FrameReader, FrameWriter, StreamCode};
use weir_wire::replication::{CATCH_UP_CREDIT_BYTES_MAX, FollowerFrame};

use super::super::Replication;
use super::broken;
use super::flow::Lane;
use super::live::count_sent;
use super::session::{Session, Step};

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
    loop {
        let may_queue = credit > 0 && !writer.is_full();
        let has_queued = writer.queued_bytes() > 0;
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
            () = session.bell(Lane::CatchUp).wait(), if may_queue => {
                let mut step = session.step(Lane::CatchUp);
                if let Step::Cold(number, read) = step {
                    let read = replication.0.outside.on_worker(move || read.run()).await;
                    step = session.have_read(number, read);
                }
                match step {
                    Step::Send(frame, chunks) => {
                        count_sent(&chunks);
                        let bytes: usize = chunks.iter().map(Bytes::len).sum();
                        credit = credit.saturating_sub_unsigned(bytes as u64);
                        writer.queue_parts(&frame, chunks);
                    }
                    Step::Lost(frame) => writer.queue(&frame, Bytes::new()),
                    Step::Nothing | Step::Cold(..) => {}
                }
            },
            flushed = writer.flush(), if has_queued => if flushed.is_err() {
                return;
            },
            () = session.over() => return,
            _ = replication.0.stopping.wait_until(|stopping| *stopping) => return,
        }
    }
}
