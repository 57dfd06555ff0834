//! What a partition says to producers: lanes and contiguous ones.

use expect_test::expect;

use super::check;

#[test]
fn a_lane_links_its_parts_and_its_duplicates_are_found() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=60
        append r2 lane=7/0 seq=100 after=0 n=40
        append r3 lane=7/0 seq=0 n=60
        written
        flushed
        append r4 lane=7/0 seq=100 after=0 n=40
        append r5 lane=7/0 seq=0 n=60 acks=1
        append r6 lane=7/0 seq=0 n=60 acks=0
        producers
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=60
              write r1 at 0 epoch 1
            > append r2 lane=7/0 seq=100 after=0 n=40
              write r2 at 60 epoch 1
            > append r3 lane=7/0 seq=0 n=60
            > written
              flush up to 100
            > flushed
              hw 100
              r1 stored at 0 on 1, flushed
              r3 stored at 0 on 1, flushed, duplicate
              r2 stored at 60 on 1, flushed
            > append r4 lane=7/0 seq=100 after=0 n=40
              r4 stored at 60 on 1, flushed, duplicate
            > append r5 lane=7/0 seq=0 n=60 acks=1
              r5 stored at 0 on 1, flushed, duplicate
            > append r6 lane=7/0 seq=0 n=60 acks=0
              r6 stored at 0 on 0, duplicate
            > producers
              7/0: 0x60 at 0, 100x40 at 60
        "#]],
    );
}

#[test]
fn a_duplicate_waits_for_the_commit_of_what_it_refers_to() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=0 n=2
        append r2 lane=7/0 seq=2 after=0 n=2
        written 2
        append r3 lane=7/0 seq=2
        append r4 lane=7/0 seq=2 n=2
        append r5 lane=7/0 seq=0 n=2 acks=1
        flushed 2
        written
        flushed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 n=2
              write r1 at 0 epoch 1
            > append r2 lane=7/0 seq=2 after=0 n=2
              write r2 at 2 epoch 1
            > written 2
              flush up to 2
            > append r3 lane=7/0 seq=2
              r3 unknown: NondeterministicPipeline
            > append r4 lane=7/0 seq=2 n=2
            > append r5 lane=7/0 seq=0 n=2 acks=1
            > flushed 2
              hw 2
              r5 stored at 0 on 1, flushed, duplicate
              r1 stored at 0 on 1, flushed
            > written
              flush up to 4
            > flushed
              hw 4
              r2 stored at 2 on 1, flushed
              r4 stored at 2 on 1, flushed, duplicate
        "#]],
    );
}

#[test]
fn a_part_whose_link_is_not_stored_must_wait_for_it() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=200 after=100
        append r2 lane=7/0 seq=0
        append r3 lane=7/0 seq=200 after=100
        append r4 lane=7/0 seq=100 after=0
        append r5 lane=7/0 seq=200 after=100
        append r6 lane=7/0 seq=300
        producers
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=200 after=100
              r1 retry: MissingPart
            > append r2 lane=7/0 seq=0
              write r2 at 0 epoch 1
            > append r3 lane=7/0 seq=200 after=100
              r3 retry: MissingPart
            > append r4 lane=7/0 seq=100 after=0
              write r4 at 1 epoch 1
            > append r5 lane=7/0 seq=200 after=100
              write r5 at 2 epoch 1
            > append r6 lane=7/0 seq=300
              write r6 at 3 epoch 1
            > producers
              7/0: 0x1 at 0, 100x1 at 1, 200x1 at 2, 300x1 at 3
        "#]],
    );
}

#[test]
fn a_new_life_of_a_lane_fences_the_old_one_and_starts_over() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=1073741823
        append r2 lane=7/1 seq=5 after=0
        append r3 lane=7/1 seq=0
        append r4 lane=7/0 seq=1073741823
        append r5 lane=7/1 seq=1 after=0
        producers
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=1073741823
              write r1 at 0 epoch 1
            > append r2 lane=7/1 seq=5 after=0
              r2 retry: MissingPart
            > append r3 lane=7/1 seq=0
              write r3 at 1 epoch 1
            > append r4 lane=7/0 seq=1073741823
              r4 fenced by epoch 1
            > append r5 lane=7/1 seq=1 after=0
              write r5 at 2 epoch 1
            > producers
              7/1: 0x1 at 1, 1x1 at 2
        "#]],
    );
}

#[test]
fn a_part_that_differs_from_what_is_stored_shows_an_impure_pipeline() {
    check(
        "
        lead 1
        append r1 lane=7/0 seq=100 n=3
        append r2 lane=7/0 seq=300 n=3
        append r3 lane=7/0 seq=100 n=2
        append r4 lane=7/0 seq=200 n=3
        append r5 lane=7/0 seq=50 n=3
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=100 n=3
              write r1 at 0 epoch 1
            > append r2 lane=7/0 seq=300 n=3
              write r2 at 3 epoch 1
            > append r3 lane=7/0 seq=100 n=2
              r3 unknown: NondeterministicPipeline
            > append r4 lane=7/0 seq=200 n=3
              r4 unknown: SequenceNotRemembered
            > append r5 lane=7/0 seq=50 n=3
              r5 unknown: SequenceNotRemembered
        "#]],
    );
}

#[test]
fn a_part_older_than_the_memory_is_stored_at_an_unknown_offset() {
    use weir_core::partition::REMEMBERED_MAX;
    let mut script = String::from("lead 1\n");
    for part in 0..=REMEMBERED_MAX {
        script += &format!("append r{part} lane=7/0 seq={}\n", part * 10);
    }
    script += "append r91 lane=7/0 seq=0\nappend r92 lane=7/0 seq=5\nappend r93 lane=7/0 seq=10\nwritten 1\nflushed 1\nwritten\nflushed\n";
    let printed = super::interpreter::run(&script);
    let told: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|line| ["r91", "r92", "r93", "hw"].iter().any(|name| line.starts_with(name)))
        .collect();
    expect![[r#"
          hw 1
          r91 stored at an unknown offset on 1, flushed, duplicate
          r92 stored at an unknown offset on 1, flushed, duplicate
          hw 65
          r93 stored at 1 on 1, flushed, duplicate"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn a_contiguous_producer_gets_kafkas_check() {
    check(
        "
        lead 1
        append r1 producer=8/0 seq=0 n=3
        append r2 producer=8/0 seq=4
        append r3 producer=8/0 seq=3 n=2
        append r4 producer=8/0 seq=0 n=3
        append r5 producer=8/0 seq=0 n=2
        append r6 producer=8/1 seq=1
        append r7 producer=8/1 seq=0
        append r8 producer=8/0 seq=5
        append r9 producer=9/3 seq=77
        append r10 producer=10/0 seq=78 after=77
        append r11 producer=9/3 seq=78 after=77
        written
        flushed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 producer=8/0 seq=0 n=3
              write r1 at 0 epoch 1
            > append r2 producer=8/0 seq=4
              r2 retry: OutOfOrderSequence
            > append r3 producer=8/0 seq=3 n=2
              write r3 at 3 epoch 1
            > append r4 producer=8/0 seq=0 n=3
            > append r5 producer=8/0 seq=0 n=2
              r5 unknown: SequenceNotRemembered
            > append r6 producer=8/1 seq=1
              r6 retry: OutOfOrderSequence
            > append r7 producer=8/1 seq=0
              write r7 at 5 epoch 1
            > append r8 producer=8/0 seq=5
              r8 fenced by epoch 1
            > append r9 producer=9/3 seq=77
              write r9 at 6 epoch 1
            > append r10 producer=10/0 seq=78 after=77
              r10 retry: MissingPart
            > append r11 producer=9/3 seq=78 after=77
              write r11 at 7 epoch 1
            > written
              flush up to 8
            > flushed
              hw 8
              r1 stored at 0 on 1, flushed
              r4 stored at 0 on 1, flushed, duplicate
              r3 stored at 3 on 1, flushed
              r7 stored at 5 on 1, flushed
              r9 stored at 6 on 1, flushed
              r11 stored at 7 on 1, flushed
        "#]],
    );
}

#[test]
fn a_contiguous_producer_wraps_where_kafka_does() {
    check(
        "
        lead 1
        append r1 producer=8/0 seq=2147483646 n=4
        append r2 producer=8/0 seq=3
        append r3 producer=8/0 seq=2
        append r4 producer=8/0 seq=2147483646 n=4
        append r5 producer=8/0 seq=2147483647
        written
        flushed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 producer=8/0 seq=2147483646 n=4
              write r1 at 0 epoch 1
            > append r2 producer=8/0 seq=3
              r2 retry: OutOfOrderSequence
            > append r3 producer=8/0 seq=2
              write r3 at 4 epoch 1
            > append r4 producer=8/0 seq=2147483646 n=4
            > append r5 producer=8/0 seq=2147483647
              r5 unknown: SequenceNotRemembered
            > written
              flush up to 5
            > flushed
              hw 5
              r1 stored at 0 on 1, flushed
              r4 stored at 0 on 1, flushed, duplicate
              r3 stored at 4 on 1, flushed
        "#]],
    );
}

#[test]
fn only_the_last_five_contiguous_batches_are_found() {
    check(
        "
        lead 1
        append r1 producer=8/0 seq=0 acks=0
        append r2 producer=8/0 seq=1 acks=0
        append r3 producer=8/0 seq=2 acks=0
        append r4 producer=8/0 seq=3 acks=0
        append r5 producer=8/0 seq=4 acks=0
        append r6 producer=8/0 seq=5 acks=0
        append r7 producer=8/0 seq=1 acks=0
        append r8 producer=8/0 seq=0 acks=0
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 producer=8/0 seq=0 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > append r2 producer=8/0 seq=1 acks=0
              write r2 at 1 epoch 1
              r2 stored at 1 on 0
            > append r3 producer=8/0 seq=2 acks=0
              write r3 at 2 epoch 1
              r3 stored at 2 on 0
            > append r4 producer=8/0 seq=3 acks=0
              write r4 at 3 epoch 1
              r4 stored at 3 on 0
            > append r5 producer=8/0 seq=4 acks=0
              write r5 at 4 epoch 1
              r5 stored at 4 on 0
            > append r6 producer=8/0 seq=5 acks=0
              write r6 at 5 epoch 1
              r6 stored at 5 on 0
            > append r7 producer=8/0 seq=1 acks=0
              r7 stored at 1 on 0, duplicate
            > append r8 producer=8/0 seq=0 acks=0
              r8 unknown: SequenceNotRemembered
        "#]],
    );
}

#[test]
fn a_batch_that_lost_all_its_records_still_advances_the_sequence() {
    check(
        "
        lead 1
        append r1 producer=8/0 seq=0 n=0 delta=9
        append r2 producer=8/0 seq=10 n=3 delta=9
        append r3 producer=8/0 seq=0 n=0 delta=9
        append r4 producer=8/0 seq=20
        producers
        written
        flushed
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 producer=8/0 seq=0 n=0 delta=9
              write r1 at 0 epoch 1
            > append r2 producer=8/0 seq=10 n=3 delta=9
              write r2 at 10 epoch 1
            > append r3 producer=8/0 seq=0 n=0 delta=9
            > append r4 producer=8/0 seq=20
              write r4 at 20 epoch 1
            > producers
              8/0: 0x0 at 0, 10x3 at 10, 20x1 at 20
            > written
              flush up to 21
            > flushed
              hw 21
              r1 stored at 0 on 1, flushed
              r3 stored at 0 on 1, flushed, duplicate
              r2 stored at 10 on 1, flushed
              r4 stored at 20 on 1, flushed
        "#]],
    );
}

#[test]
fn a_quiet_producer_is_forgotten_when_log_time_and_this_clock_agree() {
    check(
        "
        config producer.id.expiration.ms=1000
        lead 1
        append r1 lane=7/0 seq=0 ts=10 acks=0
        append r2 lane=8/0 seq=0 ts=5000 acks=0
        tick
        show
        wait 1001
        append r3 lane=9/0 seq=0 ts=3000 acks=0
        tick
        show
        append r4 lane=7/0 seq=1 after=0
        append r5 lane=7/0 seq=1
        wait 9999999
        tick
        show
        ",
        expect![[r#"
            > config producer.id.expiration.ms=1000
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 ts=10 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > append r2 lane=8/0 seq=0 ts=5000 acks=0
              write r2 at 1 epoch 1
              r2 stored at 1 on 0
            > tick
            > show
              start 0 hw 0 flushed 0 written 0 end 2
              waiting 0 producers 2 evicted 0 expired 0
              reigns: 1 from 0
            > wait 1001
            > append r3 lane=9/0 seq=0 ts=3000 acks=0
              write r3 at 2 epoch 1
              r3 stored at 2 on 0
            > tick
            > show
              start 0 hw 0 flushed 0 written 0 end 3
              waiting 0 producers 2 evicted 0 expired 1
              reigns: 1 from 0
            > append r4 lane=7/0 seq=1 after=0
              r4 retry: MissingPart
            > append r5 lane=7/0 seq=1
              write r5 at 3 epoch 1
            > wait 9999999
            > tick
            > show
              start 0 hw 0 flushed 0 written 0 end 4
              waiting 1 producers 3 evicted 0 expired 1
              reigns: 1 from 0
        "#]],
    );
}

#[test]
fn how_long_a_quiet_producer_is_remembered_is_altered_at_run_time() {
    check(
        "
        config producer.id.expiration.ms=1000
        lead 1
        append r1 lane=7/0 seq=0 ts=10 acks=0
        append r2 lane=8/0 seq=0 ts=2010 acks=0
        wait 2000
        config producer.id.expiration.ms=5000
        tick
        show
        config producer.id.expiration.ms=1999
        tick
        show
        ",
        expect![[r#"
            > config producer.id.expiration.ms=1000
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 ts=10 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > append r2 lane=8/0 seq=0 ts=2010 acks=0
              write r2 at 1 epoch 1
              r2 stored at 1 on 0
            > wait 2000
            > config producer.id.expiration.ms=5000
            > tick
            > show
              start 0 hw 0 flushed 0 written 0 end 2
              waiting 0 producers 2 evicted 0 expired 0
              reigns: 1 from 0
            > config producer.id.expiration.ms=1999
            > tick
            > show
              start 0 hw 0 flushed 0 written 0 end 2
              waiting 0 producers 1 evicted 0 expired 1
              reigns: 1 from 0
        "#]],
    );
}

#[test]
fn the_producer_that_wrote_longest_ago_makes_room() {
    check(
        "
        config producers=2
        lead 1
        append r1 lane=7/0 seq=0 acks=0
        append r2 lane=8/0 seq=0 acks=0
        append r3 lane=7/0 seq=1 after=0 acks=0
        append r4 lane=9/0 seq=0 acks=0
        producers
        show
        append r5 lane=8/0 seq=1 after=0
        ",
        expect![[r#"
            > config producers=2
            > lead 1
              save reigns: 1 from 0
            > append r1 lane=7/0 seq=0 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > append r2 lane=8/0 seq=0 acks=0
              write r2 at 1 epoch 1
              r2 stored at 1 on 0
            > append r3 lane=7/0 seq=1 after=0 acks=0
              write r3 at 2 epoch 1
              r3 stored at 2 on 0
            > append r4 lane=9/0 seq=0 acks=0
              write r4 at 3 epoch 1
              r4 stored at 3 on 0
            > producers
              7/0: 0x1 at 0, 1x1 at 2
              9/0: 0x1 at 3
            > show
              start 0 hw 0 flushed 0 written 0 end 4
              waiting 0 producers 2 evicted 1 expired 0
              reigns: 1 from 0
            > append r5 lane=8/0 seq=1 after=0
              r5 retry: MissingPart
        "#]],
    );
}
