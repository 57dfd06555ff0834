//! A producer interceptor that does what its option `mode` says; none of it is good. `tests/guests/src/lib.rs` says
//! what each is for.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/producer-interceptor-flat" });
}

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use bindings::exports::weir::plugin::producer_hooks_flat::{
    Context, FlatAnswer, Guest, Outcome, OutcomeRun, ProducedBatch,
};
use bindings::weir::plugin::flat::{Edit, EditAction};
use bindings::weir::plugin::types::{AppendedHeader, HeaderValue, Rejection};
use bindings::weir::plugin::{log, metrics};

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
    static ANSWER_BYTES_MAX: Cell<u32> = const { Cell::new(0) };
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Hostile;

impl Guest for Hostile {
    fn configure(context: Context) -> Result<Vec<String>, String> {
        let mode = context.options.iter().find(|(name, _)| name == "mode");
        let mode = mode.map_or_else(String::new, |(_, mode)| mode.clone());
        ANSWER_BYTES_MAX.set(context.answer_bytes_max);
        match mode.as_str() {
            "configure-traps" => trap(),
            "configure-loops" => spin(),
            "configure-grows" => grow(),
            "configure-errs" => return Err("option mode: it is wrong whatever it is".to_owned()),
            "configure-is-slow" => rounds(500_000_000),
            _ => {}
        }
        let mut wants = vec!["acknowledgements", "close", "telepathy"];
        if mode == "appends-by-part" {
            wants.push("in-parts");
        }
        MODE.set(mode);
        Ok(wants.into_iter().map(str::to_owned).collect())
    }

    fn on_send(batch: ProducedBatch, records: Vec<u8>) -> Result<FlatAnswer, String> {
        CALLS.set(CALLS.get() + 1);
        MODE.with_borrow(|mode| match mode.strip_prefix("later-") {
            // Nobody sent it: it is the trial before the activation.
            Some(_) if batch.producer_id.is_none() => Ok(nothing()),
            Some(later) => on_send(later, batch.count, records),
            None => on_send(mode, batch.count, records),
        })
    }

    fn on_acknowledgement(batch: ProducedBatch, outcomes: Vec<Outcome>, runs: Vec<OutcomeRun>) {
        match is_mode() {
            Some("acknowledgement-tells") => {
                let runs: Vec<_> = runs.iter().map(|run| (run.records, run.outcome)).collect();
                let told = format!("batch {} of {}: {outcomes:?}, runs {runs:?}", batch.ordinal, batch.count);
                log::write(log::Level::Info, &told);
            }
            Some("acknowledgement-traps") => trap(),
            Some("acknowledgement-loops") => spin(),
            _ => {}
        }
    }

    fn close() {
        match is_mode() {
            Some("close-traps") => trap(),
            Some("close-loops") => spin(),
            _ => {}
        }
    }
}

/// The mode, if it is one of an observer.
fn is_mode() -> Option<&'static str> {
    const MODES: [&str; 5] = [
        "acknowledgement-traps",
        "acknowledgement-loops",
        "acknowledgement-tells",
        "close-traps",
        "close-loops",
    ];
    MODE.with_borrow(|mode| MODES.into_iter().find(|known| known == mode))
}

fn on_send(mode: &str, count: u32, records: Vec<u8>) -> Result<FlatAnswer, String> {
    let mut answer = nothing();
    let edit = |index, action, argument| Edit { index, action, argument };
    match mode {
        "loops" => spin(),
        "recurses" => drop(deeper(0)),
        "traps" => trap(),
        "errs" => return Err("this batch is beyond me".to_owned()),
        // Past any limit of memory; what cannot be had is a trap.
        "grows" => grow(),
        // Memory that stays in use after the call.
        "leaks" => std::mem::forget(black_box(vec![1_u8; 64 << 10])),
        // More in one answer than the binding allows.
        "answers-too-much" => {
            answer.bytes = vec![b'x'; ANSWER_BYTES_MAX.get() as usize + 1];
            answer.edits.push(edit(0, EditAction::SetValue, ANSWER_BYTES_MAX.get() + 1));
        }
        // So much that it is not even read.
        "answers-far-too-much" => {
            answer.bytes = vec![b'x'; 3 * ANSWER_BYTES_MAX.get() as usize];
            answer.edits.push(edit(0, EditAction::SetValue, 3 * ANSWER_BYTES_MAX.get()));
        }
        "claims-too-much" => answer.edits.push(edit(0, EditAction::SetValue, 100)),
        "leaves-bytes" => {
            answer.bytes = b"nobody's".to_vec();
            answer.edits.push(edit(0, EditAction::SetValue, 1));
        }
        "edits-beyond" => answer.edits.push(edit(count, EditAction::Drop, 0)),
        "edits-backwards" => {
            answer.edits = vec![edit(1, EditAction::Drop, 0), edit(0, EditAction::Drop, 0)];
        }
        "edits-twice" => answer.edits = vec![edit(0, EditAction::Drop, 0); 2],
        "rejects-for-nothing" => answer.edits.push(edit(0, EditAction::Reject, 7)),
        "replaces-by-noise" => {
            answer.bytes = vec![0xff; 16];
            answer.edits.push(edit(0, EditAction::Replace, 16));
        }
        // Null key, null value, one header whose name is the byte ff.
        "names-a-header-ff" => {
            answer.bytes = vec![1, 1, 2, 2, 0xff, 1];
            answer.edits.push(edit(0, EditAction::Replace, 6));
        }
        "reason-is-not-utf8" => {
            answer.rejections.push(Rejection { code: 1, reason: not_utf8() });
            answer.edits.push(edit(0, EditAction::Reject, 0));
        }
        "reason-is-long" => {
            answer.rejections.push(Rejection { code: 1, reason: "\u{e9}".repeat(5_000) });
            answer.edits.push(edit(0, EditAction::Reject, 0));
        }
        "knows-no-such-fact" => answer
            .append_headers
            .push(AppendedHeader { name: "who".to_owned(), value: HeaderValue::Fact("password".to_owned()) }),
        "appends-by-part" => {
            let value = HeaderValue::Bytes(count.to_string().into_bytes());
            answer.append_headers.push(AppendedHeader { name: "shown".to_owned(), value });
        }
        // Drops the first record at every second call of this instance.
        "changes-its-mind" => {
            if CALLS.get() % 2 == 0 {
                answer.edits.push(edit(0, EditAction::Drop, 0));
            }
        }
        "floods-the-log" => {
            for line in 0..100_000 {
                log::write(log::Level::Error, &format!("line {line}"));
            }
            log::write(log::Level::Error, &"long".repeat(1 << 18));
        }
        "floods-metrics" => {
            for name in 0..1_000 {
                metrics::count(&format!("name_{name}"), u64::MAX);
                metrics::observe("Not a name!", f64::NAN);
            }
        }
        _ => drop(black_box(records)),
    }
    Ok(answer)
}

fn nothing() -> FlatAnswer {
    FlatAnswer { edits: Vec::new(), bytes: Vec::new(), rejections: Vec::new(), append_headers: Vec::new() }
}

fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

fn grow() -> ! {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1 << 20]);
        black_box(&all);
    }
}

fn rounds(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth + 1)) + 1)
}

#[expect(unsafe_code, reason = "no safe code makes a text that is none")]
fn not_utf8() -> String {
    // SAFETY: none; nothing looks at the text before it leaves the guest.
    unsafe { String::from_utf8_unchecked(vec![b'o', 0xff, b'o']) }
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
