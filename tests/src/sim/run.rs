//! One run: faults first, then everything is mended and must heal, then everything is looked at.

use std::fmt;
use std::time::Duration;

use weir_node::check;
use weir_wire::group_log;

use super::group_book::GroupBook;
use super::group_log::GroupLog;
use super::invariants::{self, Invariant};
use super::journal::{Journal, VIOLATIONS_MAX};
use super::logs;
use super::nemesis::Nemesis;
use super::plan::Plan;
use super::snapshot::{Observer, Snapshot};
use super::swaps::Ledger;
use super::trace::{Digest, Trace};
use super::workload::{self, TOPIC};
use super::world::World;

/// How long after the end of the faults everything sent must have its answer, in addition to what a producer waits
/// anyway.
pub const HEAL_MAX: Duration = Duration::from_secs(60);
/// How long writing to and reading a healed cluster may take.
pub const AUDIT_MAX: Duration = Duration::from_secs(60);
/// How long a cluster may take to form.
const FORM_MAX: Duration = Duration::from_secs(30);
/// How often logs are read, in steps of the world.
const STEPS_PER_READ: u64 = 20;

/// What a run that kept all promises did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the checker counted.
    pub report: check::Report,
    /// How often a node was killed, lost power or was stopped.
    pub deaths: u32,
    /// Commits of the group that were answered.
    pub commits: u64,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// Stands for everything that happened.
    pub digest: Digest,
}

/// What a run that did not keep its promises did.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The broken promises, one sentence each.
    pub violations: Vec<String>,
    /// When the run ended, in virtual time.
    pub at: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {:.6} s:", self.at.as_secs_f64())?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}

/// Carries out a plan.
///
/// # Errors
/// The promises that were broken.
pub fn run(plan: &Plan, trace: &Trace) -> Result<Summary, Box<Failure>> {
    logs::collect(trace, || Run::new(plan, trace).finish())
}

struct Run<'a> {
    plan: &'a Plan,
    trace: &'a Trace,
    world: World,
    journal: Journal,
    ledger: Ledger,
    nemesis: Nemesis,
    book: GroupBook,
    /// What is looked at, while it goes on: the topic, and if there is a group, the log of its coordinators.
    watches: Vec<Watch>,
    group_log: GroupLog,
    steps: u64,
}

/// One topic, and what must hold of it.
struct Watch {
    observer: Observer,
    invariants: Vec<Box<dyn Invariant>>,
}

impl Watch {
    fn over(topic: &'static str) -> Watch {
        Watch { observer: Observer::of(topic), invariants: invariants::all() }
    }

    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        let broken = self.invariants.iter_mut().try_for_each(|invariant| invariant.check(seen));
        broken.map_err(|broken| format!("{}: {broken}", seen.topic))
    }
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, trace: &'a Trace) -> Run<'a> {
        let (journal, ledger) = (Journal::default(), Ledger::default());
        let mut world =
            World::new(plan.seed, plan.nodes, plan.latency.clone(), plan.lie, plan.without, trace.clone());
        for node in world.node_ids() {
            world.machine(node).pace().set(plan.disk_takes.clone());
        }
        let book = GroupBook::default();
        workload::add(&mut world, plan.seed, &plan.workload, (&journal, &ledger, &book), trace);
        let nemesis = Nemesis::new(plan, Duration::ZERO);
        let topics = [Some(TOPIC), plan.workload.group.as_ref().map(|_| group_log::TOPIC)];
        let watches = topics.into_iter().flatten().map(Watch::over).collect();
        let (group_log, steps) = (GroupLog::default(), 0);
        Run { plan, trace, world, journal, ledger, nemesis, book, watches, group_log, steps }
    }

    fn finish(mut self) -> Result<Summary, Box<Failure>> {
        let broken = self.phases().err();
        for replica in Observer::of(TOPIC).look(&self.world, false).replicas {
            self.journal.begins_at(replica.id.partition, replica.log_start);
        }
        self.journal.moved(self.watches[0].observer.newest_revision());
        let (report, mut violations) = self.journal.judge();
        violations.extend(self.book.judge(self.journal.audit().as_ref()));
        violations.splice(0..0, broken);
        violations.truncate(VIOLATIONS_MAX);
        let (took, deaths) = (self.world.now(), self.nemesis.deaths);
        if violations.is_empty() {
            let commits = self.book.commits();
            Ok(Summary { report, deaths, commits, took, digest: self.trace.digest() })
        } else {
            Err(Box::new(Failure { violations, at: took }))
        }
    }

    fn phases(&mut self) -> Result<(), String> {
        self.form()?;
        let begun = self.world.now();
        self.nemesis = Nemesis::new(self.plan, begun);
        while self.world.now() < begun + self.plan.faults_until {
            self.nemesis.act(&mut self.world);
            self.step()?;
        }
        self.nemesis.mend(&mut self.world);
        self.journal.end_of_faults();
        self.group_settles()?;
        let processes = self.plan.workload.processes();
        self.until(self.plan.workload.delivery_timeout + HEAL_MAX, |run| {
            match run.journal.producers_finished() {
                finished if finished == processes => Ok(()),
                finished => {
                    let open = run.journal.open_records();
                    Err(format!(
                        "{finished} of {processes} processes came to their end, {open} records have no answer"
                    ))
                }
            }
        })?;
        let Plan { seed, workload, .. } = self.plan;
        self.until(HEAL_MAX, |run| run.world.what_ails().map_or(Ok(()), Err))?;
        self.until(HEAL_MAX, |run| run.ledger.is_in_force(&run.world))?;
        workload::add_auditor(&mut self.world, *seed, workload, &self.journal, self.trace);
        self.until(AUDIT_MAX, |run| {
            run.journal
                .audit()
                .map(|_| ())
                .ok_or_else(|| "not everything could be written to and read".to_owned())
        })?;
        let ends = self.journal.audit().unwrap_or_default().ends;
        let readers = usize::try_from(workload.readers).expect("a few readers");
        self.until(AUDIT_MAX, |run| run.journal.readers_are_at(readers, &ends))?;
        self.group_has_done_everything()?;
        for index in 0..self.watches.len() {
            self.until(AUDIT_MAX, |run| run.replicas_agree(run.watches[index].observer.topic()))?;
        }
        for watch in &mut self.watches {
            watch.observer.start_over();
            let seen = watch.observer.look(&self.world, true);
            watch.observer.has_read_all(&seen)?;
            watch.check(&seen)?;
        }
        Ok(())
    }

    /// Once nothing fails any more every partition soon has its member, and each member what it was given.
    fn group_settles(&mut self) -> Result<(), String> {
        if self.plan.workload.group.is_none() {
            return Ok(());
        }
        self.until(HEAL_MAX, |run| run.is_group_settled())
    }

    /// In the end the group has processed and committed everything, and is settled: a process that started again late
    /// may have joined meanwhile, or the session of an earlier one of its name may have to end first.
    fn group_has_done_everything(&mut self) -> Result<(), String> {
        let Some(audit) = self.journal.audit().filter(|_| self.plan.workload.group.is_some()) else {
            return Ok(());
        };
        self.until(AUDIT_MAX, |run| run.book.has_processed(&audit))?;
        self.until(AUDIT_MAX, |run| run.group_log.has_committed(&audit.ends))?;
        self.until(HEAL_MAX, |run| run.is_group_settled())
    }

    fn is_group_settled(&self) -> Result<(), String> {
        let image = self.world.newest_image();
        let topic = image.as_ref().and_then(|image| image.topics.get(TOPIC));
        let topic = topic.ok_or("there is no topic")?;
        self.group_log.is_settled(topic.id, topic.partitions.len(), &self.book.held())
    }

    /// Several nodes become a cluster before anything fails; how one forms under faults is tested elsewhere.
    fn form(&mut self) -> Result<(), String> {
        if self.plan.nodes == 1 {
            return Ok(());
        }
        let voters = self.plan.nodes.min(3);
        self.until(FORM_MAX, |run| match run.world.voters() {
            formed if formed >= voters => Ok(()),
            formed => Err(format!("{formed} of {voters} nodes vote")),
        })
    }

    /// Moves the world, and looks at it.
    fn step(&mut self) -> Result<(), String> {
        self.world.step()?;
        self.steps += 1;
        let reads = self.steps.is_multiple_of(STEPS_PER_READ);
        for watch in &mut self.watches {
            let is_of_groups = watch.observer.topic() == group_log::TOPIC;
            // What is said of the group stands in the log; that of the replicas of that log is looked at now and then.
            if is_of_groups && !reads {
                continue;
            }
            let seen = watch.observer.look(&self.world, reads);
            watch.check(&seen)?;
            if is_of_groups {
                self.group_log.follow(&seen)?;
            }
        }
        Ok(())
    }

    /// Whether all replicas of each partition are equally long and know that all of it is committed. That their bytes
    /// are the same is for the invariants to see.
    fn replicas_agree(&self, topic: &'static str) -> Result<(), String> {
        let seen = Observer::of(topic).look(&self.world, false);
        for (partition, state) in seen.partitions() {
            let replicas: Vec<_> = seen.replicas_of(partition).collect();
            if replicas.len() != state.replicas.len() {
                return Err(format!(
                    "{} of {} replicas of {partition} are there",
                    replicas.len(),
                    state.replicas.len()
                ));
            }
            let end = replicas.iter().map(|replica| replica.log_end).max().unwrap_or_default();
            if let Some(behind) =
                replicas.iter().find(|replica| replica.log_end < end || replica.high_watermark < end)
            {
                return Err(format!(
                    "{} ends at {} and knows that {} is committed; another one ends at {end}",
                    behind.id, behind.log_end, behind.high_watermark
                ));
            }
        }
        Ok(())
    }

    /// Lets the mended world go on until a condition holds.
    fn until(
        &mut self,
        limit: Duration,
        condition: impl Fn(&Run<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = self.world.now() + limit;
        loop {
            let Err(missing) = condition(self) else { return Ok(()) };
            if self.world.now() >= deadline {
                return Err(format!("{} s after everything was mended: {missing}", limit.as_secs()));
            }
            self.nemesis.tend(&mut self.world);
            self.step()?;
        }
    }
}
