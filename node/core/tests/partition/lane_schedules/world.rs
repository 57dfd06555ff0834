//! One schedule: faults for a while, then everything heals and must settle.

use std::collections::BTreeMap;

use weir_core::partition::{
    Append, AppendCheck, AppendOutcome, BatchMeta, PartitionConfig, ProducerStamp, RequestId, RetryReason,
    Rule,
};
use weir_core::time::Now;
use weir_wire::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::Acks;

use super::checks;
use super::lane::{Lane, Part, Place, Settled, answered_offset, content};
use crate::invariants;
use crate::random::Random;
use crate::replica::{Answered, Fault, Replica};

const STEPS: usize = 200;
/// How many rounds of "deliver all, flush all, resend" a healed lane may take to settle.
const HEALING_ROUNDS_MAX: usize = 40;

/// How long a client waits for a batch (`delivery.timeout.ms`).
const PATIENCE_MS: u64 = 2_000;
/// How long a message may be on its way (an entry node drops what is older than the grace of its revision).
const MESSAGE_LIFE_MS: u64 = 2_000;
/// How long a quiet producer is remembered: longer than both.
const EXPIRATION_MS: u64 = PATIENCE_MS + MESSAGE_LIFE_MS + 500;

/// What happened over many schedules, so that a run can show that it tried everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    schedules: u64,
    acknowledged: u64,
    given_up: u64,
    duplicates: u64,
    missing_parts: u64,
    fenced_producers: u64,
    fenced_leaders: u64,
    leaderless: u64,
    interrupted: u64,
    not_remembered: u64,
    leader_changes: u64,
    roll_overs: u64,
    forgetful_replicas: u64,
    resends_after_new_revision: u64,
}

impl Tally {
    /// A schedule that never tries a thing proves nothing about it.
    pub(super) fn assert_everything_happened(&self) {
        let counts = [
            ("acknowledged", self.acknowledged),
            ("given up", self.given_up),
            ("duplicates", self.duplicates),
            ("missing parts", self.missing_parts),
            ("fenced producers", self.fenced_producers),
            ("fenced leaders", self.fenced_leaders),
            ("leaderless", self.leaderless),
            ("interrupted", self.interrupted),
            ("not remembered", self.not_remembered),
            ("leader changes", self.leader_changes),
            ("roll-overs", self.roll_overs),
            ("replicas that forgot a producer", self.forgetful_replicas),
            ("resends after a new revision", self.resends_after_new_revision),
        ];
        for (what, count) in counts {
            assert!(count > self.schedules / 100, "{what}: only {count} in {} schedules", self.schedules);
        }
    }
}

/// What is the same for the whole schedule.
struct Setting {
    fault: Fault,
    acks: Acks,
    config: PartitionConfig,
    /// Whether a new leader may lack what `acks=1` was answered for.
    lossy: bool,
    /// Whether entry nodes stop an opening at its first refusal.
    stops: bool,
    trace: bool,
}

pub(super) struct World {
    random: Random,
    setting: Setting,
    now: Now,
    lane: Lane,
    replicas: Vec<Replica>,
    revision: u32,
    /// Parts on their way to partitions, in no order.
    flight: Vec<Part>,
    /// What the partitions have not answered yet.
    asked: BTreeMap<RequestId, Part>,
    /// Answers on their way to the client, in no order.
    answers: Vec<(Part, AppendOutcome)>,
    requests: u64,
    noise: u32,
    healing: bool,
    /// The first answer that was not true.
    broken: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, fault: Fault, trace: bool) -> World {
        let mut random = Random::new(seed);
        let acks = [Acks::All, Acks::All, Acks::All, Acks::All, Acks::Leader, Acks::Leader, Acks::None]
            [random.below(7)];
        let lossy = acks != Acks::All && random.percent(50);
        let early = fault == Fault::ExpiresTooEarly;
        let config = PartitionConfig {
            write_caching: random.percent(25),
            min_insync_replicas: Some(if lossy { 2 } else { 1 }),
            producer_id_expiration_ms: if early { 30 } else { EXPIRATION_MS },
            ..PartitionConfig::default()
        };
        let places = 2 + random.below(2);
        let replication_factor = if lossy { 3 } else { 1 };
        let setting = Setting { fault, acks, config, lossy, stops: random.percent(50), trace };
        World {
            lane: Lane::new(&mut random, places, fault),
            replicas: (0..places).map(|_| Replica::new(config, replication_factor, fault)).collect(),
            random,
            setting,
            now: Now { monotonic_ns: 0, wall_ms: 1_000_000 },
            revision: 1,
            flight: Vec::new(),
            asked: BTreeMap::new(),
            answers: Vec::new(),
            requests: 0,
            noise: 0,
            healing: false,
            broken: None,
        }
    }

    /// Plays the schedule; the error is a sentence that says what broke.
    pub(super) fn play(mut self, tally: &mut Tally) -> Result<(), String> {
        tally.schedules += 1;
        for place in 0..self.replicas.len() {
            let answered = self.replicas[place].elect(self.now);
            assert!(answered.is_empty(), "nobody asked yet");
        }
        for _ in 0..STEPS {
            self.step(tally)?;
            self.check()?;
        }
        self.heal(tally)?;
        self.count(tally);
        Ok(())
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.setting.trace {
            println!("{:>6} ms  {}", self.now_ms(), what());
        }
    }

    fn now_ms(&self) -> u64 {
        self.now.monotonic_ns / 1_000_000
    }

    fn pass_time(&mut self, ms: u64) {
        self.now.monotonic_ns += ms * 1_000_000;
        self.now.wall_ms += i64::try_from(ms).unwrap();
    }

    fn step(&mut self, tally: &mut Tally) -> Result<(), String> {
        let elapsed = self.random.below(12);
        self.pass_time(u64::try_from(elapsed).unwrap());
        let stopped = self.lane.opening.failed && self.setting.stops;
        let place = self.random.below(self.replicas.len());
        match self.random.below(100) {
            0..26 if !stopped && self.lane.can_send() => self.send(tally),
            0..52 => self.deliver_one(),
            52..67 => {
                let answered = self.replicas[place].finish_flush(self.now);
                self.take_answers(answered);
            }
            67..81 => self.answer_one(tally)?,
            81..85 => self.change_leader(place, tally),
            85..91 => self.reopen(),
            91..93 => self.make_noise(place),
            93..95 => self.replicas[place].take_snapshot(),
            95..97 => self.tick(),
            97 if self.random.percent(40) => {
                self.note(|| "a long quiet time".into());
                self.pass_time(EXPIRATION_MS + 200);
                self.tick();
            }
            98 => self.revision = 2,
            _ if self.random.percent(30) => self.give_up_when_late(PATIENCE_MS / 2, tally),
            _ => {}
        }
        self.give_up_when_late(PATIENCE_MS, tally);
        Ok(())
    }

    fn send(&mut self, tally: &mut Tally) {
        let (now_ms, revision) = (self.now_ms(), self.revision);
        for place in 0..self.replicas.len() {
            if self.random.percent(30) {
                self.lane.learn(place, self.replicas[place].epoch);
            }
        }
        let (batch, parts) = self.lane.send(&mut self.random, now_ms, revision);
        let sent = self.lane.sent[batch];
        if sent.revision < revision {
            tally.resends_after_new_revision += 1;
        }
        self.note(|| format!("batch {batch} sent: {parts:?}"));
        self.flight.extend(parts);
        if self.setting.acks == Acks::None && batch == self.lane.settled.len() {
            // Nobody waits for an answer.
            self.lane.settled.push(Settled::GivenUp);
        }
    }

    fn deliver_one(&mut self) {
        if self.flight.is_empty() {
            return;
        }
        let index = self.random.below(self.flight.len());
        let mut part = self.flight.swap_remove(index);
        if self.now_ms() - part.sent_ms > MESSAGE_LIFE_MS {
            return;
        }
        if self.random.percent(15) && !self.healing {
            self.flight.push(part);
        }
        if self.random.percent(if self.setting.stops { 10 } else { 50 }) {
            // An entry node refreshes its metadata, also one whose opening was overtaken.
            part.leader_epoch = self.replicas[part.place].epoch;
        }
        if self.random.percent(8) && !self.healing {
            self.note(|| format!("refused for a passing reason: {part:?}"));
            self.answers.push((part, AppendOutcome::Retry(RetryReason::Busy)));
            return;
        }
        self.append(part);
    }

    fn append(&mut self, part: Part) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let batch = BatchMeta {
            bytes: content(part.batch),
            record_count: part.records,
            last_offset_delta: part.records - 1,
            max_timestamp_ms: self.now.wall_ms,
            is_control: false,
            revision: None,
            producer: Some(part.stamp),
        };
        let check = AppendCheck::Lane { after: part.after };
        let append = Append {
            request,
            leader_epoch: part.leader_epoch,
            batch,
            check,
            acks: self.setting.acks,
            revision: None,
        };
        self.asked.insert(request, part);
        let answered = self.replicas[part.place].append(self.now, append);
        self.note(|| format!("r{} delivered: {part:?}", self.requests));
        self.take_answers(answered);
    }

    /// Looks at each answer before it travels: it must be true when it is given.
    fn take_answers(&mut self, answered: Vec<Answered>) {
        for (request, outcome) in answered {
            self.note(|| format!("r{} answered: {outcome:?}", request.0));
            let Some(part) = self.asked.remove(&request) else { continue };
            if let Some(offset) = answered_offset(&outcome) {
                let truth =
                    checks::answered_offset_holds_the_part(&self.replicas[part.place], part.batch, offset);
                self.broken = self.broken.take().or(truth.err());
            }
            self.answers.push((part, outcome));
        }
    }

    fn answer_one(&mut self, tally: &mut Tally) -> Result<(), String> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.answers.len());
        let (part, outcome) = self.answers.swap_remove(index);
        self.tally_outcome(&outcome, tally);
        if self.random.percent(5) && !self.healing {
            return Ok(());
        }
        if self.setting.acks == Acks::None {
            self.lane.opening.failed |= part.opening == self.lane.opening.number && !is_stored(&outcome);
            return Ok(());
        }
        let live = part.opening == self.lane.opening.number && part.batch >= self.lane.settled.len();
        if live && !self.setting.lossy && self.share_is_fixed() {
            checks::outcome_is_expected(&outcome, part.batch)?;
        }
        self.lane.answered(part.opening, part.batch, part.place, &outcome);
        Ok(())
    }

    fn tally_outcome(&self, outcome: &AppendOutcome, tally: &mut Tally) {
        match outcome {
            AppendOutcome::Stored { duplicate, .. } => tally.duplicates += u64::from(*duplicate),
            AppendOutcome::Retry(RetryReason::MissingPart) => tally.missing_parts += 1,
            AppendOutcome::Retry(RetryReason::NotLeader) => tally.leaderless += 1,
            AppendOutcome::Retry(RetryReason::Interrupted(_)) => tally.interrupted += 1,
            AppendOutcome::Retry(RetryReason::FencedLeaderEpoch { .. }) => tally.fenced_leaders += 1,
            AppendOutcome::Fenced { .. } => tally.fenced_producers += 1,
            AppendOutcome::Unknown(_) => tally.not_remembered += 1,
            AppendOutcome::Retry(_) | AppendOutcome::Failed(_) => {}
        }
    }

    /// The leader goes, with or without a word; the next one comes now or later.
    fn change_leader(&mut self, place: Place, tally: &mut Tally) {
        if self.replicas[place].is_led() {
            tally.leader_changes += 1;
            let last_word = match self.random.below(100) {
                0..30 => self.replicas[place].resign(self.now),
                30..50 => self.replicas[place].fail_storage(self.now),
                _ => Vec::new(),
            };
            self.take_answers(last_word);
            self.replicas[place].lose_leader(self.now, &mut self.random);
            self.note(|| {
                format!("partition {place} lost its leader, {} is left", self.replicas[place].history.end())
            });
            self.break_off(place);
            if self.random.percent(30) {
                return;
            }
        }
        let answered = self.replicas[place].elect(self.now);
        self.note(|| format!("partition {place} is led again, reign {}", self.replicas[place].epoch));
        self.take_answers(answered);
    }

    /// Whoever waited for an answer of that partition hears that its connection broke.
    fn break_off(&mut self, place: Place) {
        let opening = self.lane.opening.number;
        let waited = self.asked.values().any(|part| part.place == place && part.opening == opening);
        self.asked.retain(|_, part| part.place != place);
        self.lane.opening.failed |= waited;
    }

    fn reopen(&mut self) {
        if !self.lane.opening.failed && !self.random.percent(30) {
            return;
        }
        let known = self.replicas.iter().map(|replica| {
            // Metadata may be stale.
            let stale = self.random.percent(30) && !self.healing;
            LeaderEpoch(replica.epoch.0 - u32::from(stale && replica.epoch.0 > 1))
        });
        let known = known.collect();
        self.lane.reopen(known);
        self.note(|| format!("the lane is reopened from batch {}", self.lane.settled.len()));
    }

    /// Somebody else writes, with timestamps from anywhere.
    fn make_noise(&mut self, place: Place) {
        self.noise += 1;
        let id = ProducerId(9000 + u64::try_from(self.random.below(2)).unwrap());
        let stamp = ProducerStamp { id, epoch: ProducerEpoch(0), base_sequence: Sequence(self.noise) };
        let shift = [-1_000_000_000, 0, 0, 10_000_000][self.random.below(4)];
        let timestamp_ms = self.now.wall_ms + shift;
        self.requests += 1;
        self.replicas[place].append_noise(self.now, RequestId(self.requests), stamp, timestamp_ms);
    }

    fn tick(&mut self) {
        let now = self.now;
        self.replicas.iter_mut().for_each(|replica| replica.tick(now));
    }

    fn give_up_when_late(&mut self, patience_ms: u64, tally: &mut Tally) {
        while self.lane.waiting_since_ms().is_some_and(|since| self.now_ms() - since > patience_ms) {
            self.note(|| format!("batch {} is given up", self.lane.settled.len()));
            self.lane.give_up();
            tally.given_up += 1;
        }
    }

    /// No more faults: what is on its way arrives, the client resends, and the lane must settle.
    fn heal(&mut self, tally: &mut Tally) -> Result<(), String> {
        self.healing = true;
        self.note(|| "healing".into());
        for _ in 0..HEALING_ROUNDS_MAX {
            for place in 0..self.replicas.len() {
                if !self.replicas[place].is_led() {
                    let answered = self.replicas[place].elect(self.now);
                    self.take_answers(answered);
                }
            }
            while !self.flight.is_empty() {
                self.deliver_one();
                self.check()?;
            }
            for place in 0..self.replicas.len() {
                let answered = self.replicas[place].finish_flush(self.now);
                self.take_answers(answered);
            }
            while !self.answers.is_empty() {
                self.answer_one(tally)?;
            }
            self.check()?;
            if self.lane.is_settled() && self.asked.is_empty() {
                return Ok(());
            }
            self.lane.opening.failed = true;
            self.reopen();
            while self.lane.can_send() {
                self.send(tally);
            }
        }
        Err(format!("healed, and only {} batches are settled", self.lane.settled.len()))
    }

    fn check(&mut self) -> Result<(), String> {
        if let Some(why) = self.broken.take() {
            return Err(why);
        }
        for (place, replica) in self.replicas.iter_mut().enumerate() {
            replica
                .committed
                .observe(&replica.history, replica.partition.high_watermark())
                .map_err(|why| format!("partition {place}: {why}"))?;
        }
        for (place, replica) in self.replicas.iter().enumerate() {
            if self.share_is_fixed() {
                checks::stored_once_and_in_order(&self.lane, place, replica)?;
                if self.setting.acks == Acks::All {
                    checks::prefix_is_gapless(&self.lane, place, replica)?;
                }
            }
            if !self.setting.lossy {
                checks::acknowledged_is_committed(&self.lane, place, replica)?;
            }
            invariants::log_is_in_order(&replica.history)?;
            invariants::epoch_cache_is_a_function_of_the_log(&replica.history, &replica.partition)?;
        }
        self.check_producers()
    }

    /// Whether a batch always goes to the same partitions. Where a fault makes it not so, only what was promised counts:
    /// that what was acknowledged is there.
    fn share_is_fixed(&self) -> bool {
        !matches!(self.setting.fault, Fault::ImpurePlacement | Fault::ResendsAtNewRevision)
    }

    fn check_producers(&self) -> Result<(), String> {
        // Without one of these the memory differs by itself; what has to be noticed is what comes of it.
        let differs = [Fault::Partition(Rule::NewerProducerEpochResets), Fault::ProducersLostAtRestart];
        if differs.contains(&self.setting.fault) || !self.random.clone().percent(5) {
            return Ok(());
        }
        let config = self.setting.config;
        self.replicas.iter().try_for_each(|replica| {
            let (history, partition) = (&replica.history, &replica.partition);
            invariants::producers_are_a_function_of_the_log(
                self.now,
                config,
                history,
                partition,
                replica.forgot,
            )
        })
    }

    fn count(&self, tally: &mut Tally) {
        let acknowledged =
            self.lane.settled.iter().filter(|settled| matches!(settled, Settled::Acknowledged(_)));
        tally.acknowledged += u64::try_from(acknowledged.count()).unwrap();
        tally.roll_overs += u64::from(self.lane.has_rolled());
        tally.forgetful_replicas +=
            self.replicas.iter().map(|replica| u64::from(replica.forgot)).sum::<u64>();
    }
}

fn is_stored(outcome: &AppendOutcome) -> bool {
    matches!(outcome, AppendOutcome::Stored { .. })
}
