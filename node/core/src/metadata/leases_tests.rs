//! Scripts over the lease table: what happens line by line, and what is answered.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use weir_wire::ids::{Incarnation, NodeId};

use super::leases::Leases;
use super::{Command, Image, LastLife, ProcessId, Registration};
use crate::time::Now;

/// ```text
/// at MS                  lets time pass        begin                   a new active controller
/// register N             fence N   stop N      beat N [INCARNATION]    lapsed
/// ```
#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn check(script: &str, expected: Expect) {
    let (mut image, mut leases, mut now) = (Image::default(), Leases::default(), Now::default());
    let mut out = String::new();
    for (number, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number_at = |at: usize| words.get(at).map(|word| word.parse::<u64>().unwrap());
        let node = NodeId(u32::try_from(number_at(1).unwrap_or(0)).unwrap());
        let newest = image.nodes.get(&node).map_or(Incarnation(0), |state| state.incarnation);
        let answer = match words[0] {
            "at" => {
                now.monotonic_ns = number_at(1).unwrap() * 1_000_000;
                None
            }
            "begin" => {
                leases = Leases::begin(&image, now);
                None
            }
            "register" => {
                let process = ProcessId([u8::try_from(number).unwrap(); 16]);
                apply(&mut image, &registration(node, process, newest));
                leases.follow(&image, now);
                None
            }
            "fence" => {
                apply(&mut image, &Command::FenceNode { node, incarnation: newest });
                leases.follow(&image, now);
                None
            }
            "stop" => {
                apply(&mut image, &Command::BeginShutdown { node, incarnation: newest });
                None
            }
            "beat" => {
                let incarnation = number_at(2).map_or(newest, Incarnation);
                Some(format!("{:?}", leases.heartbeat(&image, node, incarnation, now)))
            }
            "lapsed" => {
                let next = leases.next_lapse_ms(&image, now);
                Some(format!("{:?}, next in {next:?} ms", leases.lapsed(&image, now)))
            }
            other => panic!("unknown command '{other}'"),
        };
        writeln!(out, "> {line}").unwrap();
        if let Some(answer) = answer {
            writeln!(out, "  {answer}").unwrap();
        }
    }
    expected.assert_eq(&out);
}

fn apply(image: &mut Image, command: &Command) {
    image.apply(command).unwrap();
}

fn registration(node: NodeId, process: ProcessId, last: Incarnation) -> Command {
    Command::RegisterNode(Registration {
        node,
        process,
        address: format!("n{node}"),
        rack: None,
        last: Some(LastLife { incarnation: last, clean: true }),
        earlier: Vec::new(),
        cut: Vec::new(),
    })
}

#[test]
fn a_lease_runs_out_when_no_heartbeat_comes() {
    check(
        "
        register 1
        register 2
        lapsed
        at 5000
        beat 1
        at 8999
        lapsed
        at 9000
        lapsed
        fence 2
        lapsed
        beat 2
        register 2
        beat 2
        beat 2 1
        lapsed
        ",
        expect![[r#"
            > register 1
            > register 2
            > lapsed
              [], next in Some(9000) ms
            > at 5000
            > beat 1
              Kept { lease_ms: 9000 }
            > at 8999
            > lapsed
              [], next in Some(1) ms
            > at 9000
            > lapsed
              [FenceNode { node: NodeId(2), incarnation: Incarnation(1) }], next in Some(0) ms
            > fence 2
            > lapsed
              [], next in Some(5000) ms
            > beat 2
              RegisterAgain
            > register 2
            > beat 2
              Kept { lease_ms: 9000 }
            > beat 2 1
              RegisterAgain
            > lapsed
              [], next in Some(5000) ms
        "#]],
    );
}

#[test]
fn a_new_active_controller_begins_with_full_leases() {
    check(
        "
        register 1
        register 2
        register 3
        fence 3
        at 8000
        begin
        at 16999
        lapsed
        at 17000
        lapsed
        ",
        expect![[r#"
            > register 1
            > register 2
            > register 3
            > fence 3
            > at 8000
            > begin
            > at 16999
            > lapsed
              [], next in Some(1) ms
            > at 17000
            > lapsed
              [FenceNode { node: NodeId(1), incarnation: Incarnation(1) }, FenceNode { node: NodeId(2), incarnation: Incarnation(1) }], next in Some(0) ms
        "#]],
    );
}

#[test]
fn a_node_is_known_once_its_registration_is_applied() {
    check(
        "
        beat 1 1
        register 1
        beat 1 2
        beat 1 1
        stop 1
        beat 1
        ",
        expect![[r#"
            > beat 1 1
              NotKnownYet
            > register 1
            > beat 1 2
              NotKnownYet
            > beat 1 1
              Kept { lease_ms: 9000 }
            > stop 1
            > beat 1
              MayStop
        "#]],
    );
}
