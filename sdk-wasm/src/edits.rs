//! What an interceptor changes.

use std::borrow::Cow;

use crate::records::{Headers, Record};
use crate::varint;

/// Collects what an interceptor changes about a batch. Records that are not mentioned are kept; a batch that nothing
/// is said about costs nothing, not even a copy.
///
/// Edits are made in the order of the records, at most one per record, which is what a loop over
/// [`Batch::records`](crate::Batch::records) does by itself.
///
/// # Panics
/// Every method that takes an index panics if the record, or one after it, was edited before: that is a defect of the
/// plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    answer: Answer,
    /// How much to reserve when the first bytes are put in, so that a batch whose records all change does not move
    /// its answer about while it grows.
    bytes_expected: usize,
}

/// What the edits come to, in the contract's flat form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// By rising index, at most one per record.
    pub edits: Vec<Edit>,
    /// What the edits put in, back to back.
    pub bytes: Vec<u8>,
    /// What rejecting edits refer to.
    pub rejections: Vec<Rejection>,
    /// What every kept record gets.
    pub append_headers: Vec<(String, HeaderValue)>,
}

/// An edit of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The record's place in the batch.
    pub index: u32,
    /// What happens to it.
    pub action: Action,
}

/// What happens to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It disappears.
    Drop,
    /// It is refused, for the rejection of this index.
    Reject(u32),
    /// Its value becomes the next so many bytes.
    SetValue(u32),
    /// Its value becomes null.
    SetValueNull,
    /// Key, value and headers become the next so many bytes.
    Replace(u32),
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A number for programs; 0 if there is none.
    pub code: u32,
    /// One sentence for people.
    pub reason: String,
}

/// The value of a header that every kept record of the batch gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The producer's name. The node fills it in: a pure hook does not see it. On the produce path only.
    Principal,
    /// The number of the node that took the batch. As above.
    EntryNode,
}

impl HeaderValue {
    /// The name of what the node fills in.
    #[must_use]
    pub fn fact(&self) -> Option<&'static str> {
        match self {
            HeaderValue::Bytes(_) => None,
            HeaderValue::Principal => Some("principal"),
            HeaderValue::EntryNode => Some("entry-node"),
        }
    }
}

/// How many rejections a new one is compared with, so that a batch of equally bad records has one.
const REJECTIONS_COMPARED: usize = 16;

impl Edits {
    /// No edits, of a batch whose records have so many bytes.
    #[must_use]
    pub fn of(records: &[u8]) -> Edits {
        Edits { answer: Answer::default(), bytes_expected: records.len() }
    }

    /// The record disappears; its producer is told that it was dropped, which is no error.
    pub fn drop(&mut self, index: u32) {
        self.push(index, Action::Drop);
    }

    /// The record is refused, and its producer is told why. `code` is for programs, 0 if there is none; the reason
    /// should not repeat the record's content, as it ends up in logs. On the produce path only.
    pub fn reject(&mut self, index: u32, code: u32, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        let rejections = &mut self.answer.rejections;
        let compared = rejections.len().saturating_sub(REJECTIONS_COMPARED);
        let equal =
            rejections[compared..].iter().position(|known| known.code == code && known.reason == reason);
        let at = equal.map_or(rejections.len(), |at| compared + at);
        if at == rejections.len() {
            rejections.push(Rejection { code, reason: reason.into_owned() });
        }
        self.push(index, Action::Reject(length(at)));
    }

    /// The record gets this value.
    pub fn set_value(&mut self, index: u32, value: &[u8]) {
        self.put(index, Action::SetValue, |out| out.extend_from_slice(value));
    }

    /// The record gets the value that `write` appends to the buffer it is handed, without a copy in between. `write`
    /// must only append.
    pub fn set_value_with(&mut self, index: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.put(index, Action::SetValue, write);
    }

    /// The record's value becomes null.
    pub fn set_value_null(&mut self, index: u32) {
        self.push(index, Action::SetValueNull);
    }

    /// The record gets this key, value and headers; it keeps its time and position.
    pub fn replace(&mut self, index: u32, content: &Content<'_>) {
        self.put(index, Action::Replace, |out| content.write(out));
    }

    /// Every record of the batch that is kept gets this header, behind its own.
    pub fn append_header(&mut self, name: impl Into<String>, value: HeaderValue) {
        self.answer.append_headers.push((name.into(), value));
    }

    /// What was said, in the contract's form.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        self.answer
    }

    fn put(&mut self, index: u32, action: fn(u32) -> Action, write: impl FnOnce(&mut Vec<u8>)) {
        let bytes = &mut self.answer.bytes;
        let before = bytes.len();
        if before == 0 {
            bytes.reserve(self.bytes_expected);
        }
        write(bytes);
        let written = bytes.len().checked_sub(before).expect("what writes a value only appends");
        self.push(index, action(length(written)));
    }

    fn push(&mut self, index: u32, action: Action) {
        let edits = &mut self.answer.edits;
        assert!(
            edits.last().is_none_or(|last| last.index < index),
            "records are edited once each, in their order: record {index} comes too late"
        );
        edits.push(Edit { index, action });
    }
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("a plugin's memory has less than 4 GiB")
}

/// What takes a record's place.
///
/// ```
/// use weir_plugin::{Content, Edits, Record};
///
/// /// Gives a record the key that stands in its header `id`, and takes the header away.
/// fn rekey(record: &Record<'_>, edits: &mut Edits) {
///     if let Some(id) = record.headers.last("id") {
///         let mut content = Content::of(record);
///         content.key = id;
///         content.headers.retain(|(name, _)| *name != "id");
///         edits.replace(record.index, &content);
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> Content<'a> {
    /// The content of a record, to be changed.
    #[must_use]
    pub fn of(record: &Record<'a>) -> Content<'a> {
        Content { key: record.key, value: record.value, headers: record.headers.collect() }
    }

    /// Appends the contract's flat form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        varint::put_nullable(out, self.key);
        varint::put_nullable(out, self.value);
        varint::put(out, i64::from(length(self.headers.len())));
        for (name, value) in &self.headers {
            varint::put_nullable(out, Some(name.as_bytes()));
            varint::put_nullable(out, *value);
        }
    }

    /// Reads the contract's flat form; `None` if it is none.
    #[cfg_attr(
        target_family = "wasm",
        expect(dead_code, reason = "only the harness reads what a plugin wrote")
    )]
    pub(crate) fn read(mut bytes: &'a [u8]) -> Option<Content<'a>> {
        let key = varint::take_nullable(&mut bytes)?;
        let value = varint::take_nullable(&mut bytes)?;
        let (headers, rest) = Headers::read_all(bytes)?;
        rest.is_empty().then_some(Content { key, value, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rejections_are_said_once() {
        let mut edits = Edits::default();
        edits.reject(0, 1, "not JSON");
        edits.reject(1, 2, "no id");
        edits.reject(4, 1, "not JSON");
        let answer = edits.into_answer();
        assert_eq!(answer.rejections.len(), 2);
        let actions: Vec<_> = answer.edits.iter().map(|edit| edit.action).collect();
        assert_eq!(actions, [Action::Reject(0), Action::Reject(1), Action::Reject(0)]);
    }

    #[test]
    fn values_lie_back_to_back() {
        let mut edits = Edits::of(&[0; 100]);
        edits.set_value(1, b"ab");
        edits.set_value_null(2);
        edits.set_value_with(5, |out| out.push(b'c'));
        let answer = edits.into_answer();
        assert_eq!(answer.bytes, b"abc");
        assert_eq!(answer.edits[0], Edit { index: 1, action: Action::SetValue(2) });
        assert_eq!(answer.edits[2], Edit { index: 5, action: Action::SetValue(1) });
    }

    #[test]
    #[should_panic(expected = "record 3 comes too late")]
    fn a_record_is_edited_once() {
        let mut edits = Edits::default();
        edits.drop(3);
        edits.drop(3);
    }

    #[test]
    fn content_is_read_as_it_is_written() {
        let content = Content { key: None, value: Some(b"v"), headers: vec![("h", Some(b"1")), ("h", None)] };
        let mut bytes = Vec::new();
        content.write(&mut bytes);
        assert_eq!(bytes, [1, 2, b'v', 4, 2, b'h', 2, b'1', 2, b'h', 1]);
        assert_eq!(Content::read(&bytes), Some(content));
        bytes.push(0);
        assert_eq!(Content::read(&bytes), None, "a byte too many");
    }
}
