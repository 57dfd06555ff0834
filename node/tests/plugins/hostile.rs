//! Every hostile guest has a test of its name: what it is told, or what its users are told, and that nothing of it
//! stays behind. A guest without a test does not compile.

use std::sync::Arc;

use expect_test::{Expect, expect};
use weir_core::pipeline::assignment::{Member, Topic};
use weir_guests::Guest;
use weir_node::plugins::{
    Acknowledgement, BatchContext, BindingConfig, Commit, Grants, Kind, ObservedBatch, Pipeline, Plugins,
    Purpose,
};
use weir_wire::batch::Compression;
use weir_wire::ids::{Offset, PartitionIndex, Revision};
use weir_wire::lane::{LaneAnswer, Outcome, Promise, Run};

use crate::support::{
    alone, batch, binding, contents, context, described, engines, host, load, pipeline, reopen, run,
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

async fn fetched(pipeline: &Pipeline) -> Vec<String> {
    let (bytes, _) = batch(&["a", "b", "c"], Compression::None);
    let got = pipeline.fetch(bytes, PartitionIndex(1), weir_wire::batch::Limits::default()).await;
    vec![match got {
        Ok(bytes) => {
            let header = weir_wire::batch::BatchHeader::parse(&bytes).unwrap();
            format!("fetched: {} up to delta {}", contents(&bytes), header.last_offset_delta)
        }
        Err(error) => format!("not fetched: {error}"),
    }]
}

async fn assigned(plugins: &Plugins, config: BindingConfig) -> String {
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
        "calls {}, kept {}, dropped {}, rejected {}, failures {:?}, instances {}",
        figures.calls, figures.kept, figures.dropped, figures.rejected, figures.failures, figures.instances
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
    loops: expect![[""]];
    recurses: expect![[""]];
    grows: expect![[""]];
    traps_in_on_send: expect![[""]];
    errs_in_on_send: expect![[""]];
    traps_in_configure: expect![[""]];
    loops_in_configure: expect![[""]];
    errs_in_configure: expect![[""]];
    starts_slowly: expect![[""]];
    answers_too_much: expect![[""]];
    claims_too_much: expect![[""]];
    leaves_bytes: expect![[""]];
    edits_beyond: expect![[""]];
    edits_backwards: expect![[""]];
    edits_twice: expect![[""]];
    rejects_for_nothing: expect![[""]];
    replaces_by_noise: expect![[""]];
    names_a_header_ff: expect![[""]];
    reason_is_not_utf8: expect![[""]];
    knows_no_such_fact: expect![[""]];
    traps_in_on_consume: expect![[""]];
    errs_in_on_consume: expect![[""]];
    drops_all: expect![[""]];
    empties_all: expect![[""]];
    rejects_in_on_consume: expect![[""]];
    asks_for_the_principal: expect![[""]];
    traps_in_partition: expect![[""]];
    errs_in_partition: expect![[""]];
    partition_out_of_range: expect![[""]];
    partitions_too_few: expect![[""]];
    partitions_too_many: expect![[""]];
    traps_in_assign: expect![[""]];
    loops_in_assign: expect![[""]];
    errs_in_assign: expect![[""]];
    assigns_twice: expect![[""]];
    assigns_nothing: expect![[""]];
    forgets_a_partition: expect![[""]];
    assigns_to_a_stranger: expect![[""]];
    invents_a_partition: expect![[""]];
    invents_a_topic: expect![[""]];
    invents_a_member: expect![[""]];
    forgets_a_member: expect![[""]];
    imports_an_unknown: expect![[""]];
    exports_nothing: expect![[""]];
    exports_two_kinds: expect![[""]];
    exports_hollow_hooks: expect![[""]];
    exports_a_later_contract: expect![[""]];
    is_truncated: expect![[""]];
    is_too_large: expect![[""]];
    is_a_bare_module: expect![[""]];
    is_no_wasm: expect![[""]];
    is_empty: expect![[""]];
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
    expect![[""]].assert_eq(&refused);

    let component = Plugins::component(guest.component().into()).unwrap();
    let granted = plugins.load(component, Grants { wasi: true }, Purpose::Run).await.unwrap();
    let pipeline = pipeline(&plugins, alone(binding(&granted, "wasi", &[]))).await.unwrap();
    let told = [run(&pipeline, &["a"], &context()).await, run(&pipeline, &["a"], &context()).await]
        .map(|processed| described(&processed));
    expect![[""]].assert_eq(&told[0]);
    assert_eq!(told[0], told[1], "the random number is the same for every instance");
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
    assert!(figures.instances <= 1, "{figures:?}");
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
        let positions = vec![(PartitionIndex(1), Offset(8))];
        pipeline.committed(Commit { group: "readers".to_owned(), positions });
    } else {
        let told = described(&run(&pipeline, &["a"], &context()).await);
        assert!(told.starts_with("1 to partition"), "{told}");
        assert!(pipeline.wants_acknowledgements());
        let stored = Outcome::Stored { partition: PartitionIndex(1), base_offset: None, duplicate: false };
        let promise = Promise { replicas: 1, flushed: true, revision: Revision(3) };
        let runs = vec![Run { records: 1, outcome: 0 }];
        let answer = LaneAnswer { ordinal: 5, promise, outcomes: vec![stored], runs };
        let batch =
            ObservedBatch { producer: Some(7), ordinal: 5, guess: None, count: 1, base_timestamp_ms: 1000 };
        pipeline.acknowledged(Acknowledgement { batch, answer });
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
async fn traps_in_on_acknowledgement() {
    failures(&*observed("traps_in_on_acknowledgement", |_| {}).await, "trap").await;
}

#[tokio::test]
async fn loops_in_on_acknowledgement() {
    failures(&*observed("loops_in_on_acknowledgement", |_| {}).await, "time").await;
}

#[tokio::test]
async fn traps_in_close() {
    failures(&*observed("traps_in_close", |_| {}).await, "trap").await;
}

#[tokio::test]
async fn loops_in_close() {
    failures(&*observed("loops_in_close", |_| {}).await, "time").await;
}

#[tokio::test]
async fn traps_in_on_commit() {
    failures(&*observed("traps_in_on_commit", |_| {}).await, "trap").await;
}

/// On fresh instances, as hooks on the produce path normally run, a guest that counts its calls has nothing to count.
#[tokio::test]
async fn changes_its_mind() {
    let told = told("changes_its_mind", |_| {}).await;
    expect![[""]].assert_eq(&told);
}

#[tokio::test]
async fn places_by_counting() {
    let told = told("places_by_counting", |_| {}).await;
    expect![[""]].assert_eq(&told);
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

/// After any guest, everything that it held is free again.
#[tokio::test]
async fn nothing_stays_behind() {
    for name in ["loops", "grows", "recurses", "traps_in_on_send", "traps_in_partition", "answers_too_much"] {
        let plugins = host();
        let guest = Guest::named(name);
        let loaded = load(&plugins, guest.component()).await.unwrap();
        let pipeline = reopen(&plugins, alone(binding(&loaded, name, &guest.options()))).await;
        run(&pipeline, &["a"], &context()).await;
        let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
        assert_eq!(figures.instances, 0, "{name}");
        assert!(figures.memory_high_bytes <= 8 * 1024 * 1024, "{name}: {figures:?}");
    }
    // The engines are shared with the tests that run beside this one, so their pool is never quite empty.
    assert!(engines().live_instances() < 64, "{}", engines().live_instances());
}
