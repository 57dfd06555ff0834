//! `redact`: removes, masks or hashes fields of JSON values before they are stored, so that what must not be kept
//! is nowhere: not in the log, not on a follower, not in a backup.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `remove` | none | fields that go, with their names |
//! | `mask` | none | fields whose value becomes the text of `mask-with` |
//! | `hash` | none | fields whose value becomes 32 hex digits, the same for equal values: they can still be counted and joined |
//! | `mask-with` | `***` | the text that stands for a masked value |
//! | `salt` | needed for `hash` | a secret of at least 16 bytes, without which nobody can find out a value by hashing guesses |
//! | `on-invalid` | `reject` | what happens to a value that is not JSON, so cannot be redacted: `reject`, `drop`, `keep` |
//!
//! Fields are paths between commas: names between dots (`user.email`), `*` for any member or element
//! (`cards.*.number`), a backslash before a character without meaning (`a\.b`). Where several lead to one value the
//! strongest counts: remove, then mask, then hash. A field is found however its name is escaped, and each time if
//! its name is there twice. What is not redacted keeps its bytes, blanks too; a record without such a field is kept
//! as it is. Keys and headers are not looked at.
//!
//! The hash is HMAC-SHA-256 under the salt, cut to 16 bytes, of a string's characters or of another value's text.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use weir_plugin::{Context, Edits, Error, ProducedBatch, ProducerInterceptor, Result, Want};
use weir_plugin_json::{Found, Paths, quote, scan, unquote};

const NOT_JSON: u32 = 1;
const SALT_BYTES_MIN: usize = 16;
const HASH_BYTES: usize = 16;

/// The interceptor.
pub struct Redact {
    /// Those to remove, then those to mask, then those to hash.
    paths: Paths,
    /// The index of the first path to mask, and of the first to hash.
    first_to_mask: usize,
    first_to_hash: usize,
    /// What a masked value becomes, as JSON.
    mask: String,
    hash: Option<Hmac<Sha256>>,
    on_invalid: OnInvalid,
    /// What changes in one value; kept for its memory.
    cuts: Vec<Cut>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnInvalid {
    Reject,
    Drop,
    Keep,
}

/// A part of a value, and what takes its place.
struct Cut {
    from: usize,
    to: usize,
    put: Put,
}

#[derive(Clone, Copy)]
enum Put {
    Nothing,
    Mask,
    Hash,
}

impl ProducerInterceptor for Redact {
    fn configure(context: &Context) -> Result<Redact> {
        let options = &context.options;
        options.allow(&["remove", "mask", "hash", "mask-with", "salt", "on-invalid"])?;
        let mut paths = Paths::parse("remove", options.list("remove"))?;
        let first_to_mask = paths.len();
        let first_to_hash = paths.add("mask", options.list("mask"))?;
        if paths.add("hash", options.list("hash"))? == 0 {
            return Err(Error::new("there is nothing to redact: give fields in option remove, mask or hash"));
        }
        let hash = if paths.len() > first_to_hash { Some(hasher(options.required("salt")?)?) } else { None };
        Ok(Redact {
            paths,
            first_to_mask,
            first_to_hash,
            mask: quote(options.get("mask-with").unwrap_or("***")),
            hash,
            on_invalid: match options.choice("on-invalid", &["reject", "drop", "keep"])? {
                "drop" => OnInvalid::Drop,
                "keep" => OnInvalid::Keep,
                _ => OnInvalid::Reject,
            },
            cuts: Vec::new(),
        })
    }

    fn wants(&self) -> &'static [Want] {
        &[Want::InParts]
    }

    fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
        let mut cuts = std::mem::take(&mut self.cuts);
        for record in batch.records() {
            let Some(value) = record.value else { continue };
            cuts.clear();
            match scan(value, &self.paths, |found| self.cut(&found, &mut cuts)) {
                Ok(()) if cuts.is_empty() => {}
                Ok(()) => edits.set_value_with(record.index, |out| self.write(value, &cuts, out)),
                Err(malformed) => match self.on_invalid {
                    OnInvalid::Reject => {
                        edits.reject(record.index, NOT_JSON, format!("not JSON: {malformed}"))
                    }
                    OnInvalid::Drop => edits.drop(record.index),
                    OnInvalid::Keep => {}
                },
            }
        }
        self.cuts = cuts;
        Ok(())
    }
}

fn hasher(salt: &str) -> Result<Hmac<Sha256>> {
    if salt.len() < SALT_BYTES_MIN {
        return Err(Error::new(format!("option salt has {} bytes: at least {SALT_BYTES_MIN}", salt.len())));
    }
    Hmac::new_from_slice(salt.as_bytes()).map_err(|error| Error::new(format!("option salt: {error}")))
}

impl Redact {
    /// Notes what happens to a value that was found. Values within it came before, and go with it.
    fn cut(&self, found: &Found, cuts: &mut Vec<Cut>) {
        let strongest = found.paths.trailing_zeros() as usize;
        let (from, put) = if strongest < self.first_to_mask {
            (found.behind, Put::Nothing)
        } else if strongest < self.first_to_hash {
            (found.value.start, Put::Mask)
        } else {
            (found.value.start, Put::Hash)
        };
        while cuts.pop_if(|within| within.from >= from).is_some() {}
        cuts.push(Cut { from, to: found.value.end, put });
    }

    fn write(&self, value: &[u8], cuts: &[Cut], out: &mut Vec<u8>) {
        let mut at = 0;
        for cut in cuts {
            // Nothing, where the comma before the cut went with what stood before that.
            out.extend_from_slice(value.get(at..cut.from).unwrap_or_default());
            at = cut.to;
            match cut.put {
                Put::Nothing => at += comma_of_next(out, &value[at..]),
                Put::Mask => out.extend_from_slice(self.mask.as_bytes()),
                Put::Hash => self.write_hash(&value[cut.from..cut.to], out),
            }
        }
        out.extend_from_slice(&value[at..]);
    }

    fn write_hash(&self, value: &[u8], out: &mut Vec<u8>) {
        let mut hash = self.hash.clone().expect("there are paths to hash only if there is a salt");
        match value.strip_prefix(b"\"").and_then(|inside| inside.strip_suffix(b"\"")) {
            Some(inside) => hash.update(&unquote(inside)),
            None => hash.update(value),
        }
        out.push(b'"');
        for byte in &hash.finalize().into_bytes()[..HASH_BYTES] {
            out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        out.push(b'"');
    }
}

/// How far the comma behind a removed member or element reaches, if nothing is left that it could stand behind.
fn comma_of_next(out: &[u8], rest: &[u8]) -> usize {
    let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let is_first = matches!(out.last(), Some(b'{' | b'['));
    if is_first && rest.get(blanks) == Some(&b',') { blanks + 1 } else { 0 }
}

weir_plugin::export!(Redact as producer_interceptor);
