//! A typed partitioner that does what its option `mode` says.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/partitioner" });
}

use std::cell::RefCell;

use bindings::exports::weir::plugin::partitioner_hooks::{Context, Guest, ProducedBatch};

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

    fn partition(_: ProducedBatch, keys: Vec<Option<Vec<u8>>>) -> Result<Vec<u32>, String> {
        let answered = match MODE.with_borrow(String::clone).as_str() {
            "typed-too-few" => keys.len() - 1,
            "typed-too-many" => keys.len() + 1,
            _ => keys.len(),
        };
        Ok(vec![0; answered])
    }

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
