//! How one lane goes about its work, for good.

use std::time::Duration;

use weir_wire::ids::Sequence;
use weir_wire::lane::{Acks, LANE_SEQUENCE_MAX};

use super::Way;
use crate::producer::config::ProducerConfig;

/// A lane's settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) way: Way,
    /// Whether the lane has a producer id, so that what it sends again is stored once.
    pub(crate) idempotent: bool,
    /// Whether what was sent and not answered is sent again.
    pub(crate) resends: bool,
    pub(crate) in_flight_max: usize,
    pub(crate) request_timeout: Duration,
    /// [`LANE_SEQUENCE_MAX`] outside of tests.
    pub(crate) sequence_max: Sequence,
}

impl Settings {
    pub(crate) fn new(way: Way, config: &ProducerConfig) -> Settings {
        // With acks=0 nobody hears of a batch that was not stored, and a chosen partition counts sequences one by one:
        // it would refuse all that follows. Such a lane keeps to "stored once" by sending nothing twice.
        let at_most_once =
            config.enable_idempotence && config.acks == Acks::None && matches!(way, Way::Explicit(_));
        Settings {
            way,
            idempotent: config.enable_idempotence && !at_most_once,
            resends: !at_most_once,
            in_flight_max: config.in_flight_batches,
            request_timeout: config.request_timeout,
            sequence_max: LANE_SEQUENCE_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::tests::{EXPLICIT, GUESSED, check_with};
    use super::*;

    #[test]
    fn without_idempotence_there_is_no_id_and_an_idle_lane_gives_its_stream_back() {
        check_with(
            Way::Unguessed(0),
            |settings| Settings { idempotent: false, ..settings },
            "0 metadata r1 n1@0
             0 ready b1 x2 until 90000
             0 opened o1
             1 answer o1 #0 stored:p0@0x2
             60000 tick
             60001 tick
             60002 ready b2 x1 until 90000",
            expect![[r#"
                0 metadata r1 n1@0
                0 ready b1 x2 until 90000
                    open o1 at n1: producer none r1 Unguessed
                0 opened o1
                    send b1 on o1 as #0
                1 answer o1 #0 stored:p0@0x2
                    settle b1: stored p0@0 x2
                60000 tick
                60001 tick
                    close o1
                60002 ready b2 x1 until 90000
                    open o2 at n1: producer none r1 Unguessed
            "#]],
        );
    }

    #[test]
    fn without_acks_a_chosen_partition_gets_no_id_and_nothing_twice() {
        let config = ProducerConfig { acks: Acks::None, in_flight_batches: 3, ..ProducerConfig::default() };
        let settings = |way| Settings::new(way, &config);
        let guessed = settings(GUESSED);
        assert!(guessed.idempotent && guessed.resends, "only a chosen partition counts sequences one by one");
        check_with(
            EXPLICIT,
            |_| settings(EXPLICIT),
            "0 metadata r1 n1@0
             0 ready b1 x2 until 90000
             0 ready b2 x2 until 90000
             0 ready b3 x2 until 90000
             0 opened o1
             1 answer o1 #0 retry:NotLeader:x2
             2 answer o1 #1 stored:p0@0x2
             3 lost o1
             300 tick
             300 ready b4 x1 until 90000
             300 opened o2",
            expect![[r#"
                0 metadata r1 n1@0
                0 ready b1 x2 until 90000
                    open o1 at n1: producer none r1 Explicit { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
                0 ready b2 x2 until 90000
                0 ready b3 x2 until 90000
                0 opened o1
                    send b1 on o1 as #0
                    send b2 on o1 as #1
                    send b3 on o1 as #2
                1 answer o1 #0 retry:NotLeader:x2
                    settle b1: failed NOT_LEADER x2
                    refresh metadata
                2 answer o1 #1 stored:p0@0x2
                    settle b2: stored p0@0 x2
                3 lost o1
                    refresh metadata
                    settle b3: unknown OUTCOME_UNKNOWN x2
                300 tick
                300 ready b4 x1 until 90000
                    open o2 at n1: producer none r1 Explicit { partition: PartitionIndex(0), leader_epoch: LeaderEpoch(0) }
                300 opened o2
                    send b4 on o2 as #3
            "#]],
        );
    }
}
