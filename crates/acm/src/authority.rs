//! The local authority: made when an account first asks for a certificate, it signs whatever the account asks for.

use crate::Acm;
use crate::rows::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use store::Tx;
use time::{Duration, OffsetDateTime};
use types::{Scope, Timestamp};

/// How long certificates of ACM are valid. Source: ACM user guide, "Certificate characteristics": 13 months.
const VALID: Duration = Duration::days(395);
/// How long the authority is.
const AUTHORITY_VALID: Duration = Duration::days(3650);

/// A certificate fresh from the authority.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub pem: String,
    /// The authority's.
    pub chain: String,
    /// The private key.
    pub key: String,
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The authority's key was sealed with another vault's key.
    #[error("the authority's key cannot be opened")]
    Sealed,
    /// The certificate cannot be made, for instance because a name cannot stand in one.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Issues a certificate for `names`, the first being its subject, with a key of the elliptic curve that is asked for.
pub fn issue(
    acm: &Acm,
    tx: &mut Tx,
    scope: &Scope,
    names: &[String],
    p384: bool,
    now: Timestamp,
) -> Result<Issued, Error> {
    let authority = authority(acm, tx, scope, now)?;
    let plain = acm.vault.unseal(Authority::CONTEXT, &authority.key).map_err(|_| Error::Sealed)?;
    let signer = KeyPair::from_pem(plain.text().ok_or(Error::Sealed)?)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.pem, signer)?;
    let key = KeyPair::generate_for(if p384 { &PKCS_ECDSA_P384_SHA384 } else { &PKCS_ECDSA_P256_SHA256 })?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = named(names.first().map_or("", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(now, VALID);
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Issued { pem: certificate.pem(), chain: authority.pem.clone(), key: key.serialize_pem() })
}

/// The account's authority, made now if there is none. It is one for all regions.
fn authority(acm: &Acm, tx: &mut Tx, scope: &Scope, now: Timestamp) -> Result<std::sync::Arc<Authority>, Error> {
    let home = Scope::global(scope.account.clone());
    if let Some(present) = tx.get::<Authority>(&home, Authority::ID) {
        return Ok(present);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Windtunnel Local CA");
    params.distinguished_name.push(DnType::OrganizationName, "Windtunnel");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(now, AUTHORITY_VALID);
    let certificate = params.self_signed(&key)?;
    let sealed = acm.vault.seal(Authority::CONTEXT, key.serialize_pem().as_bytes());
    Ok(tx.put(&home, Authority { pem: certificate.pem(), key: sealed }))
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// From this day's beginning, as ACM's are.
fn validity(now: Timestamp, span: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let seconds = now.millis().div_euclid(86_400_000) * 86_400;
    let from = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (from, from.saturating_add(span).saturating_sub(Duration::SECOND))
}
