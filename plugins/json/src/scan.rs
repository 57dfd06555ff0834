//! One pass over a text.

use std::fmt;
use std::ops::Range;

use crate::path::{PathSet, Paths};

/// How deep objects and arrays may lie in each other.
pub const DEPTH_MAX: usize = 128;

/// A value that a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The paths that lead here: bit `n` for the path of index `n`.
    pub paths: u64,
    /// Where the value stands.
    pub value: Range<usize>,
    /// Where its object or array opened, or the value before it ended: from there to the end of the value is what
    /// goes when it is removed, and with it the comma of the next one if none is left before that.
    pub behind: usize,
}

impl Found {
    /// Whether the path of this index leads here.
    #[must_use]
    pub fn is_at(&self, path: usize) -> bool {
        (self.paths >> path) & 1 == 1
    }
}

/// Why a text is no JSON, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was expected or found.
    pub what: &'static str,
    /// The byte, from 0.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for Malformed {}

/// Reads one JSON text to its end and calls `found` for each value that a path leads to. They come by their ends: a
/// value in a value before the one around it.
///
/// # Errors
/// If the text is no JSON. `found` may have been called for what stands before the mistake.
pub fn scan(text: &[u8], paths: &Paths, mut found: impl FnMut(Found)) -> Result<(), Malformed> {
    if let Err(error) = str::from_utf8(text) {
        return Err(Malformed { what: "bytes that are not UTF-8", at: error.valid_up_to() });
    }
    let mut scanner = Scanner { text, at: 0, paths, found: &mut found };
    scanner.blanks();
    scanner.value(paths.all(), 0)?;
    scanner.blanks();
    if scanner.at < text.len() {
        return Err(scanner.malformed("more than one value"));
    }
    Ok(())
}

struct Scanner<'a, F> {
    text: &'a [u8],
    at: usize,
    paths: &'a Paths,
    found: &'a mut F,
}

impl<F: FnMut(Found)> Scanner<'_, F> {
    fn value(&mut self, on: PathSet, depth: usize) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(on, depth),
            Some(b'[') => self.array(on, depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(self.malformed("no value")),
        }
    }

    fn object(&mut self, on: PathSet, depth: usize) -> Result<(), Malformed> {
        self.open(depth)?;
        if self.take(b'}') {
            return Ok(());
        }
        let mut behind = self.at;
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.malformed("no name of a member"));
            }
            let name = self.string()?;
            let on = self.paths.at_member(on, depth, &self.text[name]);
            self.blanks();
            if !self.take(b':') {
                return Err(self.malformed("no colon behind a name"));
            }
            self.blanks();
            behind = self.child(on, depth, behind)?;
            self.blanks();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.malformed("no comma between members"));
            }
        }
    }

    fn array(&mut self, on: PathSet, depth: usize) -> Result<(), Malformed> {
        self.open(depth)?;
        if self.take(b']') {
            return Ok(());
        }
        let on = self.paths.at_element(on, depth);
        let mut behind = self.at;
        loop {
            self.blanks();
            behind = self.child(on, depth, behind)?;
            self.blanks();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.malformed("no comma between elements"));
            }
        }
    }

    /// Goes behind a bracket and the blanks after it, but only if the container is empty: else the place right
    /// behind the bracket is where its first child begins.
    fn open(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth == DEPTH_MAX {
            return Err(self.malformed("more than 128 values in each other"));
        }
        self.at += 1;
        let opened = self.at;
        self.blanks();
        if !matches!(self.peek(), Some(b'}' | b']')) {
            self.at = opened;
        }
        Ok(())
    }

    /// Reads a member's value or an element, and says where it ends.
    #[inline]
    fn child(&mut self, on: PathSet, depth: usize, behind: usize) -> Result<usize, Malformed> {
        let start = self.at;
        self.value(on, depth + 1)?;
        if on != 0 {
            let paths = self.paths.ending(on, depth + 1);
            if paths != 0 {
                (self.found)(Found { paths, value: start..self.at, behind });
            }
        }
        Ok(self.at)
    }

    /// Reads a string and says what stands between its quotes.
    #[inline]
    fn string(&mut self) -> Result<Range<usize>, Malformed> {
        self.at += 1;
        let start = self.at;
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.malformed("a control character in a string")),
                None => return Err(self.malformed("no end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let bytes = match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.malformed("no four digits behind \\u"));
                }
                6
            }
            _ => return Err(self.malformed("an unknown escape")),
        };
        self.at += bytes;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.malformed("no digit")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.malformed("no value"));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }
}

/// How many bytes stand before the first quote, backslash or control character. Eight at a time: most of a text is
/// strings.
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = specials(u64::from_le_bytes(*word));
        if special != 0 {
            return 8 * index + (special.trailing_zeros() / 8) as usize;
        }
    }
    let rest = 8 * words.len();
    rest + bytes[rest..].iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count()
}

/// The top bit of each byte that is special, and perhaps of bytes above the first such one.
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    let below = |limit: u64, word: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(1, word ^ (ONES * u64::from(byte)));
    (below(0x20, word) | is(b'"') | is(b'\\')) & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, paths: &[&str]) -> Vec<(u64, String)> {
        let paths = Paths::parse("fields", paths.iter().copied()).unwrap();
        let mut all = Vec::new();
        scan(text.as_bytes(), &paths, |found| all.push((found.paths, text[found.value].to_owned()))).unwrap();
        all
    }

    #[test]
    fn values_are_found_by_path() {
        let text = r#" { "a" : { "b" : [1, {"c": "x"}], "c": null }, "b": -1.5e3 } "#;
        let one = |value: &str| vec![(1, value.to_owned())];
        assert_eq!(found(text, &["b"]), one("-1.5e3"));
        assert_eq!(found(text, &["a.c"]), one("null"));
        assert_eq!(found(text, &["a.b.*.c"]), one("\"x\""));
        assert_eq!(found(text, &["a.b.0"]), [], "elements have no names");
        assert_eq!(found(text, &["c", "a.b.c", "a.b.*.c.d"]), []);
    }

    #[test]
    fn inner_values_come_first_and_paths_share_values() {
        let text = r#"{"a":{"b":1},"b":[]}"#;
        let all = found(text, &["*", "a.b", "b"]);
        let texts: Vec<_> = all.iter().map(|(paths, value)| (*paths, value.as_str())).collect();
        assert_eq!(texts, [(2, "1"), (1, r#"{"b":1}"#), (5, "[]")]);
    }

    #[test]
    fn a_name_hides_behind_nothing() {
        assert_eq!(found(r#"{"em\u0061il":1,"email":2}"#, &["email"]).len(), 2);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let said = |text: &[u8]| scan(text, &Paths::default(), |_| ()).unwrap_err().to_string();
        assert_eq!(said(b"not json"), "no value at byte 0");
        assert_eq!(said(b"{\"a\" 1}"), "no colon behind a name at byte 5");
        assert_eq!(said(b"{\"a\":1} x"), "more than one value at byte 8");
        assert_eq!(said(b"[1 2]"), "no comma between elements at byte 3");
        assert_eq!(said(b"\"abc"), "no end of a string at byte 4");
        assert_eq!(said(b"\"a\nc\""), "a control character in a string at byte 2");
        assert_eq!(said(b"\"\xff\""), "bytes that are not UTF-8 at byte 1");
        assert_eq!(said(&[b'['; 1000]), "more than 128 values in each other at byte 128");
        assert!(scan(&[&[b'['; 128][..], &[b']'; 128]].concat(), &Paths::default(), |_| ()).is_ok());
    }

    #[test]
    fn mismatched_brackets_are_mistakes() {
        for text in ["[}", "{]", "[1}", "{\"a\":1]", "[ }"] {
            assert!(scan(text.as_bytes(), &Paths::default(), |_| ()).is_err(), "{text}");
        }
    }

    #[test]
    fn special_bytes_are_seen_at_every_place() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for at in 0..24 {
                let mut bytes = [b'a'; 24];
                bytes[at] = special;
                assert_eq!(plain_bytes(&bytes), at);
                let high: Vec<u8> = bytes.iter().map(|b| if *b == b'a' { 0xe9 } else { *b }).collect();
                assert_eq!(plain_bytes(&high), at);
            }
        }
        assert_eq!(plain_bytes(b" !#[]~"), 6);
    }

    /// Texts that are nearly JSON: both readers agree on which of them are, so a record that passes here is read by
    /// everyone else, and one that is refused is refused by others too.
    #[test]
    fn another_reader_agrees() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"a\"",
            "\"b\":",
            "\\",
            "\\u00e9",
            "1",
            "0",
            "-",
            ".5",
            "e+1",
            "true",
            "false",
            "null",
            " ",
            "\n",
            "\u{1}",
            "\u{e9}",
            "{\"a\":1}",
            "[1,2]",
        ];
        let mut valid = 0;
        for _ in 0..200_000 {
            let text: String = (0..random.usize(1..9)).map(|_| random.choice(pieces).unwrap()).collect();
            let other = serde_json::from_str::<serde_json::Value>(&text);
            let is_lone = other.as_ref().is_err_and(|e| e.to_string().contains("surrogate"));
            let is_huge = other.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            let ours = scan(text.as_bytes(), &Paths::default(), |_| ());
            assert!(ours.is_ok() == other.is_ok() || is_lone || is_huge, "{text:?}: {ours:?} {other:?}");
            valid += u32::from(ours.is_ok());
        }
        assert!(valid > 1000, "{valid} of the texts were JSON: too few to say anything");
    }
}
