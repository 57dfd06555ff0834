//! Rejects records whose value is too long, and drops those that a test left behind.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `bytes` | 10000 | the most bytes that a value has |

use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result};

/// For the producer's programs: what is wrong with the record.
const TOO_LONG: u32 = 1;

/// The interceptor.
pub struct Plugin {
    bytes_max: usize,
}

impl ProducerInterceptor for Plugin {
    fn configure(context: &Context) -> Result<Plugin> {
        context.options.allow(&["bytes"])?;
        Ok(Plugin { bytes_max: context.options.parse("bytes", 10_000)? })
    }

    fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
        for record in batch.records() {
            if record.headers.last("test").is_some() {
                edits.drop(record.index);
            } else if record.value.is_some_and(|value| value.len() > self.bytes_max) {
                let reason = format!("a value has at most {} bytes", self.bytes_max);
                edits.reject(record.index, TOO_LONG, reason);
            }
        }
        Ok(())
    }
}

weir_plugin::export!(Plugin as producer_interceptor);

#[cfg(test)]
mod tests {
    use weir_plugin::testing::{Binding, Fate, TestRecord};

    use super::*;

    #[test]
    fn long_values_are_rejected_and_tests_dropped() {
        let binding = Binding::of(&[("bytes", "3")]);
        let records = [
            TestRecord::of("k", "abc"),
            TestRecord::of("k", "abcd"),
            TestRecord::of("k", "abc").header("test", "1"),
        ];
        let fates = binding.send::<Plugin>(&records).unwrap();
        assert_eq!(fates[0], Fate::Kept);
        assert_eq!(fates[1], Fate::rejected(TOO_LONG, "a value has at most 3 bytes"));
        assert_eq!(fates[2], Fate::Dropped);
    }

    #[test]
    fn a_misspelt_option_is_refused() {
        let said = Binding::of(&[("byte", "3")]).send::<Plugin>(&[TestRecord::of("k", "v")]).unwrap_err();
        assert_eq!(said.to_string(), "there is no option byte: there are bytes");
    }
}
