//! A follower never gives up what it knows to be committed because its leader lacks it (INVARIANTS 11), unless the metadata
//! says that somebody leads who may lack it.

use expect_test::expect;

use super::check;

#[test]
fn who_would_have_to_cut_what_is_committed_stops_for_good() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:10:1 from=0 hw=8
        written
        flushed
        follow 2 leader=2/1
        diverged 2 epoch=1 end=7
        show
        tick
        lead 3
        append r1
        ",
        expect![[""]],
    );
}

#[test]
fn what_is_not_committed_is_cut_and_what_was_given_up_too() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:4:1 4:4:1 8:2:1 from=0 hw=8
        written
        flushed
        follow 2 leader=2/1
        diverged 2 epoch=1 end=8
        truncated
        follow 3 leader=2/1 unclean
        diverged 4 epoch=1 end=4
        truncated
        show
        ",
        expect![[""]],
    );
}

/// All of a log is thrown away only where nothing that is committed goes with it: records below the leader's log start
/// went by retention.
#[test]
fn starting_over_below_what_is_committed_is_refused_too() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:10:1 from=0 hw=10
        written
        flushed
        follow 2 leader=2/1
        out-of-range 2 start=20
        truncated
        follow 3 leader=1/1
        out-of-range 4 start=3
        ",
        expect![[""]],
    );
}

#[test]
fn the_newest_metadata_of_a_reign_says_whether_committed_records_are_given_up() {
    check(
        "
        follow 1 leader=1/1
        subscribed sub=1
        frame 1 0:10:1 from=0 hw=10
        written
        flushed
        follow 2 leader=2/1 unclean
        follow 2 leader=2/1 pe=3
        diverged 2 epoch=1 end=7
        ",
        expect![[""]],
    );
}
