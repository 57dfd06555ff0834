//! Members of groups that keep to nothing, and a client that is many members.

use weir_wire::error::ErrorCode;
use weir_wire::ids::{MemberEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::request::{
    CommitOffsets, CommittedOffset, Committer, DeleteGroup, DeleteOffsets, DescribeGroup, ExplainGroup,
    FetchOffsets, GroupHeartbeat, JoinGroup, LeaveGroup, Membership, Metadata, PartitionOffset, Request,
    ResetOffsets, ResponseHeader, SetAssignor, Subscription, TopicPartitions, decode_body, encode_body,
};

use crate::support::{Client, attack};

fn join(group: &str, member: &str) -> JoinGroup {
    JoinGroup {
        group: group.to_owned(),
        member: member.to_owned(),
        instance: None,
        subscription: Subscription { topics: vec!["t".to_owned()], pattern: None },
        rebalance_timeout_ms: 60_000,
    }
}

fn beat(group: &str, member: &str, epoch: MemberEpoch, wait_ms_max: u32) -> GroupHeartbeat {
    GroupHeartbeat {
        group: group.to_owned(),
        member: member.to_owned(),
        confirmed: epoch,
        heard: epoch,
        subscription: None,
        wait_ms_max,
    }
}

fn at(topic: TopicId, partition: u32, offset: u64, metadata: &str) -> PartitionOffset {
    let committed =
        CommittedOffset { offset: Offset(offset), leader_epoch: None, metadata: metadata.to_owned() };
    PartitionOffset { topic, partition: PartitionIndex(partition), committed }
}

impl Client {
    /// Asks again while the coordinator is on its way.
    async fn ask<R: Request>(&mut self, request: &R) -> Result<R::Response, ErrorCode> {
        loop {
            match self.request(request).await.map_err(|error| error.code) {
                Err(ErrorCode::NotCoordinator | ErrorCode::CoordinatorLoadInProgress) => {}
                answer => return answer,
            }
        }
    }

    /// Joins, and hears what is assigned.
    async fn member(&mut self, group: &str, member: &str) -> Membership {
        let joined = self.ask(&join(group, member)).await.unwrap();
        self.ask(&beat(group, member, joined.member_epoch, 3_000)).await.unwrap()
    }

    async fn commit(
        &mut self,
        member: &str,
        member_epoch: MemberEpoch,
        offset: PartitionOffset,
    ) -> Result<(), ErrorCode> {
        let committer = Some(Committer { member: member.to_owned(), member_epoch });
        let request = CommitOffsets { group: "g".to_owned(), committer, offsets: vec![offset] };
        let answer = self.ask(&request).await?;
        answer.results.into_iter().try_for_each(|result| result.map_err(|error| error.code))
    }
}

#[test]
fn what_groups_cannot_do_is_refused_and_changes_nothing() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 2, &[]).await.id;
        let group = || "g".to_owned();
        let partitions =
            vec![TopicPartitions { topic, partitions: vec![PartitionIndex(0), PartitionIndex(1)] }];

        // There is no such group, while no group was ever made, and when others are there.
        for _ in 0..2 {
            let unknown = Err(ErrorCode::GroupIdNotFound);
            let nobody = || "nobody".to_owned();
            assert_eq!(client.ask(&DescribeGroup { group: nobody() }).await.map(drop), unknown);
            assert_eq!(client.ask(&DeleteGroup { group: nobody() }).await.map(drop), unknown);
            let explain = ExplainGroup { group: nobody(), assignor: None };
            assert_eq!(client.ask(&explain).await.map(drop), unknown);
            let delete = DeleteOffsets { group: nobody(), partitions: partitions.clone() };
            assert_eq!(client.ask(&delete).await.map(drop), unknown);
            let fetch = FetchOffsets { group: nobody(), partitions: None };
            if let Ok(fetched) = client.ask(&fetch).await {
                assert!(fetched.offsets.is_empty(), "{fetched:?}");
            }
            client.ask(&join("other", "m")).await.unwrap();
        }

        // Names and patterns.
        for name in ["", "..", "a/b", "a b", "x".repeat(300).as_str()] {
            assert_eq!(
                client.ask(&join(name, "m")).await.map(drop),
                Err(ErrorCode::InvalidGroupId),
                "{name}"
            );
            assert_eq!(
                client.ask(&join("g", name)).await.map(drop),
                Err(ErrorCode::InvalidGroupId),
                "{name}"
            );
        }
        for pattern in ["(", "*", "a)(b", "(a{1000}){1000}", "a".repeat(100_000).as_str()] {
            let subscription = Subscription { topics: Vec::new(), pattern: Some(pattern.to_owned()) };
            let refused = client.ask(&JoinGroup { subscription, ..join("g", "m") }).await.map(drop);
            assert_eq!(refused, Err(ErrorCode::InvalidRegularExpression), "{pattern:.20}");
        }
        let nothing = Subscription { topics: Vec::new(), pattern: None };
        let refused = client.ask(&JoinGroup { subscription: nothing, ..join("g", "m") }).await.map(drop);
        assert_eq!(refused, Err(ErrorCode::InvalidSubscription));

        // Commits. Of a member alone, everything; and nothing beyond the log, of other partitions, or with a novel.
        let epoch = client.member("g", "one").await.member_epoch;
        assert_eq!(client.commit("one", epoch, at(topic, 0, 0, "note")).await, Ok(()));
        let beyond = client.commit("one", epoch, at(topic, 0, 1, "")).await;
        assert_eq!(beyond, Err(ErrorCode::OffsetOutOfRange));
        let long = "x".repeat(CommittedOffset::METADATA_BYTES_MAX + 1);
        let large = client.commit("one", epoch, at(topic, 0, 0, &long)).await;
        assert_eq!(large, Err(ErrorCode::OffsetMetadataTooLarge));
        let nowhere = client.commit("one", epoch, at(TopicId([9; 16]), 0, 0, "")).await;
        assert_eq!(nowhere, Err(ErrorCode::UnknownTopic));
        let missing = client.commit("one", epoch, at(topic, 2, 0, "")).await;
        assert_eq!(missing, Err(ErrorCode::UnknownPartition));
        let stranger = client.commit("two", epoch, at(topic, 0, 0, "")).await;
        assert_eq!(stranger, Err(ErrorCode::UnknownMemberId));
        let of_another_life = client.commit("one", MemberEpoch(epoch.0 + 7), at(topic, 0, 0, "")).await;
        assert_eq!(of_another_life, Err(ErrorCode::FencedMemberEpoch));

        // While it is a member nobody moves, deletes or forgets.
        let active = Err(ErrorCode::NonEmptyGroup);
        let reset = |dry_run| ResetOffsets { group: group(), offsets: vec![at(topic, 0, 0, "")], dry_run };
        assert_eq!(client.ask(&reset(false)).await.map(drop), active);
        assert_eq!(client.ask(&reset(true)).await.map(drop), active);
        assert_eq!(client.ask(&DeleteGroup { group: group() }).await.map(drop), active);
        let delete = DeleteOffsets { group: group(), partitions: partitions.clone() };
        assert_eq!(client.ask(&delete).await.map(drop), active);
        let from_nobody =
            CommitOffsets { group: group(), committer: None, offsets: vec![at(topic, 0, 0, "")] };
        assert_eq!(client.ask(&from_nobody).await.map(drop), active);
        let assignor = SetAssignor { group: group(), assignor: Some("fair".to_owned()) };
        assert_eq!(client.ask(&assignor).await.map(drop), Err(ErrorCode::UnsupportedAssignor));

        // All of that changed nothing.
        let described = client.ask(&DescribeGroup { group: group() }).await.unwrap();
        assert_eq!(described.members.len(), 1);
        assert_eq!(described.members[0].epoch, epoch);
        let committed: Vec<_> = described.partitions.iter().filter_map(|one| one.committed.clone()).collect();
        assert_eq!(committed.len(), 1);
        assert_eq!((committed[0].offset, committed[0].metadata.as_str()), (Offset(0), "note"));

        // A member that left commits nothing; without members everything may be done.
        let leave =
            LeaveGroup { group: group(), member: "one".to_owned(), member_epoch: epoch, returns: false };
        client.ask(&leave).await.unwrap();
        let late = client.commit("one", epoch, at(topic, 0, 0, "")).await;
        assert_eq!(late, Err(ErrorCode::UnknownMemberId));
        assert_eq!(client.ask(&delete).await.unwrap().count, 1);
        client.ask(&DeleteGroup { group: group() }).await.unwrap();
    });
}

#[test]
fn a_member_commits_for_what_it_holds_only() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 2, &[]).await.id;
        let all = client.member("g", "one").await;
        // It is to have one of the two, once the other one lets go.
        let waits = client.member("g", "two").await;
        for partition in [0, 1] {
            let early = client.commit("two", waits.member_epoch, at(topic, partition, 0, "")).await;
            assert_eq!(early, Err(ErrorCode::NotPartitionOwner));
            let until_then = client.commit("one", all.member_epoch, at(topic, partition, 0, "")).await;
            assert_eq!(until_then, Ok(()));
        }
        let told = client.ask(&beat("g", "one", all.member_epoch, 3_000)).await.unwrap();
        client.ask(&beat("g", "one", told.member_epoch, 0)).await.unwrap();
        let given = client.ask(&beat("g", "two", waits.member_epoch, 3_000)).await.unwrap();
        let mut outcomes = Vec::new();
        for (member, epoch) in [("one", told.member_epoch), ("two", given.member_epoch)] {
            for partition in [0, 1] {
                outcomes.push(client.commit(member, epoch, at(topic, partition, 0, "")).await.is_ok());
            }
        }
        assert_eq!(outcomes, [true, false, false, true], "each for its own");
        let none = client.commit("one", told.member_epoch, at(topic, 1, 0, "")).await;
        assert_eq!(none, Err(ErrorCode::NotPartitionOwner));
    });
}

#[test]
fn two_members_with_one_instance_id_are_not_both_members() {
    attack(|target| async move {
        let mut client = target.client().await;
        client.create("t", 1, &[]).await;
        let as_instance = |member: &str| JoinGroup { instance: Some("i".to_owned()), ..join("g", member) };
        let first = client.ask(&as_instance("one")).await.unwrap();
        let second = client.ask(&as_instance("two")).await.map(drop);
        assert_eq!(second, Err(ErrorCode::UnreleasedInstanceId));
        // Not by asking as the first one either.
        assert_eq!(client.ask(&join("g", "one")).await.map(drop), Err(ErrorCode::InvalidRequest));
        client.ask(&beat("g", "one", first.member_epoch, 0)).await.unwrap();
    });
}

#[test]
fn a_member_that_never_confirms_a_revocation_keeps_only_that_from_others() {
    attack(|target| async move {
        let mut client = target.client().await;
        client.create("t", 2, &[]).await;
        let hasty = JoinGroup { rebalance_timeout_ms: 500, ..join("g", "one") };
        let joined = client.ask(&hasty).await.unwrap();
        let held = client.ask(&beat("g", "one", joined.member_epoch, 3_000)).await.unwrap();
        client.ask(&join("g", "two")).await.unwrap();
        // It hears that it is to let go of one, and goes on as if it did not.
        let told = client.ask(&beat("g", "one", held.member_epoch, 3_000)).await.unwrap();
        assert!(told.member_epoch > held.member_epoch, "{told:?}");
        let mut expelled = Ok(());
        while expelled.is_ok() {
            let stubborn =
                GroupHeartbeat { heard: told.member_epoch, ..beat("g", "one", held.member_epoch, 500) };
            expelled = client.ask(&stubborn).await.map(drop);
            let two = client.ask(&DescribeGroup { group: "g".to_owned() }).await.unwrap();
            let given: usize = two.members[1].assigned.iter().map(|topic| topic.partitions.len()).sum();
            assert_eq!(given, 0, "what may still be held goes to nobody: {two:?}");
        }
        assert_eq!(expelled, Err(ErrorCode::FencedMemberEpoch), "it is heard no more");
        assert_eq!(client.ask(&hasty).await.map(drop), Err(ErrorCode::FencedMemberEpoch));
    });
}

#[test]
fn a_client_that_is_many_members_is_answered_while_all_of_them_wait() {
    attack(|target| async move {
        let mut client = target.client().await;
        client.create("t", 1, &[]).await;
        // More than the requests that are worked on at a time.
        const MEMBERS: usize = 200;
        let mut epochs = Vec::new();
        for number in 0..MEMBERS {
            epochs.push(client.member(&format!("g{number}"), "m").await.member_epoch);
        }
        for (number, epoch) in epochs.into_iter().enumerate() {
            let header = client.header(GroupHeartbeat::KIND);
            client
                .control
                .queue(&header, encode_body(&beat(&format!("g{number}"), "m", epoch, 3_000)).into());
        }
        let header = client.header(Metadata::KIND);
        client.control.queue(&header, encode_body(&Metadata { topics: None }).into());
        client.control.flush().await.unwrap();
        let first = client.answers.next::<ResponseHeader>().await.unwrap().unwrap();
        assert_eq!(
            first.header.correlation, header.correlation,
            "who has something to ask does not wait for them"
        );
        for _ in 0..MEMBERS {
            let answer = client.answers.next::<ResponseHeader>().await.unwrap().unwrap();
            assert_eq!(answer.header.error, None);
            let _: Membership = decode_body(&answer.payload).unwrap();
        }
    });
}
