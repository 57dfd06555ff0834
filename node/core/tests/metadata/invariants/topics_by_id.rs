//! The index of topics by id holds every topic, and nothing else.

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    let image = step.after;
    let found = image.topics.iter().all(|(name, topic)| image.topic_names.get(&topic.id) == Some(name));
    if found && image.topics.len() == image.topic_names.len() {
        Ok(())
    } else {
        Err(format!("names by id: {:?}", image.topic_names))
    }
}
