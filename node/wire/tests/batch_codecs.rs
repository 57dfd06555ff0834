//! Packed records: which spellings are read, and that nothing unpacks without bounds.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod batch_support;

use batch_support::{CODECS, batch_of, packed, plain_records};
use bytes::Bytes;
use weir_wire::batch::{BatchError, BatchErrorClass, Compression, Limits, Records, records, validate};

const RECORDS: u32 = 60;

fn plain() -> Bytes {
    plain_records(RECORDS, 1_500)
}

fn read(compression: Compression, body: &[u8]) -> Result<Records, BatchError> {
    records(&batch_of(compression, RECORDS, body), &Limits::default())
}

fn expect_plain(compression: Compression, body: &[u8]) {
    let read = read(compression, body).unwrap();
    assert_eq!(read.uncompressed_bytes(), plain().len());
    let raw: Vec<u8> = read.iter().flat_map(|record| record.raw.to_vec()).collect();
    assert!(raw == plain(), "{compression}");
}

#[test]
fn every_codec_unpacks_what_it_packed_in_one_frame_or_two() {
    let plain = plain();
    let (front, back) = plain.split_at(plain.len() / 3);
    for compression in CODECS {
        expect_plain(compression, &packed(compression, &plain));
        if compression != Compression::Snappy {
            // RFC 1952, RFC 8878 and the LZ4 frame format let frames follow each other.
            expect_plain(compression, &[packed(compression, front), packed(compression, back)].concat());
        }
    }
}

#[test]
fn snappy_is_read_without_the_java_frame_and_with_any_version_in_it() {
    let plain = plain();
    expect_plain(Compression::Snappy, &snap::raw::Encoder::new().compress_vec(&plain).unwrap());
    let mut framed = packed(Compression::Snappy, &plain);
    framed[8..16].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
    expect_plain(Compression::Snappy, &framed);
}

#[test]
fn lz4_is_read_with_the_frame_options_of_other_writers() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let plain = plain();
    let frame = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max4MB)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(plain.len() as u64));
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(&plain).unwrap();
    expect_plain(Compression::Lz4, &encoder.finish().unwrap());
}

#[test]
fn a_frame_that_is_cut_or_has_more_behind_it_is_refused() {
    let plain = plain();
    for compression in CODECS {
        let whole = packed(compression, &plain);
        for cut in 1..whole.len() {
            assert!(
                read(compression, &whole[..cut]).is_err(),
                "{compression} cut to {cut} of {}",
                whole.len()
            );
        }
        for behind in [&b"?"[..], b"more than a header is long"] {
            let error = read(compression, &[&whole, behind].concat()).unwrap_err();
            assert!(matches!(error, BatchError::CorruptCompression { .. }), "{compression}: {error}");
        }
    }
}

fn expect_bomb(compression: Compression, body: &[u8], limits: &Limits, max: u64) {
    let batch = batch_of(compression, 1_000, body);
    for error in [validate(&batch, limits).unwrap_err(), records(&batch, limits).unwrap_err()] {
        assert_eq!(error, BatchError::Bomb { compression, compressed_bytes: body.len(), max });
        assert_eq!(error.class(), BatchErrorClass::TooLarge);
    }
}

#[test]
fn bombs_are_stopped_by_their_ratio() {
    let zeros = vec![0; 65 * 1024 * 1024];
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let bomb = packed(compression, &zeros);
        let by_ratio = bomb.len() as u64 * u64::from(Limits::COMPRESSION_RATIO_MAX_DEFAULT);
        let max = by_ratio.max(u64::from(Limits::BATCH_BYTES_MAX_DEFAULT));
        assert!(max < 64 * 1024 * 1024, "{compression} packs {} bytes", bomb.len());
        expect_bomb(compression, &bomb, &Limits::default(), max);
    }
}

#[test]
fn bombs_are_stopped_by_their_size() {
    let limits = Limits { uncompressed_bytes_max: 300_000, ..Limits::default() };
    for compression in CODECS {
        let allowed = packed(compression, &vec![0; 300_000]);
        let error = records(&batch_of(compression, 1_000, &allowed), &limits).unwrap_err();
        assert!(matches!(error, BatchError::CorruptRecord { .. }), "{compression}: unpacked, but {error}");
        expect_bomb(compression, &packed(compression, &vec![0; 300_001]), &limits, 300_000);
    }
}

#[test]
fn frames_in_a_row_share_one_allowance() {
    let limits = Limits { uncompressed_bytes_max: 300_000, ..Limits::default() };
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let bomb = packed(compression, &vec![0; 100_001]).repeat(3);
        expect_bomb(compression, &bomb, &limits, 300_000);
    }
}

#[test]
fn claims_of_a_header_are_not_believed() {
    let corrupt = |compression: Compression, body: &[u8]| {
        let error = read(compression, body).unwrap_err();
        assert!(matches!(error, BatchError::CorruptCompression { .. }), "{compression}: {error}");
        error.to_string()
    };
    // Raw snappy: a block that claims 4 GiB - 1, and one that claims a little more than its bytes can unpack to.
    corrupt(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    corrupt(Compression::Snappy, &[0x80, 0x08, 0, b'x']);
    // A xerial block of 4 GiB - 1 in a stream of a few bytes.
    corrupt(Compression::Snappy, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff\0\0");
    // zstd: a frame header with a content size of 2^40 and a block that is cut short.
    corrupt(Compression::Zstd, b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\x01\0\0\x01\0\0");
    // zstd: the same content in a window of 128 MiB, which long-distance levels ask for.
    let mut wide = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    wide.window_log(27).unwrap();
    std::io::Write::write_all(&mut wide, &plain()).unwrap();
    let message = corrupt(Compression::Zstd, &wide.finish().unwrap());
    assert!(message.contains("memory"), "{message}");
    // lz4: a content size that the frame does not have.
    let mut frame = lz4_flex::frame::FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new().content_size(Some(1 << 40)),
        Vec::new(),
    );
    std::io::Write::write_all(&mut frame, &plain()).unwrap();
    let lying = std::mem::take(frame.get_mut());
    corrupt(Compression::Lz4, &[lying, vec![0; 4]].concat());
}

#[test]
fn every_level_of_ours_stays_within_the_window_that_readers_grant() {
    let value: Vec<u8> = (0..9 * 1024 * 1024_u32).map(|number| (number >> 12).to_le_bytes()[0]).collect();
    let limits = Limits { batch_bytes_max: u32::MAX, ..Limits::default() };
    for level in [1, 22] {
        let mut builder = weir_wire::batch::BatchBuilder::with_level(Compression::Zstd, level);
        builder.push(0, None, Some(&value), &[]);
        let read = records(&builder.finish(None), &limits).unwrap();
        assert!(read.iter().next().unwrap().value == Some(&value), "level {level}");
    }
}
