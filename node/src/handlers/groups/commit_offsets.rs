//! Committing how far a group has come.

use std::collections::BTreeMap;

use weir_core::group::{Ask, Reply};
use weir_wire::ids::{Offset, PartitionIndex, TopicId};
use weir_wire::request::{CommitOffsets, OffsetsCommitted, PartitionOffset};

use super::super::authorize::Operation;
use super::super::control::{Answer, Context};
use super::{ask_coordinator, mixed_up};
use crate::plugins::Commit;

pub(in super::super) async fn handle(context: Context, request: CommitOffsets) -> Answer<OffsetsCommitted> {
    let group = request.group.clone();
    let offsets = request.offsets.clone();
    let ends = context.services.groups.log_ends(&request.offsets);
    match ask_coordinator(&context, Operation::Read, &group, Ask::Commit(request, ends)).await? {
        Reply::Committed(committed) => {
            tell_plugins(&context, &group, &offsets, &committed);
            Ok((context.image.index, committed))
        }
        _ => Err(mixed_up()),
    }
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
