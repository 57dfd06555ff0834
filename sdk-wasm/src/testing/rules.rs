//! The contract's rules for answers, as a node checks them.

use std::collections::BTreeSet;

use super::record::{Fate, TestRecord};
use crate::assignment::{Member, Topic, TopicPartitions};
use crate::edits::{Action, Answer, Content, HeaderValue};

/// Which way a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Produce,
    Consume,
}

/// What becomes of each record.
///
/// # Panics
/// If the answer breaks a rule.
pub(super) fn apply(answer: &Answer, records: &[TestRecord], way: Way, answer_bytes_max: u32) -> Vec<Fate> {
    let mut fates = vec![Fate::Kept; records.len()];
    let mut rest = answer.bytes.as_slice();
    let mut next = 0;
    for edit in &answer.edits {
        let at = usize::try_from(edit.index).expect("an index fits memory");
        assert!(at < records.len(), "record {at} was edited, but the batch has {}", records.len());
        assert!(at >= next, "record {at} was edited after record {}", next - 1);
        next = at + 1;
        let mut take = |length: u32| {
            let length = usize::try_from(length).expect("a length fits memory");
            let (front, behind) =
                rest.split_at_checked(length).expect("an edit takes more bytes than there are");
            rest = behind;
            front
        };
        fates[at] = match edit.action {
            Action::Drop => Fate::Dropped,
            Action::Reject(of) => {
                assert!(way == Way::Produce, "nothing can be rejected on its way to a consumer");
                let of = usize::try_from(of).expect("an index fits memory");
                let rejection =
                    answer.rejections.get(of).expect("an edit names a rejection that is not there");
                Fate::rejected(rejection.code, &rejection.reason)
            }
            Action::SetValue(length) => {
                Fate::Changed(TestRecord { value: Some(take(length).to_vec()), ..records[at].clone() })
            }
            Action::SetValueNull => Fate::Changed(records[at].clone().tombstone()),
            Action::Replace(length) => {
                let content = Content::read(take(length)).expect("a replacement is no whole content");
                Fate::Changed(records[at].with(&content))
            }
        };
    }
    assert!(rest.is_empty(), "{} bytes of the answer belong to no edit", rest.len());
    append_headers(&answer.append_headers, records, &mut fates, way);
    let reasons: usize = answer.rejections.iter().map(|rejection| rejection.reason.len()).sum();
    let headers: usize = answer.append_headers.iter().map(|(name, _)| name.len()).sum();
    let bytes = answer.bytes.len() + reasons + headers;
    let fits = u32::try_from(bytes).is_ok_and(|bytes| bytes <= answer_bytes_max);
    assert!(fits, "the answer has {bytes} bytes, more than the {answer_bytes_max} that the binding allows");
    fates
}

fn append_headers(appended: &[(String, HeaderValue)], records: &[TestRecord], fates: &mut [Fate], way: Way) {
    for (name, value) in appended {
        let value = match (value, value.fact()) {
            (HeaderValue::Bytes(bytes), _) => bytes.clone(),
            (_, Some(fact)) => {
                assert!(way == Way::Produce, "{fact} is not known on the way to a consumer");
                format!("<{fact}>").into_bytes()
            }
            (_, None) => unreachable!("what is not bytes is a fact"),
        };
        for (fate, record) in fates.iter_mut().zip(records) {
            if *fate == Fate::Kept {
                *fate = Fate::Changed(record.clone());
            }
            if let Fate::Changed(changed) = fate {
                changed.headers.push((name.clone(), Some(value.clone())));
            }
        }
    }
}

/// # Panics
/// If there is not one partition below `partitions` for each of `keys` keys.
pub(super) fn check_partitions(answer: &[u32], keys: usize, partitions: u32) {
    assert_eq!(answer.len(), keys, "one partition per key");
    let stray = answer.iter().find(|partition| **partition >= partitions);
    assert!(stray.is_none(), "partition {stray:?} of a topic that has {partitions}");
}

/// # Panics
/// If not every partition of every topic is given exactly once, to a member that subscribes to it.
pub(super) fn check_assignment(answer: &[Vec<TopicPartitions>], members: &[Member], topics: &[Topic]) {
    assert_eq!(answer.len(), members.len(), "one entry per member");
    let mut given = BTreeSet::new();
    for (of_member, member) in answer.iter().zip(members) {
        for TopicPartitions { topic, partitions } in of_member {
            let who = &member.member_id;
            assert!(
                member.subscribes(*topic),
                "{who} got partitions of topic {topic} and does not subscribe"
            );
            for partition in partitions {
                assert!(given.insert((*topic, *partition)), "{topic}p{partition} is given twice");
            }
        }
    }
    let wanted = (0..).zip(topics).flat_map(|(topic, of)| (0..of.partitions).map(move |at| (topic, at)));
    assert_eq!(given, wanted.collect(), "every partition is given, and no other");
}
