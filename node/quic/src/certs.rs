//! Certificates in folders.
//!
//! ```text
//! certs/                 what clients read; safe to copy to them
//!   ca.pem               the authority's certificate
//!   client.pem           a client's certificate (weir:client/admin)
//!   client.key           and its key                                   0600
//!   authority/           never leaves the operator                     0700
//!     authority.pem      the authority's certificate
//!     authority.key      and its key                                   0600
//!
//! DATA/node/             what one node proves itself with
//!   ca.pem  node-3.pem  node-3.key
//! ```
//!
//! Several nodes may start at once on one empty folder. Every step is either a whole file or folder put in place
//! under a name that is not taken yet (the first wins, the others read what won), or a certificate for a key that
//! is already there (any of them will do). So there is no lock to be left behind by a process that died.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use weir_wire::ids::NodeId;

use crate::authority::{Authority, MakeError};
use crate::files::{self, Readers};
use crate::identity::{Identity, IdentityError, Principal};

/// The authority's certificate.
pub const AUTHORITY_PEM: &str = "ca.pem";
/// A client's certificate.
pub const CLIENT_PEM: &str = "client.pem";
/// The key to it.
pub const CLIENT_KEY: &str = "client.key";
/// The folder that only the operator and the operator's nodes open.
pub const AUTHORITY_FOLDER: &str = "authority";
/// The name of the client whose certificate a node makes on its first start.
pub const DEFAULT_CLIENT_NAME: &str = "admin";

const AUTHORITY_FOLDER_PEM: &str = "authority.pem";
const AUTHORITY_FOLDER_KEY: &str = "authority.key";

/// What a node proves itself with, whatever way its operator took.
///
/// - `certs` holds an authority: the node makes its certificate from it, in `node_folder`.
/// - `certs` holds certificates that were carried over (`weir certs node`): the node's own is taken from there.
/// - `certs` is empty or missing: the node makes an authority, a client certificate and its own.
///
/// # Errors
/// [`CertsError`]; each says what to do.
pub fn for_node(certs: &Path, node_folder: &Path, id: NodeId, now: Duration) -> Result<Identity, CertsError> {
    if !exists(&certs.join(AUTHORITY_FOLDER))? && exists(&certs.join(AUTHORITY_PEM))? {
        return load_node(certs, id, now);
    }
    let authority = ensure_authority(certs, now)?;
    ensure_client(certs, &authority, DEFAULT_CLIENT_NAME, now)?;
    ensure_node(node_folder, &authority, id, now)
}

/// The authority of a certs folder, made if the folder is empty or missing. Several processes may ask at once:
/// one of them makes it, all of them get it.
///
/// # Errors
/// [`CertsError::OnlyCertificate`] when the folder is one that clients were given; input and output.
pub fn ensure_authority(certs: &Path, now: Duration) -> Result<Authority, CertsError> {
    files::create_folders(certs).map_err(|error| CertsError::unwritable(certs, error))?;
    let folder = certs.join(AUTHORITY_FOLDER);
    if !exists(&folder.join(AUTHORITY_FOLDER_KEY))? {
        // `ca.pem` is put in place after the key. Where it is and the key still is not, no other process is at it.
        if exists(&certs.join(AUTHORITY_PEM))? && !exists(&folder.join(AUTHORITY_FOLDER_KEY))? {
            return Err(CertsError::OnlyCertificate { folder: certs.to_owned() });
        }
        let new = Authority::generate(now)?;
        let key = key_pem(&new.private_key());
        let certificate = certificate_pem(new.certificate());
        let files: [(&str, &[u8]); 2] =
            [(AUTHORITY_FOLDER_PEM, certificate.as_bytes()), (AUTHORITY_FOLDER_KEY, key.as_bytes())];
        // Whether it was placed or another process was faster: what counts is what is there now.
        files::create_private_folder(&folder, &files)
            .map_err(|error| CertsError::unwritable(&folder, error))?;
    }
    let authority = load_authority(certs)?;
    place_authority_pem(certs, &authority)?;
    Ok(authority)
}

/// The authority of a certs folder.
///
/// # Errors
/// [`CertsError::NoAuthority`] when there is none; unreadable and damaged files.
pub fn load_authority(certs: &Path) -> Result<Authority, CertsError> {
    let folder = certs.join(AUTHORITY_FOLDER);
    let certificate_path = folder.join(AUTHORITY_FOLDER_PEM);
    let key_path = folder.join(AUTHORITY_FOLDER_KEY);
    let missing = || CertsError::NoAuthority { folder: certs.to_owned() };
    let certificate = read_certificate(&certificate_path, missing)?;
    let key = read_key(&key_path, missing)?;
    Authority::from_parts(certificate, &key).map_err(|error| CertsError::unfit(&key_path, error))
}

/// Makes sure that `folder` holds a client's certificate, its key and `ca.pem`; the folder can then be given to
/// that client. A certificate that expired is renewed.
///
/// # Errors
/// [`CertsError`], among them [`CertsError::OtherHolder`] when the folder is another client's.
pub fn ensure_client(
    folder: &Path,
    authority: &Authority,
    name: &str,
    now: Duration,
) -> Result<Identity, CertsError> {
    let principal = Principal::client(name)
        .map_err(|error| CertsError::Name { name: name.to_owned(), reason: error.to_string() })?;
    ensure(&Place::client(folder), authority, &principal, now)
}

/// Makes sure that `folder` holds the certificate of node `id`, its key and `ca.pem`. A certificate that expired
/// is renewed.
///
/// # Errors
/// [`CertsError`].
pub fn ensure_node(
    folder: &Path,
    authority: &Authority,
    id: NodeId,
    now: Duration,
) -> Result<Identity, CertsError> {
    ensure(&Place::node(folder, id), authority, &Principal::Node(id), now)
}

/// What a client proves itself with. Never looks into the authority's folder.
///
/// # Errors
/// [`CertsError`]; each says what to do.
pub fn load_client(certs: &Path, now: Duration) -> Result<Identity, CertsError> {
    let place = Place::client(certs);
    let identity = place.load(|| CertsError::NoClient { folder: certs.to_owned() })?;
    place.check(&identity, now)?;
    Ok(identity)
}

/// What node `id` proves itself with.
///
/// # Errors
/// [`CertsError`]; each says what to do.
pub fn load_node(folder: &Path, id: NodeId, now: Duration) -> Result<Identity, CertsError> {
    let place = Place::node(folder, id);
    let identity = place.load(|| CertsError::NoNode { folder: folder.to_owned(), id })?;
    place.check(&identity, now)?;
    place.check_holder(&identity, &Principal::Node(id))?;
    Ok(identity)
}

/// Why certificates could not be loaded or made. All are for the operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// The folder holds no client certificate.
    #[error("no client certificate in {}: pass --certs DIR or set WEIR_CERTS; a node writes them under DATA/certs", .folder.display())]
    NoClient {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The folder holds no certificate of that node.
    #[error("no certificate of node {id} in {}: make one where the authority is, with weir certs node, and carry it over", .folder.display())]
    NoNode {
        /// Where it was looked for.
        folder: PathBuf,
        /// Whose it would be.
        id: NodeId,
    },
    /// The folder holds no authority.
    #[error("no authority in {}: pass --certs DIR, or make one with weir certs authority", .folder.display())]
    NoAuthority {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A client's copy of a certs folder.
    #[error("{} holds the certificate of an authority but not its key: run this where the authority was made, or choose an empty folder", .folder.display())]
    OnlyCertificate {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system does not let it be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system does not let it be written.
    #[error("cannot write {}: {source}", .path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Something else is in the file.
    #[error("{} is not a PEM file with a {expected}: restore it, or remove it and make it anew", .path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// It is a certificate or key, but not one that can be used.
    #[error("{} cannot be used: {reason}", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: IdentityError,
    },
    /// The folder belongs to two authorities.
    #[error("{} was not issued by the authority in {}: pass the --certs folder that it came from, or remove it to have it made anew", .path.display(), .authority.display())]
    OtherAuthority {
        /// The certificate.
        path: PathBuf,
        /// The file of the authority that did not issue it.
        authority: PathBuf,
    },
    /// The certificate is somebody else's.
    #[error("{} belongs to {found}, not to {expected}: choose another folder", .path.display())]
    OtherHolder {
        /// The certificate.
        path: PathBuf,
        /// Whose it is.
        found: Principal,
        /// Whose it should be.
        expected: Principal,
    },
    /// The client's name breaks a rule.
    #[error("'{}' cannot be a client's name: {reason}", .name.escape_default())]
    Name {
        /// The name.
        name: String,
        /// The rule.
        reason: String,
    },
    /// It could not be made.
    #[error(transparent)]
    Make(#[from] MakeError),
}

impl CertsError {
    fn unreadable(path: &Path, source: io::Error) -> CertsError {
        CertsError::Unreadable { path: path.to_owned(), source }
    }

    fn unwritable(path: &Path, source: io::Error) -> CertsError {
        CertsError::Unwritable { path: path.to_owned(), source }
    }

    fn unfit(path: &Path, error: MakeError) -> CertsError {
        match error {
            MakeError::Identity(reason) => CertsError::Unfit { path: path.to_owned(), reason },
            other => CertsError::Make(other),
        }
    }
}

/// Where one holder's three files are.
struct Place {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Place {
    fn client(folder: &Path) -> Place {
        Place {
            authority: folder.join(AUTHORITY_PEM),
            certificate: folder.join(CLIENT_PEM),
            key: folder.join(CLIENT_KEY),
        }
    }

    fn node(folder: &Path, id: NodeId) -> Place {
        Place {
            authority: folder.join(AUTHORITY_PEM),
            certificate: folder.join(format!("node-{id}.pem")),
            key: folder.join(format!("node-{id}.key")),
        }
    }

    fn load(&self, missing: impl Fn() -> CertsError) -> Result<Identity, CertsError> {
        let certificate = read_certificate(&self.certificate, &missing)?;
        let key = read_key(&self.key, &missing)?;
        let authority = read_certificate(&self.authority, &missing)?;
        Identity::new(certificate, key, authority).map_err(|reason| self.unfit(reason))
    }

    fn check(&self, identity: &Identity, now: Duration) -> Result<(), CertsError> {
        identity.check(now).map_err(|reason| self.unfit(reason))
    }

    fn check_holder(&self, identity: &Identity, expected: &Principal) -> Result<(), CertsError> {
        if identity.principal() == expected {
            return Ok(());
        }
        Err(CertsError::OtherHolder {
            path: self.certificate.clone(),
            found: identity.principal().clone(),
            expected: expected.clone(),
        })
    }

    fn unfit(&self, reason: IdentityError) -> CertsError {
        let path = self.certificate.clone();
        match reason {
            IdentityError::Foreign => CertsError::OtherAuthority { path, authority: self.authority.clone() },
            reason => CertsError::Unfit { path, reason },
        }
    }
}

/// The key first, and once: then every certificate that anybody issues for it is as good as the other.
fn ensure(
    place: &Place,
    authority: &Authority,
    principal: &Principal,
    now: Duration,
) -> Result<Identity, CertsError> {
    let folder = place.key.parent().unwrap_or(Path::new("."));
    files::create_folders(folder).map_err(|error| CertsError::unwritable(folder, error))?;
    place_authority_pem(folder, authority)?;
    if !exists(&place.key)? {
        let key = key_pem(&authority.new_private_key(principal)?);
        files::create(&place.key, key.as_bytes(), Readers::Owner)
            .map_err(|error| CertsError::unwritable(&place.key, error))?;
    }
    if exists(&place.certificate)? {
        let identity = place.load(|| CertsError::NoClient { folder: folder.to_owned() })?;
        place.check_holder(&identity, principal)?;
        match identity.check(now) {
            Ok(()) => return Ok(identity),
            Err(IdentityError::Expired) => {}
            Err(reason) => return Err(place.unfit(reason)),
        }
    }
    let key = read_key(&place.key, || CertsError::NoClient { folder: folder.to_owned() })?;
    let identity =
        authority.issue_for(principal, &key, now).map_err(|error| CertsError::unfit(&place.key, error))?;
    let certificate = certificate_pem(identity.certificate());
    files::replace(&place.certificate, certificate.as_bytes(), Readers::Everybody)
        .map_err(|error| CertsError::unwritable(&place.certificate, error))?;
    Ok(identity)
}

/// Puts `ca.pem` in place, or checks that the one there is this authority's.
fn place_authority_pem(folder: &Path, authority: &Authority) -> Result<(), CertsError> {
    let path = folder.join(AUTHORITY_PEM);
    let pem = certificate_pem(authority.certificate());
    files::create(&path, pem.as_bytes(), Readers::Everybody)
        .map_err(|error| CertsError::unwritable(&path, error))?;
    let there = read_certificate(&path, || CertsError::NoAuthority { folder: folder.to_owned() })?;
    if there == *authority.certificate() {
        return Ok(());
    }
    Err(CertsError::OtherAuthority { path, authority: PathBuf::from(AUTHORITY_FOLDER) })
}

fn exists(path: &Path) -> Result<bool, CertsError> {
    files::exists(path).map_err(|error| CertsError::unreadable(path, error))
}

fn read_certificate(
    path: &Path,
    missing: impl Fn() -> CertsError,
) -> Result<CertificateDer<'static>, CertsError> {
    CertificateDer::from_pem_slice(&read(path, missing)?)
        .map_err(|_| CertsError::NotPem { path: path.to_owned(), expected: "certificate" })
}

fn read_key(path: &Path, missing: impl Fn() -> CertsError) -> Result<PrivateKeyDer<'static>, CertsError> {
    PrivateKeyDer::from_pem_slice(&read(path, missing)?)
        .map_err(|_| CertsError::NotPem { path: path.to_owned(), expected: "private key" })
}

fn read(path: &Path, missing: impl Fn() -> CertsError) -> Result<Vec<u8>, CertsError> {
    files::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(),
        _ => CertsError::unreadable(path, error),
    })
}

fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    pem("CERTIFICATE", certificate)
}

fn key_pem(key: &PrivateKeyDer<'_>) -> String {
    pem("PRIVATE KEY", key.secret_der())
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}
