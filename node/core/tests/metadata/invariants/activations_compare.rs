//! A pipeline comes into force over the one that its asker knew, once every active node is ready as the incarnation that
//! runs, but for nodes that were left out; by itself only an activation is rolled back (DESIGN, swap).

use weir_core::metadata::{Applied, Command, Origin, RollbackCause};

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    match (step.command, step.result) {
        (
            Command::ActivatePipeline { topic, revision, expected, without },
            Ok(Applied::PipelineActivated(_)),
        ) => {
            let Some((name, before)) = step.before.topic_by_id(*topic) else {
                return Err("a topic that is not there was activated".into());
            };
            if before.revision == *revision {
                return Ok(());
            }
            if before.revision != *expected {
                return Err(format!("{name}: activated over {}, not {expected}", before.revision));
            }
            let ready = before.staged.as_ref().map(|staged| &staged.ready);
            for (node, state) in &step.before.nodes {
                let is_asked = state.is_active() && !without.contains(node);
                if is_asked && ready.and_then(|ready| ready.get(node)) != Some(&state.incarnation) {
                    return Err(format!("{name}: activated though node {node} is not ready"));
                }
            }
            Ok(())
        }
        (
            Command::RollbackPipeline { topic, cause: RollbackCause::Traps, .. },
            Ok(Applied::PipelineRolledBack { .. }),
        ) => {
            let before = step.before.topic_by_id(*topic).map(|(_, topic)| topic.current_pipeline().origin);
            match before {
                Some(Origin::Activated { .. }) => Ok(()),
                other => Err(format!("rolled back by itself: {other:?}")),
            }
        }
        _ => Ok(()),
    }
}
