//! Assignors: asked, checked, replaced.

use expect_test::expect;

use super::check;

#[test]
fn every_wrong_answer_falls_back_to_range_and_is_reported() {
    check(
        "
        topic a 2
        topic b 1
        manual
        join m1 topics=a
        answer m2:a/0,a/1
        join m2 topics=b
        answer m1:a/0,a/1,b/0
        assignor roundrobin
        answer m1:a/0,a/1,a/2 m2:b/0
        assignor roundrobin
        answer m1:a/0,a/1,a/0 m2:b/0
        assignor roundrobin
        answer m1:a/0,a/1 m2:
        assignor roundrobin
        answer late
        assignor roundrobin
        answer m1:a/0,a/1 m2:b/0
        describe
        ",
        expect![[r#"
            > topic a 2
            > topic b 1
            > manual
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
            > answer m2:a/0,a/1
              write 2: group e2 target e2 by range; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
              report: roundrobin failed: it gives partitions to 'm2', who is no member
            > join m2 topics=b
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by range
              ask roundrobin: ax2 bx1 for m1 m2
              m2 <- e4 []
            > answer m1:a/0,a/1,b/0
              write 4: group e5 target e5 by range; target m2 [b/0]; current m2 e6 [b/0@6]
              report: roundrobin failed: it gives a partition of 'b' to 'm1', who does not subscribe to it
            > assignor roundrobin
              write 5: group e7 target e5 by range
              ask roundrobin: ax2 bx1 for m1 m2
              assignor <- roundrobin from e7
            > answer m1:a/0,a/1,a/2 m2:b/0
              write 6: group e7 target e7 by range
              report: roundrobin failed: it gives away partition 2 of topic 01010101010101010101010101010101, which does not exist
            > assignor roundrobin
              write 7: group e8 target e7 by range
              ask roundrobin: ax2 bx1 for m1 m2
              assignor <- roundrobin from e8
            > answer m1:a/0,a/1,a/0 m2:b/0
              write 8: group e8 target e8 by range
              report: roundrobin failed: it gives partition 0 of 'a' away twice
            > assignor roundrobin
              write 9: group e9 target e8 by range
              ask roundrobin: ax2 bx1 for m1 m2
              assignor <- roundrobin from e9
            > answer m1:a/0,a/1 m2:
              write 10: group e9 target e9 by range
              report: roundrobin failed: it gives partition 0 of 'b' to nobody
            > assignor roundrobin
              write 11: group e10 target e9 by range
              ask roundrobin: ax2 bx1 for m1 m2
              assignor <- roundrobin from e10
            > answer late
              write 12: group e10 target e10 by range
              report: roundrobin failed: it trapped
            > assignor roundrobin
              write 13: group e11 target e10 by range
              ask roundrobin: ax2 bx1 for m1 m2
              assignor <- roundrobin from e11
            > answer m1:a/0,a/1 m2:b/0
              write 14: group e11 target e11 by roundrobin
            > describe
              describe <- Stable e11 target e11 roundrobin by roundrobin
                m1 Stable e3 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                m2 Stable e6 [b/0] revoking [] target [b/0] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m1") committed None
                b/0 member Some("m2") committed None
        "#]],
    );
}

#[test]
fn a_late_answer_falls_back_and_is_ignored_when_it_comes() {
    check(
        "
        topic a 2
        manual
        join m1 topics=a
        wait 1999
        wait 1
        answer m1:a/0,a/1
        ",
        expect![[r#"
            > topic a 2
            > manual
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
            > wait 1999
            > wait 1
              write 2: group e2 target e2 by range; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
              report: roundrobin failed: it did not answer within 2000 ms
            > answer m1:a/0,a/1
        "#]],
    );
}

#[test]
fn a_group_that_changes_while_an_assignor_thinks_asks_once_more() {
    check(
        "
        topic a 2
        manual
        join m1 topics=a
        join m2 topics=a
        join m3 topics=a
        answer roundrobin
        answer roundrobin
        ",
        expect![[r#"
            > topic a 2
            > manual
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
            > join m2 topics=a
              write 2: member m2 since e3; current m2 e3 []; group e4 target e0 by nobody
              m2 <- e3 []
            > join m3 topics=a
              write 3: member m3 since e5; current m3 e5 []; group e6 target e0 by nobody
              m3 <- e5 []
            > answer roundrobin
              ask roundrobin: ax2 for m1 m2 m3
            > answer roundrobin
              write 4: group e6 target e6 by roundrobin; target m1 [a/0]; target m2 [a/1]; current m1 e7 [a/0@7]; current m2 e8 [a/1@8]
        "#]],
    );
}

#[test]
fn a_group_that_keeps_changing_is_not_kept_waiting_for_ever() {
    check(
        "
        topic a 2
        manual
        join m1 topics=a
        wait 1500
        join m2 topics=a
        answer roundrobin
        wait 500
        describe
        ",
        expect![[r#"
            > topic a 2
            > manual
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
            > wait 1500
            > join m2 topics=a
              write 2: member m2 since e3; current m2 e3 []; group e4 target e0 by nobody
              m2 <- e3 []
            > answer roundrobin
              ask roundrobin: ax2 for m1 m2
            > wait 500
              write 3: group e4 target e4 by range; target m1 [a/0]; target m2 [a/1]; current m1 e5 [a/0@5]; current m2 e6 [a/1@6]
              report: roundrobin failed: it did not answer within 2000 ms
            > describe
              describe <- Stable e4 target e4 roundrobin by range since it did not answer within 2000 ms
                m1 Stable e5 [a/0] revoking [] target [a/0] alice@h
                m2 Stable e6 [a/1] revoking [] target [a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
        "#]],
    );
}

#[test]
fn another_assignor_moves_only_what_must_move() {
    check(
        "
        topic a 3
        topic b 3
        join m1 topics=a,b
        beat m1
        join m2 topics=a,b
        beat m1
        beat m1
        beat m2
        explain range
        assignor range
        describe
        beat m1
        beat m1
        describe
        assignor
        ",
        expect![[r#"
            > topic a 3
            > topic b 3
            > join m1 topics=a,b
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax3 bx3 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1 a/2 b/0 b/1 b/2]; current m1 e3 [a/0@3 a/1@3 a/2@3 b/0@3 b/1@3 b/2@3]
            > beat m1
              m1 <- e3 [a/0 a/1 a/2 b/0 b/1 b/2]
            > join m2 topics=a,b
              write 3: member m2 since e4; current m2 e4 []; group e5 target e2 by roundrobin
              ask roundrobin: ax3 bx3 for m1 m2
              m2 <- e4 []
              write 4: group e5 target e5 by roundrobin; target m1 [a/0 a/2 b/1]; target m2 [a/1 b/0 b/2]; current m1 e6 [a/0@3 a/2@3 b/1@3] revoking [a/1@3 told e6 b/0@3 told e6 b/2@3 told e6]
            > beat m1
              m1 <- e6 [a/0 a/2 b/1]
            > beat m1
              write 5: current m1 e6 [a/0@3 a/2@3 b/1@3]; current m2 e7 [a/1@7 b/0@7 b/2@7]
              m1 <- e6 as heard
            > beat m2
              m2 <- e7 [a/1 b/0 b/2]
            > explain range
              ask range: ax3 bx3 for m1 m2
              explain <- range: a/1 m2->m1 a/2 m1->m2 b/0 m2->m1; m1 3->4, m2 3->2; even (2, 4)
            > assignor range
              write 6: group e8 target e5 by roundrobin
              ask range: ax3 bx3 for m1 m2
              assignor <- range from e8
              write 7: group e8 target e8 by range; target m1 [a/0 a/1 b/0 b/1]; target m2 [a/2 b/2]; current m1 e9 [a/0@3 b/1@3] revoking [a/2@3 told e9]; current m2 e10 [b/2@7] revoking [a/1@7 told e10 b/0@7 told e10]
            > describe
              describe <- Reconciling e8 target e8 range by range
                m1 Revoking e9 [a/0 b/1] revoking [a/2] target [a/0 a/1 b/0 b/1] alice@h
                m2 Revoking e10 [b/2] revoking [a/1 b/0] target [a/2 b/2] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
                a/2 member Some("m1") committed None
                b/0 member Some("m2") committed None
                b/1 member Some("m1") committed None
                b/2 member Some("m2") committed None
            > beat m1
              m1 <- e9 [a/0 b/1]
            > beat m1
              write 8: current m1 e9 [a/0@3 b/1@3]; current m2 e11 [a/2@11 b/2@7] revoking [a/1@7 told e10 b/0@7 told e10]
              m1 <- e9 as heard
            > describe
              describe <- Reconciling e8 target e8 range by range
                m1 Waiting e9 [a/0 b/1] revoking [] target [a/0 a/1 b/0 b/1] alice@h
                m2 Revoking e11 [a/2 b/2] revoking [a/1 b/0] target [a/2 b/2] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m2") committed None
                a/2 member Some("m2") committed None
                b/0 member Some("m2") committed None
                b/1 member Some("m1") committed None
                b/2 member Some("m2") committed None
            > assignor
              write 9: group e12 target e8 by range
              ask roundrobin: ax3 bx3 for m1 m2
              assignor <- roundrobin from e12
              write 10: group e12 target e12 by roundrobin; target m1 [a/0 a/2 b/1]; target m2 [a/1 b/0 b/2]; current m2 e13 [b/2@7] revoking [a/1@7 told e10 a/2@11 told e13 b/0@7 told e10]
        "#]],
    );
}

#[test]
fn the_clusters_default_holds_for_groups_that_chose_none() {
    check(
        "
        topic a 2
        join m1 topics=a
        join m2 topics=a group=h
        assignor range group=h
        config assignor=range
        list
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > join m2 topics=a group=h
              write 3: member m2 since e1; current m2 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m2
              m2 <- e1 []
              write 4: group e2 target e2 by roundrobin; target m2 [a/0 a/1]; current m2 e3 [a/0@3 a/1@3]
            > assignor range group=h
              write 5: group e4 target e2 by roundrobin
              ask range: ax2 for m2
              assignor <- range from e4
              write 6: group e4 target e4 by range
            > config assignor=range
              write 7: group e4 target e2 by roundrobin
              ask range: ax2 for m1
              write 8: group e4 target e4 by range
            > list
              list <- g Stable 1 by range, h Stable 1 by range
        "#]],
    );
}

#[test]
fn explaining_says_why_an_assignor_failed_and_changes_nothing() {
    check(
        "
        topic a 2
        join m1 topics=a
        manual
        explain
        answer late
        explain range
        answer range
        explain range
        wait 2000
        explain nope
        ",
        expect![[r#"
            > topic a 2
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax2 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0 a/1]; current m1 e3 [a/0@3 a/1@3]
            > manual
            > explain
              ask roundrobin: ax2 for m1
            > answer late
              explain <- range since it trapped: ; m1 2->2; even (2, 2)
            > explain range
              ask range: ax2 for m1
            > answer range
              explain <- range: ; m1 2->2; even (2, 2)
            > explain range
              ask range: ax2 for m1
            > wait 2000
              explain <- range since it did not answer within 2000 ms: ; m1 2->2; even (2, 2)
            > explain nope
              explain <- UNSUPPORTED_ASSIGNOR: there is no assignor 'nope'; there are: range, roundrobin
        "#]],
    );
}
