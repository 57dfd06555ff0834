//! What happened, as seen from outside: sends with what became of them, and reads.

use std::collections::BTreeMap;

use weir_wire::ids::{Offset, PartitionIndex};

/// Everything that the clients of one topic did and were told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// One producer's records in the order in which it sent them.
    pub sends: Vec<Sent>,
    /// What was read, each reader's records in the order in which it got them.
    pub reads: Vec<Read>,
    /// How often a key may have moved to another partition, since the rule that places records was changed.
    pub moves: usize,
    keys: Vec<Vec<u8>>,
    ids: BTreeMap<Vec<u8>, KeyId>,
}

/// Stands for the bytes of a key within one [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(u32);

/// A record that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Its number: no other record has it.
    pub number: u64,
    /// Its key.
    pub key: KeyId,
    /// What the producer was told.
    pub outcome: Outcome,
}

/// What a producer was told about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, and a promise says that it stays.
    Acknowledged {
        /// Where.
        partition: PartitionIndex,
        /// At which offset; `None` where the node knew only that it is stored.
        offset: Option<Offset>,
    },
    /// It is not stored.
    Failed,
    /// It may be stored or not.
    Unknown,
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Which reader got it.
    pub reader: u32,
    /// From which partition.
    pub partition: PartitionIndex,
    /// At which offset.
    pub offset: Offset,
    /// The number that it carries; `None` where it is not a record that anybody sent.
    pub number: Option<u64>,
}

impl History {
    /// The id of a key, a new one for a key that was not seen before.
    ///
    /// # Panics
    /// Beyond four billion keys.
    pub fn key(&mut self, key: &[u8]) -> KeyId {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = KeyId(u32::try_from(self.keys.len()).expect("fewer than four billion keys"));
        self.keys.push(key.to_vec());
        self.ids.insert(key.to_vec(), id);
        id
    }

    /// The key as text, for people.
    pub(super) fn show_key(&self, id: KeyId) -> String {
        let bytes = usize::try_from(id.0).ok().and_then(|index| self.keys.get(index));
        bytes.map_or_else(|| format!("#{}", id.0), |bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}
