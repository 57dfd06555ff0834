//! Signals to what runs long.

use std::net::UdpSocket;
use std::path::Path;

use weir_tests::process::{Signal, free_address};

use super::{text, weir};

#[test]
fn a_demo_takes_its_nodes_and_its_folder_along() {
    let demo = weir().spawn(&["demo", "--records", "5000000", "--seed", "1"]);
    let told = demo.stdout().wait_for(|text| text.contains("3 partitions").then(|| text.to_owned())).unwrap();
    let (_, serve) = told.split_once("serve ").unwrap();
    let (addresses, rest) = serve.split_once(", data in ").unwrap();
    let addresses: Vec<_> = addresses.split(", ").collect();
    assert_eq!(addresses.len(), 3, "{told}");
    let data = Path::new(rest.lines().next().unwrap().trim());
    assert!(data.is_dir(), "{}", data.display());
    for address in &addresses {
        assert!(UdpSocket::bind(address).is_err(), "a node has {address}");
    }
    demo.signal(Signal::Int);
    let ended = demo.finish();
    assert_eq!(ended.status.code(), Some(130), "{ended}");
    for address in &addresses {
        assert!(UdpSocket::bind(address).is_ok(), "the node at {address} outlived the demo");
    }
    assert!(!data.exists(), "the demo left {} behind", data.display());
}

#[test]
fn a_second_signal_stops_a_node_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, address) = (text(&folder.path().join("data")), free_address().to_string());
    for _ in 0..3 {
        let node = weir().spawn(&["node", "--data", &data, "--listen", &address]);
        let _ready = node.wait_for_line("ready ");
        node.signal(Signal::Term);
        node.signal(Signal::Term);
        // Whichever came first: done politely, or broken off. It comes back after both.
        let code = node.finish().status.code();
        assert!(code == Some(0) || code == Some(130), "{code:?}");
    }
}
