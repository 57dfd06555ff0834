//! What becomes of one batch: the rules of compaction, without a file.

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_wire::batch::{self, BatchBuilder, BatchError, BatchHeader, RecordRef, Records};
use weir_wire::ids::{Offset, ProducerId};

use super::super::walk::STORED_LIMITS;
use super::keys::Keys;

/// A batch longer than this does not become longer: it must fit a frame. Its tombstones then stay.
const GROWN_BYTES_MAX: usize = 16 << 20;

/// What the rules go by.
pub(super) struct Rules<'a> {
    pub(super) keys: &'a Keys,
    /// Producers that are remembered: of each the newest batch stays, without records if need be, so that what it
    /// sends again is recognised also by who reads it off the log.
    pub(super) live: &'a BTreeSet<ProducerId>,
    pub(super) log_start: Offset,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: u64,
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Kept,
    /// This takes its place.
    Rewritten(Bytes),
    /// Nothing is left but the word that its offsets were given out.
    Gone,
}

/// What compaction did to records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) records_kept: u64,
    pub(super) records_gone: u64,
    /// When the first tombstone that stays may go.
    pub(super) tombstones_due_ms: Option<i64>,
}

impl Rules<'_> {
    /// Decides about a batch whose checksum holds.
    ///
    /// # Errors
    /// When its records do not hold together.
    pub(super) fn decide(
        &self,
        header: &BatchHeader,
        bytes: &Bytes,
        counted: &mut Counted,
    ) -> Result<Fate, BatchError> {
        // The log says with control batches what nothing else says; and nobody knows yet what is newer than the rest.
        if header.attributes.is_control() || header.next_offset() > self.keys.to() {
            counted.records_kept += u64::from(header.record_count);
            return Ok(Fate::Kept);
        }
        let remembers = header.producer.is_some_and(|producer| {
            self.live.contains(&producer.id) && !self.keys.has_later_batch(producer.id, header.base_offset)
        });
        if header.record_count == 0 {
            return Ok(if remembers { Fate::Kept } else { Fate::Gone });
        }
        let records = batch::records(bytes, &STORED_LIMITS)?;
        let left: Vec<RecordRef<'_>> = records.iter().filter(|record| self.stays(header, record)).collect();
        let has_tombstone = left.iter().any(|record| record.key.is_some() && record.value.is_none());
        let horizon_ms = horizon(header).or_else(|| has_tombstone.then(|| self.new_horizon()));
        let fate = if left.len() == records.len() && horizon_ms == horizon(header) {
            Fate::Kept
        } else if !left.is_empty() {
            rewrite(header, &records, &left, horizon_ms)
        } else if remembers {
            rewrite(header, &records, &left, None)
        } else {
            Fate::Gone
        };
        let is_too_long =
            matches!(&fate, Fate::Rewritten(new) if new.len() > bytes.len().max(GROWN_BYTES_MAX));
        let (fate, kept) = if is_too_long { (Fate::Kept, records.len()) } else { (fate, left.len()) };
        counted.records_kept += kept as u64;
        counted.records_gone += (records.len() - kept) as u64;
        if let Some(due) = horizon_ms.filter(|_| has_tombstone && !is_too_long) {
            counted.tombstones_due_ms = Some(counted.tombstones_due_ms.map_or(due, |first| first.min(due)));
        }
        Ok(fate)
    }

    fn stays(&self, header: &BatchHeader, record: &RecordRef<'_>) -> bool {
        let offset = header.base_offset + u64::from(record.offset_delta);
        if offset < self.log_start {
            return false;
        }
        // A record without a key has no successor.
        let Some(key) = record.key else { return true };
        let is_due = record.value.is_none() && horizon(header).is_some_and(|due| due <= self.now_ms);
        !is_due && !self.keys.is_superseded(key, offset)
    }

    /// Until when tombstones stay that this round is the first to meet (KIP-534): only from now on is nothing of their
    /// keys before them.
    fn new_horizon(&self) -> i64 {
        self.now_ms.saturating_add(i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX))
    }
}

fn horizon(header: &BatchHeader) -> Option<i64> {
    header.attributes.has_delete_horizon().then_some(header.base_timestamp_ms)
}

/// The batch with the records that are left, in the place and with the codec of the one that it replaces.
fn rewrite(header: &BatchHeader, records: &Records, left: &[RecordRef<'_>], horizon_ms: Option<i64>) -> Fate {
    let mut builder = BatchBuilder::new(header.compression());
    if let Some(horizon_ms) = horizon_ms {
        builder.set_delete_horizon(horizon_ms);
    }
    builder.take_place_of(header);
    builder.reserve(records.uncompressed_bytes());
    for record in left {
        builder.push_record_at(record.offset_delta, record);
    }
    let mut new = bytes::BytesMut::from(&builder.finish(header.producer)[..]);
    batch::stamp(&mut new, header.base_offset, header.leader_epoch);
    Fate::Rewritten(new.freeze())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use expect_test::{Expect, expect};
    use weir_wire::batch::{Compression, ProducerFields, control};
    use weir_wire::ids::{LeaderEpoch, ProducerEpoch, Sequence};

    use super::*;

    /// One batch a line: `a=1 b=- -=3`, the second a tombstone, the third without a key, perhaps behind `p7` for a
    /// producer, or `marker` for a control batch. A round comes by at every time, over what the one before left; `dirty`
    /// is the number of the first batch that is dirty.
    fn check(rounds_ms: &[i64], dirty: usize, log: &str, expected: &Expect) {
        let mut batches = parse(log);
        let mut shown = String::new();
        for now_ms in rounds_ms {
            let mut keys = Keys::new(batches[dirty.min(batches.len() - 1)].0.base_offset, usize::MAX);
            for (header, bytes) in &batches[dirty..] {
                let records = batch::records(bytes, &STORED_LIMITS).unwrap();
                keys.take(header, (!header.attributes.is_control()).then_some(&records));
            }
            let live = [ProducerId(1), ProducerId(2)].into();
            let rules = Rules {
                keys: &keys,
                live: &live,
                log_start: Offset(1),
                now_ms: *now_ms,
                delete_retention_ms: 100,
            };
            let mut counted = Counted::default();
            shown.push_str(&format!("at {now_ms}\n"));
            for (header, bytes) in &mut batches {
                let fate = rules.decide(header, bytes, &mut counted).unwrap();
                shown.push_str(&format!("{}: ", header.base_offset));
                match fate {
                    Fate::Kept => shown.push_str("kept\n"),
                    Fate::Gone => {
                        shown.push_str("gone\n");
                        *bytes = batch::gap(header.base_offset, header.next_offset(), header.leader_epoch, 0);
                    }
                    Fate::Rewritten(new) => {
                        shown.push_str(&show(&new));
                        *bytes = new;
                    }
                }
                *header = BatchHeader::parse(bytes).unwrap();
            }
            let Counted { records_kept, records_gone, tombstones_due_ms } = counted;
            shown.push_str(&format!("{records_kept} records kept, {records_gone} gone"));
            shown.push_str(
                &tombstones_due_ms.map_or(String::new(), |due| format!(", tombstones due at {due}")),
            );
            shown.push('\n');
        }
        expected.assert_eq(&shown);
    }

    fn parse(log: &str) -> Vec<(BatchHeader, Bytes)> {
        let mut next = Offset::ZERO;
        let lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let mut bytes = BytesMut::from(&unstamped(line)[..]);
                batch::stamp(&mut bytes, next, LeaderEpoch(1));
                let header = BatchHeader::parse(&bytes).unwrap();
                next = header.next_offset();
                (header, bytes.freeze())
            })
            .collect()
    }

    fn unstamped(line: &str) -> Bytes {
        if line == "marker" {
            let marker =
                control::RevisionMarker { revision: weir_wire::ids::Revision(2), plugins: Vec::new() };
            return control::encode_revision(&marker, 5);
        }
        let mut producer = None;
        let mut builder = BatchBuilder::new(Compression::Zstd);
        for (number, word) in line.split_whitespace().enumerate() {
            let Some((key, value)) = word.split_once('=') else {
                let id = word.strip_prefix('p').unwrap().parse().unwrap();
                let (epoch, base_sequence) = (ProducerEpoch(0), Sequence(9));
                producer = Some(ProducerFields { id: ProducerId(id), epoch, base_sequence });
                continue;
            };
            let some = |text: &'static str| (text != "-").then_some(text.as_bytes());
            let (key, value) =
                (key.to_owned().leak() as &'static str, value.to_owned().leak() as &'static str);
            builder.push(10 + i64::try_from(number).unwrap(), some(key), some(value), &[]);
        }
        builder.finish(producer)
    }

    fn show(bytes: &Bytes) -> String {
        let header = batch::check(bytes, &STORED_LIMITS).unwrap();
        let records = batch::records(bytes, &STORED_LIMITS).unwrap();
        let mut shown = format!("up to {}", header.last_offset());
        if let Some(producer) = header.producer {
            shown.push_str(&format!(" p{} from {}", producer.id.0, producer.base_sequence.0));
        }
        if let Some(horizon_ms) = horizon(&header) {
            shown.push_str(&format!(" until {horizon_ms}"));
        }
        for record in &records {
            let text = |bytes: Option<&[u8]>| {
                bytes.map_or("-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            let offset = header.base_offset + u64::from(record.offset_delta);
            shown.push_str(&format!(
                " {offset}:{}={}@{}",
                text(record.key),
                text(record.value),
                record.timestamp_ms
            ));
        }
        shown + "\n"
    }

    #[test]
    fn the_newest_record_of_each_key_stays() {
        check(
            &[0],
            0,
            "
            a=1 b=1
            a=2 c=1
            c=2
            b=2 d=1
            ",
            &expect![[r#"
                at 0
                0: gone
                2: up to 3 2:a=2@10
                4: kept
                5: kept
                4 records kept, 3 gone
            "#]],
        );
    }

    #[test]
    fn what_was_cleaned_before_loses_to_what_came_since() {
        check(
            &[0],
            2,
            "
            x=0 a=1 b=1
            c=1
            a=2
            c=2
            ",
            &expect![[r#"
                at 0
                0: up to 2 2:b=1@12
                3: gone
                4: kept
                5: kept
                3 records kept, 3 gone
            "#]],
        );
    }

    #[test]
    fn a_tombstone_outlives_what_it_deletes_by_its_retention() {
        check(
            &[50, 149, 150],
            0,
            "
            x=0
            a=1
            b=1 a=-
            ",
            &expect![[r#"
                at 50
                0: gone
                1: gone
                2: up to 3 until 150 2:b=1@10 3:a=-@11
                2 records kept, 2 gone, tombstones due at 150
                at 149
                0: gone
                1: gone
                2: kept
                2 records kept, 0 gone, tombstones due at 150
                at 150
                0: gone
                1: gone
                2: up to 3 until 150 2:b=1@10
                1 records kept, 1 gone
            "#]],
        );
    }

    #[test]
    fn the_newest_batch_of_a_remembered_producer_stays_though_empty() {
        check(
            &[0, 1],
            0,
            "
            p1 x=0 a=1
            p1 a=2 a=3
            p2 a=4
            p3 a=5
            a=6
            ",
            &expect![[r#"
                at 0
                0: gone
                2: up to 3 p1 from 9
                4: up to 4 p2 from 9
                5: gone
                6: kept
                1 records kept, 6 gone
                at 1
                0: gone
                2: kept
                4: kept
                5: gone
                6: kept
                1 records kept, 0 gone
            "#]],
        );
    }

    #[test]
    fn control_batches_and_records_without_a_key_stay() {
        check(
            &[0],
            0,
            "
            x=0 -=1 a=1
            marker
            -=2
            a=2
            ",
            &expect![[r#"
                at 0
                0: up to 2 1:-=1@11
                3: kept
                4: kept
                5: kept
                4 records kept, 2 gone
            "#]],
        );
    }
}
