//! Topics that are read as a whole: also the partitions that are added to them later.

use std::collections::BTreeMap;

use weir_wire::ids::{PartitionIndex, TopicId};
use weir_wire::request::TopicEntry;

use super::config::StartAt;
use super::session::Session;
use crate::error::ClientError;

/// What was assigned by [`assign_all`](Session::assign_all): the topic, and how many partitions of it were seen.
pub(super) type WholeTopics = BTreeMap<String, (TopicId, usize)>;

impl Session {
    pub(super) async fn assign_all(&mut self, topic: &str, start: StartAt) -> Result<u32, ClientError> {
        self.check_assigns_itself()?;
        let entry = self.client.metadata.fresh_topic(&self.client.net, topic).await?;
        self.assign_from(&entry, 0, start);
        self.whole_topics.insert(topic.to_owned(), (entry.id, entry.partitions.len()));
        Ok(u32::try_from(entry.partitions.len()).unwrap_or(u32::MAX))
    }

    /// Begins with the partitions that were added, as far as the newest metadata tells. Whatever is in them came after
    /// the topic was assigned, so that there is nothing to skip.
    pub(super) fn follow_partitions(&mut self) {
        let image = self.client.metadata.image();
        let grown: Vec<_> = self
            .whole_topics
            .iter_mut()
            .filter_map(|(topic, (id, seen))| {
                let entry = image.topic(topic, *id).filter(|entry| entry.partitions.len() > *seen)?;
                Some((std::mem::replace(seen, entry.partitions.len()), entry))
            })
            .collect();
        for (seen, entry) in grown {
            self.assign_from(entry, seen, StartAt::Earliest);
        }
    }

    /// As [`unassign`](Session::unassign), for the application: a topic of which nothing is left is not followed any more.
    pub(super) fn give_up(&mut self, topic: &str, partition: PartitionIndex) {
        self.unassign(topic, partition);
        if !self.assigned.values().any(|assigned| &*assigned.topic == topic) {
            self.whole_topics.remove(topic);
        }
    }

    fn assign_from(&mut self, entry: &TopicEntry, first: usize, start: StartAt) {
        for partition in entry.partitions.iter().skip(first) {
            self.assign_known(entry, partition.index, start);
        }
    }
}
