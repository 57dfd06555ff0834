//! Where logs start by an operator's word (KIP-107). The quorum keeps it, so that no change of leader brings records back:
//! a replica that never heard of the word from its leader hears of it here.

use weir_wire::ids::{Offset, PartitionIndex, TopicId};

use super::{Applied, Image, MetadataError};

impl Image {
    /// The offset below which an operator had records of a partition deleted.
    #[must_use]
    pub fn deleted_before(&self, topic: TopicId, partition: PartitionIndex) -> Offset {
        self.log_starts.get(&(topic, partition)).copied().unwrap_or(Offset::ZERO)
    }

    /// A start never goes back. That nothing is deleted which is not committed is for the leader to see to.
    pub(super) fn delete_records(
        &mut self,
        topic: TopicId,
        partition: PartitionIndex,
        before: Offset,
    ) -> Result<Applied, MetadataError> {
        let unknown = MetadataError::UnknownTopicId(topic);
        let name = self.topic_names.get(&topic).ok_or_else(|| unknown.clone())?;
        self.topics.get_mut(name).ok_or(unknown)?.partition_mut(name, partition)?;
        let start = self.log_starts.entry((topic, partition)).or_default();
        *start = before.max(*start);
        Ok(Applied::RecordsDeleted { log_start: *start })
    }
}
