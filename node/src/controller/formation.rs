//! Forming a cluster, and joining one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use weir_core::metadata::{Command, MetadataError};
use weir_wire::ids::ClusterId;
use weir_wire::metadata::{Join, Member, Refusal};

use super::submit::SubmitError;
use super::types::{Site, raft_node};
use super::{Controller, ControllerError};
use crate::outside::Outside;
use crate::transport::AskError;

/// How long a node tries to join: time enough for the first node to start beside it.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one node is given to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a node waits for the lease of an earlier life of its number to run out.
const DUPLICATE_WAIT: Duration = Duration::from_secs(5);
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
    #[error(
        "joined, but the active controller sent no metadata: can it reach this node's address? (see --listen and advertised.listeners)"
    )]
    NoMetadata,
    /// The cluster could not be named.
    #[error("the cluster could not be formed: {0}")]
    Form(#[from] SubmitError),
    /// openraft did not take it.
    #[error(transparent)]
    Controller(#[from] ControllerError),
}

impl Controller {
    /// Whether the folder held nothing of a cluster's metadata when the node started.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.was_blank
    }

    /// Goes on in the cluster that the folder knows; else joins the one at these addresses; else, without any, forms
    /// one. Returns once this node has the cluster's metadata.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn take_part(&self, addresses: &[String], outside: &Outside) -> Result<ClusterId, JoinError> {
        if let Some(cluster) = self.image().cluster {
            return Ok(cluster);
        }
        // Either the folder is empty, or an earlier start did not come this far.
        let knows_its_cluster = self.0.cluster.get().is_some();
        if self.was_forming().await || (self.is_blank() && addresses.is_empty()) {
            return self.form(ClusterId(outside.random.id())).await;
        }
        if !knows_its_cluster {
            self.join(addresses).await?;
        }
        let told = self.0.image.wait_until(|image| image.cluster.is_some());
        let image = tokio::time::timeout(METADATA_TIMEOUT, told).await.map_err(|_| JoinError::NoMetadata)?;
        image.cluster.ok_or(JoinError::NoMetadata)
    }

    /// Whether the folder holds the beginnings of a cluster that this node was forming by itself.
    async fn was_forming(&self) -> bool {
        let me = raft_node(self.node());
        // Not from openraft's metrics, which say nothing yet right after a start.
        let is_alone = self.0.raft.with_raft_state(move |state| {
            state.membership_state.effective().membership().voter_ids().eq([me])
        });
        is_alone.await.unwrap_or(false)
    }

    /// Forms a cluster of this node, or goes on with it where an earlier start was interrupted.
    async fn form(&self, cluster: ClusterId) -> Result<ClusterId, JoinError> {
        if !self.was_forming().await {
            let site = Site { address: self.0.config.address.clone() };
            let members = BTreeMap::from([(raft_node(self.node()), site)]);
            let initialised = self.0.raft.initialize(members).await;
            initialised.map_err(|error| ControllerError::Raft(error.to_string()))?;
        }
        match self.submit(Command::Initialise { cluster }).await {
            Ok(_) => {}
            // By the earlier start.
            Err(SubmitError::Refused(MetadataError::AlreadyInitialised(_))) => {}
            Err(error) => return Err(error.into()),
        }
        let cluster = self.image().cluster.unwrap_or(cluster);
        self.0.cluster.set(Some(cluster));
        Ok(cluster)
    }

    /// Has the nodes at these addresses take this one into their cluster.
    async fn join(&self, addresses: &[String]) -> Result<(), JoinError> {
        let started = Instant::now();
        let deadline = started + JOIN_TIMEOUT;
        let mut last = None;
        loop {
            for address in addresses {
                match self.join_through(address).await {
                    Ok(()) => return Ok(()),
                    Err(error) if is_final(&error, started.elapsed()) => {
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
    }

    /// Asks one node, and whom that names as the active controller.
    async fn join_through(&self, address: &str) -> Result<(), AskError> {
        let config = &self.0.config;
        let member = Member { node: config.node, address: config.address.clone() };
        let request = Join { member, is_empty: self.is_blank() };
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
                Err(AskError::Refused {
                    refusal: Refusal::NotController { leader: Some(leader) }, ..
                }) => {
                    asked = leader.address;
                }
                Err(error) => return Err(error),
            }
        }
        Err(AskError::Broken { node: asked, reason: "the active controller changes".to_owned() })
    }
}

/// Whether asking again cannot help, after having asked for so long.
fn is_final(error: &AskError, asked_for: Duration) -> bool {
    match error {
        AskError::Refused { refusal, .. } => match refusal {
            Refusal::WrongCluster { .. } | Refusal::Invalid(_) | Refusal::OtherIdentity { .. } => true,
            // An earlier life of this node, whose disk was replaced, may hold its lease still.
            Refusal::DuplicateNode { .. } => asked_for > DUPLICATE_WAIT,
            Refusal::NotController { .. } | Refusal::NotFormed | Refusal::Unavailable(_) => false,
        },
        AskError::Unreachable(error) => !error.is_retryable(),
        AskError::Address { .. } => true,
        AskError::Broken { .. } => false,
    }
}
