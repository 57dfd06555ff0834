//! Several members of one group that book payments in one SQLite file, each payment once, whatever happens to them.
//!
//! `WEIR_CHURN_EVENTS=300 cargo test --release -p weir-tests --test cluster exactly_once` is the long form.

use std::collections::BTreeMap;
use std::io::{PipeWriter, Write};
use std::process::Stdio;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use weir_tests::book::{Book, place_of};
use weir_tests::process::{DEADLINE, Node, Running, Signal, Weir, free_address};

use super::group_support::{describe, lines, wait_for_group};
use super::{setting, text, weir};

const GROUP: &str = "exactly-once";
const CONSUMERS: usize = 5;
const PARTITIONS: u32 = 6;
/// How many payments come with each event.
const PAYMENTS_PER_EVENT: u32 = 60;

/// A node, a producer of payments, and the file that they are booked in.
struct Bank {
    // Before the folder, so that the process is gone when its files go.
    node: Node,
    weir: Weir,
    producer: Running,
    input: PipeWriter,
    /// How many payments were given to the producer.
    sent: u32,
    ledger: Connection,
    folder: TempDir,
}

impl Bank {
    fn new(partitions: u32) -> Bank {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("weir.toml");
        // The shortest session, which those that are frozen are to outlast.
        let settings =
            "group.consumer.session.timeout.ms = 6000\ngroup.consumer.heartbeat.interval.ms = 1000\n";
        std::fs::write(&config, settings).unwrap();
        let node =
            weir().node_with(&folder.path().join("data"), free_address(), &["--config", &text(&config)]);
        let weir = node.client();
        weir.run(&["topics", "create", "payments", "--partitions", &partitions.to_string()]).ok();
        let (output, input) = std::io::pipe().unwrap();
        let produce =
            ["produce", "payments", "--key-separator", ":", "--batch-size", "600", "--output", "json"];
        let producer = weir.spawn_with(&produce, Stdio::from(output));
        let ledger = Connection::open(folder.path().join("exactly-once.db")).unwrap();
        ledger.busy_timeout(DEADLINE).unwrap();
        Bank { node, weir, producer, input, sent: 0, ledger, folder }
    }

    /// A member of the group that reads on until it is ended.
    fn reader(&self) -> Running {
        self.program().with("KEEP_READING", "1").spawn::<&str>(&[])
    }

    /// A member of the group that leaves it when it has read everything.
    fn visitor(&self) -> Running {
        self.program().spawn::<&str>(&[])
    }

    fn program(&self) -> Weir {
        Weir::other_program(env!("CARGO_BIN_EXE_example-exactly-once"))
            .client_of(self.node.address(), &self.node.certs())
            .in_folder(self.folder.path())
    }

    fn pay(&mut self, payments: u32) {
        self.input.write_all(lines(self.sent..self.sent + payments).as_bytes()).unwrap();
        self.sent += payments;
    }

    /// How many bookings there are, and of how many payments.
    fn booked(&self) -> (u32, u32) {
        let count = "SELECT count(*), count(DISTINCT payment) FROM bookings";
        match self.ledger.query_row(count, (), |row| Ok((row.get(0)?, row.get(1)?))) {
            // Nobody has opened it yet.
            Err(error) if error.to_string().contains("no such table") => (0, 0),
            counted => counted.unwrap(),
        }
    }

    /// Waits until every payment was booked.
    fn wait_until_booked(&self) {
        let deadline = Instant::now() + DEADLINE;
        while self.booked().1 < self.sent {
            assert!(Instant::now() < deadline, "{:?} of {} payments are booked", self.booked(), self.sent);
            // Takes a moment, in which others have the machine.
            self.weir.run(&["groups", "list"]);
        }
    }

    /// Waits until every payment can be read.
    fn wait_until_stored(&self) {
        let stored = || {
            let topic = self.weir.run(&["topics", "describe", "payments", "--output", "json"]).ok().json();
            let partitions = topic["partitions"].as_array().unwrap().iter();
            partitions.map(|partition| partition["high_watermark"].as_u64().unwrap()).sum::<u64>()
        };
        let deadline = Instant::now() + DEADLINE;
        while stored() < u64::from(self.sent) {
            assert!(Instant::now() < deadline, "{} of {} payments are stored", stored(), self.sent);
        }
    }

    /// Does something while nobody books: whoever has payments in hand keeps them there.
    fn while_nobody_books(&mut self, act: impl FnOnce(&mut Bank)) {
        self.ledger.execute_batch("BEGIN IMMEDIATE").unwrap();
        act(self);
        self.ledger.execute_batch("ROLLBACK").unwrap();
    }

    /// Ends the producer, and requires each acknowledged payment once: the ledger has read each place of the log, in order.
    fn balance(self) {
        drop(self.input);
        let mut book = Book::default();
        for payment in 0..self.sent {
            book.sent(0, payment.into(), Some(&format!("key-{payment}")));
        }
        book.all_acknowledged(0, &self.producer.finish().ok().json());
        let consume = ["consume", "payments", "--from-beginning", "--until-end", "--format", "json"];
        let mut places = BTreeMap::new();
        for line in self.weir.run(&consume).ok().lines() {
            let record: Value = serde_json::from_slice(line).unwrap();
            let payment: u64 = record["value"].as_str().unwrap().parse().unwrap();
            assert_eq!(places.insert(payment, place_of(&record)), None, "payment {payment} is stored twice");
        }
        let ledger = book.reader();
        let mut bookings = self.ledger.prepare("SELECT payment FROM bookings ORDER BY rowid").unwrap();
        for payment in bookings.query_map((), |row| row.get::<_, u32>(0)).unwrap() {
            let payment = u64::from(payment.unwrap());
            let place = places.get(&payment).expect("what is booked is stored");
            book.read(ledger, place.partition, place.offset, Some(payment));
        }
        book.assert_kept();
    }
}

#[test]
fn a_member_that_wakes_up_with_payments_in_hand_books_none_of_them() {
    let mut bank = Bank::new(1);
    let sleeper = bank.reader();
    bank.pay(10);
    bank.wait_until_booked();
    bank.while_nobody_books(|bank| {
        bank.pay(10);
        sleeper.wait_for_stderr("of partition 0 from offset 10");
        sleeper.signal(Signal::Stop);
    });
    assert_eq!(bank.booked(), (10, 10), "it has them in hand, and has not booked them");
    let successor = bank.reader();
    // Not before the session of the one that sleeps is over.
    successor.wait_for_stderr("of partition 0 from offset 10");
    bank.wait_until_booked();
    sleeper.signal(Signal::Continue);
    sleeper.wait_for_stderr("another member has booked more of partition 0 already");
    bank.pay(10);
    bank.wait_until_booked();
    [sleeper, successor].into_iter().for_each(|member| {
        member.signal(Signal::Kill);
        assert!(!member.finish().status.success());
    });
    bank.balance();
}

/// Where the group begins is the ledger's business: whatever the group remembers.
#[test]
fn what_the_group_remembers_does_not_count() {
    let mut bank = Bank::new(2);
    for to in ["--to-latest", "--to-earliest"] {
        bank.pay(40);
        bank.wait_until_stored();
        bank.visitor().finish().ok();
        assert_eq!(bank.booked(), (bank.sent, bank.sent));
        bank.pay(40);
        bank.wait_until_stored();
        bank.weir.run(&["groups", "reset-offsets", GROUP, to, "--topic", "payments"]).ok();
        let said = bank.visitor().finish().ok();
        assert_eq!(
            bank.booked(),
            (bank.sent, bank.sent),
            "none is skipped, and none is booked again: {said}"
        );
        assert!(!said.stderr.contains("another member has booked"), "nothing was read in vain: {said}");
    }
    bank.balance();
}

/// A place where a member runs, or not.
#[derive(Default)]
struct Seat {
    running: Option<Running>,
    is_frozen: bool,
    /// It leaves when it has read everything.
    is_visitor: bool,
}

impl Seat {
    fn stays(&self) -> bool {
        self.running.is_some() && !self.is_frozen && !self.is_visitor
    }
}

/// One thing happens to one member.
fn happen(bank: &mut Bank, seat: &mut Seat, random: &mut fastrand::Rng) -> &'static str {
    if seat.running.as_ref().is_some_and(|running| !running.is_running()) {
        // A visitor that has read everything.
        seat.running.take().unwrap().finish().ok();
    }
    let Some(running) = seat.running.take() else {
        seat.is_visitor = random.u8(..4) == 0;
        seat.running = Some(if seat.is_visitor { bank.visitor() } else { bank.reader() });
        return if seat.is_visitor { "started, to leave when all is read" } else { "started" };
    };
    if seat.is_frozen {
        running.signal(Signal::Continue);
        (seat.running, seat.is_frozen) = (Some(running), false);
        return "thawed";
    }
    if random.bool() {
        running.signal(Signal::Kill);
        // A visitor may have been faster.
        let _ = running.finish();
        return "killed";
    }
    // Not in the middle of a booking: it would hold up everybody, for as long as it stands still.
    bank.while_nobody_books(|bank| {
        bank.pay(PAYMENTS_PER_EVENT);
        running.signal(Signal::Stop);
    });
    (seat.running, seat.is_frozen) = (Some(running), true);
    "frozen"
}

#[test]
fn members_come_and_go_and_every_payment_is_booked_once() {
    let seed = setting("WEIR_SEED").unwrap_or_else(|| fastrand::u64(..));
    let events = setting("WEIR_CHURN_EVENTS").unwrap_or(16);
    println!("WEIR_SEED={seed} WEIR_CHURN_EVENTS={events}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bank = Bank::new(PARTITIONS);
    let mut seats: Vec<Seat> = (0..CONSUMERS).map(|_| Seat::default()).collect();
    for seat in &mut seats {
        seat.running = Some(bank.reader());
    }
    wait_for_group(&bank.weir, GROUP, "all of them share", |group| {
        group["members"].as_array().unwrap().len() == CONSUMERS
    });
    for event in 0..events {
        let index = random.usize(..CONSUMERS);
        let what = happen(&mut bank, &mut seats[index], &mut random);
        println!("event {event}: member {index} {what}");
        if event == events / 2 {
            println!("the node killed, and started");
            bank.node.kill();
            bank.node.start();
        }
        bank.pay(PAYMENTS_PER_EVENT);
        // Now and then until the sessions of those that are gone or frozen are over, and others have what they had.
        if random.u8(..3) == 0 && seats.iter().any(Seat::stays) {
            bank.wait_until_booked();
            println!("all is booked");
        }
    }

    for seat in &mut seats {
        if seat.is_frozen {
            happen(&mut bank, seat, &mut random);
        }
        // Visitors leave, readers stay, and others take the place of who is gone.
        if !seat.running.as_ref().is_some_and(Running::is_running) {
            (seat.running, seat.is_visitor) = (Some(bank.reader()), false);
        }
    }
    bank.wait_until_booked();
    // Those that were thawed have noticed it by now, and are members again.
    wait_for_group(&bank.weir, GROUP, "nobody waits", |group| group["state"] == "stable");
    bank.pay(PAYMENTS_PER_EVENT);
    bank.wait_until_booked();
    for running in seats.into_iter().filter_map(|seat| seat.running) {
        running.signal(Signal::Kill);
        let finished = running.finish();
        // A visitor has left with a word, the others were killed; nobody gave up.
        assert!(finished.status.success() || finished.status.code().is_none(), "{finished}");
    }
    println!("{} payments; the group in the end: {}", bank.sent, describe(&bank.weir, GROUP));
    bank.balance();
}
