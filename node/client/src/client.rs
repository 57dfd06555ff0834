//! The entrance.

use weir_wire::ids::ClusterId;
use weir_wire::request::{ClusterMetadata, TopicEntry};

use crate::config::ClientConfig;
use crate::consumer::{Consumer, ConsumerConfig};
use crate::error::ClientError;
use crate::producer::{Producer, ProducerConfig};

/// A connection to a cluster. Clones share everything; make one per process.
#[derive(Clone, Debug)]
pub struct Client {}

impl Client {
    /// Finds a node that answers and asks it for the cluster's metadata. Call it in the tokio runtime that the client
    /// is to live in.
    ///
    /// # Errors
    /// What is wrong with the configuration or the certificates; or, after
    /// [`api_timeout`](ClientConfig::api_timeout), what each bootstrap address answered.
    pub async fn connect(config: ClientConfig) -> Result<Client, ClientError> {
        config.check()?;
        std::future::ready(()).await;
        Err(ClientError::Closed)
    }

    /// A producer with its own buffer and lanes.
    ///
    /// # Errors
    /// [`ClientError::Config`].
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ClientError> {
        config.check()?;
        Err(ClientError::Closed)
    }

    /// A consumer, with nothing assigned yet.
    ///
    /// # Errors
    /// [`ClientError::Config`].
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer, ClientError> {
        config.check()?;
        Err(ClientError::Closed)
    }

    /// The cluster's name for good.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        ClusterId::default()
    }

    /// The cluster's metadata, asked for now: of the topics named, or of all.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<ClusterMetadata, ClientError> {
        let _ = topics;
        std::future::ready(()).await;
        Err(ClientError::Closed)
    }

    /// A topic's metadata, asked for now.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or as [`metadata`](Client::metadata).
    pub async fn topic(&self, name: &str) -> Result<TopicEntry, ClientError> {
        let _ = name;
        std::future::ready(()).await;
        Err(ClientError::Closed)
    }

    /// Tells the nodes that this client is gone, and waits until they heard (at most a second). Producers are to be
    /// closed before. Dropping the last clone ends the connections too, without the wait.
    pub async fn close(self) {
        std::future::ready(()).await;
    }
}
