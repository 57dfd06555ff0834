//! What is refused, and in which words.

use expect_test::expect;

use super::check;

#[test]
fn unknown_groups_and_members() {
    check(
        "
        topic a 1
        beat m1
        leave m1
        describe
        delete
        delete-offsets a/0
        explain
        fetch
        join m1 topics=a
        beat m2
        leave m2
        commit m2 a/0=1
        ",
        expect![[r#"
            > topic a 1
            > beat m1
              m1 <- UNKNOWN_MEMBER_ID: 'm1' is no member of the group, or its session ended: let go of every partition and join again
            > leave m1
              m1 <- UNKNOWN_MEMBER_ID: 'm1' is no member of the group, or its session ended: let go of every partition and join again
            > describe
              describe <- GROUP_ID_NOT_FOUND: there is no group 'g'; 'weir groups list' shows which there are
            > delete
              delete <- GROUP_ID_NOT_FOUND: there is no group 'g'; 'weir groups list' shows which there are
            > delete-offsets a/0
              delete-offsets <- GROUP_ID_NOT_FOUND: there is no group 'g'; 'weir groups list' shows which there are
            > explain
              explain <- GROUP_ID_NOT_FOUND: there is no group 'g'; 'weir groups list' shows which there are
            > fetch
              fetch <- 
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m2
              m2 <- UNKNOWN_MEMBER_ID: 'm2' is no member of the group, or its session ended: let go of every partition and join again
            > leave m2
              m2 <- UNKNOWN_MEMBER_ID: 'm2' is no member of the group, or its session ended: let go of every partition and join again
            > commit m2 a/0=1
              commit <- UNKNOWN_MEMBER_ID: 'm2' is no member of the group, or its session ended: let go of every partition and join again
        "#]],
    );
}

#[test]
fn joins_that_cannot_be() {
    check(
        "
        topic a 1
        join m1
        join m1 topics=a group=a/b
        join m/1 topics=a
        join m1 topics=a instance=.
        join m1 topics=a,b/c
        join m1 pattern=a(
        join m1 pattern=a)(b
        join m1 pattern=(a{1000}){1000}
        join m1 topics=a rebalance=1800001
        list
        ",
        expect![[r#"
            > topic a 1
            > join m1
              m1 <- INVALID_SUBSCRIPTION: a subscription names topics or a pattern; this one has neither
            > join m1 topics=a group=a/b
              m1 <- INVALID_GROUP_ID: a group name consists of letters, digits, '.', '_' and '-'; '/' is not allowed
            > join m/1 topics=a
              m/1 <- INVALID_GROUP_ID: a group member name consists of letters, digits, '.', '_' and '-'; '/' is not allowed
            > join m1 topics=a instance=.
              m1 <- INVALID_GROUP_ID: a group instance name must not be '.' or '..'
            > join m1 topics=a,b/c
              m1 <- INVALID_TOPIC_NAME: a topic name consists of letters, digits, '.', '_' and '-'; '/' is not allowed
            > join m1 pattern=a(
              m1 <- INVALID_REGULAR_EXPRESSION: 'a(' is not a regular expression that can be used: found open group without closing ')'
            > join m1 pattern=a)(b
              m1 <- INVALID_REGULAR_EXPRESSION: 'a)(b' is not a regular expression that can be used: found closing ')' without matching '('
            > join m1 pattern=(a{1000}){1000}
              m1 <- INVALID_REGULAR_EXPRESSION: '(a{1000}){1000}' is not a regular expression that can be used: compiled regex exceeded size limit
            > join m1 topics=a rebalance=1800001
              m1 <- INVALID_REQUEST: a member may take at most 1800000 ms to let go of a partition, not 1800001
            > list
              list <- 
        "#]],
    );
}

#[test]
fn too_many_members_and_groups() {
    check(
        "
        config members=1 groups=1
        topic a 1
        join m1 topics=a
        join m2 topics=a
        join m1 topics=a group=h
        ",
        expect![[r#"
            > config members=1 groups=1
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > join m2 topics=a
              m2 <- GROUP_MAX_SIZE_REACHED: the group has as many members as it takes (1)
            > join m1 topics=a group=h
              m1 <- GROUP_MAX_SIZE_REACHED: this coordinator has as many groups as it takes (1); delete some, or let them expire
        "#]],
    );
}

#[test]
fn epochs_that_never_were_or_are_of_another_life() {
    check(
        "
        topic a 1
        join m1 topics=a
        beat m1 confirmed=1 heard=1
        beat m1 confirmed=99
        leave m1
        join m1 topics=a
        beat m1 confirmed=2 heard=2
        commit m1 epoch=2 a/0=1
        leave m1 epoch=2
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m1 confirmed=1 heard=1
              m1 <- e3 [a/0]
            > beat m1 confirmed=99
              m1 <- FENCED_MEMBER_EPOCH: epoch 99 is not one of this membership (1 to 3): let go of every partition and join again
            > leave m1
              write 3: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
              m1 <- left
            > join m1 topics=a
              write 4: member m1 since e5; current m1 e5 []; group e6 target e4 by roundrobin
              ask roundrobin: ax1 for m1
              m1 <- e5 []
              write 5: group e6 target e6 by roundrobin; target m1 [a/0]; current m1 e7 [a/0@7]
            > beat m1 confirmed=2 heard=2
              m1 <- FENCED_MEMBER_EPOCH: epoch 2 is not one of this membership (5 to 7): let go of every partition and join again
            > commit m1 epoch=2 a/0=1
              commit <- FENCED_MEMBER_EPOCH: epoch 2 is not one of this membership (5 to 7): let go of every partition and join again
            > leave m1 epoch=2
              m1 <- FENCED_MEMBER_EPOCH: epoch 2 is not one of this membership (5 to 7): let go of every partition and join again
        "#]],
    );
}

#[test]
fn heartbeats_with_bad_subscriptions_leave_everything_as_it_was() {
    check(
        "
        topic a 1
        join m1 topics=a
        beat m1 pattern=*
        beat m1
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > beat m1 pattern=*
              m1 <- INVALID_REGULAR_EXPRESSION: '*' is not a regular expression that can be used: uncounted repetition operator must be applied to a sub-expression
            > beat m1
              m1 <- e3 [a/0]
        "#]],
    );
}

#[test]
fn commits_that_cannot_be() {
    check(
        "
        topic a 2
        join m1 topics=a
        beat m1
        ends a/0=10
        commit m1 a/0=11 a/1=99
        commit m1 nope/0=1
        commit m1 a/2=1
        commit m1 a/0=1 metadata=4097
        commit m1 epoch=99 a/0=1
        commit a/0=1
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
            > ends a/0=10
            > commit m1 a/0=11 a/1=99
              write 3: offset a/1 99
              commit <- offset 11 is beyond the end of the partition, 10 (OFFSET_OUT_OF_RANGE), ok
            > commit m1 nope/0=1
              commit <- there is no topic with id ffffffffffffffffffffffffffffffff (UNKNOWN_TOPIC)
            > commit m1 a/2=1
              commit <- topic 'a' has no partition 2; it has 2 (UNKNOWN_PARTITION)
            > commit m1 a/0=1 metadata=4097
              commit <- the metadata of an offset has at most 4096 bytes, this one 4097 (OFFSET_METADATA_TOO_LARGE)
            > commit m1 epoch=99 a/0=1
              commit <- FENCED_MEMBER_EPOCH: epoch 99 is not one of this membership (1 to 3): let go of every partition and join again
            > commit a/0=1
              commit <- NON_EMPTY_GROUP: group 'g' has 1 active member; stop them first
            > fetch
              fetch <- a/1 99
        "#]],
    );
}

#[test]
fn resets_and_assignors_that_cannot_be() {
    check(
        "
        topic a 1
        join m1 topics=a
        reset a/0=1
        assignor nope
        assignor range group=a/b
        leave m1
        ends a/0=10
        reset a/0=11 nope/0=1 a/1=1
        ",
        expect![[r#"
            > topic a 1
            > join m1 topics=a
              write 1: member m1 since e1; current m1 e1 []; group e2 target e0 by nobody
              ask roundrobin: ax1 for m1
              m1 <- e1 []
              write 2: group e2 target e2 by roundrobin; target m1 [a/0]; current m1 e3 [a/0@3]
            > reset a/0=1
              reset <- NON_EMPTY_GROUP: group 'g' has 1 active member; stop them first
            > assignor nope
              assignor <- UNSUPPORTED_ASSIGNOR: there is no assignor 'nope'; there are: range, roundrobin
            > assignor range group=a/b
              assignor <- INVALID_GROUP_ID: a group name consists of letters, digits, '.', '_' and '-'; '/' is not allowed
            > leave m1
              write 3: no current m1; no target m1; no member m1; group e4 target e4 by roundrobin empty since 0
              m1 <- left
            > ends a/0=10
            > reset a/0=11 nope/0=1 a/1=1
              reset <- offset 11 is beyond the end of the partition, 10 (OFFSET_OUT_OF_RANGE), topic 'a' has no partition 1; it has 1 (UNKNOWN_PARTITION), there is no topic with id ffffffffffffffffffffffffffffffff (UNKNOWN_TOPIC)
        "#]],
    );
}
