//! Drafts as text, and against a model that works on plain lists.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use weir_wire::batch::{self, BatchBuilder, Compression, Limits, ProducerFields};
use weir_wire::ids::{PartitionIndex, ProducerEpoch, ProducerId, Sequence};

use super::super::parts::{Joined, Part};
use super::*;

const PRODUCER: ProducerFields =
    ProducerFields { id: ProducerId(7), epoch: ProducerEpoch(1), base_sequence: Sequence(50) };

type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

fn batch_of(records: &[Plain], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(compression);
    for (timestamp_ms, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        builder.push(*timestamp_ms, key.as_deref(), value.as_deref(), &headers);
    }
    builder.finish(Some(PRODUCER))
}

fn draft(way: Way, offsets: Offsets, batch: &Bytes) -> Draft {
    let records = batch::records(batch, &Limits::default()).unwrap();
    Draft::new(way, offsets, Limits::default(), batch.clone(), records)
}

/// `a=1 b=- -=3`: keys and values, `-` for null.
fn batch(text: &str) -> Bytes {
    let plain = |text: &str| (text != "-").then(|| text.as_bytes().to_vec());
    let records: Vec<Plain> = (100_i64..)
        .zip(text.split_whitespace())
        .map(|(timestamp, record)| {
            let (key, value) = record.split_once('=').expect("key=value");
            (timestamp, plain(key), plain(value), Vec::new())
        })
        .collect();
    batch_of(&records, Compression::None)
}

/// One line per edit: `drop 1`, `reject 1 code reason`, `set 0 value`, `null 0`, `replace 0 key value`,
/// `header name value`; and what only a faulty guest does: `raw index action argument`, `bytes text`.
fn answer(text: &str) -> Answer {
    let mut answer = Answer::default();
    for line in text.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u32>().expect("a number");
        match words[0] {
            "drop" => answer.drop_record(number(1)),
            "reject" => {
                let rejection = Rejection { code: number(2), reason: words[3..].join(" ") };
                answer.reject(number(1), rejection);
            }
            "set" => answer.set_value(number(1), Some(words[2].as_bytes())),
            "null" => answer.set_value(number(1), None),
            "replace" => answer.replace(
                number(1),
                Some(words[2].as_bytes()),
                Some(words[3].as_bytes()),
                &[("by", Some(b"hook"))],
            ),
            "header" => {
                answer.headers.push(Header { name: words[1].to_owned(), value: words[2].as_bytes().to_vec() })
            }
            "raw" => {
                let action = match words[2] {
                    "drop" => Action::Drop,
                    "reject" => Action::Reject,
                    "set" => Action::SetValue,
                    "null" => Action::SetValueNull,
                    _ => Action::Replace,
                };
                answer.edits.push(Edit { index: number(1), action, argument: number(3) });
            }
            "bytes" => answer.bytes.extend_from_slice(words[1].as_bytes()),
            word => panic!("what is '{word}'?"),
        }
    }
    answer
}

fn shown(bytes: Option<&[u8]>) -> String {
    bytes.map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn described(draft: &Draft) -> String {
    let records = draft.iter().map(|record| {
        let headers: Vec<_> =
            record.headers.map(|(name, value)| format!(" {name}:{}", shown(value))).collect();
        let (key, value) = (shown(record.key), shown(record.value));
        format!("{}@{} {key}={value}{}", record.offset_delta, record.timestamp_ms, headers.concat())
    });
    let records: Vec<_> = records.collect();
    if records.is_empty() { "nothing".to_owned() } else { records.join(", ") }
}

/// What answers, one after the other, make of a batch: the draft after each, and what becomes of the records if the
/// rest goes to partition 4.
fn chain(way: Way, offsets: Offsets, records: &str, answers: &[&str], expected: &Expect) {
    let whole = batch(records);
    let mut draft = draft(way, offsets, &whole);
    let mut lines = Vec::new();
    for text in answers {
        match draft.apply(&answer(text)) {
            Ok(changes) => {
                draft.complete().unwrap();
                let Changes { kept, replaced, dropped, rejected } = changes;
                let counts = format!("{kept} kept {replaced} replaced {dropped} dropped {rejected} rejected");
                lines.push(format!("{text}: {counts}\n    {}", described(&draft)));
            }
            Err(bad) => lines.push(format!("{text}: {bad}")),
        }
    }
    lines.push(if draft.is_unchanged() { "unchanged".to_owned() } else { "changed".to_owned() });
    let placement = Placement::whole(PartitionIndex(4), draft.count());
    let (placement, batches) = draft.into_parts(&placement).unwrap();
    let runs: Vec<_> = placement
        .runs
        .iter()
        .map(|run| {
            let outcome = match (run.outcome as usize).checked_sub(placement.parts.len()) {
                None => format!("to {}", placement.parts[run.outcome as usize]),
                Some(settled) => match &placement.settled[settled] {
                    Outcome::Rejected(error) => format!("rejected '{}'", error.message),
                    other => format!("{other:?}").to_lowercase(),
                },
            };
            format!("{} {outcome}", run.records)
        })
        .collect();
    lines.push(runs.join(", "));
    let header = BatchHeader::parse(&batches[0]).unwrap();
    assert_eq!(header.producer, Some(PRODUCER));
    lines.push(format!(
        "{} records up to delta {}, {}",
        header.record_count,
        header.last_offset_delta,
        if batches[0] == whole { "the same bytes" } else { "other bytes" }
    ));
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn an_answer_without_changes_keeps_the_bytes() {
    chain(
        Way::In,
        Offsets::Dense,
        "a=1 b=2",
        &["", ""],
        &expect![[r#"
            : 2 kept 0 replaced 0 dropped 0 rejected
                0@100 a=1, 1@101 b=2
            : 2 kept 0 replaced 0 dropped 0 rejected
                0@100 a=1, 1@101 b=2
            unchanged
            2 to 4
            2 records up to delta 1, the same bytes"#]],
    );
}

#[test]
fn records_are_dropped_rejected_and_changed_and_close_up() {
    chain(
        Way::In,
        Offsets::Dense,
        "a=0 b=1 c=2 d=3 e=- f=5",
        &[
            "drop 0; set 1 one; reject 3 7 too dear; replace 4 E x",
            "null 0; reject 1 0 no; header h v",
            "drop 0",
        ],
        &expect![[r#"
            drop 0; set 1 one; reject 3 7 too dear; replace 4 E x: 2 kept 2 replaced 1 dropped 1 rejected
                0@101 b=one, 1@102 c=2, 2@104 E=x by:hook, 3@105 f=5
            null 0; reject 1 0 no; header h v: 2 kept 1 replaced 0 dropped 1 rejected
                0@101 b=- h:v, 1@104 E=x by:hook h:v, 2@105 f=5 h:v
            drop 0: 2 kept 0 replaced 1 dropped 0 rejected
                0@104 E=x by:hook h:v, 1@105 f=5 h:v
            changed
            2 dropped, 1 rejected 'no', 1 rejected 'too dear (code 7)', 2 to 4
            2 records up to delta 1, other bytes"#]],
    );
}

#[test]
fn a_batch_for_an_explicit_partition_keeps_its_gaps() {
    let answers = ["drop 0; drop 2; drop 5", "drop 1"];
    chain(
        Way::In,
        Offsets::Kept,
        "a=0 b=1 c=2 d=3 e=4 f=5",
        &answers,
        &expect![[r#"
            drop 0; drop 2; drop 5: 3 kept 0 replaced 3 dropped 0 rejected
                1@101 b=1, 3@103 d=3, 4@104 e=4
            drop 1: 2 kept 0 replaced 1 dropped 0 rejected
                1@101 b=1, 4@104 e=4
            changed
            1 dropped, 1 to 4, 2 dropped, 1 to 4, 1 dropped
            2 records up to delta 5, other bytes"#]],
    );
    chain(
        Way::In,
        Offsets::Kept,
        "a=0 b=1",
        &["drop 0; reject 1 0 no"],
        &expect![[r#"
            drop 0; reject 1 0 no: 0 kept 0 replaced 1 dropped 1 rejected
                nothing
            changed
            1 dropped, 1 rejected 'no'
            0 records up to delta 1, other bytes"#]],
    );
}

#[test]
fn headers_are_appended_to_what_is_left_and_a_later_replacement_loses_them() {
    let answers = ["header a 1", "header b 2; header a 3", "replace 1 B x; header c 4"];
    chain(
        Way::In,
        Offsets::Dense,
        "a=0 b=1",
        &answers,
        &expect![[r#"
            header a 1: 2 kept 0 replaced 0 dropped 0 rejected
                0@100 a=0 a:1, 1@101 b=1 a:1
            header b 2; header a 3: 2 kept 0 replaced 0 dropped 0 rejected
                0@100 a=0 a:1 b:2 a:3, 1@101 b=1 a:1 b:2 a:3
            replace 1 B x; header c 4: 1 kept 1 replaced 0 dropped 0 rejected
                0@100 a=0 a:1 b:2 a:3 c:4, 1@101 B=x by:hook c:4
            changed
            2 to 4
            2 records up to delta 1, other bytes"#]],
    );
}

#[test]
fn answers_that_break_a_rule_change_nothing() {
    let answers = [
        "drop 2",
        "drop 1; drop 0",
        "drop 0; drop 0",
        "raw 0 set 3; bytes ab",
        "raw 0 set 1; bytes ab",
        "bytes ab",
        "raw 0 set 4294967295; raw 1 set 4294967295; bytes ab",
        "raw 0 reject 0",
        "raw 0 drop 1",
        "raw 0 null 1",
        "raw 0 replace 2; bytes zz",
    ];
    chain(
        Way::In,
        Offsets::Dense,
        "a=0 b=1",
        &answers,
        &expect![[r#"
            drop 2: record 2 is edited, but the batch has records 0 to 1
            drop 1; drop 0: the edit of record 0 follows that of record 1; edits come by rising index, one per record
            drop 0; drop 0: the edit of record 0 follows that of record 0; edits come by rising index, one per record
            raw 0 set 3; bytes ab: the edits up to that of record 0 take 3 bytes, but the answer has 2
            raw 0 set 1; bytes ab: 1 bytes of the answer belong to no edit
            bytes ab: 2 bytes of the answer belong to no edit
            raw 0 set 4294967295; raw 1 set 4294967295; bytes ab: the edits up to that of record 0 take 4294967295 bytes, but the answer has 2
            raw 0 reject 0: record 0 is rejected with rejection 0, but the answer has 0
            raw 0 drop 1: the edit of record 0 has argument 1, but its action takes none: say 0
            raw 0 null 1: the edit of record 0 has argument 1, but its action takes none: say 0
            raw 0 replace 2; bytes zz: what replaces record 0 is not a record's content: its key goes beyond its end
            unchanged
            2 to 4
            2 records up to delta 1, the same bytes"#]],
    );
    chain(
        Way::Out,
        Offsets::Kept,
        "a=0 b=1",
        &["reject 0 1 no"],
        &expect![[r#"
            reject 0 1 no: record 0 is rejected, but only a record on its way into the log can be
            unchanged
            2 to 4
            2 records up to delta 1, the same bytes"#]],
    );
}

#[test]
fn too_many_headers_and_too_large_a_batch_are_refused() {
    let whole = batch("a=0 b=1");
    let mut draft = draft(Way::In, Offsets::Dense, &whole);
    let header = Header { name: "h".to_owned(), value: Vec::new() };
    let many = Answer { headers: vec![header; APPENDED_HEADERS_MAX + 1], ..Answer::default() };
    assert_eq!(draft.apply(&many), Err(BadAnswer::TooManyHeaders { headers: 65 }));

    draft.limits.batch_bytes_max = 200;
    let mut long = Answer::default();
    long.set_value(0, Some(&[b'x'; 150]));
    assert!(matches!(draft.apply(&long), Err(BadAnswer::BatchTooLarge { max: 200, .. })));
    assert!(draft.is_unchanged());
    // One header is small, but every record gets it.
    let wide =
        Answer { headers: vec![Header { name: "h".to_owned(), value: vec![b'x'; 60] }], ..Answer::default() };
    draft.apply(&wide).unwrap();
    assert!(matches!(draft.complete(), Err(BadAnswer::BatchTooLarge { max: 200, .. })));
}

#[test]
fn many_reasons_become_one() {
    let records: Vec<Plain> = (0..1000).map(|n| (n, None, None, Vec::new())).collect();
    let whole = batch_of(&records, Compression::None);
    let mut draft = draft(Way::In, Offsets::Dense, &whole);
    let mut answer = Answer::default();
    for index in 0..1000 {
        answer.reject(index, Rejection { code: index % 500, reason: "no".to_owned() });
    }
    draft.apply(&answer).unwrap();
    let (placement, batches) = draft.into_parts(&Placement::nowhere()).unwrap();
    assert!(batches.is_empty());
    assert_eq!(placement.settled.len(), REASONS_MAX + 1);
    assert_eq!(placement.runs.iter().map(|run| run.records).sum::<u32>(), 1000);
}

#[test]
fn a_rest_that_is_settled_leaves_nothing() {
    let mut draft = draft(Way::In, Offsets::Dense, &batch("a=0 b=1 c=2"));
    draft.apply(&answer("drop 1; header h v")).unwrap();
    let failed = Outcome::Failed(WireError::new(ErrorCode::PluginFailed, "no"));
    assert_eq!(draft.settle_rest(failed.clone()), 1);
    assert_eq!(draft.count(), 0);
    let (placement, batches) = draft.into_parts(&Placement::nowhere()).unwrap();
    assert!(batches.is_empty());
    assert_eq!(placement.settled, [Outcome::Dropped, failed]);
    assert_eq!(placement.runs, [(1, 1), (1, 0), (1, 1)].map(|(records, outcome)| Run { records, outcome }));
}

#[test]
fn a_batch_of_the_log_keeps_whose_time_it_has() {
    let mut stored = batch("a=0 b=1").to_vec();
    // Log append time, as a leader would stamp it: the attribute bit, and the highest timestamp for all.
    stored[22] |= 1 << 3;
    stored[35..43].copy_from_slice(&999_i64.to_be_bytes());
    let stored = Bytes::from(stored);
    let mut draft = draft(Way::Out, Offsets::Kept, &stored);
    draft.apply(&answer("drop 0")).unwrap();
    let made = draft.into_batch().unwrap();
    let records = batch::records(&made, &Limits::default()).unwrap();
    assert_eq!(records.header().attributes.timestamp_type(), batch::TimestampType::LogAppendTime);
    assert_eq!(
        records.iter().map(|record| (record.offset_delta, record.timestamp_ms)).collect::<Vec<_>>(),
        [(1, 999)]
    );
}

fn plain() -> impl Strategy<Value = Plain> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6));
    let headers = proptest::collection::vec(("[a-z]{0,3}", bytes()), 0..3);
    (0_i64..1000, bytes(), bytes(), headers)
}

/// What a guest may do to a record, without its index.
#[derive(Clone, Debug)]
enum Deed {
    Keep,
    Drop,
    Reject,
    SetValue(Option<Vec<u8>>),
    Replace(Plain),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Keep),
        1 => Just(Deed::Drop),
        1 => Just(Deed::Reject),
        2 => proptest::option::of(proptest::collection::vec(any::<u8>(), 0..6)).prop_map(Deed::SetValue),
        1 => plain().prop_map(Deed::Replace),
    ]
}

/// What is answered when a draft is shown in parts, by a guest that answers `whole` about all of it at once.
fn asked_in_parts(draft: &Draft, part_bytes: usize, whole: &Answer) -> Answer {
    let (mut joined, mut sections, mut bytes) = (Joined::default(), Vec::new(), whole.bytes.as_slice());
    for part in Part::all(draft, part_bytes) {
        assert!(part.count == 1 || part.section(draft).len() <= part_bytes || draft.count() == 0);
        sections.extend_from_slice(part.section(draft));
        let mut answer = Answer { headers: whole.headers.clone(), ..Answer::default() };
        for edit in whole.edits.iter().filter(|edit| part.range().contains(&(edit.index as usize))) {
            let edit = Edit { index: edit.index - part.first, ..*edit };
            match edit.action {
                Action::Reject => answer.reject(edit.index, whole.rejections[edit.argument as usize].clone()),
                _ => answer.edits.push(edit),
            }
            if takes_bytes(edit.action) {
                let (own, rest) = bytes.split_at(edit.argument as usize);
                answer.bytes.extend_from_slice(own);
                bytes = rest;
            }
        }
        joined.add(draft, &part, answer).unwrap();
    }
    assert_eq!(sections, draft.section());
    joined.into_answer()
}

/// What is wrong with answers to the parts of a batch, one record each.
fn wrong_in_parts(way: Way, answers: &[&str]) -> String {
    let draft = draft(way, Offsets::Dense, &batch("a=1 b=2 c=3"));
    let parts = Part::all(&draft, 0);
    assert_eq!(
        parts.iter().map(|part| (part.first, part.count)).collect::<Vec<_>>(),
        [(0, 1), (1, 1), (2, 1)]
    );
    let mut joined = Joined::default();
    let added = parts.iter().zip(answers).try_for_each(|(part, text)| joined.add(&draft, part, answer(text)));
    added.expect_err("one of the answers is wrong").to_string()
}

#[test]
fn the_answer_to_a_part_is_about_that_part_only() {
    let [sends, reads] = [Way::In, Way::Out].map(|way| move |answers: &[&str]| wrong_in_parts(way, answers));
    let wrong = [
        sends(&["drop 0", "drop 1"]),
        sends(&["bytes x", "raw 0 set 1"]),
        sends(&["reject 0 1 no", "raw 0 reject 0"]),
        sends(&["header h v", ""]),
        reads(&["", "reject 0 1 no"]),
    ];
    expect![[r#"
        record 1 is edited, but the batch has records 0 to 0
        1 bytes of the answer belong to no edit
        record 0 is rejected with rejection 0, but the answer has 0
        from record 1 on, other headers are appended than before; who wants 'in-parts' appends the same to every record
        record 0 is rejected, but only a record on its way into the log can be"#]].assert_eq(&wrong.join("\n"));
}

fn codec() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Zstd)]
}

proptest! {
    /// A chain of answers on a draft comes to the same as the same deeds on a list, and what is made is a batch that
    /// every reader takes.
    #[test]
    fn a_draft_does_what_a_list_does(
        records in proptest::collection::vec(plain(), 1..8),
        chain in proptest::collection::vec((proptest::collection::vec(deed(), 8), 0_usize..2), 0..4),
        places in proptest::collection::vec(0_u32..3, 8),
        kept: bool,
        compression in codec(),
        part_bytes in 0_usize..60,
    ) {
        let whole = batch_of(&records, compression);
        let offsets = if kept { Offsets::Kept } else { Offsets::Dense };
        let mut draft = draft(Way::In, offsets, &whole);
        // Each record left, with its place in the batch as it came.
        let mut model: Vec<(usize, Plain)> = records.iter().cloned().enumerate().collect();
        let mut fates: Vec<Option<Outcome>> = vec![None; records.len()];
        for (deeds, headers) in &chain {
            let mut answer = Answer::default();
            let mut left = Vec::new();
            for ((index, (place, record)), deed) in (0..).zip(model).zip(deeds) {
                let mut record = record;
                match deed {
                    Deed::Keep => {}
                    Deed::Drop => {
                        answer.drop_record(index);
                        fates[place] = Some(Outcome::Dropped);
                        continue;
                    }
                    Deed::Reject => {
                        answer.reject(index, Rejection { code: 3, reason: "no".to_owned() });
                        let error = WireError::new(ErrorCode::InvalidRecord, "no (code 3)");
                        fates[place] = Some(Outcome::Rejected(error));
                        continue;
                    }
                    Deed::SetValue(value) => {
                        answer.set_value(index, value.as_deref());
                        record.2.clone_from(value);
                    }
                    Deed::Replace((_, key, value, headers)) => {
                        let borrowed: Vec<_> =
                            headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
                        answer.replace(index, key.as_deref(), value.as_deref(), &borrowed);
                        record = (record.0, key.clone(), value.clone(), headers.clone());
                    }
                }
                left.push((place, record));
            }
            for _ in 0..*headers {
                answer.headers.push(Header { name: "h".to_owned(), value: b"v".to_vec() });
                left.iter_mut().for_each(|(_, record)| record.3.push(("h".to_owned(), Some(b"v".to_vec()))));
            }
            if part_bytes.is_multiple_of(2) {
                draft.complete().unwrap();
                prop_assert_eq!(&asked_in_parts(&draft, part_bytes, &answer), &answer);
            }
            draft.apply(&answer).unwrap();
            model = left;
        }
        prop_assert_eq!(draft.count() as usize, model.len());
        let is_unchanged = draft.is_unchanged();
        let placement = if kept {
            Placement::whole(PartitionIndex(0), draft.count())
        } else {
            Placement::answered(&places[..model.len()], model.len(), 3).unwrap()
        };
        let (placement, batches) = draft.into_parts(&placement).unwrap();
        prop_assert_eq!(batches.len(), placement.parts.len());
        if is_unchanged && batches.len() == 1 {
            prop_assert_eq!(&batches[0], &whole);
        }

        // Where each record of the batch ended, by the runs.
        let ends: Vec<u32> = placement
            .runs
            .iter()
            .flat_map(|run| std::iter::repeat_n(run.outcome, run.records as usize))
            .collect();
        prop_assert_eq!(ends.len(), records.len());
        let mut read: Vec<_> = batches
            .iter()
            .map(|part| {
                let records = if kept {
                    batch::records(part, &Limits::default()).unwrap()
                } else {
                    batch::validate(part, &Limits::default()).unwrap().1
                };
                assert_eq!(records.header().producer, Some(PRODUCER));
                records.into_iter()
            })
            .collect();
        let mut model = model.into_iter().peekable();
        for (place, end) in ends.into_iter().enumerate() {
            if let Some(settled) = (end as usize).checked_sub(batches.len()) {
                prop_assert_eq!(Some(&placement.settled[settled]), fates[place].as_ref());
                continue;
            }
            prop_assert_eq!(&fates[place], &None);
            let (expected_place, expected) = model.next().expect("as many records as are left");
            prop_assert_eq!(expected_place, place);
            let record = read[end as usize].next().expect("a part has the records of its runs");
            if kept {
                prop_assert_eq!(record.offset_delta as usize, place);
            }
            prop_assert_eq!(record.timestamp_ms, expected.0);
            prop_assert_eq!(record.key.as_deref(), expected.1.as_deref());
            prop_assert_eq!(record.value.as_deref(), expected.2.as_deref());
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(headers, expected.3);
        }
        prop_assert!(read.iter_mut().all(|records| records.next().is_none()));
    }

    /// Whatever comes out of a guest is an answer or an error, never a panic, and an error changes nothing.
    #[test]
    fn noise_is_refused_or_understood(
        edits in proptest::collection::vec((0_u32..4, 0_u8..5, 0_u32..8), 0..6),
        bytes in proptest::collection::vec(any::<u8>(), 0..24),
        rejections in 0_usize..2,
        outward: bool,
    ) {
        let way = if outward { Way::Out } else { Way::In };
        let whole = batch("a=0 b=1 c=2");
        let mut draft = draft(way, Offsets::Dense, &whole);
        let actions =
            [Action::Drop, Action::Reject, Action::SetValue, Action::SetValueNull, Action::Replace];
        let edits = edits
            .into_iter()
            .map(|(index, action, argument)| Edit { index, action: actions[usize::from(action)], argument })
            .collect();
        let rejections = vec![Rejection { code: 0, reason: "no".to_owned() }; rejections];
        let answer = Answer { edits, bytes, rejections, headers: Vec::new() };
        match draft.apply(&answer) {
            Ok(changes) => {
                let Changes { kept, replaced, dropped, rejected } = changes;
                prop_assert_eq!(kept + replaced + dropped + rejected, 3);
                prop_assert_eq!(draft.count(), kept + replaced);
            }
            Err(_) => {
                prop_assert!(draft.is_unchanged());
                prop_assert_eq!(draft.into_batch().unwrap(), whole);
            }
        }
    }
}
