//! What bounds a plugin: it makes room for others, ends at its limits, and its binding gets less while it fails.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use weir_core::pipeline::failing::OnFailure;
use weir_guests::Guest;
use weir_node::plugins::{BatchContext, Engines, Grants, Plugins, Purpose};

use crate::support::{
    Blobs, alone, binding, context, described, host, host_with, load, pipeline, reopen, run,
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
    // 500 million rounds take a tenth of a second on the fastest machine there is: a hundred slices of a millisecond.
    assert!(turns.get() >= 20, "the thread did something else {} times", turns.get());
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
            dead letters 0: 0@1000 k0=a weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:a8c0f7f467c40aba08c48d8f678449e84cc718215ab73d2319a35036329cfb0c weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:0, 1@1001 k1=b weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:a8c0f7f467c40aba08c48d8f678449e84cc718215ab73d2319a35036329cfb0c weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:1
        dead-letter, resent true
            2 rejected: plugin 'errs@1' failed in 'on-send': this batch is beyond me; the record is in topic 'orders.dead-letter' (DEAD_LETTERED)
            dead letters 0: 0@1000 k0=a weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:a8c0f7f467c40aba08c48d8f678449e84cc718215ab73d2319a35036329cfb0c weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:0, 1@1001 k1=b weir.dead-letter.topic:orders weir.dead-letter.revision:3 weir.dead-letter.plugin:errs@1 weir.dead-letter.digest:a8c0f7f467c40aba08c48d8f678449e84cc718215ab73d2319a35036329cfb0c weir.dead-letter.hook:on-send weir.dead-letter.reason:plugin 'errs@1' failed in 'on-send': this batch is beyond me weir.dead-letter.position:1
        dead-letter, without the topic
            retry: plugin 'errs@1' failed in 'on-send': this batch is beyond me; its records belong into topic 'orders.dead-letter', which is not there yet (UNKNOWN_TOPIC)
    "#]].assert_eq(&told);
}

/// A plugin that fails runs one call at a time, and who comes when many wait already is sent away to come again.
#[tokio::test]
async fn a_failing_plugin_turns_calls_away() {
    let plugins = host();
    let guest = Guest::named("traps_in_on_send");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let pipeline = reopen(&plugins, alone(binding(&loaded, "traps", &guest.options()))).await;
    let mut calls = tokio::task::JoinSet::new();
    for ordinal in 0..40 {
        let pipeline = Arc::clone(&pipeline);
        calls.spawn(async move {
            let context = BatchContext { ordinal, ..context() };
            described(&run(&pipeline, &["a"], &context).await)
        });
    }
    let told = calls.join_all().await;
    let busy = told.iter().filter(|told| told.starts_with("retry: ")).count();
    let rejected = told.iter().filter(|told| told.starts_with("1 rejected: ")).count();
    // One ran, sixteen waited for it and each other, and the others were told to come again.
    assert_eq!((rejected, busy), (17, 23), "{told:?}");
    let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
    assert_eq!(figures.failures, [("trap", 17), ("busy", 23)]);
}
