//! Plugins pushed and forgotten; pipelines staged, activated, rolled back, closed.

use expect_test::expect;

use super::check;

#[test]
fn a_name_and_version_stand_for_the_same_bytes_for_good() {
    check(
        "
        push a@1
        push a@1
        push a@1 bytes=9
        push a@2 bytes=9
        push ../a@1
        forget a@3
        forget b@1
        forget a@1
        push a@1 bytes=7
        ",
        expect![[r#"
            > push a@1
              pushed
            > push a@1
              pushed
            > push a@1 bytes=9
              refused: plugin a@1 exists already with other bytes (digest 0061403100000000000000000000000000000000000000000000000000000000); push yours under another version
            > push a@2 bytes=9
              pushed
            > push ../a@1
              refused: a plugin name consists of letters, digits, '.', '_' and '-'; '/' is not allowed
            > forget a@3
              refused: there is no plugin a@3; 'weir plugins list' shows which there are
            > forget b@1
              refused: there is no plugin b@1; 'weir plugins list' shows which there are
            > forget a@1
              deleted
            > push a@1 bytes=7
              pushed
        "#]],
    );
}

#[test]
fn a_pipeline_is_in_force_once_every_active_node_is_ready() {
    check(
        "
        register 1 2 3
        create t p=2 rf=1
        push a@1
        stage t chain=a@1
        activate t 2
        ready t/2 1
        ready t/2 2 failed
        activate t 2
        ready t/2 2
        fence 3
        pipelines t
        activate t 2
        activate t 2
        pipelines t
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=2 rf=1
              created: 2 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
              t/1 2 leads, epochs 0/0, isr 2 of 2
            > push a@1
              pushed
            > stage t chain=a@1
              staged as revision 2
            > activate t 2
              refused: revision 2 of topic 't' is not ready everywhere: nodes 1, 2, 3 have not reported yet; wait, or leave nodes out with --without NODE
            > ready t/2 1
              noted
            > ready t/2 2 failed
              noted
            > activate t 2
              refused: revision 2 of topic 't' is not ready everywhere: node 2 cannot run it: it said no; node 3 has not reported yet; wait, or leave nodes out with --without NODE
            > ready t/2 2
              noted
            > fence 3
              fenced
            > pipelines t
              1 created: plain into 2, in force
              2 staged: a@1 into 2, ready 1@1 2@1
            > activate t 2
              revision 2 in force
            > activate t 2
              revision 2 in force
            > pipelines t
              1 created: plain into 2
              2 activated over 1: a@1 into 2, in force
        "#]],
    );
}

#[test]
fn readiness_is_of_the_incarnation_that_runs() {
    check(
        "
        register 1 2
        create t p=1 rf=1
        push a@1
        stage t chain=a@1
        ready t/2 1
        ready t/2 2
        register 2
        ready t/2 2 inc=1
        activate t 2
        activate t 2 without=2
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > push a@1
              pushed
            > stage t chain=a@1
              staged as revision 2
            > ready t/2 1
              noted
            > ready t/2 2
              noted
            > register 2
              registered as incarnation 2
            > ready t/2 2 inc=1
              refused: node 2 runs as incarnation 2: incarnation 1 is over and must register again
            > activate t 2
              refused: revision 2 of topic 't' is not ready everywhere: node 2 has not reported yet; wait, or leave nodes out with --without NODE
            > activate t 2 without=2
              revision 2 in force
        "#]],
    );
}

#[test]
fn what_is_staged_was_made_for_the_revision_in_force() {
    check(
        "
        register 1
        create t p=1
        push a@1
        push b@1
        stage t chain=a@1
        stage t chain=b@1
        ready t/2 1
        ready t/3 1
        stage t chain=a@1 expected=2
        activate t 3 expected=2
        grow t 2
        activate t 3
        stage t chain=a@1
        ready t/5 1
        activate t 5
        pipelines t
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > push a@1
              pushed
            > push b@1
              pushed
            > stage t chain=a@1
              staged as revision 2
            > stage t chain=b@1
              staged as revision 3
            > ready t/2 1
              refused: revision 2 of topic 't' is not staged (revision 3 is); stage it with 'weir plugins stage'
            > ready t/3 1
              noted
            > stage t chain=a@1 expected=2
              refused: topic 't' is at revision 1, not 2: its pipeline changed meanwhile; look at 'weir plugins status t' and ask again
            > activate t 3 expected=2
              refused: topic 't' is at revision 1, not 2: its pipeline changed meanwhile; look at 'weir plugins status t' and ask again
            > grow t 2
              grown to 2 partitions
              t/1 1 leads, epochs 0/0, isr 1 of 1
            > activate t 3
              refused: revision 3 of topic 't' is not staged (nothing is); stage it with 'weir plugins stage'
            > stage t chain=a@1
              staged as revision 5
            > ready t/5 1
              noted
            > activate t 5
              revision 5 in force
            > pipelines t
              1 created: plain into 1
              4 grown, back to nothing: plain into 2
              5 activated over 4: a@1 into 2, in force
        "#]],
    );
}

#[test]
fn bindings_are_checked() {
    check(
        "
        register 1
        create t p=1
        push a@1
        push p@1 kind=partitioner
        push r@1 kind=consumer
        push g@1 kind=assignor
        stage t chain=none@1
        stage t chain=a@1 bytes=9
        stage t chain=p@1
        stage t chain=g@1
        stage t placer=a@1
        stage t readers=r@1 policy=dead-letter
        stage t chain=a@1 placer=p@1 readers=r@1
        stage t chain=a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1
        stage none chain=a@1
        ready t/9 1
        pipelines t
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > push a@1
              pushed
            > push p@1 kind=partitioner
              pushed
            > push r@1 kind=consumer
              pushed
            > push g@1 kind=assignor
              pushed
            > stage t chain=none@1
              refused: there is no plugin none@1; 'weir plugins list' shows which there are
            > stage t chain=a@1 bytes=9
              refused: there is no plugin a@1; 'weir plugins list' shows which there are
            > stage t chain=p@1
              refused: p@1 is a partitioner, not a producer interceptor: bind it with --partitioner
            > stage t chain=g@1
              refused: g@1 is an assignor, not a producer interceptor: bind it with 'weir groups set-assignor'
            > stage t placer=a@1
              refused: a@1 is a producer interceptor, not a partitioner: bind it with --interceptor
            > stage t readers=r@1 policy=dead-letter
              refused: on failure of 'on-consume' a binding can say reject or pass, not dead-letter
            > stage t chain=a@1 placer=p@1 readers=r@1
              staged as revision 2
            > stage t chain=a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1
              refused: a chain has at most 16 interceptors, not 17
            > stage none chain=a@1
              refused: there is no topic with id 00000000000000000000000000000000; it may have been deleted
            > ready t/9 1
              refused: revision 9 of topic 't' is not staged (revision 2 is); stage it with 'weir plugins stage'
            > pipelines t
              1 created: plain into 1, in force
              2 staged: a@1 p@1 r@1 into 1, waits for [NodeId(1)] []
        "#]],
    );
}

#[test]
fn a_rollback_is_one_more_revision_and_goes_one_step_further_each_time() {
    check(
        "
        register 1
        create t p=1
        push a@1
        push a@2
        rollback t
        stage t chain=a@1
        ready t/2 1
        activate t 2
        stage t chain=a@2
        ready t/3 1
        activate t 3
        rollback t expected=2
        rollback t traps
        rollback t traps expected=3
        rollback t traps
        rollback t
        rollback t
        pipelines t
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=1
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > push a@1
              pushed
            > push a@2
              pushed
            > rollback t
              refused: revision 1 of topic 't' cannot be rolled back: nothing was in force before it; stage and activate what you want instead
            > stage t chain=a@1
              staged as revision 2
            > ready t/2 1
              noted
            > activate t 2
              revision 2 in force
            > stage t chain=a@2
              staged as revision 3
            > ready t/3 1
              noted
            > activate t 3
              revision 3 in force
            > rollback t expected=2
              refused: topic 't' is at revision 3, not 2: its pipeline changed meanwhile; look at 'weir plugins status t' and ask again
            > rollback t traps
              revision 4 in force, as 2
            > rollback t traps expected=3
              refused: topic 't' is at revision 4, not 3: its pipeline changed meanwhile; look at 'weir plugins status t' and ask again
            > rollback t traps
              refused: revision 4 of topic 't' cannot be rolled back: it was not activated by anybody, and a rollback by itself undoes only that
            > rollback t
              revision 5 in force, as 1
            > rollback t
              refused: revision 5 of topic 't' cannot be rolled back: nothing was in force before it; stage and activate what you want instead
            > pipelines t
              1 created: plain into 1
              2 activated over 1: a@1 into 1
              3 activated over 2: a@2 into 1
              4 rolled back from 3 by Traps, back to 1: a@1 into 1
              5 rolled back from 4 by Operator, back to nothing: plain into 1, in force
        "#]],
    );
}

/// The grace in force counts, also for what was superseded before it was altered.
#[test]
fn the_grace_of_superseded_revisions_is_altered_at_run_time() {
    check(
        "
        register 1
        create t p=1 pipeline.revision.grace.ms=1000
        push a@1
        push a@2
        stage t chain=a@1
        ready t/2 1
        activate t 2
        stage t chain=a@2
        ready t/3 1
        activate t 3
        retire 5000
        config t pipeline.revision.grace.ms=2000
        retire 6000
        config t pipeline.revision.grace.ms=1500
        retire 6499
        retire 6500
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=1 pipeline.revision.grace.ms=1000
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > push a@1
              pushed
            > push a@2
              pushed
            > stage t chain=a@1
              staged as revision 2
            > ready t/2 1
              noted
            > activate t 2
              revision 2 in force
            > stage t chain=a@2
              staged as revision 3
            > ready t/3 1
              noted
            > activate t 3
              revision 3 in force
            > retire 5000
              due
              closed 0
            > config t pipeline.revision.grace.ms=2000
              configured
            > retire 6000
              not due
              closed 0
            > config t pipeline.revision.grace.ms=1500
              configured
            > retire 6499
              not due
              closed 0
            > retire 6500
              due
              closed 1
        "#]],
    );
}

#[test]
fn superseded_revisions_are_closed_when_their_grace_is_over() {
    check(
        "
        register 1
        create t p=1 pipeline.revision.grace.ms=1000
        push a@1
        push a@2
        stage t chain=a@1
        ready t/2 1
        activate t 2
        stage t chain=a@2
        ready t/3 1
        activate t 3
        retire 5000
        retire 5999
        retire 6000
        pipelines t
        forget a@1
        rollback t
        retire 7000
        retire 9000
        pipelines t
        forget a@2
        rollback t
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > create t p=1 pipeline.revision.grace.ms=1000
              created: 1 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
            > push a@1
              pushed
            > push a@2
              pushed
            > stage t chain=a@1
              staged as revision 2
            > ready t/2 1
              noted
            > activate t 2
              revision 2 in force
            > stage t chain=a@2
              staged as revision 3
            > ready t/3 1
              noted
            > activate t 3
              revision 3 in force
            > retire 5000
              due
              closed 0
            > retire 5999
              not due
              closed 0
            > retire 6000
              due
              closed 1
            > pipelines t
              2 activated over 1: a@1 into 1, superseded by 5000
              3 activated over 2: a@2 into 1, in force
            > forget a@1
              refused: plugin a@1 is used by revision 2 of topic 't'; it can be deleted once that is closed
            > rollback t
              revision 4 in force, as 2
            > retire 7000
              due
              closed 1
            > retire 9000
              due
              closed 1
            > pipelines t
              4 rolled back from 3 by Operator, back to 1: a@1 into 1, in force
            > forget a@2
              deleted
            > rollback t
              refused: revision 4 of topic 't' cannot be rolled back: revision 1 before it is closed; stage and activate what you want instead
        "#]],
    );
}

#[test]
fn new_topics_get_the_pipeline_of_new_topics() {
    check(
        "
        register 1
        push a@1
        new-topics placer=a@1
        new-topics chain=a@1
        create t p=2
        pipelines t
        forget a@1
        new-topics
        create u p=1
        pipelines u
        ",
        expect![[r#"
            > register 1
              registered as incarnation 1
            > push a@1
              pushed
            > new-topics placer=a@1
              refused: a@1 is a producer interceptor, not a partitioner: bind it with --interceptor
            > new-topics chain=a@1
              set
            > create t p=2
              created: 2 partitions, 1 replicas
              t/0 1 leads, epochs 0/0, isr 1 of 1
              t/1 1 leads, epochs 0/0, isr 1 of 1
            > pipelines t
              1 created: a@1 into 2, in force
            > forget a@1
              refused: plugin a@1 is used by the pipeline of new topics; it can be deleted once that is closed
            > new-topics
              set
            > create u p=1
              created: 1 partitions, 1 replicas
              u/0 1 leads, epochs 0/0, isr 1 of 1
            > pipelines u
              1 created: plain into 1, in force
        "#]],
    );
}
