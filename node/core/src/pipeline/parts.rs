//! A long batch in parts, for an interceptor that decides each record by itself. The answers to the parts become one.

use super::answer::{Action, Answer, BadAnswer, Edit};
use super::draft::{Draft, check};

/// Neighbouring records of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first record, by its place in the draft from 0.
    pub first: u32,
    /// How many records there are.
    pub count: u32,
    /// Where their bytes begin in the draft's section, and end.
    bytes: (usize, usize),
}

impl Part {
    /// All of a draft.
    #[must_use]
    pub fn whole(draft: &Draft) -> Part {
        Part { first: 0, count: draft.count(), bytes: (0, draft.section().len()) }
    }

    /// A draft in parts of at most `bytes_max` bytes each, or of one record that is longer. At least one.
    #[must_use]
    pub fn all(draft: &Draft, bytes_max: usize) -> Vec<Part> {
        let whole = Part::whole(draft);
        if whole.bytes.1 <= bytes_max {
            return vec![whole];
        }
        let mut next = Part { first: 0, count: 0, bytes: (0, 0) };
        let pieces = draft.pieces(bytes_max);
        let parts = pieces.iter().map(|piece| {
            next = Part {
                first: next.first + next.count,
                count: piece.count,
                bytes: (next.bytes.1, next.bytes.1 + piece.bytes),
            };
            next
        });
        if pieces.is_empty() { vec![whole] } else { parts.collect() }
    }

    /// Its records as they are encoded.
    #[must_use]
    pub fn section<'a>(&self, draft: &'a Draft) -> &'a [u8] {
        &draft.section()[self.bytes.0..self.bytes.1]
    }

    /// Which of the draft's records it holds.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        let [first, count] = [self.first, self.count].map(|number| number as usize);
        first..first + count
    }
}

/// The answers to a draft's parts, as one about the draft.
#[derive(Debug, Default)]
pub struct Joined {
    answer: Answer,
}

impl Joined {
    /// Adds the answer to the next part; the parts come in order.
    ///
    /// # Errors
    /// What is wrong with it: one part's answer may not reach into another's.
    pub fn add(&mut self, draft: &Draft, part: &Part, answer: Answer) -> Result<(), BadAnswer> {
        if part.count == draft.count() {
            // Draft::apply looks at it.
            self.answer = answer;
            return Ok(());
        }
        check(&answer, draft.way(), part.count)?;
        if part.first == 0 {
            self.answer.headers = answer.headers;
        } else if self.answer.headers != answer.headers {
            return Err(BadAnswer::HeadersDiffer { first: part.first });
        }
        let known = u32::try_from(self.answer.rejections.len()).expect("a part's answer is limited");
        self.answer.edits.extend(answer.edits.iter().map(|edit| Edit {
            index: edit.index + part.first,
            argument: if edit.action == Action::Reject { edit.argument + known } else { edit.argument },
            action: edit.action,
        }));
        self.answer.bytes.extend_from_slice(&answer.bytes);
        self.answer.rejections.extend(answer.rejections);
        Ok(())
    }

    /// The answer so far.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The answer about the draft.
    #[must_use]
    pub fn into_answer(self) -> Answer {
        self.answer
    }
}
