//! Who leads, and how far everybody is.

use openraft::error::Fatal;
use openraft::{LogIdOptionExt, RaftMetrics, ServerState};
use weir_wire::ids::NodeId;
use weir_wire::metadata::{DescribeQuorum, QuorumDescription, VoterProgress};

use super::types::{RaftMembership, RaftNode, Site, node_id};
use super::{Controller, Standing};

/// How long the active controller is waited for when it is asked how the quorum stands.
const DESCRIBE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// A controller that no majority has answered for longer than this can decide nothing: it is not active, though no other
/// has taken its place. Several heartbeats, and longer than a busy machine stands still.
const MAJORITY_SILENCE_MAX_MS: u64 = 2000;

/// How the metadata quorum stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumStatus {
    /// The active controller; `None` when this node knows none, or it has lost its majority.
    pub leader: Option<NodeId>,
    /// The newest term that this node knows.
    pub term: u64,
    /// The last entry of the log: the active controller's, or this node's if that does not answer.
    pub last_index: Option<u64>,
    /// The last entry that is known to be on a majority.
    pub committed_index: Option<u64>,
    /// Milliseconds since a majority last answered the active controller.
    pub quorum_acknowledged_ms: Option<u64>,
    /// Voters and learners, and how far the active controller knows them to be.
    pub members: Vec<VoterProgress>,
    /// Whether the active controller said so. If not, this is what this node knows by itself.
    pub is_from_leader: bool,
}

impl QuorumStatus {
    /// How many entries a node lacks of the log's last.
    #[must_use]
    pub fn lag(&self, member: &VoterProgress) -> Option<u64> {
        Some(self.last_index?.saturating_sub(member.matched_index?))
    }
}

impl From<QuorumDescription> for QuorumStatus {
    fn from(said: QuorumDescription) -> QuorumStatus {
        let silence_ms = said.quorum_acknowledged_ms.unwrap_or(0);
        QuorumStatus {
            leader: Some(said.leader).filter(|_| silence_ms <= MAJORITY_SILENCE_MAX_MS),
            term: said.term,
            last_index: said.last_index,
            committed_index: said.committed_index,
            quorum_acknowledged_ms: said.quorum_acknowledged_ms,
            members: said.members,
            is_from_leader: true,
        }
    }
}

impl Controller {
    /// How the quorum stands: as the active controller sees it, or as far as this node knows.
    pub async fn quorum(&self) -> QuorumStatus {
        if let Some(said) = self.describe_as_leader().await {
            return said.into();
        }
        if let Some(leader) = self.leader()
            && let Ok(said) = self.0.asking.ask_within(DESCRIBE_TIMEOUT, leader, &DescribeQuorum {}).await
        {
            return said.into();
        }
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let member = |node: NodeId, is_voter| VoterProgress {
            node,
            is_voter,
            matched_index: (node == self.node()).then_some(metrics.last_log_index).flatten(),
        };
        QuorumStatus {
            leader: metrics.current_leader.map(node_id),
            term: metrics.current_term,
            last_index: metrics.last_log_index,
            committed_index: metrics.last_applied.index(),
            quorum_acknowledged_ms: None,
            members: with_roles(membership).map(|(node, is_voter)| member(node, is_voter)).collect(),
            is_from_leader: false,
        }
    }

    /// How the quorum stands, if this node leads it.
    pub(super) async fn describe_as_leader(&self) -> Option<QuorumDescription> {
        let committed = self.0.raft.with_raft_state(|state| state.committed.index()).await.ok()?;
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow();
        let replication = metrics.replication.as_ref()?;
        let member = |node: NodeId, is_voter| VoterProgress {
            node,
            is_voter,
            matched_index: match node == self.node() {
                true => metrics.last_log_index,
                false => replication.get(&super::raft_node(node)).and_then(|matched| matched.index()),
            },
        };
        let membership = metrics.membership_config.membership();
        Some(QuorumDescription {
            leader: self.node(),
            term: metrics.current_term,
            last_index: metrics.last_log_index,
            committed_index: committed,
            quorum_acknowledged_ms: metrics.millis_since_quorum_ack,
            members: with_roles(membership).map(|(node, is_voter)| member(node, is_voter)).collect(),
        })
    }

    /// The nodes that vote, as far as this node knows; while voters change, those that did before and will after.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeId> {
        let membership = self.membership();
        let sets = membership.get_joint_config();
        let votes = |node: &u64| sets.iter().all(|set| set.contains(node));
        membership.voter_ids().filter(votes).map(node_id).collect()
    }

    /// Waits until so many nodes vote, as far as this one knows; returns also once the controller has stopped.
    pub async fn has_voters(&self, count: usize) {
        let mut metrics = self.0.raft.metrics();
        while self.voters().len() < count && metrics.changed().await.is_ok() {}
    }

    /// Who takes part.
    pub(super) fn membership(&self) -> RaftMembership {
        self.0.raft.metrics().borrow().membership_config.membership().clone()
    }
}

fn with_roles(membership: &RaftMembership) -> impl Iterator<Item = (NodeId, bool)> {
    let voters: std::collections::BTreeSet<_> = membership.voter_ids().collect();
    membership.nodes().map(move |(node, _)| (node_id(*node), voters.contains(node)))
}

/// Why openraft ended although nobody stopped it. It takes what it cannot explain for a broken disk, a task of its own that
/// ended a moment too soon among it.
fn gave_up(metrics: &RaftMetrics<RaftNode, Site>) -> Option<String> {
    match &metrics.running_state {
        Ok(()) | Err(Fatal::Stopped) => None,
        Err(fatal) => Some(fatal.to_string()),
    }
}

/// Publishes who leads. The one task that waits for openraft's metrics: those wake several in an order of chance.
pub(super) async fn watch(controller: Controller) {
    let mut metrics = controller.0.raft.metrics();
    let (mut newest, mut predecessor) = (None, None);
    loop {
        let standing = {
            let metrics = metrics.borrow_and_update();
            // A candidate has no leader, and neither has who lost its own reign.
            let leader = metrics.current_leader.filter(|leader| {
                *leader != super::raft_node(controller.node()) || metrics.state == ServerState::Leader
            });
            let leader = leader.map(node_id);
            if leader.is_some() && leader != newest {
                predecessor = newest;
                newest = leader;
            }
            Standing { leader, term: metrics.current_term, predecessor }
        };
        let before = *controller.0.standing.get();
        if standing != before {
            match standing.leader {
                Some(leader) if before.leader != Some(leader) => {
                    tracing::info!(%leader, term = standing.term, "active controller");
                }
                None if before.leader.is_some() => {
                    tracing::info!(term = standing.term, "no active controller");
                }
                _ => {}
            }
            controller.0.standing.set(standing);
        }
        if let Some(why) = gave_up(&metrics.borrow()) {
            tracing::error!(why, "the metadata quorum's core ended; this node must start again");
            controller.0.failed.set(Some(why));
            return;
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
