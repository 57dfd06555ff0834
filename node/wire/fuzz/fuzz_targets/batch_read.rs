//! Any bytes through every reader of batches. The checksum is put right first, or nothing would get past it.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use weir_wire::batch::{BatchHeader, HEADER_BYTES, Limits, check, control, records, total_bytes, validate};

/// Small, so that the fuzzer's own memory limit notices an allocation beyond them.
const LIMITS: Limits = Limits {
    batch_bytes_max: 1 << 20,
    uncompressed_bytes_max: 1 << 20,
    compression_ratio_max: 200,
    records_max: 100_000,
};

fuzz_target!(|input: &[u8]| {
    let mut batch = input.to_vec();
    if batch.len() >= HEADER_BYTES {
        let length = u32::try_from(batch.len() - 12).expect("inputs are short");
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        let crc = crc_fast::crc32_iscsi(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    let batch = Bytes::from(batch);
    let _ = total_bytes(&batch);
    let header = BatchHeader::parse(&batch);
    let checked = check(&batch, &LIMITS);
    if let Ok((validated, found)) = validate(&batch, &LIMITS) {
        assert_eq!(header, Ok(validated));
        assert_eq!(checked, Ok(validated));
        assert_eq!(found.len(), records(&batch, &LIMITS).expect("what is valid can be stored").len());
    }
    if let Ok(found) = records(&batch, &LIMITS) {
        assert!(found.uncompressed_bytes() <= 1 << 20);
        for record in &found {
            assert!(record.offset_delta <= found.header().last_offset_delta);
            assert_eq!(record.headers.len(), record.headers.count());
        }
        let _ = control::decode(&found);
    }
});
