//! What reading batches allocates: nothing per record, and never by a number that the sender chose.
//!
//! zstd's own memory is not seen here (it calls malloc); its window limit is tested with the codecs.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]
#![allow(unsafe_code, reason = "counting allocations takes an allocator, and an allocator is unsafe")]

mod batch_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use batch_support::{CODECS, batch_of, packed, plain_records};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use weir_wire::batch::{BatchBuilder, Compression, Limits, check, records, validate};

/// What the largest lz4 blocks take: one packed, two unpacked and a window, whatever the batch's size. The greatest
/// constant of all codecs.
const CODEC_BYTES_MAX: usize = 25 * 1024 * 1024;

struct Counting;

#[derive(Clone, Copy, Default)]
struct Count {
    calls: usize,
    bytes: usize,
    peak_bytes: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { calls: 0, bytes: 0, peak_bytes: 0 }) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Safety: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| {
            let Count { calls, bytes, peak_bytes } = count.get();
            let bytes = bytes.saturating_add(layout.size());
            count.set(Count { calls: calls + 1, bytes, peak_bytes: peak_bytes.max(bytes) });
        });
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        COUNT.with(|count| {
            let bytes = count.get().bytes.saturating_sub(layout.size());
            count.set(Count { bytes, ..count.get() });
        });
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often this thread allocated meanwhile, and how many bytes it held at once beyond those before.
fn counted<T>(work: impl FnOnce() -> T) -> (T, Count) {
    COUNT.with(|count| count.set(Count::default()));
    let value = work();
    (value, COUNT.with(Cell::get))
}

#[test]
fn the_counter_counts() {
    let (_, count) = counted(|| drop(vec![0_u8; 1000]));
    assert_eq!((count.calls, count.peak_bytes, count.bytes), (1, 1000, 0));
}

#[test]
fn reading_an_uncompressed_batch_allocates_nothing_per_record() {
    let batch = batch_of(Compression::None, 1000, &plain_records(1000, 1000));
    let (_, checking) = counted(|| check(&batch, &Limits::default()).unwrap());
    assert_eq!(checking.calls, 0);
    let (found, validating) = counted(|| validate(&batch, &Limits::default()).unwrap().1);
    // Bytes made from a vector turn into shared ones with their first slice: one small allocation. The list of its pieces is
    // another.
    assert!(validating.calls <= 2, "{} allocations", validating.calls);
    let (bytes, walking) =
        counted(|| found.iter().map(|record| record.value.map_or(0, <[u8]>::len)).sum::<usize>());
    assert_eq!((bytes, walking.calls), (1_000_000, 0));
    let (shared, sharing) = counted(|| found.into_iter().filter(|record| record.value.is_some()).count());
    assert_eq!((shared, sharing.calls), (1000, 0), "shared records count references, no more");
}

#[test]
fn copying_records_into_a_batch_allocates_only_as_its_buffer_grows() {
    let batch = batch_of(Compression::None, 1000, &plain_records(1000, 1000));
    let found = records(&batch, &Limits::default()).unwrap();
    let mut builder = BatchBuilder::new(Compression::None);
    let mut copy = || {
        for record in &found {
            builder.push_record(&record);
        }
        drop(builder.finish(None));
    };
    copy();
    let ((), second) = counted(copy);
    assert!(second.calls <= 30, "{} allocations for a thousand records", second.calls);
}

#[test]
fn a_packed_batch_holds_no_more_memory_than_it_needs() {
    for compression in CODECS {
        let mut builder = BatchBuilder::new(compression);
        let (batch, count) = counted(|| {
            builder.push(0, None, Some(&[0; 500_000]), &[]);
            let batch = builder.finish(None);
            drop(std::mem::replace(&mut builder, BatchBuilder::new(compression)));
            batch
        });
        let kept = count.bytes - batch.len();
        assert!(kept < 20_000, "{compression}: {kept} bytes besides the {} of the batch", batch.len());
    }
}

#[test]
fn what_bombs_and_claims_make_us_allocate_is_bounded() {
    let limits = Limits { uncompressed_bytes_max: 1_000_000, ..Limits::default() };
    let zeros = vec![0; 30_000_000];
    let claims: [(Compression, &[u8]); 4] = [
        (Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]),
        (Compression::Snappy, b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff\0\0"),
        (Compression::Zstd, b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\x01\0\0\x01\0\0"),
        (Compression::None, &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]),
    ];
    let claims = claims.into_iter().map(|(compression, body)| (compression, body.to_vec(), 100_000));
    let bombs = CODECS.map(|compression| {
        let most = if compression == Compression::Lz4 { CODEC_BYTES_MAX } else { 2_200_000 };
        (compression, packed(compression, &zeros), most)
    });
    for (compression, body, most) in claims.chain(bombs) {
        let limits = Limits { batch_bytes_max: u32::MAX, ..limits };
        let batch = batch_of(compression, 1, &body);
        let (error, count) = counted(|| records(&batch, &limits).unwrap_err());
        assert!(count.peak_bytes <= most, "{compression}: {} bytes for '{error}'", count.peak_bytes);
    }
}

#[test]
fn a_record_count_that_cannot_be_is_not_believed() {
    let batch = batch_of(Compression::None, 900_000, &plain_records(3, 10));
    let (error, count) = counted(|| records(&batch, &Limits::default()).unwrap_err());
    assert!(count.peak_bytes < 100, "{} bytes for '{error}'", count.peak_bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Frames with some bytes changed, among them the sizes that they claim.
    #[test]
    fn no_change_to_a_frame_makes_it_cost_more(
        compression in select(Compression::ALL.to_vec()),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        near_the_front: bool,
    ) {
        let limits = Limits { uncompressed_bytes_max: 200_000, ..Limits::default() };
        let mut body = packed(compression, &plain_records(100, 500));
        let reach = if near_the_front { 24 } else { body.len() };
        for (at, byte) in changes {
            body[at.index(reach)] = byte;
        }
        let batch = batch_of(compression, 100, &body);
        let (_, count) = counted(|| validate(&batch, &limits).map(|(_, records)| records.len()));
        let codec = if compression == Compression::Lz4 { CODEC_BYTES_MAX } else { 200_000 };
        prop_assert!(count.peak_bytes <= 2 * 200_001 + codec, "{} bytes", count.peak_bytes);
    }
}
