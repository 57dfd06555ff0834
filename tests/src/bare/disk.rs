//! What a disk gives: write, sync, and again.
#![expect(clippy::disallowed_methods, reason = "bare files and real time are what is measured")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Outcome, part_ms};

/// Appends `bytes` and syncs, again and again.
///
/// # Errors
/// What the system says.
pub fn append_and_sync(folder: &Path, bytes: usize, seconds: f64) -> Outcome<Value> {
    let place = tempfile::Builder::new().prefix("weir-bare-").tempdir_in(folder)?;
    let mut file = File::create(place.path().join("file"))?;
    let block = vec![0x5a; bytes];
    let span = Duration::from_secs_f64(seconds);
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < span {
        let before = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    let took = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (writes, written) = (times.len() as f64, (times.len() * bytes) as f64);
    Ok(json!({
        "bench": "disk",
        "bytes": bytes,
        "writes_per_second": writes / took,
        "megabytes_per_second": written / took / 1e6,
        "p50_ms": part_ms(&mut times, 500),
        "p99_ms": part_ms(&mut times, 990),
    }))
}
