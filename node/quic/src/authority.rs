//! Making certificates.
//!
//! Keys are Ed25519: signing is fast, signatures have one length and need no randomness, so that a simulation,
//! whose packets must have the same lengths in every run, uses the very code that nodes use. Every TLS stack that
//! speaks QUIC today takes them.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::identity::{Identity, IdentityError, Principal, SERVER_NAME};
use crate::tls;

/// How long before its making a certificate is valid already, for hosts whose clocks lag.
pub const VALID_BEFORE: Duration = Duration::from_secs(24 * 3600);
/// How long an authority is valid. Replacing it means replacing every certificate, so it outlives the cluster.
pub const AUTHORITY_VALID: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// How long node and client certificates are valid. There is no renewal while a node runs yet.
pub const CERTIFICATE_VALID: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A cluster's authority: what signs the certificates of its nodes and clients.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    keys: Keys,
}

/// Where the keys of issued certificates come from.
enum Keys {
    System,
    Seed([u8; 32]),
}

impl Authority {
    /// Makes a new authority at `now`, the time since the Unix epoch.
    ///
    /// # Errors
    /// [`MakeError`], for times that no certificate can carry.
    pub fn generate(now: Duration) -> Result<Authority, MakeError> {
        Authority::make(KeyPair::generate_for(&PKCS_ED25519)?, Keys::System, now)
    }

    /// Makes the authority of a seed. It and everything it issues repeat exactly, which is what simulations and
    /// tests want, and nobody else.
    ///
    /// # Errors
    /// As [`Authority::generate`].
    pub fn seeded(seed: [u8; 32], now: Duration) -> Result<Authority, MakeError> {
        let key = key_of_seed(&tls::hmac_sha256(&seed, b"authority"))?;
        Authority::make(key, Keys::Seed(seed), now)
    }

    /// Takes up an authority that was made before.
    ///
    /// # Errors
    /// [`MakeError`] when the key cannot be read or is not the certificate's.
    pub fn from_parts(
        certificate: CertificateDer<'static>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Authority, MakeError> {
        let key = key_pair(key)?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| IdentityError::Unreadable)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(IdentityError::WrongKey.into());
        }
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let params = issuer_params(name.ok_or(IdentityError::Unreadable)?);
        let issuer = Issuer::new(params, key);
        Ok(Authority { issuer, certificate, keys: Keys::System })
    }

    /// The authority's own certificate, which everybody may see.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// [`MakeError`].
    pub fn issue(&self, principal: &Principal, now: Duration) -> Result<Identity, MakeError> {
        let key = self.new_key(principal)?;
        self.issue_for(principal, &PrivateKeyDer::Pkcs8(key.serialize_der().into()), now)
    }

    /// Issues a certificate for a key that exists.
    ///
    /// # Errors
    /// [`MakeError`] when the key cannot be read.
    pub fn issue_for(
        &self,
        principal: &Principal,
        key: &PrivateKeyDer<'_>,
        now: Duration,
    ) -> Result<Identity, MakeError> {
        let pair = key_pair(key)?;
        let params = certificate_params(principal, &pair, now)?;
        let certificate = params.signed_by(&pair, &self.issuer)?.der().clone();
        Ok(Identity::new(certificate, key.clone_key(), self.certificate.clone())?)
    }

    pub(crate) fn new_private_key(&self, principal: &Principal) -> Result<PrivateKeyDer<'static>, MakeError> {
        Ok(PrivateKeyDer::Pkcs8(self.new_key(principal)?.serialize_der().into()))
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.issuer.key().serialize_der().into())
    }

    fn make(key: KeyPair, keys: Keys, now: Duration) -> Result<Authority, MakeError> {
        // Two authorities have two names, so that a foreign certificate is told apart by its issuer.
        let mut params = issuer_params(&format!("weir authority {}", fingerprint(&key)));
        params.serial_number = Some(serial_number(&key));
        set_validity(&mut params, now, AUTHORITY_VALID)?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority { issuer: Issuer::new(params, key), certificate, keys })
    }

    fn new_key(&self, principal: &Principal) -> Result<KeyPair, MakeError> {
        match &self.keys {
            Keys::System => Ok(KeyPair::generate_for(&PKCS_ED25519)?),
            Keys::Seed(seed) => key_of_seed(&tls::hmac_sha256(seed, principal.to_string().as_bytes())),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Authority").field("name", &fingerprint(self.issuer.key())).finish_non_exhaustive()
    }
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The library that writes certificates refused.
    #[error("cannot make a certificate: {0}")]
    Library(#[from] rcgen::Error),
    /// A certificate or key that was given is not fit.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No certificate can carry that date.
    #[error("cannot make a certificate that is valid from {seconds} s after 1970: check this host's clock")]
    Time {
        /// The time that was given.
        seconds: u64,
    },
}

/// What an authority's certificate says, and what its signing needs to know again later.
fn issuer_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn certificate_params(
    principal: &Principal,
    key: &KeyPair,
    now: Duration,
) -> Result<CertificateParams, MakeError> {
    let mut params = CertificateParams::default();
    let uri = principal.to_string();
    params.distinguished_name = common_name(&uri);
    params.serial_number = Some(serial_number(key));
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if let Principal::Node(_) = principal {
        params.subject_alt_names.push(SanType::DnsName(SERVER_NAME.try_into()?));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, CERTIFICATE_VALID)?;
    Ok(params)
}

/// Certificates count whole seconds between the years 1950 and 9999.
fn set_validity(params: &mut CertificateParams, now: Duration, valid: Duration) -> Result<(), MakeError> {
    const YEAR_9000_SECONDS: u64 = 7030 * 365 * 24 * 3600;
    let seconds = now.as_secs();
    if seconds > YEAR_9000_SECONDS {
        return Err(MakeError::Time { seconds });
    }
    let now = Duration::from_secs(seconds);
    params.not_before = (UNIX_EPOCH + now.saturating_sub(VALID_BEFORE)).into();
    params.not_after = (UNIX_EPOCH + now + valid).into();
    Ok(())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sixteen hexadecimal digits that name a key.
fn fingerprint(key: &KeyPair) -> String {
    let hash = tls::hmac_sha256(b"weir key fingerprint", key.public_key_raw());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A serial number that follows from the key and always has the same length.
fn serial_number(key: &KeyPair) -> SerialNumber {
    let mut hash = tls::hmac_sha256(b"weir serial number", key.public_key_raw());
    // Positive, and without a leading zero byte that the encoding would drop.
    hash[0] = (hash[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&hash[..16])
}

fn key_pair(key: &PrivateKeyDer<'_>) -> Result<KeyPair, MakeError> {
    KeyPair::try_from(key).map_err(|_| IdentityError::WrongKey.into())
}

/// The Ed25519 key of 32 secret bytes: PKCS #8 version 1, as in RFC 8410, section 7.
fn key_of_seed(seed: &[u8; 32]) -> Result<KeyPair, MakeError> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let der = [&PREFIX[..], seed].concat();
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)?)
}
