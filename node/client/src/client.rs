//! The entrance.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Notify;
use weir_wire::ids::ClusterId;
use weir_wire::request::{ClusterMetadata, Metadata as MetadataRequest, TopicEntry};

use crate::config::ClientConfig;
use crate::consumer::{Consumer, ConsumerConfig};
use crate::error::ClientError;
use crate::metadata::{Metadata, keep_fresh};
use crate::net::{Again, ClientMetrics, Net};
use crate::producer::{Producer, ProducerConfig};

/// A connection to a cluster. Clones share everything; make one per process.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// What the clones share, and what producers and consumers hold on to.
pub(crate) struct Inner {
    pub(crate) net: Net,
    pub(crate) metadata: Arc<Metadata>,
    /// Ends the background task when the last clone is gone.
    pub(crate) gone: Arc<Notify>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

impl Client {
    /// Finds a node that answers and asks it for the cluster's metadata. Call it in the tokio runtime that the client
    /// is to live in.
    ///
    /// # Errors
    /// What is wrong with the configuration or the certificates; or, after
    /// [`api_timeout`](ClientConfig::api_timeout), what each bootstrap address answered.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind: what was connected so far is closed.
    pub async fn connect(config: ClientConfig) -> Result<Client, ClientError> {
        let net = Net::new(config)?;
        let metadata = Arc::new(Metadata::new());
        let request = MetadataRequest { topics: Some(Vec::new()) };
        let (index, answer) = net.persist("metadata", Again::Harmless, || net.ask_metadata(&request)).await?;
        metadata.take(&net, index, answer, &[]);
        let inner = Arc::new(Inner { net, metadata, gone: Arc::default() });
        tokio::spawn(keep_fresh(Arc::downgrade(&inner)));
        Ok(Client { inner })
    }

    /// A producer with its own buffer and lanes.
    ///
    /// # Errors
    /// [`ClientError::Config`].
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ClientError> {
        config.check()?;
        Ok(Producer::start(Arc::clone(&self.inner), config))
    }

    /// A consumer, with nothing assigned yet.
    ///
    /// # Errors
    /// [`ClientError::Config`].
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer, ClientError> {
        config.check()?;
        Ok(Consumer::start(Arc::clone(&self.inner), config))
    }

    /// The cluster's name for good.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        self.inner.net.cluster()
    }

    /// How its connections fare.
    #[must_use]
    pub fn metrics(&self) -> ClientMetrics {
        self.inner.net.metrics()
    }

    /// The cluster's metadata, asked for now: of the topics named, or of all.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<ClusterMetadata, ClientError> {
        let topics = topics.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        self.inner.net.ask(&MetadataRequest { topics }, Again::Harmless).await
    }

    /// A topic's metadata, asked for now.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or as [`metadata`](Client::metadata).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn topic(&self, name: &str) -> Result<TopicEntry, ClientError> {
        let topic = self.inner.metadata.fresh_topic(&self.inner.net, name).await?;
        Ok(TopicEntry::clone(&topic))
    }

    /// Tells the nodes that this client is gone, and waits until they heard (at most a second). Producers are to be
    /// closed before. Dropping the last clone ends the connections too, without the wait.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting: the connections end all the same.
    pub async fn close(self) {
        self.inner.net.close().await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("cluster", &self.cluster_id()).finish_non_exhaustive()
    }
}
