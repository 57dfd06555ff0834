//! Streams that begin, or go on, with what no stream may hold.

use bytes::Bytes;
use weir_quic::{FrameReader, ReadError, StreamCode};
use weir_wire::error::ErrorCode;
use weir_wire::frame::{self, Limits};
use weir_wire::open::{StreamKind, StreamOpen, VERSIONS, VersionRange};

use crate::support::{Target, assert_grew_less, attack, refused, stopped};

/// What came of a stream that begins with these bytes; `whole` ends it behind them.
async fn begin_with(target: &Target, bytes: &[u8], whole: bool) -> StreamCode {
    let peer = target.connect().await;
    let (mut send, receive) = peer.connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    if whole {
        send.finish().unwrap();
    }
    let mut reader = FrameReader::new(receive, Limits::CONTROL);
    let code = match reader.next_raw().await {
        Err(ReadError::Reset(code)) => code,
        other => panic!("{bytes:02x?} were answered by {other:?}"),
    };
    // The connection is not to blame: another stream on it is served.
    let control = StreamOpen::new(StreamKind::CONTROL);
    crate::support::open(&peer, &control, Bytes::new()).await;
    code
}

#[test]
fn a_truncated_frame_is_told() {
    attack(|target| async move {
        let good = frame::encode(&StreamOpen::new(StreamKind::CONTROL), 0);
        for length in 1..good.len() {
            assert_eq!(
                begin_with(&target, &good[..length], true).await,
                StreamCode::Protocol,
                "{length} bytes"
            );
        }
        let with_payload = frame::encode(&StreamOpen::new(StreamKind::CONTROL), 100);
        assert_eq!(begin_with(&target, &with_payload, true).await, StreamCode::Protocol);
    });
}

#[test]
fn a_frame_that_claims_4_gib_is_refused_at_once() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        for claim in [[0xff; 8], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]] {
            // The bytes claimed never come: the node does not wait for them.
            assert_eq!(begin_with(&target, &claim, false).await, StreamCode::TooLarge);
        }
        // Just above what an opening may hold.
        let header = (Limits::OPENING.header_bytes_max + 1).to_le_bytes();
        assert_eq!(begin_with(&target, &[header, [0; 4]].concat(), false).await, StreamCode::TooLarge);
        assert_grew_less(&target.node, before, 30);
    });
}

#[test]
fn garbage_is_no_header() {
    attack(|target| async move {
        let garbage: [&[u8]; 4] =
            [b"GET / HTTP/1.1\r\n\r\n", &[0; 8], &[3, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff], &[0x80; 64]];
        for bytes in garbage {
            let code = begin_with(&target, bytes, false).await;
            assert!(matches!(code, StreamCode::Protocol | StreamCode::TooLarge), "{code:?} for {bytes:02x?}");
        }
        // A good header with a byte too many.
        let mut longer = frame::encode(&StreamOpen::new(StreamKind::CONTROL), 0);
        longer[0] += 1;
        longer.push(0);
        assert_eq!(begin_with(&target, &longer, false).await, StreamCode::Protocol);
    });
}

#[test]
fn an_unknown_kind_of_stream_is_refused_by_name() {
    attack(|target| async move {
        let peer = target.connect().await;
        for kind in [0, 5, 99, 255] {
            let error = refused(&peer, &StreamOpen::new(StreamKind(kind)), Bytes::new()).await;
            assert_eq!(error.code, ErrorCode::UnsupportedRequest);
            assert!(error.message.contains(&kind.to_string()), "{error}");
        }
    });
}

#[test]
fn versions_without_a_common_one_are_named() {
    attack(|target| async move {
        let peer = target.connect().await;
        for (min, max) in [(VERSIONS.max + 1, VERSIONS.max + 5), (0, 0), (9, 3), (u16::MAX, u16::MAX)] {
            let opening = StreamOpen { kind: StreamKind::CONTROL, versions: VersionRange { min, max } };
            let error = refused(&peer, &opening, Bytes::new()).await;
            assert_eq!(error.code, ErrorCode::UnsupportedVersion);
            assert!(error.message.contains(&format!("{min} to {max}")), "{error}");
        }
        let wide = StreamOpen { kind: StreamKind::CONTROL, versions: VersionRange { min: 0, max: u16::MAX } };
        let (.., answer) = crate::support::open(&peer, &wide, Bytes::new()).await;
        assert!(matches!(answer, weir_wire::open::StreamAnswer::Opened { version: 1, .. }), "{answer:?}");
    });
}

#[test]
fn openings_of_lanes_and_fetch_streams_are_checked() {
    attack(|target| async move {
        let peer = target.connect().await;
        for kind in [StreamKind::PRODUCE, StreamKind::FETCH] {
            for body in [&b""[..], b"x", &[0xff; 200]] {
                let error = refused(&peer, &StreamOpen::new(kind), Bytes::copy_from_slice(body)).await;
                assert_eq!(error.code, ErrorCode::InvalidRequest);
            }
        }
    });
}

#[test]
fn a_stream_given_up_half_way_troubles_nobody() {
    attack(|target| async move {
        let peer = target.connect().await;
        for _ in 0..1000 {
            let (mut send, mut receive) = peer.connection.open_bi().await.unwrap();
            send.write_all(&[1, 0, 0]).await.unwrap();
            send.reset(StreamCode::Cancelled.into()).unwrap();
            receive.stop(StreamCode::Done.into()).unwrap();
        }
    });
}

#[test]
fn a_good_stream_that_turns_bad_is_stopped() {
    attack(|target| async move {
        let mut client = target.client().await;
        client.control.send(&[0xff_u8; 30], Bytes::new()).await.unwrap();
        assert_eq!(stopped(&client.control).await, StreamCode::Protocol);
        let again = target.client().await;
        drop(again);
    });
}
