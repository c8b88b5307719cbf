//! IAM's policy language: documents are parsed with AWS's errors, and requests are decided as AWS documents it.
//!
//! Pure: no store, no clock, no I/O. Whoever asks brings the caller, the action, the resources, the context keys (the
//! present time among them) and the policies that are in force; [`evaluate`] answers with the statement that decided.
//!
//! What it is not: it knows no roles or users by name, does not find the policies that apply to a caller, and does
//! not know which context keys a service fills in. `iam` does the former, the service's handlers the latter.
//!
//! Sources: IAM User Guide, "IAM JSON policy element reference", "Policy evaluation logic", "Troubleshoot access
//! denied error messages".

mod condition;
mod context;
mod denial;
mod document;
mod endpoint;
mod evaluate;
mod json;
mod parse;
mod pattern;
mod principal;
mod value;

pub use context::Context;
pub use denial::{Denial, Layer, Reason};
pub use document::{Document, Effect, Statement, StatementRef};
pub use endpoint::pass_endpoint;
pub use evaluate::{Decision, Named, Policies, Request, evaluate};
pub use parse::{Kind, MAX_SIZE, Malformed, parse};
pub use principal::{Caller, NamedPrincipal};

/// Whether an `Action` element such as `ecs:Describe*` names `action`: `*` and `?` are wildcards, case is ignored.
pub fn action_matches(pattern: &str, action: &str) -> bool {
    pattern::Pattern::parse(pattern, false).matches_ignoring_case(&Context::default(), action)
}
