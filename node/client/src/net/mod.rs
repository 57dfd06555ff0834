//! Connections: one per node, made when needed, made again when lost.

mod connection;
mod control;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use weir_quic::{CloseCode, Connector};
use weir_wire::ids::{ClusterId, MetadataIndex};
use weir_wire::request::{Request, RequestHeader, decode_body, encode_body};

pub(crate) use connection::{Connection, Opened};
use control::NoAnswer;

use crate::backoff::{Backoff, Moment};
use crate::config::{ClientConfig, Credentials};
use crate::error::ClientError;
use crate::outside::Outside;

/// How long [`Net::close`] waits until its word to the nodes has left. That it arrived shows only after three times what a
/// packet may take (RFC 9000, section 10.2), 80 ms between two programs of one machine; who closes the socket may end
/// earlier. A word that is lost costs the node the connection's idle time.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(10);
/// How long one node is waited for when it is asked for metadata. All others know it too.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// After so long another one is asked too: the first may be gone, and its connection does not know yet.
const METADATA_HEDGE: Duration = Duration::from_millis(150);

/// Which requests are made again after a try whose fate is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Those that change nothing.
    Harmless,
    /// None: a second try could report the success of the first as an error.
    OnlyIfNotDone,
}

/// The connections of a client, which its producers and consumers share. Counts only rise; Kafka's names stand in brackets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientMetrics {
    /// Connections that are open at this moment, one per node at most (`connection-count`). One that is just being made
    /// does not count.
    pub connections: u64,
    /// Connections made so far (`connection-creation-total`): beyond one per node, each stands for one that was lost.
    pub connections_made: u64,
    /// Tries that failed: nobody answered in time, or the node refused.
    pub connections_failed: u64,
}

/// All connections of a client.
pub(crate) struct Net {
    pub(crate) config: ClientConfig,
    pub(crate) outside: Outside,
    connector: Connector,
    places: Mutex<Places>,
    /// Known once the first node has answered.
    cluster: OnceLock<ClusterId>,
    /// The newest metadata that any answer was made from: what is asked next is at least as new.
    metadata_index: AtomicU64,
    closed: AtomicBool,
    connections_made: AtomicU64,
    connections_failed: AtomicU64,
}

#[derive(Default)]
struct Places {
    slots: BTreeMap<String, Arc<Slot>>,
    /// Addresses to ask when any node will do: the bootstrap list, then what the metadata named.
    any: Vec<String>,
    /// Which of `any` answered last.
    preferred: usize,
}

/// The one connection to an address, or why there is none.
struct Slot(tokio::sync::Mutex<SlotState>);

struct SlotState {
    connection: Option<Arc<Connection>>,
    failures: u32,
    /// Nothing is tried before; who asks is told the last error.
    retry_at: Moment,
    last_error: Option<ClientError>,
    backoff: Backoff,
}

impl Net {
    pub(crate) fn new(config: ClientConfig) -> Result<Net, ClientError> {
        config.check()?;
        let outside = Outside::new(&config.network)?;
        let identity = match &config.credentials {
            Credentials::Identity(identity) => identity.clone(),
            Credentials::Folder(folder) => {
                weir_quic::certs::load_client(folder, outside.network().unix_time())?
            }
        };
        let socket =
            outside.network().bind_client().map_err(|error| ClientError::Socket(error.to_string()))?;
        let connector = Connector::new(outside.network(), socket, &identity)
            .map_err(|error| ClientError::Socket(error.to_string()))?;
        let places = Places { any: config.bootstrap.clone(), ..Places::default() };
        Ok(Net {
            outside,
            connector,
            places: Mutex::new(places),
            cluster: OnceLock::new(),
            metadata_index: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            connections_made: AtomicU64::new(0),
            connections_failed: AtomicU64::new(0),
            config,
        })
    }

    /// The cluster, once a node has answered.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster.get().copied().unwrap_or_default()
    }

    /// The connection to an address: the one that there is, or a new one. After a failure no other attempt is made
    /// for a while; who asks meanwhile gets the same error.
    pub(crate) async fn connection(&self, address: &str) -> Result<Arc<Connection>, ClientError> {
        let slot = self.slot(address);
        let mut state = slot.0.lock().await;
        if self.closed.load(Ordering::Relaxed) {
            return Err(ClientError::Closed);
        }
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.is_live()) {
            return Ok(Arc::clone(connection));
        }
        state.connection = None;
        if let Some(error) = state.last_error.as_ref().filter(|_| self.outside.now() < state.retry_at) {
            return Err(error.clone());
        }
        let connected = Connection::connect(&self.connector, address, &self.config).await;
        match connected.and_then(|connection| self.check_cluster(connection)) {
            Ok(connection) => {
                tracing::debug!(address, node = connection.node.0, "connected");
                self.connections_made.fetch_add(1, Ordering::Relaxed);
                state.failures = 0;
                state.last_error = None;
                let connection = Arc::new(connection);
                state.connection = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(address, %error, "cannot connect");
                self.connections_failed.fetch_add(1, Ordering::Relaxed);
                state.failures = state.failures.saturating_add(1);
                let failures = state.failures;
                state.retry_at = self.outside.now() + state.backoff.pause(failures);
                state.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Addresses that the metadata names become candidates for requests that any node can answer.
    pub(crate) fn learn_addresses<'a>(&self, addresses: impl Iterator<Item = &'a String>) {
        let mut places = self.places();
        let known: BTreeSet<_> = places.any.iter().cloned().collect();
        places.any.extend(addresses.filter(|address| !known.contains(*address)).cloned());
    }

    /// Asks any node, again and again for as long as the configuration allows.
    pub(crate) async fn ask<R: Request>(
        &self,
        request: &R,
        again: Again,
    ) -> Result<R::Response, ClientError> {
        self.persist(R::NAME, again, || self.ask_once(request)).await
    }

    /// Asks one node, again and again for as long as the configuration allows.
    pub(crate) async fn persist<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        what: &str,
        again: Again,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, ClientError> {
        let mut backoff = self.backoff();
        let give_up_at = self.outside.now() + self.config.api_timeout;
        let mut failures = 0;
        loop {
            let error = match attempt().await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let not_done = matches!(error, ClientError::Unreachable { .. } | ClientError::Node(_));
            if !error.is_retryable() || !(not_done || again == Again::Harmless) {
                return Err(error);
            }
            failures += 1;
            let pause = backoff.pause(failures);
            if self.outside.now() + pause >= give_up_at {
                return Err(error);
            }
            tracing::debug!(%error, what, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks any node once: those that answered last first.
    pub(crate) async fn ask_once<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.ask_once_dated(request).await.map(|(_, response)| response)
    }

    /// As [`ask_once`](Net::ask_once), with the place in the metadata's history that the answer was made from.
    pub(crate) async fn ask_once_dated<R: Request>(
        &self,
        request: &R,
    ) -> Result<(MetadataIndex, R::Response), ClientError> {
        self.ask_once_within(request, self.config.request_timeout).await
    }

    /// As [`ask_once_dated`](Net::ask_once_dated) for what every node knows: while one does not answer soon, the next is
    /// asked as well, and who answers first is believed.
    pub(crate) async fn ask_metadata<R: Request>(
        &self,
        request: &R,
    ) -> Result<(MetadataIndex, R::Response), ClientError> {
        let timeout = self.config.request_timeout.min(METADATA_TIMEOUT);
        let first = self.ask_once_within(request, timeout);
        hedged(first, METADATA_HEDGE, |has_failed| {
            // Who failed is left already.
            self.places().preferred += usize::from(!has_failed);
            self.ask_once_within(request, timeout)
        })
        .await
    }

    async fn ask_once_within<R: Request>(
        &self,
        request: &R,
        timeout: Duration,
    ) -> Result<(MetadataIndex, R::Response), ClientError> {
        let connection = self.any_connection().await?;
        let answered = self.ask_at_within(&connection, request, timeout).await;
        if answered.as_ref().is_err_and(ClientError::is_retryable) {
            // The next try is another node's, unless it would be already.
            let mut places = self.places();
            let count = places.any.len().max(1);
            let preferred = places.preferred.checked_rem(count).and_then(|at| places.any.get(at));
            if preferred == Some(&connection.address) {
                places.preferred += 1;
            }
        }
        answered
    }

    /// The connection to a node that can be reached: the one that answered last first.
    pub(crate) async fn any_connection(&self) -> Result<Arc<Connection>, ClientError> {
        let candidates: Vec<(usize, String)> = {
            let places = self.places();
            let count = places.any.len();
            (0..count)
                .map(|at| (at + places.preferred) % count)
                .map(|at| (at, places.any[at].clone()))
                .collect()
        };
        let mut tried = Vec::new();
        for (at, address) in candidates {
            match self.connection(&address).await {
                Ok(connection) => {
                    self.places().preferred = at;
                    return Ok(connection);
                }
                Err(ClientError::Unreachable { tried: why }) => tried.extend(why),
                Err(error) if tried.is_empty() => return Err(error),
                Err(error) => tried.push(error.to_string()),
            }
        }
        Err(ClientError::Unreachable { tried })
    }

    /// Asks one node once.
    pub(crate) async fn ask_at<R: Request>(
        &self,
        connection: &Connection,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let timeout = self.config.request_timeout;
        self.ask_at_within(connection, request, timeout).await.map(|(_, response)| response)
    }

    /// As [`ask_at`](Net::ask_at), with the place in the metadata's history that the answer was made from.
    pub(crate) async fn ask_at_within<R: Request>(
        &self,
        connection: &Connection,
        request: &R,
        timeout: Duration,
    ) -> Result<(MetadataIndex, R::Response), ClientError> {
        let header = RequestHeader {
            correlation: 0,
            kind: R::KIND,
            cluster: self.cluster.get().copied(),
            metadata_index: MetadataIndex(self.metadata_index.load(Ordering::Relaxed)),
        };
        let address = || connection.address.clone();
        let (header, body) = match connection.control.request(header, encode_body(request), timeout).await {
            Ok(answer) => answer,
            Err(NoAnswer::Ended(reason)) => {
                return Err(ClientError::ConnectionLost { address: address(), reason });
            }
            Err(NoAnswer::TimedOut) => {
                let what = format!("{} from {}", R::NAME, address());
                return Err(ClientError::TimedOut { what, after: timeout });
            }
        };
        self.metadata_index.fetch_max(header.metadata_index.0, Ordering::Relaxed);
        if let Some(error) = header.error {
            return Err(ClientError::Node(error));
        }
        let response = decode_body(&body)
            .map_err(|error| ClientError::Protocol { address: address(), detail: error.message })?;
        Ok((header.metadata_index, response))
    }

    /// Ends all connections, and waits a moment until the word to the nodes has left.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.connector.close(CloseCode::Done, "the client was closed");
        // A node that is gone need not hear of it.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.connector.wait_idle()).await;
    }

    pub(crate) fn metrics(&self) -> ClientMetrics {
        let slots: Vec<_> = self.places().slots.values().cloned().collect();
        // A slot that is locked is being connected, or has been this moment.
        let is_live = |slot: &Arc<Slot>| {
            slot.0.try_lock().is_ok_and(|state| state.connection.as_ref().is_some_and(|it| it.is_live()))
        };
        ClientMetrics {
            connections: slots.iter().filter(|slot| is_live(slot)).count() as u64,
            connections_made: self.connections_made.load(Ordering::Relaxed),
            connections_failed: self.connections_failed.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.config.reconnect_backoff, self.config.reconnect_backoff_max, self.outside.random())
    }

    fn check_cluster(&self, connection: Connection) -> Result<Connection, ClientError> {
        let cluster = *self.cluster.get_or_init(|| connection.cluster);
        if connection.cluster == cluster {
            return Ok(connection);
        }
        Err(ClientError::Refused(format!(
            "{} is a node of cluster {}, not of {cluster}: check the addresses",
            connection.address, connection.cluster
        )))
    }

    fn slot(&self, address: &str) -> Arc<Slot> {
        let mut places = self.places();
        if let Some(slot) = places.slots.get(address) {
            return Arc::clone(slot);
        }
        let state = SlotState {
            connection: None,
            failures: 0,
            retry_at: Moment::ZERO,
            last_error: None,
            backoff: self.backoff(),
        };
        let slot = Arc::new(Slot(tokio::sync::Mutex::new(state)));
        places.slots.insert(address.to_owned(), Arc::clone(&slot));
        slot
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the first says, or the second, which is begun when the first has said nothing for a while, or failed. An error that a
/// second try might not meet waits for the other's word.
async fn hedged<T, Second: Future<Output = Result<T, ClientError>>>(
    first: impl Future<Output = Result<T, ClientError>>,
    after: Duration,
    second: impl FnOnce(bool) -> Second,
) -> Result<T, ClientError> {
    tokio::pin!(first);
    match tokio::time::timeout(after, &mut first).await {
        Ok(Err(error)) if error.is_retryable() => return second(true).await,
        Ok(answered) => return answered,
        Err(_) => {}
    }
    let second = second(false);
    tokio::pin!(second);
    tokio::select! {
        biased;
        answered = &mut first => match answered {
            Err(error) if error.is_retryable() => second.await,
            answered => answered,
        },
        answered = &mut second => match answered {
            Err(error) if error.is_retryable() => first.await,
            answered => answered,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_for_a_while_is_not_waited_for_alone() {
        let after = Duration::from_millis(100);
        let said = |ms: u64, said: Result<u32, ClientError>| async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            said
        };
        let lost = || ClientError::ConnectionLost { address: "a:1".to_owned(), reason: "gone".to_owned() };
        let ask = |first, second| async move {
            let started = tokio::time::Instant::now();
            (hedged(first, after, |_| second).await.ok(), started.elapsed().as_millis())
        };
        assert_eq!(ask(said(99, Ok(1)), said(0, Ok(2))).await, (Some(1), 99));
        assert_eq!(ask(said(5000, Ok(1)), said(20, Ok(2))).await, (Some(2), 120));
        assert_eq!(ask(said(110, Ok(1)), said(20, Ok(2))).await, (Some(1), 110));
        // Whoever fails leaves it to the other.
        assert_eq!(ask(said(110, Err(lost())), said(20, Ok(2))).await, (Some(2), 120));
        assert_eq!(ask(said(300, Ok(1)), said(20, Err(lost()))).await, (Some(1), 300));
        assert_eq!(ask(said(50, Err(lost())), said(5, Ok(2))).await, (Some(2), 55));
        assert_eq!(ask(said(50, Err(lost())), said(5, Err(lost()))).await, (None, 55));
    }
}
