//! Revisions of the topic's pipeline: who marks them, who reads them, what is left of them.

use expect_test::expect;

use super::check;

/// The first batch of a later revision has a marker in front of it; what is sent again under an earlier one has none.
#[test]
fn the_leader_marks_a_later_revision_once() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=3
        append r2 lane=7/0 seq=3 after=0 n=2 rev=2
        append r3 lane=8/0 seq=0 n=2
        append r4 lane=8/0 seq=2 after=0 rev=2
        append r5 rev=5
        written
        flushed
        revisions
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=3
              write r1 at 0 epoch 1
            > append r2 lane=7/0 seq=3 after=0 n=2 rev=2
              mark revision 2 at 3 epoch 1
              write r2 at 4 epoch 1
            > append r3 lane=8/0 seq=0 n=2
              write r3 at 6 epoch 1
            > append r4 lane=8/0 seq=2 after=0 rev=2
              write r4 at 8 epoch 1
            > append r5 rev=5
              mark revision 5 at 9 epoch 1
              write r5 at 10 epoch 1
            > written
              flush up to 11
            > flushed
              hw 11
              r1 stored at 0 on 1, flushed
              r2 stored at 4 on 1, flushed
              r3 stored at 6 on 1, flushed
              r4 stored at 8 on 1, flushed
              r5 stored at 10 on 1, flushed
            > revisions
              2 behind 3, 5 behind 9
              5 from 10, alone from 10
        "#]],
    );
}

/// A batch that is not stored marks nothing, nor does one that an earlier try stored.
#[test]
fn only_what_is_stored_is_marked() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=3
        append r2 lane=7/0 seq=6 after=3 rev=2
        append r3 lane=7/0 seq=0 n=3 rev=2
        revisions
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=3
              write r1 at 0 epoch 1
            > append r2 lane=7/0 seq=6 after=3 rev=2
              r2 retry: MissingPart
            > append r3 lane=7/0 seq=0 n=3 rev=2
            > revisions
              none
        "#]],
    );
}

/// A follower reads the markers off what it copies, and marks nothing again when it leads.
#[test]
fn a_follower_that_leads_knows_what_is_marked() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:3:1 3:1:1:2 4:2:1
        written
        flushed
        revisions
        lead 2
        append r1 rev=2
        append r2 rev=3
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:3:1 3:1:1:2 4:2:1
              save reigns: 1 from 0
              write the frame from 0 to 6, without 0
            > written
              flush up to 6
              report 1 to 1/1: end 6 flushed 0
            > flushed
              report 1 to 1/1: end 6 flushed 6
            > revisions
              2 behind 3
              2 from 4, alone from 4
            > lead 2
              unsubscribe 1 at 1/1
              save reigns: 1 from 0, 2 from 6
              hw 6
            > append r1 rev=2
              write r1 at 6 epoch 2
            > append r2 rev=3
              mark revision 3 at 7 epoch 2
              write r2 at 8 epoch 2
        "#]],
    );
}

/// What was cut off the log marks nothing any more.
#[test]
fn a_truncation_takes_markers_along() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:3:1 3:1:1:2 4:2:1 6:1:1:3 7:1:1
        written
        flushed
        follow 2 leader=2/1
        diverged 2 epoch=1 end=6
        truncated
        revisions
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:3:1 3:1:1:2 4:2:1 6:1:1:3 7:1:1
              save reigns: 1 from 0
              write the frame from 0 to 8, without 0
            > written
              flush up to 8
              report 1 to 1/1: end 8 flushed 0
            > flushed
              report 1 to 1/1: end 8 flushed 8
            > follow 2 leader=2/1
              unsubscribe 1 at 1/1
              subscribe 2 at 2/1 in epoch 2: end 8 flushed 8 last epoch 1
            > diverged 2 epoch=1 end=6
              truncate to 6
            > truncated
              save reigns: 1 from 0
              subscribe 3 at 2/1 in epoch 2: end 6 flushed 6 last epoch 1
            > revisions
              2 behind 3
              2 from 4, alone from 4
        "#]],
    );
}

/// Recovery finds the same markers with a snapshot and without, cut to where the log ends.
#[test]
fn a_restart_finds_the_markers_of_what_is_left() {
    check(
        "
        lead 1
        append r1 n=3
        append r2 n=2 rev=2
        append r3 rev=3
        written
        flushed
        restart
        revisions
        restart no-snapshot no-epochs
        revisions
        restart end=6 no-snapshot
        revisions
        lead 2
        append r4 rev=3
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > append r2 n=2 rev=2
              mark revision 2 at 3 epoch 1
              write r2 at 4 epoch 1
            > append r3 rev=3
              mark revision 3 at 6 epoch 1
              write r3 at 7 epoch 1
            > written
              flush up to 8
            > flushed
              hw 8
              r1 stored at 0 on 1, flushed
              r2 stored at 4 on 1, flushed
              r3 stored at 7 on 1, flushed
            > restart
              restored, 0 batches replayed
            > revisions
              2 behind 3, 3 behind 6
              3 from 7, alone from 7
            > restart no-snapshot no-epochs
              restored, 5 batches replayed
            > revisions
              2 behind 3, 3 behind 6
              3 from 7, alone from 7
            > restart end=6 no-snapshot
              restored, 3 batches replayed
            > revisions
              2 behind 3
              2 from 4, alone from 4
            > lead 2
              save reigns: 1 from 0, 2 from 6
            > append r4 rev=3
              mark revision 3 at 6 epoch 2
              write r4 at 7 epoch 2
        "#]],
    );
}

/// Deleting old records keeps the marker that holds where the log starts now.
#[test]
fn the_revision_at_the_log_start_stays_known() {
    check(
        "
        lead 1
        append r1 n=3
        append r2 n=2 rev=2
        append r3 n=2 rev=3
        append r4 n=2 rev=4
        written
        flushed
        start 8
        revisions
        append r5 rev=4
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > append r2 n=2 rev=2
              mark revision 2 at 3 epoch 1
              write r2 at 4 epoch 1
            > append r3 n=2 rev=3
              mark revision 3 at 6 epoch 1
              write r3 at 7 epoch 1
            > append r4 n=2 rev=4
              mark revision 4 at 9 epoch 1
              write r4 at 10 epoch 1
            > written
              flush up to 12
            > flushed
              hw 12
              r1 stored at 0 on 1, flushed
              r2 stored at 4 on 1, flushed
              r3 stored at 7 on 1, flushed
              r4 stored at 10 on 1, flushed
            > start 8
              log start 8
            > revisions
              3 behind 6, 4 behind 9
              4 from 10, alone from 10
            > append r5 rev=4
              write r5 at 12 epoch 1
        "#]],
    );
}
