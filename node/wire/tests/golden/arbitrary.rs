//! No bytes make a decoder panic, and none make it take memory by a number that they claim.
//!
//! proptest prints the bytes that failed, shrunk.

use bytes::Bytes;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_wire::batch::{self, BatchBuilder, Compression, control};
use weir_wire::fetch::{FetchCommand, FetchEvent, FetchOpen};
use weir_wire::forward::{ForwardAnswer, ForwardOpen, ForwardPart, StatusAnswer, StatusAsk};
use weir_wire::frame::{self, Limits};
use weir_wire::group_log::GroupRecord;
use weir_wire::lane::{LaneAnswer, LaneBatch, LaneOpen};
use weir_wire::metadata::{
    AppendEntries, Appended, AskVote, Heartbeat, InstallSnapshot, Join, Joined, PeerAnswer, PeerRequest,
    Propose, Proposed, QuorumDescription, VoteAnswered,
};
use weir_wire::open::{StreamAnswer, StreamOpen};
use weir_wire::plugin::{ComponentAsk, PluginLines, PluginLinesOpen};
use weir_wire::replication::{FollowerFrame, LeaderFrame, ReplicaOpen};
use weir_wire::request::{
    ActivatePipeline, AlterNodeConfigs, AlterReassignments, AlterTopic, ChangeNode, ClusterDescription,
    ClusterMetadata, CommitOffsets, CreateTopic, DeleteOffsets, DeleteRecords, DeleteTopic, DescribeCluster,
    DescribeTopic, ElectLeaders, FetchOffsets, GroupDescription, GroupExplanation, GroupHeartbeat,
    GroupsListed, InitProducer, JoinGroup, LeadersElected, LeaveGroup, ListOffsets, Membership, Metadata,
    NodeConfigsAltered, NodeConfigsDescribed, OffsetsCommitted, OffsetsFetched, OffsetsListed, OffsetsReset,
    PipelineStaged, PipelinesDescribed, PluginPushed, PluginsListed, ProducerGranted, PushPlugin,
    ReassignmentsAltered, ReassignmentsListed, ReplicasShifting, RequestHeader, ResetOffsets, ResponseHeader,
    SetAssignor, ShiftReplicas, StagePipeline, TopicAltered, TopicCreated, TopicDeleted, TopicDescription,
    TopicExplained, UploadComponent, encode_body,
};

/// What decodes is a value that encodes again, and to a value that is the same.
fn take<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = frame::decode_header::<T>(bytes) {
        let again = encode_body(&value);
        // postcard reads numbers that are written longer than need be; written again they are as short as can be.
        assert!(again.len() <= bytes.len());
        let value: T = frame::decode_header(&again).unwrap();
        assert_eq!(encode_body(&value), again);
    }
}

fn take_as_every_message(bytes: &[u8]) {
    take::<StreamOpen>(bytes);
    take::<StreamAnswer>(bytes);
    take::<RequestHeader>(bytes);
    take::<ResponseHeader>(bytes);
    take::<Metadata>(bytes);
    take::<ClusterMetadata>(bytes);
    take::<CreateTopic>(bytes);
    take::<TopicCreated>(bytes);
    take::<DeleteRecords>(bytes);
    take::<DeleteTopic>(bytes);
    take::<TopicDeleted>(bytes);
    take::<DescribeTopic>(bytes);
    take::<TopicDescription>(bytes);
    take::<AlterTopic>(bytes);
    take::<TopicAltered>(bytes);
    take::<AlterReassignments>(bytes);
    take::<ReassignmentsAltered>(bytes);
    take::<ReassignmentsListed>(bytes);
    take::<ShiftReplicas>(bytes);
    take::<ChangeNode>(bytes);
    take::<AlterNodeConfigs>(bytes);
    take::<NodeConfigsAltered>(bytes);
    take::<NodeConfigsDescribed>(bytes);
    take::<ReplicasShifting>(bytes);
    take::<DescribeCluster>(bytes);
    take::<ClusterDescription>(bytes);
    take::<ElectLeaders>(bytes);
    take::<LeadersElected>(bytes);
    take::<InitProducer>(bytes);
    take::<ProducerGranted>(bytes);
    take::<ListOffsets>(bytes);
    take::<OffsetsListed>(bytes);
    take::<JoinGroup>(bytes);
    take::<Membership>(bytes);
    take::<GroupHeartbeat>(bytes);
    take::<LeaveGroup>(bytes);
    take::<CommitOffsets>(bytes);
    take::<OffsetsCommitted>(bytes);
    take::<FetchOffsets>(bytes);
    take::<OffsetsFetched>(bytes);
    take::<DeleteOffsets>(bytes);
    take::<ResetOffsets>(bytes);
    take::<OffsetsReset>(bytes);
    take::<GroupsListed>(bytes);
    take::<GroupDescription>(bytes);
    take::<SetAssignor>(bytes);
    take::<GroupExplanation>(bytes);
    take::<UploadComponent>(bytes);
    take::<PushPlugin>(bytes);
    take::<PluginPushed>(bytes);
    take::<PluginsListed>(bytes);
    take::<StagePipeline>(bytes);
    take::<PipelineStaged>(bytes);
    take::<ActivatePipeline>(bytes);
    take::<PipelinesDescribed>(bytes);
    take::<TopicExplained>(bytes);
    take::<ComponentAsk>(bytes);
    take::<PluginLinesOpen>(bytes);
    take::<PluginLines>(bytes);
    let _ = GroupRecord::decode(bytes, None);
    let _ = GroupRecord::decode(bytes, Some(bytes));
    take::<LaneOpen>(bytes);
    take::<LaneBatch>(bytes);
    take::<LaneAnswer>(bytes);
    take::<FetchOpen>(bytes);
    take::<FetchCommand>(bytes);
    take::<FetchEvent>(bytes);
    take::<ForwardOpen>(bytes);
    take::<ForwardPart>(bytes);
    take::<ForwardAnswer>(bytes);
    take::<StatusAsk>(bytes);
    take::<StatusAnswer>(bytes);
    take::<ReplicaOpen>(bytes);
    take::<FollowerFrame>(bytes);
    take::<LeaderFrame>(bytes);
    take::<PeerRequest>(bytes);
    take::<PeerAnswer>(bytes);
    take::<AppendEntries>(bytes);
    take::<Appended>(bytes);
    take::<AskVote>(bytes);
    take::<VoteAnswered>(bytes);
    take::<InstallSnapshot>(bytes);
    take::<Propose>(bytes);
    take::<Proposed>(bytes);
    take::<Join>(bytes);
    take::<Joined>(bytes);
    take::<Heartbeat>(bytes);
    take::<QuorumDescription>(bytes);
}

fn take_as_batch(bytes: &[u8]) {
    let limits = batch::Limits::default();
    let bytes = Bytes::copy_from_slice(bytes);
    let _ = batch::total_bytes(&bytes);
    let _ = batch::check(&bytes, &limits);
    let _ = batch::validate(&bytes, &limits);
    if let Ok(records) = batch::records(&bytes, &limits) {
        for record in records.iter() {
            let _ = record.headers.into_iter().count();
        }
        let _ = control::decode(&records);
    }
}

/// Bytes near to what decoders expect: small numbers, lengths, and runs of what they would believe.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0..4_u8, Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    prop::collection::vec(byte, 0..200)
}

fn compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(vec![
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn messages_take_any_bytes(bytes in plausible()) {
        take_as_every_message(&bytes);
    }

    #[test]
    fn prefixes_take_any_bytes(bytes in any::<[u8; 8]>()) {
        for limits in [Limits::OPENING, Limits::CONTROL, Limits::DATA] {
            if let Ok(prefix) = frame::parse_prefix(bytes, &limits) {
                prop_assert!(prefix.header_len <= limits.header_bytes_max as usize);
                prop_assert!(prefix.payload_len <= limits.payload_bytes_max as usize);
            }
        }
    }

    #[test]
    fn batches_take_any_bytes(bytes in plausible()) {
        take_as_batch(&bytes);
    }

    /// A batch with a few bytes changed and its checksum put right gets past the first check, into the codecs.
    #[test]
    fn damaged_batches_with_good_checksums(
        codec in compression(),
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..10),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut builder = BatchBuilder::new(codec);
        for value in &values {
            builder.push(1_700_000_000_000, Some(b"key"), Some(value), &[("h", Some(b"v"))]);
        }
        let mut bytes = builder.finish(None).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some(length) = bytes.len().checked_sub(12).and_then(|length| i32::try_from(length).ok())
            && bytes.len() > 21
        {
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let crc = crc_fast::crc32_iscsi(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        take_as_batch(&bytes);
    }
}

/// A list that claims 2^60 entries, in every place where a list may stand.
#[test]
fn a_claimed_count_takes_no_memory() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for lead in 0..40 {
        for fill in [0, 1, 2] {
            let mut bytes = vec![fill; lead];
            bytes.extend_from_slice(&huge);
            take_as_every_message(&bytes);
        }
    }
}
