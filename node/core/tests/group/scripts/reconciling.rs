//! Partitions on their way from member to member.

use expect_test::expect;

use super::check;

#[test]
fn the_first_member_gets_everything_and_hears_of_it_in_its_waiting_heartbeat() {
    check(
        "
        topic a 2
        manual
        join m1 topics=a
        beat m1 wait=3000
        answer roundrobin
        beat m1 wait=3000
        wait 3000
        describe
        ",
        expect![[r#"
            > topic a 2
            > manual
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
            > beat m1 wait=3000
            > answer roundrobin
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
              m1 <- e3 [a/0 a/1]
            > beat m1 wait=3000
            > wait 3000
              m1 <- e3 as heard
            > describe
              describe <- Stable e2 target e2 roundrobin by roundrobin
                m1 Stable e3 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m1") committed None
        "#]],
    );
}

#[test]
fn a_partition_moves_when_its_owner_confirmed_and_not_before() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m2
        beat m1 confirmed=3
        beat m2 wait=3000
        beat m1
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
            > beat m2
              m2 <- e4 as heard
            > beat m1 confirmed=3
              m1 <- e6 [a/0]
            > beat m2 wait=3000
            > beat m1
              write 5: current m1 e6 [a/0@3]; current m2 e7 [a/1@7]
              m2 <- e7 [a/1]
              m1 <- e6 as heard
            > describe
              describe <- Stable e5 target e5 roundrobin by roundrobin
                m1 Stable e6 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e7 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
        "#]],
    );
}

/// Who waits for partitions of several members is told once of all of them, where they let go within a moment.
#[test]
fn what_several_let_go_of_is_gathered() {
    check(
        "
        topic a 6
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m1
        beat m1
        beat m2
        join m3 topics=a
        beat m1
        beat m2
        beat m2
        wait 10
        beat m1
        beat m3
        describe
        ",
        expect![[r#"
            > topic a 6
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax6 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1 a/2 a/3 a/4 a/5]; current m1 e3 [a/0@3 a/1@3 a/2@3 a/3@3 a/4@3 a/5@3]
            > beat m1
              m1 <- e3 [a/0 a/1 a/2 a/3 a/4 a/5]
            > join m2 topics=a
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax6 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0 a/2 a/4]; target m2 [a/1 a/3 a/5]; current m1 e6 [a/0@3 a/2@3 a/4@3] revoking [a/1@3 told e6 a/3@3 told e6 a/5@3 told e6]
            > beat m1
              m1 <- e6 [a/0 a/2 a/4]
            > beat m1
              write 5: current m1 e6 [a/0@3 a/2@3 a/4@3]; current m2 e7 [a/1@7 a/3@7 a/5@7]
              m1 <- e6 as heard
            > beat m2
              m2 <- e7 [a/1 a/3 a/5]
            > join m3 topics=a
              write 6: member m3 since e8; current m3 e8 []; group e9 target e5 by roundrobin
              ask roundrobin: ax6 for m1 m2 m3
              m3 <- e8 []
              write 7: group e9 target e9 by roundrobin; target m1 [a/0 a/3]; target m2 [a/1 a/4]; target m3 [a/2 a/5]; current m1 e10 [a/0@3] revoking [a/2@3 told e10 a/4@3 told e10]; current m2 e11 [a/1@7] revoking [a/3@7 told e11 a/5@7 told e11]
            > beat m1
              m1 <- e10 [a/0]
            > beat m2
              m2 <- e11 [a/1]
            > beat m2
              write 8: current m2 e11 [a/1@7]; current m1 e12 [a/0@3 a/3@12] revoking [a/2@3 told e10 a/4@3 told e10]
              m2 <- e11 as heard
            > wait 10
            > beat m1
              write 9: current m1 e12 [a/0@3 a/3@12]; current m2 e13 [a/1@7 a/4@13]; current m3 e14 [a/2@14 a/5@14]
              m1 <- e12 [a/0 a/3]
            > beat m3
              m3 <- e14 [a/2 a/5]
            > describe
              describe <- Stable e9 target e9 roundrobin by roundrobin
                m1 Stable e12 [a/0 a/3] revoking [] target [a/0 a/3] alice@h
                m2 Stable e13 [a/1 a/4] revoking [] target [a/1 a/4] alice@h
                m3 Stable e14 [a/2 a/5] revoking [] target [a/2 a/5] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
                a/2 member Some("m3") committed None
                a/3 member Some("m1") committed None
                a/4 member Some("m2") committed None
                a/5 member Some("m3") committed None
        "#]],
    );
}

#[test]
fn one_member_that_is_slow_holds_up_nobody_else() {
    check(
        "
        topic a 6
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m1
        beat m1
        beat m2
        join m3 topics=a
        beat m1
        beat m2
        beat m2
        wait 20
        beat m3
        describe
        ",
        expect![[r#"
            > topic a 6
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax6 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1 a/2 a/3 a/4 a/5]; current m1 e3 [a/0@3 a/1@3 a/2@3 a/3@3 a/4@3 a/5@3]
            > beat m1
              m1 <- e3 [a/0 a/1 a/2 a/3 a/4 a/5]
            > join m2 topics=a
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax6 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0 a/2 a/4]; target m2 [a/1 a/3 a/5]; current m1 e6 [a/0@3 a/2@3 a/4@3] revoking [a/1@3 told e6 a/3@3 told e6 a/5@3 told e6]
            > beat m1
              m1 <- e6 [a/0 a/2 a/4]
            > beat m1
              write 5: current m1 e6 [a/0@3 a/2@3 a/4@3]; current m2 e7 [a/1@7 a/3@7 a/5@7]
              m1 <- e6 as heard
            > beat m2
              m2 <- e7 [a/1 a/3 a/5]
            > join m3 topics=a
              write 6: member m3 since e8; current m3 e8 []; group e9 target e5 by roundrobin
              ask roundrobin: ax6 for m1 m2 m3
              m3 <- e8 []
              write 7: group e9 target e9 by roundrobin; target m1 [a/0 a/3]; target m2 [a/1 a/4]; target m3 [a/2 a/5]; current m1 e10 [a/0@3] revoking [a/2@3 told e10 a/4@3 told e10]; current m2 e11 [a/1@7] revoking [a/3@7 told e11 a/5@7 told e11]
            > beat m1
              m1 <- e10 [a/0]
            > beat m2
              m2 <- e11 [a/1]
            > beat m2
              write 8: current m2 e11 [a/1@7]; current m1 e12 [a/0@3 a/3@12] revoking [a/2@3 told e10 a/4@3 told e10]
              m2 <- e11 as heard
            > wait 20
              write 9: current m3 e13 [a/5@13]
            > beat m3
              m3 <- e13 [a/5]
            > describe
              describe <- Reconciling e9 target e9 roundrobin by roundrobin
                m1 Revoking e12 [a/0 a/3] revoking [a/2 a/4] target [a/0 a/3] alice@h
                m2 Waiting e11 [a/1] revoking [] target [a/1 a/4] alice@h
                m3 Waiting e13 [a/5] revoking [] target [a/2 a/5] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
                a/2 member Some("m1") committed None
                a/3 member Some("m1") committed None
                a/4 member Some("m1") committed None
                a/5 member Some("m3") committed None
        "#]],
    );
}

#[test]
fn a_confirmation_that_was_sent_before_the_revocation_frees_nothing() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        beat m1
        join m2 topics=a
        beat m1 confirmed=5 heard=5
        describe
        beat m1
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
            > beat m1
              m1 <- e3 as heard
            > join m2 topics=a
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax2 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0]; target m2 [a/1]; current m1 e6 [a/0@3] revoking [a/1@3 told e6]
            > beat m1 confirmed=5 heard=5
              m1 <- e6 [a/0]
            > describe
              describe <- Reconciling e5 target e5 roundrobin by roundrobin
                m1 Revoking e6 [a/0] revoking [a/1] target [a/0] alice@h
                m2 Waiting e4 [] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m1") committed None
            > beat m1
              write 5: current m1 e6 [a/0@3]; current m2 e7 [a/1@7]
              m1 <- e6 as heard
            > describe
              describe <- Stable e5 target e5 roundrobin by roundrobin
                m1 Stable e6 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e7 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
        "#]],
    );
}

#[test]
fn a_partition_that_comes_back_while_it_is_let_go_of_waits_for_the_confirmation() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        join m2 topics=a
        leave m2
        beat m1
        beat m1
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
            > leave m2
              write 5: no current m2; no target m2; no member m2; group e7 target e5 by roundrobin
              ask roundrobin: ax2 for m1
              m2 <- left
              write 6: group e7 target e7 by roundrobin; target m1 [a/0 a/1]
            > beat m1
              m1 <- e6 [a/0]
            > beat m1
              write 7: current m1 e6 [a/0@3]; current m1 e8 [a/0@3 a/1@8]
              m1 <- e8 [a/0 a/1]
        "#]],
    );
}

#[test]
fn a_new_heartbeat_ends_the_wait_of_the_one_before() {
    check(
        "
        topic a 1
        join m1 topics=a
        beat m1
        beat m1 wait=3000
        beat m1 wait=3000
        wait 3000
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
            > beat m1 wait=3000
              m1 <- e3 as heard
            > wait 3000
              m1 <- e3 as heard
        "#]],
    );
}

#[test]
fn topics_that_grow_come_and_go_change_the_target() {
    check(
        "
        topic a 1
        join m1 topics=a,b
        beat m1
        topic a 2
        beat m1
        topic b 1
        beat m1
        untopic a
        beat m1
        beat m1
        describe
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a,b
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m1
              m1 <- e3 [a/0]
            > topic a 2
              write 3: group e4 target e2 by roundrobin
              ask roundrobin: ax2 for m1
              write 4: group e4 target e4 by roundrobin; target m1 [a/0 a/1]; current m1 e5 [a/0@3 a/1@5]
            > beat m1
              m1 <- e5 [a/0 a/1]
            > topic b 1
              write 5: group e6 target e4 by roundrobin
              ask roundrobin: ax2 bx1 for m1
              write 6: group e6 target e6 by roundrobin; target m1 [a/0 a/1 b/0]; current m1 e7 [a/0@3 a/1@5 b/0@7]
            > beat m1
              m1 <- e7 [a/0 a/1 b/0]
            > untopic a
              write 7: group e8 target e6 by roundrobin
              ask roundrobin: bx1 for m1
              write 8: group e8 target e8 by roundrobin; target m1 [b/0]; current m1 e9 [b/0@7] revoking [a/0@3 told e9 a/1@5 told e9]
            > beat m1
              m1 <- e9 [b/0]
            > beat m1
              write 9: current m1 e9 [b/0@7]
              m1 <- e9 as heard
            > describe
              describe <- Stable e8 target e8 roundrobin by roundrobin
                m1 Stable e9 [b/0] revoking [] target [b/0] alice@h
                b/0 member Some("m1") committed None
        "#]],
    );
}

#[test]
fn a_pattern_follows_topics_as_they_come() {
    check(
        "
        topic orders.eu 1
        topic other 1
        topic __own 1
        join m1 pattern=orders[.].*|o
        beat m1
        topic orders.us 1
        topic orders 1
        beat m1
        ",
        expect![[r#"
            > topic orders.eu 1
            > topic other 1
            > topic __own 1
            > join m1 pattern=orders[.].*|o
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: orders.eux1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [orders.eu/0]; current m1 e3 [orders.eu/0@3]
            > beat m1
              m1 <- e3 [orders.eu/0]
            > topic orders.us 1
              write 3: group e4 target e2 by roundrobin
              ask roundrobin: orders.eux1 orders.usx1 for m1
              write 4: group e4 target e4 by roundrobin; target m1 [orders.eu/0 orders.us/0]; current m1 e5 [orders.eu/0@3 orders.us/0@5]
            > topic orders 1
            > beat m1
              m1 <- e5 [orders.eu/0 orders.us/0]
        "#]],
    );
}

#[test]
fn a_subscription_that_changes_asks_for_a_new_target() {
    check(
        "
        topic a 1
        topic b 1
        join m1 topics=a
        beat m1
        beat m1 topics=b
        beat m1
        beat m1
        beat m1
        ",
        expect![[r#"
            > topic a 1
            > topic b 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m1
              m1 <- e3 [a/0]
            > beat m1 topics=b
              write 3: member m1 since e1; group e4 target e2 by roundrobin
              ask roundrobin: bx1 for m1
              m1 <- e3 as heard
              write 4: group e4 target e4 by roundrobin; target m1 [b/0]; current m1 e5 [b/0@5] revoking [a/0@3 told e5]
            > beat m1
              m1 <- e5 [b/0]
            > beat m1
              write 5: current m1 e5 [b/0@5]
              m1 <- e5 as heard
            > beat m1
              m1 <- e5 as heard
        "#]],
    );
}

#[test]
fn a_join_that_is_sent_again_changes_nothing() {
    check(
        "
        topic a 1
        join m1 topics=a
        join m1 topics=a
        describe
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > join m1 topics=a
              m1 <- e3 [a/0]
            > describe
              describe <- Stable e2 target e2 roundrobin by roundrobin
                m1 Stable e3 [a/0] revoking [] target [a/0] alice@h
                a/0 member Some("m1") committed None
        "#]],
    );
}
