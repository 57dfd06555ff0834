//! The names and numbers of the codecs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the records of a batch are packed. The order is that of Kafka's codes, which are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in the frame of the Java library that Kafka uses (xerial).
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878 (KIP-110).
    Zstd,
}

/// A codec name that is none of Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression '{0}'; use none, gzip, snappy, lz4 or zstd")]
pub struct UnknownCompression(pub String);

impl Compression {
    /// All codecs, in the order of their codes.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// Kafka's name for it, as in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The number in the low bits of a batch's attributes.
    pub(super) fn code(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Compression> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Compression, UnknownCompression> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.name() == name)
            .ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_kafkas_and_go_both_ways() {
        for (code, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
            let compression: Compression = name.parse().unwrap();
            assert_eq!(compression.to_string(), name);
            assert_eq!(usize::from(compression.code()), code);
            assert_eq!(Compression::from_code(compression.code()), Some(compression));
            assert_eq!(serde_json::to_string(&compression).unwrap(), format!("\"{name}\""));
        }
        for code in 5..8 {
            assert_eq!(Compression::from_code(code), None);
        }
        assert_eq!(
            "brotli".parse::<Compression>().unwrap_err().to_string(),
            "unknown compression 'brotli'; use none, gzip, snappy, lz4 or zstd"
        );
    }
}
