//! Cutting input into lines, with a bound on what one line may take.

use std::io::{self, Read};
use std::ops::Range;

/// How much is asked of the input at once.
const READ_BYTES: usize = 64 * 1024;

/// Reads lines. A line ends at a newline, which is not part of it, or at the end of the input; a carriage return is
/// kept. A line that is too long is skipped and reported, and never held in memory.
pub(super) struct LineReader<R> {
    source: R,
    line_bytes_max: usize,
    /// The beginning of a line whose end was not read yet.
    begun: Vec<u8>,
    /// How much of a line that is too long was skipped so far; 0 while none is.
    skipped: u64,
    next_number: u64,
    bytes_read: u64,
    ended: bool,
}

/// Some lines, in order.
#[derive(Debug)]
pub(super) struct Chunk {
    first_number: u64,
    bytes: Vec<u8>,
    lines: Vec<Place>,
    input_bytes: u64,
}

#[derive(Debug)]
enum Place {
    At(Range<usize>),
    TooLong(u64),
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than the bound: its length is all that is known of it.
    TooLong {
        bytes: u64,
    },
}

impl Line<'_> {
    /// How many bytes of the input it is, its newline included.
    pub(super) fn input_bytes(&self) -> u64 {
        match self {
            Line::Whole(bytes) => count(bytes.len()) + 1,
            Line::TooLong { bytes } => bytes + 1,
        }
    }
}

impl Chunk {
    /// The lines with their numbers; the first line of the input is number 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (u64, Line<'_>)> {
        (self.first_number..).zip(&self.lines).map(|(number, place)| match place {
            Place::At(range) => (number, Line::Whole(&self.bytes[range.clone()])),
            Place::TooLong(bytes) => (number, Line::TooLong { bytes: *bytes }),
        })
    }

    /// How many bytes of input had been read when the chunk was made.
    pub(super) fn input_bytes(&self) -> u64 {
        self.input_bytes
    }
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(source: R, line_bytes_max: u32) -> LineReader<R> {
        let line_bytes_max = usize::try_from(line_bytes_max).unwrap_or(usize::MAX);
        LineReader {
            source,
            line_bytes_max,
            begun: Vec::new(),
            skipped: 0,
            next_number: 1,
            bytes_read: 0,
            ended: false,
        }
    }

    /// The next lines, as soon as there is one; `None` at the end of the input.
    pub(super) fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut bytes = std::mem::take(&mut self.begun);
        let mut lines = Vec::new();
        while lines.is_empty() && !self.ended {
            let searched = bytes.len();
            let read = self.read_more(&mut bytes)?;
            let rest = self.cut(&bytes, searched, &mut lines);
            if read == 0 {
                self.ended = true;
                self.cut_last(rest..bytes.len(), &mut lines);
            } else {
                self.begun = bytes[rest..].to_vec();
                if self.begun.len() > self.line_bytes_max {
                    self.skipped += count(self.begun.len());
                    self.begun.clear();
                }
                if lines.is_empty() {
                    bytes = std::mem::take(&mut self.begun);
                }
            }
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let first_number = self.next_number;
        self.next_number += count(lines.len());
        Ok(Some(Chunk { first_number, bytes, lines, input_bytes: self.bytes_read }))
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let held = bytes.len();
        bytes.resize(held + READ_BYTES, 0);
        let read = loop {
            match self.source.read(&mut bytes[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        bytes.truncate(held + read);
        self.bytes_read += count(read);
        Ok(read)
    }

    /// Finds the lines that end in `bytes`, of which the first `searched` hold no newline; returns where the rest
    /// begins.
    fn cut(&mut self, bytes: &[u8], searched: usize, lines: &mut Vec<Place>) -> usize {
        let mut from = 0;
        for newline in memchr::memchr_iter(b'\n', &bytes[searched..]) {
            let end = searched + newline;
            self.push(from..end, lines);
            from = end + 1;
        }
        from
    }

    /// A last line counts without a newline too, unless there is nothing of it.
    fn cut_last(&mut self, rest: Range<usize>, lines: &mut Vec<Place>) {
        if !rest.is_empty() || self.skipped > 0 {
            self.push(rest, lines);
        }
    }

    fn push(&mut self, line: Range<usize>, lines: &mut Vec<Place>) {
        let whole = std::mem::take(&mut self.skipped) + count(line.len());
        let fits = whole <= count(self.line_bytes_max);
        lines.push(if fits { Place::At(line) } else { Place::TooLong(whole) });
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most so many bytes at a time, as a pipe may.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(buffer.len()).min(self.0.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn lines(input: &[u8], step: usize, bytes_max: u32) -> Vec<Result<Vec<u8>, u64>> {
        let mut reader = LineReader::new(Trickle(input, step), bytes_max);
        let mut read = Vec::new();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            for (number, line) in chunk.lines() {
                assert_eq!(number, read.len() as u64 + 1, "lines are numbered from 1 without a gap");
                read.push(match line {
                    Line::Whole(bytes) => Ok(bytes.to_vec()),
                    Line::TooLong { bytes } => Err(bytes),
                });
            }
        }
        assert!(reader.next_chunk().unwrap().is_none(), "the end stays the end");
        read
    }

    #[test]
    fn lines_are_cut_at_newlines_only() {
        for step in [1, 2, 3, 1000] {
            let whole = |text: &str| Ok(text.as_bytes().to_vec());
            assert_eq!(lines(b"", step, 10), []);
            assert_eq!(lines(b"\n", step, 10), [whole("")]);
            assert_eq!(lines(b"a", step, 10), [whole("a")]);
            assert_eq!(lines(b"a\n", step, 10), [whole("a")]);
            assert_eq!(lines(b"a\r\n\nb", step, 10), [whole("a\r"), whole(""), whole("b")]);
            assert_eq!(lines(b"\xff\0\n", step, 10), [Ok(vec![0xff, 0])]);
        }
    }

    #[test]
    fn long_lines_are_reported_and_the_others_go_on() {
        for step in [1, 4, 5, 1000] {
            let whole = |text: &str| Ok(text.as_bytes().to_vec());
            let read = lines(b"12345\n123456\n1\n12345678901", step, 5);
            assert_eq!(read, [whole("12345"), Err(6), whole("1"), Err(11)], "{step}");
        }
    }

    #[test]
    fn a_long_line_takes_no_memory() {
        let input = io::repeat(b'x').take(10_000_000);
        let mut reader = LineReader::new(input, 1000);
        let chunk = reader.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.lines().collect::<Vec<_>>(), [(1, Line::TooLong { bytes: 10_000_000 })]);
        assert!(chunk.bytes.capacity() <= 4 * READ_BYTES, "{} bytes held", chunk.bytes.capacity());
    }

    #[test]
    fn a_line_is_handed_out_before_the_next_one_is_there() {
        // A person who types sees each line go, so the reader must not wait to fill a buffer.
        let mut reader = LineReader::new(Trickle(b"first\nsecond\n", 6), 100);
        let chunk = reader.next_chunk().unwrap().unwrap();
        assert_eq!(chunk.lines().collect::<Vec<_>>(), [(1, Line::Whole(b"first"))]);
    }
}
