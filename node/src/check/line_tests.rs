//! Histories as text: what is read from it, what is found in it, and what is no history.

use expect_test::{Expect, expect};

use super::*;

fn finds(history: &str, expected: &Expect) {
    let (history, _) = read_history(history.as_bytes()).expect("a history");
    expected.assert_eq(&check(&history).expect("can be judged").to_string());
}

fn is_refused(history: &str, expected: &Expect) {
    let error = read_history(history.as_bytes()).expect_err("no history");
    expected.assert_eq(&error.to_string());
}

/// Three records in one partition, sent by process 0.
const SENT: &str = r#"
{"type":"send","process":0,"number":10,"key":"a","outcome":"ok","partition":0,"offset":0}
{"type":"send","process":0,"number":11,"key":"a","outcome":"ok","partition":0,"offset":1}
{"type":"send","process":0,"number":12,"key":"a","outcome":"ok","partition":0,"offset":2}
{"type":"poll","process":9,"records":[[0,0,10],[0,1,11],[0,2,12]]}
"#;

/// The same, and further operations.
fn finds_after(operations: &str, expected: &Expect) {
    finds(&format!("{SENT}{operations}"), expected);
}

#[test]
fn a_whole_history_is_read() {
    let text = r#"
        {"type":"assign","process":1,"partitions":[0]}
        {"type":"send","process":0,"number":1,"key":"a","outcome":"ok","partition":0,"offset":0,"at_ms":100}

        {"type":"send","process":0,"number":2,"outcome":"info"}
        {"type":"send","process":0,"number":3,"outcome":"fail"}
        {"type":"poll","process":1,"records":[],"at_ms":101}
        {"type":"poll","process":1,"records":[[0,0,1]],"at_ms":117}
        {"type":"made","partition":0,"offset":0,"digest":"","transforms":0}
        {"type":"snapshot","node":1,"partition":0,"leads":true,"leader_epoch":0,"log_start":0,"high_watermark":1,"log_end":1}
        {"type":"crash","process":1}"#;
    let (history, operations) = read_history(text.as_bytes()).expect("a history");
    assert_eq!(operations, 9);
    let report = check(&history).expect("can be judged");
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.sent, report.acknowledged, report.unknown, report.failed), (3, 1, 1, 1));
    assert_eq!((report.read, report.redelivered, report.lag_ms_max), (1, 0, Some(0)));
}

#[test]
fn lag_is_how_long_ago_the_next_record_was_acknowledged() {
    let text = r#"
        {"type":"send","process":0,"number":1,"outcome":"ok","partition":0,"offset":0,"at_ms":100}
        {"type":"send","process":0,"number":2,"outcome":"ok","partition":0,"offset":1,"at_ms":110}
        {"type":"send","process":0,"number":3,"outcome":"ok","partition":0,"offset":2,"at_ms":105}
        {"type":"poll","process":1,"records":[[0,0,1]],"at_ms":150}
        {"type":"poll","process":1,"records":[[0,1,2],[0,2,3]],"at_ms":160}"#;
    let (history, _) = read_history(text.as_bytes()).expect("a history");
    assert_eq!(check(&history).expect("can be judged").lag_ms_max, Some(45), "since 105");
}

#[test]
fn polls_go_on_where_they_were() {
    finds_after(
        r#"{"type":"poll","process":1,"records":[[0,0,10],[0,2,12]]}"#,
        &expect![[r#"
            int-poll-skip: 1 times
              reader 1 came from 0/0 to 0/2, past 0/1
        "#]],
    );
    finds_after(
        r#"{"type":"poll","process":1,"records":[[0,0,10]]}
           {"type":"poll","process":1,"records":[[0,2,12]]}"#,
        &expect![[r#"
            poll-skip: 1 times
              reader 1 came from 0/0 to 0/2, past 0/1
        "#]],
    );
    finds_after(
        r#"{"type":"poll","process":1,"records":[[0,1,11],[0,0,10]]}"#,
        &expect![[r#"
            int-nonmonotonic-poll: 1 times
              reader 1 got 0/0 after offset 1
        "#]],
    );
    finds_after(
        r#"{"type":"poll","process":1,"records":[[0,1,11]]}
           {"type":"poll","process":1,"records":[[0,0,10]]}"#,
        &expect![[r#"
            nonmonotonic-poll: 1 times
              reader 1 got 0/0 after offset 1
        "#]],
    );
}

#[test]
fn what_begins_anew_may_begin_anywhere() {
    for between in [
        r#"{"type":"seek","process":1,"partition":0}"#,
        r#"{"type":"crash","process":1}"#,
        r#"{"type":"assign","process":1,"partitions":[]}"#,
        r#"{"type":"subscribe","process":1}"#,
    ] {
        for [first, second] in [["[0,0,10]", "[0,2,12]"], ["[0,2,12]", "[0,0,10]"]] {
            let poll = |record| format!(r#"{{"type":"poll","process":1,"records":[{record}]}}"#);
            let (first, second) = (poll(first), poll(second));
            finds_after(&format!("{first}\n{between}\n{second}"), &expect![""]);
        }
    }
    // What stays assigned goes on.
    finds_after(
        r#"{"type":"poll","process":1,"records":[[0,0,10]]}
           {"type":"assign","process":1,"partitions":[0,1]}
           {"type":"poll","process":1,"records":[[0,2,12]]}"#,
        &expect![[r#"
            poll-skip: 1 times
              reader 1 came from 0/0 to 0/2, past 0/1
        "#]],
    );
}

#[test]
fn subscribed_readers_may_get_records_again() {
    let text = format!(
        r#"{SENT}{{"type":"subscribe","process":1}}
        {{"type":"poll","process":1,"records":[[0,0,10],[0,1,11]]}}
        {{"type":"poll","process":1,"records":[[0,0,10],[0,1,11],[0,2,12]]}}"#
    );
    let (history, _) = read_history(text.as_bytes()).expect("a history");
    let report = check(&history).expect("can be judged");
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.redelivered, 2);
    // Not within one poll.
    finds_after(
        r#"{"type":"subscribe","process":1}
           {"type":"poll","process":1,"records":[[0,0,10],[0,2,12]]}"#,
        &expect![[r#"
            int-poll-skip: 1 times
              reader 1 came from 0/0 to 0/2, past 0/1
        "#]],
    );
}

#[test]
fn what_plugins_made_is_made_once() {
    finds_after(
        r#"{"type":"made","partition":0,"offset":0,"digest":"aa","transforms":1}
           {"type":"made","partition":0,"offset":0,"digest":"bb","transforms":1}
           {"type":"made","partition":0,"offset":1,"digest":"bb","transforms":2}"#,
        &expect![[r#"
            transformed-twice: 1 times
              0/1 was transformed 2 times
            made-differently: 1 times
              0/0 was made by 'aa', and then by 'bb'
        "#]],
    );
}

#[test]
fn nodes_contradict_neither_themselves_nor_each_other() {
    let snapshot = |node, leads, epoch, [start, watermark, end]: [u64; 3]| {
        format!(r#"{{"type":"snapshot","node":{node},"partition":0,"leads":{leads},"leader_epoch":{epoch},"#)
            + &format!(r#""log_start":{start},"high_watermark":{watermark},"log_end":{end}}}"#)
    };
    let good = [
        snapshot(1, true, 1, [0, 5, 9]),
        snapshot(2, false, 1, [0, 4, 9]),
        // A new leader may know a lower high watermark, and a follower's may fall.
        snapshot(2, true, 2, [0, 4, 9]),
        snapshot(1, false, 2, [0, 3, 9]),
        snapshot(2, true, 2, [2, 9, 9]),
    ];
    finds_after(&good.join("\n"), &expect![""]);
    let bad = [
        snapshot(1, true, 1, [0, 5, 9]),
        snapshot(1, true, 1, [0, 4, 9]),
        snapshot(2, true, 1, [0, 4, 3]),
        snapshot(1, false, 0, [6, 5, 9]),
    ];
    finds_after(
        &bad.join("\n"),
        &expect![[r#"
            offset-bounds: 2 times
              node 2 said of partition 0: log start 0, high watermark 4, log end 3
              node 1 said of partition 0: log start 6, high watermark 5, log end 9
            high-watermark-backwards: 1 times
              node 1 led partition 0 in epoch 1: its high watermark fell from 5 to 4
            epoch-backwards: 1 times
              node 1 knew epoch 1 of partition 0, and then 0
            two-leaders: 1 times
              nodes 1 and 2 both led partition 0 in epoch 1
        "#]],
    );
}

#[test]
fn what_is_no_history_is_said_with_its_line() {
    is_refused("\n{\n", &expect!["line 2 is no operation: EOF while parsing an object at line 2 column 0"]);
    is_refused(
        r#"{"type":"txn"}"#,
        &expect![[
            r#"line 1 is no operation: unknown variant `txn`, expected one of `send`, `poll`, `assign`, `subscribe`, `seek`, `crash`, `made`, `snapshot` at line 1 column 13"#
        ]],
    );
    is_refused(
        r#"{"type":"send","process":0,"number":1,"outcome":"ok"}"#,
        &expect![[r#"line 1: a send with the outcome ok names its partition ("partition":0)"#]],
    );
    is_refused(
        r#"{"type":"crash","process":0,"why":1}"#,
        &expect!["line 1 is no operation: unknown field `why`, expected `process`"],
    );
    is_refused(
        r#"{"type":"send","process":0,"outcome":"ok"}"#,
        &expect!["line 1 is no operation: missing field `number`"],
    );
}
