//! `weir log`: looks into the files of a log, offline; changes nothing.

mod against;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;
use weir_wire::batch::{BatchHeader, Limits, RecordRef, records};

use super::global::Global;
use super::output::{Done, Exit, Failure, Output, grouped};
use super::signals::Interrupts;
use crate::storage::{
    BATCH_BYTES_MAX, Disk, EntryKind, FileKind, Inspected, RealDisk, Verification, inspect_segment,
    is_data_folder, is_partition_folder, parse_file_name, parse_partition_folder_name, verify_partition,
};

/// The folder of a data folder in which the partitions lie.
const TOPICS_FOLDER: &str = "topics";
/// How much of a key or value is shown.
const SHOWN_BYTES_MAX: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Print what is in a segment file, batch by batch
    Dump {
        /// A file such as weir-data/topics/quakes-0/00000000000000000000.log
        file: PathBuf,
        /// Print each record too
        #[arg(long)]
        records: bool,
    },
    /// Check whether logs are whole: every checksum, every offset, every index
    Verify {
        /// The folder of a partition, or one above it, such as ./weir-data
        dir: PathBuf,
        /// Compare what is committed with a cluster's, record by record, too: a node of it, HOST:PORT
        #[arg(long, value_name = "ADDR")]
        against: Option<String>,
    },
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    tracing::debug!(?args, "reading files");
    let reading = async {
        match args.command {
            LogCommand::Dump { file, records } => {
                tokio::task::spawn_blocking(move || dump(&file, records, output)).await?
            }
            LogCommand::Verify { dir, against } => verify(dir, against, global, output).await,
        }
    };
    tokio::select! {
        done = reading => done,
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

/// What a segment file holds.
#[derive(Debug, Default, Serialize)]
struct Dumped {
    file: PathBuf,
    bytes: u64,
    batches: u64,
    records: u64,
    first_offset: Option<u64>,
    next_offset: Option<u64>,
    /// Bytes that are no batch.
    damaged_bytes: u64,
    /// Batches that are whole and do not belong where they are.
    misplaced: u64,
}

fn dump(file: &Path, with_records: bool, output: Output) -> Done {
    check_is_file(file)?;
    let segment = inspect_segment(&RealDisk, file)?;
    let mut found = Dumped { file: file.to_owned(), bytes: segment.bytes(), ..Dumped::default() };
    for item in segment {
        match item? {
            Inspected::Batch { position, header, bytes, fault } => {
                found.count(&header);
                output.line(&describe(position, &header))?;
                if let Some(fault) = fault {
                    found.misplaced += 1;
                    output.line(&format!("  MISPLACED: {fault}"))?;
                }
                if with_records {
                    dump_records(&header, &bytes, output)?;
                }
            }
            Inspected::Damaged { position, bytes, reason } => {
                found.damaged_bytes += bytes;
                output
                    .line(&format!("position {position}  DAMAGED: {bytes} bytes are no batch: {reason}"))?;
            }
        }
    }
    if found.batches == 0 && !is_segment_name(file) {
        return Err(Failure::new(format!("{} is not a segment: it holds no record batch", file.display())));
    }
    let (batches, records, bytes) = (grouped(found.batches), grouped(found.records), grouped(found.bytes));
    output.line(&format!("{batches} batches, {records} records, {bytes} bytes"))?;
    output.result(&found)?;
    Ok(if found.damaged_bytes == 0 && found.misplaced == 0 { Exit::Success } else { Exit::Failed })
}

fn check_is_file(file: &Path) -> Result<(), Failure> {
    let here = file.display();
    let sentence = match RealDisk.stat(file) {
        Ok(Some(EntryKind::File { .. })) => return Ok(()),
        Ok(Some(EntryKind::Folder)) => {
            format!("{here} is a folder: name a segment file in it, or check it with weir log verify {here}")
        }
        Ok(None) => format!(
            "there is no file {here}: name a segment, such as weir-data/topics/quakes-0/00000000000000000000.log"
        ),
        Err(error) => format!("cannot read {here}: {error}"),
    };
    Err(Failure::new(sentence))
}

impl Dumped {
    fn count(&mut self, header: &BatchHeader) {
        self.batches += 1;
        self.records += u64::from(header.record_count);
        self.first_offset.get_or_insert(header.base_offset.0);
        self.next_offset = Some(header.next_offset().0);
    }
}

fn describe(position: u64, header: &BatchHeader) -> String {
    let (first, last) = (header.base_offset, header.last_offset());
    let producer = header.producer.map_or_else(
        || "no producer".to_owned(),
        |producer| {
            format!("producer {} epoch {} sequence {}", producer.id, producer.epoch, producer.base_sequence)
        },
    );
    let mut line = format!(
        "position {position}  offsets {first}-{last}  records {}  bytes {}  epoch {}  {producer}  {}  time {}-{}",
        header.record_count,
        header.total_bytes,
        header.leader_epoch,
        header.compression().name(),
        header.base_timestamp_ms,
        header.max_timestamp_ms,
    );
    if header.attributes.is_control() {
        line.push_str("  control");
    }
    if header.is_gap() {
        line.push_str("  gap: the records of these offsets are gone");
    }
    line
}

fn dump_records(header: &BatchHeader, bytes: &bytes::Bytes, output: Output) -> Result<(), Failure> {
    let limits = Limits { batch_bytes_max: BATCH_BYTES_MAX, ..Limits::default() };
    let records = match records(bytes, &limits) {
        Ok(records) => records,
        Err(error) => return output.line(&format!("  its records cannot be read: {error}")),
    };
    for record in &records {
        output.line(&describe_record(header, &record))?;
    }
    Ok(())
}

fn describe_record(header: &BatchHeader, record: &RecordRef<'_>) -> String {
    let offset = header.base_offset + u64::from(record.offset_delta);
    let (key, value) = (shown(record.key), shown(record.value));
    let mut line = format!("  offset {offset}  time {}  key {key}  value {value}", record.timestamp_ms);
    for (name, value) in record.headers {
        line.push_str(&format!("  header {name}={}", shown(value)));
    }
    line
}

/// Bytes as text with everything unprintable escaped, so that no record can play tricks on a terminal.
fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "none".to_owned() };
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let rest = if cut.len() < bytes.len() { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{rest}", String::from_utf8_lossy(cut).escape_debug())
}

fn is_segment_name(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.and_then(parse_file_name).is_some_and(|(_, kind)| kind == FileKind::Log)
}

/// What was found in a partition's folder.
#[derive(Debug, Serialize)]
struct Verified {
    folder: PathBuf,
    start: u64,
    log_start: u64,
    end: u64,
    segments: u64,
    batches: u64,
    records: u64,
    bytes: u64,
    whole: bool,
    problems: Vec<VerifiedProblem>,
    /// What came of comparing it with a cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<against::Compared>,
}

#[derive(Debug, Serialize)]
struct VerifiedProblem {
    file: PathBuf,
    position: u64,
    reason: String,
    /// Whether records are affected. If not, a node puts it right by itself.
    damage: bool,
}

async fn verify(dir: PathBuf, against: Option<String>, global: &Global, output: Output) -> Done {
    let against_cluster = against.is_some();
    let client = match against {
        Some(address) => Some(global.at(address).connect(output).await?),
        None => None,
    };
    let folders = partition_folders(&dir)?;
    if folders.is_empty() {
        return Err(Failure::new(format!(
            "{} holds no partitions: name a node's data folder, or a partition's folder below it",
            dir.display()
        )));
    }
    let mut partitions = Vec::with_capacity(folders.len());
    for folder in folders {
        let looking = folder.clone();
        let found = tokio::task::spawn_blocking(move || verify_partition(&RealDisk, &looking)).await??;
        let mut verified = Verified::of(&found, folder);
        verified.show(output)?;
        if let Some(client) = &client {
            verified.against = Some(against::compare(client, &verified.folder, &found, output).await?);
        }
        partitions.push(verified);
    }
    if let Some(client) = client {
        client.close().await;
    }
    let damaged = partitions.iter().filter(|partition| !partition.whole).count();
    let (total, whole) = (partitions.len(), partitions.len() - damaged);
    output.line(&format!("{whole} of {total} partitions are whole"))?;
    let compared = partitions.iter().filter_map(|partition| partition.against.as_ref());
    let differ = compared.filter(|compared| !compared.is_equal()).count();
    if differ > 0 {
        output.line(&format!("{differ} of {total} differ from the cluster's"))?;
    }
    let (is_whole, is_equal) = (damaged == 0, differ == 0);
    let mut result = serde_json::json!({ "whole": is_whole, "partitions": partitions });
    if against_cluster {
        result["equal"] = is_equal.into();
    }
    output.result(&result)?;
    Ok(if is_whole && is_equal { Exit::Success } else { Exit::Failed })
}

/// The partitions' folders at or below a folder: of one partition, of all topics, or of a node's data.
fn partition_folders(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let refuse = |error: std::io::Error| {
        Failure::new(format!("cannot read {}: {error}; name a node's data folder", dir.display()))
    };
    RealDisk.list(dir).map_err(refuse)?;
    if is_data_folder(&RealDisk, dir)? {
        return named_as_partitions(&dir.join(TOPICS_FOLDER));
    }
    if is_partition_folder(&RealDisk, dir)? {
        return Ok(vec![dir.to_owned()]);
    }
    let mut folders = named_as_partitions(dir)?;
    // In a data folder every such name is a partition's, also if all that it held is gone. Elsewhere many are not.
    let is_of_data_folder = dir.ends_with(TOPICS_FOLDER) && is_data_folder(&RealDisk, &dir.join(".."))?;
    if !is_of_data_folder {
        let mut partitions = Vec::with_capacity(folders.len());
        for folder in folders {
            if is_partition_folder(&RealDisk, &folder)? {
                partitions.push(folder);
            }
        }
        folders = partitions;
    }
    Ok(folders)
}

/// The folders in a folder that have the name of a partition.
fn named_as_partitions(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let refuse = |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", dir.display()));
    let entries = RealDisk.list(dir).map_err(refuse)?;
    let folders = entries.into_iter().filter(|entry| entry.kind == EntryKind::Folder);
    let named = folders.filter(|entry| parse_partition_folder_name(&entry.name).is_some());
    Ok(named.map(|entry| dir.join(&entry.name)).collect())
}

impl Verified {
    fn of(found: &Verification, folder: PathBuf) -> Verified {
        let whole = found.is_whole();
        let problem = |problem: &crate::storage::Problem| VerifiedProblem {
            file: problem.path.clone(),
            position: problem.position,
            reason: problem.reason.clone(),
            damage: problem.is_damage,
        };
        Verified {
            folder,
            start: found.start.0,
            log_start: found.log_start.0,
            end: found.end.0,
            segments: found.segments,
            batches: found.batches,
            records: found.records,
            bytes: found.bytes,
            whole,
            problems: found.problems.iter().map(problem).collect(),
            against: None,
        }
    }

    fn show(&self, output: Output) -> Result<(), Failure> {
        let state = if self.whole { "whole" } else { "DAMAGED" };
        let deleted = match self.log_start.checked_sub(self.start) {
            None | Some(0) => String::new(),
            Some(_) => format!(", those below {} deleted", self.log_start),
        };
        output.line(&format!(
            "{}: {state}, offsets {} to {}{deleted}, {} records in {} batches and {} segments, {} bytes",
            self.folder.display(),
            self.start,
            self.end,
            grouped(self.records),
            grouped(self.batches),
            self.segments,
            grouped(self.bytes),
        ))?;
        for problem in &self.problems {
            let (file, at) = (problem.file.display(), problem.position);
            let kind = if problem.damage { "damage" } else { "put right at the next start" };
            output.line(&format!("  {file} at byte {at}: {} ({kind})", problem.reason))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_so_that_a_terminal_stays_sane() {
        assert_eq!(shown(None), "none");
        assert_eq!(shown(Some(b"uw")), "\"uw\"");
        assert_eq!(shown(Some(b"a\x1b[2J\n\"")), r#""a\u{1b}[2J\n\"""#);
        let long = "x".repeat(SHOWN_BYTES_MAX + 1);
        let said = shown(Some(long.as_bytes()));
        assert!(said.ends_with("\"... (201 bytes)") && said.len() < 230, "{said}");
    }

    #[test]
    fn what_is_a_segment_is_told_by_its_name() {
        assert!(is_segment_name(Path::new("a/00000000000000000017.log")));
        assert!(!is_segment_name(Path::new("a/00000000000000000017.index")));
        assert!(!is_segment_name(Path::new("/etc/hostname")));
    }
}
