//! A partitioner that does what its option `mode` says.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/partitioner-flat" });
}

use std::cell::{Cell, RefCell};

use bindings::exports::weir::plugin::partitioner_hooks_flat::{Context, Guest, ProducedBatch};

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
    static PARTITIONS: Cell<u32> = const { Cell::new(1) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

struct Hostile;

impl Guest for Hostile {
    fn configure(context: Context) -> Result<Vec<String>, String> {
        let mode = context.options.iter().find(|(name, _)| name == "mode");
        MODE.set(mode.map_or_else(String::new, |(_, mode)| mode.clone()));
        PARTITIONS.set(context.partitions);
        Ok(Vec::new())
    }

    fn partition(_: ProducedBatch, _: Vec<u8>, lengths: Vec<i32>) -> Result<Vec<u32>, String> {
        let calls = CALLS.get();
        CALLS.set(calls + 1);
        let all_in = |partition| vec![partition; lengths.len()];
        Ok(match MODE.with_borrow(String::clone).as_str() {
            "traps" => core::arch::wasm32::unreachable(),
            "errs" => return Err("these keys are beyond me".to_owned()),
            "out-of-range" => all_in(PARTITIONS.get()),
            "too-few" => all_in(0)[1..].to_vec(),
            "too-many" => [all_in(0), vec![0]].concat(),
            // Goes by how often this instance was asked.
            "counts" => all_in(calls % PARTITIONS.get()),
            _ => all_in(0),
        })
    }

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
