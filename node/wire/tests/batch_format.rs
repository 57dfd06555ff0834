//! What our own batches look like, byte for byte, and what each refusal says.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use bytes::Bytes;
use expect_test::expect;
use weir_wire::batch::control::{self, ControlRecord, PluginDigest, RevisionMarker};
use weir_wire::batch::{
    Attributes, BatchBuilder, BatchError, BatchErrorClass, BatchHeader, Compression, HEADER_BYTES, Limits,
    ProducerFields, UNSTAMPED_EPOCH, check, records, stamp, total_bytes, validate,
};
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Revision, Sequence};

const TIME: i64 = 1_700_000_000_000;

fn producer(base_sequence: u32) -> Option<ProducerFields> {
    Some(ProducerFields {
        id: ProducerId(4711),
        epoch: ProducerEpoch(3),
        base_sequence: Sequence(base_sequence),
    })
}

/// Three records: with key, value and headers; without either; with an earlier time.
fn sample(compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    builder.push(
        TIME,
        Some(b"key"),
        Some(b"value"),
        &[("trace", Some(b"\x01\x02")), ("note", None), ("note", Some(b""))],
    );
    builder.push(TIME + 70, None, None, &[]);
    builder.push(TIME - 1, Some(b""), Some(&[b'x'; 100]), &[]);
    builder.finish(producer(17))
}

/// The batch with some of its bytes replaced, and the checksum put right again if asked.
fn changed(batch: &[u8], at: usize, bytes: &[u8], fix_crc: bool) -> Bytes {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    if fix_crc {
        let crc = crc_fast::crc32_iscsi(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    batch.into()
}

fn dump(bytes: &[u8]) -> String {
    let line = |line: &[u8]| {
        let hex: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            line.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' }).collect();
        format!("{:<47}  {text}\n", hex.join(" "))
    };
    bytes.chunks(16).map(line).collect()
}

#[test]
fn golden_bytes_of_a_batch() {
    expect![[r#"
        00 00 00 00 00 00 00 00 00 00 00 ca ff ff ff ff  ................
        02 b6 bf 59 82 00 00 00 00 00 02 00 00 01 8b cf  ...Y............
        e5 68 00 00 00 01 8b cf e5 68 46 00 00 00 00 00  .h.......hF.....
        00 12 67 00 03 00 00 00 11 00 00 00 03 46 00 00  ..g..........F..
        00 06 6b 65 79 0a 76 61 6c 75 65 06 0a 74 72 61  ..key.value..tra
        63 65 04 01 02 08 6e 6f 74 65 01 08 6e 6f 74 65  ce....note..note
        00 0e 00 8c 01 02 01 01 00 d6 01 00 01 04 00 c8  ................
        01 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  .xxxxxxxxxxxxxxx
        78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  xxxxxxxxxxxxxxxx
        78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  xxxxxxxxxxxxxxxx
        78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  xxxxxxxxxxxxxxxx
        78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  xxxxxxxxxxxxxxxx
        78 78 78 78 78 78 78 78 78 78 78 78 78 78 78 78  xxxxxxxxxxxxxxxx
        78 78 78 78 78 00                                xxxxx.
    "#]]
    .assert_eq(&dump(&sample(Compression::None)));
}

#[test]
fn golden_bytes_of_a_revision_marker() {
    let marker = RevisionMarker {
        revision: Revision(12),
        plugins: vec![
            PluginDigest { name: "redact@1.2.0".to_owned(), sha256: [0xab; 32] },
            PluginDigest { name: "murmur2@1".to_owned(), sha256: [0xcd; 32] },
        ],
    };
    let batch = control::encode_revision(&marker, TIME);
    expect![[r#"
        00 00 00 00 00 00 00 00 00 00 00 9f ff ff ff ff  ................
        02 1d 85 79 2f 00 20 00 00 00 00 00 00 01 8b cf  ...y/...........
        e5 68 00 00 00 01 8b cf e5 68 00 ff ff ff ff ff  .h.......h......
        ff ff ff ff ff ff ff ff ff 00 00 00 01 d8 01 00  ................
        00 00 08 00 00 57 65 c2 01 00 01 00 00 00 0c 00  .....We.........
        02 00 0c 72 65 64 61 63 74 40 31 2e 32 2e 30 ab  ...redact@1.2.0.
        ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab  ................
        ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab 00  ................
        09 6d 75 72 6d 75 72 32 40 31 cd cd cd cd cd cd  .murmur2@1......
        cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd  ................
        cd cd cd cd cd cd cd cd cd cd 00                 ...........
    "#]]
    .assert_eq(&dump(&batch));

    let records = records(&batch, &Limits::default()).unwrap();
    assert!(records.header().attributes.is_control());
    assert_eq!(records.header().producer, None);
    assert_eq!(control::decode(&records), Ok(ControlRecord::Revision(marker)));
    assert!(validate(&batch, &Limits::default()).is_err(), "no producer may send one");
}

#[test]
fn a_header_tells_where_the_batch_ends() {
    let mut batch = sample(Compression::Zstd).to_vec();
    let unstamped = BatchHeader::parse(&batch).unwrap();
    assert_eq!(unstamped.leader_epoch, UNSTAMPED_EPOCH);
    assert_eq!(unstamped.base_offset, Offset::ZERO);

    stamp(&mut batch, Offset(1_000_000), LeaderEpoch(7));
    let header = check(&batch, &Limits::default()).unwrap();
    assert_eq!(header.base_offset, Offset(1_000_000));
    assert_eq!(header.last_offset(), Offset(1_000_002));
    assert_eq!(header.next_offset(), Offset(1_000_003));
    assert_eq!(header.leader_epoch, LeaderEpoch(7));
    assert_eq!(header.crc, unstamped.crc, "stamping does not touch what the checksum covers");
    assert_eq!(total_bytes(&batch[..12]).map(|bytes| bytes as usize), Ok(batch.len()));
    assert_eq!(BatchHeader::parse(&batch[..HEADER_BYTES]), Ok(header), "the header alone is enough");
}

#[test]
fn sequences_wrap_as_kafkas_do() {
    let mut builder = BatchBuilder::new(Compression::None);
    let mut last_of_three = |base_sequence| {
        (0..3).for_each(|_| {
            builder.push(TIME, None, Some(b"v"), &[]);
        });
        BatchHeader::parse(&builder.finish(base_sequence)).unwrap().last_sequence()
    };
    let highest = i32::MAX.unsigned_abs();
    assert_eq!(last_of_three(producer(0)), Some(Sequence(2)));
    assert_eq!(last_of_three(producer(highest - 2)), Some(Sequence(highest)));
    assert_eq!(last_of_three(producer(highest - 1)), Some(Sequence(0)));
    assert_eq!(last_of_three(producer(highest)), Some(Sequence(1)));
    assert_eq!(last_of_three(None), None);
}

#[test]
fn a_record_moves_to_another_batch_as_it_is() {
    let source = records(&sample(Compression::Lz4), &Limits::default()).unwrap();
    let mut builder = BatchBuilder::new(Compression::None);
    let taken: Vec<_> = source.iter().filter(|record| record.offset_delta != 1).collect();
    for record in &taken {
        let bytes = builder.push_record(record);
        assert!(bytes <= BatchBuilder::record_bytes_max(record.key, record.value, &[]) + 50);
    }
    let (header, moved) = validate(&builder.finish(producer(40)), &Limits::default()).unwrap();
    assert_eq!(header.record_count, 2);
    for ((before, after), delta) in taken.iter().zip(&moved).zip(0..) {
        assert_eq!(after.offset_delta, delta);
        assert_eq!(after.timestamp_ms, before.timestamp_ms);
        assert_eq!(after.key, before.key);
        assert_eq!(after.value, before.value);
        assert_eq!(after.headers.collect::<Vec<_>>(), before.headers.collect::<Vec<_>>());
    }
}

#[test]
fn an_interceptor_that_drops_records_leaves_a_gap_and_nothing_moves() {
    let original = records(&sample(Compression::Gzip), &Limits::default()).unwrap();
    let mut builder = BatchBuilder::new(Compression::Gzip);
    builder.take_place_of(original.header());
    let kept = original.iter().nth(1).unwrap();
    builder.push_record_at(kept.offset_delta, &kept);
    let batch = builder.finish(original.header().producer);

    let left = records(&batch, &Limits::default()).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left.iter().next().unwrap().offset_delta, 1);
    assert_eq!(left.header().last_offset_delta, original.header().last_offset_delta);
    assert_eq!(left.header().last_sequence(), original.header().last_sequence());
    assert!(validate(&batch, &Limits::default()).is_err(), "a producer sends no gaps");
}

#[test]
fn a_batch_that_lost_all_its_records_still_covers_its_offsets() {
    for compression in Compression::ALL {
        let original = BatchHeader::parse(&sample(compression)).unwrap();
        let mut builder = BatchBuilder::new(compression);
        builder.take_place_of(&original);
        let batch = builder.finish(original.producer);

        assert_eq!(batch.len(), HEADER_BYTES);
        let header = check(&batch, &Limits::default()).unwrap();
        assert_eq!(header.record_count, 0);
        assert_eq!(header.last_offset_delta, 2);
        assert_eq!(header.last_sequence(), original.last_sequence());
        assert_eq!(header.max_timestamp_ms, original.max_timestamp_ms);
        assert!(records(&batch, &Limits::default()).unwrap().is_empty());
    }
}

#[test]
fn a_builder_starts_over_after_each_batch() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        let mut batch = |transactional: bool| {
            builder.push(TIME, Some(b"k"), Some(&[7; 300]), &[]);
            if transactional {
                builder.set_transactional();
                builder.set_last_offset_delta(9);
            }
            let batch = builder.finish(producer(0));
            assert!(builder.is_empty());
            assert_eq!(builder.uncompressed_bytes(), HEADER_BYTES);
            batch
        };
        let first = batch(false);
        let other = batch(true);
        assert_ne!(other, first);
        assert_eq!(batch(false), first, "{compression}");
        assert_eq!(check(&other, &Limits::default()).unwrap().last_offset_delta, 9);
    }
}

#[test]
fn pushing_tells_the_size_and_the_upper_bound_holds() {
    let mut builder = BatchBuilder::new(Compression::None);
    let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"bc")), ("", None)];
    for value_bytes in [0, 1, 63, 64, 8191, 8192, 100_000] {
        let value = vec![1; value_bytes];
        let before = builder.uncompressed_bytes();
        let bytes = builder.push(TIME, Some(b"key"), Some(&value), headers);
        assert_eq!(builder.uncompressed_bytes() - before, bytes);
        assert!(bytes <= BatchBuilder::record_bytes_max(Some(b"key"), Some(&value), headers));
    }
    let foretold = builder.uncompressed_bytes();
    assert_eq!(builder.finish(None).len(), foretold);
}

#[test]
fn levels_are_used_and_kept_in_range() {
    let text: Vec<u8> = (0..20_000_u32).flat_map(|number| (number * number).to_be_bytes()).collect();
    let size = |compression, level| {
        let mut builder = BatchBuilder::with_level(compression, level);
        builder.push(TIME, None, Some(&text), &[]);
        let batch = builder.finish(None);
        validate(&batch, &Limits::default()).unwrap();
        batch.len()
    };
    assert!(size(Compression::Zstd, 19) < size(Compression::Zstd, -50));
    assert_eq!(size(Compression::Zstd, 22), size(Compression::Zstd, 19));
    assert!(size(Compression::Gzip, 9) < size(Compression::Gzip, 1));
    assert_eq!(size(Compression::Gzip, 12), size(Compression::Gzip, 9));
}

#[test]
#[should_panic(expected = "an empty batch stands for an emptied one")]
fn an_empty_batch_is_not_made_by_accident() {
    BatchBuilder::new(Compression::None).finish(None);
}

#[test]
#[should_panic(expected = "in the order of their offsets")]
fn records_are_not_pushed_out_of_order() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push_at(5, TIME, None, None, &[]);
    builder.push_at(5, TIME, None, None, &[]);
}

/// A line for each of these batches: which class of error, and what it says.
fn refusals(batches: impl IntoIterator<Item = Bytes>) -> String {
    let line = |batch: Bytes| {
        let error = validate(&batch, &Limits::default()).unwrap_err();
        format!("{:?}: {error}\n", error.class())
    };
    batches.into_iter().map(line).collect()
}

#[test]
fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let good = sample(Compression::None);
    validate(&good, &Limits::default()).unwrap();
    let fixed = |at, bytes: &[u8]| changed(&good, at, bytes, true);
    let text = refusals([
        Bytes::new(),
        good.slice(..60),
        good.slice(..100),
        [good.clone(), good.clone()].concat().into(),
        changed(&good, 100, b"?", false),
        fixed(8, &48_i32.to_be_bytes()),
        fixed(8, &(-1_i32).to_be_bytes()),
        fixed(8, &i32::MAX.to_be_bytes()),
        fixed(16, &[1]),
        fixed(21, &5_u16.to_be_bytes()),
        fixed(0, &(-1_i64).to_be_bytes()),
        fixed(0, &(i64::MAX - 2).to_be_bytes()),
        fixed(12, &(-2_i32).to_be_bytes()),
        fixed(23, &3_i32.to_be_bytes()),
        fixed(35, &TIME.to_be_bytes()),
        fixed(51, &(-1_i16).to_be_bytes()),
        fixed(57, &2_i32.to_be_bytes()),
        fixed(57, &0_i32.to_be_bytes()),
        fixed(57, &4_i32.to_be_bytes()),
        fixed(21, &0x20_u16.to_be_bytes()),
        fixed(21, &0x08_u16.to_be_bytes()),
        fixed(21, &0x40_u16.to_be_bytes()),
        fixed(21, &0x80_u16.to_be_bytes()),
        fixed(21, &0x01_u16.to_be_bytes()),
    ]);
    expect![[r#"
        Damaged: the batch is cut short: 61 bytes are needed and 0 are there; read or send the whole batch
        Damaged: the batch is cut short: 61 bytes are needed and 60 are there; read or send the whole batch
        Damaged: the batch is cut short: 214 bytes are needed and 100 are there; read or send the whole batch
        Damaged: 214 bytes follow the batch of 214 bytes; give one batch at a time
        Damaged: the checksum of the batch is 674183e6 where b6bf5982 is stated: it was damaged; send it again
        Damaged: the batch states a length of 48 bytes, which cannot hold its header; the bytes are damaged
        Damaged: the batch states a length of -1 bytes, which cannot hold its header; the bytes are damaged
        TooLarge: the batch has 2147483659 bytes and 1048588 are allowed; send smaller batches or raise max.message.bytes
        Unsupported: the batch has format version (magic) 1; write batches of version 2
        Unsupported: the batch is compressed with codec 5; use none, gzip, snappy, lz4 or zstd
        Invalid: the batch header's baseOffset is -1, which it cannot be; the batch was made wrongly
        Invalid: the batch header's lastOffsetDelta is 2, which it cannot be; the batch was made wrongly
        Invalid: the batch header's partitionLeaderEpoch is -2, which it cannot be; the batch was made wrongly
        Invalid: the batch header's lastOffsetDelta is 3, which it cannot be; the batch was made wrongly
        Invalid: the batch header's maxTimestamp is 1700000000000, which it cannot be; the batch was made wrongly
        Invalid: the batch header's producerEpoch is -1, which it cannot be; the batch was made wrongly
        Invalid: 109 bytes follow the last of the batch's 2 records; the batch was made wrongly
        Invalid: the batch has no records; a producer must not send such a batch
        Invalid: the batch header's recordCount is 4, which it cannot be; the batch was made wrongly
        Invalid: the batch is a control batch; a producer must not send such a batch
        Invalid: the batch claims log append time; a producer must not send such a batch
        Invalid: the batch carries a delete horizon; a producer must not send such a batch
        Invalid: the batch sets attribute bits that have no meaning yet; a producer must not send such a batch
        Invalid: the records do not unpack with gzip: invalid gzip header; the batch was made wrongly
    "#]].assert_eq(&text);
}

/// The first record of the sample begins at byte 61: length, attributes, two deltas, then the key.
#[test]
fn a_malformed_record_is_named() {
    let good = sample(Compression::None);
    let fixed = |at, bytes: &[u8]| changed(&good, at, bytes, true);
    let text = refusals([
        fixed(61, &[1]),
        fixed(61, &[2 * 34]),
        fixed(61, &[2 * 36]),
        fixed(61, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        fixed(63, &[0xff; 11]),
        fixed(64, &[1]),
        fixed(64, &[2]),
        fixed(65, &[3]),
        fixed(65, &[2 * 30]),
        fixed(69, &[0xfe, 0x7f]),
        fixed(75, &[1]),
        fixed(75, &[8]),
        fixed(76, &[1]),
        fixed(77, &[0xff]),
    ]);
    expect![[r#"
        Invalid: record 0 of the batch is malformed: its length is not a number, or negative; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: a header value goes beyond its end; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: it is shorter than its length; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its length goes beyond the batch; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its timestamp delta is not a number; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its offset delta is not a number, or negative; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its offset delta does not follow the one before it; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its key goes beyond its end; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its header count is not a number, or negative; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its value goes beyond its end; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: its header count is not a number, or negative; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: a header key's length is not a number, or negative; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: a header key's length is not a number, or negative; the batch was made wrongly
        Invalid: record 0 of the batch is malformed: a header key is not UTF-8; the batch was made wrongly
    "#]].assert_eq(&text);
}

/// What compaction leaves may have gaps, but its offsets rise and stay within the batch's own.
#[test]
fn stored_offset_deltas_rise_and_stay_within_the_batch() {
    let mut builder = BatchBuilder::new(Compression::None);
    (2..5).for_each(|delta| {
        builder.push_at(delta, TIME, None, None, &[]);
    });
    builder.set_last_offset_delta(5);
    let good = builder.finish(None);
    let deltas = |batch: &Bytes| {
        let found = records(batch, &Limits::default())?;
        Ok::<_, BatchError>(found.iter().map(|record| record.offset_delta).collect::<Vec<_>>())
    };
    assert_eq!(deltas(&good), Ok(vec![2, 3, 4]));

    // Each record has seven bytes, and its offset delta is the fourth of them.
    let with = |record: usize, delta: u8| changed(&good, 61 + 7 * record + 3, &[2 * delta], true);
    assert_eq!(deltas(&with(2, 5)), Ok(vec![2, 3, 5]));
    let refused = |batch, index, reason| {
        assert_eq!(deltas(&batch), Err(BatchError::CorruptRecord { index, reason }));
    };
    refused(with(1, 2), 1, "its offset delta is not above the one before it");
    refused(with(2, 0), 2, "its offset delta is not above the one before it");
    refused(with(2, 6), 2, "its offset delta is above the batch's last");
}

#[test]
fn limits_are_kept_one_by_one() {
    let good = sample(Compression::Zstd);
    let exact =
        Limits { batch_bytes_max: good.len().try_into().unwrap(), records_max: 3, ..Limits::default() };
    assert!(validate(&good, &exact).is_ok(), "a limit is what is still allowed");
    let smaller = Limits { batch_bytes_max: exact.batch_bytes_max - 1, ..exact };
    assert!(matches!(check(&good, &smaller), Err(BatchError::TooLarge { .. })));
    let fewer = Limits { records_max: 2, ..exact };
    assert_eq!(check(&good, &fewer), Err(BatchError::TooManyRecords { records: 3, max: 2 }));
    let narrower = Limits { uncompressed_bytes_max: 100, ..exact };
    assert!(matches!(validate(&good, &narrower), Err(BatchError::Bomb { max: 100, .. })));
}

#[test]
fn attributes_are_bits() {
    let attributes = Attributes(0b111_1100);
    assert_eq!(attributes.compression(), Ok(Compression::Zstd));
    assert!(attributes.is_transactional() && attributes.is_control() && attributes.has_delete_horizon());
    assert!(!attributes.has_unknown_bits());
    assert!(Attributes(0x80).has_unknown_bits() && Attributes(0x8000).has_unknown_bits());
    assert_eq!(Attributes(6).compression(), Err(BatchError::UnknownCompression { code: 6 }));
}

#[test]
fn a_marker_with_a_shape_of_its_own_is_refused() {
    let marker = RevisionMarker { revision: Revision(1), plugins: Vec::new() };
    let good = control::encode_revision(&marker, TIME);
    let decode = |batch: &Bytes| control::decode(&records(batch, &Limits::default()).unwrap());
    assert_eq!(decode(&good), Ok(ControlRecord::Revision(marker)));

    // Value version, then revision, then plugin count, at the end of the batch but for the header count.
    let value_at = good.len() - 9;
    let version = changed(&good, value_at, &2_i16.to_be_bytes(), true);
    let plugins = changed(&good, value_at + 6, &1_u16.to_be_bytes(), true);
    let too_many = changed(&good, value_at + 6, &65_u16.to_be_bytes(), true);
    let messages: Vec<_> = [version, plugins, too_many, sample(Compression::None)]
        .iter()
        .map(|batch| {
            let error = decode(batch).unwrap_err();
            assert_eq!(error.class(), BatchErrorClass::Invalid, "{error}");
            error.to_string()
        })
        .collect();
    expect![[r#"
        the control record cannot be read: a revision marker of this version is unknown; a newer Weir wrote it
        the control record cannot be read: a revision marker is cut short
        the control record cannot be read: a revision marker names more plugins than a pipeline can have
        the control record cannot be read: a control batch is flagged as one and holds one record"#]]
    .assert_eq(&messages.join("\n"));
}
