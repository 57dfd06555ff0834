//! Prints the readings that the producer beside this folder sends, and goes on where it stopped.
//!
//! With a node on this machine (`weir node` in the same folder): `cargo run -p weir-example-consumer`. For another one
//! set `WEIR_BOOTSTRAP` and `WEIR_CERTS`.
//!
//! It keeps its positions itself, in the file `readings.positions`, and writes them after it has printed what lies
//! before them: when it is killed in between, it prints some readings again and misses none. A program whose results
//! go to a database keeps the positions there, in the same transaction, and then repeats nothing either.
#![expect(
    clippy::disallowed_methods,
    reason = "the node takes its files from outside; a program of yours opens its own"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write};

use weir_client::{
    Client, ClientConfig, ClientError, ConsumerConfig, ConsumerEvent, LeaderEpoch, Offset, Position,
    ResetPolicy, StartAt,
};

const TOPIC: &str = "readings";
const FILE: &str = "readings.positions";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::from_env()).await?;
    // Where retention has deleted what would come next, go on with the oldest that is left.
    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(config)?;

    let mut positions = read_positions()?;
    for partition in client.topic(TOPIC).await?.partitions {
        let known = positions.get(&partition.index.0).copied();
        let start = known.map_or(StartAt::Earliest, StartAt::Position);
        consumer.assign(TOPIC, partition.index, start).await?;
    }

    // Lost connections and moved leaders are not seen here: the consumer goes on by itself.
    loop {
        match consumer.next_event().await {
            Ok(ConsumerEvent::Records(batch)) => {
                let mut stdout = std::io::stdout().lock();
                for record in batch.iter() {
                    stdout.write_all(record.value.unwrap_or_default())?;
                    stdout.write_all(b"\n")?;
                }
                if let Some(position) = consumer.position(TOPIC, batch.partition()) {
                    positions.insert(batch.partition().0, position);
                    write_positions(&positions)?;
                }
            }
            // All that is stored now was printed; the next call waits for more.
            Ok(ConsumerEvent::CaughtUp { partition, high_watermark, .. }) => {
                eprintln!("partition {partition}: read up to offset {high_watermark}");
            }
            Ok(ConsumerEvent::Reset { partition, from, to, .. }) => {
                eprintln!("partition {partition}: offset {from} is not stored any more, going on at {to}");
            }
            // Only of a consumer that subscribes as a member of a group, which this one is not.
            Ok(ConsumerEvent::Group(_)) => {}
            // Only after an unclean election: what was read from there on was taken back.
            Err(ClientError::LogTruncated { topic, partition, diverges_at, .. }) => {
                eprintln!(
                    "partition {partition}: what was printed from offset {} on is gone",
                    diverges_at.offset
                );
                consumer.seek(&topic, partition, StartAt::Position(diverges_at))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A line per partition: its number, the next offset to read, and the leader epoch of the record before it, by which
/// the cluster recognises that this record is gone.
fn read_positions() -> Result<BTreeMap<u32, Position>, Box<dyn Error>> {
    let text = match fs::read_to_string(FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut positions = BTreeMap::new();
    for line in text.lines() {
        let [partition, offset, epoch] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("{FILE} is damaged; delete it to begin anew").into());
        };
        let epoch = if epoch == "-" { None } else { Some(LeaderEpoch(epoch.parse()?)) };
        positions.insert(partition.parse()?, Position { offset: Offset(offset.parse()?), epoch });
    }
    Ok(positions)
}

/// As a new file that then takes the old one's place, so that there is a whole one at any time.
fn write_positions(positions: &BTreeMap<u32, Position>) -> std::io::Result<()> {
    let mut lines = String::new();
    for (partition, Position { offset, epoch }) in positions {
        let epoch = epoch.map_or("-".to_owned(), |epoch| epoch.to_string());
        lines.push_str(&format!("{partition} {offset} {epoch}\n"));
    }
    let new = format!("{FILE}.new");
    fs::write(&new, lines)?;
    fs::rename(&new, FILE)
}
