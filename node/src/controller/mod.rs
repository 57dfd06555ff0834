//! The controller: puts commands into one order, makes them durable, applies them to [`weir_core::metadata`].
//!
//! ```text
//! handlers ──submit──▶ task: apply to a copy ─▶ write and sync the image ─▶ publish ──▶ everyone who watches
//! ```
//!
//! On a node of its own, the order is the order of arrival. An image is published only after it is durable, so
//! nobody acts on metadata that a power cut could take back.

mod store;

pub use store::MetadataStore;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use weir_core::metadata::{Applied, Command, Image, MetadataError};
use weir_wire::ids::MetadataIndex;

use crate::storage::StorageError;
use crate::watched::Watched;

/// Commands that may wait for the controller at a time; who submits more waits.
const COMMANDS_QUEUED_MAX: usize = 256;
/// How long [`Controller::at_least`] waits for metadata that this node has not seen yet.
const METADATA_WAIT: Duration = Duration::from_secs(5);

/// Why a command did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The metadata forbids it.
    #[error(transparent)]
    Refused(#[from] MetadataError),
    /// It could not be made durable. The node goes on with the metadata that it has.
    #[error("the metadata could not be stored: {0}")]
    Storage(Arc<StorageError>),
    /// The node is stopping.
    #[error("the node is shutting down")]
    Stopping,
}

/// A handle to the controller, for anybody on the node.
#[derive(Clone, Debug)]
pub struct Controller {
    proposals: mpsc::Sender<Proposal>,
    image: Arc<Watched<Image>>,
}

#[derive(Debug)]
struct Proposal {
    command: Command,
    reply: oneshot::Sender<Result<(MetadataIndex, Applied), SubmitError>>,
}

impl Controller {
    /// Starts the controller on what the store holds. Its task ends when the last handle is dropped.
    pub fn start(store: MetadataStore, image: Image) -> Controller {
        let (proposals, inbox) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let image = Arc::new(Watched::new(image));
        tokio::spawn(run(store, Arc::clone(&image), inbox));
        Controller { proposals, image }
    }

    /// The newest durable metadata.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.image.get()
    }

    /// Waits for metadata beyond `seen`.
    pub async fn newer_than(&self, seen: MetadataIndex) -> Arc<Image> {
        self.image.wait_until(|image| image.index > seen).await
    }

    /// Metadata that holds at least everything up to `index`; `None` when it does not come in time.
    pub async fn at_least(&self, index: MetadataIndex) -> Option<Arc<Image>> {
        tokio::time::timeout(METADATA_WAIT, self.image.wait_until(|image| image.index >= index)).await.ok()
    }

    /// Submits a command; answers once it is durable and visible in [`Controller::image`].
    ///
    /// # Errors
    /// See [`SubmitError`]: the command then has no effect.
    pub async fn submit(&self, command: Command) -> Result<(MetadataIndex, Applied), SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.proposals.send(Proposal { command, reply }).await.map_err(|_| SubmitError::Stopping)?;
        answer.await.map_err(|_| SubmitError::Stopping)?
    }
}

/// The controller's task. Commands that wait together share one write of the image.
async fn run(store: MetadataStore, image: Arc<Watched<Image>>, mut inbox: mpsc::Receiver<Proposal>) {
    let mut proposals = Vec::with_capacity(COMMANDS_QUEUED_MAX);
    while inbox.recv_many(&mut proposals, COMMANDS_QUEUED_MAX).await > 0 {
        let mut next = (*image.get()).clone();
        let applied: Vec<_> = proposals
            .drain(..)
            .map(|Proposal { command, reply }| (next.apply(&command), next.index, command, reply))
            .collect();
        let outcome =
            if applied.iter().any(|(result, ..)| result.is_ok()) { store.save(&next).await } else { Ok(()) };
        match outcome {
            Ok(()) => image.set(next),
            Err(error) => {
                tracing::error!(%error, "the metadata could not be stored; it stays as it was");
                let error = Arc::new(error);
                for (.., reply) in applied {
                    let _ = reply.send(Err(SubmitError::Storage(Arc::clone(&error))));
                }
                continue;
            }
        }
        for (result, index, command, reply) in applied {
            if result.is_ok() {
                tracing::info!(index = index.0, ?command, "metadata changed");
            }
            // Who asked may be gone; the command holds all the same.
            let _ = reply.send(result.map(|answer| (index, answer)).map_err(SubmitError::from));
        }
    }
}
