//! The lines and the words for what replicas tell each other.

use std::collections::BTreeSet;

use weir_core::partition::{
    Assigned, BatchMeta, Effect, EpochEnd, Following, Input, Member, ProposalNumber, Reign, Replicated,
    Report, StoredBatch, Subscribe, SubscribeAnswer, SubscribeRefusal, SubscriptionNumber,
};
use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch, Revision};

use super::interpreter::{Line, parse};
use crate::history::marker;

const ME: Member = Member { node: NodeId(0), incarnation: Incarnation(1) };

pub(super) fn reign(line: &Line<'_>) -> Reign {
    let leader_epoch: u32 = line.first().expect("lead EPOCH");
    let count: u32 = line.number("of").unwrap_or(1);
    let list = |key: &str| -> Vec<u32> {
        line.values.get(key).map_or(Vec::new(), |text| text.split(',').map(parse).collect())
    };
    let (lives, ineligible, isr) = (list("lives"), list("ineligible"), list("isr"));
    let assigned = |node: u32| {
        let life = lives.get(usize::try_from(node).unwrap()).copied().unwrap_or(1);
        let member = Member { node: NodeId(node), incarnation: Incarnation(life.into()) };
        Assigned { member, is_eligible: !ineligible.contains(&node) }
    };
    let isr = if isr.is_empty() { vec![0] } else { isr };
    Reign {
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(line.number("pe").unwrap_or(leader_epoch)),
        me: ME,
        replicas: (0..count).map(assigned).collect(),
        replication_factor: line.number("factor").unwrap_or(count),
        isr: isr.into_iter().map(NodeId).collect::<BTreeSet<NodeId>>(),
        unflushed: list("unflushed").into_iter().map(NodeId).collect(),
    }
}

pub(super) fn frame(line: &Line<'_>) -> Replicated {
    let batch = |text: &&str| {
        let fields: Vec<u64> = text.split(':').map(parse).collect();
        let records = u32::try_from(fields[1]).unwrap();
        let batch = BatchMeta {
            bytes: 100,
            record_count: records,
            last_offset_delta: records - 1,
            max_timestamp_ms: 0,
            is_control: false,
            revision: None,
            producer: None,
        };
        let leader_epoch = LeaderEpoch(u32::try_from(fields[2]).unwrap());
        let marked = fields.get(3).map(|revision| marker(Revision(u32::try_from(*revision).unwrap())));
        let batch = marked.unwrap_or(batch);
        StoredBatch { base_offset: Offset(fields[0]), leader_epoch, batch }
    };
    Replicated {
        subscription: SubscriptionNumber(line.first().expect("frame S")),
        from: Offset(line.number("from").expect("from=")),
        batches: line.words[1..].iter().map(batch).collect(),
        high_watermark: Offset(line.number("hw").unwrap_or(0)),
        log_start: Offset(line.number("start").unwrap_or(0)),
    }
}

pub(super) fn input(line: &Line<'_>) -> Input {
    let number = || SubscriptionNumber(line.number("sub").or_else(|| line.first()).expect("a subscription"));
    let offset = |key: &str| line.number(key).map(Offset);
    let answered = |answer| Input::SubscribeAnswered { subscription: number(), answer };
    match line.command {
        "follow" => {
            let leader_epoch: u32 = line.first().expect("follow EPOCH");
            Input::BecomeFollower(Following {
                leader_epoch: LeaderEpoch(leader_epoch),
                partition_epoch: PartitionEpoch(line.number("pe").unwrap_or(leader_epoch)),
                me: line.values.get("as").map_or(ME, |text| member(text)),
                leader: line.values.get("leader").map(|text| member(text)),
                unclean: line.has("unclean"),
            })
        }
        "subscribe" => {
            let log_end = offset("end").expect("end=");
            Input::Subscribe(Subscribe {
                follower: member(line.words[0]),
                leader: line.values.get("leader").map_or(ME, |text| member(text)),
                leader_epoch: LeaderEpoch(line.number("epoch").unwrap_or(1)),
                subscription: number(),
                log_end,
                flushed_end: offset("flushed").unwrap_or(log_end),
                last_epoch: line.number("last").map(LeaderEpoch),
            })
        }
        "report" => {
            let log_end = offset("end").expect("end=");
            let (follower, subscription) = (member(line.words[0]), number());
            let flushed_end = offset("flushed").unwrap_or(log_end);
            Input::Report(Report { follower, subscription, log_end, flushed_end })
        }
        "unsubscribe" => Input::Unsubscribe { follower: member(line.words[0]), subscription: number() },
        "isr-refused" => Input::IsrRefused(ProposalNumber(line.first().expect("a proposal"))),
        "isr-unknown" => Input::IsrUnknown(ProposalNumber(line.first().expect("a proposal"))),
        "subscribed" => answered(SubscribeAnswer::Subscribed),
        "diverged" => answered(SubscribeAnswer::Diverged(EpochEnd {
            epoch: LeaderEpoch(line.number("epoch").expect("epoch=")),
            end: offset("end").expect("end="),
        })),
        "out-of-range" => {
            answered(SubscribeAnswer::OutOfRange { log_start: offset("start").expect("start=") })
        }
        "refused" => answered(SubscribeAnswer::Refused(SubscribeRefusal::NotLeader)),
        "ended" => Input::SubscriptionEnded(number()),
        other => panic!("unknown command '{other}'"),
    }
}

fn member(text: &str) -> Member {
    let (node, incarnation) = text.split_once('/').expect("NODE/INCARNATION");
    Member { node: NodeId(parse(node)), incarnation: Incarnation(parse(incarnation)) }
}

fn shown(member: &Member) -> String {
    format!("{}/{}", member.node, member.incarnation)
}

pub(super) fn describe(effect: &Effect) -> String {
    match effect {
        Effect::ProposeIsr { proposal, leader_epoch, partition_epoch, isr, flushed } => {
            let isr: Vec<String> = isr.iter().map(shown).collect();
            let isr = isr.join(", ");
            let flushed: String = flushed.iter().map(|node| format!(", {node} flushed")).collect();
            format!(
                "propose {}: isr {isr} in epoch {leader_epoch}, compared with {partition_epoch}{flushed}",
                proposal.0
            )
        }
        Effect::AnswerSubscribe { follower, subscription, answer } => {
            let answer = match answer {
                SubscribeAnswer::Subscribed => "subscribed".into(),
                SubscribeAnswer::Diverged(found) => {
                    format!("diverged, epoch {} ends at {}", found.epoch, found.end)
                }
                SubscribeAnswer::OutOfRange { log_start } => {
                    format!("out of range, the log starts at {log_start}")
                }
                SubscribeAnswer::Refused(why) => format!("refused: {why}"),
            };
            format!("tell {} about {}: {answer}", shown(follower), subscription.0)
        }
        Effect::AcceptSubscription { follower, subscription, from } => {
            format!("accept {} under {} from {from}", shown(follower), subscription.0)
        }
        Effect::EndSubscription { follower, subscription } => {
            format!("end {} of {}", subscription.0, shown(follower))
        }
        Effect::Subscribe(Subscribe {
            leader,
            leader_epoch,
            subscription,
            log_end,
            flushed_end,
            last_epoch,
            ..
        }) => {
            let last = last_epoch.map_or("none".into(), |epoch| epoch.to_string());
            let number = subscription.0;
            let who = shown(leader);
            format!(
                "subscribe {number} at {who} in epoch {leader_epoch}: end {log_end} flushed {flushed_end} last epoch {last}"
            )
        }
        Effect::Unsubscribe { leader, subscription } => {
            format!("unsubscribe {} at {}", subscription.0, shown(leader))
        }
        Effect::WriteReplicated { skip, base_offset, end } => {
            format!("write the frame from {base_offset} to {end}, without {skip}")
        }
        Effect::Report { leader, report } => {
            let Report { subscription, log_end, flushed_end, .. } = report;
            format!("report {} to {}: end {log_end} flushed {flushed_end}", subscription.0, shown(leader))
        }
        Effect::Truncate { to } => format!("truncate to {to}"),
        Effect::StartOver { at } => format!("start over at {at}"),
        other => panic!("{other:?} is described elsewhere"),
    }
}
