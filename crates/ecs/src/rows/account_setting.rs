//! Account settings.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use store::{Row, View};
use types::{AccountId, Scope};

/// A setting of a user, a role, or the root user, whose settings are the account's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSettingRow {
    /// The principal's ARN.
    pub principal: String,
    /// `containerInsights` and the like.
    pub name: String,
    /// The value.
    pub value: String,
}

impl AccountSettingRow {
    /// The key of a setting.
    pub fn key(principal: &str, name: &str) -> String {
        format!("{principal} {name}")
    }

    /// The root user of an account.
    pub fn root(account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:root")
    }

    /// What holds for a principal: what it has set, or else what the root user has set.
    pub fn in_effect(view: &View, scope: &Scope, principal: &str, name: &str) -> Option<String> {
        let root = Self::root(&scope.account);
        let set = |who: &str| view.get::<Self>(scope, &Self::key(who, name)).map(|row| row.value.clone());
        set(principal).or_else(|| set(&root))
    }
}

impl Row for AccountSettingRow {
    const TABLE: &'static str = "ecs-account-settings";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(Self::key(&self.principal, &self.name))
    }
}
