//! AWS Certificate Manager: certificates that users import, and certificates that a local authority issues.
//!
//! `api/` turns requests into rows; [`authority`] issues; [`parsed`] reads what users bring. Private keys are sealed by the
//! vault before they reach a row, are never answered, and are opened for the load balancers' data plane alone
//! ([`Acm::private_key`]). [`intent`] is how a listener says that it uses a certificate.
//!
//! What it is not: no public authority signs anything here and nobody's domain is looked up. A certificate that is asked for is issued at
//! once by an authority that only those trust who choose to.

mod api;
pub mod authority;
pub mod intent;
pub mod parsed;
pub mod rows;
mod texts;

use gateway::Context;
use rows::Certificate;
use std::sync::Arc;
use store::{TableDef, View};
use types::Scope;
use vault::Vault;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Acm {
    /// Seals private keys.
    pub vault: Vault,
}

impl Acm {
    /// The private key of a certificate as PEM; `None` if it was sealed with another vault's key.
    pub fn private_key(&self, certificate: &Certificate) -> Option<String> {
        let plain = self.vault.unseal(&certificate.arn, &certificate.key).ok()?;
        plain.text().map(str::to_owned)
    }
}

/// The certificate of that ARN.
pub fn certificate(view: &View, scope: &Scope, arn: &str) -> Option<Arc<Certificate>> {
    view.get(scope, arn)
}

/// The tables to register when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![TableDef::of::<Certificate>(), TableDef::of::<rows::Authority>()]
}

/// The handlers.
pub fn handlers() -> model::acm::Handlers<Acm, Context> {
    api::handlers()
}
