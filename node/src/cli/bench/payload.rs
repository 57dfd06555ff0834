//! The records that are sent: text-like bytes of an exact size, the same in every run.

use fastrand::Rng;

use super::Load;

/// Bytes of a key.
pub(super) const KEY_BYTES: u32 = 12;
/// So many different values are sent in turn.
const VALUES: usize = 64;
/// Values are made of these, so that a codec finds in them what it finds in JSON.
const WORDS: [&str; 16] = [
    "\"magnitude\":",
    "\"place\":",
    "\"Mount Rainier\",",
    "\"depth_km\":",
    "\"network\":",
    "\"uw\",",
    "\"time\":",
    "\"status\":",
    "\"reviewed\",",
    "\"automatic\",",
    "1.9,",
    "0.42,",
    "17,",
    "\"type\":",
    "\"earthquake\",",
    "null,",
];

/// Keys and values, made once.
#[derive(Clone)]
pub(super) struct Payload {
    values: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    next: usize,
}

impl Payload {
    /// Those of one client; clients with other seeds begin elsewhere.
    pub(super) fn new(load: &Load, seed: u64) -> Payload {
        let mut rng = Rng::with_seed(seed);
        let size = usize::try_from(load.record_size).expect("sizes fit");
        let value = |rng: &mut Rng| {
            let mut value = Vec::with_capacity(size + 32);
            while value.len() < size {
                // Every third word is a number of its own: no codec shrinks a value to nothing.
                if rng.u8(..3) == 0 {
                    value.extend_from_slice(rng.u64(..).to_string().as_bytes());
                } else {
                    value.extend_from_slice(WORDS[rng.usize(..WORDS.len())].as_bytes());
                }
            }
            value.truncate(size);
            value
        };
        let values = (0..VALUES).map(|_| value(&mut rng)).collect();
        let keys = (0..load.keys).map(|key| format!("key-{key:08}").into_bytes()).collect();
        Payload { values, keys, next: rng.usize(..1000) }
    }

    /// The next record's key and value.
    pub(super) fn take(&mut self) -> (Option<&[u8]>, &mut Vec<u8>) {
        self.next = self.next.wrapping_add(1);
        let key = match self.keys.len() {
            0 => None,
            count => Some(self.keys[self.next % count].as_slice()),
        };
        let count = self.values.len();
        (key, &mut self.values[self.next % count])
    }
}
