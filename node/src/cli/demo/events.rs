//! A week of real events, replayed as often as it takes.

use serde::Deserialize;

/// One event a line; see the README beside the file for its source.
const EVENTS: &str = include_str!("../../../../examples/data/earthquakes.ndjson");

/// The events, each of which is sent many times under another number.
pub(super) struct Replay {
    events: Vec<Event>,
}

/// An event as it stands in the file.
struct Event {
    /// The seismic network that reported it: the record's key.
    network: String,
    /// The line without its closing brace.
    head: &'static str,
}

#[derive(Deserialize)]
struct Line {
    net: String,
}

impl Replay {
    pub(super) fn new() -> Replay {
        let event = |line: &'static str| {
            let network =
                serde_json::from_str::<Line>(line).expect("the events that come along are JSON").net;
            let head = line.strip_suffix('}').expect("each event is one object");
            Event { network, head }
        };
        Replay { events: EVENTS.lines().map(event).collect() }
    }

    /// The key of record `number`.
    pub(super) fn key(&self, number: u64) -> &[u8] {
        self.event(number).network.as_bytes()
    }

    /// Puts the value of record `number` into the buffer: the event, with the number as its last field.
    pub(super) fn value(&self, number: u64, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(self.event(number).head.as_bytes());
        buffer.extend_from_slice(b",\"n\":");
        buffer.extend_from_slice(number.to_string().as_bytes());
        buffer.push(b'}');
    }

    /// The number of a record that was read, if key and value are, byte for byte, what was sent under it. The
    /// buffer is scratch space.
    pub(super) fn recognise(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        buffer: &mut Vec<u8>,
    ) -> Option<u64> {
        let number = Replay::number(value)?;
        self.value(number, buffer);
        (key == Some(self.key(number)) && value == Some(buffer.as_slice())).then_some(number)
    }

    /// The number that a value names as its last field, whatever else it holds.
    pub(super) fn number(value: Option<&[u8]>) -> Option<u64> {
        let digits = value?.strip_suffix(b"}")?;
        let from = digits.iter().rposition(|byte| !byte.is_ascii_digit())? + 1;
        std::str::from_utf8(&digits[from..]).ok()?.parse().ok()
    }

    fn event(&self, number: u64) -> &Event {
        let count = u64::try_from(self.events.len()).expect("lengths fit 64 bits");
        &self.events[usize::try_from(number % count).expect("below a length")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_recognised_and_altered_ones_are_not() {
        let replay = Replay::new();
        assert_eq!(replay.events.len(), 1707);
        let (mut value, mut scratch) = (Vec::new(), Vec::new());
        for number in [0, 1, 1706, 1707, 999_999, u64::MAX] {
            replay.value(number, &mut value);
            let key = replay.key(number);
            let parsed: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(parsed["n"], number);
            assert_eq!(parsed["net"].as_str().unwrap().as_bytes(), key);
            assert_eq!(replay.recognise(Some(key), Some(&value), &mut scratch), Some(number));
            assert_eq!(replay.recognise(Some(b"xx"), Some(&value), &mut scratch), None, "another key");
            assert_eq!(replay.recognise(None, Some(&value), &mut scratch), None, "no key");
            for at in 0..value.len() {
                let mut altered = value.clone();
                altered[at] ^= 1;
                let recognised = replay.recognise(Some(key), Some(&altered), &mut scratch);
                assert_eq!(recognised, None, "byte {at} of number {number} altered");
            }
        }
        for other in [&b""[..], b"}", b"1}", b"{\"n\":}", b"99999999999999999999999}"] {
            assert_eq!(replay.recognise(Some(b"uw"), Some(other), &mut scratch), None);
        }
        assert_eq!(replay.recognise(Some(b"uw"), None, &mut scratch), None);
    }
}
