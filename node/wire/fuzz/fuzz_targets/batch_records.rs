//! Any bytes as the records of an uncompressed batch, and what is read, written again: it must read the same.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_wire::batch::{BatchBuilder, Compression, HEADER_BYTES, Limits, records};

fuzz_target!(|input: (u8, &[u8])| {
    let (count, body) = input;
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_last_offset_delta(10_000);
    let mut batch = builder.finish(None)[..HEADER_BYTES].to_vec();
    batch.extend_from_slice(body);
    let length = u32::try_from(batch.len() - 12).expect("inputs are short");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[57..61].copy_from_slice(&u32::from(count).to_be_bytes());
    let limits = Limits::default();
    let Ok(found) = records(&Bytes::from(batch), &limits) else { return };

    builder.set_last_offset_delta(10_000);
    for record in &found {
        let headers: Vec<_> = record.headers.collect();
        builder.push_at(record.offset_delta, record.timestamp_ms, record.key, record.value, &headers);
    }
    let again = records(&builder.finish(None), &limits).expect("what was read can be written");
    assert_eq!(again.len(), found.len());
    for (before, after) in found.iter().zip(&again) {
        assert_eq!(before.offset_delta, after.offset_delta);
        assert_eq!(before.timestamp_ms, after.timestamp_ms);
        assert_eq!(before.key, after.key);
        assert_eq!(before.value, after.value);
        assert!(before.headers.eq(after.headers));
    }
});
