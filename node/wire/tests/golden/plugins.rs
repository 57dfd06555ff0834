//! Every message about plugins and pipelines.

use expect_test::expect;
use weir_wire::ids::{
    ClusterId, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision, TopicId,
};
use weir_wire::plugin::{
    ComponentAsk, ComponentChunk, ComponentPurpose, PluginDigest, PluginKind, PluginLine, PluginLines,
    PluginLinesOpen, PluginShape,
};
use weir_wire::request::{
    ActivatePipeline, BoundPlugin, ChunkTaken, DeletePlugin, DescribePipelines, ExplainTopic, ListPlugins,
    PartitionRevision, PipelineActivated, PipelineChange, PipelineDescription, PipelineLanes,
    PipelineRolledBack, PipelineStaged, PipelinesDescribed, PlacementExplained, PluginBinding, PluginDeleted,
    PluginEntry, PluginFigures, PluginPushed, PluginsListed, PushPlugin, Request, RollBackPipeline,
    ShadowAction, ShadowReport, ShadowSample, ShadowTopic, StagePipeline, StagedDescription, TopicExplained,
    TopicShadowed, UploadComponent,
};

use crate::Golden;

const CLUSTER: ClusterId = ClusterId([0xcc; 16]);
const DIGEST: PluginDigest = PluginDigest([0xdd; 32]);
const UPLOAD: [u8; 16] = [0xaa; 16];

fn bound() -> BoundPlugin {
    BoundPlugin {
        kind: PluginKind::ProducerInterceptor,
        plugin: "p".to_owned(),
        version: "1".to_owned(),
        digest: DIGEST,
        options: vec![("k".to_owned(), "v".to_owned())],
        limits: vec![("calls".to_owned(), 300)],
        on_failure: "pass".to_owned(),
        reuse: true,
    }
}

fn binding() -> PluginBinding {
    PluginBinding {
        plugin: "p".to_owned(),
        version: Some("1".to_owned()),
        options: vec![("k".to_owned(), "v".to_owned())],
        limits: vec![("calls".to_owned(), "300".to_owned())],
        on_failure: None,
    }
}

#[test]
fn the_numbers_of_plugin_requests() {
    let kinds = [
        (UploadComponent::KIND, UploadComponent::NAME),
        (PushPlugin::KIND, PushPlugin::NAME),
        (ListPlugins::KIND, ListPlugins::NAME),
        (DeletePlugin::KIND, DeletePlugin::NAME),
        (StagePipeline::KIND, StagePipeline::NAME),
        (ActivatePipeline::KIND, ActivatePipeline::NAME),
        (RollBackPipeline::KIND, RollBackPipeline::NAME),
        (DescribePipelines::KIND, DescribePipelines::NAME),
        (ExplainTopic::KIND, ExplainTopic::NAME),
        (ShadowTopic::KIND, ShadowTopic::NAME),
    ];
    let named: Vec<_> = kinds.iter().map(|(kind, name)| format!("{} {name}", kind.0)).collect();
    expect![[r#"
        60 upload_component
        61 push_plugin
        62 list_plugins
        63 delete_plugin
        64 stage_pipeline
        65 activate_pipeline
        66 roll_back_pipeline
        67 describe_pipelines
        68 explain_topic
        69 shadow_topic"#]]
    .assert_eq(&named.join("\n"));
}

#[test]
fn plugins_are_pushed_listed_and_deleted() {
    let mut golden = Golden::default();
    golden.body("upload", &UploadComponent { upload: UPLOAD, at: 300, total: 302, bytes: vec![1, 2] });
    golden.body("chunk taken", &ChunkTaken { received: 302 });
    let (name, version) = ("p".to_owned(), "1".to_owned());
    golden.body(
        "push",
        &PushPlugin {
            upload: UPLOAD,
            name: name.clone(),
            version: version.clone(),
            wasi: true,
            reuse: false,
        },
    );
    golden.body(
        "pushed",
        &PluginPushed {
            digest: DIGEST,
            kind: PluginKind::Partitioner,
            shape: PluginShape::Flat,
            component_bytes: 300,
            nodes: vec![NodeId(1), NodeId(300)],
        },
    );
    golden.body("list", &ListPlugins);
    let kinds = [
        PluginKind::ProducerInterceptor,
        PluginKind::ConsumerInterceptor,
        PluginKind::Partitioner,
        PluginKind::Assignor,
    ];
    let entry = |kind| PluginEntry {
        name: name.clone(),
        version: version.clone(),
        digest: DIGEST,
        kind,
        shape: PluginShape::Typed,
        component_bytes: 300,
        wasi: false,
        reuse: true,
        is_shipped: false,
        topics: vec!["q".to_owned()],
    };
    golden.body("listed", &PluginsListed { plugins: kinds.map(entry).to_vec() });
    golden.body("delete", &DeletePlugin { name, version });
    golden.body("deleted", &PluginDeleted);
    expect![[r#"
        upload                       aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa ac 02 ae 02 02 01 02
        chunk taken                  ae 02
        push                         aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa aa 01 70 01 31 01 00
        pushed                       dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 02 01 ac 02 02 01 ac 02
        list                        
        listed                       04 01 70 01 31 dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 00 00 ac 02 00 01 00 01 01 71 01 70 01 31 dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 01 00 ac 02 00 01 00 01 01 71 01 70 01 31 dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 02 00 ac 02 00 01 00 01 01 71 01 70 01 31 dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 03 00 ac 02 00 01 00 01 01 71
        delete                       01 70 01 31
        deleted                     
    "#]].assert_eq(&golden.0);
}

#[test]
fn pipelines_are_staged_activated_and_rolled_back() {
    let mut golden = Golden::default();
    let topic = || "q".to_owned();
    let change = PipelineChange {
        producer_interceptors: Some(vec![binding()]),
        partitioner: Some(Vec::new()),
        consumer_interceptors: None,
    };
    golden.body("stage", &StagePipeline { topic: Some(topic()), expected: Some(Revision(2)), change });
    golden.body(
        "stage, all later topics",
        &StagePipeline { topic: None, expected: None, change: PipelineChange::default() },
    );
    let (revision, in_force) = (Some(Revision(3)), Some(Revision(2)));
    golden.body("staged", &PipelineStaged { revision, in_force, plugins: vec![bound()] });
    golden.body(
        "activate",
        &ActivatePipeline { topic: topic(), revision, expected: in_force, without: vec![NodeId(300)] },
    );
    golden.body("activated", &PipelineActivated { revision: Revision(3), previous: Revision(2) });
    golden.body("roll back", &RollBackPipeline { topic: topic(), expected: None });
    golden.body("rolled back", &PipelineRolledBack { revision: Revision(4), to: Revision(2) });
    expect![[r#"
        stage                        01 01 71 01 02 01 01 01 70 01 01 31 01 01 6b 01 76 01 05 63 61 6c 6c 73 03 33 30 30 00 01 00 00
        stage, all later topics      00 00 00 00 00
        staged                       01 03 01 02 01 00 01 70 01 31 dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 01 01 6b 01 76 01 05 63 61 6c 6c 73 ac 02 04 70 61 73 73 01
        activate                     01 71 01 03 01 02 01 ac 02
        activated                    03 02
        roll back                    01 71 00
        rolled back                  04 02
    "#]].assert_eq(&golden.0);
}

#[test]
fn pipelines_are_described_and_explained() {
    let mut golden = Golden::default();
    let topic = || "q".to_owned();
    golden.body("describe", &DescribePipelines { topic: Some(topic()) });
    let staged = StagedDescription {
        revision: Revision(3),
        plugins: Vec::new(),
        ready: vec![NodeId(1)],
        waiting: vec![NodeId(2)],
        failed: vec![(NodeId(3), "no".to_owned())],
    };
    let partition = PartitionRevision {
        partition: PartitionIndex(1),
        first_offset: Some(Offset(300)),
        settled_offset: None,
        older_end: Some(Offset(301)),
    };
    let figures = PluginFigures {
        plugin: "p".to_owned(),
        version: "1".to_owned(),
        revision: Revision(2),
        calls: 1,
        kept: 2,
        replaced: 3,
        dropped: 4,
        rejected: 5,
        failures: vec![("trap".to_owned(), 6)],
        times: vec![(8, 7)],
        memory_high_bytes: 300,
        instances: 9,
        busy_us: 10,
        throttled_us: vec![("time".to_owned(), 11)],
    };
    let described = PipelineDescription {
        topic: topic(),
        id: TopicId([0x70; 16]),
        revision: Revision(2),
        origin: "so".to_owned(),
        plugins: vec![bound()],
        staged: Some(staged),
        open: vec![Revision(1)],
        partitions: vec![partition],
        figures: vec![figures],
        lanes: Some(PipelineLanes {
            open: 4,
            behind: vec![(ProducerId(5), ProducerEpoch(6))],
            moved: Vec::new(),
        }),
    };
    golden.body("described", &PipelinesDescribed { topics: vec![described] });
    golden.body("explain", &ExplainTopic { topic: topic(), key: Some(b"k".to_vec()) });
    let placement = PlacementExplained {
        partition: PartitionIndex(1),
        leader: Some(NodeId(2)),
        leader_epoch: LeaderEpoch(3),
        isr: vec![NodeId(2)],
    };
    golden.body(
        "explained",
        &TopicExplained {
            revision: Revision(2),
            plugins: Vec::new(),
            partitions: 3,
            placement: Some(placement),
            required_in_sync: 2,
            write_caching: true,
        },
    );
    expect![[r#"
        describe                     01 01 71
        described                    01 01 71 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 02 73 6f 01 00 01 70 01 31 dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 01 01 6b 01 76 01 05 63 61 6c 6c 73 ac 02 04 70 61 73 73 01 01 03 00 01 01 01 02 01 03 02 6e 6f 01 01 01 01 01 ac 02 00 01 ad 02 01 01 70 01 31 02 01 02 03 04 05 01 04 74 72 61 70 06 01 08 07 ac 02 09 0a 01 04 74 69 6d 65 0b 01 04 01 05 06 00
        explain                      01 71 01 01 6b
        explained                    02 00 03 01 01 01 02 03 01 02 02 01
    "#]].assert_eq(&golden.0);
}

#[test]
fn shadow_runs_are_started_ended_and_reported() {
    let mut golden = Golden::default();
    let start = ShadowAction::Start { revision: Some(Revision(3)), every: 10 };
    for (name, action) in [("report", ShadowAction::Report), ("start", start), ("stop", ShadowAction::Stop)] {
        golden.body(name, &ShadowTopic { topic: "q".to_owned(), action });
    }
    golden.body("none", &TopicShadowed { node: NodeId(1), run: None });
    let sample = ShadowSample {
        kind: "content".to_owned(),
        stored: Some((PartitionIndex(1), Offset(300))),
        ordinal: 4,
        index: 5,
        key: "k".to_owned(),
        in_force: "a".to_owned(),
        staged: "b".to_owned(),
    };
    let report = ShadowReport {
        revision: Revision(3),
        plugins: Vec::new(),
        every: 10,
        ended: Some("so".to_owned()),
        ran_us: 11,
        busy_us: 12,
        dropped: 13,
        batches: 14,
        records: 15,
        same: 16,
        different: vec![("content".to_owned(), 17)],
        samples: vec![sample],
        figures: Vec::new(),
    };
    golden.body("run", &TopicShadowed { node: NodeId(1), run: Some(report) });
    expect![[r#"
        report                       01 71 00
        start                        01 71 01 01 03 0a
        stop                         01 71 02
        none                         01 00
        run                          01 01 03 00 0a 01 02 73 6f 0b 0c 0d 0e 0f 10 01 07 63 6f 6e 74 65 6e 74 11 01 07 63 6f 6e 74 65 6e 74 01 01 ac 02 04 05 01 6b 01 61 01 62 00
    "#]].assert_eq(&golden.0);
}

#[test]
fn components_and_lines_on_streams() {
    let mut golden = Golden::default();
    for (name, purpose) in [("ask to send", ComponentPurpose::Send), ("ask to hold", ComponentPurpose::Hold)]
    {
        golden.body(name, &ComponentAsk { cluster: CLUSTER, digest: DIGEST, purpose });
    }
    golden.header("chunk", &ComponentChunk { at: 300 });
    golden.body(
        "follow lines",
        &PluginLinesOpen { cluster: CLUSTER, topic: Some("q".to_owned()), plugin: None },
    );
    golden.header(
        "line",
        &PluginLines::Line(PluginLine {
            wall_ms: 300,
            level: "warn".to_owned(),
            plugin: "p".to_owned(),
            version: "1".to_owned(),
            topic: "q".to_owned(),
            partition: Some(1),
            message: "so".to_owned(),
        }),
    );
    golden.header("lines missed", &PluginLines::Missed(300));
    expect![[r#"
        ask to send                  cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 00
        ask to hold                  cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd dd 01
        chunk                        ac 02
        follow lines                 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 01 01 71 00
        line                         00 d8 04 04 77 61 72 6e 01 70 01 31 01 71 01 01 02 73 6f
        lines missed                 01 ac 02
    "#]].assert_eq(&golden.0);
}
