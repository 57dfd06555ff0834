//! No commit of a former owner is accepted (INVARIANTS 44 and 55; KIP-848; KIP-1251 for tenures).

use std::collections::BTreeMap;

use weir_core::group::TopicPartition;
use weir_wire::group_log::GroupRecord;

/// Who has held each partition without a break, and since which of their tenures: from the log alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenures {
    current: BTreeMap<TopicPartition, (String, u64)>,
    holdings: BTreeMap<String, Vec<TopicPartition>>,
    count: u64,
}

impl Tenures {
    pub(crate) fn apply(&mut self, record: &GroupRecord) {
        let (member, held) = match record {
            GroupRecord::Current(_, member, Some(value)) => {
                let revoking = value.revoking.iter().map(|revocation| &revocation.held);
                let held = value.assigned.iter().chain(revoking);
                (member, held.map(|held| (held.topic, held.partition)).collect())
            }
            GroupRecord::Current(_, member, None) => (member, Vec::new()),
            _ => return,
        };
        for partition in self.holdings.insert(member.clone(), held.clone()).unwrap_or_default() {
            if !held.contains(&partition)
                && self.current.get(&partition).is_some_and(|(who, _)| who == member)
            {
                self.current.remove(&partition);
            }
        }
        for partition in held {
            let is_new = self.current.get(&partition).is_none_or(|(who, _)| who != member);
            if is_new {
                self.count += 1;
                self.current.insert(partition, (member.clone(), self.count));
            }
        }
    }

    /// The tenure of whoever holds the partition now.
    pub(crate) fn of(&self, partition: &TopicPartition) -> Option<&(String, u64)> {
        self.current.get(partition)
    }

    /// A commit for records that were taken in a tenure was accepted.
    pub(crate) fn accepted(
        &self,
        partition: &TopicPartition,
        member: &str,
        tenure: Option<u64>,
    ) -> Result<(), String> {
        match self.of(partition) {
            Some((who, current)) if who == member && Some(*current) == tenure => Ok(()),
            other => Err(format!(
                "a commit of {member} for {} in tenure {tenure:?} was accepted, {other:?} holds it",
                partition.1
            )),
        }
    }
}
