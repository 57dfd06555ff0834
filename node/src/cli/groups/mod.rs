//! `weir groups`: see how far groups have come and who reads what, move them, choose their assignors, delete them.

mod reset;
mod show;

use clap::Subcommand;

use self::show::{Described, Explained, Listed};
use super::global::Global;
use super::output::{Done, Exit, Failure, Output, columns};
use super::signals::Interrupts;
use weir_client::{Client, PartitionIndex, TopicPartitions};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: GroupsCommand,
}

#[derive(Debug, Subcommand)]
enum GroupsCommand {
    /// List all groups
    List,
    /// Show a group's members, what each reads, and how far it has come
    Describe {
        /// The group
        group: String,
    },
    /// Show what an assignor would move, and how even that would be; nothing is changed
    Explain {
        /// The group
        group: String,
        /// The assignor to try [default: the one in force]
        #[arg(long, value_name = "A")]
        assignor: Option<String>,
    },
    /// Move a group without members to other offsets
    ResetOffsets(reset::Args),
    /// Choose who assigns a group's partitions, while its members go on
    SetAssignor {
        /// The group
        group: String,
        /// range, roundrobin, or NAME@VERSION of one that was pushed; without a name, the cluster's default
        assignor: Option<String>,
    },
    /// Forget what a group has committed of a topic that no member reads
    DeleteOffsets {
        /// The group
        group: String,
        /// The topic
        #[arg(long, value_name = "T")]
        topic: String,
        /// Only this partition
        #[arg(long, value_name = "N")]
        partition: Option<u32>,
    },
    /// Delete a group without members, with everything that it committed
    Delete {
        /// The group
        group: String,
    },
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        done = carry_out(args.command, global, output) => done,
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

async fn carry_out(command: GroupsCommand, global: &Global, output: Output) -> Done {
    let client = global.connect(output).await?;
    match command {
        GroupsCommand::List => list(&client, output).await?,
        GroupsCommand::Describe { group } => {
            Described::of(client.describe_group(&group).await?).show(output)?;
        }
        GroupsCommand::Explain { group, assignor } => {
            // The topics' names: an explanation goes by their ids.
            let described = client.describe_group(&group).await?;
            let explained = client.explain_group(&group, assignor.as_deref()).await?;
            Explained::of(group, explained, &described).show(output)?;
        }
        GroupsCommand::ResetOffsets(args) => reset::run(args, &client, output).await?,
        GroupsCommand::SetAssignor { group, assignor } => {
            set_assignor(&client, &group, assignor.as_deref(), output).await?;
        }
        GroupsCommand::DeleteOffsets { group, topic, partition } => {
            delete_offsets(&client, &group, &topic, partition.map(PartitionIndex), output).await?;
        }
        GroupsCommand::Delete { group } => {
            client.delete_group(&group).await?;
            output.line(&format!("deleted group {group}"))?;
            output.result(&serde_json::json!({ "group": group, "deleted": true }))?;
        }
    }
    client.close().await;
    Ok(Exit::Success)
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let groups: Vec<Listed> = client.list_groups().await?.into_iter().map(Listed::of).collect();
    if groups.is_empty() {
        output.note("no groups yet; begin one with: weir consume TOPIC --group NAME");
    } else {
        let head = ["GROUP", "STATE", "MEMBERS", "ASSIGNOR"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(groups.iter().map(Listed::row)).collect();
        for line in columns(&rows) {
            output.line(&line)?;
        }
    }
    output.result(&serde_json::json!({ "groups": groups }))
}

async fn set_assignor(
    client: &Client,
    group: &str,
    assignor: Option<&str>,
    output: Output,
) -> Result<(), Failure> {
    let set = client.set_group_assignor(group, assignor).await?;
    let (assignor, epoch) = (set.assignor, set.epoch.0);
    output.line(&format!("group {group} is assigned by {assignor} from epoch {epoch} on"))?;
    output.result(&serde_json::json!({ "group": group, "assignor": assignor, "epoch": epoch }))
}

async fn delete_offsets(
    client: &Client,
    group: &str,
    topic: &str,
    partition: Option<PartitionIndex>,
    output: Output,
) -> Result<(), Failure> {
    let known = client.topic(topic).await?;
    let all = known.partitions.iter().map(|partition| partition.index);
    let partitions: Vec<_> = all.filter(|index| partition.is_none_or(|only| only == *index)).collect();
    let deleted = client.delete_offsets(group, vec![TopicPartitions { topic: known.id, partitions }]).await?;
    let count = deleted.count;
    output.line(&format!("{group} has forgotten {count} offsets of {topic}"))?;
    output.result(&serde_json::json!({ "group": group, "topic": topic, "deleted": count }))
}
