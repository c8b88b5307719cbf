//! A parsed policy document.

use crate::condition::Condition;
use crate::context::Context;
use crate::pattern::Pattern;
use crate::principal::{Caller, Match, PrincipalSet};

/// What a statement does for the requests that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Lets them pass, unless something denies.
    Allow,
    /// Refuses them, whatever allows.
    Deny,
}

/// A policy document, ready to be evaluated. The default one says nothing, and so allows nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// Whether its version is 2012-10-17, which has policy variables.
    pub(crate) current: bool,
    pub(crate) statements: Vec<Statement>,
}

/// One statement of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) principals: Option<Element<PrincipalSet>>,
    pub(crate) actions: Element<Vec<Pattern>>,
    pub(crate) resources: Option<Element<Vec<Pattern>>>,
    pub(crate) conditions: Vec<Condition>,
}

/// An element, or its `Not…` form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Element<T> {
    Is(T),
    Not(T),
}

/// Where a decision comes from: the statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRef {
    /// The policy as its owner names it: an ARN, or the name of an inline policy.
    pub policy: String,
    /// The statement's place in the document, from 0.
    pub index: usize,
    /// Its `Sid`, if it has one.
    pub sid: Option<String>,
}

impl Document {
    /// The statements, in the order of the document.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Whether the document is of version 2012-10-17.
    pub fn is_current_version(&self) -> bool {
        self.current
    }
}

impl Statement {
    /// The statement's `Sid`.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Whether it allows or denies.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether its `Action` or `NotAction` speaks of `service` by name: `*` does not, `ssm*:Get*` does not.
    pub fn names_service(&self, service: &str) -> bool {
        let (Element::Is(actions) | Element::Not(actions)) = &self.actions;
        let nothing = Context::default();
        actions
            .iter()
            .filter_map(|action| action.resolve(&nothing))
            .any(|action| action.split_once(':').is_some_and(|(of, _)| of.eq_ignore_ascii_case(service)))
    }

    /// The principals that `Principal` or `NotPrincipal` names, as `(kind, value)` such as `("AWS", "*")`.
    pub fn named_principals(&self) -> impl Iterator<Item = (&str, &str)> {
        let set = match &self.principals {
            Some(Element::Is(set) | Element::Not(set)) => Some(set),
            None => None,
        };
        set.into_iter().flat_map(PrincipalSet::named)
    }

    /// Whether the statement speaks of this action, on this resource, in this context; the principal aside.
    pub(crate) fn applies(&self, context: &Context, action: &str, resource: &str) -> bool {
        let action_fits = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches_ignoring_case(context, action));
        let resource_fits = |patterns: &[Pattern]| patterns.iter().any(|p| p.matches_arn(context, resource));
        let fits = match &self.actions {
            Element::Is(patterns) => action_fits(patterns),
            Element::Not(patterns) => !action_fits(patterns),
        } && match &self.resources {
            // A trust policy, or the policy of a thing that is itself the resource.
            None => true,
            Some(Element::Is(patterns)) => resource_fits(patterns),
            Some(Element::Not(patterns)) => !resource_fits(patterns),
        };
        fits && self.conditions.iter().all(|condition| condition.holds(context))
    }

    /// How the statement's principals relate to the caller.
    pub(crate) fn names(&self, caller: &Caller) -> Match {
        match &self.principals {
            None => Match::No,
            Some(Element::Is(set)) => set.matches(caller),
            Some(Element::Not(set)) if set.excludes(caller) => Match::No,
            Some(Element::Not(_)) => Match::Anyone,
        }
    }
}
