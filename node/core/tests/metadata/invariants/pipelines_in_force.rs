//! Each topic has a pipeline in force, with the topic's partition count; revisions only rise; what open pipelines name is
//! known; topics of the cluster itself run nothing (INVARIANTS 49, 52).

use weir_core::metadata::TopicState;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (name, topic) in &step.after.topics {
        check_topic(topic).map_err(|why| format!("{name}: {why}: {topic:?}"))?;
        let staged = topic.staged.iter().map(|staged| &staged.spec);
        let open = topic.pipelines.values().map(|pipeline| &pipeline.spec);
        for (kind, binding) in open.chain(staged).flat_map(|spec| spec.bindings()) {
            let known = step.after.plugin(&binding.plugin, &binding.version);
            if known.is_none_or(|known| known.digest != binding.digest || known.kind != kind) {
                return Err(format!("{name}: {binding:?} is not known"));
            }
        }
        let Some((_, before)) = step.before.topic_by_id(topic.id) else { continue };
        if topic.revision < before.revision || topic.newest_revision < before.newest_revision {
            return Err(format!("{name}: a revision fell"));
        }
        let is_other = topic.revision != before.revision;
        if is_other && before.pipelines.contains_key(&topic.revision) {
            return Err(format!("{name}: revision {} is in force for the second time", topic.revision));
        }
    }
    Ok(())
}

fn check_topic(topic: &TopicState) -> Result<(), &'static str> {
    let count = u32::try_from(topic.partitions.len()).unwrap();
    match topic.pipelines.last_key_value() {
        Some((newest, pipeline)) if *newest == topic.revision && pipeline.spec.partitions == count => {}
        _ => return Err("the pipeline in force is not the newest, or not of its partitions"),
    }
    match &topic.staged {
        Some(staged) if staged.revision <= topic.revision || staged.revision > topic.newest_revision => {
            Err("the staged revision is not above what was")
        }
        _ => Ok(()),
    }
}
