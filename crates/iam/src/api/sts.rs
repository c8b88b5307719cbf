//! STS: who am I, and sessions of roles.

use super::owner;
use crate::auth::{Subject, request_keys};
use crate::credentials::Extras;
use crate::rows::{PolicyText, Role, SessionPolicy};
use crate::{Iam, credentials, query, texts};
use gateway::{Context, PrincipalKind};
use model::sts::{
    AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser, Credentials, GetCallerIdentityRequest,
    GetCallerIdentityResponse,
};
use policy::{Denial, Kind, Layer, Reason};
use std::collections::BTreeMap;
use std::time::Duration;
use store::View;
use types::{AccountId, ApiError};

/// How long a session may last that was begun by another session, in seconds.
const CHAINED: i32 = 3600;
/// The longest session policy, without white space.
const POLICY_QUOTA: usize = 2048;

#[allow(clippy::unnecessary_wraps, reason = "handlers have one signature")]
pub(super) fn get_caller_identity(
    _: &Iam,
    cx: &mut Context,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, ApiError> {
    Ok(GetCallerIdentityResponse {
        user_id: Some(cx.principal.user_id.clone()),
        account: Some(cx.principal.account.to_string()),
        arn: Some(cx.principal.arn.clone()),
    })
}

pub(super) fn assume_role(
    iam: &Iam,
    cx: &mut Context,
    input: AssumeRoleRequest,
) -> Result<AssumeRoleResponse, ApiError> {
    refuse_what_is_not_here(&input)?;
    let now = cx.now;
    let principal = cx.principal.clone();
    let context = assume_keys(&input, request_keys(now, &cx.origin));
    let view = cx.view();
    let subject = Subject::of(view, &principal).ok_or_else(texts::invalid_token)?;
    // A role that does not exist looks like one that does not trust the caller.
    let Some((account, role)) = query::role(view, &input.role_arn) else {
        let denial = Denial {
            caller: principal.arn,
            action: "sts:AssumeRole".to_owned(),
            resource: input.role_arn,
            reason: Reason::Implicit(Layer::Trust),
        };
        return Err(texts::denied("sts", &denial.bare()));
    };
    subject
        .may("sts:AssumeRole", &[&input.role_arn], context, Some(&role))
        .map_err(|denial| texts::denied("sts", &denial.bare()))?;
    let lasting = duration(&input, &role, principal.kind == PrincipalKind::AssumedRole)?;
    let policies = session_policies(view, &account, &input)?;
    let packed = input.policy.as_ref().map(|text| text.len().div_ceil(POLICY_QUOTA / 100));
    let tags: BTreeMap<String, String> =
        input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    let extras = Extras { policies, tags, source_identity: input.source_identity.clone() };
    let keys =
        credentials::issue(&iam.vault, cx.tx(), &account, &role, &input.role_session_name, extras, (now, lasting));
    Ok(AssumeRoleResponse {
        credentials: Some(Credentials {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
            expiration: keys.expiration,
        }),
        assumed_role_user: Some(AssumedRoleUser { assumed_role_id: keys.session_id, arn: keys.session_arn }),
        packed_policy_size: packed.and_then(|percent| i32::try_from(percent).ok()),
        source_identity: input.source_identity,
        ..Default::default()
    })
}

fn refuse_what_is_not_here(input: &AssumeRoleRequest) -> Result<(), ApiError> {
    let given = [
        (input.serial_number.is_some() || input.token_code.is_some(), "multi-factor authentication"),
        (input.transitive_tag_keys.as_ref().is_some_and(|keys| !keys.is_empty()), "transitive session tags"),
        (input.provided_contexts.as_ref().is_some_and(|contexts| !contexts.is_empty()), "provided contexts"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(ApiError::not_implemented(format_args!("{what} in sts:AssumeRole"))),
        None => Ok(()),
    }
}

/// The condition keys that the request itself carries.
fn assume_keys(input: &AssumeRoleRequest, context: policy::Context) -> policy::Context {
    let mut context = context.with("sts:RoleSessionName", input.role_session_name.clone());
    if let Some(id) = &input.external_id {
        context.set("sts:ExternalId", id.clone());
    }
    if let Some(source) = &input.source_identity {
        context.set("sts:SourceIdentity", source.clone());
    }
    if let Some(tags) = &input.tags {
        context.set_all("aws:TagKeys", tags.iter().map(|tag| tag.key.clone()).collect());
        for tag in tags {
            context.set(&format!("aws:RequestTag/{}", tag.key), tag.value.clone());
        }
    }
    context
}

fn duration(input: &AssumeRoleRequest, role: &Role, chained: bool) -> Result<Duration, ApiError> {
    let seconds = input.duration_seconds.unwrap_or(CHAINED);
    if chained && seconds > CHAINED {
        return Err(texts::duration_exceeds_chaining());
    }
    if seconds > role.max_session_duration {
        return Err(texts::duration_exceeds_role_maximum());
    }
    Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn session_policies(
    view: &View,
    account: &AccountId,
    input: &AssumeRoleRequest,
) -> Result<Option<Vec<SessionPolicy>>, ApiError> {
    let mut policies = Vec::new();
    if let Some(text) = &input.policy {
        if owner::weight(text) > POLICY_QUOTA {
            return Err(ApiError::new(
                "PackedPolicyTooLarge",
                "The total packed size of the session policies and session tags combined was too large.",
            ));
        }
        let text = PolicyText::parse(Kind::Identity, text.clone()).map_err(|why| texts::malformed_policy(why.0))?;
        policies.push(SessionPolicy::Inline(text));
    }
    for arn in input.policy_arns.iter().flatten().filter_map(|descriptor| descriptor.arn.as_ref()) {
        if !owner::policy_exists(view, account, arn) {
            return Err(texts::policy_not_attachable(arn));
        }
        policies.push(SessionPolicy::Managed(arn.clone()));
    }
    Ok((!policies.is_empty()).then_some(policies))
}
