//! Members with an instance id.

use expect_test::expect;

use super::check;

#[test]
fn who_said_that_it_returns_finds_what_it_had_under_a_new_member_id() {
    check(
        "
        topic a 2
        join m1 topics=a instance=i1
        beat m1
        join m2 topics=a instance=i2
        beat m1
        beat m1
        beat m2
        leave m1 returns
        describe
        join m1b topics=a instance=i1
        describe
        beat m1 heard=3 confirmed=3
        commit m1 epoch=6 a/0=1
        commit m1b a/0=1
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a instance=i1
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > beat m1
              m1 <- e3 [a/0 a/1]
            > join m2 topics=a instance=i2
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
            > leave m1 returns
              write 6: member m1 since e1 away; current m1 e6 [a/0@3]
              m1 <- left
            > describe
              describe <- Reconciling e5 target e5 roundrobin by roundrobin
                m1 Away e6 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e7 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
            > join m1b topics=a instance=i1
              write 7: no current m1; no target m1; no member m1; member m1b since e8; target m1b [a/0]; current m1b e8 [a/0@8]
              m1b <- e8 [a/0]
            > describe
              describe <- Stable e5 target e5 roundrobin by roundrobin
                m1b Stable e8 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e7 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1b") committed None
                a/1 member Some("m2") committed None
            > beat m1 heard=3 confirmed=3
              m1 <- UNKNOWN_MEMBER_ID: 'm1' is no member of the group, or its session ended: let go of every partition and join again
            > commit m1 epoch=6 a/0=1
              commit <- UNKNOWN_MEMBER_ID: 'm1' is no member of the group, or its session ended: let go of every partition and join again
            > commit m1b a/0=1
              write 8: offset a/0 1
              commit <- ok
        "#]],
    );
}

#[test]
fn two_members_with_one_instance_id_are_refused() {
    check(
        "
        topic a 1
        join m1 topics=a instance=i1
        join m2 topics=a instance=i1
        join m1 topics=a instance=i2
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a instance=i1
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > join m2 topics=a instance=i1
              m2 <- UNRELEASED_INSTANCE_ID: another member with group.instance.id 'i1' is alive; stop it, or wait until its session ends
            > join m1 topics=a instance=i2
              m1 <- INVALID_REQUEST: a member cannot change its group.instance.id; leave and join again
        "#]],
    );
}

#[test]
fn who_does_not_return_within_a_session_is_given_up() {
    check(
        "
        topic a 1
        join m1 topics=a instance=i1
        leave m1 returns
        wait 15000
        describe
        join m2 topics=a instance=i1
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a instance=i1
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > leave m1 returns
              write 3: member m1 since e1 away; current m1 e3 [a/0@3]
              m1 <- left
            > wait 15000
              write 4: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 15000
              report: session of m1 ended
            > describe
              describe <- Empty e4 target e4 roundrobin by roundrobin
            > join m2 topics=a instance=i1
              write 5: member m2 since e5; current m2 e5 []; group e6 target e4 by roundrobin
              ask roundrobin: ax1 for m2
              m2 <- e5 []
              write 6: group e6 target e6 by roundrobin; target m2 [a/0]; current m2 e7 [a/0@7]
        "#]],
    );
}

#[test]
fn what_an_absent_member_loses_to_a_new_target_moves_at_once() {
    check(
        "
        topic a 2
        join m1 topics=a instance=i1
        beat m1
        leave m1 returns
        join m2 topics=a
        beat m2
        describe
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a instance=i1
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > beat m1
              m1 <- e3 [a/0 a/1]
            > leave m1 returns
              write 3: member m1 since e1 away; current m1 e3 [a/0@3 a/1@3]
              m1 <- left
            > join m2 topics=a
              write 4: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax2 for m1 m2
              m2 <- e4 []
              write 5: group e5 target e5 by roundrobin; target m1 [a/0]; target m2 [a/1]; current m1 e6 [a/0@3]; current m2 e7 [a/1@7]
            > beat m2
              m2 <- e7 [a/1]
            > describe
              describe <- Reconciling e5 target e5 roundrobin by roundrobin
                m1 Away e6 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e7 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
        "#]],
    );
}

#[test]
fn leaving_twice_does_not_send_a_member_away_that_came_back() {
    check(
        "
        topic a 1
        join m1 topics=a instance=i1
        beat m1
        leave m1 returns epoch=3
        join m1 topics=a instance=i1
        leave m1 returns epoch=3
        beat m1
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a instance=i1
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m1
              m1 <- e3 [a/0]
            > leave m1 returns epoch=3
              write 3: member m1 since e1 away; current m1 e3 [a/0@3]
              m1 <- left
            > join m1 topics=a instance=i1
              write 4: no current m1; no target m1; no member m1; member m1 since e4; target m1 [a/0]; current m1 e4 [a/0@4]
              m1 <- e4 [a/0]
            > leave m1 returns epoch=3
              m1 <- FENCED_MEMBER_EPOCH: epoch 3 is not one of this membership (4 to 4): let go of every partition and join again
            > beat m1
              m1 <- e4 as heard
        "#]],
    );
}
