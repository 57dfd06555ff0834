//! `weir cluster`: how the cluster is, its nodes, its quorum, electing leaders, and moving replicas.

mod configs;
mod membership;
mod plan;
mod reassign;
mod shift;

use clap::Subcommand;
use serde::Serialize;
use weir_client::{
    Client, ClusterDescription, ElectLeaders, ElectionKind, NodeDescription, NodeStanding, PartitionFigures,
    PartitionIndex, QuorumView,
};

use super::global::Global;
use super::output::{Done, Exit, Failure, Output, columns};
use super::signals::Interrupts;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Everything at a glance; exit code 1 when something needs a person
    Status,
    /// The nodes, and what each is good for
    Nodes,
    /// Who votes on the metadata, and how far each is
    Quorum,
    /// Give partitions their preferred leaders back
    ElectLeaders {
        /// The topic [default: all topics]
        topic: Option<String>,
        /// One partition of the topic [default: all of them]
        #[arg(long, value_name = "N", requires = "topic")]
        partition: Option<u32>,
        /// Give partitions without a leader any live replica: ACKNOWLEDGED RECORDS MAY BE LOST
        #[arg(long, requires = "topic")]
        unclean: bool,
    },
    /// What nodes go by while they run: show it, or set it for all nodes or one
    Configs(configs::Args),
    /// Give partitions other replicas; show what is under way, take it back
    Reassign(reassign::Args),
    /// Move all replicas of a node to others; it gets no new ones
    Drain(shift::DrainArgs),
    /// Say how to start one more node; let a node have replicas again, move a fair share to it
    AddNode(shift::AddArgs),
    /// Take a node out for good that has stopped and has no replicas
    RemoveNode {
        /// The node
        node: u32,
    },
    /// Have another node vote on the metadata in the place of one, which may be gone
    ReplaceVoter {
        /// The node that votes no more
        node: u32,
        /// The node that votes in its place [default: any live one that does not yet]
        #[arg(long, value_name = "NODE")]
        with: Option<u32>,
    },
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        done = carry_out(args.command, global, output) => done,
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

async fn carry_out(command: ClusterCommand, global: &Global, output: Output) -> Done {
    let client = global.connect(output).await?;
    let exit = match command {
        ClusterCommand::Status => status(&client, output).await?,
        ClusterCommand::Nodes => nodes(&client, output).await?,
        ClusterCommand::Quorum => quorum(&client, output).await?,
        ClusterCommand::ElectLeaders { topic, partition, unclean } => {
            let kind = if unclean { ElectionKind::Unclean } else { ElectionKind::Preferred };
            let partition = partition.map(PartitionIndex);
            elect(&client, &ElectLeaders { topic, partition, kind }, output).await?
        }
        ClusterCommand::Configs(args) => configs::run(&client, args, output).await?,
        ClusterCommand::Reassign(args) => reassign::run(&client, args, output).await?,
        ClusterCommand::Drain(args) => shift::drain(&client, args, output).await?,
        ClusterCommand::AddNode(args) => shift::add(&client, args, output).await?,
        ClusterCommand::RemoveNode { node } => membership::remove(&client, node, output).await?,
        ClusterCommand::ReplaceVoter { node, with } => {
            membership::replace_voter(&client, node, with, output).await?
        }
    };
    client.close().await;
    Ok(exit)
}

async fn status(client: &Client, output: Output) -> Done {
    let cluster = client.describe_cluster().await?;
    let shown = Status::of(&cluster);
    output.line(&format!("cluster {}  answered by node {}", shown.cluster, shown.answered_by))?;
    show_quorum(&cluster.quorum, output)?;
    show_nodes(&cluster.nodes, output)?;
    let PartitionFigures { total, leaderless, under_replicated, under_min_isr, not_preferred } =
        cluster.partitions;
    output.line(&format!(
        "{total} partitions: {leaderless} without a leader, {under_replicated} under-replicated, \
         {under_min_isr} below min.insync.replicas, {not_preferred} not led by the preferred replica"
    ))?;
    output.result(&shown)?;
    Ok(if shown.healthy { Exit::Success } else { Exit::Failed })
}

async fn nodes(client: &Client, output: Output) -> Done {
    let cluster = client.describe_cluster().await?;
    show_nodes(&cluster.nodes, output)?;
    output.result(&serde_json::json!({ "nodes": Status::of(&cluster).nodes }))?;
    Ok(Exit::Success)
}

async fn quorum(client: &Client, output: Output) -> Done {
    let cluster = client.describe_cluster().await?;
    show_quorum(&cluster.quorum, output)?;
    let members = &cluster.quorum.members;
    let mut rows = vec![["node", "role", "matched", "lag"].map(str::to_owned)];
    rows.extend(members.iter().map(|member| {
        let role = if member.is_voter { "voter" } else { "learner" };
        let lag = lag(&cluster.quorum, member.matched_index);
        [member.node.to_string(), role.to_owned(), or_dash(member.matched_index), or_dash(lag)]
    }));
    for line in columns(&rows) {
        output.line(&format!("  {line}"))?;
    }
    output.result(&Quorum::of(&cluster.quorum))?;
    Ok(if cluster.quorum.controller.is_some() { Exit::Success } else { Exit::Failed })
}

async fn elect(client: &Client, request: &ElectLeaders, output: Output) -> Done {
    let elected = client.elect_leaders(request).await?;
    let mut failed = 0_u32;
    let mut shown = Vec::new();
    for election in &elected.elections {
        let (topic, partition) = (&election.topic, election.partition);
        match &election.outcome {
            Ok((leader, epoch)) => {
                output.line(&format!("{topic}-{partition}: node {leader} leads in epoch {epoch}"))?;
                shown.push(serde_json::json!({
                    "topic": topic, "partition": partition.0, "leader": leader.0, "leader_epoch": epoch.0,
                }));
            }
            Err(error) => {
                failed += 1;
                output.line(&format!("{topic}-{partition}: {error}"))?;
                shown.push(serde_json::json!({
                    "topic": topic, "partition": partition.0, "error": error.message,
                }));
            }
        }
    }
    if elected.elections.is_empty() {
        output.line("nothing to elect: every partition asked for is led as it should be")?;
    }
    output.result(&serde_json::json!({ "elections": shown }))?;
    Ok(if failed == 0 { Exit::Success } else { Exit::Failed })
}

fn show_quorum(quorum: &QuorumView, output: Output) -> Result<(), Failure> {
    let controller = match quorum.controller {
        Some(node) => format!("node {node} is the active controller"),
        None => {
            "NO ACTIVE CONTROLLER: a majority of the voters is not there; start enough of them".to_owned()
        }
    };
    let voters = quorum.members.iter().filter(|member| member.is_voter).count();
    let learners = quorum.members.len() - voters;
    let committed = or_dash(quorum.committed_index);
    output.line(&format!(
        "{controller}  term {}  committed {committed}  {voters} voters, {learners} learners",
        quorum.term
    ))
}

fn show_nodes(nodes: &[NodeDescription], output: Output) -> Result<(), Failure> {
    let head = ["node", "address", "rack", "standing", "incarnation", "leads", "replicas"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(nodes.iter().map(|node| {
        [
            node.node.to_string(),
            node.address.clone(),
            node.rack.clone().unwrap_or_else(|| "-".to_owned()),
            standing(node.standing).to_owned(),
            node.incarnation.to_string(),
            node.leads.to_string(),
            node.replicas.to_string(),
        ]
    }));
    for line in columns(&rows) {
        output.line(&format!("  {line}"))?;
    }
    Ok(())
}

fn standing(standing: NodeStanding) -> &'static str {
    match standing {
        NodeStanding::Live => "live",
        NodeStanding::Stopping => "stopping",
        NodeStanding::Fenced => "fenced",
    }
}

fn or_dash(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn lag(quorum: &QuorumView, matched: Option<u64>) -> Option<u64> {
    Some(quorum.last_index?.saturating_sub(matched?))
}

/// What `status` says to scripts.
#[derive(Debug, Serialize)]
struct Status {
    cluster: String,
    answered_by: u32,
    healthy: bool,
    quorum: Quorum,
    nodes: Vec<Node>,
    partitions: Figures,
}

#[derive(Debug, Serialize)]
struct Quorum {
    controller: Option<u32>,
    term: u64,
    last_index: Option<u64>,
    committed_index: Option<u64>,
    /// Whether the active controller said so, or only the node that answered.
    from_controller: bool,
    members: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Member {
    node: u32,
    voter: bool,
    matched_index: Option<u64>,
    lag: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Node {
    node: u32,
    address: String,
    rack: Option<String>,
    standing: &'static str,
    incarnation: u64,
    leads: u32,
    replicas: u32,
}

#[derive(Debug, Serialize)]
struct Figures {
    total: u32,
    leaderless: u32,
    under_replicated: u32,
    under_min_isr: u32,
    not_preferred: u32,
}

impl Status {
    fn of(cluster: &ClusterDescription) -> Status {
        let figures = &cluster.partitions;
        let healthy = cluster.quorum.controller.is_some()
            && figures.leaderless == 0
            && figures.under_replicated == 0
            && cluster.nodes.iter().all(|node| node.standing != NodeStanding::Fenced);
        Status {
            cluster: cluster.cluster.to_string(),
            answered_by: cluster.answered_by.0,
            healthy,
            quorum: Quorum::of(&cluster.quorum),
            nodes: cluster.nodes.iter().map(Node::of).collect(),
            partitions: Figures {
                total: figures.total,
                leaderless: figures.leaderless,
                under_replicated: figures.under_replicated,
                under_min_isr: figures.under_min_isr,
                not_preferred: figures.not_preferred,
            },
        }
    }
}

impl Quorum {
    fn of(quorum: &QuorumView) -> Quorum {
        Quorum {
            controller: quorum.controller.map(|node| node.0),
            term: quorum.term,
            last_index: quorum.last_index,
            committed_index: quorum.committed_index,
            from_controller: quorum.is_from_controller,
            members: quorum
                .members
                .iter()
                .map(|member| Member {
                    node: member.node.0,
                    voter: member.is_voter,
                    matched_index: member.matched_index,
                    lag: lag(quorum, member.matched_index),
                })
                .collect(),
        }
    }
}

impl Node {
    fn of(node: &NodeDescription) -> Node {
        Node {
            node: node.node.0,
            address: node.address.clone(),
            rack: node.rack.clone(),
            standing: standing(node.standing),
            incarnation: node.incarnation.0,
            leads: node.leads,
            replicas: node.replicas,
        }
    }
}
