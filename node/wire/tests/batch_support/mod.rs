//! Batches that no builder makes.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use weir_wire::batch::{BatchBuilder, Compression, HEADER_BYTES};

/// A batch that says it holds `records` records packed with `compression`, and holds `body`. Its checksum is right.
pub(crate) fn batch_of(compression: Compression, records: u32, body: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_last_offset_delta(records.saturating_sub(1));
    let mut batch = builder.finish(None).to_vec();
    batch.truncate(HEADER_BYTES);
    batch.extend_from_slice(body);
    let length = u32::try_from(batch.len() - 12).unwrap();
    let code = Compression::ALL.iter().position(|known| *known == compression).unwrap();
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[21..23].copy_from_slice(&u16::try_from(code).unwrap().to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    fix_crc(&mut batch);
    batch.into()
}

/// Makes the checksum right again.
pub(crate) fn fix_crc(batch: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// The encoded records of a batch of `count` records with values of `value_bytes` bytes, not packed.
pub(crate) fn plain_records(count: u32, value_bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for number in 0..count {
        // A timestamp of -1 everywhere is what `batch_of` has in its header.
        builder.push(-1, Some(&number.to_be_bytes()), Some(&vec![number.to_le_bytes()[0]; value_bytes]), &[]);
    }
    builder.finish(None).slice(HEADER_BYTES..)
}

/// These bytes, packed as they are packed in a batch (the xerial frame for snappy).
pub(crate) fn packed(compression: Compression, plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Snappy => {
            let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            for block in plain.chunks(32 * 1024) {
                let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
                out.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
                out.extend_from_slice(&block);
            }
            out
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::bulk::compress(plain, 3).unwrap(),
    }
}

pub(crate) const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
