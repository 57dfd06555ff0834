//! The redactor of `examples/plugins`, in Rust: option `remove` names members of JSON objects that go, option `mask` those
//! that are masked. `examples/plugins/README.md` says what all languages do.

use weir_plugin::{Context, Edits, Error, ProducedBatch, ProducerInterceptor, Result};

const MASK: &[u8] = b"\"***\"";

/// The interceptor.
pub struct Redactor {
    remove: Vec<String>,
    mask: Vec<String>,
}

impl ProducerInterceptor for Redactor {
    fn configure(context: &Context) -> Result<Redactor> {
        context.options.allow(&["remove", "mask"])?;
        let names = |option| context.options.list(option).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (remove, mask) = (names("remove"), names("mask"));
        if remove.is_empty() && mask.is_empty() {
            return Err(Error::new("there is nothing to redact: give names in option remove or mask"));
        }
        Ok(Redactor { remove, mask })
    }

    fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
        for record in batch.records() {
            let Some(value) = record.value else { continue };
            match self.redact(value) {
                Ok(None) => {}
                Ok(Some(redacted)) => edits.set_value(record.index, &redacted),
                Err(Refused { code, reason }) => edits.reject(record.index, code, reason),
            }
        }
        Ok(())
    }
}

/// Why a value cannot be redacted.
struct Refused {
    code: u32,
    reason: &'static str,
}

const NOT_JSON: Refused = Refused { code: 1, reason: "not JSON" };
const ESCAPED_NAME: Refused = Refused { code: 2, reason: "a name with an escape" };

impl Redactor {
    /// The value without what must not be stored; none if there is nothing of it.
    fn redact(&self, value: &[u8]) -> std::result::Result<Option<Vec<u8>>, Refused> {
        let mut scan = Scan { value, at: 0 };
        let mut redacted = None;
        if scan.take(b'{').is_some() {
            redacted = self.members(&mut scan)?;
        } else {
            scan.value().ok_or(NOT_JSON)?;
        }
        scan.blanks();
        if scan.at < value.len() { Err(NOT_JSON) } else { Ok(redacted) }
    }

    fn members(&self, scan: &mut Scan<'_>) -> std::result::Result<Option<Vec<u8>>, Refused> {
        let is_in = |names: &[String], name: &[u8]| names.iter().any(|known| known.as_bytes() == name);
        let (mut kept, mut changed) = (vec![b'{'], false);
        let mut more = scan.take(b'}').is_none();
        while more {
            scan.blanks();
            let from = scan.at;
            let name = scan.string().ok_or(NOT_JSON)?;
            if name.contains(&b'\\') {
                return Err(ESCAPED_NAME);
            }
            scan.take(b':').ok_or(NOT_JSON)?;
            scan.blanks();
            let value_from = scan.at;
            scan.value().ok_or(NOT_JSON)?;
            let is_removed = is_in(&self.remove, name);
            let is_masked = !is_removed && is_in(&self.mask, name);
            changed |= is_removed || is_masked;
            if !is_removed {
                if kept.len() > 1 {
                    kept.push(b',');
                }
                kept.extend_from_slice(&scan.value[from..if is_masked { value_from } else { scan.at }]);
                if is_masked {
                    kept.extend_from_slice(MASK);
                }
            }
            more = scan.take(b',').is_some();
            if !more {
                scan.take(b'}').ok_or(NOT_JSON)?;
            }
        }
        kept.push(b'}');
        Ok(changed.then_some(kept))
    }
}

/// A walk over a value. Each step is `None` where the value is not what the step is about.
struct Scan<'a> {
    value: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Passes over blanks and this byte.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Passes over a string, and returns what is between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let from = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                0..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.value[from..self.at - 1])
    }

    /// Passes over a string, a word or number, or everything from an opening bracket to the one that closes it.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ if depth > 0 => self.at += 1,
                _ => self.word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// `true`, `false`, `null`, or what begins as a number does.
    fn word(&mut self) -> Option<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let word = &self.value[from..self.at];
        matches!(word, b"true" | b"false" | b"null" | [b'-' | b'0'..=b'9', ..]).then_some(())
    }
}

weir_plugin::export!(Redactor as producer_interceptor);

#[cfg(test)]
mod tests {
    use weir_plugin::testing::{Binding, Fate, TestRecord};

    use super::*;

    /// What becomes of a value: `keep`, the new value, or the reason.
    fn fate(value: &str) -> String {
        let binding = Binding::of(&[("remove", "email"), ("mask", "card")]);
        match binding.send::<Redactor>(&[TestRecord::of_value(value)]).unwrap().remove(0) {
            Fate::Kept => "keep".to_owned(),
            Fate::Changed(record) => String::from_utf8(record.value.unwrap()).unwrap(),
            Fate::Rejected { reason, .. } => reason,
            Fate::Dropped => unreachable!("nothing is dropped"),
        }
    }

    #[test]
    fn members_go_or_are_masked_and_the_others_keep_their_bytes() {
        assert_eq!(
            fate(r#"{"email":1, "id" : [2.50,{"card":"}"}] ,"card":{"n":1}}"#),
            r#"{"id" : [2.50,{"card":"}"}],"card":"***"}"#
        );
        assert_eq!(fate(r#"{"email":1,"email":2}"#), "{}");
        assert_eq!(fate(r#"{"emails":1}"#), "keep");
        assert_eq!(fate(r#"["email"]"#), "keep");
    }

    #[test]
    fn what_is_no_json_or_hides_a_name_goes_no_further() {
        for value in ["", "{", "{\"a\":1", "{\"a\":1}}", "{\"a\" 1}", "{\"a\":no}", "mail", "\"a", "[1"] {
            assert_eq!(fate(value), "not JSON", "{value}");
        }
        assert_eq!(fate(r#"{"em\u0061il":1}"#), "a name with an escape");
    }
}
