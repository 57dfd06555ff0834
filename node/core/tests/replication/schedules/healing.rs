//! The end of a schedule: no more faults, and everything must settle.

use weir_core::partition::Input;
use weir_wire::ids::Offset;

use super::clients::Client;
use super::tally::Tally;
use super::world::World;
use crate::invariants::Verdict;
use crate::node::Node;

const HEALING_ROUNDS_MAX: usize = 120;

impl World {
    /// No more faults.
    pub(super) fn heal(&mut self, tally: &mut Tally) -> Verdict {
        self.is_healing = true;
        self.note(|| "healing".into());
        for place in 0..self.nodes.len() {
            // A stream that lost a frame breaks; here, each of them does.
            if let Some(number) = self.nodes[place].partition.subscription() {
                self.on(
                    place,
                    |node, now, out| node.handle(now, Input::SubscriptionEnded(number), out),
                    tally,
                );
            }
        }
        for _ in 0..HEALING_ROUNDS_MAX {
            self.pass_time(50);
            for place in 0..self.nodes.len() {
                self.start(place, tally);
                let node = self.nodes[place].me.node;
                if !self.controller.current().nodes[&node].1 {
                    // A fenced node that lives takes its place again with its next heartbeat; here, by a restart.
                    self.crash_cleanly(place);
                    self.start(place, tally);
                }
                self.learn_newest(place);
                self.tick(place, tally);
                self.on(place, |node, now, out| node.finish_cut(now, out), tally);
                self.on(place, |node, now, out| node.finish_flush(now, out), tally);
            }
            for from in 0..self.nodes.len() {
                (0..self.nodes.len()).for_each(|to| self.stream(from, to));
            }
            while !self.flight.is_empty() {
                let message = self.flight.remove(0);
                self.deliver(message, tally);
            }
            while !self.proposals.is_empty() {
                self.decide(tally);
                self.step += 1;
            }
            for client in &mut self.clients {
                if client.has_failed || client.send_again() {
                    client.reopen();
                }
                while let Some(produce) = client.send() {
                    self.produces.push(produce);
                }
            }
            while !self.produces.is_empty() && self.leader().is_some() {
                self.deliver_produce(self.leader().unwrap_or_default(), tally);
            }
            self.check()?;
            if self.is_healed() {
                return Ok(());
            }
        }
        let ends: Vec<Offset> = self.nodes.iter().map(|node| node.disk.end()).collect();
        Err(format!("does not heal: logs end at {ends:?}, {:?}", self.controller.current()))
    }

    fn crash_cleanly(&mut self, place: usize) {
        let end = self.nodes[place].disk.end();
        self.nodes[place].crash(end);
    }

    fn learn_newest(&mut self, place: usize) {
        let newest = self.controller.versions.len() - 1;
        if self.learned[place] < newest {
            self.learn(place, newest);
        }
    }

    fn is_healed(&self) -> bool {
        let first = &self.nodes[0].disk.batches;
        let all_in = self.controller.current().isr.len() == self.nodes.len();
        let all_committed =
            |node: &Node| node.disk.batches == *first && node.partition.high_watermark() == node.disk.end();
        all_in && self.nodes.iter().all(all_committed) && self.clients.iter().all(Client::is_done)
    }
}
