//! What the three programs share: a ledger that payments are booked in, a crash on purpose, and a look at what is left
//! to be read.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use rusqlite::Connection;
use weir_client::{ConsumedBatch, ConsumedRecord, ConsumerEvent, GroupEvent, PartitionIndex};

/// Its records are numbers; each is a payment.
pub(crate) const TOPIC: &str = "payments";

/// How long a member waits for the transactions of others that share its file, one that was stopped in the middle of one
/// among them.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// An SQLite file with a line for each booking. A payment that was booked twice has two.
pub(crate) struct Ledger {
    pub(crate) connection: Connection,
    crash: Crash,
}

/// When to crash, as the variable `CRASH_IN_BATCH` says: in the middle of the first batch, or the second...
struct Crash {
    /// How many batches are still read; `None`: no crash.
    batches_left: Option<u64>,
    /// How many payments of the batch in hand are still booked, if that is the one.
    bookings_left: Option<u64>,
}

impl Ledger {
    pub(crate) fn open(file: &str) -> Result<Ledger, Box<dyn Error>> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.execute("CREATE TABLE IF NOT EXISTS bookings (payment INTEGER NOT NULL)", ())?;
        let batches_left = std::env::var("CRASH_IN_BATCH").ok().map(|text| text.parse()).transpose()?;
        Ok(Ledger { connection, crash: Crash { batches_left, bookings_left: None } })
    }

    /// Books every payment of a batch, or crashes half-way.
    pub(crate) fn book_all(&mut self, batch: &ConsumedBatch) -> Result<(), Box<dyn Error>> {
        self.crash.next_batch(batch.record_count());
        for record in batch {
            self.crash.next_booking();
            self.connection.execute("INSERT INTO bookings (payment) VALUES (?)", [payment(&record)?])?;
        }
        Ok(())
    }

    /// Says what was booked.
    pub(crate) fn tell(&self) -> Result<(), Box<dyn Error>> {
        let count = "SELECT count(*), count(DISTINCT payment) FROM bookings";
        let (bookings, payments): (u64, u64) =
            self.connection.query_row(count, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        println!("{bookings} bookings of {payments} payments, {} repeated", bookings - payments);
        Ok(())
    }
}

impl Crash {
    fn next_batch(&mut self, records: u64) {
        self.batches_left = self.batches_left.map(|left| left.saturating_sub(1));
        self.bookings_left = (self.batches_left == Some(0)).then_some(records / 2);
    }

    fn next_booking(&mut self) {
        if self.bookings_left == Some(0) {
            eprintln!("crashing on purpose");
            std::process::abort();
        }
        self.bookings_left = self.bookings_left.map(|left| left - 1);
    }
}

fn payment(record: &ConsumedRecord<'_>) -> Result<u64, Box<dyn Error>> {
    Ok(std::str::from_utf8(record.value.unwrap_or_default())?.parse()?)
}

/// The partitions that this program reads and has not read to their ends.
pub(crate) struct Unread {
    left: BTreeSet<PartitionIndex>,
    goes_on: bool,
}

impl Unread {
    /// With the variable `KEEP_READING` there is always something left, as for a program that is not an example.
    pub(crate) fn new() -> Unread {
        Unread { left: BTreeSet::new(), goes_on: std::env::var_os("KEEP_READING").is_some() }
    }

    /// Whether everything that there is was read.
    pub(crate) fn is_nothing_after(&mut self, event: &ConsumerEvent) -> bool {
        match event {
            ConsumerEvent::Group(GroupEvent::Assigned { partitions }) => {
                self.left.extend(partitions.iter().map(|(_, partition)| *partition));
                return false;
            }
            ConsumerEvent::Group(GroupEvent::Revoked { partitions } | GroupEvent::Lost { partitions }) => {
                self.left.retain(|kept| !partitions.iter().any(|(_, partition)| partition == kept));
                return false;
            }
            ConsumerEvent::CaughtUp { partition, .. } => self.left.retain(|kept| kept != partition),
            ConsumerEvent::Records(_) | ConsumerEvent::Reset { .. } => return false,
        }
        self.left.is_empty() && !self.goes_on
    }
}
