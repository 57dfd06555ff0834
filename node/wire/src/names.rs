//! Which names are legal. Names become folder names and metric labels, so the grammar is Kafka's narrow one.

/// Longest topic name in bytes (Kafka's limit).
pub const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Longest client name in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 100;
/// Longest name of a group or of a static member in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 249;
/// Longest member id in bytes.
pub const MEMBER_ID_BYTES_MAX: usize = 100;
/// Longest name of a plugin in bytes.
pub const PLUGIN_NAME_BYTES_MAX: usize = 100;
/// Longest version of a plugin in bytes.
pub const PLUGIN_VERSION_BYTES_MAX: usize = 50;
/// Topics whose names start so belong to the cluster itself: no user writes them, no plugin runs on them.
pub const INTERNAL_PREFIX: &str = "__";

/// Why a name is not legal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("a {kind} name must not be empty")]
    Empty {
        /// What the name is for.
        kind: &'static str,
    },
    /// Longer than the limit.
    #[error("a {kind} name has at most {limit} characters, this one has {length}")]
    TooLong {
        /// What the name is for.
        kind: &'static str,
        /// The name's length in bytes.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// `.` and `..` mean folders.
    #[error("a {kind} name must not be '.' or '..'")]
    Dots {
        /// What the name is for.
        kind: &'static str,
    },
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error("a {kind} name consists of letters, digits, '.', '_' and '-'; '{}' is not allowed", .character.escape_default())]
    Character {
        /// What the name is for.
        kind: &'static str,
        /// The first offender.
        character: char,
    },
}

/// Checks a topic name: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..` (Kafka, `Topic.java`).
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_topic_name(name: &str) -> Result<(), NameError> {
    check("topic", name, TOPIC_NAME_BYTES_MAX)
}

/// Checks a client name, which stands in certificates: 1 to 100 of `[a-zA-Z0-9._-]`, not `.` or `..`.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_client_name(name: &str) -> Result<(), NameError> {
    check("client", name, CLIENT_NAME_BYTES_MAX)
}

/// Checks a group's name: 1 to 249 of `[a-zA-Z0-9._-]`, not `.` or `..`. (Kafka takes any text; names here also stand
/// in commands and metrics.)
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_group_name(name: &str) -> Result<(), NameError> {
    check("group", name, GROUP_NAME_BYTES_MAX)
}

/// Checks a `group.instance.id`, by the grammar of group names.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_instance_id(name: &str) -> Result<(), NameError> {
    check("group instance", name, GROUP_NAME_BYTES_MAX)
}

/// Checks a member id: 1 to 100 of `[a-zA-Z0-9._-]`, not `.` or `..`.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_member_id(name: &str) -> Result<(), NameError> {
    check("group member", name, MEMBER_ID_BYTES_MAX)
}

/// Checks a plugin's name, by the grammar of topic names.
///
/// # Errors
/// The first rule that the name breaks.
pub fn check_plugin_name(name: &str) -> Result<(), NameError> {
    check("plugin", name, PLUGIN_NAME_BYTES_MAX)
}

/// Checks a plugin's version, by the grammar of topic names: any scheme that sorts in its author's head will do.
///
/// # Errors
/// The first rule that the version breaks.
pub fn check_plugin_version(version: &str) -> Result<(), NameError> {
    check("plugin version", version, PLUGIN_VERSION_BYTES_MAX)
}

/// Whether the topic belongs to the cluster itself.
#[must_use]
pub fn is_internal(topic: &str) -> bool {
    topic.starts_with(INTERNAL_PREFIX)
}

fn check(kind: &'static str, name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.len() > limit {
        return Err(NameError::TooLong { kind, length: name.len(), limit });
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots { kind });
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
        Some(character) => Err(NameError::Character { kind, character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_grammar_holds() {
        for good in ["a", "A.b_c-9", "...", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(check_topic_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(300);
        for (bad, says) in [
            ("", "must not be empty"),
            (".", "must not be '.'"),
            ("..", "must not be '.'"),
            ("../evil", "'/' is not allowed"),
            ("a/b", "'/' is not allowed"),
            ("a b", "' ' is not allowed"),
            ("a\0", "\\u{0}"),
            ("é", "\\u{e9}"),
            (long.as_str(), "at most 249 characters, this one has 300"),
        ] {
            let error = check_topic_name(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{bad:?}: {error}");
        }
    }
}
