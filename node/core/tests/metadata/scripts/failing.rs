//! Replicas that fail while their node lives on, and leaderships that go back by themselves.

use expect_test::expect;

use super::check;

#[test]
fn a_leader_whose_disk_failed_gives_its_leadership_up_and_comes_back_by_a_restart() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fail 1 t/0
        fail 1 t/0
        offline t/0
        alter t/0 by=2 isr=1,2,3
        register 1
        offline t/0
        alter t/0 by=2 isr=1,2,3
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fail 1 t/0
              noted
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3, failed 1
            > fail 1 t/0
              noted
            > offline t/0
              offline: 1
            > alter t/0 by=2 isr=1,2,3
              refused: node 1 cannot be counted as in sync: its replica failed; its node's log says why, and a restart of the node tries again
            > register 1
              registered as incarnation 2
              t/0 2 leads, epochs 1/2, isr 2 3 of 1 2 3
            > offline t/0
              offline: -
            > alter t/0 by=2 isr=1,2,3
              altered, partition epoch 3
              t/0 2 leads, epochs 1/3, isr 1 2 3 of 1 2 3
        "#]],
    );
}

#[test]
fn a_replica_that_failed_alone_leads_on_for_its_readers_while_its_lease_lasts() {
    check(
        "
        register 1 process=7
        create t p=2 rf=1
        fail 1 t/1 t/5 gone/0
        elect unclean t/1
        fence 1
        register 1 process=7
        register 1 process=8
        fail 1 t/0 inc=2
        ",
        expect![[r#"
            > register 1 process=7
              registered as incarnation 1
            > create t p=2 rf=1
              created: 2 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
              t/1 1 leads, epochs 0/0, isr 1 of 1
            > fail 1 t/1 t/5 gone/0
              noted
              t/1 1 leads, epochs 0/1, isr 1 of 1, failed 1
            > elect unclean t/1
              refused: partition 1 of topic 't' is led by node 1: an unclean election is for partitions without a leader
            > fence 1
              fenced
              t/0 nobody leads, epochs 1/1, isr - of 1, elr 1
              t/1 nobody leads, epochs 1/2, isr - of 1, elr 1, failed 1
            > register 1 process=7
              registered as incarnation 2
              t/0 1 leads, epochs 2/2, isr 1 of 1
            > register 1 process=8
              registered as incarnation 3
              t/0 1 leads, epochs 3/3, isr 1 of 1
              t/1 1 leads, epochs 2/3, isr 1 of 1
            > fail 1 t/0 inc=2
              refused: node 1 runs as incarnation 3: incarnation 2 is over and must register again
        "#]],
    );
}

/// What a failed replica holds counts on: it may lead again when its node starts anew.
#[test]
fn failed_replicas_are_eligible_again_after_a_restart_if_nobody_is_left() {
    check(
        "
        register 1 2
        create t p=1 rf=2 min.insync.replicas=2
        fail 1 t/0
        fail 2 t/0
        register 2
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2 min.insync.replicas=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > fail 1 t/0
              noted
              t/0 2 leads, epochs 1/1, isr 2 of 1 2, elr 1, failed 1
            > fail 2 t/0
              noted
              t/0 2 leads, epochs 1/2, isr 2 of 1 2, elr 1, failed 1 2
            > register 2
              registered as incarnation 2
              t/0 2 leads, epochs 2/3, isr 2 of 1 2, elr 1, failed 1
        "#]],
    );
}

#[test]
fn leaderships_go_back_when_more_than_a_part_is_away() {
    check(
        "
        register 1 2
        create t p=8 rf=2
        fence 2
        register 2
        alter t/1 by=1 isr=1,2
        moves
        rebalance
        node-config all leader.imbalance.per.broker.percentage=25
        rebalance
        node-config all leader.imbalance.per.broker.percentage=24
        rebalance
        node-config all auto.leader.rebalance.enable=false
        rebalance
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=8 rf=2
              created: 8 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
              t/1 2 leads, epochs 0/0, isr 2 1 of 2 1
              t/2 1 leads, epochs 0/0, isr 1 2 of 1 2
              t/3 2 leads, epochs 0/0, isr 2 1 of 2 1
              t/4 1 leads, epochs 0/0, isr 1 2 of 1 2
              t/5 2 leads, epochs 0/0, isr 2 1 of 2 1
              t/6 1 leads, epochs 0/0, isr 1 2 of 1 2
              t/7 2 leads, epochs 0/0, isr 2 1 of 2 1
            > fence 2
              fenced
              t/0 1 leads, epochs 0/1, isr 1 of 1 2, elr 2
              t/1 1 leads, epochs 1/1, isr 1 of 2 1, elr 2
              t/2 1 leads, epochs 0/1, isr 1 of 1 2, elr 2
              t/3 1 leads, epochs 1/1, isr 1 of 2 1, elr 2
              t/4 1 leads, epochs 0/1, isr 1 of 1 2, elr 2
              t/5 1 leads, epochs 1/1, isr 1 of 2 1, elr 2
              t/6 1 leads, epochs 0/1, isr 1 of 1 2, elr 2
              t/7 1 leads, epochs 1/1, isr 1 of 2 1, elr 2
            > register 2
              registered as incarnation 2
            > alter t/1 by=1 isr=1,2
              altered, partition epoch 2
              t/1 1 leads, epochs 1/2, isr 2 1 of 2 1
            > moves
              moves: t/1
            > rebalance
              leaderships go back
            > node-config all leader.imbalance.per.broker.percentage=25
              configured
            > rebalance
              nothing to do
            > node-config all leader.imbalance.per.broker.percentage=24
              configured
            > rebalance
              leaderships go back
            > node-config all auto.leader.rebalance.enable=false
              configured
            > rebalance
              nothing to do
        "#]],
    );
}
