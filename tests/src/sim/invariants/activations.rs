//! A pipeline is put in force over the one that it was staged over, when every node that is asked can run it; a rollback
//! brings back the plugins of before (INVARIANTS 49; the two-phase swap of DESIGN section 9).

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_core::metadata::{Image, Origin, PipelineState, TopicState};
use weir_wire::ids::{NodeId, Revision};

use super::Invariant;
use crate::sim::snapshot::Snapshot;

/// What was in force, and the metadata of the moment before.
#[derive(Debug, Default)]
pub(super) struct Activations {
    before: Option<Arc<Image>>,
    lives: BTreeMap<NodeId, u32>,
    /// Every pipeline that came into force.
    known: BTreeMap<Revision, PipelineState>,
}

impl Invariant for Activations {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        let Some(image) = &seen.image else { return Ok(()) };
        if let Some(topic) = image.topics.get(seen.topic) {
            let came: Vec<_> =
                topic.pipelines.iter().filter(|(revision, _)| !self.known.contains_key(revision)).collect();
            for (revision, pipeline) in came {
                self.check_origin(*revision, pipeline)?;
                if matches!(pipeline.origin, Origin::Activated { .. }) {
                    self.check_readiness(seen, image, topic, *revision)?;
                }
                self.known.insert(*revision, pipeline.clone());
            }
            let newest = self.known.keys().next_back().copied().unwrap_or_default();
            if topic.revision != newest {
                return Err(format!("revision {} is in force, though {newest} was", topic.revision));
            }
        }
        self.before = Some(Arc::clone(image));
        self.lives = seen.pipelines.iter().map(|(node, life, _)| (*node, *life)).collect();
        Ok(())
    }
}

impl Activations {
    /// Each supersedes the one that was in force.
    fn check_origin(&self, revision: Revision, pipeline: &PipelineState) -> Result<(), String> {
        let in_force = self.known.keys().next_back().copied();
        match (pipeline.origin, in_force) {
            (Origin::Created, None) => Ok(()),
            (Origin::Activated { previous: superseded }, Some(in_force))
            | (Origin::RolledBack { from: superseded, .. }, Some(in_force))
                if superseded != in_force =>
            {
                Err(format!("revision {revision} superseded {superseded}, in force was {in_force}"))
            }
            (Origin::RolledBack { from, .. }, _) => {
                let to = self.known.get(&from).and_then(previous).and_then(|to| self.known.get(&to));
                match to {
                    Some(to) if to.spec == pipeline.spec => Ok(()),
                    to => Err(format!("{from} was rolled back to {:?}, not to {to:?}", pipeline.spec)),
                }
            }
            (Origin::Activated { .. } | Origin::Grown { .. }, Some(_)) => Ok(()),
            (origin, in_force) => {
                Err(format!("revision {revision} is {origin:?}; in force was {in_force:?}"))
            }
        }
    }

    /// Whoever was alive the moment before and still is can run it.
    fn check_readiness(
        &self,
        seen: &Snapshot,
        image: &Image,
        topic: &TopicState,
        revision: Revision,
    ) -> Result<(), String> {
        let Some(before) = &self.before else { return Ok(()) };
        for (node, life, pipelines) in &seen.pipelines {
            let (Some(was), Some(is)) = (before.nodes.get(node), image.nodes.get(node)) else { continue };
            let was_asked = was.is_active() && is.is_active() && was.incarnation == is.incarnation;
            let is_same_life = self.lives.get(node) == Some(life);
            if was_asked && is_same_life && !pipelines.is_ready(topic.id, revision) {
                return Err(format!("revision {revision} came into force, node {node} cannot run it"));
            }
        }
        Ok(())
    }
}

/// Where a rollback of this pipeline goes.
fn previous(pipeline: &PipelineState) -> Option<Revision> {
    match pipeline.origin {
        Origin::Created => None,
        Origin::Activated { previous } => Some(previous),
        Origin::Grown { previous } | Origin::RolledBack { previous, .. } => previous,
    }
}
