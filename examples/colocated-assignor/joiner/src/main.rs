//! Joins two topics by key: prints the keys of which it saw a record in both, and on stderr what it holds alone.
//!
//! `weir-example-joiner GROUP TOPIC TOPIC`; where the node is says the environment, as for `weir`. Several of them share the
//! work as members of the group. Each only sees its own partitions, so that they find all pairs only if equal partitions
//! of both topics are with the same member, which is what the assignor beside this folder is for.
//!
//! What it has seen is in its memory. So it commits nothing, and reads a partition that it is given from the start.

use std::collections::BTreeMap;
use std::error::Error;

use weir_client::{
    Client, ClientConfig, ConsumerConfig, ConsumerEvent, GroupEvent, PartitionIndex, ResetPolicy, StartAt,
};

/// Keys of which one record was seen: in which topic.
type Halves = BTreeMap<(PartitionIndex, Vec<u8>), String>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let [group, one, other] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|given| format!("weir-example-joiner takes a group and two topics, not {given:?}"))?;
    let client = Client::connect(ClientConfig::from_env()).await?;
    let config = ConsumerConfig {
        group: Some(group),
        auto_commit: false,
        reset: ResetPolicy::Earliest,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([one, other])?;

    let mut halves = Halves::new();
    loop {
        match consumer.next_event().await? {
            ConsumerEvent::Records(batch) => {
                for record in batch.iter() {
                    let key = record.key.unwrap_or_default();
                    join(&mut halves, batch.topic(), batch.partition(), key);
                }
            }
            ConsumerEvent::Group(GroupEvent::Assigned { partitions }) => {
                for (topic, partition) in partitions {
                    consumer.seek(&topic, partition, StartAt::Earliest)?;
                }
            }
            ConsumerEvent::Group(GroupEvent::Revoked { partitions } | GroupEvent::Lost { partitions }) => {
                for (topic, partition) in partitions {
                    halves.retain(|(of, _), seen_in| *of != partition || *seen_in != topic);
                }
            }
            ConsumerEvent::CaughtUp { .. } | ConsumerEvent::Reset { .. } => {}
        }
    }
}

fn join(halves: &mut Halves, topic: &str, partition: PartitionIndex, key: &[u8]) {
    let name = String::from_utf8_lossy(key);
    let place = (partition, key.to_vec());
    if halves.get(&place).is_some_and(|seen_in| seen_in != topic) {
        halves.remove(&place);
        println!("{name}");
    } else {
        halves.insert(place, topic.to_owned());
        eprintln!("{topic} {name}");
    }
}
