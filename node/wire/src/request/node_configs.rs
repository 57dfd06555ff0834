//! What nodes go by while they run, and changing it (KIP-226 has the same for brokers).

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::NodeId;

/// Asks the node that it is sent to for its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeNodeConfigs;

/// What a node goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfigsDescribed {
    /// The node that answers.
    pub node: NodeId,
    /// Every key, by name.
    pub configs: Vec<NodeConfigEntry>,
}

/// A key, the value in force, and who said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfigEntry {
    /// Kafka's key name.
    pub key: String,
    /// The value in force.
    pub value: String,
    /// Who said so.
    pub source: ConfigSource,
}

/// Who said which value a key has. The first one that is there counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigSource {
    /// It was set for this node while it ran.
    ThisNode,
    /// It was set for all nodes while they ran.
    AllNodes,
    /// The node was started with it.
    Start,
    /// Nobody: it is the default.
    Default,
}

/// Asks for other values while nodes run: all of them are taken, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterNodeConfigs {
    /// For which node; `None` for all of them.
    pub node: Option<NodeId>,
    /// Keys to set, under Kafka's names, or, with `None`, not to set here any more.
    pub configs: Vec<(String, Option<String>)>,
}

/// The values are changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfigsAltered {
    /// What is set there now, by key.
    pub set: Vec<(String, String)>,
}

impl Request for DescribeNodeConfigs {
    const KIND: RequestKind = RequestKind(38);
    const NAME: &'static str = "describe_node_configs";
    type Response = NodeConfigsDescribed;
}

impl Request for AlterNodeConfigs {
    const KIND: RequestKind = RequestKind(39);
    const NAME: &'static str = "alter_node_configs";
    type Response = NodeConfigsAltered;
}
