//! Taking part in a group.
//!
//! | file | what it does |
//! |---|---|
//! | [`member`] | decides, in values only |
//! | `membership` | carries that out: heartbeats, beside whatever the application does |
//! | `commits` | commits offsets, one request at a time |
//! | `coordinator` | finds whom to ask |
//! | `starting` | finds out where to begin with what was assigned |

mod commits;
pub(crate) mod coordinator;
pub(crate) mod member;
mod membership;
mod starting;

pub(crate) use commits::{Commits, Committed};
pub(crate) use member::TopicPartition;
pub(crate) use membership::{Membership, Move, Moved};
pub(crate) use starting::{Start, find_starts};
