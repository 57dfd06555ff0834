//! Finds fields in JSON by path, for the plugins that ship.
//!
//! One pass over the text, strict about it (RFC 8259) and without building anything: a plugin that looks for two
//! fields pays for reading the bytes once. Strict matters here: what one reader takes for a field and another does
//! not is how a value gets past a redaction. So a name is compared with its escapes undone, every one of several
//! members with the same name is found, and a text that is not JSON to the last byte is an error.

mod path;
mod scan;
mod text;

pub use path::Paths;
pub use scan::{DEPTH_MAX, Found, Malformed, scan};
pub use text::{quote, unquote};
