//! What the members of the group were given, handed and told, and whether it holds together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_client::ConsumedBatch;
use weir_wire::ids::{Offset, PartitionIndex};

use super::journal::{Audit, number_of};

/// The book of the group. Clones write into the same one, whatever host they are on.
#[derive(Clone, Default)]
pub struct GroupBook(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    /// Tenures are numbered from 1, over all members and partitions, in the order in which members heard of them.
    tenures: u64,
    /// The newest tenure of each partition.
    newest: BTreeMap<PartitionIndex, u64>,
    /// What each member holds, as it was told, and in which tenure.
    held: BTreeMap<String, BTreeMap<PartitionIndex, u64>>,
    /// Where each tenure reads on.
    next: BTreeMap<u64, Offset>,
    /// The highest offset of each partition of which anybody was told that it is committed.
    committed: BTreeMap<PartitionIndex, Offset>,
    /// What was processed, by place.
    processed: BTreeMap<(PartitionIndex, Offset), Option<u64>>,
    /// Stretches that a tenure passed by: nothing may be stored there.
    passed: BTreeSet<(PartitionIndex, Offset, Offset)>,
    commits: u64,
    violations: Vec<String>,
}

impl GroupBook {
    /// Notes that a process begins or ends: it holds nothing.
    pub fn holds_nothing(&self, member: &str) {
        self.book().held.insert(member.to_owned(), BTreeMap::new());
    }

    /// Notes that a process takes part no more.
    pub fn is_gone(&self, member: &str) {
        self.book().held.remove(member);
    }

    /// Notes that a member was given a partition, to read on from `position`; `None`: nothing was committed. Returns the
    /// number of the tenure.
    pub fn given(&self, member: &str, partition: PartitionIndex, position: Option<Offset>) -> u64 {
        let book = &mut *self.book();
        book.tenures += 1;
        let tenure = book.tenures;
        let committed = book.committed.get(&partition).copied();
        if position < committed {
            book.violate(format!(
                "{member} was given {partition} to read on from {position:?}, though {committed:?} was committed"
            ));
        }
        book.newest.insert(partition, tenure);
        book.next.insert(tenure, position.unwrap_or_default());
        book.held.entry(member.to_owned()).or_default().insert(partition, tenure);
        tenure
    }

    /// Notes that a member lets go of a partition, or lost it.
    pub fn let_go(&self, member: &str, partition: PartitionIndex) {
        if let Some(held) = self.book().held.get_mut(member) {
            held.remove(&partition);
        }
    }

    /// Notes that a member was handed records in a tenure. Nobody hands out records of a partition that somebody else was
    /// given since, nor those that come before where it was, nor later ones before those.
    pub fn handed_out(&self, member: &str, tenure: u64, batch: &ConsumedBatch) {
        let book = &mut *self.book();
        let partition = batch.partition();
        let newest = book.newest.get(&partition).copied();
        if newest != Some(tenure) {
            book.violate(format!(
                "{member} was handed records of {partition} in tenure {tenure}, though {newest:?} had begun"
            ));
        }
        let mut next = book.next.get(&tenure).copied().unwrap_or_default();
        for record in batch.iter() {
            if record.offset < next {
                let offset = record.offset;
                book.violate(format!("{member} was handed {partition}/{offset}, and was at {next} already"));
            } else if record.offset > next {
                book.passed.insert((partition, next, record.offset));
            }
            next = record.offset + 1;
        }
        book.next.insert(tenure, next.max(batch.next_offset()));
    }

    /// Notes that a member did its work on a batch.
    pub fn processed(&self, batch: &ConsumedBatch) {
        let book = &mut *self.book();
        for record in batch.iter() {
            let number = record.value.and_then(number_of);
            book.processed.insert((batch.partition(), record.offset), number);
        }
    }

    /// Notes that a member was told that an offset is committed.
    pub fn committed(&self, partition: PartitionIndex, offset: Offset) {
        let book = &mut *self.book();
        book.commits += 1;
        let highest = book.committed.entry(partition).or_default();
        *highest = offset.max(*highest);
    }

    /// How many commits were answered.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.book().commits
    }

    /// What each process that takes part holds, as it was told.
    #[must_use]
    pub fn held(&self) -> BTreeMap<String, BTreeSet<PartitionIndex>> {
        let held = &self.book().held;
        held.iter().map(|(member, held)| (member.clone(), held.keys().copied().collect())).collect()
    }

    /// Whether everything that is stored was processed.
    ///
    /// # Errors
    /// What was not.
    pub fn has_processed(&self, audit: &Audit) -> Result<(), String> {
        let book = self.book();
        match audit.records.keys().find(|place| !book.processed.contains_key(place)) {
            None => Ok(()),
            Some((partition, offset)) => {
                Err(format!("no member of the group has processed {partition}/{offset}"))
            }
        }
    }

    /// Every promise that was broken.
    #[must_use]
    pub fn judge(&self, audit: Option<&Audit>) -> Vec<String> {
        let book = self.book();
        let mut violations = book.violations.clone();
        let Some(audit) = audit else { return violations };
        for (place, number) in &book.processed {
            let stored = audit.records.get(place).copied();
            if stored != *number {
                let (partition, offset) = place;
                violations.push(format!(
                    "taken back: the group processed {number:?} at {partition}/{offset}, where {stored:?} is"
                ));
            }
        }
        for (partition, from, to) in &book.passed {
            if let Some(((_, missed), _)) = audit.records.range((*partition, *from)..(*partition, *to)).next()
            {
                violations.push(format!("skipped: a member came to {partition}/{to} past {missed}"));
            }
        }
        violations
    }

    /// Notes a broken promise.
    pub fn violated(&self, what: String) {
        self.book().violate(what);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn violate(&mut self, what: String) {
        self.violations.push(what);
    }
}
