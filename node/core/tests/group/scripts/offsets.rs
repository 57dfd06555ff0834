//! Committing, and forgetting.

use expect_test::expect;

use super::check;

#[test]
fn a_member_commits_what_it_holds_and_reads_it_back() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        commit m1 a/0=5 a/1=7 metadata=4
        commit m1 a/0=6
        fetch
        fetch a/1 a/1
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
            > commit m1 a/0=5 a/1=7 metadata=4
              write 3: offset a/0 5; offset a/1 7
              commit <- ok, ok
            > commit m1 a/0=6
              write 4: offset a/0 6
              commit <- ok
            > fetch
              fetch <- a/0 6, a/1 7
            > fetch a/1 a/1
              fetch <- a/1 7
            > describe
              describe <- Stable e2 target e2 roundrobin by roundrobin
                m1 Stable e3 [a/0 a/1] revoking [] target [a/0 a/1] alice@h
                a/0 member Some("m1") committed Some(6)
                a/1 member Some("m1") committed Some(7)
        "#]],
    );
}

/// KIP-320: by the leader epoch the cluster recognises that what was read before a position is gone.
#[test]
fn the_leader_epoch_of_a_commit_is_kept_and_outlives_the_coordinator() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        commit m1 leader=3 a/0=5 a/1=7
        commit m1 leader=4 a/1=9
        fetch
        failover
        fetch
        leave m1
        commit a/0=6
        reset leader=2 a/1=1
        fetch
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
            > commit m1 leader=3 a/0=5 a/1=7
              write 3: offset a/0 5 of leader e3; offset a/1 7 of leader e3
              commit <- ok, ok
            > commit m1 leader=4 a/1=9
              write 4: offset a/1 9 of leader e4
              commit <- ok
            > fetch
              fetch <- a/0 5 of leader e3, a/1 9 of leader e4
            > failover
            > fetch
              fetch <- a/0 5 of leader e3, a/1 9 of leader e4
            > leave m1
              write 1: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
              m1 <- left
            > commit a/0=6
              write 2: offset a/0 6
              commit <- ok
            > reset leader=2 a/1=1
              write 3: offset a/1 1 of leader e2
              reset <- was 9
            > fetch
              fetch <- a/0 6, a/1 1 of leader e2
        "#]],
    );
}

#[test]
fn how_often_it_is_looked_for_old_offsets_is_configured_and_changes_at_once() {
    check(
        "
        topic a 1
        wait 1000
        commit a/0=5
        wait 604799000
        config sweep=1000
        fetch
        wait 1000
        fetch
        ",
        expect![[r#"
            > topic a 1
            > wait 1000
            > commit a/0=5
              write 1: group e1 target e1 by nobody empty since 1000; offset a/0 5
              commit <- ok
            > wait 604799000
            > config sweep=1000
            > fetch
              fetch <- a/0 5
            > wait 1000
              write 2: no offset a/0; no group g
            > fetch
              fetch <- 
        "#]],
    );
}

#[test]
fn who_lets_go_may_commit_until_it_confirms_and_not_after() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m1 confirmed=3
        commit m1 a/1=5
        beat m1
        commit m1 a/1=6
        beat m2
        commit m2 a/1=6
        fetch
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
            > beat m1 confirmed=3
              m1 <- e6 [a/0]
            > commit m1 a/1=5
              write 5: offset a/1 5
              commit <- ok
            > beat m1
              write 6: current m1 e6 [a/0@3]; current m2 e7 [a/1@7]
              m1 <- e6 as heard
            > commit m1 a/1=6
              commit <- the member does not hold partition 1 of 'a', or did not all the time since epoch 6 (NOT_PARTITION_OWNER)
            > beat m2
              m2 <- e7 [a/1]
            > commit m2 a/1=6
              write 7: offset a/1 6
              commit <- ok
            > fetch
              fetch <- a/1 6
        "#]],
    );
}

#[test]
fn a_commit_of_an_earlier_tenure_is_refused() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        join m2 topics=a
        beat m1
        beat m1
        leave m2
        beat m1
        commit m1 epoch=4 a/1=5 a/0=5
        commit m1 a/1=5
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
            > leave m2
              write 6: no current m2; no target m2; no member m2; group e8 target e5 by roundrobin
              ask roundrobin: ax2 for m1
              m2 <- left
              write 7: group e8 target e8 by roundrobin; target m1 [a/0 a/1]; current m1 e9 [a/0@3 a/1@9]
            > beat m1
              m1 <- e9 [a/0 a/1]
            > commit m1 epoch=4 a/1=5 a/0=5
              write 8: offset a/0 5
              commit <- ok, the member does not hold partition 1 of 'a', or did not all the time since epoch 4 (NOT_PARTITION_OWNER)
            > commit m1 a/1=5
              write 9: offset a/1 5
              commit <- ok
        "#]],
    );
}

#[test]
fn an_application_without_members_commits_for_itself_until_somebody_joins() {
    check(
        "
        topic a 1
        commit a/0=5
        list
        join m1 topics=a
        commit a/0=6
        ",
        expect![[r#"
            > topic a 1
            > commit a/0=5
              write 1: group e1 target e1 by nobody empty since 0; offset a/0 5
              commit <- ok
            > list
              list <- g Empty 0 by roundrobin
            > join m1 topics=a
              write 2: member m1 since e2; current m1 e2 []; group e3 target e1 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e2 []
              write 3: group e3 target e3 by roundrobin; target m1 [a/0]; current m1 e4 [a/0@4]
            > commit a/0=6
              commit <- NON_EMPTY_GROUP: group 'g' has 1 active member; stop them first
        "#]],
    );
}

#[test]
fn offsets_of_deleted_topics_go_but_not_by_old_metadata() {
    check(
        "
        topic a 1
        topic b 1
        commit a/0=5 b/0=5
        old-topics
        fetch
        untopic a
        fetch
        ",
        expect![[r#"
            > topic a 1
            > topic b 1
            > commit a/0=5 b/0=5
              write 1: group e1 target e1 by nobody empty since 0; offset a/0 5; offset b/0 5
              commit <- ok, ok
            > old-topics
            > fetch
              fetch <- a/0 5, b/0 5
            > untopic a
              write 2: no offset a/0
            > fetch
              fetch <- b/0 5
        "#]],
    );
}

#[test]
fn an_empty_group_is_forgotten_after_a_week() {
    check(
        "
        topic a 1
        join m1 topics=a
        beat m1
        commit m1 a/0=5
        leave m1
        wait 604000000
        fetch
        commit a/0=6
        wait 1000000
        fetch
        wait 604200000
        fetch
        list
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
            > leave m1
              write 4: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
              m1 <- left
            > wait 604000000
            > fetch
              fetch <- a/0 5
            > commit a/0=6
              write 5: offset a/0 6
              commit <- ok
            > wait 1000000
            > fetch
              fetch <- a/0 6
            > wait 604200000
              write 6: no offset a/0; no group g
            > fetch
              fetch <- 
            > list
              list <- 
        "#]],
    );
}

#[test]
fn resetting_says_what_was_and_a_dry_run_changes_nothing() {
    check(
        "
        topic a 2
        commit a/0=5
        ends a/0=10 a/1=10
        reset dry-run a/0=0 a/1=11
        reset a/0=0 a/1=10
        fetch
        ",
        expect![[r#"
            > topic a 2
            > commit a/0=5
              write 1: group e1 target e1 by nobody empty since 0; offset a/0 5
              commit <- ok
            > ends a/0=10 a/1=10
            > reset dry-run a/0=0 a/1=11
              reset <- was 5, offset 11 is beyond the end of the partition, 10 (OFFSET_OUT_OF_RANGE)
            > reset a/0=0 a/1=10
              write 2: offset a/0 0; offset a/1 10
              reset <- was 5, was unset
            > fetch
              fetch <- a/0 0, a/1 10
        "#]],
    );
}

#[test]
fn offsets_are_deleted_for_topics_that_nobody_reads() {
    check(
        "
        topic a 1
        topic b 1
        commit a/0=5 b/0=5
        join m1 topics=a
        delete-offsets a/0
        delete-offsets b/0
        fetch
        ",
        expect![[r#"
            > topic a 1
            > topic b 1
            > commit a/0=5 b/0=5
              write 1: group e1 target e1 by nobody empty since 0; offset a/0 5; offset b/0 5
              commit <- ok, ok
            > join m1 topics=a
              write 2: member m1 since e2; current m1 e2 []; group e3 target e1 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e2 []
              write 3: group e3 target e3 by roundrobin; target m1 [a/0]; current m1 e4 [a/0@4]
            > delete-offsets a/0
              delete-offsets <- NON_EMPTY_GROUP: members of the group read topic 'a'; stop them first
            > delete-offsets b/0
              write 4: no offset b/0
              delete-offsets <- 1 deleted
            > fetch
              fetch <- a/0 5
        "#]],
    );
}
