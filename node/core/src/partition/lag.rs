//! When a log ended where: what a leader needs to tell how long a follower has been behind.
//!
//! A follower's caught-up time is the latest moment at which the leader's end was at or below what the follower
//! reported (INVARIANTS 1.4, to 21). So the leader keeps marks (end, time) of its own end: at most one in a
//! thirty-second of `replica.lag.time.max.ms`, and enough of them for twice that time. A follower behind the oldest
//! mark is out of sync however long exactly it is behind.

use std::collections::VecDeque;

use weir_wire::ids::Offset;

/// The most marks that are kept.
const MARKS_MAX: usize = 64;

/// How many marks span `replica.lag.time.max.ms`.
const MARKS_PER_LAG_MAX: u64 = 32;

/// The marks, oldest first; ends and times both increase.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndMarks {
    marks: VecDeque<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The highest end that belongs to the mark.
    end: Offset,
    /// When the end first rose above that of the mark before it.
    since_ns: u64,
}

impl EndMarks {
    /// Takes note of where the log ends now.
    pub(crate) fn note(&mut self, end: Offset, now_ns: u64, lag_max_ms: u64) {
        let apart_ns = lag_max_ms.saturating_mul(1_000_000) / MARKS_PER_LAG_MAX;
        match self.marks.back_mut() {
            Some(newest) if end <= newest.end => return,
            Some(newest) if now_ns.saturating_sub(newest.since_ns) < apart_ns => {
                newest.end = end;
                return;
            }
            _ => self.marks.push_back(Mark { end, since_ns: now_ns }),
        }
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
        }
    }

    /// The latest moment at which the log ended at or below `position`, or a little earlier.
    pub(crate) fn caught_up_ns(&self, position: Offset, now_ns: u64) -> u64 {
        let ahead = self.marks.partition_point(|mark| mark.end <= position);
        self.marks.get(ahead).map_or(now_ns, |mark| mark.since_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG_MAX_MS: u64 = 32;

    fn ms(ms: u64) -> u64 {
        ms * 1_000_000
    }

    #[test]
    fn caught_up_is_the_moment_before_the_end_moved_on() {
        let mut marks = EndMarks::default();
        assert_eq!(marks.caught_up_ns(Offset(0), ms(5)), ms(5), "an empty log is always caught up with");
        marks.note(Offset(10), ms(100), LAG_MAX_MS);
        marks.note(Offset(20), ms(200), LAG_MAX_MS);
        assert_eq!(marks.caught_up_ns(Offset(9), ms(300)), ms(100));
        assert_eq!(marks.caught_up_ns(Offset(10), ms(300)), ms(200));
        assert_eq!(marks.caught_up_ns(Offset(19), ms(300)), ms(200));
        assert_eq!(marks.caught_up_ns(Offset(20), ms(300)), ms(300), "the whole log: now");
    }

    #[test]
    fn ends_that_follow_closely_share_a_mark_and_count_from_its_beginning() {
        let mut marks = EndMarks::default();
        marks.note(Offset(10), 1, LAG_MAX_MS);
        marks.note(Offset(11), 2, LAG_MAX_MS);
        marks.note(Offset(12), ms(2), LAG_MAX_MS);
        assert_eq!(marks.caught_up_ns(Offset(10), ms(3)), 1);
        assert_eq!(marks.caught_up_ns(Offset(11), ms(3)), ms(2));
    }

    #[test]
    fn marks_are_bounded_and_still_tell_who_is_too_late() {
        let mut marks = EndMarks::default();
        for tick in 1..10_000 {
            marks.note(Offset(tick), ms(tick), LAG_MAX_MS);
        }
        assert_eq!(marks.marks.len(), MARKS_MAX);
        let late_ms = 9_999 - marks.caught_up_ns(Offset(0), ms(9_999)) / 1_000_000;
        assert!(late_ms > LAG_MAX_MS, "{late_ms}");
    }
}
