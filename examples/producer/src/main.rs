//! Sends readings of three sensors to the topic `readings`, and says what became of them.
//!
//! With a node on this machine (`weir node` in the same folder): `cargo run -p weir-example-producer`. For another one
//! set `WEIR_BOOTSTRAP` and `WEIR_CERTS`.

use std::error::Error;
use std::time::Duration;

use weir_client::{
    Client, ClientConfig, Compression, DeliveryResult, ErrorCode, NewTopic, ProducerConfig, Record,
};

const TOPIC: &str = "readings";
const SENSORS: [&str; 3] = ["cellar", "roof", "yard"];
const READINGS: u32 = 3000;

// One thread is enough for a client, and the faster choice for one connection.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::from_env()).await?;
    match client.create_topic(NewTopic::new(TOPIC).partitions(3)).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        Err(error) => return Err(error.into()),
    }

    // The defaults keep every promise; these two lines only make larger and smaller what travels.
    let config = ProducerConfig {
        compression: Compression::Lz4,
        linger: Duration::from_millis(10),
        ..ProducerConfig::default()
    };
    let producer = client.producer(config)?;

    let mut deliveries = Vec::new();
    for (number, sensor) in (0..READINGS).zip(SENSORS.iter().cycle()) {
        let value = format!(r#"{{"sensor":"{sensor}","number":{number}}}"#);
        // Readings of one sensor share a key, so they keep their order. `send` waits while the buffer is full: a
        // program that reads faster than the cluster stores is held back here, and its memory stays bounded.
        let record = Record::to(TOPIC).key(sensor.as_bytes()).value(value.as_bytes());
        deliveries.push(producer.send(record).await?);
    }

    // A delivery ends when the record's fate is known, `delivery_timeout` later at the latest.
    let (mut stored, mut dropped, mut lost) = (0, 0, 0);
    for delivery in deliveries {
        match delivery.await {
            DeliveryResult::Stored { .. } => stored += 1,
            // An interceptor of the topic took it out, as its operator wants.
            DeliveryResult::Dropped => dropped += 1,
            // Sending it again is up to the application: for `Unknown` that may store it twice.
            DeliveryResult::Rejected(error)
            | DeliveryResult::Failed(error)
            | DeliveryResult::Unknown(error) => {
                lost += 1;
                eprintln!("{error}");
            }
        }
    }
    println!("{stored} stored, {dropped} dropped, {lost} not stored or not known to be");

    producer.close().await;
    client.close().await;
    Ok(())
}
