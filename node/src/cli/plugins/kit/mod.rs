//! `weir plugins test --kit`: a component against records whose answers are known, whatever it is written in.
//!
//! A kit is a folder of pairs: `NAME.ndjson` with records, and `NAME.out` with what a plugin answers, a line per record.
//! `examples/plugins/kit/README.md` describes both; the folders `golden` of the plugins that ship are kits too.

mod script;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use self::script::{Batch, Part};
use super::group_file;
use super::records::OwnRecord;
use super::trial::{Fate, Trial};
use crate::cli::files;
use crate::cli::output::{Done, Exit, Failure, Output, grouped};
use crate::cli::text::Text;
use crate::plugins::{BindingConfig, Kind, Plugins};

/// The name of the kit that is part of the program.
const BUILTIN: &str = "builtin";
/// The largest file of a kit.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

macro_rules! builtin {
    ($($kind:literal / $name:literal),+ $(,)?) => {
        /// The kit of the examples: the folder of a kind, a name, its records, its answers.
        const CASES: &[(&str, &str, &str, &str)] = &[$((
            $kind,
            $name,
            include_str!(concat!("../../../../../examples/plugins/kit/", $kind, "/", $name, ".ndjson")),
            include_str!(concat!("../../../../../examples/plugins/kit/", $kind, "/", $name, ".out")),
        )),+];
    };
}

builtin!("assignor" / "range", "partitioner" / "hash", "producer-interceptor" / "redact");

/// A pair of files.
struct Case {
    name: String,
    records: String,
    /// `None` where nobody wrote it yet.
    expected: Option<String>,
    /// Where the answers are kept.
    path: Option<PathBuf>,
}

/// What a plugin answers to a case, and whether it did so twice.
struct Answered {
    text: String,
    batches: usize,
    is_pure: bool,
}

/// How a case went, for a script.
#[derive(Debug, Serialize)]
struct Verdict {
    case: String,
    batches: usize,
    /// Lines of the answers that are not as expected.
    different: usize,
    pure: bool,
}

/// Runs a component on a kit.
pub(super) async fn run(
    kit: &Path,
    is_written: bool,
    show: usize,
    plugins: &Plugins,
    binding: BindingConfig,
    output: Output,
) -> Done {
    let kind = binding.plugin.kind();
    let cases = cases(kit, kind)?;
    let runner = Runner { plugins, binding };
    let mut verdicts = Vec::new();
    let mut shown = 0;
    for case in &cases {
        let answered = runner.answer(&case.records).await.map_err(|failure| in_case(case, failure))?;
        if let Some(path) = case.path.as_ref().filter(|_| is_written) {
            files::write_text(path, &answered.text)?;
            output.line(&format!("wrote {}", path.display()))?;
        }
        let expected = match &case.expected {
            _ if is_written => &answered.text,
            Some(expected) => expected,
            None => {
                let name = &case.name;
                return Err(Failure::new(format!(
                    "nobody says what is expected: there is no {name}.out; --write writes what the component answers"
                )));
            }
        };
        let differences = differences(expected, &answered.text);
        for difference in &differences {
            if shown < show {
                output.line(&format!("{}, {difference}", case.name))?;
            }
            shown += 1;
        }
        if !answered.is_pure {
            output.line(&format!(
                "{}: NOT PURE: the second answer was another; a hook may depend on nothing but its arguments",
                case.name
            ))?;
        }
        verdicts.push(Verdict {
            case: case.name.clone(),
            batches: answered.batches,
            different: differences.len(),
            pure: answered.is_pure,
        });
    }
    report(kind, &verdicts, output)
}

fn report(kind: Kind, verdicts: &[Verdict], output: Output) -> Done {
    let (mut batches, mut different, mut impure) = (0, 0, 0);
    for verdict in verdicts {
        batches += verdict.batches;
        different += verdict.different;
        impure += usize::from(!verdict.pure);
    }
    let conforms = different == 0 && impure == 0;
    output.line(&format!(
        "{}: {} cases, {} batches: {}, {}",
        kind.name(),
        verdicts.len(),
        grouped(batches as u64),
        if different == 0 { "as expected".to_owned() } else { format!("{different} lines are different") },
        if impure == 0 { "the same twice" } else { "not the same twice" },
    ))?;
    output.result(&json!({ "kind": kind.name(), "conforms": conforms, "cases": verdicts }))?;
    Ok(if conforms { Exit::Success } else { Exit::Failed })
}

fn in_case(case: &Case, failure: Failure) -> Failure {
    match failure {
        Failure::Said(sentence) => Failure::new(format!("{}.ndjson, {sentence}", case.name)),
        other @ Failure::ReaderGone => other,
    }
}

/// The cases of a kit that are for a kind of plugin.
fn cases(kit: &Path, kind: Kind) -> Result<Vec<Case>, Failure> {
    let of_kind = kind.name().replace(' ', "-");
    let cases = if kit == Path::new(BUILTIN) {
        let mine = CASES.iter().filter(|(folder, ..)| *folder == of_kind);
        let case = |(_, name, records, expected): &(&str, &str, &str, &str)| Case {
            name: (*name).to_owned(),
            records: (*records).to_owned(),
            expected: Some((*expected).to_owned()),
            path: None,
        };
        mine.map(case).collect()
    } else {
        let own = kit.join(&of_kind);
        let folder = if files::is_folder(&own) { own } else { kit.to_owned() };
        let read = |path: PathBuf| {
            let answers = path.with_extension("out");
            Ok(Case {
                name: path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
                records: files::read_text(&path, FILE_BYTES_MAX)?,
                expected: files::read_text(&answers, FILE_BYTES_MAX).ok(),
                path: Some(answers),
            })
        };
        files::list(&folder, "ndjson")?.into_iter().map(read).collect::<Result<Vec<_>, Failure>>()?
    };
    if cases.is_empty() {
        let kit = kit.display();
        return Err(Failure::new(format!(
            "the kit {kit} has no case for a {}: no file NAME.ndjson",
            kind.name()
        )));
    }
    Ok(cases)
}

/// The lines that are not as expected, for people. `error` and `reject CODE` without more stand for any sentence.
fn differences(expected: &str, answered: &str) -> Vec<String> {
    let (mut expected_lines, mut answered_lines) = (expected.lines(), answered.lines());
    let mut found = Vec::new();
    for number in 1.. {
        match (expected_lines.next(), answered_lines.next()) {
            (None, None) => break,
            (Some(expected), Some(answered)) if is_met(expected, answered) => {}
            (expected, answered) => {
                let [expected, answered] = [expected, answered].map(|line| line.unwrap_or("nothing"));
                found.push(format!("line {number}: expected {expected}, got {answered}"));
            }
        }
    }
    found
}

fn is_met(expected: &str, answered: &str) -> bool {
    let is_open =
        expected == "error" || expected.strip_prefix("reject ").is_some_and(|code| !code.contains(' '));
    let goes_on = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    answered == expected || (is_open && answered.strip_prefix(expected).is_some_and(goes_on))
}

/// A component, and how it is bound.
struct Runner<'a> {
    plugins: &'a Plugins,
    binding: BindingConfig,
}

impl Runner<'_> {
    async fn answer(&self, records: &str) -> Result<Answered, Failure> {
        if self.binding.plugin.kind() == Kind::Assignor {
            self.assign(records).await
        } else {
            self.stream(records).await
        }
    }

    /// Every batch on fresh instances, twice: the second time in the opposite order.
    async fn stream(&self, records: &str) -> Result<Answered, Failure> {
        let parts = script::parse(records)?;
        let mut first = Vec::new();
        for part in &parts {
            first.push(self.lines(part).await?);
        }
        let mut is_pure = true;
        for (part, first) in parts.iter().zip(&first).rev() {
            is_pure &= self.lines(part).await? == *first;
        }
        let batches = parts.iter().filter(|part| matches!(part, Part::Batch(_))).count();
        Ok(Answered { text: first.concat(), batches, is_pure })
    }

    async fn lines(&self, part: &Part) -> Result<String, Failure> {
        let batch = match part {
            Part::Comment(line) => return Ok(format!("{line}\n")),
            Part::Batch(batch) => batch,
        };
        let binding = BindingConfig { options: batch.options.clone(), ..self.binding.clone() };
        let is_partitioner = binding.plugin.kind() == Kind::Partitioner;
        let trial = Trial { plugins: self.plugins, binding, partitions: batch.partitions };
        let pipeline = match trial.pipeline(false).await {
            Ok(pipeline) => pipeline,
            Err(failure) => return Ok(format!("error {}\n", failure.message)),
        };
        let fates = trial.answer(&pipeline, &batch.bytes, batch.about).await?;
        if let Some(Fate::Failed(sentence)) = fates.first() {
            return Ok(format!("error {}\n", cause(sentence)));
        }
        Ok(if is_partitioner { placed(batch, &fates) } else { fates.iter().map(told).collect() })
    }

    /// A line of the file is a group.
    async fn assign(&self, records: &str) -> Result<Answered, Failure> {
        let (mut text, mut batches, mut is_pure) = (String::new(), 0, true);
        for (number, line) in (1..).zip(records.lines()).filter(|(_, line)| !line.is_empty()) {
            if line.starts_with('#') {
                writeln!(text, "{line}")?;
                continue;
            }
            let (members, topics) = group_file::parse(line).map_err(|failure| match failure {
                Failure::Said(sentence) => Failure::new(format!("line {number}: {sentence}")),
                other @ Failure::ReaderGone => other,
            })?;
            let ask = async || {
                let assignor = self.plugins.assignor(self.binding.clone(), "kit").await?;
                assignor.assign(&members, &topics).await
            };
            let (first, second) = (ask().await, ask().await);
            is_pure &= first.as_ref().ok() == second.as_ref().ok();
            batches += 1;
            match first {
                Err(failure) => writeln!(text, "error {}", failure.message)?,
                Ok(shares) => {
                    for (member, share) in members.iter().zip(&shares) {
                        write!(text, "{}:", member.member_id)?;
                        for of in share {
                            let topic = &topics[of.topic as usize].name;
                            of.partitions.iter().try_for_each(|at| write!(text, " {topic}p{at}"))?;
                        }
                        writeln!(text)?;
                    }
                }
            }
        }
        Ok(Answered { text, batches, is_pure })
    }
}

/// What the plugin itself said, without which plugin and hook it was.
fn cause(sentence: &str) -> &str {
    let behind_hook = sentence.split_once("failed in '").and_then(|(_, behind)| behind.split_once("': "));
    behind_hook.map_or(sentence, |(_, cause)| cause)
}

/// A partitioner's answers: the partition, and the key.
fn placed(batch: &Batch, fates: &[Fate]) -> String {
    let mut text = String::new();
    for (key, fate) in batch.keys.iter().zip(fates) {
        let partition = match fate {
            Fate::Kept { partition: Some(partition) } => partition.to_string(),
            other => format!("{other:?}"),
        };
        text += &format!("{partition} {}\n", json_text(key.as_deref()));
    }
    text
}

/// An interceptor's answer about one record.
fn told(fate: &Fate) -> String {
    match fate {
        Fate::Kept { .. } => "keep\n".to_owned(),
        Fate::Dropped => "drop\n".to_owned(),
        Fate::Replaced { record, .. } => format!("change {}\n", changed(record)),
        Fate::Rejected(sentence) => {
            // The producer's sentence ends with the code, where there is one.
            let coded = sentence.strip_suffix(')').and_then(|sentence| sentence.rsplit_once(" (code "));
            let (reason, code) = coded.unwrap_or((sentence, "0"));
            format!("reject {code} {reason}\n")
        }
        Fate::Failed(sentence) => format!("error {}\n", cause(sentence)),
    }
}

fn changed(record: &OwnRecord) -> Value {
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| json!([name, json_text(value.as_deref())])).collect();
    let [key, value] = [&record.key, &record.value].map(|bytes| json_text(bytes.as_deref()));
    json!({ "key": key, "value": value, "headers": headers })
}

fn json_text(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| json!(Text(bytes)))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_line_without_a_sentence_stands_for_any() {
        let expected = "# same\nkeep\nreject 1\nreject 2 no\nerror\n3 \"k\"\n";
        let answered = "# same\nkeep\nreject 1 not JSON\nreject 2 nope\nerror of some kind\n3 \"k\"\nkeep\n";
        let found = differences(expected, answered).join("\n");
        expect![[r#"
            line 4: expected reject 2 no, got reject 2 nope
            line 7: expected nothing, got keep"#]]
        .assert_eq(&found);
        assert!(!is_met("reject 1", "reject 11 x"));
    }

    #[test]
    fn the_builtin_kit_has_a_case_for_each_kind_that_it_names() {
        for kind in [Kind::Assignor, Kind::Partitioner, Kind::ProducerInterceptor] {
            assert!(!cases(Path::new(BUILTIN), kind).unwrap().is_empty(), "{}", kind.name());
        }
    }

    #[test]
    fn answers_are_lines() {
        let record = OwnRecord {
            key: None,
            value: Some(b"v".to_vec()),
            headers: vec![("h".to_owned(), Some(vec![0xff]))],
        };
        let fates = [
            Fate::Kept { partition: None },
            Fate::Replaced { partition: None, record },
            Fate::Rejected("no (code 3)".to_owned()),
            Fate::Rejected("no".to_owned()),
            Fate::Failed("PLUGIN_FAILED: plugin 'a@1' failed in 'on-send': it trapped".to_owned()),
        ];
        expect![[r#"
            keep
            change {"headers":[["h",{"base64":"/w=="}]],"key":null,"value":"v"}
            reject 3 no
            reject 0 no
            error it trapped
        "#]]
        .assert_eq(&fates.iter().map(told).collect::<String>());
    }
}
