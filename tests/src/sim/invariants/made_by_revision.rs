//! Which plugins made a record is what the log and the metadata say of its revision (INVARIANTS 46 to 52).
//!
//! A marker names a higher revision than the one before it, and the plugins that the metadata names. No batch has records
//! of two revisions; none is of a later one than the newest marker before it (an earlier one it may be: sent before the swap,
//! and again after it). Each record carries each stamp of its revision's chain once, in the order of the chain, all from one
//! entry node. Under one revision a key has one partition, whoever tried how often.

use std::collections::BTreeMap;

use weir_core::metadata::PipelineSpec;
use weir_wire::batch::control::{ControlRecord, RevisionMarker, decode};
use weir_wire::batch::{self, RecordRef, Records};
use weir_wire::ids::{Offset, PartitionIndex, Revision};

use super::Invariant;
use crate::sim::snapshot::{Committed, ReplicaId, Snapshot};
use crate::sim::swaps::{ENTRY_NODE, REVISION, stamps_of};

/// What is known of the revisions, and where each log was read to.
#[derive(Debug, Default)]
pub(super) struct MadeByRevision {
    specs: BTreeMap<Revision, PipelineSpec>,
    created_at: Revision,
    read: BTreeMap<ReplicaId, (Offset, Revision)>,
    placed: BTreeMap<(Revision, Vec<u8>), PartitionIndex>,
}

impl Invariant for MadeByRevision {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        let Some(topic) = seen.image.as_ref().and_then(|image| image.topics.get(seen.topic)) else {
            return Ok(());
        };
        self.created_at = topic.created_at_revision;
        for (revision, pipeline) in &topic.pipelines {
            let known = self.specs.entry(*revision).or_insert_with(|| pipeline.spec.clone());
            if *known != pipeline.spec {
                return Err(format!("revision {revision} stands for {:?}, and for {known:?}", pipeline.spec));
            }
        }
        if self.specs.values().all(PipelineSpec::is_plain) {
            return Ok(());
        }
        seen.committed.iter().try_for_each(|batch| self.batch(batch))
    }
}

impl MadeByRevision {
    fn batch(&mut self, batch: &Committed) -> Result<(), String> {
        let from = batch.header.base_offset;
        let place = format!("{} at {from}", batch.replica);
        let records = batch::records(&batch.bytes, &batch::Limits::default())
            .map_err(|error| format!("{place}: {error}"))?;
        let read = self.read.entry(batch.replica).or_insert((from, self.created_at));
        if from < read.0 {
            // It is read anew, from its start.
            *read = (from, self.created_at);
        }
        read.0 = batch.header.next_offset();
        if batch.header.attributes.is_control() {
            let Ok(ControlRecord::Revision(marker)) = decode(&records) else { return Ok(()) };
            if marker.revision <= read.1 {
                return Err(format!("{place}: revision {} is marked behind {}", marker.revision, read.1));
            }
            read.1 = marker.revision;
            return self.marker(&marker).map_err(|why| format!("{place}: {why}"));
        }
        let newest = read.1;
        let revision = self.revision_of(&records, newest).map_err(|why| format!("{place}: {why}"))?;
        for key in records.iter().filter_map(|record| record.key) {
            let partition = batch.replica.partition;
            let known = *self.placed.entry((revision, key.to_vec())).or_insert(partition);
            if known != partition {
                let key = String::from_utf8_lossy(key);
                return Err(format!(
                    "{place}: revision {revision} placed key {key} into {known} and {partition}"
                ));
            }
        }
        Ok(())
    }

    fn marker(&self, marker: &RevisionMarker) -> Result<(), String> {
        let revision = marker.revision;
        let spec =
            self.specs.get(&revision).ok_or_else(|| format!("nobody activated revision {revision}"))?;
        let wanted = spec.bindings().map(|(_, binding)| &binding.digest.0);
        if marker.plugins.iter().map(|plugin| &plugin.sha256).eq(wanted) {
            Ok(())
        } else {
            Err(format!("revision {revision} is marked as {:?}, it is {spec:?}", marker.plugins))
        }
    }

    /// The revision that made a batch's records, of which `newest` is the latest that it can be.
    fn revision_of(&self, records: &Records, newest: Revision) -> Result<Revision, String> {
        let mut first: Option<Vec<(String, String)>> = None;
        for record in records {
            let stamps = stamps(&record);
            let first = first.get_or_insert_with(|| stamps.clone());
            if *first != stamps {
                return Err(format!("its records carry {first:?} and {stamps:?}"));
            }
        }
        let stamps = first.unwrap_or_default();
        let revision = match value_of(&stamps, REVISION)? {
            Some(text) => Revision(text.parse().map_err(|_| format!("revision '{text}'"))?),
            None => self.plain_up_to(newest).ok_or("it carries no stamp, and every revision has one")?,
        };
        value_of(&stamps, ENTRY_NODE)?;
        let spec =
            self.specs.get(&revision).ok_or_else(|| format!("nobody activated revision {revision}"))?;
        let wanted = stamps_of(spec);
        if !stamps.iter().map(|(name, _)| name).eq(&wanted) {
            return Err(format!("it carries {stamps:?}, revision {revision} writes {wanted:?}"));
        }
        if revision > newest {
            return Err(format!("it is of revision {revision}, the newest marker says {newest}"));
        }
        Ok(revision)
    }

    /// The latest revision up to this one that leaves no stamps.
    fn plain_up_to(&self, newest: Revision) -> Option<Revision> {
        let up_to = self.specs.range(..=newest);
        up_to.rev().find(|(_, spec)| stamps_of(spec).is_empty()).map(|(revision, _)| *revision)
    }
}

fn stamps(record: &RecordRef<'_>) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    record.headers.map(|(name, value)| (name.to_owned(), text(value.unwrap_or_default()))).collect()
}

/// What all stamps that end like this say; they may not contradict each other.
fn value_of<'a>(stamps: &'a [(String, String)], ending: &str) -> Result<Option<&'a str>, String> {
    let mut values = stamps.iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, value)| value);
    let first = values.next();
    match values.find(|value| Some(*value) != first) {
        None => Ok(first.map(String::as_str)),
        Some(other) => Err(format!("a record has stamps of {ending} {first:?} and {other}")),
    }
}
