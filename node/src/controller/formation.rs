//! Forming a cluster, and joining one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use weir_core::metadata::Command;
use weir_wire::ids::ClusterId;
use weir_wire::metadata::{Join, Member, Refusal};

use super::submit::SubmitError;
use super::types::{Site, raft_node};
use super::{Controller, ControllerError};
use crate::transport::AskError;

/// How long a node tries to join: time enough for the first node to start beside it.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one node is given to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(4);
/// The pause between two rounds through the addresses.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// How long a node that has joined waits for the metadata, and one that formed a cluster for its own reign.
const METADATA_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a node has no cluster.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A node said no, for good.
    #[error("cannot join through {address}: {error}")]
    Refused {
        /// Who was asked.
        address: String,
        /// What it said.
        error: AskError,
    },
    /// None of them let this node in.
    #[error("cannot join through any address of --join: {}", .last.as_deref().unwrap_or("none was given"))]
    NoAnswer {
        /// What the last one said or did.
        last: Option<String>,
    },
    /// It joined, but nobody told it anything.
    #[error("joined, but the active controller sent no metadata: can it reach this node's address? (see --listen and advertised.listeners)")]
    NoMetadata,
    /// The cluster could not be named.
    #[error("the cluster could not be formed: {0}")]
    Form(#[from] SubmitError),
    /// openraft did not take it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

impl Controller {
    /// The cluster that the data folder knows, if it does.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.image().cluster
    }

    /// Whether the folder holds the beginnings of a cluster that this node was forming by itself.
    fn was_forming(&self) -> bool {
        let membership = self.membership();
        membership.voter_ids().eq([raft_node(self.node())])
    }

    /// Forms a cluster of this node, or goes on with it where an earlier start was interrupted.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn form(&self, cluster: ClusterId) -> Result<ClusterId, JoinError> {
        if let Some(cluster) = self.cluster() {
            return Ok(cluster);
        }
        if !self.was_forming() {
            let site = Site { address: self.0.config.address.clone() };
            let members = BTreeMap::from([(raft_node(self.node()), site)]);
            let initialised = self.0.raft.initialize(members).await;
            initialised.map_err(|error| ControllerError::Raft(error.to_string()))?;
        }
        self.submit(Command::Initialise { cluster }).await?;
        self.0.cluster.set(Some(cluster));
        Ok(cluster)
    }

    /// Joins the cluster that nodes at these addresses belong to. Returns once this node has its metadata.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, addresses: &[String]) -> Result<ClusterId, JoinError> {
        let deadline = Instant::now() + JOIN_TIMEOUT;
        let mut last = None;
        'rounds: loop {
            for address in addresses {
                match self.join_through(address).await {
                    Ok(()) => break 'rounds,
                    Err(error) if is_final(&error) => {
                        return Err(JoinError::Refused { address: address.clone(), error });
                    }
                    Err(error) => {
                        tracing::info!(address, %error, "not joined yet");
                        last = Some(format!("{address}: {error}"));
                    }
                }
            }
            if Instant::now() + ROUND_PAUSE >= deadline || addresses.is_empty() {
                return Err(JoinError::NoAnswer { last });
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        let told = self.0.image.wait_until(|image| image.cluster.is_some());
        let image = tokio::time::timeout(METADATA_TIMEOUT, told).await.map_err(|_| JoinError::NoMetadata)?;
        image.cluster.ok_or(JoinError::NoMetadata)
    }

    /// Asks one node, and whom that names as the active controller.
    async fn join_through(&self, address: &str) -> Result<(), AskError> {
        let config = &self.0.config;
        let member = Member { node: config.node, address: config.address.clone() };
        let request = Join { member, is_empty: self.0.was_empty && self.0.log.is_empty() };
        let mut asked = address.to_owned();
        // The named one may have lost its reign a moment ago, and name the next.
        for _ in 0..3 {
            let asking = self.0.asking.ask_stranger(&asked, &request);
            let answer = tokio::time::timeout(ASK_TIMEOUT, asking).await;
            let late = || AskError::Broken { node: asked.clone(), reason: "no answer in time".to_owned() };
            match answer.unwrap_or_else(|_| Err(late())) {
                Ok(joined) => {
                    for member in &joined.members {
                        self.0.asking.learn(member.node, &member.address);
                    }
                    self.0.cluster.set(Some(joined.cluster));
                    return Ok(());
                }
                Err(AskError::Refused { refusal: Refusal::NotController { leader: Some(leader) }, .. }) => {
                    asked = leader.address;
                }
                Err(error) => return Err(error),
            }
        }
        Err(AskError::Broken { node: asked, reason: "the active controller changes".to_owned() })
    }
}

/// Whether asking again cannot help.
fn is_final(error: &AskError) -> bool {
    match error {
        AskError::Refused { refusal, .. } => match refusal {
            Refusal::WrongCluster { .. }
            | Refusal::DuplicateNode { .. }
            | Refusal::Invalid(_)
            | Refusal::OtherIdentity { .. } => true,
            Refusal::NotController { .. } | Refusal::NotFormed | Refusal::Unavailable(_) => false,
        },
        AskError::Unreachable(error) => !error.is_retryable(),
        AskError::Address { .. } => true,
        AskError::Broken { .. } => false,
    }
}
