//! Packing and unpacking of records. Unpacking is bounded by what arrives, never by what a frame claims: output grows
//! as the codec yields it, up to [`Limits::unpacked_bytes_max`].
//!
//! What a codec allocates besides is bounded by constants: gzip and snappy some tens of kilobytes, lz4 at most two of
//! its largest (8 MiB) blocks and one compressed one, zstd its window, see [`ZSTD_WINDOW_LOG_MAX`].

use std::io::{Cursor, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{BatchError, Compression, Limits};

/// A zstd frame may ask for a window of 8 MiB, what RFC 8878 tells every decoder to support; levels up to 19 stay
/// below it.
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// The highest level whose frames everybody has to be able to read.
const ZSTD_LEVEL_MAX: i32 = 19;
/// Kafka's default (`compression.zstd.level`, KIP-390).
const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// A first guess at how far records unpack. Only time depends on it: a buffer that is too small is copied.
const EXPECTED_RATIO: usize = 4;
/// How far the size that a zstd frame states is believed in making the first buffer. If all fits there, zstd needs no
/// window; if the frame lied, little is lost.
const BELIEVED_RATIO: usize = 32;
/// The least that output grows by.
const GROWTH_BYTES_MIN: usize = 4 * 1024;

/// What the Java snappy library writes in front: a magic, its version and the version that can read it.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;
const XERIAL_VERSION: u32 = 1;
/// The unpacked size of the blocks that the Java library writes.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Snappy's densest element copies 64 bytes and takes 3: a block that claims to unpack further lies.
const SNAPPY_RATIO_MAX: usize = 22;

/// Unpacks the records of a batch.
pub(super) fn decompress(
    compression: Compression,
    packed: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, BatchError> {
    let job = Unpacking { compression, packed, bytes_max: limits.unpacked_bytes_max(packed.len()) };
    match compression {
        Compression::None => Ok(packed.to_vec()),
        Compression::Gzip => job.read_all(MultiGzDecoder::new(packed)),
        Compression::Snappy => job.snappy(),
        Compression::Lz4 => job.lz4(),
        Compression::Zstd => job.zstd(),
    }
}

struct Unpacking<'a> {
    compression: Compression,
    packed: &'a [u8],
    bytes_max: u64,
}

impl Unpacking<'_> {
    /// Reads until the end of all that is packed, or until it is too much.
    fn read_all(&self, mut reader: impl Read) -> Result<Vec<u8>, BatchError> {
        let mut out = Vec::new();
        let mut filled = 0;
        loop {
            if filled == out.len() {
                self.grow(&mut out)?;
                out.resize(out.capacity(), 0);
            }
            match reader.read(&mut out[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => return Err(self.corrupt(&error)),
            }
        }
        out.truncate(filled);
        self.allow(filled)?;
        Ok(out)
    }

    fn lz4(&self) -> Result<Vec<u8>, BatchError> {
        let mut input = Input { rest: self.packed, starved: false };
        let out = self.read_all(Lz4Frames(FrameDecoder::new(&mut input)))?;
        // The decoder takes a missing end mark for an end.
        if input.starved { Err(self.corrupt(&"the frame is cut short")) } else { Ok(out) }
    }

    fn zstd(&self) -> Result<Vec<u8>, BatchError> {
        let mut decoder = Decoder::new().map_err(|error| self.corrupt(&error))?;
        decoder
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(|error| self.corrupt(&error))?;
        let stated = zstd::zstd_safe::get_frame_content_size(self.packed).ok().flatten().unwrap_or(0);
        let believed = self.packed.len().saturating_mul(BELIEVED_RATIO);
        let mut out =
            Vec::with_capacity(self.room(usize::try_from(stated).unwrap_or(usize::MAX).min(believed)));
        let mut input = InBuffer::around(self.packed);
        loop {
            let filled = out.len();
            if filled == out.capacity() {
                self.grow(&mut out)?;
            }
            let mut output = OutBuffer::around_pos(&mut out, filled);
            let missing = decoder.run(&mut input, &mut output).map_err(|error| self.corrupt(&error))?;
            let all_read = input.pos() == self.packed.len();
            if missing == 0 && all_read {
                break;
            }
            if all_read && out.len() < out.capacity() {
                return Err(self.corrupt(&"the frame is cut short"));
            }
        }
        self.allow(out.len())?;
        Ok(out)
    }

    fn snappy(&self) -> Result<Vec<u8>, BatchError> {
        let Some(blocks) =
            self.packed.strip_prefix(&XERIAL_MAGIC).and_then(|_| self.packed.get(XERIAL_HEADER_BYTES..))
        else {
            return self.snappy_blocks(std::iter::once(Ok(self.packed)));
        };
        // The versions are not looked at: there is only one, and some producers write it the wrong way round.
        self.snappy_blocks(XerialBlocks { rest: blocks })
    }

    fn snappy_blocks<'b>(
        &self,
        blocks: impl Iterator<Item = Result<&'b [u8], &'static str>> + Clone,
    ) -> Result<Vec<u8>, BatchError> {
        let mut total = 0_usize;
        for block in blocks.clone() {
            let block = block.map_err(|reason| self.corrupt(&reason))?;
            let claim = snap::raw::decompress_len(block).map_err(|error| self.corrupt(&error))?;
            if claim > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
                return Err(self.corrupt(&"a block claims to unpack further than snappy can"));
            }
            total = total.saturating_add(claim);
            self.allow(total)?;
        }
        let mut out = vec![0; total];
        let mut filled = 0;
        let mut decoder = snap::raw::Decoder::new();
        for block in blocks.flatten() {
            filled += decoder.decompress(block, &mut out[filled..]).map_err(|error| self.corrupt(&error))?;
        }
        out.truncate(filled);
        Ok(out)
    }

    /// Makes room in an output buffer that is full: up to one byte above what is allowed, so that too much is noticed.
    fn grow(&self, out: &mut Vec<u8>) -> Result<(), BatchError> {
        let filled = out.len();
        self.allow(filled)?;
        let wanted = if filled == 0 { self.packed.len().saturating_mul(EXPECTED_RATIO) } else { filled * 2 };
        out.reserve_exact(self.room(wanted) - filled);
        Ok(())
    }

    fn room(&self, wanted: usize) -> usize {
        let most = usize::try_from(self.bytes_max).map_or(usize::MAX, |max| max.saturating_add(1));
        wanted.max(GROWTH_BYTES_MIN).min(most)
    }

    fn allow(&self, unpacked: usize) -> Result<(), BatchError> {
        if u64::try_from(unpacked).is_ok_and(|unpacked| unpacked <= self.bytes_max) {
            return Ok(());
        }
        Err(BatchError::Bomb {
            compression: self.compression,
            compressed_bytes: self.packed.len(),
            max: self.bytes_max,
        })
    }

    fn corrupt(&self, reason: &dyn std::fmt::Display) -> BatchError {
        BatchError::CorruptCompression { compression: self.compression, reason: reason.to_string() }
    }
}

/// A reader that remembers whether it was asked for more than there was.
struct Input<'a> {
    rest: &'a [u8],
    starved: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.starved |= out.len() > self.rest.len();
        self.rest.read(out)
    }
}

/// LZ4 frames, one after another: the decoder stops after each.
struct Lz4Frames<'a, 'b>(FrameDecoder<&'a mut Input<'b>>);

impl Read for Lz4Frames<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let count = self.0.read(out)?;
            if count > 0 || self.0.get_ref().rest.is_empty() {
                return Ok(count);
            }
        }
    }
}

/// The blocks of a xerial stream, each behind its length.
#[derive(Clone)]
struct XerialBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for XerialBlocks<'a> {
    type Item = Result<&'a [u8], &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let block = self.rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((block, rest)) = block else {
            self.rest = &[];
            return Some(Err("a block goes beyond the stream"));
        };
        self.rest = rest;
        Some(Ok(block))
    }
}

/// What packs one batch after another with one codec: it keeps the codecs' tables, which cost more to make than a
/// small batch to pack.
pub(super) struct Packer {
    compression: Compression,
    level: Option<i32>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    snappy: snap::raw::Encoder,
}

impl Packer {
    pub(super) fn new(compression: Compression, level: Option<i32>) -> Packer {
        Packer { compression, level, zstd: None, snappy: snap::raw::Encoder::new() }
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Appends `records`, packed, to `out`.
    pub(super) fn append(&mut self, records: &[u8], out: &mut Vec<u8>) {
        // Writing to memory cannot fail, and no input is wrong for a compressor.
        match self.compression {
            Compression::None => out.extend_from_slice(records),
            Compression::Gzip => self.gzip(records, out).expect("gzip packs any bytes into memory"),
            Compression::Snappy => self.snappy(records, out).expect("snappy packs any bytes into memory"),
            Compression::Lz4 => lz4(records, out).expect("lz4 packs any bytes into memory"),
            Compression::Zstd => self.zstd(records, out).expect("zstd packs any bytes into memory"),
        }
    }

    fn gzip(&self, records: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        let level = self.level.map_or_else(flate2::Compression::default, |level| {
            flate2::Compression::new(level.clamp(1, 9).unsigned_abs())
        });
        let mut encoder = GzEncoder::new(out, level);
        encoder.write_all(records)?;
        encoder.finish().map(|_| ())
    }

    fn snappy(&mut self, records: &[u8], out: &mut Vec<u8>) -> Result<(), snap::Error> {
        out.extend_from_slice(&XERIAL_MAGIC);
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        out.extend_from_slice(&XERIAL_VERSION.to_be_bytes());
        for block in records.chunks(XERIAL_BLOCK_BYTES) {
            let length_at = out.len();
            let block_at = length_at + 4;
            out.resize(block_at + snap::raw::max_compress_len(block.len()), 0);
            let length = self.snappy.compress(block, &mut out[block_at..])?;
            out.truncate(block_at + length);
            let length = u32::try_from(length).expect("a block of 32 KiB packs to less than 4 GiB");
            out[length_at..block_at].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    fn zstd(&mut self, records: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            none => {
                let level = self.level.unwrap_or(ZSTD_LEVEL_DEFAULT).min(ZSTD_LEVEL_MAX);
                none.insert(zstd::bulk::Compressor::new(level)?)
            }
        };
        let packed_from = out.len();
        out.reserve(zstd::zstd_safe::compress_bound(records.len()));
        let mut behind = Cursor::new(out);
        behind.set_position(packed_from as u64);
        compressor.compress_to_buffer(records, &mut behind).map(|_| ())
    }
}

/// As the Java client writes it: independent blocks of 64 KiB, no checksums (the batch has one). Kafka does not read
/// linked blocks.
fn lz4(records: &[u8], out: &mut Vec<u8>) -> Result<(), lz4_flex::frame::Error> {
    let frame = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, out);
    encoder.write_all(records)?;
    encoder.finish().map(|_| ())
}
