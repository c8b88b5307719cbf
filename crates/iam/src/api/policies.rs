//! Managed policies: the account's own, and AWS's, which can be read and attached only.

use super::page::{Page, page};
use super::{owner, tags};
use crate::managed::{self, AwsPolicy};
use crate::rows::{self, Entity, ManagedPolicy, PolicyText, Role, User};
use crate::{Iam, ids, texts};
use gateway::Context;
use model::iam::{
    CreatePolicyRequest, CreatePolicyResponse, DeletePolicyRequest, GetPolicyRequest, GetPolicyResponse,
    GetPolicyVersionRequest, GetPolicyVersionResponse, ListPoliciesRequest, ListPoliciesResponse,
    ListPolicyVersionsRequest, ListPolicyVersionsResponse, Policy, PolicyVersion, policy_scope_type, policy_usage_type,
};
use policy::Kind;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::View;
use types::{AccountId, ApiError};

/// The longest document, without white space.
const SIZE_QUOTA: usize = 6144;
/// The only version that a policy of the account has.
const FIRST_VERSION: &str = "v1";

/// A policy of either kind.
enum Any {
    Own(Arc<ManagedPolicy>),
    Aws(&'static AwsPolicy),
}

impl Any {
    fn find(view: &View, account: &AccountId, arn: &str) -> Result<Self, ApiError> {
        let own = || view.get::<ManagedPolicy>(&rows::scope(account), arn).map(Self::Own);
        managed::get(arn).map(Self::Aws).or_else(own).ok_or_else(|| texts::policy_not_found(arn))
    }

    fn arn(&self) -> String {
        match self {
            Self::Own(policy) => policy.arn.clone(),
            Self::Aws(policy) => policy.arn(),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Own(policy) => &policy.path,
            Self::Aws(policy) => &policy.path,
        }
    }

    fn version(&self) -> PolicyVersion {
        let (document, id, created) = match self {
            Self::Own(policy) => (policy.document.encoded(), FIRST_VERSION, policy.created),
            Self::Aws(policy) => (rows::encode_document(policy.text()), policy.version.as_str(), policy.updated),
        };
        PolicyVersion {
            document: Some(document),
            version_id: Some(id.to_owned()),
            is_default_version: Some(true),
            create_date: Some(created),
        }
    }

    fn described(&self, view: &View, account: &AccountId) -> Policy {
        let arn = self.arn();
        let (attached, bounding) = uses(view, account, &arn);
        let shown = match self {
            Self::Own(policy) => Policy {
                policy_name: Some(policy.name.clone()),
                policy_id: Some(policy.id.clone()),
                path: Some(policy.path.clone()),
                default_version_id: Some(FIRST_VERSION.to_owned()),
                description: policy.description.clone(),
                create_date: Some(policy.created),
                update_date: Some(policy.created),
                tags: tags::shown(&policy.tags),
                ..Policy::default()
            },
            Self::Aws(policy) => Policy {
                policy_name: Some(policy.name.clone()),
                policy_id: Some(policy.id()),
                path: Some(policy.path.clone()),
                default_version_id: Some(policy.version.clone()),
                create_date: Some(policy.created),
                update_date: Some(policy.updated),
                ..Policy::default()
            },
        };
        Policy {
            arn: Some(arn),
            attachment_count: Some(attached),
            permissions_boundary_usage_count: Some(bounding),
            is_attachable: Some(true),
            ..shown
        }
    }
}

/// How many entities a policy is attached to, and how many it bounds.
fn uses(view: &View, account: &AccountId, arn: &str) -> (i32, i32) {
    fn of<E: Entity>(view: &View, account: &AccountId, arn: &str) -> (usize, usize) {
        let scope = rows::scope(account);
        let attached = view.by_index(&E::BY_ATTACHED, &scope, arn).count();
        (attached, view.by_index(&E::BY_BOUNDARY, &scope, arn).count())
    }
    let (roles, users) = (of::<Role>(view, account, arn), of::<User>(view, account, arn));
    let sum = |a: usize, b: usize| i32::try_from(a + b).unwrap_or(i32::MAX);
    (sum(roles.0, users.0), sum(roles.1, users.1))
}

pub(super) fn create(_: &Iam, cx: &mut Context, input: CreatePolicyRequest) -> Result<CreatePolicyResponse, ApiError> {
    let (scope, now) = (cx.global_scope(), cx.now);
    let tx = cx.tx();
    if owner::weight(&input.policy_document) > SIZE_QUOTA {
        return Err(texts::quota("PolicySize", SIZE_QUOTA));
    }
    let document =
        PolicyText::parse(Kind::Identity, input.policy_document).map_err(|why| texts::malformed_policy(why.0))?;
    let folded = input.policy_name.to_lowercase();
    if tx.by_index(&ManagedPolicy::BY_FOLDED_NAME, &scope, &folded).next().is_some() {
        return Err(texts::policy_already_exists(&input.policy_name));
    }
    let path = input.path.unwrap_or_else(|| "/".to_owned());
    let row = ManagedPolicy {
        arn: format!("arn:aws:iam::{}:policy{path}{}", scope.account, input.policy_name),
        name: input.policy_name,
        path,
        id: ids::unique("ANPA"),
        description: input.description,
        created: now,
        tags: tags::merge(&BTreeMap::new(), input.tags)?,
        document,
    };
    let row = tx.put(&scope, row);
    // The answer to CreatePolicy does not repeat the description.
    let policy = Policy { description: None, ..Any::Own(row).described(tx, &scope.account) };
    Ok(CreatePolicyResponse { policy: Some(policy) })
}

pub(super) fn get(_: &Iam, cx: &mut Context, input: GetPolicyRequest) -> Result<GetPolicyResponse, ApiError> {
    let account = cx.scope.account.clone();
    let view = cx.view();
    let policy = Any::find(view, &account, &input.policy_arn)?;
    Ok(GetPolicyResponse { policy: Some(policy.described(view, &account)) })
}

pub(super) fn get_version(
    _: &Iam,
    cx: &mut Context,
    input: GetPolicyVersionRequest,
) -> Result<GetPolicyVersionResponse, ApiError> {
    let account = cx.scope.account.clone();
    let version = Any::find(cx.view(), &account, &input.policy_arn)?.version();
    if version.version_id.as_ref() != Some(&input.version_id) {
        return Err(texts::policy_version_not_found(&input.policy_arn, &input.version_id));
    }
    Ok(GetPolicyVersionResponse { policy_version: Some(version) })
}

pub(super) fn list_versions(
    _: &Iam,
    cx: &mut Context,
    input: ListPolicyVersionsRequest,
) -> Result<ListPolicyVersionsResponse, ApiError> {
    let account = cx.scope.account.clone();
    let version = Any::find(cx.view(), &account, &input.policy_arn)?.version();
    let versions = vec![PolicyVersion { document: None, ..version }];
    Ok(ListPolicyVersionsResponse { versions: Some(versions), is_truncated: Some(false), marker: None })
}

pub(super) fn list(_: &Iam, cx: &mut Context, input: ListPoliciesRequest) -> Result<ListPoliciesResponse, ApiError> {
    let account = cx.scope.account.clone();
    let view = cx.view();
    let scope = input.scope.as_deref().unwrap_or(policy_scope_type::ALL);
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let own = view.scan::<ManagedPolicy>(&rows::scope(&account)).map(|policy| Any::Own(Arc::clone(policy)));
    let aws = managed::all().values().map(Any::Aws);
    let used = |policy: &Any| {
        let (attached, bounding) = uses(view, &account, &policy.arn());
        match input.policy_usage_filter.as_deref() {
            Some(policy_usage_type::PERMISSIONS_POLICY) => attached > 0,
            Some(_) => bounding > 0,
            None => input.only_attached != Some(true) || attached > 0 || bounding > 0,
        }
    };
    let chosen =
        own.filter(|_| scope != policy_scope_type::AWS).chain(aws.filter(|_| scope != policy_scope_type::LOCAL));
    let chosen = chosen.filter(|policy| policy.path().starts_with(prefix)).filter(used);
    let Page { items, is_truncated, marker } = page(chosen, Any::arn, input.marker.as_deref(), input.max_items)?;
    // The list leaves out descriptions and tags.
    let policies =
        items.iter().map(|policy| Policy { description: None, tags: None, ..policy.described(view, &account) });
    Ok(ListPoliciesResponse { policies: Some(policies.collect()), is_truncated, marker })
}

pub(super) fn delete(_: &Iam, cx: &mut Context, input: DeletePolicyRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.global_scope();
    let tx = cx.tx();
    match Any::find(tx, &scope.account, &input.policy_arn)? {
        Any::Aws(_) => return Err(texts::aws_policy_is_read_only()),
        Any::Own(_) if uses(tx, &scope.account, &input.policy_arn) != (0, 0) => {
            return Err(texts::policy_is_attached());
        }
        Any::Own(_) => {}
    }
    tx.delete::<ManagedPolicy>(&scope, &input.policy_arn);
    Ok(wire::Unit)
}
