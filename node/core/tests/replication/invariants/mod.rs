//! What must hold in every state of a cluster: one file each, with its source. They look and change nothing, and draw
//! no random number, so adding one changes no schedule.

mod acknowledged;
mod committed_prefix;
mod epoch_cache;
mod log_matching;
mod marks;
mod one_leader;
mod positions;
mod producers;
mod promises;
mod stored_once;
mod strong_isr;

pub(crate) use acknowledged::acknowledged_is_committed;
pub(crate) use committed_prefix::Committed;
pub(crate) use epoch_cache::epoch_cache_is_a_function_of_the_log;
pub(crate) use log_matching::logs_match;
pub(crate) use marks::{Marks, marks_are_in_order};
pub(crate) use one_leader::Leaders;
pub(crate) use positions::leaders_know_no_more_than_is_true;
pub(crate) use producers::producers_are_a_function_of_the_log;
pub(crate) use promises::promise_is_true;
pub(crate) use stored_once::stored_once_and_in_order;
pub(crate) use strong_isr::isr_has_all_that_is_committed;

pub(crate) type Verdict = Result<(), String>;
