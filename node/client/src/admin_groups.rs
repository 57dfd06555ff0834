//! Requests about groups.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::group_log;
use weir_wire::ids::PartitionIndex;
use weir_wire::request::{
    AssignorSet, DeleteGroup, DeleteOffsets, DescribeGroup, ExplainGroup, GroupDeleted, GroupDescription,
    GroupExplanation, GroupListing, ListGroups, OffsetSpec, OffsetsDeleted, OffsetsReset, PartitionOffset,
    ResetOffsets, SetAssignor, TopicPartitions,
};

use crate::admin::no_leader;
use crate::client::Client;
use crate::error::ClientError;
use crate::group::coordinator;
use crate::net::Again;

impl Client {
    /// All groups, by name.
    ///
    /// # Errors
    /// The cluster cannot be reached, or a node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        self.inner.net.persist("list_groups", Again::Harmless, || self.list_groups_once()).await
    }

    async fn list_groups_once(&self) -> Result<Vec<GroupListing>, ClientError> {
        let (net, metadata) = (&self.inner.net, &self.inner.metadata);
        let topic = match metadata.fresh_topic(net, group_log::TOPIC).await {
            Ok(topic) => topic,
            // It is made with the first group.
            Err(ClientError::UnknownTopic { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let image = metadata.image();
        let mut coordinators = BTreeSet::new();
        for partition in &topic.partitions {
            let (leader, _) = image
                .leader(&topic, partition.index)
                .ok_or_else(|| no_leader(group_log::TOPIC, partition.index))?;
            coordinators.insert(leader);
        }
        let mut groups = BTreeMap::new();
        for node in coordinators {
            let address = image.nodes.get(&node).cloned().unwrap_or_default();
            let connection = net.connection(&address).await?;
            let listed = net.ask_at(&connection, &ListGroups {}).await?;
            // A coordinator that moves meanwhile may be heard twice.
            groups.extend(listed.groups.into_iter().map(|group| (group.group.clone(), group)));
        }
        Ok(groups.into_values().collect())
    }

    /// A group with its members, what was committed, and the ends of its partitions as far as they can be asked for.
    ///
    /// # Errors
    /// [`GroupIdNotFound`](weir_wire::error::ErrorCode::GroupIdNotFound), or as [`list_groups`](Client::list_groups).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, ClientError> {
        let request = DescribeGroup { group: group.to_owned() };
        let mut described = coordinator::ask(&self.inner, group, &request, Again::Harmless).await?;
        let mut topics: BTreeMap<String, Vec<PartitionIndex>> = BTreeMap::new();
        for partition in described.partitions.iter().filter(|partition| !partition.topic_name.is_empty()) {
            topics.entry(partition.topic_name.clone()).or_default().push(partition.partition);
        }
        for (topic, partitions) in topics {
            let asked: Vec<_> = partitions.iter().map(|index| (*index, OffsetSpec::Latest)).collect();
            let Ok(listed) = self.list_offsets(&topic, &asked).await else { continue };
            let ends: BTreeMap<_, _> = partitions.into_iter().zip(listed).collect();
            for partition in described.partitions.iter_mut().filter(|one| one.topic_name == topic) {
                partition.log_end = ends.get(&partition.partition).map(|listed| listed.offset);
            }
        }
        Ok(described)
    }

    /// What an assignor would do to a group, before it does; without a name, the one in force.
    ///
    /// # Errors
    /// [`UnsupportedAssignor`](weir_wire::error::ErrorCode::UnsupportedAssignor), or as
    /// [`describe_group`](Client::describe_group).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn explain_group(
        &self,
        group: &str,
        assignor: Option<&str>,
    ) -> Result<GroupExplanation, ClientError> {
        let request = ExplainGroup { group: group.to_owned(), assignor: assignor.map(str::to_owned) };
        coordinator::ask(&self.inner, group, &request, Again::Harmless).await
    }

    /// Chooses who assigns a group's partitions; without a name, the cluster's default. The group goes on meanwhile.
    ///
    /// # Errors
    /// As [`explain_group`](Client::explain_group).
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn set_group_assignor(
        &self,
        group: &str,
        assignor: Option<&str>,
    ) -> Result<AssignorSet, ClientError> {
        let request = SetAssignor { group: group.to_owned(), assignor: assignor.map(str::to_owned) };
        coordinator::ask(&self.inner, group, &request, Again::Harmless).await
    }

    /// Moves a group without members to these offsets; what stood there before comes back, in the order asked. A dry run
    /// changes nothing.
    ///
    /// # Errors
    /// [`NonEmptyGroup`](weir_wire::error::ErrorCode::NonEmptyGroup), or as [`list_groups`](Client::list_groups).
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn reset_offsets(
        &self,
        group: &str,
        offsets: Vec<PartitionOffset>,
        dry_run: bool,
    ) -> Result<OffsetsReset, ClientError> {
        let request = ResetOffsets { group: group.to_owned(), offsets, dry_run };
        coordinator::ask(&self.inner, group, &request, Again::Harmless).await
    }

    /// Forgets what a group has committed for these partitions, of topics that none of its members reads.
    ///
    /// # Errors
    /// [`NonEmptyGroup`](weir_wire::error::ErrorCode::NonEmptyGroup), or as [`describe_group`](Client::describe_group).
    ///
    /// # Cancel safety
    /// When the future is dropped it may be done or not, as after [`ClientError::ConnectionLost`]: look before asking
    /// again.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: Vec<TopicPartitions>,
    ) -> Result<OffsetsDeleted, ClientError> {
        let request = DeleteOffsets { group: group.to_owned(), partitions };
        coordinator::ask(&self.inner, group, &request, Again::OnlyIfNotDone).await
    }

    /// Deletes a group without members, with everything that it committed.
    ///
    /// # Errors
    /// [`NonEmptyGroup`](weir_wire::error::ErrorCode::NonEmptyGroup), or as [`describe_group`](Client::describe_group). After
    /// [`ClientError::ConnectionLost`] or [`ClientError::TimedOut`] it may be gone or not.
    ///
    /// # Cancel safety
    /// When the future is dropped it may be done or not, as after [`ClientError::ConnectionLost`]: look before asking
    /// again.
    pub async fn delete_group(&self, group: &str) -> Result<GroupDeleted, ClientError> {
        let request = DeleteGroup { group: group.to_owned() };
        coordinator::ask(&self.inner, group, &request, Again::OnlyIfNotDone).await
    }
}
