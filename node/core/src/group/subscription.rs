//! Which topics a subscription means.

use std::collections::BTreeSet;

use regex_lite::{Regex, RegexBuilder};
use weir_wire::ids::TopicId;
use weir_wire::names;
use weir_wire::request::Subscription;

use super::error::GroupError;
use super::messages::Topics;

/// The most memory in bytes that one compiled pattern may take. Matching takes time linear in name and pattern, so
/// no pattern of a member can hold the coordinator up.
const COMPILED_BYTES_MAX: usize = 64 * 1024;

/// Checks a subscription.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(subscription: &Subscription) -> Result<(), GroupError> {
    if subscription.topics.is_empty() && subscription.pattern.is_none() {
        return Err(GroupError::EmptySubscription);
    }
    if subscription.topics.len() > Subscription::TOPICS_MAX {
        return Err(GroupError::TooManyTopics(subscription.topics.len()));
    }
    let mut names = subscription.topics.iter();
    names.try_for_each(|topic| names::check_topic_name(topic)).map_err(GroupError::TopicName)?;
    subscription.pattern.as_deref().map_or(Ok(()), |pattern| compile(pattern).map(drop))
}

/// The topics that a checked subscription means.
pub(crate) fn resolve(subscription: &Subscription, topics: &Topics) -> BTreeSet<TopicId> {
    let mut resolved: BTreeSet<TopicId> =
        subscription.topics.iter().filter_map(|name| topics.named(name)).map(|shape| shape.id).collect();
    if let Some(pattern) = subscription.pattern.as_deref().and_then(|pattern| compile(pattern).ok()) {
        let matching = topics.iter().filter(|(name, _)| !names::is_internal(name) && pattern.is_match(name));
        resolved.extend(matching.map(|(_, shape)| shape.id));
    }
    resolved
}

/// The whole name must match, as in Kafka.
fn compile(pattern: &str) -> Result<Regex, GroupError> {
    let refused = |why: String| {
        let shown = pattern.chars().take(100).collect();
        Err(GroupError::Pattern { pattern: shown, why })
    };
    if pattern.len() > Subscription::PATTERN_BYTES_MAX {
        return refused(format!("it is longer than {} bytes", Subscription::PATTERN_BYTES_MAX));
    }
    // Alone first: with a group around it, `a)(b` would be one.
    if let Err(error) = Regex::new(pattern) {
        return refused(error.to_string());
    }
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .or_else(|error| refused(error.to_string()))
}
