//! What must hold after every command: one check in each file, with its source. They look and change nothing.

mod activations_compare;
mod alter_partition_compares;
mod clean_elections;
mod committed_survives;
mod elr_below_minimum;
mod epochs_count;
mod isr_is_assigned;
mod kept_places;
mod leader_in_isr;
mod leader_lives;
mod lost_replicas_wait;
mod one_leader_per_epoch;
mod open_for_grace;
mod pipelines_in_force;
mod placed_on_active;
mod reassignments_end;
mod refusals_change_nothing;
mod topics_by_id;

use weir_core::metadata::{Applied, Command, Image, MetadataError, PartitionState};
use weir_wire::ids::{NodeId, PartitionIndex, TopicId};

use committed_survives::Records;
use lost_replicas_wait::LostReplicas;
use one_leader_per_epoch::Reigns;

/// One command and what it did.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) before: &'a Image,
    pub(crate) command: &'a Command,
    pub(crate) result: &'a Result<Applied, MetadataError>,
    pub(crate) after: &'a Image,
    /// The replicas that a registration is about and that hold less than they did.
    pub(crate) lost: &'a [(TopicId, PartitionIndex, NodeId)],
}

impl Step<'_> {
    /// Every partition that was there before and after.
    fn partitions(&self) -> impl Iterator<Item = (Place, &PartitionState, &PartitionState)> {
        self.after.partitions().filter_map(|(_, topic, index, after)| {
            let (_, earlier) = self.before.topic_by_id(topic.id)?;
            let before = earlier.partitions.get(usize::try_from(index.0).unwrap())?;
            Some(((topic.id, index), before, after))
        })
    }
}

/// Names a partition.
pub(crate) type Place = (TopicId, PartitionIndex);

/// The checks, and what they remember from step to step.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    reigns: Reigns,
    lost: LostReplicas,
    records: Records,
}

impl Invariants {
    pub(crate) fn check(&mut self, step: &Step<'_>) -> Result<(), String> {
        refusals_change_nothing::check(step)?;
        leader_in_isr::check(step)?;
        leader_lives::check(step)?;
        isr_is_assigned::check(step)?;
        elr_below_minimum::check(step)?;
        epochs_count::check(step)?;
        clean_elections::check(step)?;
        alter_partition_compares::check(step)?;
        placed_on_active::check(step)?;
        kept_places::check(step)?;
        reassignments_end::check(step)?;
        topics_by_id::check(step)?;
        pipelines_in_force::check(step)?;
        activations_compare::check(step)?;
        open_for_grace::check(step)?;
        self.reigns.check(step)?;
        self.lost.check(step)?;
        self.records.check(step)
    }
}
