//! Asking assignors. They run outside, so that a slow one holds nobody up: members keep what they have until there is
//! an answer, and `range` stands in for an assignor that fails, is wrong, or takes too long.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::{GroupEpoch, TopicId};
use weir_wire::request::{ExplainGroup, GroupExplanation, MemberLoad, PartitionMove, TopicPartitions};

use super::assignors::{self, AssignInput, AssignMember, AssignTopic, Assignment, FALLBACK, Target};
use super::error::GroupError;
use super::group::{Desk, Group};
use super::messages::{CallId, Effect, Reply, Report, RequestId, Topics};
use super::rules::Rule;
use super::timers::Timer;

/// The most questions that may be on their way when somebody wants an explanation; above it, come back later.
const CALLS_MAX: usize = 1_000;

/// Questions on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    last: u64,
    open: BTreeMap<CallId, Call>,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) group: String,
    assignor: String,
    input: AssignInput,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// To make the target of this epoch.
    Target(GroupEpoch),
    /// To say what would be.
    Explain(RequestId),
}

impl Call {
    /// Who waits for an explanation.
    pub(crate) fn explains(&self) -> Option<RequestId> {
        match self.purpose {
            Purpose::Explain(request) => Some(request),
            Purpose::Target(_) => None,
        }
    }
}

impl Calls {
    fn open(&mut self, call: Call) -> CallId {
        self.last += 1;
        self.open.insert(CallId(self.last), call);
        CallId(self.last)
    }

    pub(crate) fn group_of(&self, call: CallId) -> Option<&str> {
        self.open.get(&call).map(|call| call.group.as_str())
    }

    /// Everybody who waits for an explanation.
    pub(crate) fn stop(&mut self) -> Vec<RequestId> {
        std::mem::take(&mut self.open).values().filter_map(Call::explains).collect()
    }

    /// Ends a question; what comes later is ignored.
    pub(crate) fn close(&mut self, call: CallId) -> Option<Call> {
        self.open.remove(&call)
    }
}

/// An assignor that may be chosen.
///
/// # Errors
/// [`GroupError::UnknownAssignor`].
pub(crate) fn check_assignor(desk: &Desk<'_>, asked: Option<&str>) -> Result<(), GroupError> {
    let (configured, pushed) = (&desk.config.assignors, desk.topics.pushed_assignors());
    match asked.filter(|asked| !configured.contains(*asked) && !pushed.contains(*asked)) {
        None => Ok(()),
        Some(asked) => Err(GroupError::UnknownAssignor {
            asked: asked.chars().take(100).collect(),
            known: configured.union(pushed).cloned().collect(),
        }),
    }
}

impl Group {
    /// Asks for the target that is wanted, unless somebody was asked already.
    pub(crate) fn ask(&mut self, desk: &mut Desk<'_>) {
        let Some(wanted) = self.wanted.filter(|wanted| wanted.call.is_none()) else { return };
        // A metadata image older than the one behind the target says nothing about which topics there are now.
        if self.knows_better_than(desk) {
            return;
        }
        let input = self.assign_input(desk.topics);
        let assignor = self.assignor(desk.config).to_owned();
        if input.topics.is_empty() {
            return self.install(desk, &Target::new(), &assignor);
        }
        let since_ns = wanted.since_ns.unwrap_or(desk.now.monotonic_ns);
        let by_ns = since_ns.saturating_add(u64::from(desk.config.assign_timeout_ms) * 1_000_000);
        if by_ns <= desk.now.monotonic_ns {
            return self.fall_back(
                desk,
                &input,
                &assignor,
                "it was slower than the group changed".to_owned(),
            );
        }
        let purpose = Purpose::Target(self.stored.value.epoch);
        let call = self.call(desk, assignor, input, purpose, by_ns);
        if let Some(wanted) = &mut self.wanted {
            (wanted.since_ns, wanted.call) = (Some(since_ns), Some(call));
        }
    }

    pub(crate) fn explain(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        explain: ExplainGroup,
    ) -> Result<(), GroupError> {
        check_assignor(desk, explain.assignor.as_deref())?;
        if desk.calls.open.len() >= CALLS_MAX {
            return Err(GroupError::Busy);
        }
        let assignor = explain.assignor.unwrap_or_else(|| self.assignor(desk.config).to_owned());
        let (input, by_ns) = (self.assign_input(desk.topics), desk.in_ms(desk.config.assign_timeout_ms));
        self.call(desk, assignor, input, Purpose::Explain(request), by_ns);
        Ok(())
    }

    fn call(
        &self,
        desk: &mut Desk<'_>,
        assignor: String,
        input: AssignInput,
        purpose: Purpose,
        by_ns: u64,
    ) -> CallId {
        let group = self.name.clone();
        let effect = (group.clone(), assignor.clone(), input.clone());
        let call = desk.calls.open(Call { group, assignor, input, purpose });
        let (group, assignor, input) = effect;
        desk.effects.push(Effect::Assign { call, group, assignor, input });
        desk.timers.set(by_ns, Timer::Call(call));
        call
    }

    /// An assignor answered, or it did not.
    pub(crate) fn answered(
        &mut self,
        desk: &mut Desk<'_>,
        call: CallId,
        asked: Call,
        answer: Result<Assignment, String>,
    ) {
        let target = answer.and_then(|answer| {
            if desk.rules.hold(Rule::AnswersAreChecked) {
                assignors::check(&asked.input, &answer).map_err(|error| error.to_string())
            } else {
                let members = answer.members.into_iter();
                Ok(members.map(|(id, holds)| (id, TopicPartitions::each(&holds).collect())).collect())
            }
        });
        match asked.purpose {
            Purpose::Explain(request) => self.explained(desk, request, asked, target),
            Purpose::Target(epoch) => {
                let Some(wanted) = self.wanted.as_mut().filter(|wanted| wanted.call == Some(call)) else {
                    return;
                };
                wanted.call = None;
                if epoch != self.stored.value.epoch {
                    // The group changed meanwhile: `ask` asks again.
                    return;
                }
                match target {
                    Ok(target) => self.install(desk, &target, &asked.assignor),
                    Err(why) => self.fall_back(desk, &asked.input, &asked.assignor, why),
                }
            }
        }
    }

    fn fall_back(&mut self, desk: &mut Desk<'_>, input: &AssignInput, assignor: &str, why: String) {
        let (group, failed) = (self.name.clone(), assignor.to_owned());
        let report = Report::AssignorFailed { group, assignor: failed, why: why.clone() };
        desk.effects.push(Effect::Report(report));
        self.install(desk, &assignors::range(input), FALLBACK);
        self.failure = Some(why);
    }

    fn explained(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        asked: Call,
        target: Result<Target, String>,
    ) {
        let (assignor, failure, target) = match target {
            Ok(target) => (asked.assignor, None, target),
            Err(why) => (FALLBACK.to_owned(), Some(why), assignors::range(&asked.input)),
        };
        let flat =
            target.iter().flat_map(|(id, holds)| holds.iter().map(move |partition| (*partition, id.clone())));
        let after: BTreeMap<_, _> = flat.collect();
        let partitions: BTreeSet<_> = self.targets.keys().chain(after.keys()).copied().collect();
        let moves = partitions.into_iter().filter_map(|(topic, partition)| {
            let from = self.targets.get(&(topic, partition)).cloned();
            let to = after.get(&(topic, partition)).cloned();
            (from != to).then_some(PartitionMove { topic, partition, from, to })
        });
        let length = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let loads = self.stored.members.iter().map(|(id, member)| MemberLoad {
            member: id.clone(),
            before: length(member.target.len()),
            after: length(target.get(id).map_or(0, BTreeSet::len)),
        });
        let explanation =
            GroupExplanation { assignor, failure, moves: moves.collect(), loads: loads.collect() };
        desk.answer(request, Ok(Reply::Explained(explanation)));
    }

    /// Topics came, went, or grew: what subscriptions mean may have changed.
    pub(crate) fn follow_topics(&mut self, desk: &mut Desk<'_>) {
        if self.knows_better_than(desk) {
            return;
        }
        let members: Vec<String> = self.stored.members.keys().cloned().collect();
        for id in &members {
            self.resolve(id, desk.topics);
        }
        self.forget_deleted_topics(desk);
        if members.is_empty() {
            return;
        }
        let topics = self.assign_input(desk.topics).topics;
        let fits =
            match self.wanted.and_then(|wanted| wanted.call).and_then(|call| desk.calls.open.get(&call)) {
                Some(asked) => asked.input.topics == topics,
                None if self.wanted.is_some() => true,
                None => {
                    let partitions: usize = topics.iter().map(|topic| topic.partitions as usize).sum();
                    let counts: BTreeMap<TopicId, u32> =
                        topics.iter().map(|topic| (topic.id, topic.partitions)).collect();
                    let is_there = |topic: &TopicId, partition: u32| {
                        counts.get(topic).is_some_and(|count| partition < *count)
                    };
                    partitions == self.targets.len()
                        && self.targets.keys().all(|(topic, partition)| is_there(topic, partition.0))
                }
            };
        if !fits {
            self.want_target(desk);
        }
    }

    /// Whether the target was made from newer metadata than this coordinator has heard of.
    fn knows_better_than(&self, desk: &Desk<'_>) -> bool {
        desk.topics.index < self.stored.value.metadata_index && desk.rules.hold(Rule::OldMetadataIsIgnored)
    }

    fn assign_input(&self, topics: &Topics) -> AssignInput {
        let wanted: BTreeSet<TopicId> =
            self.live.values().flat_map(|live| live.topics.iter().copied()).collect();
        let shapes = wanted.iter().filter_map(|id| topics.by_id(*id));
        let topics: Vec<AssignTopic> = shapes
            .map(|(name, shape)| AssignTopic {
                id: shape.id,
                name: name.to_owned(),
                partitions: shape.partitions,
            })
            .collect();
        let known: BTreeSet<TopicId> = topics.iter().map(|topic| topic.id).collect();
        let members = self.stored.members.iter().map(|(id, member)| AssignMember {
            id: id.clone(),
            instance: member.value.instance.clone(),
            subscribed: self.live.get(id).map_or_else(BTreeSet::new, |live| &live.topics & &known),
            holds: member.target.clone(),
        });
        AssignInput { topics, members: members.collect() }.ordered()
    }
}
