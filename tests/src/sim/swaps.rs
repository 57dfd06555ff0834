//! Operators who swap the pipeline of the one topic while clients write: stage, activate, roll back, through the client.
//!
//! What they demand: of all that would supersede a revision one does, an activation that names another revision than the
//! one in force does nothing, and once nothing fails any more a swap succeeds and is in force on every node.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_client::{
    ActivatePipeline, Client, ClientConfig, ClientError, DeliveryResult, ErrorCode, NewPlugin,
    PipelineChange, PluginBinding, RollBackPipeline, StagePipeline,
};
use weir_core::metadata::PipelineSpec;
use weir_guests::Guest;
use weir_wire::ids::Revision;

use super::dice::Dice;
use super::journal::Journal;
use super::workload::{Common, TOPIC};
use super::world::World;

/// Who the first operator is, among the producers.
const FIRST_NUMBER: u32 = u32::MAX - 100;
/// Of how many clusters the operators swap pipelines.
const SHARE: f64 = 0.3;
/// How likely a swap is a rollback.
const ROLLBACK: f64 = 0.2;
/// How likely a guest is in a chain, where operators have some.
const GUEST: f64 = 0.7;
/// How likely an operator activates what it staged over a revision that is not in force.
const MISTAKE: f64 = 0.1;
/// The version of every component that operators push.
const VERSION: &str = "1";

/// What operators do.
#[derive(Clone, Debug)]
pub struct Swaps {
    /// How many they are; they do not know of each other.
    pub operators: u32,
    /// How long each of them waits between two swaps.
    pub pause: RangeInclusive<Duration>,
    /// What they bind besides what ships.
    pub guests: Guests,
}

impl Swaps {
    /// None, or some.
    pub(super) fn any(dice: &mut Dice) -> Option<Swaps> {
        if !dice.chance(SHARE) {
            return None;
        }
        let longest =
            *dice.pick(&[Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(4)]);
        Some(Swaps {
            operators: if dice.chance(0.3) { 2 } else { 1 },
            pause: Duration::ZERO..=longest,
            guests: *dice.pick(&[Guests::None, Guests::None, Guests::Passing]),
        })
    }
}

impl Swaps {
    /// Whether what is bound may reject records.
    #[must_use]
    pub fn rejects(&self) -> bool {
        self.guests == Guests::Misbehaving
    }

    /// What is to be made of a record's result: one that a guest failed on is not stored.
    pub(super) fn judged(&self, result: &DeliveryResult) -> DeliveryResult {
        match result {
            DeliveryResult::Rejected(error) if self.rejects() && error.code == ErrorCode::PluginFailed => {
                DeliveryResult::Failed(error.clone())
            }
            other => other.clone(),
        }
    }
}

/// Components that are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// None.
    None,
    /// Such as keep everything as it is.
    Passing,
    /// Such as survive their trial and then trap, do not come back, or take memory up to their limit.
    Misbehaving,
}

/// What a guest may take that grows.
const MEMORY_BYTES: u64 = 64 * 1024 * 1024;
/// How long a guest may run that does not come back, in fuel for so many milliseconds.
const CALL_TIME_MS: u64 = 2;
/// The same for one that grows, which takes its time to come to its limit.
const GROWING_TIME_MS: u64 = 1000;
/// Guests that misbehave once they are activated.
const MISBEHAVE_LATER: [&str; 3] =
    ["traps_after_its_trial", "loops_after_its_trial", "grows_after_its_trial"];
/// Guests that do so in their trial, so that nobody can activate them.
const MISBEHAVE_AT_ONCE: [&str; 3] = ["traps_in_on_send", "loops", "traps_in_configure"];
/// The name of the component that all of them share.
const HOSTILE: &str = "hostile";

impl Guests {
    /// Names and bytes.
    fn files(self) -> Vec<(&'static str, Vec<u8>)> {
        match self {
            Guests::None => Vec::new(),
            Guests::Passing => {
                vec![("flat", weir_guests::PASS_FLAT.to_vec()), ("typed", weir_guests::PASS_TYPED.to_vec())]
            }
            Guests::Misbehaving => vec![(HOSTILE, Guest::named(MISBEHAVE_LATER[0]).component())],
        }
    }

    /// One of them; those that misbehave in turn, so that each has its round.
    fn any_binding(self, dice: &mut Dice, round: usize) -> Option<PluginBinding> {
        match self {
            Guests::None => None,
            Guests::Passing => {
                let name = *dice.pick(&["flat", "typed"]);
                Some(binding(name, &[]))
            }
            Guests::Misbehaving => {
                let names = if dice.chance(0.8) { MISBEHAVE_LATER } else { MISBEHAVE_AT_ONCE };
                let name = names[round % names.len()];
                let mode = Guest::named(name).mode;
                let time = if name.starts_with("grows") { GROWING_TIME_MS } else { CALL_TIME_MS };
                let limits = [("memory.bytes", MEMORY_BYTES), ("call.time.ms", time)];
                Some(PluginBinding {
                    limits: limits.map(|(name, value)| (name.to_owned(), value.to_string())).to_vec(),
                    on_failure: dice.pick(&[None, None, Some("pass")]).map(str::to_owned),
                    ..binding(HOSTILE, &[("mode", mode)])
                })
            }
        }
    }
}

/// What was told to operators, all of them. Clones write into the same one.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<Revision, Revision>>>);

impl Ledger {
    /// Notes that an operator was told that a revision superseded another one.
    fn superseded(&self, journal: &Journal, previous: Revision, next: Revision) {
        let known = *self.successors().entry(previous).or_insert(next);
        if known != next {
            journal
                .violated(format_args!("revision {previous} was superseded by {known}, and again by {next}"));
        }
    }

    /// The newest revision that an operator was told is in force.
    #[must_use]
    pub fn newest(&self) -> Option<Revision> {
        self.successors().values().max().copied()
    }

    /// Whether the newest revision that anybody was told of is in force on all nodes, and ready to take batches.
    ///
    /// # Errors
    /// Where it is not.
    pub fn is_in_force(&self, world: &World) -> Result<(), String> {
        let Some(newest) = self.newest() else { return Ok(()) };
        for node in world.node_ids() {
            let machine = world.machine(node);
            let (Some(controller), Some((_, pipelines))) = (machine.controller(), machine.pipelines()) else {
                return Err(format!("node {node} does not serve"));
            };
            let image = controller.image();
            let Some(topic) = image.topics.get(TOPIC) else {
                return Err(format!("node {node} knows of no topic"));
            };
            if topic.revision != newest {
                return Err(format!("on node {node} revision {} is in force, not {newest}", topic.revision));
            }
            if !pipelines.is_ready(topic.id, newest) {
                return Err(format!("node {node} is not ready for revision {newest}"));
            }
        }
        Ok(())
    }

    fn successors(&self) -> MutexGuard<'_, BTreeMap<Revision, Revision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The headers that the stamps of a pipeline put on each record, in order, without their values.
#[must_use]
pub fn stamps_of(spec: &PipelineSpec) -> Vec<String> {
    let stamps = spec.producer_interceptors.iter().filter(|binding| binding.plugin == STAMP);
    stamps
        .flat_map(|binding| {
            let option = |name: &str| {
                let found = binding.options.iter().find(|(option, _)| option == name);
                found.map_or("", |(_, value)| value.as_str())
            };
            option("headers").split(',').map(move |header| format!("{}{header}", option("prefix")))
        })
        .collect()
}

/// Writes the revision, and sometimes the entry node, into the headers of each record.
const STAMP: &str = "stamp";

/// What a stamp writes the revision under, behind its prefix.
pub const REVISION: &str = "revision";
/// What a stamp writes the entry node under, behind its prefix.
pub const ENTRY_NODE: &str = "entry-node";

/// How an operator's host is called.
pub(super) fn operator_name(operator: u32) -> String {
    format!("operator-{operator}")
}

/// One operator: swaps until the faults are over, and then once more, which must go well.
pub(super) async fn operate(
    common: &Common,
    config: ClientConfig,
    (operator, swaps): (u32, &Swaps),
    ledger: &Ledger,
) {
    let client = common.connect(config).await;
    common.create_topic(&client).await;
    for (name, file) in swaps.guests.files() {
        push(common, &client, name, &file).await;
    }
    for round in 0.. {
        let is_last = common.journal.faults_are_over();
        let is_rollback = !is_last && common.dice.borrow_mut().chance(ROLLBACK);
        let swapped = if is_rollback {
            roll_back(common, &client, ledger).await
        } else {
            swap(common, &client, swaps, ledger, (round, is_last)).await
        };
        match swapped {
            Ok(()) if is_last => break,
            Ok(()) => {}
            Err(error) => refused(common, &error).await,
        }
        let pause = common.dice.borrow_mut().time(swaps.pause.clone());
        tokio::time::sleep(pause).await;
    }
    common.journal.finished(FIRST_NUMBER + operator);
}

async fn push(common: &Common, client: &Client, name: &str, file: &[u8]) {
    loop {
        let (name, version, file) = (name.to_owned(), VERSION.to_owned(), file.to_vec());
        match client.push_plugin(NewPlugin { name, version, wasi: false, reuse: false, file }).await {
            Ok(pushed) => return common.note(format_args!("pushed {pushed:?}")),
            Err(error) => refused(common, &error).await,
        }
    }
}

/// Stages another pipeline and activates it.
async fn swap(
    common: &Common,
    client: &Client,
    swaps: &Swaps,
    ledger: &Ledger,
    (round, is_last): (usize, bool),
) -> Result<(), ClientError> {
    let (change, is_mistake) = {
        let dice = &mut *common.dice.borrow_mut();
        let guests = if is_last && swaps.rejects() { Guests::None } else { swaps.guests };
        (any_change(dice, guests, round), !is_last && dice.chance(MISTAKE))
    };
    let stage = StagePipeline { topic: Some(TOPIC.to_owned()), expected: None, change };
    let staged = client.stage_pipeline(&stage).await?;
    let (Some(revision), Some(in_force)) = (staged.revision, staged.in_force) else {
        common.journal.violated(format_args!("a topic's pipeline was staged without a revision: {staged:?}"));
        return Ok(());
    };
    if MISBEHAVE_AT_ONCE.iter().any(|name| binds(&stage.change, Guest::named(name).mode)) {
        common.journal.violated(format_args!("what does not survive a trial was staged: {:?}", stage.change));
    }
    common.note(format_args!("staged {revision} over {in_force}: {:?}", stage.change));
    let expected = if is_mistake { Revision(in_force.0 - 1) } else { in_force };
    let topic = TOPIC.to_owned();
    let activate =
        ActivatePipeline { topic, revision: Some(revision), expected: Some(expected), without: Vec::new() };
    let activated = client.activate_pipeline(&activate).await?;
    if is_mistake {
        let found = format_args!("{activated:?} though revision {in_force} was in force, not {expected}");
        common.journal.violated(found);
        return Ok(());
    }
    common.note(format_args!("activated {revision} over {in_force}"));
    ledger.superseded(&common.journal, in_force, activated.revision);
    Ok(())
}

/// Goes back to what was in force before.
async fn roll_back(common: &Common, client: &Client, ledger: &Ledger) -> Result<(), ClientError> {
    let described = client.describe_pipelines(Some(TOPIC)).await?;
    let Some(in_force) = described.topics.first().map(|topic| topic.revision) else { return Ok(()) };
    let request = RollBackPipeline { topic: TOPIC.to_owned(), expected: Some(in_force) };
    let rolled_back = client.roll_back_pipeline(&request).await?;
    common.note(format_args!("rolled {in_force} back: {rolled_back:?}"));
    ledger.superseded(&common.journal, in_force, rolled_back.revision);
    Ok(())
}

/// Notes what an operator is told honestly: another one was first, a node is not ready, or nothing was in force before.
async fn refused(common: &Common, error: &ClientError) {
    let honest = [
        ErrorCode::PipelineChanged,
        ErrorCode::PipelineNotReady,
        ErrorCode::InvalidPlugin,
        ErrorCode::InvalidRequest,
    ];
    match error {
        ClientError::Node(node) if honest.contains(&node.code) => {
            common.note(format_args!("not swapped: {error}"));
        }
        _ => common.failed("swapping", error).await,
    }
}

/// Some stamps, perhaps a guest among them, and a partitioner or none.
fn any_change(dice: &mut Dice, guests: Guests, round: usize) -> PipelineChange {
    let mut chain: Vec<_> = (0..dice.within(1..=3)).map(|at| stamp(dice, at)).collect();
    if dice.chance(GUEST)
        && let Some(guest) = guests.any_binding(dice, round)
    {
        let last = u64::try_from(chain.len()).expect("short chains");
        let at = usize::try_from(dice.within(0..=last)).expect("short chains");
        chain.insert(at, guest);
    }
    let partitioner = dice.pick(&[None, Some("hash"), Some("murmur2")]).map(|name| binding(name, &[]));
    PipelineChange {
        producer_interceptors: Some(chain),
        partitioner: Some(partitioner.into_iter().collect()),
        consumer_interceptors: None,
    }
}

/// Whether a guest is bound in this mode.
fn binds(change: &PipelineChange, mode: &str) -> bool {
    let chain = change.producer_interceptors.iter().flatten().filter(|binding| binding.plugin == HOSTILE);
    chain.flat_map(|binding| &binding.options).any(|(_, value)| value == mode)
}

fn stamp(dice: &mut Dice, at: u64) -> PluginBinding {
    let headers = *dice.pick(&[REVISION, "revision,entry-node"]);
    binding(STAMP, &[("headers", headers), ("prefix", &format!("{at}-"))])
}

/// A plugin with options, and everything else as it is by itself.
pub(crate) fn binding(plugin: &str, options: &[(&str, &str)]) -> PluginBinding {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    PluginBinding {
        plugin: plugin.to_owned(),
        version: None,
        options: options.iter().map(own).collect(),
        limits: Vec::new(),
        on_failure: None,
    }
}
