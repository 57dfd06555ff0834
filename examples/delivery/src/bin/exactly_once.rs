//! Exactly once: how far the work has come is stored with its results, in one transaction. A crash takes both back, or
//! neither; what is stored says where to go on, and the group only who reads what.
//!
//! `CRASH_IN_BATCH=1 cargo run -p weir-example-delivery --bin weir-example-exactly-once`; see `at_least_once.rs` beside
//! this file.

mod ledger;

use std::error::Error;

use ledger::{Ledger, TOPIC, Unread};
use rusqlite::OptionalExtension;
use weir_client::{
    Client, ClientConfig, ConsumedBatch, Consumer, ConsumerConfig, ConsumerEvent, GroupEvent, LeaderEpoch,
    Offset, PartitionIndex, Position, ResetPolicy, StartAt,
};

/// Where to go on in each partition: the next offset, and the leader epoch of the record before it, by which the cluster
/// recognises that this record is gone.
const POSITIONS: &str = "CREATE TABLE IF NOT EXISTS positions \
                         (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL, epoch INTEGER)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::from_env()).await?;
    let config = ConsumerConfig {
        group: Some("exactly-once".to_owned()),
        reset: ResetPolicy::Earliest,
        auto_commit: false,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    let mut ledger = Ledger::open("exactly-once.db")?;
    ledger.connection.execute(POSITIONS, ())?;
    let mut unread = Unread::new();
    loop {
        let event = consumer.next_event().await?;
        match &event {
            // Before the next event is asked for: nothing of these partitions was read yet. What the group remembers
            // may be anything.
            ConsumerEvent::Group(GroupEvent::Assigned { partitions }) => {
                for (topic, partition) in partitions {
                    consumer.seek(topic, *partition, start(&ledger, *partition)?)?;
                }
            }
            ConsumerEvent::Records(batch) => {
                let partition = batch.partition();
                if !book(&mut ledger, &consumer, batch)? {
                    eprintln!("another member has booked more of partition {partition} already");
                    consumer.seek(TOPIC, partition, start(&ledger, partition)?)?;
                }
            }
            _ => {}
        }
        if unread.is_nothing_after(&event) {
            break;
        }
    }
    consumer.close().await?;
    client.close().await;
    ledger.tell()
}

/// Where to go on.
fn start(ledger: &Ledger, partition: PartitionIndex) -> Result<StartAt, Box<dyn Error>> {
    Ok(stored(ledger, partition)?.map_or(StartAt::Earliest, StartAt::Position))
}

fn stored(ledger: &Ledger, partition: PartitionIndex) -> Result<Option<Position>, Box<dyn Error>> {
    let select = "SELECT next, epoch FROM positions WHERE partition = ?";
    let found = ledger.connection.query_row(select, [partition.0], |row| {
        let epoch: Option<u32> = row.get(1)?;
        Ok(Position { offset: Offset(row.get(0)?), epoch: epoch.map(LeaderEpoch) })
    });
    Ok(found.optional()?)
}

/// Books the payments and how far that goes, together. Returns `false`, and books nothing, if somebody else has booked
/// them: a member that was held up for longer than its session does not know yet that it is one no more.
fn book(ledger: &mut Ledger, consumer: &Consumer, batch: &ConsumedBatch) -> Result<bool, Box<dyn Error>> {
    let partition = batch.partition();
    let Some(behind) = consumer.position(TOPIC, partition) else { return Ok(true) };
    let first = batch.iter().next().map_or(behind.offset, |record| record.offset);
    eprintln!("{} payments of partition {partition} from offset {first}", batch.record_count());
    // Nobody else writes between this and the commit.
    ledger.connection.execute_batch("BEGIN IMMEDIATE")?;
    if stored(ledger, partition)?.is_some_and(|stored| stored.offset > first) {
        ledger.connection.execute_batch("ROLLBACK")?;
        return Ok(false);
    }
    ledger.book_all(batch)?;
    let upsert = "INSERT INTO positions VALUES (?1, ?2, ?3) \
                  ON CONFLICT (partition) DO UPDATE SET next = ?2, epoch = ?3";
    let epoch = behind.epoch.map(|epoch| epoch.0);
    ledger.connection.execute(upsert, (partition.0, behind.offset.0, epoch))?;
    ledger.connection.execute_batch("COMMIT")?;
    Ok(true)
}
