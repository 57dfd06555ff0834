//! Coming back from disk.

use expect_test::expect;

use super::check;

#[test]
fn a_clean_restart_replays_nothing_and_remembers_everything() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=3
        append r2 producer=8/0 seq=0 n=2
        written
        flushed
        restart
        show
        producers
        append r3 lane=7/0 seq=0 n=3
        lead 1
        lead 2
        append r4 lane=7/0 seq=0 n=3
        append r5 producer=8/0 seq=0 n=2
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=3
              write r1 at 0 epoch 1
            > append r2 producer=8/0 seq=0 n=2
              write r2 at 3 epoch 1
            > written
              flush up to 5
            > flushed
              hw 5
              r1 stored at 0 on 1, flushed
              r2 stored at 3 on 1, flushed
            > restart
              restored, 0 batches replayed
            > show
              start 0 hw 5 flushed 5 written 5 end 5
              waiting 0 producers 2 evicted 0 expired 0
              reigns: 1 from 0
            > producers
              7/0: 0x3 at 0
              8/0: 0x2 at 3
            > append r3 lane=7/0 seq=0 n=3
              r3 retry: NotLeader
            > lead 1
              refused to lead 1, the log has 1
            > lead 2
              save reigns: 1 from 0, 2 from 5
            > append r4 lane=7/0 seq=0 n=3
              r4 stored at 0 on 1, flushed, duplicate
            > append r5 producer=8/0 seq=0 n=2
              r5 stored at 3 on 1, flushed, duplicate
        "#]],
    );
}

#[test]
fn an_unclean_restart_replays_the_log_and_flushes_before_it_commits() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=3
        append r2 lane=7/0 seq=3 n=3 after=0
        append r3 lane=7/0 seq=6 n=3 after=3
        written
        restart end=6 flushed=3 hw=0 no-snapshot
        lead 2
        latest
        append r4 lane=7/0 seq=3 n=3
        append r5 lane=7/0 seq=6 n=3 after=3
        flushed
        latest
        show
        producers
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=3
              write r1 at 0 epoch 1
            > append r2 lane=7/0 seq=3 n=3 after=0
              write r2 at 3 epoch 1
            > append r3 lane=7/0 seq=6 n=3 after=3
              write r3 at 6 epoch 1
            > written
              flush up to 9
            > restart end=6 flushed=3 hw=0 no-snapshot
              restored, 2 batches replayed
            > lead 2
              save reigns: 1 from 0, 2 from 6
              flush up to 6
              hw 3
            > latest
              refused: a new leader has not yet found out where the committed log ends: try again
            > append r4 lane=7/0 seq=3 n=3
            > append r5 lane=7/0 seq=6 n=3 after=3
              write r5 at 6 epoch 2
            > flushed
              hw 6
              r4 stored at 3 on 1, flushed, duplicate
            > latest
              6
            > show
              start 0 hw 6 flushed 6 written 6 end 9
              waiting 1 producers 1 evicted 0 expired 0
              reigns: 1 from 0, 2 from 6
            > producers
              7/0: 0x3 at 0, 3x3 at 3, 6x3 at 6
        "#]],
    );
}

#[test]
fn without_checkpoints_everything_is_read_off_the_log() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=3 acks=0
        lead 2
        lead 3
        append r2 lane=8/0 seq=0 n=3 acks=0
        written
        flushed
        lead 4
        start 1
        restart no-epochs no-snapshot
        show
        producers
        restart no-epochs
        show
        producers
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=3 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > lead 2
              save reigns: 1 from 0, 2 from 3
            > lead 3
              save reigns: 1 from 0, 3 from 3
            > append r2 lane=8/0 seq=0 n=3 acks=0
              write r2 at 3 epoch 3
              r2 stored at 3 on 0
            > written
              flush up to 6
            > flushed
              hw 6
            > lead 4
              save reigns: 1 from 0, 3 from 3, 4 from 6
            > start 1
              log start 1
            > restart no-epochs no-snapshot
              restored, 2 batches replayed
            > show
              start 1 hw 6 flushed 6 written 6 end 6
              waiting 0 producers 2 evicted 0 expired 0
              reigns: 1 from 1, 3 from 3
            > producers
              7/0: 0x3 at 0
              8/0: 0x3 at 3
            > restart no-epochs
              restored, 2 batches replayed
            > show
              start 1 hw 6 flushed 6 written 6 end 6
              waiting 0 producers 2 evicted 0 expired 0
              reigns: 1 from 1, 3 from 3
            > producers
              7/0: 0x3 at 0
              8/0: 0x3 at 3
        "#]],
    );
}

#[test]
fn a_stale_high_watermark_hides_the_latest_offset_until_it_is_known() {
    check(
        "
        lead 1
        append r1 n=3
        written
        flushed
        restart hw=1 flushed=0
        lead 2
        read at=0
        latest
        flushed
        latest
        restart hw=99
        show
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > written
              flush up to 3
            > flushed
              hw 3
              r1 stored at 0 on 1, flushed
            > restart hw=1 flushed=0
              restored, 0 batches replayed
            > lead 2
              save reigns: 1 from 0, 2 from 3
              flush up to 3
            > read at=0
              from 0 up to 1
            > latest
              refused: a new leader has not yet found out where the committed log ends: try again
            > flushed
              hw 3
            > latest
              3
            > restart hw=99
              restored, 0 batches replayed
            > show
              start 0 hw 3 flushed 3 written 3 end 3
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0, 2 from 3
        "#]],
    );
}

#[test]
fn a_reign_that_began_but_lost_what_it_wrote_is_not_begun_again() {
    check(
        "
        lead 1
        append r1 acks=0
        written
        flushed
        lead 2
        append r2 acks=0
        written
        restart end=1 no-snapshot
        show
        lead 2
        lead 3
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > written
              flush up to 1
            > flushed
              hw 1
            > lead 2
              save reigns: 1 from 0, 2 from 1
            > append r2 acks=0
              write r2 at 1 epoch 2
              r2 stored at 1 on 0
            > written
              flush up to 2
            > restart end=1 no-snapshot
              restored, 1 batches replayed
            > show
              start 0 hw 1 flushed 1 written 1 end 1
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0, 2 from 1
            > lead 2
              refused to lead 2, the log has 2
            > lead 3
              save reigns: 1 from 0, 3 from 1
        "#]],
    );
}

#[test]
fn checkpoints_that_do_not_fit_the_log_are_refused() {
    check(
        "
        lead 1
        append r1 n=3
        append r2 n=3
        written
        restart end=3
        restart end=3 no-snapshot no-replay
        restart end=4 no-snapshot
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > append r2 n=3
              write r2 at 3 epoch 1
            > written
              flush up to 6
            > restart end=3
              refused: the producer snapshot reaches up to 6, the log only to 3: use an older snapshot
            > restart end=3 no-snapshot no-replay
              refused: the batches end at 0, the log at 3
            > restart end=4 no-snapshot
              refused: the batches end at 3, the log at 4
        "#]],
    );
}
