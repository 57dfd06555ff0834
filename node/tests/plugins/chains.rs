//! Chains of plugins that do what they should, with the ones that ship.

use std::sync::Arc;

use expect_test::expect;
use weir_core::pipeline::failing::OnFailure;
use weir_core::pipeline::placing::DefaultPartitioner;
use weir_node::plugins::{
    BatchContext, BatchTarget, BindingConfig, Bindings, Kind, Limits, Place, Plugins, Processed,
};
use weir_wire::batch::{self, Compression};
use weir_wire::ids::{PartitionIndex, ProducerId};
use weir_wire::lane::Outcome;

use crate::support::{
    PARTITIONS, alone, batch, binding, contents, context, described, host, load, pipeline, place, reopen,
    run, tight,
};

/// A plugin of `plugins/`, bound with options `name=value`.
async fn shipped(plugins: &Plugins, name: &str, options: &[&str]) -> BindingConfig {
    let component: &[u8] = match name {
        "filter" => include_bytes!("../../../plugins/filter/filter.wasm"),
        "hash" => include_bytes!("../../../plugins/hash/hash.wasm"),
        "redact" => include_bytes!("../../../plugins/redact/redact.wasm"),
        "require-json" => include_bytes!("../../../plugins/require-json/require-json.wasm"),
        "stamp" => include_bytes!("../../../plugins/stamp/stamp.wasm"),
        _ => panic!("there is no plugin {name}"),
    };
    let loaded = load(plugins, component).await.unwrap();
    let options: Vec<_> = options
        .iter()
        .map(|option| option.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    binding(&loaded, name, &options)
}

/// Without a change a batch keeps its bytes through any number of interceptors of either shape, also if it is packed.
#[tokio::test]
async fn a_batch_that_nobody_changes_keeps_its_bytes() {
    let plugins = host();
    let flat = load(&plugins, weir_guests::PASS_FLAT).await.unwrap();
    let wrapped = load(&plugins, weir_guests::PASS_FLAT_CORE).await.unwrap();
    let typed = load(&plugins, weir_guests::PASS_TYPED).await.unwrap();
    let chain = [&flat, &typed, &wrapped].map(|plugin| binding(plugin, "pass", &[]));
    let bindings = Bindings { producer_interceptors: chain.to_vec(), ..Bindings::default() };
    let pipeline = pipeline(&plugins, bindings).await.unwrap();
    let context = BatchContext { target: BatchTarget::Explicit(PartitionIndex(2)), ..context() };
    for compression in [Compression::None, Compression::Zstd] {
        let (bytes, records) = batch(&["a", "b", "c"], compression);
        let Processed::Placed { placement, batches } = pipeline.run(bytes.clone(), records, &context).await
        else {
            panic!("a batch is placed")
        };
        assert_eq!(placement.only_partition(), Some(PartitionIndex(2)));
        assert_eq!(batches, [bytes]);
    }
    for figures in pipeline.snapshots() {
        assert_eq!((figures.calls, figures.kept, figures.failures.len()), (2, 6, 0), "{figures:?}");
    }
}

#[tokio::test]
async fn a_chain_rejects_redacts_and_stamps_in_order() {
    let plugins = host();
    let chain = vec![
        shipped(&plugins, "require-json", &["required=id"]).await,
        shipped(&plugins, "redact", &["mask=card", "remove=pin"]).await,
        shipped(&plugins, "stamp", &["headers=principal,entry-node,revision"]).await,
    ];
    let bindings = Bindings { producer_interceptors: chain, ..Bindings::default() };
    let pipeline = pipeline(&plugins, bindings).await.unwrap();
    let values =
        [r#"{"id":1,"card":"4111","pin":9}"#, "not json", r#"{"id":2}"#, r#"{"card":"x"}"#, r#"{"id":3}"#];
    let explicit = BatchContext { target: BatchTarget::Explicit(PartitionIndex(2)), ..context() };
    let mut told = String::new();
    for (title, context) in [("placed by key", context()), ("for partition 2", explicit)] {
        told += &format!("{title}:\n{}\n", described(&run(&pipeline, &values, &context).await));
    }
    expect![[r#"
        placed by key:
        1 to partition 3
        1 rejected: not JSON: no value at byte 0 (code 1) (INVALID_RECORD)
        1 to partition 1
        1 rejected: field id is missing (code 2) (INVALID_RECORD)
        1 to partition 3
        partition 3: 0@1000 k0={"id":1,"card":"***"} weir-principal:alice weir-entry-node:2 weir-revision:3, 1@1004 k4={"id":3} weir-principal:alice weir-entry-node:2 weir-revision:3
        partition 1: 0@1002 k2={"id":2} weir-principal:alice weir-entry-node:2 weir-revision:3
        for partition 2:
        1 to partition 2
        1 rejected: not JSON: no value at byte 0 (code 1) (INVALID_RECORD)
        1 to partition 2
        1 rejected: field id is missing (code 2) (INVALID_RECORD)
        1 to partition 2
        partition 2: 0@1000 k0={"id":1,"card":"***"} weir-principal:alice weir-entry-node:2 weir-revision:3, 2@1002 k2={"id":2} weir-principal:alice weir-entry-node:2 weir-revision:3, 4@1004 k4={"id":3} weir-principal:alice weir-entry-node:2 weir-revision:3
    "#]].assert_eq(&told);
}

/// The component places every key where the native rule does, with and without a guess.
#[tokio::test]
async fn the_hash_component_is_the_default_rule() {
    let plugins = host();
    let pipeline = pipeline(&plugins, alone(shipped(&plugins, "hash", &[]).await)).await.unwrap();
    for (target, guess) in
        [(BatchTarget::Guessed(PartitionIndex(3)), Some(PartitionIndex(3))), (BatchTarget::Unguessed, None)]
    {
        let mut builder = batch::BatchBuilder::new(Compression::None);
        for number in 0..500_u32 {
            let key = number.to_le_bytes();
            builder.push(1, (number % 5 > 0).then_some(&key[..]), None, &[]);
        }
        let bytes = builder.finish(None);
        let (_, records) = batch::validate(&bytes, &batch::Limits::default()).unwrap();
        let rule =
            DefaultPartitioner { partitions: PARTITIONS, guess, producer: Some(ProducerId(7)), ordinal: 5 };
        let expected = rule.place(records.iter().map(|record| record.key));
        let context = BatchContext { target, ..context() };
        let Processed::Placed { placement, .. } = pipeline.run(bytes, records, &context).await else {
            panic!("a batch is placed")
        };
        assert_eq!(placement, expected);
    }
}

#[tokio::test]
async fn a_filter_drops_and_the_producer_is_told_so() {
    let plugins = host();
    let filter = shipped(&plugins, "filter", &["by=key", "is=k0,k2"]).await;
    let pipeline = pipeline(&plugins, alone(filter)).await.unwrap();
    let all_gone = BatchContext { target: BatchTarget::Explicit(PartitionIndex(0)), ..context() };
    let mut told = described(&run(&pipeline, &["a", "b", "c", "d"], &context()).await);
    let (bytes, records) = batch_of_keys(&["x", "y"]);
    told += "\n--- all gone, for an explicit partition\n";
    told += &described(&pipeline.run(bytes, records, &all_gone).await);
    let (bytes, records) = batch_of_keys(&["x", "y"]);
    told += "\n--- all gone, to be placed\n";
    told += &described(&pipeline.run(bytes, records, &context()).await);
    expect![[r#"
        1 to partition 3
        1 dropped
        1 to partition 1
        1 dropped
        partition 3: 0@1000 k0=a
        partition 1: 0@1002 k2=c
        --- all gone, for an explicit partition
        2 dropped
        partition 0: 
        --- all gone, to be placed
        2 dropped"#]]
    .assert_eq(&told);
}

/// What becomes of a record is the same wherever it stands in a batch that is shown in parts.
#[tokio::test]
async fn a_long_batch_is_shown_in_parts_to_plugins_that_want_it() {
    let plugins = host();
    let chain = vec![
        shipped(&plugins, "require-json", &["required=id"]).await,
        BindingConfig {
            limits: Limits { answer_bytes: 2 << 20, ..tight() },
            ..shipped(&plugins, "redact", &["mask=card"]).await
        },
        shipped(&plugins, "filter", &["by=field:kept", "is=yes"]).await,
    ];
    let bindings = Bindings { producer_interceptors: chain, ..Bindings::default() };
    let pipeline = pipeline(&plugins, bindings).await.unwrap();
    let padding = "x".repeat(300);
    let value = |number: u32, card: &str| {
        let kept = if number.is_multiple_of(3) { "no" } else { "yes" };
        match number % 7 {
            0 => format!(r#"{{"number":{number},"padding":"{padding}"}}"#),
            _ => format!(r#"{{"id":{number},"card":"{card}","kept":"{kept}","padding":"{padding}"}}"#),
        }
    };
    let sent: Vec<_> = (0..2500_u32).map(|number| value(number, "4111")).collect();
    let context = BatchContext { target: BatchTarget::Explicit(PartitionIndex(2)), ..context() };
    let sent: Vec<_> = sent.iter().map(String::as_str).collect();
    let Processed::Placed { placement, batches } = run(&pipeline, &sent, &context).await else {
        panic!("a batch is placed")
    };

    let records = batch::records(&batches[0], &batch::Limits::default()).unwrap();
    let stored: Vec<_> = records
        .iter()
        .map(|record| (record.offset_delta, String::from_utf8(record.value.unwrap().to_vec()).unwrap()))
        .collect();
    let left = (0..2500_u32).filter(|number| number % 7 > 0 && number % 3 > 0);
    assert_eq!(stored, left.map(|number| (number, value(number, "***"))).collect::<Vec<_>>());
    let outcomes =
        placement.runs.iter().flat_map(|run| std::iter::repeat_n(run.outcome, run.records as usize));
    for (number, outcome) in outcomes.enumerate() {
        let settled = (outcome as usize).checked_sub(placement.parts.len()).map(|of| &placement.settled[of]);
        let as_expected = match (number % 7, number % 3) {
            (0, _) => {
                matches!(settled, Some(Outcome::Rejected(error)) if error.message.contains("field id is missing"))
            }
            (_, 0) => settled == Some(&Outcome::Dropped),
            _ => settled.is_none(),
        };
        assert!(as_expected, "record {number}: {settled:?}");
    }
    for figures in pipeline.snapshots() {
        assert_eq!((figures.calls, figures.failures.len()), (1, 0), "{figures:?}");
    }

    // A guest that can tell the parts apart must not.
    let guest = weir_guests::Guest::named("appends_by_part");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let teller = reopen(&plugins, alone(binding(&loaded, guest.name, &guest.options()))).await;
    let Processed::Placed { placement, .. } = run(&teller, &sent, &context).await else {
        panic!("a batch is answered")
    };
    let [Outcome::Rejected(error)] = placement.settled.as_slice() else { panic!("{placement:?}") };
    assert!(error.message.contains("other headers are appended than before"), "{error}");
}

fn batch_of_keys(keys: &[&str]) -> (bytes::Bytes, batch::Records) {
    let mut builder = batch::BatchBuilder::new(Compression::None);
    for key in keys {
        builder.push(1, Some(key.as_bytes()), Some(b"v"), &[]);
    }
    let bytes = builder.finish(None);
    let (_, records) = batch::validate(&bytes, &batch::Limits::default()).unwrap();
    (bytes, records)
}

/// A pipeline in use is the one that it was: a batch ends on the revision that it began on.
#[tokio::test]
async fn a_revision_in_use_outlives_its_successor() {
    let plugins = host();
    let old =
        pipeline(&plugins, alone(shipped(&plugins, "stamp", &["headers=revision"]).await)).await.unwrap();
    let new = plugins
        .pipeline(
            alone(shipped(&plugins, "stamp", &["headers=revision"]).await),
            Place { revision: 4, ..place() },
            weir_node::plugins::Opening::Stage,
        )
        .await
        .unwrap();
    let on_old = {
        let old = Arc::clone(&old);
        tokio::spawn(async move { described(&run(&old, &["a"], &context()).await) })
    };
    drop(old);
    let on_new = described(&run(&new, &["a"], &context()).await);
    assert!(on_old.await.unwrap().contains("weir-revision:3"));
    assert!(on_new.contains("weir-revision:4"), "{on_new}");
}

/// A plugin that was built against the contract as it was first published still loads and answers, of every kind.
#[tokio::test]
async fn a_plugin_of_contract_1_0_loads() {
    let plugins = host();
    let mut kinds = Vec::new();
    for component in weir_guests::CONTRACT_1_0_OTHERS.into_iter().chain([weir_guests::CONTRACT_1_0]) {
        let loaded = load(&plugins, component).await.unwrap();
        kinds.push(format!("{} {}", loaded.shape().name(), loaded.kind().name()));
        let config = binding(&loaded, "first", &[]);
        if loaded.kind() == Kind::Assignor {
            let answered = crate::hostile::assigned(&plugins, config).await;
            assert!(answered.starts_with("assigned: "), "{answered}");
            continue;
        }
        let pipeline = pipeline(&plugins, alone(config)).await.unwrap();
        let Processed::Placed { batches, .. } = run(&pipeline, &["a"], &context()).await else {
            panic!("a batch is placed")
        };
        assert_eq!(contents(&batches[0]), "0@1000 k0=a");
        let fetched = crate::hostile::fetched(&pipeline).await;
        assert_eq!(fetched, ["fetched: 0@1000 k0=a, 1@1001 k1=b, 2@1002 k2=c up to delta 2"]);
        let [figures] = &pipeline.snapshots()[..] else { panic!("one plugin is bound") };
        assert!(figures.calls == 1 && figures.failures.is_empty(), "{figures:?}");
    }
    kinds.sort();
    expect![[r#"
        flat consumer interceptor
        flat partitioner
        flat producer interceptor
        typed assignor
        typed consumer interceptor
        typed partitioner
        typed producer interceptor"#]]
    .assert_eq(&kinds.join("\n"));
}

/// Where in a guest it was when it trapped stands with the dead letter.
#[tokio::test]
async fn a_dead_letter_has_the_backtrace_of_a_trap() {
    let plugins = host();
    let guest = weir_guests::Guest::named("traps_in_on_send");
    let loaded = load(&plugins, guest.component()).await.unwrap();
    let mut config = binding(&loaded, guest.name, &guest.options());
    config.on_failure = OnFailure::DeadLetter;
    let pipeline = reopen(&plugins, alone(config)).await;
    let letters = described(&run(&pipeline, &["a"], &context()).await);
    let (_, backtrace) = letters.split_once("weir.dead-letter.backtrace:").expect(&letters);
    assert!(backtrace.contains(" < "), "{letters}");
}
