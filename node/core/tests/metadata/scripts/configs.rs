//! Configuration of topics and nodes.

use expect_test::expect;

use super::check;

#[test]
fn keys_are_checked_and_the_nearest_is_named() {
    check(
        "
        register 1
        create t
        config t retention.ms=5 segment.ms=7
        config t -retention.ms segment.ms=8
        config t -retnetion.ms
        config t retention.ms=soon
        config none retention.ms=1
        node-config all num.partitions=2 default.replication.factor=1
        create u
        node-config 1 replica.lag.time.max.ms=500
        node-config 1 num.partitions=3
        node-config 1 -replica.lag.time
        node-config 9 replica.lag.time.max.ms=500
        node-config all leader.imbalance.per.broker.percentage=101
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > config t retention.ms=5 segment.ms=7
              configured
            > config t -retention.ms segment.ms=8
              configured
            > config t -retnetion.ms
              refused: unknown topic config 'retnetion.ms', did you mean 'retention.ms'?; known are: cleanup.policy, compression.type, delete.retention.ms, flush.messages, flush.ms, index.interval.bytes, max.compaction.lag.ms, max.message.bytes, min.cleanable.dirty.ratio, min.compaction.lag.ms, min.insync.replicas, pipeline.revision.grace.ms, producer.id.expiration.ms, retention.bytes, retention.ms, segment.bytes, segment.ms, write.caching
            > config t retention.ms=soon
              refused: topic config retention.ms=soon is not valid: retention.ms takes milliseconds from 0, or -1 for ever
            > config none retention.ms=1
              refused: there is no topic 'none'; 'weir topics list' shows which there are
            > node-config all num.partitions=2 default.replication.factor=1
              configured
            > create u
              created: 2 partitions, 1 replicas
              u/0 1 leads, epochs 0/0, isr 1 of 1
              u/1 1 leads, epochs 0/0, isr 1 of 1
            > node-config 1 replica.lag.time.max.ms=500
              configured
            > node-config 1 num.partitions=3
              refused: node config 'num.partitions' holds for the whole cluster: set it for all nodes, not for one
            > node-config 1 -replica.lag.time
              refused: unknown node config 'replica.lag.time', did you mean 'replica.lag.time.max.ms'?; known are: auto.leader.rebalance.enable, default.replication.factor, group.consumer.assignor, group.consumer.heartbeat.interval.ms, group.consumer.max.size, group.consumer.session.timeout.ms, leader.imbalance.check.interval.seconds, leader.imbalance.per.broker.percentage, leader.replication.throttled.rate, log.retention.check.interval.ms, num.partitions, offsets.retention.check.interval.ms, offsets.retention.minutes, replica.lag.time.max.ms
            > node-config 9 replica.lag.time.max.ms=500
              refused: there is no node 9; 'weir cluster nodes' shows which there are
            > node-config all leader.imbalance.per.broker.percentage=101
              refused: node config leader.imbalance.per.broker.percentage=101 is not valid: leader.imbalance.per.broker.percentage takes a percentage, from 0 to 100
        "#]],
    );
}

/// What is in force counts, whichever of the two is set last.
#[test]
fn lags_that_contradict_each_other_are_refused() {
    check(
        "
        register 1
        create t max.compaction.lag.ms=5 min.compaction.lag.ms=6
        create t max.compaction.lag.ms=5 min.compaction.lag.ms=5
        config t min.compaction.lag.ms=6
        config t max.compaction.lag.ms=4
        config t max.compaction.lag.ms=7 min.compaction.lag.ms=6
        config t -max.compaction.lag.ms min.compaction.lag.ms=9
        config t max.compaction.lag.ms=8
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t max.compaction.lag.ms=5 min.compaction.lag.ms=6
              refused: topic config max.compaction.lag.ms=5 is not valid beside min.compaction.lag.ms=6: a record would be due for compaction before it may be touched
            > create t max.compaction.lag.ms=5 min.compaction.lag.ms=5
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > config t min.compaction.lag.ms=6
              refused: topic config max.compaction.lag.ms=5 is not valid beside min.compaction.lag.ms=6: a record would be due for compaction before it may be touched
            > config t max.compaction.lag.ms=4
              refused: topic config max.compaction.lag.ms=4 is not valid beside min.compaction.lag.ms=5: a record would be due for compaction before it may be touched
            > config t max.compaction.lag.ms=7 min.compaction.lag.ms=6
              configured
            > config t -max.compaction.lag.ms min.compaction.lag.ms=9
              configured
            > config t max.compaction.lag.ms=8
              refused: topic config max.compaction.lag.ms=8 is not valid beside min.compaction.lag.ms=9: a record would be due for compaction before it may be touched
        "#]],
    );
}

/// INVARIANTS 28: ELR only while the ISR is below its minimum.
#[test]
fn with_a_lower_minimum_nobody_is_eligible_besides_the_isr() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        fence 2
        fence 3
        config t min.insync.replicas=1
        config t min.insync.replicas=3
        config t -min.insync.replicas
        fence 1
        config t min.insync.replicas=1
        register 1
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > fence 2
              fenced
              t/0 1 leads, epochs 0/1, isr 1 3 of 1 2 3
            > fence 3
              fenced
              t/0 1 leads, epochs 0/2, isr 1 of 1 2 3, elr 3
            > config t min.insync.replicas=1
              configured
              t/0 1 leads, epochs 0/3, isr 1 of 1 2 3
            > config t min.insync.replicas=3
              configured
            > config t -min.insync.replicas
              configured
            > fence 1
              fenced
              t/0 nobody leads, epochs 1/4, isr - of 1 2 3, elr 1
            > config t min.insync.replicas=1
              configured
            > register 1
              registered as incarnation 2
              t/0 1 leads, epochs 2/5, isr 1 of 1 2 3
        "#]],
    );
}
