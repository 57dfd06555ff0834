//! What the tests of the controller share.

use weir_core::metadata::{Command, ProcessId, Registration};
use weir_wire::ids::NodeId;

/// The first registration of a node.
pub(super) fn register(node: NodeId) -> Command {
    Command::RegisterNode(Registration {
        node,
        process: ProcessId([u8::try_from(node.0).unwrap(); 16]),
        address: format!("127.0.0.1:{}", 9440 + node.0),
        rack: None,
        last: None,
        unanswered: Vec::new(),
        cut: Vec::new(),
    })
}
