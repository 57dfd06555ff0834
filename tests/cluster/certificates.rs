//! `weir certs`: an authority, and folders to carry to other machines.

use std::path::Path;

use super::{any_port, text, weir};

#[test]
fn a_node_and_a_client_on_other_machines_get_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let (authority, node, client) = (path("authority"), path("node-7"), path("alice"));
    let weir = weir();
    weir.run(&["certs", "authority", "--certs", &authority]).ok();
    weir.run(&["certs", "node", "7", "--certs", &authority, "--out", &node]).ok();
    weir.run(&["certs", "client", "alice", "--certs", &authority, "--out", &client]).ok();

    let shown = weir.run(&["certs", "show", &client]).ok().text();
    assert!(shown.contains("weir:client/alice") && shown.contains("valid until"), "{shown}");
    let flags = ["--node-id", "7", "--certs", &node];
    let running = weir.node_with(&folder.path().join("data"), any_port(), &flags);
    let alice = weir.client_of(running.address(), Path::new(&client));
    alice.run(&["topics", "create", "t"]).ok();
    alice.run(&["topics", "describe", "t"]).ok();
}

#[test]
fn certificates_that_cannot_be_made_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name));
    let (authority, empty) = (path("authority"), path("empty"));
    let weir = weir();
    weir.run(&["certs", "node", "7", "--certs", &empty, "--out", &path("n")])
        .refused(&["no authority", "weir certs authority"]);
    weir.run(&["certs", "authority", "--certs", &authority]).ok();
    weir.run(&["certs", "client", "a/b", "--certs", &authority, "--out", &path("c")])
        .refused(&["'a/b'", "client's name"]);
    weir.run(&["certs", "node", "7", "--certs", &authority, "--out", &authority])
        .refused(&["must not be carried about", "--out"]);
    weir.run(&["certs", "show", &path("nowhere")]).refused(&["cannot read"]);
}
