//! Handing out producer ids.
//!
//! The metadata grants them in blocks, so that one durable write serves many producers (KIP-730). What is left of a
//! block when the node stops is never used.

use tokio::sync::Mutex;
use weir_core::metadata::{Applied, Command};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{ProducerEpoch, ProducerId};
use weir_wire::request::{InitProducer, ProducerGranted};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};

/// How many ids a node takes at a time.
const BLOCK_IDS: u32 = 1000;

/// The ids that this node may still hand out.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<Block>,
}

#[derive(Debug, Default)]
struct Block {
    next: u64,
    left: u32,
}

pub(super) async fn handle(context: Context, request: InitProducer) -> Answer<ProducerGranted> {
    authorize(&context.principal, Operation::Write, Resource::Cluster)?;
    if request.count == 0 || request.count > InitProducer::COUNT_MAX {
        let sentence = format!(
            "a request asks for 1 to {} producer ids, not {}",
            InitProducer::COUNT_MAX,
            request.count
        );
        return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
    }
    // Held across the grant, so that those who wait behind a used-up block share the next one.
    let mut block = context.services.producer_ids.block.lock().await;
    if block.left < request.count {
        let command = Command::GrantProducers { count: BLOCK_IDS.max(request.count) };
        let (_, applied) = context.services.controller.submit(command).await.map_err(submit_error)?;
        let Applied::ProducersGranted { first, count } = applied else {
            unreachable!("granting producer ids leads to producer ids");
        };
        *block = Block { next: first.0, left: count };
    }
    let first = ProducerId(block.next);
    block.next += u64::from(request.count);
    block.left -= request.count;
    let granted = ProducerGranted { first, count: request.count, epoch: ProducerEpoch(0) };
    Ok((context.image.index, granted))
}
