//! Producer ids, a few at a time: each lane has its own.

use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{ProducerEpoch, ProducerId};
use weir_wire::request::InitProducer;

use crate::error::ClientError;
use crate::net::Net;

/// How many ids are asked for at a time. Those that no lane takes are lost with the producer, which harms nothing.
const IDS_PER_REQUEST: u32 = 16;

/// Ids that were granted and not given to a lane.
#[derive(Default)]
pub(super) struct ProducerIds(tokio::sync::Mutex<Vec<(ProducerId, ProducerEpoch)>>);

impl ProducerIds {
    /// An id that no other lane has.
    pub(super) async fn take(&self, net: &Net) -> Result<(ProducerId, ProducerEpoch), WireError> {
        let mut granted = self.0.lock().await;
        if let Some(id) = granted.pop() {
            return Ok(id);
        }
        let answer = net.ask_once(&InitProducer { count: IDS_PER_REQUEST }).await.map_err(as_wire_error)?;
        let ids = (0..answer.count.min(IDS_PER_REQUEST)).rev();
        granted.extend(ids.map(|at| (ProducerId(answer.first.0 + u64::from(at)), answer.epoch)));
        granted.pop().ok_or_else(|| WireError::new(ErrorCode::Internal, "the node granted no producer id"))
    }
}

fn as_wire_error(error: ClientError) -> WireError {
    let code = if error.is_retryable() { ErrorCode::LeaderNotAvailable } else { ErrorCode::Internal };
    match error {
        ClientError::Node(error) => error,
        other => WireError::new(code, other.to_string()),
    }
}
