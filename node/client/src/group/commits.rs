//! Commits of one consumer: one request at a time, so that of two commits the later one counts. What is asked for
//! meanwhile goes with the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};
use weir_wire::error::WireError;
use weir_wire::request::{
    CommitOffsets, CommittedOffset, Committer, PARTITIONS_PER_REQUEST_MAX, PartitionOffset,
};

use super::coordinator;
use super::member::TopicPartition;
use crate::client::Inner;
use crate::error::ClientError;
use crate::net::Again;

/// What became of a commit.
pub(crate) type Committed = Result<(), ClientError>;

/// A commit that was asked for.
struct Asked {
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    committer: Option<Committer>,
    done: oneshot::Sender<Committed>,
}

/// Where to commit. Commits go on when this is dropped.
pub(crate) struct Commits {
    asked: mpsc::UnboundedSender<Asked>,
    has_failed: Arc<AtomicBool>,
}

impl Commits {
    pub(crate) fn of_group(client: &Arc<Inner>, group: &str) -> Commits {
        let (asked, inbox) = mpsc::unbounded_channel();
        let has_failed = Arc::new(AtomicBool::new(false));
        tokio::spawn(commit_all(Arc::clone(client), group.to_owned(), inbox, Arc::clone(&has_failed)));
        Commits { asked, has_failed }
    }

    /// Whether any commit failed since this was asked last: nobody knows what is stored then.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.swap(false, Ordering::AcqRel)
    }

    /// Asks for a commit; what becomes of it, and of all before it, comes later. Without offsets, it only waits.
    pub(crate) fn ask(
        &self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        committer: Option<Committer>,
    ) -> oneshot::Receiver<Committed> {
        let (done, outcome) = oneshot::channel();
        // The task runs for as long as somebody can ask.
        let _ = self.asked.send(Asked { offsets, committer, done });
        outcome
    }
}

async fn commit_all(
    client: Arc<Inner>,
    group: String,
    mut inbox: mpsc::UnboundedReceiver<Asked>,
    has_failed: Arc<AtomicBool>,
) {
    let mut next = inbox.recv().await;
    while let Some(first) = next.take() {
        let Asked { mut offsets, committer, done } = first;
        let mut waiting = vec![done];
        // What waits already and is committed by the same membership goes along.
        while let Ok(more) = inbox.try_recv() {
            if more.committer != committer || offsets.len() + more.offsets.len() > PARTITIONS_PER_REQUEST_MAX
            {
                next = Some(more);
                break;
            }
            offsets.extend(more.offsets);
            waiting.push(more.done);
        }
        let outcome = commit(&client, &group, offsets, committer).await;
        if outcome.is_err() {
            has_failed.store(true, Ordering::Release);
        }
        for done in waiting {
            // Who asked may not care.
            let _ = done.send(outcome.clone());
        }
        if next.is_none() {
            next = inbox.recv().await;
        }
    }
}

async fn commit(
    client: &Inner,
    group: &str,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
    committer: Option<Committer>,
) -> Committed {
    if offsets.is_empty() {
        return Ok(());
    }
    let offsets = offsets
        .into_iter()
        .map(|((topic, partition), committed)| PartitionOffset { topic, partition, committed })
        .collect();
    let request = CommitOffsets { group: group.to_owned(), committer, offsets };
    // The same offsets again change nothing.
    let committed = coordinator::ask(client, group, &request, Again::Harmless).await?;
    let refused: Option<WireError> = committed.results.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |error| Err(ClientError::Node(error)))
}
