//! Saying what an assignor would do to a group.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{ExplainGroup, GroupExplanation};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_known, mixed_up};

pub(in super::super) async fn handle(context: Context, request: ExplainGroup) -> Answer<GroupExplanation> {
    let group = request.group.clone();
    match ask_known(&context, Operation::Describe, &group, Ask::Explain(request)).await? {
        Reply::Explained(explanation) => Ok((context.image.index, explanation)),
        _ => Err(mixed_up()),
    }
}
