//! Postcard values that lie on disk.
//!
//! postcard does not forgive added fields, so every stored value starts with the version of its layout, and ends
//! with a checksum (xxh3, 64 bits) over all that stands before it:
//!
//! ```text
//! | version: u8 | postcard value | xxh3-64 of both, little endian |
//! ```
//!
//! Changing the fields of a stored type means a new version and a reader for the old one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

const CHECKSUM_BYTES: usize = 8;

/// A type that is written to disk on its own.
pub trait Stored: Serialize + DeserializeOwned {
    /// What a person calls it, for error messages.
    const NAME: &'static str;
    /// The version of the layout written today.
    const VERSION: u8;

    /// Decodes the body of an older version; `None` when that version is unknown.
    #[must_use]
    fn decode_older(version: u8, body: &[u8]) -> Option<Self> {
        let _ = (version, body);
        None
    }
}

/// Why a stored value could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Cut short, or a bit of it changed.
    #[error("a stored {name} is damaged: its checksum does not match")]
    Damaged {
        /// What was read.
        name: &'static str,
    },
    /// Written by a newer Weir.
    #[error("a stored {name} has layout version {found}; this program reads up to {known}: use a newer one")]
    Newer {
        /// What was read.
        name: &'static str,
        /// The version found.
        found: u8,
        /// The newest version that this program reads.
        known: u8,
    },
    /// The checksum holds but the fields do not decode: another type was stored there.
    #[error("a stored {name} does not decode although its checksum holds: another kind of value lies there")]
    Undecodable {
        /// What was expected.
        name: &'static str,
    },
}

/// Encodes a value with version and checksum.
///
/// # Panics
/// If the value cannot be encoded, which is our own mistake.
#[must_use]
pub fn encode<T: Stored>(value: &T) -> Vec<u8> {
    let mut bytes = postcard::to_extend(value, vec![T::VERSION]).expect("our own stored types always encode");
    let sum = xxh3_64(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// See [`StoredError`]; all of them are final.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, StoredError> {
    let damaged = StoredError::Damaged { name: T::NAME };
    let Some((content, sum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else { return Err(damaged) };
    if xxh3_64(content) != u64::from_le_bytes(*sum) {
        return Err(damaged);
    }
    let Some((version, body)) = content.split_first() else { return Err(damaged) };
    if *version > T::VERSION {
        return Err(StoredError::Newer { name: T::NAME, found: *version, known: T::VERSION });
    }
    let value = if *version == T::VERSION {
        crate::frame::decode_exactly(body)
    } else {
        T::decode_older(*version, body)
    };
    value.ok_or(StoredError::Undecodable { name: T::NAME })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Mark {
        offset: u64,
    }

    impl Stored for Mark {
        const NAME: &'static str = "mark";
        const VERSION: u8 = 2;

        fn decode_older(version: u8, body: &[u8]) -> Option<Mark> {
            (version == 1).then_some(Mark { offset: u64::from(*body.first()?) })
        }
    }

    fn sealed(content: &[u8]) -> Vec<u8> {
        [content, &xxh3_64(content).to_le_bytes()].concat()
    }

    #[test]
    fn a_value_round_trips_and_its_bytes_are_fixed() {
        let bytes = encode(&Mark { offset: 300 });
        assert_eq!(&bytes[..3], &[2, 0xac, 0x02]);
        assert_eq!(bytes.len(), 11);
        assert_eq!(decode::<Mark>(&bytes), Ok(Mark { offset: 300 }));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = encode(&Mark { offset: 300 });
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode::<Mark>(&damaged), Err(StoredError::Damaged { name: "mark" }), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode::<Mark>(&bytes[..length]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn older_layouts_are_read_and_newer_ones_refused() {
        assert_eq!(decode::<Mark>(&sealed(&[1, 9])), Ok(Mark { offset: 9 }));
        let newer = StoredError::Newer { name: "mark", found: 3, known: 2 };
        assert_eq!(decode::<Mark>(&sealed(&[3, 9])), Err(newer));
        assert_eq!(decode::<Mark>(&sealed(&[2, 9, 9])), Err(StoredError::Undecodable { name: "mark" }));
    }
}
