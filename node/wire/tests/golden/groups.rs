//! Every message of consumer groups, and every record of `__consumer_offsets`.

use std::fmt::Write as _;

use expect_test::expect;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::group_log::{
    CurrentValue, GroupKey, GroupRecord, GroupValue, MemberValue, OffsetValue, PartitionSince, Revocation,
    TargetValue,
};
use weir_wire::ids::{GroupEpoch, LeaderEpoch, MemberEpoch, MetadataIndex, Offset, PartitionIndex, TopicId};
use weir_wire::request::{
    AssignorSet, CommitOffsets, CommittedOffset, Committer, DeleteGroup, DeleteOffsets, DescribeGroup,
    ExplainGroup, FetchOffsets, GroupDeleted, GroupDescription, GroupExplanation, GroupHeartbeat, GroupLeft,
    GroupListing, GroupPartition, GroupState, GroupsListed, JoinGroup, LeaveGroup, ListGroups,
    MemberDescription, MemberLoad, MemberState, Membership, OffsetsCommitted, OffsetsDeleted, OffsetsFetched,
    OffsetsReset, PartitionMove, PartitionOffset, Request, ResetOffsets, SetAssignor, Subscription,
    TopicPartitions,
};
use weir_wire::stored::StoredError;

use crate::Golden;

const TOPIC: TopicId = TopicId([0x70; 16]);

fn group() -> String {
    "g".to_owned()
}

fn member() -> String {
    "m".to_owned()
}

fn error(code: ErrorCode) -> WireError {
    WireError::new(code, "no")
}

fn partitions() -> Vec<TopicPartitions> {
    vec![TopicPartitions { topic: TOPIC, partitions: vec![PartitionIndex(0), PartitionIndex(300)] }]
}

fn subscription() -> Subscription {
    Subscription { topics: vec!["q".to_owned()], pattern: Some("q.*".to_owned()) }
}

fn committed() -> CommittedOffset {
    CommittedOffset { offset: Offset(300), leader_epoch: Some(LeaderEpoch(4)), metadata: "seen".to_owned() }
}

fn offsets() -> Vec<PartitionOffset> {
    let bare = CommittedOffset { offset: Offset(0), leader_epoch: None, metadata: String::new() };
    vec![
        PartitionOffset { topic: TOPIC, partition: PartitionIndex(1), committed: committed() },
        PartitionOffset { topic: TOPIC, partition: PartitionIndex(2), committed: bare },
    ]
}

#[test]
fn the_numbers_of_group_requests() {
    let kinds = [
        (JoinGroup::KIND, JoinGroup::NAME),
        (GroupHeartbeat::KIND, GroupHeartbeat::NAME),
        (LeaveGroup::KIND, LeaveGroup::NAME),
        (CommitOffsets::KIND, CommitOffsets::NAME),
        (FetchOffsets::KIND, FetchOffsets::NAME),
        (DeleteOffsets::KIND, DeleteOffsets::NAME),
        (ListGroups::KIND, ListGroups::NAME),
        (DescribeGroup::KIND, DescribeGroup::NAME),
        (DeleteGroup::KIND, DeleteGroup::NAME),
        (ResetOffsets::KIND, ResetOffsets::NAME),
        (SetAssignor::KIND, SetAssignor::NAME),
        (ExplainGroup::KIND, ExplainGroup::NAME),
    ];
    let named: Vec<_> = kinds.iter().map(|(kind, name)| format!("{} {name}", kind.0)).collect();
    expect![[r#"
        40 join_group
        41 group_heartbeat
        42 leave_group
        43 commit_offsets
        44 fetch_offsets
        45 delete_offsets
        46 list_groups
        47 describe_group
        48 delete_group
        49 reset_offsets
        50 set_assignor
        51 explain_group"#]]
    .assert_eq(&named.join("\n"));
}

#[test]
fn membership() {
    let mut golden = Golden::default();
    golden.body(
        "join_group",
        &JoinGroup {
            group: group(),
            member: member(),
            instance: Some("i".to_owned()),
            subscription: subscription(),
            rebalance_timeout_ms: 300,
        },
    );
    let plain = Subscription { topics: Vec::new(), pattern: None };
    golden.body(
        "join_group, nothing set",
        &JoinGroup {
            group: group(),
            member: member(),
            instance: None,
            subscription: plain,
            rebalance_timeout_ms: 0,
        },
    );
    let answer = |assignment| Membership {
        member_epoch: MemberEpoch(300),
        assignment,
        heartbeat_interval_ms: 3000,
        session_timeout_ms: 15000,
    };
    golden.body("membership", &answer(Some(partitions())));
    golden.body("membership as confirmed", &answer(None));
    golden.body(
        "group_heartbeat",
        &GroupHeartbeat {
            group: group(),
            member: member(),
            confirmed: MemberEpoch(300),
            heard: MemberEpoch(301),
            subscription: Some(subscription()),
            wait_ms_max: 3000,
        },
    );
    golden.body(
        "leave_group",
        &LeaveGroup { group: group(), member: member(), member_epoch: MemberEpoch(300), returns: true },
    );
    golden.body("leave_group answer", &GroupLeft {});
    expect![[r#"
        join_group                   01 67 01 6d 01 01 69 01 01 71 01 03 71 2e 2a ac 02
        join_group, nothing set      01 67 01 6d 00 00 00 00
        membership                   ac 02 01 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02 b8 17 98 75
        membership as confirmed      ac 02 00 b8 17 98 75
        group_heartbeat              01 67 01 6d ac 02 ad 02 01 01 01 71 01 03 71 2e 2a b8 17
        leave_group                  01 67 01 6d ac 02 01
        leave_group answer          
    "#]].assert_eq(&golden.0);
}

#[test]
fn committing() {
    let mut golden = Golden::default();
    let committer = Some(Committer { member: member(), member_epoch: MemberEpoch(300) });
    golden.body("commit_offsets", &CommitOffsets { group: group(), committer, offsets: offsets() });
    golden.body(
        "commit_offsets, no member",
        &CommitOffsets { group: group(), committer: None, offsets: Vec::new() },
    );
    golden.body(
        "commit_offsets answer",
        &OffsetsCommitted { results: vec![Ok(()), Err(error(ErrorCode::NotPartitionOwner))] },
    );
    golden.body("fetch_offsets of some", &FetchOffsets { group: group(), partitions: Some(partitions()) });
    golden.body("fetch_offsets of all", &FetchOffsets { group: group(), partitions: None });
    golden.body("fetch_offsets answer", &OffsetsFetched { offsets: offsets() });
    golden.body("delete_offsets", &DeleteOffsets { group: group(), partitions: partitions() });
    golden.body("delete_offsets answer", &OffsetsDeleted { count: 2 });
    golden.body("reset_offsets", &ResetOffsets { group: group(), offsets: offsets(), dry_run: true });
    golden.body(
        "reset_offsets answer",
        &OffsetsReset { results: vec![Ok(None), Ok(Some(Offset(300))), Err(error(ErrorCode::UnknownTopic))] },
    );
    expect![[r#"
        commit_offsets               01 67 01 01 6d ac 02 02 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 ac 02 01 04 04 73 65 65 6e 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 00 00
        commit_offsets, no member    01 67 00 00
        commit_offsets answer        02 00 01 2f 02 6e 6f
        fetch_offsets of some        01 67 01 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02
        fetch_offsets of all         01 67 00
        fetch_offsets answer         02 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 ac 02 01 04 04 73 65 65 6e 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 00 00
        delete_offsets               01 67 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02
        delete_offsets answer        02
        reset_offsets                01 67 02 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 ac 02 01 04 04 73 65 65 6e 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 00 00 01
        reset_offsets answer         03 00 00 00 01 ac 02 01 05 02 6e 6f
    "#]].assert_eq(&golden.0);
}

#[test]
fn looking_after_groups() {
    let mut golden = Golden::default();
    golden.body("list_groups", &ListGroups {});
    let states = [GroupState::Empty, GroupState::Assigning, GroupState::Reconciling, GroupState::Stable];
    let assignor = || "range".to_owned();
    let listing = |state| GroupListing { group: group(), state, members: 2, assignor: assignor() };
    golden.body("list_groups answer", &GroupsListed { groups: states.map(listing).to_vec() });
    golden.body("describe_group", &DescribeGroup { group: group() });
    let states = [MemberState::Stable, MemberState::Revoking, MemberState::Waiting, MemberState::Away];
    let described = |state| MemberDescription {
        member: member(),
        instance: None,
        client: "alice".to_owned(),
        host: "h".to_owned(),
        epoch: MemberEpoch(7),
        state,
        subscription: subscription(),
        assigned: partitions(),
        revoking: Vec::new(),
        target: Vec::new(),
    };
    golden.body(
        "describe_group answer",
        &GroupDescription {
            group: group(),
            state: GroupState::Stable,
            epoch: GroupEpoch(6),
            target_epoch: GroupEpoch(6),
            assignor: assignor(),
            assigned_by: assignor(),
            failure: Some("no".to_owned()),
            members: states.map(described).to_vec(),
            partitions: vec![GroupPartition {
                topic: TOPIC,
                topic_name: "q".to_owned(),
                partition: PartitionIndex(1),
                member: Some(member()),
                committed: Some(committed()),
                log_end: Some(Offset(301)),
            }],
        },
    );
    golden.body("delete_group", &DeleteGroup { group: group() });
    golden.body("delete_group answer", &GroupDeleted {});
    golden.body("set_assignor", &SetAssignor { group: group(), assignor: Some(assignor()) });
    golden.body("set_assignor, default", &SetAssignor { group: group(), assignor: None });
    golden.body("set_assignor answer", &AssignorSet { epoch: GroupEpoch(8), assignor: assignor() });
    golden.body("explain_group", &ExplainGroup { group: group(), assignor: None });
    let load = MemberLoad { member: member(), before: 2, after: 1 };
    let moved = PartitionMove {
        topic: TOPIC,
        partition: PartitionIndex(1),
        from: Some(member()),
        to: Some("n".to_owned()),
    };
    golden.body(
        "explain_group answer",
        &GroupExplanation {
            assignor: assignor(),
            failure: Some("late".to_owned()),
            moves: vec![moved],
            loads: vec![load],
        },
    );
    expect![[r#"
        list_groups                 
        list_groups answer           04 01 67 00 02 05 72 61 6e 67 65 01 67 01 02 05 72 61 6e 67 65 01 67 02 02 05 72 61 6e 67 65 01 67 03 02 05 72 61 6e 67 65
        describe_group               01 67
        describe_group answer        01 67 03 06 06 05 72 61 6e 67 65 05 72 61 6e 67 65 01 02 6e 6f 04 01 6d 00 05 61 6c 69 63 65 01 68 07 00 01 01 71 01 03 71 2e 2a 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02 00 00 01 6d 00 05 61 6c 69 63 65 01 68 07 01 01 01 71 01 03 71 2e 2a 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02 00 00 01 6d 00 05 61 6c 69 63 65 01 68 07 02 01 01 71 01 03 71 2e 2a 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02 00 00 01 6d 00 05 61 6c 69 63 65 01 68 07 03 01 01 71 01 03 71 2e 2a 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 02 00 ac 02 00 00 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 71 01 01 01 6d 01 ac 02 01 04 04 73 65 65 6e 01 ad 02
        delete_group                 01 67
        delete_group answer         
        set_assignor                 01 67 01 05 72 61 6e 67 65
        set_assignor, default        01 67 00
        set_assignor answer          08 05 72 61 6e 67 65
        explain_group                01 67 00
        explain_group answer         05 72 61 6e 67 65 01 04 6c 61 74 65 01 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 70 01 01 01 6d 01 01 6e 01 01 6d 02 01
    "#]].assert_eq(&golden.0);
}

fn records() -> Vec<GroupRecord> {
    let held = PartitionSince { topic: TOPIC, partition: PartitionIndex(1), since: MemberEpoch(5) };
    vec![
        GroupRecord::Group(
            group(),
            Some(GroupValue {
                epoch: GroupEpoch(6),
                target_epoch: GroupEpoch(5),
                metadata_index: MetadataIndex(300),
                assignor: Some("range".to_owned()),
                assigned_by: "range".to_owned(),
                empty_since_ms: Some(-1),
            }),
        ),
        GroupRecord::Member(
            group(),
            member(),
            Some(MemberValue {
                instance: Some("i".to_owned()),
                subscription: subscription(),
                rebalance_timeout_ms: 300,
                client: "alice".to_owned(),
                host: "h".to_owned(),
                joined: MemberEpoch(4),
                away: true,
            }),
        ),
        GroupRecord::Target(group(), member(), Some(TargetValue { partitions: partitions() })),
        GroupRecord::Current(
            group(),
            member(),
            Some(CurrentValue {
                epoch: MemberEpoch(7),
                assigned: vec![held],
                revoking: vec![Revocation { held, told: MemberEpoch(7) }],
            }),
        ),
        GroupRecord::Offset(
            group(),
            TOPIC,
            PartitionIndex(1),
            Some(OffsetValue {
                offset: Offset(300),
                leader_epoch: Some(LeaderEpoch(4)),
                metadata: "seen".to_owned(),
                committed_ms: 1,
                metadata_index: MetadataIndex(300),
            }),
        ),
    ]
}

/// What ends the thing that a record is about.
fn end_of(record: &GroupRecord) -> GroupRecord {
    match record.key() {
        GroupKey::Group { group } => GroupRecord::Group(group, None),
        GroupKey::Member { group, member } => GroupRecord::Member(group, member, None),
        GroupKey::Target { group, member } => GroupRecord::Target(group, member, None),
        GroupKey::Current { group, member } => GroupRecord::Current(group, member, None),
        GroupKey::Offset { group, topic, partition } => GroupRecord::Offset(group, topic, partition, None),
    }
}

#[test]
fn records_of_the_offsets_topic() {
    let mut golden = String::new();
    for record in records() {
        let (key, value) = record.encode();
        let value = value.unwrap();
        assert_eq!(GroupRecord::decode(&key, Some(&value)), Ok(record.clone()));
        let end = end_of(&record);
        assert_eq!(end.encode(), (key.clone(), None), "both have one key");
        assert_eq!(GroupRecord::decode(&key, None), Ok(end));
        for length in 0..value.len() {
            assert!(GroupRecord::decode(&key, Some(&value[..length])).is_err(), "cut to {length} bytes");
        }
        writeln!(golden, "{key:02x?}\n  {value:02x?}").unwrap();
    }
    expect![[r#"
        [01, 00, 01, 67]
          [01, 06, 05, ac, 02, 01, 05, 72, 61, 6e, 67, 65, 05, 72, 61, 6e, 67, 65, 01, 01, 9b, be, 6f, c3, be, a8, 26, da]
        [01, 01, 01, 67, 01, 6d]
          [01, 01, 01, 69, 01, 01, 71, 01, 03, 71, 2e, 2a, ac, 02, 05, 61, 6c, 69, 63, 65, 01, 68, 04, 01, 22, d2, c5, 6d, 32, 29, fa, 17]
        [01, 02, 01, 67, 01, 6d]
          [01, 01, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 02, 00, ac, 02, 70, 21, 85, 09, a0, 2a, 00, 9e]
        [01, 03, 01, 67, 01, 6d]
          [01, 07, 01, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 01, 05, 01, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 01, 05, 07, 5f, 8c, 8b, 8c, 2c, 5c, de, 08]
        [01, 04, 01, 67, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 01]
          [01, ac, 02, 01, 04, 04, 73, 65, 65, 6e, 02, ac, 02, 76, 03, 6d, 80, 4b, 2b, 2b, 06]
    "#]].assert_eq(&golden);
}

#[test]
fn a_key_of_a_newer_node_is_refused_as_such() {
    let (mut key, _) = records()[0].encode();
    key[0] = 2;
    let newer = StoredError::Newer { name: "group key", found: 2, known: 1 };
    assert_eq!(GroupRecord::decode(&key, None), Err(newer));
    key[0] = 1;
    key[1] = 99;
    assert_eq!(GroupRecord::decode(&key, None), Err(StoredError::Undecodable { name: "group key" }));
    assert_eq!(GroupRecord::decode(&[], None), Err(StoredError::Damaged { name: "group key" }));
}
