//! Why a stream or a connection ended, as a code and a sentence.

use std::fmt;

use quinn::{ApplicationClose, ConnectionClose, ConnectionError, VarInt};

/// Longest reason that is sent or shown, in characters.
pub const REASON_CHARS_MAX: usize = 300;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal, $sentence:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A code of a newer version.
            Unknown(u64),
        }

        impl $name {
            /// The number that travels.
            #[must_use]
            pub fn number(self) -> u64 {
                match self {
                    $($name::$variant => $value,)*
                    $name::Unknown(number) => number,
                }
            }

            /// What it means, as the end of a sentence.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self {
                    $($name::$variant => $sentence,)*
                    $name::Unknown(_) => "a reason that this version does not know",
                }
            }
        }

        impl From<VarInt> for $name {
            fn from(number: VarInt) -> $name {
                match number.into_inner() {
                    $($value => $name::$variant,)*
                    number => $name::Unknown(number),
                }
            }
        }

        impl From<$name> for VarInt {
            fn from(code: $name) -> VarInt {
                // Only numbers that arrived as one can be too large for one, and those are not.
                VarInt::from_u64(code.number()).unwrap_or(VarInt::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $name::Unknown(number) => write!(f, "code {number}"),
                    known => f.write_str(known.sentence()),
                }
            }
        }
    };
}

codes! {
    /// Why one side stopped a stream (STOP_SENDING, RESET_STREAM). The numbers travel, and never change meaning.
    StreamCode {
        /// Nothing more is wanted or needed.
        Done = 0, "it is no longer needed";
        /// A frame broke the protocol.
        Protocol = 1, "a frame broke the protocol";
        /// A frame was larger than the stream's kind allows.
        TooLarge = 2, "a frame was too large";
        /// The sender gave up in the middle of a frame.
        Cancelled = 3, "the sender gave up in the middle of a frame";
        /// The stream's kind or version is not served.
        Unsupported = 4, "this kind of stream is not served";
        /// The principal may not do that.
        Unauthorized = 5, "this is not allowed";
        /// The receiver has too much to do.
        Overloaded = 6, "there is too much to do";
        /// The process is going down.
        ShuttingDown = 7, "the process is shutting down";
        /// Another stream took its place.
        Superseded = 8, "another stream took its place";
        /// A mistake in the program.
        Internal = 9, "an internal error";
    }
}

codes! {
    /// Why one side closed a connection. The numbers travel, and never change meaning.
    CloseCode {
        /// Nothing more is wanted.
        Done = 0, "it is no longer needed";
        /// The process is going down.
        ShuttingDown = 1, "the process is shutting down";
        /// The peer broke the protocol.
        Protocol = 2, "the protocol was broken";
        /// The certificate is good, but not for this.
        Unauthorized = 3, "the certificate does not allow it";
        /// The process serves as many connections as it may.
        TooManyConnections = 4, "there are too many connections";
        /// Another connection took its place.
        Superseded = 5, "another connection took its place";
        /// A mistake in the program.
        Internal = 6, "an internal error";
    }
}

/// Closes a connection with a code and a sentence that the peer can show its user. Secrets have no place in it.
pub fn close(connection: &quinn::Connection, code: CloseCode, reason: &str) {
    connection.close(code.into(), presentable(reason.as_bytes()).as_bytes());
}

/// Why a connection is over, or never came to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionEnd {
    /// The peer closed it and said why.
    #[error("the peer closed the connection because {code}{}", with_colon(.reason))]
    Closed {
        /// The kind of reason.
        code: CloseCode,
        /// The peer's own words; may be empty.
        reason: String,
    },
    /// This side closed it.
    #[error("the connection was closed on this side")]
    ClosedHere,
    /// The peer lost its state: it was restarted.
    #[error("the peer was restarted")]
    Restarted,
    /// Nothing was heard for [`crate::config::IDLE_TIMEOUT`].
    #[error("the peer has not been heard from for too long")]
    TimedOut,
    /// The peer takes no more connections for now.
    #[error("the peer refuses new connections for now")]
    Refused,
    /// The peer did not accept this side's certificate.
    #[error(
        "the peer does not accept this certificate ({detail}): use one that this cluster's authority issued (--certs)"
    )]
    CertificateRefused {
        /// The alert, in words.
        detail: &'static str,
    },
    /// This side did not accept the peer's certificate.
    #[error("the peer's certificate is not to be trusted ({detail}): does --certs belong to this cluster?")]
    PeerUntrusted {
        /// What is wrong with it.
        detail: String,
    },
    /// The two ends share no protocol.
    #[error("the peer does not speak the protocol that was asked for: is it a weir node, of this version?")]
    NoCommonProtocol,
    /// Anything else that QUIC or TLS had against it.
    #[error("the connection failed: {detail}")]
    Failed {
        /// quinn's words.
        detail: String,
    },
}

impl ConnectionEnd {
    /// Whether connecting again may help. What it does not help against needs another certificate or version.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            ConnectionEnd::Closed { code, .. } => {
                !matches!(code, CloseCode::Unauthorized | CloseCode::Protocol | CloseCode::Superseded)
            }
            ConnectionEnd::Restarted
            | ConnectionEnd::TimedOut
            | ConnectionEnd::Refused
            | ConnectionEnd::Failed { .. } => true,
            ConnectionEnd::ClosedHere
            | ConnectionEnd::CertificateRefused { .. }
            | ConnectionEnd::PeerUntrusted { .. }
            | ConnectionEnd::NoCommonProtocol => false,
        }
    }
}

impl From<ConnectionError> for ConnectionEnd {
    fn from(error: ConnectionError) -> ConnectionEnd {
        match error {
            ConnectionError::ApplicationClosed(ApplicationClose { error_code, reason }) => {
                ConnectionEnd::Closed { code: error_code.into(), reason: presentable(&reason) }
            }
            ConnectionError::ConnectionClosed(ConnectionClose { error_code, reason, .. }) => {
                by_peers_alert(error_code.into(), &reason)
            }
            ConnectionError::TransportError(error) => {
                by_own_alert(error.code.into(), &presentable(error.reason.as_bytes()))
            }
            ConnectionError::Reset => ConnectionEnd::Restarted,
            ConnectionError::TimedOut => ConnectionEnd::TimedOut,
            ConnectionError::LocallyClosed => ConnectionEnd::ClosedHere,
            other @ (ConnectionError::VersionMismatch | ConnectionError::CidsExhausted) => {
                ConnectionEnd::Failed { detail: other.to_string() }
            }
        }
    }
}

/// CONNECTION_REFUSED of RFC 9000, section 20.1.
const CONNECTION_REFUSED: u64 = 0x2;
/// no_application_protocol of RFC 7301.
const NO_APPLICATION_PROTOCOL: u64 = 120;

/// The TLS alert in a QUIC error code (RFC 9001, section 4.8).
fn alert(code: u64) -> Option<u64> {
    (0x100..0x200).contains(&code).then(|| code - 0x100)
}

/// The alerts of RFC 8446, section 6.2, that are about certificates.
fn certificate_alert(alert: u64) -> Option<&'static str> {
    match alert {
        42 => Some("it is damaged or not fit for this"),
        43 => Some("its kind is not supported"),
        44 => Some("it was revoked"),
        45 => Some("it has expired"),
        46 => Some("it cannot be used"),
        48 => Some("another authority issued it"),
        49 => Some("access is denied"),
        51 => Some("its signature is wrong"),
        116 => Some("there is none"),
        _ => None,
    }
}

fn by_peers_alert(code: u64, reason: &[u8]) -> ConnectionEnd {
    match alert(code) {
        Some(NO_APPLICATION_PROTOCOL) => ConnectionEnd::NoCommonProtocol,
        Some(alert) if certificate_alert(alert).is_some() => {
            ConnectionEnd::CertificateRefused { detail: certificate_alert(alert).unwrap_or_default() }
        }
        None if code == CONNECTION_REFUSED => ConnectionEnd::Refused,
        _ => ConnectionEnd::Failed {
            detail: format!("the peer reports error {code:#x}{}", with_colon(&presentable(reason))),
        },
    }
}

fn by_own_alert(code: u64, reason: &str) -> ConnectionEnd {
    match alert(code) {
        Some(NO_APPLICATION_PROTOCOL) => ConnectionEnd::NoCommonProtocol,
        Some(alert) if certificate_alert(alert).is_some() => {
            ConnectionEnd::PeerUntrusted { detail: reason.to_owned() }
        }
        _ => ConnectionEnd::Failed { detail: format!("error {code:#x}{}", with_colon(reason)) },
    }
}

fn with_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// A stranger's words, fit for a terminal and a log: no control characters, not long.
fn presentable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(REASON_CHARS_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire() {
        for number in 0..20 {
            let wire = VarInt::from_u32(number);
            assert_eq!(VarInt::from(StreamCode::from(wire)), wire);
            assert_eq!(VarInt::from(CloseCode::from(wire)), wire);
        }
        assert_eq!(StreamCode::from(VarInt::from_u32(3)), StreamCode::Cancelled);
        assert_eq!(CloseCode::from(VarInt::from_u32(1)), CloseCode::ShuttingDown);
        assert_eq!(CloseCode::from(VarInt::MAX), CloseCode::Unknown(VarInt::MAX.into_inner()));
    }

    #[test]
    fn a_peers_words_cannot_take_over_a_terminal() {
        let words = presentable(b"stop\x1b[2J\nnow\xff");
        assert_eq!(words, "stop\u{fffd}[2J\u{fffd}now\u{fffd}");
        assert_eq!(presentable(&[b'x'; 5000]).len(), REASON_CHARS_MAX);
    }

    #[test]
    fn endings_say_what_to_do() {
        let closed = ConnectionError::ApplicationClosed(ApplicationClose {
            error_code: CloseCode::Unauthorized.into(),
            reason: "weir:client/bob may not speak weir-repl/1".into(),
        });
        let end = ConnectionEnd::from(closed);
        assert_eq!(
            end.to_string(),
            "the peer closed the connection because the certificate does not allow it: \
             weir:client/bob may not speak weir-repl/1"
        );
        assert!(!end.is_retryable());
        assert!(ConnectionEnd::from(ConnectionError::Reset).is_retryable());
        assert_eq!(by_peers_alert(0x2, b""), ConnectionEnd::Refused);
        assert_eq!(by_peers_alert(0x178, b""), ConnectionEnd::NoCommonProtocol);
        assert!(matches!(
            by_peers_alert(0x174, b""),
            ConnectionEnd::CertificateRefused { detail: "there is none" }
        ));
    }
}
