//! Asking how far a group has come.

use weir_core::group::{Ask, Reply};
use weir_wire::request::{FetchOffsets, OffsetsFetched};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_coordinator, mixed_up};

pub(in super::super) async fn handle(context: Context, request: FetchOffsets) -> Answer<OffsetsFetched> {
    let group = request.group.clone();
    match ask_coordinator(&context, Operation::Describe, &group, Ask::Fetch(request)).await? {
        Reply::Fetched(fetched) => Ok((context.image.index, fetched)),
        _ => Err(mixed_up()),
    }
}
