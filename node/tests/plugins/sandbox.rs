//! What bounds a plugin: it makes room for others, ends at its limits, and its binding gets less while it fails.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_core::pipeline::failing::OnFailure;
use weir_guests::Guest;
use weir_node::plugins::{BatchContext, Engines, Grants, Kind, Plugins, Purpose};
use weir_wire::batch::{Compression, Limits};
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex};

use crate::support::{
    Blobs, alone, batch, binding, contents, context, described, host, host_with, load, pipeline, reopen, run,
};

/// A plugin that takes long shares its thread with everybody else meanwhile.
#[test]
fn others_run_between_the_slices_of_a_long_call() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, count_turns());
}

async fn count_turns() {
    let plugins = host();
    let guest = Guest::named("starts_slowly");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, "slow", &guest.options());
    config.limits.set("call.time.ms", "10000").unwrap();
    let turns = Rc::new(Cell::new(0_u32));
    let counting = {
        let turns = Rc::clone(&turns);
        tokio::task::spawn_local(async move {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        })
    };
    pipeline(&plugins, alone(config)).await.unwrap();
    counting.abort();
    // 500 million rounds take a tenth of a second on the fastest machine there is: a hundred slices of a millisecond, of
    // which a busy machine makes fewer and longer ones.
    assert!(turns.get() >= 10, "the thread did something else {} times", turns.get());
}

/// Fuel ends a call at the same instruction wherever it runs, so a simulation repeats it.
#[tokio::test]
async fn fuel_runs_out_in_simulation_without_any_clock() {
    let plugins = host_with(Engines::simulated().unwrap(), Arc::new(Blobs::default()));
    let guest = Guest::named("loops");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let failure = pipeline(&plugins, alone(binding(&loaded, "loops", &guest.options()))).await.err().unwrap();
    assert_eq!(
        failure,
        "plugin 'loops@1' failed in 'on-send': it ran longer than the limit call.time.ms, 50 ms, allows \
         (100000000 units of fuel here)"
    );
}

/// The same component, tried under the node's limits on fuel.
#[tokio::test]
async fn a_plugin_can_be_tried_on_fuel() {
    let plugins = host();
    let component = Plugins::component(weir_guests::PASS_FLAT.into()).unwrap();
    let loaded = plugins.load(component, Grants::default(), Purpose::Try).await.unwrap();
    let pipeline = pipeline(&plugins, alone(binding(&loaded, "pass", &[]))).await.unwrap();
    assert!(described(&run(&pipeline, &["a"], &context()).await).starts_with("1 to partition"));
}

/// What follows from a failure is the binding's to say.
#[tokio::test]
async fn a_failure_leads_where_the_binding_says() {
    let plugins = host();
    let guest = Guest::named("errs_in_on_send");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut told = String::new();
    for on_failure in [OnFailure::Reject, OnFailure::Pass, OnFailure::DeadLetter] {
        let mut config = binding(&loaded, "errs", &guest.options());
        config.on_failure = on_failure;
        let pipeline = reopen(&plugins, alone(config)).await;
        for resent in [false, true] {
            let context = BatchContext { resent, ..context() };
            let processed = run(&pipeline, &["a", "b"], &context).await;
            let title = format!("{}, resent {resent}", on_failure.name());
            told += &format!("{title}\n    {}\n", described(&processed).replace('\n', "\n    "));
        }
    }
    let nowhere = BatchContext { dead_letter_partitions: None, ..context() };
    let mut config = binding(&loaded, "errs", &guest.options());
    config.on_failure = OnFailure::DeadLetter;
    let pipeline = reopen(&plugins, alone(config)).await;
    let processed = run(&pipeline, &["a"], &nowhere).await;
    told += &format!("dead-letter, without the topic\n    {}\n", described(&processed));
    expect_test::expect![[r#"
        reject, resent false
            2 rejected: plugin 'errs@1' failed in 'on-send': this batch is beyond me (PLUGIN_FAILED)
        reject, resent true
            2 rejected: plugin 'errs@1' failed in 'on-send': this batch is beyond me (PLUGIN_FAILED)
        pass, resent false
            1 to partition 3
            1 to partition 1
            partition 3: 0@1000 k0=a
            partition 1: 0@1001 k1=b
        pass, resent true
            1 to partition 3
            1 to partition 1
            partition 3: 0@1000 k0=a
            partition 1: 0@1001 k1=b
        dead-letter, resent false
            2 rejected: plugin 'errs@1' failed in 'on-send': this batch is beyond me; the record is in topic 'orders.dead-letter' (DEAD_LETTERED)
            dead letters 0: 0@1000 k0=a weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:ff868e8e84ce387aaf0deead32227e91c23a7fcfee80fa34c3b15f11ab2fcb87 weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:0, 1@1001 k1=b weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:ff868e8e84ce387aaf0deead32227e91c23a7fcfee80fa34c3b15f11ab2fcb87 weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:1
        dead-letter, resent true
            2 rejected: plugin 'errs@1' failed in 'on-send': this batch is beyond me; the record is in topic 'orders.dead-letter' (DEAD_LETTERED)
            dead letters 0: 0@1000 k0=a weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:ff868e8e84ce387aaf0deead32227e91c23a7fcfee80fa34c3b15f11ab2fcb87 weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:0, 1@1001 k1=b weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:ff868e8e84ce387aaf0deead32227e91c23a7fcfee80fa34c3b15f11ab2fcb87 weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:1
        dead-letter, without the topic
            retry: plugin 'errs@1' failed in 'on-send': this batch is beyond me; its records belong into topic 'orders.dead-letter', which is not there yet (UNKNOWN_TOPIC)
    "#]].assert_eq(&told);
}

/// A consumer interceptor that fails holds the fetch up, or is passed over, as its binding says.
#[tokio::test]
async fn a_fetch_fails_or_passes_as_the_binding_says() {
    let plugins = host();
    let mut told = String::new();
    for name in ["errs_in_on_consume", "traps_in_on_consume", "loops_in_on_consume"] {
        let guest = Guest::named(name);
        let loaded = load(&plugins, guest.component()).await.unwrap();
        for on_failure in [OnFailure::Reject, OnFailure::Pass] {
            let mut config = binding(&loaded, name, &guest.options());
            config.on_failure = on_failure;
            let pipeline = reopen(&plugins, alone(config)).await;
            let stored = stored();
            let got = pipeline.fetch(stored.clone(), PartitionIndex(1), Limits::default()).await;
            let got = match got {
                Ok(bytes) if bytes == stored => "passed as it is stored".to_owned(),
                Ok(bytes) => contents(&bytes),
                Err(error) => error.to_string(),
            };
            let failures = &pipeline.snapshots()[0].failures;
            told += &format!("{:<7}{got} {failures:?}\n", on_failure.name());
        }
    }
    expect_test::expect![[r#"
        reject plugin 'errs_in_on_consume@1' failed in 'on-consume': this batch is beyond me (PLUGIN_FAILED) [("refused", 1)]
        pass   passed as it is stored [("refused", 1)]
        reject plugin 'traps_in_on_consume@1' failed in 'on-consume': it trapped: wasm trap: wasm `unreachable` instruction executed (PLUGIN_FAILED) [("trap", 1)]
        pass   passed as it is stored [("trap", 1)]
        reject plugin 'loops_in_on_consume@1' failed in 'on-consume': it ran longer than the limit call.time.ms, 50 ms, allows (PLUGIN_FAILED) [("time", 1)]
        pass   passed as it is stored [("time", 1)]
    "#]].assert_eq(&told);
    let guest = Guest::named("errs_in_on_consume");
    let mut config = binding(&load(&plugins, guest.component()).await.unwrap(), "errs", &guest.options());
    config.on_failure = OnFailure::DeadLetter;
    let refused = pipeline(&plugins, alone(config)).await.err().unwrap();
    assert!(refused.contains("a binding can say reject or pass, not dead-letter"), "{refused}");
}

/// A batch as a partition has it.
fn stored() -> bytes::Bytes {
    let (bytes, _) = batch(&["a", "b", "c"], Compression::None);
    let mut stored = bytes::BytesMut::from(bytes);
    weir_wire::batch::stamp(&mut stored, Offset(1000), LeaderEpoch(7));
    stored.freeze()
}

/// What serves many batches must forget each: it is found out before it is put in force.
#[tokio::test]
async fn a_reused_plugin_that_remembers_is_not_staged() {
    let plugins = host();
    let mut told = String::new();
    for name in ["changes_its_mind", "places_by_counting", "leaks", "errs_in_on_send"] {
        let guest = Guest::named(name);
        let loaded = load(&plugins, guest.component()).await.unwrap();
        for reuse in [false, true] {
            let mut config = binding(&loaded, name, &guest.options());
            config.reuse = reuse;
            let staged = pipeline(&plugins, alone(config)).await;
            let staged = staged.map_or_else(|failure| failure, |_| "staged".to_owned());
            told += &format!("{name}, reuse {reuse}: {staged}\n");
        }
    }
    expect_test::expect![[r#"
        changes_its_mind, reuse false: staged
        changes_its_mind, reuse true: plugin 'changes_its_mind@1' failed in 'on-send': the same batch came out differently on an instance that had seen it before; push it without --reuse, or make the hook forget its calls (weir plugins test --reuse shows the difference)
        places_by_counting, reuse false: staged
        places_by_counting, reuse true: plugin 'places_by_counting@1' failed in 'partition': the same batch came out differently on an instance that had seen it before; push it without --reuse, or make the hook forget its calls (weir plugins test --reuse shows the difference)
        leaks, reuse false: staged
        leaks, reuse true: staged
        errs_in_on_send, reuse false: staged
        errs_in_on_send, reuse true: staged
    "#]].assert_eq(&told);
}

/// A plugin that fails runs one call at a time, and who comes when many wait already is sent away to come again.
#[tokio::test]
async fn a_failing_plugin_turns_calls_away() {
    for (name, cause) in [
        ("traps_in_on_send", "trap"),
        ("loops", "time"),
        ("grows", "memory"),
        ("traps_in_on_consume", "trap"),
        ("loops_in_on_consume", "time"),
    ] {
        // On a machine that stands still the plugin has recovered before the calls come: that shows nothing.
        let mut tries = 0..20;
        while !turned_away(name, cause).await {
            assert!(tries.next().is_some(), "{name}: no call was turned away");
        }
    }
}

/// Whether all calls came before the plugin had recovered; if so, what they are told is right.
async fn turned_away(name: &str, cause: &str) -> bool {
    let plugins = host();
    let guest = Guest::named(name);
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let is_consumer = loaded.kind() == Kind::ConsumerInterceptor;
    let mut config = binding(&loaded, name, &guest.options());
    config.limits.call_time = Duration::from_millis(10);
    let pipeline = reopen(&plugins, alone(config)).await;
    let call = |ordinal| {
        let pipeline = Arc::clone(&pipeline);
        async move {
            if is_consumer {
                let got = pipeline.fetch(stored(), PartitionIndex(1), Limits::default()).await;
                return got.unwrap_err().to_string();
            }
            let context = BatchContext { ordinal, ..context() };
            described(&run(&pipeline, &["a"], &context).await)
        }
    };
    call(0).await;
    let mut calls = tokio::task::JoinSet::from_iter((1..=40).map(call));
    // Sixteen wait for the rest of the one that failed and for each other; the others are told to come again at once.
    for _ in 0..24 {
        let told = calls.join_next().await.unwrap().unwrap();
        if told.contains("(PLUGIN_FAILED)") {
            return false;
        }
        assert!(told.contains("too many calls wait for it to recover (BUSY)"), "{name}: {told}");
    }
    let failures = || pipeline.snapshots()[0].failures.clone();
    assert_eq!(failures(), [(cause, 1), ("busy", 24)], "{name}");
    let told = calls.join_next().await.unwrap().unwrap();
    assert!(told.contains("(PLUGIN_FAILED)"), "{name}: {told}");
    assert_eq!(failures(), [(cause, 2), ("busy", 24)], "one after the other: {name}");
    let waited = &pipeline.snapshots()[0].waited_ns;
    assert!(waited.iter().any(|(share, ns)| *share == "failing" && *ns > 0), "{name}: {waited:?}");
    true
}
