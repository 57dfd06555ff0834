//! Scripts: inputs as lines of text, effects as lines of text.
//!
//! ```text
//! lead EPOCH [of=REPLICATION_FACTOR] [isr=N,N] [lives=I,I] [pe=PARTITION_EPOCH] [ineligible=N] [unflushed=N,N]
//! append rN [lane=ID/EPOCH | producer=ID/EPOCH] [seq=S] [after=S] [n=RECORDS] [delta=D] [bytes=B] [ts=MS]
//!           [acks=0|1|all] [epoch=E] [rev=REVISION] [control] [unchecked]
//! written [END]   flushed [END]   write-failed   flush-failed
//! config KEY=VALUE...   start OFFSET   tick   wait MS   resign   delete
//! read at=OFFSET [seen=EPOCH] [epoch=E]   latest [epoch=E]   end-of EPOCH   show   draw   producers   revisions
//! follow EPOCH [leader=N/I] [pe=PARTITION_EPOCH] [as=N/I] [unclean]
//! subscribe N/I sub=S end=N [flushed=N] [last=EPOCH] [epoch=EPOCH] [leader=N/I]
//! report N/I sub=S end=N [flushed=N]   unsubscribe N/I sub=S   isr-refused P   isr-unknown P
//! subscribed S   diverged S epoch=E end=N   out-of-range S start=N   refused S   ended S   truncated
//! frame S from=N [AT:RECORDS:EPOCH... AT:1:EPOCH:MARKED_REVISION...] [hw=N] [start=N]
//! restart [end=N] [flushed=N] [hw=N] [no-snapshot] [no-epochs] [no-replay]
//! ```
//!
//! Left out, a leader epoch is the one in force, `written` is everything asked for, and `flushed` is everything
//! written. This replica is node 0 in its first life, and of the other lives each is the first. A restart finds the log as
//! it was written, cut to `end`.

mod appends;
mod caching;
mod committed;
mod followers;
mod interpreter;
mod isr;
mod pictures;
mod producers;
mod reads;
mod replication;
mod restore;
mod revisions;
mod roles;
mod subscriptions;

use expect_test::Expect;

/// Runs a script and compares what it prints.
#[expect(clippy::needless_pass_by_value, reason = "as expect_test's own helpers are called")]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&interpreter::run(script));
}
