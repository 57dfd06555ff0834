//! What must hold in every state of a schedule: one function each. They look and change nothing, and draw no random
//! number, so adding one changes no schedule.

use weir_core::partition::{AppendOutcome, StoredBatch};
use weir_wire::ids::Offset;

use super::lane::{Batch, Lane, Place, Settled, batch_of, content};
use crate::replica::Replica;

type Verdict = Result<(), String>;

/// The batches of the lane in a partition's log, below `end`.
fn lane_batches(replica: &Replica, end: Offset) -> Vec<Batch> {
    let below = |stored: &&StoredBatch| stored.end() <= end;
    replica.history.batches.iter().filter(below).filter_map(|stored| batch_of(stored.batch.bytes)).collect()
}

/// Each part is stored once, in the order of the lane, and where the lane placed it.
pub(super) fn stored_once_and_in_order(lane: &Lane, place: Place, replica: &Replica) -> Verdict {
    let stored = lane_batches(replica, Offset::MAX);
    if !stored.is_sorted_by(|one, next| one < next) {
        return Err(format!("partition {place} holds {stored:?}, out of order or twice"));
    }
    match stored.iter().find(|batch| !lane.touches(**batch, place)) {
        Some(batch) => Err(format!("partition {place} holds batch {batch}, which belongs elsewhere")),
        None => Ok(()),
    }
}

/// The stored parts are a gapless prefix of the lane's share of the partition (but for what the client gave up).
pub(super) fn prefix_is_gapless(lane: &Lane, place: Place, replica: &Replica) -> Verdict {
    let stored = lane_batches(replica, Offset::MAX);
    let Some(last) = stored.last() else { return Ok(()) };
    let missing = (0..*last).find(|batch| {
        let given_up = lane.settled.get(*batch) == Some(&Settled::GivenUp);
        lane.touches(*batch, place) && !given_up && !stored.contains(batch)
    });
    match missing {
        Some(batch) => {
            Err(format!("partition {place} holds {stored:?}, batch {batch} is missing before the last"))
        }
        None => Ok(()),
    }
}

/// What was acknowledged is committed in every partition that it went to, and in no other.
pub(super) fn acknowledged_is_committed(lane: &Lane, place: Place, replica: &Replica) -> Verdict {
    let committed = lane_batches(replica, replica.committed.end());
    for (batch, settled) in lane.settled.iter().enumerate() {
        let Settled::Acknowledged(places) = settled else { continue };
        if places.contains(&place) && !committed.contains(&batch) {
            return Err(format!("batch {batch} was acknowledged and is not committed in partition {place}"));
        }
        if !places.contains(&place) && committed.contains(&batch) {
            return Err(format!("batch {batch} is also in partition {place}"));
        }
    }
    Ok(())
}

/// The offset that a partition answers holds what was asked for.
pub(super) fn answered_offset_holds_the_part(replica: &Replica, batch: Batch, offset: Offset) -> Verdict {
    let found = replica.history.batches.iter().find(|stored| stored.base_offset == offset);
    match found.map(|stored| stored.batch.bytes) {
        Some(bytes) if bytes == content(batch) => Ok(()),
        other => Err(format!("batch {batch} was answered to lie at {offset}, where {other:?} lies")),
    }
}

/// A live client with a pure pipeline hears "stored" or "try again", nothing else.
pub(super) fn outcome_is_expected(outcome: &AppendOutcome, batch: Batch) -> Verdict {
    match outcome {
        AppendOutcome::Stored { .. } | AppendOutcome::Retry(_) => Ok(()),
        other => Err(format!("batch {batch} was answered {other:?}")),
    }
}
