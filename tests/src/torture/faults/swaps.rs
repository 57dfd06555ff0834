//! An operator who swaps the interceptor and the partitioner of the topic, and goes back now and then.

use weir_client::{
    ActivatePipeline, Client, ClientError, NewPlugin, PipelineChange, RollBackPipeline, StagePipeline,
};

use super::refused;
use crate::sim::dice::Dice;
use crate::sim::swaps::binding;
use crate::torture::plan::Kind;
use crate::torture::round::Field;
use crate::torture::workload::TOPIC;

/// Interceptors that keep every record, each with its options; some of them are pushed first.
const INTERCEPTORS: [(&str, &[(&str, &str)]); 4] = [
    ("stamp", &[("headers", "revision")]),
    ("stamp", &[("headers", "entry-node")]),
    ("flat", &[]),
    ("typed", &[]),
];
/// What is pushed.
const PUSHED: [(&str, &[u8]); 2] = [("flat", weir_guests::PASS_FLAT), ("typed", weir_guests::PASS_TYPED)];
/// Partitioners; the last is the client's own rule.
const PARTITIONERS: [Option<&str>; 3] = [Some("murmur2"), Some("hash"), None];

/// Makes the plugins known that do not ship.
pub(in crate::torture) async fn push(client: &Client) -> Result<(), ClientError> {
    for (name, file) in PUSHED {
        let (name, version, file) = (name.to_owned(), "1".to_owned(), file.to_vec());
        client.push_plugin(NewPlugin { name, version, wasi: false, reuse: false, file }).await?;
    }
    Ok(())
}

/// Stages other plugins and activates them, or rolls back.
pub(super) async fn swap(field: &Field, dice: &mut Dice) {
    let is_rollback = dice.chance(0.25);
    // Whatever is answered, it may have happened, and then keys may go elsewhere.
    field.may_move();
    let swapped = if is_rollback { roll_back(field).await } else { stage_and_activate(field, dice).await };
    match swapped {
        Ok(what) => field.journal.fault(Kind::Swap, format_args!("{what}")),
        Err(error) => refused(field, Kind::Swap, &error),
    }
}

/// Swaps once more, now that nothing fails, which must go well.
pub(in crate::torture) async fn last_swap(field: &Field) -> Result<String, ClientError> {
    field.may_move();
    stage_and_activate(field, &mut Dice::new(field.plan.seed, "last swap")).await
}

async fn stage_and_activate(field: &Field, dice: &mut Dice) -> Result<String, ClientError> {
    let (plugin, options) = *dice.pick(&INTERCEPTORS);
    let partitioner = *dice.pick(&PARTITIONERS);
    let change = PipelineChange {
        producer_interceptors: Some(vec![binding(plugin, options)]),
        partitioner: Some(partitioner.map(|name| binding(name, &[])).into_iter().collect()),
        consumer_interceptors: None,
    };
    let stage = StagePipeline { topic: Some(TOPIC.to_owned()), expected: None, change };
    let staged = field.client.stage_pipeline(&stage).await?;
    let activate = ActivatePipeline {
        topic: TOPIC.to_owned(),
        revision: staged.revision,
        expected: staged.in_force,
        without: Vec::new(),
    };
    let activated = field.client.activate_pipeline(&activate).await?;
    Ok(format!("{plugin} and {partitioner:?}: {activated:?}"))
}

async fn roll_back(field: &Field) -> Result<String, ClientError> {
    let request = RollBackPipeline { topic: TOPIC.to_owned(), expected: None };
    Ok(format!("{:?}", field.client.roll_back_pipeline(&request).await?))
}
