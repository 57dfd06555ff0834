//! What goes, what stays, and that nothing gets past.

use serde_json::{Map, Value, json};
use weir_plugin::testing::{Binding, Fate, TestRecord, golden};
use weir_plugin_redact::Redact;

#[test]
fn golden() {
    let answers = golden::producer::<Redact>(include_str!("../golden/records.ndjson"));
    expect_test::expect_file!["../golden/records.out"].assert_eq(&answers);
}

/// What `remove` and `mask` mean, said in the simplest way.
fn redacted(value: &Value, path: &[&str], remove: &[Vec<&str>], mask: &[Vec<&str>]) -> Option<Value> {
    let leads_here = |paths: &[Vec<&str>]| {
        let steps_are_equal = |steps: &[&str]| {
            steps.len() == path.len()
                && steps.iter().zip(path).all(|(step, name)| *step == "*" || step == name)
        };
        paths.iter().any(|steps| steps_are_equal(steps))
    };
    if !path.is_empty() && leads_here(remove) {
        return None;
    }
    if !path.is_empty() && leads_here(mask) {
        return Some(json!("***"));
    }
    let within = |name| [path, &[name]].concat();
    Some(match value {
        Value::Object(members) => {
            let kept = members.iter().filter_map(|(name, value)| {
                Some((name.clone(), redacted(value, &within(name), remove, mask)?))
            });
            Value::Object(kept.collect())
        }
        Value::Array(elements) => {
            // No name: only `*` leads to an element.
            let kept = elements.iter().filter_map(|value| redacted(value, &within("\0"), remove, mask));
            Value::Array(kept.collect())
        }
        other => other.clone(),
    })
}

fn some_value(random: &mut fastrand::Rng, depth: usize) -> Value {
    match random.u8(..if depth == 0 { 4 } else { 9 }) {
        0 => Value::Null,
        1 => json!(random.i32(..)),
        2 => json!("a \" { [ , \\ ] } \u{e9}"),
        3 => json!(true),
        4..=5 => (0..random.usize(..4)).map(|_| some_value(random, depth - 1)).collect(),
        _ => {
            let names = ["a", "b", "c", "d\"e"];
            let members = (0..random.usize(..5))
                .map(|_| random.choice(names).expect("there are names"))
                .collect::<Vec<_>>();
            let members = members.into_iter().map(|name| (name.to_owned(), some_value(random, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

fn some_paths(random: &mut fastrand::Rng) -> Vec<Vec<&'static str>> {
    let step = |random: &mut fastrand::Rng| random.choice(["a", "b", "c", "*"]).expect("there are names");
    (0..random.usize(1..4)).map(|_| (0..random.usize(1..4)).map(|_| step(random)).collect()).collect()
}

/// Random values, written compactly and with blanks, under random paths: the answer is JSON and means what
/// [`redacted`] says.
#[test]
fn what_is_left_is_what_should_be_left() {
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..3_000 {
        let (remove, mask) = (some_paths(&mut random), some_paths(&mut random));
        let option =
            |paths: &[Vec<&str>]| paths.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(",");
        let binding = Binding::of(&[("remove", &option(&remove)), ("mask", &option(&mask))]);
        let values: Vec<_> = (0..5).map(|_| some_value(&mut random, 4)).collect();
        let write = |value: &Value| {
            if round % 2 == 0 { value.to_string() } else { serde_json::to_string_pretty(value).unwrap() }
        };
        let records: Vec<_> = values.iter().map(|value| TestRecord::of_value(write(value))).collect();
        for (value, fate) in values.iter().zip(binding.send::<Redact>(&records).unwrap()) {
            let expected = redacted(value, &[], &remove, &mask).unwrap();
            match fate {
                Fate::Kept => assert_eq!(*value, expected, "remove {remove:?}, mask {mask:?}"),
                changed => {
                    let left: Value = serde_json::from_str(changed.new_value())
                        .unwrap_or_else(|e| panic!("{e}: {value} -> {}", changed.new_value()));
                    assert_eq!(left, expected, "remove {remove:?}, mask {mask:?} of {value}");
                }
            }
        }
    }
}

#[test]
fn equal_values_have_equal_hashes_and_salts_tell_them_apart() {
    let hashed = |salt: &str, value: &str| {
        let binding = Binding::of(&[("hash", "a"), ("salt", salt)]);
        let fates = binding.send::<Redact>(&[TestRecord::of_value(format!("{{\"a\":{value}}}"))]).unwrap();
        fates[0].new_value().to_owned()
    };
    let one = hashed("0123456789abcdef", r#""mail""#);
    assert_eq!(hashed("0123456789abcdef", r#""\u006dail""#), one, "the same characters");
    assert_ne!(hashed("0123456789abcdeg", r#""mail""#), one);
    assert_ne!(hashed("0123456789abcdef", r#""nail""#), one);
    assert!(!one.contains("mail"));
}
