//! What commands do to the metadata, and what they must not.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::LeaderEpoch;

use super::{Applied, Command, Image, LastLife, MetadataError, ProcessId, Registration};
use weir_wire::ids::{ClusterId, Incarnation, NodeId, ProducerId, TopicId};

fn register(node: u32) -> Command {
    life(node, 1)
}

/// The registration of a node for its life `number`.
fn life(node: u32, number: u8) -> Command {
    let last = Incarnation(u64::from(number) - 1);
    Command::RegisterNode(Registration {
        node: NodeId(node),
        process: ProcessId([number; 16]),
        address: format!("127.0.0.1:{}", 9000 + node),
        rack: None,
        last: (number > 1).then_some(LastLife { incarnation: last, clean: true }),
        earlier: Vec::new(),
        cut: Vec::new(),
    })
}

fn create(name: &str, partitions: Option<u32>, replication_factor: Option<u32>) -> Command {
    let configs = BTreeMap::new();
    Command::CreateTopic {
        name: name.to_owned(),
        id: TopicId([7; 16]),
        partitions,
        replication_factor,
        configs,
    }
}

fn ensure(name: &str, partitions: u32) -> Command {
    let id = TopicId([9; 16]);
    Command::EnsureInternalTopic { name: name.to_owned(), id, partitions, configs: BTreeMap::new() }
}

fn cluster_of(nodes: u32) -> Image {
    let mut image = Image::default();
    image.apply(&Command::Initialise { cluster: ClusterId([1; 16]) }).unwrap();
    for node in 1..=nodes {
        image.apply(&register(node)).unwrap();
    }
    image
}

#[test]
fn a_cluster_is_named_once() {
    let mut image = cluster_of(1);
    let again = image.apply(&Command::Initialise { cluster: ClusterId([2; 16]) });
    assert_eq!(again, Err(MetadataError::AlreadyInitialised(ClusterId([1; 16]))));
    assert_eq!(image.cluster, Some(ClusterId([1; 16])));
}

#[test]
fn defaults_follow_the_number_of_nodes() {
    for (nodes, factor) in [(1, 1), (2, 2), (3, 3), (5, 3)] {
        let applied = cluster_of(nodes).apply(&create("t", None, None)).unwrap();
        let expected =
            Applied::TopicCreated { id: TopicId([7; 16]), partitions: 1, replication_factor: factor };
        assert_eq!(applied, expected, "{nodes} nodes");
    }
}

#[test]
fn refusals_change_nothing_but_the_index() {
    let mut image = cluster_of(1);
    image.apply(&create("there", None, None)).unwrap();
    let before = image.clone();
    let bad_config = |key: &str, value: &str| Command::CreateTopic {
        name: "c".to_owned(),
        id: TopicId([8; 16]),
        partitions: None,
        replication_factor: None,
        configs: BTreeMap::from([(key.to_owned(), value.to_owned())]),
    };
    for (command, says) in [
        (create("../evil", None, None), "'/' is not allowed"),
        (create("__mine", None, None), "belong to the cluster itself"),
        (create("there", None, None), "topic 'there' exists already"),
        (create("t", Some(0), None), "1 to 10000 partitions, not 0"),
        (create("t", Some(10_001), None), "1 to 10000 partitions, not 10001"),
        (create("t", None, Some(0)), "a replication factor of 0"),
        (create("t", None, Some(3)), "a replication factor of 3 needs as many live nodes; there is 1"),
        (bad_config("retnetion.ms", "1"), "retention.ms"),
        (bad_config("retention.ms", "soon"), "retention.ms"),
        (Command::DeleteTopic { name: "gone".to_owned(), id: None }, "there is no topic 'gone'"),
        (ensure("mine", 1), "'mine' is no name for a topic of the cluster's own"),
        (ensure("__/evil", 1), "'/' is not allowed"),
        (ensure("__mine", 0), "1 to 10000 partitions, not 0"),
    ] {
        let error = image.apply(&command).unwrap_err().to_string();
        assert!(error.contains(says), "{command:?}: {error}");
    }
    image.index = before.index;
    assert_eq!(image, before);
}

#[test]
fn a_topic_of_the_clusters_own_is_made_once_and_stays() {
    let mut image = cluster_of(2);
    let made = Applied::TopicCreated { id: TopicId([9; 16]), partitions: 5, replication_factor: 2 };
    assert_eq!(image.apply(&ensure("__mine", 5)), Ok(made.clone()));
    image.apply(&register(3)).unwrap();
    // Another node found it missing at the same time, and is told of the one that there is.
    let again = Command::EnsureInternalTopic {
        name: "__mine".to_owned(),
        id: TopicId([10; 16]),
        partitions: 7,
        configs: BTreeMap::new(),
    };
    assert_eq!(image.apply(&again), Ok(made));
    let deleted = image.apply(&Command::DeleteTopic { name: "__mine".to_owned(), id: None });
    assert_eq!(deleted, Err(MetadataError::InternalTopic("__mine".to_owned())));
    let grown = image.apply(&Command::CreatePartitions { topic: "__mine".to_owned(), count: 9 });
    assert_eq!(grown, Err(MetadataError::InternalTopic("__mine".to_owned())));
    assert_eq!(image.topics["__mine"].partitions.len(), 5);
}

/// No reign outlives an incarnation (also with a single replica).
#[test]
fn a_registration_ends_every_reign_of_the_earlier_incarnation() {
    let mut image = cluster_of(2);
    image.apply(&create("t", Some(4), Some(2))).unwrap();
    let epochs =
        |image: &Image| image.topics["t"].partitions.iter().map(|p| p.leader_epoch.0).collect::<Vec<_>>();
    assert_eq!(epochs(&image), [0, 0, 0, 0]);
    assert_eq!(image.apply(&life(1, 2)), Ok(Applied::Registered(Incarnation(2))));
    assert_eq!(epochs(&image), [1, 0, 1, 0]);
    assert_eq!(image.topics["t"].partitions[0].leader, Some(NodeId(1)));
    assert!(image.topics["t"].partitions.iter().all(|p| p.partition_epoch.0 == p.leader_epoch.0));
}

/// A deletion whose outcome nobody knew may be carried out after the topic was created anew.
#[test]
fn a_deletion_that_comes_late_spares_the_next_topic_of_the_name() {
    let mut image = cluster_of(1);
    image.apply(&create("t", Some(1), None)).unwrap();
    let before = image.topics.clone();
    let late = Command::DeleteTopic { name: "t".to_owned(), id: Some(TopicId([1; 16])) };
    assert_eq!(image.apply(&late), Err(MetadataError::UnknownTopic("t".to_owned())));
    assert_eq!(image.topics, before);
}

#[test]
fn a_topic_created_again_starts_anew() {
    let mut image = cluster_of(1);
    image.apply(&create("t", Some(2), None)).unwrap();
    image.apply(&life(1, 2)).unwrap();
    assert_eq!(
        image.apply(&Command::DeleteTopic { name: "t".to_owned(), id: Some(TopicId([7; 16])) }),
        Ok(Applied::TopicDeleted(TopicId([7; 16])))
    );
    image.apply(&create("t", None, None)).unwrap();
    assert_eq!(image.topics["t"].partitions[0].leader_epoch, LeaderEpoch(0));
    assert_eq!(image.partition_count(), 1);
}

#[test]
fn producer_ids_are_granted_once() {
    let mut image = cluster_of(1);
    let grant = Command::GrantProducers { count: 100 };
    assert_eq!(image.apply(&grant), Ok(Applied::ProducersGranted { first: ProducerId(0), count: 100 }));
    assert_eq!(image.apply(&grant), Ok(Applied::ProducersGranted { first: ProducerId(100), count: 100 }));
    image.next_producer = ProducerId(i64::MAX as u64 - 50);
    assert_eq!(image.apply(&grant), Err(MetadataError::NoProducerIds));
}

#[test]
fn replicas_are_different_nodes_and_leaders_and_followers_are_spread() {
    for nodes in 1..=7_u32 {
        for factor in 1..=nodes {
            let mut image = cluster_of(nodes);
            let partitions = nodes * (nodes - 1).max(1);
            image.apply(&create("t", Some(partitions), Some(factor))).unwrap();
            let mut leads = BTreeMap::new();
            let mut pairs = BTreeMap::new();
            for partition in &image.topics["t"].partitions {
                let distinct: BTreeSet<_> = partition.replicas.iter().collect();
                assert_eq!(distinct.len(), factor as usize, "{nodes} nodes, factor {factor}: {partition:?}");
                *leads.entry(partition.replicas[0]).or_insert(0) += 1;
                if let [leader, follower, ..] = partition.replicas[..] {
                    *pairs.entry((leader, follower)).or_insert(0) += 1;
                }
            }
            assert!(leads.values().all(|count| *count == leads[&NodeId(1)]), "{leads:?}");
            assert!(pairs.values().all(|count| *count == 1), "{nodes} nodes, factor {factor}: {pairs:?}");
        }
    }
}

#[test]
fn a_new_topic_begins_where_least_is_led() {
    let mut image = cluster_of(3);
    image.apply(&create("a", Some(1), Some(1))).unwrap();
    image.apply(&create("b", Some(1), Some(1))).unwrap();
    let leader = |name: &str| image.topics[name].partitions[0].leader.unwrap().0;
    assert_eq!((leader("a"), leader("b")), (1, 2));
}
