//! Scripts: inputs as lines of text, effects as lines of text.
//!
//! ```text
//! topic NAME PARTITIONS   untopic NAME   old-topics          the metadata moves (or comes late)
//! join M [topics=A,B] [pattern=P] [instance=I] [rebalance=MS]
//! beat M [confirmed=E] [heard=E] [wait=MS] [topics=A,B] [pattern=P]
//! leave M [epoch=E] [returns]
//! commit [M] [epoch=E] [leader=E] [metadata=BYTES] A/0=OFFSET...
//! ends A/0=OFFSET...      the log ends that the shell knows
//! fetch [A/0...]   delete-offsets A/0...   reset [dry-run] A/0=OFFSET...
//! list   describe   delete   assignor [NAME]   explain [NAME]   config KEY=VALUE
//! wait MS   tick   stop   failover [lose]
//! hold   committed        writes are committed at once, unless held
//! manual   answer RULE|late|M:A/0,A/1...      assignors answer at once, unless told by hand
//! ```
//!
//! Everything is about group `g`, unless `group=` says otherwise. A member confirms and names, unless told otherwise,
//! the newest epoch that it heard of. Times are milliseconds.

mod assigning;
mod bad_input;
mod delivery;
mod failing_over;
mod interpreter;
mod looking_after;
mod offsets;
mod reconciling;
mod sessions;
mod static_members;

use expect_test::Expect;

/// Runs a script and compares what it prints.
#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&interpreter::run(script));
}
