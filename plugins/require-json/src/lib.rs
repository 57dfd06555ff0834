//! `require-json`: lets only well-formed JSON into a topic, and only with the fields that it needs.
//!
//! A value must be one JSON text (RFC 8259, UTF-8, at most 128 values in each other), to the last byte. A field counts as
//! there whatever its value, `null` too. The producer is told what is wrong and where:
//!
//! | code | reason |
//! |---|---|
//! | 1 | `not JSON: no comma between members at byte 14` |
//! | 2 | `field mag is missing` |
//! | 3 | `the value is null` |
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `required` | none | paths of fields between commas, as `id,user.email` |
//! | `null-values` | `keep` | `keep` or `reject` records without a value: tombstones, where a topic is compacted |
//!
//! A path is names between dots, `*` for any member or element, a backslash before a character without meaning.

use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result, Want};
use weir_plugin_json::{Paths, scan};

const NOT_JSON: u32 = 1;
const FIELD_MISSING: u32 = 2;
const NULL_VALUE: u32 = 3;

/// The interceptor.
pub struct RequireJson {
    required: Paths,
    /// The required fields as the operator wrote them, for reasons.
    names: Vec<String>,
    takes_null: bool,
}

impl ProducerInterceptor for RequireJson {
    fn configure(context: &Context) -> Result<RequireJson> {
        let options = &context.options;
        options.allow(&["required", "null-values"])?;
        let names = options.list("required");
        Ok(RequireJson {
            required: Paths::parse("required", names.iter().copied())?,
            names: names.into_iter().map(str::to_owned).collect(),
            takes_null: options.choice("null-values", &["keep", "reject"])? == "keep",
        })
    }

    fn wants(&self) -> &'static [Want] {
        &[Want::InParts]
    }

    fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
        for record in batch.records() {
            match record.value {
                None if self.takes_null => {}
                None => edits.reject(record.index, NULL_VALUE, "the value is null"),
                Some(value) => {
                    if let Err((code, reason)) = self.check(value) {
                        edits.reject(record.index, code, reason);
                    }
                }
            }
        }
        Ok(())
    }
}

impl RequireJson {
    fn check(&self, value: &[u8]) -> std::result::Result<(), (u32, String)> {
        let mut there = 0;
        scan(value, &self.required, |found| there |= found.paths)
            .map_err(|malformed| (NOT_JSON, format!("not JSON: {malformed}")))?;
        let missing = self.names.iter().enumerate().find(|(path, _)| (there >> path) & 1 == 0);
        missing.map_or(Ok(()), |(_, name)| Err((FIELD_MISSING, format!("field {name} is missing"))))
    }
}

weir_plugin::export!(RequireJson as producer_interceptor);
