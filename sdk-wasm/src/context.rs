//! What a plugin is configured with.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// What a plugin is bound to: the same for every instance of one revision of a topic's pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The topic's name.
    pub topic: String,
    /// The number of the pipeline; it rises with every change of plugins, options or partition count.
    pub revision: u64,
    /// How many partitions the topic has; at least 1.
    pub partitions: u32,
    /// The operator's options.
    pub options: Options,
    /// The most bytes that one answer may hold.
    pub answer_bytes_max: u32,
}

/// The operator's options (`--option name=value`), with readers whose errors say what to write instead.
///
/// ```
/// use weir_plugin::Options;
///
/// let options = Options::from([("fields", "id, mag"), ("depth", "3"), ("mode", "strict")]);
/// options.allow(&["fields", "depth", "mode"])?;
/// assert_eq!(options.list("fields"), ["id", "mag"]);
/// assert_eq!(options.parse("depth", 16_u32)?, 3);
/// assert_eq!(options.parse("width", 80_u32)?, 80);
/// assert_eq!(options.choice("mode", &["lenient", "strict"])?, "strict");
/// assert!(options.required("path").is_err());
/// # Ok::<(), weir_plugin::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// The value of an option, if the operator gave it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of an option that must be given.
    ///
    /// # Errors
    /// If it is not given.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::new(format!("option {name} is missing: give {name}=...")))
    }

    /// The value of an option as a number or another thing that text can be; `default` if it is not given.
    ///
    /// # Errors
    /// If the text is not such a thing.
    pub fn parse<T: FromStr<Err: fmt::Display>>(&self, name: &str, default: T) -> Result<T> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.parse().map_err(|error| Error::new(format!("option {name}={value}: {error}")))
    }

    /// The value of an option that is one of a few words; the first of them if it is not given.
    ///
    /// # Errors
    /// If it is none of them.
    ///
    /// # Panics
    /// If there are no words.
    pub fn choice<'a>(&self, name: &str, words: &[&'a str]) -> Result<&'a str> {
        let Some(value) = self.get(name) else {
            return Ok(words.first().expect("a choice is between words"));
        };
        words
            .iter()
            .find(|word| **word == value)
            .copied()
            .ok_or_else(|| Error::new(format!("option {name}={value}: it is one of {}", words.join(", "))))
    }

    /// The parts of an option between commas, without white space around them; none if it is not given.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        let parts = self.get(name).unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// Refuses options that the plugin does not know: a misspelt one would else be silently without effect.
    ///
    /// # Errors
    /// If there is an option whose name is none of these.
    pub fn allow(&self, names: &[&str]) -> Result<()> {
        match self.0.iter().find(|(given, _)| !names.contains(&given.as_str())) {
            None => Ok(()),
            Some((given, _)) if names.is_empty() => {
                Err(Error::new(format!("there is no option {given}: this plugin takes none")))
            }
            Some((given, _)) => {
                Err(Error::new(format!("there is no option {given}: there are {}", names.join(", "))))
            }
        }
    }

    /// All names and values, in the operator's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<Vec<(String, String)>> for Options {
    fn from(pairs: Vec<(String, String)>) -> Options {
        Options(pairs)
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Options {
    fn from(pairs: [(&str, &str); N]) -> Options {
        Options::from(pairs.as_slice())
    }
}

impl From<&[(&str, &str)]> for Options {
    fn from(pairs: &[(&str, &str)]) -> Options {
        Options(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_write() {
        let options = Options::from([("on-invalid", "explode"), ("depth", "deep")]);
        let said = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(
            said(options.choice("on-invalid", &["reject", "drop"]).map(drop)),
            "option on-invalid=explode: it is one of reject, drop"
        );
        assert_eq!(
            said(options.parse("depth", 1_u32).map(drop)),
            "option depth=deep: invalid digit found in string"
        );
        assert_eq!(said(options.required("field").map(drop)), "option field is missing: give field=...");
        assert_eq!(said(options.allow(&["depth"])), "there is no option on-invalid: there are depth");
        assert_eq!(said(options.allow(&[])), "there is no option on-invalid: this plugin takes none");
    }

    #[test]
    fn lists_have_no_empty_parts() {
        assert_eq!(Options::from([("a", " x ,, y,")]).list("a"), ["x", "y"]);
        assert!(Options::default().list("a").is_empty());
    }
}
