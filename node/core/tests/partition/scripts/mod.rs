//! Scripts: inputs as lines of text, effects as lines of text.
//!
//! ```text
//! lead EPOCH [of=REPLICATION_FACTOR]
//! append rN [lane=ID/EPOCH | producer=ID/EPOCH] [seq=S] [after=S] [n=RECORDS] [delta=D] [bytes=B] [ts=MS]
//!           [acks=0|1|all] [epoch=E] [control] [unchecked]
//! written [END]   flushed [END]   write-failed   flush-failed
//! config KEY=VALUE...   start OFFSET   tick   wait MS   resign   delete
//! read at=OFFSET [seen=EPOCH] [epoch=E]   latest [epoch=E]   end-of EPOCH   show   producers
//! restart [end=N] [flushed=N] [hw=N] [no-snapshot] [no-epochs] [no-replay]
//! ```
//!
//! Left out, a leader epoch is the one in force, `written` is everything asked for, and `flushed` is everything
//! written. A restart finds the log as it was written, cut to `end`.

mod appends;
mod interpreter;
mod producers;
mod reads;
mod restore;
mod roles;

use expect_test::Expect;

/// Runs a script and compares what it prints.
#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&interpreter::run(script));
}
