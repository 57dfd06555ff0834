//! Putting frames together from chunks as they arrive. No stream, no waiting.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use weir_wire::frame::{self, FrameError, Limits, PREFIX_BYTES, Prefix};

use super::RawFrame;

/// What a part of a frame gets at first when it does not lie in one chunk: a peer that claims much and sends little costs
/// this much.
const PART_BYTES_FIRST: usize = 128 * 1024;
/// How often what a part has is multiplied when it is full. Each time what arrived is copied once more: for a megabyte an
/// eighth of it, where doubling from 64 KiB copied nearly all.
const PART_GROWTH: usize = 8;

/// Frames in the making.
#[derive(Debug)]
pub(super) struct Assembly {
    limits: Limits,
    /// Arrived and not yet taken apart.
    arrived: VecDeque<Bytes>,
    state: State,
}

/// What of the frame at hand is there already.
#[derive(Debug)]
enum State {
    Prefix(Part),
    Header(Prefix, Part),
    Payload(Prefix, Bytes, Part),
    /// A prefix beyond the limits: where the next frame would begin, nobody knows.
    Broken(FrameError),
}

/// A stream ended inside a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Truncated {
    pub(super) received: usize,
    pub(super) expected: usize,
}

impl Assembly {
    pub(super) fn new(limits: Limits) -> Assembly {
        Assembly { limits, arrived: VecDeque::new(), state: State::first() }
    }

    /// Changes the limits, from the next frame on.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) fn push(&mut self, chunks: impl Iterator<Item = Bytes>) {
        self.arrived.extend(chunks.filter(|chunk| !chunk.is_empty()));
    }

    /// Throws away what arrived, and takes no more sense out of what may follow.
    pub(super) fn clear(&mut self) {
        self.arrived.clear();
        self.state = State::first();
    }

    /// The next frame, if all of it has arrived. After an error there is only the same error.
    pub(super) fn take_frame(&mut self) -> Result<Option<RawFrame>, FrameError> {
        loop {
            let part = match &mut self.state {
                State::Prefix(part) | State::Header(_, part) | State::Payload(_, _, part) => part,
                State::Broken(error) => return Err(error.clone()),
            };
            let Some(bytes) = part.take(&mut self.arrived) else { return Ok(None) };
            self.state = match std::mem::replace(&mut self.state, State::first()) {
                State::Prefix(_) => {
                    let bytes = bytes[..].try_into().expect("the part is as long as a prefix");
                    match frame::parse_prefix(bytes, &self.limits) {
                        Ok(prefix) => State::Header(prefix, Part::new(prefix.header_len)),
                        Err(error) => State::Broken(error),
                    }
                }
                State::Header(prefix, _) => State::Payload(prefix, bytes, Part::new(prefix.payload_len)),
                State::Payload(_, header, _) => return Ok(Some(RawFrame { header, payload: bytes })),
                State::Broken(_) => unreachable!("a broken assembly takes no part"),
            };
        }
    }

    /// Nothing more will arrive: was that between two frames?
    pub(super) fn end(&self) -> Result<(), Truncated> {
        let (received, expected) = match &self.state {
            State::Prefix(part) if part.received == 0 => return Ok(()),
            State::Prefix(part) => (part.received, PREFIX_BYTES),
            State::Header(prefix, part) => (PREFIX_BYTES + part.received, whole(*prefix)),
            State::Payload(prefix, header, part) => {
                (PREFIX_BYTES + header.len() + part.received, whole(*prefix))
            }
            State::Broken(_) => return Ok(()),
        };
        Err(Truncated { received, expected })
    }
}

impl State {
    fn first() -> State {
        State::Prefix(Part::new(PREFIX_BYTES))
    }
}

fn whole(prefix: Prefix) -> usize {
    PREFIX_BYTES + prefix.header_len + prefix.payload_len
}

/// A run of bytes of known length, on its way.
#[derive(Debug)]
struct Part {
    length: usize,
    received: usize,
    /// Empty while nothing had to be joined.
    joined: Vec<u8>,
}

impl Part {
    fn new(length: usize) -> Part {
        Part { length, received: 0, joined: Vec::new() }
    }

    /// Takes from `arrived` what belongs to this part; the whole of it once it is there. A part that lies within
    /// one chunk is a slice of it; otherwise each byte is copied once, while it is still warm from decryption, and
    /// the datagram's memory is given back at once.
    fn take(&mut self, arrived: &mut VecDeque<Bytes>) -> Option<Bytes> {
        while self.received < self.length {
            let chunk = arrived.front_mut()?;
            let missing = self.length - self.received;
            if self.received == 0 && chunk.len() >= missing {
                self.received = missing;
                return Some(split(arrived, missing));
            }
            let count = missing.min(chunk.len());
            self.grow(count);
            self.joined.extend_from_slice(&chunk[..count]);
            self.received += count;
            split(arrived, count);
        }
        Some(Bytes::from(std::mem::take(&mut self.joined)))
    }

    /// Makes room for `count` more bytes that are there, in few steps, and never beyond the part's length.
    fn grow(&mut self, count: usize) {
        let needed = self.received + count;
        if needed > self.joined.capacity() {
            let wanted = (PART_GROWTH * self.joined.capacity()).max(PART_BYTES_FIRST);
            let capacity = wanted.min(self.length).max(needed);
            self.joined.reserve_exact(capacity - self.joined.len());
        }
    }
}

/// Takes `count` bytes off the first chunk, and the chunk away when it is used up.
fn split(arrived: &mut VecDeque<Bytes>, count: usize) -> Bytes {
    let chunk = arrived.front_mut().expect("the caller looked at the first chunk");
    let taken = chunk.split_to(count);
    if !chunk.has_remaining() {
        arrived.pop_front();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn a_part_within_one_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7_u8; 100]);
        let mut arrived = VecDeque::from([chunk.clone()]);
        let part = Part::new(60).take(&mut arrived).unwrap();
        assert_eq!(part.as_ptr(), chunk.as_ptr());
        assert_eq!((part.len(), arrived[0].len()), (60, 40));
        assert_eq!(Part::new(0).take(&mut arrived).unwrap().len(), 0);
        assert_eq!(Part::new(40).take(&mut arrived).unwrap().len(), 40);
        assert!(arrived.is_empty());
    }

    #[test]
    fn memory_grows_with_what_arrived_not_with_what_was_claimed() {
        const CLAIMED: usize = 32 * 1024 * 1024;
        let mut part = Part::new(CLAIMED);
        let mut arrived = VecDeque::new();
        let mut sent = 0;
        while sent < CLAIMED / 4 {
            arrived.push_back(Bytes::from(vec![1; 1100]));
            sent += 1100;
            assert_eq!(part.take(&mut arrived), None);
            assert!(
                part.joined.capacity() <= (PART_GROWTH * sent).max(PART_BYTES_FIRST),
                "{}",
                part.joined.capacity()
            );
        }
        assert_eq!(part.received, sent);
    }

    #[test]
    fn a_part_ends_exactly_where_it_ends() {
        for length in [1, 7, 8, 1000, PART_BYTES_FIRST, PART_BYTES_FIRST + 1, 200_000] {
            for chunk in [1, 3, 999, 70_000] {
                let bytes: Vec<u8> = (0..length + 5).map(|i| u8::try_from(i % 251).unwrap()).collect();
                let mut arrived: VecDeque<_> = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
                let taken = Part::new(length).take(&mut arrived).unwrap();
                assert_eq!(taken, bytes[..length], "{length} by {chunk}");
                assert_eq!(arrived.iter().map(Bytes::len).sum::<usize>(), 5);
            }
        }
    }

    /// Takes frames out of `bytes`, which arrive in pieces of these lengths.
    fn frames_of(bytes: &[u8], pieces: &[usize], limits: Limits) -> (Vec<RawFrame>, Result<(), String>) {
        let mut assembly = Assembly::new(limits);
        let mut frames = Vec::new();
        let mut rest = bytes;
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let length = (*pieces.next().expect("there are pieces")).clamp(1, rest.len());
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            assembly.push(std::iter::once(Bytes::copy_from_slice(piece)));
            loop {
                match assembly.take_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(assembly.take_frame(), Err(error.clone()), "an error stays");
                        return (frames, Err(error.to_string()));
                    }
                }
            }
        }
        (frames, assembly.end().map_err(|cut| format!("{cut:?}")))
    }

    const SMALL: Limits = Limits { header_bytes_max: 300, payload_bytes_max: 3000 };

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_arrive(
            frames in vec((vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..3000)), 0..8),
            pieces in vec(1_usize..2000, 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for (header, payload) in &frames {
                bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
                bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
                bytes.extend(header);
                bytes.extend(payload);
                ends.push(bytes.len());
            }
            let (taken, end) = frames_of(&bytes, &pieces, SMALL);
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(taken.len(), frames.len());
            for (frame, (header, payload)) in taken.iter().zip(&frames) {
                prop_assert_eq!(&frame.header[..], &header[..]);
                prop_assert_eq!(&frame.payload[..], &payload[..]);
            }
            // Cut off anywhere: the whole frames before the cut, and an error unless it fell between two.
            let cut = cut.index(bytes.len() + 1);
            let (taken, end) = frames_of(&bytes[..cut], &pieces, SMALL);
            prop_assert_eq!(taken.len(), ends.iter().filter(|end| **end <= cut).count() - 1);
            prop_assert_eq!(end.is_ok(), ends.contains(&cut));
        }

        #[test]
        fn garbage_is_taken_calmly(
            bytes in vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..5000),
            pieces in vec(1_usize..700, 1..10),
        ) {
            let (frames, _) = frames_of(&bytes, &pieces, SMALL);
            for frame in frames {
                prop_assert!(frame.header.len() <= 300 && frame.payload.len() <= 3000);
            }
        }
    }
}
