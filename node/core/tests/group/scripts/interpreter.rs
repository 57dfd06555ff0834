//! Turns the lines of a script into inputs, and effects into lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use weir_core::group::assignors::{self, AssignInput, Assignment};
use weir_core::group::{
    Ask, Asker, CallId, Coordinator, Effect, GroupConfig, GroupError, Input, LogEnds, Replay, Reply, Report,
    RequestId, TopicPartition, TopicShape, Topics, WriteId,
};
use weir_core::time::Now;
use weir_wire::group_log::{GroupRecord, PartitionSince};
use weir_wire::ids::{LeaderEpoch, MemberEpoch, MetadataIndex, Offset, PartitionIndex, TopicId};
use weir_wire::request::{
    CommitOffsets, CommittedOffset, Committer, DeleteGroup, DeleteOffsets, DescribeGroup, ExplainGroup,
    FetchOffsets, GroupDescription, GroupHeartbeat, JoinGroup, LeaveGroup, PartitionOffset, ResetOffsets,
    SetAssignor, Subscription, TopicPartitions,
};

pub(super) fn run(script: &str) -> String {
    let mut runner = Runner::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(runner.out, "> {line}").unwrap();
        runner.line(&Line::parse(line));
    }
    runner.out
}

struct Runner {
    coordinator: Coordinator,
    now: Now,
    config: GroupConfig,
    index: u64,
    topics: BTreeMap<String, TopicShape>,
    ids: BTreeMap<TopicId, String>,
    log: Vec<(WriteId, Vec<GroupRecord>)>,
    committed: WriteId,
    holds: bool,
    manual: bool,
    calls: Vec<(CallId, AssignInput)>,
    heard: BTreeMap<String, MemberEpoch>,
    asked: BTreeMap<RequestId, String>,
    requests: u64,
    log_ends: LogEnds,
    out: String,
}

/// A line: its command, its plain words and its `key=value` words.
struct Line<'a> {
    command: &'a str,
    words: Vec<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Line<'a> {
        let mut parts = line.split_whitespace();
        let command = parts.next().unwrap_or_default();
        let (values, words): (Vec<_>, Vec<_>) = parts.partition(|part| part.contains('='));
        let values = values.into_iter().filter_map(|part| part.split_once('=')).collect();
        Line { command, words, values }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.values.get(key).map(|text| parse(text))
    }

    fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).map(|text| (*text).to_owned())
    }

    fn first(&self) -> String {
        (*self.words.first().expect("a word")).to_owned()
    }

    fn subscription(&self) -> Option<Subscription> {
        let topics = self.values.get("topics").map(|names| names.split(',').map(str::to_owned).collect());
        let pattern = self.text("pattern");
        (topics.is_some() || pattern.is_some())
            .then(|| Subscription { topics: topics.unwrap_or_default(), pattern })
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap_or_else(|| panic!("'{text}' is not a number"))
}

fn partition_of(text: &str, id: impl Fn(&str) -> TopicId) -> Option<TopicPartition> {
    let (name, index) = text.split_once('/')?;
    Some((id(name), PartitionIndex(parse(index))))
}

impl Runner {
    fn new() -> Runner {
        let config = GroupConfig::default();
        let now = Now { monotonic_ns: 0, wall_ms: 0 };
        let coordinator =
            Replay::new().finish(now, config.clone(), Arc::new(Topics::default()), &mut Vec::new());
        Runner {
            coordinator,
            now,
            config,
            index: 0,
            topics: BTreeMap::new(),
            ids: BTreeMap::new(),
            log: Vec::new(),
            committed: WriteId(0),
            holds: false,
            manual: false,
            calls: Vec::new(),
            heard: BTreeMap::new(),
            asked: BTreeMap::new(),
            requests: 0,
            log_ends: LogEnds::new(),
            out: String::new(),
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        match line.command {
            "topic" => {
                let name = line.first();
                let known = self.topics.get(&name).map(|shape| shape.id);
                let next = u8::try_from(self.ids.len() + 1).unwrap();
                let id = known.unwrap_or(TopicId([next; 16]));
                self.ids.insert(id, name.clone());
                self.topics.insert(name, TopicShape { id, partitions: parse(line.words[1]) });
                self.index += 1;
                self.input(Input::Topics(self.view()));
            }
            "untopic" => {
                self.topics.remove(&line.first());
                self.index += 1;
                self.input(Input::Topics(self.view()));
            }
            "old-topics" => {
                let topics = Topics::new(MetadataIndex(0), []);
                self.input(Input::Topics(Arc::new(topics)));
            }
            "topics-again" => self.input(Input::Topics(self.view())),
            "wait" => {
                let ms: u64 = parse(&line.first());
                let end_ns = self.now.monotonic_ns + ms * 1_000_000;
                // As the shell does: a tick at each deadline.
                while self.coordinator.deadline_ns() <= end_ns {
                    self.advance_to(self.coordinator.deadline_ns());
                    self.input(Input::Tick);
                }
                self.advance_to(end_ns);
            }
            "tick" => self.input(Input::Tick),
            "stop" => self.input(Input::Stop),
            "failover" => self.fail_over(line),
            "hold" => self.holds = true,
            "committed" => self.commit_all(),
            "manual" => self.manual = true,
            "answer" => self.answer(line),
            "config" => self.configure(line),
            "ends" => {
                let ends = line.values.iter().map(|(at, end)| (self.partition(at), Offset(parse(end))));
                self.log_ends = ends.collect();
            }
            _ => self.ask(line),
        }
    }

    fn advance_to(&mut self, at_ns: u64) {
        let by_ns = at_ns.saturating_sub(self.now.monotonic_ns);
        self.now.monotonic_ns += by_ns;
        self.now.wall_ms += i64::try_from(by_ns / 1_000_000).unwrap();
    }

    fn ask(&mut self, line: &Line<'_>) {
        let group = line.text("group").unwrap_or_else(|| "g".to_owned());
        let member = || line.first();
        let heard = |key| {
            line.number(key)
                .map(MemberEpoch)
                .or_else(|| self.heard.get(&member()).copied())
                .unwrap_or_default()
        };
        let ask = match line.command {
            "join" => Ask::Join(JoinGroup {
                group,
                member: member(),
                instance: line.text("instance"),
                subscription: line.subscription().unwrap_or_default(),
                rebalance_timeout_ms: line.number("rebalance").unwrap_or(60_000),
            }),
            "beat" => Ask::Heartbeat(GroupHeartbeat {
                group,
                member: member(),
                confirmed: heard("confirmed"),
                heard: heard("heard"),
                subscription: line.subscription(),
                wait_ms_max: line.number("wait").unwrap_or(0),
            }),
            "leave" => Ask::Leave(LeaveGroup {
                group,
                member: member(),
                member_epoch: heard("epoch"),
                returns: line.words.contains(&"returns"),
            }),
            "commit" => {
                let committer = line
                    .words
                    .first()
                    .map(|member| Committer { member: (*member).to_owned(), member_epoch: heard("epoch") });
                let offsets = self.offsets(line);
                Ask::Commit(CommitOffsets { group, committer, offsets }, self.log_ends.clone())
            }
            "reset" => {
                let dry_run = line.words.contains(&"dry-run");
                let reset = ResetOffsets { group, offsets: self.offsets(line), dry_run };
                Ask::Reset(reset, self.log_ends.clone())
            }
            "fetch" => {
                let some = (!line.words.is_empty()).then(|| self.partitions(line));
                Ask::Fetch(FetchOffsets { group, partitions: some })
            }
            "delete-offsets" => {
                Ask::DeleteOffsets(DeleteOffsets { group, partitions: self.partitions(line) })
            }
            "list" => Ask::List,
            "describe" => Ask::Describe(DescribeGroup { group }),
            "delete" => Ask::Delete(DeleteGroup { group }),
            "assignor" => {
                let assignor = line.words.first().map(|name| (*name).to_owned());
                Ask::SetAssignor(SetAssignor { group, assignor })
            }
            "explain" => {
                let assignor = line.words.first().map(|name| (*name).to_owned());
                Ask::Explain(ExplainGroup { group, assignor })
            }
            other => panic!("unknown command '{other}'"),
        };
        self.requests += 1;
        let request = RequestId(self.requests);
        let of_member = matches!(ask, Ask::Join(_) | Ask::Heartbeat(_) | Ask::Leave(_));
        self.asked.insert(request, if of_member { line.first() } else { line.command.to_owned() });
        let asker = Asker { client: "alice".to_owned(), host: "h".to_owned() };
        self.input(Input::Request { request, asker, ask });
    }

    fn partition(&self, text: &str) -> TopicPartition {
        let id = |name: &str| self.topics.get(name).map_or(TopicId([0xff; 16]), |shape| shape.id);
        partition_of(text, id).expect("TOPIC/PARTITION")
    }

    fn partitions(&self, line: &Line<'_>) -> Vec<TopicPartitions> {
        TopicPartitions::gather(line.words.iter().map(|text| self.partition(text)))
    }

    fn offsets(&self, line: &Line<'_>) -> Vec<PartitionOffset> {
        let metadata = "x".repeat(line.number("metadata").unwrap_or(0));
        let offsets = line.values.iter().filter(|(at, _)| at.contains('/')).map(|(at, offset)| {
            let (topic, partition) = self.partition(at);
            let committed = CommittedOffset {
                offset: Offset(parse(offset)),
                leader_epoch: line.number("leader").map(LeaderEpoch),
                metadata: metadata.clone(),
            };
            PartitionOffset { topic, partition, committed }
        });
        offsets.collect()
    }

    fn view(&self) -> Arc<Topics> {
        Arc::new(Topics::new(MetadataIndex(self.index), self.topics.clone()))
    }

    fn configure(&mut self, line: &Line<'_>) {
        for (key, value) in &line.values {
            match *key {
                "assignor" => self.config.assignor = (*value).to_owned(),
                "assignors" => self.config.assignors = value.split(',').map(str::to_owned).collect(),
                "members" => self.config.members_max = parse(value),
                "groups" => self.config.groups_max = parse(value),
                "sweep" => self.config.offsets_check_interval_ms = parse(value),
                other => panic!("unknown config '{other}'"),
            }
        }
        self.input(Input::Configure(self.config.clone()));
    }

    fn fail_over(&mut self, line: &Line<'_>) {
        if line.words.contains(&"lose") {
            self.log.retain(|(write, _)| *write <= self.committed);
        }
        self.calls.clear();
        let mut replay = Replay::new();
        for record in self.log.iter().flat_map(|(_, records)| records) {
            let (key, value) = record.encode();
            replay.apply(&GroupRecord::decode(&key, value.as_deref()).unwrap());
        }
        let mut effects = Vec::new();
        self.coordinator = replay.finish(self.now, self.config.clone(), self.view(), &mut effects);
        // The numbers of writes begin anew.
        for (write, _) in &mut self.log {
            *write = WriteId(0);
        }
        self.committed = WriteId(0);
        self.carry_out(effects);
    }

    fn answer(&mut self, line: &Line<'_>) {
        let (call, input) = self.calls.remove(0);
        let answer = match line.words.first().copied() {
            Some("late") => Err("it trapped".to_owned()),
            Some(rule @ ("range" | "roundrobin")) => Ok(by_rule(rule, &input)),
            _ => {
                let members = line.words.iter().map(|word| {
                    let (member, partitions) = word.split_once(':').expect("M:A/0,A/1");
                    let partitions = partitions.split(',').filter(|text| !text.is_empty());
                    let each = partitions.map(|text| self.partition(text));
                    (member.to_owned(), TopicPartitions::gather(each))
                });
                Ok(Assignment { members: members.collect() })
            }
        };
        self.input(Input::Assigned { call, answer });
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.coordinator.handle(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut next = Vec::new();
        for effect in effects {
            let line = self.describe(&effect);
            writeln!(self.out, "  {line}").unwrap();
            match effect {
                Effect::Append { write, records } => self.log.push((write, records)),
                Effect::Assign { call, assignor, input, .. } => {
                    if self.manual {
                        self.calls.push((call, input));
                    } else {
                        next.push(Input::Assigned { call, answer: Ok(by_rule(&assignor, &input)) });
                    }
                }
                Effect::Respond { .. } | Effect::Report(_) => {}
            }
        }
        if !self.holds {
            self.commit_all();
        }
        for input in next {
            self.input(input);
        }
    }

    fn commit_all(&mut self) {
        if let Some((write, _)) = self.log.last().filter(|(write, _)| *write > self.committed) {
            self.committed = *write;
            self.input(Input::Committed { write: self.committed });
        }
    }

    fn name(&self, (topic, partition): TopicPartition) -> String {
        format!("{}/{partition}", self.ids.get(&topic).map_or("?", String::as_str))
    }

    fn names(&self, partitions: &[TopicPartitions]) -> String {
        let each: Vec<_> = TopicPartitions::each(partitions).map(|partition| self.name(partition)).collect();
        format!("[{}]", each.join(" "))
    }

    fn describe(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Append { write, records } => {
                let records: Vec<_> = records.iter().map(|record| self.describe_record(record)).collect();
                format!("write {}: {}", write.0, records.join("; "))
            }
            Effect::Respond { request, answer } => {
                let who = self.asked[request].clone();
                if let Ok(Reply::Membership(membership)) = answer {
                    self.heard.insert(who.clone(), membership.member_epoch);
                }
                format!("{who} <- {}", self.describe_answer(answer))
            }
            Effect::Assign { assignor, input, .. } => {
                let members: Vec<_> = input.members.iter().map(|member| member.id.as_str()).collect();
                let topics: Vec<_> =
                    input.topics.iter().map(|topic| format!("{}x{}", topic.name, topic.partitions)).collect();
                format!("ask {assignor}: {} for {}", topics.join(" "), members.join(" "))
            }
            Effect::Report(Report::AssignorFailed { assignor, why, .. }) => {
                format!("report: {assignor} failed: {why}")
            }
            Effect::Report(Report::SessionEnded { member, .. }) => {
                format!("report: session of {member} ended")
            }
            Effect::Report(Report::MemberExpelled { member, .. }) => format!("report: {member} expelled"),
        }
    }

    fn describe_record(&self, record: &GroupRecord) -> String {
        let since =
            |held: &PartitionSince| format!("{}@{}", self.name((held.topic, held.partition)), held.since);
        match record {
            GroupRecord::Group(_, Some(value)) => {
                let empty = value.empty_since_ms.map_or(String::new(), |ms| format!(" empty since {ms}"));
                let by = if value.assigned_by.is_empty() { "nobody" } else { &value.assigned_by };
                format!("group e{} target e{} by {by}{empty}", value.epoch, value.target_epoch)
            }
            GroupRecord::Member(_, member, Some(value)) => {
                format!("member {member} since e{}{}", value.joined, if value.away { " away" } else { "" })
            }
            GroupRecord::Target(_, member, Some(value)) => {
                format!("target {member} {}", self.names(&value.partitions))
            }
            GroupRecord::Current(_, member, Some(value)) => {
                let assigned: Vec<_> = value.assigned.iter().map(since).collect();
                let revoking: Vec<_> = value
                    .revoking
                    .iter()
                    .map(|revocation| format!("{} told e{}", since(&revocation.held), revocation.told))
                    .collect();
                let revoking = if revoking.is_empty() {
                    String::new()
                } else {
                    format!(" revoking [{}]", revoking.join(" "))
                };
                format!("current {member} e{} [{}]{revoking}", value.epoch, assigned.join(" "))
            }
            GroupRecord::Offset(_, topic, partition, Some(value)) => {
                let epoch = led_in(value.leader_epoch);
                format!("offset {} {}{epoch}", self.name((*topic, *partition)), value.offset)
            }
            GroupRecord::Group(group, None) => format!("no group {group}"),
            GroupRecord::Member(_, member, None) => format!("no member {member}"),
            GroupRecord::Target(_, member, None) => format!("no target {member}"),
            GroupRecord::Current(_, member, None) => format!("no current {member}"),
            GroupRecord::Offset(_, topic, partition, None) => {
                format!("no offset {}", self.name((*topic, *partition)))
            }
        }
    }

    fn describe_answer(&self, answer: &Result<Reply, GroupError>) -> String {
        let offset = |offset: &PartitionOffset| {
            let CommittedOffset { offset: next, leader_epoch, .. } = &offset.committed;
            format!("{} {next}{}", self.name((offset.topic, offset.partition)), led_in(*leader_epoch))
        };
        match answer {
            Err(error) => format!("{}: {error}", error.code()),
            Ok(Reply::Membership(membership)) => {
                let news = membership.assignment.as_ref();
                let holds = news.map_or("as heard".to_owned(), |partitions| self.names(partitions));
                format!("e{} {holds}", membership.member_epoch)
            }
            Ok(Reply::Left) => "left".to_owned(),
            Ok(Reply::Committed(committed)) => {
                let each = committed.results.iter().map(|result| match result {
                    Ok(()) => "ok".to_owned(),
                    Err(error) => error.to_string(),
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Ok(Reply::Fetched(fetched)) => fetched.offsets.iter().map(offset).collect::<Vec<_>>().join(", "),
            Ok(Reply::OffsetsDeleted(deleted)) => format!("{} deleted", deleted.count),
            Ok(Reply::Reset(reset)) => {
                let each = reset.results.iter().map(|result| match result {
                    Ok(None) => "was unset".to_owned(),
                    Ok(Some(before)) => format!("was {before}"),
                    Err(error) => error.to_string(),
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Ok(Reply::Listed(listed)) => {
                let each = listed.groups.iter().map(|group| {
                    format!("{} {:?} {} by {}", group.group, group.state, group.members, group.assignor)
                });
                each.collect::<Vec<_>>().join(", ")
            }
            Ok(Reply::Described(description)) => self.describe_group(description),
            Ok(Reply::Deleted) => "deleted".to_owned(),
            Ok(Reply::AssignorSet(set)) => format!("{} from e{}", set.assignor, set.epoch),
            Ok(Reply::Explained(explained)) => {
                let someone = |who: &Option<String>| who.clone().unwrap_or_else(|| "nobody".to_owned());
                let moves = explained.moves.iter().map(|step| {
                    let partition = self.name((step.topic, step.partition));
                    format!("{partition} {}->{}", someone(&step.from), someone(&step.to))
                });
                let moves = moves.collect::<Vec<_>>().join(" ");
                let loads = explained
                    .loads
                    .iter()
                    .map(|load| format!("{} {}->{}", load.member, load.before, load.after));
                let failure = explained.failure.as_ref().map_or(String::new(), |why| format!(" since {why}"));
                let loads = loads.collect::<Vec<_>>().join(", ");
                format!("{}{failure}: {moves}; {loads}; even {:?}", explained.assignor, explained.evenness())
            }
        }
    }

    fn describe_group(&self, group: &GroupDescription) -> String {
        let mut out = format!(
            "{:?} e{} target e{} {} by {}",
            group.state, group.epoch, group.target_epoch, group.assignor, group.assigned_by
        );
        if let Some(why) = &group.failure {
            write!(out, " since {why}").unwrap();
        }
        for member in &group.members {
            let (holds, revoking) = (self.names(&member.assigned), self.names(&member.revoking));
            let target = self.names(&member.target);
            write!(
                out,
                "\n    {} {:?} e{} {holds} revoking {revoking} target {target} {}@{}",
                member.member, member.state, member.epoch, member.client, member.host
            )
            .unwrap();
        }
        for partition in &group.partitions {
            let committed = partition.committed.as_ref().map(|committed| committed.offset.0);
            write!(
                out,
                "\n    {}/{} member {:?} committed {committed:?}",
                partition.topic_name, partition.partition, partition.member
            )
            .unwrap();
        }
        out
    }
}

/// The leader epoch of the record before an offset, where it was said.
fn led_in(epoch: Option<LeaderEpoch>) -> String {
    epoch.map_or_else(String::new, |epoch| format!(" of leader e{epoch}"))
}

fn by_rule(rule: &str, input: &AssignInput) -> Assignment {
    let target = match rule {
        "range" => assignors::range(input),
        _ => assignors::roundrobin(input),
    };
    let gathered = target.into_iter().map(|(member, holds)| (member, TopicPartitions::gather(holds)));
    Assignment { members: gathered.collect() }
}
