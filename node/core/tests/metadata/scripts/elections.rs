//! Who leads, and at what price.

use expect_test::expect;

use super::check;

/// INVARIANTS 28 (KIP-966): below the minimum who leaves the ISR stays eligible.
#[test]
fn leaders_come_from_the_isr_and_then_from_the_elr() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 1
        fence 2
        fence 3
        register 1
        register 2
        alter t/0 by=2 isr=2,1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 3 leads, epochs 2/2, isr 3 of 1 2 3, elr 2
            > fence 3
              fenced
              t/0 nobody leads, epochs 3/3, isr - of 1 2 3, elr 2 3
            > register 1
              registered as incarnation 2
            > register 2
              registered as incarnation 2
              t/0 2 leads, epochs 4/4, isr 2 of 1 2 3, elr 3
            > alter t/0 by=2 isr=2,1
              altered, partition epoch 5
              t/0 2 leads, epochs 4/5, isr 1 2 of 1 2 3
        "#]],
    );
}

#[test]
fn a_single_replica_is_eligible_and_waited_for() {
    check(
        "
        register 1 2
        create t p=1 rf=1
        fence 1
        elect unclean t/0
        register 1 unclean
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > fence 1
              fenced
              t/0 nobody leads, epochs 1/1, isr - of 1, elr 1
            > elect unclean t/0
              refused: no replica of partition 0 of topic 't' is alive; start one of its nodes first
            > register 1 unclean
              registered as incarnation 2
              t/0 1 leads, epochs 2/2, isr 1 of 1
        "#]],
    );
}

/// The last replica standing (KIP-966): who may have lost its tail does not lead those who did not.
#[test]
fn with_write_caching_an_unclean_stop_leaves_isr_and_elr() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3 write.caching=true
        fence 1
        register 1 unclean
        fence 2
        fence 3
        register 3 unclean cut=t/0:2@50
        register 2
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3 write.caching=true
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
            > register 1 unclean
              registered as incarnation 2
            > fence 2
              fenced
              t/0 3 leads, epochs 2/2, isr 3 of 1 2 3, elr 2
            > fence 3
              fenced
              t/0 nobody leads, epochs 3/3, isr - of 1 2 3, elr 2 3
            > register 3 unclean cut=t/0:2@50
              registered as incarnation 2
              t/0 nobody leads, epochs 3/4, isr - of 1 2 3, elr 2, 3 cut to 2@50
            > register 2
              registered as incarnation 2
              t/0 2 leads, epochs 4/5, isr 2 of 1 2 3, 3 cut to 2@50
        "#]],
    );
}

#[test]
fn under_fsync_an_unclean_stop_keeps_its_place_unless_it_had_to_cut() {
    check(
        "
        register 1 2 3
        create t p=2 rf=3
        register 2 unclean
        register 3 unclean cut=t/0:0@90,gone/0:0@1
        register 2 cut=t/1:0@5
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=2 rf=3
              created: 2 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
              t/1 2 leads, epochs 0/0, isr 2 3 1 of 2 3 1
            > register 2 unclean
              registered as incarnation 2
              t/1 2 leads, epochs 1/1, isr 2 3 1 of 2 3 1
            > register 3 unclean cut=t/0:0@90,gone/0:0@1
              registered as incarnation 2
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3, 3 cut to 0@90
            > register 2 cut=t/1:0@5
              registered as incarnation 3
              t/1 3 leads, epochs 2/2, isr 3 1 of 2 3 1, 2 cut to 0@5
        "#]],
    );
}

/// INVARIANTS 1.4 to 28, scenario 9 of section 3.5: all lost something.
#[test]
fn if_all_had_to_cut_the_longest_leads_once_all_are_back() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        register 2 unclean cut=t/0:0@90
        register 1 unclean cut=t/0:0@95
        register 3 unclean cut=t/0:0@95
        alter t/0 by=1 isr=1,2
        alter t/0 by=1 isr=1,2,3
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > register 2 unclean cut=t/0:0@90
              registered as incarnation 2
              t/0 1 leads, epochs 0/1, isr 1 3 of 1 2 3, 2 cut to 0@90
            > register 1 unclean cut=t/0:0@95
              registered as incarnation 2
              t/0 3 leads, epochs 1/2, isr 3 of 1 2 3, 1 cut to 0@95, 2 cut to 0@90
            > register 3 unclean cut=t/0:0@95
              registered as incarnation 2
              t/0 1 leads, epochs 2/3, isr 1 of 1 2 3, unclean
            > alter t/0 by=1 isr=1,2
              altered, partition epoch 4
              t/0 1 leads, epochs 2/4, isr 1 2 of 1 2 3, unclean
            > alter t/0 by=1 isr=1,2,3
              altered, partition epoch 5
              t/0 1 leads, epochs 2/5, isr 1 2 3 of 1 2 3
        "#]],
    );
}

#[test]
fn if_one_did_not_have_to_cut_it_leads() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 1
        fence 2
        fence 3
        register 2 unclean cut=t/0:1@90
        register 3 unclean cut=t/0:1@95
        register 1 unclean
        alter t/0 by=1 isr=1,2,3
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 3 leads, epochs 2/2, isr 3 of 1 2 3, elr 2
            > fence 3
              fenced
              t/0 nobody leads, epochs 3/3, isr - of 1 2 3, elr 2 3
            > register 2 unclean cut=t/0:1@90
              registered as incarnation 2
              t/0 nobody leads, epochs 3/4, isr - of 1 2 3, elr 3, 2 cut to 1@90
            > register 3 unclean cut=t/0:1@95
              registered as incarnation 2
              t/0 3 leads, epochs 4/5, isr 3 of 1 2 3, unclean
            > register 1 unclean
              registered as incarnation 2
            > alter t/0 by=1 isr=1,2,3
              refused: the partition is led by node 3 in leader epoch 4; only its leader may change who is in sync
        "#]],
    );
}

#[test]
fn the_longest_is_waited_for_and_the_operator_may_override() {
    check(
        "
        register 1 2
        create t p=1 rf=2
        fence 1
        fence 2
        register 1 unclean cut=t/0:1@95
        fence 1
        register 2 unclean cut=t/0:1@90
        elect unclean
        alter t/0 by=2 isr=2,1
        register 1
        alter t/0 by=2 isr=2,1
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 of 1 2, elr 1
            > fence 2
              fenced
              t/0 nobody leads, epochs 2/2, isr - of 1 2, elr 1 2
            > register 1 unclean cut=t/0:1@95
              registered as incarnation 2
              t/0 nobody leads, epochs 2/3, isr - of 1 2, elr 2, 1 cut to 1@95
            > fence 1
              fenced
            > register 2 unclean cut=t/0:1@90
              registered as incarnation 2
              t/0 nobody leads, epochs 2/4, isr - of 1 2, 1 cut to 1@95, 2 cut to 1@90
            > elect unclean
              elected: 1 changed, 0 impossible
              t/0 2 leads, epochs 3/5, isr 2 of 1 2, unclean
            > alter t/0 by=2 isr=2,1
              refused: node 1 cannot be counted as in sync: its lease ran out
            > register 1
              registered as incarnation 3
            > alter t/0 by=2 isr=2,1
              altered, partition epoch 6
              t/0 2 leads, epochs 3/6, isr 1 2 of 1 2
        "#]],
    );
}

#[test]
fn the_longest_leads_when_it_is_back() {
    check(
        "
        register 1 2
        create t p=1 rf=2
        fence 1
        fence 2
        register 1 unclean cut=t/0:1@95
        fence 1
        register 2 unclean cut=t/0:1@90
        register 1
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 of 1 2, elr 1
            > fence 2
              fenced
              t/0 nobody leads, epochs 2/2, isr - of 1 2, elr 1 2
            > register 1 unclean cut=t/0:1@95
              registered as incarnation 2
              t/0 nobody leads, epochs 2/3, isr - of 1 2, elr 2, 1 cut to 1@95
            > fence 1
              fenced
            > register 2 unclean cut=t/0:1@90
              registered as incarnation 2
              t/0 nobody leads, epochs 2/4, isr - of 1 2, 1 cut to 1@95, 2 cut to 1@90
            > register 1
              registered as incarnation 3
              t/0 1 leads, epochs 3/5, isr 1 of 1 2, unclean
        "#]],
    );
}

#[test]
fn a_lost_disk_of_the_last_member_is_for_the_operator_to_judge() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 1
        fence 2
        register 1 wiped
        register 2 unclean cut=t/0:1@10
        fence 3
        register 3 wiped
        elect preferred t/0
        elect unclean t/0
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 3 leads, epochs 2/2, isr 3 of 1 2 3, elr 2
            > register 1 wiped
              registered as incarnation 2
            > register 2 unclean cut=t/0:1@10
              registered as incarnation 2
              t/0 3 leads, epochs 2/3, isr 3 of 1 2 3, 2 cut to 1@10
            > fence 3
              fenced
              t/0 nobody leads, epochs 3/4, isr - of 1 2 3, elr 3, 2 cut to 1@10
            > register 3 wiped
              registered as incarnation 2
              t/0 nobody leads, epochs 3/5, isr - of 1 2 3
            > elect preferred t/0
              refused: node 1 is the preferred leader of partition 0 of topic 't', but it is not in sync; try again when it caught up
            > elect unclean t/0
              elected: 1 changed, 0 impossible
              t/0 1 leads, epochs 4/6, isr 1 of 1 2 3, unclean
        "#]],
    );
}

#[test]
fn an_unclean_election_is_for_partitions_without_a_leader() {
    check(
        "
        register 1 2 3
        create t p=2 rf=1
        create u p=1 rf=2
        fence 1
        elect unclean t/1
        elect unclean t/0
        elect unclean t/7
        elect unclean none/0
        elect unclean
        fence 3
        fence 2
        register 3 wiped
        elect unclean
        register 2
        register 1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=2 rf=1
              created: 2 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
              t/1 2 leads, epochs 0/0, isr 2 of 2
            > create u p=1 rf=2
              created: 1 partitions, 2 replicas
              u/0 3 leads, epochs 0/0, isr 3 1 of 3 1
            > fence 1
              fenced
              t/0 nobody leads, epochs 1/1, isr - of 1, elr 1
              u/0 3 leads, epochs 0/1, isr 3 of 3 1, elr 1
            > elect unclean t/1
              refused: partition 1 of topic 't' is led by node 2: an unclean election is for partitions without a leader
            > elect unclean t/0
              refused: no replica of partition 0 of topic 't' is alive; start one of its nodes first
            > elect unclean t/7
              refused: topic 't' has no partition 7; it has 2
            > elect unclean none/0
              refused: there is no topic 'none'; 'weir topics list' shows which there are
            > elect unclean
              elected: 0 changed, 1 impossible
            > fence 3
              fenced
              u/0 nobody leads, epochs 1/2, isr - of 3 1, elr 3 1
            > fence 2
              fenced
              t/1 nobody leads, epochs 1/1, isr - of 2, elr 2
            > register 3 wiped
              registered as incarnation 2
              u/0 nobody leads, epochs 1/3, isr - of 3 1, elr 1
            > elect unclean
              elected: 1 changed, 2 impossible
              u/0 3 leads, epochs 2/4, isr 3 of 3 1, unclean
            > register 2
              registered as incarnation 2
              t/1 2 leads, epochs 2/2, isr 2 of 2
            > register 1
              registered as incarnation 2
              t/0 1 leads, epochs 2/2, isr 1 of 1
        "#]],
    );
}

#[test]
fn preferred_leaders_take_over_where_they_are_in_sync() {
    check(
        "
        register 1 2 3
        create t p=3 rf=3
        fence 1
        register 1
        moves
        elect preferred t/0
        alter t/0 by=2 isr=1,2,3
        moves
        elect preferred t/0
        elect preferred t/0
        elect preferred t/1
        fence 2
        elect preferred
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=3 rf=3
              created: 3 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
              t/1 2 leads, epochs 0/0, isr 2 3 1 of 2 3 1
              t/2 3 leads, epochs 0/0, isr 3 1 2 of 3 1 2
            > fence 1
              fenced
              t/0 2 leads, epochs 1/1, isr 2 3 of 1 2 3
              t/1 2 leads, epochs 0/1, isr 2 3 of 2 3 1
              t/2 3 leads, epochs 0/1, isr 3 2 of 3 1 2
            > register 1
              registered as incarnation 2
            > moves
              moves: 
            > elect preferred t/0
              refused: node 1 is the preferred leader of partition 0 of topic 't', but it is not in sync; try again when it caught up
            > alter t/0 by=2 isr=1,2,3
              altered, partition epoch 2
              t/0 2 leads, epochs 1/2, isr 1 2 3 of 1 2 3
            > moves
              moves: t/0
            > elect preferred t/0
              elected: 1 changed, 0 impossible
              t/0 1 leads, epochs 2/3, isr 1 2 3 of 1 2 3
            > elect preferred t/0
              elected: 0 changed, 0 impossible
            > elect preferred t/1
              elected: 0 changed, 0 impossible
            > fence 2
              fenced
              t/0 1 leads, epochs 2/4, isr 1 3 of 1 2 3
              t/1 3 leads, epochs 1/2, isr 3 of 2 3 1, elr 2
              t/2 3 leads, epochs 0/2, isr 3 of 3 1 2, elr 2
            > elect preferred
              elected: 0 changed, 1 impossible
        "#]],
    );
}
