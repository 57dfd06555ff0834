//! The one door to quinn and rustls: endpoints, identities, certificates, framed streams.
//!
//! Everything that Weir decides about QUIC and TLS is decided here, once, for nodes and clients alike. Above this
//! package a connection is a [`Peer`] whose name was proven, and a stream is a [`FrameReader`] and a
//! [`FrameWriter`].
//!
//! ```text
//!  authority.key --signs--> certificate (weir:node/3, weir:client/alice)          certs, authority
//!                                |
//!  Network --BoundSocket--> Server ----Arriving----> Peer <----connect---- Connector      endpoint, admission
//!  (real or simulated)        one per network thread   |
//!                                            FrameReader / FrameWriter                    framed
//! ```
//!
//! What does not exist here: a process-global crypto provider, 0-RTT, session resumption, TLS 1.2, datagrams,
//! a clock or a socket that did not come through [`Network`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | every QUIC setting, with its reason |
//! | [`network`] | the seam between the real and the simulated network |
//! | [`identity`] | names in certificates, and the protocols that may be spoken |
//! | [`authority`] | making certificates |
//! | [`certs`] | certificates in folders |
//! | [`certs_list`] | what certificates a folder holds |
//! | [`admission`] | who may start a handshake |
//! | [`endpoint`] | accepting and making connections |
//! | [`framed`] | frames on streams |
//! | [`stream_room`] | how many streams a client may have open |
//! | [`shared_buffer`] | one socket's buffer, shared by those who send much |
//! | [`ending`] | why a stream or a connection ended, as a code and a sentence |

pub mod admission;
pub mod authority;
pub mod certs;
pub mod certs_list;
pub mod config;
pub mod ending;
pub mod endpoint;
pub mod framed;
pub mod identity;
pub mod network;
pub mod shared_buffer;
pub mod stream_room;

mod files;
mod tls;

pub use admission::{Gate, GateLimits};
pub use authority::Authority;
pub use ending::{CloseCode, ConnectionEnd, StreamCode};
pub use endpoint::{AcceptError, Arriving, ConnectError, Connector, Peer, Server};
pub use framed::{Frame, FrameReader, FrameWriter, Priority, RawFrame, ReadError, WriteError};
pub use identity::{Identity, IdentityError, Principal, Protocol};
pub use network::{BindError, BoundSocket, Network, RealNetwork};
pub use shared_buffer::{BufferShare, SharedBuffer};
pub use stream_room::{OneMore, StreamRoom};

/// The connection and stream types that go with the helpers of this package, and what a simulated [`Network`]
/// implements.
pub use quinn;
