//! A typed producer interceptor that does what its option `mode` says.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/producer-interceptor" });
}

use std::cell::{Cell, RefCell};

use bindings::exports::weir::plugin::producer_hooks::{
    Action, Answer, Change, Context, Guest, Outcome, OutcomeRun, ProducedBatch, Record,
};

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
    static ANSWER_BYTES_MAX: Cell<u32> = const { Cell::new(0) };
}

struct Hostile;

impl Guest for Hostile {
    fn configure(context: Context) -> Result<Vec<String>, String> {
        let mode = context.options.iter().find(|(name, _)| name == "mode");
        MODE.set(mode.map_or_else(String::new, |(_, mode)| mode.clone()));
        ANSWER_BYTES_MAX.set(context.answer_bytes_max);
        Ok(Vec::new())
    }

    fn on_send(_: ProducedBatch, records: Vec<Record>) -> Result<Answer, String> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let change = |index, action| Change { index, action };
        let all_of = |bytes| Action::SetValue(Some(vec![b'x'; bytes]));
        let allowed = ANSWER_BYTES_MAX.get() as usize;
        let changes = match MODE.with_borrow(String::clone).as_str() {
            "typed-edits-beyond" => vec![change(count, Action::Drop)],
            "typed-edits-twice" => vec![change(0, Action::Drop), change(0, Action::Drop)],
            "typed-answers-too-much" => vec![change(0, all_of(allowed + 1))],
            "typed-answers-far-too-much" => vec![change(0, all_of(3 * allowed))],
            _ => Vec::new(),
        };
        Ok(Answer { changes, append_headers: Vec::new() })
    }

    fn on_acknowledgement(_: ProducedBatch, _: Vec<Outcome>, _: Vec<OutcomeRun>) {}

    fn close() {}
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
