//! Sending no faster than asked.

use std::time::Duration;

use tokio::time::Instant;

/// Shorter waits are not worth a timer: what was sent too early is made up for by the next wait.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Says when the next record is due.
#[derive(Debug)]
pub(super) struct Pace {
    started: Instant,
    per_second: u32,
    taken: u64,
}

impl Pace {
    pub(super) fn start(per_second: u32) -> Pace {
        assert!(per_second > 0, "a pace of nothing never ends");
        Pace { started: Instant::now(), per_second, taken: 0 }
    }

    /// Waits until one more record is due.
    pub(super) async fn wait(&mut self) {
        let due = self.started + self.due_after();
        self.taken += 1;
        if due.saturating_duration_since(Instant::now()) >= WAIT_MIN {
            tokio::time::sleep_until(due).await;
        }
    }

    fn due_after(&self) -> Duration {
        let per_second = u64::from(self.per_second);
        let whole = Duration::from_secs(self.taken / per_second);
        let rest = (self.taken % per_second) * 1_000_000_000 / per_second;
        whole + Duration::from_nanos(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_are_due_evenly() {
        let mut pace = Pace::start(4);
        let mut due = Vec::new();
        for _ in 0..6 {
            due.push(pace.due_after().as_millis());
            pace.taken += 1;
        }
        assert_eq!(due, [0, 250, 500, 750, 1000, 1250]);
        pace.taken = u64::from(u32::MAX) * 1000;
        pace.per_second = u32::MAX;
        assert_eq!(pace.due_after(), Duration::from_secs(1000), "nothing overflows");
    }
}
