//! Records in pieces that can be shown one after the other.

/// How many bytes a piece of a batch's [`Records`](super::Records) has at most, unless it is one record.
pub const PIECE_BYTES: usize = 128 * 1024;

/// Neighbouring records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// How many records.
    pub count: u32,
    /// How many bytes they have as they are encoded.
    pub bytes: usize,
}

/// Cuts records into pieces as they come.
pub(super) struct Cutter {
    bytes_max: usize,
    /// How many pieces room is made for at first.
    likely: usize,
    cut: Vec<Piece>,
    open: Piece,
}

impl Cutter {
    /// Pieces of at most `bytes_max` bytes, or of one record that is longer, out of `bytes` bytes.
    pub(super) fn new(bytes_max: usize, bytes: usize) -> Cutter {
        let likely = bytes / bytes_max.max(PIECE_BYTES) + 2;
        Cutter { bytes_max, likely, cut: Vec::new(), open: Piece::default() }
    }

    /// Takes in the length of the next record.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) {
        if self.open.bytes + bytes > self.bytes_max && self.open.count > 0 {
            if self.cut.is_empty() {
                self.cut.reserve_exact(self.likely);
            }
            self.cut.push(std::mem::take(&mut self.open));
        }
        self.open.count += 1;
        self.open.bytes += bytes;
    }

    /// The pieces; one for all records needs no list of its own, and is left out.
    pub(super) fn several(mut self) -> Vec<Piece> {
        if !self.cut.is_empty() {
            self.cut.push(self.open);
        }
        self.cut
    }
}
