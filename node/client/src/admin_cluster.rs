//! Requests about the cluster as a whole.

use weir_wire::ids::NodeId;
use weir_wire::request::{
    AlterNodeConfigs, AlterReassignments, AlterTopic, ChangeNode, ClusterDescription, ConfigEntry,
    DescribeCluster, DescribeNodeConfigs, ElectLeaders, LeadersElected, ListReassignments, NodeChanged,
    NodeConfigsAltered, NodeConfigsDescribed, ReassignmentProgress, ReassignmentsAltered, ReplicasShifting,
    ShiftReplicas, TopicAltered,
};

use crate::client::Client;
use crate::error::ClientError;
use crate::net::Again;

impl Client {
    /// The cluster's nodes, quorum and figures, as the node that answers knows them. Any node answers, also while the
    /// metadata quorum has no majority.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        self.inner.net.ask(&DescribeCluster, Again::Harmless).await
    }

    /// Elects leaders: the preferred ones wherever they are in sync, which loses nothing; or, where no clean choice is
    /// left, any live replica, which may lose acknowledged records. Asking twice does no more than asking once.
    ///
    /// # Errors
    /// The node's answer. That one partition could not be given a leader is said in the response.
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn elect_leaders(&self, request: &ElectLeaders) -> Result<LeadersElected, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Gives partitions other replicas, or takes back what is under way. Returns once that is decided; it then goes on by
    /// itself, and [`list_reassignments`](Client::list_reassignments) says how far it is. Asking twice does no more than asking
    /// once.
    ///
    /// # Errors
    /// The node's answer. That one partition cannot have the replicas is said in the response.
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn alter_reassignments(
        &self,
        request: &AlterReassignments,
    ) -> Result<ReassignmentsAltered, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// The partitions whose replicas change at the moment, and how far they are.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn list_reassignments(&self) -> Result<Vec<ReassignmentProgress>, ClientError> {
        Ok(self.inner.net.ask(&ListReassignments, Again::Harmless).await?.reassignments)
    }

    /// Moves all replicas of a node to others, or a fair share of all to it; or lets it have new ones again. Asking again
    /// goes on where it was interrupted.
    ///
    /// # Errors
    /// The node's answer, such as
    /// [`InvalidReplicaAssignment`](weir_wire::error::ErrorCode::InvalidReplicaAssignment) where no other node has room.
    ///
    /// # Cancel safety
    /// When the future is dropped, none, some or all of the replicas may have been told to move; asking again goes on
    /// from there.
    pub async fn shift_replicas(&self, request: &ShiftReplicas) -> Result<ReplicasShifting, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Takes a node that has stopped out of the cluster for good, or has another vote in its place.
    ///
    /// # Errors
    /// The node's answer, such as [`InvalidRequest`](weir_wire::error::ErrorCode::InvalidRequest) with what to do first.
    ///
    /// # Cancel safety
    /// When the future is dropped it may be done or not, as after [`ClientError::ConnectionLost`]: look before asking
    /// again.
    pub async fn change_node(&self, request: &ChangeNode) -> Result<NodeChanged, ClientError> {
        self.inner.net.ask(request, Again::OnlyIfNotDone).await
    }

    /// What every node goes by while it runs, as each says for itself: one that cannot be reached has an error in the
    /// place of its answer.
    ///
    /// # Errors
    /// No node of the cluster can be reached.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_node_configs(
        &self,
    ) -> Result<Vec<(NodeId, Result<NodeConfigsDescribed, ClientError>)>, ClientError> {
        self.ask_every_node(&DescribeNodeConfigs).await
    }

    /// Changes what one node or all nodes go by while they run: all of the changes, or none. What is set for a node counts
    /// before what is set for all, and that before what the node was started with. Asking twice does no more than asking
    /// once.
    ///
    /// # Errors
    /// The node's answer, such as [`InvalidConfig`](weir_wire::error::ErrorCode::InvalidConfig).
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn alter_node_configs(
        &self,
        request: &AlterNodeConfigs,
    ) -> Result<NodeConfigsAltered, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Changes a topic's configuration, then adds partitions. Asking twice does no more than asking once. Once this
    /// returns, this client's producers go by the new number of partitions: what they took before is stored first, so
    /// that the records of a key keep their order although the key may move.
    ///
    /// # Errors
    /// The node's answer, such as [`InvalidConfig`](weir_wire::error::ErrorCode::InvalidConfig).
    ///
    /// # Cancel safety
    /// When the future is dropped the change may be made or not, and this client may go by the old number of partitions
    /// until its metadata is refreshed. Asking again mends both.
    pub async fn alter_topic(&self, request: &AlterTopic) -> Result<TopicAltered, ClientError> {
        let altered = self.inner.net.ask(request, Again::Harmless).await;
        self.look_again(&request.name, &altered).await;
        altered
    }

    /// Sets configuration keys of a topic under Kafka's names, or, with `None`, puts them back to the default: all of
    /// them or none.
    ///
    /// ```no_run
    /// # async fn example(client: &weir_client::Client) -> Result<(), weir_client::ClientError> {
    /// client.alter_configs("quakes", &[("retention.ms", Some("86400000")), ("segment.bytes", None)]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`alter_topic`](Client::alter_topic).
    ///
    /// # Cancel safety
    /// As [`alter_topic`](Client::alter_topic).
    pub async fn alter_configs(
        &self,
        topic: &str,
        changes: &[(&str, Option<&str>)],
    ) -> Result<TopicAltered, ClientError> {
        let configs = changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)));
        let (name, configs) = (topic.to_owned(), configs.collect());
        self.alter_topic(&AlterTopic { name, configs, partitions: None }).await
    }

    /// Every configuration key of a topic with the value in force, and whether it was set for the topic.
    ///
    /// # Errors
    /// As [`describe_topic`](Client::describe_topic).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_configs(&self, topic: &str) -> Result<Vec<ConfigEntry>, ClientError> {
        Ok(self.describe_topic(topic).await?.configs)
    }

    /// Adds partitions to a topic until it has `total` of them. Keys may move to other partitions.
    ///
    /// # Errors
    /// As [`alter_topic`](Client::alter_topic); fewer than it has are refused. As many as it has change nothing, so that
    /// this can be asked again when the answer was lost.
    ///
    /// # Cancel safety
    /// As [`alter_topic`](Client::alter_topic).
    pub async fn add_partitions(&self, topic: &str, total: u32) -> Result<TopicAltered, ClientError> {
        let request = AlterTopic { name: topic.to_owned(), configs: Vec::new(), partitions: Some(total) };
        self.alter_topic(&request).await
    }
}
