//! Every message, once in each of its shapes.

use expect_test::expect;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::{FetchCommand, FetchEnd, FetchEvent, FetchOpen, Position};
use weir_wire::forward::{
    ForwardAnswer, ForwardCheck, ForwardOpen, ForwardPart, ReplicaProgress, RevisionProgress, StatusAnswer,
    StatusAsk,
};
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, MetadataIndex, NodeId, Offset, PartitionEpoch, PartitionIndex,
    ProducerEpoch, ProducerId, Revision, Sequence, TopicId,
};
use weir_wire::lane::{Acks, LaneAnswer, LaneBatch, LaneOpen, LaneTarget, Outcome, Promise, Run};
use weir_wire::metadata::VoterProgress;
use weir_wire::open::{
    ALPN_CLIENT, ALPN_METADATA, ALPN_REPLICATION, StreamAnswer, StreamKind, StreamOpen, VERSIONS,
    VersionRange,
};
use weir_wire::replication::{FollowerFrame, LeaderFrame, ReplicaOpen, Subscription};
use weir_wire::request::{
    AlterTopic, ClusterDescription, ClusterMetadata, ConfigEntry, CreateTopic, DeleteRecords, DeleteTopic,
    DescribeCluster, DescribeTopic, ElectLeaders, Election, ElectionKind, InitProducer, LeadersElected,
    ListOffsets, ListedOffset, Metadata, NodeDescription, NodeEntry, NodeStanding, OffsetSpec, OffsetsListed,
    PartitionEntry, PartitionFigures, PartitionState, ProducerGranted, QuorumView, RecordsDeleted,
    ReplicaState, Request, RequestHeader, RequestKind, ResponseHeader, TopicAltered, TopicCreated,
    TopicDeleted, TopicDescription, TopicEntry,
};

use crate::Golden;

const CLUSTER: ClusterId = ClusterId([0xcc; 16]);
const TOPIC: TopicId = TopicId([0x70; 16]);

fn error(code: ErrorCode) -> WireError {
    WireError::new(code, "no")
}

#[test]
fn opening_a_stream() {
    let mut golden = Golden::default();
    for (name, kind) in [
        ("open control", StreamKind::CONTROL),
        ("open produce", StreamKind::PRODUCE),
        ("open fetch", StreamKind::FETCH),
        ("open sink", StreamKind::SINK),
        ("open replica live", StreamKind::REPLICA_LIVE),
        ("open replica catch-up", StreamKind::REPLICA_CATCH_UP),
        ("open forward", StreamKind::FORWARD),
        ("open status", StreamKind::STATUS),
        ("open component", StreamKind::COMPONENT),
        ("open plugin lines", StreamKind::PLUGIN_LINES),
    ] {
        golden.header(name, &StreamOpen { kind, versions: VERSIONS });
    }
    let versions = VersionRange { min: 2, max: 300 };
    golden.header("open another", &StreamOpen { kind: StreamKind(99), versions });
    golden.header("opened", &StreamAnswer::Opened { version: 1, cluster: CLUSTER, node: NodeId(300) });
    golden.header("refused", &StreamAnswer::Refused(error(ErrorCode::UnsupportedVersion)));
    expect![[r#"
        open control                 01 01 01
        open produce                 02 01 01
        open fetch                   03 01 01
        open sink                    04 01 01
        open replica live            05 01 01
        open replica catch-up        06 01 01
        open forward                 07 01 01
        open status                  08 01 01
        open component               09 01 01
        open plugin lines            0a 01 01
        open another                 63 02 ac 02
        opened                       00 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc ac 02
        refused                      01 02 02 6e 6f
    "#]]
    .assert_eq(&golden.0);
    assert_eq!(
        [ALPN_CLIENT, ALPN_REPLICATION, ALPN_METADATA],
        [&b"weir-client/1"[..], b"weir-repl/1", b"weir-meta/1"]
    );
}

#[test]
fn the_headers_of_requests_and_responses() {
    let mut golden = Golden::default();
    golden.header(
        "request, cluster unknown",
        &RequestHeader {
            correlation: 0,
            kind: RequestKind(1),
            cluster: None,
            metadata_index: MetadataIndex(0),
        },
    );
    golden.header(
        "request",
        &RequestHeader {
            correlation: u64::MAX,
            kind: RequestKind(300),
            cluster: Some(CLUSTER),
            metadata_index: MetadataIndex(7),
        },
    );
    golden.header(
        "response",
        &ResponseHeader { correlation: 300, metadata_index: MetadataIndex(8), error: None },
    );
    golden.header(
        "response, error",
        &ResponseHeader {
            correlation: 1,
            metadata_index: MetadataIndex(8),
            error: Some(error(ErrorCode::UnknownTopic)),
        },
    );
    expect![[r#"
        request, cluster unknown     00 01 00 00
        request                      ff ff ff ff ff ff ff ff ff 01 ac 02 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 07
        response                     ac 02 08 00
        response, error              01 08 01 05 02 6e 6f
    "#]].assert_eq(&golden.0);
}

#[test]
fn the_numbers_of_requests_are_given_once_and_for_all() {
    let kinds = [
        (Metadata::KIND, Metadata::NAME),
        (CreateTopic::KIND, CreateTopic::NAME),
        (DeleteRecords::KIND, DeleteRecords::NAME),
        (DeleteTopic::KIND, DeleteTopic::NAME),
        (DescribeTopic::KIND, DescribeTopic::NAME),
        (InitProducer::KIND, InitProducer::NAME),
        (ListOffsets::KIND, ListOffsets::NAME),
        (DescribeCluster::KIND, DescribeCluster::NAME),
        (ElectLeaders::KIND, ElectLeaders::NAME),
        (AlterTopic::KIND, AlterTopic::NAME),
    ];
    let named: Vec<_> = kinds.iter().map(|(kind, name)| format!("{} {name}", kind.0)).collect();
    expect![[r#"
        1 metadata
        2 create_topic
        33 delete_records
        3 delete_topic
        4 describe_topic
        5 init_producer
        6 list_offsets
        30 describe_cluster
        31 elect_leaders
        32 alter_topic"#]]
    .assert_eq(&named.join("\n"));
}

#[test]
fn requests_about_topics() {
    let mut golden = Golden::default();
    golden.body(
        "create_topic",
        &CreateTopic {
            name: "quakes".to_owned(),
            partitions: Some(12),
            replication_factor: None,
            configs: vec![("retention.ms".to_owned(), "-1".to_owned())],
        },
    );
    golden.body("create_topic answer", &TopicCreated { id: TOPIC, partitions: 12, replication_factor: 3 });
    let (topic, partition) = (TopicId([7; 16]), PartitionIndex(3));
    golden.body("delete_records", &DeleteRecords { topic, partition, before: Some(Offset(77)) });
    golden.body("delete_records all", &DeleteRecords { topic, partition, before: None });
    golden.body("records_deleted", &RecordsDeleted { log_start: Offset(77) });
    golden.body("delete_topic", &DeleteTopic { name: "quakes".to_owned() });
    golden.body("delete_topic answer", &TopicDeleted { id: TOPIC });
    golden.body("describe_topic", &DescribeTopic { name: "quakes".to_owned() });
    golden.body(
        "describe_topic answer",
        &TopicDescription {
            name: "q".to_owned(),
            id: TOPIC,
            revision: Revision(2),
            configs: vec![ConfigEntry { key: "k".to_owned(), value: "v".to_owned(), is_set: true }],
            partitions: vec![
                PartitionState {
                    index: PartitionIndex(0),
                    leader: Some(NodeId(1)),
                    leader_epoch: LeaderEpoch(5),
                    isr: vec![NodeId(1), NodeId(2)],
                    elr: vec![NodeId(3)],
                    offline: vec![NodeId(4)],
                    log_start: Some(Offset(10)),
                    high_watermark: Some(Offset(300)),
                    replicas: vec![
                        ReplicaState { node: NodeId(1), log_end: Some(Offset(301)) },
                        ReplicaState { node: NodeId(2), log_end: None },
                    ],
                },
                PartitionState {
                    index: PartitionIndex(1),
                    leader: None,
                    leader_epoch: LeaderEpoch(0),
                    isr: Vec::new(),
                    elr: Vec::new(),
                    offline: Vec::new(),
                    log_start: None,
                    high_watermark: None,
                    replicas: Vec::new(),
                },
            ],
        },
    );
    expect![[r#"
        create_topic                 06 71 75 61 6b 65 73 01 0c 00 01 0c 72 65 74 65 6e 74 69 6f 6e 2e 6d 73 02 2d 31
        create_topic answer          70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 0c 03
        delete_records               07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 03 01 4d
        delete_records all           07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 07 03 00
        records_deleted              4d
        delete_topic                 06 71 75 61 6b 65 73
        delete_topic answer          70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70
        describe_topic               06 71 75 61 6b 65 73
        describe_topic answer        01 71 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 01 01 6b 01 76 01 02 00 01 01 05 02 01 02 01 03 01 04 01 0a 01 ac 02 02 01 01 ad 02 02 00 01 00 00 00 00 00 00 00 00
    "#]].assert_eq(&golden.0);
}

#[test]
fn requests_about_the_cluster() {
    let mut golden = Golden::default();
    golden.body("describe_cluster", &DescribeCluster);
    let node = |node, rack: Option<&str>, standing| NodeDescription {
        node: NodeId(node),
        address: "h:9440".to_owned(),
        rack: rack.map(str::to_owned),
        incarnation: Incarnation(300),
        standing,
        leads: 2,
        replicas: 3,
    };
    golden.body(
        "describe_cluster answer",
        &ClusterDescription {
            cluster: CLUSTER,
            answered_by: NodeId(1),
            applied: MetadataIndex(301),
            quorum: QuorumView {
                controller: Some(NodeId(2)),
                term: 300,
                last_index: Some(301),
                committed_index: None,
                acknowledged_ms: Some(3),
                members: vec![
                    VoterProgress { node: NodeId(1), is_voter: true, matched_index: Some(300) },
                    VoterProgress { node: NodeId(4), is_voter: false, matched_index: None },
                ],
                is_from_controller: true,
            },
            nodes: vec![
                node(1, Some("a"), NodeStanding::Live),
                node(2, None, NodeStanding::Stopping),
                node(3, None, NodeStanding::Fenced),
            ],
            partitions: PartitionFigures {
                total: 300,
                leaderless: 1,
                under_replicated: 2,
                under_min_isr: 3,
                not_preferred: 4,
            },
        },
    );
    let elect = |topic: Option<&str>, partition, kind| ElectLeaders {
        topic: topic.map(str::to_owned),
        partition,
        kind,
    };
    golden.body("elect_leaders of all", &elect(None, None, ElectionKind::Preferred));
    golden.body("elect_leaders of one", &elect(Some("q"), Some(PartitionIndex(3)), ElectionKind::Unclean));
    let election = |outcome| Election { topic: "q".to_owned(), partition: PartitionIndex(3), outcome };
    golden.body(
        "elect_leaders answer",
        &LeadersElected {
            elections: vec![
                election(Ok((NodeId(1), LeaderEpoch(300)))),
                election(Err(error(ErrorCode::LeaderNotAvailable))),
            ],
        },
    );
    golden.body(
        "alter_topic",
        &AlterTopic {
            name: "q".to_owned(),
            configs: vec![("k".to_owned(), Some("v".to_owned())), ("l".to_owned(), None)],
            partitions: Some(12),
        },
    );
    golden.body("alter_topic answer", &TopicAltered { id: TOPIC, partitions: 12, revision: Revision(2) });
    expect![[r#"
        describe_cluster            
        describe_cluster answer      cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 01 ad 02 01 02 ac 02 01 ad 02 00 01 03 02 01 01 01 ac 02 04 00 00 01 03 01 06 68 3a 39 34 34 30 01 01 61 ac 02 00 02 03 02 06 68 3a 39 34 34 30 00 ac 02 01 02 03 03 06 68 3a 39 34 34 30 00 ac 02 02 02 03 ac 02 01 02 03 04
        elect_leaders of all         00 00 00
        elect_leaders of one         01 01 71 01 03 01
        elect_leaders answer         02 01 71 03 00 01 ac 02 01 71 03 01 11 02 6e 6f
        alter_topic                  01 71 02 01 6b 01 01 76 01 6c 00 01 0c
        alter_topic answer           70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 0c 02
    "#]]
    .assert_eq(&golden.0);
}

#[test]
fn metadata() {
    let mut golden = Golden::default();
    golden.body("metadata of all", &Metadata { topics: None });
    golden.body("metadata of some", &Metadata { topics: Some(vec!["a".to_owned(), "b".to_owned()]) });
    golden.body(
        "metadata answer",
        &ClusterMetadata {
            cluster: CLUSTER,
            controller: Some(NodeId(1)),
            nodes: vec![NodeEntry { id: NodeId(1), address: "h:9440".to_owned() }],
            topics: vec![TopicEntry {
                name: "q".to_owned(),
                id: TOPIC,
                revision: Revision(1),
                batch_bytes_max: 1_048_588,
                partitions: vec![PartitionEntry {
                    index: PartitionIndex(0),
                    leader: Some(NodeId(1)),
                    leader_epoch: LeaderEpoch(2),
                    partition_epoch: PartitionEpoch(3),
                    replicas: vec![NodeId(1)],
                    isr: vec![NodeId(1)],
                    elr: Vec::new(),
                }],
            }],
        },
    );
    golden.body(
        "metadata answer, empty",
        &ClusterMetadata { cluster: CLUSTER, controller: None, nodes: Vec::new(), topics: Vec::new() },
    );
    expect![[r#"
        metadata of all              00
        metadata of some             01 02 01 61 01 62
        metadata answer              cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 01 01 01 01 06 68 3a 39 34 34 30 01 01 71 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 8c 80 40 01 00 01 01 02 03 01 01 01 01 00
        metadata answer, empty       cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 00 00 00
    "#]].assert_eq(&golden.0);
}

#[test]
fn producers_and_offsets() {
    let mut golden = Golden::default();
    golden.body("init_producer", &InitProducer { count: 4 });
    golden.body(
        "init_producer answer",
        &ProducerGranted { first: ProducerId(1000), count: 4, epoch: ProducerEpoch(0) },
    );
    golden.body(
        "list_offsets",
        &ListOffsets {
            topic: TOPIC,
            partitions: vec![
                (PartitionIndex(0), None, OffsetSpec::Earliest),
                (PartitionIndex(1), Some(LeaderEpoch(4)), OffsetSpec::Latest),
                (PartitionIndex(2), None, OffsetSpec::Timestamp(-1)),
            ],
        },
    );
    golden.body(
        "list_offsets answer",
        &OffsetsListed {
            offsets: vec![
                Ok(ListedOffset { offset: Offset(300), leader_epoch: LeaderEpoch(4) }),
                Err(error(ErrorCode::UnknownPartition)),
            ],
        },
    );
    expect![[r#"
        init_producer                04
        init_producer answer         e8 07 04 00
        list_offsets                 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 03 00 00 00 01 01 04 01 02 00 02 01
        list_offsets answer          02 00 ac 02 04 01 07 02 6e 6f
    "#]].assert_eq(&golden.0);
}

#[test]
fn lanes() {
    let mut golden = Golden::default();
    let open = LaneOpen {
        cluster: CLUSTER,
        topic: TOPIC,
        producer: Some((ProducerId(1000), ProducerEpoch(2))),
        acks: Acks::All,
        revision: Revision(1),
        target: LaneTarget::Explicit { partition: PartitionIndex(3), leader_epoch: LeaderEpoch(4) },
    };
    golden.body("lane open, explicit", &open);
    let guess = LaneTarget::Guessed { partition: PartitionIndex(3), leader_epoch: LeaderEpoch(4) };
    golden.body("lane open, guessed", &LaneOpen { acks: Acks::Leader, target: guess, ..open });
    golden.body(
        "lane open, unguessed",
        &LaneOpen { acks: Acks::None, producer: None, target: LaneTarget::Unguessed, ..open },
    );
    golden.header("lane batch", &LaneBatch { ordinal: 300, resent: true });
    let promise = Promise { replicas: 3, flushed: true, revision: Revision(1) };
    golden.header(
        "lane answer, empty",
        &LaneAnswer { ordinal: 0, promise, outcomes: Vec::new(), runs: Vec::new() },
    );
    let stored =
        |base_offset, duplicate| Outcome::Stored { partition: PartitionIndex(1), base_offset, duplicate };
    let outcomes = [
        ("stored", stored(Some(Offset(300)), false)),
        ("stored long ago", stored(None, true)),
        ("dropped", Outcome::Dropped),
        ("rejected", Outcome::Rejected(error(ErrorCode::Internal))),
        ("failed", Outcome::Failed(error(ErrorCode::CorruptBatch))),
        ("retry", Outcome::Retry(error(ErrorCode::Busy))),
        ("unknown", Outcome::Unknown(error(ErrorCode::OutcomeUnknown))),
    ];
    for (name, outcome) in outcomes {
        let (outcomes, runs) = (vec![outcome], vec![Run { records: 500, outcome: 0 }]);
        golden.header(name, &LaneAnswer { ordinal: 300, promise, outcomes, runs });
    }
    expect![[r#"
        lane open, explicit          cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 e8 07 02 02 01 00 03 04
        lane open, guessed           cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 e8 07 02 01 01 01 03 04
        lane open, unguessed         cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 00 00 01 02
        lane batch                   ac 02 01
        lane answer, empty           00 03 01 01 00 00
        stored                       ac 02 03 01 01 01 00 01 01 ac 02 00 01 f4 03 00
        stored long ago              ac 02 03 01 01 01 00 01 00 01 01 f4 03 00
        dropped                      ac 02 03 01 01 01 01 01 f4 03 00
        rejected                     ac 02 03 01 01 01 02 00 02 6e 6f 01 f4 03 00
        failed                       ac 02 03 01 01 01 03 13 02 6e 6f 01 f4 03 00
        retry                        ac 02 03 01 01 01 04 21 02 6e 6f 01 f4 03 00
        unknown                      ac 02 03 01 01 01 05 1d 02 6e 6f 01 f4 03 00
    "#]].assert_eq(&golden.0);
}

#[test]
fn fetching() {
    let mut golden = Golden::default();
    golden.body("fetch open", &FetchOpen { cluster: CLUSTER, frame_bytes_max: 1 << 20 });
    let subscribe = |epoch| FetchCommand::Subscribe {
        subscription: 1,
        topic: TOPIC,
        partition: PartitionIndex(2),
        leader_epoch: LeaderEpoch(3),
        position: Position { offset: Offset(300), epoch },
    };
    golden.header("subscribe", &subscribe(None));
    golden.header("subscribe, epoch known", &subscribe(Some(LeaderEpoch(2))));
    golden.header("unsubscribe", &FetchCommand::Unsubscribe { subscription: 1 });
    golden.header("credit", &FetchCommand::Credit { bytes: 1 << 20 });
    golden.header(
        "data",
        &FetchEvent::Data {
            subscription: 1,
            next_offset: Offset(301),
            high_watermark: Offset(302),
            leader_epoch: LeaderEpoch(3),
        },
    );
    golden.header("caught up", &FetchEvent::CaughtUp { subscription: 1, high_watermark: Offset(302) });
    let ended = |reason| FetchEvent::Ended { subscription: 1, reason };
    golden.header(
        "ended, out of range",
        &ended(FetchEnd::OutOfRange { log_start: Offset(5), high_watermark: Offset(6) }),
    );
    let diverges_at = Position { offset: Offset(5), epoch: Some(LeaderEpoch(1)) };
    golden.header("ended, truncated", &ended(FetchEnd::Truncated { diverges_at }));
    golden.header("ended, error", &ended(FetchEnd::Error(error(ErrorCode::NotLeader))));
    expect![[r#"
        fetch open                   cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 80 80 40
        subscribe                    00 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 03 ac 02 00
        subscribe, epoch known       00 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 03 ac 02 01 02
        unsubscribe                  01 01
        credit                       02 80 80 40
        data                         00 01 ad 02 ae 02 03
        caught up                    01 01 ae 02
        ended, out of range          02 01 00 05 06
        ended, truncated             02 01 01 05 01 01
        ended, error                 02 01 02 0e 02 6e 6f
    "#]]
    .assert_eq(&golden.0);
}

#[test]
fn replicating() {
    let mut golden = Golden::default();
    golden.body(
        "replica open",
        &ReplicaOpen { cluster: CLUSTER, follower: NodeId(2), incarnation: Incarnation(300), session: 9 },
    );
    let subscription = Subscription(7);
    let subscribe = |last_epoch| FollowerFrame::Subscribe {
        subscription,
        topic: TOPIC,
        partition: PartitionIndex(2),
        leader_epoch: LeaderEpoch(3),
        leader_incarnation: Incarnation(4),
        log_end: Offset(300),
        flushed_end: Offset(299),
        last_epoch,
    };
    golden.header("follow", &subscribe(None));
    golden.header("follow, epoch known", &subscribe(Some(LeaderEpoch(2))));
    golden.header(
        "report",
        &FollowerFrame::Report { subscription, log_end: Offset(301), flushed_end: Offset(300) },
    );
    golden.header("unfollow", &FollowerFrame::Unsubscribe { subscription });
    golden.header("catch-up credit", &FollowerFrame::Credit { bytes: 1 << 20 });
    let (high_watermark, log_start) = (Offset(302), Offset(1));
    golden.header(
        "followed",
        &LeaderFrame::Subscribed { subscription, from: Offset(300), high_watermark, log_start },
    );
    golden
        .header("diverged", &LeaderFrame::Diverged { subscription, epoch: LeaderEpoch(1), end: Offset(200) });
    golden.header("out of range", &LeaderFrame::OutOfRange { subscription, log_start });
    golden
        .header("following ended", &LeaderFrame::Ended { subscription, error: error(ErrorCode::NotLeader) });
    let from = Offset(300);
    golden.header("replica data", &LeaderFrame::Data { subscription, from, high_watermark, log_start });
    golden.header("marks", &LeaderFrame::Marks { subscription, from, high_watermark, log_start });
    expect![[r#"
        replica open                 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 02 ac 02 09
        follow                       00 07 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 03 04 ac 02 ab 02 00
        follow, epoch known          00 07 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 03 04 ac 02 ab 02 01 02
        report                       01 07 ad 02 ac 02
        unfollow                     02 07
        catch-up credit              03 80 80 40
        followed                     00 07 ac 02 ae 02 01
        diverged                     01 07 01 c8 01
        out of range                 02 07 01
        following ended              03 07 0e 02 6e 6f
        replica data                 04 07 ac 02 ae 02 01
        marks                        05 07 ac 02 ae 02 01
    "#]]
    .assert_eq(&golden.0);
}

#[test]
fn forwarding() {
    let mut golden = Golden::default();
    let producer = Some((ProducerId(300), ProducerEpoch(1)));
    golden.body("forward open", &ForwardOpen { cluster: CLUSTER, topic: TOPIC, producer, acks: Acks::All });
    let part = |check| ForwardPart {
        ordinal: 300,
        part: 2,
        partition: PartitionIndex(3),
        leader_epoch: LeaderEpoch(4),
        check,
        revision: Revision(6),
    };
    let after = Some(Sequence(5));
    golden.header("part", &part(ForwardCheck::Unchecked));
    golden.header("part, contiguous", &part(ForwardCheck::Contiguous { after }));
    golden.header("part, of a lane", &part(ForwardCheck::Lane { after: None }));
    let outcome = Outcome::Retry(error(ErrorCode::NotLeader));
    golden.header("part answered", &ForwardAnswer { ordinal: 300, part: 2, outcome, promise: None });
    let partitions = vec![PartitionIndex(0), PartitionIndex(1)];
    golden.body("status", &StatusAsk { cluster: CLUSTER, topic: TOPIC, partitions });
    let progress = ReplicaProgress {
        log_start: Offset(1),
        high_watermark: Offset(300),
        log_ends: vec![(NodeId(2), Offset(301))],
        revision: Some(RevisionProgress {
            revision: Revision(6),
            first_offset: Offset(7),
            older_end: Offset(9),
        }),
    };
    golden.body("status answered", &StatusAnswer { partitions: vec![None, Some(progress)] });
    expect![[r#"
        forward open                 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 ac 02 01 02
        part                         ac 02 02 03 04 00 06
        part, contiguous             ac 02 02 03 04 01 01 05 06
        part, of a lane              ac 02 02 03 04 02 00 06
        part answered                ac 02 02 04 0e 02 6e 6f 00
        status                       cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 01
        status answered              02 00 01 01 ac 02 01 02 ad 02 01 06 07 09
    "#]].assert_eq(&golden.0);
}

/// The number of an error code travels, and its class decides what a client does: both are part of the protocol.
#[test]
fn error_codes() {
    let mut golden = String::new();
    for number in 0..=u8::MAX {
        let Ok(error) = weir_wire::request::decode_body::<WireError>(&[number, 0]) else { break };
        golden.push_str(&format!("{number:>2} {} {:?}\n", error.code, error.code.class()));
    }
    expect![[r#"
         0 INTERNAL Final
         1 UNSUPPORTED_REQUEST CallersFault
         2 UNSUPPORTED_VERSION CallersFault
         3 INVALID_REQUEST CallersFault
         4 WRONG_CLUSTER Final
         5 UNKNOWN_TOPIC CallersFault
         6 TOPIC_RECREATED Final
         7 UNKNOWN_PARTITION CallersFault
         8 TOPIC_ALREADY_EXISTS CallersFault
         9 INVALID_TOPIC_NAME CallersFault
        10 INVALID_PARTITIONS CallersFault
        11 INVALID_REPLICATION_FACTOR CallersFault
        12 INVALID_CONFIG CallersFault
        13 UNAUTHORIZED CallersFault
        14 NOT_LEADER Retryable
        15 FENCED_LEADER_EPOCH Retryable
        16 UNKNOWN_LEADER_EPOCH Retryable
        17 LEADER_NOT_AVAILABLE Retryable
        18 OFFSET_OUT_OF_RANGE CallersFault
        19 CORRUPT_BATCH CallersFault
        20 MESSAGE_TOO_LARGE CallersFault
        21 DECOMPRESSION_LIMIT CallersFault
        22 INVALID_PRODUCER_EPOCH Final
        23 OUT_OF_ORDER_SEQUENCE Final
        24 MISSING_PART Retryable
        25 NONDETERMINISTIC_PIPELINE Final
        26 STALE_REVISION Retryable
        27 NOT_ENOUGH_REPLICAS Retryable
        28 NOT_ENOUGH_REPLICAS_AFTER_APPEND Retryable
        29 OUTCOME_UNKNOWN Final
        30 STORAGE_FULL Retryable
        31 STORAGE_FAILED Final
        32 SHUTTING_DOWN Retryable
        33 BUSY Retryable
        34 TIMED_OUT Retryable
        35 NOT_COORDINATOR Retryable
        36 COORDINATOR_LOAD_IN_PROGRESS Retryable
        37 GROUP_ID_NOT_FOUND CallersFault
        38 INVALID_GROUP_ID CallersFault
        39 UNKNOWN_MEMBER_ID Final
        40 FENCED_MEMBER_EPOCH Final
        41 UNRELEASED_INSTANCE_ID Retryable
        42 GROUP_MAX_SIZE_REACHED Final
        43 NON_EMPTY_GROUP CallersFault
        44 INVALID_REGULAR_EXPRESSION CallersFault
        45 INVALID_SUBSCRIPTION CallersFault
        46 UNSUPPORTED_ASSIGNOR CallersFault
        47 NOT_PARTITION_OWNER Final
        48 OFFSET_METADATA_TOO_LARGE CallersFault
        49 INVALID_RECORD CallersFault
        50 PLUGIN_FAILED Final
        51 DEAD_LETTERED Final
        52 UNKNOWN_PLUGIN CallersFault
        53 PLUGIN_ALREADY_EXISTS CallersFault
        54 INVALID_PLUGIN CallersFault
        55 PLUGIN_IN_USE CallersFault
        56 PIPELINE_CHANGED CallersFault
        57 PIPELINE_NOT_READY Retryable
        58 INVALID_REPLICA_ASSIGNMENT CallersFault
    "#]]
    .assert_eq(&golden);
}
