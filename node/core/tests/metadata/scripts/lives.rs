//! Registration, fencing and stopping.

use expect_test::expect;

use super::check;

#[test]
fn a_repeated_proposal_registers_once() {
    check(
        "
        register 1 process=7
        register 1 process=7
        nodes
        ",
        expect![[r#"
            > register 1 process=7
              registered as incarnation 1
            > register 1 process=7
              registered as incarnation 1
            > nodes
              1 at n1:9440: incarnation 1
        "#]],
    );
}

/// Bad input of issue C: a duplicate node id.
#[test]
fn a_second_process_of_a_live_node_is_refused_until_its_lease_ran_out() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        register 2 wiped
        register 2 last=7
        fence 2
        register 2 wiped
        nodes
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > register 2 wiped
              refused: another process runs as node 2 at n2:9440, or its lease has not run out yet: give this node another --node-id, or wait for a lease and start it again
            > register 2 last=7
              refused: another process runs as node 2 at n2:9440, or its lease has not run out yet: give this node another --node-id, or wait for a lease and start it again
            > fence 2
              fenced
              t/0 1 leads, epochs 0/1, isr 1 3 of 1 2 3
            > register 2 wiped
              registered as incarnation 2
            > nodes
              1 at n1:9440: incarnation 1
              2 at n2:9440: incarnation 2
              3 at n3:9440: incarnation 1
        "#]],
    );
}

#[test]
fn the_same_folder_is_taken_back_at_once() {
    check(
        "
        register 1 2 process=8
        register 1 last=1
        register 2 wiped earlier=5,8
        nodes
        ",
        expect![[r#"
            > register 1 2 process=8
              registered as incarnation 1
              registered as incarnation 1
            > register 1 last=1
              registered as incarnation 2
            > register 2 wiped earlier=5,8
              registered as incarnation 2
            > nodes
              1 at n1:9440: incarnation 2
              2 at n2:9440: incarnation 2
        "#]],
    );
}

#[test]
fn a_fenced_process_that_lives_registers_again() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        register 1 process=7
        fence 1
        register 1 process=7
        register 1 process=7
        register 1 process=8 last=9 earlier=7
        register 1 process=7
        fence 1
        register 1 process=7
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > register 1 process=7
              registered as incarnation 2
              t/0 1 leads, epochs 1/1, isr 1 2 3 of 1 2 3
            > fence 1
              fenced
              t/0 2 leads, epochs 2/2, isr 2 3 of 1 2 3
            > register 1 process=7
              registered as incarnation 3
            > register 1 process=7
              registered as incarnation 3
            > register 1 process=8 last=9 earlier=7
              registered as incarnation 4
            > register 1 process=7
              refused: another process runs as node 1 at n1:9440, or its lease has not run out yet: give this node another --node-id, or wait for a lease and start it again
            > fence 1
              fenced
            > register 1 process=7
              refused: another process runs as node 1 at n1:9440, or its lease has not run out yet: give this node another --node-id, or wait for a lease and start it again
        "#]],
    );
}

/// INVARIANTS 57: no reign outlives an incarnation, also with a single replica.
#[test]
fn a_registration_ends_the_reigns_of_the_earlier_life() {
    check(
        "
        register 1
        create one
        register 1 unclean
        register 2 3
        create three p=2 rf=3
        register 1
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create one
              created: 1 partitions, 1 replicas
              one/0 1 leads, epochs 0/0, isr 1 of 1
            > register 1 unclean
              registered as incarnation 2
              one/0 1 leads, epochs 1/1, isr 1 of 1
            > register 2 3
              registered as incarnation 1
              registered as incarnation 1
            > create three p=2 rf=3
              created: 2 partitions, 3 replicas
              three/0 2 leads, epochs 0/0, isr 2 3 1 of 2 3 1
              three/1 3 leads, epochs 0/0, isr 3 1 2 of 3 1 2
            > register 1
              registered as incarnation 3
              one/0 1 leads, epochs 2/2, isr 1 of 1
        "#]],
    );
}

#[test]
fn who_leads_and_registers_anew_hands_over_by_the_order_of_assignment() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 1
        register 1
        alter t/0 by=2 isr=1,2,3
        register 2
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
            > register 1
              registered as incarnation 2
            > alter t/0 by=2 isr=1,2,3
              altered, partition epoch 2
              t/0 2 leads, epochs 1/2, isr 1 2 3 of 1 2 3
            > register 2
              registered as incarnation 2
              t/0 1 leads, epochs 2/3, isr 1 2 3 of 1 2 3
        "#]],
    );
}

#[test]
fn a_fenced_node_leads_nothing_and_comes_back_by_registering() {
    check(
        "
        register 1 2 3
        create t p=3 rf=3
        fence 1
        fence 1
        offline t/0
        hosted 1
        register 1
        hosted 1
        alter t/0 by=2 isr=1,2,3
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=3 rf=3
              created: 3 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
              t/1 2 leads, epochs 0/0, isr 2 3 1 of 2 3 1
              t/2 3 leads, epochs 0/0, isr 3 1 2 of 3 1 2
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
              t/1 2 leads, epochs 0/1, isr 2 3 of 2 3 1
              t/2 3 leads, epochs 0/1, isr 3 2 of 3 1 2
            > fence 1
              fenced
            > offline t/0
              offline: 1
            > hosted 1
              t/0 follows 2@1
              t/1 follows 2@1
              t/2 follows 3@1
            > register 1
              registered as incarnation 2
            > hosted 1
              t/0 follows 2@1
              t/1 follows 2@1
              t/2 follows 3@1
            > alter t/0 by=2 isr=1,2,3
              altered, partition epoch 2
              t/0 2 leads, epochs 1/2, isr 1 2 3 of 1 2 3
        "#]],
    );
}

#[test]
fn fencing_and_stopping_are_for_the_life_that_they_name() {
    check(
        "
        register 1
        register 1
        fence 1 inc=1
        stop 1 inc=1
        fence 9
        stop 9
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > register 1
              registered as incarnation 2
            > fence 1 inc=1
              refused: node 1 runs as incarnation 2: incarnation 1 is over and must register again
            > stop 1 inc=1
              refused: node 1 runs as incarnation 2: incarnation 1 is over and must register again
            > fence 9
              refused: there is no node 9; 'weir cluster nodes' shows which there are
            > stop 9
              refused: there is no node 9; 'weir cluster nodes' shows which there are
        "#]],
    );
}

#[test]
fn who_stops_hands_over_and_leaves_where_others_remain() {
    check(
        "
        register 1 2 3
        create three p=1 rf=3
        create one p=3 rf=1
        may-stop 1
        stop 1
        may-stop 1
        nodes
        create more p=2 rf=3
        create more p=3 rf=2
        stop 1
        register 1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create three p=1 rf=3
              created: 1 partitions, 3 replicas
              three/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > create one p=3 rf=1
              created: 3 partitions, 1 replicas
              one/0 2 leads, epochs 0/0, isr 2 of 2
              one/1 3 leads, epochs 0/0, isr 3 of 3
              one/2 1 leads, epochs 0/0, isr 1 of 1
            > may-stop 1
              no
            > stop 1
              shutdown begun
              three/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
            > may-stop 1
              yes
            > nodes
              1 at n1:9440: incarnation 1, stopping
              2 at n2:9440: incarnation 1
              3 at n3:9440: incarnation 1
            > create more p=2 rf=3
              refused: a replication factor of 3 needs as many live nodes; there are 2
            > create more p=3 rf=2
              created: 3 partitions, 2 replicas
              more/0 3 leads, epochs 0/0, isr 3 2 of 3 2
              more/1 2 leads, epochs 0/0, isr 2 3 of 2 3
              more/2 3 leads, epochs 0/0, isr 3 2 of 3 2
            > stop 1
              shutdown begun
            > register 1
              registered as incarnation 2
              one/2 1 leads, epochs 1/1, isr 1 of 1
        "#]],
    );
}

#[test]
fn who_stops_alone_in_sync_stays() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 2
        fence 3
        stop 1
        may-stop 1
        register 2
        alter t/0 by=1 isr=1,2
        fence 1
        register 1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 1 leads, epochs 0/1, isr 1 3 of 1 2 3
            > fence 3
              fenced
              t/0 1 leads, epochs 0/2, isr 1 of 1 2 3, elr 3
            > stop 1
              shutdown begun
            > may-stop 1
              yes
            > register 2
              registered as incarnation 2
            > alter t/0 by=1 isr=1,2
              refused: node 1 cannot be counted as in sync: it is stopping
            > fence 1
              fenced
              t/0 nobody leads, epochs 1/3, isr - of 1 2 3, elr 1 3
            > register 1
              registered as incarnation 2
              t/0 1 leads, epochs 2/4, isr 1 of 1 2 3, elr 3
        "#]],
    );
}

/// KIP-903 and INVARIANTS 27: catch up, delay AlterPartition, swap the disk, register again, deliver.
#[test]
fn a_swapped_disk_is_in_no_isr_until_it_caught_up() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 3
        register 3
        fence 3
        register 3 wiped
        alter t/0 by=1 isr=1,2,3@2
        alter t/0 by=1 isr=1,2,3
        fence 3
        register 3 wiped
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 3
              fenced
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3
            > register 3
              registered as incarnation 2
            > fence 3
              fenced
            > register 3 wiped
              registered as incarnation 3
            > alter t/0 by=1 isr=1,2,3@2
              refused: node 3 cannot be counted as in sync: it runs as incarnation 3, and incarnation 2 caught up
            > alter t/0 by=1 isr=1,2,3
              altered, partition epoch 2
              t/0 1 leads, epochs 0/2, isr 1 2 3 of 1 2 3
            > fence 3
              fenced
              t/0 1 leads, epochs 0/3, isr 1 2 of 1 2 3
            > register 3 wiped
              registered as incarnation 4
        "#]],
    );
}
