//! Keeps every record: what the way through a flat plugin costs.

use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result, Want};

/// The interceptor.
pub struct Pass;

impl ProducerInterceptor for Pass {
    fn configure(_: &Context) -> Result<Pass> {
        Ok(Pass)
    }

    fn wants(&self) -> &'static [Want] {
        &[Want::InParts]
    }

    fn on_send(&mut self, _: &ProducedBatch<'_>, _: &mut Edits) -> Result<()> {
        Ok(())
    }
}

weir_plugin::export!(Pass as producer_interceptor);
