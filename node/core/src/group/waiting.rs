//! Answers that wait for their writes: what an answer was made from must be committed before anybody hears it, also if
//! the request itself wrote nothing (Kafka's `CoordinatorRuntime`, deferred events).

use std::collections::BTreeMap;

use super::error::GroupError;
use super::messages::{Effect, Reply, RequestId, WriteId};

/// The most answers that may wait; above it requests are told to come back.
pub const WAITING_MAX: usize = 100_000;

pub(crate) type Answer = (RequestId, Result<Reply, GroupError>);

/// Writes on their way, and who waits for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    /// The newest write that was asked for.
    last: WriteId,
    /// The newest write that is committed.
    committed: WriteId,
    answers: BTreeMap<WriteId, Vec<Answer>>,
    count: usize,
}

impl Waiting {
    /// The number of the next write.
    pub(crate) fn next_write(&mut self) -> WriteId {
        self.last.0 += 1;
        self.last
    }

    pub(crate) fn last_write(&self) -> WriteId {
        self.last
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= WAITING_MAX
    }

    /// Answers once `write` is committed.
    pub(crate) fn answer(&mut self, write: WriteId, (request, answer): Answer, effects: &mut Vec<Effect>) {
        if write <= self.committed {
            effects.push(Effect::Respond { request, answer });
        } else {
            self.answers.entry(write).or_default().push((request, answer));
            self.count += 1;
        }
    }

    /// Everything up to `write` is committed.
    pub(crate) fn commit(&mut self, write: WriteId, effects: &mut Vec<Effect>) {
        assert!(write <= self.last, "a write is committed that was never asked for: {write:?}");
        self.committed = self.committed.max(write);
        while let Some(entry) = self.answers.first_entry().filter(|entry| *entry.key() <= write) {
            let answers = entry.remove();
            self.count -= answers.len();
            effects.extend(answers.into_iter().map(|(request, answer)| Effect::Respond { request, answer }));
        }
    }

    /// Nothing more will be committed here.
    pub(crate) fn stop(&mut self, effects: &mut Vec<Effect>) {
        self.count = 0;
        let answers = std::mem::take(&mut self.answers).into_values().flatten();
        effects.extend(
            answers.map(|(request, _)| Effect::Respond { request, answer: Err(GroupError::NotCoordinator) }),
        );
    }
}
