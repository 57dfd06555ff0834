//! What an interceptor answers, in the one shape that the rest works on. Nothing in it is believed before
//! [`Draft::apply`](super::draft::Draft::apply) checked it.

use weir_wire::batch::Content;

/// The most headers that one answer may append.
pub const APPENDED_HEADERS_MAX: usize = 64;
/// The most bytes of a rejection's reason that the producer is told.
pub const REASON_BYTES_MAX: usize = 512;

/// What an interceptor changes in a batch. All lists empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// At most one edit per record, by rising index. Records without one are kept.
    pub edits: Vec<Edit>,
    /// What the edits put in, back to back in the order of the edits.
    pub bytes: Vec<u8>,
    /// What rejecting edits refer to.
    pub rejections: Vec<Rejection>,
    /// What is appended to every record that is kept.
    pub headers: Vec<Header>,
}

impl Answer {
    /// What it holds in bytes: all values, headers and reasons together, as a binding's limit counts them.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        let reasons = self.rejections.iter().map(|rejection| rejection.reason.len());
        let headers = self.headers.iter().map(|header| header.name.len() + header.value.len());
        self.bytes.len() + reasons.chain(headers).sum::<usize>()
    }
}

/// What happens to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The record's place in the batch that the hook was given, from 0.
    pub index: u32,
    /// What happens to it.
    pub action: Action,
    /// How many bytes are this edit's, or which rejection it means.
    pub argument: u32,
}

/// What an edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The record disappears.
    Drop,
    /// The record is refused with a reason.
    Reject,
    /// The bytes become its value.
    SetValue,
    /// Its value becomes null.
    SetValueNull,
    /// The bytes are encoded content and take the place of key, value and headers.
    Replace,
}

/// Why an interceptor refuses a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// A number of the plugin's choosing; 0 for none.
    pub code: u32,
    /// One sentence.
    pub reason: String,
}

/// A header to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// Why an answer is not used. Each sentence goes behind "the answer is wrong:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// Two edits for one record, or out of order.
    #[error(
        "the edit of record {index} follows that of record {after}; edits come by rising index, one per record"
    )]
    NotRising {
        /// The edit that is out of order.
        index: u32,
        /// The one before it.
        after: u32,
    },
    /// An edit of a record that is not there.
    #[error("record {index} is edited, but the batch has records 0 to {last}", last = .count.saturating_sub(1))]
    NoSuchRecord {
        /// Which was named.
        index: u32,
        /// How many there are.
        count: u32,
    },
    /// The edits' shares do not add up to the bytes.
    #[error("the edits up to that of record {index} take {taken} bytes, but the answer has {bytes}")]
    TooFewBytes {
        /// The edit for which bytes are missing.
        index: u32,
        /// How many it and those before it take.
        taken: u64,
        /// How many there are.
        bytes: u64,
    },
    /// Bytes that no edit takes.
    #[error("{extra} bytes of the answer belong to no edit")]
    BytesLeft {
        /// How many.
        extra: u64,
    },
    /// A rejection that is not there.
    #[error("record {index} is rejected with rejection {rejection}, but the answer has {rejections}")]
    NoSuchRejection {
        /// The record.
        index: u32,
        /// Which rejection was named.
        rejection: u32,
        /// How many there are.
        rejections: u32,
    },
    /// A stored record cannot be refused any more.
    #[error("record {index} is rejected, but only a record on its way into the log can be")]
    RejectedOnFetch {
        /// The record.
        index: u32,
    },
    /// An argument where none belongs.
    #[error("the edit of record {index} has argument {argument}, but its action takes none: say 0")]
    StrayArgument {
        /// The record.
        index: u32,
        /// What was there.
        argument: u32,
    },
    /// Replacing content that is not content.
    #[error("what replaces record {index} is not a record's content: {reason}")]
    BadContent {
        /// The record.
        index: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// Too many headers to append.
    #[error("{headers} headers are appended, at most {APPENDED_HEADERS_MAX} may be")]
    TooManyHeaders {
        /// How many.
        headers: usize,
    },
    /// Headers are for all records of a batch.
    #[error(
        "from record {first} on, other headers are appended than before; who wants 'in-parts' appends the same to every record"
    )]
    HeadersDiffer {
        /// The first record of the part.
        first: u32,
    },
    /// A header value that only the node knows, and does not know.
    #[error("there is no fact '{name}' here{known}", known = .known.map_or_else(String::new, |known| format!("; known are {known}")))]
    UnknownFact {
        /// What was asked for.
        name: String,
        /// Which there are, if any.
        known: Option<&'static str>,
    },
    /// The batch would become too large.
    #[error("the batch would have {bytes} bytes or more, at most {max} are allowed here")]
    BatchTooLarge {
        /// How many, up to the record where it was noticed.
        bytes: u64,
        /// How many may be.
        max: u64,
    },
    /// More or fewer partitions than keys.
    #[error("{answered} partitions were answered for {keys} keys")]
    PartitionCount {
        /// How many partitions.
        answered: usize,
        /// How many keys.
        keys: usize,
    },
    /// A partition that the topic does not have.
    #[error("record {index} is placed in partition {partition}, but the topic has partitions 0 to {last}", last = .partitions.saturating_sub(1))]
    NoSuchPartition {
        /// The record.
        index: usize,
        /// Where it was placed.
        partition: u32,
        /// How many partitions there are.
        partitions: u32,
    },
}

impl Answer {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.edits.is_empty() && self.headers.is_empty() && self.bytes.is_empty()
    }

    /// Notes that a record is dropped.
    pub fn drop_record(&mut self, index: u32) {
        self.edits.push(Edit { index, action: Action::Drop, argument: 0 });
    }

    /// Notes that a record is rejected.
    pub fn reject(&mut self, index: u32, rejection: Rejection) {
        self.edits.push(Edit { index, action: Action::Reject, argument: as_u32(self.rejections.len()) });
        self.rejections.push(rejection);
    }

    /// Notes a record's new value.
    pub fn set_value(&mut self, index: u32, value: Option<&[u8]>) {
        match value {
            None => self.edits.push(Edit { index, action: Action::SetValueNull, argument: 0 }),
            Some(value) => {
                self.bytes.extend_from_slice(value);
                self.edits.push(Edit { index, action: Action::SetValue, argument: as_u32(value.len()) });
            }
        }
    }

    /// Notes what takes a record's place.
    pub fn replace(
        &mut self,
        index: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let before = self.bytes.len();
        Content::encode(key, value, headers, &mut self.bytes);
        let argument = as_u32(self.bytes.len() - before);
        self.edits.push(Edit { index, action: Action::Replace, argument });
    }
}

impl Rejection {
    /// What the producer is told.
    #[must_use]
    pub fn sentence(&self) -> String {
        let reason = &self.reason[..self.reason.floor_char_boundary(REASON_BYTES_MAX)];
        match self.code {
            // A reason that reads like one with a number gets a number too, so that none is taken for another.
            0 if Rejection::numbered(reason).is_none() => reason.to_owned(),
            code => format!("{reason} (code {code})"),
        }
    }

    /// The rejection that a producer was told of with this sentence.
    #[must_use]
    pub fn of_sentence(sentence: &str) -> Rejection {
        let (reason, code) = Rejection::numbered(sentence).unwrap_or((sentence, 0));
        Rejection { code, reason: reason.to_owned() }
    }

    /// The reason and the number of a sentence that has one.
    fn numbered(sentence: &str) -> Option<(&str, u32)> {
        let (reason, code) = sentence.strip_suffix(')')?.rsplit_once(" (code ")?;
        Some((reason, code.parse().ok()?))
    }
}

/// What came out of one plugin's memory is shorter than 4 GiB.
fn as_u32(length: usize) -> u32 {
    u32::try_from(length).expect("an answer comes from a memory of at most 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence is what travels, so the number must come out of it again, whatever the reason reads like.
    #[test]
    fn a_rejection_comes_out_of_its_sentence() {
        for (code, reason, sentence) in [
            (0, "no", "no"),
            (7, "no", "no (code 7)"),
            (u32::MAX, "", " (code 4294967295)"),
            (0, "no (code 7)", "no (code 7) (code 0)"),
            (9, "no (code 7)", "no (code 7) (code 9)"),
            (0, "no (code 99999999999)", "no (code 99999999999)"),
        ] {
            let rejection = Rejection { code, reason: reason.to_owned() };
            assert_eq!(rejection.sentence(), sentence);
            assert_eq!(Rejection::of_sentence(sentence), rejection);
        }
    }
}
