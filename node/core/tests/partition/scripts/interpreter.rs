//! Turns the lines of a script into inputs, and effects into lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weir_core::partition::{
    Append, AppendCheck, AppendOutcome, BatchMeta, Checkpoints, Effect, Input, Partition, PartitionConfig,
    ProducerStamp, RequestId, Restore, StorageFault, StoredBatch,
};
use weir_core::time::Now;
use weir_wire::fetch::Position;
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Revision, Sequence};
use weir_wire::lane::Acks;

use super::{pictures, replication};
use crate::history::History;

pub(super) fn run(script: &str) -> String {
    let mut runner = Runner::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(runner.out, "> {line}").unwrap();
        runner.line(&Line::parse(line));
    }
    runner.out
}

struct Runner {
    partition: Partition,
    config: PartitionConfig,
    now: Now,
    history: History,
    /// The batches of the frame in hand.
    frame: Vec<StoredBatch>,
    /// Where a log ends at most that is to be cut.
    cut: Option<Offset>,
    /// Whether it goes on from there, empty.
    starts_over: bool,
    out: String,
}

/// A line: its command, its plain words and its `key=value` words.
pub(super) struct Line<'a> {
    pub(super) command: &'a str,
    pub(super) words: Vec<&'a str>,
    pub(super) values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Line<'a> {
        let mut parts = line.split_whitespace();
        let command = parts.next().unwrap_or_default();
        let (values, words): (Vec<_>, Vec<_>) = parts.partition(|part| part.contains('='));
        let values = values.into_iter().filter_map(|part| part.split_once('=')).collect();
        Line { command, words, values }
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.values.get(key).map(|text| parse(text))
    }

    pub(super) fn first<T: std::str::FromStr>(&self) -> Option<T> {
        self.words.first().map(|text| parse(text))
    }
}

pub(super) fn parse<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap_or_else(|| panic!("'{text}' is not a number"))
}

impl Runner {
    fn new() -> Runner {
        let config = PartitionConfig::default();
        let now = Now { monotonic_ns: 0, wall_ms: 0 };
        Runner {
            partition: Partition::new(config),
            config,
            now,
            history: History::default(),
            frame: Vec::new(),
            cut: None,
            starts_over: false,
            out: String::new(),
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        match line.command {
            "lead" => self.input(Input::BecomeLeader(replication::reign(line))),
            "truncated" => self.truncated(),
            "frame" => self.frame(line),
            "append" => self.append(line),
            "written" => self.input(Input::Written { end: line.first().unwrap_or(self.partition.log_end()) }),
            "flushed" => {
                self.input(Input::Flushed { end: line.first().unwrap_or(self.partition.written_end()) });
            }
            "write-failed" => self.input(Input::StorageFailed(StorageFault::Write)),
            "flush-failed" => self.input(Input::StorageFailed(StorageFault::Flush)),
            "config" => self.configure(line),
            "start" => self.input(Input::MoveLogStart { to: line.first().expect("start OFFSET") }),
            "tick" => self.input(Input::Tick),
            "wait" => self.now.monotonic_ns += line.first::<u64>().expect("wait MS") * 1_000_000,
            "resign" => self.input(Input::Resign),
            "delete" => self.input(Input::Delete),
            "read" => self.read(line),
            "latest" => {
                let answer = self.partition.latest_offset(self.believed(line));
                self.print(
                    &answer.map_or_else(|error| format!("refused: {error}"), |offset| offset.to_string()),
                );
            }
            "end-of" => {
                let end = self.partition.end_offset_for(LeaderEpoch(line.first().expect("end-of EPOCH")));
                self.print(
                    &end.map_or("unknown".into(), |end| format!("epoch {} ends at {}", end.epoch, end.end)),
                );
            }
            "show" => self.show(),
            "draw" => {
                let picture = pictures::draw(&self.partition);
                picture.lines().for_each(|line| self.print(line));
            }
            "producers" => self.producers(),
            "revisions" => self.revisions(),
            "restart" => self.restart(line),
            _ => self.input(replication::input(line)),
        }
    }

    /// Batches out of the leader's log, each as AT:RECORDS:EPOCH.
    fn frame(&mut self, line: &Line<'_>) {
        let frame = replication::frame(line);
        self.frame.clone_from(&frame.batches);
        self.input(Input::Replicated(frame));
    }

    /// The storage did what it was asked for last.
    fn truncated(&mut self) {
        let to = self.cut.take().expect("a truncation was asked for");
        self.history.truncate(to);
        let starts_over = self.history.batches.is_empty() && self.starts_over;
        let end = if starts_over { to } else { self.history.end() };
        let found = Checkpoints {
            log_start: if starts_over { end } else { self.partition.log_start() },
            log_end: end,
            flushed_end: end,
            high_watermark: Offset::ZERO,
            epochs: None,
            producers: None,
        };
        let mut restore = Restore::new(self.now, self.config, found).unwrap();
        self.history.batches.iter().for_each(|batch| restore.replay(batch).unwrap());
        self.input(Input::Truncated(restore.finish_truncation().unwrap()));
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.partition.handle(self.now, input, &mut effects);
        for effect in effects {
            self.history.take_note(&effect);
            match &effect {
                Effect::WriteReplicated { skip, .. } => self.history.batches.extend(&self.frame[*skip..]),
                Effect::Truncate { to } => (self.cut, self.starts_over) = (Some(*to), false),
                Effect::StartOver { at } => {
                    self.history.batches.clear();
                    (self.cut, self.starts_over) = (Some(*at), true);
                }
                _ => {}
            }
            let line = describe(&effect);
            self.print(&line);
        }
    }

    fn print(&mut self, line: &str) {
        writeln!(self.out, "  {line}").unwrap();
    }

    /// The leader epoch that a sender names.
    fn believed(&self, line: &Line<'_>) -> LeaderEpoch {
        let current = self.partition.leading().or(self.partition.newest_epoch()).unwrap_or_default();
        line.number("epoch").map_or(current, LeaderEpoch)
    }

    fn append(&mut self, line: &Line<'_>) {
        let request = RequestId(parse(line.words[0].strip_prefix('r').expect("append rN")));
        let record_count = line.number("n").unwrap_or(1);
        let stamp = |text: &str| {
            let (id, epoch) = text.split_once('/').expect("ID/EPOCH");
            let base_sequence = Sequence(line.number("seq").unwrap_or(0));
            ProducerStamp { id: ProducerId(parse(id)), epoch: ProducerEpoch(parse(epoch)), base_sequence }
        };
        let lane = line.values.get("lane").map(|text| stamp(text));
        let producer = line.values.get("producer").map(|text| stamp(text));
        let after = line.number("after").map(Sequence);
        let check = match (lane, producer) {
            _ if line.has("unchecked") => AppendCheck::Unchecked,
            (Some(_), _) => AppendCheck::Lane { after },
            (None, Some(_)) => AppendCheck::Contiguous { after },
            (None, None) => AppendCheck::Unchecked,
        };
        let batch = BatchMeta {
            bytes: line.number("bytes").unwrap_or(100),
            record_count,
            last_offset_delta: line.number("delta").unwrap_or(record_count.saturating_sub(1)),
            max_timestamp_ms: line.number("ts").unwrap_or(0),
            is_control: line.has("control"),
            revision: None,
            producer: lane.or(producer),
        };
        let acks = line.values.get("acks").map_or(Acks::All, |text| parse(text));
        self.history.offer(request, batch);
        let (leader_epoch, revision) = (self.believed(line), line.number("rev").map(Revision));
        self.input(Input::Append(Append { request, leader_epoch, batch, check, acks, revision }));
    }

    fn configure(&mut self, line: &Line<'_>) {
        for (key, value) in &line.values {
            match *key {
                "flush.ms" => self.config.flush_ms = parse(value),
                "flush.messages" => self.config.flush_messages = parse(value),
                "write.caching" => self.config.write_caching = value.parse().expect("true or false"),
                "min.insync.replicas" => self.config.min_insync_replicas = Some(parse(value)),
                "max.message.bytes" => self.config.max_message_bytes = parse(value),
                "producer.id.expiration.ms" => self.config.producer_id_expiration_ms = parse(value),
                "producers" => self.config.producers_max = parse(value),
                other => panic!("unknown config '{other}'"),
            }
        }
        self.input(Input::Configure(self.config));
    }

    fn read(&mut self, line: &Line<'_>) {
        let position = Position {
            offset: Offset(line.number("at").expect("at=")),
            epoch: line.number("seen").map(LeaderEpoch),
        };
        let answer = match self.partition.read_window(self.believed(line), position) {
            Ok(window) if window.from == window.to => "nothing yet".into(),
            Ok(window) => format!("from {} up to {}", window.from, window.to),
            Err(error) => format!("refused: {error}"),
        };
        self.print(&answer);
    }

    fn show(&mut self) {
        let p = &self.partition;
        let marks = format!(
            "start {} hw {} flushed {} written {} end {}",
            p.log_start(),
            p.high_watermark(),
            p.flushed_end(),
            p.written_end(),
            p.log_end()
        );
        let stats = p.stats();
        let counts = format!(
            "waiting {} producers {} evicted {} expired {}",
            stats.waiting, stats.producers, stats.producers_evicted, stats.producers_expired
        );
        let reigns: Vec<String> =
            p.epoch_checkpoint().entries.iter().map(|e| format!("{} from {}", e.epoch, e.start)).collect();
        self.print(&marks);
        self.print(&counts);
        self.print(&format!("reigns: {}", reigns.join(", ")));
    }

    fn producers(&mut self) {
        for producer in self.partition.producer_checkpoint().producers {
            let batches: Vec<String> = producer
                .batches
                .iter()
                .map(|batch| {
                    format!("{}x{} at {}", batch.base_sequence, batch.record_count, batch.base_offset)
                })
                .collect();
            self.print(&format!("{}/{}: {}", producer.id, producer.epoch, batches.join(", ")));
        }
    }

    fn revisions(&mut self) {
        let markers: Vec<String> = self
            .partition
            .producer_checkpoint()
            .revisions
            .iter()
            .map(|start| format!("{} behind {}", start.revision, start.marker))
            .collect();
        let markers = if markers.is_empty() { "none".to_owned() } else { markers.join(", ") };
        self.print(&markers);
        if let Some(progress) = self.partition.revision_progress() {
            let (revision, first) = (progress.revision, progress.first_offset);
            self.print(&format!("{revision} from {first}, alone from {}", progress.older_end));
        }
    }

    fn restart(&mut self, line: &Line<'_>) {
        let p = &self.partition;
        let log_end = Offset(line.number("end").unwrap_or(p.written_end().0));
        self.history.truncate(log_end);
        let snapshot = p.producer_checkpoint();
        let found = Checkpoints {
            log_start: p.log_start(),
            log_end,
            flushed_end: Offset(line.number("flushed").unwrap_or(p.flushed_end().0)),
            high_watermark: Offset(line.number("hw").unwrap_or(p.high_watermark().0)),
            epochs: (!line.has("no-epochs")).then(|| p.epoch_checkpoint()),
            producers: (!line.has("no-snapshot")).then_some(snapshot),
        };
        match self.restore(found, line.has("no-replay")) {
            Ok((partition, replayed)) => {
                self.partition = partition;
                self.print(&format!("restored, {replayed} batches replayed"));
            }
            Err(error) => self.print(&format!("refused: {error}")),
        }
    }

    fn restore(
        &self,
        found: Checkpoints,
        no_replay: bool,
    ) -> Result<(Partition, usize), weir_core::partition::RestoreError> {
        let mut restore = Restore::new(self.now, self.config, found)?;
        let from = restore.replay_from();
        let batches: Vec<&StoredBatch> =
            self.history.batches.iter().filter(|b| b.end() > from && !no_replay).collect();
        batches.iter().try_for_each(|batch| restore.replay(batch))?;
        Ok((restore.finish()?, batches.len()))
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Write { request, base_offset, leader_epoch } => {
            format!("write r{} at {base_offset} epoch {leader_epoch}", request.0)
        }
        Effect::WriteRevision { revision, base_offset, leader_epoch, .. } => {
            format!("mark revision {revision} at {base_offset} epoch {leader_epoch}")
        }
        Effect::Flush { up_to } => format!("flush up to {up_to}"),
        Effect::Complete { request, outcome } => format!("r{} {}", request.0, describe_outcome(outcome)),
        Effect::HighWatermark(offset) => format!("hw {offset}"),
        Effect::LogStart(offset) => format!("log start {offset}"),
        Effect::SaveEpochs(checkpoint) => {
            let entries: Vec<String> = checkpoint
                .entries
                .iter()
                .map(|entry| format!("{} from {}", entry.epoch, entry.start))
                .collect();
            format!("save reigns: {}", entries.join(", "))
        }
        Effect::LeadershipRefused { offered, newest } => {
            format!("refused to lead {offered}, the log has {newest}")
        }
        Effect::Retired(cause) => format!("retired: {cause:?}"),
        other => replication::describe(other),
    }
}

fn describe_outcome(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Stored { base_offset, promise, duplicate } => {
            let place = base_offset.map_or("an unknown offset".into(), |offset| offset.to_string());
            let flushed = if promise.flushed { ", flushed" } else { "" };
            let duplicate = if *duplicate { ", duplicate" } else { "" };
            format!("stored at {place} on {}{flushed}{duplicate}", promise.replicas)
        }
        AppendOutcome::Retry(reason) => format!("retry: {reason:?}"),
        AppendOutcome::Fenced { current } => format!("fenced by epoch {current}"),
        AppendOutcome::Failed(reason) => format!("failed: {reason:?}"),
        AppendOutcome::Unknown(reason) => format!("unknown: {reason:?}"),
    }
}
