//! Asking assignors. The two that every node knows answer at once.

use weir_core::group::assignors::{self, AssignInput, Assignment, Target};
use weir_wire::request::TopicPartitions;

/// Asks an assignor.
///
/// # Errors
/// Why there is no answer.
pub(super) fn ask(assignor: &str, input: &AssignInput) -> Result<Assignment, String> {
    match assignor {
        "range" => Ok(answer(assignors::range(input))),
        "roundrobin" => Ok(answer(assignors::roundrobin(input))),
        other => Err(format!("this node has no assignor '{other}'")),
    }
}

fn answer(target: Target) -> Assignment {
    let members = target.into_iter().map(|(member, holds)| (member, TopicPartitions::gather(holds)));
    Assignment { members: members.collect() }
}
