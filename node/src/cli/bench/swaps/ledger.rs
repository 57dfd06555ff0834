//! Which records were read: none may be missing, come twice, or stand behind a later one of its key.

/// Bits of a word.
const BITS: u64 = 64;

/// What a reader found.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// One bit for each number.
    seen: Vec<u64>,
    distinct: u64,
    duplicated: u64,
    reordered: u64,
    /// The highest number of each key in each partition, one more than it; 0 for none.
    newest: Vec<u64>,
    partitions: usize,
}

impl Ledger {
    /// For records whose number is given by one producer, in the order in which they are sent, to `keys` keys.
    pub(super) fn new(keys: u32, partitions: u32) -> Ledger {
        let [keys, partitions] = [keys, partitions].map(|count| usize::try_from(count).expect("counts fit"));
        Ledger { newest: vec![0; keys * partitions], partitions, ..Ledger::default() }
    }

    /// Notes a record. Keys move with the partitioner, so order is told per key and partition.
    pub(super) fn read(&mut self, number: u64, key: usize, partition: usize) {
        let word = usize::try_from(number / BITS).expect("as many as fit in memory");
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (number % BITS);
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return;
        }
        self.seen[word] |= bit;
        self.distinct += 1;
        if let Some(newest) = self.newest.get_mut(key * self.partitions + partition) {
            if number < *newest {
                self.reordered += 1;
            }
            *newest = (*newest).max(number + 1);
        }
    }

    /// How many different records were read.
    pub(super) fn distinct(&self) -> u64 {
        self.distinct
    }

    /// How many came again.
    pub(super) fn duplicated(&self) -> u64 {
        self.duplicated
    }

    /// How many stand behind one of their key that was sent later.
    pub(super) fn reordered(&self) -> u64 {
        self.reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_repeated_or_out_of_order_is_counted() {
        let mut ledger = Ledger::new(2, 2);
        for (number, key, partition) in
            [(0, 0, 0), (2, 0, 0), (2, 0, 0), (1, 0, 0), (4, 1, 0), (70, 1, 1), (5, 1, 0)]
        {
            ledger.read(number, key, partition);
        }
        assert_eq!((ledger.distinct(), ledger.duplicated(), ledger.reordered()), (6, 1, 1));
    }
}
