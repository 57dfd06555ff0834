//! Certificates in folders.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use weir_quic::authority::CERTIFICATE_VALID;
use weir_quic::certs::{self, CertsError};
use weir_quic::{Authority, Identity, IdentityError, Principal};
use weir_wire::ids::NodeId;

use crate::support::NOW;

const RACERS: u32 = 8;

/// Runs `act` on all threads at the same moment.
fn race<T: Send + 'static>(act: impl Fn(u32) -> T + Send + Sync + 'static) -> Vec<T> {
    let (act, barrier) = (Arc::new(act), Arc::new(Barrier::new(usize::try_from(RACERS).unwrap())));
    let racers: Vec<_> = (0..RACERS)
        .map(|number| {
            let (act, barrier) = (Arc::clone(&act), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                act(number)
            })
        })
        .collect();
    racers.into_iter().map(|racer| racer.join().unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn of_many_that_make_an_authority_one_wins() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("deep/certs");
        let theirs = certs.clone();
        let made = race(move |_| certs::ensure_authority(&theirs, NOW).unwrap());
        assert!(made.iter().all(|authority| authority.certificate() == made[0].certificate()));
        assert_eq!(names(&certs), ["authority", "ca.pem"], "drafts are cleared away");
        assert_eq!(names(&certs.join("authority")), ["authority.key", "authority.pem"]);
        let later = certs::ensure_authority(&certs, NOW).unwrap();
        assert_eq!(later.certificate(), made[0].certificate());
    }
}

#[test]
fn nodes_that_start_at_once_share_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let nodes = race(move |number| {
        // Half of them are second starts of the same node, which must not disturb each other either.
        let id = NodeId(number / 2);
        let node = certs::for_node(&root.join("certs"), &root.join(format!("node-{id}")), id, NOW).unwrap();
        assert_eq!(node.principal(), &Principal::Node(id));
        node
    });
    let client = certs::load_client(&folder.path().join("certs"), NOW).unwrap();
    assert_eq!(client.principal(), &Principal::Client("admin".to_owned()));
    for identity in nodes.iter().chain([&client]) {
        assert_eq!(identity.authority(), client.authority());
        identity.check(NOW).unwrap();
    }
    assert_eq!(names(&folder.path().join("certs")), ["authority", "ca.pem", "client.key", "client.pem"]);
    assert_eq!(names(&folder.path().join("node-3")), ["ca.pem", "node-3.key", "node-3.pem"]);
    let again = certs::load_node(&folder.path().join("node-3"), NodeId(3), NOW).unwrap();
    again.check(NOW).unwrap();
}

#[cfg(unix)]
#[test]
fn keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    certs::for_node(folder.path(), folder.path(), NodeId(1), NOW).unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("authority"), 0o700);
    for key in ["authority/authority.key", "client.key", "node-1.key"] {
        assert_eq!(mode(key), 0o600, "{key}");
    }
    let secret = fs::read_to_string(folder.path().join("authority/authority.key")).unwrap();
    let secret = secret.lines().nth(1).unwrap().to_owned();
    for name in names(folder.path()).iter().filter(|name| *name != "authority") {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(!text.contains(&secret), "{name} holds the authority's key");
    }
}

#[test]
fn a_missing_client_certificate_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    assert_eq!(
        certs::load_client(&missing, NOW).unwrap_err().to_string(),
        format!(
            "no client certificate in {}: pass --certs DIR or set WEIR_CERTS; a node writes them under DATA/certs",
            missing.display()
        )
    );
    let error = certs::load_node(folder.path(), NodeId(7), NOW).unwrap_err().to_string();
    assert!(error.starts_with("no certificate of node 7 in "), "{error}");
    let error = certs::load_authority(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("no authority in "), "{error}");
}

fn made_client(folder: &Path) -> Identity {
    let authority = Authority::generate(NOW).unwrap();
    certs::ensure_client(folder, &authority, "alice", NOW).unwrap()
}

#[test]
fn damaged_files_are_named() {
    for (file, expected) in
        [("client.pem", "certificate"), ("ca.pem", "certificate"), ("client.key", "private key")]
    {
        for damage in ["", "not PEM at all", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"]
        {
            let folder = tempfile::tempdir().unwrap();
            made_client(folder.path());
            fs::write(folder.path().join(file), damage).unwrap();
            let error = certs::load_client(folder.path(), NOW).unwrap_err();
            assert!(matches!(&error, CertsError::NotPem { .. }), "{file} {damage:?}: {error:?}");
            assert!(
                error.to_string().contains(&format!("{file} is not a PEM file with a {expected}")),
                "{error}"
            );
        }
    }
}

#[test]
fn unreadable_and_endless_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    made_client(folder.path());
    let key = folder.path().join("client.key");
    fs::remove_file(&key).unwrap();
    // A folder in its place: also the superuser cannot read that as a file.
    fs::create_dir(&key).unwrap();
    let error = certs::load_client(folder.path(), NOW).unwrap_err();
    assert!(matches!(&error, CertsError::Unreadable { path, .. } if *path == key), "{error:?}");

    fs::remove_dir(&key).unwrap();
    fs::File::create(&key).unwrap().write_all(&vec![b'A'; 1 << 20]).unwrap();
    let error = certs::load_client(folder.path(), NOW).unwrap_err();
    assert!(error.to_string().contains("too large to be a certificate or a key"), "{error}");
}

#[test]
fn files_of_two_clusters_do_not_mix() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made_client(ours.path());
    made_client(theirs.path());
    fs::copy(theirs.path().join("ca.pem"), ours.path().join("ca.pem")).unwrap();
    let error = certs::load_client(ours.path(), NOW).unwrap_err();
    assert!(matches!(&error, CertsError::OtherAuthority { .. }), "{error:?}");
    assert!(error.to_string().contains("client.pem was not issued by the authority in"), "{error}");

    fs::copy(theirs.path().join("client.pem"), ours.path().join("client.pem")).unwrap();
    let error = certs::load_client(ours.path(), NOW).unwrap_err();
    assert!(
        matches!(&error, CertsError::Unfit { reason: IdentityError::WrongKey, .. }),
        "their certificate with our key: {error:?}"
    );

    let authority = Authority::generate(NOW).unwrap();
    let error = certs::ensure_client(theirs.path(), &authority, "alice", NOW).unwrap_err();
    assert!(matches!(&error, CertsError::OtherAuthority { .. }), "{error:?}");
}

#[test]
fn a_clients_copy_of_the_folder_makes_no_new_authority() {
    let folder = tempfile::tempdir().unwrap();
    made_client(folder.path());
    let error = certs::ensure_authority(folder.path(), NOW).unwrap_err();
    assert!(matches!(&error, CertsError::OnlyCertificate { .. }), "{error:?}");
    fs::create_dir(folder.path().join("authority")).unwrap();
    let error = certs::ensure_authority(folder.path(), NOW).unwrap_err();
    assert!(matches!(&error, CertsError::OnlyCertificate { .. }), "an emptied authority folder: {error:?}");
    fs::remove_dir(folder.path().join("authority")).unwrap();
    let error = certs::for_node(folder.path(), folder.path(), NodeId(1), NOW).unwrap_err();
    assert!(matches!(&error, CertsError::NoNode { .. }), "{error:?}");
}

#[test]
fn certificates_can_be_carried_over() {
    let (operator, node) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = certs::ensure_authority(operator.path(), NOW).unwrap();
    let made = certs::ensure_node(node.path(), &authority, NodeId(5), NOW).unwrap();
    let loaded = certs::for_node(node.path(), &node.path().join("data"), NodeId(5), NOW).unwrap();
    assert_eq!(loaded.certificate(), made.certificate());
    let error = certs::for_node(node.path(), &node.path().join("data"), NodeId(6), NOW).unwrap_err();
    assert!(matches!(&error, CertsError::NoNode { id: NodeId(6), .. }), "{error:?}");
}

#[test]
fn a_folder_belongs_to_one_client() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate(NOW).unwrap();
    certs::ensure_client(folder.path(), &authority, "alice", NOW).unwrap();
    let error = certs::ensure_client(folder.path(), &authority, "bob", NOW).unwrap_err();
    assert!(error.to_string().contains("belongs to weir:client/alice, not to weir:client/bob"), "{error}");
    let error = certs::ensure_client(folder.path(), &authority, "../bob", NOW).unwrap_err();
    assert!(error.to_string().contains("'../bob' cannot be a client's name"), "{error}");
}

#[test]
fn expired_certificates_are_said_to_be_and_renewed_where_the_authority_is() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certs::ensure_authority(folder.path(), NOW).unwrap();
    let first = certs::ensure_client(folder.path(), &authority, "alice", NOW).unwrap();
    let later = NOW + CERTIFICATE_VALID + std::time::Duration::from_secs(1);
    let error = certs::load_client(folder.path(), later).unwrap_err();
    assert!(error.to_string().contains("client.pem cannot be used: the certificate has expired"), "{error}");
    let error = certs::load_client(folder.path(), std::time::Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("not valid yet: check this host's clock"), "{error}");
    let renewed = certs::ensure_client(folder.path(), &authority, "alice", later).unwrap();
    assert_ne!(renewed.certificate(), first.certificate());
    certs::load_client(folder.path(), later).unwrap();
}

#[test]
fn an_interrupted_start_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let authority = certs::ensure_authority(folder.path(), NOW).unwrap();
    let made = certs::ensure_client(folder.path(), &authority, "alice", NOW).unwrap();
    fs::remove_file(folder.path().join("client.pem")).unwrap();
    fs::remove_file(folder.path().join("ca.pem")).unwrap();
    let authority = certs::ensure_authority(folder.path(), NOW).unwrap();
    certs::ensure_client(folder.path(), &authority, "alice", NOW).unwrap();
    assert_eq!(certs::load_client(folder.path(), NOW).unwrap().certificate(), made.certificate());
}

#[test]
fn seeded_authorities_repeat_and_their_certificates_have_one_length() {
    let lengths: std::collections::BTreeSet<_> = (0..50)
        .map(|seed| {
            let authority = Authority::seeded([seed; 32], NOW).unwrap();
            let node = authority.issue(&Principal::Node(NodeId(3)), NOW).unwrap();
            let again = Authority::seeded([seed; 32], NOW).unwrap();
            assert_eq!(again.certificate(), authority.certificate());
            assert_eq!(
                again.issue(&Principal::Node(NodeId(3)), NOW).unwrap().certificate(),
                node.certificate()
            );
            node.check(NOW).unwrap();
            (authority.certificate().len(), node.certificate().len())
        })
        .collect();
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}
