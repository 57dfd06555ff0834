//! `write.caching` switched: what was acknowledged in memory only is treated so until the leader says that it is flushed.

use expect_test::expect;

use super::check;

/// The switch from on to off: an unclean stop costs a place as if it were on, until the replica has flushed.
#[test]
fn switched_off_an_unclean_stop_costs_a_place_until_the_replica_has_flushed() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3 write.caching=true
        config t write.caching=false
        alter t/0 by=1 isr=1,2,3 flushed=2
        register 2 unclean
        register 3 unclean cut=t/0:0@7
        register 1 unclean cut=t/0:0@9
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3 write.caching=true
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > config t write.caching=false
              configured
              t/0 1 leads, epochs 0/1, isr 1 2 3 of 1 2 3, not flushed 1 2 3
            > alter t/0 by=1 isr=1,2,3 flushed=2
              altered, partition epoch 2
              t/0 1 leads, epochs 0/2, isr 1 2 3 of 1 2 3, not flushed 1 3
            > register 2 unclean
              registered as incarnation 2
            > register 3 unclean cut=t/0:0@7
              registered as incarnation 2
              t/0 1 leads, epochs 0/3, isr 1 2 of 1 2 3, 3 cut to 0@7, not flushed 1 3
            > register 1 unclean cut=t/0:0@9
              registered as incarnation 2
              t/0 2 leads, epochs 1/4, isr 2 of 1 2 3, 1 cut to 0@9, 3 cut to 0@7, not flushed 1 3
        "#]],
    );
}

/// From off to on: what a registration finds in force counts.
#[test]
fn switched_on_an_unclean_stop_costs_a_place_at_once() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3
        register 2 unclean
        config t write.caching=true
        register 3 unclean
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > register 2 unclean
              registered as incarnation 2
            > config t write.caching=true
              configured
              t/0 1 leads, epochs 0/1, isr 1 2 3 of 1 2 3
            > register 3 unclean
              registered as incarnation 2
              t/0 1 leads, epochs 0/2, isr 1 2 of 1 2 3, 3 cut to -@0
        "#]],
    );
}

/// On, off, on and off again: what was said of the first time says nothing about the second.
#[test]
fn what_was_said_before_the_switch_is_over() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3 write.caching=true
        config t write.caching=false
        config t write.caching=true
        config t write.caching=false
        alter t/0 by=1 pepoch=1 isr=1,2,3 flushed=1,2,3
        alter t/0 by=1 isr=1,2,3 flushed=1,3
        config t write.caching=false retention.ms=5
        alter t/0 by=1 isr=1,2,3 flushed=2
        register 2 unclean
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3 write.caching=true
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > config t write.caching=false
              configured
              t/0 1 leads, epochs 0/1, isr 1 2 3 of 1 2 3, not flushed 1 2 3
            > config t write.caching=true
              configured
              t/0 1 leads, epochs 0/2, isr 1 2 3 of 1 2 3, not flushed 1 2 3
            > config t write.caching=false
              configured
              t/0 1 leads, epochs 0/3, isr 1 2 3 of 1 2 3, not flushed 1 2 3
            > alter t/0 by=1 pepoch=1 isr=1,2,3 flushed=1,2,3
              refused: the partition is at partition epoch 3, not 1: it changed meanwhile
            > alter t/0 by=1 isr=1,2,3 flushed=1,3
              altered, partition epoch 4
              t/0 1 leads, epochs 0/4, isr 1 2 3 of 1 2 3, not flushed 2
            > config t write.caching=false retention.ms=5
              configured
            > alter t/0 by=1 isr=1,2,3 flushed=2
              altered, partition epoch 5
              t/0 1 leads, epochs 0/5, isr 1 2 3 of 1 2 3
            > register 2 unclean
              registered as incarnation 2
        "#]],
    );
}

/// A clean stop flushed everything, and another folder lost all of it; neither says anything about the others.
#[test]
fn a_clean_stop_keeps_its_place_and_a_lost_folder_does_not() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3 write.caching=true
        config t -write.caching
        register 2
        fence 3
        register 3 wiped
        fence 1
        register 1 unclean
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3 write.caching=true
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > config t -write.caching
              configured
              t/0 1 leads, epochs 0/1, isr 1 2 3 of 1 2 3, not flushed 1 2 3
            > register 2
              registered as incarnation 2
            > fence 3
              fenced
              t/0 1 leads, epochs 0/2, isr 1 2 of 1 2 3, not flushed 1 2 3
            > register 3 wiped
              registered as incarnation 2
            > fence 1
              fenced
              t/0 2 leads, epochs 1/3, isr 2 of 1 2 3, elr 1, not flushed 1 2 3
            > register 1 unclean
              registered as incarnation 2
              t/0 2 leads, epochs 1/4, isr 2 of 1 2 3, 1 cut to -@0, not flushed 1 2 3
        "#]],
    );
}

/// All of them stopped uncleanly before anybody had flushed: the one that holds most leads, and where it is the only
/// replica it leads too.
#[test]
fn if_all_may_have_lost_something_the_highest_end_leads() {
    check(
        "
        register 1 2 3
        create t p=1 rf=3 write.caching=true
        create one p=1 rf=1 write.caching=true
        config t write.caching=false
        config one write.caching=false
        register 2 unclean cut=t/0:0@7
        register 3 unclean cut=t/0:0@9
        register 1 unclean cut=t/0:0@8,one/0:0@3
        ",
        expect![[r#"
            > register 1 2 3
              registered as incarnation 1
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=3 write.caching=true
              created: 1 partitions, 3 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 3 of 1 2 3
            > create one p=1 rf=1 write.caching=true
              created: 1 partitions, 1 replicas
              one/0 2 leads, epochs 0/0, isr 2 of 2
            > config t write.caching=false
              configured
              t/0 1 leads, epochs 0/1, isr 1 2 3 of 1 2 3, not flushed 1 2 3
            > config one write.caching=false
              configured
              one/0 2 leads, epochs 0/1, isr 2 of 2, not flushed 2
            > register 2 unclean cut=t/0:0@7
              registered as incarnation 2
              one/0 2 leads, epochs 1/2, isr 2 of 2, not flushed 2
              t/0 1 leads, epochs 0/2, isr 1 3 of 1 2 3, 2 cut to 0@7, not flushed 1 2 3
            > register 3 unclean cut=t/0:0@9
              registered as incarnation 2
              t/0 1 leads, epochs 0/3, isr 1 of 1 2 3, 2 cut to 0@7, 3 cut to 0@9, not flushed 1 2 3
            > register 1 unclean cut=t/0:0@8,one/0:0@3
              registered as incarnation 2
              t/0 3 leads, epochs 1/4, isr 3 of 1 2 3, not flushed 1 2 3, unclean
        "#]],
    );
}

/// Who asks for the ISR in force learns that it was decided.
#[test]
fn the_isr_in_force_is_a_decision_too() {
    check(
        "
        register 1 2
        create t p=1 rf=2
        alter t/0 by=1 isr=1,2
        alter t/0 by=1 pepoch=0 isr=1
        ",
        expect![[r#"
            > register 1 2
              registered as incarnation 1
              registered as incarnation 1
            > create t p=1 rf=2
              created: 1 partitions, 2 replicas
              t/0 1 leads, epochs 0/0, isr 1 2 of 1 2
            > alter t/0 by=1 isr=1,2
              altered, partition epoch 1
              t/0 1 leads, epochs 0/1, isr 1 2 of 1 2
            > alter t/0 by=1 pepoch=0 isr=1
              refused: the partition is at partition epoch 1, not 0: it changed meanwhile
        "#]],
    );
}
