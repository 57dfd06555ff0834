//! What happened, as seen from outside: sends with what became of them, and reads.

use std::collections::BTreeMap;

use weir_wire::ids::{Offset, PartitionIndex};

use super::report::Place;

/// Everything that the clients of one topic did and were told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// One producer's records in the order in which it sent them.
    pub sends: Vec<Sent>,
    /// What was read, each reader's records in the order in which it got them.
    pub reads: Vec<Read>,
    /// How often a key may have moved to another partition, since the rule that places records was changed.
    pub moves: usize,
    /// What readers did between their reads, in order.
    pub turns: Vec<Turn>,
    /// Which plugins made what stands where, each time that somebody looked.
    pub made: Vec<Made>,
    /// What nodes said of their replicas, in the order of time.
    pub snapshots: Vec<Snapshot>,
    /// When acknowledgements came, where they were noted: place and milliseconds.
    pub acknowledged_at: Vec<(Place, i64)>,
    /// How far polls had come when, where that was noted: the next place to read, and milliseconds.
    pub polled_at: Vec<(Place, i64)>,
    keys: Vec<Vec<u8>>,
    ids: BTreeMap<Vec<u8>, KeyId>,
}

/// Stands for the bytes of a key within one [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(u32);

/// A record that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Who sent it. Order is promised within one process.
    pub process: u32,
    /// Its number: no other record has it.
    pub number: u64,
    /// Its key; `None` where the order of the record among others was not promised.
    pub key: Option<KeyId>,
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
    /// It is stored, and nobody was told where: who counts what was acknowledged knows no more.
    Counted,
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

/// Something that changes what a reader is to get next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How many reads, of all readers, stand before it in [`History::reads`].
    pub before: usize,
    /// Whose.
    pub reader: u32,
    /// What.
    pub kind: TurnKind,
}

/// A kind of [`Turn`]. A reader without any is assigned what it reads, and reads on and on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnKind {
    /// It chose these partitions; where it had them already, it reads on.
    Assigned(Vec<PartitionIndex>),
    /// It reads what a group gives it, which may come again or go elsewhere between two polls.
    Subscribed,
    /// It goes on elsewhere in a partition.
    Sought(PartitionIndex),
    /// It asks for more: what it gets up to the next poll is one operation.
    Polled,
    /// It is gone; the next of its name begins anew.
    Crashed,
}

/// Which plugins made the record at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The record.
    pub place: Place,
    /// The digest of what made it; empty for none.
    pub digest: String,
    /// How often it was transformed.
    pub transforms: u32,
}

/// What a node said of one of its replicas at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The node.
    pub node: u64,
    /// The partition.
    pub partition: PartitionIndex,
    /// Whether it said that it leads.
    pub leads: bool,
    /// The reign that it knew.
    pub leader_epoch: u32,
    /// The first offset that it stored.
    pub log_start: Offset,
    /// The end of what may be read.
    pub high_watermark: Offset,
    /// The end of what it stored.
    pub log_end: Offset,
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
