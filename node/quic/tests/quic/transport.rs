//! Datagram sizes, several sockets on one port, and reproducible endpoints.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use weir_quic::config::{StreamLimits, UDP_PAYLOAD_BYTES_MAX};
use weir_quic::{Connector, Gate, GateLimits, Priority, Protocol, Server, StreamRoom, framed};
use weir_wire::frame::Limits;

use crate::support::{Pair, TestNetwork, client, loopback, node, pair, pair_that_speaks, run};

/// Sends `count` frames of 64 KiB from client to server.
async fn transfer(pair: &Pair, count: u32) {
    let (mut writer, _reader) =
        framed::open(&pair.client.connection, Priority::Produce, Limits::DATA).await.unwrap();
    let payload = Bytes::from(vec![42; 64 * 1024]);
    let send = async {
        writer.send(&u32::MAX, Bytes::new()).await.unwrap();
        for number in 0..count {
            writer.send(&number, payload.clone()).await.unwrap();
        }
        writer.finish().await.unwrap();
    };
    let receive = async {
        let (_back, mut there) = framed::accept(&pair.server.connection).await.unwrap();
        there.next::<u32>().await.unwrap().unwrap();
        there.set_limits(Limits::DATA);
        for number in 0..count {
            let frame = there.next::<u32>().await.unwrap().unwrap();
            assert_eq!((frame.header, frame.payload.len()), (number, 64 * 1024));
        }
        assert_eq!(there.next::<u32>().await.unwrap(), None);
    };
    tokio::join!(send, receive);
}

/// Sends until the client's datagrams reach `goal` bytes, or patience ends.
async fn transfer_until(pair: &Pair, goal: u16) -> u16 {
    for _ in 0..200 {
        transfer(pair, 8).await;
        if pair.client.connection.stats().path.current_mtu >= goal {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pair.client.connection.stats().path.current_mtu
}

#[test]
fn datagrams_grow_to_what_loopback_carries() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        assert_eq!(pair.client.connection.stats().path.current_mtu, 1200);
        let mtu = transfer_until(&pair, UDP_PAYLOAD_BYTES_MAX - 40).await;
        assert!((UDP_PAYLOAD_BYTES_MAX - 40..=UDP_PAYLOAD_BYTES_MAX).contains(&mtu), "{mtu}");
        // Full of the largest datagrams, with segmentation offload: nothing is lost on the way.
        transfer(&pair, 512).await;
        let path = pair.client.connection.stats().path;
        assert_eq!((path.black_holes_detected, path.current_mtu), (0, mtu));
    });
}

/// An ordinary path, a jumbo one that carries less than we send at most, and one that carries more.
#[test]
fn datagrams_grow_to_what_a_path_carries() {
    for largest in [1200, 1372, 1472, 6000, 8972] {
        run(async move {
            let pair = pair(&TestNetwork::narrow(largest)).await;
            let largest = u16::try_from(largest).unwrap().min(UDP_PAYLOAD_BYTES_MAX);
            let mtu = transfer_until(&pair, largest.saturating_sub(20).max(1201)).await;
            assert!((largest.saturating_sub(20).max(1200)..=largest).contains(&mtu), "{mtu} of {largest}");
            transfer(&pair, 64).await;
            assert_eq!(pair.client.connection.stats().path.black_holes_detected, 0);
        });
    }
}

#[test]
fn one_port_serves_from_several_threads() {
    let network = TestNetwork::arc();
    let sockets = network.bind(loopback(), 2).unwrap();
    let addr = sockets[0].local_addr();
    let count = sockets.len();
    let gate = Gate::new(GateLimits::default());
    let (served, threads_that_served) = std::sync::mpsc::channel();
    for (thread, socket) in sockets.into_iter().enumerate() {
        let (network, gate, served) = (Arc::clone(&network), gate.clone(), served.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::new(&network, socket, &node(1), gate).unwrap();
                while let Some(arriving) = server.accept().await {
                    let peer = arriving.establish().await.unwrap();
                    served.send(thread).unwrap();
                    // Kept until the process ends, so that the gate counts it.
                    std::mem::forget(peer);
                }
            });
        });
    }
    // Each client has a socket of its own, and so may land on either thread. That all 24 land on one has a
    // chance of one in eight million.
    run(async {
        let mut held = Vec::new();
        for _ in 0..24 {
            let connector =
                Connector::new(&network, network.bind_client().unwrap(), &client("alice")).unwrap();
            let peer = connector.connect(addr, Protocol::Client).await.unwrap();
            held.push((connector, peer));
        }
        let threads: BTreeSet<usize> =
            (0..24).map(|_| threads_that_served.recv_timeout(Duration::from_secs(10)).unwrap()).collect();
        assert_eq!(threads.len(), count);
        assert_eq!(gate.connections(), 24);
        drop(held);
    });
}

/// A peer opens as many streams as its protocol allows, and as many more as proved their worth; quinn tells it so when they
/// are more than an eighth of what it may have open.
#[test]
fn streams_that_prove_their_worth_make_room_for_others() {
    for (protocol, identity) in [(Protocol::Client, client("alice")), (Protocol::Replication, node(2))] {
        run(async move {
            let pair = pair_that_speaks(&TestNetwork::arc(), protocol, &identity).await;
            let (near, room) = (&pair.client.connection, StreamRoom::of(&pair.server));
            let mut open = Vec::new();
            for _ in 0..StreamLimits::accepting(protocol).bidirectional {
                open.push(near.open_bi().await.unwrap());
            }
            let mut one_too_many = std::pin::pin!(near.open_bi());
            let now = std::future::poll_fn(|context| Poll::Ready(one_too_many.as_mut().poll(context))).await;
            assert!(now.is_pending());
            let given: Vec<_> = open.iter().map(|_| room.one_more()).collect();
            open.push(one_too_many.await.unwrap());
            for _ in 1..given.len() {
                open.push(near.open_bi().await.unwrap());
            }
        });
    }
}
