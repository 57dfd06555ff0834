//! Scripts: inputs as lines of text, effects as lines of text.
//!
//! ```text
//! wait MS                            time passes; ticks when one is wanted
//! answer N EPOCH [A/0 A/1 | none]    request N is answered with that membership; `none`: as heard
//! left N    error N CODE    lost N
//! let-go A/0...    subscribe TOPIC    close [returns]
//! may                                 what may be handed out now
//! ```

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

struct Runner {
    member: Member,
    now_ns: u64,
    out: String,
}

fn topic(name: &str) -> TopicId {
    TopicId([name.as_bytes()[0]; 16])
}

fn partitions(words: &[&str]) -> Vec<TopicPartition> {
    let each = words.iter().filter_map(|word| word.split_once('/'));
    each.map(|(name, index)| (topic(name), PartitionIndex(index.parse().unwrap()))).collect()
}

fn names<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    let each = partitions.into_iter().map(|(topic, index)| format!("{}/{index}", char::from(topic.0[0])));
    each.collect::<Vec<_>>().join(" ")
}

impl Runner {
    fn line(&mut self, line: &str) {
        writeln!(self.out, "> {line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        match words[0] {
            "wait" => {
                let end_ns = self.now_ns + number(1) * 1_000_000;
                while let Some(due_ns) = self.member.due_ns().filter(|due_ns| *due_ns <= end_ns) {
                    self.now_ns = self.now_ns.max(due_ns);
                    let before = self.out.len();
                    self.input(Input::Tick);
                    assert!(self.out.len() > before, "a tick was wanted and nothing was done");
                }
                self.now_ns = end_ns;
            }
            "answer" => {
                let assigned = partitions(&words[3..]);
                let is_news = words.get(3) != Some(&"none");
                let membership = Membership {
                    member_epoch: MemberEpoch(number(2)),
                    assignment: is_news.then(|| TopicPartitions::gather(assigned)),
                    heartbeat_interval_ms: 3_000,
                    session_timeout_ms: 15_000,
                };
                self.input(Input::Answered { request: number(1), answer: Ok(Some(membership)) });
            }
            "left" => self.input(Input::Answered { request: number(1), answer: Ok(None) }),
            "error" => {
                let code = match words[2] {
                    "unknown-member" => ErrorCode::UnknownMemberId,
                    "fenced" => ErrorCode::FencedMemberEpoch,
                    "not-coordinator" => ErrorCode::NotCoordinator,
                    "bad-pattern" => ErrorCode::InvalidRegularExpression,
                    other => panic!("unknown error '{other}'"),
                };
                self.input(Input::Answered { request: number(1), answer: Err(WireError::new(code, "no")) });
            }
            "lost" => self.input(Input::Lost { request: number(1) }),
            "let-go" => self.input(Input::LetGo(partitions(&words[1..]))),
            "subscribe" => {
                let subscription = Subscription { topics: vec![words[1].to_owned()], pattern: None };
                self.input(Input::Subscribe(subscription));
            }
            "close" => self.input(Input::Close { returns: words.contains(&"returns") }),
            "may" => {
                let held: Vec<_> = self.member.held.iter().chain(&self.member.letting_go).collect();
                let may =
                    held.into_iter().filter(|partition| self.member.may_hand_out(self.now_ns, partition));
                let line =
                    format!("  may hand out: {}; commits by {:?}", names(may), self.member.committer());
                writeln!(self.out, "{line}").unwrap();
            }
            other => panic!("unknown command '{other}'"),
        }
    }

    fn input(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.member.handle(self.now_ns, input, &mut effects);
        for effect in effects {
            let line = match effect {
                Effect::Send { request, message: Message::Join(join) } => {
                    format!("{request}: join as {} for {}", join.member, join.subscription.topics.join(","))
                }
                Effect::Send { request, message: Message::Heartbeat(beat) } => {
                    let subscription = beat
                        .subscription
                        .map_or(String::new(), |wants| format!(" wants {}", wants.topics.join(",")));
                    format!("{request}: confirm e{} heard e{}{subscription}", beat.confirmed, beat.heard)
                }
                Effect::Send { request, message: Message::Leave(leave) } => {
                    let returns = if leave.returns { ", returns" } else { "" };
                    format!("{request}: leave at e{}{returns}", leave.member_epoch)
                }
                Effect::Assigned(partitions) => format!("assigned {}", names(&partitions)),
                Effect::Revoke(partitions) => format!("revoke {}", names(&partitions)),
                Effect::Gone(partitions) => format!("gone {}", names(&partitions)),
                Effect::Failed(error) => format!("failed: {error}"),
                Effect::Left => "left".to_owned(),
            };
            writeln!(self.out, "  {line}").unwrap();
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn check(script: &str, expected: Expect) {
    let config = MemberConfig {
        group: "g".to_owned(),
        process: "p".to_owned(),
        instance: Some("i".to_owned()),
        subscription: Subscription { topics: vec!["a".to_owned()], pattern: None },
        rebalance_timeout_ms: 60_000,
    };
    let mut runner = Runner { member: Member::new(config), now_ns: 0, out: String::new() };
    script.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| runner.line(line));
    expected.assert_eq(&runner.out);
}

#[test]
fn a_member_joins_and_reads_what_it_is_given() {
    check(
        "
        wait 0
        answer 1 1
        answer 2 3 a/0 a/1
        may
        wait 3000
        answer 3 3 none
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > answer 2 3 a/0 a/1
              assigned a/0 a/1
              3: confirm e3 heard e3
            > may
              may hand out: a/0 a/1; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(3) })
            > wait 3000
            > answer 3 3 none
              4: confirm e3 heard e3
        "#]],
    );
}

#[test]
fn what_is_taken_away_is_confirmed_when_the_application_let_go() {
    check(
        "
        wait 0
        answer 1 1
        answer 2 3 a/0 a/1
        answer 3 6 a/0
        may
        wait 3000
        let-go a/1
        may
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > answer 2 3 a/0 a/1
              assigned a/0 a/1
              3: confirm e3 heard e3
            > answer 3 6 a/0
              revoke a/1
              4: confirm e3 heard e6
            > may
              may hand out: a/0; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(6) })
            > wait 3000
            > let-go a/1
              5: confirm e6 heard e6
            > may
              may hand out: a/0; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(6) })
        "#]],
    );
}

#[test]
fn what_comes_while_the_application_lets_go_is_read_at_once_and_confirmed_later() {
    check(
        "
        wait 0
        answer 1 1
        answer 2 3 a/0 a/1
        answer 3 6 a/0
        answer 4 9 a/0 b/0
        may
        let-go a/1
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > answer 2 3 a/0 a/1
              assigned a/0 a/1
              3: confirm e3 heard e3
            > answer 3 6 a/0
              revoke a/1
              4: confirm e3 heard e6
            > answer 4 9 a/0 b/0
              assigned b/0
              5: confirm e3 heard e9
            > may
              may hand out: a/0 b/0; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(9) })
            > let-go a/1
              6: confirm e9 heard e9
        "#]],
    );
}

#[test]
fn nothing_is_handed_out_a_session_after_the_last_answered_heartbeat_was_sent() {
    check(
        "
        wait 0
        answer 1 1
        wait 2000
        answer 2 3 a/0
        wait 1000
        answer 3 3 none
        wait 13999
        may
        wait 1
        may
        lost 4
        wait 200
        may
        answer 5 3 none
        may
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > wait 2000
            > answer 2 3 a/0
              assigned a/0
              3: confirm e3 heard e3
            > wait 1000
            > answer 3 3 none
            > wait 13999
              4: confirm e3 heard e3
            > may
              may hand out: a/0; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(3) })
            > wait 1
            > may
              may hand out: ; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(3) })
            > lost 4
            > wait 200
              5: confirm e3 heard e3
            > may
              may hand out: ; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(3) })
            > answer 5 3 none
            > may
              may hand out: a/0; commits by Some(Committer { member: "p.1", member_epoch: MemberEpoch(3) })
        "#]],
    );
}

#[test]
fn a_session_that_ended_ends_everything_and_the_next_life_has_another_id() {
    check(
        "
        wait 0
        answer 1 1
        answer 2 3 a/0 a/1
        answer 3 5 a/0
        error 4 unknown-member
        may
        answer 5 9
        answer 3 99 a/0
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > answer 2 3 a/0 a/1
              assigned a/0 a/1
              3: confirm e3 heard e3
            > answer 3 5 a/0
              revoke a/1
              4: confirm e3 heard e5
            > error 4 unknown-member
              gone a/0 a/1
              5: join as p.2 for a
            > may
              may hand out: ; commits by None
            > answer 5 9
              6: confirm e9 heard e9
            > answer 3 99 a/0
        "#]],
    );
}

#[test]
fn a_request_that_is_lost_is_sent_again_a_little_later() {
    check(
        "
        wait 0
        lost 1
        wait 199
        wait 1
        answer 2 1
        error 3 not-coordinator
        wait 200
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > lost 1
            > wait 199
            > wait 1
              2: join as p.1 for a
            > answer 2 1
              3: confirm e1 heard e1
            > error 3 not-coordinator
            > wait 200
              4: confirm e1 heard e1
        "#]],
    );
}

#[test]
fn a_refusal_for_good_is_the_applications_matter() {
    check(
        "
        wait 0
        error 1 bad-pattern
        wait 10000
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > error 1 bad-pattern
              failed: no (INVALID_REGULAR_EXPRESSION)
            > wait 10000
        "#]],
    );
}

#[test]
fn a_new_subscription_is_told_at_once_and_again_if_it_was_lost() {
    check(
        "
        wait 0
        answer 1 1
        answer 2 3 a/0
        subscribe b
        lost 4
        wait 200
        answer 5 5 b/0
        let-go a/0
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > answer 2 3 a/0
              assigned a/0
              3: confirm e3 heard e3
            > subscribe b
              4: confirm e3 heard e3 wants b
            > lost 4
            > wait 200
              5: confirm e3 heard e3 wants b
            > answer 5 5 b/0
              revoke a/0
              assigned b/0
            > let-go a/0
              6: confirm e5 heard e5
        "#]],
    );
}

#[test]
fn closing_lets_go_of_everything_first() {
    check(
        "
        wait 0
        answer 1 1
        answer 2 3 a/0 a/1
        close
        let-go a/0
        let-go a/1
        lost 4
        wait 200
        left 5
        wait 10000
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > answer 2 3 a/0 a/1
              assigned a/0 a/1
              3: confirm e3 heard e3
            > close
              revoke a/0 a/1
            > let-go a/0
            > let-go a/1
              4: leave at e3
            > lost 4
            > wait 200
              5: leave at e3
            > left 5
              left
            > wait 10000
        "#]],
    );
}

#[test]
fn a_member_that_returns_says_so() {
    check(
        "
        wait 0
        answer 1 1
        close returns
        error 3 unknown-member
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > answer 1 1
              2: confirm e1 heard e1
            > close returns
              3: leave at e1, returns
            > error 3 unknown-member
              left
        "#]],
    );
}

#[test]
fn closing_before_anybody_answered_ends_at_once_or_when_the_answer_is_there() {
    check(
        "
        wait 0
        close
        answer 1 1
        left 2
        ",
        expect![[r#"
            > wait 0
              1: join as p.1 for a
            > close
            > answer 1 1
              2: leave at e1
            > left 2
              left
        "#]],
    );
}
