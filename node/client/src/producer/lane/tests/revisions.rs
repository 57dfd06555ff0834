//! Lanes whose revision is in force no more.

use std::time::Duration;

use expect_test::expect;

use super::super::{Lane, Settings};
use super::{GUESSED, check, parse};
use crate::backoff::{Backoff, Random};
use crate::producer::ProducerConfig;

#[test]
fn what_is_in_flight_is_settled_under_its_revision_before_the_next_one() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         0 ready b2 x1 until 5000
         1 answer o1 #1 r2 retry:StaleRevision:x1
         1 ready b3 x1 until 5000
         2 metadata r2 n1@0
         3 answer o1 #0 stored:p0@0x1
         4 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            0 ready b2 x1 until 5000
                send b2 on o1 as #1 7.0 seq 1
            1 answer o1 #1 r2 retry:StaleRevision:x1
                refresh metadata
            1 ready b3 x1 until 5000
            2 metadata r2 n1@0
            3 answer o1 #0 stored:p0@0x1
                settle b1: stored p0@0 x1
                close o1
                open o2 at n1: producer 7.0 r2 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            4 opened o2
                send b2 on o2 as #1 7.0 seq 1
                send b3 on o2 as #2 7.0 seq 2
        "#]],
    );
}

/// The answer says what is in force, and that nothing was done: no further round trip, and nothing is sent twice.
#[test]
fn what_was_refused_untouched_goes_to_the_newer_revision_in_order_with_its_sequences() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         0 ready b2 x4 until 5000
         0 ready b3 x2 until 5000
         1 answer o1 #1 r2 retry:StaleRevision:x4
         2 answer o1 #0 stored:p0@0x1
         3 answer o1 #2 r2 retry:StaleRevision:x2
         4 ready b4 x1 until 5000
         5 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            0 ready b2 x4 until 5000
                send b2 on o1 as #1 7.0 seq 1
            0 ready b3 x2 until 5000
                send b3 on o1 as #2 7.0 seq 5
            1 answer o1 #1 r2 retry:StaleRevision:x4
                refresh metadata
            2 answer o1 #0 stored:p0@0x1
                settle b1: stored p0@0 x1
            3 answer o1 #2 r2 retry:StaleRevision:x2
                refresh metadata
                close o1
                open o2 at n1: producer 7.0 r2 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            4 ready b4 x1 until 5000
            5 opened o2
                send b2 on o2 as #1 7.0 seq 1
                send b3 on o2 as #2 7.0 seq 5
                send b4 on o2 as #3 7.0 seq 7
        "#]],
    );
}

/// One of them may be stored: beside it, all are sent again under the old revision, which keeps their order.
#[test]
fn what_was_refused_untouched_is_sent_again_with_what_was_not() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         0 ready b2 x1 until 5000
         1 answer o1 #1 r2 retry:StaleRevision:x1
         2 lost o1
         130 tick
         131 opened o2
         132 answer o2 #0 stored:p0@0x1
         133 answer o2 #1 stored:p0@1x1
         134 ready b3 x1 until 5000
         135 opened o3",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            0 ready b2 x1 until 5000
                send b2 on o1 as #1 7.0 seq 1
            1 answer o1 #1 r2 retry:StaleRevision:x1
                refresh metadata
            2 lost o1
                refresh metadata
            130 tick
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            131 opened o2
                send again b1 on o2 as #0 7.0 seq 0
                send again b2 on o2 as #1 7.0 seq 1
            132 answer o2 #0 stored:p0@0x1
                settle b1: stored p0@0 x1
            133 answer o2 #1 stored:p0@1x1
                settle b2: stored p0@1 x1
            134 ready b3 x1 until 5000
                close o2
                open o3 at n1: producer 7.0 r2 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            135 opened o3
                send b3 on o3 as #2 7.0 seq 2
        "#]],
    );
}

#[test]
fn nothing_new_is_sent_under_a_revision_that_was_called_stale() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         1 answer o1 #0 retry:StaleRevision:x1
         130 tick
         131 opened o2
         132 ready b2 x1 until 5000
         133 answer o2 #0 stored:p0@0x1
         134 metadata r2 n1@0",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 answer o1 #0 retry:StaleRevision:x1
                refresh metadata
            130 tick
                close o1
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            131 opened o2
                send again b1 on o2 as #0 7.0 seq 0
            132 ready b2 x1 until 5000
            133 answer o2 #0 stored:p0@0x1
                settle b1: stored p0@0 x1
                refresh metadata
            134 metadata r2 n1@0
                close o2
                open o3 at n1: producer 7.0 r2 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
        "#]],
    );
}

#[test]
fn an_old_revision_is_not_opened_again_while_the_metadata_lags() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         1 refused o1 StaleRevision
         130 tick
         200 metadata r2 n1@0",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            1 refused o1 StaleRevision
                refresh metadata
            130 tick
                refresh metadata
            200 metadata r2 n1@0
                open o2 at n1: producer 7.0 r2 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
        "#]],
    );
}

/// A batch that is not full waits until the lane wants it, and a lane without one does not go on to the new revision.
#[test]
fn an_idle_lane_at_an_old_revision_wants_the_batch_with_which_it_goes_on() {
    let config = ProducerConfig::default();
    let pause = Duration::from_millis(100);
    let mut lane = Lane::new(Settings::new(GUESSED, &config), Backoff::new(pause, pause, Random::new(1)));
    let play = |lane: &mut Lane, at_ms: u64, what: &str| {
        lane.handle(Duration::from_millis(at_ms), parse(what), &mut Vec::new());
    };
    for what in ["metadata r1 n1@0", "producer 7", "ready b1 x1 until 5000", "opened o1"] {
        play(&mut lane, 0, what);
    }
    play(&mut lane, 1, "metadata r2 n1@0");
    assert!(!lane.wants_batch(), "what is in flight must be settled first");
    play(&mut lane, 2, "answer o1 #0 stored:p0@0x1");
    assert!(lane.is_idle() && lane.wants_batch());
}

/// Its other part is stored: placed anew by the next revision it would be stored twice.
#[test]
fn a_batch_of_which_one_part_was_refused_stays_with_its_revision() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x2 until 5000
         0 opened o1
         1 answer o1 #0 stored:p0@0x1 retry:StaleRevision:x1
         2 metadata r2 n1@0
         3 opened o2",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x2 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 answer o1 #0 stored:p0@0x1 retry:StaleRevision:x1
                refresh metadata
            2 metadata r2 n1@0
                close o1
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            3 opened o2
                send again b1 on o2 as #0 7.0 seq 0
        "#]],
    );
}
