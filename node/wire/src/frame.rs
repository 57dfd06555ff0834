//! A frame: how anything stands on a stream.
//!
//! ```text
//! +------------------+-------------------+----------------+-----------------+
//! | header_len: u32  | payload_len: u32  | header         | payload         |
//! | little endian    | little endian     | postcard       | raw bytes       |
//! +------------------+-------------------+----------------+-----------------+
//! ```
//!
//! Record batches are payload, so they are never encoded again on their way. Both lengths are checked against
//! the limits of the stream's kind before a byte of the frame is waited for.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Length of the two lengths that start every frame.
pub const PREFIX_BYTES: usize = 8;

/// The most that one frame may hold, by stream kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest header in bytes.
    pub header_bytes_max: u32,
    /// Largest payload in bytes.
    pub payload_bytes_max: u32,
}

impl Limits {
    /// Opening frames: sent by strangers, so they are small.
    pub const OPENING: Limits = Limits { header_bytes_max: 4 * 1024, payload_bytes_max: 4 * 1024 };
    /// Control streams: the payload is one request or response (a listing of 10,000 partitions is below 1 MiB).
    pub const CONTROL: Limits = Limits { header_bytes_max: 16 * 1024, payload_bytes_max: 8 * 1024 * 1024 };
    /// Produce and fetch streams: the header may carry one run per record of a batch, the payload record batches.
    pub const DATA: Limits =
        Limits { header_bytes_max: 4 * 1024 * 1024, payload_bytes_max: 32 * 1024 * 1024 };
}

/// The two lengths of a frame, already checked against the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Length of the header in bytes.
    pub header_len: usize,
    /// Length of the payload in bytes.
    pub payload_len: usize,
}

/// Why a frame was refused. The sender broke the protocol: the stream is closed, nothing else is touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The claimed header is longer than this kind of stream allows.
    #[error("a frame claims a header of {claimed} bytes; at most {limit} are allowed on this stream")]
    HeaderTooLarge {
        /// What the prefix says.
        claimed: u32,
        /// What the stream's kind allows.
        limit: u32,
    },
    /// The claimed payload is longer than this kind of stream allows.
    #[error("a frame claims a payload of {claimed} bytes; at most {limit} are allowed on this stream")]
    PayloadTooLarge {
        /// What the prefix says.
        claimed: u32,
        /// What the stream's kind allows.
        limit: u32,
    },
    /// The header is not what this position of this stream must hold.
    #[error("a frame header does not decode as {expected}")]
    Header {
        /// The type that was expected.
        expected: &'static str,
    },
}

/// Checks the first eight bytes of a frame.
///
/// # Errors
/// [`FrameError::HeaderTooLarge`] and [`FrameError::PayloadTooLarge`]; nothing was allocated by then.
pub fn parse_prefix(bytes: [u8; PREFIX_BYTES], limits: &Limits) -> Result<Prefix, FrameError> {
    let [h0, h1, h2, h3, p0, p1, p2, p3] = bytes;
    let header_len = u32::from_le_bytes([h0, h1, h2, h3]);
    let payload_len = u32::from_le_bytes([p0, p1, p2, p3]);
    if header_len > limits.header_bytes_max {
        return Err(FrameError::HeaderTooLarge { claimed: header_len, limit: limits.header_bytes_max });
    }
    if payload_len > limits.payload_bytes_max {
        return Err(FrameError::PayloadTooLarge { claimed: payload_len, limit: limits.payload_bytes_max });
    }
    Ok(Prefix { header_len: header_len as usize, payload_len: payload_len as usize })
}

/// Encodes prefix and header of a frame whose payload of `payload_len` bytes the caller sends right behind.
///
/// # Panics
/// If the header or payload exceeds 4 GiB, or the header cannot be encoded: both are our own mistakes.
#[must_use]
pub fn encode(header: &impl Serialize, payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    encode_into(&mut bytes, header, payload_len);
    bytes
}

/// As [`encode`], appending to `bytes`, so that several small frames can leave in one write.
///
/// # Panics
/// As [`encode`].
pub fn encode_into(bytes: &mut Vec<u8>, header: &impl Serialize, payload_len: usize) {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; PREFIX_BYTES]);
    let taken = std::mem::take(bytes);
    *bytes = postcard::to_extend(header, taken).expect("our own header types always encode");
    let header_len =
        u32::try_from(bytes.len() - start - PREFIX_BYTES).expect("a header of ours is below 4 GiB");
    let payload_len = u32::try_from(payload_len).expect("a payload of ours is below 4 GiB");
    bytes[start..start + 4].copy_from_slice(&header_len.to_le_bytes());
    bytes[start + 4..start + PREFIX_BYTES].copy_from_slice(&payload_len.to_le_bytes());
}

/// Decodes a header, all of it: bytes left over are an error.
///
/// # Errors
/// [`FrameError::Header`] when the bytes are not exactly one `T`.
pub fn decode_header<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    decode_exactly(bytes).ok_or(FrameError::Header { expected: std::any::type_name::<T>() })
}

/// One postcard value that uses up all of `bytes`.
pub fn decode_exactly<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_round_trips() {
        let bytes = encode(&("hello", 7_u64), 1234);
        let prefix = parse_prefix(bytes[..8].try_into().unwrap(), &Limits::DATA).unwrap();
        assert_eq!(prefix, Prefix { header_len: bytes.len() - 8, payload_len: 1234 });
        let header: (String, u64) = decode_header(&bytes[8..]).unwrap();
        assert_eq!(header, ("hello".to_owned(), 7));
    }

    #[test]
    fn several_frames_share_one_buffer() {
        let mut bytes = encode(&1_u8, 0);
        let first = bytes.len();
        encode_into(&mut bytes, &2_u8, 5);
        let prefix = parse_prefix(bytes[first..first + 8].try_into().unwrap(), &Limits::DATA).unwrap();
        assert_eq!(prefix, Prefix { header_len: 1, payload_len: 5 });
    }

    #[test]
    fn a_claim_of_4_gib_is_refused_before_anything_is_allocated() {
        let mut bytes = [0xff; 8];
        let refusal = parse_prefix(bytes, &Limits::DATA).unwrap_err();
        assert_eq!(
            refusal,
            FrameError::HeaderTooLarge { claimed: u32::MAX, limit: Limits::DATA.header_bytes_max }
        );
        bytes[..4].fill(0);
        let refusal = parse_prefix(bytes, &Limits::DATA).unwrap_err();
        assert_eq!(
            refusal,
            FrameError::PayloadTooLarge { claimed: u32::MAX, limit: Limits::DATA.payload_bytes_max }
        );
    }

    #[test]
    fn left_over_header_bytes_are_refused() {
        assert!(decode_header::<u8>(&[1, 2]).is_err());
        assert!(decode_header::<u64>(&[]).is_err());
    }
}
