//! Hands out records without their value to those who may only see that something happened.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `show-keys` | `yes` | `yes`, or `no`: records without a value are then left out |

use weir_plugin::{ConsumerInterceptor, Context, Edits, FetchedBatch, Result};

/// The interceptor.
pub struct Plugin {
    shows_keys: bool,
}

impl ConsumerInterceptor for Plugin {
    fn configure(context: &Context) -> Result<Plugin> {
        context.options.allow(&["show-keys"])?;
        Ok(Plugin { shows_keys: context.options.choice("show-keys", &["yes", "no"])? == "yes" })
    }

    fn on_consume(&mut self, batch: &FetchedBatch<'_>, edits: &mut Edits) -> Result<()> {
        for record in batch.records() {
            if self.shows_keys {
                edits.set_value_null(record.index);
            } else {
                edits.drop(record.index);
            }
        }
        Ok(())
    }
}

weir_plugin::export!(Plugin as consumer_interceptor);

#[cfg(test)]
mod tests {
    use weir_plugin::testing::{Binding, Fate, TestRecord};

    use super::*;

    #[test]
    fn values_stay_in_the_log() {
        let record = TestRecord::of("k", "v");
        let seen = Binding::default().consume::<Plugin>(std::slice::from_ref(&record)).unwrap();
        assert_eq!(seen, [Fate::Changed(record.clone().tombstone())]);
        let seen = Binding::of(&[("show-keys", "no")]).consume::<Plugin>(&[record]).unwrap();
        assert_eq!(seen, [Fate::Dropped]);
    }
}
