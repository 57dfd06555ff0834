//! Between the contract's generated bindings and the traits. Compiled for WebAssembly only.

use std::cell::RefCell;

use crate::hooks::{Assignor, ConsumerInterceptor, Partitioner, ProducerInterceptor, Want};
use crate::{edits, log, outcomes, records};

/// What `wit-bindgen` makes of the contract, a module per world. For [`export!`](crate::export) only.
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod bindings {
    /// Generates one more world that shares the types of the first.
    macro_rules! world {
        ($module:ident, $world:literal, $path:literal $(, $flat:literal)?) => {
            pub mod $module {
                wit_bindgen::generate!({
                    path: "wit",
                    world: $world,
                    pub_export_macro: true,
                    default_bindings_module: $path,
                    with: {
                        "weir:plugin/types@1.0.0": super::producer::weir::plugin::types,
                        $($flat: super::producer::weir::plugin::flat,)?
                        "weir:plugin/log@1.0.0": super::producer::weir::plugin::log,
                        "weir:plugin/metrics@1.0.0": super::producer::weir::plugin::metrics,
                    },
                });
            }
        };
    }

    pub mod producer {
        wit_bindgen::generate!({
            path: "wit",
            world: "weir:plugin/producer-interceptor-flat",
            pub_export_macro: true,
            default_bindings_module: "weir_plugin::guest::bindings::producer",
        });
    }

    world!(
        consumer,
        "weir:plugin/consumer-interceptor-flat",
        "weir_plugin::guest::bindings::consumer",
        "weir:plugin/flat@1.0.0"
    );
    world!(partitioner, "weir:plugin/partitioner-flat", "weir_plugin::guest::bindings::partitioner");
    world!(assignor, "weir:plugin/assignor", "weir_plugin::guest::bindings::assignor");
}

pub use bindings::assignor::exports::weir::plugin::assignor_hooks as contract_assignor;
pub use bindings::producer::weir::plugin::{flat, types};

// Names for `export!`, which expands where `Result` and all other names may mean something else.
pub type List<T> = Vec<T>;
pub type Text = String;
pub type Wants = std::result::Result<Vec<String>, String>;
pub type Answer = std::result::Result<flat::FlatAnswer, String>;
pub type Partitions = std::result::Result<Vec<u32>, String>;
pub type Shares = std::result::Result<Vec<Vec<contract_assignor::TopicPartitions>>, String>;

/// The one instance of a plugin in a component instance; `None` until it is configured.
pub type Slot<P> = RefCell<Option<P>>;

/// Panics are traps, which say nothing: so say it first.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
}

fn install<P>(slot: &Slot<P>, made: crate::Result<P>, wants: fn(&P) -> &'static [Want]) -> Wants {
    let plugin = made.map_err(|error| error.to_string())?;
    let names = wants(&plugin).iter().map(|want| want.name().to_owned()).collect();
    *slot.borrow_mut() = Some(plugin);
    Ok(names)
}

fn with<P, T>(slot: &Slot<P>, call: impl FnOnce(&mut P) -> T) -> T {
    call(slot.borrow_mut().as_mut().expect("the node configures an instance before it calls a hook"))
}

pub fn configure_producer<P: ProducerInterceptor>(slot: &Slot<P>, context: types::Context) -> Wants {
    report_panics();
    install(slot, P::configure(&context.into()), P::wants)
}

pub fn on_send<P: ProducerInterceptor>(slot: &Slot<P>, batch: &types::ProducedBatch, bytes: &[u8]) -> Answer {
    let mut edits = edits::Edits::of(bytes);
    let batch = records::Batch::new(batch.into(), bytes);
    with(slot, |plugin| plugin.on_send(&batch, &mut edits)).map_err(|error| error.to_string())?;
    Ok(edits.into_answer().into())
}

pub fn on_acknowledgement<P: ProducerInterceptor>(
    slot: &Slot<P>,
    batch: &types::ProducedBatch,
    outcomes: Vec<types::Outcome>,
    runs: &[types::OutcomeRun],
) {
    let outcomes = outcomes::Outcomes {
        outcomes: outcomes.into_iter().map(Into::into).collect(),
        runs: runs.iter().map(|run| (run.records, run.outcome)).collect(),
    };
    with(slot, |plugin| plugin.on_acknowledgement(&batch.into(), &outcomes));
}

pub fn close_producer<P: ProducerInterceptor>(slot: &Slot<P>) {
    with(slot, P::close);
}

pub fn configure_consumer<P: ConsumerInterceptor>(slot: &Slot<P>, context: types::Context) -> Wants {
    report_panics();
    install(slot, P::configure(&context.into()), P::wants)
}

pub fn on_consume<P: ConsumerInterceptor>(
    slot: &Slot<P>,
    batch: &types::FetchedBatch,
    bytes: &[u8],
) -> Answer {
    let mut edits = edits::Edits::of(bytes);
    let batch = records::Batch::new(batch.into(), bytes);
    with(slot, |plugin| plugin.on_consume(&batch, &mut edits)).map_err(|error| error.to_string())?;
    Ok(edits.into_answer().into())
}

pub fn on_commit<P: ConsumerInterceptor>(slot: &Slot<P>, group: &str, positions: &[types::Position]) {
    let position = |of: &types::Position| outcomes::Position { partition: of.partition, offset: of.offset };
    let positions: Vec<_> = positions.iter().map(position).collect();
    with(slot, |plugin| plugin.on_commit(group, &positions));
}

pub fn close_consumer<P: ConsumerInterceptor>(slot: &Slot<P>) {
    with(slot, P::close);
}

pub fn configure_partitioner<P: Partitioner>(slot: &Slot<P>, context: types::Context) -> Wants {
    report_panics();
    install(slot, P::configure(&context.into()), P::wants)
}

pub fn partition<P: Partitioner>(
    slot: &Slot<P>,
    batch: &types::ProducedBatch,
    keys: &[u8],
    lengths: &[i32],
) -> Partitions {
    let keys = records::Keys::new(keys, lengths);
    with(slot, |plugin| plugin.partition(&batch.into(), keys)).map_err(|error| error.to_string())
}

pub fn close_partitioner<P: Partitioner>(slot: &Slot<P>) {
    with(slot, P::close);
}

pub fn configure_assignor<P: Assignor>(slot: &Slot<P>, options: types::Options) -> Wants {
    report_panics();
    install(slot, P::configure(&options.into()), P::wants)
}

pub fn assign<P: Assignor>(
    slot: &Slot<P>,
    members: Vec<contract_assignor::Member>,
    topics: Vec<contract_assignor::Topic>,
) -> Shares {
    let members: Vec<_> = members.into_iter().map(Into::into).collect();
    let topics: Vec<_> = topics.into_iter().map(Into::into).collect();
    let assignment =
        with(slot, |plugin| plugin.assign(&members, &topics)).map_err(|error| error.to_string())?;
    let members = assignment.into_members().into_iter();
    Ok(members.map(|of_member| of_member.into_iter().map(Into::into).collect()).collect())
}

pub fn close_assignor<P: Assignor>(slot: &Slot<P>) {
    with(slot, P::close);
}

pub(crate) fn write_log(level: log::Level, message: &str) {
    use bindings::producer::weir::plugin::log as contract;
    let level = match level {
        log::Level::Error => contract::Level::Error,
        log::Level::Warn => contract::Level::Warn,
        log::Level::Info => contract::Level::Info,
        log::Level::Debug => contract::Level::Debug,
    };
    contract::write(level, message);
}

pub(crate) fn count(name: &str, amount: u64) {
    bindings::producer::weir::plugin::metrics::count(name, amount);
}

pub(crate) fn observe(name: &str, value: f64) {
    bindings::producer::weir::plugin::metrics::observe(name, value);
}

impl From<types::Context> for crate::Context {
    fn from(context: types::Context) -> crate::Context {
        crate::Context {
            topic: context.topic,
            revision: context.revision,
            partitions: context.partitions,
            options: context.options.into(),
            answer_bytes_max: context.answer_bytes_max,
        }
    }
}

impl From<&types::ProducedBatch> for records::Produced {
    fn from(batch: &types::ProducedBatch) -> records::Produced {
        records::Produced {
            producer_id: batch.producer_id,
            ordinal: batch.ordinal,
            guess: batch.guess,
            count: batch.count,
            base_timestamp_ms: batch.base_timestamp,
        }
    }
}

impl From<&types::FetchedBatch> for records::Fetched {
    fn from(batch: &types::FetchedBatch) -> records::Fetched {
        records::Fetched {
            partition: batch.partition,
            base_offset: batch.base_offset,
            count: batch.count,
            base_timestamp_ms: batch.base_timestamp,
            append_timestamp_ms: batch.append_timestamp,
        }
    }
}

impl From<types::Outcome> for outcomes::Outcome {
    fn from(outcome: types::Outcome) -> outcomes::Outcome {
        match outcome {
            types::Outcome::Stored(types::Stored { partition, base_offset, duplicate }) => {
                outcomes::Outcome::Stored { partition, base_offset, duplicate }
            }
            types::Outcome::Dropped => outcomes::Outcome::Dropped,
            types::Outcome::Rejected(types::Rejection { code, reason }) => {
                outcomes::Outcome::Rejected(edits::Rejection { code, reason })
            }
            types::Outcome::Failed(why) => outcomes::Outcome::Failed(why),
            types::Outcome::Unknown(why) => outcomes::Outcome::Unknown(why),
        }
    }
}

impl From<edits::Answer> for flat::FlatAnswer {
    fn from(answer: edits::Answer) -> flat::FlatAnswer {
        flat::FlatAnswer {
            edits: answer.edits.into_iter().map(Into::into).collect(),
            bytes: answer.bytes,
            rejections: answer
                .rejections
                .into_iter()
                .map(|rejection| types::Rejection { code: rejection.code, reason: rejection.reason })
                .collect(),
            append_headers: answer.append_headers.into_iter().map(appended_header).collect(),
        }
    }
}

fn appended_header((name, value): (String, edits::HeaderValue)) -> types::AppendedHeader {
    let value = match (value.fact(), value) {
        (Some(fact), _) => types::HeaderValue::Fact(fact.to_owned()),
        (None, edits::HeaderValue::Bytes(bytes)) => types::HeaderValue::Bytes(bytes),
        (None, _) => panic!("what is no fact is bytes"),
    };
    types::AppendedHeader { name, value }
}

impl From<edits::Edit> for flat::Edit {
    fn from(edit: edits::Edit) -> flat::Edit {
        use edits::Action;
        let (action, argument) = match edit.action {
            Action::Drop => (flat::EditAction::Drop, 0),
            Action::Reject(at) => (flat::EditAction::Reject, at),
            Action::SetValue(length) => (flat::EditAction::SetValue, length),
            Action::SetValueNull => (flat::EditAction::SetValueNull, 0),
            Action::Replace(length) => (flat::EditAction::Replace, length),
        };
        flat::Edit { index: edit.index, action, argument }
    }
}

impl From<contract_assignor::Topic> for crate::Topic {
    fn from(topic: contract_assignor::Topic) -> crate::Topic {
        crate::Topic { name: topic.name, partitions: topic.partitions, racks: topic.racks }
    }
}

impl From<contract_assignor::Member> for crate::Member {
    fn from(member: contract_assignor::Member) -> crate::Member {
        let owned = member.owned.into_iter();
        crate::Member {
            member_id: member.member_id,
            instance_id: member.instance_id,
            rack: member.rack,
            topics: member.topics,
            owned: owned
                .map(|of| crate::TopicPartitions { topic: of.topic, partitions: of.partitions })
                .collect(),
        }
    }
}

impl From<crate::TopicPartitions> for contract_assignor::TopicPartitions {
    fn from(of: crate::TopicPartitions) -> contract_assignor::TopicPartitions {
        contract_assignor::TopicPartitions { topic: of.topic, partitions: of.partitions }
    }
}
