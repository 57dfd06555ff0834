//! Where a record's key comes from.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How lines become keys and values.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum KeyRule<'a> {
    /// No keys.
    None,
    /// Everything before the first separator is the key, everything behind it the value.
    Separator(&'a str),
    /// The line is the value, and this field of it the key.
    Field(&'a str),
}

/// A line as a record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Split<'a> {
    pub(in crate::cli) key: Option<Cow<'a, [u8]>>,
    pub(in crate::cli) value: &'a [u8],
}

impl<'r> KeyRule<'r> {
    pub(in crate::cli) fn of(separator: Option<&'r str>, field: Option<&'r str>) -> KeyRule<'r> {
        match (separator, field) {
            (Some(separator), _) => KeyRule::Separator(separator),
            (None, Some(field)) => KeyRule::Field(field),
            (None, None) => KeyRule::None,
        }
    }

    /// Whether a line without a key is worth a word.
    pub(super) fn wants_keys(self) -> bool {
        !matches!(self, KeyRule::None)
    }

    /// Takes a line apart. A line in which the rule finds no key is a record without one: it is sent all the same,
    /// in no order relative to others.
    pub(in crate::cli) fn split(self, line: &[u8]) -> Split<'_> {
        match self {
            KeyRule::None => Split { key: None, value: line },
            KeyRule::Separator(separator) => match memchr::memmem::find(line, separator.as_bytes()) {
                Some(at) => {
                    let value = &line[at + separator.len()..];
                    Split { key: Some(Cow::Borrowed(&line[..at])), value }
                }
                None => Split { key: None, value: line },
            },
            KeyRule::Field(field) => Split { key: field_of(line, field), value: line },
        }
    }
}

/// The field of a JSON object as a key: the characters of a string, the JSON text of anything else. `None` where
/// the line is not an object, or the field is missing or null. Of a repeated field the first counts.
fn field_of<'l>(line: &'l [u8], field: &str) -> Option<Cow<'l, [u8]>> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let raw = FieldOf(field).deserialize(&mut json).ok()??;
    json.end().ok()?;
    let text = raw.get();
    match text.as_bytes().first()? {
        b'n' => None,
        b'"' => match text.get(1..text.len() - 1) {
            // Without an escape the characters stand in the line as they are.
            Some(inner) if !inner.contains('\\') => Some(Cow::Borrowed(inner.as_bytes())),
            _ => serde_json::from_str::<String>(text).ok().map(|key| Cow::Owned(key.into_bytes())),
        },
        _ => Some(Cow::Borrowed(text.as_bytes())),
    }
}

/// Finds one field of an object and skips the others.
struct FieldOf<'f>(&'f str);

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldOf<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut object: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        while let Some(is_it) = object.next_key_seed(NameIs(self.0))? {
            if is_it && found.is_none() {
                found = Some(object.next_value::<&RawValue>()?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Compares a field's name without making a string of it.
struct NameIs<'f>(&'f str);

impl<'de> DeserializeSeed<'de> for NameIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(line: &str, field: &str) -> Option<String> {
        let split = KeyRule::Field(field).split(line.as_bytes());
        assert_eq!(split.value, line.as_bytes(), "the value is the whole line");
        split.key.map(|key| String::from_utf8(key.into_owned()).unwrap())
    }

    #[test]
    fn a_separator_splits_once() {
        let rule = KeyRule::Separator("::");
        let split = |line: &'static str| {
            let Split { key, value } = rule.split(line.as_bytes());
            (key.map(|key| String::from_utf8(key.into_owned()).unwrap()), std::str::from_utf8(value).unwrap())
        };
        assert_eq!(split("k::v::w"), (Some("k".to_owned()), "v::w"));
        assert_eq!(split("::v"), (Some(String::new()), "v"));
        assert_eq!(split("k::"), (Some("k".to_owned()), ""));
        assert_eq!(split("k:v"), (None, "k:v"));
        assert_eq!(split(""), (None, ""));
    }

    #[test]
    fn a_field_is_found_whatever_it_holds() {
        assert_eq!(key(r#"{"id":"a","net":"uw","n":1}"#, "net").as_deref(), Some("uw"));
        assert_eq!(key(r#" { "net" : "u\"w" } "#, "net").as_deref(), Some("u\"w"));
        assert_eq!(key(r#"{"net":"Zürich"}"#, "net").as_deref(), Some("Zürich"));
        assert_eq!(key(r#"{"n\u0065t":"x"}"#, "net").as_deref(), Some("x"));
        assert_eq!(key(r#"{"net":""}"#, "net").as_deref(), Some(""));
        assert_eq!(
            key(r#"{"net":12345678901234567890123}"#, "net").as_deref(),
            Some("12345678901234567890123")
        );
        assert_eq!(key(r#"{"net":true}"#, "net").as_deref(), Some("true"));
        assert_eq!(key(r#"{"net":[1, 2]}"#, "net").as_deref(), Some("[1, 2]"));
        assert_eq!(key(r#"{"net":"first","net":"second"}"#, "net").as_deref(), Some("first"));
        assert_eq!(key(r#"{"inner":{"net":"no"},"net":"yes"}"#, "net").as_deref(), Some("yes"));
    }

    #[test]
    fn a_line_without_the_field_has_no_key() {
        for line in [
            r#"{"id":1}"#,
            r#"{"net":null}"#,
            "not json",
            "",
            "[1]",
            r#""net""#,
            r#"{"net":"x"} trailing"#,
            "{",
        ] {
            assert_eq!(key(line, "net"), None, "{line}");
        }
        assert_eq!(KeyRule::Field("net").split(b"\xff").key, None);
    }
}
