//! AlterPartition: the compare-and-set of INVARIANTS 23.

use expect_test::expect;

use super::check;

#[test]
fn a_leader_shrinks_and_grows_the_isr() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        alter t/0 by=1 isr=1,2
        alter t/0 by=1 isr=1
        alter t/0 by=1 isr=3,1
        alter t/0 by=1 isr=2,3,1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > alter t/0 by=1 isr=1,2
              altered, partition epoch 1
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3
            > alter t/0 by=1 isr=1
              altered, partition epoch 2
              t/0 1 leads, epochs 0/2, isr 1 of 1 2 3, elr 2
            > alter t/0 by=1 isr=3,1
              altered, partition epoch 3
              t/0 1 leads, epochs 0/3, isr 1 3 of 1 2 3
            > alter t/0 by=1 isr=2,3,1
              altered, partition epoch 4
              t/0 1 leads, epochs 0/4, isr 1 2 3 of 1 2 3
        "#]],
    );
}

#[test]
fn only_the_leader_of_this_reign_and_state_is_heard() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        alter t/0 by=2 isr=1,2
        alter t/0 by=1 epoch=1 isr=1,2
        alter t/0 by=1 pepoch=1 isr=1,2
        register 1
        alter t/0 by=1 epoch=0 isr=1,2
        alter t/0 by=1 inc=1 isr=1,2
        alter t/0 by=1 pepoch=0 isr=1,2
        fence 1
        fence 2
        fence 3
        alter t/0 by=1 isr=1,2
        alter t/7 by=1 isr=1,2
        delete t
        alter t/0 by=1 isr=1,2
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > alter t/0 by=2 isr=1,2
              refused: the partition is led by node 1 in leader epoch 0; only its leader may change who is in sync
            > alter t/0 by=1 epoch=1 isr=1,2
              refused: the partition is led by node 1 in leader epoch 0; only its leader may change who is in sync
            > alter t/0 by=1 pepoch=1 isr=1,2
              refused: the partition is at partition epoch 0, not 1: it changed meanwhile
            > register 1
              registered as incarnation 2
              t/0 1 leads, epochs 1/1, isr 1 2 3 of 1 2 3
            > alter t/0 by=1 epoch=0 isr=1,2
              refused: the partition is led by node 1 in leader epoch 1; only its leader may change who is in sync
            > alter t/0 by=1 inc=1 isr=1,2
              refused: node 1 runs as incarnation 2: incarnation 1 is over and must register again
            > alter t/0 by=1 pepoch=0 isr=1,2
              refused: the partition is at partition epoch 1, not 0: it changed meanwhile
            > fence 1
              fenced
              t/0 2 leads, epochs 2/2, isr 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 3 leads, epochs 3/3, isr 3 of 1 2 3, elr 2
            > fence 3
              fenced
              t/0 nobody leads, epochs 4/4, isr - of 1 2 3, elr 2 3
            > alter t/0 by=1 isr=1,2
              refused: the partition is led by nobody in leader epoch 4; only its leader may change who is in sync
            > alter t/7 by=1 isr=1,2
              refused: topic 't' has no partition 7; it has 1
            > delete t
              deleted
            > alter t/0 by=1 isr=1,2
              refused: there is no topic with id 00000000000000000000000000000000; it may have been deleted
        "#]],
    );
}

#[test]
fn only_who_can_be_in_sync_gets_in() {
    check(
        "
        register 1 2 3 4
        create t p=1 rf=3
        alter t/0 by=1 isr=2,3
        alter t/0 by=1 isr=
        alter t/0 by=1 isr=1,2,2
        alter t/0 by=1 isr=1,4
        alter t/0 by=1 isr=1,9
        register 2
        alter t/0 by=1 isr=1,2@1
        alter t/0 by=1 isr=1,2@3
        fence 2
        alter t/0 by=1 isr=1,2
        stop 3
        alter t/0 by=1 isr=1,3
        alter t/0 by=1 isr=1@9
        ",
        expect![[r#"
            > register 1 2 3 4
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > alter t/0 by=1 isr=2,3
              refused: node 1 cannot be counted as in sync: it leads, and was left out
            > alter t/0 by=1 isr=
              refused: node 1 cannot be counted as in sync: it leads, and was left out
            > alter t/0 by=1 isr=1,2,2
              refused: node 2 cannot be counted as in sync: it is named twice
            > alter t/0 by=1 isr=1,4
              refused: node 4 cannot be counted as in sync: the partition is not assigned to it
            > alter t/0 by=1 isr=1,9
              refused: node 9 cannot be counted as in sync: the partition is not assigned to it
            > register 2
              registered as incarnation 2
            > alter t/0 by=1 isr=1,2@1
              refused: node 2 cannot be counted as in sync: it runs as incarnation 2, and incarnation 1 caught up
            > alter t/0 by=1 isr=1,2@3
              refused: node 2 cannot be counted as in sync: it runs as incarnation 2, and incarnation 3 caught up
            > fence 2
              fenced
              t/0 1 leads, epochs 0/1, isr 1 3 of 1 2 3
            > alter t/0 by=1 isr=1,2
              refused: node 2 cannot be counted as in sync: its lease ran out
            > stop 3
              shutdown begun
              t/0 1 leads, epochs 0/2, isr 1 of 1 2 3, elr 3
            > alter t/0 by=1 isr=1,3
              refused: node 3 cannot be counted as in sync: it is stopping
            > alter t/0 by=1 isr=1@9
              refused: node 1 cannot be counted as in sync: it runs as incarnation 1, and incarnation 9 caught up
        "#]],
    );
}
