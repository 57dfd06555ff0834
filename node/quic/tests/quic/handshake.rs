//! Who gets in, and what those who do not are told.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{RootCertStore, crypto::aws_lc_rs};
use weir_quic::authority::CERTIFICATE_VALID;
use weir_quic::config::IDLE_TIMEOUT;
use weir_quic::framed;
use weir_quic::identity::SERVER_NAME;
use weir_quic::{
    AcceptError, CloseCode, ConnectError, ConnectionEnd, Gate, GateLimits, Identity, Principal, Priority,
    Protocol, Server,
};
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;

use crate::support::{
    NOW, TestNetwork, authority, client, connector, loopback, node, pair, run, server, server_with,
};

#[test]
fn good_certificates_give_principals_on_both_sides() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        assert_eq!(pair.client.principal, Principal::Node(NodeId(1)));
        assert_eq!(pair.server.principal, Principal::Client("alice".to_owned()));
        assert_eq!((pair.client.protocol, pair.server.protocol), (Protocol::Client, Protocol::Client));
    });
}

#[test]
fn nodes_may_speak_every_protocol_to_each_other() {
    run(async {
        let network = TestNetwork::arc();
        let (server, addr) = server(&network, &node(1));
        let connector = connector(&network, &node(2));
        for protocol in Protocol::ALL {
            let (there, here) = tokio::join!(connector.connect(addr, protocol), establish(&server));
            assert_eq!((there.unwrap().protocol, here.as_ref().unwrap().protocol), (protocol, protocol));
            assert_eq!(here.unwrap().principal, Principal::Node(NodeId(2)));
        }
    });
}

#[test]
fn a_client_may_not_speak_the_nodes_protocols() {
    run(async {
        let network = TestNetwork::arc();
        let (server, addr) = server(&network, &node(1));
        let connector = connector(&network, &client("mallory"));
        for protocol in [Protocol::Replication, Protocol::Metadata] {
            let (there, here) = tokio::join!(connector.connect(addr, protocol), establish(&server));
            assert!(matches!(here, Err(AcceptError::NotAllowed { .. })), "{here:?}");
            let end = ConnectionEnd::from(there.unwrap().connection.closed().await);
            let ConnectionEnd::Closed { code: CloseCode::Unauthorized, reason } = &end else {
                panic!("{end:?}")
            };
            assert!(reason.contains("weir:client/mallory at 127.0.0.1:"), "{reason}");
            assert!(reason.ends_with(&format!("may not speak {protocol}")), "{reason}");
        }
    });
}

#[test]
fn a_protocol_that_is_not_ours_is_refused_in_the_handshake() {
    run(async {
        for alpn in [&[b"h3".to_vec()][..], &[b"weir-client/2".to_vec()], &[]] {
            let (there, here) = strangers_connection(Some(&client("alice")), alpn).await;
            assert_eq!(there, ConnectionEnd::NoCommonProtocol);
            assert!(
                matches!(here, AcceptError::Handshake { end: ConnectionEnd::NoCommonProtocol, .. }),
                "{here}"
            );
        }
    });
}

#[test]
fn a_peer_without_a_certificate_is_refused() {
    run(async {
        let (there, here) = strangers_connection(None, &[Protocol::Client.alpn().to_vec()]).await;
        assert_eq!(there, ConnectionEnd::CertificateRefused { detail: "there is none" });
        assert_eq!(
            there.to_string(),
            "the peer does not accept this certificate (there is none): \
             use one that this cluster's authority issued (--certs)"
        );
        assert!(matches!(here, AcceptError::Handshake { .. }), "{here}");
    });
}

#[test]
fn a_certificate_of_a_foreign_authority_is_refused() {
    run(async {
        let foreign = authority(2).issue(&Principal::Node(NodeId(2)), NOW).unwrap();
        let (there, here) = strangers_connection(Some(&foreign), &[Protocol::Metadata.alpn().to_vec()]).await;
        assert_eq!(there, ConnectionEnd::CertificateRefused { detail: "another authority issued it" });
        assert!(!there.is_retryable());
        assert!(
            matches!(here, AcceptError::Handshake { end: ConnectionEnd::PeerUntrusted { .. }, .. }),
            "{here}"
        );
    });
}

#[test]
fn a_node_of_a_foreign_authority_is_not_trusted() {
    run(async {
        let network = TestNetwork::arc();
        let (server, addr) = server(&network, &node(1));
        let foreign = authority(2).issue(&Principal::client("alice").unwrap(), NOW).unwrap();
        let connector = connector(&network, &foreign);
        let (there, here) = tokio::join!(connector.connect(addr, Protocol::Client), establish(&server));
        let error = there.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Failed { end: ConnectionEnd::PeerUntrusted { .. }, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("does --certs belong to this cluster?"), "{error}");
        assert!(!error.is_retryable());
        assert!(matches!(here, Err(AcceptError::Handshake { .. })), "{here:?}");
    });
}

#[test]
fn a_client_cannot_pass_for_a_node() {
    run(async {
        let network = TestNetwork::arc();
        let (server, addr) = server(&network, &client("mallory"));
        let connector = connector(&network, &client("alice"));
        let (there, _) = tokio::join!(connector.connect(addr, Protocol::Client), establish(&server));
        let error = there.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Failed { end: ConnectionEnd::PeerUntrusted { .. }, .. }),
            "{error}"
        );
    });
}

#[test]
fn certificates_run_out() {
    run(async {
        let late = TestNetwork::at(NOW + CERTIFICATE_VALID + Duration::from_secs(1));
        let (server, addr) = server(&late, &node(1));
        let connector = connector(&TestNetwork::arc(), &client("alice"));
        let (there, here) = tokio::join!(connector.connect(addr, Protocol::Client), establish(&server));
        assert!(matches!(here, Err(AcceptError::Handshake { .. })), "{here:?}");
        // Nothing tells the client before it waits for something.
        let end = ConnectionEnd::from(there.unwrap().connection.closed().await);
        assert_eq!(end, ConnectionEnd::CertificateRefused { detail: "it has expired" });
    });
}

#[test]
fn a_refused_certificate_shows_at_the_first_answer() {
    run(async {
        let network = TestNetwork::arc();
        let (server, addr) = server(&network, &node(1));
        let foreign = authority(2).issue(&Principal::client("alice").unwrap(), NOW).unwrap();
        let half =
            Identity::new(foreign.certificate().clone(), key(&foreign), authority(1).certificate().clone());
        let connector = connector(&network, &half.unwrap());
        let (there, here) = tokio::join!(connector.connect(addr, Protocol::Client), establish(&server));
        assert!(here.is_err());
        let peer = there.unwrap();
        let opened = framed::open(&peer.connection, Priority::Control, Limits::CONTROL).await;
        let end = match opened {
            Err(end) => end,
            Ok((_writer, mut reader)) => match reader.next_raw().await.unwrap_err() {
                weir_quic::ReadError::Connection(end) => end,
                other => panic!("{other:?}"),
            },
        };
        assert!(matches!(end, ConnectionEnd::CertificateRefused { .. }), "{end:?}");
    });
}

#[test]
fn nobody_there_is_said_so() {
    run(async {
        let network = TestNetwork::arc();
        let silent = std::net::UdpSocket::bind(loopback()).unwrap();
        let addr = silent.local_addr().unwrap();
        let connector = connector(&network, &client("alice"));
        let limit = Duration::from_millis(50);
        let error = connector.connect_within(addr, Protocol::Client, limit).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("no answer from {addr} within 50 ms: is a node running there?")
        );
        assert!(error.is_retryable());
    });
}

#[test]
fn a_full_node_refuses_and_recovers() {
    run(async {
        let network = TestNetwork::arc();
        let limits = GateLimits { connections_max: 1, ..GateLimits::default() };
        let (server, addr) = server_with(&network, &node(1), limits);
        let connector = connector(&network, &client("alice"));
        let (first, held) = tokio::join!(connector.connect(addr, Protocol::Client), establish(&server));
        let (_first, held) = (first.unwrap(), held.unwrap());

        let accepting = server.accept();
        tokio::pin!(accepting);
        let error = tokio::select! {
            connected = connector.connect(addr, Protocol::Client) => connected.unwrap_err(),
            _ = &mut accepting => panic!("a second connection was let in"),
        };
        assert!(matches!(&error, ConnectError::Failed { end: ConnectionEnd::Refused, .. }), "{error}");
        assert!(error.is_retryable());

        drop(held);
        let (again, here) = tokio::join!(connector.connect(addr, Protocol::Client), async {
            accepting.await.unwrap().establish().await
        });
        again.unwrap();
        here.unwrap();
    });
}

#[test]
fn under_load_newcomers_prove_their_address() {
    run(async {
        let network = TestNetwork::arc();
        let limits = GateLimits { handshakes_before_retry: 0, ..GateLimits::default() };
        let (server, addr) = server_with(&network, &node(1), limits);
        let connector = connector(&network, &client("alice"));
        let (there, here) = tokio::join!(connector.connect(addr, Protocol::Client), establish(&server));
        here.unwrap();
        // The first try was answered with a retry, so the client sent two first datagrams at least.
        assert!(there.unwrap().connection.stats().udp_tx.datagrams >= 2);
    });
}

#[test]
fn a_node_that_shuts_down_says_so() {
    run(async {
        let pair = pair(&TestNetwork::arc()).await;
        pair.endpoint.close(CloseCode::ShuttingDown, "node 1 goes down for maintenance");
        pair.endpoint.wait_idle().await;
        let end = ConnectionEnd::from(pair.client.connection.closed().await);
        assert_eq!(
            end,
            ConnectionEnd::Closed {
                code: CloseCode::ShuttingDown,
                reason: "node 1 goes down for maintenance".to_owned()
            }
        );
        assert!(end.is_retryable());
        assert!(pair.endpoint.accept().await.is_none());
    });
}

#[test]
fn a_killed_and_restarted_node_is_noticed_at_once() {
    run(async {
        let network = TestNetwork::arc();
        // The first life, in a runtime of its own that ends as a killed process does: without a word.
        let (kill, killed) = tokio::sync::oneshot::channel::<()>();
        let (tell_addr, addr) = tokio::sync::oneshot::channel();
        let theirs = Arc::clone(&network);
        let life = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let peer = runtime.block_on(async {
                let (server, addr) = server(&theirs, &node(1));
                tell_addr.send(addr).unwrap();
                let peer = establish(&server).await.unwrap();
                // A stream that went there and back shows that the handshake is confirmed on both sides.
                let (mut writer, mut reader) = framed::accept(&peer.connection).await.unwrap();
                reader.next::<u8>().await.unwrap().unwrap();
                writer.send(&2_u8, bytes::Bytes::new()).await.unwrap();
                killed.await.unwrap();
                (server, peer, writer, reader)
            });
            // The tasks that send end first; what they would have sent is lost with them.
            drop(runtime);
            drop(peer);
        });
        let addr = addr.await.unwrap();
        let connector = connector(&network, &client("alice"));
        let peer = connector.connect(addr, Protocol::Client).await.unwrap();
        let (mut writer, mut reader) =
            framed::open(&peer.connection, Priority::Control, Limits::CONTROL).await.unwrap();
        writer.send(&1_u8, bytes::Bytes::new()).await.unwrap();
        reader.next::<u8>().await.unwrap().unwrap();
        kill.send(()).unwrap();
        tokio::task::spawn_blocking(move || life.join().unwrap()).await.unwrap();

        let socket = network.bind(addr, 1).unwrap().remove(0);
        let _second = Server::new(&network, socket, &node(1), Gate::new(GateLimits::default())).unwrap();
        let before = tokio::time::Instant::now();
        writer.send(&3_u8, bytes::Bytes::from(vec![0; 200])).await.unwrap();
        let end = ConnectionEnd::from(peer.connection.closed().await);
        assert_eq!(end, ConnectionEnd::Restarted);
        assert!(before.elapsed() < IDLE_TIMEOUT / 3, "{:?}", before.elapsed());
    });
}

async fn establish(server: &Server) -> Result<weir_quic::Peer, AcceptError> {
    server.accept().await.unwrap().establish().await
}

/// Connects with hand-made TLS, as a stranger's program would, to a good node. What both sides make of it.
async fn strangers_connection(identity: Option<&Identity>, alpn: &[Vec<u8>]) -> (ConnectionEnd, AcceptError) {
    let network = TestNetwork::arc();
    let (server, addr) = server(&network, &node(1));
    let mut roots = RootCertStore::empty();
    roots.add(authority(1).certificate().clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match identity {
        Some(identity) => {
            builder.with_client_auth_cert(vec![identity.certificate().clone()], key(identity)).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = alpn.to_vec();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let (there, here) = tokio::join!(
        async {
            match endpoint.connect_with(config, addr, SERVER_NAME).unwrap().await {
                Ok(connection) => connection.closed().await.into(),
                Err(error) => ConnectionEnd::from(error),
            }
        },
        establish(&server)
    );
    (there, here.unwrap_err())
}

/// The key of an identity of a seeded authority, made a second time.
fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    let folder = tempfile::tempdir().unwrap();
    let number = if authority(1).certificate() == identity.authority() { 1 } else { 2 };
    let authority = authority(number);
    let (name, made) = match identity.principal() {
        Principal::Node(id) => (
            format!("node-{id}.key"),
            weir_quic::certs::ensure_node(folder.path(), &authority, *id, NOW).unwrap(),
        ),
        Principal::Client(name) => (
            "client.key".to_owned(),
            weir_quic::certs::ensure_client(folder.path(), &authority, name, NOW).unwrap(),
        ),
    };
    assert_eq!(made.certificate(), identity.certificate(), "seeded certificates repeat");
    PrivateKeyDer::from_pem_file(folder.path().join(name)).unwrap()
}
