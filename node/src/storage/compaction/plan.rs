//! When compaction is due, what it may touch, and which segments become one: values in, values out.

use weir_wire::ids::Offset;

use super::Cleaned;

/// How a log is compacted. Kafka's names in the comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionLimits {
    /// `min.cleanable.dirty.ratio`, in thousandths: compaction is due when so much of the log is dirty.
    pub min_dirty_per_mille: u32,
    /// `min.compaction.lag.ms`: a segment with a record younger than this stays as it is.
    pub min_lag_ms: u64,
    /// `max.compaction.lag.ms`: a dirty record older than this makes compaction due; `None` waits for ever.
    pub max_lag_ms: Option<u64>,
    /// `delete.retention.ms`: how long a tombstone stays after the round that first met it.
    pub delete_retention_ms: u64,
}

/// A segment that takes no appends any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) base: Offset,
    /// The offset after its last batch.
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    /// The highest timestamp in it, if it is known.
    pub(crate) max_timestamp_ms: Option<i64>,
    /// The timestamp of its first batch, if it is known.
    pub(crate) first_timestamp_ms: Option<i64>,
}

/// What a round is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many of the segments may be cleaned, from the first on.
    pub(crate) segments: usize,
    /// Where the dirty part begins.
    pub(crate) dirty_from: Offset,
}

/// Decides whether a round is due. `segments` are those that lie as a whole below the high watermark and are durable,
/// in order, from the one in which the log starts.
pub(crate) fn plan(
    now_ms: i64,
    segments: &[Closed],
    cleaned: &Cleaned,
    limits: &CompactionLimits,
) -> Option<Plan> {
    let is_dirty = |segment: &&Closed| segment.end > cleaned.to;
    let is_young = |segment: &Closed| {
        limits.min_lag_ms > 0
            && segment.max_timestamp_ms.is_none_or(|max| !is_older(max, now_ms, limits.min_lag_ms))
    };
    // What is young keeps what is behind it: the newest record of a key must have been seen.
    let count = segments.iter().position(|segment| is_dirty(&segment) && is_young(segment));
    let cleanable = &segments[..count.unwrap_or(segments.len())];
    let first = cleanable.first()?;
    let dirty_bytes: u64 = cleanable.iter().filter(is_dirty).map(|segment| segment.bytes).sum();
    let all_bytes: u64 = cleanable.iter().map(|segment| segment.bytes).sum();
    let is_dirty_enough = dirty_bytes > 0
        && u128::from(dirty_bytes) * 1000 >= u128::from(all_bytes) * u128::from(limits.min_dirty_per_mille);
    let is_overdue = limits.max_lag_ms.is_some_and(|lag_ms| {
        let begun = cleanable.iter().filter(is_dirty).filter_map(|segment| segment.first_timestamp_ms);
        // Timestamps before 1970 mean that there was none.
        begun.filter(|first| *first >= 0).any(|first| is_older(first, now_ms, lag_ms))
    });
    let tombstones_go = cleaned.tombstones_due_ms.is_some_and(|due| due <= now_ms);
    (is_dirty_enough || is_overdue || tombstones_go)
        .then(|| Plan { segments: cleanable.len(), dirty_from: cleaned.to.max(first.base) })
}

/// Which neighbouring segments are written into one: as many as are together not longer than `bytes_max`, and whose
/// offsets an index can tell apart. Returns how many each takes.
pub(crate) fn groups(segments: &[Closed], bytes_max: u64) -> Vec<usize> {
    let mut groups: Vec<usize> = Vec::new();
    let mut first = Offset::ZERO;
    let mut bytes = 0;
    for segment in segments {
        let fits = bytes + segment.bytes <= bytes_max && segment.end.since(first) <= u64::from(u32::MAX);
        match groups.last_mut().filter(|_| fits) {
            Some(count) => *count += 1,
            None => {
                (first, bytes) = (segment.base, 0);
                groups.push(1);
            }
        }
        bytes += segment.bytes;
    }
    groups
}

fn is_older(timestamp_ms: i64, now_ms: i64, than_ms: u64) -> bool {
    now_ms.saturating_sub(timestamp_ms) > i64::try_from(than_ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `base..end bytes @timestamp` or `base..end bytes @first..highest` on each line, then what was decided.
    fn check(now_ms: i64, cleaned: &str, limits: &str, segments: &str, expected: &Expect) {
        let number = |text: &str| text.parse::<u64>().unwrap();
        let mut limited = CompactionLimits {
            min_dirty_per_mille: 500,
            min_lag_ms: 0,
            max_lag_ms: None,
            delete_retention_ms: 0,
        };
        for setting in limits.split_whitespace() {
            match setting.split_once('=').unwrap() {
                ("ratio", value) => limited.min_dirty_per_mille = u32::try_from(number(value)).unwrap(),
                ("min", value) => limited.min_lag_ms = number(value),
                ("max", value) => limited.max_lag_ms = Some(number(value)),
                (other, _) => panic!("no limit is called {other}"),
            }
        }
        let (to, due) = cleaned.split_once(" due ").unwrap_or((cleaned, ""));
        let cleaned = Cleaned { to: Offset(number(to)), tombstones_due_ms: due.parse().ok() };
        let segments: Vec<Closed> =
            segments.lines().map(str::trim).filter(|line| !line.is_empty()).map(closed).collect();
        let decided = match plan(now_ms, &segments, &cleaned, &limited) {
            None => "nothing".to_owned(),
            Some(plan) => format!("{} segments, dirty from {}", plan.segments, plan.dirty_from),
        };
        expected.assert_eq(&decided);
    }

    fn closed(line: &str) -> Closed {
        let mut words = line.split_whitespace();
        let (base, end) = words.next().unwrap().split_once("..").unwrap();
        let bytes = words.next().unwrap().parse().unwrap();
        let timestamps = words.next().map(|word| {
            let word = word.strip_prefix('@').unwrap();
            let (first, highest) = word.split_once("..").unwrap_or((word, word));
            (first.parse().unwrap(), highest.parse().unwrap())
        });
        Closed {
            base: Offset(base.parse().unwrap()),
            end: Offset(end.parse().unwrap()),
            bytes,
            first_timestamp_ms: timestamps.map(|(first, _)| first),
            max_timestamp_ms: timestamps.map(|(_, highest)| highest),
        }
    }

    #[test]
    fn nothing_is_done_without_segments_or_dirt() {
        check(100, "0", "", "", &expect!["nothing"]);
        check(100, "20", "", "0..10 50 @1\n10..20 50 @2", &expect!["nothing"]);
        check(100, "20", "ratio=0", "0..10 50 @1\n10..20 50 @2", &expect!["nothing"]);
    }

    #[test]
    fn a_round_is_due_when_enough_is_dirty() {
        check(100, "10", "", "0..10 51 @1\n10..20 50 @2", &expect!["nothing"]);
        check(100, "10", "", "0..10 50 @1\n10..20 50 @2", &expect!["2 segments, dirty from 10"]);
        check(100, "10", "ratio=100", "0..10 51 @1\n10..20 50 @2", &expect!["2 segments, dirty from 10"]);
        check(100, "15", "", "0..10 50 @1\n10..20 50 @2", &expect!["2 segments, dirty from 15"]);
    }

    #[test]
    fn a_log_that_starts_above_what_was_cleaned_is_dirty_from_its_start() {
        check(100, "5", "", "10..20 50 @2", &expect!["1 segments, dirty from 10"]);
    }

    #[test]
    fn young_records_keep_their_segment_and_all_behind_it() {
        let segments = "0..10 50 @10\n10..20 50 @95\n20..30 50 @20";
        check(100, "0", "min=10", segments, &expect!["1 segments, dirty from 0"]);
        check(105, "0", "min=10", segments, &expect!["1 segments, dirty from 0"]);
        check(106, "0", "min=10", segments, &expect!["3 segments, dirty from 0"]);
        check(100, "0", "min=10", "0..10 50", &expect!["nothing"]);
    }

    #[test]
    fn old_dirt_does_not_wait_for_more() {
        let segments = "0..10 5000 @10\n10..20 5 @60";
        check(100, "10", "max=50", segments, &expect!["nothing"]);
        check(111, "10", "max=50", segments, &expect!["2 segments, dirty from 10"]);
    }

    /// The first record of a segment has waited longest, and counts (KIP-354).
    #[test]
    fn a_segment_waits_no_longer_than_its_first_record_may() {
        check(61, "10", "max=50", "0..10 5000 @1\n10..20 5 @10..60", &expect!["2 segments, dirty from 10"]);
        check(60, "10", "max=50", "0..10 5000 @1\n10..20 5 @10..60", &expect!["nothing"]);
        check(
            100,
            "10",
            "max=50",
            "0..10 5000 @1\n10..20 5 @60..70\n20..30 5 @40",
            &expect!["3 segments, dirty from 10"],
        );
        check(100, "10", "max=50", "0..10 5000 @1\n10..20 5 @-1..70", &expect!["nothing"]);
    }

    #[test]
    fn tombstones_go_when_they_are_due_although_nothing_is_dirty() {
        let segments = "0..10 50 @10\n10..20 50 @20";
        check(99, "20 due 100", "", segments, &expect!["nothing"]);
        check(100, "20 due 100", "", segments, &expect!["2 segments, dirty from 20"]);
    }

    #[test]
    fn neighbours_become_one_up_to_the_longest_segment() {
        let segments = |lines: &str| lines.lines().map(closed).collect::<Vec<_>>();
        let few = segments("0..10 50\n10..20 50\n20..30 1\n30..40 100\n40..50 120\n50..60 3");
        assert_eq!(groups(&few, 100), [2, 1, 1, 1, 1]);
        assert_eq!(groups(&few, 101), [3, 1, 1, 1]);
        assert_eq!(groups(&segments("0..10 1\n10..4294967295 1\n4294967295..4294967296 1"), 100), [2, 1]);
        assert!(groups(&[], 100).is_empty());
    }
}
