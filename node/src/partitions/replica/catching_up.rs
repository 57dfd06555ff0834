//! Writing what was missed while this replica was away: gigabytes of long ago, which would only take the place of what
//! consumers do read. They go past the page cache, on a worker, since that waits for the disk.

use super::Replica;

/// Less than this goes through the page cache like anything else.
const PAST_CACHE_BYTES_MIN: usize = 256 << 10;

impl Replica {
    /// Writes the frames that are lined up. When they are many that this replica missed, the task does nothing else
    /// until the disk has them; meanwhile the next ones come in, as far as the mailbox and the leader's credit go.
    pub(super) async fn write_mail(&mut self) {
        let bytes: usize = self.state.to_write.iter().map(|batch| batch.bytes.len()).sum();
        if !self.state.catches_up || bytes < PAST_CACHE_BYTES_MIN {
            return self.write();
        }
        let batches = std::mem::take(&mut self.state.to_write);
        let mut log = self.log.take().expect("the log is here between two of a worker's turns");
        let job = move || {
            let written = log.append_past_cache(&batches);
            (log, written)
        };
        let (log, written) = self.outside.on_worker(job).await;
        self.log = Some(log);
        self.written(written);
    }
}
