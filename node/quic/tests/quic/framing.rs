//! Frames there and back, broken ones, and who waits for whom.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use quinn::VarInt;
use weir_quic::config::CONNECTION_WINDOW_BYTES_MAX;
use weir_quic::framed::{self, QUEUED_BYTES_GOAL};
use weir_quic::{
    ConnectionEnd, Frame, FrameReader, FrameWriter, Priority, ReadError, StreamCode, WriteError,
};
use weir_wire::frame::{self, FrameError, Limits};

use crate::support::{Pair, TestNetwork, pair, run};

/// A stream from client to server: the client's writer and reader, the server's writer and reader.
async fn stream(pair: &Pair) -> (FrameWriter, FrameReader, FrameWriter, FrameReader) {
    let (mut writer, reader) =
        framed::open(&pair.client.connection, Priority::Produce, Limits::DATA).await.unwrap();
    writer.send(&"open", Bytes::new()).await.unwrap();
    let (back, mut there) = framed::accept(&pair.server.connection).await.unwrap();
    assert_eq!(there.next::<String>().await.unwrap().unwrap().header, "open");
    there.set_limits(Limits::DATA);
    (writer, reader, back, there)
}

/// A stream whose client side sends raw bytes.
async fn raw_stream(pair: &Pair) -> (quinn::SendStream, FrameReader) {
    let (mut send, _receive) = pair.client.connection.open_bi().await.unwrap();
    send.write_all(&frame::encode(&"open", 0)).await.unwrap();
    let (_back, mut there) = framed::accept(&pair.server.connection).await.unwrap();
    assert_eq!(there.next::<String>().await.unwrap().unwrap().header, "open");
    there.set_limits(Limits::DATA);
    (send, there)
}

fn pattern(length: usize) -> Bytes {
    (0..length).map(|i| u8::try_from((i * 7 + i / 251) % 256).unwrap()).collect()
}

/// Whether the future is done without waiting for anything outside.
async fn is_done_within(millis: u64, future: impl Future) -> bool {
    tokio::time::timeout(Duration::from_millis(millis), future).await.is_ok()
}

#[test]
fn frames_of_all_sizes_come_back_as_they_were() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut writer, mut reader, mut back, mut there) = stream(&pair).await;
        let sizes = [0, 1, 1023, 1024, 1025, 6_500, 65_536, 1_000_003, 16 * 1024 * 1024];
        let echo = tokio::spawn(async move {
            while let Some(Frame { header, payload }) = there.next::<(u64, String)>().await.unwrap() {
                back.send(&header, payload).await.unwrap();
            }
            back.finish().await.unwrap();
        });
        let send = async {
            for size in sizes {
                writer
                    .send(&(u64::try_from(size).unwrap(), "header".repeat(size % 50)), pattern(size))
                    .await
                    .unwrap();
            }
            writer.finish().await.unwrap();
        };
        let receive = async {
            for size in sizes {
                let frame = reader.next::<(u64, String)>().await.unwrap().unwrap();
                assert_eq!(frame.header, (u64::try_from(size).unwrap(), "header".repeat(size % 50)));
                assert!(frame.payload == pattern(size), "the payload of {size} bytes changed");
            }
            assert_eq!(reader.next::<(u64, String)>().await.unwrap(), None);
        };
        tokio::join!(send, receive);
        echo.await.unwrap();
    });
}

#[test]
fn pipelined_frames_leave_together_and_come_apart_again() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut writer, _reader, _back, mut there) = stream(&pair).await;
        for number in 0..1000_u32 {
            let large = if number % 100 == 50 { pattern(5000) } else { Bytes::new() };
            writer.queue_parts(&number, [pattern(usize::try_from(number % 7).unwrap()), large]);
        }
        assert!(!writer.is_full() && writer.queued_bytes() < QUEUED_BYTES_GOAL);
        writer.flush().await.unwrap();
        assert_eq!(writer.queued_bytes(), 0);
        let mut waited = 0;
        for number in 0..1000_u32 {
            let frame = match there.next_buffered().unwrap() {
                Some(frame) => frame,
                None => {
                    waited += 1;
                    there.next_raw().await.unwrap().unwrap()
                }
            };
            assert_eq!(frame::decode_header::<u32>(&frame.header).unwrap(), number);
            let small = usize::try_from(number % 7).unwrap();
            assert_eq!(frame.payload.len(), small + if number % 100 == 50 { 5000 } else { 0 });
            assert_eq!(frame.payload[..small], pattern(small));
        }
        assert!(waited < 200, "{waited} of 1000 frames had to be waited for: they did not arrive together");
    });
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_truncated() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let whole = [frame::encode(&7_u64, 100), vec![1; 100]].concat();
        let header = whole.len() - 108;
        for (cut, expected) in
            [(3, 8), (8, whole.len()), (8 + header, whole.len()), (whole.len() - 1, whole.len())]
        {
            let (mut send, mut there) = raw_stream(&pair).await;
            send.write_all(&whole[..cut]).await.unwrap();
            send.finish().unwrap();
            let error = there.next::<u64>().await.unwrap_err();
            assert_eq!(error, ReadError::Truncated { received: cut, expected });
            assert_eq!(error.refusal(), Some(StreamCode::Protocol));
        }
        let (mut send, mut there) = raw_stream(&pair).await;
        send.write_all(&whole).await.unwrap();
        send.finish().unwrap();
        assert_eq!(there.next::<u64>().await.unwrap().unwrap().payload, vec![1; 100]);
        assert_eq!(there.next::<u64>().await.unwrap(), None);
    });
}

#[test]
fn a_claim_of_4_gib_ends_the_stream_and_nothing_else() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        for claim in [[0xff; 8], [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]] {
            let (mut send, mut there) = raw_stream(&pair).await;
            send.write_all(&claim).await.unwrap();
            let error = there.next::<u64>().await.unwrap_err();
            assert!(error.to_string().contains("a frame claims a"), "{error}");
            assert!(error.to_string().contains("of 4294967295 bytes"), "{error}");
            let code = error.refusal().unwrap();
            assert_eq!(code, StreamCode::TooLarge);
            there.refuse(code);
            assert_eq!(send.stopped().await.unwrap(), Some(VarInt::from(StreamCode::TooLarge)));
        }
        let (mut writer, _reader, _back, mut there) = stream(&pair).await;
        writer.send(&1_u8, Bytes::new()).await.unwrap();
        assert_eq!(there.next::<u8>().await.unwrap().unwrap().header, 1);
    });
}

#[test]
fn a_header_of_garbage_is_an_error_and_the_next_frame_can_be_read() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut send, mut there) = raw_stream(&pair).await;
        send.write_all(&[5, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 9, 9]).await.unwrap();
        send.write_all(&frame::encode(&"fine".to_owned(), 0)).await.unwrap();
        let error = there.next::<String>().await.unwrap_err();
        assert!(matches!(&error, ReadError::Frame(FrameError::Header { .. })), "{error:?}");
        assert_eq!(error.refusal(), Some(StreamCode::Protocol));
        assert_eq!(there.next::<String>().await.unwrap().unwrap().header, "fine");
    });
}

#[test]
fn a_stranger_gets_the_small_limits_of_an_opening() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut send, _receive) = pair.client.connection.open_bi().await.unwrap();
        send.write_all(&frame::encode(&"open", 1)).await.unwrap();
        let (_back, mut there) = framed::accept(&pair.server.connection).await.unwrap();
        let limit = Limits::OPENING.payload_bytes_max;
        if limit == 0 {
            let error = there.next_raw().await.unwrap_err();
            assert_eq!(error, ReadError::Frame(FrameError::PayloadTooLarge { claimed: 1, limit }));
        }
    });
}

#[test]
fn refusals_and_resets_carry_their_code() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut writer, mut reader, mut back, mut there) = stream(&pair).await;
        there.refuse(StreamCode::Overloaded);
        assert_eq!(writer.stopped().await.unwrap(), Some(StreamCode::Overloaded));
        let error = writer.send(&1_u8, Bytes::new()).await.unwrap_err();
        assert_eq!(error, WriteError::Stopped(StreamCode::Overloaded));
        assert_eq!(error.to_string(), "the peer stopped the stream because there is too much to do");
        assert_eq!(there.next_raw().await.unwrap_err(), ReadError::ClosedHere);

        back.reset(StreamCode::ShuttingDown);
        let error = reader.next_raw().await.unwrap_err();
        assert_eq!(error, ReadError::Reset(StreamCode::ShuttingDown));
        assert_eq!(error.refusal(), None);
        assert_eq!(back.send(&1_u8, Bytes::new()).await.unwrap_err(), WriteError::ClosedHere);
    });
}

#[test]
fn a_closed_connection_ends_its_streams_with_the_reason() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut writer, mut reader, _back, _there) = stream(&pair).await;
        weir_quic::ending::close(&pair.server.connection, weir_quic::CloseCode::Superseded, "you are back");
        let end = ConnectionEnd::Closed {
            code: weir_quic::CloseCode::Superseded,
            reason: "you are back".to_owned(),
        };
        assert_eq!(reader.next_raw().await.unwrap_err(), ReadError::Connection(end.clone()));
        assert_eq!(writer.send(&1_u8, Bytes::new()).await.unwrap_err(), WriteError::Connection(end));
    });
}

#[test]
fn a_reader_that_stops_makes_the_writer_wait() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut writer, _reader, _back, mut there) = stream(&pair).await;
        let piece = pattern(64 * 1024);
        let mut sent = 0_u32;
        while is_done_within(500, writer.send(&sent, piece.clone())).await {
            sent += 1;
            assert!(sent * 64 * 1024 < CONNECTION_WINDOW_BYTES_MAX, "nothing holds the writer back");
        }
        assert!(writer.queued_bytes() > 0, "the interrupted frame is still queued");
        assert!(sent >= 4, "only {sent} pieces went out");
        // The interrupted frame is whole all the same: flushing goes on where it stopped.
        let receive = async {
            for number in 0..=sent {
                let frame = there.next::<u32>().await.unwrap().unwrap();
                assert_eq!(frame.header, number);
                assert!(frame.payload == piece);
            }
        };
        let (flushed, ()) = tokio::join!(writer.flush(), receive);
        flushed.unwrap();
    });
}

#[test]
fn a_stream_that_nobody_reads_does_not_stop_the_others() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut stuck, _r1, _b1, _there1) = stream(&pair).await;
        let (mut live, _r2, _b2, mut there2) = stream(&pair).await;
        let piece = pattern(64 * 1024);
        while is_done_within(300, stuck.send(&0_u8, piece.clone())).await {}
        for number in 0..100_u32 {
            let (sent, frame) = tokio::join!(live.send(&number, piece.clone()), there2.next::<u32>());
            sent.unwrap();
            assert_eq!(frame.unwrap().unwrap().header, number);
        }
    });
}

#[test]
fn a_dropped_future_of_the_reader_loses_nothing() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut send, mut there) = raw_stream(&pair).await;
        let bytes = [frame::encode(&"whole".to_owned(), 3000), pattern(3000).to_vec()].concat();
        for piece in bytes.chunks(500) {
            assert!(!is_done_within(5, there.next::<String>()).await);
            send.write_all(piece).await.unwrap();
        }
        let frame = there.next::<String>().await.unwrap().unwrap();
        assert_eq!((frame.header.as_str(), frame.payload), ("whole", pattern(3000)));
    });
}

#[test]
fn a_writer_dropped_inside_a_frame_resets_the_stream() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        let (mut writer, _reader, _back, mut there) = stream(&pair).await;
        let large = pattern(32 * 1024 * 1024 - 1);
        assert!(!is_done_within(300, writer.send(&1_u8, large)).await);
        drop(writer);
        assert_eq!(there.next::<u8>().await.unwrap_err(), ReadError::Reset(StreamCode::Cancelled));

        let (writer, _reader, _back, mut there) = stream(&pair).await;
        drop(writer);
        assert_eq!(
            there.next::<u8>().await.unwrap(),
            None,
            "a writer with nothing queued finishes the stream"
        );
    });
}

#[test]
fn higher_priorities_leave_first() {
    // With one priority for both, the order would follow which was handed over first, one way or the other.
    for low_is_first in [true, false] {
        run(async move {
            let pair = pair(&TestNetwork::arc()).await;
            let (mut one, _r1, _b1, mut one_there) = stream(&pair).await;
            let (mut two, _r2, _b2, mut two_there) = stream(&pair).await;
            let (low, high) = (Priority::Fetch, Priority::Produce);
            one.set_priority(if low_is_first { low } else { high });
            two.set_priority(if low_is_first { high } else { low });
            // Both are handed over before the connection sends any of them.
            let large = pattern(300 * 1024);
            one.send(&1_u8, large.clone()).await.unwrap();
            two.send(&2_u8, large).await.unwrap();
            let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
            let also_done = done.clone();
            tokio::join!(
                async move { done.send(one_there.next::<u8>().await.unwrap().unwrap().header).unwrap() },
                async move { also_done.send(two_there.next::<u8>().await.unwrap().unwrap().header).unwrap() },
            );
            let expected = if low_is_first { (Some(2), Some(1)) } else { (Some(1), Some(2)) };
            assert_eq!((order.recv().await, order.recv().await), expected, "low first: {low_is_first}");
        });
    }
}
