//! openraft's types as this node fixes them, and their translation to what travels and is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::{CommittedLeaderId, EntryPayload, LogId};
use weir_core::metadata::{Applied, Command, Image, MetadataError};
use weir_wire::ids::{MetadataIndex, NodeId};
use weir_wire::metadata::{self as wire, EntryBody, LogPosition, Member};
use weir_wire::request::{decode_body, encode_body};

use super::runtime::Runtime;

openraft::declare_raft_types!(
    /// The types of the metadata quorum.
    pub(super) Types:
        D = Commands,
        R = Outcomes,
        NodeId = RaftNode,
        Node = Site,
        Entry = openraft::Entry<Types>,
        SnapshotData = Arc<Image>,
        AsyncRuntime = Runtime,
);

/// A node's number as openraft's conformance suite wants it: one that a `u64` can be made into. Ours have 32 bits.
pub(super) type RaftNode = u64;
pub(super) type Raft = openraft::Raft<Types>;
pub(super) type RaftEntry = openraft::Entry<Types>;
pub(super) type RaftLogId = LogId<RaftNode>;
pub(super) type RaftVote = openraft::Vote<RaftNode>;
pub(super) type RaftMembership = openraft::Membership<RaftNode, Site>;
pub(super) type StoredMembership = openraft::StoredMembership<RaftNode, Site>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<RaftNode, Site>;
pub(super) type StorageError = openraft::StorageError<RaftNode>;

/// Where a member of the quorum is reached, as it said when it joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) address: String,
}

/// The commands of one entry: those that waited together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commands(pub(super) Vec<Command>);

/// What the commands of one entry led to, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes(pub(super) Vec<(MetadataIndex, Outcome)>);

/// What one command led to.
pub(super) type Outcome = Result<Applied, MetadataError>;

pub(super) fn raft_node(node: NodeId) -> RaftNode {
    RaftNode::from(node.0)
}

pub(super) fn node_id(node: RaftNode) -> NodeId {
    NodeId(u32::try_from(node).expect("every number in the quorum came from a NodeId"))
}

pub(super) fn log_id(position: LogPosition) -> RaftLogId {
    LogId::new(CommittedLeaderId::new(position.term, raft_node(position.leader)), position.index)
}

pub(super) fn position(log_id: &RaftLogId) -> LogPosition {
    let leader = log_id.committed_leader_id();
    LogPosition { term: leader.term, leader: node_id(leader.node_id), index: log_id.index }
}

pub(super) fn raft_vote(vote: wire::Vote) -> RaftVote {
    let node = raft_node(vote.node);
    match vote.committed {
        true => RaftVote::new_committed(vote.term, node),
        false => RaftVote::new(vote.term, node),
    }
}

pub(super) fn wire_vote(vote: &RaftVote) -> wire::Vote {
    let id = vote.leader_id();
    wire::Vote { term: id.term, node: node_id(id.node_id), committed: vote.is_committed() }
}

pub(super) fn raft_membership(membership: wire::Membership) -> RaftMembership {
    let voters = membership.voters.into_iter().map(|set| set.into_iter().map(raft_node).collect());
    let nodes: BTreeMap<RaftNode, Site> = membership
        .members
        .into_iter()
        .map(|member| (raft_node(member.node), Site { address: member.address }))
        .collect();
    RaftMembership::new(voters.collect::<Vec<BTreeSet<RaftNode>>>(), nodes)
}

pub(super) fn wire_membership(membership: &RaftMembership) -> wire::Membership {
    let voters =
        membership.get_joint_config().iter().map(|set| set.iter().copied().map(node_id).collect()).collect();
    wire::Membership { voters, members: members(membership) }
}

pub(super) fn members(membership: &RaftMembership) -> Vec<Member> {
    let member =
        |(node, site): (&RaftNode, &Site)| Member { node: node_id(*node), address: site.address.clone() };
    membership.nodes().map(member).collect()
}

pub(super) fn wire_entry(entry: &RaftEntry) -> wire::Entry {
    let body = match &entry.payload {
        EntryPayload::Blank => EntryBody::Blank,
        EntryPayload::Normal(commands) => EntryBody::Commands(encode_body(&commands.0)),
        EntryPayload::Membership(membership) => EntryBody::Membership(wire_membership(membership)),
    };
    wire::Entry { position: position(&entry.log_id), body }
}

/// The entry, unless its commands are of a kind that this program does not know.
pub(super) fn raft_entry(entry: wire::Entry) -> Option<RaftEntry> {
    let payload = match entry.body {
        EntryBody::Blank => EntryPayload::Blank,
        EntryBody::Commands(commands) => EntryPayload::Normal(Commands(decode_body(&commands).ok()?)),
        EntryBody::Membership(membership) => EntryPayload::Membership(raft_membership(membership)),
    };
    Some(RaftEntry { log_id: log_id(entry.position), payload })
}
