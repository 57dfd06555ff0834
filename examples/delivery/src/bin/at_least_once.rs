//! At least once: first the work, then the commit. What a crash leaves uncommitted is read again: payments are booked
//! twice, and none is missing.
//!
//! With a node on this machine (`weir node` in the same folder) and numbers in the topic (`seq 1000 | weir produce
//! payments`): `CRASH_IN_BATCH=1 cargo run -p weir-example-delivery --bin weir-example-at-least-once`, and again without
//! the crash. The group waits for the session of the one that crashed to end before others go on. With `KEEP_READING=1` a
//! program waits for more payments at the end; several of them share the partitions, and the file.

mod ledger;

use std::error::Error;

use ledger::{Ledger, TOPIC, Unread};
use weir_client::{Client, ClientConfig, ConsumerConfig, ConsumerEvent, ResetPolicy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::from_env()).await?;
    let config = ConsumerConfig {
        group: Some("at-least-once".to_owned()),
        reset: ResetPolicy::Earliest,
        // Left on, commits happen by themselves, when the application asks for more: at least once too, in fewer steps.
        auto_commit: false,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    let mut ledger = Ledger::open("at-least-once.db")?;
    let mut unread = Unread::new();
    loop {
        let event = consumer.next_event().await?;
        if let ConsumerEvent::Records(batch) = &event {
            ledger.book_all(batch)?;
            if let Err(error) = consumer.commit().await {
                // Such as that the partition is another member's by now, which then books these once more.
                eprintln!("these payments will be read again: {error}");
            }
        }
        if unread.is_nothing_after(&event) {
            break;
        }
    }
    consumer.close().await?;
    client.close().await;
    ledger.tell()
}
