//! Reading certificates and keys in PEM. Nothing that it is given can make it panic.

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use types::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Why a certificate, its key or its chain is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no certificate in PEM.
    #[error("the certificate is not PEM or not valid")]
    Certificate,
    /// There are several.
    #[error("there is more than one certificate")]
    SeveralCertificates,
    /// The key is no private key in PEM, or of a kind that is not supported.
    #[error("the private key is not PEM or not supported")]
    Key,
    /// The key is another certificate's.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The chain is not PEM, or does not begin with the signer.
    #[error("the chain does not lead on from the certificate")]
    Chain,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The subject's common name, or the first DNS name.
    pub domain: String,
    /// The DNS names, the common name among them.
    pub names: Vec<String>,
    /// `0a:1b:…`.
    pub serial: String,
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// `RSA_2048`, …
    pub key_algorithm: String,
    /// `SHA256WITHRSA`, …
    pub signature_algorithm: String,
}

/// The certificate's facts, if certificate, key and chain fit each other.
pub fn check(certificate: &[u8], key: &[u8], chain: Option<&[u8]>) -> Result<Facts, Error> {
    let der = one(certificate)?;
    let parsed = parse(&der).ok_or(Error::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Error::Key)?;
    let key = any_supported_type(&key).map_err(|_| Error::Key)?;
    if key.public_key().is_none_or(|public| public.as_ref() != parsed.public_key().raw) {
        return Err(Error::Mismatch);
    }
    if let Some(chain) = chain {
        let ders: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| Error::Chain)?;
        let chain: Vec<_> = ders.iter().map(|der| parse(der)).collect::<Option<_>>().ok_or(Error::Chain)?;
        let mut below = &parsed;
        for above in &chain {
            if below.issuer().as_raw() != above.subject().as_raw() {
                return Err(Error::Chain);
            }
            below = above;
        }
        if chain.is_empty() {
            return Err(Error::Chain);
        }
    }
    Ok(facts(&parsed))
}

/// The facts of the one certificate in `pem`.
pub fn read(pem: &[u8]) -> Result<Facts, Error> {
    let der = one(pem)?;
    parse(&der).map(|parsed| facts(&parsed)).ok_or(Error::Certificate)
}

fn one(pem: &[u8]) -> Result<CertificateDer<'static>, Error> {
    let mut all = CertificateDer::pem_slice_iter(pem);
    let first = all.next().and_then(Result::ok).ok_or(Error::Certificate)?;
    if all.next().is_some() { Err(Error::SeveralCertificates) } else { Ok(first) }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der.as_ref()).ok().map(|(_, parsed)| parsed)
}

fn facts(certificate: &X509Certificate<'_>) -> Facts {
    let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let mut names: Vec<String> = common.map(str::to_owned).into_iter().collect();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            if let GeneralName::DNSName(name) = name
                && !names.iter().any(|known| known == name)
            {
                names.push((*name).to_owned());
            }
        }
    }
    let at = |at: x509_parser::time::ASN1Time| Timestamp(at.timestamp().saturating_mul(1000));
    Facts {
        domain: names.first().cloned().unwrap_or_default(),
        serial: certificate.raw_serial_as_string(),
        subject: certificate.subject().to_string(),
        issuer: certificate
            .issuer()
            .iter_organization()
            .chain(certificate.issuer().iter_common_name())
            .find_map(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned(),
        not_before: at(certificate.validity().not_before),
        not_after: at(certificate.validity().not_after),
        key_algorithm: key_algorithm(certificate),
        signature_algorithm: signature_algorithm(&certificate.signature_algorithm.algorithm.to_id_string()).to_owned(),
        names,
    }
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA_{}", key.key_size()),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            384 => "EC_secp384r1".to_owned(),
            521 | 528 => "EC_secp521r1".to_owned(),
            _ => "EC_prime256v1".to_owned(),
        },
        _ => "UNKNOWN".to_owned(),
    }
}

/// By object identifier. Source: RFC 8017 (appendix A.2.4) and RFC 5758.
fn signature_algorithm(oid: &str) -> &'static str {
    match oid {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA",
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA",
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
        _ => "UNKNOWN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned(), format!("*.{name}")]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_own_key_are_taken() {
        let (certificate, key) = pair("example.test");
        let facts = check(certificate.as_bytes(), key.as_bytes(), None).unwrap();
        assert!(facts.names.contains(&"*.example.test".to_owned()), "{facts:?}");
        assert_eq!(
            (facts.key_algorithm.as_str(), facts.signature_algorithm.as_str()),
            ("EC_prime256v1", "SHA256WITHECDSA")
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let ((certificate, key), (other, other_key)) = (pair("a.test"), pair("b.test"));
        let refused = |certificate: &str, key: &str, chain: Option<&str>| {
            check(certificate.as_bytes(), key.as_bytes(), chain.map(str::as_bytes)).unwrap_err()
        };
        assert_eq!(refused(&certificate, &other_key, None), Error::Mismatch);
        assert_eq!(refused("nonsense", &key, None), Error::Certificate);
        assert_eq!(refused(&format!("{certificate}{other}"), &key, None), Error::SeveralCertificates);
        assert_eq!(refused(&certificate, "nonsense", None), Error::Key);
        assert_eq!(refused(&certificate, &key, Some("nonsense")), Error::Chain);
        let cut = &certificate[..certificate.len() / 2];
        assert_eq!(refused(cut, &key, None), Error::Certificate);
    }
}
