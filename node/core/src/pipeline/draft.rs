//! A batch on its way through a chain of interceptors.
//!
//! ```text
//!  batch ──▶ Draft ──section──▶ interceptor ──Answer──▶ apply (checked) ──▶ ... ──▶ the records left, and what
//!               ▲                                          │                         became of the others
//!               └──────────────────────────────────────────┘
//! ```
//!
//! As long as nothing changes a draft is the batch that came in, bytes and all. A change encodes the records that
//! are left once more; what is encoded is what the next interceptor is shown and, if nothing changes again, what is
//! stored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use weir_wire::batch::{
    BatchBuilder, BatchHeader, Compression, Iter, Limits, PIECE_BYTES, Piece, RecordRef, Records,
};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::lane::{Outcome, Run};

use super::answer::{APPENDED_HEADERS_MAX, Action, Answer, BadAnswer, Edit, Header, Rejection};
use super::placing::Placement;
use super::splitting;

/// Which offsets the records of a changed batch have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offsets {
    /// They close up: a batch that a partitioner places holds dense offsets.
    Dense,
    /// Each record keeps its own, with gaps where records were: a batch for an explicit partition keeps its
    /// sequences, a fetched one its offsets.
    Kept,
}

/// On which way the batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the log: records may be rejected.
    In,
    /// To a consumer.
    Out,
}

/// A batch in the making.
pub struct Draft {
    way: Way,
    offsets: Offsets,
    limits: Limits,
    /// The batch as it came, and its records.
    batch: Bytes,
    header: BatchHeader,
    records: Records,
    /// The records that are left, once something changed.
    edited: Option<BatchBuilder>,
    /// Headers that every record left is still to get: nobody had to see them yet.
    pending: Vec<Header>,
    /// What became of each record of the batch as it came: none while it is left, else an index into `settled`.
    /// Empty while all are left.
    fates: Vec<Option<u32>>,
    /// What became of the records that are not left, each outcome once.
    settled: Vec<Outcome>,
    /// Which of `settled` are which rejections, by what the producer is told.
    reasons: BTreeMap<String, u32>,
}

/// How many reasons for rejecting one batch's records are told apart: an answer to a producer has its limits.
const REASONS_MAX: usize = 256;
/// What the producer is told of records with a further reason.
const FURTHER_REASON: &str = "rejected as others of this batch; there are too many reasons to list them all";

/// What applying an answer did, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Left as they were, or with headers appended.
    pub kept: u32,
    /// Left with another value, or replaced.
    pub replaced: u32,
    /// Dropped.
    pub dropped: u32,
    /// Rejected.
    pub rejected: u32,
}

impl Draft {
    /// A batch whose records were checked: as [`weir_wire::batch::validate`] does on the way in, and
    /// [`weir_wire::batch::records`] on the way out.
    #[must_use]
    pub fn new(way: Way, offsets: Offsets, limits: Limits, batch: Bytes, records: Records) -> Draft {
        let header = *records.header();
        Draft {
            way,
            offsets,
            limits,
            batch,
            header,
            records,
            edited: None,
            pending: Vec::new(),
            fates: Vec::new(),
            settled: Vec::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// The header of the batch as it came.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// On which way it is.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// How many records are left.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.edited.as_ref().map_or(self.header.record_count, BatchBuilder::record_count)
    }

    /// What the timestamp deltas of the records left are counted from.
    #[must_use]
    pub fn base_timestamp_ms(&self) -> i64 {
        self.edited.as_ref().map_or(self.header.base_timestamp_ms, BatchBuilder::base_timestamp_ms)
    }

    /// Whether the batch is still what came in.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.edited.is_none() && self.pending.is_empty()
    }

    /// Puts appended headers in, so that [`section`](Draft::section) and [`iter`](Draft::iter) show them.
    ///
    /// # Errors
    /// When the batch becomes too large by that.
    pub fn complete(&mut self) -> Result<(), BadAnswer> {
        if !self.pending.is_empty() {
            self.edited = Some(self.encode(&Answer::default(), &self.pending)?);
            self.pending.clear();
        }
        Ok(())
    }

    /// The records left, as they are encoded.
    #[must_use]
    pub fn section(&self) -> &[u8] {
        self.edited.as_ref().map_or(self.records.section(), BatchBuilder::section)
    }

    /// The records left, in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        self.edited.as_ref().map_or_else(|| self.records.iter(), BatchBuilder::iter)
    }

    /// The records left in pieces of at most `bytes_max` bytes, or of one record that is longer; none where all make one.
    #[must_use]
    pub fn pieces(&self, bytes_max: usize) -> Cow<'_, [Piece]> {
        match &self.edited {
            None if bytes_max == PIECE_BYTES => Cow::Borrowed(self.records.pieces()),
            _ => Cow::Owned(self.iter().pieces(bytes_max)),
        }
    }

    /// Checks an answer and does what it says.
    ///
    /// # Errors
    /// What is wrong with it. The draft is then as before.
    pub fn apply(&mut self, answer: &Answer) -> Result<Changes, BadAnswer> {
        check(answer, self.way, self.count())?;
        let mut changes = Changes { kept: self.count(), ..Changes::default() };
        if answer.edits.is_empty() {
            self.pending.extend_from_slice(&answer.headers);
            return Ok(changes);
        }
        self.complete()?;
        self.edited = Some(self.encode(answer, &answer.headers)?);
        self.settle(answer);
        for edit in &answer.edits {
            changes.kept -= 1;
            match edit.action {
                Action::Drop => changes.dropped += 1,
                Action::Reject => changes.rejected += 1,
                Action::SetValue | Action::SetValueNull | Action::Replace => changes.replaced += 1,
            }
        }
        Ok(changes)
    }

    /// Gives every record that is left this outcome: the batch is refused from here on. Returns the outcome's number
    /// among those of settled records.
    pub fn settle_rest(&mut self, outcome: Outcome) -> u32 {
        let out = self.outcome(outcome);
        self.fates_mut().iter_mut().filter(|fate| fate.is_none()).for_each(|fate| *fate = Some(out));
        self.edited = Some(BatchBuilder::new(self.header.compression()));
        self.pending.clear();
        out
    }

    /// The records left after a checked answer's edits, with headers appended.
    fn encode(&self, answer: &Answer, headers: &[Header]) -> Result<BatchBuilder, BadAnswer> {
        let appended: Vec<_> =
            headers.iter().map(|header| (header.name.as_str(), Some(header.value.as_slice()))).collect();
        let compression = self.header.compression();
        let bytes_max = match compression {
            Compression::None => self.limits.batch_bytes_max,
            _ => self.limits.uncompressed_bytes_max,
        };
        let mut builder = BatchBuilder::new(compression);
        builder.reserve(self.section().len() + answer.bytes.len());
        let mut edits = Edits { edits: answer.edits.iter(), bytes: &answer.bytes };
        let mut next = edits.next();
        for (index, record) in (0_u32..).zip(self.iter()) {
            let edit = next.take_if(|(edit, _)| edit.index == index);
            if edit.is_some() {
                next = edits.next();
            }
            self.push(&mut builder, &record, edit, &appended)?;
            let bytes = builder.uncompressed_bytes() as u64;
            if bytes > u64::from(bytes_max) {
                return Err(BadAnswer::BatchTooLarge { bytes, max: u64::from(bytes_max) });
            }
        }
        Ok(builder)
    }

    fn push(
        &self,
        builder: &mut BatchBuilder,
        record: &RecordRef<'_>,
        edit: Option<(&Edit, &[u8])>,
        appended: &[(&str, Option<&[u8]>)],
    ) -> Result<(), BadAnswer> {
        let delta = match self.offsets {
            Offsets::Dense => builder.record_count(),
            Offsets::Kept => record.offset_delta,
        };
        let mut content = record.content();
        match edit {
            None if appended.is_empty() => {
                builder.push_record_at(delta, record);
                return Ok(());
            }
            None => {}
            Some((edit, bytes)) => match edit.action {
                Action::Drop | Action::Reject => return Ok(()),
                Action::SetValue => content.value = Some(bytes),
                Action::SetValueNull => content.value = None,
                Action::Replace => {
                    content = weir_wire::batch::Content::parse(bytes)
                        .map_err(|reason| BadAnswer::BadContent { index: edit.index, reason })?;
                }
            },
        }
        builder.push_content_at(delta, record.timestamp_ms, &content, appended);
        Ok(())
    }

    /// Notes which records an applied answer took out.
    fn settle(&mut self, answer: &Answer) {
        let removing = |edit: &&Edit| matches!(edit.action, Action::Drop | Action::Reject);
        let mut removed = answer.edits.iter().filter(removing).peekable();
        if removed.peek().is_none() {
            return;
        }
        // Several edits may refer to one rejection, and all drops are one outcome.
        let mut outs: Vec<Option<u32>> = vec![None; answer.rejections.len()];
        let drops = answer.edits.iter().any(|edit| edit.action == Action::Drop);
        let known = self.settled.iter().position(|known| *known == Outcome::Dropped);
        let dropped = match known {
            Some(known) => u32::try_from(known).ok(),
            None => drops.then(|| self.outcome(Outcome::Dropped)),
        };
        for edit in answer.edits.iter().filter(|edit| edit.action == Action::Reject) {
            let rejection = edit.argument as usize;
            if outs[rejection].is_none() {
                outs[rejection] = Some(self.rejected(&answer.rejections[rejection]));
            }
        }
        let left = self.fates_mut().iter_mut().filter(|fate| fate.is_none());
        for (index, fate) in (0_u32..).zip(left) {
            let Some(edit) = removed.next_if(|edit| edit.index == index) else { continue };
            *fate = if edit.action == Action::Drop { dropped } else { outs[edit.argument as usize] };
        }
    }

    fn fates_mut(&mut self) -> &mut Vec<Option<u32>> {
        if self.fates.is_empty() {
            self.fates = vec![None; self.records.len()];
        }
        &mut self.fates
    }

    /// The number of a new outcome of settled records.
    fn outcome(&mut self, outcome: Outcome) -> u32 {
        self.settled.push(outcome);
        u32::try_from(self.settled.len() - 1).expect("outcomes are told apart up to a limit")
    }

    /// The number of the outcome of records rejected for this reason.
    fn rejected(&mut self, rejection: &Rejection) -> u32 {
        let sentence =
            if self.reasons.len() < REASONS_MAX { rejection.sentence() } else { FURTHER_REASON.to_owned() };
        if let Some(known) = self.reasons.get(&sentence) {
            return *known;
        }
        let number =
            self.outcome(Outcome::Rejected(WireError::new(ErrorCode::InvalidRecord, sentence.clone())));
        self.reasons.insert(sentence, number);
        number
    }

    /// The batch of all records that are left: the one that came in, if nothing changed.
    ///
    /// # Errors
    /// When it is too large to be stored.
    pub fn into_batch(mut self) -> Result<Bytes, BadAnswer> {
        self.complete()?;
        let Some(mut builder) = self.edited else { return Ok(self.batch) };
        if self.offsets == Offsets::Kept {
            builder.take_place_of(&self.header);
        }
        within(builder.finish(self.header.producer), &self.limits)
    }

    /// The parts of the batch by partition, with what became of every record. `placement` is of the records left.
    ///
    /// # Errors
    /// When a part is too large to be stored.
    pub fn into_parts(mut self, placement: &Placement) -> Result<(Placement, Vec<Bytes>), BadAnswer> {
        self.complete()?;
        let whole = self.whole_placement(placement);
        let limits = self.limits;
        let batches = match placement.parts.len() {
            0 => Vec::new(),
            1 => vec![self.into_batch()?],
            _ => splitting::split(&self.header, self.iter(), placement)
                .into_iter()
                .map(|part| within(part, &limits))
                .collect::<Result<_, _>>()?,
        };
        Ok((whole, batches))
    }

    /// A placement of the records left, as one of all records that came in.
    fn whole_placement(&self, left: &Placement) -> Placement {
        if self.fates.is_empty() {
            return Placement {
                has_gaps: self.offsets == Offsets::Kept && !self.is_unchanged(),
                ..left.clone()
            };
        }
        let parts = u32::try_from(left.parts.len()).expect("there are at most 2^32 partitions");
        let placed = left.runs.iter().flat_map(|run| std::iter::repeat_n(run.outcome, run.records as usize));
        let mut placed = placed.fuse();
        let mut runs: Vec<Run> = Vec::new();
        for fate in &self.fates {
            let outcome = match fate {
                Some(settled) => parts + settled,
                None => placed.next().expect("a placement covers exactly the records left"),
            };
            match runs.last_mut().filter(|run| run.outcome == outcome) {
                Some(run) => run.records += 1,
                None => runs.push(Run { records: 1, outcome }),
            }
        }
        assert!(placed.next().is_none(), "a placement covers exactly the records left");
        Placement {
            parts: left.parts.clone(),
            settled: self.settled.clone(),
            runs,
            has_gaps: self.offsets == Offsets::Kept,
            dead_letters: None,
        }
    }
}

/// Walks edits with the bytes that are theirs.
struct Edits<'a> {
    edits: std::slice::Iter<'a, Edit>,
    bytes: &'a [u8],
}

impl<'a> Iterator for Edits<'a> {
    type Item = (&'a Edit, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let edit = self.edits.next()?;
        let share = if takes_bytes(edit.action) { edit.argument as usize } else { 0 };
        let (bytes, rest) = self.bytes.split_at(share);
        self.bytes = rest;
        Some((edit, bytes))
    }
}

/// What is wrong with an answer about so many records, if anything is.
pub(super) fn check(answer: &Answer, way: Way, count: u32) -> Result<(), BadAnswer> {
    if answer.headers.len() > APPENDED_HEADERS_MAX {
        return Err(BadAnswer::TooManyHeaders { headers: answer.headers.len() });
    }
    let mut after: Option<u32> = None;
    for edit in &answer.edits {
        let index = edit.index;
        if let Some(after) = after.filter(|after| *after >= index) {
            return Err(BadAnswer::NotRising { index, after });
        }
        after = Some(index);
        if index >= count {
            return Err(BadAnswer::NoSuchRecord { index, count });
        }
        match edit.action {
            Action::Reject if way == Way::Out => {
                return Err(BadAnswer::RejectedOnFetch { index });
            }
            Action::Reject if edit.argument as usize >= answer.rejections.len() => {
                let rejections = u32::try_from(answer.rejections.len()).unwrap_or(u32::MAX);
                return Err(BadAnswer::NoSuchRejection { index, rejection: edit.argument, rejections });
            }
            Action::Drop | Action::SetValueNull if edit.argument != 0 => {
                return Err(BadAnswer::StrayArgument { index, argument: edit.argument });
            }
            _ => {}
        }
    }
    let mut taken = 0_u64;
    let bytes = answer.bytes.len() as u64;
    for edit in &answer.edits {
        if takes_bytes(edit.action) {
            taken += u64::from(edit.argument);
            if taken > bytes {
                return Err(BadAnswer::TooFewBytes { index: edit.index, taken, bytes });
            }
        }
    }
    if taken < bytes { Err(BadAnswer::BytesLeft { extra: bytes - taken }) } else { Ok(()) }
}

fn takes_bytes(action: Action) -> bool {
    matches!(action, Action::SetValue | Action::Replace)
}

fn within(batch: Bytes, limits: &Limits) -> Result<Bytes, BadAnswer> {
    let (bytes, max) = (batch.len() as u64, u64::from(limits.batch_bytes_max));
    if bytes > max { Err(BadAnswer::BatchTooLarge { bytes, max }) } else { Ok(batch) }
}

#[cfg(test)]
mod tests;
