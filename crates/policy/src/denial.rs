//! Why a request is denied, and how AWS says so.
//! Source: IAM User Guide, "Troubleshoot access denied error messages".

use crate::document::StatementRef;
use std::fmt;

/// The kind of policy that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Policies of the user or role.
    Identity,
    /// The policy of the resource.
    Resource,
    /// The permissions boundary of the user or role.
    Boundary,
    /// The policy given when the role was assumed.
    Session,
    /// The trust policy of the role to assume.
    Trust,
    /// The policy of the VPC endpoint that the request came through.
    Endpoint,
}

/// Whether something denied, or nothing allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A statement denies.
    Explicit(Layer, StatementRef),
    /// No statement of that layer allows.
    Implicit(Layer),
}

/// A denied request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The caller's ARN.
    pub caller: String,
    /// The action, e.g. `ecs:RunTask`.
    pub action: String,
    /// The first of the request's resources that is denied.
    pub resource: String,
    /// What decided.
    pub reason: Reason,
}

impl Denial {
    /// The text without the reason, as services show it which do not give one.
    pub fn bare(&self) -> String {
        format!("User: {} is not authorized to perform: {} on resource: {}", self.caller, self.action, self.resource)
    }

    /// The statement that denied, if one did.
    pub fn statement(&self) -> Option<&StatementRef> {
        match &self.reason {
            Reason::Explicit(_, statement) => Some(statement),
            Reason::Implicit(_) => None,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bare())?;
        match &self.reason {
            Reason::Explicit(layer, _) => {
                let policy = match layer {
                    Layer::Identity => "an identity-based policy",
                    Layer::Resource => "a resource-based policy",
                    Layer::Boundary => "a permissions boundary",
                    Layer::Session => "a session policy",
                    Layer::Trust => "the role trust policy",
                    Layer::Endpoint => "a VPC endpoint policy",
                };
                write!(f, " with an explicit deny in {policy}")
            }
            Reason::Implicit(layer) => {
                let policy = match layer {
                    Layer::Identity => "identity-based policy",
                    Layer::Resource => "resource-based policy",
                    Layer::Boundary => "permissions boundary",
                    Layer::Session => "session policy",
                    Layer::Trust => "role trust policy",
                    Layer::Endpoint => "VPC endpoint policy",
                };
                write!(f, " because no {policy} allows the {} action", self.action)
            }
        }
    }
}

impl std::error::Error for Denial {}
