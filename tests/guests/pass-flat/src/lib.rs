//! Keeps every record: what the way through a flat plugin costs.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/producer-interceptor-flat" });
}

use bindings::exports::weir::plugin::producer_hooks_flat::{
    Context, FlatAnswer, Guest, Outcome, OutcomeRun, ProducedBatch,
};

struct Pass;

impl Guest for Pass {
    fn configure(_: Context) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn on_send(_: ProducedBatch, _: Vec<u8>) -> Result<FlatAnswer, String> {
        Ok(FlatAnswer {
            edits: Vec::new(),
            bytes: Vec::new(),
            rejections: Vec::new(),
            append_headers: Vec::new(),
        })
    }

    fn on_acknowledgement(_: ProducedBatch, _: Vec<Outcome>, _: Vec<OutcomeRun>) {}

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Pass with_types_in bindings);
};
