//! Who is behind an access key, and what they may do.

use crate::rows::{self, AccessKey, Entity, ManagedPolicy, Owner, Role, Session, SessionPolicy, User};
use crate::{Iam, credentials, managed, texts};
use gateway::door::{Endpoint, EndpointPolicy};
use gateway::identity::{Action, Credentials};
use gateway::{Door, Identity, Origin, Principal, PrincipalKind};
use policy::{Caller, Context, Decision, Denial, Document, Named, Policies, Request};
use std::sync::Arc;
use store::View;
use types::{AccountId, ApiError, Timestamp};
use wire::sigv4::Secret;

/// The access key and secret of the account's root user.
pub const ROOT_KEY: &str = "test";

impl Identity for Iam {
    fn credentials(&self, view: &View, access_key: &str, now: Timestamp) -> Option<Credentials> {
        if access_key == ROOT_KEY {
            let secret = Secret { key: ROOT_KEY.to_owned(), token: None };
            return Some(Credentials { secret, principal: root(&self.account) });
        }
        if let Some((session, keys)) = credentials::read(&self.vault, view, access_key, now) {
            let principal = Principal {
                kind: PrincipalKind::AssumedRole,
                arn: credentials::session_arn(&session.account, &session.role, &session.session),
                user_id: format!("{}:{}", session.role_id, session.session),
                account: session.account.clone(),
                access_key: access_key.to_owned(),
            };
            return Some(Credentials { secret: Secret { key: keys.secret, token: Some(keys.token) }, principal });
        }
        let key = view.get::<AccessKey>(&rows::keys(), access_key).filter(|key| key.active)?;
        let user = view.get::<User>(&rows::scope(&key.account), &key.user)?;
        let plain = self.vault.unseal(&AccessKey::context(&key.id), &key.secret).ok()?;
        let principal = Principal {
            kind: PrincipalKind::User,
            arn: user.arn(&key.account),
            user_id: user.owner.id.clone(),
            account: key.account.clone(),
            access_key: access_key.to_owned(),
        };
        Some(Credentials { secret: Secret { key: plain.text()?.to_owned(), token: None }, principal })
    }

    fn authorize(&self, view: &View, principal: &Principal, action: &Action<'_>) -> Result<(), ApiError> {
        let subject = || Subject::of(view, principal).ok_or_else(texts::invalid_token);
        let resources: Vec<&str> = action.resources.iter().map(String::as_str).collect();
        let context = request_keys(action.now, action.origin).with("aws:RequestedRegion", action.region);
        let refused = |denial: Box<Denial>| {
            let prefix = action.action.split_once(':').map_or("", |(prefix, _)| prefix);
            texts::denied(prefix, &denial.to_string())
        };
        if let Some(endpoint) = action.origin.endpoint() {
            subject()?.passes(view, endpoint, action.action, &resources, context.clone()).map_err(refused)?;
        }
        // Anyone may ask who they are. Whether a role may be assumed depends on its trust policy, which the handler reads.
        if matches!(action.action, "sts:GetCallerIdentity" | "sts:AssumeRole") {
            return Ok(());
        }
        subject()?.may(action.action, &resources, context, None).map_err(refused)
    }

    fn authorize_signed_by(&self, view: &View, service: &str, action: &Action<'_>) -> Result<(), ApiError> {
        let Some(endpoint) = action.origin.endpoint() else { return Ok(()) };
        let resources: Vec<&str> = action.resources.iter().map(String::as_str).collect();
        let context = request_keys(action.now, action.origin).with("aws:RequestedRegion", action.region);
        let subject = Subject::bare(Caller::Service { name: service.to_owned() });
        let passes = subject.passes(view, endpoint, action.action, &resources, context);
        // Whose key signed is the service's own affair, and so is why it was refused.
        passes.map_err(|_| ApiError::new("AccessDenied", "Access Denied").with_status(403))
    }
}

/// The principal of the account's root user.
pub fn root(account: &AccountId) -> Principal {
    Principal::root(account, ROOT_KEY)
}

/// The condition keys that every request has.
pub(crate) fn global_keys(now: Timestamp) -> Context {
    Context::new()
        .with("aws:CurrentTime", now.iso8601())
        .with("aws:EpochTime", (now.millis() / 1000).to_string())
        .with("aws:SecureTransport", "false")
}

/// The condition keys of a request that came from somewhere. Source: IAM user guide, "AWS global condition context keys":
/// through a VPC endpoint the caller's address is `aws:VpcSourceIp`, and there is no `aws:SourceIp`.
pub(crate) fn request_keys(now: Timestamp, origin: &Origin) -> Context {
    let (context, ip) = (global_keys(now), origin.ip().to_string());
    match &origin.door {
        Door::Machine | Door::Internet { .. } => context.with("aws:SourceIp", ip),
        Door::Endpoint(endpoint) => context
            .with("aws:SourceVpce", endpoint.id.as_str())
            .with("aws:SourceVpc", endpoint.vpc.as_str())
            .with("aws:VpcSourceIp", ip),
    }
}

/// A caller with the policies that bind it.
pub(crate) struct Subject {
    caller: Caller,
    identity: Vec<(String, Arc<Document>)>,
    boundary: Option<(String, Arc<Document>)>,
    session: Option<Vec<(String, Arc<Document>)>>,
    tags: Vec<(String, String)>,
    source_identity: Option<String>,
}

impl Subject {
    /// `principal` with its policies as they are now; none if the user or role is gone, or is another of the same name.
    pub(crate) fn of(view: &View, principal: &Principal) -> Option<Self> {
        let scope = rows::scope(&principal.account);
        let account = principal.account.to_string();
        match principal.kind {
            PrincipalKind::Root => Some(Self::bare(Caller::Root { account })),
            PrincipalKind::User => {
                let (_, name) = principal.arn.rsplit_once('/')?;
                let user = view.get::<User>(&scope, name).filter(|user| user.owner.id == principal.user_id)?;
                let id = principal.user_id.clone();
                let caller = Caller::User { account, arn: principal.arn.clone(), id, name: name.to_owned() };
                Self::with_owner(view, caller, &user.owner, &principal.account)
            }
            PrincipalKind::AssumedRole => {
                let (role_id, session) = principal.user_id.split_once(':')?;
                let name = principal.arn.rsplit('/').nth(1)?;
                let role = view.get::<Role>(&scope, name).filter(|role| role.owner.id == role_id)?;
                let mut subject = Self::of_session(view, &principal.account, &role, session)?;
                if let Some(extras) = view.get::<Session>(&rows::keys(), &principal.access_key) {
                    subject.limit(view, &extras, &principal.account)?;
                }
                Some(subject)
            }
        }
    }

    /// A session of `role` without policies of its own.
    pub(crate) fn of_session(view: &View, account: &AccountId, role: &Role, session: &str) -> Option<Self> {
        let caller = Caller::Session {
            account: account.to_string(),
            role_arn: role.arn(account),
            role_id: role.owner.id.clone(),
            arn: credentials::session_arn(account, &role.owner.name, session),
            session: session.to_owned(),
        };
        Self::with_owner(view, caller, &role.owner, account)
    }

    /// A caller without policies.
    pub(crate) fn bare(caller: Caller) -> Self {
        Self { caller, identity: Vec::new(), boundary: None, session: None, tags: Vec::new(), source_identity: None }
    }

    fn with_owner(view: &View, caller: Caller, owner: &Owner, account: &AccountId) -> Option<Self> {
        let mut subject = Self::bare(caller);
        for (name, text) in &owner.inline {
            subject.identity.push((name.clone(), Arc::clone(text.document())));
        }
        for arn in &owner.attached {
            // A policy that is attached cannot be deleted; one that cannot be found might be a deny, so nothing passes.
            subject.identity.push((arn.clone(), managed_document(view, account, arn)?));
        }
        if let Some(arn) = &owner.boundary {
            subject.boundary = Some((arn.clone(), managed_document(view, account, arn)?));
        }
        subject.tags.extend(owner.tags.clone());
        Some(subject)
    }

    /// Whether a policy of its own speaks of `service` by name.
    pub(crate) fn names_service(&self, service: &str) -> bool {
        let mut statements = self.identity.iter().flat_map(|(_, document)| document.statements());
        statements.any(|statement| statement.names_service(service))
    }

    fn limit(&mut self, view: &View, extras: &Session, account: &AccountId) -> Option<()> {
        self.tags.extend(extras.tags.clone());
        self.source_identity.clone_from(&extras.source_identity);
        let Some(policies) = &extras.policies else { return Some(()) };
        let documents = policies.iter().map(|policy| match policy {
            SessionPolicy::Inline(text) => Some(("session policy".to_owned(), Arc::clone(text.document()))),
            SessionPolicy::Managed(arn) => Some((arn.clone(), managed_document(view, account, arn)?)),
        });
        self.session = Some(documents.collect::<Option<_>>()?);
        Some(())
    }

    /// Whether the endpoint's policy lets the caller pass.
    pub(crate) fn passes(
        &self,
        view: &View,
        endpoint: &Endpoint,
        action: &str,
        resources: &[&str],
        context: Context,
    ) -> Result<(), Box<Denial>> {
        let document = match endpoint.policy(view) {
            EndpointPolicy::FullAccess => return Ok(()),
            // What is no document was refused when it was given; it allows nothing.
            EndpointPolicy::Document(text) => policy::parse(policy::Kind::Resource, &text).unwrap_or_default(),
            EndpointPolicy::Gone => Document::default(),
        };
        let request = Request { caller: &self.caller, action, resources, context: self.with_keys(context) };
        policy::pass_endpoint(&request, Named { name: endpoint.id.as_str(), document: &document }).into_result()
    }

    /// The condition keys that the caller brings.
    fn with_keys(&self, mut context: Context) -> Context {
        for (key, value) in &self.tags {
            context.set(&format!("aws:PrincipalTag/{key}"), value.clone());
        }
        if let Some(source) = &self.source_identity {
            context.set("aws:SourceIdentity", source.clone());
        }
        context
    }

    /// Whether the caller may do it. `trust` is the trust policy where the action is to assume that role.
    pub(crate) fn may(
        &self,
        action: &str,
        resources: &[&str],
        context: Context,
        trust: Option<&Role>,
    ) -> Result<(), Box<Denial>> {
        let context = self.with_keys(context);
        let identity: Vec<Named<'_>> = self.identity.iter().map(named).collect();
        let session: Option<Vec<Named<'_>>> = self.session.as_ref().map(|all| all.iter().map(named).collect());
        let policies = Policies {
            identity: &identity,
            resource: trust.map(|role| Named { name: &role.owner.name, document: role.trust.document() }),
            resource_is_trust: trust.is_some(),
            boundary: self.boundary.as_ref().map(named),
            session: session.as_deref(),
        };
        match policy::evaluate(&Request { caller: &self.caller, action, resources, context }, &policies) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(denial) => Err(denial),
        }
    }
}

fn named(entry: &(String, Arc<Document>)) -> Named<'_> {
    Named { name: &entry.0, document: &entry.1 }
}

/// The document of a managed policy's default version: AWS's, or the account's own.
pub(crate) fn managed_document(view: &View, account: &AccountId, arn: &str) -> Option<Arc<Document>> {
    if let Some(policy) = managed::get(arn) {
        return policy.document().cloned();
    }
    view.get::<ManagedPolicy>(&rows::scope(account), arn).map(|policy| Arc::clone(policy.document.document()))
}
