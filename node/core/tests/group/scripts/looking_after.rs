//! Listing, describing, deleting groups.

use expect_test::expect;

use super::check;

#[test]
fn a_group_is_deleted_with_everything_when_nobody_is_in_it() {
    check(
        "
        topic a 1
        join m1 topics=a
        beat m1
        commit m1 a/0=5
        delete
        leave m1
        delete
        describe
        fetch
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
            > commit m1 a/0=5
              write 3: offset a/0 5
              commit <- ok
            > delete
              delete <- NON_EMPTY_GROUP: group 'g' has 1 active member; stop them first
            > leave m1
              write 4: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
              m1 <- left
            > delete
              write 5: no offset a/0; no group g
              delete <- deleted
            > describe
              describe <- GROUP_ID_NOT_FOUND: there is no group 'g'; 'weir groups list' shows which there are
            > fetch
              fetch <- 
        "#]],
    );
}

#[test]
fn answers_about_a_group_wait_for_what_they_tell() {
    check(
        "
        topic a 1
        hold
        join m1 topics=a
        describe
        list
        committed
        delete
        leave m1
        delete
        fetch
        join m2 topics=a
        committed
        ",
        expect![[r#"
            > topic a 1
            > hold
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > describe
            > list
            > committed
              m1 <- e1 []
              describe <- Stable e2 target e2 roundrobin by roundrobin
                m1 Stable e3 [a/0] revoking [] target [a/0] alice@h
                a/0 member Some("m1") committed None
              list <- g Stable 1 by roundrobin
            > delete
              delete <- NON_EMPTY_GROUP: group 'g' has 1 active member; stop them first
            > leave m1
              write 3: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
            > delete
              write 4: no group g
            > fetch
            > join m2 topics=a
              write 5: member m2 since e1; current m2 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m2
              write 6: group e2 target e2 by roundrobin; target m2 [a/0]; current m2 e3 [a/0@3]
            > committed
              m1 <- left
              delete <- deleted
              fetch <- 
              m2 <- e1 []
        "#]],
    );
}

#[test]
fn an_assignor_can_be_chosen_before_anybody_joins() {
    check(
        "
        topic a 2
        assignor range
        join m1 topics=a
        describe
        ",
        expect![[r#"
            > topic a 2
            > assignor range
              write 1: group e1 target e1 by nobody empty since 0; group e1 target e1 by nobody empty since 0
              assignor <- range from e1
            > join m1 topics=a
              write 2: member m1 since e2; current m1 e2 []; group e3 target e1 by nobody
              ask range: ax2 for m1
              m1 <- e2 []
              write 3: group e3 target e3 by range; target m1 [a/0 a/1]; current m1 e4 [a/0@4 a/1@4]
            > describe
              describe <- Stable e3 target e3 range by range
                m1 Stable e4 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m1") committed None
                a/1 member Some("m1") committed None
        "#]],
    );
}
