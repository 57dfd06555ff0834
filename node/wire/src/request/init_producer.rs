//! Getting a producer id, or the next epoch of one (KIP-98, KIP-360).

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::{ProducerEpoch, ProducerId};

/// Asks for producer ids that nobody had before, at epoch 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitProducer {
    /// How many consecutive ids, one per lane.
    pub count: u32,
}

impl InitProducer {
    /// The most ids that one request may ask for.
    pub const COUNT_MAX: u32 = 10_000;
}

/// The ids granted: `count` consecutive ones from `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerGranted {
    /// The first id.
    pub first: ProducerId,
    /// How many.
    pub count: u32,
    /// The epoch to produce at.
    pub epoch: ProducerEpoch,
}

impl Request for InitProducer {
    const KIND: RequestKind = RequestKind(5);
    const NAME: &'static str = "init_producer";
    type Response = ProducerGranted;
}
