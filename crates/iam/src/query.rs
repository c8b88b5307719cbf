//! What other services may ask of IAM.

use crate::Iam;
use crate::auth::{Subject, global_keys, request_keys};
use crate::credentials::{self, Credentials, Extras};
use crate::rows::{self, Entity, InstanceProfile, Role};
use gateway::{Origin, Principal};
use policy::{Caller, Denial, Layer, Reason};
use std::sync::Arc;
use std::time::Duration;
use store::{Tx, View};
use types::arn::Arn;
use types::{AccountId, Timestamp};

/// Why a service cannot have a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such role.
    #[error("the role {0} does not exist")]
    NoSuchRole(String),
    /// Its trust policy does not name the service.
    #[error("{0}")]
    NotTrusted(Box<Denial>),
}

/// The role with that ARN, and its account.
pub fn role(view: &View, role_arn: &str) -> Option<(AccountId, Arc<Role>)> {
    let arn: Arn = role_arn.parse().ok().filter(|arn: &Arn| arn.service == "iam")?;
    let account: AccountId = arn.account.parse().ok()?;
    let path = arn.resource.strip_prefix("role/")?;
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let role = view.get::<Role>(&rows::scope(&account), name)?;
    (role.arn(&account) == role_arn).then_some((account, role))
}

/// An instance profile of the account, as EC2 is given it: by name or by ARN.
pub fn instance_profile(view: &View, account: &AccountId, name_or_arn: &str) -> Option<Arc<InstanceProfile>> {
    let name = name_or_arn.rsplit_once('/').map_or(name_or_arn, |(_, name)| name);
    let found = view.get::<InstanceProfile>(&rows::scope(account), name)?;
    (found.name == name_or_arn || found.arn(account) == name_or_arn).then_some(found)
}

/// The ARN of the role that an instance profile holds at the moment.
pub fn role_of_profile(view: &View, account: &AccountId, profile: &InstanceProfile) -> Option<String> {
    let role = view.get::<Role>(&rows::scope(account), profile.role.as_ref()?)?;
    Some(role.arn(account))
}

/// Whether the service (`ecs-tasks.amazonaws.com`) may assume the role.
pub fn trusts_service(view: &View, role_arn: &str, service: &str, now: Timestamp) -> Result<(), Refusal> {
    let (_, role) = role(view, role_arn).ok_or_else(|| Refusal::NoSuchRole(role_arn.to_owned()))?;
    let subject = Subject::bare(Caller::Service { name: service.to_owned() });
    subject.may("sts:AssumeRole", &[role_arn], global_keys(now), Some(&role)).map_err(Refusal::NotTrusted)
}

/// Credentials of a role for a task: what the ECS agent gets for execution and task roles. `session` is the task's id.
pub fn assume_for_task(
    iam: &Iam,
    tx: &mut Tx,
    role_arn: &str,
    service: &str,
    session: &str,
    (now, lasting): (Timestamp, Duration),
) -> Result<Credentials, Refusal> {
    trusts_service(tx, role_arn, service, now)?;
    let (account, role) = role(tx, role_arn).ok_or_else(|| Refusal::NoSuchRole(role_arn.to_owned()))?;
    Ok(credentials::issue(&iam.vault, tx, &account, &role, session, Extras::default(), (now, lasting)))
}

/// Whether a session of the role may do `action` on `resources` (none: on `*`), and the VPC endpoint that it came through, if
/// it came through one, lets it. The denial's text is AWS's. For what the agent does as the execution role: pulling, creating
/// log streams, reading secrets.
pub fn role_may(
    view: &View,
    role_arn: &str,
    session: &str,
    action: &str,
    resources: &[&str],
    (now, through): (Timestamp, Option<&Origin>),
) -> Result<(), RoleDenied> {
    let (account, role) = role(view, role_arn).ok_or(RoleDenied::NoSuchRole)?;
    let subject = Subject::of_session(view, &account, &role, session).ok_or(RoleDenied::NoSuchRole)?;
    let mut context = global_keys(now);
    if let Some((origin, endpoint)) = through.and_then(|origin| Some((origin, origin.endpoint()?))) {
        context = request_keys(now, origin);
        subject.passes(view, endpoint, action, resources, context.clone()).map_err(RoleDenied::Denied)?;
    }
    subject.may(action, resources, context, None).map_err(RoleDenied::Denied)
}

/// Whether a policy of the role speaks of `service` by name, to allow or to deny.
pub fn role_names_service(view: &View, role_arn: &str, session: &str, service: &str) -> bool {
    role(view, role_arn)
        .and_then(|(account, role)| Subject::of_session(view, &account, &role, session))
        .is_some_and(|subject| subject.names_service(service))
}

/// Why a role's session may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleDenied {
    /// The role is gone.
    #[error("The security token included in the request is invalid.")]
    NoSuchRole,
    /// Its policies do not allow it.
    #[error("{0}")]
    Denied(Box<Denial>),
}

impl RoleDenied {
    /// Whether nothing denies, and the role's own policies merely do not allow.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Denied(denial) if denial.reason == Reason::Implicit(Layer::Identity))
    }
}

/// Whether `principal` may hand the role to `service`: `iam:PassRole`.
pub fn may_pass(
    view: &View,
    principal: &Principal,
    role_arn: &str,
    service: &str,
    now: Timestamp,
) -> Result<(), Box<Denial>> {
    let context = global_keys(now).with("iam:PassedToService", service);
    // A principal that is gone has no policies that allow.
    let subject = Subject::of(view, principal).unwrap_or_else(|| Subject::bare(Caller::Anonymous));
    subject.may("iam:PassRole", &[role_arn], context, None)
}
