//! Hooks that only observe: nobody waits for them, so what fails in them is counted and hurts nobody.

use std::sync::Arc;

use expect_test::expect;
use weir_guests::Guest;
use weir_node::plugins::{Acknowledgement, BindingConfig, Commit, Kind, ObservedBatch, Pipeline};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{Offset, PartitionIndex, Revision};
use weir_wire::lane::{LaneAnswer, Outcome, Promise, Run};

use crate::support::{alone, binding, context, described, host, load, pipeline, run};

pub(crate) fn commit() -> Commit {
    Commit { group: "readers".to_owned(), positions: vec![(PartitionIndex(1), Offset(8))] }
}

pub(crate) fn acknowledgement() -> Acknowledgement {
    let stored = Outcome::Stored { partition: PartitionIndex(1), base_offset: None, duplicate: false };
    let promise = Promise { replicas: 1, flushed: true, revision: Revision(3) };
    let runs = vec![Run { records: 1, outcome: 0 }];
    let answer = LaneAnswer { ordinal: 5, promise, outcomes: vec![stored], runs };
    let batch =
        ObservedBatch { producer: Some(7), ordinal: 5, guess: None, count: 1, base_timestamp_ms: 1000 };
    Acknowledgement { batch, answer }
}

/// What nobody waits for fails without anybody waiting, and is counted.
async fn observed(name: &str, change: impl FnOnce(&mut BindingConfig)) -> Arc<Pipeline> {
    let plugins = host();
    let guest = Guest::named(name);
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, name, &guest.options());
    change(&mut config);
    let pipeline = pipeline(&plugins, alone(config)).await.unwrap();
    if loaded.kind() == Kind::ConsumerInterceptor {
        assert!(pipeline.wants_commits());
        pipeline.committed(commit());
    } else {
        let told = described(&run(&pipeline, &["a"], &context()).await);
        assert!(told.starts_with("1 to partition"), "{told}");
        assert!(pipeline.wants_acknowledgements());
        pipeline.acknowledged(acknowledgement());
    }
    pipeline
}

/// Waits for the observing calls by doing other things: the runtime has one thread.
async fn failures(pipeline: &Pipeline, cause: &'static str) {
    let has_failed = || {
        let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
        figures.failures.iter().any(|(name, count)| *name == cause && *count > 0)
    };
    while !has_failed() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
pub(crate) async fn traps_in_on_acknowledgement() {
    failures(&*observed("traps_in_on_acknowledgement", |_| {}).await, "trap").await;
}

#[tokio::test]
pub(crate) async fn loops_in_on_acknowledgement() {
    failures(&*observed("loops_in_on_acknowledgement", |_| {}).await, "time").await;
}

#[tokio::test]
pub(crate) async fn traps_in_close() {
    failures(&*observed("traps_in_close", |_| {}).await, "trap").await;
}

#[tokio::test]
pub(crate) async fn loops_in_close() {
    failures(&*observed("loops_in_close", |_| {}).await, "time").await;
}

#[tokio::test]
pub(crate) async fn traps_in_on_commit() {
    failures(&*observed("traps_in_on_commit", |_| {}).await, "trap").await;
}

/// What became of the records of a batch, as the hook is told it, with the numbers of rejections.
#[tokio::test]
pub(crate) async fn tells_what_became() {
    let plugins = host();
    let guest = Guest::named("tells_what_became");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let pipeline = pipeline(&plugins, alone(binding(&loaded, guest.name, &guest.options()))).await.unwrap();
    let mut lines = plugins.follow_lines();
    let error = |code, sentence: &str| WireError::new(code, sentence);
    let stored = |partition, offset: Option<u64>, duplicate| Outcome::Stored {
        partition: PartitionIndex(partition),
        base_offset: offset.map(Offset),
        duplicate,
    };
    let outcomes = vec![
        stored(1, Some(70), false),
        stored(2, None, true),
        Outcome::Dropped,
        Outcome::Rejected(error(ErrorCode::InvalidRecord, "field id is missing (code 7)")),
        Outcome::Rejected(error(ErrorCode::InvalidRecord, "not JSON")),
        Outcome::Rejected(error(
            ErrorCode::PluginFailed,
            "plugin 'a@1' failed in 'on-send': a test (code 7)",
        )),
        Outcome::Failed(error(ErrorCode::MessageTooLarge, "too large")),
        Outcome::Unknown(error(ErrorCode::TimedOut, "nobody answered")),
    ];
    let runs: Vec<_> = (0..8).map(|outcome| Run { records: outcome + 1, outcome }).collect();
    let promise = Promise { replicas: 1, flushed: true, revision: Revision(3) };
    let batch =
        ObservedBatch { producer: Some(7), ordinal: 5, guess: None, count: 36, base_timestamp_ms: 1000 };
    pipeline
        .acknowledged(Acknowledgement { batch, answer: LaneAnswer { ordinal: 5, promise, outcomes, runs } });
    let told = lines.recv().await.unwrap().message.replace("), Out", "),\nOut");
    expect![[r#"
        batch 5 of 36: [Outcome::Stored(Stored { partition: 1, base-offset: Some(70), duplicate: false }),
        Outcome::Stored(Stored { partition: 2, base-offset: None, duplicate: true }),
        Outcome::Dropped, Outcome::Rejected(Rejection { code: 7, reason: "field id is missing" }),
        Outcome::Rejected(Rejection { code: 0, reason: "not JSON" }),
        Outcome::Rejected(Rejection { code: 0, reason: "plugin 'a@1' failed in 'on-send': a test (code 7)" }),
        Outcome::Failed("too large"),
        Outcome::Unknown("nobody answered")], runs [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7)]"#]]
    .assert_eq(&told);
}
