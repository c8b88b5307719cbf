//! Who asks, and how the `Principal` element of a resource or trust policy names them.

use crate::context::Context;
use types::arn::Arn;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// The account's root user, whom no implicit deny binds.
    Root {
        /// The account.
        account: String,
    },
    /// An IAM user.
    User {
        /// The account.
        account: String,
        /// `arn:aws:iam::<account>:user/<path><name>`.
        arn: String,
        /// `AIDA…`.
        id: String,
        /// The user's name without its path.
        name: String,
    },
    /// A session of a role.
    Session {
        /// The account.
        account: String,
        /// `arn:aws:iam::<account>:role/<path><name>`.
        role_arn: String,
        /// `AROA…`.
        role_id: String,
        /// `arn:aws:sts::<account>:assumed-role/<name>/<session>`.
        arn: String,
        /// The session's name.
        session: String,
    },
    /// An AWS service such as `ecs-tasks.amazonaws.com`.
    Service {
        /// Its principal.
        name: String,
    },
    /// Nobody in particular.
    Anonymous,
}

/// A principal as a policy names it: `("AWS", "arn:…")`, `("Service", "ecs-tasks.amazonaws.com")`.
pub type NamedPrincipal = (String, String);

impl Caller {
    /// The ARN that messages show: the session's for a role's session.
    pub fn arn(&self) -> String {
        match self {
            Self::Root { account } => format!("arn:aws:iam::{account}:root"),
            Self::User { arn, .. } | Self::Session { arn, .. } => arn.clone(),
            Self::Service { name } => name.clone(),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }

    /// The account, where there is one.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Root { account } | Self::User { account, .. } | Self::Session { account, .. } => Some(account),
            Self::Service { .. } | Self::Anonymous => None,
        }
    }

    /// `UserId` of GetCallerIdentity and the key `aws:userid`.
    pub fn user_id(&self) -> String {
        match self {
            Self::Root { account } => account.clone(),
            Self::User { id, .. } => id.clone(),
            Self::Session { role_id, session, .. } => format!("{role_id}:{session}"),
            Self::Service { name } => name.clone(),
            Self::Anonymous => "anonymous".to_owned(),
        }
    }

    /// The global condition keys that say who asks.
    pub(crate) fn fill(&self, context: &mut Context) {
        context.set_default("aws:userid", &self.user_id());
        if let Some(account) = self.account() {
            context.set_default("aws:PrincipalAccount", account);
            context.set_default("aws:PrincipalIsAWSService", "false");
        }
        let (kind, arn) = match self {
            Self::Root { .. } => ("Account", self.arn()),
            Self::User { arn, name, .. } => {
                context.set_default("aws:username", name);
                ("User", arn.clone())
            }
            // For a session the key holds the role's ARN.
            Self::Session { role_arn, .. } => ("AssumedRole", role_arn.clone()),
            Self::Service { name } => {
                context.set_default("aws:PrincipalIsAWSService", "true");
                context.set_default("aws:PrincipalServiceName", name);
                return;
            }
            Self::Anonymous => {
                context.set_default("aws:PrincipalType", "Anonymous");
                return;
            }
        };
        context.set_default("aws:PrincipalType", kind);
        context.set_default("aws:PrincipalArn", &arn);
    }
}

/// How closely a policy names a caller. It decides which other policies still limit what this one allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Match {
    /// Not at all.
    No,
    /// By its account: the account's own policies decide.
    Account,
    /// `*`.
    Anyone,
    /// By the role whose session it is: boundary and session policies still limit.
    Role,
    /// Itself.
    Exact,
}

/// The `Principal` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PrincipalSet {
    /// `"*"`.
    Anyone,
    /// Kinds and values, as written.
    Listed(Vec<NamedPrincipal>),
}

impl PrincipalSet {
    pub(crate) fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let listed: &[NamedPrincipal] = match self {
            Self::Anyone => &[],
            Self::Listed(listed) => listed,
        };
        let anyone = matches!(self, Self::Anyone).then_some(("AWS", "*"));
        anyone.into_iter().chain(listed.iter().map(|(kind, value)| (kind.as_str(), value.as_str())))
    }

    pub(crate) fn matches(&self, caller: &Caller) -> Match {
        match self {
            Self::Anyone => Match::Anyone,
            Self::Listed(listed) => {
                listed.iter().map(|(kind, value)| closeness(kind, value, caller)).max().unwrap_or(Match::No)
            }
        }
    }

    /// For `NotPrincipal`: a caller is left out only if every one of its forms is listed (the account; then the user,
    /// or the role and its session), as AWS documents it.
    pub(crate) fn excludes(&self, caller: &Caller) -> bool {
        let Self::Listed(listed) = self else { return true };
        let lists = |wanted: Match| listed.iter().any(|(kind, value)| closeness(kind, value, caller) == wanted);
        match caller {
            Caller::Root { .. } | Caller::Service { .. } => lists(Match::Exact),
            Caller::User { .. } => lists(Match::Account) && lists(Match::Exact),
            Caller::Session { .. } => lists(Match::Account) && lists(Match::Role) && lists(Match::Exact),
            Caller::Anonymous => false,
        }
    }
}

fn closeness(kind: &str, value: &str, caller: &Caller) -> Match {
    match kind {
        "AWS" if value == "*" => Match::Anyone,
        "AWS" => match caller {
            Caller::Root { account } if is_account(value, account) => Match::Exact,
            Caller::User { arn, id, .. } if value == arn || value == id => Match::Exact,
            Caller::Session { arn, .. } if value == arn => Match::Exact,
            Caller::Session { role_arn, role_id, .. } if value == role_arn || value == role_id => Match::Role,
            Caller::User { account, .. } | Caller::Session { account, .. } if is_account(value, account) => {
                Match::Account
            }
            _ => Match::No,
        },
        "Service" => match caller {
            Caller::Service { name } if value == name => Match::Exact,
            _ => Match::No,
        },
        // Nobody comes here through a federation or by a canonical user id.
        _ => Match::No,
    }
}

/// Whether a principal's value stands for the whole account.
fn is_account(value: &str, account: &str) -> bool {
    value == account
        || value
            .parse::<Arn>()
            .is_ok_and(|arn| arn.service == "iam" && arn.account == account && arn.resource == "root")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Caller {
        Caller::Session {
            account: "123456789012".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/app/web".to_owned(),
            role_id: "AROAEXAMPLE".to_owned(),
            arn: "arn:aws:sts::123456789012:assumed-role/web/s1".to_owned(),
            session: "s1".to_owned(),
        }
    }

    fn listed(values: &[&str]) -> PrincipalSet {
        PrincipalSet::Listed(values.iter().map(|v| ("AWS".to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn a_session_is_named_by_itself_its_role_or_its_account() {
        for (value, expected) in [
            ("arn:aws:sts::123456789012:assumed-role/web/s1", Match::Exact),
            ("arn:aws:iam::123456789012:role/app/web", Match::Role),
            ("123456789012", Match::Account),
            ("arn:aws:iam::123456789012:root", Match::Account),
            ("*", Match::Anyone),
            ("arn:aws:iam::123456789012:role/web", Match::No),
        ] {
            assert_eq!(listed(&[value]).matches(&session()), expected, "{value}");
        }
    }

    #[test]
    fn not_principal_must_list_every_form_of_the_caller() {
        let all =
            ["123456789012", "arn:aws:iam::123456789012:role/app/web", "arn:aws:sts::123456789012:assumed-role/web/s1"];
        assert!(listed(&all).excludes(&session()));
        assert!(!listed(&all[1..]).excludes(&session()));
    }
}
