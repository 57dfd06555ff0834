//! Committing how far a group has come.

use std::collections::BTreeMap;

use weir_core::group::{Ask, LogEnds, Reply};
use weir_wire::error::WireError;
use weir_wire::ids::{Offset, PartitionIndex, TopicId};
use weir_wire::request::{CommitOffsets, OffsetsCommitted, PartitionOffset};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context, submit_error};
use super::{ask_coordinator, mixed_up};
use crate::plugins::Commit;

pub(in super::super) async fn handle(context: Context, request: CommitOffsets) -> Answer<OffsetsCommitted> {
    let group = request.group.clone();
    let offsets = request.offsets.clone();
    let mut ends = context.services.groups.log_ends(&request.offsets);
    let is_beyond = |offset: &PartitionOffset| {
        let end = ends.get(&(offset.topic, offset.partition));
        end.is_some_and(|end| offset.committed.offset > *end)
    };
    if request.offsets.iter().any(is_beyond) {
        ends = sure_log_ends(&context, &request.offsets).await?;
    }
    match ask_coordinator(&context, Operation::Read, &group, Ask::Commit(request, ends)).await? {
        Reply::Committed(committed) => {
            tell_plugins(&context, &group, &offsets, &committed);
            Ok((context.image.index, committed))
        }
        _ => Err(mixed_up()),
    }
}

/// A leader that was deposed and has not heard of it ends before what was read at the next one. So nobody is refused for
/// what lies beyond the end, before this node has all metadata that there was when it was asked.
async fn sure_log_ends(context: &Context, offsets: &[PartitionOffset]) -> Result<LogEnds, WireError> {
    let services = &context.services;
    services.controller.up_to_date(services.cluster).await.map_err(submit_error)?;
    services.partitions.applied(services.controller.image().index).await;
    Ok(services.groups.log_ends(offsets))
}

/// Lets the consumer interceptors of each topic see what was committed; of one partition the last offset counts.
fn tell_plugins(context: &Context, group: &str, offsets: &[PartitionOffset], committed: &OffsetsCommitted) {
    let mut positions: BTreeMap<TopicId, BTreeMap<PartitionIndex, Offset>> = BTreeMap::new();
    for (offset, _) in offsets.iter().zip(&committed.results).filter(|(_, result)| result.is_ok()) {
        positions.entry(offset.topic).or_default().insert(offset.partition, offset.committed.offset);
    }
    for (topic, positions) in positions {
        let commit = Commit { group: group.to_owned(), positions: positions.into_iter().collect() };
        context.services.pipelines.committed(topic, commit);
    }
}
