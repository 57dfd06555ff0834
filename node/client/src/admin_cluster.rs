//! Requests about the cluster as a whole.

use weir_wire::request::{
    AlterTopic, ClusterDescription, DescribeCluster, ElectLeaders, LeadersElected, TopicAltered,
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
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        self.inner.net.ask(&DescribeCluster, Again::Harmless).await
    }

    /// Elects leaders: the preferred ones wherever they are in sync, which loses nothing; or, where no clean choice is
    /// left, any live replica, which may lose acknowledged records. Asking twice does no more than asking once.
    ///
    /// # Errors
    /// The node's answer. That one partition could not be given a leader is said in the response.
    pub async fn elect_leaders(&self, request: &ElectLeaders) -> Result<LeadersElected, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Changes a topic's configuration, then adds partitions. Asking twice does no more than asking once.
    ///
    /// # Errors
    /// The node's answer, such as [`InvalidConfig`](weir_wire::error::ErrorCode::InvalidConfig).
    pub async fn alter_topic(&self, request: &AlterTopic) -> Result<TopicAltered, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }
}
