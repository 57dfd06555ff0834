//! A leader and the subscriptions of its followers.

use expect_test::expect;

use super::check;

#[test]
fn a_subscription_sets_the_position_and_reports_move_the_high_watermark() {
    check(
        "
        lead 1 of=3 isr=0,1,2
        append r1 n=4
        written
        flushed
        subscribe 1/1 sub=1 end=0
        report 1/1 sub=1 end=4 flushed=0
        subscribe 2/1 sub=1 end=0
        report 2/1 sub=1 end=4
        report 1/1 sub=1 end=4 flushed=4
        ",
        expect![[r#"
            > lead 1 of=3 isr=0,1,2
              save reigns: 1 from 0
            > append r1 n=4
              write r1 at 0 epoch 1
            > written
              flush up to 4
            > flushed
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > report 1/1 sub=1 end=4 flushed=0
            > subscribe 2/1 sub=1 end=0
              accept 2/1 under 1 from 0
            > report 2/1 sub=1 end=4
            > report 1/1 sub=1 end=4 flushed=4
              hw 4
              r1 stored at 0 on 3, flushed
        "#]],
    );
}

#[test]
fn under_write_caching_written_ends_count_and_the_promise_says_so() {
    check(
        "
        config write.caching=true
        lead 1 of=2 isr=0,1
        append r1 n=4
        written
        subscribe 1/1 sub=1 end=0
        report 1/1 sub=1 end=4 flushed=0
        append r2
        written
        report 1/1 sub=1 end=5 flushed=5
        flushed
        append r3
        written
        flushed
        report 1/1 sub=1 end=6 flushed=6
        ",
        expect![[r#"
            > config write.caching=true
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > append r1 n=4
              write r1 at 0 epoch 1
            > written
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > report 1/1 sub=1 end=4 flushed=0
              hw 4
              r1 stored at 0 on 2
            > append r2
              write r2 at 4 epoch 1
            > written
            > report 1/1 sub=1 end=5 flushed=5
              hw 5
              r2 stored at 4 on 2
            > flushed
            > append r3
              write r3 at 5 epoch 1
            > written
            > flushed
            > report 1/1 sub=1 end=6 flushed=6
              hw 6
              r3 stored at 5 on 2, flushed
        "#]],
    );
}

#[test]
fn a_follower_of_another_reign_or_life_is_turned_away() {
    check(
        "
        lead 2 of=3 isr=0,1 lives=1,2,1
        subscribe 1/2 sub=1 end=0 epoch=1
        subscribe 1/2 sub=1 end=0 epoch=3
        subscribe 1/1 sub=1 end=0 epoch=2
        subscribe 1/2 sub=1 end=0 epoch=2 leader=0/7
        subscribe 9/1 sub=1 end=0 epoch=2
        subscribe 1/2 sub=1 end=0 epoch=2
        ",
        expect![[r#"
            > lead 2 of=3 isr=0,1 lives=1,2,1
              save reigns: 2 from 0
            > subscribe 1/2 sub=1 end=0 epoch=1
              tell 1/2 about 1: refused: the follower names an older leader epoch than 2
            > subscribe 1/2 sub=1 end=0 epoch=3
              tell 1/2 about 1: refused: the follower names a newer leader epoch than 2, which is the newest known here
            > subscribe 1/1 sub=1 end=0 epoch=2
              tell 1/1 about 1: refused: another incarnation of the follower is registered, as far as is known here
            > subscribe 1/2 sub=1 end=0 epoch=2 leader=0/7
              tell 1/2 about 1: refused: the follower means another incarnation of the leader
            > subscribe 9/1 sub=1 end=0 epoch=2
              tell 9/1 about 1: refused: node 9 has no replica of the partition, as far as is known here
            > subscribe 1/2 sub=1 end=0 epoch=2
              accept 1/2 under 1 from 0
        "#]],
    );
}

#[test]
fn histories_are_compared_before_anything_is_sent() {
    check(
        "
        lead 1 of=2 isr=0,1
        append r1 n=10
        written
        lead 4 of=2 isr=0,1
        append r2 n=5
        written
        subscribe 1/1 sub=1 epoch=4 end=12 last=1
        subscribe 1/1 sub=2 epoch=4 end=12 last=3
        subscribe 1/1 sub=3 epoch=4 end=10 last=1
        subscribe 1/1 sub=4 epoch=4 end=16 last=4
        subscribe 1/1 sub=5 epoch=4 end=15 last=4
        subscribe 1/1 sub=6 epoch=4 end=3 last=7
        subscribe 1/1 sub=7 epoch=4 end=99
        ",
        expect![[r#"
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > append r1 n=10
              write r1 at 0 epoch 1
            > written
              flush up to 10
            > lead 4 of=2 isr=0,1
              save reigns: 1 from 0, 4 from 10
            > append r2 n=5
              write r2 at 10 epoch 4
            > written
            > subscribe 1/1 sub=1 epoch=4 end=12 last=1
              tell 1/1 about 1: diverged, epoch 1 ends at 10
            > subscribe 1/1 sub=2 epoch=4 end=12 last=3
              tell 1/1 about 2: diverged, epoch 1 ends at 10
            > subscribe 1/1 sub=3 epoch=4 end=10 last=1
              accept 1/1 under 3 from 10
            > subscribe 1/1 sub=4 epoch=4 end=16 last=4
              end 3 of 1/1
              tell 1/1 about 4: diverged, epoch 4 ends at 15
            > subscribe 1/1 sub=5 epoch=4 end=15 last=4
              accept 1/1 under 5 from 15
            > subscribe 1/1 sub=6 epoch=4 end=3 last=7
              end 5 of 1/1
              tell 1/1 about 6: refused: the follower's log holds leader epoch 7, above the leader's own
            > subscribe 1/1 sub=7 epoch=4 end=99
              tell 1/1 about 7: out of range, the log starts at 0
        "#]],
    );
}

#[test]
fn only_the_newest_subscription_counts() {
    check(
        "
        lead 1 of=2 isr=0,1
        append r1 n=4
        written
        flushed
        subscribe 1/1 sub=5 end=0
        subscribe 1/1 sub=5 end=4 last=1
        subscribe 1/1 sub=4 end=4 last=1
        report 1/1 sub=4 end=4
        subscribe 1/1 sub=6 end=2 last=1
        report 1/1 sub=5 end=4
        unsubscribe 1/1 sub=5
        report 1/1 sub=6 end=4
        unsubscribe 1/1 sub=6
        ",
        expect![[r#"
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > append r1 n=4
              write r1 at 0 epoch 1
            > written
              flush up to 4
            > flushed
            > subscribe 1/1 sub=5 end=0
              accept 1/1 under 5 from 0
            > subscribe 1/1 sub=5 end=4 last=1
            > subscribe 1/1 sub=4 end=4 last=1
            > report 1/1 sub=4 end=4
            > subscribe 1/1 sub=6 end=2 last=1
              end 5 of 1/1
              accept 1/1 under 6 from 2
              hw 2
            > report 1/1 sub=5 end=4
            > unsubscribe 1/1 sub=5
            > report 1/1 sub=6 end=4
              hw 4
              r1 stored at 0 on 2, flushed
            > unsubscribe 1/1 sub=6
              end 6 of 1/1
        "#]],
    );
}

#[test]
fn a_new_life_of_a_follower_starts_unknown() {
    check(
        "
        lead 1 of=2 isr=0,1
        subscribe 1/1 sub=1 end=0
        append r1
        written
        flushed
        lead 1 of=2 isr=0,1 lives=1,2 pe=1
        report 1/1 sub=1 end=1
        subscribe 1/2 sub=1 end=0
        report 1/2 sub=1 end=1
        ",
        expect![[r#"
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > lead 1 of=2 isr=0,1 lives=1,2 pe=1
              end 1 of 1/1
            > report 1/1 sub=1 end=1
            > subscribe 1/2 sub=1 end=0
              accept 1/2 under 1 from 0
            > report 1/2 sub=1 end=1
              hw 1
              r1 stored at 0 on 2, flushed
        "#]],
    );
}

#[test]
fn a_new_reign_knows_nobody() {
    check(
        "
        lead 1 of=2 isr=0,1
        subscribe 1/1 sub=1 end=0
        append r1
        written
        flushed
        lead 2 of=2 isr=0,1
        report 1/1 sub=1 end=1
        subscribe 1/1 sub=2 epoch=2 end=1 last=1
        resign
        subscribe 1/1 sub=3 epoch=2 end=1 last=1
        ",
        expect![[r#"
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > lead 2 of=2 isr=0,1
              end 1 of 1/1
              save reigns: 1 from 0, 2 from 1
            > report 1/1 sub=1 end=1
            > subscribe 1/1 sub=2 epoch=2 end=1 last=1
              accept 1/1 under 2 from 1
              hw 1
              r1 stored at 0 on 2, flushed
            > resign
              end 2 of 1/1
            > subscribe 1/1 sub=3 epoch=2 end=1 last=1
              tell 1/1 about 3: refused: this replica does not lead the partition
        "#]],
    );
}

#[test]
fn who_claims_more_than_there_is_is_cut_to_it() {
    check(
        "
        lead 1 of=2 isr=0,1
        subscribe 1/1 sub=1 end=0
        append r1
        written
        flushed
        report 1/1 sub=1 end=1000 flushed=2000
        append r2
        written
        flushed
        ",
        expect![[r#"
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > report 1/1 sub=1 end=1000 flushed=2000
              hw 1
              r1 stored at 0 on 2, flushed
            > append r2
              write r2 at 1 epoch 1
            > written
              flush up to 2
            > flushed
        "#]],
    );
}

#[test]
fn a_follower_below_the_log_start_starts_over() {
    check(
        "
        lead 1 of=2
        config min.insync.replicas=1
        append r1 n=10
        written
        flushed
        start 6
        subscribe 1/1 sub=1 end=3 last=1
        ",
        expect![[r#"
            > lead 1 of=2
              save reigns: 1 from 0
            > config min.insync.replicas=1
            > append r1 n=10
              write r1 at 0 epoch 1
            > written
              flush up to 10
            > flushed
              hw 10
              r1 stored at 0 on 1, flushed
            > start 6
              log start 6
            > subscribe 1/1 sub=1 end=3 last=1
              tell 1/1 about 1: out of range, the log starts at 6
        "#]],
    );
}
