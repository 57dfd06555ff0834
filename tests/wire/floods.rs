//! More of everything than anybody needs.

use std::net::UdpSocket;

use weir_quic::Protocol;
use weir_tests::process::DEADLINE;
use weir_wire::frame;
use weir_wire::lane::LaneBatch;
use weir_wire::open::{StreamKind, StreamOpen};
use weir_wire::request::encode_body;

use crate::support::{A_WHILE, assert_grew_less, attack, batch, is_stored};

#[test]
fn idle_connections_within_the_limits_cost_little() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        let connector = target.connector(&target.identity);
        let mut idle = Vec::new();
        for _ in 0..300 {
            idle.push(connector.connect(target.node.address(), Protocol::Client).await.unwrap());
        }
        assert_grew_less(&target.node, before, 150);
        target.serves().await;
        assert!(idle.iter().all(|peer| peer.connection.close_reason().is_none()), "none was thrown out");
    });
}

#[test]
fn datagrams_that_are_no_quic_are_nothing() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        for _ in 0..20_000 {
            let mut datagram = vec![0; dice.usize(1..1400)];
            dice.fill(&mut datagram);
            if dice.bool() {
                // The first byte of a packet that opens a connection, in version 1.
                datagram[0] = 0xc0;
                let version = [0, 0, 0, 1];
                let end = datagram.len().min(5);
                datagram[1..end].copy_from_slice(&version[..end - 1]);
            }
            // A full buffer drops it, which is as good.
            let _ = socket.send_to(&datagram, target.node.address());
        }
        target.serves().await;
        assert_grew_less(&target.node, before, 60);
    });
}

#[test]
fn a_connection_has_so_many_streams_and_no_more() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        let client = target.client().await;
        let mut open = Vec::new();
        // The control stream is one of the 256.
        for _ in 0..255 {
            let (mut send, receive) = client.peer.connection.open_bi().await.unwrap();
            send.write_all(&[1, 0, 0]).await.unwrap();
            open.push((send, receive));
        }
        let one_more = tokio::time::timeout(A_WHILE, client.peer.connection.open_bi()).await;
        assert!(one_more.is_err(), "a stream beyond the limit was opened");
        assert_grew_less(&target.node, before, 60);
        // Others are not held up, and streams that end make room for others (not one by one: QUIC may gather).
        target.serves().await;
        for (mut send, mut receive) in open {
            send.reset(0_u32.into()).unwrap();
            receive.stop(0_u32.into()).unwrap();
        }
        client.peer.connection.open_bi().await.unwrap();
    });
}

/// A client that writes to a thousand partitions by name has a lane for each.
#[test]
fn lanes_that_are_served_make_room_for_others() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lanes = Vec::new();
        for _ in 0..600 {
            let opening = tokio::time::timeout(DEADLINE, client.lane(&topic));
            lanes.push(opening.await.expect("there is room for it"));
        }
        let producer = lanes[599].producer;
        lanes[599].send(0, batch(producer, 0, 1)).await;
        assert!(is_stored(&lanes[599].answer().await));
        drop(lanes);
        // What they made room for goes with them.
        let mut open = Vec::new();
        while let Ok(stream) = tokio::time::timeout(A_WHILE, client.peer.connection.open_bi()).await {
            open.push(stream.unwrap());
            assert!(open.len() < 4096, "streams that were never served make no room");
        }
    });
}

#[test]
fn frames_that_never_end_are_held_within_bounds() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let before = target.node.resident_bytes();
        let opening = client.lane_open(&topic).await;
        let opening = encode_body(&opening);
        // Each claims as much as a data stream may carry, and sends all but the end.
        let claim = frame::Limits::DATA.payload_bytes_max as usize;
        let mut start = frame::encode(&StreamOpen::new(StreamKind::PRODUCE), opening.len());
        start.extend_from_slice(&opening);
        frame::encode_into(&mut start, &LaneBatch { ordinal: 0, resent: false }, claim);
        let mut halves = Vec::new();
        for _ in 0..12 {
            let (mut send, receive) = client.peer.connection.open_bi().await.unwrap();
            send.write_all(&start).await.unwrap();
            // The node may refuse it, or stop reading: both keep its memory.
            let _ = tokio::time::timeout(10 * A_WHILE, send.write_all(&vec![0; claim - 1])).await;
            halves.push((send, receive));
        }
        assert_grew_less(&target.node, before, 150);
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    attack(|target| async move {
        let mut before = 0;
        for round in 0..300 {
            let peer = target.connect().await;
            let (mut send, _receive) = peer.connection.open_bi().await.unwrap();
            send.write_all(&frame::encode(&StreamOpen::new(StreamKind::CONTROL), 0)).await.unwrap();
            peer.connection.close(0_u32.into(), b"");
            if round == 100 {
                before = target.node.resident_bytes();
            }
        }
        assert_grew_less(&target.node, before, 40);
    });
}
