//! Beginning and ending to lead, stopping for good.

use expect_test::expect;

use super::check;

#[test]
fn a_reign_is_recorded_before_it_serves_also_when_it_writes_nothing() {
    check(
        "
        append r1
        lead 1
        lead 2
        append r2 n=10
        lead 3
        end-of 1
        end-of 2
        end-of 3
        end-of 4
        show
        ",
        expect![[r#"
            > append r1
              r1 retry: NotLeader
            > lead 1
              save reigns: 1 from 0
            > lead 2
              save reigns: 2 from 0
            > append r2 n=10
              write r2 at 0 epoch 2
            > lead 3
              save reigns: 2 from 0, 3 from 10
            > end-of 1
              epoch 1 ends at 0
            > end-of 2
              epoch 2 ends at 10
            > end-of 3
              epoch 3 ends at 10
            > end-of 4
              unknown
            > show
              start 0 hw 0 flushed 0 written 0 end 10
              waiting 1 producers 0 evicted 0 expired 0
              reigns: 2 from 0, 3 from 10
        "#]],
    );
}

#[test]
fn an_older_reign_is_ignored_and_the_same_one_only_updates_the_replicas() {
    check(
        "
        lead 3
        lead 2
        append r1
        lead 3 of=3
        append r2
        ",
        expect![[r#"
            > lead 3
              save reigns: 3 from 0
            > lead 2
            > append r1
              write r1 at 0 epoch 3
            > lead 3 of=3
              r1 unknown: Interrupted(NotEnoughReplicasAfterAppend)
            > append r2
              r2 retry: NotEnoughReplicas
        "#]],
    );
}

#[test]
fn a_new_reign_of_the_same_leader_keeps_what_waits() {
    check(
        "
        lead 1
        append r1 n=2
        written
        lead 2
        append r2 epoch=1
        append r3 epoch=2
        flushed
        written
        flushed
        show
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=2
              write r1 at 0 epoch 1
            > written
              flush up to 2
            > lead 2
              save reigns: 1 from 0, 2 from 2
            > append r2 epoch=1
              r2 retry: FencedLeaderEpoch { current: LeaderEpoch(2) }
            > append r3 epoch=2
              write r3 at 2 epoch 2
            > flushed
              hw 2
              r1 stored at 0 on 1, flushed
            > written
              flush up to 3
            > flushed
              hw 3
              r3 stored at 2 on 1, flushed
            > show
              start 0 hw 3 flushed 3 written 3 end 3
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0, 2 from 2
        "#]],
    );
}

#[test]
fn resigning_sends_away_what_waits() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0
        append r2
        append r3 acks=1
        written
        resign
        append r4
        flushed
        show
        resign
        lead 1
        lead 2
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0
              write r1 at 0 epoch 1
            > append r2
              write r2 at 1 epoch 1
            > append r3 acks=1
              write r3 at 2 epoch 1
            > written
              flush up to 3
            > resign
              r3 unknown: Interrupted(LeadershipLost)
              r1 retry: Interrupted(LeadershipLost)
              r2 unknown: Interrupted(LeadershipLost)
            > append r4
              r4 retry: NotLeader
            > flushed
            > show
              start 0 hw 0 flushed 3 written 3 end 3
              waiting 0 producers 1 evicted 0 expired 0
              reigns: 1 from 0
            > resign
            > lead 1
              refused to lead 1, the log has 1
            > lead 2
              save reigns: 1 from 0, 2 from 3
              hw 3
        "#]],
    );
}

#[test]
fn a_failed_flush_stops_the_replica_and_nothing_is_counted_after_it() {
    check(
        "
        lead 1
        append r0
        written
        flushed
        append r1 lane=7/0 seq=0
        append r2
        written
        flush-failed
        flushed
        append r3
        lead 2
        flush-failed
        start 1
        read at=0 epoch=1
        read at=0 epoch=2
        show
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r0
              write r0 at 0 epoch 1
            > written
              flush up to 1
            > flushed
              hw 1
              r0 stored at 0 on 1, flushed
            > append r1 lane=7/0 seq=0
              write r1 at 1 epoch 1
            > append r2
              write r2 at 2 epoch 1
            > written
              flush up to 3
            > flush-failed
              r1 retry: Interrupted(Retired(FlushFailed))
              r2 unknown: Interrupted(Retired(FlushFailed))
              retired: FlushFailed
            > flushed
            > append r3
              r3 retry: Retired(FlushFailed)
            > lead 2
            > flush-failed
            > start 1
            > read at=0 epoch=1
              from 0 up to 1
            > read at=0 epoch=2
              refused: the request names a newer leader epoch than 1, which is the newest known here: try again
            > show
              start 0 hw 1 flushed 1 written 3 end 3
              waiting 0 producers 1 evicted 0 expired 0
              reigns: 1 from 0
        "#]],
    );
}

#[test]
fn a_failed_write_stops_the_replica() {
    check(
        "
        lead 1
        append r1 acks=1
        write-failed
        written
        append r2
        delete
        append r3
        read at=0 epoch=1
        delete
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 acks=1
              write r1 at 0 epoch 1
            > write-failed
              r1 unknown: Interrupted(Retired(WriteFailed))
              retired: WriteFailed
            > written
            > append r2
              r2 retry: Retired(WriteFailed)
            > delete
              retired: Deleted
            > append r3
              r3 failed: TopicDeleted
            > read at=0 epoch=1
              refused: the topic was deleted
            > delete
        "#]],
    );
}

#[test]
fn a_deleted_topic_takes_nothing_any_more() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0
        delete
        append r2
        lead 2
        write-failed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0
              write r1 at 0 epoch 1
            > delete
              r1 retry: Interrupted(Retired(Deleted))
              retired: Deleted
            > append r2
              r2 failed: TopicDeleted
            > lead 2
            > write-failed
        "#]],
    );
}
