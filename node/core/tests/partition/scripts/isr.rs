//! Joining and leaving the ISR.

use expect_test::expect;

use super::check;

#[test]
fn a_follower_joins_with_what_is_committed_and_what_its_leader_inherited() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=2
        append r1 n=10
        written
        flushed
        restart hw=2 flushed=0
        lead 2 of=2
        subscribe 1/1 sub=1 epoch=2 end=3 last=1
        report 1/1 sub=1 end=9
        report 1/1 sub=1 end=10
        flushed
        lead 2 of=2 isr=0,1 pe=3
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=2
              save reigns: 1 from 0
            > append r1 n=10
              write r1 at 0 epoch 1
            > written
              flush up to 10
            > flushed
              hw 10
              r1 stored at 0 on 1, flushed
            > restart hw=2 flushed=0
              restored, 0 batches replayed
            > lead 2 of=2
              save reigns: 1 from 0, 2 from 10
              flush up to 10
            > subscribe 1/1 sub=1 epoch=2 end=3 last=1
              accept 1/1 under 1 from 3
            > report 1/1 sub=1 end=9
            > report 1/1 sub=1 end=10
              propose 1: isr 0/1, 1/1 in epoch 2, compared with 2
            > flushed
              hw 10
            > lead 2 of=2 isr=0,1 pe=3
        "#]],
    );
}

#[test]
fn a_pending_join_counts_at_once() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=2
        subscribe 1/1 sub=1 end=0
        append r1
        written
        flushed
        report 1/1 sub=1 end=1
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=2
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
              propose 1: isr 0/1, 1/1 in epoch 1, compared with 1
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > report 1/1 sub=1 end=1
              hw 1
              r1 stored at 0 on 2, flushed
        "#]],
    );
}

#[test]
fn a_late_follower_leaves_and_counts_until_that_is_decided() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=2 isr=0,1
        subscribe 1/1 sub=1 end=0
        append r1
        written
        flushed
        wait 10000
        tick
        wait 1
        tick
        wait 99999
        tick
        lead 1 of=2 isr=0 pe=2
        report 1/1 sub=1 end=1
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > wait 10000
            > tick
            > wait 1
            > tick
              propose 1: isr 0/1 in epoch 1, compared with 1
            > wait 99999
            > tick
            > lead 1 of=2 isr=0 pe=2
              hw 1
              r1 stored at 0 on 1, flushed
            > report 1/1 sub=1 end=1
              propose 2: isr 0/1, 1/1 in epoch 1, compared with 2
        "#]],
    );
}

#[test]
fn a_quiet_follower_that_has_everything_is_not_late() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=2 isr=0,1
        subscribe 1/1 sub=1 end=0
        wait 99999
        tick
        append r1
        written
        flushed
        wait 10000
        tick
        report 1/1 sub=1 end=1
        wait 99999
        tick
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=2 isr=0,1
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > wait 99999
            > tick
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > wait 10000
            > tick
            > report 1/1 sub=1 end=1
              hw 1
              r1 stored at 0 on 2, flushed
            > wait 99999
            > tick
        "#]],
    );
}

#[test]
fn a_refusal_takes_the_proposal_back_until_the_next_tick() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=2
        subscribe 1/1 sub=1 end=0
        isr-refused 1
        append r1
        written
        unsubscribe 1/1 sub=1
        flushed
        tick
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=2
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
              propose 1: isr 0/1, 1/1 in epoch 1, compared with 1
            > isr-refused 1
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > unsubscribe 1/1 sub=1
              end 1 of 1/1
            > flushed
              hw 1
              r1 stored at 0 on 1, flushed
            > tick
        "#]],
    );
}

#[test]
fn an_unknown_end_is_asked_about_and_counts_meanwhile() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=2
        subscribe 1/1 sub=1 end=0
        isr-unknown 1
        append r1
        written
        unsubscribe 1/1 sub=1
        flushed
        tick
        isr-refused 2
        tick
        lead 1 of=2 pe=2
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=2
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
              propose 1: isr 0/1, 1/1 in epoch 1, compared with 1
            > isr-unknown 1
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > unsubscribe 1/1 sub=1
              end 1 of 1/1
            > flushed
            > tick
              propose 2: isr 0/1 in epoch 1, compared with 1
            > isr-refused 2
            > tick
              propose 3: isr 0/1 in epoch 1, compared with 1
            > lead 1 of=2 pe=2
              hw 1
              r1 stored at 0 on 1, flushed
        "#]],
    );
}

#[test]
fn an_ineligible_follower_does_not_join() {
    check(
        "
        lead 1 of=3 isr=0,1 ineligible=2
        subscribe 2/1 sub=1 end=0
        lead 1 of=3 isr=0,1 pe=1
        ",
        expect![[r#"
            > lead 1 of=3 isr=0,1 ineligible=2
              save reigns: 1 from 0
            > subscribe 2/1 sub=1 end=0
              accept 2/1 under 1 from 0
            > lead 1 of=3 isr=0,1 pe=1
              propose 1: isr 0/1, 1/1, 2/1 in epoch 1, compared with 1
        "#]],
    );
}

#[test]
fn too_few_in_sync_stop_the_high_watermark_and_turn_appends_away() {
    check(
        "
        lead 1 of=3 isr=0,1
        subscribe 1/1 sub=1 end=0
        append r1
        written
        flushed
        lead 1 of=3 isr=0 pe=2
        append r2
        append r3 acks=1
        written
        flushed
        report 1/1 sub=1 end=2
        lead 1 of=3 isr=0,1 pe=3
        ",
        expect![[r#"
            > lead 1 of=3 isr=0,1
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > written
              flush up to 1
            > flushed
            > lead 1 of=3 isr=0 pe=2
              r1 unknown: Interrupted(NotEnoughReplicasAfterAppend)
              propose 1: isr 0/1, 1/1 in epoch 1, compared with 2
            > append r2
              r2 retry: NotEnoughReplicas
            > append r3 acks=1
              write r3 at 1 epoch 1
            > written
              flush up to 2
            > flushed
              r3 stored at 1 on 1, flushed
            > report 1/1 sub=1 end=2
            > lead 1 of=3 isr=0,1 pe=3
              hw 2
        "#]],
    );
}
