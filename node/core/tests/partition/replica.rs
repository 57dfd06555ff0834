//! A partition with a shell around it: a log that may lose its tail, a flush that takes a while, old snapshots.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::partition::{
    Append, AppendCheck, AppendOutcome, Assigned, BatchMeta, Checkpoints, Effect, Input, Member, Partition,
    PartitionConfig, ProducerCheckpoint, ProducerStamp, Reign, RequestId, Restore, Rule, StorageFault,
    StoredBatch,
};
use weir_core::time::Now;
use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use weir_wire::lane::Acks;

use crate::history::History;
use crate::invariants::CommittedPrefix;
use crate::random::Random;

/// What is wrong with the world of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// The partition lacks a rule.
    Partition(Rule),
    /// One opening in five places a batch differently.
    ImpurePlacement,
    /// A resend is placed by the revision in force, not by the one that it was first sent under.
    ResendsAtNewRevision,
    /// A reopened lane skips its oldest unsettled batch.
    ResumesTooFar,
    /// The sequence of a batch that was given up is used for the next one.
    ReusesSequence,
    /// A restarted partition remembers no producers.
    ProducersLostAtRestart,
    /// `producer.id.expiration.ms` is shorter than clients resend.
    ExpiresTooEarly,
}

/// An answer that a partition gave.
pub(crate) type Answered = (RequestId, AppendOutcome);

pub(crate) struct Replica {
    pub(crate) partition: Partition,
    pub(crate) history: History,
    pub(crate) committed: CommittedPrefix,
    /// The reign in force; the one to come while there is no leader.
    pub(crate) epoch: LeaderEpoch,
    /// Whether producers were ever forgotten for being quiet.
    pub(crate) forgot: bool,
    config: PartitionConfig,
    replication_factor: u32,
    flush_under_way: bool,
    snapshots: Vec<ProducerCheckpoint>,
    fault: Fault,
}

impl Replica {
    pub(crate) fn new(config: PartitionConfig, replication_factor: u32, fault: Fault) -> Replica {
        Replica {
            partition: with_fault(Partition::new(config), fault),
            history: History::default(),
            committed: CommittedPrefix::default(),
            epoch: LeaderEpoch(1),
            forgot: false,
            config,
            replication_factor,
            flush_under_way: false,
            snapshots: Vec::new(),
            fault,
        }
    }

    pub(crate) fn is_led(&self) -> bool {
        self.partition.leading().is_some()
    }

    pub(crate) fn elect(&mut self, now: Now) -> Vec<Answered> {
        self.input(now, Input::BecomeLeader(leads_alone(self.epoch, self.replication_factor)))
    }

    pub(crate) fn append(&mut self, now: Now, append: Append) -> Vec<Answered> {
        self.history.offer(append.request, append.batch);
        self.input(now, Input::Append(append))
    }

    /// A batch of somebody else.
    pub(crate) fn append_noise(
        &mut self,
        now: Now,
        request: RequestId,
        producer: ProducerStamp,
        timestamp_ms: i64,
    ) {
        let batch = BatchMeta {
            bytes: 1,
            record_count: 1,
            last_offset_delta: 0,
            max_timestamp_ms: timestamp_ms,
            is_control: false,
            revision: None,
            producer: Some(producer),
        };
        let (leader_epoch, check) = (self.epoch, AppendCheck::Lane { after: None });
        self.append(now, Append { request, leader_epoch, batch, check, acks: Acks::None, revision: None });
    }

    pub(crate) fn finish_flush(&mut self, now: Now) -> Vec<Answered> {
        // With write caching nobody asks, the storage flushes now and then.
        if !std::mem::take(&mut self.flush_under_way) && !self.config.write_caching {
            return Vec::new();
        }
        let end = self.partition.written_end();
        self.input(now, Input::Flushed { end })
    }

    pub(crate) fn tick(&mut self, now: Now) {
        self.input(now, Input::Tick);
        self.forgot |= self.partition.stats().producers_expired > 0;
    }

    pub(crate) fn take_snapshot(&mut self) {
        self.snapshots.push(self.partition.producer_checkpoint());
    }

    pub(crate) fn resign(&mut self, now: Now) -> Vec<Answered> {
        self.input(now, Input::Resign)
    }

    pub(crate) fn fail_storage(&mut self, now: Now) -> Vec<Answered> {
        self.input(now, Input::StorageFailed(StorageFault::Flush))
    }

    /// The leader is gone, and the next one has at least what counts as kept. Without a leader until [`Self::elect`].
    pub(crate) fn lose_leader(&mut self, now: Now, random: &mut Random) {
        let p = &self.partition;
        // What a power cut leaves, or what every replica in sync has.
        let kept = if self.config.write_caching {
            p.high_watermark()
        } else {
            p.flushed_end().min(self.kept_by_all())
        };
        let ends: Vec<Offset> = self.ends().into_iter().filter(|end| *end >= kept).collect();
        let log_end = ends[random.below(ends.len())];
        self.history.truncate(log_end);
        self.snapshots.retain(|snapshot| snapshot.end <= log_end);
        let snapshot = (!self.snapshots.is_empty() && random.percent(70))
            .then(|| self.snapshots[random.below(self.snapshots.len())].clone());
        let found = Checkpoints {
            log_start: p.log_start(),
            log_end,
            flushed_end: p.flushed_end(),
            high_watermark: if random.percent(50) { p.high_watermark() } else { Offset::ZERO },
            epochs: random.percent(70).then(|| p.epoch_checkpoint()),
            producers: snapshot,
        };
        self.partition = with_fault(self.restore(now, found), self.fault);
        self.epoch = self.epoch.next();
        self.flush_under_way = false;
    }

    /// With fewer replicas in sync than wanted nothing is committed, so a new leader may lack what this one flushed.
    fn kept_by_all(&self) -> Offset {
        if self.replication_factor > 1 { self.partition.high_watermark() } else { Offset::MAX }
    }

    /// Every place at which the log may end.
    fn ends(&self) -> Vec<Offset> {
        std::iter::once(Offset::ZERO).chain(self.history.batches.iter().map(StoredBatch::end)).collect()
    }

    fn restore(&self, now: Now, mut found: Checkpoints) -> Partition {
        if self.fault == Fault::ProducersLostAtRestart {
            let (end, log_time_ms) = (found.log_end, i64::MIN);
            let (producers, revisions) = (Vec::new(), Vec::new());
            found.producers = Some(ProducerCheckpoint { end, log_time_ms, producers, revisions });
        }
        let mut restore = Restore::new(now, self.config, found).expect("checkpoints fit the log");
        let from = restore.replay_from();
        for batch in self.history.batches.iter().filter(|batch| batch.end() > from) {
            restore.replay(batch).expect("the log is in order");
        }
        restore.finish().expect("the log was replayed whole")
    }

    fn input(&mut self, now: Now, input: Input) -> Vec<Answered> {
        let (mut effects, mut answered) = (Vec::new(), BTreeMap::new());
        self.partition.handle(now, input, &mut effects);
        let mut wrote = false;
        for effect in &effects {
            wrote |= self.history.take_note(effect);
            match effect {
                Effect::Flush { .. } => {
                    assert!(!self.flush_under_way, "one flush at a time");
                    self.flush_under_way = true;
                }
                Effect::Complete { request, outcome } => {
                    let twice = answered.insert(*request, *outcome);
                    assert!(twice.is_none(), "a request is answered once");
                }
                _ => {}
            }
        }
        let mut answered: Vec<Answered> = answered.into_iter().collect();
        if wrote {
            answered.extend(self.input(now, Input::Written { end: self.history.end() }));
        }
        answered
    }
}

/// A reign of node 0, the only one in sync of the assigned replicas.
pub(crate) fn leads_alone(leader_epoch: LeaderEpoch, replication_factor: u32) -> Reign {
    let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
    let assigned = |node| Assigned { member: member(node), is_eligible: true };
    Reign {
        leader_epoch,
        partition_epoch: PartitionEpoch(leader_epoch.0),
        me: member(0),
        replicas: (0..replication_factor).map(assigned).collect(),
        replication_factor,
        isr: BTreeSet::from([NodeId(0)]),
        unflushed: BTreeSet::new(),
    }
}

fn with_fault(partition: Partition, fault: Fault) -> Partition {
    if let Fault::Partition(rule) = fault { partition.without_rule(rule) } else { partition }
}
