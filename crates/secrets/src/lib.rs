//! Secrets Manager and the Parameter Store of Systems Manager.
//!
//! The way of the data: `api/` turns requests into rows whose values are sealed by the vault; [`query`] resolves what a
//! task definition's `valueFrom` names. A plain value exists only while a request that may read it is answered.
//!
//! What it is not: there is no KMS and no rotation. A key that a request names is kept and shown, and every value is sealed
//! under the vault's one key.

mod api;
pub mod query;
pub mod rows;
mod texts;

use gateway::Context;
use store::TableDef;
use vault::Vault;

/// What the handlers of Secrets Manager and Systems Manager share.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Seals every value.
    pub vault: Vault,
}

/// The tables to register when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![TableDef::of::<rows::Secret>(), TableDef::of::<rows::Parameter>()]
}

/// Secrets Manager's handlers.
pub fn handlers() -> model::secretsmanager::Handlers<Secrets, Context> {
    api::handlers()
}

/// Systems Manager's handlers.
pub fn ssm_handlers() -> model::ssm::Handlers<Secrets, Context> {
    api::ssm_handlers()
}
