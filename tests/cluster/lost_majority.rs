//! Two of three nodes are gone, and the majority of the voters with them: what is committed is read, and what cannot be
//! done says so instead of hanging.

use super::three_nodes::{Cluster, create_on_all, leader, partition};

#[test]
fn without_a_majority_what_is_committed_is_read_and_nothing_hangs() {
    let mut cluster = Cluster::new();
    let everybody = cluster.client_of_all();
    create_on_all(&everybody, "t");
    everybody.run_with_input(&["produce", "t"], b"committed\n").ok();
    let survivor = leader(&partition(&everybody, "t", 0));
    for gone in (0..3).filter(|node| *node != survivor) {
        cluster.nodes[gone].kill();
    }
    let client = cluster.client(survivor);
    let stored = client.run(&["consume", "t", "--from-beginning", "--until-end"]).ok();
    assert_eq!(stored.text(), "committed\n");
    // A controller that has just lost its majority finds out when nobody has answered it for a while.
    let asked = (0..200).map(|_| client.run(&["cluster", "quorum"]));
    let quorum = asked.into_iter().find(|quorum| quorum.status.code() == Some(1)).expect("it finds out");
    assert!(quorum.text().contains("NO ACTIVE CONTROLLER"), "{quorum}");
    assert!(quorum.text().contains("start enough of them"), "{quorum}");
    // What has to be decided cannot be, and the sentence says what is missing.
    let create = client.run(&["topics", "create", "u", "--replication-factor", "1"]);
    // Where the survivor is the controller, it may have taken the command before it knew, and says that honestly.
    let said = create.refused(&[]).stderr;
    assert!(said.contains("majority of the metadata quorum") || said.contains("OUTCOME_UNKNOWN"), "{said}");

    // One more is a majority again, and everything goes on.
    let one = (0..3).find(|node| *node != survivor).unwrap();
    cluster.nodes[one].start();
    let back = cluster.client_of_all();
    back.run_with_input(&["produce", "t"], b"and on\n").ok();
    let stored = back.run(&["consume", "t", "--from-beginning", "--until-end"]).ok();
    assert_eq!(stored.text(), "committed\nand on\n");
}
