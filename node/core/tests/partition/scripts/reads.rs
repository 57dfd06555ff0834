//! What may be read, and where the log starts.

use expect_test::expect;

use super::check;

#[test]
fn only_what_is_committed_is_read() {
    check(
        "
        read at=0
        lead 1
        append r1 n=5
        append r2 n=5
        written
        read at=0
        latest
        flushed 5
        read at=0
        read at=3
        read at=5
        read at=7
        read at=10
        read at=11
        latest
        ",
        expect![[r#"
            > read at=0
              refused: this replica does not lead the partition: refresh the metadata and ask the leader
            > lead 1
              save reigns: 1 from 0
            > append r1 n=5
              write r1 at 0 epoch 1
            > append r2 n=5
              write r2 at 5 epoch 1
            > written
              flush up to 10
            > read at=0
              nothing yet
            > latest
              0
            > flushed 5
              hw 5
              r1 stored at 0 on 1, flushed
            > read at=0
              from 0 up to 5
            > read at=3
              from 3 up to 5
            > read at=5
              nothing yet
            > read at=7
              nothing yet
            > read at=10
              nothing yet
            > read at=11
              refused: the position is outside of what is stored, which is from 0 up to 5
            > latest
              5
        "#]],
    );
}

#[test]
fn a_reader_of_another_reign_is_told() {
    check(
        "
        lead 4
        read at=0 epoch=3
        read at=0 epoch=5
        latest epoch=3
        resign
        read at=0 epoch=4
        latest epoch=4
        ",
        expect![[r#"
            > lead 4
              save reigns: 4 from 0
            > read at=0 epoch=3
              refused: the request names an older leader epoch than 4: refresh the metadata
            > read at=0 epoch=5
              refused: the request names a newer leader epoch than 4, which is the newest known here: try again
            > latest epoch=3
              refused: the request names an older leader epoch than 4: refresh the metadata
            > resign
            > read at=0 epoch=4
              refused: this replica does not lead the partition: refresh the metadata and ask the leader
            > latest epoch=4
              refused: this replica does not lead the partition: refresh the metadata and ask the leader
        "#]],
    );
}

#[test]
fn a_reader_whose_history_was_truncated_is_told_where() {
    check(
        "
        lead 1
        append r1 n=10 acks=0
        written
        flushed
        lead 4
        append r2 n=10 acks=0
        written
        flushed
        read at=10 seen=1
        read at=11 seen=1
        read at=15 seen=3
        read at=15 seen=4
        read at=15 seen=5
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=10 acks=0
              write r1 at 0 epoch 1
              r1 stored at 0 on 0
            > written
              flush up to 10
            > flushed
              hw 10
            > lead 4
              save reigns: 1 from 0, 4 from 10
            > append r2 n=10 acks=0
              write r2 at 10 epoch 4
              r2 stored at 10 on 0
            > written
              flush up to 20
            > flushed
              hw 20
            > read at=10 seen=1
              from 10 up to 20
            > read at=11 seen=1
              refused: the log was truncated below the position since it was read, at offset 10
            > read at=15 seen=3
              refused: the log was truncated below the position since it was read, at offset 10
            > read at=15 seen=4
              from 15 up to 20
            > read at=15 seen=5
              refused: the request names a newer leader epoch than 4, which is the newest known here: try again
        "#]],
    );
}

#[test]
fn the_log_start_moves_up_to_the_high_watermark_at_most() {
    check(
        "
        lead 1
        append r1 n=10
        written
        flushed
        append r2 n=10
        lead 2
        start 5
        start 3
        read at=4
        read at=5
        start 99
        show
        end-of 1
        ",
        expect![[r#"
            > lead 1
              save reigns: 1 from 0
            > append r1 n=10
              write r1 at 0 epoch 1
            > written
              flush up to 10
            > flushed
              hw 10
              r1 stored at 0 on 1, flushed
            > append r2 n=10
              write r2 at 10 epoch 1
            > lead 2
              save reigns: 1 from 0, 2 from 20
            > start 5
              log start 5
            > start 3
            > read at=4
              refused: the position is outside of what is stored, which is from 5 up to 10
            > read at=5
              from 5 up to 10
            > start 99
              log start 10
            > show
              start 10 hw 10 flushed 10 written 10 end 20
              waiting 1 producers 0 evicted 0 expired 0
              reigns: 1 from 10, 2 from 20
            > end-of 1
              epoch 1 ends at 20
        "#]],
    );
}
