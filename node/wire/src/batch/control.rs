//! Control batches: records that the log writes about itself. Consumers skip them.
//!
//! As in Kafka, a control batch holds one record, whose key is a version and a type, two bytes each. Kafka's own types
//! are 0 (abort), 1 (commit) and 2 to 6 (its metadata log). Weir adds one, far above them: see [`REVISION_TYPE`].
//!
//! ```text
//!  key:    version (0) : i16 | type : i16
//!  value:  version (1) : i16 | revision : u32 | plugin count : u16
//!          | ( name length : u16 | name, UTF-8 | SHA-256 : 32 bytes )*            all big-endian
//! ```

use bytes::{BufMut, Bytes};

use super::varint::take_bytes;
use super::{BatchBuilder, BatchError, Compression, Records};
use crate::ids::Revision;

/// The control type of a revision marker: "We" in ASCII, which no Kafka type comes near.
pub const REVISION_TYPE: i16 = 0x5765;
/// The most plugins that a revision's pipeline can name.
pub const PLUGINS_MAX: usize = 64;
/// The longest name of a plugin in a marker, in bytes.
pub const PLUGIN_NAME_BYTES_MAX: usize = 255;

const KEY_VERSION: i16 = 0;
const REVISION_VALUE_VERSION: i16 = 1;

/// What a control batch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// From here on the pipeline has another revision.
    Revision(RevisionMarker),
    /// A type that this version does not know, Kafka's included. It is kept, copied and skipped like the others.
    Other {
        /// The type in the record's key.
        control_type: i16,
    },
}

/// The records after this marker went through this revision of the topic's pipeline (until the next marker; batches
/// that were sent again may still carry the one before).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionMarker {
    /// The revision.
    pub revision: Revision,
    /// Its plugins, in the order in which they run; at most [`PLUGINS_MAX`].
    pub plugins: Vec<PluginDigest>,
}

/// Exactly which code a plugin's name stood for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginDigest {
    /// `name@version`; at most [`PLUGIN_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The SHA-256 of its component.
    pub sha256: [u8; 32],
}

/// The batch that marks a revision in a log, unstamped.
///
/// # Panics
/// If the marker has more plugins or a longer name than allowed; both were bounded when the revision was made.
#[must_use]
pub fn encode_revision(marker: &RevisionMarker, timestamp_ms: i64) -> Bytes {
    let mut key = Vec::new();
    key.put_i16(KEY_VERSION);
    key.put_i16(REVISION_TYPE);
    let mut value = Vec::new();
    value.put_i16(REVISION_VALUE_VERSION);
    value.put_u32(marker.revision.0);
    value.put_u16(length(marker.plugins.len(), PLUGINS_MAX));
    for plugin in &marker.plugins {
        value.put_u16(length(plugin.name.len(), PLUGIN_NAME_BYTES_MAX));
        value.put_slice(plugin.name.as_bytes());
        value.put_slice(&plugin.sha256);
    }
    let mut builder = BatchBuilder::new(Compression::None);
    builder.set_control();
    builder.push(timestamp_ms, Some(&key), Some(&value), &[]);
    builder.finish(None)
}

/// What the control batch with these records says.
///
/// # Errors
/// [`BatchError::BadControl`] if it is not a control batch of one record with a control key, or if a type that is
/// known has a value of another version or shape.
pub fn decode(records: &Records) -> Result<ControlRecord, BatchError> {
    let bad = |reason| BatchError::BadControl { reason };
    let mut all = records.iter();
    let (true, Some(record), None) = (records.header().attributes.is_control(), all.next(), all.next())
    else {
        return Err(bad("a control batch is flagged as one and holds one record"));
    };
    let mut key = record.key.ok_or(bad("it has no key"))?;
    let version = take_i16(&mut key).ok_or(bad("its key is too short"))?;
    let control_type = take_i16(&mut key).ok_or(bad("its key is too short"))?;
    // Kafka: a later version of the key may only add to it.
    if version < KEY_VERSION {
        return Err(bad("its key has a negative version"));
    }
    if control_type != REVISION_TYPE {
        return Ok(ControlRecord::Other { control_type });
    }
    let value = record.value.ok_or(bad("a revision marker has a value"))?;
    decode_revision(value).map(ControlRecord::Revision).map_err(bad)
}

fn decode_revision(mut value: &[u8]) -> Result<RevisionMarker, &'static str> {
    const CUT: &str = "a revision marker is cut short";
    if take_i16(&mut value).ok_or(CUT)? != REVISION_VALUE_VERSION {
        return Err("a revision marker of this version is unknown; a newer Weir wrote it");
    }
    let revision = Revision(u32::from_be_bytes(take(&mut value).ok_or(CUT)?));
    let count = usize::from(u16::from_be_bytes(take(&mut value).ok_or(CUT)?));
    if count > PLUGINS_MAX {
        return Err("a revision marker names more plugins than a pipeline can have");
    }
    let mut plugins = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(take(&mut value).ok_or(CUT)?));
        if length > PLUGIN_NAME_BYTES_MAX {
            return Err("a revision marker has a longer plugin name than there can be");
        }
        let name = take_bytes(&mut value, length).ok_or(CUT)?;
        let name = std::str::from_utf8(name).map_err(|_| "a plugin name is not UTF-8")?.to_owned();
        plugins.push(PluginDigest { name, sha256: take(&mut value).ok_or(CUT)? });
    }
    if value.is_empty() {
        Ok(RevisionMarker { revision, plugins })
    } else {
        Err("bytes follow the end of a revision marker")
    }
}

fn take<const SIZE: usize>(input: &mut &[u8]) -> Option<[u8; SIZE]> {
    take_bytes(input, SIZE)?.first_chunk().copied()
}

fn take_i16(input: &mut &[u8]) -> Option<i16> {
    take(input).map(i16::from_be_bytes)
}

fn length(length: usize, max: usize) -> u16 {
    assert!(length <= max, "a revision marker with a list or name of {length} where {max} are allowed");
    u16::try_from(length).expect("the maxima of a marker fit 16 bits")
}
