//! What a hook answers when it cannot do its work.

use std::fmt;

/// A sentence for the operator. What happens to the batch is the binding's policy, as after a trap; to refuse one
/// record, reject it instead.
///
/// Any error of the standard kind becomes one with `?`:
///
/// ```
/// fn limit(text: &str) -> weir_plugin::Result<u32> {
///     Ok(text.parse()?)
/// }
/// assert_eq!(limit("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

/// The result of a hook.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this sentence.
    pub fn new(sentence: impl Into<String>) -> Error {
        Error(sentence.into())
    }
}

// Not `std::error::Error` itself: that is what lets every such error turn into this one.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Error {
        Error(error.to_string())
    }
}
