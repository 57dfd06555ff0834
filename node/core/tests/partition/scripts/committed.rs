//! A follower never gives up what it knows to be committed because its leader lacks it (INVARIANTS 11), unless the metadata
//! says that somebody leads who may lack it.

use expect_test::expect;

use super::check;

#[test]
fn who_would_have_to_cut_what_is_committed_stops_for_good() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:10:1 from=0 hw=8
        written
        flushed
        follow 2 leader=2/1
        diverged 2 epoch=1 end=7
        show
        tick
        lead 3
        append r1
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed sub=1
            > frame 1 0:10:1 from=0 hw=8
              save reigns: 1 from 0
              write the frame from 0 to 10, without 0
            > written
              flush up to 10
              report 1 to 1/1: end 10 flushed 0
            > flushed
              hw 8
              report 1 to 1/1: end 10 flushed 10
            > follow 2 leader=2/1
              unsubscribe 1 at 1/1
              subscribe 2 at 2/1 in epoch 2: end 10 flushed 10 last epoch 1
            > diverged 2 epoch=1 end=7
              retired: WouldCutCommitted { to: Offset(7), high_watermark: Offset(8) }
            > show
              start 0 hw 8 flushed 10 written 10 end 10
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
            > tick
            > lead 3
            > append r1
              r1 retry: Retired(WouldCutCommitted { to: Offset(7), high_watermark: Offset(8) })
        "#]],
    );
}

#[test]
fn what_is_not_committed_is_cut_and_what_was_given_up_too() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:4:1 4:4:1 8:2:1 from=0 hw=8
        written
        flushed
        follow 2 leader=2/1
        diverged 2 epoch=1 end=8
        truncated
        follow 3 leader=2/1 unclean
        diverged 4 epoch=1 end=4
        truncated
        show
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed sub=1
            > frame 1 0:4:1 4:4:1 8:2:1 from=0 hw=8
              save reigns: 1 from 0
              write the frame from 0 to 10, without 0
            > written
              flush up to 10
              report 1 to 1/1: end 10 flushed 0
            > flushed
              hw 8
              report 1 to 1/1: end 10 flushed 10
            > follow 2 leader=2/1
              unsubscribe 1 at 1/1
              subscribe 2 at 2/1 in epoch 2: end 10 flushed 10 last epoch 1
            > diverged 2 epoch=1 end=8
              truncate to 8
            > truncated
              save reigns: 1 from 0
              subscribe 3 at 2/1 in epoch 2: end 8 flushed 8 last epoch 1
            > follow 3 leader=2/1 unclean
              unsubscribe 3 at 2/1
              subscribe 4 at 2/1 in epoch 3: end 8 flushed 8 last epoch 1
            > diverged 4 epoch=1 end=4
              truncate to 4
            > truncated
              save reigns: 1 from 0
              hw 4
              subscribe 5 at 2/1 in epoch 3: end 4 flushed 4 last epoch 1
            > show
              start 0 hw 4 flushed 4 written 4 end 4
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
        "#]],
    );
}

/// All of a log is thrown away only where nothing that is committed goes with it: records below the leader's log start
/// went by retention.
#[test]
fn starting_over_below_what_is_committed_is_refused_too() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:10:1 from=0 hw=10
        written
        flushed
        follow 2 leader=2/1
        out-of-range 2 start=20
        truncated
        follow 3 leader=1/1
        out-of-range 4 start=3
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed sub=1
            > frame 1 0:10:1 from=0 hw=10
              save reigns: 1 from 0
              write the frame from 0 to 10, without 0
            > written
              flush up to 10
              report 1 to 1/1: end 10 flushed 0
            > flushed
              hw 10
              report 1 to 1/1: end 10 flushed 10
            > follow 2 leader=2/1
              unsubscribe 1 at 1/1
              subscribe 2 at 2/1 in epoch 2: end 10 flushed 10 last epoch 1
            > out-of-range 2 start=20
              start over at 20
            > truncated
              save reigns: 
              hw 20
              log start 20
              subscribe 3 at 2/1 in epoch 2: end 20 flushed 20 last epoch none
            > follow 3 leader=1/1
              unsubscribe 3 at 2/1
              subscribe 4 at 1/1 in epoch 3: end 20 flushed 20 last epoch none
            > out-of-range 4 start=3
              retired: WouldCutCommitted { to: Offset(3), high_watermark: Offset(20) }
        "#]],
    );
}

#[test]
fn the_newest_metadata_of_a_reign_says_whether_committed_records_are_given_up() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:10:1 from=0 hw=10
        written
        flushed
        follow 2 leader=2/1 unclean
        follow 2 leader=2/1 pe=3
        diverged 2 epoch=1 end=7
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed sub=1
            > frame 1 0:10:1 from=0 hw=10
              save reigns: 1 from 0
              write the frame from 0 to 10, without 0
            > written
              flush up to 10
              report 1 to 1/1: end 10 flushed 0
            > flushed
              hw 10
              report 1 to 1/1: end 10 flushed 10
            > follow 2 leader=2/1 unclean
              unsubscribe 1 at 1/1
              subscribe 2 at 2/1 in epoch 2: end 10 flushed 10 last epoch 1
            > follow 2 leader=2/1 pe=3
            > diverged 2 epoch=1 end=7
              retired: WouldCutCommitted { to: Offset(7), high_watermark: Offset(10) }
        "#]],
    );
}
