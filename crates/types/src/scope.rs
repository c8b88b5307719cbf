//! The account and region that own a resource, and every row of the store.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A twelve-digit AWS account number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(String);

impl AccountId {
    /// The account that the default credentials belong to.
    pub const DEFAULT: &'static str = "123456789012";

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AccountId {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for AccountId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("an account id is twelve digits, not {text:?}"))
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A region's name such as `us-east-1`: lower-case letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Region(String);

impl Region {
    /// The region used where a request names none.
    pub const DEFAULT: &'static str = "us-east-1";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The availability zones that this region offers, in order: `us-east-1a`, `-1b`, `-1c`.
    pub fn zones(&self) -> Vec<String> {
        ['a', 'b', 'c'].iter().map(|letter| format!("{}{letter}", self.0)).collect()
    }
}

impl Default for Region {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("not a region: {text:?}"))
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a resource lives: every key of the store begins with it. Global services (IAM) use [`Scope::global`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The owner.
    pub account: AccountId,
    /// The region; empty for global services.
    pub region: Region,
}

impl Scope {
    /// The scope of `account` in `region`.
    pub fn new(account: AccountId, region: Region) -> Self {
        Self { account, region }
    }

    /// The scope of an account's global resources.
    pub fn global(account: AccountId) -> Self {
        Self { account, region: Region(String::new()) }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new(AccountId::default(), Region::default())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}
