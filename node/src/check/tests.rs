//! Each fault is planted into a clean history and must be found, by its own rule.

use expect_test::{Expect, expect};
use proptest::prelude::{Strategy, any};
use proptest::test_runner::{Config, TestRunner};
use weir_wire::ids::{Offset, PartitionIndex};

use super::*;

/// Ten records of keys `a`, `b`, `c`, each key in the partition of its own; acknowledged and read in order.
fn clean() -> History {
    history(&(0..10).map(|number| number % 3).collect::<Vec<_>>())
}

/// One record per entry, which says its key and partition.
fn history(keys: &[u32]) -> History {
    let mut history = History::default();
    let mut next = std::collections::BTreeMap::<u32, u64>::new();
    for (number, key) in (0..).zip(keys) {
        let offset = next.entry(*key).or_default();
        let name = char::from_u32(u32::from(b'a') + key).expect("a letter").to_string();
        let (key, partition) = (Some(history.key(name.as_bytes())), PartitionIndex(*key));
        let outcome = Outcome::Acknowledged { partition, offset: Some(Offset(*offset)) };
        history.sends.push(Sent { process: 0, number, key, outcome });
        history.reads.push(Read { reader: 0, partition, offset: Offset(*offset), number: Some(number) });
        *offset += 1;
    }
    history
}

fn finds(plant: impl FnOnce(&mut History), expected: &Expect) {
    let mut history = clean();
    plant(&mut history);
    expected.assert_eq(&check(&history).expect("a history that can be judged").to_string());
}

#[test]
fn a_clean_history_is_clean() {
    let report = check(&clean()).expect("can be judged");
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.sent, report.acknowledged, report.read), (10, 10, 10));
    assert!(check(&History::default()).expect("can be judged").is_clean());
}

/// Where the rule that places records was changed once, a key may move once, with all that comes after.
#[test]
fn a_key_that_moves_is_found_unless_it_may_and_moves_as_a_whole() {
    let move_to = |history: &mut History, numbers: &[u64]| {
        for (offset, number) in (0..).zip(numbers) {
            let (partition, offset) = (PartitionIndex(7), Offset(offset));
            let at = usize::try_from(*number).unwrap();
            history.sends[at].outcome = Outcome::Acknowledged { partition, offset: Some(offset) };
            history.reads[at] = Read { reader: 0, partition, offset, number: Some(*number) };
        }
    };
    finds(
        |history| move_to(history, &[6, 9]),
        &expect![[r#"
        key-split: 1 times
          key a has records in partition 0 and in 7
    "#]],
    );
    finds(
        |history| {
            history.moves = 1;
            move_to(history, &[6]);
        },
        &expect![[r#"
            key-split: 1 times
              key a has records in partition 0 and in 7
        "#]],
    );
    finds(
        |history| {
            history.moves = 1;
            move_to(history, &[6, 9]);
        },
        &expect![[r#""#]],
    );
    let and_back = |moves: usize| {
        move |history: &mut History| {
            history.moves = moves;
            move_to(history, &[6]);
        }
    };
    finds(and_back(2), &expect![[r#""#]]);
}

#[test]
fn a_lost_write_is_found() {
    finds(
        |history| {
            history.reads.remove(4);
        },
        &expect![[r#"
            lost-write: 1 times
              number 4 at 1/1: missing, though 1/2 was read
        "#]],
    );
}

#[test]
fn an_unseen_record_is_found() {
    finds(
        |history| {
            history.reads.pop();
        },
        &expect![[r#"
            unseen: 1 times
              number 9 at 0/3: reading ended at 0/2
        "#]],
    );
    finds(
        |history| {
            history.sends[3].outcome = Outcome::Acknowledged { partition: PartitionIndex(0), offset: None };
            history.reads.remove(3);
        },
        &expect![[r#"
            unseen: 1 times
              number 3, somewhere in partition 0
        "#]],
    );
    finds(
        |history| {
            history.sends[3].outcome = Outcome::Counted;
            history.reads.remove(3);
        },
        &expect![[r#"
            unseen: 1 times
              number 3, somewhere
        "#]],
    );
}

#[test]
fn nothing_read_at_all_is_found() {
    let mut history = clean();
    history.reads.clear();
    let report = check(&history).expect("can be judged");
    assert_eq!((report.lost(), report.count(Rule::Unseen)), (10, 10));
}

#[test]
fn a_record_stored_twice_is_found() {
    finds(
        |history| history.reads.push(Read { offset: Offset(4), ..history.reads[0] }),
        &expect![[r#"
            duplicate: 1 times
              number 0 stands at 0/0 and at 0/4
        "#]],
    );
    // In another partition it is a duplicate too, and not a split key.
    finds(
        |history| {
            let read = Read { partition: PartitionIndex(2), offset: Offset(3), ..history.reads[0] };
            history.reads.push(read);
        },
        &expect![[r#"
            duplicate: 1 times
              number 0 stands at 0/0 and at 2/3
        "#]],
    );
}

#[test]
fn an_acknowledgement_that_names_another_place_is_found() {
    finds(
        |history| {
            let elsewhere = Outcome::Acknowledged { partition: PartitionIndex(0), offset: Some(Offset(77)) };
            history.sends[9].outcome = elsewhere;
        },
        &expect![[r#"
            duplicate: 1 times
              number 9 stands at 0/3 and at 0/77
        "#]],
    );
}

#[test]
fn a_place_read_again_is_found() {
    finds(
        |history| history.reads.insert(4, history.reads[3]),
        &expect![[r#"
            reread: 1 times
              reader 0 got 0/1 again
        "#]],
    );
}

#[test]
fn two_records_at_one_place_are_found() {
    finds(
        |history| history.reads.push(Read { reader: 1, number: Some(6), ..history.reads[3] }),
        &expect![[r#"
            duplicate: 1 times
              number 6 stands at 0/1 and at 0/2
            inconsistent-offsets: 1 times
              0/1 held number 3 and number 6
        "#]],
    );
}

#[test]
fn a_failed_record_that_is_read_is_found() {
    finds(
        |history| history.sends[2].outcome = Outcome::Failed,
        &expect![[r#"
            G1a: 1 times
              2/0 holds number 2, which was said to have failed
        "#]],
    );
}

#[test]
fn records_that_nobody_sent_are_found() {
    finds(
        |history| {
            history.reads.push(Read { offset: Offset(4), number: None, ..history.reads[9] });
            history.reads.push(Read { offset: Offset(5), number: Some(4711), ..history.reads[9] });
        },
        &expect![[r#"
            foreign: 2 times
              0/4 holds something that nobody sent
              0/5 holds number 4711, which nobody sent
        "#]],
    );
}

#[test]
fn a_reader_that_is_led_backwards_is_found() {
    finds(
        |history| history.reads.swap(0, 3),
        &expect![[r#"
            nonmonotonic-poll: 1 times
              reader 0 got 0/0 after offset 1
        "#]],
    );
}

#[test]
fn records_of_a_key_in_the_wrong_order_are_found() {
    finds(
        |history| {
            let (first, later) = (history.sends[0].outcome, history.sends[3].outcome);
            (history.sends[0].outcome, history.sends[3].outcome) = (later, first);
            (history.reads[0].number, history.reads[3].number) = (Some(3), Some(0));
        },
        &expect![[r#"
            nonmonotonic-send: 1 times
              key a: number 0 at 0/1 stands behind 3 at 0/0, sent later
        "#]],
    );
}

#[test]
fn a_key_in_two_partitions_is_found() {
    finds(
        |history| {
            let partition = PartitionIndex(7);
            history.sends[9].outcome = Outcome::Acknowledged { partition, offset: Some(Offset(0)) };
            history.reads[9] = Read { partition, offset: Offset(0), ..history.reads[9] };
        },
        &expect![[r#"
            key-split: 1 times
              key a has records in partition 0 and in 7
        "#]],
    );
}

#[test]
fn records_of_unknown_outcome_may_be_there_or_not() {
    let mut history = clean();
    history.sends[2].outcome = Outcome::Unknown;
    history.sends[9].outcome = Outcome::Unknown;
    history.reads.pop();
    let report = check(&history).expect("can be judged");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.unknown, 2);
}

#[test]
fn several_readers_are_judged_apart_but_know_together() {
    let mut history = clean();
    let second: Vec<Read> = history.reads.iter().map(|read| Read { reader: 1, ..*read }).collect();
    history.reads.extend(second);
    // Each misses something at the start of a partition that the other has: it began later.
    history.reads.remove(11);
    history.reads.remove(2);
    let report = check(&history).expect("can be judged");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_reader_that_is_led_past_a_record_is_found() {
    finds(
        |history| {
            let second: Vec<Read> = history.reads.iter().map(|read| Read { reader: 1, ..*read }).collect();
            history.reads.extend(second);
            history.reads.remove(3);
        },
        &expect![[r#"
            poll-skip: 1 times
              reader 0 came from 0/0 to 0/2, past 0/1
        "#]],
    );
}

#[test]
fn order_is_asked_of_each_process_alone() {
    let swap = |history: &mut History| {
        let (first, later) = (history.sends[0].outcome, history.sends[3].outcome);
        (history.sends[0].outcome, history.sends[3].outcome) = (later, first);
        (history.reads[0].number, history.reads[3].number) = (Some(3), Some(0));
    };
    finds(
        |history| {
            swap(history);
            history.sends[3].process = 1;
        },
        &expect![""],
    );
    finds(
        |history| {
            swap(history);
            history.sends[3].key = None;
        },
        &expect![""],
    );
}

#[test]
fn examples_are_bounded_and_counts_are_not() {
    let mut history = clean();
    history.reads.truncate(1);
    let report = check(&history).expect("can be judged");
    assert_eq!(report.lost(), 9);
    assert_eq!(report.findings[&Rule::Unseen].examples.len(), Finding::EXAMPLES_MAX);
}

#[test]
fn a_number_sent_twice_cannot_be_judged() {
    let mut history = clean();
    history.sends.push(history.sends[4]);
    assert_eq!(check(&history), Err(HistoryError::NumberSentTwice(4)));
}

/// Whatever the history: clean it is clean, and of several readings removed every one is missed. The case that fails
/// is printed.
#[test]
fn every_missing_record_of_any_history_is_missed() {
    let inputs = (proptest::collection::vec(0..5_u32, 1..200), any::<proptest::sample::Index>(), 1..20_usize);
    let inputs = inputs.prop_map(|(keys, at, count)| {
        let from = at.index(keys.len());
        let to = (from + count).min(keys.len());
        (keys, from, to)
    });
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&inputs, |(keys, from, to)| {
        let mut history = history(&keys);
        proptest::prop_assert!(check(&history).expect("can be judged").is_clean());
        history.reads.drain(from..to);
        let report = check(&history).expect("can be judged");
        proptest::prop_assert_eq!(report.lost(), (to - from) as u64);
        proptest::prop_assert_eq!(report.lost() + report.read, report.acknowledged);
        Ok(())
    });
    outcome.expect("holds");
}
