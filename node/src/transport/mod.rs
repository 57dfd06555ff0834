//! The door to QUIC: network threads, accepting connections, and handing their streams to handlers.
//!
//! Each network thread is a single-threaded runtime with an endpoint of its own on the common port, so that a
//! connection's driver and its streams stay on one core. In simulation there is one thread: the simulator's.

mod dialling;
mod peer_streams;
mod peers;
mod threads;

pub use dialling::{DialError, Dialler};
pub use peer_streams::{PeerHandler, serve_peer_stream};
pub use peers::{AskError, Peers};
pub use threads::{NETWORK_THREADS_MAX, Threads};

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use weir_quic::{FrameReader, FrameWriter, Peer, Principal, Protocol, Server, StreamRoom};

use crate::watched::Watched;

/// Where a stream comes from.
#[derive(Clone, Debug)]
pub struct Whence {
    /// The address of the machine at the other end.
    pub host: IpAddr,
    /// What the connection is for.
    pub protocol: Protocol,
    /// The connection's room for streams.
    pub room: StreamRoom,
}

/// Takes a stream that a client or another node opened, and serves it to its end.
pub trait StreamHandler: Clone + Send + 'static {
    /// Serves one stream.
    fn serve(
        &self,
        principal: Arc<Principal>,
        from: Whence,
        reader: FrameReader,
        writer: FrameWriter,
    ) -> impl Future<Output = ()> + Send;
}

/// Accepts on one endpoint until it is closed.
pub async fn accept(server: Server, handler: impl StreamHandler, stopping: Arc<Watched<bool>>) {
    while let Some(arriving) = server.accept().await {
        let (handler, stopping) = (handler.clone(), Arc::clone(&stopping));
        tokio::spawn(async move {
            match arriving.establish().await {
                Ok(peer) => serve_connection(peer, handler, stopping).await,
                Err(error) => tracing::info!(%error, "a connection was refused"),
            }
        });
    }
}

async fn serve_connection(peer: Peer, handler: impl StreamHandler, stopping: Arc<Watched<bool>>) {
    let principal = Arc::new(peer.principal.clone());
    let protocol = peer.protocol;
    let address = peer.connection.remote_address();
    let from = Whence { host: address.ip(), protocol, room: StreamRoom::of(&peer) };
    tracing::debug!(%principal, %address, "connected");
    metrics::gauge!("weir_connections").increment(1.0);
    loop {
        tokio::select! {
            biased;
            stream = weir_quic::framed::accept(&peer.connection) => match stream {
                Ok((writer, reader)) => {
                    let (handler, principal, from) = (handler.clone(), Arc::clone(&principal), from.clone());
                    tokio::spawn(async move { handler.serve(principal, from, reader, writer).await });
                }
                Err(end) => {
                    tracing::debug!(%principal, %address, %end, "disconnected");
                    break;
                }
            },
            // Streams that are being served finish by themselves; new ones are not taken any more. Other nodes are
            // answered until the end: the quorum counts on this one.
            _ = stopping.wait_until(|stopping| *stopping), if protocol == Protocol::Client => {
                peer.connection.closed().await;
                break;
            }
        }
    }
    metrics::gauge!("weir_connections").decrement(1.0);
}
