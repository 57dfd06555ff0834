//! What certificates a folder holds, for a person who wants to know.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certs::{AUTHORITY_PEM, CertsError};
use crate::files;
use crate::identity::{IdentityError, Principal, principal_of};

/// A certificate in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCertificate {
    /// The file.
    pub path: PathBuf,
    /// Whose it is; `None` for the authority's own.
    pub principal: Option<Principal>,
    /// The authority that it names as its issuer.
    pub issuer: String,
    /// From when it is valid, since the Unix epoch.
    pub not_before: Duration,
    /// Until when it is valid, since the Unix epoch.
    pub not_after: Duration,
}

/// The certificates of a folder, by file name: every `.pem` file directly in it. Keys are not looked at.
///
/// # Errors
/// [`CertsError::NoAuthority`] when the folder holds none of ours; unreadable and damaged files.
pub fn list(folder: &Path) -> Result<Vec<ListedCertificate>, CertsError> {
    let unreadable = |source| CertsError::Unreadable { path: folder.to_owned(), source };
    let mut listed = Vec::new();
    for path in files::with_extension(folder, "pem").map_err(unreadable)? {
        let bytes =
            files::read(&path).map_err(|source| CertsError::Unreadable { path: path.clone(), source })?;
        let certificate = CertificateDer::from_pem_slice(&bytes)
            .map_err(|_| CertsError::NotPem { path: path.clone(), expected: "certificate" })?;
        listed.push(read(path, &certificate)?);
    }
    if listed.is_empty() {
        return Err(CertsError::NoAuthority { folder: folder.to_owned() });
    }
    Ok(listed)
}

fn read(path: PathBuf, certificate: &CertificateDer<'_>) -> Result<ListedCertificate, CertsError> {
    let unfit = |reason| CertsError::Unfit { path: path.clone(), reason };
    let is_authority = path.file_name().is_some_and(|name| name == AUTHORITY_PEM);
    let principal = if is_authority { None } else { Some(principal_of(certificate).map_err(unfit)?) };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| unfit(IdentityError::Unreadable))?;
    let name = parsed.issuer().iter_common_name().next().and_then(|name| name.as_str().ok());
    let since_epoch = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Ok(ListedCertificate {
        principal,
        issuer: name.unwrap_or_default().to_owned(),
        not_before: since_epoch(parsed.validity().not_before.timestamp()),
        not_after: since_epoch(parsed.validity().not_after.timestamp()),
        path,
    })
}
