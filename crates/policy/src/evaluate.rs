//! The decision. Order as AWS documents it for an account without organisation policies:
//!
//! 1. a statement that denies, in any policy in force, denies;
//! 2. the root user passes;
//! 3. within the account, a resource's policy that names the very caller allows by itself;
//! 4. else the identity's policies or the resource's must allow (both, across accounts or for a trust policy), and
//! 5. the permissions boundary must allow, and
//! 6. the session's policy must allow.

use crate::context::Context;
use crate::denial::{Denial, Layer, Reason};
use crate::document::{Document, Effect, StatementRef};
use crate::principal::{Caller, Match};

/// What somebody wants to do.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// `service:Operation`.
    pub action: &'a str,
    /// ARNs; `*` where the action works on nothing in particular. All must be allowed.
    pub resources: &'a [&'a str],
    /// The condition keys. Those that say who asks are added from `caller`.
    pub context: Context,
}

/// A policy and how its owner names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// An ARN, or the name of an inline policy.
    pub name: &'a str,
    /// The policy.
    pub document: &'a Document,
}

/// The policies in force.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policies<'a> {
    /// Of the user or role: inline and attached.
    pub identity: &'a [Named<'a>],
    /// Of the resource.
    pub resource: Option<Named<'a>>,
    /// The resource is a role to be assumed: its policy must allow, whatever the caller may.
    pub resource_is_trust: bool,
    /// The permissions boundary of the user or role.
    pub boundary: Option<Named<'a>>,
    /// The policies given when the role was assumed, if any were: one of them must allow.
    pub session: Option<&'a [Named<'a>]>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed; by this statement, or because the caller is the root user.
    Allow(Option<StatementRef>),
    /// Denied.
    Deny(Box<Denial>),
}

impl Decision {
    /// Whether the request may pass.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The denial as an error.
    pub fn into_result(self) -> Result<(), Box<Denial>> {
        match self {
            Self::Allow(_) => Ok(()),
            Self::Deny(denial) => Err(denial),
        }
    }
}

/// Decides. A request that names no resource is one on `*`.
pub fn evaluate(request: &Request<'_>, policies: &Policies<'_>) -> Decision {
    let mut context = request.context.clone();
    request.caller.fill(&mut context);
    let resources = if request.resources.is_empty() { &["*"][..] } else { request.resources };
    let mut first_allow = None;
    for resource in resources {
        match evaluate_one(request.caller, request.action, resource, &context, policies) {
            Ok(statement) => first_allow = first_allow.or(statement),
            Err(reason) => {
                return Decision::Deny(Box::new(Denial {
                    caller: request.caller.arn(),
                    action: request.action.to_owned(),
                    resource: (*resource).to_owned(),
                    reason,
                }));
            }
        }
    }
    Decision::Allow(first_allow)
}

fn evaluate_one(
    caller: &Caller,
    action: &str,
    resource: &str,
    context: &Context,
    policies: &Policies<'_>,
) -> Result<Option<StatementRef>, Reason> {
    let find = |named: &Named<'_>, effect: Effect, fits: &dyn Fn(Match) -> bool, by_principal: bool| {
        let hit = named.document.statements.iter().enumerate().find(|(_, statement)| {
            statement.effect == effect
                && (!by_principal || fits(statement.names(caller)))
                && statement.applies(context, action, resource)
        });
        hit.map(|(index, statement)| StatementRef { policy: named.name.to_owned(), index, sid: statement.sid.clone() })
    };
    let of_caller = |named: &Named<'_>, effect| find(named, effect, &|_| true, false);
    let of_resource = |effect, least: Match| {
        policies.resource.as_ref().and_then(|named| find(named, effect, &|found| found >= least, true))
    };
    let resource_layer = if policies.resource_is_trust { Layer::Trust } else { Layer::Resource };

    // 1. Explicit deny.
    for (layer, named) in policies
        .identity
        .iter()
        .map(|named| (Layer::Identity, named))
        .chain(policies.boundary.iter().map(|named| (Layer::Boundary, named)))
        .chain(policies.session.unwrap_or_default().iter().map(|named| (Layer::Session, named)))
    {
        if let Some(statement) = of_caller(named, Effect::Deny) {
            return Err(Reason::Explicit(layer, statement));
        }
    }
    if let Some(statement) = of_resource(Effect::Deny, Match::Account) {
        return Err(Reason::Explicit(resource_layer, statement));
    }

    // A policy that names the account leaves the decision to the account; for its root and for those whom it names
    // itself it is the decision.
    let delegated = of_resource(Effect::Allow, Match::Account);
    let named_itself = of_resource(Effect::Allow, Match::Anyone);
    let both_needed = policies.resource_is_trust || crosses_accounts(caller, resource);

    // 2. The root user.
    if matches!(caller, Caller::Root { .. }) {
        return if both_needed && delegated.is_none() { Err(Reason::Implicit(resource_layer)) } else { Ok(delegated) };
    }
    // Services and strangers have no policies of their own.
    if caller.account().is_none() {
        return named_itself.map(Some).ok_or(Reason::Implicit(resource_layer));
    }

    if both_needed && delegated.is_none() {
        return Err(Reason::Implicit(resource_layer));
    }
    let crossing = crosses_accounts(caller, resource);
    // 3. The resource's policy names the very caller. (A trust policy that names a user of its account is enough.)
    if !crossing && let Some(statement) = of_resource(Effect::Allow, Match::Exact) {
        return Ok(Some(statement));
    }
    // 4. Identity or resource.
    let by_identity = policies.identity.iter().find_map(|named| of_caller(named, Effect::Allow));
    let by_resource = if crossing { None } else { named_itself };
    let allowed = by_identity.or(by_resource).ok_or(Reason::Implicit(Layer::Identity))?;
    // 5. and 6.
    if policies.boundary.is_some_and(|named| of_caller(&named, Effect::Allow).is_none()) {
        return Err(Reason::Implicit(Layer::Boundary));
    }
    if policies.session.is_some_and(|all| !all.iter().any(|named| of_caller(named, Effect::Allow).is_some())) {
        return Err(Reason::Implicit(Layer::Session));
    }
    Ok(Some(allowed))
}

/// Whether the resource belongs to another account than the caller's.
fn crosses_accounts(caller: &Caller, resource: &str) -> bool {
    let owner = resource.split(':').nth(4).unwrap_or_default();
    let is_account = owner.len() == 12 && owner.bytes().all(|b| b.is_ascii_digit());
    is_account && caller.account().is_some_and(|account| account != owner)
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
