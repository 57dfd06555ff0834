//! The client library of Weir: produce, consume and administer over QUIC.
//!
//! One [`Client`] per process holds one connection per node, finds out who leads what, and reconnects by itself.
//! [`Producer`]s and [`Consumer`]s are made from it and share its connections.
//!
//! ```no_run
//! use weir_client::{Client, ClientConfig, Record};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new(["127.0.0.1:9440"], "./weir-data/certs")).await?;
//! let producer = client.producer(Default::default())?;
//! let delivery = producer.send(Record::to("quakes").key(b"uw").value(b"M 1.9, Mount Rainier")).await?;
//! println!("{:?}", delivery.await);
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! ```no_run
//! use weir_client::{Client, ClientConfig, StartAt};
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let mut consumer = client.consumer(Default::default())?;
//! consumer.assign_all("quakes", StartAt::Earliest).await?;
//! loop {
//!     let batch = consumer.next_batch().await?;
//!     for record in batch.iter() {
//!         println!("{} {} {:?}", batch.partition(), record.offset, record.value);
//!     }
//! }
//! # }
//! ```
//!
//! Everything runs on the tokio runtime that [`Client::connect`] was called in; a single-threaded one is enough, and
//! the faster choice for one connection. What the library takes from outside (sockets, randomness, the time of
//! day) comes through [`weir_quic::Network`], so that a simulator can replace it; timers are tokio's.
//!
//! | module | what it holds | what it does not know |
//! |---|---|---|
//! | `client`, `admin`, `admin_cluster`, `admin_groups` | the entrance; requests about topics, cluster, groups | records |
//! | `net` | connections, the control stream, retries | topics |
//! | `metadata` | who leads what, kept fresh | streams |
//! | `producer` | `lane` decides (values only); `lane_task` carries it out; `accumulator` makes batches | fetching |
//! | `group` | `member` decides what a member of a group does (values only); `membership` carries it out | streams |
//! | `consumer` | `fetcher` decides (values only); `session` carries it out | producing |

mod admin;
mod admin_cluster;
mod admin_groups;
mod backoff;
mod client;
mod config;
mod consumer;
mod error;
mod group;
mod metadata;
mod net;
mod outside;
mod producer;
mod watched;

pub use admin::NewTopic;
pub use client::Client;
pub use config::{ClientConfig, Credentials};
pub use consumer::{
    Commit, ConsumedBatch, ConsumedRecord, ConsumedRecords, Consumer, ConsumerConfig, ConsumerEvent,
    GroupEvent, ResetPolicy, StartAt,
};
pub use error::{ClientError, SendError};
pub use producer::{
    DeliveredRun, Delivery, DeliveryObserver, DeliveryResult, Lanes, Producer, ProducerConfig,
    ProducerMetrics, Record,
};

// What stands in the signatures above, so that an application needs no second dependency.
pub use weir_quic::{Network, RealNetwork};
pub use weir_wire::batch::{Compression, RecordHeaders};
pub use weir_wire::error::{ErrorClass, ErrorCode, WireError};
pub use weir_wire::fetch::Position;
pub use weir_wire::ids::{
    ClusterId, LeaderEpoch, MetadataIndex, NodeId, Offset, PartitionIndex, ProducerId, Revision, TopicId,
};
pub use weir_wire::lane::{Acks, Promise};
pub use weir_wire::metadata::VoterProgress;
pub use weir_wire::request::{
    AlterTopic, AssignorSet, ClusterDescription, ClusterMetadata, CommittedOffset, ConfigEntry, ElectLeaders,
    Election, ElectionKind, GroupDeleted, GroupDescription, GroupExplanation, GroupListing, GroupPartition,
    GroupState, LeadersElected, ListedOffset, MemberDescription, MemberLoad, MemberState, NodeDescription,
    NodeEntry, NodeStanding, OffsetSpec, OffsetsReset, PartitionEntry, PartitionFigures, PartitionMove,
    PartitionOffset, PartitionState, QuorumView, ReplicaState, Subscription, TopicAltered, TopicCreated,
    TopicDeleted, TopicDescription, TopicEntry, TopicPartitions,
};
