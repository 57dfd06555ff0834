//! What a chain of plugins costs: records to a topic with it and to one without, in turn.
//!
//! ```text
//!   a pair    ── plain ── chain ──    the next one    ── chain ── plain ──    ...
//!   a round   two new topics ── some pairs ── both deleted
//! ```
//!
//! A machine's speed changes within seconds by more than a good plugin costs. So turns are short, the two of a pair are
//! neighbours, every second pair goes the other way round, and what is told is the median of what the pairs say. Both
//! topics are sent to by one client through one connection, so that the same thread of the node serves them.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use weir_client::{Client, Producer, Record};

use super::machine::{CpuTimes, CpuUsed};
use super::payload::Payload;
use super::summary::is_quiet;
use super::target::Target;
use super::{Load, Run, produce};
use crate::cli::global::Global;
use crate::cli::output::{Failure, Output};

/// How long a turn is: long beside what filling and emptying the lane takes.
const TURN: Duration = Duration::from_millis(200);
/// Pairs of a round: what they write stays until its end. So few that the next round finds the memory of this one, about
/// 2 GB: a virtual machine that is given memory anew writes a third as fast, with plugins or without.
const PAIRS_PER_ROUND: usize = 4;
/// Between two looks at the clock.
const BURST_RECORDS: u32 = 64;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    bench: &'static str,
    /// Throughput with the chain by that without: the median of the pairs, and the quarters below and above.
    ratio: f64,
    ratio_lower_quarter: f64,
    ratio_upper_quarter: f64,
    /// Medians of the turns.
    megabytes_per_second_plain: f64,
    megabytes_per_second_with_plugins: f64,
    pairs: usize,
    interceptors: Vec<String>,
    partitioner: Option<String>,
    record_size: u32,
    batch_size: u32,
    other_cores: Option<f64>,
    pub(super) quiet: bool,
}

impl Figures {
    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        vec![
            format!(
                "plugins     {:.3} of the throughput without them, half of the pairs from {:.3} to {:.3}",
                self.ratio, self.ratio_lower_quarter, self.ratio_upper_quarter
            ),
            format!(
                "medians     {:.0} MB/s with, {:.0} MB/s without, of {} pairs",
                self.megabytes_per_second_with_plugins, self.megabytes_per_second_plain, self.pairs
            ),
        ]
    }
}

/// Megabytes a second of a pair's two turns.
#[derive(Clone, Copy, Debug)]
struct Pair {
    plain: f64,
    with_plugins: f64,
}

pub(super) async fn run(run: &Run, global: &Global, output: Output) -> Result<Figures, Failure> {
    let load = &run.load;
    if load.interceptors.is_empty() && load.partitioner.is_none() {
        return Err(Failure::new("say which plugins to measure: --interceptor NAME or --partitioner NAME"));
    }
    let target = Target::start(&run.place, global, output).await?;
    let plain = Load { interceptors: Vec::new(), partitioner: None, ..load.clone() };
    let client = target.connect().await?;
    let mut pairs = Vec::new();
    // What comes first pays for memory that was not used yet.
    round(&client, &target, &plain, load, load.warmup()).await?;
    let (started, times) = (Instant::now(), CpuTimes::now(&target.pids));
    let span = Duration::from_secs_f64(load.seconds);
    while let Some(left) = span.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        pairs.extend(round(&client, &target, &plain, load, left).await?);
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu = CpuUsed::between(times, CpuTimes::now(&target.pids), seconds);
    client.close().await;
    target.stop(None).await?;
    figures(load, &pairs, cpu)
}

/// Pairs on two new topics, for at most so long; at least one.
async fn round(
    client: &Client,
    target: &Target,
    plain: &Load,
    load: &Load,
    span: Duration,
) -> Result<Vec<Pair>, Failure> {
    let started = Instant::now();
    let mut sides = Vec::new();
    for load in [plain, load] {
        let topic = target.create_topic(load).await?.name;
        let producer = client.producer(produce::config(load))?;
        sides.push(Side { topic, producer, payload: Payload::new(load, 0), bytes: load.payload_bytes() });
    }
    let mut pairs = Vec::new();
    for number in 0..PAIRS_PER_ROUND {
        if number > 0 && started.elapsed() >= span {
            break;
        }
        let mut rates = [0.0; 2];
        for turn in [number % 2, 1 - number % 2] {
            rates[turn] = sides[turn].turn().await?;
        }
        let [plain, with_plugins] = rates;
        pairs.push(Pair { plain, with_plugins });
    }
    for side in sides {
        side.producer.close().await;
        client.delete_topic(&side.topic).await?;
    }
    Ok(pairs)
}

/// One of the two that are compared.
struct Side {
    topic: String,
    producer: Producer,
    payload: Payload,
    bytes: u32,
}

impl Side {
    /// Sends for a turn, and waits until all of it is answered. Returns megabytes a second.
    async fn turn(&mut self) -> Result<f64, Failure> {
        let (started, before) = (Instant::now(), self.producer.metrics().stored);
        let mut sent = 0;
        while started.elapsed() < TURN {
            for _ in 0..BURST_RECORDS {
                let (key, value) = self.payload.take();
                drop(self.producer.send(Record { key, ..Record::to(&self.topic).value(value) }).await?);
            }
            sent += u64::from(BURST_RECORDS);
            tokio::task::yield_now().await;
        }
        self.producer.flush().await;
        let stored = self.producer.metrics().stored - before;
        if stored < sent {
            let sentence =
                format!("of {sent} records only {stored} were stored: see what weir plugins status says");
            return Err(Failure::new(sentence));
        }
        let bytes = f64::from(self.bytes) * f64::from(u32::try_from(stored).unwrap_or(u32::MAX));
        Ok(bytes / 1e6 / started.elapsed().as_secs_f64())
    }
}

fn figures(load: &Load, pairs: &[Pair], cpu: CpuUsed) -> Result<Figures, Failure> {
    let sorted = |of: fn(&Pair) -> f64| {
        let mut values: Vec<f64> = pairs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let ratios = sorted(|pair| pair.with_plugins / pair.plain);
    let (plain, with_plugins) = (sorted(|pair| pair.plain), sorted(|pair| pair.with_plugins));
    if pairs.is_empty() {
        return Err(Failure::new("no pair was measured: measure for longer (--seconds)"));
    }
    Ok(Figures {
        bench: "plugins",
        ratio: quantile(&ratios, 2),
        ratio_lower_quarter: quantile(&ratios, 1),
        ratio_upper_quarter: quantile(&ratios, 3),
        megabytes_per_second_plain: quantile(&plain, 2),
        megabytes_per_second_with_plugins: quantile(&with_plugins, 2),
        pairs: pairs.len(),
        interceptors: load.interceptors.clone(),
        partitioner: load.partitioner.clone(),
        record_size: load.record_size,
        batch_size: load.batch_bytes(),
        other_cores: cpu.other_cores,
        quiet: is_quiet(cpu),
    })
}

/// The value at so many quarters of sorted ones, which are some.
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    sorted[(sorted.len() - 1) * quarters / 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_of_what_is_there() {
        assert_eq!([1, 2, 3].map(|quarters| quantile(&[7.0], quarters)), [7.0; 3]);
        let values: Vec<f64> = (0..9).map(f64::from).collect();
        assert_eq!([1, 2, 3].map(|quarters| quantile(&values, quarters)), [2.0, 4.0, 6.0]);
    }
}
