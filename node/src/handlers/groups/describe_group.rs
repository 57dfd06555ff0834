//! Describing a group.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{DescribeGroup, GroupDescription};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_known, mixed_up};

pub(in super::super) async fn handle(context: Context, request: DescribeGroup) -> Answer<GroupDescription> {
    let group = request.group.clone();
    match ask_known(&context, Operation::Describe, &group, Ask::Describe(request)).await? {
        Reply::Described(description) => Ok((context.image.index, description)),
        _ => Err(mixed_up()),
    }
}
