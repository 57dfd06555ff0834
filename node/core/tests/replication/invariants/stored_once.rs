//! The batches of an idempotent producer are committed in its order, each once and without gaps (INVARIANTS 37, 38 and
//! 47; KIP-98).

use weir_wire::ids::ProducerId;

use super::{Committed, Verdict};

/// `content` gives the batch of a number; numbers count from 0.
pub(crate) fn stored_once_and_in_order(
    committed: &Committed,
    producer: ProducerId,
    content: impl Fn(usize) -> u32,
) -> Verdict {
    let of_producer = committed.batches.iter().filter(|b| b.batch.producer.is_some_and(|p| p.id == producer));
    let stored: Vec<u32> = of_producer.map(|stored| stored.batch.bytes).collect();
    let whole: Vec<u32> = (0..stored.len()).map(content).collect();
    if stored == whole { Ok(()) } else { Err(format!("of producer {producer} {stored:?} is committed")) }
}
