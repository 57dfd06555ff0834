//! Other replicas for a partition; nodes that are emptied, filled and removed.

use expect_test::expect;

use super::check;

/// KIP-455, in two steps: who is added catches up, then the target takes over and the leader moves into it.
#[test]
fn a_target_takes_over_when_who_was_added_is_in_sync() {
    check(
        "
        register 1 2 3 4 5
        create t p=1 rf=3
        reassign t/0 to=3,4,5
        reassign t/0 to=3,4,5
        alter t/0 by=1 isr=1,2,3,4
        alter t/0 by=1 isr=1,2,3,4,5
        reassign t/0 to=3,4,5
        ",
        expect![[r#"
            > register 1 2 3 4 5
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > reassign t/0 to=3,4,5
              under way
              t/0 1 leads, epochs 0/1, isr 1 2 3 of 1 2 3 4 5, on its way to 3 4 5
            > reassign t/0 to=3,4,5
              under way
            > alter t/0 by=1 isr=1,2,3,4
              altered, partition epoch 2
              t/0 1 leads, epochs 0/2, isr 1 2 3 4 of 1 2 3 4 5, on its way to 3 4 5
            > alter t/0 by=1 isr=1,2,3,4,5
              altered, partition epoch 3
              t/0 3 leads, epochs 1/3, isr 3 4 5 of 3 4 5
            > reassign t/0 to=3,4,5
              assigned
        "#]],
    );
}

#[test]
fn a_leader_that_stays_is_not_moved() {
    check(
        "
        register 1 2 3
        create t p=1 rf=2
        reassign t/0 to=3,1
        alter t/0 by=1 isr=1,2,3
        moves
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > reassign t/0 to=3,1
              under way
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3, on its way to 3 1
            > alter t/0 by=1 isr=1,2,3
              altered, partition epoch 2
              t/0 1 leads, epochs 1/2, isr 3 1 of 3 1
            > moves
              moves: t/0
        "#]],
    );
}

/// Nothing is promised by fewer than before while others catch up, and by no more.
#[test]
fn as_many_must_be_in_sync_as_before_until_the_target_takes_over() {
    check(
        "
        register 1 2 3 4
        create t p=1 rf=1
        reassign t/0 to=2,3,4
        alter t/0 by=1 isr=1,2
        fence 2
        register 2
        alter t/0 by=1 isr=1,2,3,4
        fence 4
        fence 3
        ",
        expect![[r#"
            > register 1 2 3 4
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > reassign t/0 to=2,3,4
              under way
              t/0 1 leads, epochs 0/1, isr 1 of 1 2 3 4, on its way to 2 3 4
            > alter t/0 by=1 isr=1,2
              altered, partition epoch 2
              t/0 1 leads, epochs 0/2, isr 1 2 of 1 2 3 4, on its way to 2 3 4
            > fence 2
              fenced
              t/0 1 leads, epochs 0/3, isr 1 of 1 2 3 4, on its way to 2 3 4
            > register 2
              registered as incarnation 2
            > alter t/0 by=1 isr=1,2,3,4
              altered, partition epoch 4
              t/0 2 leads, epochs 1/4, isr 2 3 4 of 2 3 4
            > fence 4
              fenced
              t/0 2 leads, epochs 1/5, isr 2 3 of 2 3 4
            > fence 3
              fenced
              t/0 2 leads, epochs 1/6, isr 2 of 2 3 4, elr 3
        "#]],
    );
}

#[test]
fn a_target_waits_until_it_keeps_the_promise_by_itself() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3 min.insync.replicas=2
        fence 2
        reassign t/0 to=1,2
        config t min.insync.replicas=1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3 min.insync.replicas=2
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 1 leads, epochs 0/1, isr 1 3 of 1 2 3
            > reassign t/0 to=1,2
              under way
              t/0 1 leads, epochs 0/2, isr 1 3 of 1 2 3, on its way to 1 2
            > config t min.insync.replicas=1
              configured
              t/0 1 leads, epochs 1/3, isr 1 of 1 2
        "#]],
    );
}

#[test]
fn what_is_under_way_is_taken_back() {
    check(
        "
        register 1 2 3 4
        create t p=1 rf=2
        reassign t/0 to=3,4
        cancel t/0
        cancel t/0
        reassign t/0 to=3,4
        alter t/0 by=1 isr=1,2,3
        fence 1
        fence 2
        cancel t/0
        reassign t/0 to=4
        register 2
        alter t/0 by=3 isr=2,3
        cancel t/0
        ",
        expect![[r#"
            > register 1 2 3 4
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > reassign t/0 to=3,4
              under way
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3 4, on its way to 3 4
            > cancel t/0
              assigned
              t/0 1 leads, epochs 1/2, isr 1 2 of 1 2
            > cancel t/0
              assigned
            > reassign t/0 to=3,4
              under way
              t/0 1 leads, epochs 1/3, isr 1 2 of 1 2 3 4, on its way to 3 4
            > alter t/0 by=1 isr=1,2,3
              altered, partition epoch 4
              t/0 1 leads, epochs 1/4, isr 1 2 3 of 1 2 3 4, on its way to 3 4
            > fence 1
              fenced
              t/0 2 leads, epochs 2/5, isr 2 3 of 1 2 3 4, on its way to 3 4
            > fence 2
              fenced
              t/0 3 leads, epochs 3/6, isr 3 of 1 2 3 4, elr 2, on its way to 3 4
            > cancel t/0
              refused: partition 0 of topic 't' cannot give up replicas that are being added: too few of those that would stay are in sync; wait until they caught up, or let the reassignment end
            > reassign t/0 to=4
              refused: partition 0 of topic 't' cannot give up replicas that are being added: too few of those that would stay are in sync; wait until they caught up, or let the reassignment end
            > register 2
              registered as incarnation 2
            > alter t/0 by=3 isr=2,3
              altered, partition epoch 7
              t/0 3 leads, epochs 3/7, isr 2 3 of 1 2 3 4, on its way to 3 4
            > cancel t/0
              refused: partition 0 of topic 't' cannot give up replicas that are being added: too few of those that would stay are in sync; wait until they caught up, or let the reassignment end
        "#]],
    );
}

#[test]
fn another_target_takes_the_place_of_the_one_before() {
    check(
        "
        register 1 2 3 4
        create t p=1 rf=2
        reassign t/0 to=3,4
        alter t/0 by=1 isr=1,2,3
        reassign t/0 to=2,4
        alter t/0 by=1 isr=1,2,4
        ",
        expect![[r#"
            > register 1 2 3 4
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > reassign t/0 to=3,4
              under way
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3 4, on its way to 3 4
            > alter t/0 by=1 isr=1,2,3
              altered, partition epoch 2
              t/0 1 leads, epochs 0/2, isr 1 2 3 of 1 2 3 4, on its way to 3 4
            > reassign t/0 to=2,4
              under way
              t/0 1 leads, epochs 1/3, isr 1 2 of 1 2 4, on its way to 2 4
            > alter t/0 by=1 isr=1,2,4
              altered, partition epoch 4
              t/0 2 leads, epochs 2/4, isr 2 4 of 2 4
        "#]],
    );
}

#[test]
fn what_cannot_be_is_refused() {
    check(
        "
        register 1 2 3 4
        create t p=1 rf=2
        fence 3
        drain 4
        reassign t/0 to=1,9
        reassign t/0 to=1,1
        reassign t/0 to=
        reassign t/0 to=1,3
        reassign t/0 to=1,4
        reassign t/7 to=1
        reassign gone/0 to=1
        drain 9
        ",
        expect![[r#"
            > register 1 2 3 4
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > fence 3
              fenced
            > drain 4
              set
            > reassign t/0 to=1,9
              refused: there is no node 9; 'weir cluster nodes' shows which there are
            > reassign t/0 to=1,1
              refused: node 1 is named twice: the replicas of a partition are on different nodes
            > reassign t/0 to=
              refused: a partition needs at least one replica; name the nodes that shall have one
            > reassign t/0 to=1,3
              refused: node 3 takes no replicas: it is not alive, or stopping; start it first
            > reassign t/0 to=1,4
              refused: node 4 takes no replicas: it is being drained; 'weir cluster add-node' takes it in again
            > reassign t/7 to=1
              refused: topic 't' has no partition 7; it has 1
            > reassign gone/0 to=1
              refused: there is no topic with id 00000000000000000000000000000000; it may have been deleted
            > drain 9
              refused: there is no node 9; 'weir cluster nodes' shows which there are
        "#]],
    );
}

#[test]
fn a_node_is_emptied_and_removed() {
    check(
        "
        register 1 2 3
        create t p=3 rf=2
        create one p=1 rf=1
        emptying 2
        drain 2
        emptying 2
        reassign t/0 to=1,3
        emptying 2
        create after p=2 rf=2
        remove 2
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=3 rf=2
              created: 3 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
              t/1 2 leads, epochs 0/0, isr 2 3 of 2 3
              t/2 3 leads, epochs 0/0, isr 3 1 of 3 1
            > create one p=1 rf=1
              created: 1 partitions, 1 replicas
              one/0 1 leads, epochs 0/0, isr 1 of 1
            > emptying 2
              t/0 to 1 3
              t/1 to 1 3
            > drain 2
              set
            > emptying 2
              t/0 to 1 3
              t/1 to 1 3
            > reassign t/0 to=1,3
              under way
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2 3, on its way to 1 3
            > emptying 2
              t/1 to 1 3
            > create after p=2 rf=2
              created: 2 partitions, 2 replicas
              after/0 3 leads, epochs 0/0, isr 3 1 of 3 1
              after/1 1 leads, epochs 0/0, isr 1 3 of 1 3
            > remove 2
              refused: node 2 cannot be removed: it has 2 replicas; move them away with 'weir cluster drain 2' first
        "#]],
    );
}

#[test]
fn a_node_that_is_removed_does_not_come_back_with_its_old_folder() {
    check(
        "
        register 1 2
        register 2
        remove 2
        fence 2
        remove 2
        nodes
        register 2 last=2
        register 2 wiped
        remove 9
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > register 2
              registered as incarnation 2
            > remove 2
              refused: node 2 cannot be removed: it is alive; stop it, and wait until its lease ran out
            > fence 2
              fenced
            > remove 2
              removed
            > nodes
              1 at n1:9440: incarnation 1
            > register 2 last=2
              refused: node 2 was removed from the cluster, and this is its old data folder: start it with an empty --data folder to take part again
            > register 2 wiped
              registered as incarnation 3
            > remove 9
              refused: there is no node 9; 'weir cluster nodes' shows which there are
        "#]],
    );
}

#[test]
fn the_only_replica_goes_nowhere_if_there_is_no_other_node() {
    check(
        "
        register 1
        create t p=1 rf=1
        emptying 1
        register 2
        emptying 1
        register 3 rack=a
        create u p=1 rf=3
        emptying 3
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=1 rf=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > emptying 1
              refused: node 1 cannot be drained: it has the only replica of partition 0 of topic 't', and no other live node is left that could hold it; start another node first
            > register 2
              registered as incarnation 1
            > emptying 1
              t/0 to 2
            > register 3 rack=a
              registered as incarnation 1
            > create u p=1 rf=3
              created: 1 partitions, 3 replicas
              u/0 2 leads, epochs 0/0, isr 2 3 1 of 2 3 1
            > emptying 3
              refused: node 3 cannot be drained: it has a replica of partition 0 of topic 'u', and no other live node is left that could hold it; start another node first
        "#]],
    );
}

/// A replica goes to the rack that has fewest of its partition, and no partition loses a rack by a fill.
#[test]
fn moves_keep_racks_apart() {
    check(
        "
        register 1 2 rack=a
        register 3 4 rack=b
        create t p=4 rf=2
        emptying 1
        register 5 rack=b
        filling 5
        register 6 rack=c
        filling 6
        drain 6
        filling 6
        ",
        expect![[r#"
            > register 1 2 rack=a
              registered as incarnation 1
              registered as incarnation 1
            > register 3 4 rack=b
              registered as incarnation 1
              registered as incarnation 1
            > create t p=4 rf=2
              created: 4 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 3 of 1 3
              t/1 3 leads, epochs 0/0, isr 3 2 of 3 2
              t/2 2 leads, epochs 0/0, isr 2 4 of 2 4
              t/3 4 leads, epochs 0/0, isr 4 1 of 4 1
            > emptying 1
              t/0 to 2 3
              t/3 to 4 2
            > register 5 rack=b
              registered as incarnation 1
            > filling 5
              t/0 to 1 5
            > register 6 rack=c
              registered as incarnation 1
            > filling 6
              t/0 to 1 6
            > drain 6
              set
            > filling 6
              refused: node 6 takes no replicas: it is being drained; 'weir cluster add-node' takes it in again
        "#]],
    );
}
