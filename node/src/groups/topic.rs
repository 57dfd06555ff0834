//! `__consumer_offsets`, made when the first group needs it.

use std::collections::BTreeMap;

use weir_core::metadata::Command;
use weir_core::topic_config::MESSAGE_BYTES_MAX;
use weir_wire::group_log;
use weir_wire::ids::TopicId;

use super::Groups;
use crate::controller::SubmitError;

/// How large its segments grow (Kafka's `offsets.topic.segment.bytes`): a coordinator reads all of them, and what is written
/// to is not compacted.
const SEGMENT_BYTES: u32 = 100 * 1024 * 1024;

impl Groups {
    /// Sees to it that the topic exists, and that its partitions on this node take records.
    ///
    /// # Errors
    /// As any command.
    pub async fn ensure_topic(&self) -> Result<(), SubmitError> {
        if self.has_topic() {
            return Ok(());
        }
        let command = Command::EnsureInternalTopic {
            name: group_log::TOPIC.to_owned(),
            id: TopicId(self.shared.outside.random.id()),
            partitions: self.shared.offsets_partitions,
            configs: configs(),
        };
        let (index, _) = self.shared.controller.submit(command).await?;
        self.shared.partitions.applied(index).await;
        Ok(())
    }
}

/// What a change writes is one batch, of a group as large as it may get.
fn configs() -> BTreeMap<String, String> {
    [
        ("cleanup.policy", "compact".to_owned()),
        ("max.message.bytes", MESSAGE_BYTES_MAX.to_string()),
        ("segment.bytes", SEGMENT_BYTES.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use weir_core::topic_config::{CleanupPolicy, TopicConfig};

    use super::*;

    #[test]
    fn nothing_of_the_topic_goes_by_age_or_is_too_large() {
        let config = TopicConfig::from_overrides(&configs()).unwrap();
        assert_eq!(config.cleanup_policy, CleanupPolicy::Compact);
        assert!(config.delete_retention_ms > 60 * 60 * 1000, "a coordinator that reads is not overtaken");
        assert_eq!(config.max_message_bytes, MESSAGE_BYTES_MAX);
        assert!(!config.write_caching, "a committed offset outlives a power cut");
    }
}
