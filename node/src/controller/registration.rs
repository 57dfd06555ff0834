//! How a node says to its cluster that it starts, and what its folder remembers of that.
//!
//! ```text
//! note the process in the folder ─▶ propose ─▶ note the incarnation ─▶ serve
//! ```
//!
//! A process that dies between the second and the third step has registered without knowing it. The folder then still
//! names it as unanswered, so that the next process is known to be the same folder's, which lost nothing.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_core::metadata::{Applied, Command, CutLog, LastLife, ProcessId, Registration};
use weir_wire::ids::{Incarnation, NodeId};
use weir_wire::stored::Stored;

use super::Controller;
use super::submit::SubmitError;
use crate::outside::Outside;
use crate::storage::{self, StorageError, ValueError};

/// The file's name within the metadata folder.
const FILE: &str = "node";

/// What the folder remembers of its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Life {
    node: NodeId,
    /// The newest registration that was answered.
    incarnation: Option<Incarnation>,
    /// Processes that may have registered since, and did not hear.
    unanswered: Vec<ProcessId>,
}

impl Stored for Life {
    const NAME: &'static str = "registration";
    const VERSION: u8 = 1;
}

/// A node's memory of its registrations.
#[derive(Clone)]
pub struct Lives {
    outside: Outside,
    path: PathBuf,
    life: Option<Life>,
}

/// What a process says about itself when it registers.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Where it is reached, as `host:port`.
    pub address: String,
    /// Where it stands.
    pub rack: Option<String>,
    /// Whether the process before it stopped in order.
    pub was_clean: bool,
    /// The logs that it cannot vouch for.
    pub cut: Vec<CutLog>,
}

/// Why a node is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The cluster says no, or nothing.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The folder does not take it.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What is said again when the lease was lost.
#[derive(Clone)]
pub(super) struct Registered {
    process: ProcessId,
    introduction: Introduction,
    lives: Arc<tokio::sync::Mutex<Lives>>,
}

impl Lives {
    /// Reads what the metadata folder remembers.
    ///
    /// # Errors
    /// See [`ValueError`].
    pub fn open(outside: &Outside, folder: &std::path::Path) -> Result<Lives, ValueError> {
        storage::make_folder(&*outside.disk, folder)?;
        let path = folder.join(FILE);
        let life = storage::load_value(&*outside.disk, &path)?;
        Ok(Lives { outside: outside.clone(), path, life })
    }

    /// Whose folder it is; `None` while nobody registered from it.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.life.as_ref().map(|life| life.node)
    }

    async fn save(&mut self, life: Life) -> Result<(), StorageError> {
        let (disk, path, saved) = (Arc::clone(&self.outside.disk), self.path.clone(), life.clone());
        self.outside.on_worker(move || storage::save_value(&*disk, &path, &saved)).await?;
        self.life = Some(life);
        Ok(())
    }
}

impl Controller {
    /// Registers this process: ends every reign of the node's earlier life before anything is appended in this one.
    /// The lease is kept from then on.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(
        &self,
        mut lives: Lives,
        introduction: Introduction,
    ) -> Result<Incarnation, RegisterError> {
        let node = self.node();
        let process = *self.0.process.get_or_init(|| ProcessId(self.0.random.id()));
        let before = lives.life.clone().unwrap_or(Life { node, incarnation: None, unanswered: Vec::new() });
        let mut noted = before.clone();
        noted.unanswered.push(process);
        lives.save(noted).await?;
        let last =
            before.incarnation.map(|incarnation| LastLife { incarnation, clean: introduction.was_clean });
        let registration = Registration {
            node,
            process,
            address: introduction.address.clone(),
            rack: introduction.rack.clone(),
            last,
            earlier: before.unanswered,
            cut: introduction.cut.clone(),
        };
        let incarnation = self.submit_registration(registration).await?;
        lives.save(Life { node, incarnation: Some(incarnation), unanswered: vec![process] }).await?;
        tracing::info!(%node, %incarnation, "registered");
        let lives = Arc::new(tokio::sync::Mutex::new(lives));
        *self.registration() = Some(Registered { process, introduction, lives });
        self.0.registered.set(Some(incarnation));
        Ok(incarnation)
    }

    async fn submit_registration(&self, registration: Registration) -> Result<Incarnation, SubmitError> {
        let (_, applied) = self.submit(Command::RegisterNode(registration)).await?;
        let Applied::Registered(incarnation) = applied else {
            unreachable!("registering leads to an incarnation")
        };
        Ok(incarnation)
    }

    /// Registers again after the lease was lost: a new life of the same process, which lost nothing.
    pub(super) async fn register_again(&self, lost: Incarnation) {
        let Some(Registered { process, introduction, lives }) = self.registration().clone() else { return };
        let mut lives = lives.lock().await;
        if *self.0.registered.get() != Some(lost) {
            return;
        }
        tracing::warn!(incarnation = %lost, "the lease was lost; registering again");
        let registration = Registration {
            node: self.node(),
            process,
            address: introduction.address,
            rack: introduction.rack,
            last: Some(LastLife { incarnation: lost, clean: true }),
            earlier: Vec::new(),
            cut: Vec::new(),
        };
        let registered = async {
            let incarnation = self.submit_registration(registration).await?;
            let life = Life { node: self.node(), incarnation: Some(incarnation), unanswered: vec![process] };
            lives.save(life).await?;
            Ok::<Incarnation, RegisterError>(incarnation)
        };
        match registered.await {
            Ok(incarnation) => {
                tracing::info!(%incarnation, "registered again");
                self.0.registered.set(Some(incarnation));
            }
            // The next heartbeat is answered in the same way.
            Err(error) => tracing::warn!(%error, "not registered again yet"),
        }
    }
}
