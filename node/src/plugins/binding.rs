//! A plugin bound to a topic: its options, limits and policy, the instances that wait for use, and what it did.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use weir_core::pipeline::budget::Budget;
use weir_core::pipeline::failing::{Cause, Failure, Hook, OnFailure};
use weir_core::pipeline::throttle::{Throttle, WAITING_MAX};

use super::chain::Opening;
use super::contract::types;
use super::instance::{Broken, Instance, Wants};
use super::limits::Limits;
use super::loading::Loaded;
use super::stats::{Share, Snapshot, Stats};
use super::voice::{Lines, Speaker, Voice};
use crate::outside::{Clock, metered};

/// A plugin as an operator bound it.
#[derive(Clone, Debug)]
pub struct BindingConfig {
    /// The component.
    pub plugin: Arc<Loaded>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is to be configured with, in the operator's order.
    pub options: Vec<(String, String)>,
    /// What it may take.
    pub limits: Limits,
    /// What happens to records that it fails on.
    pub on_failure: OnFailure,
    /// Whether one instance serves many batches.
    pub reuse: bool,
}

/// Where a plugin is bound.
#[derive(Clone, Debug)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The number of its pipeline.
    pub revision: u32,
    /// How many partitions it has under that.
    pub partitions: u32,
    /// Its answers are compared and thrown away.
    pub is_shadow: bool,
}

impl Place {
    /// A revision of a topic's pipeline whose answers count.
    #[must_use]
    pub fn of(topic: &str, revision: u32, partitions: u32) -> Place {
        Place { topic: topic.to_owned(), revision, partitions, is_shadow: false }
    }
}

/// Of a reused instance's memory limit: once it has grown beyond this, the instance is put away before it hits the
/// limit in the middle of a batch.
const REUSED_MEMORY_SHARE: (usize, usize) = (3, 4);

pub(super) struct Binding {
    config: BindingConfig,
    place: Place,
    label: String,
    digest: String,
    hook: Hook,
    clock: Arc<dyn Clock>,
    speaker: Arc<Speaker>,
    wants: Wants,
    stats: Arc<Stats>,
    /// Configured instances that wait for the next batch.
    idle: Mutex<Vec<Leased>>,
    running: Semaphore,
    /// What instances may have together, in pages.
    memory: Semaphore,
    /// The time that calls may take.
    budget: Mutex<Budget>,
    throttle: Mutex<Throttle>,
    /// Held by the one call that runs while the plugin fails.
    probing: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

/// An instance that is counted for as long as it lives.
pub(super) struct Leased {
    instance: Instance,
    stats: Arc<Stats>,
    /// The memory that it had once it was configured.
    memory_at_first: usize,
}

/// The unit in which memory is shared out: a page of WebAssembly.
const PAGE_BYTES: usize = 64 * 1024;

impl Drop for Leased {
    fn drop(&mut self) {
        // Also of an instance that a failed call ends: nobody looks at it later.
        self.stats.memory(self.instance.memory_high());
        self.stats.instances(-1);
    }
}

/// The right to run a call now.
struct Turn<'a> {
    _running: Option<SemaphorePermit<'a>>,
    _memory: Option<SemaphorePermit<'a>>,
    _probing: Option<tokio::sync::MutexGuard<'a, ()>>,
    started_ns: u64,
}

impl Binding {
    /// Binds a plugin: configures a first instance, which also says what it wants.
    pub(super) async fn new(
        config: BindingConfig,
        place: &Place,
        hook: Hook,
        opening: Opening,
        clock: &Arc<dyn Clock>,
        lines: &Arc<Lines>,
    ) -> Result<Binding, Failure> {
        let label = format!("{}@{}", config.name, config.version);
        let refuse = |message: String| Failure {
            plugin: label.clone(),
            hook: Hook::Configure,
            cause: Cause::Refused,
            message,
            backtrace: None,
        };
        super::limits::check_options(&config.options).map_err(refuse)?;
        config.on_failure.check(hook).map_err(refuse)?;
        let stats = Stats::new(&config.name, &config.version, place);
        let mut binding = Binding {
            digest: config.plugin.digest().to_string(),
            hook,
            clock: Arc::clone(clock),
            speaker: Speaker::new(lines, &config.name, &config.version, &place.topic),
            wants: Wants::default(),
            stats: Arc::new(stats),
            idle: Mutex::default(),
            running: Semaphore::new(config.limits.calls as usize),
            memory: Semaphore::new(pages(config.limits.memory_share_bytes) as usize),
            budget: Mutex::new(Budget::of_permille(share_permille(config.limits.time_share_percent))),
            throttle: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            place: place.clone(),
            label: label.clone(),
            config,
        };
        match binding.start(Voice::default()).await {
            Ok((_, wants)) => binding.wants = wants,
            Err(broken) => {
                let failure = binding.failure(Hook::Configure, broken);
                if opening != Opening::Reopen {
                    return Err(failure);
                }
                tracing::warn!(topic = place.topic, %failure, "a plugin of an open revision fails");
            }
        }
        Ok(binding)
    }

    pub(super) fn config(&self) -> &BindingConfig {
        &self.config
    }

    /// Its name and version.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn wants(&self) -> Wants {
        self.wants
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(super) fn hook(&self) -> Hook {
        self.hook
    }

    /// The voice of calls about a partition, where that is known.
    pub(super) fn voice(&self, partition: Option<u32>) -> Voice {
        Voice::of(&self.speaker).about(partition)
    }

    /// What tells the time.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The moment, on the clock that only counts.
    pub(super) fn now_ns(&self) -> u64 {
        self.clock.now().monotonic_ns
    }

    pub(super) fn failure(&self, hook: Hook, broken: Broken) -> Failure {
        let Broken { cause, message, backtrace } = broken;
        Failure { plugin: self.label.clone(), hook, cause, message, backtrace }
    }

    /// The figures of this moment.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            plugin: self.config.name.clone(),
            version: self.config.version.clone(),
            digest: self.digest.clone(),
            topic: self.place.topic.clone(),
            revision: self.place.revision,
            ..self.stats.snapshot()
        }
    }

    /// Waits until a call may run.
    ///
    /// # Errors
    /// When too many wait for a plugin that fails, or that has had its share of time.
    async fn turn(&self) -> Result<Turn<'_>, Broken> {
        let is_failing = self.throttle().is_on();
        let _in_line = if is_failing || self.rest_ns() > 0 {
            let waiting = Waiting::of(&self.waiting);
            if waiting.before >= WAITING_MAX {
                let message = if is_failing {
                    "it fails, and too many calls wait for it to recover".to_owned()
                } else {
                    let share = self.config.limits.time_share_percent;
                    format!(
                        "it takes more time than the limit time.share.percent, {share}, allows, and too many calls wait"
                    )
                };
                return Err(Broken::new(Cause::Busy, message));
            }
            Some(waiting)
        } else {
            None
        };
        let probing = if is_failing { Some(self.waited(Share::Failing, self.probe()).await) } else { None };
        if self.rest_ns() > 0 {
            self.waited(Share::Time, self.pay_off()).await;
        }
        let pages = pages(usize::try_from(self.stats.memory_high()).unwrap_or(usize::MAX))
            .clamp(1, pages(self.config.limits.memory_share_bytes));
        // The semaphores are never closed.
        let memory = match self.memory.try_acquire_many(pages) {
            Ok(free) => Some(free),
            Err(_) => self.waited(Share::Memory, self.memory.acquire_many(pages)).await.ok(),
        };
        let running = self.running.acquire().await.ok();
        let started_ns = self.now_ns();
        Ok(Turn { _running: running, _memory: memory, _probing: probing, started_ns })
    }

    /// The right to be the one call of a plugin that fails, after its rest.
    async fn probe(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let probing = self.probing.lock().await;
        let rest = self.throttle().rest_ns(self.now_ns());
        if rest > 0 {
            tokio::time::sleep(Duration::from_nanos(rest)).await;
        }
        probing
    }

    /// Waits until what was used is paid off. Calls that run meanwhile may add to it.
    async fn pay_off(&self) {
        loop {
            let rest = self.rest_ns();
            if rest == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_nanos(rest)).await;
        }
    }

    /// How long the next call must wait, as the plugin has had its share of time.
    pub(super) fn rest_ns(&self) -> u64 {
        self.budget().rest_ns(self.now_ns())
    }

    /// Notes that a call that only observes held a thread for so long.
    pub(super) fn observed(&self, busy_ns: u64) {
        self.budget().used(self.now_ns(), busy_ns);
    }

    async fn waited<T>(&self, share: Share, waiting: impl Future<Output = T>) -> T {
        let from_ns = self.now_ns();
        let done = waiting.await;
        self.stats.waited(share, self.now_ns().saturating_sub(from_ns));
        done
    }

    /// Notes how a turn ended.
    fn ended(&self, turn: Turn<'_>, busy_ns: u64, failed: Option<&Broken>) {
        let now_ns = self.now_ns();
        let ran_ns = now_ns.saturating_sub(turn.started_ns);
        self.stats.called(ran_ns, busy_ns);
        if let Some(broken) = failed {
            self.stats.failed(broken.cause);
        }
        self.budget().used(now_ns, busy_ns);
        // What a plugin refuses costs no more than what it takes.
        let costs = failed.is_some_and(|broken| broken.cause != Cause::Refused);
        if costs || self.throttle().is_on() {
            self.throttle().ended(now_ns, ran_ns, costs);
        }
    }

    /// Runs a call when it is its turn, and notes how it ended.
    pub(super) async fn in_turn<T>(
        &self,
        call: impl Future<Output = Result<T, Broken>>,
    ) -> Result<T, Failure> {
        let turn = match self.turn().await {
            Ok(turn) => turn,
            Err(busy) => {
                self.stats.failed(busy.cause);
                return Err(self.failure(self.hook, busy));
            }
        };
        let (result, busy_ns) = metered(&*self.clock, call).await;
        self.ended(turn, busy_ns, result.as_ref().err());
        result.map_err(|broken| self.failure(self.hook, broken))
    }

    /// A configured instance: one that waits, or a new one.
    pub(super) async fn lease(&self, voice: Voice) -> Result<Leased, Broken> {
        if let Some(mut leased) = self.idle().pop() {
            leased.instance.speak_of(voice);
            return Ok(leased);
        }
        self.start(voice).await.map(|(leased, _)| leased)
    }

    /// Takes an instance back after a call that succeeded. Returns it if it is to be told that it ends.
    pub(super) fn release(&self, leased: Leased) -> Option<Leased> {
        let memory = leased.instance.memory_high();
        self.stats.memory(memory);
        let (share, of) = REUSED_MEMORY_SHARE;
        let limits = &self.config.limits;
        let mut idle = self.idle();
        let has_room = (memory <= leased.memory_at_first || memory < limits.memory_bytes / of * share)
            && (idle.len() + 1).saturating_mul(memory) <= limits.memory_share_bytes;
        if self.config.reuse && has_room && idle.len() < limits.calls as usize {
            idle.push(leased);
            return None;
        }
        self.wants.close.then_some(leased)
    }

    async fn start(&self, voice: Voice) -> Result<(Leased, Wants), Broken> {
        let instance = Instance::start(&self.config.plugin, self.config.limits, voice).await?;
        self.stats.instances(1);
        let mut leased = Leased { instance, stats: Arc::clone(&self.stats), memory_at_first: 0 };
        let options: Vec<_> =
            self.config.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let context = types::Context {
            topic: &self.place.topic,
            revision: u64::from(self.place.revision),
            partitions: self.place.partitions,
            options: &options,
            answer_bytes_max: self.config.limits.answer_bytes,
        };
        let wants = leased.instance.configure(context).await?;
        leased.memory_at_first = leased.instance.memory_high();
        self.stats.memory(leased.memory_at_first);
        Ok((leased, wants))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Leased>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leased {
    pub(super) fn instance(&mut self) -> &mut Instance {
        &mut self.instance
    }
}

fn pages(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PAGE_BYTES)).unwrap_or(u32::MAX)
}

/// A share of the node's cores, in thousandths of one core.
fn share_permille(percent_of_node: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(1).saturating_mul(percent_of_node).saturating_mul(10).max(1)
}

/// One who waits, counted.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl Waiting<'_> {
    fn of(count: &AtomicUsize) -> Waiting<'_> {
        Waiting { count, before: count.fetch_add(1, Ordering::SeqCst) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}
