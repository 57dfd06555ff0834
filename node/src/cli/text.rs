//! Bytes of records as JSON, both ways.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Bytes as a string where they are UTF-8, else as `{"base64": "..."}`.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(self.0))?;
                map.end()
            }
        }
    }
}

/// Bytes read back from what [`Text`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextBuf(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for TextBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TextBuf, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "a string, or {\"base64\": \"...\"}")]
        enum Form {
            Plain(String),
            Encoded { base64: String },
        }
        match Form::deserialize(deserializer)? {
            Form::Plain(text) => Ok(TextBuf(text.into_bytes())),
            Form::Encoded { base64 } => STANDARD.decode(base64).map(TextBuf).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        for bytes in [&b""[..], b"plain", "Zürich \"x\"".as_bytes(), b"\xff\x00"] {
            let written = serde_json::to_string(&Text(bytes)).unwrap();
            let read: TextBuf = serde_json::from_str(&written).unwrap();
            assert_eq!(read.0, bytes, "{written}");
        }
        assert!(serde_json::from_str::<TextBuf>("7").is_err());
    }
}
