//! The cluster's metadata as a state machine: commands in, one image out, the same on every node.
//!
//! ```text
//! Command --apply--> Image at index n+1 (or a refusal, and the image stays as it was)
//! ```
//!
//! `apply` is deterministic: ids, times and addresses arrive inside the commands. It does no IO and keeps no order
//! that depends on hashing. Who persists and replicates the commands is the shell's business.

mod alter_partition;
pub mod catalogue;
mod command;
mod configs;
mod delete_records;
mod drain;
mod elect;
mod fence;
mod hosted;
mod image;
mod older;
mod outcome;
mod partition;
mod pipelines;
mod placement;
mod plugins;
mod reassign;
mod register;
#[doc(hidden)]
pub mod rules;
#[cfg(test)]
mod tests;
mod topics;

pub use command::{
    AlterPartition, Command, ConfigChange, CutLog, EARLIER_PROCESSES_MAX, ElectionKind, LastLife, LogTail,
    ProcessId, Registration, Selection,
};
pub use drain::Move;
pub use hosted::{Hosted, Role};
pub use image::{Image, NodeState, PartitionState, Reassignment, TopicState};
pub use outcome::{Applied, Ineligible, MetadataError};
pub use pipelines::{
    Binding, INTERCEPTORS_MAX, OPENABLE_REVISIONS_MAX, Origin, PipelineSpec, PipelineState, RollbackCause,
    StagedPipeline,
};
pub use plugins::{PLUGINS_MAX, PluginState};

use std::collections::BTreeMap;

use weir_wire::ids::{ClusterId, NodeId, ProducerId};

#[doc(hidden)]
pub use rules::Rule;
use rules::Rules;

/// All registered nodes.
type Nodes = BTreeMap<NodeId, NodeState>;

/// The most partitions that one cluster of this version holds; each costs memory on every node.
pub const PARTITIONS_PER_CLUSTER_MAX: usize = 200_000;

impl Image {
    /// Applies one command.
    ///
    /// # Errors
    /// See [`MetadataError`]; the image is then unchanged, but for its index.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, MetadataError> {
        self.apply_under(Rules::default(), command)
    }

    /// As [`Image::apply`], with one rule taken away; for tests that must notice.
    ///
    /// # Errors
    /// As [`Image::apply`].
    #[doc(hidden)]
    pub fn apply_without(&mut self, rule: Rule, command: &Command) -> Result<Applied, MetadataError> {
        self.apply_under(Rules::all_but(rule), command)
    }

    fn apply_under(&mut self, rules: Rules, command: &Command) -> Result<Applied, MetadataError> {
        self.index.0 += 1;
        match command {
            Command::Initialise { cluster } => self.initialise(*cluster),
            Command::RegisterNode(registration) => self.register_node(rules, registration),
            Command::CreateTopic { name, id, partitions, replication_factor, configs } => {
                self.create_topic(name, *id, *partitions, *replication_factor, configs)
            }
            Command::DeleteTopic { name, id } => self.delete_topic(name, *id),
            Command::GrantProducers { count } => self.grant_producers(*count),
            Command::FenceNode { node, incarnation } => self.fence_node(rules, *node, *incarnation),
            Command::BeginShutdown { node, incarnation } => self.begin_shutdown(rules, *node, *incarnation),
            Command::AlterPartition(asked) => self.alter_partition(rules, asked),
            Command::ElectLeaders { selection, kind } => self.elect_leaders(rules, selection, *kind),
            Command::CreatePartitions { topic, count } => self.create_partitions(topic, *count),
            Command::AlterTopicConfigs { topic, change } => self.alter_topic_configs(rules, topic, change),
            Command::AlterNodeConfigs { node, change } => self.alter_node_configs(*node, change),
            Command::PushPlugin { name, version, plugin } => self.push_plugin(name, version, plugin),
            Command::DeletePlugin { name, version } => self.delete_plugin(name, version),
            Command::StagePipeline { topic, expected, spec } => self.stage_pipeline(*topic, *expected, spec),
            Command::ReportReady { topic, revision, node, incarnation, failure } => {
                self.report_ready(*topic, *revision, (*node, *incarnation), failure.as_deref())
            }
            Command::ActivatePipeline { topic, revision, expected, without } => {
                self.activate_pipeline(rules, *topic, *revision, *expected, without)
            }
            Command::RollbackPipeline { topic, expected, cause } => {
                self.roll_back_pipeline(rules, *topic, *expected, *cause)
            }
            Command::RetireRevisions { now_ms } => Ok(self.retire_revisions(rules, *now_ms)),
            Command::SetNewTopicPipeline { spec } => self.set_new_topic_pipeline(spec),
            Command::DeleteRecords { topic, partition, before } => {
                self.delete_records(*topic, *partition, *before)
            }
            Command::FailReplicas { node, incarnation, replicas } => {
                self.fail_replicas(rules, *node, *incarnation, replicas)
            }
            Command::EnsureInternalTopic { name, id, partitions, configs } => {
                self.ensure_internal_topic(name, *id, *partitions, configs)
            }
            Command::Reassign { topic, partition, target } => {
                self.reassign(rules, *topic, *partition, target.as_deref())
            }
            Command::SetDraining { node, draining } => self.set_draining(*node, *draining),
            Command::RemoveNode { node } => self.remove_node(*node),
        }
    }

    fn initialise(&mut self, cluster: ClusterId) -> Result<Applied, MetadataError> {
        if let Some(known) = self.cluster {
            return Err(MetadataError::AlreadyInitialised(known));
        }
        self.cluster = Some(cluster);
        Ok(Applied::Initialised)
    }

    fn grant_producers(&mut self, count: u32) -> Result<Applied, MetadataError> {
        let first = self.next_producer;
        // Kafka's stored field is a signed 64-bit number.
        match first.0.checked_add(u64::from(count)).filter(|next| i64::try_from(*next).is_ok()) {
            Some(next) => self.next_producer = ProducerId(next),
            None => return Err(MetadataError::NoProducerIds),
        }
        Ok(Applied::ProducersGranted { first, count })
    }
}
