//! `weir check`: what it says of a history, and how it ends.

use super::{text, weir};

/// Two records acknowledged, and a reader that got them.
const GOOD: &str = r#"
{"type":"send","process":0,"number":1,"key":"uw","outcome":"ok","partition":0,"offset":0}
{"type":"send","process":0,"number":2,"key":"uw","outcome":"ok","partition":0,"offset":1}
{"type":"poll","process":1,"records":[[0,0,1],[0,1,2]]}
"#;

#[test]
fn kept_promises_end_with_zero() {
    let said = weir().run_with_input(&["check", "-", "--output", "json"], GOOD.as_bytes()).ok();
    let verdict = said.json();
    assert_eq!(verdict["ok"], true, "{said}");
    assert_eq!((&verdict["acknowledged"], &verdict["read"]), (&2.into(), &2.into()), "{said}");
    assert_eq!(verdict["findings"], serde_json::json!([]), "{said}");
    let said = weir().run_with_input(&["check", "-"], GOOD.as_bytes()).ok();
    assert_eq!(said.lines().last(), Some(&b"all promises kept"[..]), "{said}");
}

#[test]
fn a_broken_promise_is_named_and_ends_with_one() {
    let lost = GOOD.replace(",[0,1,2]", "");
    let said = weir().run_with_input(&["check", "-", "--output", "json"], lost.as_bytes());
    assert_eq!(said.status.code(), Some(1), "{said}");
    let verdict = said.json();
    assert_eq!((&verdict["ok"], &verdict["lost"]), (&false.into(), &1.into()), "{said}");
    assert_eq!(verdict["findings"][0]["rule"], "unseen", "{said}");
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, folder) = (text(&folder.path().join("missing")), text(folder.path()));
    weir().run(&["check", &missing]).refused(&["cannot read", &missing]);
    weir().run(&["check", &folder]).refused(&["it is a folder"]);
    let refused = |input: &str, words: &[&str]| {
        let said =
            weir().run_with_input(&["check", "-", "--output", "json"], input.as_bytes()).refused(words);
        assert!(said.json()["error"].is_string(), "{said}");
    };
    refused("", &["proves nothing"]);
    refused("nonsense\n", &["line 1", "no operation"]);
    refused(&format!("{GOOD}{{\"type\":\"txn\"}}"), &["line 5", "txn"]);
    refused(&format!("{GOOD}{GOOD}"), &["number 1 was sent twice"]);
}
