//! Groups as they are shown, to people and to scripts.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_client::{
    GroupDescription, GroupExplanation, GroupListing, GroupPartition, GroupState, MemberDescription,
    MemberState, TopicId, TopicPartitions,
};

use super::super::output::{Failure, Output, columns};

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A group in a list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    group: String,
    state: &'static str,
    members: u32,
    assignor: String,
}

impl Listed {
    pub(super) fn of(listing: GroupListing) -> Listed {
        let GroupListing { group, state, members, assignor } = listing;
        Listed { group, state: state_name(state), members, assignor }
    }

    pub(super) fn row(&self) -> [String; 4] {
        [self.group.clone(), self.state.to_owned(), self.members.to_string(), self.assignor.clone()]
    }
}

/// A group, described.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    group: String,
    state: &'static str,
    epoch: u64,
    target_epoch: u64,
    assignor: String,
    /// Another than the assignor, where that one failed.
    assigned_by: String,
    /// What was wrong with that one, as far as the coordinator knows.
    failure: Option<String>,
    members: Vec<Member>,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Member {
    id: String,
    instance: Option<String>,
    epoch: u64,
    client: String,
    host: String,
    state: &'static str,
    /// What it may read.
    partitions: Vec<Named>,
    /// What it is to let go of.
    revoking: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Named {
    topic: String,
    partition: u32,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: u32,
    member: Option<String>,
    committed_offset: Option<u64>,
    log_end_offset: Option<u64>,
    lag: Option<u64>,
}

/// The names of topics by id.
type Names = BTreeMap<TopicId, String>;

fn names_of(partitions: &[GroupPartition]) -> Names {
    partitions.iter().map(|partition| (partition.topic, partition.topic_name.clone())).collect()
}

fn named(partitions: &[TopicPartitions], names: &Names) -> Vec<Named> {
    TopicPartitions::each(partitions)
        .map(|(topic, partition)| Named { topic: name(topic, names), partition: partition.0 })
        .collect()
}

/// A topic that exists no more goes by its id.
fn name(topic: TopicId, names: &Names) -> String {
    names.get(&topic).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| topic.to_string())
}

impl Member {
    fn of(member: MemberDescription, names: &Names) -> Member {
        Member {
            id: member.member,
            instance: member.instance,
            epoch: member.epoch.0,
            client: member.client,
            host: member.host,
            state: match member.state {
                MemberState::Stable => "stable",
                MemberState::Revoking => "revoking",
                MemberState::Waiting => "waiting",
                MemberState::Away => "away",
            },
            partitions: named(&member.assigned, names),
            revoking: named(&member.revoking, names),
        }
    }
}

impl Described {
    pub(super) fn of(group: GroupDescription) -> Described {
        let names = names_of(&group.partitions);
        let partition = |one: GroupPartition| Partition {
            topic: name(one.topic, &names),
            partition: one.partition.0,
            lag: one.lag(),
            member: one.member,
            committed_offset: one.committed.map(|committed| committed.offset.0),
            log_end_offset: one.log_end.map(|end| end.0),
        };
        let mut partitions: Vec<Partition> = group.partitions.into_iter().map(partition).collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Described {
            group: group.group,
            state: state_name(group.state),
            epoch: group.epoch.0,
            target_epoch: group.target_epoch.0,
            assignor: group.assignor,
            assigned_by: group.assigned_by,
            failure: group.failure,
            members: group.members.into_iter().map(|member| Member::of(member, &names)).collect(),
            partitions,
        }
    }

    pub(super) fn show(&self, output: Output) -> Result<(), Failure> {
        let Described { group, state, epoch, assignor, .. } = self;
        output.line(&format!("{group}: {state}, epoch {epoch}, assigned by {assignor}"))?;
        if !self.assigned_by.is_empty() && self.assigned_by != *assignor {
            let why = self.failure.as_ref().map_or(String::new(), |why| format!(" ({why})"));
            output.line(&format!("  {assignor} failed{why}; {} stood in for it", self.assigned_by))?;
        }
        if !self.members.is_empty() {
            let head = ["MEMBER", "INSTANCE", "EPOCH", "HOST", "STATE", "PARTITIONS"].map(str::to_owned);
            let row = |member: &Member| {
                [
                    member.id.clone(),
                    member.instance.clone().unwrap_or_else(|| NOTHING.to_owned()),
                    member.epoch.to_string(),
                    member.host.clone(),
                    member.state.to_owned(),
                    member.partitions.len().to_string(),
                ]
            };
            show_rows(output, head, self.members.iter().map(row))?;
        }
        if !self.partitions.is_empty() {
            let head = ["TOPIC", "PARTITION", "COMMITTED", "LOG-END", "LAG", "MEMBER"].map(str::to_owned);
            let row = |partition: &Partition| {
                [
                    partition.topic.clone(),
                    partition.partition.to_string(),
                    number(partition.committed_offset),
                    number(partition.log_end_offset),
                    number(partition.lag),
                    partition.member.clone().unwrap_or_else(|| NOTHING.to_owned()),
                ]
            };
            show_rows(output, head, self.partitions.iter().map(row))?;
        }
        output.result(self)
    }
}

/// What an assignor would do.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    group: String,
    /// Who answered.
    assignor: String,
    /// Why the one that was asked did not.
    failure: Option<String>,
    moves: Vec<Move>,
    members: Vec<Load>,
    fewest: u32,
    most: u32,
}

#[derive(Debug, Serialize)]
struct Move {
    topic: String,
    partition: u32,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, Serialize)]
struct Load {
    member: String,
    before: u32,
    after: u32,
}

impl Explained {
    pub(super) fn of(group: String, explained: GroupExplanation, described: &GroupDescription) -> Explained {
        let names = names_of(&described.partitions);
        let (fewest, most) = explained.evenness();
        let GroupExplanation { assignor, failure, moves, loads } = explained;
        let moves = moves.into_iter().map(|one| Move {
            topic: name(one.topic, &names),
            partition: one.partition.0,
            from: one.from,
            to: one.to,
        });
        let members = loads.into_iter().map(|load| Load {
            member: load.member,
            before: load.before,
            after: load.after,
        });
        Explained {
            group,
            assignor,
            failure,
            moves: moves.collect(),
            members: members.collect(),
            fewest,
            most,
        }
    }

    pub(super) fn show(&self, output: Output) -> Result<(), Failure> {
        let Explained { group, assignor, fewest, most, moves, .. } = self;
        if let Some(failure) = &self.failure {
            output.line(&format!("the assignor failed ({failure}); {assignor} would stand in for it"))?;
        }
        let count = moves.len();
        output.line(&format!(
            "{group} by {assignor}: {count} partitions would move; members would have {fewest} to {most} each"
        ))?;
        if !moves.is_empty() {
            let head = ["TOPIC", "PARTITION", "FROM", "TO"].map(str::to_owned);
            let member = |name: &Option<String>| name.clone().unwrap_or_else(|| NOTHING.to_owned());
            let row = |one: &Move| {
                [one.topic.clone(), one.partition.to_string(), member(&one.from), member(&one.to)]
            };
            show_rows(output, head, moves.iter().map(row))?;
        }
        if !self.members.is_empty() {
            let head = ["MEMBER", "NOW", "THEN"].map(str::to_owned);
            let row = |load: &Load| [load.member.clone(), load.before.to_string(), load.after.to_string()];
            show_rows(output, head, self.members.iter().map(row))?;
        }
        output.result(self)
    }
}

fn show_rows<const N: usize>(
    output: Output,
    head: [String; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<(), Failure> {
    let all: Vec<_> = std::iter::once(head).chain(rows).collect();
    columns(&all).iter().try_for_each(|line| output.line(line))
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string())
}

fn state_name(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty => "empty",
        GroupState::Assigning => "assigning",
        GroupState::Reconciling => "reconciling",
        GroupState::Stable => "stable",
    }
}
