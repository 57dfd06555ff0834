//! `weir plugins activate` and `rollback`: another pipeline in force.

use weir_client::{ActivatePipeline, Client, NodeId, Revision, RollBackPipeline};

use crate::cli::output::{Done, Exit, Output};

#[derive(Debug, clap::Args)]
pub(super) struct ActivateArgs {
    /// The topic
    topic: String,
    /// The staged revision [default: the one that is staged]
    #[arg(long, value_name = "REVISION")]
    revision: Option<u32>,
    /// Refuse if another revision is in force
    #[arg(long, value_name = "REVISION")]
    expected: Option<u32>,
    /// A node that need not be ready; it takes no records for the topic until it is; may be repeated
    #[arg(long, value_name = "NODE")]
    without: Vec<u32>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RollbackArgs {
    /// The topic
    topic: String,
    /// Refuse if another revision is in force
    #[arg(long, value_name = "REVISION")]
    expected: Option<u32>,
}

pub(super) async fn activate(args: ActivateArgs, client: &Client, output: Output) -> Done {
    let request = ActivatePipeline {
        topic: args.topic.clone(),
        revision: args.revision.map(Revision),
        expected: args.expected.map(Revision),
        without: args.without.into_iter().map(NodeId).collect(),
    };
    let activated = client.activate_pipeline(&request).await?;
    let (topic, revision, previous) = (args.topic, activated.revision.0, activated.previous.0);
    output.line(&format!("revision {revision} of {topic} is in force, over {previous}"))?;
    output.result(&serde_json::json!({ "topic": topic, "revision": revision, "previous": previous }))?;
    Ok(Exit::Success)
}

pub(super) async fn roll_back(args: RollbackArgs, client: &Client, output: Output) -> Done {
    let request = RollBackPipeline { topic: args.topic.clone(), expected: args.expected.map(Revision) };
    let rolled_back = client.roll_back_pipeline(&request).await?;
    let (topic, revision, to) = (args.topic, rolled_back.revision.0, rolled_back.to.0);
    output.line(&format!("revision {revision} of {topic} is in force, with the plugins of revision {to}"))?;
    output.result(&serde_json::json!({ "topic": topic, "revision": revision, "to": to }))?;
    Ok(Exit::Success)
}
