//! The control stream of one connection: requests leave as they come, answers find who waits by their number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use weir_quic::{FrameReader, FrameWriter};
use weir_wire::request::{RequestHeader, ResponseHeader};

/// Requests that may wait to be written.
const REQUESTS_QUEUED_MAX: usize = 256;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The stream ended; the request may have been carried out.
    Ended(String),
    /// Not in time.
    TimedOut,
}

/// The handle to a control stream.
pub(crate) struct Control {
    outbox: mpsc::Sender<(RequestHeader, Vec<u8>)>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    next_correlation: u64,
    by_correlation: BTreeMap<u64, oneshot::Sender<(ResponseHeader, Bytes)>>,
    /// Why nothing comes any more.
    end: Option<String>,
}

impl Control {
    /// Runs an opened control stream.
    pub(crate) fn start(reader: FrameReader, writer: FrameWriter) -> Control {
        let (outbox, requests) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let waiting = Arc::new(Waiting::default());
        tokio::spawn(write(writer, requests));
        tokio::spawn(read(reader, Arc::clone(&waiting)));
        Control { outbox, waiting }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Cancel safety
    /// When the future is dropped the request may have been sent; its answer is thrown away.
    pub(crate) async fn request(
        &self,
        mut header: RequestHeader,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(ResponseHeader, Bytes), NoAnswer> {
        let (place, answer) = self.waiting.register().map_err(NoAnswer::Ended)?;
        header.correlation = place.correlation;
        let answered = async {
            if self.outbox.send((header, body)).await.is_err() {
                return Err(NoAnswer::Ended(self.waiting.end()));
            }
            answer.await.map_err(|_| NoAnswer::Ended(self.waiting.end()))
        };
        tokio::time::timeout(timeout, answered).await.unwrap_or(Err(NoAnswer::TimedOut))
    }
}

/// Takes the entry of a request away when nobody waits for it any more.
struct Place {
    correlation: u64,
    waiting: Arc<Waiting>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.lock().by_correlation.remove(&self.correlation);
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>) -> Result<(Place, oneshot::Receiver<(ResponseHeader, Bytes)>), String> {
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        let (sender, receiver) = oneshot::channel();
        let correlation = state.next_correlation;
        state.next_correlation += 1;
        state.by_correlation.insert(correlation, sender);
        Ok((Place { correlation, waiting: Arc::clone(self) }, receiver))
    }

    fn answer(&self, header: ResponseHeader, body: Bytes) {
        let waiting = self.lock().by_correlation.remove(&header.correlation);
        if let Some(waiting) = waiting {
            // Who asked may have given up just now.
            let _ = waiting.send((header, body));
        }
    }

    fn finish(&self, end: String) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state.by_correlation.clear();
    }

    fn end(&self) -> String {
        self.lock().end.clone().unwrap_or_else(|| "the stream ended".to_owned())
    }
}

async fn write(mut writer: FrameWriter, mut requests: mpsc::Receiver<(RequestHeader, Vec<u8>)>) {
    while let Some((header, body)) = requests.recv().await {
        writer.queue(&header, Bytes::from(body));
        while !writer.is_full()
            && let Ok((header, body)) = requests.try_recv()
        {
            writer.queue(&header, Bytes::from(body));
        }
        if writer.flush().await.is_err() {
            return; // The reader says why.
        }
    }
    // The node may be gone.
    let _ = writer.finish().await;
}

async fn read(mut reader: FrameReader, waiting: Arc<Waiting>) {
    let end = loop {
        match reader.next::<ResponseHeader>().await {
            Ok(Some(frame)) => waiting.answer(frame.header, frame.payload),
            Ok(None) => break "the node ended the stream; it may be stopping".to_owned(),
            Err(error) => {
                if let Some(code) = error.refusal() {
                    reader.refuse(code);
                }
                break error.to_string();
            }
        }
    };
    waiting.finish(end);
}
