//! Keeps every record: what the way through a flat plugin costs.

use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result};

/// The interceptor.
pub struct Pass;

impl ProducerInterceptor for Pass {
    fn configure(_: &Context) -> Result<Pass> {
        Ok(Pass)
    }

    fn on_send(&mut self, _: &ProducedBatch<'_>, _: &mut Edits) -> Result<()> {
        Ok(())
    }
}

weir_plugin::export!(Pass as producer_interceptor);
