//! A follower and its leader.

use expect_test::expect;

use super::check;

#[test]
fn a_follower_writes_flushes_reports_and_commits_what_its_leader_did() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:2:1 2:1:1
        written
        flushed
        frame 1 from=3 hw=3
        frame 1 from=3 3:1:1 hw=4
        written
        flushed
        append r1
        show
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:2:1 2:1:1
              save reigns: 1 from 0
              write the frame from 0 to 3, without 0
            > written
              flush up to 3
              report 1 to 1/1: end 3 flushed 0
            > flushed
              report 1 to 1/1: end 3 flushed 3
            > frame 1 from=3 hw=3
              hw 3
            > frame 1 from=3 3:1:1 hw=4
              write the frame from 3 to 4, without 0
            > written
              flush up to 4
              report 1 to 1/1: end 4 flushed 3
            > flushed
              hw 4
              report 1 to 1/1: end 4 flushed 4
            > append r1
              r1 retry: NotLeader
            > show
              start 0 hw 4 flushed 4 written 4 end 4
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
        "#]],
    );
}

/// What it makes up for is committed without it: flushed each by itself, 3 GB were 1,700 flushes.
#[test]
fn a_follower_that_is_behind_flushes_now_and_then_and_at_once_when_it_is_not() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:2:1 hw=9
        written
        wait 49
        frame 1 from=2 2:2:1 hw=9
        written
        wait 1
        tick
        frame 1 from=4 4:2:1 hw=9
        written
        flushed 4
        frame 1 from=6 6:3:1 hw=9
        written
        flushed
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:2:1 hw=9
              save reigns: 1 from 0
              write the frame from 0 to 2, without 0
            > written
              report 1 to 1/1: end 2 flushed 0
            > wait 49
            > frame 1 from=2 2:2:1 hw=9
              write the frame from 2 to 4, without 0
            > written
              report 1 to 1/1: end 4 flushed 0
            > wait 1
            > tick
              flush up to 4
            > frame 1 from=4 4:2:1 hw=9
              write the frame from 4 to 6, without 0
            > written
              report 1 to 1/1: end 6 flushed 0
            > flushed 4
              hw 4
              report 1 to 1/1: end 6 flushed 4
            > frame 1 from=6 6:3:1 hw=9
              write the frame from 6 to 9, without 0
            > written
              flush up to 9
              report 1 to 1/1: end 9 flushed 4
            > flushed
              hw 9
              report 1 to 1/1: end 9 flushed 9
        "#]],
    );
}

/// Records that caught up came on their own stream before the answer; they were dropped and never came again.
#[test]
fn records_that_overtake_the_answer_are_taken() {
    check(
        "
        follow 1 leader=1/1
        frame 1 from=0 0:2:1
        written
        flushed
        subscribed 1
        frame 1 from=2 2:1:1 hw=2
        written
        flushed
        frame 7 from=3 3:1:1
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > frame 1 from=0 0:2:1
              save reigns: 1 from 0
              write the frame from 0 to 2, without 0
            > written
              flush up to 2
              report 1 to 1/1: end 2 flushed 0
            > flushed
              report 1 to 1/1: end 2 flushed 2
            > subscribed 1
            > frame 1 from=2 2:1:1 hw=2
              write the frame from 2 to 3, without 0
              hw 2
            > written
              flush up to 3
              report 1 to 1/1: end 3 flushed 2
            > flushed
              report 1 to 1/1: end 3 flushed 3
            > frame 7 from=3 3:1:1
        "#]],
    );
}

#[test]
fn histories_that_part_are_cut_and_asked_about_again() {
    check(
        "
        lead 1 of=2
        append r1 n=3 acks=1
        append r4 n=2 acks=1
        written
        flushed
        lead 2 of=2
        append r2 n=3 acks=1
        written
        flushed
        lead 3 of=2
        append r3 n=1 acks=1
        written
        flushed
        follow 5 leader=1/1
        diverged 1 epoch=1 end=9
        frame 1 from=9 9:1:5
        written
        truncated
        diverged 2 epoch=1 end=3
        truncated
        subscribed 3
        frame 3 from=3 3:4:4
        show
        ",
        expect![[r#"
            > lead 1 of=2
              save reigns: 1 from 0
            > append r1 n=3 acks=1
              write r1 at 0 epoch 1
            > append r4 n=2 acks=1
              write r4 at 3 epoch 1
            > written
              flush up to 5
            > flushed
              r1 stored at 0 on 1, flushed
              r4 stored at 3 on 1, flushed
            > lead 2 of=2
              save reigns: 1 from 0, 2 from 5
            > append r2 n=3 acks=1
              write r2 at 5 epoch 2
            > written
              flush up to 8
            > flushed
              r2 stored at 5 on 1, flushed
            > lead 3 of=2
              save reigns: 1 from 0, 2 from 5, 3 from 8
            > append r3 n=1 acks=1
              write r3 at 8 epoch 3
            > written
              flush up to 9
            > flushed
              r3 stored at 8 on 1, flushed
            > follow 5 leader=1/1
              subscribe 1 at 1/1 in epoch 5: end 9 flushed 9 last epoch 3
            > diverged 1 epoch=1 end=9
              truncate to 5
            > frame 1 from=9 9:1:5
            > written
            > truncated
              save reigns: 1 from 0
              subscribe 2 at 1/1 in epoch 5: end 5 flushed 5 last epoch 1
            > diverged 2 epoch=1 end=3
              truncate to 3
            > truncated
              save reigns: 1 from 0
              subscribe 3 at 1/1 in epoch 5: end 3 flushed 3 last epoch 1
            > subscribed 3
            > frame 3 from=3 3:4:4
              save reigns: 1 from 0, 4 from 3
              write the frame from 3 to 7, without 0
            > show
              start 0 hw 0 flushed 3 written 3 end 7
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0, 4 from 3
        "#]],
    );
}

#[test]
fn a_reign_that_wrote_nothing_goes_before_an_older_one_goes_on() {
    check(
        "
        lead 1 of=2
        append r1 n=5 acks=1
        written
        flushed
        lead 2 of=2
        follow 3 leader=1/1
        subscribed 1
        frame 1 from=5 5:1:1
        show
        ",
        expect![[r#"
            > lead 1 of=2
              save reigns: 1 from 0
            > append r1 n=5 acks=1
              write r1 at 0 epoch 1
            > written
              flush up to 5
            > flushed
              r1 stored at 0 on 1, flushed
            > lead 2 of=2
              save reigns: 1 from 0, 2 from 5
            > follow 3 leader=1/1
              subscribe 1 at 1/1 in epoch 3: end 5 flushed 5 last epoch 1
            > subscribed 1
              save reigns: 1 from 0
            > frame 1 from=5 5:1:1
              write the frame from 5 to 6, without 0
            > show
              start 0 hw 0 flushed 5 written 5 end 6
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
        "#]],
    );
}

#[test]
fn frames_of_other_subscriptions_and_repeated_batches_are_left_out() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 9 from=0 0:1:1
        frame 1 from=0 0:1:1 1:1:1
        written
        frame 1 from=0 0:1:1 1:1:1 2:1:1
        written
        frame 1 from=0 0:1:1
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 9 from=0 0:1:1
            > frame 1 from=0 0:1:1 1:1:1
              save reigns: 1 from 0
              write the frame from 0 to 2, without 0
            > written
              flush up to 2
              report 1 to 1/1: end 2 flushed 0
            > frame 1 from=0 0:1:1 1:1:1 2:1:1
              write the frame from 2 to 3, without 2
            > written
              report 1 to 1/1: end 3 flushed 0
            > frame 1 from=0 0:1:1
        "#]],
    );
}

#[test]
fn a_frame_that_does_not_go_on_ends_the_subscription() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=4 4:1:1
        frame 1 from=0 0:1:1
        tick
        subscribed 2
        frame 2 from=0 0:1:2
        tick
        subscribed 3
        frame 3 from=0 0:1:1 3:1:1
        written
        frame 3 from=4 4:1:0
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=4 4:1:1
              unsubscribe 1 at 1/1
            > frame 1 from=0 0:1:1
            > tick
              subscribe 2 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 2
            > frame 2 from=0 0:1:2
              unsubscribe 2 at 1/1
            > tick
              subscribe 3 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 3
            > frame 3 from=0 0:1:1 3:1:1
              save reigns: 1 from 0
              write the frame from 0 to 4, without 0
            > written
              flush up to 4
              report 3 to 1/1: end 4 flushed 0
            > frame 3 from=4 4:1:0
              unsubscribe 3 at 1/1
        "#]],
    );
}

#[test]
fn the_end_of_a_subscription_is_followed_by_the_next() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        ended 9
        ended 1
        tick
        refused 2
        tick
        wait 3000
        tick
        wait 1
        tick
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > ended 9
            > ended 1
            > tick
              subscribe 2 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > refused 2
            > tick
              subscribe 3 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > wait 3000
            > tick
            > wait 1
            > tick
              subscribe 3001000000 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
        "#]],
    );
}

#[test]
fn a_role_that_comes_while_the_log_is_cut_waits() {
    check(
        "
        lead 1 of=2
        append r1 n=5 acks=1
        written
        follow 2 leader=1/1
        diverged 1 epoch=1 end=2
        lead 3
        append r2
        flushed
        truncated
        append r3
        show
        ",
        expect![[r#"
            > lead 1 of=2
              save reigns: 1 from 0
            > append r1 n=5 acks=1
              write r1 at 0 epoch 1
            > written
              flush up to 5
            > follow 2 leader=1/1
              r1 unknown: Interrupted(LeadershipLost)
              subscribe 1 at 1/1 in epoch 2: end 5 flushed 0 last epoch 1
            > diverged 1 epoch=1 end=2
              truncate to 2
            > lead 3
            > append r2
              r2 retry: NotLeader
            > flushed
            > truncated
              save reigns: 
              save reigns: 3 from 0
            > append r3
              write r3 at 0 epoch 3
            > show
              start 0 hw 0 flushed 0 written 0 end 1
              waiting 1 producers 0 evicted 0 expired 0
              reigns: 3 from 0
        "#]],
    );
}

#[test]
fn a_log_that_cannot_be_joined_is_thrown_away() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:3:1
        written
        flushed
        ended 1
        tick
        out-of-range 2 start=40
        truncated
        subscribed 3
        frame 3 from=40 40:1:1 hw=41 start=40
        written
        flushed
        show
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:3:1
              save reigns: 1 from 0
              write the frame from 0 to 3, without 0
            > written
              flush up to 3
              report 1 to 1/1: end 3 flushed 0
            > flushed
              report 1 to 1/1: end 3 flushed 3
            > ended 1
            > tick
              subscribe 2 at 1/1 in epoch 1: end 3 flushed 3 last epoch 1
            > out-of-range 2 start=40
              start over at 40
            > truncated
              save reigns: 
              hw 40
              log start 40
              subscribe 3 at 1/1 in epoch 1: end 40 flushed 40 last epoch none
            > subscribed 3
            > frame 3 from=40 40:1:1 hw=41 start=40
              save reigns: 1 from 40
              write the frame from 40 to 41, without 0
            > written
              flush up to 41
              report 3 to 1/1: end 41 flushed 40
            > flushed
              hw 41
              report 3 to 1/1: end 41 flushed 41
            > show
              start 40 hw 41 flushed 41 written 41 end 41
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 40
        "#]],
    );
}

#[test]
fn without_a_leader_a_follower_waits() {
    check(
        "
        follow 1
        tick
        follow 2 leader=1/1
        follow 2 leader=1/1 pe=3
        subscribed 1
        follow 1 leader=2/1
        follow 3
        resign
        ",
        expect![[r#"
            > follow 1
            > tick
            > follow 2 leader=1/1
              subscribe 1 at 1/1 in epoch 2: end 0 flushed 0 last epoch none
            > follow 2 leader=1/1 pe=3
            > subscribed 1
            > follow 1 leader=2/1
            > follow 3
              unsubscribe 1 at 1/1
            > resign
        "#]],
    );
}

#[test]
fn a_node_that_registers_again_subscribes_in_its_new_life() {
    check(
        "
        follow 1 leader=1/1 as=2/1
        subscribed 1
        frame 1 from=0 0:2:1
        written
        follow 1 leader=1/1 as=2/1
        follow 1 leader=1/1 as=2/2
        flushed
        subscribed 2
        ",
        expect![[r#"
            > follow 1 leader=1/1 as=2/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:2:1
              save reigns: 1 from 0
              write the frame from 0 to 2, without 0
            > written
              flush up to 2
              report 1 to 1/1: end 2 flushed 0
            > follow 1 leader=1/1 as=2/1
            > follow 1 leader=1/1 as=2/2
              unsubscribe 1 at 1/1
              subscribe 2 at 1/1 in epoch 1: end 2 flushed 0 last epoch 1
            > flushed
            > subscribed 2
              report 2 to 1/1: end 2 flushed 2
        "#]],
    );
}

/// Records are deleted one by one, batches are sent whole: a replica that begins where the leader's log starts is sent the
/// batch that holds this offset, and takes it. Before, it asked for ever.
#[test]
fn an_empty_log_may_start_within_the_first_batch_that_comes() {
    check(
        "
        follow 1 leader=1/1
        out-of-range 1 start=7
        truncated
        subscribed 2
        frame 2 from=7 5:4:1 9:1:1 hw=10 start=7
        written
        flushed
        show
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > out-of-range 1 start=7
              start over at 7
            > truncated
              save reigns: 
              hw 7
              log start 7
              subscribe 2 at 1/1 in epoch 1: end 7 flushed 7 last epoch none
            > subscribed 2
            > frame 2 from=7 5:4:1 9:1:1 hw=10 start=7
              save reigns: 1 from 7
              write the frame from 5 to 10, without 0
            > written
              flush up to 10
              report 2 to 1/1: end 10 flushed 7
            > flushed
              hw 10
              report 2 to 1/1: end 10 flushed 10
            > show
              start 7 hw 10 flushed 10 written 10 end 10
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 7
        "#]],
    );
}

/// All that a log holds may be deleted while its files are there still, and after a restart nobody knows what they hold.
#[test]
fn files_of_deleted_records_go_before_a_batch_that_holds_the_start() {
    check(
        "
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:6:1 hw=6
        written
        flushed
        start 6
        frame 1 from=6 5:4:1 hw=9 start=6
        truncated
        tick
        subscribed 2
        frame 2 from=6 5:4:1 hw=9 start=6
        written
        flushed
        show
        ",
        expect![[r#"
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:6:1 hw=6
              save reigns: 1 from 0
              write the frame from 0 to 6, without 0
            > written
              flush up to 6
              report 1 to 1/1: end 6 flushed 0
            > flushed
              hw 6
              report 1 to 1/1: end 6 flushed 6
            > start 6
              log start 6
            > frame 1 from=6 5:4:1 hw=9 start=6
              unsubscribe 1 at 1/1
              start over at 6
            > truncated
              save reigns: 
            > tick
              subscribe 2 at 1/1 in epoch 1: end 6 flushed 6 last epoch none
            > subscribed 2
            > frame 2 from=6 5:4:1 hw=9 start=6
              save reigns: 1 from 6
              write the frame from 5 to 9, without 0
            > written
              flush up to 9
              report 2 to 1/1: end 9 flushed 6
            > flushed
              hw 9
              report 2 to 1/1: end 9 flushed 9
            > show
              start 6 hw 9 flushed 9 written 9 end 9
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 6
        "#]],
    );
}
