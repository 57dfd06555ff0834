//! What a binding may take of a node in the long run: calls above its share wait, or are turned away when too many do.

use std::sync::Arc;
use std::time::Duration;

use weir_guests::Guest;
use weir_node::plugins::{Limits, Pipeline};
use weir_wire::batch::{self, Compression};
use weir_wire::ids::PartitionIndex;

use crate::support::{alone, batch, binding, context, described, host, load, reopen, run};

/// A guest that takes long on each fresh instance, and answers well: how long is a matter of the machine.
async fn slow(limits: Limits) -> Arc<Pipeline> {
    let plugins = host();
    let guest = Guest::named("starts_slowly");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, guest.name, &guest.options());
    config.limits = Limits { call_time: Duration::from_secs(10), ..limits };
    reopen(&plugins, alone(config)).await
}

/// What a plugin may take at once before its share counts.
const BURST_NS: u64 = 200_000_000;

fn waited_for(pipeline: &Pipeline) -> Vec<&'static str> {
    pipeline.snapshots()[0].waited_ns.iter().map(|(share, _)| *share).collect()
}

#[tokio::test]
async fn who_has_had_its_share_of_time_waits_and_its_neighbour_does_not() {
    let pipeline = slow(Limits { time_share_percent: 10, ..Limits::default() }).await;
    let neighbour = {
        let plugins = host();
        let loaded = load(&plugins, weir_guests::PASS_FLAT).await.unwrap();
        reopen(&plugins, alone(binding(&loaded, "pass", &[]))).await
    };
    let first = described(&run(&pipeline, &["a"], &context()).await);
    assert_eq!(waited_for(&pipeline), Vec::<&str>::new(), "the first call finds nothing owed");
    let one_call = context();
    for _ in 0..100 {
        let (next, beside) = tokio::join!(run(&pipeline, &["a"], &one_call), async {
            described(&run(&neighbour, &["a"], &context()).await)
        });
        assert_eq!((described(&next), beside), (first.clone(), first.clone()));
        if !waited_for(&pipeline).is_empty() {
            break;
        }
    }
    assert_eq!(waited_for(&pipeline), ["time"]);
    assert_eq!(waited_for(&neighbour), Vec::<&str>::new());
    assert!(pipeline.snapshots()[0].busy_ns > BURST_NS);
}

#[tokio::test]
async fn too_many_that_wait_for_a_share_are_turned_away() {
    let pipeline = slow(Limits { time_share_percent: 1, ..Limits::default() }).await;
    while pipeline.snapshots()[0].busy_ns < BURST_NS + 30_000_000 {
        run(&pipeline, &["a"], &context()).await;
    }
    let mut waiting = Vec::new();
    for _ in 0..17 {
        let pipeline = Arc::clone(&pipeline);
        waiting.push(tokio::spawn(async move { described(&run(&pipeline, &["a"], &context()).await) }));
    }
    // They are asked in this order, on one thread: sixteen wait, and nobody waits for those.
    let turned_away = waiting.pop().unwrap().await.unwrap();
    assert!(turned_away.starts_with("retry: "), "{turned_away}");
    assert!(turned_away.contains("the limit time.share.percent, 1, allows"), "{turned_away}");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn calls_wait_for_memory_that_others_have() {
    // No room for two instances: the second call waits for the first.
    let memory_share_bytes = 64 * 1024;
    let pipeline = slow(Limits { memory_share_bytes, time_share_percent: 100, ..Limits::default() }).await;
    let (context_of_one, context_of_other) = (context(), context());
    let (one, other) =
        tokio::join!(run(&pipeline, &["a"], &context_of_one), run(&pipeline, &["b"], &context_of_other));
    assert!(described(&one).starts_with("1 to partition") && described(&other).starts_with("1 to partition"));
    assert!(waited_for(&pipeline).contains(&"memory"), "{:?}", waited_for(&pipeline));
}

/// So many calls run at a time as the limit `calls` says; the others wait, and all are answered.
#[tokio::test]
async fn no_more_calls_run_than_the_limit_says() {
    let plugins = host();
    let guest = Guest::named("is_slow_in_on_consume");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, guest.name, &guest.options());
    config.limits =
        Limits { call_time: Duration::from_secs(10), time_share_percent: 100, ..Limits::default() };
    config.limits.set("calls", "2").unwrap();
    let pipeline = reopen(&plugins, alone(config)).await;
    let call = || {
        let pipeline = Arc::clone(&pipeline);
        async move {
            let (stored, _) = batch(&["a"], Compression::None);
            pipeline.fetch(stored, PartitionIndex(1), batch::Limits::default()).await.is_ok()
        }
    };
    let calls = tokio::task::JoinSet::from_iter((0..5).map(|_| call()));
    let mut most = 0;
    while pipeline.snapshots()[0].calls < 5 {
        most = most.max(pipeline.snapshots()[0].instances);
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (most, calls.join_all().await),
        (2, vec![true; 5]),
        "instances at a time, and whether all came back"
    );
}
