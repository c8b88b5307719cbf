//! Who calls, and who decides what they may do. The `iam` crate implements [`Identity`].

use crate::door::Origin;
use serde::{Deserialize, Serialize};
use store::View;
use types::{AccountId, ApiError, Timestamp};

/// The kind of a principal, which decides how IAM evaluates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    /// The account itself.
    Root,
    /// An IAM user.
    User,
    /// A session of a role.
    AssumedRole,
}

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What it is.
    pub kind: PrincipalKind,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its ARN: `arn:aws:iam::…:root`, `…:user/name`, `arn:aws:sts::…:assumed-role/role/session`.
    pub arn: String,
    /// `aws:userid`: the account, `AIDA…`, or `AROA…:session`.
    pub user_id: String,
    /// The access key that signed.
    pub access_key: String,
}

impl Principal {
    /// The root user of `account`, who signed with `access_key`.
    pub fn root(account: &AccountId, access_key: &str) -> Self {
        Self {
            kind: PrincipalKind::Root,
            account: account.clone(),
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_string(),
            access_key: access_key.to_owned(),
        }
    }
}

/// An access key's secret, and whom it stands for. `Debug` shows no secret.
pub struct Credentials {
    /// The signing secret, and the session token that must come with it.
    pub secret: wire::sigv4::Secret,
    /// Whom it stands for.
    pub principal: Principal,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// What a call wants to do.
#[derive(Debug)]
pub struct Action<'a> {
    /// The IAM action, `ecs:CreateService`.
    pub action: &'a str,
    /// The resources' ARNs, or `*` where the action has none.
    pub resources: &'a [String],
    /// The region of the call.
    pub region: &'a str,
    /// The caller's address and where the call came in, for `aws:SourceIp`, `aws:SourceVpce` and their like.
    pub origin: &'a Origin,
    /// The present instant.
    pub now: Timestamp,
}

/// Credentials and permissions.
pub trait Identity: Send + Sync + 'static {
    /// Whom `access_key` stands for. `None` if it is unknown, inactive or expired.
    fn credentials(&self, view: &View, access_key: &str, now: Timestamp) -> Option<Credentials>;

    /// Whether `principal` may do `action`, and the VPC endpoint that it came through lets it; the error carries AWS's text.
    fn authorize(&self, view: &View, principal: &Principal, action: &Action<'_>) -> Result<(), ApiError>;

    /// Whether the VPC endpoint, if one was come through, lets `action` pass which `service` itself has allowed: the address
    /// was signed by it.
    fn authorize_signed_by(&self, view: &View, service: &str, action: &Action<'_>) -> Result<(), ApiError>;
}
