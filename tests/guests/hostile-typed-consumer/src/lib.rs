//! A typed consumer interceptor that does what its option `mode` says.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/consumer-interceptor" });
}

use std::cell::RefCell;

use bindings::exports::weir::plugin::consumer_hooks::{
    Action, Answer, Change, Context, FetchedBatch, Guest, Position, StoredRecord,
};

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Hostile;

impl Guest for Hostile {
    fn configure(context: Context) -> Result<Vec<String>, String> {
        let mode = context.options.iter().find(|(name, _)| name == "mode");
        MODE.set(mode.map_or_else(String::new, |(_, mode)| mode.clone()));
        Ok(Vec::new())
    }

    fn on_consume(_: FetchedBatch, records: Vec<StoredRecord>) -> Result<Answer, String> {
        let changes = match MODE.with_borrow(String::clone).as_str() {
            "typed-consumer-edits-beyond" => {
                let index = u32::try_from(records.len()).unwrap_or(u32::MAX);
                vec![Change { index, action: Action::Drop }]
            }
            _ => Vec::new(),
        };
        Ok(Answer { changes, append_headers: Vec::new() })
    }

    fn on_commit(_: String, _: Vec<Position>) {}

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
