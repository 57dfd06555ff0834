//! Joining, staying, leaving, and being given up.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::group_log::{GroupRecord, MemberValue, TargetValue};
use weir_wire::ids::MemberEpoch;
use weir_wire::names;
use weir_wire::request::{GroupHeartbeat, JoinGroup, LeaveGroup, TopicPartitions};

use super::error::GroupError;
use super::group::{Desk, Group, LiveMember, Parked};
use super::messages::{Asker, Effect, Reply, Report, RequestId, TopicPartition};
use super::rules::Rule;
use super::state::Holding;
use super::subscription;

/// Checks what can be seen without the group.
pub(crate) fn check_join(join: &JoinGroup) -> Result<(), GroupError> {
    names::check_group_name(&join.group)?;
    names::check_member_id(&join.member)?;
    join.instance.as_deref().map_or(Ok(()), names::check_instance_id)?;
    if join.rebalance_timeout_ms > JoinGroup::REBALANCE_TIMEOUT_MS_MAX {
        return Err(GroupError::RebalanceTimeout(join.rebalance_timeout_ms));
    }
    subscription::check(&join.subscription)
}

impl Group {
    pub(crate) fn join(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        join: JoinGroup,
    ) -> Result<Reply, GroupError> {
        let id = join.member.clone();
        let value = MemberValue {
            instance: join.instance,
            subscription: join.subscription,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            client: asker.client.clone(),
            host: asker.host.clone(),
            joined: MemberEpoch(0),
            away: false,
        };
        if let Some(known) = self.stored.members.get(&id) {
            if self.live[&id].expelled {
                return Err(GroupError::Expelled);
            }
            if known.value.instance != value.instance {
                return Err(GroupError::InstanceChanged);
            }
            if known.value.away {
                self.succeed(desk, &id.clone(), &id, value);
            } else {
                let joined = known.value.joined;
                self.change_member(desk, &id, MemberValue { joined, ..value });
            }
        } else if let Some((holder, is_away)) = self.instance_of(value.instance.as_deref()) {
            if !is_away {
                return Err(GroupError::InstanceInUse(value.instance.unwrap_or_default()));
            }
            self.succeed(desk, &holder, &id, value);
        } else if self.stored.members.len() >= desk.config.members_max {
            return Err(GroupError::GroupFull(desk.config.members_max));
        } else {
            self.admit(desk, &id, value);
        }
        self.renew(desk, &id);
        Ok(Reply::Membership(self.membership(desk, &self.stored.members[&id], None)))
    }

    /// The member with an instance id, and whether it is away.
    fn instance_of(&self, instance: Option<&str>) -> Option<(String, bool)> {
        let instance = instance?;
        let mut members = self.stored.members.iter();
        let found = members.find(|(_, member)| member.value.instance.as_deref() == Some(instance));
        found.map(|(id, member)| (id.clone(), member.value.away))
    }

    fn admit(&mut self, desk: &mut Desk<'_>, id: &str, value: MemberValue) {
        let joined = MemberEpoch(self.next_count());
        self.put_member(desk, id, MemberValue { joined, ..value });
        self.put_holding(desk, id, Holding { epoch: joined, ..Holding::default() });
        self.live.insert(id.to_owned(), LiveMember::default());
        self.resolve(id, desk.topics);
        self.want_target(desk);
    }

    /// A member with an instance id is back: it takes over what is kept for it, as a new life, perhaps under a new
    /// member id. Nothing moves.
    fn succeed(&mut self, desk: &mut Desk<'_>, old: &str, id: &str, value: MemberValue) {
        let Some(before) = self.stored.members.get(old).cloned() else { return };
        let same = before.value.subscription == value.subscription;
        self.forget(desk, old);
        let joined = MemberEpoch(self.next_count());
        self.put_member(desk, id, MemberValue { joined, ..value });
        let partitions = TopicPartitions::gather(before.target.iter().copied());
        let record = GroupRecord::Target(self.name.clone(), id.to_owned(), Some(TargetValue { partitions }));
        self.put(desk, record);
        self.targets.extend(before.target.iter().map(|partition| (*partition, id.to_owned())));
        let assigned = before.holding.assigned.keys().map(|partition| (*partition, joined)).collect();
        self.owners.extend(before.holding.assigned.keys().map(|partition| (*partition, id.to_owned())));
        self.put_holding(desk, id, Holding { epoch: joined, assigned, ..Holding::default() });
        self.live.insert(id.to_owned(), LiveMember::default());
        self.resolve(id, desk.topics);
        // An assignor that was asked knows the old id.
        if !same || self.wanted.is_some() {
            self.want_target(desk);
        }
    }

    /// Stores who a member is and what it wants, and asks for a new target if that is something else.
    fn change_member(&mut self, desk: &mut Desk<'_>, id: &str, value: MemberValue) {
        let known = &self.stored.members[id].value;
        if *known == value {
            return;
        }
        let wants_more = known.subscription != value.subscription;
        self.put_member(desk, id, value);
        if wants_more {
            self.resolve(id, desk.topics);
            self.want_target(desk);
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        desk: &mut Desk<'_>,
        request: RequestId,
        heartbeat: GroupHeartbeat,
    ) -> Result<Option<Reply>, GroupError> {
        let id = heartbeat.member.as_str();
        self.check_membership(id, heartbeat.confirmed)?;
        self.check_membership(id, heartbeat.heard)?;
        if self.live[id].expelled {
            return Err(GroupError::Expelled);
        }
        if let Some(subscription) = &heartbeat.subscription {
            subscription::check(subscription)?;
        }
        // The heartbeat before this one is superseded.
        self.unpark(desk, id);
        self.renew(desk, id);
        self.confirm(desk, id, heartbeat.confirmed);
        if let Some(subscription) = heartbeat.subscription {
            let value = self.stored.members[id].value.clone();
            self.change_member(desk, id, MemberValue { subscription, ..value });
        }
        let member = &self.stored.members[id];
        let wait_ms = heartbeat.wait_ms_max.min(desk.config.heartbeat_interval_ms);
        if member.holding.epoch != heartbeat.heard || wait_ms == 0 {
            return Ok(Some(Reply::Membership(self.membership(desk, member, Some(heartbeat.heard)))));
        }
        let until_ns = desk.in_ms(wait_ms);
        if let Some(live) = self.live.get_mut(id) {
            live.parked = Some(Parked { request, heard: heartbeat.heard, until_ns });
        }
        self.set_timer(desk, id);
        Ok(None)
    }

    /// Whether an epoch is one that this membership had.
    pub(crate) fn check_membership(&self, id: &str, named: MemberEpoch) -> Result<(), GroupError> {
        let unknown = || GroupError::UnknownMember(id.to_owned());
        let member = self.stored.members.get(id).filter(|member| !member.value.away).ok_or_else(unknown)?;
        let (joined, current) = (member.value.joined, member.holding.epoch);
        if named < joined || named > current {
            return Err(GroupError::FencedEpoch { named, joined, current });
        }
        Ok(())
    }

    /// The member has let go of everything that it was told to let go of up to `confirmed`.
    fn confirm(&mut self, desk: &mut Desk<'_>, id: &str, confirmed: MemberEpoch) {
        let Some(member) = self.stored.members.get(id) else { return };
        let named = desk.rules.hold(Rule::ConfirmationNamesItsEpoch);
        let is_freed = |told: MemberEpoch| told <= confirmed || !named;
        let revoking = member.holding.revoking.iter();
        let freed: Vec<TopicPartition> = revoking
            .filter(|(_, revoking)| is_freed(revoking.told))
            .map(|(partition, _)| *partition)
            .collect();
        if freed.is_empty() {
            return;
        }
        let mut holding = member.holding.clone();
        holding.revoking.retain(|_, revoking| !is_freed(revoking.told));
        if let Some(live) = self.live.get_mut(id) {
            live.let_go_by_ns = None;
        }
        self.put_holding(desk, id, holding);
        self.free(desk, id, &freed);
    }

    pub(crate) fn leave(&mut self, desk: &mut Desk<'_>, leave: &LeaveGroup) -> Result<Reply, GroupError> {
        let id = leave.member.as_str();
        self.check_membership(id, leave.member_epoch)?;
        let member = &self.stored.members[id];
        let returns = leave.returns && member.value.instance.is_some() && !self.live[id].expelled;
        if !returns {
            self.remove(desk, id);
            return Ok(Reply::Left);
        }
        let freed: Vec<TopicPartition> = member.holding.revoking.keys().copied().collect();
        let holding = Holding { revoking: BTreeMap::new(), ..member.holding.clone() };
        let value = MemberValue { away: true, ..member.value.clone() };
        self.put_member(desk, id, value);
        self.put_holding(desk, id, holding);
        self.renew(desk, id);
        if let Some(live) = self.live.get_mut(id) {
            live.let_go_by_ns = None;
        }
        self.unpark(desk, id);
        self.free(desk, id, &freed);
        Ok(Reply::Left)
    }

    /// A timer of the member that was set for `at_ns` fired.
    pub(crate) fn member_is_due(&mut self, desk: &mut Desk<'_>, id: &str, at_ns: u64) {
        let now_ns = desk.now.monotonic_ns;
        let Some(live) = self.live.get_mut(id).filter(|live| live.timer_ns == Some(at_ns)) else { return };
        live.timer_ns = None;
        let ended = live.session_ends_ns <= now_ns;
        let waited = live.parked.is_some_and(|parked| parked.until_ns <= now_ns);
        let late = !ended && !live.expelled && live.let_go_by_ns.is_some_and(|by_ns| by_ns <= now_ns);
        let gathered = live.gather_by_ns.is_some_and(|by_ns| by_ns <= now_ns);
        if gathered {
            self.reconcile(desk, &BTreeSet::from([id.to_owned()]));
        }
        if waited {
            self.unpark(desk, id);
        }
        if late {
            self.expel(desk, id);
        }
        if ended {
            let (group, member) = (self.name.clone(), id.to_owned());
            desk.effects.push(Effect::Report(Report::SessionEnded { group, member }));
            self.remove(desk, id);
        }
        self.set_timer(desk, id);
    }

    /// From now on the member is not heard, so that it stops by itself when its session is over, and only then do its
    /// partitions go to others.
    fn expel(&mut self, desk: &mut Desk<'_>, id: &str) {
        let Some(live) = self.live.get_mut(id) else { return };
        live.expelled = true;
        if let Some(parked) = live.parked.take() {
            desk.answer(parked.request, Err(GroupError::Expelled));
        }
        let (group, member) = (self.name.clone(), id.to_owned());
        desk.effects.push(Effect::Report(Report::MemberExpelled { group, member }));
    }

    /// The member is gone; what it held goes to others with the next target.
    fn remove(&mut self, desk: &mut Desk<'_>, id: &str) {
        self.forget(desk, id);
        self.want_target(desk);
    }

    fn forget(&mut self, desk: &mut Desk<'_>, id: &str) {
        self.owners.retain(|_, owner| owner != id);
        self.targets.retain(|_, owner| owner != id);
        let name = || (self.name.clone(), id.to_owned());
        let records = [
            GroupRecord::Current(name().0, name().1, None),
            GroupRecord::Target(name().0, name().1, None),
            GroupRecord::Member(name().0, name().1, None),
        ];
        for record in records {
            self.put(desk, record);
        }
        self.unpark(desk, id);
        self.live.remove(id);
    }

    /// A session begins anew.
    pub(crate) fn renew(&mut self, desk: &mut Desk<'_>, id: &str) {
        let ends_ns = desk.in_ms(desk.config.session_timeout_ms);
        if let Some(live) = self.live.get_mut(id) {
            live.session_ends_ns = ends_ns;
        }
        self.set_timer(desk, id);
    }

    fn put_member(&mut self, desk: &mut Desk<'_>, id: &str, value: MemberValue) {
        let record = GroupRecord::Member(self.name.clone(), id.to_owned(), Some(value));
        self.put(desk, record);
    }

    pub(crate) fn put_holding(&mut self, desk: &mut Desk<'_>, id: &str, holding: Holding) {
        let record = GroupRecord::Current(self.name.clone(), id.to_owned(), Some(holding.to_value()));
        self.put(desk, record);
    }
}
