//! A superseded pipeline stays open until somebody who knows the time saw it so for the topic's grace (INVARIANTS 49).

use weir_core::metadata::Command;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (name, topic) in &step.after.topics {
        let Some((_, before)) = step.before.topic_by_id(topic.id) else { continue };
        let closed = before.pipelines.iter().filter(|(revision, _)| !topic.pipelines.contains_key(revision));
        for (revision, pipeline) in closed {
            let Command::RetireRevisions { now_ms } = step.command else {
                return Err(format!("{name}: revision {revision} was closed by {:?}", step.command));
            };
            let grace_ms = before.config().pipeline_revision_grace_ms;
            let open_ms = pipeline.retired_at_ms.map_or(0, |since| now_ms.saturating_sub(since));
            if open_ms < grace_ms {
                return Err(format!(
                    "{name}: revision {revision} was closed after {open_ms} of {grace_ms} ms"
                ));
            }
        }
    }
    Ok(())
}
