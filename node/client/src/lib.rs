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
//! println!("{:?}", delivery.await);          // partition, offset, and the promise that was kept
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! ```no_run
//! use weir_client::{Client, StartAt};
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
//! The examples here are compiled with the tests. Most say `no_run`: to run them takes a node, such as `weir node` starts
//! without any flags, at the address and with the certificates of the first one.
//!
//! # What is promised
//!
//! - A record is stored once, by default ([`enable_idempotence`](ProducerConfig::enable_idempotence)): trying again, also
//!   elsewhere, repeats nothing.
//! - Its order holds, per partition and per key of one producer: see [`Record::key`].
//! - Its fate is known. A [`Delivery`] ends, after [`delivery_timeout`](ProducerConfig::delivery_timeout) at the latest; what
//!   nobody can say is [`Unknown`](DeliveryResult::Unknown), never guessed.
//! - The promise that was kept is told: [`DeliveryResult::Stored`] holds a [`Promise`], with how many replicas, flushed or
//!   not, under which pipeline revision.
//! - Memory is bounded, by [`buffer_bytes`](ProducerConfig::buffer_bytes) and [`fetch_bytes`](ConsumerConfig::fetch_bytes): who
//!   is faster than the other side waits.
//! - Nothing that was read is taken back unsaid. A position carries its leader epoch; where the log was cut below it, that is
//!   [`ClientError::LogTruncated`] (KIP-320).
//!
//! # Errors
//!
//! [`ClientError`] and [`SendError`] say by [`class`](ClientError::class) whether the same call may succeed later, must
//! be changed, or never will. What is worth trying again the library has tried already: lost connections, moved leaders
//! and restarted nodes are not errors until [`api_timeout`](ClientConfig::api_timeout) (calls) or `delivery_timeout`
//! (records) has passed, and never for a consumer, which waits.
//!
//! # Waiting
//!
//! Futures may be dropped anywhere: each method that waits says what that leaves behind. Everything runs on the tokio
//! runtime that [`Client::connect`] was called in; a single-threaded one is enough, and the faster choice for one
//! connection. What the library takes from outside (sockets, randomness, the time of day) comes through
//! [`weir_quic::Network`], so that a simulator can replace it; timers are tokio's.
//!
//! # Topics
//!
//! ```no_run
//! use weir_client::{Client, ErrorCode, NewTopic};
//!
//! # async fn example(client: &Client) -> Result<(), weir_client::ClientError> {
//! match client.create_topic(NewTopic::new("quakes").partitions(12)).await {
//!     Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
//!     created => println!("{:?}", created?),
//! }
//! client.alter_configs("quakes", &[("retention.ms", Some("604800000"))]).await?;
//! for partition in client.describe_topic("quakes").await?.partitions {
//!     println!("{} {:?} {:?}", partition.index, partition.leader, partition.high_watermark);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! | module | what it holds | what it does not know |
//! |---|---|---|
//! | `client`, `admin`, `admin_cluster`, `admin_groups`, `admin_plugins` | the entrance, and requests | records |
//! | `net` | connections, the control stream, retries | topics |
//! | `metadata` | who leads what, kept fresh | streams |
//! | `producer` | `lane` decides (values only); `lane_task` carries it out; `accumulator` makes batches | fetching |
//! | `group` | `member` decides what a member of a group does (values only); `membership` carries it out | streams |
//! | `consumer` | `session` decides, one thing after the other; `stream` moves frames | producing |

mod admin;
mod admin_cluster;
mod admin_groups;
mod admin_plugins;
mod admin_records;
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
pub use admin_plugins::{FollowedLines, NewPlugin};
pub use client::Client;
pub use config::{ClientConfig, Credentials};
pub use consumer::{
    Commit, ConsumedBatch, ConsumedRecord, ConsumedRecords, Consumer, ConsumerConfig, ConsumerEvent,
    ConsumerMetrics, GroupEvent, ResetPolicy, StartAt,
};
pub use error::{ClientError, SendError};
pub use net::ClientMetrics;
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
    ClusterId, LeaderEpoch, MetadataIndex, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    Revision, TopicId,
};
pub use weir_wire::lane::{Acks, Promise};
pub use weir_wire::metadata::VoterProgress;
pub use weir_wire::plugin::{PluginDigest, PluginKind, PluginLine, PluginLines, PluginShape};
pub use weir_wire::request::{
    ActivatePipeline, AlterNodeConfigs, AlterReassignments, AlterTopic, AssignorSet, BoundPlugin, ChangeNode,
    ClusterDescription, ClusterMetadata, CommittedOffset, ConfigEntry, ConfigSource, DeletePlugin,
    ElectLeaders, Election, ElectionKind, ExplainTopic, GroupDeleted, GroupDescription, GroupExplanation,
    GroupListing, GroupPartition, GroupState, LeadersElected, ListedOffset, MemberDescription, MemberLoad,
    MemberState, NodeChange, NodeChanged, NodeConfigEntry, NodeConfigsAltered, NodeConfigsDescribed,
    NodeDescription, NodeEntry, NodeStanding, OffsetSpec, OffsetsDeleted, OffsetsReset, PartitionEntry,
    PartitionFigures, PartitionMove, PartitionOffset, PartitionRevision, PartitionState, PipelineActivated,
    PipelineChange, PipelineDescription, PipelineLanes, PipelineRolledBack, PipelineStaged,
    PipelinesDescribed, PlacementExplained, PluginBinding, PluginEntry, PluginFigures, PluginPushed,
    PluginsListed, QuorumView, ReassignmentAltered, ReassignmentProgress, ReassignmentsAltered,
    RecordsDeleted, ReplicaState, ReplicasShifting, ReplicasWanted, RollBackPipeline, ShadowAction,
    ShadowReport, ShadowSample, ShadowTopic, Shift, ShiftReplicas, StagePipeline, StagedDescription,
    Subscription, Throttle, TopicAltered, TopicCreated, TopicDeleted, TopicDescription, TopicEntry,
    TopicExplained, TopicPartitions, TopicShadowed,
};
