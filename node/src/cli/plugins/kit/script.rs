//! The files of a kit: records with what is said about them, in the order in which a plugin meets them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use weir_wire::batch::{BatchBuilder, Compression};

use super::super::trial::About;
use crate::cli::output::Failure;
use crate::cli::text::TextBuf;

/// How many partitions a topic has where a file does not say.
const PARTITIONS: u32 = 6;
/// What is known of a batch where a file does not say.
const ABOUT: About = About { producer: Some(7), ordinal: 0, guess: None };

/// A part of a file.
#[derive(Debug)]
pub(super) enum Part {
    /// A line for people, which the answers repeat.
    Comment(String),
    /// Records that belong together.
    Batch(Batch),
}

/// A batch, and what the plugin is bound with when it meets it.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) options: Vec<(String, String)>,
    pub(super) partitions: u32,
    pub(super) about: About,
    pub(super) bytes: Bytes,
    /// The keys of its records, as a partitioner's answers repeat them.
    pub(super) keys: Vec<Option<Vec<u8>>>,
}

/// A line that is a setting: it begins a new batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    options: Option<serde_json::Map<String, serde_json::Value>>,
    partitions: Option<u32>,
    batch: Option<AboutLine>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct AboutLine {
    producer_id: Option<u64>,
    #[serde(default)]
    ordinal: u64,
    guess: Option<u32>,
}

/// A line that is a record.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    key: Option<TextBuf>,
    #[serde(default)]
    value: Option<TextBuf>,
    #[serde(default)]
    headers: BTreeMap<String, Option<TextBuf>>,
    #[serde(default)]
    timestamp: i64,
}

/// Reads a file.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    let mut open = Open {
        options: Vec::new(),
        partitions: PARTITIONS,
        about: ABOUT,
        builder: BatchBuilder::new(Compression::None),
        keys: Vec::new(),
    };
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
        if line.starts_with('#') {
            open.cut(&mut parts);
            parts.push(Part::Comment(line.to_owned()));
            continue;
        }
        let wrong = |error: serde_json::Error| Failure::new(format!("line {number}: {error}"));
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).map_err(wrong)?;
        if ["options", "batch", "partitions"].iter().any(|setting| object.contains_key(*setting)) {
            open.cut(&mut parts);
            open.set(serde_json::from_str(line).map_err(wrong)?, number)?;
        } else {
            open.push(serde_json::from_str(line).map_err(wrong)?);
        }
    }
    open.cut(&mut parts);
    Ok(parts)
}

/// A batch that is being filled, under the settings read last.
struct Open {
    options: Vec<(String, String)>,
    partitions: u32,
    about: About,
    builder: BatchBuilder,
    keys: Vec<Option<Vec<u8>>>,
}

impl Open {
    fn set(&mut self, setting: Setting, number: usize) -> Result<(), Failure> {
        if let Some(options) = setting.options {
            let text = |value: serde_json::Value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            self.options = options.into_iter().map(|(name, value)| (name, text(value))).collect();
        }
        if let Some(partitions) = setting.partitions {
            if partitions == 0 {
                return Err(Failure::new(format!("line {number}: a topic has at least one partition")));
            }
            self.partitions = partitions;
        }
        if let Some(AboutLine { producer_id, ordinal, guess }) = setting.batch {
            self.about = About { producer: producer_id, ordinal, guess };
        }
        Ok(())
    }

    fn push(&mut self, record: Record) {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref().map(|value| &value.0[..])))
            .collect();
        let key = record.key.map(|key| key.0);
        let value = record.value.as_ref().map(|value| &value.0[..]);
        self.builder.push(record.timestamp, key.as_deref(), value, &headers);
        self.keys.push(key);
    }

    fn cut(&mut self, parts: &mut Vec<Part>) {
        if self.keys.is_empty() {
            return;
        }
        parts.push(Part::Batch(Batch {
            options: self.options.clone(),
            partitions: self.partitions,
            about: self.about,
            bytes: self.builder.finish(None),
            keys: std::mem::take(&mut self.keys),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_comments_begin_batches() {
        let text = "# one\n{\"key\":\"a\"}\n\n{\"value\":\"v\"}\n{\"partitions\":2,\"options\":{\"n\":1}}\n\
                    {\"batch\":{\"guess\":1}}\n{\"key\":{\"base64\":\"/w==\"},\"headers\":{\"h\":null}}\n";
        let parts = parse(text).unwrap();
        let [Part::Comment(comment), Part::Batch(first), Part::Batch(second)] = &parts[..] else {
            panic!("{parts:?}");
        };
        assert_eq!((comment.as_str(), first.partitions, first.about), ("# one", 6, ABOUT));
        assert_eq!(first.keys, [Some(b"a".to_vec()), None]);
        assert_eq!((second.partitions, &second.options[..]), (2, &[("n".to_owned(), "1".to_owned())][..]));
        assert_eq!(second.about, About { producer: None, ordinal: 0, guess: Some(1) });
        assert_eq!(second.keys, [Some(vec![0xff])]);
    }

    #[test]
    fn what_is_no_line_of_a_kit_is_refused_by_its_number() {
        for (text, expected) in [
            ("{}\nno", "line 2: "),
            ("{\"keys\": 1}", "line 1: unknown field `keys`"),
            ("{\"partitions\": 0}", "line 1: a topic has at least one partition"),
        ] {
            let Err(Failure::Said(sentence)) = parse(text) else { panic!("{text} was read") };
            assert!(sentence.starts_with(expected), "{sentence}");
        }
    }
}
