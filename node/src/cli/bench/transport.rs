//! Batches to a stream that counts and drops them: the same bytes, the same QUIC, nothing stored.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use weir_client::{Network, RealNetwork};
use weir_quic::{Connector, FrameReader, FrameWriter, Priority, Protocol};
use weir_wire::batch::BatchBuilder;
use weir_wire::frame::Limits;
use weir_wire::lane::LaneBatch;
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};

use super::Load;
use super::payload::Payload;
use super::phase::{Measured, OnThread, Phase};
use super::target::Target;
use crate::cli::output::Failure;

/// So many different batches are sent in turn, so that they do not all lie in the processor's cache.
const BATCHES: usize = 16;

pub(super) async fn run(load: &Load, target: &Arc<Target>, phase: &Arc<Phase>) -> Result<Measured, Failure> {
    let client = |number| {
        let (load, target, phase) = (load.clone(), Arc::clone(target), Arc::clone(phase));
        OnThread::start(&Arc::clone(&phase), move || async move {
            let sink = Sink::open(&load, &target, number).await?;
            sink.fill(&phase).await
        })
    };
    phase.attend((0..load.producers()).map(client).collect(), load.warmup(), &target.pids).await
}

/// A stream to the sink, and what is sent on it.
struct Sink {
    reader: FrameReader,
    writer: FrameWriter,
    batches: Vec<Bytes>,
    records: u64,
    in_flight: usize,
    /// Holds the connection and its endpoint.
    _connector: Connector,
    _peer: weir_quic::Peer,
}

impl Sink {
    async fn open(load: &Load, target: &Target, number: u32) -> Result<Sink, Failure> {
        let network: Arc<dyn Network> = Arc::new(RealNetwork);
        let identity = weir_quic::certs::load_client(&target.certs, network.unix_time())?;
        let connector = Connector::new(&network, network.bind_client()?, &identity)?;
        let address = tokio::net::lookup_host(&target.addresses[0]).await?.next();
        let address =
            address.ok_or_else(|| Failure::new(format!("{} has no address", target.addresses[0])))?;
        let peer = connector.connect(address, Protocol::Client).await?;
        let (mut writer, mut reader) =
            weir_quic::framed::open(&peer.connection, Priority::Produce, Limits::DATA).await?;
        writer.queue(&StreamOpen::new(StreamKind::SINK), Bytes::new());
        writer.flush().await?;
        match reader.next::<StreamAnswer>().await?.map(|frame| frame.header) {
            Some(StreamAnswer::Opened { .. }) => {}
            Some(StreamAnswer::Refused(error)) => return Err(Failure::new(error.to_string())),
            None => return Err(Failure::new("the node ended the stream")),
        }
        let batches = batches(load, number);
        Ok(Sink {
            reader,
            writer,
            batches,
            records: u64::from(load.records_per_batch()),
            in_flight: usize::try_from(load.in_flight_batches()).expect("at most 64"),
            _connector: connector,
            _peer: peer,
        })
    }

    /// Sends as fast as answers come, for as long as it is polled.
    async fn fill(mut self, phase: &Phase) -> Result<(), Failure> {
        let mut sent: VecDeque<Instant> = VecDeque::new();
        let mut ordinal = 0_u64;
        loop {
            let may_send = sent.len() < self.in_flight;
            if may_send && self.writer.queued_bytes() == 0 {
                let at = usize::try_from(ordinal).unwrap_or_default() % self.batches.len();
                self.writer.queue(&LaneBatch { ordinal, resent: false }, self.batches[at].clone());
                sent.push_back(Instant::now());
                ordinal += 1;
            }
            let is_queued = self.writer.queued_bytes() > 0;
            tokio::select! {
                biased;
                answer = self.reader.next::<u64>() => {
                    answer?.ok_or_else(|| Failure::new("the node ended the stream"))?;
                    let since = sent.pop_front().ok_or_else(|| Failure::new("an answer to nothing"))?;
                    phase.took(since.elapsed());
                    phase.done(self.records);
                }
                flushed = self.writer.flush(), if is_queued => flushed?,
            }
        }
    }
}

fn batches(load: &Load, seed: u32) -> Vec<Bytes> {
    let mut payload = Payload::new(load, seed.into());
    let mut builder = BatchBuilder::new(load.compression);
    let mut batch = || {
        for _ in 0..load.records_per_batch() {
            let (key, value) = payload.take();
            builder.push(0, key, Some(value), &[]);
        }
        builder.finish(None)
    };
    (0..BATCHES).map(|_| batch()).collect()
}
