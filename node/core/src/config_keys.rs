//! Configuration keys: Kafka's names, each with its check and one line for people. What can be configured is a struct
//! with a table of keys; this is what such tables share.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// Something that is configured by keys and values.
pub trait Configurable: Default + Sized + 'static {
    /// What it configures, in error messages: `topic config`.
    const WHAT: &'static str;
    /// Every key, by name.
    const KEYS: &'static [ConfigKey<Self>];

    /// The defaults with these values over them.
    ///
    /// # Errors
    /// For the first key, by name, that is unknown or has a value that is not valid.
    fn from_overrides(overrides: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        config.set_all(overrides)?;
        Ok(config)
    }

    /// Sets these values over what is there.
    ///
    /// # Errors
    /// As [`Configurable::from_overrides`].
    fn set_all(&mut self, overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        for (name, value) in overrides {
            let key = find::<Self>(name)?;
            (key.set)(self, value).ok_or_else(|| ConfigError::InvalidValue {
                what: Self::WHAT.into(),
                key: key.name.into(),
                value: value.clone(),
                valid: key.valid.into(),
            })?;
        }
        Ok(())
    }

    /// Whether values that are each valid go together. Asked of what is about to change: what is stored was taken by the
    /// rules of its time, and is used as it is.
    ///
    /// # Errors
    /// For the first two that contradict each other.
    fn check_together(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Whether there is such a key.
    ///
    /// # Errors
    /// If there is not, with the nearest one.
    fn check_key(name: &str) -> Result<(), ConfigError> {
        find::<Self>(name).map(|_| ())
    }

    /// Every value in force, by name.
    #[must_use]
    fn values(&self) -> Vec<ConfigValue> {
        let default = Self::default();
        let describe = |key: &ConfigKey<Self>| {
            let value = (key.get)(self);
            ConfigValue { name: key.name, is_default: value == (key.get)(&default), value }
        };
        Self::KEYS.iter().map(describe).collect()
    }
}

/// One thing that can be configured.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey<C> {
    /// Kafka's name.
    pub name: &'static str,
    /// One line for people.
    pub doc: &'static str,
    /// Which values it takes, with their unit, for people.
    pub valid: &'static str,
    /// Sets it from text; `None` if the text is not valid.
    pub(crate) set: fn(&mut C, &str) -> Option<()>,
    /// Its value as text, as it could be given.
    pub(crate) get: fn(&C) -> String,
}

/// Why a configuration is refused. All of them are the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ConfigError {
    /// No such key.
    #[error(
        "unknown {what} '{key}'{}; known are: {}",
        .nearest.as_ref().map(|name| format!(", did you mean '{name}'?")).unwrap_or_default(),
        .known.join(", ")
    )]
    UnknownKey {
        /// What is configured.
        what: String,
        /// What was given.
        key: String,
        /// The known key that it resembles most, if any resembles it.
        nearest: Option<String>,
        /// Every key there is.
        known: Vec<String>,
    },
    /// A value that the key does not take.
    #[error("{what} {key}={value} is not valid: {key} takes {valid}")]
    InvalidValue {
        /// What is configured.
        what: String,
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What would be valid.
        valid: String,
    },
    /// A key that holds for the whole cluster was set for one node.
    #[error("{what} '{key}' holds for the whole cluster: set it for all nodes, not for one")]
    NotPerNode {
        /// What is configured.
        what: String,
        /// The key.
        key: String,
    },
    /// Two values that are each valid, and contradict each other.
    #[error("{what} {one} is not valid beside {other}: {reason}")]
    Contradiction {
        /// What is configured.
        what: String,
        /// The one, KEY=VALUE, given or in force.
        one: String,
        /// The other.
        other: String,
        /// What would come of it.
        reason: String,
    },
}

/// A value in force, for `describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// The key.
    pub name: &'static str,
    /// The value, as it could be given.
    pub value: String,
    /// Whether it is the default.
    pub is_default: bool,
}

fn find<C: Configurable>(name: &str) -> Result<&'static ConfigKey<C>, ConfigError> {
    C::KEYS.iter().find(|key| key.name == name).ok_or_else(|| ConfigError::UnknownKey {
        what: C::WHAT.into(),
        key: name.into(),
        nearest: nearest(name, C::KEYS.iter().map(|key| key.name)).map(str::to_owned),
        known: C::KEYS.iter().map(|key| key.name.to_owned()).collect(),
    })
}

/// The known name nearest to a misspelt one, unless none is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILAR: f64 = 0.6;
    known
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, nearest)| nearest)
}

pub(crate) fn whole(text: &str, valid: RangeInclusive<u64>) -> Option<u64> {
    text.parse().ok().filter(|number| valid.contains(number))
}

pub(crate) fn whole_u32(text: &str, valid: RangeInclusive<u32>) -> Option<u32> {
    text.parse().ok().filter(|number| valid.contains(number))
}

pub(crate) fn or_unlimited(text: &str) -> Option<Option<u64>> {
    if text == "-1" { Some(None) } else { whole(text, 0..=i64::MAX as u64).map(Some) }
}

pub(crate) fn show_or_unlimited(value: Option<u64>) -> String {
    value.map_or("-1".into(), |limit| limit.to_string())
}

/// A share, in thousandths; finer ones are not told apart.
pub(crate) fn per_mille(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !(digits(whole) && digits(fraction)) {
        return None;
    }
    let thousandths: u32 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let share = whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(thousandths)?;
    (share <= 1000).then_some(share)
}

pub(crate) fn show_per_mille(share: u32) -> String {
    let (whole, fraction) = (share / 1000, format!("{:03}", share % 1000));
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}.0"),
        fraction => format!("{whole}.{fraction}"),
    }
}
