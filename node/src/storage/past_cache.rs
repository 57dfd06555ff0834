//! Writing past the page cache (`O_DIRECT`): for much at once that nobody will read soon.
//!
//! The system takes whole blocks only, out of memory that begins at one. So the blocks in the middle of a write are copied
//! into such memory and go straight to the disk; what lies before and behind them in blocks that are not whole goes through
//! the page cache as ever. The two never touch the same page, and the system keeps readers right. Where the system or the file
//! system does not have it, all goes through the page cache.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::parts::Rest;

/// Where blocks begin and end: at pages, which the blocks of all disks divide.
const BLOCK_BYTES: u64 = 4096;
/// What goes to the disk at once, at most, and the memory that it takes.
const CHUNK_BYTES: usize = 2 << 20;
/// Fewer whole blocks than this are not worth a way of their own.
const WHOLE_BYTES_MIN: u64 = 128 << 10;

/// The whole blocks within `bytes` bytes from `position`; `None` when there are too few.
fn whole_blocks(position: u64, bytes: u64) -> Option<Range<u64>> {
    let (from, to) = (position.next_multiple_of(BLOCK_BYTES), (position + bytes) / BLOCK_BYTES * BLOCK_BYTES);
    (to >= from + WHOLE_BYTES_MIN).then_some(from..to)
}

/// Writes `parts` from `position` of a file, all of them; `open` opens it for whole blocks, where that can be done, and `cached`
/// writes through the page cache.
///
/// # Errors
/// As those of `cached`, and what the system says.
pub(super) fn write(
    open: impl FnOnce() -> Option<File>,
    parts: &[&[u8]],
    position: u64,
    cached: impl Fn(&[&[u8]], u64) -> io::Result<()>,
) -> io::Result<()> {
    let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
    let Some((direct, whole)) = whole_blocks(position, bytes).and_then(|whole| Some((open()?, whole))) else {
        return cached(parts, position);
    };
    let mut rest = Rest::new(parts);
    let mut chunk = Chunk::new();
    chunk.fill(&mut rest, whole.start - position);
    cached(&[chunk.bytes()], position)?;
    let mut from = whole.start;
    while from < whole.end {
        let to = whole.end.min(from + CHUNK_BYTES as u64);
        chunk.fill(&mut rest, to - from);
        let written = write_blocks(&direct, chunk.bytes(), from)?;
        if written < chunk.bytes().len() {
            cached(&[&chunk.bytes()[written..]], from + written as u64)?;
        }
        from = to;
    }
    chunk.fill(&mut rest, position + bytes - whole.end);
    cached(&[chunk.bytes()], whole.end)
}

/// Writes whole blocks as far as the disk takes them in this way, and says how far: what is left goes the other way.
fn write_blocks(direct: &File, bytes: &[u8], position: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwrite(direct, bytes, position) {
            Ok(written) => return Ok(written),
            Err(rustix::io::Errno::INTR) => {}
            // It wants other blocks than these.
            Err(rustix::io::Errno::INVAL) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Memory that begins at a block.
struct Chunk {
    memory: Vec<u8>,
    /// Where in it that is.
    begin: usize,
}

impl Chunk {
    fn new() -> Chunk {
        let block = usize::try_from(BLOCK_BYTES).expect("a block fits memory");
        // Never longer than this, and so never moved.
        let mut memory: Vec<u8> = Vec::with_capacity(CHUNK_BYTES + block);
        let begin = memory.as_ptr().align_offset(block);
        memory.resize(begin, 0);
        Chunk { memory, begin }
    }

    /// Takes the next `bytes` bytes.
    fn fill(&mut self, rest: &mut Rest<'_>, bytes: u64) {
        assert!(bytes <= CHUNK_BYTES as u64, "{bytes} bytes do not fit into a chunk");
        let bytes = usize::try_from(bytes).expect("a chunk fits memory");
        self.memory.truncate(self.begin);
        rest.copy_to(&mut self.memory, bytes);
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.begin..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_blocks_lie_within_what_is_written() {
        let enough = WHOLE_BYTES_MIN;
        assert_eq!(whole_blocks(0, enough), Some(0..enough));
        assert_eq!(whole_blocks(0, enough - 1), None);
        assert_eq!(whole_blocks(1, enough), None, "a block short");
        assert_eq!(whole_blocks(1, enough + 4095), Some(4096..4096 + enough));
        assert_eq!(whole_blocks(4095, enough + 4096), Some(4096..4096 + enough));
        assert_eq!(whole_blocks(4096, enough + 4095), Some(4096..4096 + enough));
    }
}
