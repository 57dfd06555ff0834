//! Appending: offsets, promises, group commit, what is refused.

use expect_test::expect;

use super::check;

#[test]
fn an_append_is_written_flushed_committed_and_answered() {
    check(
        "
        lead 1
        append r1 n=3
        written
        flushed
        show
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > written
              flush up to 3
            > flushed
              hw 3
              r1 stored at 0 on 1, flushed
            > show
              start 0 hw 3 flushed 3 written 3 end 3
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
        "#]],
    );
}

#[test]
fn appends_that_arrive_during_a_flush_share_the_next_one() {
    check(
        "
        lead 1
        append r1 n=3
        written
        append r2 n=2
        written
        append r3
        written
        flushed 3
        flushed 6
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > written
              flush up to 3
            > append r2 n=2
              write r2 at 3 epoch 1
            > written
            > append r3
              write r3 at 5 epoch 1
            > written
            > flushed 3
              flush up to 6
              hw 3
              r1 stored at 0 on 1, flushed
            > flushed 6
              hw 6
              r2 stored at 3 on 1, flushed
              r3 stored at 5 on 1, flushed
        "#]],
    );
}

#[test]
fn a_flush_that_was_not_asked_for_counts_as_well() {
    check(
        "
        lead 1
        append r1
        append r2
        written
        flushed 1
        flushed 2
        flushed 1
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1
              write r1 at 0 epoch 1
            > append r2
              write r2 at 1 epoch 1
            > written
              flush up to 2
            > flushed 1
              hw 1
              r1 stored at 0 on 1, flushed
            > flushed 2
              hw 2
              r2 stored at 1 on 1, flushed
            > flushed 1
        "#]],
    );
}

#[test]
fn with_write_caching_written_is_enough_and_the_promise_says_so() {
    check(
        "
        config write.caching=true
        lead 1
        append r1 n=3
        written
        flushed
        append r2 acks=1
        written
        show
        ",
        expect![[r#"
            > config write.caching=true
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > written
              hw 3
              r1 stored at 0 on 1
            > flushed
            > append r2 acks=1
              write r2 at 3 epoch 1
            > written
              hw 4
              r2 stored at 3 on 1
            > show
              start 0 hw 4 flushed 3 written 4 end 4
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
        "#]],
    );
}

#[test]
fn switching_write_caching_off_flushes_and_the_high_watermark_stays() {
    check(
        "
        config write.caching=true
        lead 1
        append r1 n=3
        written
        append r2
        config write.caching=false
        written
        flushed 3
        flushed 4
        ",
        expect![[r#"
            > config write.caching=true
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > written
              hw 3
              r1 stored at 0 on 1
            > append r2
              write r2 at 3 epoch 1
            > config write.caching=false
              flush up to 3
            > written
            > flushed 3
              flush up to 4
            > flushed 4
              hw 4
              r2 stored at 3 on 1, flushed
        "#]],
    );
}

#[test]
fn switching_write_caching_on_commits_what_is_written() {
    check(
        "
        lead 1
        append r1 n=3
        written
        config write.caching=true
        append r2
        written
        flushed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3
              write r1 at 0 epoch 1
            > written
              flush up to 3
            > config write.caching=true
              hw 3
              r1 stored at 0 on 1
            > append r2
              write r2 at 3 epoch 1
            > written
              hw 4
              r2 stored at 3 on 1
            > flushed
        "#]],
    );
}

#[test]
fn acks_0_is_answered_at_once_and_promised_nothing() {
    check(
        "
        lead 1
        append r1 n=3 acks=0
        written
        flushed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=3 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > written
              flush up to 3
            > flushed
              hw 3
        "#]],
    );
}

#[test]
fn acks_1_needs_the_leader_and_acks_all_enough_replicas() {
    check(
        "
        lead 1 of=3
        append r1 acks=all
        append r2 acks=1
        written
        flushed
        show
        config min.insync.replicas=1
        append r3 acks=all
        written
        flushed
        ",
        expect![[r#"
            > lead 1 of=3
              save reigns: 1 from 0
            > append r1 acks=all
              r1 retry: NotEnoughReplicas
            > append r2 acks=1
              write r2 at 0 epoch 1
            > written
              flush up to 1
            > flushed
              r2 stored at 0 on 1, flushed
            > show
              start 0 hw 0 flushed 1 written 1 end 1
              waiting 0 producers 0 evicted 0 expired 0
              reigns: 1 from 0
            > config min.insync.replicas=1
              hw 1
            > append r3 acks=all
              write r3 at 1 epoch 1
            > written
              flush up to 2
            > flushed
              hw 2
              r3 stored at 1 on 1, flushed
        "#]],
    );
}

#[test]
fn losing_enough_replicas_after_the_append_is_told_and_the_record_stays() {
    check(
        "
        config min.insync.replicas=1
        lead 1 of=3
        append r1 lane=7/0 seq=0
        append r2
        append r3 acks=1
        written
        config min.insync.replicas=2
        flushed
        append r4 lane=7/0 seq=0
        config min.insync.replicas=1
        append r5 lane=7/0 seq=0
        ",
        expect![[r#"
            > config min.insync.replicas=1
            > lead 1 of=3
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0
              write r1 at 0 epoch 1
            > append r2
              write r2 at 1 epoch 1
            > append r3 acks=1
              write r3 at 2 epoch 1
            > written
              flush up to 3
            > config min.insync.replicas=2
              r1 retry: Interrupted(NotEnoughReplicasAfterAppend)
              r2 unknown: Interrupted(NotEnoughReplicasAfterAppend)
            > flushed
              r3 stored at 2 on 1, flushed
            > append r4 lane=7/0 seq=0
              r4 retry: NotEnoughReplicas
            > config min.insync.replicas=1
              hw 3
            > append r5 lane=7/0 seq=0
              r5 stored at 0 on 1, flushed, duplicate
        "#]],
    );
}

#[test]
fn a_sender_that_believes_in_another_reign_is_told() {
    check(
        "
        lead 5
        append r1 epoch=4
        append r2 epoch=6
        append r3 epoch=5
        ",
        expect![[r#"
            > lead 5
              save reigns: 5 from 0
            > append r1 epoch=4
              r1 retry: FencedLeaderEpoch { current: LeaderEpoch(5) }
            > append r2 epoch=6
              r2 retry: UnknownLeaderEpoch { current: LeaderEpoch(5) }
            > append r3 epoch=5
              write r3 at 0 epoch 5
        "#]],
    );
}

#[test]
fn a_batch_that_contradicts_itself_is_refused_and_leaves_nothing_behind() {
    check(
        "
        lead 1
        append r1 bytes=1048588
        append r2 bytes=1048589
        append r3 n=5 delta=3
        append r4 control
        append r5 lane=7/0 n=2 delta=2
        append r6 lane=7/0 n=0
        append r7 lane=7/0 seq=1073741823
        append r8 lane=7/1 seq=1073741824
        append r9 lane=7/0 seq=5 after=5
        append r10 producer=8/0 seq=2147483648
        append r11 producer=8/0 seq=0 delta=2147483648
        append r12 producer=8/0 unchecked
        show
        producers
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 bytes=1048588
              write r1 at 0 epoch 1
            > append r2 bytes=1048589
              r2 failed: MessageTooLarge { limit: 1048588 }
            > append r3 n=5 delta=3
              r3 failed: InvalidBatch(MoreRecordsThanOffsets)
            > append r4 control
              r4 failed: InvalidBatch(ControlBatch)
            > append r5 lane=7/0 n=2 delta=2
              r5 failed: InvalidBatch(LanePartNotDense)
            > append r6 lane=7/0 n=0
              r6 failed: InvalidBatch(LanePartNotDense)
            > append r7 lane=7/0 seq=1073741823
              write r7 at 1 epoch 1
            > append r8 lane=7/1 seq=1073741824
              r8 failed: InvalidBatch(SequenceOutOfRange)
            > append r9 lane=7/0 seq=5 after=5
              r9 failed: InvalidBatch(SequenceOutOfRange)
            > append r10 producer=8/0 seq=2147483648
              r10 failed: InvalidBatch(SequenceOutOfRange)
            > append r11 producer=8/0 seq=0 delta=2147483648
              r11 failed: InvalidBatch(SequenceOutOfRange)
            > append r12 producer=8/0 unchecked
              r12 failed: InvalidBatch(ProducerAndCheckDisagree)
            > show
              start 0 hw 0 flushed 0 written 0 end 2
              waiting 2 producers 1 evicted 0 expired 0
              reigns: 1 from 0
            > producers
              7/0: 1073741823x1 at 1
        "#]],
    );
}

#[test]
fn a_full_purgatory_sends_the_next_one_back_and_lets_acks_0_through() {
    use weir_core::partition::WAITING_MAX;
    let mut script = String::from("lead 1\n");
    for request in 1..=WAITING_MAX {
        script += &format!("append r{request}\n");
    }
    let first = super::interpreter::run(&script);
    assert!(!first.contains("Busy"), "every append up to the limit waits");
    script += "append r90001\nappend r90002 acks=0\n";
    let all = super::interpreter::run(&script);
    let last: Vec<&str> = all.lines().skip(first.lines().count()).collect();
    expect![[r#"
        > append r90001
          r90001 retry: Busy
        > append r90002 acks=0
          write r90002 at 16384 epoch 1
          r90002 stored at 16384 on 0"#]]
    .assert_eq(&last.join("\n"));
}
