//! Records for tests, and what becomes of them.

use crate::edits::Content;
use crate::varint;

/// A record of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRecord {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl TestRecord {
    /// A record with a key and a value.
    pub fn of(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> TestRecord {
        TestRecord { key: Some(key.into()), ..TestRecord::of_value(value) }
    }

    /// A record with a value and a null key.
    pub fn of_value(value: impl Into<Vec<u8>>) -> TestRecord {
        TestRecord { value: Some(value.into()), ..TestRecord::default() }
    }

    /// The record with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> TestRecord {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// The record with a null value.
    #[must_use]
    pub fn tombstone(mut self) -> TestRecord {
        self.value = None;
        self
    }

    fn content(&self) -> Content<'_> {
        let headers = self.headers.iter();
        Content {
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers.map(|(name, value)| (name.as_str(), value.as_deref())).collect(),
        }
    }

    /// The record with another content.
    pub(super) fn with(&self, content: &Content<'_>) -> TestRecord {
        let headers = content.headers.iter();
        TestRecord {
            timestamp_ms: self.timestamp_ms,
            key: content.key.map(<[u8]>::to_vec),
            value: content.value.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }
}

/// Records in the contract's flat form, counted from the first one's time.
pub(super) fn encode(records: &[TestRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    let base_timestamp_ms = records.first().map_or(0, |first| first.timestamp_ms);
    for (offset_delta, record) in (0..).zip(records) {
        body.clear();
        body.push(0);
        varint::put(&mut body, record.timestamp_ms.wrapping_sub(base_timestamp_ms));
        varint::put(&mut body, offset_delta);
        record.content().write(&mut body);
        varint::put_nullable(&mut out, Some(&body));
    }
    out
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Kept as it was.
    Kept,
    /// Dropped.
    Dropped,
    /// Rejected.
    Rejected {
        /// For programs.
        code: u32,
        /// For people.
        reason: String,
    },
    /// Changed; this is what became of it. A header that the node fills in shows as `<principal>`, `<entry-node>`.
    Changed(TestRecord),
}

impl Fate {
    /// Rejected with this code and reason.
    #[must_use]
    pub fn rejected(code: u32, reason: &str) -> Fate {
        Fate::Rejected { code, reason: reason.to_owned() }
    }

    /// The value of a record that was changed, as text.
    ///
    /// # Panics
    /// If the record was not changed, or its value is null or no text.
    #[must_use]
    pub fn new_value(&self) -> &str {
        let Fate::Changed(record) = self else { panic!("the record was not changed: {self:?}") };
        let value = record.value.as_deref().expect("the value is null");
        str::from_utf8(value).expect("the value is no text")
    }
}
