//! Requests that make no sense.

use weir_wire::error::ErrorCode;
use weir_wire::ids::{ClusterId, MetadataIndex, PartitionIndex, TopicId};
use weir_wire::request::{
    CreateTopic, DeleteTopic, DescribeTopic, InitProducer, ListOffsets, Metadata, OffsetSpec, Request,
    RequestKind, encode_body,
};

use crate::support::{assert_grew_less, attack};

#[test]
fn an_unknown_request_is_a_typed_error_and_the_stream_lives() {
    attack(|target| async move {
        let mut client = target.client().await;
        for kind in [0, 7, 300, u16::MAX] {
            let header = client.header(RequestKind(kind));
            let error = client.raw(header, vec![1, 2, 3]).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::UnsupportedRequest);
            assert!(error.message.contains(&kind.to_string()), "{error}");
        }
        client.request(&Metadata { topics: None }).await.unwrap();
    });
}

#[test]
fn a_body_of_another_kind_is_a_typed_error_and_the_stream_lives() {
    attack(|target| async move {
        let mut client = target.client().await;
        let kinds = [
            CreateTopic::KIND,
            DeleteTopic::KIND,
            DescribeTopic::KIND,
            InitProducer::KIND,
            ListOffsets::KIND,
            Metadata::KIND,
        ];
        for kind in kinds {
            // Among them a list and a text that claim 2^60 entries.
            let huge = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
            for body in
                [vec![0xff; 40], [vec![1], huge.clone()].concat(), [vec![7; 16], huge.clone()].concat(), huge]
            {
                let header = client.header(kind);
                let error = client.raw(header, body).await.unwrap_err();
                assert_eq!(error.code, ErrorCode::InvalidRequest, "{kind:?}");
            }
        }
        client.request(&Metadata { topics: None }).await.unwrap();
    });
}

#[test]
fn another_clusters_requests_are_not_answered() {
    attack(|target| async move {
        let mut client = target.client().await;
        let mut header = client.header(Metadata::KIND);
        header.cluster = Some(ClusterId([7; 16]));
        let error = client.raw(header, encode_body(&Metadata { topics: None })).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::WrongCluster);
        assert!(error.message.contains(&client.cluster.to_string()), "{error}");
        // Who does not know the cluster yet is answered.
        let mut header = client.header(Metadata::KIND);
        header.cluster = None;
        client.raw(header, encode_body(&Metadata { topics: None })).await.unwrap();
    });
}

#[test]
fn metadata_of_the_future_is_not_waited_for_in_vain() {
    attack(|target| async move {
        let mut client = target.client().await;
        let mut header = client.header(Metadata::KIND);
        header.metadata_index = MetadataIndex(u64::MAX);
        let error = client.raw(header, encode_body(&Metadata { topics: None })).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::TimedOut);
    });
}

#[test]
fn numbers_beyond_their_limits_are_refused() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        let mut client = target.client().await;
        for count in [0, InitProducer::COUNT_MAX + 1, u32::MAX] {
            let error = client.request(&InitProducer { count }).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
        }
        let create = |partitions, configs: usize| CreateTopic {
            name: "t".to_owned(),
            partitions: Some(partitions),
            replication_factor: None,
            configs: vec![("retention.ms".to_owned(), "1".to_owned()); configs],
        };
        for partitions in [0, CreateTopic::PARTITIONS_MAX + 1, u32::MAX] {
            let error = client.request(&create(partitions, 0)).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidPartitions);
        }
        let error = client.request(&create(1, CreateTopic::CONFIGS_MAX + 1)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        let topics = Some(vec!["t".to_owned(); Metadata::TOPICS_MAX + 1]);
        let error = client.request(&Metadata { topics }).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert_grew_less(&target.node, before, 60);
    });
}

#[test]
fn names_are_checked_by_the_node_too() {
    attack(|target| async move {
        let mut client = target.client().await;
        let long = "x".repeat(100_000);
        for name in ["", ".", "..", "../../etc", "a/b", "a\0b", "é", "__internal", long.as_str()] {
            let request = CreateTopic {
                name: name.to_owned(),
                partitions: None,
                replication_factor: None,
                configs: vec![],
            };
            let error = client.request(&request).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidTopicName, "{name}");
            assert!(error.message.len() <= 1024);
            let error = client.request(&DeleteTopic { name: name.to_owned() }).await.unwrap_err();
            assert_eq!(error.code, ErrorCode::UnknownTopic, "{name}");
        }
    });
}

#[test]
fn offsets_of_what_is_not_there_are_errors_one_by_one() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let ask = |topic: TopicId, partitions: &[u32]| ListOffsets {
            topic,
            partitions: partitions
                .iter()
                .map(|index| (PartitionIndex(*index), None, OffsetSpec::Latest))
                .collect(),
        };
        let listed = client.request(&ask(topic.id, &[0, 1, u32::MAX])).await.unwrap().offsets;
        assert!(listed[0].is_ok());
        for missing in &listed[1..] {
            assert_eq!(missing.as_ref().unwrap_err().code, ErrorCode::UnknownPartition);
        }
        let listed = client.request(&ask(TopicId([9; 16]), &[0])).await.map(|listed| listed.offsets);
        let code = match listed {
            Ok(offsets) => offsets[0].as_ref().unwrap_err().code,
            Err(error) => error.code,
        };
        assert_eq!(code, ErrorCode::UnknownTopic);
        for time in [i64::MIN, -1, i64::MAX] {
            let at = vec![(PartitionIndex(0), None, OffsetSpec::Timestamp(time))];
            let listed = client.request(&ListOffsets { topic: topic.id, partitions: at }).await.unwrap();
            assert!(listed.offsets[0].is_ok());
        }
    });
}

#[test]
fn pipelined_requests_are_all_answered() {
    attack(|target| async move {
        let mut client = target.client().await;
        // More than the node works on at a time, and nobody reads meanwhile.
        const COUNT: usize = 1000;
        for _ in 0..COUNT {
            let header = client.header(Metadata::KIND);
            client.control.queue(&header, encode_body(&Metadata { topics: None }).into());
        }
        client.control.flush().await.unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..COUNT {
            let answer = client.answers.next::<weir_wire::request::ResponseHeader>().await.unwrap().unwrap();
            assert!(seen.insert(answer.header.correlation), "answered twice");
        }
    });
}
