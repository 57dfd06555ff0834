//! Openings that a node refuses.

use expect_test::expect;

use super::{GUESSED, check};

/// Found by whole nodes (`weir-sim --nodes 3 --seed 7`): of a topic just made a node said that there is none, and all that
/// was to be sent had failed.
#[test]
fn a_node_that_has_not_heard_of_the_topic_yet_is_asked_again() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         1 refused o1 UnknownTopic
         130 tick",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            1 refused o1 UnknownTopic
                refresh metadata
            130 tick
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
        "#]],
    );
}

#[test]
fn a_recreated_topic_is_the_end_of_the_lane() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 5000
         0 opened o1
         1 lost o1
         1 ready b2 x1 until 5000
         130 tick
         131 refused o2 TopicRecreated
         132 ready b3 x1 until 5000",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 5000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
            1 lost o1
                refresh metadata
            1 ready b2 x1 until 5000
            130 tick
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            131 refused o2 TopicRecreated
                settle b1: unknown TOPIC_RECREATED x1
                settle b2: failed TOPIC_RECREATED x1
            132 ready b3 x1 until 5000
                settle b3: failed TOPIC_RECREATED x1
        "#]],
    );
}

/// Found where a busy machine had a batch sent again on which a plugin always fails: the lane stood still for all of
/// `delivery.timeout.ms`, and what a rollback had long mended with it.
#[test]
fn a_batch_on_which_a_plugin_fails_again_and_again_holds_nobody_up() {
    check(
        GUESSED,
        "0 metadata r1 n1@0
         0 producer 7
         0 ready b1 x1 until 100000
         0 ready b2 x1 until 100000
         0 opened o1
         1 lost o1
         2000 tick
         2001 opened o2
         2002 answer o2 #0 retry:PluginFailed:x1
         4000 tick
         4001 opened o3
         4002 answer o3 #0 retry:PluginFailed:x1
         6000 tick
         6001 opened o4
         6002 answer o4 #0 retry:PluginFailed:x1
         8000 tick
         8001 opened o5
         8002 answer o5 #0 retry:PluginFailed:x1
         10000 tick
         10001 opened o6
         10002 answer o6 #0 retry:PluginFailed:x1
         12000 tick
         12001 opened o7",
        expect![[r#"
            0 metadata r1 n1@0
            0 producer 7
            0 ready b1 x1 until 100000
                open o1 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            0 ready b2 x1 until 100000
            0 opened o1
                send b1 on o1 as #0 7.0 seq 0
                send b2 on o1 as #1 7.0 seq 1
            1 lost o1
                refresh metadata
            2000 tick
                open o2 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            2001 opened o2
                send again b1 on o2 as #0 7.0 seq 0
                send again b2 on o2 as #1 7.0 seq 1
            2002 answer o2 #0 retry:PluginFailed:x1
                refresh metadata
            4000 tick
                refresh metadata
                close o2
                open o3 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            4001 opened o3
                send again b1 on o3 as #0 7.0 seq 0
                send again b2 on o3 as #1 7.0 seq 1
            4002 answer o3 #0 retry:PluginFailed:x1
                refresh metadata
            6000 tick
                refresh metadata
                close o3
                open o4 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            6001 opened o4
                send again b1 on o4 as #0 7.0 seq 0
                send again b2 on o4 as #1 7.0 seq 1
            6002 answer o4 #0 retry:PluginFailed:x1
                refresh metadata
            8000 tick
                refresh metadata
                close o4
                open o5 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            8001 opened o5
                send again b1 on o5 as #0 7.0 seq 0
                send again b2 on o5 as #1 7.0 seq 1
            8002 answer o5 #0 retry:PluginFailed:x1
                refresh metadata
            10000 tick
                refresh metadata
                close o5
                open o6 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            10001 opened o6
                send again b1 on o6 as #0 7.0 seq 0
                send again b2 on o6 as #1 7.0 seq 1
            10002 answer o6 #0 retry:PluginFailed:x1
                settle b1: unknown OUTCOME_UNKNOWN x1
                refresh metadata
            12000 tick
                refresh metadata
                close o6
                open o7 at n1: producer 7.0 r1 Guessed { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
            12001 opened o7
                send again b2 on o7 as #1 7.0 seq 1
        "#]],
    );
}
