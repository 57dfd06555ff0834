//! The bytes of every message between processes, fixed; and decoders that take any bytes.
//!
//! A difference here is a change of the protocol: a peer of the version before cannot read it. Enums grow at their
//! end, fields are never added to a message of a version that was released; what must change gets a new version in
//! [`weir_wire::open::VERSIONS`], and then a new line here beside the old one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod arbitrary;
mod between_nodes;
mod groups;
mod messages;
mod node_configs;
mod plugins;
mod reassignments;

use std::fmt::{Debug, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_wire::frame::{self, PREFIX_BYTES};
use weir_wire::request::{decode_body, encode_body};

/// The golden text of some messages: one line each.
#[derive(Default)]
struct Golden(String);

impl Golden {
    /// A message that travels as the header of a frame.
    fn header<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        let bytes = frame::encode(value, 0);
        let limits = frame::Limits { header_bytes_max: u32::MAX, payload_bytes_max: 0 };
        let (prefix, header) = bytes.split_first_chunk::<PREFIX_BYTES>().unwrap();
        assert_eq!(frame::parse_prefix(*prefix, &limits).unwrap().header_len, header.len(), "{name}");
        decodes_exactly(name, value, header, |bytes| frame::decode_header(bytes).ok());
        self.line(name, header);
    }

    /// A message that travels as the payload of a frame.
    fn body<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, value: &T) {
        let bytes = encode_body(value);
        decodes_exactly(name, value, &bytes, |bytes| decode_body(bytes).ok());
        self.line(name, &bytes);
    }

    fn line(&mut self, name: &str, bytes: &[u8]) {
        write!(self.0, "{name:<28}").unwrap();
        for byte in bytes {
            write!(self.0, " {byte:02x}").unwrap();
        }
        self.0.push('\n');
    }
}

/// The bytes give the value back; cut anywhere, or with a byte more, they give nothing.
fn decodes_exactly<T: PartialEq + Debug>(
    name: &str,
    value: &T,
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
) {
    assert_eq!(decode(bytes).as_ref(), Some(value), "{name} does not round-trip");
    for length in 0..bytes.len() {
        // A cut may not leave another whole message: nothing would notice a lost tail.
        assert_eq!(decode(&bytes[..length]), None, "{name} cut to {length} bytes");
    }
    let longer = [bytes, &[0]].concat();
    assert_eq!(decode(&longer), None, "{name} with a byte behind it");
}

#[test]
fn the_prefix_of_a_frame() {
    let mut golden = String::new();
    for (header, payload_len) in [("", 0), ("abc", 5), ("abc", 0x0102_0304)] {
        writeln!(golden, "{:02x?}", frame::encode(&header, payload_len)).unwrap();
    }
    expect_test::expect![[r#"
        [01, 00, 00, 00, 00, 00, 00, 00, 00]
        [04, 00, 00, 00, 05, 00, 00, 00, 03, 61, 62, 63]
        [04, 00, 00, 00, 04, 03, 02, 01, 03, 61, 62, 63]
    "#]]
    .assert_eq(&golden);
}
