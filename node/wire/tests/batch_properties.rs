//! What holds for any batch and any bytes.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod batch_support;

use batch_support::{CODECS, batch_of, fix_crc, packed, plain_records};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use weir_wire::batch::{
    BatchBuilder, BatchError, BatchHeader, Compression, Content, HEADER_BYTES, Limits, PIECE_BYTES, Piece,
    ProducerFields, check, control, records, total_bytes, validate,
};
use weir_wire::ids::{ProducerEpoch, ProducerId, Sequence};

#[derive(Clone, Debug)]
struct AnyRecord {
    gap: u32,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn any_record() -> impl Strategy<Value = AnyRecord> {
    let bytes = || option::of(vec(any::<u8>(), 0..200));
    (0..1000_u32, any::<i64>(), bytes(), bytes(), vec((".{0,5}", option::of(vec(any::<u8>(), 0..20))), 0..4))
        .prop_map(|(gap, timestamp_ms, key, value, headers)| AnyRecord {
            gap,
            timestamp_ms,
            key,
            value,
            headers,
        })
}

fn any_producer() -> impl Strategy<Value = Option<ProducerFields>> {
    let fields = (0..=i64::MAX.unsigned_abs(), 0..=i16::MAX.unsigned_abs(), 0..=i32::MAX.unsigned_abs());
    option::of(fields.prop_map(|(id, epoch, base_sequence)| ProducerFields {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(base_sequence),
    }))
}

/// The batch of these records, and their offset deltas: with their gaps, or without.
fn build(
    compression: Compression,
    all: &[AnyRecord],
    producer: Option<ProducerFields>,
    gaps: bool,
) -> (Bytes, Vec<u32>) {
    let mut builder = BatchBuilder::new(compression);
    let mut deltas = Vec::new();
    let mut next = 0;
    for record in all {
        let delta = if gaps { next + record.gap } else { next };
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        builder.push_at(delta, record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers);
        deltas.push(delta);
        next = delta + 1;
    }
    (builder.finish(producer), deltas)
}

/// Every reader, on whatever bytes: they answer, and where they accept, what they hand out can be walked.
fn read_everything(bytes: &Bytes, limits: &Limits) {
    let header = BatchHeader::parse(bytes);
    let _ = total_bytes(bytes);
    let checked = check(bytes, limits);
    let validated = validate(bytes, limits);
    let read = records(bytes, limits);
    if let Ok((valid, found)) = validated {
        assert_eq!(header, Ok(valid));
        assert_eq!(checked, Ok(valid));
        let stored = read.as_ref().expect("what a producer may send can be stored");
        assert_eq!(found.len(), stored.len());
    }
    if let Ok(found) = read {
        let covered = found.header().next_offset();
        for record in &found {
            assert!(found.header().base_offset + u64::from(record.offset_delta) < covered);
            assert_eq!(record.headers.len(), record.headers.count());
        }
        assert_eq!(found.clone().into_iter().map(|record| record.headers.count()).len(), found.len());
        let _ = control::decode(&found);
    }
}

proptest! {
    #[test]
    fn any_records_read_back_as_they_were_pushed(
        compression in select(Compression::ALL.to_vec()),
        all in vec(any_record(), 1..30),
        producer in any_producer(),
        gaps: bool,
    ) {
        let (batch, deltas) = build(compression, &all, producer, gaps);
        let limits = Limits::default();
        let header = check(&batch, &limits).unwrap();
        prop_assert_eq!(header.producer, producer);
        prop_assert_eq!(header.record_count as usize, all.len());
        prop_assert_eq!(Some(header.last_offset_delta), deltas.last().copied());
        prop_assert_eq!(Some(header.max_timestamp_ms), all.iter().map(|record| record.timestamp_ms).max());
        let dense = deltas.iter().copied().eq(0..header.record_count);
        prop_assert_eq!(validate(&batch, &limits).is_ok(), dense);

        let read = records(&batch, &limits).unwrap();
        let lengths: Vec<usize> = read.iter().map(|record| record.raw.len()).collect();
        for bytes_max in [0, 1, 40, 200] {
            check_pieces(&lengths, &read.iter().pieces(bytes_max), bytes_max);
        }
        for ((record, pushed), delta) in read.iter().zip(&all).zip(deltas) {
            prop_assert_eq!(record.offset_delta, delta);
            prop_assert_eq!(record.timestamp_ms, pushed.timestamp_ms);
            prop_assert_eq!(record.key, pushed.key.as_deref());
            prop_assert_eq!(record.value, pushed.value.as_deref());
            let headers: Vec<_> =
                pushed.headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            prop_assert_eq!(record.headers.collect::<Vec<_>>(), headers);
        }
    }

    /// Copying every record of a batch into a new one gives the same batch.
    #[test]
    fn a_batch_copied_record_by_record_is_the_same(all in vec(any_record(), 1..30), gaps: bool) {
        let (batch, _) = build(Compression::None, &all, None, gaps);
        let read = records(&batch, &Limits::default()).unwrap();
        let mut builder = BatchBuilder::new(Compression::None);
        for record in &read {
            builder.push_record_at(record.offset_delta, &record);
        }
        prop_assert_eq!(builder.finish(None), batch);
    }

    /// Copying the content of records and appending headers gives the batch that was pushed with all of them at once, and
    /// what a builder shows of it on the way is what is read later.
    #[test]
    fn headers_appended_to_copied_content_stand_behind_its_own(all in vec(any_record(), 1..30), gaps: bool) {
        let (batch, deltas) = build(Compression::None, &all, None, gaps);
        let (split, whole): (Vec<_>, Vec<_>) = all
            .iter()
            .map(|record| {
                let (kept, appended) = record.headers.split_at(record.headers.len() / 2);
                (AnyRecord { headers: kept.to_vec(), ..record.clone() }, appended.to_vec())
            })
            .unzip();
        let (less, _) = build(Compression::None, &split, None, gaps);
        let read = records(&less, &Limits::default()).unwrap();
        let mut builder = BatchBuilder::new(Compression::None);
        for ((record, appended), delta) in read.iter().zip(&whole).zip(&deltas) {
            let appended: Vec<_> =
                appended.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            builder.push_content_at(*delta, record.timestamp_ms, &record.content(), &appended);
        }
        prop_assert_eq!(builder.section(), &batch[HEADER_BYTES..]);
        let seen: Vec<_> = builder.iter().map(|record| (record.offset_delta, record.timestamp_ms)).collect();
        let pushed: Vec<_> = deltas.into_iter().zip(all.iter().map(|record| record.timestamp_ms)).collect();
        prop_assert_eq!(seen, pushed);
        prop_assert_eq!(builder.finish(None), batch);
    }

    /// Content is read as it was written, and whatever else comes instead is answered.
    #[test]
    fn content_reads_back_or_is_refused(record in any_record(), noise in vec(any::<u8>(), 0..60)) {
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let mut bytes = Vec::new();
        Content::encode(record.key.as_deref(), record.value.as_deref(), &headers, &mut bytes);
        let content = Content::parse(&bytes).unwrap();
        prop_assert_eq!((content.key, content.value), (record.key.as_deref(), record.value.as_deref()));
        prop_assert_eq!(content.headers.collect::<Vec<_>>(), headers);
        prop_assert!(Content::parse(&bytes[..bytes.len() - 1]).is_err());
        bytes.push(0);
        prop_assert!(Content::parse(&bytes).is_err());
        if let Ok(content) = Content::parse(&noise) {
            prop_assert_eq!(content.headers.len(), content.headers.count());
        }
    }

    #[test]
    fn arbitrary_bytes_are_answered(bytes in vec(any::<u8>(), 0..300)) {
        read_everything(&bytes.into(), &Limits::default());
    }

    /// Past the checksum: arbitrary records under a header that is right.
    #[test]
    fn arbitrary_records_are_answered(
        compression in select(Compression::ALL.to_vec()),
        count in 0..20_u32,
        body in vec(prop_oneof![3 => 0..20_u8, 1 => any::<u8>()], 0..300),
    ) {
        read_everything(&batch_of(compression, count, &body), &Limits::default());
    }

    /// Deeper still: bytes changed in good records, and good frames around bad records and bad frames around good ones.
    #[test]
    fn changed_batches_are_answered(
        compression in select(Compression::ALL.to_vec()),
        changes in vec((any::<Index>(), any::<u8>()), 1..6),
        before_packing: bool,
        header_too: bool,
    ) {
        let mut plain = plain_records(20, 30).to_vec();
        let change = |bytes: &mut [u8]| {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
        };
        if before_packing {
            change(&mut plain);
        }
        let mut batch = batch_of(compression, 20, &packed(compression, &plain)).to_vec();
        if !before_packing {
            change(&mut batch[if header_too { 0 } else { HEADER_BYTES }..]);
            fix_crc(&mut batch);
        }
        let limits = Limits { uncompressed_bytes_max: 100_000, ..Limits::default() };
        read_everything(&batch.into(), &limits);
    }
}

#[test]
fn every_flipped_bit_is_noticed_unless_it_lies_outside_the_checksum() {
    let limits = Limits::default();
    for compression in Compression::ALL {
        let good = batch_of(compression, 5, &packed(compression, &plain_records(5, 40)));
        validate(&good, &limits).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = check(&bytes, &limits).is_ok();
            // Base offset and leader epoch, which the leader stamps; the sign bits and the like are noticed there too.
            let unprotected = (0..64).contains(&bit) || (96..128).contains(&bit);
            assert!(!accepted || unprotected, "{compression}: bit {bit} flipped unnoticed");
            if unprotected {
                // Where it is accepted at all, nothing else of the batch is read differently.
                let found = records(&bytes.into(), &limits);
                assert_eq!(found.is_ok(), accepted);
                assert!(found.is_err() || found.is_ok_and(|found| found.len() == 5));
            }
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    let limits = Limits::default();
    for compression in Compression::ALL {
        let good = batch_of(compression, 5, &packed(compression, &plain_records(5, 40)));
        for length in 0..good.len() {
            let cut = good.slice(..length);
            for error in [check(&cut, &limits).unwrap_err(), records(&cut, &limits).unwrap_err()] {
                assert!(
                    matches!(error, BatchError::TooShort { .. }),
                    "{compression} cut to {length}: {error}"
                );
            }
            // The same cut, but the length field tells of it: then the checksum does, and past that the records.
            if length < HEADER_BYTES {
                continue;
            }
            let mut told = cut.to_vec();
            told[8..12].copy_from_slice(&u32::try_from(length - 12).unwrap().to_be_bytes());
            assert!(matches!(check(&told, &limits), Err(BatchError::CrcMismatch { .. })));
            fix_crc(&mut told);
            assert!(validate(&told.into(), &limits).is_err(), "{compression} cut to {length}");
        }
    }
}

#[test]
fn packed_records_are_checked_as_plain_ones_are() {
    for compression in CODECS {
        let plain = plain_records(5, 40);
        let with_more = packed(compression, &[&plain[..], b"?"].concat());
        let error = validate(&batch_of(compression, 5, &with_more), &Limits::default()).unwrap_err();
        assert_eq!(error, BatchError::CorruptRecords { records: 5, extra: 1 });
        let with_less = packed(compression, &plain[..plain.len() - 1]);
        let error = validate(&batch_of(compression, 5, &with_less), &Limits::default()).unwrap_err();
        assert!(matches!(error, BatchError::CorruptRecord { index: 4, .. }), "{error}");
    }
}

/// Pieces go over all records in order, and none could take in the first record of the next.
fn check_pieces(lengths: &[usize], pieces: &[Piece], bytes_max: usize) {
    if pieces.is_empty() {
        assert!(lengths.len() == 1 || lengths.iter().sum::<usize>() <= bytes_max);
        return;
    }
    let mut rest = lengths;
    for piece in pieces {
        let (own, others) = rest.split_at(piece.count as usize);
        assert_eq!(own.iter().sum::<usize>(), piece.bytes);
        assert!(piece.count == 1 || piece.bytes <= bytes_max);
        assert!(others.first().is_none_or(|next| piece.bytes + next > bytes_max));
        rest = others;
    }
    assert!(rest.is_empty());
}

#[test]
fn the_pieces_of_a_long_batch_are_known_once_it_is_checked() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        for bytes in (0..300).map(|number| number * 7 % 1000).chain([PIECE_BYTES, 5, 2 * PIECE_BYTES, 1]) {
            builder.push(1, None, Some(&vec![b'v'; bytes]), &[]);
        }
        let batch = builder.finish(None);
        let (_, sent) = validate(&batch, &Limits::default()).unwrap();
        let stored = records(&batch, &Limits::default()).unwrap();
        let lengths: Vec<usize> = sent.iter().map(|record| record.raw.len()).collect();
        check_pieces(&lengths, sent.pieces(), PIECE_BYTES);
        assert!(sent.pieces().len() > 4);
        assert_eq!(sent.pieces(), stored.pieces());
        assert_eq!(sent.pieces(), sent.clone().repacked(Compression::None).1.pieces());
    }
}
