//! Members that are not heard of, or do not let go.

use expect_test::expect;

use super::check;

#[test]
fn a_member_that_is_not_heard_of_for_a_session_is_given_up() {
    check(
        "
        topic a 2
        join m1 topics=a
        join m2 topics=a
        wait 14000
        beat m1
        beat m1
        beat m1
        wait 1000
        describe
        beat m2 heard=5 confirmed=5
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > join m2 topics=a
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax2 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0]; target m2 [a/1]; current m1 e6 [a/0@3] revoking [a/1@3 told e6]
            > wait 14000
            > beat m1
              m1 <- e6 [a/0]
            > beat m1
              write 5: current m1 e6 [a/0@3]; current m2 e7 [a/1@7]
              m1 <- e6 as heard
            > beat m1
              m1 <- e6 as heard
            > wait 1000
              write 6: no current m2; no target m2; no member m2; group e8 target e5 by roundrobin
              report: session of m2 ended
              ask roundrobin: ax2 for m1
              write 7: group e8 target e8 by roundrobin; target m1 [a/0 a/1]; current m1 e9 [a/0@3 a/1@9]
            > describe
              describe <- Stable e8 target e8 roundrobin by roundrobin
                m1 Stable e9 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m1") committed None
            > beat m2 heard=5 confirmed=5
              m2 <- UNKNOWN_MEMBER_ID: 'm2' is no member of the group, or its session ended: let go of every partition and join again
        "#]],
    );
}

#[test]
fn a_heartbeat_that_waits_counts_from_when_it_came() {
    check(
        "
        topic a 1
        join m1 topics=a
        beat m1
        beat m1 wait=3000
        wait 14999
        wait 1
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m1
              m1 <- e3 [a/0]
            > beat m1 wait=3000
            > wait 14999
              m1 <- e3 as heard
            > wait 1
              write 3: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 15000
              report: session of m1 ended
        "#]],
    );
}

#[test]
fn who_leaves_frees_its_partitions_at_once() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m1
        beat m1
        beat m2
        leave m1
        describe
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > beat m1
              m1 <- e3 [a/0 a/1]
            > join m2 topics=a
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax2 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0]; target m2 [a/1]; current m1 e6 [a/0@3] revoking [a/1@3 told e6]
            > beat m1
              m1 <- e6 [a/0]
            > beat m1
              write 5: current m1 e6 [a/0@3]; current m2 e7 [a/1@7]
              m1 <- e6 as heard
            > beat m2
              m2 <- e7 [a/1]
            > leave m1
              write 6: no current m1; no target m1; no member m1; group e8 target e5 by roundrobin
              ask roundrobin: ax2 for m2
              m1 <- left
              write 7: group e8 target e8 by roundrobin; target m2 [a/0 a/1]; current m2 e9 [a/0@9 a/1@7]
            > describe
              describe <- Stable e8 target e8 roundrobin by roundrobin
                m2 Stable e9 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m2") committed None
                a/1 member Some("m2") committed None
        "#]],
    );
}

#[test]
fn who_does_not_let_go_is_heard_no_more_and_its_partitions_move_when_its_session_is_over() {
    check(
        "
        topic a 2
        join m1 topics=a rebalance=20000
        beat m1
        join m2 topics=a
        wait 10000
        beat m1 confirmed=3
        beat m2
        wait 9000
        beat m1 confirmed=3 wait=3000
        beat m2
        wait 1000
        beat m1 confirmed=3
        join m1 topics=a
        beat m2
        wait 13000
        beat m2
        wait 2000
        describe
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a rebalance=20000
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > beat m1
              m1 <- e3 [a/0 a/1]
            > join m2 topics=a
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax2 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0]; target m2 [a/1]; current m1 e6 [a/0@3] revoking [a/1@3 told e6]
            > wait 10000
            > beat m1 confirmed=3
              m1 <- e6 [a/0]
            > beat m2
              m2 <- e4 as heard
            > wait 9000
            > beat m1 confirmed=3 wait=3000
            > beat m2
              m2 <- e4 as heard
            > wait 1000
              report: m1 expelled
              m1 <- FENCED_MEMBER_EPOCH: the member did not let go of its partitions in time and was expelled: let go and join under a new id
            > beat m1 confirmed=3
              m1 <- FENCED_MEMBER_EPOCH: the member did not let go of its partitions in time and was expelled: let go and join under a new id
            > join m1 topics=a
              m1 <- FENCED_MEMBER_EPOCH: the member did not let go of its partitions in time and was expelled: let go and join under a new id
            > beat m2
              m2 <- e4 as heard
            > wait 13000
            > beat m2
              m2 <- e4 as heard
            > wait 2000
              write 5: no current m1; no target m1; no member m1; group e7 target e5 by roundrobin
              report: session of m1 ended
              ask roundrobin: ax2 for m2
              write 6: group e7 target e7 by roundrobin; target m2 [a/0 a/1]; current m2 e8 [a/0@8 a/1@8]
            > describe
              describe <- Stable e7 target e7 roundrobin by roundrobin
                m2 Stable e8 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m2") committed None
                a/1 member Some("m2") committed None
        "#]],
    );
}

#[test]
fn the_last_member_leaves_an_empty_group() {
    check(
        "
        topic a 1
        join m1 topics=a
        leave m1
        describe
        list
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > leave m1
              write 3: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
              m1 <- left
            > describe
              describe <- Empty e4 target e4 roundrobin by roundrobin
            > list
              list <- g Empty 0 by roundrobin
        "#]],
    );
}
