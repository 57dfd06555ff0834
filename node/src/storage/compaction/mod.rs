//! Compaction by key: what remains of a log is the newest record of every key, and what its readers cannot do without.
//!
//! ```text
//!  log start                        cleaned up to                         bound
//!      |  cleaned before                  |   dirty                         |
//!  ----[=========|==========|=============|==========|==========|===========|======|======)
//!       segment   segment    segment       segment    segment    segment      not yet: above the high watermark,
//!                                                                             not flushed, or written to
//! ```
//!
//! One round reads the dirty part and remembers the offset of the newest record of each key ([`keys`]), as far as
//! memory allows. Then it writes the segments from the log's start up to there anew, some together, and leaves out
//! every record with a newer one of its key ([`fate`]). Each new segment takes the place of the old ones in one step
//! that a crash cannot halve ([`swap`]).
//!
//! No offset moves and no offset disappears: where whole batches go, one batch without records says which offsets and
//! which reign were there ([`weir_wire::batch::gap`]). So a log is without holes with or without compaction, and the
//! one rule of how batches follow each other keeps telling damage from what was meant. See the decision page.
//!
//! | module | what it holds |
//! |---|---|
//! | `plan` | when it is time, what may be cleaned, which segments become one |
//! | `keys` | the newest offset of each key, in bounded memory |
//! | `fate` | what becomes of one batch |
//! | `output` | writing a segment |
//! | `swap` | putting it in place, now or after a crash |
//! | `job` | one round, step by step, on a thread of its own |

mod fate;
mod job;
mod keys;
mod output;
mod plan;
pub(super) mod swap;

#[cfg(test)]
mod schedules;

use serde::{Deserialize, Serialize};
use weir_wire::ids::Offset;
use weir_wire::stored::Stored;

pub use job::{Compacted, Compaction, CompactionError, CompactionJob};
pub(super) use job::{Order, Outcome};
pub use plan::CompactionLimits;
pub(super) use plan::{Closed, plan};

/// What is remembered of compaction over restarts. Without it a round only reads more than it needs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cleaned {
    /// Below this every key has one record.
    pub(super) to: Offset,
    /// When the first tombstone there may go, by the wall clock in milliseconds since 1970.
    pub(super) tombstones_due_ms: Option<i64>,
}

impl Stored for Cleaned {
    const NAME: &'static str = "cleaner offset checkpoint";
    const VERSION: u8 = 1;
}
