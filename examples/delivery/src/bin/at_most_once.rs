//! At most once: first the commit, then the work. What a crash leaves undone is not read again: payments are missing,
//! and none is booked twice.
//!
//! `CRASH_IN_BATCH=1 cargo run -p weir-example-delivery --bin weir-example-at-most-once`; see `at_least_once.rs` beside
//! this file.

mod ledger;

use std::error::Error;

use ledger::{Ledger, TOPIC, Unread};
use weir_client::{Client, ClientConfig, ConsumerConfig, ConsumerEvent, ResetPolicy};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::from_env()).await?;
    let config = ConsumerConfig {
        group: Some("at-most-once".to_owned()),
        reset: ResetPolicy::Earliest,
        auto_commit: false,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    let mut ledger = Ledger::open("at-most-once.db")?;
    let mut unread = Unread::new();
    loop {
        let event = consumer.next_event().await?;
        if let ConsumerEvent::Records(batch) = &event {
            match consumer.commit().await {
                Ok(()) => ledger.book_all(batch)?,
                // Whether it is stored nobody knows, and another member may have these: booking them could be twice.
                Err(error) => eprintln!("these payments may be missing: {error}"),
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
