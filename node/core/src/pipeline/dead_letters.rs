//! Records that a plugin failed on, put aside: what a topic's dead-letter topic holds.

use bytes::Bytes;
use weir_wire::batch::BatchBuilder;

use super::draft::Draft;
use super::failing::Failure;

/// Where a put-aside record comes from. The headers go behind the record's own; `weir plugins redrive` takes them off
/// again.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The topic that the record was sent to.
    pub topic: &'a str,
    /// The number of the topic's pipeline.
    pub revision: u32,
    /// The partition that its producer named, if it did.
    pub partition: Option<u32>,
    /// The SHA-256 of the plugin that failed, in hexadecimal.
    pub digest: &'a str,
}

/// The names of the headers that say why a record was put aside start with this.
pub const HEADER_PREFIX: &str = "weir.dead-letter.";

/// A batch of the records that are left of a draft, each with why it was put aside. It has the producer's fields and
/// sequence, so that sending the batch again stores it once.
#[must_use]
pub fn batch(draft: &Draft, failure: &Failure, origin: &Origin<'_>) -> Bytes {
    let header = draft.header();
    let mut builder = BatchBuilder::new(header.compression());
    builder.reserve(draft.section().len() * 2);
    let revision = origin.revision.to_string();
    let partition = origin.partition.map(|partition| partition.to_string());
    let reason = failure.to_string();
    for (position, record) in (0_u32..).zip(draft.iter()) {
        let position = position.to_string();
        let mut headers: Vec<(&str, Option<&[u8]>)> = vec![
            ("weir.dead-letter.topic", Some(origin.topic.as_bytes())),
            ("weir.dead-letter.revision", Some(revision.as_bytes())),
            ("weir.dead-letter.plugin", Some(failure.plugin.as_bytes())),
            ("weir.dead-letter.digest", Some(origin.digest.as_bytes())),
            ("weir.dead-letter.hook", Some(failure.hook.name().as_bytes())),
            ("weir.dead-letter.reason", Some(reason.as_bytes())),
            ("weir.dead-letter.position", Some(position.as_bytes())),
        ];
        headers.extend(
            failure.backtrace.as_ref().map(|trace| ("weir.dead-letter.backtrace", Some(trace.as_bytes()))),
        );
        headers.extend(
            partition.as_ref().map(|partition| ("weir.dead-letter.partition", Some(partition.as_bytes()))),
        );
        builder.push_content_at(builder.record_count(), record.timestamp_ms, &record.content(), &headers);
    }
    builder.finish(header.producer)
}
