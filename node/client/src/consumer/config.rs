//! Where a consumer starts, how much it holds, and what it does when its position is gone.

use weir_wire::fetch::{FETCH_CREDIT_BYTES_MAX, Position};
use weir_wire::ids::Offset;

use crate::error::ClientError;

/// How much a consumer holds, and what it does when its position is gone. Kafka's names stand in the descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// What happens when a position is outside of what is stored (`auto.offset.reset`). Default: an error.
    pub reset: ResetPolicy,
    /// The most bytes, as they travel, that one node may have sent and the application has not taken
    /// (`fetch.max.bytes`): the credit of a fetch stream. Default 16 MiB.
    pub fetch_bytes: u32,
    /// About how many bytes of one partition come in one piece (`max.partition.fetch.bytes`). Default 1 MiB.
    pub partition_fetch_bytes: u32,
    /// The largest batch that is believed, and how far it may unpack. The defaults are above what any topic takes
    /// unless its `max.message.bytes` was raised above 32 MiB.
    pub batch_limits: weir_wire::batch::Limits,
}

/// What happens when a position is outside of what is stored (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetPolicy {
    /// Go on at the first record stored: nothing that is left is skipped, and some may be read again.
    Earliest,
    /// Go on at the end: what lies between is skipped.
    Latest,
    /// [`ClientError::OffsetOutOfRange`], and the partition waits for a seek.
    #[default]
    None,
}

impl std::str::FromStr for ResetPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<ResetPolicy, String> {
        match text {
            "earliest" => Ok(ResetPolicy::Earliest),
            "latest" => Ok(ResetPolicy::Latest),
            "none" => Ok(ResetPolicy::None),
            _ => Err(format!("auto.offset.reset is earliest, latest or none, not '{text}'")),
        }
    }
}

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record stored.
    Earliest,
    /// The end: only what is stored from now on.
    Latest,
    /// An offset.
    Offset(Offset),
    /// The first record at or after this time, in milliseconds since 1970; the end if there is none.
    Timestamp(i64),
    /// A position of an earlier consumer, with the epoch by which the cluster recognises that what was read before it
    /// is gone ([`ClientError::LogTruncated`]).
    Position(Position),
}

impl ConsumerConfig {
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let refuse = |what: String| Err(ClientError::Config(what));
        if self.fetch_bytes == 0 || u64::from(self.fetch_bytes) > FETCH_CREDIT_BYTES_MAX {
            return refuse(format!("fetch_bytes is 1 to {FETCH_CREDIT_BYTES_MAX}"));
        }
        if self.partition_fetch_bytes == 0 {
            return refuse("partition_fetch_bytes is above 0".to_owned());
        }
        Ok(())
    }
}

impl Default for ConsumerConfig {
    fn default() -> ConsumerConfig {
        ConsumerConfig {
            reset: ResetPolicy::None,
            fetch_bytes: 16 * 1024 * 1024,
            partition_fetch_bytes: 1024 * 1024,
            batch_limits: weir_wire::batch::Limits {
                batch_bytes_max: weir_wire::frame::Limits::DATA.payload_bytes_max,
                uncompressed_bytes_max: 256 * 1024 * 1024,
                ..weir_wire::batch::Limits::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let good = ConsumerConfig::default;
        assert!(good().check().is_ok());
        assert!(ConsumerConfig { fetch_bytes: 0, ..good() }.check().is_err());
        assert!(ConsumerConfig { fetch_bytes: u32::MAX, ..good() }.check().is_err());
        assert!(ConsumerConfig { partition_fetch_bytes: 0, ..good() }.check().is_err());
    }
}
