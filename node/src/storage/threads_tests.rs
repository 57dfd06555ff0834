//! A writer and readers on threads of their own, over the real disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_wire::ids::Offset;

use super::testing::{batch, key, small};
use super::{DataFolder, LogReader, OnDamage, ReadError, RealDisk, StampedBatch, StorageConfig};

const ROUNDS: u64 = 40;
const BATCHES: u64 = 50;

/// The batch of an offset in a round; each round has its own epoch, so no two rounds share a byte.
fn of_round(round: u64, offset: u64) -> StampedBatch {
    let body_bytes = 20 + usize::try_from(offset % 7).unwrap() * 30;
    batch(offset, 1, u32::try_from(round).unwrap(), i64::try_from(offset).unwrap(), body_bytes)
}

/// Reads at random places until told to stop; everything read must be whole batches of some round, in order. Returns
/// how many batches that were.
fn read_on(reader: &LogReader, stop: &AtomicBool, seed: u64) -> u64 {
    let mut random = super::SimRandom::new(seed);
    let mut read = 0;
    while !stop.load(Ordering::Relaxed) {
        let (start, end) = (reader.start().0, reader.end().0);
        let from = start + random.next_u64() % (end.saturating_sub(start) + 1);
        let slice = match reader.read(Offset(from), Offset::MAX, random.below(3000), true) {
            Ok(slice) => slice,
            Err(ReadError::OutOfRange { .. }) => continue,
            Err(error) => panic!("from {from}: {error}"),
        };
        let mut bytes = slice.clone().into_bytes();
        let mut expected = None;
        let mut last_round = 0;
        while !bytes.is_empty() {
            let base = u64::from_be_bytes(*bytes.first_chunk().expect("whole batches"));
            let round = u64::from(u32::from_be_bytes(*bytes[12..].first_chunk().expect("whole batches")));
            let batch = of_round(round, base).bytes;
            assert!(bytes.starts_with(&batch), "the batch at {base} is none of round {round}");
            assert!(expected.is_none_or(|expected| expected == base) && round >= last_round);
            let _ = bytes.split_to(batch.len());
            (expected, last_round) = (Some(base + 1), round);
            read += 1;
        }
        assert!(expected.is_none_or(|expected| expected == slice.next_offset.0));
    }
    read
}

#[test]
fn readers_never_see_garbage_while_the_log_is_cut_rolled_and_removed() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let config = StorageConfig { open_files_max: 3, tail_bytes_max: 3000 };
    let (folder, _) = DataFolder::open(Arc::new(RealDisk), Path::new(root.path()), &config).expect("opens");
    let (mut log, _) = folder.open_log("t", key(), small(), true, OnDamage::Refuse).expect("opens");
    log.append(&[of_round(0, 0)]).expect("append");
    let stop = AtomicBool::new(false);
    let read: u64 = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|seed| {
                let (reader, stop) = (log.reader(), &stop);
                scope.spawn(move || read_on(&reader, stop, seed))
            })
            .collect();
        let mut random = super::SimRandom::new(9);
        for round in 1..=ROUNDS {
            for _ in 0..BATCHES {
                log.append(&[of_round(round, log.end().0)]).expect("append");
            }
            log.flush().expect("flush");
            let (start, end) = (log.start().0, log.end().0);
            let job = log.set_log_start(Offset(start + random.next_u64() % 20));
            job.map(|job| log.removal_done(job.run()).expect("removed"));
            let cut = log.truncate_to(Offset(end - random.next_u64() % 30)).expect("cut");
            assert!(cut.0 <= end);
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().expect("no panic")).sum()
    });
    assert!(read > 0, "the readers read something");
    log.close().expect("close");
}
