//! The numbers and names that every part of Weir shares, as types that cannot be mixed up.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map($name)
            }
        }
    };
}

number! {
    /// The position of a record in a partition, from 0. Kafka's offset; never above [`Offset::MAX`], so that it
    /// fits the signed 64 bits of the stored batch header.
    Offset(u64)
}
number! {
    /// The number of a leader's reign over one partition, stamped into every batch (KIP-101, KIP-320).
    LeaderEpoch(u32)
}
number! {
    /// Counts every change of a partition's metadata; what an ISR change is compared against (KIP-497).
    PartitionEpoch(u32)
}
number! {
    /// The index of a partition within its topic, from 0.
    PartitionIndex(u32)
}
number! {
    /// A node's number within its cluster, chosen by the operator (`--node-id`).
    NodeId(u32)
}
number! {
    /// Counts the starts of one node: a higher registration supersedes the lower one (Kafka's broker epoch).
    Incarnation(u64)
}
number! {
    /// Names one idempotent producer, handed out by the cluster (KIP-98).
    ProducerId(u64)
}
number! {
    /// The current life of a producer id; a higher one fences the lower (KIP-98, KIP-360).
    ProducerEpoch(u16)
}
number! {
    /// The number of a record within a producer's stream: the first record of a batch gives the batch its sequence.
    Sequence(u32)
}
number! {
    /// The number of a topic's pipeline: plugins, options and partition count. Starts at 1.
    Revision(u32)
}
number! {
    /// A moment in the life of a group. Every change of what its members should or may hold has its own number, from
    /// one count per group, so that no two of them can be taken for one another.
    GroupEpoch(u64)
}
number! {
    /// The moment, on its group's count, at which what one member may hold changed last. 0 is no membership.
    MemberEpoch(u64)
}
number! {
    /// A position in the metadata's history; a reader that names one sees at least everything up to it.
    MetadataIndex(u64)
}

impl Offset {
    /// The highest offset that fits Kafka's signed 64-bit field.
    pub const MAX: Offset = Offset(i64::MAX as u64);
    /// The first offset of a new log.
    pub const ZERO: Offset = Offset(0);

    /// The distance from `earlier` to this offset, 0 if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Offset {
    type Output = Offset;

    fn add(self, count: u64) -> Offset {
        Offset(self.0 + count)
    }
}

impl AddAssign<u64> for Offset {
    fn add_assign(&mut self, count: u64) {
        self.0 += count;
    }
}

impl Sub<u64> for Offset {
    type Output = Offset;

    fn sub(self, count: u64) -> Offset {
        Offset(self.0 - count)
    }
}

impl LeaderEpoch {
    /// The reign after this one.
    #[must_use]
    pub fn next(self) -> LeaderEpoch {
        LeaderEpoch(self.0 + 1)
    }
}

macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

uuid! {
    /// Names one cluster for good: 128 random bits, shown as 32 hexadecimal digits.
    ClusterId
}
uuid! {
    /// Names one topic for good: a topic that is deleted and created again under its old name has another id (KIP-516).
    TopicId
}
