//! Coordinators that end, and those that come after.

use expect_test::expect;

use super::check;

#[test]
fn members_keep_what_they_hold_and_get_a_whole_session() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m1
        beat m1
        beat m2
        wait 14000
        failover
        describe
        wait 14000
        beat m1
        beat m2
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
            > wait 14000
            > failover
            > describe
              describe <- Stable e5 target e5 roundrobin by roundrobin
                m1 Stable e6 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e7 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
            > wait 14000
            > beat m1
              m1 <- e6 as heard
            > beat m2
              m2 <- e7 as heard
        "#]],
    );
}

#[test]
fn what_was_not_committed_was_never_answered_and_is_gone() {
    check(
        "
        topic a 1
        join m1 topics=a
        hold
        beat m1
        commit m1 a/0=5
        leave m1
        beat m1 wait=3000
        stop
        beat m1
        failover lose
        fetch
        describe
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > hold
            > beat m1
              m1 <- e3 [a/0]
            > commit m1 a/0=5
              write 3: offset a/0 5
            > leave m1
              write 4: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
            > beat m1 wait=3000
            > stop
              commit <- NOT_COORDINATOR: this node does not coordinate the group any more; ask the leader of its partition of '__consumer_offsets'
              m1 <- NOT_COORDINATOR: this node does not coordinate the group any more; ask the leader of its partition of '__consumer_offsets'
              m1 <- NOT_COORDINATOR: this node does not coordinate the group any more; ask the leader of its partition of '__consumer_offsets'
            > beat m1
              m1 <- NOT_COORDINATOR: this node does not coordinate the group any more; ask the leader of its partition of '__consumer_offsets'
            > failover lose
            > fetch
              fetch <- 
            > describe
              describe <- Stable e2 target e2 roundrobin by roundrobin
                m1 Stable e3 [a/0] revoking [] target [a/0] alice@h
                a/0 member Some("m1") committed None
        "#]],
    );
}

#[test]
fn an_assignor_that_was_asked_is_asked_again() {
    check(
        "
        topic a 2
        manual
        join m1 topics=a
        failover
        answer roundrobin
        ",
        expect![[r#"
            > topic a 2
            > manual
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
            > failover
              ask roundrobin: ax2 for m1
            > answer roundrobin
              write 1: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
        "#]],
    );
}

#[test]
fn a_revocation_goes_on_where_it_was() {
    check(
        "
        topic a 2
        join m1 topics=a rebalance=10000
        beat m1
        join m2 topics=a
        failover
        beat m1 confirmed=3 heard=5
        wait 10000
        beat m1 confirmed=3
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a rebalance=10000
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
            > failover
            > beat m1 confirmed=3 heard=5
              m1 <- e6 [a/0]
            > wait 10000
              report: m1 expelled
            > beat m1 confirmed=3
              m1 <- FENCED_MEMBER_EPOCH: the member did not let go of its partitions in time and was expelled: let go and join under a new id
        "#]],
    );
}

#[test]
fn old_metadata_takes_nothing_from_anybody() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        old-topics
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
            > old-topics
            > describe
              describe <- Stable e2 target e2 roundrobin by roundrobin
                m1 Stable e3 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m1") committed None
        "#]],
    );
}
