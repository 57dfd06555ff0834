//! Strings of JSON.

use std::borrow::Cow;

/// What a string means: its bytes between the quotes with escapes undone, as UTF-8. Half of a surrogate pair becomes
/// U+FFFD. The string must have been scanned: in one that no scan would let through, odd escapes are left out.
#[must_use]
pub fn unquote(inside: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = inside.iter().position(|byte| *byte == b'\\') else { return Cow::Borrowed(inside) };
    let mut out = Vec::with_capacity(inside.len());
    let (plain, mut rest) = inside.split_at(first);
    out.extend_from_slice(plain);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&escaped, behind)) = rest.split_first() else { break };
        rest = behind;
        match escaped {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let character = take_character(&mut rest);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The character of `\u` and four digits, and of a second `\u` if the first is the high half of a pair.
fn take_character(rest: &mut &[u8]) -> char {
    let unit = take_unit(rest).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&unit) {
        let mut further = rest.strip_prefix(b"\\u").unwrap_or_default();
        if let Some(low @ 0xdc00..0xe000) = take_unit(&mut further) {
            *rest = further;
            return char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                .unwrap_or(char::REPLACEMENT_CHARACTER);
        }
    }
    char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn take_unit(rest: &mut &[u8]) -> Option<u32> {
    let (digits, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// A text as a string of JSON, with its quotes.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if control < ' ' => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        let plain = |inside: &str| String::from_utf8(unquote(inside.as_bytes()).into_owned()).unwrap();
        assert_eq!(plain("email"), "email");
        assert_eq!(plain(r"em\u0061il"), "email");
        assert_eq!(plain(r#"\"\\\/\b\f\n\r\t"#), "\"\\/\u{8}\u{c}\n\r\t");
        assert_eq!(plain(r"\ud83d\ude00!"), "\u{1f600}!");
        assert_eq!(plain(r"\ud83d!\udc00"), "\u{fffd}!\u{fffd}");
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for text in ["", "***", "a\"b\\c", "line\nline\u{1}", "\u{e9}"] {
            assert_eq!(serde_json::from_str::<String>(&quote(text)).unwrap(), text);
        }
    }
}
