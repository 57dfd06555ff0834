//! One connection to one node.

use serde::Serialize;
use weir_quic::{
    CloseCode, ConnectionEnd, Connector, FrameReader, FrameWriter, Peer, Priority, Protocol, ReadError,
};
use weir_wire::error::WireError;
use weir_wire::frame::Limits;
use weir_wire::ids::{ClusterId, NodeId};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::request::encode_body;

use super::control::Control;
use crate::config::ClientConfig;
use crate::error::ClientError;

/// A connection whose node has said who it is.
pub(crate) struct Connection {
    /// Where the node was reached.
    pub(crate) address: String,
    /// Which cluster it is of.
    pub(crate) cluster: ClusterId,
    /// Which node it is.
    pub(crate) node: NodeId,
    pub(crate) control: Control,
    peer: Peer,
}

/// What became of opening a stream.
#[expect(clippy::large_enum_variant, reason = "made once per stream and taken apart at once")]
pub(crate) enum Opened {
    /// It is served.
    Stream(FrameReader, FrameWriter),
    /// It is not.
    Refused(WireError),
    /// The connection or the stream ended.
    Lost(String),
}

impl Connection {
    /// Connects, and opens the control stream: only its answer proves that the node takes this client's certificate.
    pub(crate) async fn connect(
        connector: &Connector,
        address: &str,
        config: &ClientConfig,
    ) -> Result<Connection, ClientError> {
        let within = config.connect_timeout;
        let connecting = connect(connector, address, config);
        match tokio::time::timeout(within, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(unreachable(address, format!("no answer within {} ms", within.as_millis()))),
        }
    }

    /// Whether the connection has not ended, as far as is known.
    pub(crate) fn is_live(&self) -> bool {
        self.peer.connection.close_reason().is_none()
    }

    /// Opens a stream and waits for the node's word on it. Waits while the node's limit of streams is used up.
    pub(crate) async fn open(
        &self,
        kind: StreamKind,
        priority: Priority,
        limits: Limits,
        body: &impl Serialize,
    ) -> Opened {
        match open(&self.peer, kind, priority, limits, encode_body(body)).await {
            Ok((Answer::Opened { .. }, reader, writer)) => Opened::Stream(reader, writer),
            Ok((Answer::Refused(error), ..)) => Opened::Refused(error),
            Err(error) => Opened::Lost(error.to_string()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        weir_quic::ending::close(&self.peer.connection, CloseCode::Done, "");
    }
}

enum Answer {
    Opened { cluster: ClusterId, node: NodeId },
    Refused(WireError),
}

async fn connect(
    connector: &Connector,
    address: &str,
    config: &ClientConfig,
) -> Result<Connection, ClientError> {
    let mut last = unreachable(address, "the name resolves to no address".to_owned());
    for resolved in resolve(address).await? {
        let peer = match connector.connect_within(resolved, Protocol::Client, config.connect_timeout).await {
            Ok(peer) => peer,
            Err(error) if error.is_retryable() => {
                last = unreachable(address, error.to_string());
                continue;
            }
            Err(error) => return Err(ClientError::Refused(error.to_string())),
        };
        let opened = open(&peer, StreamKind::CONTROL, Priority::Control, Limits::CONTROL, Vec::new()).await;
        return match opened {
            Ok((Answer::Opened { cluster, node }, reader, writer)) => {
                let control = Control::start(reader, writer);
                Ok(Connection { address: address.to_owned(), cluster, node, control, peer })
            }
            Ok((Answer::Refused(error), ..)) => Err(ClientError::Node(error)),
            Err(ReadError::Connection(end)) if !end.is_retryable() => {
                Err(ClientError::Refused(format!("cannot connect to {address}: {end}")))
            }
            Err(ReadError::Frame(error)) => {
                Err(ClientError::Protocol { address: address.to_owned(), detail: error.to_string() })
            }
            Err(error) => {
                last = unreachable(address, error.to_string());
                continue;
            }
        };
    }
    Err(last)
}

/// Names are resolved anew at each attempt: the node may have moved.
async fn resolve(address: &str) -> Result<Vec<std::net::SocketAddr>, ClientError> {
    if let Ok(literal) = address.parse() {
        return Ok(vec![literal]);
    }
    match tokio::net::lookup_host(address).await {
        Ok(resolved) => Ok(resolved.collect()),
        Err(error) => Err(unreachable(address, format!("the name cannot be resolved ({error})"))),
    }
}

async fn open(
    peer: &Peer,
    kind: StreamKind,
    priority: Priority,
    limits: Limits,
    body: Vec<u8>,
) -> Result<(Answer, FrameReader, FrameWriter), ReadError> {
    let (mut writer, mut reader) = weir_quic::framed::open(&peer.connection, priority, limits).await?;
    writer.queue(&StreamOpen::new(kind), body.into());
    if let Err(weir_quic::WriteError::Connection(end)) = writer.flush().await {
        return Err(end.into());
    }
    // Where the node stopped the stream, its answer says why.
    match reader.next::<StreamAnswer>().await?.map(|frame| frame.header) {
        Some(StreamAnswer::Opened { cluster, node, .. }) => {
            Ok((Answer::Opened { cluster, node }, reader, writer))
        }
        Some(StreamAnswer::Refused(error)) => Ok((Answer::Refused(error), reader, writer)),
        None => Err(ConnectionEnd::Failed { detail: "the node ended the stream".to_owned() }.into()),
    }
}

fn unreachable(address: &str, why: String) -> ClientError {
    let why = if why.contains(address) { why } else { format!("{address}: {why}") };
    ClientError::Unreachable { tried: vec![why] }
}
