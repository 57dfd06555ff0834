//! The network adapter alone: QUIC between two hosts, before any node runs on it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use weir_quic::{Authority, Connector, Gate, GateLimits, Network, Principal, Priority, Protocol, Server};
use weir_tests::sim::clock::EPOCH;
use weir_tests::sim::dice::Dice;
use weir_tests::sim::network::{Power, SimNetwork, Weather};
use weir_tests::sim::trace::{Event, Trace, first_difference};
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;

const PORT: u16 = 9440;
const ECHOES: u32 = 50;

#[test]
fn the_same_seed_gives_the_same_packets() {
    for seed in 0..3 {
        let (first, second) = (echo(seed), echo(seed));
        if let Some(difference) = first_difference(&first, &second) {
            panic!("seed {seed}: {difference}");
        }
        assert!(first.len() > 100, "seed {seed}: only {} packets", first.len());
        assert!(
            first.iter().any(|event| event.text.ends_with("lost")),
            "seed {seed}: the network is too good"
        );
    }
}

#[test]
fn another_seed_gives_other_packets() {
    assert_ne!(echo(1), echo(2));
}

/// Sends messages there and back over a bad network; returns every packet.
fn echo(seed: u64) -> Vec<Event> {
    let trace = Trace::keeping();
    let weather = Weather::fair(Dice::new(seed, "weather"));
    weather.set(0.05, 0.02);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + EPOCH)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(5))
        .simulation_duration(Duration::from_secs(60))
        .build();
    let network = {
        let trace = trace.clone();
        move |host: &str| -> Arc<dyn Network> {
            let seeds = Dice::new(seed, host);
            Arc::new(SimNetwork::new(host.into(), weather.clone(), Power::on(), trace.clone(), seeds))
        }
    };
    let authority = Authority::seeded([1; 32], EPOCH).unwrap();
    let node = authority.issue(&Principal::Node(NodeId(1)), EPOCH).unwrap();
    let user = authority.issue(&Principal::client("alice").unwrap(), EPOCH).unwrap();

    let node_network = network("node");
    sim.host("node", move || {
        let (network, identity) = (Arc::clone(&node_network), node.clone());
        async move {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
            let socket = network.bind(any, 1)?.remove(0);
            let server = Server::new(&network, socket, &identity, Gate::new(GateLimits::default()))?;
            while let Some(arriving) = server.accept().await {
                let peer = arriving.establish().await?;
                while let Ok((mut writer, mut reader)) = peer.accept().await {
                    reader.set_limits(Limits::CONTROL);
                    while let Some(frame) = reader.next::<u32>().await? {
                        writer.send(&frame.header, frame.payload).await?;
                    }
                }
            }
            Ok(())
        }
    });
    let user_network = network("user");
    let address = SocketAddr::from((sim.lookup("node"), PORT));
    sim.client("user", async move {
        assert_ne!(address.ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let connector = Connector::new(&user_network, user_network.bind_client()?, &user)?;
        let peer = connector.connect(address, Protocol::Client).await?;
        let (mut writer, mut reader) = peer.open(Priority::Control, Limits::CONTROL).await?;
        for number in 0..ECHOES {
            writer.send(&number, Bytes::from(vec![7; 3000])).await?;
            let frame = reader.next::<u32>().await?.expect("an echo");
            assert_eq!((frame.header, frame.payload.len()), (number, 3000));
        }
        Ok(())
    });
    sim.run().unwrap();
    trace.events()
}
