//! Voters that an operator replaces: decided by the active controller, asked from any node.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::time::Instant;
use weir_core::metadata::Image;
use weir_wire::ids::NodeId;
use weir_wire::metadata::{ChangeVoters, Refusal};

use super::Controller;
use super::types::{RaftMembership, RaftNode, node_id, raft_node};

/// How long an active controller is looked for.
const ASK_TIMEOUT: Duration = Duration::from_secs(6);
/// The pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(50);

impl Controller {
    /// Has another node vote in the place of one. Asking again does no more than asking once. Returns who votes.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub async fn change_voters(&self, request: ChangeVoters) -> Result<Vec<NodeId>, String> {
        let deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            let leader = self.0.standing.wait_until(|standing| standing.leader.is_some());
            let leader = tokio::time::timeout_at(deadline, leader).await.ok().and_then(|known| known.leader);
            let reason = match leader {
                None => {
                    "no majority of the metadata quorum answers; 'weir cluster quorum' shows which there are"
                        .to_owned()
                }
                Some(leader) if leader == self.node() => return self.replace_voter(&request).await,
                Some(leader) => match self.0.asking.ask_within(ASK_TIMEOUT, leader, &request).await {
                    Ok(changed) => return Ok(changed.voters),
                    Err(error) => match error.refusal() {
                        Some(Refusal::Invalid(reason)) => return Err(reason.clone()),
                        _ => error.to_string(),
                    },
                },
            };
            if Instant::now() + TRY_PAUSE >= deadline {
                return Err(reason);
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }

    /// As [`Controller::change_voters`], by this node, which is the active controller.
    pub(super) async fn replace_voter(&self, request: &ChangeVoters) -> Result<Vec<NodeId>, String> {
        let _turn = self.0.membership_turn.lock().await;
        let progress = self.0.raft.metrics().borrow().replication.clone().unwrap_or_default();
        let last = self.0.raft.metrics().borrow().last_log_index;
        let is_close = |node: &RaftNode| super::members::is_close(&progress, last, node);
        let wanted = replaced(&self.membership(), &self.image(), request, is_close)?;
        if let Some(voters) = wanted {
            tracing::info!(?voters, out = %request.out, "a voter is replaced");
            self.change(ChangeMembers::ReplaceAllVoters(voters), true).await?;
        }
        let out = raft_node(request.out);
        if request.forget && self.membership().get_node(&out).is_some() {
            self.change(ChangeMembers::RemoveNodes(BTreeSet::from([out])), false).await?;
        }
        Ok(self.voters())
    }
}

/// The voters that there should be; `None` if they are as asked.
fn replaced(
    membership: &RaftMembership,
    image: &Image,
    request: &ChangeVoters,
    is_close: impl Fn(&RaftNode) -> bool,
) -> Result<Option<BTreeSet<RaftNode>>, String> {
    let ChangeVoters { out, with, forget } = *request;
    let [voters] = membership.get_joint_config().as_slice() else {
        return Err("the voters change at this moment; try again".to_owned());
    };
    if with == Some(out) {
        return Err(format!("node {out} cannot take its own place"));
    }
    if !voters.contains(&raft_node(out)) {
        return match with {
            Some(with) if !voters.contains(&raft_node(with)) => Err(format!(
                "node {out} does not vote, so nobody can take its place; 'weir cluster quorum' shows who does"
            )),
            None if !forget && membership.get_node(&raft_node(out)).is_none() => {
                Err(format!("there is no node {out}; 'weir cluster quorum' shows which there are"))
            }
            _ => Ok(None),
        };
    }
    let can_vote = |node: &RaftNode| {
        let state = image.nodes.get(&node_id(*node));
        state.is_some_and(|state| !state.fenced && !state.stopping) && is_close(node)
    };
    let mut ready: Vec<RaftNode> = membership.learner_ids().filter(can_vote).collect();
    ready.sort_unstable();
    let next = match with {
        None => ready.first().copied(),
        Some(with) if ready.contains(&raft_node(with)) => Some(raft_node(with)),
        Some(with) => {
            return Err(format!(
                "node {with} cannot vote in its place: it votes already, is not alive, or lags behind; 'weir cluster quorum' \
                 shows which there are"
            ));
        }
    };
    let others = voters.iter().copied().filter(|voter| *voter != raft_node(out));
    let after: BTreeSet<RaftNode> = others.chain(next).collect();
    if after.is_empty() {
        return Err(format!(
            "node {out} is the only voter: without it there is no cluster; start another node first"
        ));
    }
    if next.is_none() && !forget {
        return Err(format!(
            "no live node is left that could vote in the place of node {out}; start another node first"
        ));
    }
    Ok(Some(after))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_core::metadata::Command;
    use weir_wire::ids::{ClusterId, Incarnation};

    use super::*;
    use crate::controller::types::Site;

    /// `fenced` are not alive, the nodes from 8 on lag behind.
    fn check(voters: &[u64], learners: &[u64], fenced: &[u64], asked: (u32, Option<u32>, bool)) -> String {
        let all = voters.iter().chain(learners).copied();
        let nodes: BTreeMap<u64, Site> = all.map(|node| (node, Site::default())).collect();
        let mut image = Image::default();
        image.apply(&Command::Initialise { cluster: ClusterId([1; 16]) }).unwrap();
        for node in nodes.keys() {
            image.apply(&crate::controller::testing::register(node_id(*node))).unwrap();
        }
        for node in fenced {
            let fence = Command::FenceNode { node: node_id(*node), incarnation: Incarnation(1) };
            image.apply(&fence).unwrap();
        }
        let membership = RaftMembership::new(vec![voters.iter().copied().collect()], nodes);
        let (out, with, forget) = asked;
        let request = ChangeVoters { out: NodeId(out), with: with.map(NodeId), forget };
        match replaced(&membership, &image, &request, |node| *node < 8) {
            Ok(None) => "as asked".to_owned(),
            Ok(Some(voters)) => format!("{:?}", voters.into_iter().collect::<Vec<_>>()),
            Err(error) => error,
        }
    }

    #[test]
    fn a_live_learner_takes_the_place() {
        assert_eq!(check(&[1, 2, 3], &[4, 5], &[3], (3, None, false)), "[1, 2, 4]");
        assert_eq!(check(&[1, 2, 3], &[4, 5], &[3, 4], (3, None, false)), "[1, 2, 5]");
        assert_eq!(check(&[1, 2, 3], &[4, 5], &[3], (3, Some(5), false)), "[1, 2, 5]");
        assert_eq!(check(&[1, 2, 4], &[3, 5], &[3], (3, Some(4), false)), "as asked");
        assert_eq!(check(&[1, 2, 4], &[5], &[], (3, None, true)), "as asked");
    }

    #[test]
    fn what_would_cost_the_quorum_is_refused() {
        for (asked, says) in [
            (check(&[1], &[], &[], (1, None, true)), "the only voter"),
            (check(&[1], &[8], &[], (1, None, false)), "the only voter"),
            (check(&[1, 2, 3], &[], &[3], (3, None, false)), "no live node is left"),
            (check(&[1, 2, 3], &[4, 8], &[4], (3, Some(4), false)), "node 4 cannot vote"),
            (check(&[1, 2, 3], &[4, 8], &[4], (3, Some(8), false)), "node 8 cannot vote"),
            (check(&[1, 2, 3], &[4], &[], (3, Some(2), false)), "node 2 cannot vote"),
            (check(&[1, 2, 3], &[4], &[], (3, Some(3), false)), "its own place"),
            (check(&[1, 2, 3], &[4], &[], (4, Some(4), false)), "its own place"),
            (check(&[1, 2, 3], &[4, 5], &[], (4, Some(5), false)), "node 4 does not vote"),
            (check(&[1, 2, 3], &[4, 5], &[], (7, None, false)), "no node 7"),
        ] {
            assert!(asked.contains(says), "{asked}");
        }
        // Who is gone for good need not be replaced while others vote.
        assert_eq!(check(&[1, 2, 3], &[], &[3], (3, None, true)), "[1, 2]");
    }
}
