//! Peak shaving: ten times as much is offered as a node can store. The producers wait, the node's memory stays bounded,
//! and nothing that was acknowledged is lost.
//!
//! `WEIR_BURST_SECONDS=30 cargo test --release -p weir-tests --test cluster bursts` is the long form.

use std::time::{Duration, Instant};

use weir_client::{
    Client, ClientConfig, ConsumerConfig, Delivery, Offset, OffsetSpec, PartitionIndex, Producer,
    ProducerConfig, Record, StartAt,
};
use weir_tests::book::Book;

use super::{Place, setting};

const TOPIC: &str = "peak";
/// Each on a connection of its own, and each with as much to offer as all of them together can get stored.
const PRODUCERS: u64 = 10;
/// How long the burst lasts, unless the variable `WEIR_BURST_SECONDS` says otherwise.
const BURST_SECONDS: u64 = 5;
/// For how long it is measured what can be stored.
const MEASURED: Duration = Duration::from_secs(2);
const RECORD_BYTES: usize = 1000;
/// Of one producer. It may be under way as a whole, so that it is the node that holds the producer back.
const BUFFER_BYTES: u32 = 1024 * 1024;
/// How much more memory a node may take for all that it is offered: the windows of ten connections at 4 MiB, the tail of
/// the log, and what waits to be written.
const MEMORY_BYTES_MAX: u64 = 60 * 1024 * 1024;
/// How long anything may take on a busy machine once the burst is over.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often records come.
const TICK_MS: u64 = 10;
/// The burst ends early where a fast disk took so many records, three gigabytes: others want room on it too.
const RECORDS_MAX: u64 = 3_000_000;

#[test]
fn a_burst_is_held_back_and_stored_in_bounded_memory_and_without_loss() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(burst(Duration::from_secs(setting("WEIR_BURST_SECONDS").unwrap_or(BURST_SECONDS))));
}

async fn burst(lasting: Duration) {
    let place = Place::new();
    place.create(TOPIC, &[]);
    let mut offers = Vec::new();
    for process in 0..PRODUCERS {
        offers.push(Offer::new(&place, process).await);
    }
    let before = place.node.resident_bytes();

    let measured = offer(&mut offers, None, MEASURED).await;
    let per_second = measured.stored_per_second();
    let burst = offer(&mut offers, Some(per_second), lasting).await;
    let asked = PRODUCERS * per_second * u64::try_from(burst.took.as_millis()).unwrap() / 1000;
    println!("{per_second} records/s can be stored, and {asked} records were offered in {:?}:", burst.took);
    println!("{} were taken, and {} stored a second", burst.taken, burst.stored_per_second());
    println!("the {PRODUCERS} producers waited {:?} for room, all together", burst.waited);

    // Back-pressure reaches the caller: what the node does not store, and the buffers do not hold, is not taken.
    let buffered = PRODUCERS * u64::from(BUFFER_BYTES) / RECORD_BYTES as u64;
    assert!(burst.taken < asked / 4 + buffered, "of {asked} records {} were taken", burst.taken);
    let patient = burst.took * u32::try_from(PRODUCERS).unwrap() / 2;
    assert!(burst.waited > patient, "producers waited for room {:?} all together", burst.waited);
    let mut book = Book::default();
    for offer in offers {
        offer.finish(&mut book).await;
    }
    let grown = place.node.peak_resident_bytes().saturating_sub(before);
    println!("the node took {grown} bytes more than before");
    assert!(grown <= MEMORY_BYTES_MAX, "the node took {grown} bytes more than before the burst");

    tokio::time::timeout(PATIENCE, read_all(&place, &mut book)).await.expect("what was stored can be read");
    let report = book.assert_kept();
    assert_eq!(report.acknowledged, report.sent, "every record got its answer");
    println!("{} records acknowledged, {} read", report.acknowledged, report.read);
    place.assert_serves();
}

/// What came of an offer by all producers.
struct Offered {
    taken: u64,
    stored: u64,
    /// How long all of them waited for room, together.
    waited: Duration,
    took: Duration,
}

impl Offered {
    fn stored_per_second(&self) -> u64 {
        self.stored * 1000 / u64::try_from(self.took.as_millis()).unwrap()
    }
}

/// All producers offer for so long, each so many records a second, or all that are taken.
async fn offer(offers: &mut Vec<Offer>, rate: Option<u64>, lasting: Duration) -> Offered {
    let sum = |offers: &[Offer]| {
        let all = offers.iter().map(|offer| offer.producer.metrics());
        all.fold((0, 0, Duration::ZERO), |(taken, stored, waited), metrics| {
            (taken + metrics.records, stored + metrics.stored, waited + metrics.buffer_wait)
        })
    };
    let before = sum(offers);
    let since = Instant::now();
    let offering: Vec<_> =
        offers.drain(..).map(|offer| tokio::spawn(offer.go(rate, since + lasting))).collect();
    for offer in offering {
        offers.push(offer.await.unwrap());
    }
    let after = sum(offers);
    Offered {
        taken: after.0 - before.0,
        stored: after.1 - before.1,
        waited: after.2 - before.2,
        took: since.elapsed(),
    }
}

/// A producer, and what became of all that was taken from it.
struct Offer {
    process: u64,
    client: Client,
    producer: Producer,
    deliveries: Vec<Delivery>,
}

impl Offer {
    async fn new(place: &Place, process: u64) -> Offer {
        let client = connect(place).await;
        let config = ProducerConfig {
            buffer_bytes: BUFFER_BYTES,
            in_flight_batches: 64,
            max_block: PATIENCE,
            delivery_timeout: PATIENCE,
            ..ProducerConfig::default()
        };
        let producer = client.producer(config).unwrap();
        Offer { process, client, producer, deliveries: Vec::new() }
    }

    /// Offers records until then, so many a second: those that were not taken when they came are offered late.
    async fn go(mut self, rate: Option<u64>, until: Instant) -> Offer {
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
        let at_a_time = rate.map_or(u64::MAX, |rate| (rate * TICK_MS / 1000).max(1));
        // Who gives up a send that waits has sent nothing.
        let offering = async {
            let mut value = Vec::with_capacity(RECORD_BYTES);
            loop {
                ticks.tick().await;
                for _ in 0..at_a_time {
                    if self.deliveries.len() as u64 >= RECORDS_MAX / PRODUCERS {
                        return;
                    }
                    write_value(number(self.process, self.deliveries.len()), &mut value);
                    let sent = self.producer.send(Record::to(TOPIC).value(&value)).await;
                    self.deliveries.push(sent.unwrap());
                }
            }
        };
        let _ = tokio::time::timeout_at(until.into(), offering).await;
        self
    }

    /// Waits for all results, and writes them down.
    async fn finish(self, book: &mut Book) {
        self.producer.close().await;
        for (index, delivery) in self.deliveries.into_iter().enumerate() {
            let number = number(self.process, index);
            // One producer has one lane in a topic of one partition, and a lane keeps its order.
            let process = u32::try_from(self.process).unwrap();
            book.sent(process, number, Some(&process.to_string()));
            book.told(number, &delivery.await);
        }
        self.client.close().await;
    }
}

/// Reads the topic to its end, a batch at a time.
async fn read_all(place: &Place, book: &mut Book) {
    let client = connect(place).await;
    let partition = PartitionIndex(0);
    let end = client.list_offsets(TOPIC, &[(partition, OffsetSpec::Latest)]).await.unwrap()[0].offset;
    let mut consumer = client.consumer(ConsumerConfig::default()).unwrap();
    consumer.assign(TOPIC, partition, StartAt::Earliest).await.unwrap();
    let reader = book.reader();
    let mut scratch = Vec::with_capacity(RECORD_BYTES);
    let mut next = Offset::ZERO;
    while next < end {
        let batch = consumer.next_batch().await.unwrap();
        book.read_batch(reader, &batch, |record| number_of(record.value?, &mut scratch));
        next = batch.next_offset();
    }
    client.close().await;
}

async fn connect(place: &Place) -> Client {
    let address = place.node.address().to_string();
    Client::connect(ClientConfig::new([address], place.node.certs())).await.unwrap()
}

fn number(process: u64, index: usize) -> u64 {
    process * RECORDS_MAX + index as u64
}

/// The number, and bytes that follow from it.
fn write_value(number: u64, value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&number.to_le_bytes());
    value.resize(RECORD_BYTES, number.to_le_bytes()[0]);
}

/// `None` where the bytes are not what was sent.
fn number_of(value: &[u8], scratch: &mut Vec<u8>) -> Option<u64> {
    let number = u64::from_le_bytes(*value.first_chunk()?);
    write_value(number, scratch);
    (scratch == value).then_some(number)
}
