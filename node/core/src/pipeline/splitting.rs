//! Taking a batch apart by partition.

use bytes::Bytes;
use weir_wire::batch::{BatchBuilder, BatchHeader, RecordRef};

use super::placing::Placement;

/// The parts of a batch as batches of their own, in the order of the placement's parts: same codec, same producer
/// fields, same base sequence, dense offsets.
///
/// # Panics
/// If the placement does not cover the records: it was made from them.
pub fn split<'r>(
    header: &BatchHeader,
    records: impl IntoIterator<Item = RecordRef<'r>>,
    placement: &Placement,
) -> Vec<Bytes> {
    let mut builders: Vec<_> =
        placement.parts.iter().map(|_| BatchBuilder::new(header.compression())).collect();
    let mut rest = records.into_iter();
    for run in &placement.runs {
        for _ in 0..run.records {
            let record = rest.next().expect("a placement covers exactly the records of its batch");
            builders[run.outcome as usize].push_record(&record);
        }
    }
    assert!(rest.next().is_none(), "a placement covers exactly the records of its batch");
    builders.iter_mut().map(|builder| builder.finish(header.producer)).collect()
}

#[cfg(test)]
mod tests {
    use weir_wire::batch::{self, Compression, Limits, ProducerFields};
    use weir_wire::ids::{PartitionIndex, ProducerEpoch, ProducerId, Sequence};
    use weir_wire::lane::Run;

    use super::*;

    #[test]
    fn parts_keep_order_timestamps_and_the_batchs_sequence() {
        for compression in [Compression::None, Compression::Zstd] {
            let mut builder = BatchBuilder::new(compression);
            for (n, key) in (0_i64..).zip(["a", "b", "a", "c", "b"]) {
                builder.push(100 + n, Some(key.as_bytes()), Some(format!("v{n}").as_bytes()), &[("h", None)]);
            }
            let producer =
                ProducerFields { id: ProducerId(7), epoch: ProducerEpoch(1), base_sequence: Sequence(50) };
            let whole = builder.finish(Some(producer));
            let (header, records) = batch::validate(&whole, &Limits::default()).unwrap();
            let placement = Placement {
                parts: vec![PartitionIndex(4), PartitionIndex(1)],
                settled: Vec::new(),
                runs: [(1, 0), (1, 1), (2, 0), (1, 1)]
                    .map(|(records, outcome)| Run { records, outcome })
                    .to_vec(),
                has_gaps: false,
                dead_letters: None,
            };
            let parts = split(&header, &records, &placement);
            let described: Vec<_> = parts
                .iter()
                .map(|part| {
                    let (header, records) = batch::validate(part, &Limits::default()).unwrap();
                    assert_eq!((header.producer, header.compression()), (Some(producer), compression));
                    let line = |record: batch::RecordRef<'_>| {
                        let value = String::from_utf8_lossy(record.value.unwrap()).into_owned();
                        (record.offset_delta, record.timestamp_ms, value, record.headers.count())
                    };
                    records.iter().map(line).collect::<Vec<_>>()
                })
                .collect();
            let line = |delta, timestamp, value: &str| (delta, timestamp, value.to_owned(), 1);
            assert_eq!(
                described,
                [
                    vec![line(0, 100, "v0"), line(1, 102, "v2"), line(2, 103, "v3")],
                    vec![line(0, 101, "v1"), line(1, 104, "v4")],
                ]
            );
        }
    }
}
