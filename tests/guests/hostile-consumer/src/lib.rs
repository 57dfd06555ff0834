//! A consumer interceptor that does what its option `mode` says.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/consumer-interceptor-flat" });
}

use std::cell::RefCell;

use bindings::exports::weir::plugin::consumer_hooks_flat::{
    Context, FetchedBatch, FlatAnswer, Guest, Position,
};
use bindings::weir::plugin::flat::{Edit, EditAction};
use bindings::weir::plugin::types::{AppendedHeader, HeaderValue, Rejection};

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Hostile;

impl Guest for Hostile {
    fn configure(context: Context) -> Result<Vec<String>, String> {
        let mode = context.options.iter().find(|(name, _)| name == "mode");
        MODE.set(mode.map_or_else(String::new, |(_, mode)| mode.clone()));
        Ok(vec!["commits".to_owned()])
    }

    fn on_consume(batch: FetchedBatch, _: Vec<u8>) -> Result<FlatAnswer, String> {
        let mut answer = FlatAnswer {
            edits: Vec::new(),
            bytes: Vec::new(),
            rejections: Vec::new(),
            append_headers: Vec::new(),
        };
        let edit = |index, action| Edit { index, action, argument: 0 };
        match MODE.with_borrow(String::clone).as_str() {
            "traps" => core::arch::wasm32::unreachable(),
            "errs" => return Err("this batch is beyond me".to_owned()),
            "is-slow" => (0..100_000_000_u64).for_each(|round| drop(std::hint::black_box(round))),
            "loops" => loop {
                std::hint::black_box(());
            },
            "drops-all" => answer.edits = (0..batch.count).map(|at| edit(at, EditAction::Drop)).collect(),
            "empties-all" => {
                answer.edits = (0..batch.count).map(|at| edit(at, EditAction::SetValueNull)).collect();
            }
            "rejects" => {
                answer.rejections.push(Rejection { code: 1, reason: "not to be read".to_owned() });
                answer.edits.push(edit(0, EditAction::Reject));
            }
            "asks-for-the-principal" => answer.append_headers.push(AppendedHeader {
                name: "who".to_owned(),
                value: HeaderValue::Fact("principal".to_owned()),
            }),
            _ => {}
        }
        Ok(answer)
    }

    fn on_commit(_: String, _: Vec<Position>) {
        if MODE.with_borrow(|mode| mode == "commit-traps") {
            core::arch::wasm32::unreachable();
        }
    }

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
