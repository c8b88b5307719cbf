//! IAM and STS: who exists, what they may do, and the credentials that prove it.
//!
//! The way of the data: `api/` turns requests into rows; [`auth`] finds the caller behind an access key and decides by the
//! rows' policies, with the `policy` crate as judge; [`query`] is what other services may ask (a task's role, whether a
//! role may be passed). AWS's own managed policies are facts in [`managed`], not rows.
//!
//! What it is not: it does not check signatures (`wire` does) and does not know which resources an operation touches
//! (the gateway says).

mod api;
pub mod auth;
pub mod credentials;
mod ids;
pub mod managed;
pub mod query;
pub mod rows;
mod texts;

use gateway::Context;
use store::TableDef;
use types::AccountId;
use vault::Vault;

/// What the handlers of IAM and STS share. Also the gateway's [`gateway::Identity`].
#[derive(Debug, Clone)]
pub struct Iam {
    /// The account whose root user the default credentials are.
    pub account: AccountId,
    /// Seals access keys' secrets and session tokens.
    pub vault: Vault,
}

/// The tables to register when the store opens.
pub fn tables() -> Vec<TableDef> {
    vec![
        TableDef::of::<rows::Role>(),
        TableDef::of::<rows::User>(),
        TableDef::of::<rows::InstanceProfile>(),
        TableDef::of::<rows::ManagedPolicy>(),
        TableDef::of::<rows::AccessKey>(),
        TableDef::of::<rows::Session>(),
    ]
}

/// IAM's handlers.
pub fn handlers() -> model::iam::Handlers<Iam, Context> {
    api::handlers()
}

/// STS's handlers.
pub fn sts_handlers() -> model::sts::Handlers<Iam, Context> {
    api::sts_handlers()
}
