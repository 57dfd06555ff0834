//! Who takes part in the quorum, and who votes: looked after by the active controller.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, LogId, LogIdOptionExt};
use weir_core::metadata::Image;
use weir_wire::ids::NodeId;
use weir_wire::metadata::Member;

use super::Controller;
use super::types::{RaftMembership, RaftNode, Site, node_id, raft_node};

/// How often the active controller looks whether somebody can be made a voter.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A learner that lacks no more entries than this can vote: it has them before anybody notices.
const LAG_MAX: u64 = 100;
/// The pause before a change of the membership is tried again while another one is under way.
const CHANGE_PAUSE: Duration = Duration::from_millis(50);
/// How long a change of the membership is tried.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(3);

type Changed = Result<(), String>;

impl Controller {
    /// Makes a node a learner. One whose data folder is empty is given everything from the beginning, also if it was a
    /// voter in an earlier life: what it promised then it has forgotten, so it must not vote on.
    pub(super) async fn admit(&self, member: &Member, is_empty: bool) -> Changed {
        let _turn = self.0.membership_turn.lock().await;
        let node = raft_node(member.node);
        let membership = self.membership();
        if is_empty && membership.get_node(&node).is_some() {
            if membership.voter_ids().any(|voter| voter == node) {
                self.change(ChangeMembers::RemoveVoters(BTreeSet::from([node])), false).await?;
            }
            if self.membership().get_node(&node).is_some() {
                self.change(ChangeMembers::RemoveNodes(BTreeSet::from([node])), false).await?;
            }
        }
        self.0.asking.joins(member.node, &member.address);
        let site = Site { address: member.address.clone() };
        let known = self.membership().get_node(&node).cloned();
        let nodes = BTreeMap::from([(node, site.clone())]);
        match known {
            Some(there) if there == site => Ok(()),
            Some(_) => self.change(ChangeMembers::SetNodes(nodes), true).await,
            None => self.change(ChangeMembers::AddNodes(nodes), true).await,
        }
    }

    /// Where a node is reached that runs under this number, or may still.
    pub(super) fn taken_by(&self, node: NodeId, is_empty: bool) -> Option<String> {
        let image = self.image();
        let state = image.nodes.get(&node)?;
        let is_gone = node != self.node() && Controller::is_gone(&image, node);
        (is_empty && !is_gone).then(|| state.address.clone())
    }

    pub(super) async fn change(&self, change: ChangeMembers<RaftNode, Site>, retain: bool) -> Changed {
        let changing = async {
            loop {
                match self.0.raft.change_membership(change.clone(), retain).await {
                    Ok(_) => return Ok(()),
                    Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                        ChangeMembershipError::InProgress(_),
                    ))) => tokio::time::sleep(CHANGE_PAUSE).await,
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        tokio::time::timeout(CHANGE_TIMEOUT, changing)
            .await
            .unwrap_or_else(|_| Err("no majority agreed to the change of the quorum in time".to_owned()))
    }

    async fn look(&self) -> Changed {
        let Some(progress) = self.0.raft.metrics().borrow().replication.clone() else { return Ok(()) };
        let last = self.0.raft.metrics().borrow().last_log_index;
        let membership = self.membership();
        let is_close = |node: &RaftNode| is_close(&progress, last, node);
        let decided = promote(&membership, &self.image(), self.0.config.voters, is_close);
        let Some(voters) = decided else { return Ok(()) };
        let _turn = self.0.membership_turn.lock().await;
        let shown: Vec<RaftNode> = voters.iter().copied().collect();
        tracing::info!(voters = ?shown, "the metadata quorum changes");
        self.change(ChangeMembers::ReplaceAllVoters(voters), true).await
    }
}

/// Whether a node has nearly all entries of the log.
pub(super) fn is_close(
    progress: &BTreeMap<RaftNode, Option<LogId<RaftNode>>>,
    last: Option<u64>,
    node: &RaftNode,
) -> bool {
    let matched = progress.get(node).and_then(|matched| matched.index());
    matched.is_some_and(|matched| last.unwrap_or(0).saturating_sub(matched) <= LAG_MAX)
}

/// The voters that there should be, if they are others than there are.
///
/// Their number is odd: a second voter would only be one more that must answer.
fn promote(
    membership: &RaftMembership,
    image: &Image,
    voters_max: u32,
    is_close: impl Fn(&RaftNode) -> bool,
) -> Option<BTreeSet<RaftNode>> {
    let newest = membership.get_joint_config().last()?;
    if membership.get_joint_config().len() > 1 {
        // Begun by an active controller that is gone: it must come to its end.
        return Some(newest.clone());
    }
    let can_vote = |node: &RaftNode| image.nodes.contains_key(&node_id(*node)) && is_close(node);
    let mut ready: Vec<RaftNode> = membership.learner_ids().filter(can_vote).collect();
    ready.sort_unstable();
    let most = usize::try_from(voters_max).unwrap_or(usize::MAX).min(newest.len() + ready.len());
    let wanted = if most % 2 == 0 { most.saturating_sub(1) } else { most };
    let added = wanted.checked_sub(newest.len()).filter(|added| *added > 0)?;
    Some(newest.iter().copied().chain(ready.into_iter().take(added)).collect())
}

/// The active controller's care for the quorum.
pub(super) async fn look_after(controller: Controller) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if controller.is_active()
            && let Err(reason) = controller.look().await
        {
            tracing::debug!(reason, "the metadata quorum did not change");
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::metadata::Command;
    use weir_wire::ids::ClusterId;

    use super::*;

    fn check(voters: &[&[u64]], learners: &[u64], lagging: &[u64], voters_max: u32) -> Option<Vec<u64>> {
        let all = voters.concat().into_iter().chain(learners.iter().copied());
        let nodes: BTreeMap<u64, Site> = all.map(|node| (node, Site::default())).collect();
        let sets = voters.iter().map(|set| set.iter().copied().collect()).collect();
        let mut image = Image::default();
        image.apply(&Command::Initialise { cluster: ClusterId([1; 16]) }).unwrap();
        for node in nodes.keys() {
            image.apply(&crate::controller::testing::register(node_id(*node))).unwrap();
        }
        let membership = RaftMembership::new(sets, nodes);
        promote(&membership, &image, voters_max, |node| !lagging.contains(node))
            .map(|voters| voters.into_iter().collect())
    }

    #[test]
    fn learners_become_voters_in_odd_numbers() {
        assert_eq!(check(&[&[1]], &[], &[], 3), None);
        assert_eq!(check(&[&[1]], &[2], &[], 3), None);
        assert_eq!(check(&[&[1]], &[2, 3], &[], 3), Some(vec![1, 2, 3]));
        assert_eq!(check(&[&[1]], &[2, 3, 4, 5], &[], 3), Some(vec![1, 2, 3]));
        assert_eq!(check(&[&[1]], &[2, 3, 4, 5], &[2], 3), Some(vec![1, 3, 4]));
        assert_eq!(check(&[&[1, 2, 3]], &[4, 5], &[], 3), None);
        assert_eq!(check(&[&[1, 2, 3]], &[4, 5], &[], 5), Some(vec![1, 2, 3, 4, 5]));
        assert_eq!(check(&[&[1]], &[2, 3], &[], 2), None);
    }

    #[test]
    fn a_voter_that_was_removed_is_replaced() {
        assert_eq!(check(&[&[1, 2]], &[3], &[], 3), Some(vec![1, 2, 3]));
        assert_eq!(check(&[&[1, 2]], &[3], &[3], 3), None);
    }

    #[test]
    fn a_change_that_was_begun_comes_to_its_end() {
        assert_eq!(check(&[&[1], &[1, 2, 3]], &[], &[2, 3], 3), Some(vec![1, 2, 3]));
    }
}
