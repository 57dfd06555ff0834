//! What a coordinator holds is the newest record of each key in its log (INVARIANTS 44; Kafka's coordinators are
//! replays of compacted partitions).

use std::collections::BTreeMap;

use weir_wire::group_log::{GroupKey, GroupRecord};

/// A compacted log: the newest record of each key that has one, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Compacted {
    newest: BTreeMap<GroupKey, (u64, GroupRecord)>,
    count: u64,
}

impl Compacted {
    pub(crate) fn append(&mut self, record: &GroupRecord) {
        self.count += 1;
        let is_end = record.encode().1.is_none();
        if is_end {
            self.newest.remove(&record.key());
        } else {
            self.newest.insert(record.key(), (self.count, record.clone()));
        }
    }

    /// What lies in the log.
    pub(crate) fn records(&self) -> Vec<GroupRecord> {
        let mut records: Vec<_> = self.newest.values().cloned().collect();
        records.sort_by_key(|(position, _)| *position);
        records.into_iter().map(|(_, record)| record).collect()
    }
}

pub(crate) fn log_is_state(compacted: &Compacted, records: &[GroupRecord]) -> Result<(), String> {
    let mut held: Vec<_> = records.iter().map(|record| (record.key(), record)).collect();
    held.sort_by(|a, b| a.0.cmp(&b.0));
    // A member without a target has an empty one.
    held.retain(|(_, record)| !is_empty_target(record));
    let log = compacted.newest.values().map(|(_, record)| record).filter(|record| !is_empty_target(record));
    let held: Vec<_> = held.into_iter().map(|(_, record)| record).collect();
    let log: Vec<_> = log.collect();
    match held.iter().zip(&log).find(|(held, log)| held != log) {
        None if held.len() == log.len() => Ok(()),
        None => Err(format!("the log says {} things, the coordinator holds {}", log.len(), held.len())),
        Some((held, log)) => Err(format!("the coordinator holds {held:?}, the log says {log:?}")),
    }
}

fn is_empty_target(record: &GroupRecord) -> bool {
    matches!(record, GroupRecord::Target(_, _, Some(value)) if value.partitions.is_empty())
}
