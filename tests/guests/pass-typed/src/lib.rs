//! Keeps every record: what the way through a typed plugin costs.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/producer-interceptor" });
}

use bindings::exports::weir::plugin::producer_hooks::{
    Answer, Context, Guest, Outcome, OutcomeRun, ProducedBatch, Record,
};

struct Pass;

impl Guest for Pass {
    fn configure(_: Context) -> Result<Vec<String>, String> {
        Ok(vec!["in-parts".to_owned()])
    }

    fn on_send(_: ProducedBatch, _: Vec<Record>) -> Result<Answer, String> {
        Ok(Answer { changes: Vec::new(), append_headers: Vec::new() })
    }

    fn on_acknowledgement(_: ProducedBatch, _: Vec<Outcome>, _: Vec<OutcomeRun>) {}

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Pass with_types_in bindings);
};
