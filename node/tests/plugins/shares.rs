//! What a binding may take of a node in the long run: calls above its share wait, or are turned away when too many do.

use std::sync::Arc;
use std::time::Duration;

use weir_guests::Guest;
use weir_node::plugins::{Limits, Pipeline};

use crate::support::{alone, binding, context, described, host, load, reopen, run};

/// A guest that takes half a second or more of a thread on each fresh instance, and answers well.
async fn slow(limits: Limits) -> Arc<Pipeline> {
    let plugins = host();
    let guest = Guest::named("starts_slowly");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, guest.name, &guest.options());
    config.limits = Limits { call_time: Duration::from_secs(10), ..limits };
    reopen(&plugins, alone(config)).await
}

fn waited_for(pipeline: &Pipeline) -> Vec<&'static str> {
    pipeline.snapshots()[0].waited_ns.iter().map(|(share, _)| *share).collect()
}

#[tokio::test]
async fn who_has_had_its_share_of_time_waits_and_its_neighbour_does_not() {
    let pipeline = slow(Limits { time_share_percent: 50, ..Limits::default() }).await;
    let neighbour = {
        let plugins = host();
        let loaded = load(&plugins, weir_guests::PASS_FLAT).await.unwrap();
        reopen(&plugins, alone(binding(&loaded, "pass", &[]))).await
    };
    let first = described(&run(&pipeline, &["a"], &context()).await);
    assert_eq!(waited_for(&pipeline), Vec::<&str>::new(), "the first call finds nothing owed");
    let of_second = context();
    let (second, beside) = tokio::join!(run(&pipeline, &["a"], &of_second), async {
        let mut last = String::new();
        for _ in 0..20 {
            last = described(&run(&neighbour, &["a"], &context()).await);
        }
        last
    });
    assert_eq!((described(&second), beside), (first.clone(), first));
    assert_eq!(waited_for(&pipeline), ["time"]);
    assert_eq!(waited_for(&neighbour), Vec::<&str>::new());
    assert!(pipeline.snapshots()[0].busy_ns > 200_000_000);
}

#[tokio::test]
async fn too_many_that_wait_for_a_share_are_turned_away() {
    let pipeline = slow(Limits { time_share_percent: 1, ..Limits::default() }).await;
    run(&pipeline, &["a"], &context()).await;
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
