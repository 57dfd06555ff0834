//! Commands on their way to the active controller, from any node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use weir_core::metadata::{Applied, Command, MetadataError};
use weir_wire::ids::{ClusterId, MetadataIndex, NodeId};
use weir_wire::metadata::{Propose, Refusal};
use weir_wire::request::{decode_body, encode_body};

use super::Controller;
use super::types::{Commands, Outcome};
use crate::storage::StorageError;

/// Commands that may wait for the controller at a time; who submits more waits.
pub(super) const COMMANDS_QUEUED_MAX: usize = 256;
/// How long a command may take, changes of the active controller included.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(6);
/// The pause between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(50);

/// Why a command did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The metadata forbids it.
    #[error(transparent)]
    Refused(#[from] MetadataError),
    /// It could not be made durable in time. It may still take effect when the disk takes it.
    #[error("the metadata could not be stored: {0}")]
    Storage(Arc<StorageError>),
    /// No active controller took it. It has no effect.
    #[error("no majority of the metadata quorum answers{}", hint(.foreign.as_deref()))]
    NoQuorum {
        /// What a node said that is not of this cluster, if one did: trying again does not help then.
        foreign: Option<String>,
    },
    /// An active controller may have taken it, but whether a majority has it is not known.
    #[error(
        "whether the change took effect is not known: the active controller did not answer in time; look before you try again"
    )]
    Unknown,
    /// The node is stopping.
    #[error("the node is shutting down")]
    Stopping,
}

fn hint(foreign: Option<&str>) -> String {
    match foreign {
        Some(said) => format!(": {said}"),
        None => "; start enough of its nodes ('weir cluster quorum' shows which there are)".to_owned(),
    }
}

#[derive(Debug)]
pub(super) struct Proposal {
    command: Command,
    reply: oneshot::Sender<Decided>,
}

/// What became of a command that was handed to the active controller.
pub(super) type Decided = Result<(MetadataIndex, Outcome), Undecided>;

/// Why nothing is decided on a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecided {
    /// This is not the active controller: nothing was done.
    NotActive,
    /// It was given to the quorum, which did not say what became of it.
    Unknown,
    /// The node stops.
    Stopping,
}

impl Controller {
    /// Waits until this node has all metadata that was decided before it asked.
    ///
    /// # Errors
    /// See [`SubmitError`]; nothing was changed, whatever it is.
    pub async fn up_to_date(&self, cluster: ClusterId) -> Result<(), SubmitError> {
        // Changes nothing, and is answered behind everything that was decided before.
        match self.submit(Command::Initialise { cluster }).await {
            Ok(_) | Err(SubmitError::Refused(_)) => Ok(()),
            Err(SubmitError::Unknown) => Err(SubmitError::NoQuorum { foreign: None }),
            Err(error) => Err(error),
        }
    }

    /// Submits a command, to whichever node is the active controller; answers once it is durable on a majority and
    /// visible in [`Controller::image`].
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, command: Command) -> Result<(MetadataIndex, Applied), SubmitError> {
        let deadline = Instant::now() + SUBMIT_TIMEOUT;
        let mut is_ambiguous = false;
        loop {
            if *self.0.stopping.get() {
                return Err(SubmitError::Stopping);
            }
            let leader = self.0.standing.wait_until(|standing| standing.leader.is_some());
            let tried = match tokio::time::timeout_at(deadline, leader).await.map(|standing| standing.leader)
            {
                Ok(Some(leader)) => {
                    let superseded = self.0.standing.wait_until(|standing| standing.leader != Some(leader));
                    tokio::select! {
                        biased;
                        tried = self.try_at(leader, &command) => tried,
                        _ = superseded => Err(Undecided::Unknown),
                        () = tokio::time::sleep_until(deadline) => Err(Undecided::Unknown),
                    }
                }
                _ => Err(Undecided::NotActive),
            };
            match tried {
                Ok((index, outcome)) => {
                    let seen = self.0.image.wait_until(|image| image.index >= index);
                    // A node that lags says so when it is asked for that metadata.
                    let _ = tokio::time::timeout(super::METADATA_WAIT, seen).await;
                    return self.settled(index, outcome, &command, is_ambiguous);
                }
                Err(Undecided::Stopping) => return Err(SubmitError::Stopping),
                Err(Undecided::Unknown) => is_ambiguous = true,
                Err(Undecided::NotActive) => {}
            }
            if Instant::now() + TRY_PAUSE >= deadline {
                return Err(self.gave_up(is_ambiguous));
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }

    async fn try_at(&self, leader: NodeId, command: &Command) -> Decided {
        if leader == self.node() {
            return self.decide(command.clone()).await;
        }
        match self.0.asking.ask(leader, &Propose { command: encode_body(command) }).await {
            Ok(proposed) => match decode_body::<Outcome>(&proposed.outcome) {
                Ok(outcome) => Ok((proposed.index, outcome)),
                Err(_) => Err(Undecided::Unknown),
            },
            Err(error) => {
                tracing::debug!(%leader, %error, "a command found no active controller");
                match error.refusal() {
                    Some(Refusal::NotController { .. }) => Err(Undecided::NotActive),
                    Some(_) => Err(Undecided::Unknown),
                    None if error.is_ambiguous() => Err(Undecided::Unknown),
                    None => Err(Undecided::NotActive),
                }
            }
        }
    }

    /// Has a command decided on by this node, which must be the active controller.
    pub(super) async fn decide(&self, command: Command) -> Decided {
        let (reply, answer) = oneshot::channel();
        self.0.proposals.send(Proposal { command, reply }).await.map_err(|_| Undecided::Stopping)?;
        answer.await.map_err(|_| Undecided::Stopping)?
    }

    /// A refusal may be the echo of an earlier try that succeeded.
    fn settled(
        &self,
        index: MetadataIndex,
        outcome: Outcome,
        command: &Command,
        is_ambiguous: bool,
    ) -> Result<(MetadataIndex, Applied), SubmitError> {
        match outcome {
            Ok(applied) => Ok((index, applied)),
            Err(_) if is_ambiguous => {
                self.already_done(command).map(|applied| (index, applied)).ok_or(SubmitError::Unknown)
            }
            Err(refusal) => Err(SubmitError::Refused(refusal)),
        }
    }

    /// What the command led to, where the image shows that it was this one.
    fn already_done(&self, command: &Command) -> Option<Applied> {
        let Command::CreateTopic { id, .. } = command else { return None };
        let image = self.image();
        let (_, topic) = image.topic_by_id(*id)?;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Some(Applied::TopicCreated {
            id: *id,
            partitions: count(topic.partitions.len()),
            replication_factor: count(
                topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
            ),
        })
    }

    fn gave_up(&self, is_ambiguous: bool) -> SubmitError {
        match self.0.log.failing().as_ref() {
            Some(error) => SubmitError::Storage(Arc::new(error.clone())),
            None if is_ambiguous => SubmitError::Unknown,
            None => SubmitError::NoQuorum { foreign: self.0.asking.foreign() },
        }
    }
}

/// The proposer: what waits together becomes one entry, and shares its syncs and its way to the other nodes.
pub(super) async fn propose(controller: Controller, mut inbox: mpsc::Receiver<Proposal>) {
    let mut waiting = Vec::with_capacity(COMMANDS_QUEUED_MAX);
    while inbox.recv_many(&mut waiting, COMMANDS_QUEUED_MAX).await > 0 {
        // Who gave up waiting does not want it done later.
        waiting.retain(|proposal: &Proposal| !proposal.reply.is_closed());
        if waiting.is_empty() {
            continue;
        }
        if !controller.is_active() {
            for proposal in waiting.drain(..) {
                let _ = proposal.reply.send(Err(Undecided::NotActive));
            }
            continue;
        }
        let (commands, replies): (Vec<_>, Vec<_>) =
            waiting.drain(..).map(|Proposal { command, reply }| (command, reply)).unzip();
        let me = controller.node();
        let superseded = controller.0.standing.wait_until(|standing| standing.leader != Some(me));
        let written = tokio::select! {
            biased;
            written = controller.0.raft.client_write(Commands(commands)) => written.map_err(|error| error.to_string()),
            _ = superseded => Err("this node is not the active controller any more".to_owned()),
        };
        match written {
            Ok(written) => {
                for (reply, (index, outcome)) in replies.into_iter().zip(written.data.0) {
                    let _ = reply.send(Ok((index, outcome)));
                }
            }
            Err(error) => {
                // openraft says so also of an entry that it took and lost its leadership over.
                tracing::debug!(error, "an entry was not decided on");
                for reply in replies {
                    let _ = reply.send(Err(Undecided::Unknown));
                }
            }
        }
    }
}
