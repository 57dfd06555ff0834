//! A replica's part in what happens between nodes: followers that ask it, the leader that it follows, and the
//! controller that decides who is in sync.

use std::collections::BTreeMap;

use weir_core::metadata::{AlterPartition, Command, MetadataError};
use weir_core::partition::{
    Effect, Input, Member, ProposalNumber, Replicated, Subscribe, SubscribeAnswer, SubscribeRefusal,
    SubscriptionNumber,
};
use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::super::links::{FollowerOrder, FollowingReplica};
use super::super::mailbox::{FollowerMail, FollowerSink, Mail, PeerMessage, ReplicaFrame};
use super::super::open::stored;
use super::Replica;
use super::early::Early;
use crate::controller::SubmitError;
use crate::storage::StampedBatch;

/// What the task knows of the other replicas.
#[derive(Default)]
pub(in super::super) struct Peers {
    /// Where the followers' subscriptions are answered.
    sinks: BTreeMap<(NodeId, SubscriptionNumber), FollowerSink>,
    /// How far each follower said it is, for people.
    log_ends: BTreeMap<NodeId, Offset>,
    /// The frame that the core is being asked about.
    frame: Vec<StampedBatch>,
    early: Early,
    /// Whether the leader refused this replica last for a log that is ahead of its own, which was said then.
    is_ahead: bool,
}

impl Peers {
    /// How far each follower said it is in this reign.
    pub(super) fn log_ends(&self) -> BTreeMap<NodeId, Offset> {
        self.log_ends.clone()
    }

    /// The reign is another: nothing is known of the followers.
    pub(super) fn forget(&mut self) {
        self.log_ends.clear();
    }
}

impl Replica {
    /// Takes everything that waits in the mailbox.
    pub(super) async fn take_mail(&mut self) {
        let Mail { messages, reports, tick } = self.mailbox.take();
        for message in messages {
            self.take_message(message);
            self.cut_if_due().await;
        }
        for report in reports.into_values() {
            self.state.peers.log_ends.insert(report.follower.node, report.log_end);
            self.handle(Input::Report(report));
        }
        if tick {
            self.handle(Input::Tick);
        }
        // Frames that arrived together are written together.
        self.write();
        self.cut_if_due().await;
    }

    fn take_message(&mut self, message: PeerMessage) {
        match message {
            PeerMessage::Subscribe { subscribe, sink } => {
                let key = (subscribe.follower.node, subscribe.subscription);
                self.state.peers.sinks.insert(key, sink);
                self.take_subscribe(subscribe);
            }
            PeerMessage::Unsubscribe { follower, subscription } => {
                self.state.peers.early.forget(follower.node, subscription);
                if let Some(sink) = self.state.peers.sinks.remove(&(follower.node, subscription)) {
                    sink.forget();
                }
                self.handle(Input::Unsubscribe { follower, subscription });
            }
            PeerMessage::Answered { subscription, answer } => {
                self.say_whether_ahead(&answer);
                self.handle(Input::SubscribeAnswered { subscription, answer });
            }
            PeerMessage::Replicated(frame) => self.take_frame(frame),
            PeerMessage::Ended(subscription) => self.handle(Input::SubscriptionEnded(subscription)),
            PeerMessage::IsrRefused(proposal) => self.handle(Input::IsrRefused(proposal)),
            PeerMessage::IsrUnknown(proposal) => self.handle(Input::IsrUnknown(proposal)),
        }
    }

    /// A leader that is deposed and has not heard of it refuses so for a moment. If it stays, nobody but an operator helps.
    fn say_whether_ahead(&mut self, answer: &SubscribeAnswer) {
        let refused = match answer {
            SubscribeAnswer::Refused(refusal @ SubscribeRefusal::AheadOfLeader { .. }) => Some(refusal),
            _ => None,
        };
        let was_ahead = std::mem::replace(&mut self.state.peers.is_ahead, refused.is_some());
        if let Some(refusal) = refused.filter(|_| !was_ahead) {
            tracing::error!(
                partition = %self.name, %refusal,
                "the leader does not take this replica as a follower; it asks on. If that stays so, an epoch in its log is \
                 damaged, which no checksum covers: stop the node, move the partition's folder away, start it again"
            );
        }
    }

    fn take_subscribe(&mut self, subscribe: Subscribe) {
        let (node, peers) = (subscribe.follower.node, &mut self.state.peers);
        peers.log_ends.insert(node, subscribe.log_end);
        // A replica that stopped for good says so at once.
        let (now, before) = match self.core.retired() {
            None => peers.early.take(subscribe),
            Some(_) => (Some(subscribe), None),
        };
        if let Some(before) = before {
            peers.sinks.remove(&(node, before));
        }
        if let Some(subscribe) = now {
            self.handle(Input::Subscribe(subscribe));
        }
    }

    /// The metadata told of a reign: who asked for it before that is answered.
    pub(super) fn told_of(&mut self, leader_epoch: LeaderEpoch) {
        for subscribe in self.state.peers.early.told(leader_epoch) {
            self.handle(Input::Subscribe(subscribe));
        }
    }

    fn take_frame(&mut self, frame: ReplicaFrame) {
        let ReplicaFrame { subscription, from, batches, high_watermark, log_start, credit } = frame;
        let bytes = batches.iter().map(|batch| batch.bytes.len()).sum();
        if bytes > 0 && !self.space.has_room(bytes) {
            // It asks again at the next tick; when there is room, what it lacks comes.
            return self.handle(Input::SubscriptionEnded(subscription));
        }
        if bytes > 0 {
            self.state.catches_up = credit.is_some();
        }
        let headers = batches.iter().map(|batch| stored(&batch.header, &batch.bytes, &self.name)).collect();
        self.state.peers.frame = batches;
        let replicated = Replicated { subscription, from, batches: headers, high_watermark, log_start };
        self.handle(Input::Replicated(replicated));
        self.state.peers.frame.clear();
        self.state.credit.extend(credit);
    }

    /// Lines up what the core takes of the frame in hand, byte for byte as the leader has it.
    pub(super) fn write_replicated(&mut self, skip: usize, base_offset: Offset, end: Offset) {
        let batches = self.state.peers.frame.drain(..).skip(skip);
        let before = self.state.to_write.len();
        self.state.to_write.extend(batches);
        let taken = &self.state.to_write[before..];
        let ends = taken.first().zip(taken.last());
        let ends = ends.map(|(first, last)| (first.header.base_offset, last.header.next_offset()));
        assert!(ends == Some((base_offset, end)), "the core takes what the frame in hand holds");
    }

    /// Carries out what concerns other nodes.
    pub(super) fn tell_others(&mut self, effect: Effect) {
        match effect {
            Effect::ProposeIsr { proposal, leader_epoch, partition_epoch, isr, flushed } => {
                let isr = isr.iter().map(|member| (member.node, member.incarnation)).collect();
                self.propose(proposal, leader_epoch, partition_epoch, isr, flushed);
            }
            Effect::AcceptSubscription { follower, subscription, from } => {
                if let Some(sink) = self.state.peers.sinks.get(&(follower.node, subscription)) {
                    sink.accept(from);
                }
            }
            Effect::AnswerSubscribe { follower, subscription, answer } => {
                self.answer(follower, subscription, answer);
            }
            Effect::EndSubscription { follower, subscription } => {
                // Dropped, the sink says so.
                self.state.peers.sinks.remove(&(follower.node, subscription));
            }
            Effect::Subscribe(subscribe) => {
                let mail = FollowerMail(std::sync::Arc::clone(&self.mailbox));
                let replica =
                    FollowingReplica { topic: self.key.topic_id, partition: self.key.partition, mail };
                let order = FollowerOrder::Subscribe { replica, subscribe };
                self.links.to(subscribe.leader.node).order(order);
            }
            Effect::Unsubscribe { leader, subscription } => {
                let (topic, partition) = (self.key.topic_id, self.key.partition);
                self.links.to(leader.node).order(FollowerOrder::Unsubscribe {
                    topic,
                    partition,
                    subscription,
                });
            }
            Effect::Report { leader, report } => {
                self.links.to(leader.node).report(self.key.topic_id, self.key.partition, report);
            }
            other => unreachable!("{other:?} concerns this replica alone"),
        }
    }

    fn answer(&mut self, follower: Member, subscription: SubscriptionNumber, answer: SubscribeAnswer) {
        if let Some(sink) = self.state.peers.sinks.remove(&(follower.node, subscription)) {
            sink.answer(answer);
        }
    }

    /// Asks the controller. What becomes of it arrives in the mailbox, or as newer metadata.
    fn propose(
        &self,
        proposal: ProposalNumber,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: Vec<(NodeId, Incarnation)>,
        flushed: Vec<NodeId>,
    ) {
        let Some(me) = self.me else { return self.mailbox.push(PeerMessage::IsrUnknown(proposal)) };
        let command = Command::AlterPartition(AlterPartition {
            topic: self.key.topic_id,
            partition: self.key.partition,
            leader: me.node,
            leader_incarnation: me.incarnation,
            leader_epoch,
            partition_epoch,
            isr,
            flushed,
        });
        let (controller, mailbox) = (self.controller.clone(), std::sync::Arc::clone(&self.mailbox));
        let name = self.name.clone();
        tokio::spawn(async move {
            match controller.submit(command).await {
                Ok(_) => tracing::debug!(partition = name, "the in-sync replicas changed"),
                Err(SubmitError::Refused(error @ MetadataError::IneligibleReplica { .. })) => {
                    tracing::debug!(partition = name, %error, "a change of the in-sync replicas was refused");
                    mailbox.push(PeerMessage::IsrRefused(proposal));
                }
                Err(error) => {
                    tracing::debug!(partition = name, %error, "a change of the in-sync replicas is open");
                    mailbox.push(PeerMessage::IsrUnknown(proposal));
                }
            }
        });
    }
}
