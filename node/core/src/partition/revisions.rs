//! Which revision of the topic's pipeline made the records of a log, from where on.
//!
//! A log begins at the revision that its topic was created with; before the first batch of a later one its leader writes
//! a marker (a control batch). The table is a function of the log: followers read it off the batches that they copy,
//! recovery and truncation off what is left, with the newest producer snapshot as a shortcut.
//!
//! ```text
//!  r1 r1 r1 [r2] r2 r2 r1 r2 [r5] r5        r1 behind [r2]: sent before the swap, and sent again after it
//!            ^first        ^settled
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{Offset, Revision};

/// How many markers are remembered, the newest ones: enough to say what happened lately.
pub const REVISIONS_REMEMBERED_MAX: usize = 256;

/// A marker in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionStart {
    /// The revision that holds behind the marker.
    pub revision: Revision,
    /// Where the marker lies; its first record follows it.
    pub marker: Offset,
}

/// How far a partition is with the newest revision in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionProgress {
    /// The revision.
    pub revision: Revision,
    /// The offset of its first record.
    pub first_offset: Offset,
    /// From here on nothing of an earlier revision has followed so far, as far as this replica has seen.
    pub older_end: Offset,
}

/// The markers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revisions {
    /// In the order of the log; revisions only rise.
    starts: VecDeque<RevisionStart>,
    /// Where the last batch of an earlier revision than the newest ends that was appended behind the newest marker.
    older_end: Offset,
}

impl Revisions {
    /// The revision that the newest marker names; `None` if there is no marker.
    pub(crate) fn newest(&self) -> Option<Revision> {
        self.starts.back().map(|start| start.revision)
    }

    /// Takes note of a marker in the log. One that does not rise says nothing new.
    pub(crate) fn record(&mut self, revision: Revision, marker: Offset) {
        if self.newest().is_none_or(|newest| newest < revision) {
            self.starts.push_back(RevisionStart { revision, marker });
            self.older_end = marker;
        }
        if self.starts.len() > REVISIONS_REMEMBERED_MAX {
            self.starts.pop_front();
        }
    }

    /// Takes note of a batch that was appended under a revision.
    pub(crate) fn appended(&mut self, revision: Option<Revision>, end: Offset) {
        if revision < self.newest() {
            self.older_end = end;
        }
    }

    /// Forgets markers that are not served any more, but for the newest of them: what it says still holds.
    pub(crate) fn truncate_from_start(&mut self, log_start: Offset) {
        while self.starts.get(1).is_some_and(|next| next.marker < log_start) {
            self.starts.pop_front();
        }
    }

    pub(crate) fn progress(&self) -> Option<RevisionProgress> {
        let RevisionStart { revision, marker } = *self.starts.back()?;
        let first_offset = marker + 1;
        Some(RevisionProgress { revision, first_offset, older_end: self.older_end.max(first_offset) })
    }

    pub(crate) fn starts(&self) -> Vec<RevisionStart> {
        self.starts.iter().copied().collect()
    }

    /// The table out of its stored form; `None` if that contradicts itself.
    pub(crate) fn load(starts: &[RevisionStart], end: Offset) -> Option<Revisions> {
        let rise =
            |pair: &[RevisionStart]| pair[0].revision < pair[1].revision && pair[0].marker < pair[1].marker;
        let is_sound = starts.len() <= REVISIONS_REMEMBERED_MAX
            && starts.windows(2).all(rise)
            && starts.last().is_none_or(|last| last.marker < end);
        let mut revisions = Revisions::default();
        starts.iter().for_each(|start| revisions.record(start.revision, start.marker));
        is_sound.then_some(revisions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(starts: &[(u32, u64)]) -> Revisions {
        let mut revisions = Revisions::default();
        starts.iter().for_each(|(revision, at)| revisions.record(Revision(*revision), Offset(*at)));
        revisions
    }

    #[test]
    fn what_was_sent_again_under_an_earlier_revision_moves_the_end_of_the_old() {
        let mut revisions = marked(&[(2, 10)]);
        let older_end = |revisions: &Revisions| revisions.progress().unwrap().older_end;
        revisions.appended(Some(Revision(2)), Offset(15));
        assert_eq!(older_end(&revisions), Offset(11));
        revisions.appended(None, Offset(20));
        assert_eq!(older_end(&revisions), Offset(20));
        revisions.record(Revision(5), Offset(30));
        assert_eq!(
            revisions.progress(),
            Some(RevisionProgress { revision: Revision(5), first_offset: Offset(31), older_end: Offset(31) })
        );
    }

    #[test]
    fn the_marker_that_holds_at_the_start_of_the_log_is_kept() {
        let mut revisions = marked(&[(2, 10), (3, 20), (4, 30)]);
        revisions.truncate_from_start(Offset(25));
        assert_eq!(revisions, marked(&[(3, 20), (4, 30)]));
    }

    #[test]
    fn only_the_newest_markers_are_remembered() {
        let many: Vec<_> = (1..=300).map(|revision| (revision, u64::from(revision))).collect();
        let revisions = marked(&many);
        assert_eq!(revisions.starts().len(), REVISIONS_REMEMBERED_MAX);
        assert_eq!(revisions.newest(), Some(Revision(300)));
        assert_eq!(Revisions::load(&revisions.starts(), Offset(301)), Some(revisions));
    }

    #[test]
    fn a_stored_table_that_contradicts_itself_is_not_believed() {
        let start = |revision, marker| RevisionStart { revision: Revision(revision), marker: Offset(marker) };
        assert_eq!(Revisions::load(&[start(2, 10), start(2, 20)], Offset(30)), None);
        assert_eq!(Revisions::load(&[start(2, 10)], Offset(10)), None);
    }
}
