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
