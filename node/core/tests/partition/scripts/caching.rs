//! `write.caching` switched off while records are acknowledged that are in memory only: the leader tells who has flushed
//! what was acknowledged until then. Before that an unclean stop may cost it.

use expect_test::expect;

use super::check;

#[test]
fn the_leader_tells_who_has_flushed_what_was_acknowledged_before() {
    check(
        "
        config write.caching=true min.insync.replicas=1
        lead 1 of=3 isr=0,1,2
        subscribe 1/1 sub=1 end=0
        subscribe 2/1 sub=1 end=0
        append r1 n=5
        written
        report 1/1 sub=1 end=5 flushed=0
        report 2/1 sub=1 end=5 flushed=3
        append r2 n=5
        written
        lead 1 of=3 isr=0,1,2 pe=2 unflushed=0,1,2
        config write.caching=false
        append r3
        written
        report 1/1 sub=1 end=11 flushed=9
        flushed 10
        lead 1 of=3 isr=0,1,2 pe=3 unflushed=1,2
        report 1/1 sub=1 end=11 flushed=10
        report 2/1 sub=1 end=11 flushed=11
        isr-unknown 2
        tick
        lead 1 of=3 isr=0,1,2 pe=4
        tick
        ",
        expect![[r#"
            > config write.caching=true min.insync.replicas=1
            > lead 1 of=3 isr=0,1,2
              save reigns: 1 from 0
            > subscribe 1/1 sub=1 end=0
              accept 1/1 under 1 from 0
            > subscribe 2/1 sub=1 end=0
              accept 2/1 under 1 from 0
            > append r1 n=5
              write r1 at 0 epoch 1
            > written
            > report 1/1 sub=1 end=5 flushed=0
            > report 2/1 sub=1 end=5 flushed=3
              hw 5
              r1 stored at 0 on 3
            > append r2 n=5
              write r2 at 5 epoch 1
            > written
            > lead 1 of=3 isr=0,1,2 pe=2 unflushed=0,1,2
            > config write.caching=false
              flush up to 10
            > append r3
              write r3 at 10 epoch 1
            > written
            > report 1/1 sub=1 end=11 flushed=9
            > flushed 10
              flush up to 11
              propose 1: isr 0/1, 1/1, 2/1 in epoch 1, compared with 2, 0 flushed
            > lead 1 of=3 isr=0,1,2 pe=3 unflushed=1,2
            > report 1/1 sub=1 end=11 flushed=10
              propose 2: isr 0/1, 1/1, 2/1 in epoch 1, compared with 3, 1 flushed
            > report 2/1 sub=1 end=11 flushed=11
              hw 10
              r2 stored at 5 on 3, flushed
            > isr-unknown 2
            > tick
              propose 3: isr 0/1, 1/1, 2/1 in epoch 1, compared with 3, 1 flushed, 2 flushed
            > lead 1 of=3 isr=0,1,2 pe=4
            > tick
        "#]],
    );
}

#[test]
fn a_new_leader_asks_anew_and_a_life_that_is_over_has_flushed_nothing() {
    check(
        "
        config min.insync.replicas=1
        follow 1 leader=1/1
        tick
        subscribed sub=1
        frame 1 0:4:1 from=0 hw=4
        written
        lead 2 of=3 isr=0,2 unflushed=0,2
        subscribe 2/1 sub=1 epoch=2 end=4 last=1 flushed=4
        lead 2 of=3 isr=0,2 pe=3 unflushed=0,2 lives=1,1,2
        subscribe 2/2 sub=2 epoch=2 end=3 last=1
        flushed
        report 2/2 sub=2 end=4 flushed=4
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > tick
            > subscribed sub=1
            > frame 1 0:4:1 from=0 hw=4
              save reigns: 1 from 0
              write the frame from 0 to 4, without 0
            > written
              flush up to 4
              report 1 to 1/1: end 4 flushed 0
            > lead 2 of=3 isr=0,2 unflushed=0,2
              unsubscribe 1 at 1/1
              save reigns: 1 from 0, 2 from 4
            > subscribe 2/1 sub=1 epoch=2 end=4 last=1 flushed=4
              accept 2/1 under 1 from 4
              propose 1: isr 0/1, 2/1 in epoch 2, compared with 2, 2 flushed
            > lead 2 of=3 isr=0,2 pe=3 unflushed=0,2 lives=1,1,2
              end 1 of 2/1
            > subscribe 2/2 sub=2 epoch=2 end=3 last=1
              accept 2/2 under 2 from 3
            > flushed
              hw 3
              propose 2: isr 0/1, 2/2 in epoch 2, compared with 3, 0 flushed
            > report 2/2 sub=2 end=4 flushed=4
              hw 4
        "#]],
    );
}

#[test]
fn a_replica_alone_tells_it_too_and_while_caching_nobody_does() {
    check(
        "
        config write.caching=true
        lead 1
        append r1
        written
        flushed
        config write.caching=false
        lead 1 pe=2 unflushed=0
        lead 1 pe=3
        config write.caching=true
        append r2
        written
        lead 1 pe=4 unflushed=0
        flushed
        ",
        expect![[r#"
            > config write.caching=true
            > lead 1
              save reigns: 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > written
              hw 1
              r1 stored at 0 on 1
            > flushed
            > config write.caching=false
            > lead 1 pe=2 unflushed=0
              propose 1: isr 0/1 in epoch 1, compared with 2, 0 flushed
            > lead 1 pe=3
            > config write.caching=true
            > append r2
              write r2 at 1 epoch 1
            > written
              hw 2
              r2 stored at 1 on 1
            > lead 1 pe=4 unflushed=0
            > flushed
        "#]],
    );
}

/// Time alone brings the flush about, on a leader as on a follower; what comes while it is under way waits from the moment
/// on at which it was asked for.
#[test]
fn what_caching_left_is_flushed_in_time() {
    check(
        "
        config write.caching=true flush.ms=1000
        lead 1
        append r1 acks=1
        written
        wait 600
        append r2 acks=1
        written
        wait 399
        tick
        wait 1
        tick
        append r3 acks=1
        written
        wait 500
        tick
        flushed 2
        wait 499
        tick
        wait 1
        tick
        flushed
        wait 5000
        tick
        ",
        expect![[r#"
            > config write.caching=true flush.ms=1000
            > lead 1
              save reigns: 1 from 0
            > append r1 acks=1
              write r1 at 0 epoch 1
            > written
              hw 1
              r1 stored at 0 on 1
            > wait 600
            > append r2 acks=1
              write r2 at 1 epoch 1
            > written
              hw 2
              r2 stored at 1 on 1
            > wait 399
            > tick
            > wait 1
            > tick
              flush up to 2
            > append r3 acks=1
              write r3 at 2 epoch 1
            > written
              hw 3
              r3 stored at 2 on 1
            > wait 500
            > tick
            > flushed 2
            > wait 499
            > tick
            > wait 1
            > tick
              flush up to 3
            > flushed
            > wait 5000
            > tick
        "#]],
    );
    check(
        "
        config write.caching=true flush.ms=1000
        follow 1 leader=1/1
        subscribed 1
        frame 1 from=0 0:2:1
        written
        wait 999
        tick
        wait 1
        tick
        ",
        expect![[r#"
            > config write.caching=true flush.ms=1000
            > follow 1 leader=1/1
              subscribe 1 at 1/1 in epoch 1: end 0 flushed 0 last epoch none
            > subscribed 1
            > frame 1 from=0 0:2:1
              save reigns: 1 from 0
              write the frame from 0 to 2, without 0
            > written
              report 1 to 1/1: end 2 flushed 0
            > wait 999
            > tick
            > wait 1
            > tick
              flush up to 2
        "#]],
    );
}

#[test]
fn what_caching_left_is_flushed_when_it_is_too_much_or_its_settings_change() {
    check(
        "
        config write.caching=true flush.messages=10
        lead 1
        append r1 n=9 acks=1
        written
        append r2 acks=1
        written
        append r3 n=20 acks=1
        written
        flushed 10
        flushed
        append r4 acks=1
        written
        wait 200
        config flush.ms=100
        flushed
        append r5 n=4 acks=1
        written
        config flush.messages=4
        flushed
        append r6 acks=1
        written
        config write.caching=false
        ",
        expect![[r#"
            > config write.caching=true flush.messages=10
            > lead 1
              save reigns: 1 from 0
            > append r1 n=9 acks=1
              write r1 at 0 epoch 1
            > written
              hw 9
              r1 stored at 0 on 1
            > append r2 acks=1
              write r2 at 9 epoch 1
            > written
              flush up to 10
              hw 10
              r2 stored at 9 on 1
            > append r3 n=20 acks=1
              write r3 at 10 epoch 1
            > written
              hw 30
              r3 stored at 10 on 1
            > flushed 10
              flush up to 30
            > flushed
            > append r4 acks=1
              write r4 at 30 epoch 1
            > written
              hw 31
              r4 stored at 30 on 1
            > wait 200
            > config flush.ms=100
              flush up to 31
            > flushed
            > append r5 n=4 acks=1
              write r5 at 31 epoch 1
            > written
              hw 35
              r5 stored at 31 on 1
            > config flush.messages=4
              flush up to 35
            > flushed
            > append r6 acks=1
              write r6 at 35 epoch 1
            > written
              hw 36
              r6 stored at 35 on 1
            > config write.caching=false
              flush up to 36
        "#]],
    );
}
