//! Temporary credentials: a row for each session, until it ends.

use crate::ids;
use crate::rows::{self, Entity, Role, Session, SessionKeys, SessionPolicy};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use store::{Tx, View};
use types::{AccountId, Timestamp};
use vault::Vault;

/// Keys for a role's session.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA…`.
    pub access_key_id: String,
    /// The signing secret.
    pub secret_access_key: String,
    /// To be sent with every request.
    pub session_token: String,
    /// When they end.
    pub expiration: Timestamp,
    /// The role that they are for.
    pub role_arn: String,
    /// The session's ARN.
    pub session_arn: String,
    /// `AROA…:session`.
    pub session_id: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("session_arn", &self.session_arn)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// What a session has beyond its role.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) policies: Option<Vec<SessionPolicy>>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) source_identity: Option<String>,
}

/// `arn:aws:sts::<account>:assumed-role/<role>/<session>`, without the role's path.
pub(crate) fn session_arn(account: &AccountId, role: &str, session: &str) -> String {
    format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
}

/// Begins a session of `role`. Whether the caller may have it has been decided before.
pub(crate) fn issue(
    vault: &Vault,
    tx: &mut Tx,
    account: &AccountId,
    role: &Role,
    session: &str,
    extras: Extras,
    (now, lasting): (Timestamp, Duration),
) -> Credentials {
    sweep(tx, now);
    let access_key_id = ids::access_key("ASIA");
    let keys = SessionKeys { secret: ids::secret(), token: ids::token() };
    let plain = serde_json::to_vec(&keys).expect("keys are plain strings");
    let Extras { policies, tags, source_identity } = extras;
    let row = Session {
        account: account.clone(),
        role: role.owner.name.clone(),
        role_id: role.owner.id.clone(),
        session: session.to_owned(),
        expires: now.plus(lasting),
        keys: vault.seal(&Session::context(&access_key_id), &plain),
        id: access_key_id.clone(),
        policies,
        tags,
        source_identity,
    };
    let row = tx.put(&rows::keys(), row);
    Credentials {
        access_key_id,
        secret_access_key: keys.secret,
        session_token: keys.token,
        expiration: row.expires,
        role_arn: role.arn(account),
        session_arn: session_arn(account, &role.owner.name, session),
        session_id: format!("{}:{session}", role.owner.id),
    }
}

/// The session of that access key, unless it has ended, and its keys.
pub(crate) fn read(
    vault: &Vault,
    view: &View,
    access_key: &str,
    now: Timestamp,
) -> Option<(std::sync::Arc<Session>, SessionKeys)> {
    let row = view.get::<Session>(&rows::keys(), access_key).filter(|row| now < row.expires)?;
    let plain = vault.unseal(&Session::context(access_key), &row.keys).ok()?;
    Some((row, serde_json::from_slice(plain.bytes()).ok()?))
}

/// Drops sessions that have ended.
fn sweep(tx: &mut Tx, now: Timestamp) {
    let ended = tx.scan::<Session>(&rows::keys()).filter(|session| session.expires <= now);
    let ended: Vec<String> = ended.map(|session| session.id.clone()).collect();
    for id in ended {
        tx.delete::<Session>(&rows::keys(), &id);
    }
}
