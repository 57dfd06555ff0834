//! What a consumer counts.

/// What a consumer has done so far. Counts only rise.
///
/// ```no_run
/// # fn example(consumer: &weir_client::Consumer) {
/// let metrics = consumer.metrics();
/// println!("{} records in {} batches", metrics.records, metrics.batches);
/// for (topic, partition) in consumer.assignment() {
///     println!("{topic}-{partition} is {:?} records behind", consumer.lag(&topic, partition));
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMetrics {
    /// Batches handed out.
    pub batches: u64,
    /// Their bytes as they travelled, in front of unpacking.
    pub bytes: u64,
    /// Records handed out: those of the batches from the position on.
    pub records: u64,
    /// Times that a partition was subscribed: at first, after a seek, and each time that its leader was lost or moved.
    pub subscriptions: u64,
    /// Positions that the reset policy chose.
    pub resets: u64,
}
