//! Nodes that leave for good, and voters that others replace.

use weir_core::metadata::Command;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::metadata::ChangeVoters;
use weir_wire::request::{ChangeNode, NodeChange, NodeChanged};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};
use crate::controller::SubmitError;

pub(super) async fn handle(context: Context, request: ChangeNode) -> Answer<NodeChanged> {
    authorize(&context.principal, Operation::Alter, Resource::Cluster)?;
    let (controller, out) = (&context.services.controller, request.node);
    let refused = |sentence: String| WireError::new(ErrorCode::InvalidRequest, sentence);
    let index = context.image.index;
    let (with, forget) = match request.change {
        NodeChange::ReplaceVoter { with } => (with, false),
        NodeChange::Remove => {
            if controller.voters() == [out] {
                let sentence = format!(
                    "node {out} is the only voter: without it there is no cluster; start another node first"
                );
                return Err(refused(sentence));
            }
            let removable = controller.image().check_removable(out);
            removable.map_err(|error| submit_error(SubmitError::Refused(error)))?;
            (None, true)
        }
    };
    let voters = controller.change_voters(ChangeVoters { out, with, forget }).await.map_err(refused)?;
    if !forget {
        return Ok((index, NodeChanged { voters }));
    }
    // Only now: a node that is forgotten here and has its part in the quorum would be missed there for ever.
    let removed = controller.submit(Command::RemoveNode { node: out }).await;
    let (index, _) = removed.map_err(submit_error)?;
    Ok((index, NodeChanged { voters }))
}
