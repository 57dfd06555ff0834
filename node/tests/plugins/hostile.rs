//! Every hostile guest has a test of its name: what it is told, or what its users are told, and that nothing of it
//! stays behind. A guest without a test does not compile.

use std::time::Duration;

use expect_test::{Expect, expect};
use weir_core::pipeline::assignment::{Member, Topic};
use weir_guests::Guest;
use weir_node::plugins::{BatchContext, BindingConfig, Grants, Kind, Pipeline, Plugins, Purpose};
use weir_wire::batch::Compression;
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex};

use crate::observing::{
    loops_in_close, loops_in_on_acknowledgement, tells_what_became, traps_in_close,
    traps_in_on_acknowledgement, traps_in_on_commit,
};
use crate::support::{
    alone, batch, binding, contents, context, described, host, load, pipeline, reopen, run,
};

mod listed {
    #![allow(unused_imports, reason = "an import that does not resolve is what this is for")]
    macro_rules! assert_test_exists {
        ($name:ident) => {
            use super::$name as _;
        };
    }
    weir_guests::for_each_guest!(assert_test_exists);
}

/// Three records through a guest: first sent, sent again, and a second batch.
async fn told(name: &str, change: impl FnOnce(&mut BindingConfig)) -> String {
    let plugins = host();
    let guest = Guest::named(name);
    let loaded = match load(&plugins, guest.component()).await {
        Ok(loaded) => loaded,
        Err(error) => return format!("push: {error}"),
    };
    let mut config = binding(&loaded, name, &guest.options());
    change(&mut config);
    if loaded.kind() == Kind::Assignor {
        return assigned(&plugins, config).await;
    }
    let kind = loaded.kind();
    let staged = pipeline(&plugins, alone(config.clone())).await;
    let mut lines = vec![match staged {
        Ok(_) => "staged".to_owned(),
        Err(failure) => format!("not staged: {failure}"),
    }];
    // Staged or not: a plugin may begin to fail later.
    let pipeline = reopen(&plugins, alone(config)).await;
    lines.extend(match kind {
        Kind::ConsumerInterceptor => fetched(&pipeline).await,
        _ => produced(&pipeline).await,
    });
    lines.push(figures(&pipeline));
    lines.join("\n")
}

async fn produced(pipeline: &Pipeline) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, context) in [
        ("first sent", context()),
        ("sent again", BatchContext { resent: true, ..context() }),
        ("the next one", BatchContext { ordinal: 6, ..context() }),
    ] {
        let processed = described(&run(pipeline, &["a", "b", "c"], &context).await);
        lines.push(format!("{what}: {}", processed.replace('\n', "\n    ")));
    }
    lines
}

pub(crate) async fn fetched(pipeline: &Pipeline) -> Vec<String> {
    let (bytes, _) = batch(&["a", "b", "c"], Compression::None);
    let mut stored = bytes::BytesMut::from(bytes);
    weir_wire::batch::stamp(&mut stored, Offset(1000), LeaderEpoch(7));
    let got = pipeline.fetch(stored.freeze(), PartitionIndex(1), weir_wire::batch::Limits::default()).await;
    vec![match got {
        Ok(bytes) => {
            let header = weir_wire::batch::BatchHeader::parse(&bytes).unwrap();
            format!("fetched: {} up to delta {}", contents(&bytes), header.last_offset_delta)
        }
        Err(error) => format!("not fetched: {error}"),
    }]
}

pub(crate) async fn assigned(plugins: &Plugins, config: BindingConfig) -> String {
    let assignor = match plugins.assignor(config, "readers").await {
        Ok(assignor) => assignor,
        Err(failure) => return format!("bind: {failure}"),
    };
    let topic = |name: &str| Topic { name: name.to_owned(), partitions: 2, racks: Vec::new() };
    let member = |name: &str, topics: &[u32]| Member {
        member_id: name.to_owned(),
        instance_id: None,
        rack: None,
        topics: topics.to_vec(),
        owned: Vec::new(),
    };
    let members = [member("m0", &[0]), member("m1", &[0, 1])];
    match assignor.assign(&members, &[topic("a"), topic("b")]).await {
        Ok(assignment) => format!("assigned: {assignment:?}"),
        Err(failure) => format!("falls back: {failure}"),
    }
}

fn figures(pipeline: &Pipeline) -> String {
    let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
    format!(
        "calls {}, kept {}, dropped {}, rejected {}, failures {:?}",
        figures.calls, figures.kept, figures.dropped, figures.rejected, figures.failures
    )
}

async fn check(name: &str, expected: &Expect) {
    expected.assert_eq(&told(name, |_| {}).await);
}

macro_rules! guests {
    ($($name:ident: $expected:expr;)+) => { $(
        #[tokio::test]
        async fn $name() {
            check(stringify!($name), &$expected).await;
        }
    )+ };
}

guests! {
    loops: expect![[r#"
        not staged: plugin 'loops@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows
        first sent: 3 rejected: plugin 'loops@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'loops@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'loops@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("time", 3)]"#]];
    traps_after_its_trial: expect![[r#"
        staged
        first sent: 3 rejected: plugin 'traps_after_its_trial@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        sent again: retry: plugin 'traps_after_its_trial@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'traps_after_its_trial@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("trap", 3)]"#]];
    loops_after_its_trial: expect![[r#"
        staged
        first sent: 3 rejected: plugin 'loops_after_its_trial@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'loops_after_its_trial@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'loops_after_its_trial@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("time", 3)]"#]];
    grows_after_its_trial: expect![[r#"
        staged
        first sent: 3 rejected: plugin 'grows_after_its_trial@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        sent again: retry: plugin 'grows_after_its_trial@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'grows_after_its_trial@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("memory", 3)]"#]];
    recurses: expect![[r#"
        not staged: plugin 'recurses@1' failed in 'on-send': its calls went deeper than its 262144 bytes of stack
        first sent: 3 rejected: plugin 'recurses@1' failed in 'on-send': its calls went deeper than its 262144 bytes of stack (PLUGIN_FAILED)
        sent again: retry: plugin 'recurses@1' failed in 'on-send': its calls went deeper than its 262144 bytes of stack (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'recurses@1' failed in 'on-send': its calls went deeper than its 262144 bytes of stack (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("stack", 3)]"#]];
    grows: expect![[r#"
        not staged: plugin 'grows@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608
        first sent: 3 rejected: plugin 'grows@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        sent again: retry: plugin 'grows@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'grows@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("memory", 3)]"#]];
    traps_in_on_send: expect![[r#"
        not staged: plugin 'traps_in_on_send@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed
        first sent: 3 rejected: plugin 'traps_in_on_send@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        sent again: retry: plugin 'traps_in_on_send@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'traps_in_on_send@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("trap", 3)]"#]];
    errs_in_on_send: expect![[r#"
        staged
        first sent: 3 rejected: plugin 'errs_in_on_send@1' failed in 'on-send': this batch is beyond me (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'errs_in_on_send@1' failed in 'on-send': this batch is beyond me (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'errs_in_on_send@1' failed in 'on-send': this batch is beyond me (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("refused", 3)]"#]];
    traps_in_configure: expect![[r#"
        not staged: plugin 'traps_in_configure@1' failed in 'configure': it trapped: wasm trap: wasm `unreachable` instruction executed
        first sent: 3 rejected: plugin 'traps_in_configure@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        sent again: retry: plugin 'traps_in_configure@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'traps_in_configure@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("trap", 3)]"#]];
    loops_in_configure: expect![[r#"
        not staged: plugin 'loops_in_configure@1' failed in 'configure': it ran longer than the limit call.time.ms, 50 ms, allows
        first sent: 3 rejected: plugin 'loops_in_configure@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'loops_in_configure@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'loops_in_configure@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("time", 3)]"#]];
    errs_in_configure: expect![[r#"
        not staged: plugin 'errs_in_configure@1' failed in 'configure': option mode: it is wrong whatever it is
        first sent: 3 rejected: plugin 'errs_in_configure@1' failed in 'on-send': option mode: it is wrong whatever it is (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'errs_in_configure@1' failed in 'on-send': option mode: it is wrong whatever it is (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'errs_in_configure@1' failed in 'on-send': option mode: it is wrong whatever it is (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("refused", 3)]"#]];
    answers_far_too_much: expect![[r#"
        not staged: plugin 'answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows
        first sent: 3 rejected: plugin 'answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("output", 3)]"#]];
    grows_in_configure: expect![[r#"
        not staged: plugin 'grows_in_configure@1' failed in 'configure': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608
        first sent: 3 rejected: plugin 'grows_in_configure@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        sent again: retry: plugin 'grows_in_configure@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'grows_in_configure@1' failed in 'on-send': it wanted 8978432 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("memory", 3)]"#]];
    loops_in_on_consume: expect![[r#"
        not staged: plugin 'loops_in_on_consume@1' failed in 'on-consume': it ran longer than the limit call.time.ms, 50 ms, allows
        not fetched: plugin 'loops_in_on_consume@1' failed in 'on-consume': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED)
        calls 1, kept 0, dropped 0, rejected 0, failures [("time", 1)]"#]];
    typed_edits_beyond: expect![[r#"
        not staged: plugin 'typed_edits_beyond@1' failed in 'on-send': the answer is wrong: record 1 is edited, but the batch has records 0 to 0
        first sent: 3 rejected: plugin 'typed_edits_beyond@1' failed in 'on-send': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'typed_edits_beyond@1' failed in 'on-send': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'typed_edits_beyond@1' failed in 'on-send': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    typed_edits_beyond_in_on_consume: expect![[r#"
        not staged: plugin 'typed_edits_beyond_in_on_consume@1' failed in 'on-consume': the answer is wrong: record 1 is edited, but the batch has records 0 to 0
        not fetched: plugin 'typed_edits_beyond_in_on_consume@1' failed in 'on-consume': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        calls 1, kept 0, dropped 0, rejected 0, failures [("answer", 1)]"#]];
    typed_edits_twice: expect![[r#"
        not staged: plugin 'typed_edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record
        first sent: 3 rejected: plugin 'typed_edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'typed_edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'typed_edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    typed_answers_too_much: expect![[r#"
        not staged: plugin 'typed_answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows
        first sent: 3 rejected: plugin 'typed_answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'typed_answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'typed_answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("output", 3)]"#]];
    typed_answers_far_too_much: expect![[r#"
        not staged: plugin 'typed_answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows
        first sent: 3 rejected: plugin 'typed_answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'typed_answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'typed_answers_far_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("output", 3)]"#]];
    typed_partitions_too_few: expect![[r#"
        not staged: plugin 'typed_partitions_too_few@1' failed in 'partition': the answer is wrong: 0 partitions were answered for 1 keys
        first sent: 3 rejected: plugin 'typed_partitions_too_few@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 3 keys (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'typed_partitions_too_few@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 3 keys (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'typed_partitions_too_few@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 3 keys (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    typed_partitions_too_many: expect![[r#"
        not staged: plugin 'typed_partitions_too_many@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 1 keys
        first sent: 3 rejected: plugin 'typed_partitions_too_many@1' failed in 'partition': the answer is wrong: 4 partitions were answered for 3 keys (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'typed_partitions_too_many@1' failed in 'partition': the answer is wrong: 4 partitions were answered for 3 keys (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'typed_partitions_too_many@1' failed in 'partition': the answer is wrong: 4 partitions were answered for 3 keys (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    begins_with_a_large_table: expect![[r#"
        not staged: plugin 'begins_with_a_large_table@1' failed in 'configure': it wanted a table of 20000 elements, the limit table.elements is 10000
        first sent: 3 rejected: plugin 'begins_with_a_large_table@1' failed in 'on-send': it wanted a table of 20000 elements, the limit table.elements is 10000 (PLUGIN_FAILED)
        sent again: retry: plugin 'begins_with_a_large_table@1' failed in 'on-send': it wanted a table of 20000 elements, the limit table.elements is 10000 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'begins_with_a_large_table@1' failed in 'on-send': it wanted a table of 20000 elements, the limit table.elements is 10000 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("table", 3)]"#]];
    grows_its_table: expect![[r#"
        not staged: plugin 'grows_its_table@1' failed in 'on-send': it wanted a table of 20001 elements, the limit table.elements is 10000
        first sent: 3 rejected: plugin 'grows_its_table@1' failed in 'on-send': it wanted a table of 20001 elements, the limit table.elements is 10000 (PLUGIN_FAILED)
        sent again: retry: plugin 'grows_its_table@1' failed in 'on-send': it wanted a table of 20001 elements, the limit table.elements is 10000 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'grows_its_table@1' failed in 'on-send': it wanted a table of 20001 elements, the limit table.elements is 10000 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("table", 3)]"#]];
    begins_with_a_large_memory: expect![[r#"
        not staged: plugin 'begins_with_a_large_memory@1' failed in 'configure': it wanted 16777216 bytes of memory, the limit memory.bytes is 8388608
        first sent: 3 rejected: plugin 'begins_with_a_large_memory@1' failed in 'on-send': it wanted 16777216 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        sent again: retry: plugin 'begins_with_a_large_memory@1' failed in 'on-send': it wanted 16777216 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'begins_with_a_large_memory@1' failed in 'on-send': it wanted 16777216 bytes of memory, the limit memory.bytes is 8388608 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("memory", 3)]"#]];
    begins_with_a_huge_memory: expect!["push: the component cannot be compiled: module memory does not fit in pooling allocator requirements: memory index 0 is unsupported in this pooling allocator configuration: memory has a minimum byte size of 536870912 which exceeds the limit of 0x10000000 bytes"];
    traps_at_its_start: expect![[r#"
        not staged: plugin 'traps_at_its_start@1' failed in 'configure': it trapped: wasm trap: wasm `unreachable` instruction executed
        first sent: 3 rejected: plugin 'traps_at_its_start@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        sent again: retry: plugin 'traps_at_its_start@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'traps_at_its_start@1' failed in 'on-send': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("start", 3)]"#]];
    uses_simd: expect!["push: the component cannot be compiled: failed to compile: wasm[0]::function[2]: WebAssembly translation error: Invalid input WebAssembly code at offset 1102: SIMD support is not enabled"];
    uses_threads: expect!["push: the component cannot be compiled: failed to compile: wasm[0]::function[2]: WebAssembly translation error: Invalid input WebAssembly code at offset 1104: threads support is not enabled"];
    uses_memory64: expect!["push: the component cannot be compiled: failed to parse WebAssembly module: memory64 must be enabled for 64-bit tables (at offset 0x354)"];
    has_a_large_function: expect!["push: a function of the component has 1048581 bytes of code, at most 1048576 are allowed; split it"];
    answers_too_much: expect![[r#"
        not staged: plugin 'answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows
        first sent: 3 rejected: plugin 'answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'answers_too_much@1' failed in 'on-send': it handed over more bytes than the limit answer.bytes, 65536, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("output", 3)]"#]];
    claims_too_much: expect![[r#"
        not staged: plugin 'claims_too_much@1' failed in 'on-send': the answer is wrong: the edits up to that of record 0 take 100 bytes, but the answer has 0
        first sent: 3 rejected: plugin 'claims_too_much@1' failed in 'on-send': the answer is wrong: the edits up to that of record 0 take 100 bytes, but the answer has 0 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'claims_too_much@1' failed in 'on-send': the answer is wrong: the edits up to that of record 0 take 100 bytes, but the answer has 0 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'claims_too_much@1' failed in 'on-send': the answer is wrong: the edits up to that of record 0 take 100 bytes, but the answer has 0 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    leaves_bytes: expect![[r#"
        not staged: plugin 'leaves_bytes@1' failed in 'on-send': the answer is wrong: 7 bytes of the answer belong to no edit
        first sent: 3 rejected: plugin 'leaves_bytes@1' failed in 'on-send': the answer is wrong: 7 bytes of the answer belong to no edit (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'leaves_bytes@1' failed in 'on-send': the answer is wrong: 7 bytes of the answer belong to no edit (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'leaves_bytes@1' failed in 'on-send': the answer is wrong: 7 bytes of the answer belong to no edit (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    edits_beyond: expect![[r#"
        not staged: plugin 'edits_beyond@1' failed in 'on-send': the answer is wrong: record 1 is edited, but the batch has records 0 to 0
        first sent: 3 rejected: plugin 'edits_beyond@1' failed in 'on-send': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'edits_beyond@1' failed in 'on-send': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'edits_beyond@1' failed in 'on-send': the answer is wrong: record 3 is edited, but the batch has records 0 to 2 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    edits_backwards: expect![[r#"
        not staged: plugin 'edits_backwards@1' failed in 'on-send': the answer is wrong: record 1 is edited, but the batch has records 0 to 0
        first sent: 3 rejected: plugin 'edits_backwards@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 1; edits come by rising index, one per record (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'edits_backwards@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 1; edits come by rising index, one per record (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'edits_backwards@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 1; edits come by rising index, one per record (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    edits_twice: expect![[r#"
        not staged: plugin 'edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record
        first sent: 3 rejected: plugin 'edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'edits_twice@1' failed in 'on-send': the answer is wrong: the edit of record 0 follows that of record 0; edits come by rising index, one per record (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    rejects_for_nothing: expect![[r#"
        not staged: plugin 'rejects_for_nothing@1' failed in 'on-send': the answer is wrong: record 0 is rejected with rejection 7, but the answer has 0
        first sent: 3 rejected: plugin 'rejects_for_nothing@1' failed in 'on-send': the answer is wrong: record 0 is rejected with rejection 7, but the answer has 0 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'rejects_for_nothing@1' failed in 'on-send': the answer is wrong: record 0 is rejected with rejection 7, but the answer has 0 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'rejects_for_nothing@1' failed in 'on-send': the answer is wrong: record 0 is rejected with rejection 7, but the answer has 0 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    replaces_by_noise: expect![[r#"
        not staged: plugin 'replaces_by_noise@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: its key goes beyond its end
        first sent: 3 rejected: plugin 'replaces_by_noise@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: its key goes beyond its end (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'replaces_by_noise@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: its key goes beyond its end (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'replaces_by_noise@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: its key goes beyond its end (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    names_a_header_ff: expect![[r#"
        not staged: plugin 'names_a_header_ff@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: a header key is not UTF-8
        first sent: 3 rejected: plugin 'names_a_header_ff@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: a header key is not UTF-8 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'names_a_header_ff@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: a header key is not UTF-8 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'names_a_header_ff@1' failed in 'on-send': the answer is wrong: what replaces record 0 is not a record's content: a header key is not UTF-8 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    reason_is_not_utf8: expect![[r#"
        not staged: plugin 'reason_is_not_utf8@1' failed in 'on-send': invalid utf-8 sequence of 1 bytes from index 1
        first sent: 3 rejected: plugin 'reason_is_not_utf8@1' failed in 'on-send': invalid utf-8 sequence of 1 bytes from index 1 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'reason_is_not_utf8@1' failed in 'on-send': invalid utf-8 sequence of 1 bytes from index 1 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'reason_is_not_utf8@1' failed in 'on-send': invalid utf-8 sequence of 1 bytes from index 1 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    knows_no_such_fact: expect![[r#"
        not staged: plugin 'knows_no_such_fact@1' failed in 'on-send': the answer is wrong: there is no fact 'password' here; known are principal and entry-node
        first sent: 3 rejected: plugin 'knows_no_such_fact@1' failed in 'on-send': the answer is wrong: there is no fact 'password' here; known are principal and entry-node (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'knows_no_such_fact@1' failed in 'on-send': the answer is wrong: there is no fact 'password' here; known are principal and entry-node (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'knows_no_such_fact@1' failed in 'on-send': the answer is wrong: there is no fact 'password' here; known are principal and entry-node (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    appends_by_part: expect![[r#"
        staged
        first sent: 1 to partition 3
            2 to partition 1
            partition 3: 0@1000 k0=a shown:3
            partition 1: 0@1001 k1=b shown:3, 1@1002 k2=c shown:3
        sent again: 1 to partition 3
            2 to partition 1
            partition 3: 0@1000 k0=a shown:3
            partition 1: 0@1001 k1=b shown:3, 1@1002 k2=c shown:3
        the next one: 1 to partition 3
            2 to partition 1
            partition 3: 0@1000 k0=a shown:3
            partition 1: 0@1001 k1=b shown:3, 1@1002 k2=c shown:3
        calls 3, kept 9, dropped 0, rejected 0, failures []"#]];
    traps_in_on_consume: expect![[r#"
        not staged: plugin 'traps_in_on_consume@1' failed in 'on-consume': it trapped: wasm trap: wasm `unreachable` instruction executed
        not fetched: plugin 'traps_in_on_consume@1' failed in 'on-consume': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        calls 1, kept 0, dropped 0, rejected 0, failures [("trap", 1)]"#]];
    errs_in_on_consume: expect![[r#"
        staged
        not fetched: plugin 'errs_in_on_consume@1' failed in 'on-consume': this batch is beyond me (PLUGIN_FAILED)
        calls 1, kept 0, dropped 0, rejected 0, failures [("refused", 1)]"#]];
    drops_all: expect![[r#"
        staged
        fetched:  up to delta 2
        calls 1, kept 0, dropped 3, rejected 0, failures []"#]];
    empties_all: expect![[r#"
        staged
        fetched: 0@1000 k0=-, 1@1001 k1=-, 2@1002 k2=- up to delta 2
        calls 1, kept 0, dropped 0, rejected 0, failures []"#]];
    rejects_in_on_consume: expect![[r#"
        not staged: plugin 'rejects_in_on_consume@1' failed in 'on-consume': the answer is wrong: record 0 is rejected, but only a record on its way into the log can be
        not fetched: plugin 'rejects_in_on_consume@1' failed in 'on-consume': the answer is wrong: record 0 is rejected, but only a record on its way into the log can be (PLUGIN_FAILED)
        calls 1, kept 0, dropped 0, rejected 0, failures [("answer", 1)]"#]];
    asks_for_the_principal: expect![[r#"
        not staged: plugin 'asks_for_the_principal@1' failed in 'on-consume': the answer is wrong: there is no fact 'principal' here
        not fetched: plugin 'asks_for_the_principal@1' failed in 'on-consume': the answer is wrong: there is no fact 'principal' here (PLUGIN_FAILED)
        calls 1, kept 0, dropped 0, rejected 0, failures [("answer", 1)]"#]];
    traps_in_partition: expect![[r#"
        not staged: plugin 'traps_in_partition@1' failed in 'partition': it trapped: wasm trap: wasm `unreachable` instruction executed
        first sent: 3 rejected: plugin 'traps_in_partition@1' failed in 'partition': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        sent again: retry: plugin 'traps_in_partition@1' failed in 'partition': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'traps_in_partition@1' failed in 'partition': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("trap", 3)]"#]];
    errs_in_partition: expect![[r#"
        staged
        first sent: 3 rejected: plugin 'errs_in_partition@1' failed in 'partition': these keys are beyond me (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'errs_in_partition@1' failed in 'partition': these keys are beyond me (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'errs_in_partition@1' failed in 'partition': these keys are beyond me (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("refused", 3)]"#]];
    partition_out_of_range: expect![[r#"
        not staged: plugin 'partition_out_of_range@1' failed in 'partition': the answer is wrong: record 0 is placed in partition 4, but the topic has partitions 0 to 3
        first sent: 3 rejected: plugin 'partition_out_of_range@1' failed in 'partition': the answer is wrong: record 0 is placed in partition 4, but the topic has partitions 0 to 3 (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'partition_out_of_range@1' failed in 'partition': the answer is wrong: record 0 is placed in partition 4, but the topic has partitions 0 to 3 (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'partition_out_of_range@1' failed in 'partition': the answer is wrong: record 0 is placed in partition 4, but the topic has partitions 0 to 3 (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    partitions_too_few: expect![[r#"
        not staged: plugin 'partitions_too_few@1' failed in 'partition': the answer is wrong: 0 partitions were answered for 1 keys
        first sent: 3 rejected: plugin 'partitions_too_few@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 3 keys (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'partitions_too_few@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 3 keys (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'partitions_too_few@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 3 keys (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    partitions_too_many: expect![[r#"
        not staged: plugin 'partitions_too_many@1' failed in 'partition': the answer is wrong: 2 partitions were answered for 1 keys
        first sent: 3 rejected: plugin 'partitions_too_many@1' failed in 'partition': the answer is wrong: 4 partitions were answered for 3 keys (PLUGIN_FAILED)
        sent again: 3 rejected: plugin 'partitions_too_many@1' failed in 'partition': the answer is wrong: 4 partitions were answered for 3 keys (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'partitions_too_many@1' failed in 'partition': the answer is wrong: 4 partitions were answered for 3 keys (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("answer", 3)]"#]];
    traps_in_assign: expect!["falls back: plugin 'traps_in_assign@1' failed in 'assign': it trapped: wasm trap: wasm `unreachable` instruction executed"];
    loops_in_assign: expect!["falls back: plugin 'loops_in_assign@1' failed in 'assign': it ran longer than the limit call.time.ms, 50 ms, allows (100000000 units of fuel here)"];
    errs_in_assign: expect!["falls back: plugin 'errs_in_assign@1' failed in 'assign': this group is beyond me"];
    assigns_twice: expect!["falls back: plugin 'assigns_twice@1' failed in 'assign': the assignment is wrong: partition 0 of topic 'a' is given to 'm1', but has been given already"];
    assigns_nothing: expect!["falls back: plugin 'assigns_nothing@1' failed in 'assign': the assignment is wrong: partition 0 of topic 'a' is given to nobody"];
    forgets_a_partition: expect!["falls back: plugin 'forgets_a_partition@1' failed in 'assign': the assignment is wrong: partition 1 of topic 'a' is given to nobody"];
    assigns_to_a_stranger: expect!["falls back: plugin 'assigns_to_a_stranger@1' failed in 'assign': the assignment is wrong: member 'm0' is given partitions of topic 'b', which it does not subscribe to"];
    invents_a_partition: expect!["falls back: plugin 'invents_a_partition@1' failed in 'assign': the assignment is wrong: member 'm0' is given partition 4294967295 of topic 'a', which has partitions 0 to 1"];
    invents_a_topic: expect!["falls back: plugin 'invents_a_topic@1' failed in 'assign': the assignment is wrong: member 'm0' is given topic number 4294967295, but there are topics 0 to 1"];
    invents_a_member: expect!["falls back: plugin 'invents_a_member@1' failed in 'assign': the assignment is wrong: it has 3 entries for 2 members"];
    forgets_a_member: expect!["falls back: plugin 'forgets_a_member@1' failed in 'assign': the assignment is wrong: it has 1 entries for 2 members"];
    imports_an_unknown: expect!["push: the component exports none of the plugin hooks (such as weir:plugin/producer-hooks); build it for a world of package weir:plugin@1.0.0"];
    exports_nothing: expect!["push: the component exports none of the plugin hooks (such as weir:plugin/producer-hooks); build it for a world of package weir:plugin@1.0.0"];
    exports_two_kinds: expect!["push: the component exports the hooks of several kinds (weir:plugin/producer-hooks@1.0.0, weir:plugin/assignor-hooks@1.0.0); make one component for each"];
    exports_hollow_hooks: expect!["push: the component's hooks do not fit the contract: instance export `weir:plugin/producer-hooks@1.0.0` does not have export `configure`; build it with the wit files of weir:plugin@1.0.0"];
    exports_a_later_contract: expect!["push: the component is made for version 2.0.0 of the contract, this node speaks 1.0.0; upgrade the nodes first"];
    is_truncated: expect!["push: the file ends in the middle of a section, at byte 878 of 16041; copy or build it again"];
    is_too_large: expect!["push: the component has 62946653 bytes, at most 33554432 are allowed; strip it and build it for size"];
    is_a_bare_module: expect!["push: this is a core module that does not say which world it implements; build it with the crate weir-plugin or wit-bindgen, or make a component of it with `wasm-tools component new`"];
    is_no_wasm: expect!["push: this is no WebAssembly; push a component (.wasm)"];
    is_empty: expect!["push: this is no WebAssembly; push a component (.wasm)"];
}

/// Which byte of the code changed decides whether it is noticed as a section that does not end or as code that does
/// not hold together.
#[tokio::test]
async fn is_damaged() {
    let told = told("is_damaged", |_| {}).await;
    let sentences =
        ["push: the file is damaged: ", "push: the component cannot be compiled: ", "push: the file ends in"];
    assert!(sentences.iter().any(|sentence| told.starts_with(sentence)), "{told}");
}

/// How long it takes is a matter of the machine, and a busy one counts fewer of its milliseconds: the limit is far below.
#[tokio::test]
async fn starts_slowly() {
    let told = told("starts_slowly", |config| config.limits.set("call.time.ms", "5").unwrap()).await;
    expect![[r#"
        not staged: plugin 'starts_slowly@1' failed in 'configure': it ran longer than the limit call.time.ms, 5 ms, allows
        first sent: 3 rejected: plugin 'starts_slowly@1' failed in 'on-send': it ran longer than the limit call.time.ms, 5 ms, allows (PLUGIN_FAILED)
        sent again: retry: plugin 'starts_slowly@1' failed in 'on-send': it ran longer than the limit call.time.ms, 5 ms, allows (PLUGIN_FAILED)
        the next one: 3 rejected: plugin 'starts_slowly@1' failed in 'on-send': it ran longer than the limit call.time.ms, 5 ms, allows (PLUGIN_FAILED)
        calls 3, kept 0, dropped 0, rejected 0, failures [("time", 3)]"#]]
    .assert_eq(&told);
}

/// Slow is not wrong, where the limit allows it.
#[tokio::test]
async fn is_slow_in_on_consume() {
    let told =
        told("is_slow_in_on_consume", |config| config.limits.call_time = Duration::from_secs(10)).await;
    expect![[r#"
        staged
        fetched: 0@1000 k0=a, 1@1001 k1=b, 2@1002 k2=c up to delta 2
        calls 1, kept 3, dropped 0, rejected 0, failures []"#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn reason_is_long() {
    let told = told("reason_is_long", |_| {}).await;
    let reason = told.lines().nth(1).unwrap();
    // 512 bytes of two-byte characters, and the sentence around them.
    assert_eq!(reason.matches('é').count(), 256, "{reason}");
    assert!(reason.ends_with("é (code 1) (INVALID_RECORD)"), "{reason}");
}

#[tokio::test]
async fn imports_wasi() {
    let plugins = host();
    let guest = Guest::named("imports_wasi");
    let refused = load(&plugins, guest.component()).await.unwrap_err();
    expect!["the component imports wasi:cli/environment@0.2.0, wasi:clocks/monotonic-clock@0.2.0, wasi:clocks/wall-clock@0.2.0, wasi:filesystem/types@0.2.0, wasi:filesystem/preopens@0.2.0, wasi:random/random@0.2.0, wasi:sockets/network@0.2.0, wasi:sockets/instance-network@0.2.0; build it without WASI, or push it with --allow wasi, which grants one without files, network and environment"].assert_eq(&refused);

    let component = Plugins::component(guest.component().into()).unwrap();
    let granted = plugins.load(component, Grants { wasi: true }, Purpose::Run).await.unwrap();
    let pipeline = pipeline(&plugins, alone(binding(&granted, "wasi", &[]))).await.unwrap();
    let told = [run(&pipeline, &["a"], &context()).await, run(&pipeline, &["a"], &context()).await]
        .map(|processed| described(&processed));
    expect!["1 rejected: environment 0, folders 0, clock 0 and 0, random 16294208416658607535 (code 1) (INVALID_RECORD)"].assert_eq(&told[0]);
    assert_eq!(told[0], told[1], "the random number is the same for every instance");
}

/// Waits until no more than so many live: who only observes may hold one for a moment longer than the answer takes.
pub(crate) async fn instances_come_down_to(pipeline: &Pipeline, most: u64) {
    let coming_down = async {
        while pipeline.snapshots()[0].instances > most {
            tokio::task::yield_now().await;
        }
    };
    let told = || format!("{:?}", pipeline.snapshots());
    tokio::time::timeout(Duration::from_secs(30), coming_down).await.unwrap_or_else(|_| panic!("{}", told()));
}

/// A guest that keeps memory of every call loses its instance before it hits the limit: no batch notices.
#[tokio::test]
async fn leaks() {
    let plugins = host();
    let guest = Guest::named("leaks");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, "leaks", &guest.options());
    config.reuse = true;
    let limit = config.limits.memory_bytes;
    let pipeline = pipeline(&plugins, alone(config)).await.unwrap();
    // Four times what the limit holds.
    for ordinal in 0..(4 * limit as u64) / (64 << 10) {
        let context = BatchContext { ordinal, ..context() };
        let told = described(&run(&pipeline, &["a"], &context).await);
        assert!(told.starts_with("1 to partition"), "batch {ordinal}: {told}");
    }
    let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
    assert_eq!(figures.failures, []);
    assert!(figures.memory_high_bytes <= limit as u64, "{figures:?}");
    instances_come_down_to(&pipeline, 1).await;
}

/// On fresh instances, as hooks on the produce path normally run, a guest that counts its calls has nothing to count.
#[tokio::test]
async fn changes_its_mind() {
    let told = told("changes_its_mind", |_| {}).await;
    expect![[r#"
        staged
        first sent: 1 to partition 3
            2 to partition 1
            partition 3: 0@1000 k0=a
            partition 1: 0@1001 k1=b, 1@1002 k2=c
        sent again: 1 to partition 3
            2 to partition 1
            partition 3: 0@1000 k0=a
            partition 1: 0@1001 k1=b, 1@1002 k2=c
        the next one: 1 to partition 3
            2 to partition 1
            partition 3: 0@1000 k0=a
            partition 1: 0@1001 k1=b, 1@1002 k2=c
        calls 3, kept 9, dropped 0, rejected 0, failures []"#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn places_by_counting() {
    let told = told("places_by_counting", |_| {}).await;
    expect![[r#"
        staged
        first sent: 3 to partition 0
            partition 0: 0@1000 k0=a, 1@1001 k1=b, 2@1002 k2=c
        sent again: 3 to partition 0
            partition 0: 0@1000 k0=a, 1@1001 k1=b, 2@1002 k2=c
        the next one: 3 to partition 0
            partition 0: 0@1000 k0=a, 1@1001 k1=b, 2@1002 k2=c
        calls 3, kept 9, dropped 0, rejected 0, failures []"#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn floods_the_log() {
    let plugins = host();
    let guest = Guest::named("floods_the_log");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, "floods_the_log", &guest.options());
    config.limits = weir_node::plugins::Limits::default();
    config.limits.set("call.time.ms", "10000").unwrap();
    let pipeline = pipeline(&plugins, alone(config)).await.unwrap();
    let mut lines = plugins.follow_lines();
    let told = described(&run(&pipeline, &["a"], &context()).await);
    assert!(told.starts_with("1 to partition"), "{told}");
    let mut kept = 0;
    while let Ok(line) = lines.try_recv() {
        assert!(line.message.len() <= 1024);
        assert_eq!(
            (line.plugin.as_str(), line.topic.as_str(), line.partition),
            ("floods_the_log", "orders", Some(1))
        );
        kept += 1;
    }
    // A second's lines at once, and what the call's own seconds earned.
    assert!((100..=1024).contains(&kept), "{kept} lines");
}

#[tokio::test]
async fn floods_metrics() {
    let told = told("floods_metrics", |_| {}).await;
    assert!(told.starts_with("staged\nfirst sent: 1 to partition"), "{told}");
}
