//! Names in certificates, and the protocols that may be spoken.
//!
//! A certificate of the cluster's authority names its holder in one SAN URI: `weir:node/3` or `weir:client/alice`.
//! Nothing else in it is read. Node certificates also carry the DNS name [`SERVER_NAME`], the same for every node:
//! TLS wants a name to check, peers know each other by address, and addresses change. Which node answered is read
//! from the URI after the handshake.
//!
//! A client certificate carries neither the DNS name nor the right to serve (extended key usage), so whoever holds
//! one cannot pass for a node.

use std::fmt;
use std::str::FromStr;

use quinn::crypto::rustls::HandshakeData;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use weir_wire::ids::NodeId;
use weir_wire::names::{NameError, check_client_name};
use weir_wire::open::{ALPN_CLIENT, ALPN_METADATA, ALPN_REPLICATION};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls;

/// The name that every node's certificate carries and every connecting side asks for.
pub const SERVER_NAME: &str = "node.weir.internal";

/// Largest certificate that is looked into, in bytes. Ours are below 1 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

const SCHEME: &str = "weir:";
const NODE: &str = "node/";
const CLIENT: &str = "client/";

/// Who a peer is, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A node of the cluster: `weir:node/3`.
    Node(NodeId),
    /// A user or a program: `weir:client/alice`. The name obeys [`check_client_name`].
    Client(String),
}

impl Principal {
    /// A client's principal.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn client(name: &str) -> Result<Principal, NameError> {
        check_client_name(name)?;
        Ok(Principal::Client(name.to_owned()))
    }

    /// Whether this principal may open connections of `protocol`: nodes all of them, clients their own.
    #[must_use]
    pub fn may_speak(&self, protocol: Protocol) -> bool {
        match self {
            Principal::Node(_) => true,
            Principal::Client(_) => protocol == Protocol::Client,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Node(id) => write!(f, "{SCHEME}{NODE}{id}"),
            Principal::Client(name) => write!(f, "{SCHEME}{CLIENT}{name}"),
        }
    }
}

impl FromStr for Principal {
    type Err = IdentityError;

    /// Strict: one spelling for each principal.
    fn from_str(uri: &str) -> Result<Principal, IdentityError> {
        let unreadable = || IdentityError::Uri(uri.chars().take(URI_CHARS_SHOWN).collect());
        let path = uri.strip_prefix(SCHEME).ok_or_else(unreadable)?;
        let principal = if let Some(id) = path.strip_prefix(NODE) {
            Principal::Node(id.parse().map_err(|_| unreadable())?)
        } else if let Some(name) = path.strip_prefix(CLIENT) {
            Principal::client(name).map_err(|_| unreadable())?
        } else {
            return Err(unreadable());
        };
        // `weir:node/03` and `weir:node/+3` parse as numbers, and must not be second names of node 3.
        if principal.to_string() == uri { Ok(principal) } else { Err(unreadable()) }
    }
}

/// How much of a stranger's URI an error repeats.
const URI_CHARS_SHOWN: usize = 60;

/// What a connection is for; negotiated as ALPN, so that a mismatch ends the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Clients and their nodes: `weir-client/1`.
    Client,
    /// Record data between nodes: `weir-repl/1`.
    Replication,
    /// Consensus and heartbeats between nodes, which no bulk data may delay: `weir-meta/1`.
    Metadata,
}

impl Protocol {
    /// All of them, in the order in which a node prefers them.
    pub const ALL: [Protocol; 3] = [Protocol::Client, Protocol::Replication, Protocol::Metadata];

    /// The name in the TLS handshake.
    #[must_use]
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Client => ALPN_CLIENT,
            Protocol::Replication => ALPN_REPLICATION,
            Protocol::Metadata => ALPN_METADATA,
        }
    }

    /// The protocol of that name.
    #[must_use]
    pub fn from_alpn(alpn: &[u8]) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.alpn() == alpn)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The names are ASCII constants of ours.
        f.write_str(std::str::from_utf8(self.alpn()).unwrap_or_default())
    }
}

/// What a process proves itself with: its certificate, the private key to it, and the authority that signed it,
/// which is also the only one it trusts.
pub struct Identity {
    principal: Principal,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    authority: CertificateDer<'static>,
}

impl Identity {
    /// Reads the principal out of the certificate and checks that the key belongs to it. Whether the authority
    /// signed it, and the dates, are for [`Identity::check`].
    ///
    /// # Errors
    /// [`IdentityError`]: the certificate names nobody, or the key is another's.
    pub fn new(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Identity, IdentityError> {
        let principal = principal_of(&certificate)?;
        let identity = Identity { principal, certificate, key, authority };
        tls::check_key(&identity)?;
        Ok(identity)
    }

    /// Checks what a peer will check: the authority's signature, and the dates at `now` (since the Unix epoch).
    ///
    /// # Errors
    /// [`IdentityError::Foreign`], [`IdentityError::Expired`] or [`IdentityError::NotYetValid`].
    pub fn check(&self, now: std::time::Duration) -> Result<(), IdentityError> {
        tls::check_chain(self, now)
    }

    /// Who this is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate of the authority that is trusted.
    #[must_use]
    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    pub(crate) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
}

impl Clone for Identity {
    fn clone(&self) -> Identity {
        Identity {
            principal: self.principal.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            authority: self.authority.clone(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Identity").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// Why a certificate does not say who somebody is. Final: another certificate is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The peer showed no certificate. TLS refuses that before anybody can ask.
    #[error("the peer showed no certificate")]
    Missing,
    /// Not a certificate.
    #[error("this is not an X.509 certificate")]
    Unreadable,
    /// A certificate of some other purpose.
    #[error(
        "the certificate names no weir principal: it needs exactly one URI such as weir:node/3 or weir:client/alice"
    )]
    NoPrincipal,
    /// A `weir:` URI that breaks the grammar.
    #[error("the certificate names '{}', which is neither weir:node/NUMBER nor weir:client/NAME", .0.escape_default())]
    Uri(String),
    /// The private key does not go with the certificate.
    #[error("the private key does not belong to the certificate")]
    WrongKey,
    /// Another authority signed it.
    #[error("the certificate was not issued by this cluster's authority")]
    Foreign,
    /// It was valid once.
    #[error("the certificate has expired")]
    Expired,
    /// It will be valid, or this host's clock is behind.
    #[error("the certificate is not valid yet: check this host's clock")]
    NotYetValid,
    /// The handshake agreed on something that is not one of ours.
    #[error("the connection agreed on no protocol of weir's")]
    Protocol,
}

/// Who is at the other end. Call it after the handshake.
///
/// # Errors
/// [`IdentityError`] when the certificate names nobody: the connection must be closed.
pub fn peer_principal(connection: &quinn::Connection) -> Result<Principal, IdentityError> {
    let identity = connection.peer_identity().ok_or(IdentityError::Missing)?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| IdentityError::Missing)?;
    principal_of(chain.first().ok_or(IdentityError::Missing)?)
}

/// What the handshake agreed on.
///
/// # Errors
/// [`IdentityError::Protocol`]; TLS does not let that happen between two ends of ours.
pub fn negotiated_protocol(connection: &quinn::Connection) -> Result<Protocol, IdentityError> {
    let data = connection.handshake_data().ok_or(IdentityError::Protocol)?;
    let data = data.downcast::<HandshakeData>().map_err(|_| IdentityError::Protocol)?;
    data.protocol.as_deref().and_then(Protocol::from_alpn).ok_or(IdentityError::Protocol)
}

/// The one principal that a certificate names.
///
/// # Errors
/// [`IdentityError`], also when it names two: which one was meant is nobody's to guess.
pub fn principal_of(certificate: &CertificateDer<'_>) -> Result<Principal, IdentityError> {
    if certificate.len() > CERTIFICATE_BYTES_MAX {
        return Err(IdentityError::Unreadable);
    }
    let (rest, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable);
    }
    let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
    let names = names.ok_or(IdentityError::NoPrincipal)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse(),
        _ => Err(IdentityError::NoPrincipal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_has_one_spelling() {
        for (uri, principal) in [
            ("weir:node/0", Principal::Node(NodeId(0))),
            ("weir:node/4294967295", Principal::Node(NodeId(u32::MAX))),
            ("weir:client/alice", Principal::Client("alice".to_owned())),
            ("weir:client/a.b_c-9", Principal::Client("a.b_c-9".to_owned())),
        ] {
            assert_eq!(uri.parse::<Principal>(), Ok(principal.clone()));
            assert_eq!(principal.to_string(), uri);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("weir:client/{}", "x".repeat(101));
        for uri in [
            "",
            "weir:",
            "weir:node/",
            "weir:node/03",
            "weir:node/+3",
            "weir:node/-3",
            "weir:node/4294967296",
            "weir:node/3/",
            "weir:node/3 ",
            "WEIR:node/3",
            "weir://node/3",
            "weir:client/",
            "weir:client/a/b",
            "weir:client/..",
            "weir:client/a\nb",
            "weir:client/%61",
            "weir:plugin/x",
            "https://example.com/weir:node/3",
            &long,
        ] {
            let error = uri.parse::<Principal>().unwrap_err();
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn clients_may_not_speak_the_nodes_protocols() {
        let client = Principal::client("alice").unwrap();
        let node = Principal::Node(NodeId(1));
        for protocol in Protocol::ALL {
            assert!(node.may_speak(protocol));
            assert_eq!(client.may_speak(protocol), protocol == Protocol::Client);
            assert_eq!(Protocol::from_alpn(protocol.alpn()), Some(protocol));
        }
        assert_eq!(Protocol::from_alpn(b"h3"), None);
        assert_eq!(Protocol::Replication.to_string(), "weir-repl/1");
    }

    #[test]
    fn what_is_not_a_certificate_is_said_to_be_none() {
        for bytes in [&b""[..], b"garbage", &[0x30; 40_000]] {
            assert_eq!(principal_of(&CertificateDer::from(bytes)), Err(IdentityError::Unreadable));
        }
    }
}
