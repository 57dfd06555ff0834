//! `weir groups reset-offsets`: says where a group goes on, while nobody reads.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_client::{Client, CommittedOffset, Offset, OffsetSpec, PartitionIndex, PartitionOffset, TopicEntry};

use super::super::consume::{Since, time};
use super::super::files;
use super::super::output::{Failure, Output, columns};

/// The most bytes of a file of offsets that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The group; it begins to exist if it does not
    group: String,
    /// Only this topic [default: every topic that it has committed offsets of]
    #[arg(long, value_name = "T")]
    topic: Option<String>,
    /// Only this partition
    #[arg(long, value_name = "N", requires = "topic")]
    partition: Option<u32>,
    #[command(flatten)]
    to: To,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Where to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct To {
    /// The first record stored
    #[arg(long)]
    to_earliest: bool,
    /// The end
    #[arg(long)]
    to_latest: bool,
    /// This offset, or the nearest that is stored
    #[arg(long, value_name = "N")]
    to_offset: Option<u64>,
    /// The first record at or after a time: 2018-02-01T12:00:00Z, milliseconds since 1970, or how long ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<Since>,
    /// So many records forward or, below 0, back; not beyond what is stored
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// What a file says: lines of topic,partition,offset
    #[arg(long, value_name = "FILE")]
    from_file: Option<std::path::PathBuf>,
}

/// One partition that moves.
#[derive(Debug, Serialize)]
struct Moved {
    topic: String,
    partition: u32,
    before: Option<u64>,
    offset: Option<u64>,
    error: Option<String>,
}

/// The partitions of a topic, each with the offset it goes to, if there is one.
type Chosen = BTreeMap<(String, PartitionIndex), Option<Offset>>;

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Result<(), Failure> {
    let chosen = choose(&args, client).await?;
    if chosen.is_empty() {
        let group = &args.group;
        return Err(Failure::new(format!("group '{group}' has committed nothing; name a --topic")));
    }
    let (mut asked, mut offsets) = (Vec::new(), Vec::new());
    let mut topics: BTreeMap<String, TopicEntry> = BTreeMap::new();
    for ((topic, partition), offset) in chosen {
        let Some(offset) = offset else { continue };
        if !topics.contains_key(&topic) {
            topics.insert(topic.clone(), client.topic(&topic).await?);
        }
        let committed = CommittedOffset { offset, leader_epoch: None, metadata: String::new() };
        offsets.push(PartitionOffset { topic: topics[&topic].id, partition, committed });
        asked.push((topic, partition, offset));
    }
    let reset = client.reset_offsets(&args.group, offsets, args.dry_run).await?;
    let moved = asked.into_iter().zip(reset.results).map(|((topic, partition, offset), result)| {
        let (topic, partition) = (topic, partition.0);
        match result {
            Ok(before) => Moved {
                topic,
                partition,
                before: before.map(|before| before.0),
                offset: Some(offset.0),
                error: None,
            },
            Err(error) => {
                Moved { topic, partition, before: None, offset: None, error: Some(error.to_string()) }
            }
        }
    });
    show(&args, &moved.collect::<Vec<_>>(), output)
}

fn show(args: &Args, moved: &[Moved], output: Output) -> Result<(), Failure> {
    let what = if args.dry_run { "would go on" } else { "goes on" };
    output.line(&format!("{} {what} at:", args.group))?;
    let text = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let head = ["TOPIC", "PARTITION", "BEFORE", "OFFSET"].map(str::to_owned);
    let rows = moved.iter().map(|one| {
        let offset = one.error.clone().unwrap_or_else(|| text(one.offset));
        [one.topic.clone(), one.partition.to_string(), text(one.before), offset]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    for line in columns(&rows) {
        output.line(&line)?;
    }
    if let Some(failed) = moved.iter().find_map(|one| one.error.as_ref()) {
        return Err(Failure::new(failed.clone()));
    }
    output.result(&serde_json::json!({ "group": args.group, "dry_run": args.dry_run, "offsets": moved }))
}

/// Which partitions go where.
async fn choose(args: &Args, client: &Client) -> Result<Chosen, Failure> {
    if let Some(file) = &args.to.from_file {
        let mut chosen = parse(&files::read_text(file, FILE_BYTES_MAX)?)?;
        chosen.retain(|(topic, partition), _| is_chosen(args, topic, *partition));
        return Ok(chosen);
    }
    let before = committed(&args.group, client).await?;
    let topics: Vec<String> = match &args.topic {
        Some(topic) => vec![topic.clone()],
        None => {
            let mut topics: Vec<String> = before.keys().map(|(topic, _)| topic.clone()).collect();
            topics.dedup();
            topics
        }
    };
    let mut chosen = Chosen::new();
    for topic in topics {
        let known = client.topic(&topic).await?;
        let partitions: Vec<PartitionIndex> = known
            .partitions
            .iter()
            .map(|partition| partition.index)
            .filter(|partition| is_chosen(args, &topic, *partition))
            .filter(|partition| args.topic.is_some() || before.contains_key(&(topic.clone(), *partition)))
            .collect();
        if partitions.is_empty() {
            let count = known.partitions.len();
            let sentence = format!("topic '{topic}' has no such partition; it has {count}, numbered from 0");
            return Err(Failure::new(sentence));
        }
        let offsets = offsets_of(&args.to, client, &topic, &partitions, &before).await?;
        chosen.extend(partitions.into_iter().map(|partition| (topic.clone(), partition)).zip(offsets));
    }
    Ok(chosen)
}

fn is_chosen(args: &Args, topic: &str, partition: PartitionIndex) -> bool {
    args.topic.as_ref().is_none_or(|only| only == topic)
        && args.partition.is_none_or(|only| only == partition.0)
}

/// What the group has committed; nothing where there is no such group.
async fn committed(
    group: &str,
    client: &Client,
) -> Result<BTreeMap<(String, PartitionIndex), Offset>, Failure> {
    let partitions = match client.describe_group(group).await {
        Ok(described) => described.partitions,
        Err(weir_client::ClientError::Node(error))
            if error.code == weir_client::ErrorCode::GroupIdNotFound =>
        {
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let known = partitions.into_iter().filter(|one| !one.topic_name.is_empty());
    Ok(known.filter_map(|one| Some(((one.topic_name, one.partition), one.committed?.offset))).collect())
}

/// Where each partition goes; `None` where it stays.
async fn offsets_of(
    to: &To,
    client: &Client,
    topic: &str,
    partitions: &[PartitionIndex],
    before: &BTreeMap<(String, PartitionIndex), Offset>,
) -> Result<Vec<Option<Offset>>, Failure> {
    let look_up = async |spec: OffsetSpec| -> Result<Vec<Offset>, Failure> {
        let asked: Vec<_> = partitions.iter().map(|partition| (*partition, spec)).collect();
        let listed = client.list_offsets(topic, &asked).await?;
        Ok(listed.into_iter().map(|listed| listed.offset).collect())
    };
    if let Some(since) = to.to_time {
        let found = look_up(OffsetSpec::Timestamp(since.time_ms())).await?;
        return Ok(found.into_iter().map(Some).collect());
    }
    let starts = look_up(OffsetSpec::Earliest).await?;
    let ends = look_up(OffsetSpec::Latest).await?;
    let goes_to = |(partition, (start, end)): (&PartitionIndex, (Offset, Offset))| {
        let current = before.get(&(topic.to_owned(), *partition)).copied();
        target(to, start, end, current)
    };
    Ok(partitions.iter().zip(starts.into_iter().zip(ends)).map(goes_to).collect())
}

fn target(to: &To, start: Offset, end: Offset, current: Option<Offset>) -> Option<Offset> {
    if to.to_earliest {
        return Some(start);
    }
    if to.to_latest {
        return Some(end);
    }
    if let Some(offset) = to.to_offset {
        return Some(Offset(offset).clamp(start, end));
    }
    // A shift needs somewhere to shift from.
    let shifted = current?.0.saturating_add_signed(to.shift_by?);
    Some(Offset(shifted).clamp(start, end))
}

/// Reads lines of topic,partition,offset.
fn parse(text: &str) -> Result<Chosen, Failure> {
    let mut chosen = Chosen::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let broken = || {
            let number = at + 1;
            Failure::new(format!(
                "line {number} of the file of offsets is not topic,partition,offset: '{line}'"
            ))
        };
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [topic, partition, offset] = fields[..] else { return Err(broken()) };
        let partition = partition.parse().map_err(|_| broken())?;
        let offset = offset.parse().map_err(|_| broken())?;
        chosen.insert((topic.to_owned(), PartitionIndex(partition)), Some(Offset(offset)));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to() -> To {
        To {
            to_earliest: false,
            to_latest: false,
            to_offset: None,
            to_time: None,
            shift_by: None,
            from_file: None,
        }
    }

    #[test]
    fn a_group_goes_nowhere_beyond_what_is_stored() {
        let at = |to: To, current: Option<u64>| {
            target(&to, Offset(10), Offset(20), current.map(Offset)).map(|offset| offset.0)
        };
        assert_eq!(at(To { to_earliest: true, ..to() }, Some(15)), Some(10));
        assert_eq!(at(To { to_latest: true, ..to() }, None), Some(20));
        assert_eq!(at(To { to_offset: Some(3), ..to() }, None), Some(10));
        assert_eq!(at(To { to_offset: Some(13), ..to() }, None), Some(13));
        assert_eq!(at(To { to_offset: Some(30), ..to() }, None), Some(20));
        assert_eq!(at(To { shift_by: Some(-3), ..to() }, Some(15)), Some(12));
        assert_eq!(at(To { shift_by: Some(i64::MIN), ..to() }, Some(15)), Some(10));
        assert_eq!(at(To { shift_by: Some(3), ..to() }, Some(19)), Some(20));
        assert_eq!(at(To { shift_by: Some(3), ..to() }, None), None, "from nowhere there is no shift");
    }

    #[test]
    fn a_file_of_offsets_is_read_line_by_line() {
        let chosen = parse("a,0,7\n\n b , 1 , 8 \n").unwrap();
        let chosen: Vec<_> = chosen.into_iter().map(|((t, p), o)| (t, p.0, o.unwrap().0)).collect();
        assert_eq!(chosen, [("a".to_owned(), 0, 7), ("b".to_owned(), 1, 8)]);
        for bad in ["a,0", "a,0,1,2", "a,x,1", "a,0,-1"] {
            let Err(Failure::Said(sentence)) = parse(bad) else { panic!("{bad} was taken") };
            assert!(sentence.contains("line 1"), "{sentence}");
        }
    }
}
