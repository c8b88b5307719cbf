//! What the store keeps: certificates by ARN, and for each account the authority that issues.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Row;
use types::Timestamp;
use vault::Sealed;

/// A certificate, imported or issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// `arn:aws:acm:…:certificate/<uuid>`.
    pub arn: String,
    /// Whether a user brought it.
    pub imported: bool,
    /// The name that it was asked for, or its subject's.
    pub domain: String,
    /// All DNS names that it is good for.
    pub names: Vec<String>,
    /// The certificate.
    pub pem: String,
    /// Those that signed it, the next one first.
    pub chain: Option<String>,
    /// The private key as PEM, sealed for the ARN.
    pub key: Sealed,
    /// Its number, `0a:1b:…`.
    pub serial: String,
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// `RSA_2048`, `EC_prime256v1`, …
    pub key_algorithm: String,
    /// `SHA256WITHRSA`, …
    pub signature_algorithm: String,
    /// When it was imported or asked for.
    pub created: Timestamp,
    /// How the right to the domain would be shown: `DNS`, `EMAIL` or `HTTP`. `None` for imported ones.
    pub validation: Option<String>,
    /// `CertificateTransparencyLoggingPreference`.
    pub transparency: String,
    /// `IdempotencyToken` of the request for it.
    pub token: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What uses it (a listener's ARN), and what it is shown as (its load balancer's).
    pub used_by: BTreeMap<String, String>,
}

impl Certificate {
    /// The certificate with its chain, as servers present it.
    pub fn presented(&self) -> String {
        let chain = self.chain.as_deref().unwrap_or_default();
        let break_ = if self.pem.ends_with('\n') { "" } else { "\n" };
        format!("{}{break_}{chain}", self.pem)
    }
}

impl Row for Certificate {
    const TABLE: &'static str = "acm.certificate";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.arn)
    }
}

/// The local authority of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Authority {
    /// Its certificate.
    pub pem: String,
    /// Its private key as PEM, sealed for [`Authority::CONTEXT`].
    pub key: Sealed,
}

impl Authority {
    /// What its key is sealed for.
    pub const CONTEXT: &'static str = "acm.authority";
    /// Its only id.
    pub const ID: &'static str = "authority";
}

impl Row for Authority {
    const TABLE: &'static str = "acm.authority";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(Self::ID)
    }
}
