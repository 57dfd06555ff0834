//! Links between hosts that carry nothing, or not everything, or late. The clients are the last host.

use std::time::Duration;

use super::{a_leader, any_node, index_below, the_controller};
use crate::sim::dice::Dice;
use crate::torture::plan::Kind;
use crate::torture::round::Field;
use crate::torture::switch::Link;

/// Changes some links for a while. Only one fault at a time is on the links.
async fn during(field: &Field, lasts: Duration, change: impl Fn(usize, usize, &mut Link)) {
    field.cluster.change_links(change);
    tokio::time::sleep(lasts).await;
    field.cluster.change_links(|_, _, link| *link = Link::default());
}

/// A leader is cut off from everybody, or the active controller from the other nodes.
pub(super) async fn cut_off(field: &Field, dice: &mut Dice, kind: Kind, lasts: Duration) {
    let clients = field.cluster.count();
    let is_controller = kind == Kind::CutController;
    let node = if is_controller { the_controller(field, dice).await } else { a_leader(field, dice).await };
    // Clients that still reach it are told things by a node that nobody follows any more.
    let spares_clients = is_controller || dice.chance(0.5);
    field.journal.fault(kind, format_args!("node {}, clients reach it: {spares_clients}", node + 1));
    let change = |from: usize, to: usize, link: &mut Link| {
        let is_of_node = (from == node) != (to == node);
        let is_of_clients = from == clients || to == clients;
        link.cut = is_of_node && !(spares_clients && is_of_clients);
    };
    during(field, lasts, change).await;
}

/// What a node sends arrives, and what is sent to it does not; or the other way round; with one other node, or all.
pub(super) async fn cut_one_way(field: &Field, dice: &mut Dice, lasts: Duration) {
    let (node, is_deaf) = (any_node(field, dice), dice.chance(0.5));
    let other = dice
        .chance(0.5)
        .then(|| (node + 1 + index_below(dice, field.cluster.count() - 1)) % field.cluster.count());
    let what = if is_deaf { "hears nothing" } else { "is not heard" };
    let of = other.map_or_else(|| "anybody".to_owned(), |other| format!("node {}", other + 1));
    field.journal.fault(Kind::CutOneWay, format_args!("node {} {what} of {of}", node + 1));
    let change = |from: usize, to: usize, link: &mut Link| {
        let (here, there) = if is_deaf { (to, from) } else { (from, to) };
        link.cut = here == node && there != node && other.is_none_or(|other| there == other);
    };
    during(field, lasts, change).await;
}

/// Two halves, of which one has a majority; clients reach one or both.
pub(super) async fn halves(field: &Field, dice: &mut Dice, lasts: Duration) {
    let (count, first) = (field.cluster.count(), any_node(field, dice));
    let smaller = count / 2;
    let in_smaller = |host: usize| (host + count - first) % count < smaller;
    let with_smaller = *dice.pick(&[None, Some(true), Some(false)]);
    let shown: Vec<usize> = (0..count).filter(|host| in_smaller(*host)).map(|host| host + 1).collect();
    field.journal.fault(Kind::Halves, format_args!("{shown:?} and the others, clients: {with_smaller:?}"));
    let change = |from: usize, to: usize, link: &mut Link| {
        let side = |host: usize| if host == count { with_smaller } else { Some(in_smaller(host)) };
        link.cut = matches!((side(from), side(to)), (Some(from), Some(to)) if from != to);
    };
    during(field, lasts, change).await;
}

/// Some links lose or delay packets.
pub(super) async fn disturb(field: &Field, dice: &mut Dice, kind: Kind, lasts: Duration) {
    let node = dice.chance(0.5).then(|| any_node(field, dice));
    let mut disturbed = Link::default();
    if kind == Kind::Delay {
        disturbed.delay = dice.time(Duration::from_millis(5)..=Duration::from_millis(300));
        disturbed.jitter = dice.time(Duration::ZERO..=Duration::from_millis(100));
    } else {
        disturbed.loss = f64::from(u32::try_from(dice.within(1..=40)).expect("small")) / 100.0;
    }
    let of = node.map_or_else(|| "all".to_owned(), |node| format!("node {}", node + 1));
    field.journal.fault(kind, format_args!("links of {of}: {disturbed:?}"));
    let change = |from: usize, to: usize, link: &mut Link| {
        if from != to && node.is_none_or(|node| from == node || to == node) {
            *link = disturbed;
        }
    };
    during(field, lasts, change).await;
}
