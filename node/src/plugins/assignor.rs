//! Assignors: who reads what, on fuel, so that every node comes to the same answer.

use std::sync::Arc;

use weir_core::pipeline::assignment::{self, Member, Topic, TopicPartitions};
use weir_core::pipeline::failing::{Cause, Failure, Hook};

use super::binding::{Binding, BindingConfig, Place};
use super::chain::Opening;
use super::contract::hooks::assignor_hooks as guest;
use super::instance::Broken;
use super::stats::Snapshot;
use super::voice::Lines;
use crate::outside::Clock;

/// An assignor bound to a group.
pub struct Assignor {
    binding: Binding,
}

impl Assignor {
    /// Makes an assignor ready for a group: it takes its options.
    pub(super) async fn build(
        config: BindingConfig,
        group: &str,
        clock: &Arc<dyn Clock>,
        lines: &Arc<Lines>,
    ) -> Result<Assignor, Failure> {
        let place = Place::of(group, 0, 1);
        Ok(Assignor {
            binding: Binding::new(config, &place, Hook::Assign, Opening::Stage, clock, lines).await?,
        })
    }

    /// Asks who is to read what. What comes back gives each partition of a subscribed topic to exactly one member
    /// that subscribes to it.
    ///
    /// # Errors
    /// When the plugin failed or answered something else: the caller falls back to `range`, and says so.
    pub async fn assign(
        &self,
        members: &[Member],
        topics: &[Topic],
    ) -> Result<Vec<Vec<TopicPartitions>>, Failure> {
        self.binding.in_turn(self.ask(members, topics)).await
    }

    /// The figures of this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.binding.snapshot()
    }

    async fn ask(&self, members: &[Member], topics: &[Topic]) -> Result<Vec<Vec<TopicPartitions>>, Broken> {
        let racks: Vec<Vec<Vec<&str>>> = topics
            .iter()
            .map(|topic| topic.racks.iter().map(|racks| racks.iter().map(String::as_str).collect()).collect())
            .collect();
        let racks: Vec<Vec<&[&str]>> =
            racks.iter().map(|topic| topic.iter().map(Vec::as_slice).collect()).collect();
        let guest_topics: Vec<_> = topics
            .iter()
            .zip(&racks)
            .map(|(topic, racks)| guest::Topic { name: &topic.name, partitions: topic.partitions, racks })
            .collect();
        let owned: Vec<Vec<_>> = members
            .iter()
            .map(|member| {
                let owned = member.owned.iter();
                owned
                    .map(|owned| guest::TopicPartitionsParam {
                        topic: owned.topic,
                        partitions: &owned.partitions,
                    })
                    .collect()
            })
            .collect();
        let guest_members: Vec<_> = members
            .iter()
            .zip(&owned)
            .map(|(member, owned)| guest::Member {
                member_id: &member.member_id,
                instance_id: member.instance_id.as_deref(),
                rack: member.rack.as_deref(),
                topics: &member.topics,
                owned,
            })
            .collect();
        let places = topics.iter().map(|topic| topic.partitions as usize).sum::<usize>() + members.len();
        let mut leased = self.binding.lease(self.binding.voice(None)).await?;
        let answer = leased.instance().assign(&guest_members, &guest_topics, places).await?;
        let answer: Vec<Vec<_>> = answer
            .into_iter()
            .map(|shares| {
                let shares = shares.into_iter();
                shares
                    .map(|share| TopicPartitions { topic: share.topic, partitions: share.partitions })
                    .collect()
            })
            .collect();
        assignment::check(members, topics, &answer)
            .map_err(|bad| Broken::new(Cause::Answer, format!("the assignment is wrong: {bad}")))?;
        // An assignor is called too seldom for its end to be worth a queue.
        if let Some(mut ending) = self.binding.release(leased) {
            let _ = ending.instance().close().await;
        }
        Ok(answer)
    }
}
