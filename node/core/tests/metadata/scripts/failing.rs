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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
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
        expect![[""]],
    );
}
