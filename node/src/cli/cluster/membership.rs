//! `weir cluster remove-node` and `weir cluster replace-voter`: who takes part, and who votes.

use serde_json::json;
use weir_client::{ChangeNode, Client, NodeChange, NodeId};

use crate::cli::output::{Done, Exit, Output};

pub(super) async fn remove(client: &Client, node: u32, output: Output) -> Done {
    let request = ChangeNode { node: NodeId(node), change: NodeChange::Remove };
    let voters = client.change_node(&request).await?.voters;
    output.line(&format!("node {node} is not part of the cluster any more; {} vote", shown(&voters)))?;
    output.result(&json!({ "node": node, "voters": numbers(&voters) }))?;
    Ok(Exit::Success)
}

pub(super) async fn replace_voter(client: &Client, node: u32, with: Option<u32>, output: Output) -> Done {
    let change = NodeChange::ReplaceVoter { with: with.map(NodeId) };
    let voters = client.change_node(&ChangeNode { node: NodeId(node), change }).await?.voters;
    output.line(&format!("nodes {} vote", shown(&voters)))?;
    output.result(&json!({ "node": node, "voters": numbers(&voters) }))?;
    Ok(Exit::Success)
}

fn shown(voters: &[NodeId]) -> String {
    voters.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ")
}

fn numbers(voters: &[NodeId]) -> Vec<u32> {
    voters.iter().map(|node| node.0).collect()
}
