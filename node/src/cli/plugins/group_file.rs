//! The group that an assignor is tried on.

use serde::Deserialize;
use weir_core::pipeline::assignment::{Member, Topic, TopicPartitions};

use crate::cli::output::Failure;

/// A group as a file:
///
/// ```json
/// {"topics": {"orders": 6, "returns": 2},
///  "members": [{"id": "a", "topics": ["orders"], "owned": {"orders": [0, 1]}}, {"id": "b", "topics": ["orders", "returns"]}]}
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    topics: std::collections::BTreeMap<String, u32>,
    members: Vec<MemberLine>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberLine {
    id: String,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    rack: Option<String>,
    topics: Vec<String>,
    #[serde(default)]
    owned: std::collections::BTreeMap<String, Vec<u32>>,
}

/// Reads a group: its members and topics, as an assignor is shown them.
pub(super) fn parse(text: &str) -> Result<(Vec<Member>, Vec<Topic>), Failure> {
    let group: Group = serde_json::from_str(text).map_err(|error| {
        Failure::new(format!(
            "the group cannot be read: {error}; it looks like {{\"topics\": {{\"orders\": 6}}, \"members\": [{{\"id\": \"a\", \"topics\": [\"orders\"]}}]}}"
        ))
    })?;
    let topics: Vec<Topic> = group
        .topics
        .into_iter()
        .map(|(name, partitions)| Topic { name, partitions, racks: vec![Vec::new(); partitions as usize] })
        .collect();
    let number = |name: &str| {
        let at = topics.iter().position(|topic| topic.name == name);
        let at = at.and_then(|at| u32::try_from(at).ok());
        at.ok_or_else(|| Failure::new(format!("the group's topics do not name '{name}'")))
    };
    let mut members = Vec::new();
    for line in group.members {
        let mut wanted = line.topics.iter().map(|name| number(name)).collect::<Result<Vec<_>, _>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        let mut owned = Vec::new();
        for (name, mut partitions) in line.owned {
            partitions.sort_unstable();
            owned.push(TopicPartitions { topic: number(&name)?, partitions });
        }
        members.push(Member {
            member_id: line.id,
            instance_id: line.instance_id,
            rack: line.rack,
            topics: wanted,
            owned,
        });
    }
    if members.is_empty() {
        return Err(Failure::new("a group without members has nothing to assign: add one"));
    }
    Ok((members, topics))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_numbers() {
        let (members, topics) = parse(
            r#"{"topics": {"b": 2, "a": 1}, "members": [{"id": "m", "topics": ["b", "a", "b"], "owned": {"b": [1, 0]}}]}"#,
        )
        .unwrap();
        assert_eq!(topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(members[0].topics, [0, 1]);
        assert_eq!(members[0].owned, [TopicPartitions { topic: 1, partitions: vec![0, 1] }]);
    }

    #[test]
    fn a_topic_that_is_not_there_is_named() {
        let refused = parse(r#"{"topics": {}, "members": [{"id": "m", "topics": ["c"]}]}"#);
        assert!(matches!(refused, Err(Failure::Said(sentence)) if sentence.contains("'c'")));
    }
}
