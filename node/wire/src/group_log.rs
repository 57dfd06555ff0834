//! The records of `__consumer_offsets`: what a group coordinator writes, and what its successor reads.
//!
//! The topic is compacted, so each key keeps its newest value, and a record without a value ends what its key names.
//! A key is its version followed by postcard; two keys are the same thing if their bytes are. A value is a
//! [`Stored`] one. All records of one change stand in one batch: a successor sees all of them or none.

use serde::{Deserialize, Serialize};

use crate::frame::decode_exactly;
use crate::ids::{GroupEpoch, LeaderEpoch, MemberEpoch, MetadataIndex, Offset, PartitionIndex, TopicId};
use crate::request::{Subscription, TopicPartitions};
use crate::stored::{self, Stored, StoredError};

/// The topic's name.
pub const TOPIC: &str = "__consumer_offsets";
/// How many partitions it gets (Kafka's `offsets.topic.num.partitions`). Never changed: groups would change places.
pub const PARTITIONS: u32 = 50;

/// The version that keys start with.
const KEY_VERSION: u8 = 1;

/// What a record is about. New kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupKey {
    /// A group.
    Group {
        /// Its name.
        group: String,
    },
    /// A member.
    Member {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// What a member should hold.
    Target {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// What a member may hold.
    Current {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// How far a group has come in one partition.
    Offset {
        /// The group.
        group: String,
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
    },
}

/// One record: a key, and either its new value or the end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// See [`GroupKey::Group`].
    Group(String, Option<GroupValue>),
    /// See [`GroupKey::Member`].
    Member(String, String, Option<MemberValue>),
    /// See [`GroupKey::Target`].
    Target(String, String, Option<TargetValue>),
    /// See [`GroupKey::Current`].
    Current(String, String, Option<CurrentValue>),
    /// See [`GroupKey::Offset`].
    Offset(String, TopicId, PartitionIndex, Option<OffsetValue>),
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupValue {
    /// Moves with every change that asks for a new target.
    pub epoch: GroupEpoch,
    /// The epoch that the target was made for.
    pub target_epoch: GroupEpoch,
    /// The metadata that the target was made from: an older one says nothing about which topics there are.
    pub metadata_index: MetadataIndex,
    /// The assignor that was chosen for this group.
    pub assignor: Option<String>,
    /// Who made the target.
    pub assigned_by: String,
    /// Since when it has no members, in milliseconds since 1970; `None` while it has some.
    pub empty_since_ms: Option<i64>,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberValue {
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// What it wants to read.
    pub subscription: Subscription,
    /// How long it may take to let go of a partition.
    pub rebalance_timeout_ms: u32,
    /// The principal that it connected as.
    pub client: String,
    /// From where.
    pub host: String,
    /// The epoch at which it joined: a lower one is of an earlier life.
    pub joined: MemberEpoch,
    /// It left and said that it returns.
    pub away: bool,
}

/// What a member should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetValue {
    /// The partitions.
    pub partitions: Vec<TopicPartitions>,
}

/// What a member may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentValue {
    /// Its epoch.
    pub epoch: MemberEpoch,
    /// What it may hold, each with the epoch since which it may.
    pub assigned: Vec<PartitionSince>,
    /// What it was told to let go of.
    pub revoking: Vec<Revocation>,
}

/// A partition that a member may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSince {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The epoch of the member since which it may hold it.
    pub since: MemberEpoch,
}

/// A partition that a member was told to let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The partition, and since when it was held.
    pub held: PartitionSince,
    /// The epoch of the member that says so: who confirms it has let go.
    pub told: MemberEpoch,
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetValue {
    /// The next offset to read.
    pub offset: Offset,
    /// The reign in which the record before it was read.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the application wanted to remember.
    pub metadata: String,
    /// When, in milliseconds since 1970.
    pub committed_ms: i64,
    /// The metadata in which the topic existed: an older one does not say that it was deleted.
    pub metadata_index: MetadataIndex,
}

impl Stored for GroupValue {
    const NAME: &'static str = "group";
    const VERSION: u8 = 1;
}

impl Stored for MemberValue {
    const NAME: &'static str = "group member";
    const VERSION: u8 = 1;
}

impl Stored for TargetValue {
    const NAME: &'static str = "target assignment";
    const VERSION: u8 = 1;
}

impl Stored for CurrentValue {
    const NAME: &'static str = "current assignment";
    const VERSION: u8 = 1;
}

impl Stored for OffsetValue {
    const NAME: &'static str = "committed offset";
    const VERSION: u8 = 1;
}

impl GroupRecord {
    /// What the record is about.
    #[must_use]
    pub fn key(&self) -> GroupKey {
        match self.clone() {
            GroupRecord::Group(group, _) => GroupKey::Group { group },
            GroupRecord::Member(group, member, _) => GroupKey::Member { group, member },
            GroupRecord::Target(group, member, _) => GroupKey::Target { group, member },
            GroupRecord::Current(group, member, _) => GroupKey::Current { group, member },
            GroupRecord::Offset(group, topic, partition, _) => GroupKey::Offset { group, topic, partition },
        }
    }

    /// The bytes of key and value; no value ends what the key names.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let value = match self {
            GroupRecord::Group(_, value) => value.as_ref().map(stored::encode),
            GroupRecord::Member(_, _, value) => value.as_ref().map(stored::encode),
            GroupRecord::Target(_, _, value) => value.as_ref().map(stored::encode),
            GroupRecord::Current(_, _, value) => value.as_ref().map(stored::encode),
            GroupRecord::Offset(_, _, _, value) => value.as_ref().map(stored::encode),
        };
        let mut key = vec![KEY_VERSION];
        key.extend(crate::request::encode_body(&self.key()));
        (key, value)
    }

    /// Decodes what [`GroupRecord::encode`] wrote.
    ///
    /// # Errors
    /// See [`StoredError`]; all of them are final.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, StoredError> {
        const NAME: &str = "group key";
        let Some((version, body)) = key.split_first() else {
            return Err(StoredError::Damaged { name: NAME });
        };
        if *version > KEY_VERSION {
            return Err(StoredError::Newer { name: NAME, found: *version, known: KEY_VERSION });
        }
        let key = decode_exactly(body).ok_or(StoredError::Undecodable { name: NAME })?;
        Ok(match key {
            GroupKey::Group { group } => GroupRecord::Group(group, decode_value(value)?),
            GroupKey::Member { group, member } => GroupRecord::Member(group, member, decode_value(value)?),
            GroupKey::Target { group, member } => GroupRecord::Target(group, member, decode_value(value)?),
            GroupKey::Current { group, member } => GroupRecord::Current(group, member, decode_value(value)?),
            GroupKey::Offset { group, topic, partition } => {
                GroupRecord::Offset(group, topic, partition, decode_value(value)?)
            }
        })
    }
}

fn decode_value<T: Stored>(bytes: Option<&[u8]>) -> Result<Option<T>, StoredError> {
    bytes.map(stored::decode).transpose()
}
