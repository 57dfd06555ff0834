//! Going through the parts of one write, of which each call of the system takes some.

use std::io::IoSlice;

/// What is left to write.
pub(super) struct Rest<'a> {
    parts: &'a [&'a [u8]],
    /// Bytes of the first part that are written already.
    within: usize,
}

impl<'a> Rest<'a> {
    pub(super) fn new(parts: &'a [&'a [u8]]) -> Rest<'a> {
        Rest { parts, within: 0 }
    }

    /// The next pieces, at most `bytes_max` bytes in at most `pieces_max`; none of them empty, and none at all at the end.
    pub(super) fn fill(&self, slices: &mut Vec<IoSlice<'a>>, bytes_max: usize, pieces_max: usize) {
        slices.clear();
        let mut room = bytes_max;
        for (index, part) in self.parts.iter().enumerate() {
            let part = if index == 0 { &part[self.within..] } else { part };
            let part = &part[..part.len().min(room)];
            if !part.is_empty() {
                slices.push(IoSlice::new(part));
                room -= part.len();
            }
            if room == 0 || slices.len() == pieces_max {
                return;
            }
        }
    }

    /// Passes over what is written now.
    pub(super) fn advance(&mut self, mut written: usize) {
        while let Some((first, others)) = self.parts.split_first() {
            let left = first.len() - self.within;
            if written < left {
                self.within += written;
                return;
            }
            written -= left;
            self.parts = others;
            self.within = 0;
        }
        assert!(written == 0, "no more can be written than there was");
    }

    /// Copies the next `bytes` bytes behind what `memory` holds, and passes over them.
    pub(super) fn copy_to(&mut self, memory: &mut Vec<u8>, bytes: usize) {
        let end = memory.len() + bytes;
        let mut within = self.within;
        for part in self.parts {
            let part = &part[within..];
            memory.extend_from_slice(&part[..part.len().min(end - memory.len())]);
            within = 0;
            if memory.len() == end {
                break;
            }
        }
        assert!(memory.len() == end, "no more can be copied than there is");
        self.advance(bytes);
    }
}
