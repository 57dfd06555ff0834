//! Topics: created, grown, deleted; where replicas go.

use expect_test::expect;

use super::check;

#[test]
fn replicas_go_to_live_nodes_only() {
    check(
        "
        register 1 2 3 4
        fence 1
        stop 2
        create t p=2
        create u p=1 rf=3
        grow t 3
        fence 3
        grow t 4
        ",
        expect![[r#"
            > register 1 2 3 4
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > fence 1
              fenced
            > stop 2
              shutdown begun
            > create t p=2
              created: 2 partitions, 2 replicas
              t/0 3 leads, epochs 0/0, isr 3 4 of 3 4
              t/1 4 leads, epochs 0/0, isr 4 3 of 4 3
            > create u p=1 rf=3
              refused: a replication factor of 3 needs as many live nodes; there are 2
            > grow t 3
              grown to 3 partitions
              t/2 3 leads, epochs 0/0, isr 3 4 of 3 4
            > fence 3
              fenced
              t/0 4 leads, epochs 1/1, isr 4 of 3 4, elr 3
              t/1 4 leads, epochs 0/1, isr 4 of 4 3, elr 3
              t/2 4 leads, epochs 1/1, isr 4 of 3 4, elr 3
            > grow t 4
              refused: a replication factor of 2 needs as many live nodes; there is 1
        "#]],
    );
}

#[test]
fn replicas_are_spread_over_racks() {
    check(
        "
        register 1 2 rack=a
        register 3 4 rack=b
        register 5 rack=c
        create t p=6 rf=3
        create u p=2 rf=4
        nodes
        ",
        expect![[r#"
            > register 1 2 rack=a
              registered as incarnation 1
              registered as incarnation 1
            > register 3 4 rack=b
              registered as incarnation 1
              registered as incarnation 1
            > register 5 rack=c
              registered as incarnation 1
            > create t p=6 rf=3
              created: 6 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 3 5 of 1 3 5
              t/1 3 leads, epochs 0/0, isr 3 5 2 of 3 5 2
              t/2 5 leads, epochs 0/0, isr 5 2 4 of 5 2 4
              t/3 2 leads, epochs 0/0, isr 2 4 5 of 2 4 5
              t/4 4 leads, epochs 0/0, isr 4 1 5 of 4 1 5
              t/5 1 leads, epochs 0/0, isr 1 5 4 of 1 5 4
            > create u p=2 rf=4
              created: 2 partitions, 4 replicas
              u/0 2 leads, epochs 0/0, isr 2 3 5 4 of 2 3 5 4
              u/1 3 leads, epochs 0/0, isr 3 5 1 4 of 3 5 1 4
            > nodes
              1 at n1:9440 in a: incarnation 1
              2 at n2:9440 in a: incarnation 1
              3 at n3:9440 in b: incarnation 1
              4 at n4:9440 in b: incarnation 1
              5 at n5:9440 in c: incarnation 1
        "#]],
    );
}

#[test]
fn a_topic_waits_for_the_first_live_node() {
    check(
        "
        create t p=1 rf=0
        create t p=1 rf=1
        register 1
        create t p=1 rf=0
        ",
        expect![[r#"
            > create t p=1 rf=0
              refused: no node is alive at the moment that could hold a replica; try again
            > create t p=1 rf=1
              refused: no node is alive at the moment that could hold a replica; try again
            > register 1
              registered as incarnation 1
            > create t p=1 rf=0
              refused: a replication factor of 0 needs as many live nodes; there is 1
        "#]],
    );
}

#[test]
fn a_grown_topic_keeps_what_it_has() {
    check(
        "
        register 1 2
        create t p=1 rf=2
        register 1
        grow t 3
        grow t 3
        grow t 2
        grow t 0
        grow t 10001
        grow none 2
        show
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > register 1
              registered as incarnation 2
              t/0 1 leads, epochs 1/1, isr 1 2 of 1 2
            > grow t 3
              grown to 3 partitions
              t/1 2 leads, epochs 0/0, isr 2 1 of 2 1
              t/2 1 leads, epochs 0/0, isr 1 2 of 1 2
            > grow t 3
              grown to 3 partitions
            > grow t 2
              refused: topic 't' has 3 partitions already: partitions can be added, not removed
            > grow t 0
              refused: topic 't' has 3 partitions already: partitions can be added, not removed
            > grow t 10001
              refused: a topic has 1 to 10000 partitions, not 10001
            > grow none 2
              refused: there is no topic 'none'; 'weir topics list' shows which there are
            > show
              t/0 1 leads, epochs 1/1, isr 1 2 of 1 2
              t/1 2 leads, epochs 0/0, isr 2 1 of 2 1
              t/2 1 leads, epochs 0/0, isr 1 2 of 1 2
        "#]],
    );
}

#[test]
fn a_topic_created_again_is_another_one() {
    check(
        "
        register 1
        create t p=2
        register 1
        delete t
        alter t/0 by=1 isr=1
        create t
        delete none
        grant 10
        grant 5
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=2
              created: 2 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
              t/1 1 leads, epochs 0/0, isr 1 of 1
            > register 1
              registered as incarnation 2
              t/0 1 leads, epochs 1/1, isr 1 of 1
              t/1 1 leads, epochs 1/1, isr 1 of 1
            > delete t
              deleted
            > alter t/0 by=1 isr=1
              refused: there is no topic with id 00000000000000000000000000000000; it may have been deleted
            > create t
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > delete none
              refused: there is no topic 'none'; 'weir topics list' shows which there are
            > grant 10
              granted 10 ids from 0
            > grant 5
              granted 5 ids from 10
        "#]],
    );
}
