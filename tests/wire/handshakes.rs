//! Who may not come in.

use std::sync::Arc;

use weir_quic::certs;
use weir_quic::identity::SERVER_NAME;
use weir_quic::quinn::crypto::rustls::QuicClientConfig;
use weir_quic::quinn::{self, rustls};
use weir_quic::{Authority, CloseCode, ConnectError, ConnectionEnd, Identity, Principal, Protocol};

use crate::support::{Target, attack};

/// How a connection with hand-made TLS ends, as a stranger's program would make it.
async fn stranger(target: &Target, with_certificate: bool, alpn: &[&[u8]]) -> ConnectionEnd {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let folder = target.node.certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(certs::AUTHORITY_PEM)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = if with_certificate {
        let certificate = CertificateDer::from_pem_file(folder.join(certs::CLIENT_PEM)).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join(certs::CLIENT_KEY)).unwrap();
        builder.with_client_auth_cert(vec![certificate], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    tls.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    match endpoint.connect_with(config, target.node.address(), SERVER_NAME).unwrap().await {
        Ok(connection) => connection.closed().await.into(),
        Err(error) => error.into(),
    }
}

#[test]
fn a_protocol_that_is_not_ours_is_refused() {
    attack(|target| async move {
        for alpn in [&[&b"h3"[..]][..], &[b"weir-client/2"], &[b"weir"], &[]] {
            assert_eq!(stranger(&target, true, alpn).await, ConnectionEnd::NoCommonProtocol);
        }
    });
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    attack(|target| async move {
        let end = stranger(&target, false, &[b"weir-client/1"]).await;
        assert_eq!(end, ConnectionEnd::CertificateRefused { detail: "there is none" });
        assert!(end.to_string().contains("--certs"), "{end}");
    });
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    attack(|target| async move {
        let now = target.network.unix_time();
        let foreign = Authority::generate(now).unwrap();
        let identity = foreign.issue(&Principal::client("admin").unwrap(), now).unwrap();
        let refused = target.connector(&identity).connect(target.node.address(), Protocol::Client).await;
        // Whose authority is another one does not trust the node either, and notices first.
        let Err(ConnectError::Failed { end, .. }) = refused else { panic!("let in") };
        assert!(matches!(end, ConnectionEnd::PeerUntrusted { .. }), "{end:?}");
        assert!(end.to_string().contains("--certs"), "{end}");
    });
}

#[test]
fn a_client_may_not_speak_the_nodes_protocols() {
    attack(|target| async move {
        for protocol in [Protocol::Replication, Protocol::Metadata] {
            let connector = target.connector(&target.identity);
            let end = match connector.connect(target.node.address(), protocol).await {
                Ok(peer) => ConnectionEnd::from(peer.connection.closed().await),
                Err(ConnectError::Failed { end, .. }) => end,
                Err(other) => panic!("{other}"),
            };
            let ConnectionEnd::Closed { code: CloseCode::Unauthorized, reason } = &end else {
                panic!("{end:?}")
            };
            assert!(reason.contains("may not speak"), "{reason}");
        }
    });
}

#[test]
fn a_client_cannot_pass_for_a_node() {
    attack(|target| async move {
        // The cluster's own authority, as if its key had leaked, but a name that no node may use twice.
        let authority = certs::load_authority(&target.node.certs()).unwrap();
        let identity: Identity =
            authority.issue(&Principal::client("mallory").unwrap(), target.network.unix_time()).unwrap();
        let peer =
            target.connector(&identity).connect(target.node.address(), Protocol::Client).await.unwrap();
        assert!(matches!(peer.principal, Principal::Node(_)), "who answers is a node");
    });
}
