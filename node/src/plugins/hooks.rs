//! The hooks on records: from a draft to what the guest is given, and from what it answers to an [`Answer`].

use weir_core::pipeline::answer::{Action, Answer, BadAnswer, Edit, Header, Rejection};
use weir_core::pipeline::draft::Draft;
use weir_core::pipeline::failing::Cause;
use weir_core::pipeline::parts::{Joined, Part};
use weir_wire::batch::PIECE_BYTES;

use super::contract::{flat, hooks, types};
use super::instance::{Broken, Calls, Hooks, Instance, call};

/// What the node fills in where a plugin asks for a fact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) principal: &'a str,
    pub(super) entry_node: u32,
}

const KNOWN_FACTS: &str = "principal and entry-node";

/// What a hook on records is shown of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// That it is there, without its records.
    NoRecords,
    /// All of it at once.
    Whole,
    /// Some records after the other: those of a long batch in several calls.
    InParts,
}

impl Shown {
    fn parts(self, draft: &Draft) -> Vec<Part> {
        // Decision 10 says why a part is as long as that.
        Part::all(draft, if self == Shown::InParts { PIECE_BYTES } else { usize::MAX })
    }

    fn section<'a>(self, part: &Part, draft: &'a Draft) -> &'a [u8] {
        if self == Shown::NoRecords { &[] } else { part.section(draft) }
    }

    fn records<'a, T>(self, part: &Part, records: &'a [T]) -> &'a [T] {
        if self == Shown::NoRecords { &[] } else { &records[part.range()] }
    }
}

impl Instance {
    /// Shows a batch that is on its way into the log.
    pub(super) async fn on_send(
        &mut self,
        batch: types::ProducedBatch,
        draft: &Draft,
        shown: Shown,
        facts: Facts<'_>,
    ) -> Result<Answer, Broken> {
        let (hooks, mut calls) = self.parts();
        let mut joined = Joined::default();
        let headers = if matches!(hooks, Hooks::Producer(_)) { headers(draft, shown) } else { Vec::new() };
        let records = records(draft, &headers);
        for part in shown.parts(draft) {
            let (count, batch) = (part.count as usize, types::ProducedBatch { count: part.count, ..batch });
            let answer = match hooks {
                Hooks::ProducerFlat(guest) => {
                    let section = shown.section(&part, draft);
                    let answered = call!(calls, count, guest.call_on_send(batch, section));
                    flat_answer(calls.ended(answered)?.map_err(refused)?, Some(facts))?
                }
                Hooks::Producer(guest) => {
                    let records = shown.records(&part, &records);
                    let answered = call!(calls, count, guest.call_on_send(batch, records));
                    produced_answer(calls.ended(answered)?.map_err(refused)?, facts)?
                }
                _ => return Err(not_that_kind()),
            };
            calls.join(&mut joined, draft, &part, answer)?;
        }
        Ok(joined.into_answer())
    }

    /// Shows a batch that is on its way to a consumer.
    pub(super) async fn on_consume(
        &mut self,
        batch: types::FetchedBatch,
        draft: &Draft,
        shown: Shown,
    ) -> Result<Answer, Broken> {
        let (hooks, mut calls) = self.parts();
        let mut joined = Joined::default();
        let headers = if matches!(hooks, Hooks::Consumer(_)) { headers(draft, shown) } else { Vec::new() };
        let records = stored_records(draft, &headers);
        for part in shown.parts(draft) {
            let (count, batch) = (part.count as usize, types::FetchedBatch { count: part.count, ..batch });
            let answer = match hooks {
                Hooks::ConsumerFlat(guest) => {
                    let section = shown.section(&part, draft);
                    let answered = call!(calls, count, guest.call_on_consume(batch, section));
                    flat_answer(calls.ended(answered)?.map_err(refused)?, None)?
                }
                Hooks::Consumer(guest) => {
                    let records = shown.records(&part, &records);
                    let answered = call!(calls, count, guest.call_on_consume(batch, records));
                    consumed_answer(calls.ended(answered)?.map_err(refused)?)?
                }
                _ => return Err(not_that_kind()),
            };
            calls.join(&mut joined, draft, &part, answer)?;
        }
        Ok(joined.into_answer())
    }

    /// Asks for a partition per key. The answer is as the guest gave it.
    pub(super) async fn partition(
        &mut self,
        batch: types::ProducedBatch,
        draft: &Draft,
    ) -> Result<Vec<u32>, Broken> {
        let count = draft.count() as usize;
        let (hooks, mut calls) = self.parts();
        let answered = match hooks {
            Hooks::PartitionerFlat(guest) => {
                let mut keys = Vec::new();
                let mut lengths = Vec::with_capacity(count);
                for record in draft.iter() {
                    lengths.push(match record.key {
                        None => -1,
                        Some(key) => {
                            keys.extend_from_slice(key);
                            i32::try_from(key.len()).expect("a key fits the record's 32-bit length")
                        }
                    });
                }
                call!(calls, count, guest.call_partition(batch, &keys, &lengths))
            }
            Hooks::Partitioner(guest) => {
                let keys: Vec<_> = draft.iter().map(|record| record.key).collect();
                call!(calls, count, guest.call_partition(batch, &keys))
            }
            _ => return Err(not_that_kind()),
        };
        calls.ended(answered)?.map_err(refused)
    }

    /// Reports what became of a batch.
    pub(super) async fn on_acknowledgement(
        &mut self,
        batch: types::ProducedBatch,
        outcomes: &[types::Outcome<'_>],
        runs: &[types::OutcomeRun],
    ) -> Result<(), Broken> {
        let (hooks, mut calls) = self.parts();
        let answered = match hooks {
            Hooks::ProducerFlat(guest) => {
                call!(calls, 0, guest.call_on_acknowledgement(batch, outcomes, runs))
            }
            Hooks::Producer(guest) => call!(calls, 0, guest.call_on_acknowledgement(batch, outcomes, runs)),
            _ => return Err(not_that_kind()),
        };
        calls.ended(answered)
    }

    /// Reports a group's committed positions.
    pub(super) async fn on_commit(
        &mut self,
        group: &str,
        positions: &[types::Position],
    ) -> Result<(), Broken> {
        let (hooks, mut calls) = self.parts();
        let answered = match hooks {
            Hooks::ConsumerFlat(guest) => call!(calls, 0, guest.call_on_commit(group, positions)),
            Hooks::Consumer(guest) => call!(calls, 0, guest.call_on_commit(group, positions)),
            _ => return Err(not_that_kind()),
        };
        calls.ended(answered)
    }

    /// Asks who is to read what. The answer is as the guest gave it.
    pub(super) async fn assign(
        &mut self,
        members: &[hooks::assignor_hooks::Member<'_>],
        topics: &[hooks::assignor_hooks::Topic<'_>],
        places: usize,
    ) -> Result<Vec<Vec<hooks::assignor_hooks::TopicPartitionsResult>>, Broken> {
        let (hooks, mut calls) = self.parts();
        let Hooks::Assignor(guest) = hooks else { return Err(not_that_kind()) };
        let answered = call!(calls, places, guest.call_assign(members, topics));
        calls.ended(answered)?.map_err(refused)
    }
}

fn refused(reason: String) -> Broken {
    Broken::new(Cause::Refused, reason)
}

/// An answer that breaks a rule.
pub(super) fn wrong(bad: &BadAnswer) -> Broken {
    Broken::new(Cause::Answer, format!("the answer is wrong: {bad}"))
}

fn not_that_kind() -> Broken {
    Broken::new(Cause::Start, "it is bound to a hook that it does not have")
}

impl Calls<'_> {
    /// Adds what a hook answered about a part. Together the answers keep to the binding's limit.
    fn join(&self, joined: &mut Joined, draft: &Draft, part: &Part, answer: Answer) -> Result<(), Broken> {
        joined.add(draft, part, answer).map_err(|bad| wrong(&bad))?;
        self.within_limits(joined.answer())
    }
}

/// The headers of all records that are shown, so that records can borrow theirs.
fn headers(draft: &Draft, shown: Shown) -> Vec<Vec<types::HeaderParam<'_>>> {
    if shown == Shown::NoRecords {
        return Vec::new();
    }
    draft
        .iter()
        .map(|record| record.headers.map(|(name, value)| types::HeaderParam { name, value }).collect())
        .collect()
}

fn records<'a>(draft: &'a Draft, headers: &'a [Vec<types::HeaderParam<'a>>]) -> Vec<types::Record<'a>> {
    draft
        .iter()
        .zip(headers)
        .map(|(record, headers)| types::Record {
            timestamp: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers,
        })
        .collect()
}

fn stored_records<'a>(
    draft: &'a Draft,
    headers: &'a [Vec<types::HeaderParam<'a>>],
) -> Vec<hooks::consumer_hooks::StoredRecord<'a>> {
    let base = draft.header().base_offset;
    let offsets = draft.iter().map(|record| (base + u64::from(record.offset_delta)).0);
    offsets
        .zip(records(draft, headers))
        .map(|(offset, record)| hooks::consumer_hooks::StoredRecord { offset, record })
        .collect()
}

fn flat_answer(answer: flat::FlatAnswer, facts: Option<Facts<'_>>) -> Result<Answer, Broken> {
    let action = |action| match action {
        flat::EditAction::Drop => Action::Drop,
        flat::EditAction::Reject => Action::Reject,
        flat::EditAction::SetValue => Action::SetValue,
        flat::EditAction::SetValueNull => Action::SetValueNull,
        flat::EditAction::Replace => Action::Replace,
    };
    Ok(Answer {
        edits: answer
            .edits
            .iter()
            .map(|edit| Edit { index: edit.index, action: action(edit.action), argument: edit.argument })
            .collect(),
        bytes: answer.bytes,
        rejections: answer.rejections.into_iter().map(rejection).collect(),
        headers: appended(answer.append_headers, facts)?,
    })
}

fn produced_answer(answer: hooks::producer_hooks::Answer, facts: Facts<'_>) -> Result<Answer, Broken> {
    use hooks::producer_hooks::Action;
    let mut into = Answer { headers: appended(answer.append_headers, Some(facts))?, ..Answer::default() };
    for change in answer.changes {
        match change.action {
            Action::Drop => into.drop_record(change.index),
            Action::Reject(reason) => into.reject(change.index, rejection(reason)),
            Action::SetValue(value) => into.set_value(change.index, value.as_deref()),
            Action::Replace(content) => replace(&mut into, change.index, &content),
        }
    }
    Ok(into)
}

fn consumed_answer(answer: hooks::consumer_hooks::Answer) -> Result<Answer, Broken> {
    use hooks::consumer_hooks::Action;
    let mut into = Answer { headers: appended(answer.append_headers, None)?, ..Answer::default() };
    for change in answer.changes {
        match change.action {
            Action::Drop => into.drop_record(change.index),
            Action::SetValue(value) => into.set_value(change.index, value.as_deref()),
            Action::Replace(content) => replace(&mut into, change.index, &content),
        }
    }
    Ok(into)
}

fn replace(into: &mut Answer, index: u32, content: &types::Content) {
    let headers: Vec<_> =
        content.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref())).collect();
    into.replace(index, content.key.as_deref(), content.value.as_deref(), &headers);
}

fn rejection(rejection: types::RejectionResult) -> Rejection {
    Rejection { code: rejection.code, reason: rejection.reason }
}

fn appended(headers: Vec<types::AppendedHeader>, facts: Option<Facts<'_>>) -> Result<Vec<Header>, Broken> {
    headers
        .into_iter()
        .map(|header| {
            let value = match header.value {
                types::HeaderValue::Bytes(bytes) => bytes,
                types::HeaderValue::Fact(name) => fact(name, facts)?,
            };
            Ok(Header { name: header.name, value })
        })
        .collect()
}

fn fact(name: String, facts: Option<Facts<'_>>) -> Result<Vec<u8>, Broken> {
    let value = facts.and_then(|facts| match name.as_str() {
        "principal" => Some(facts.principal.to_owned()),
        "entry-node" => Some(facts.entry_node.to_string()),
        _ => None,
    });
    match value {
        Some(value) => Ok(value.into_bytes()),
        None => Err(wrong(&BadAnswer::UnknownFact { name, known: facts.map(|_| KNOWN_FACTS) })),
    }
}
