//! Scripts: commands as lines of text, answers and changed partitions as lines of text.
//!
//! ```text
//! register N... [process=P] [last=I | wiped] [unclean] [earlier=P,P] [rack=R] [cut=T/I:EPOCH@END,T/I:-@0]
//! fence N [inc=I]      stop N [inc=I]      fail N T/I... [inc=I]
//! create T [p=N] [rf=N] [KEY=VALUE]...      grow T N      delete T
//! alter T/I by=N isr=N,N@INC [flushed=N] [epoch=E] [pepoch=E] [inc=I]
//! elect preferred|unclean [T/I]
//! reassign T/I to=N,N      cancel T/I      drain N [off]      remove N      emptying N      filling N
//! config T [KEY=VALUE]... [-KEY]...      node-config all|N [KEY=VALUE]... [-KEY]...
//! push P@V [kind=producer|consumer|partitioner|assignor] [bytes=N] [wasi]      forget P@V
//! stage T [chain=P@V,P@V] [placer=P@V] [readers=P@V] [expected=R] [policy=NAME] [bytes=N]      new-topics [chain=...]...
//! ready T/R NODE [inc=I] [failed]      activate T R [expected=R] [without=N,N]      rollback T [expected=R] [traps]
//! retire MS      pipelines T
//! grant N      show      nodes      hosted N      offline T/I      moves      rebalance      may-stop N
//! ```
//!
//! Left out, an incarnation or an epoch is the one that holds, a process is a new one, `last` is the node's newest
//! incarnation, stopped politely.

mod altering;
mod caching;
mod configs;
mod elections;
mod failing;
mod interpreter;
mod lives;
mod pipelines;
mod plugins;
mod reassigning;
mod topics;

use expect_test::Expect;

/// Runs a script and compares what it prints.
#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&interpreter::run(script));
}
