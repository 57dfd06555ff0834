//! From where to where each partition is read.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use weir_client::{Client, Offset, OffsetSpec, PartitionIndex, StartAt};

use super::super::output::Failure;
use crate::outside::{Clock, SystemClock};

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    Offset(u64),
    /// Milliseconds since 1970.
    Time(i64),
}

/// A time as a person says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Since {
    /// Milliseconds since 1970.
    At(i64),
    Ago(Duration),
}

impl Since {
    /// The start that is meant, by this machine's clock.
    pub(super) fn resolve(self) -> Start {
        Start::Time(self.time_ms())
    }

    /// The time that is meant, by this machine's clock, in milliseconds since 1970.
    pub(in super::super) fn time_ms(self) -> i64 {
        match self {
            Since::At(time_ms) => time_ms,
            Since::Ago(ago) => {
                let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                SystemClock::start().now().wall_ms.saturating_sub(ago_ms).max(0)
            }
        }
    }
}

/// Reads `--offset`.
pub(super) fn offset(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        _ => match text.parse() {
            Ok(offset) if offset <= Offset::MAX.0 => Ok(Start::Offset(offset)),
            _ => Err("it is earliest, latest or an offset, a whole number from 0".to_owned()),
        },
    }
}

/// Reads `--since`.
pub(in super::super) fn time(text: &str) -> Result<Since, String> {
    if let Ok(time_ms) = text.parse::<i64>() {
        return Ok(Since::At(time_ms));
    }
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(Since::Ago(ago));
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| {
        "write 2018-02-01T12:00:00Z, milliseconds since 1970, or how long ago, such as 10m".to_owned()
    })?;
    let time_ms = time.duration_since(UNIX_EPOCH).map(|since| since.as_millis()).unwrap_or(0);
    Ok(Since::At(i64::try_from(time_ms).unwrap_or(i64::MAX)))
}

/// The partitions to read, where each starts, and where it ends if it does.
#[derive(Debug)]
pub(super) struct Ranges {
    open: BTreeMap<PartitionIndex, Range>,
    endless: bool,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    from: StartAt,
    /// The offset behind the last record to read.
    end: Option<Offset>,
}

impl Ranges {
    /// Looks up what the topic holds. With `until_end`, the ends are those of this moment, and partitions without
    /// anything to read are left out.
    pub(super) async fn find(
        client: &Client,
        topic: &str,
        only: Option<u32>,
        start: Start,
        until_end: bool,
    ) -> Result<Ranges, Failure> {
        let known = client.topic(topic).await?;
        let mut partitions: Vec<_> = known.partitions.iter().map(|partition| partition.index).collect();
        if let Some(only) = only {
            let count = partitions.len();
            partitions.retain(|partition| partition.0 == only);
            if partitions.is_empty() {
                let sentence =
                    format!("topic '{topic}' has no partition {only}; it has {count}, numbered from 0");
                return Err(Failure::new(sentence));
            }
        }
        let from = start_at(start);
        if !until_end {
            let open =
                partitions.into_iter().map(|partition| (partition, Range { from, end: None })).collect();
            return Ok(Ranges { open, endless: true });
        }
        let ends = look_up(client, topic, &partitions, OffsetSpec::Latest).await?;
        let starts = match start {
            Start::Earliest => look_up(client, topic, &partitions, OffsetSpec::Earliest).await?,
            Start::Time(time_ms) => {
                look_up(client, topic, &partitions, OffsetSpec::Timestamp(time_ms)).await?
            }
            Start::Latest => ends.clone(),
            Start::Offset(offset) => {
                if let Some(end) = ends.iter().max().filter(|end| end.0 < offset) {
                    let sentence =
                        format!("offset {offset} of topic '{topic}' is not stored: it ends at offset {end}");
                    return Err(Failure::new(sentence));
                }
                vec![Offset(offset); partitions.len()]
            }
        };
        let ranges = partitions.into_iter().zip(starts.into_iter().zip(ends));
        let open = ranges
            .filter(|(_, (start, end))| start < end)
            .map(|(partition, (start, end))| {
                (partition, Range { from: StartAt::Offset(start), end: Some(end) })
            })
            .collect();
        Ok(Ranges { open, endless: false })
    }

    /// What is still to be read.
    pub(super) fn open(&self) -> Vec<(PartitionIndex, StartAt)> {
        self.open.iter().map(|(partition, range)| (*partition, range.from)).collect()
    }

    /// About how many records there are to read, where every partition has an end; compaction may have taken some.
    pub(super) fn record_count(&self) -> Option<u64> {
        let of = |range: &Range| match (range.from, range.end) {
            (StartAt::Offset(from), Some(end)) => Some(end.0.saturating_sub(from.0)),
            _ => None,
        };
        if self.endless { None } else { self.open.values().map(of).sum() }
    }

    /// The offset behind the last record to read of a partition, if it has one.
    pub(super) fn end_of(&self, partition: PartitionIndex) -> Option<Offset> {
        self.open.get(&partition).and_then(|range| range.end)
    }

    /// Notes that a partition was read up to an offset; says whether that was its end.
    pub(super) fn reached(&mut self, partition: PartitionIndex, offset: Offset) -> bool {
        match self.end_of(partition) {
            Some(end) if offset >= end => self.open.remove(&partition).is_some(),
            _ => false,
        }
    }

    /// Whether every partition was read to its end.
    pub(super) fn is_done(&self) -> bool {
        !self.endless && self.open.is_empty()
    }
}

/// Where that is for the library.
pub(super) fn start_at(start: Start) -> StartAt {
    match start {
        Start::Earliest => StartAt::Earliest,
        Start::Latest => StartAt::Latest,
        Start::Offset(offset) => StartAt::Offset(Offset(offset)),
        Start::Time(time_ms) => StartAt::Timestamp(time_ms),
    }
}

async fn look_up(
    client: &Client,
    topic: &str,
    partitions: &[PartitionIndex],
    spec: OffsetSpec,
) -> Result<Vec<Offset>, Failure> {
    let asked: Vec<_> = partitions.iter().map(|partition| (*partition, spec)).collect();
    let listed = client.list_offsets(topic, &asked).await?;
    Ok(listed.into_iter().map(|listed| listed.offset).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(ends: &[(u32, u64)]) -> Ranges {
        let range = |end: u64| Range { from: StartAt::Earliest, end: Some(Offset(end)) };
        let open = ends.iter().map(|(partition, end)| (PartitionIndex(*partition), range(*end))).collect();
        Ranges { open, endless: false }
    }

    #[test]
    fn reading_is_done_when_every_end_is_reached() {
        let mut ranges = until(&[(0, 10), (2, 3)]);
        assert!(!ranges.reached(PartitionIndex(0), Offset(9)));
        assert!(ranges.reached(PartitionIndex(0), Offset(12)), "beyond the end is at the end");
        assert!(!ranges.reached(PartitionIndex(0), Offset(13)), "only once");
        assert!(!ranges.reached(PartitionIndex(1), Offset(13)), "not a partition that is read");
        assert!(!ranges.is_done());
        assert!(ranges.reached(PartitionIndex(2), Offset(3)));
        assert!(ranges.is_done());
    }

    #[test]
    fn the_records_to_read_are_counted_where_all_have_an_end() {
        let range =
            |from: u64, end: u64| Range { from: StartAt::Offset(Offset(from)), end: Some(Offset(end)) };
        let open = BTreeMap::from([(PartitionIndex(0), range(5, 10)), (PartitionIndex(3), range(0, 3))]);
        assert_eq!(Ranges { open: open.clone(), endless: false }.record_count(), Some(8));
        assert_eq!(Ranges { open, endless: true }.record_count(), None);
        assert_eq!(until(&[]).record_count(), Some(0));
        assert_eq!(until(&[(0, 10)]).record_count(), None, "where it begins is not known yet");
    }

    #[test]
    fn nothing_to_read_is_done_and_no_end_never_is() {
        assert!(until(&[]).is_done());
        assert!(!Ranges { open: BTreeMap::new(), endless: true }.is_done());
    }

    #[test]
    fn offsets_are_read() {
        assert_eq!(offset("earliest"), Ok(Start::Earliest));
        assert_eq!(offset("latest"), Ok(Start::Latest));
        assert_eq!(offset("17"), Ok(Start::Offset(17)));
        for bad in ["", "-1", "first", "9223372036854775808"] {
            assert!(offset(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(time("1517363399650"), Ok(Since::At(1_517_363_399_650)));
        assert_eq!(time("2018-01-31T01:49:59.65Z"), Ok(Since::At(1_517_363_399_650)));
        assert_eq!(time("2018-01-31 01:49:59"), Ok(Since::At(1_517_363_399_000)));
        assert_eq!(time("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        assert_eq!(time("1h 30m"), Ok(Since::Ago(Duration::from_secs(5400))));
        for bad in ["", "yesterday", "2018-13-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(Since::Ago(Duration::from_secs(u64::MAX)).resolve(), Start::Time(0));
    }
}
