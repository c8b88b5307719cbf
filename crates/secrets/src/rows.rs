//! What the store keeps of secrets and parameters. Values are sealed for the version that they are of.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::{Index, Row};
use types::{Scope, Timestamp};
use vault::{Plain, Sealed, Vault};

/// The label of the version that is in use.
pub const CURRENT: &str = "AWSCURRENT";
/// The label of the version that was in use before.
pub const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    /// Unique in account and region.
    pub name: String,
    /// `arn:aws:secretsmanager:<region>:<account>:secret:<name>-<six characters>`.
    pub arn: String,
    /// A description.
    pub description: Option<String>,
    /// The KMS key that was asked for.
    pub kms_key_id: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it or its value was last changed.
    pub changed: Timestamp,
    /// The day on which a value was last read.
    pub accessed: Option<Timestamp>,
    /// When it was deleted, if it was, and when it is gone.
    pub deletion: Option<Deletion>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Versions by id.
    pub versions: BTreeMap<String, SecretVersion>,
}

/// A secret's planned end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When deletion was asked for.
    pub asked: Timestamp,
    /// When the recovery window ends.
    pub due: Timestamp,
}

/// One value of a secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// When it was made.
    pub created: Timestamp,
    /// The day on which it was last read.
    pub accessed: Option<Timestamp>,
    /// Staging labels. A version without any is deprecated.
    pub stages: BTreeSet<String>,
    /// Whether the value came as bytes.
    pub binary: bool,
    /// The value, sealed.
    pub value: Sealed,
}

impl Secret {
    /// Finds secrets by ARN.
    pub const BY_ARN: Index<Self> = Index::new("arn", |row| vec![row.arn.clone()]);

    /// Whether its recovery window has passed.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.deletion.is_some_and(|deletion| deletion.due <= now)
    }

    /// What a version's value is sealed for.
    pub fn context(arn: &str, version: &str) -> String {
        format!("secretsmanager.secret/{arn}/{version}")
    }

    /// Opens a version's value.
    pub fn open(&self, vault: &Vault, version: &str) -> Option<Plain> {
        let sealed = &self.versions.get(version)?.value;
        vault.unseal(&Self::context(&self.arn, version), sealed).ok()
    }

    /// The version that bears the label.
    pub fn staged(&self, stage: &str) -> Option<&str> {
        self.versions.iter().find(|(_, version)| version.stages.contains(stage)).map(|(id, _)| id.as_str())
    }

    /// Puts the label on `version`, taking it off whatever bears it. The version that loses `AWSCURRENT` becomes
    /// `AWSPREVIOUS`.
    pub fn stage(&mut self, label: &str, version: &str) {
        let bearer = self.staged(label).map(str::to_owned).filter(|bearer| bearer != version);
        if let Some(bearer) = bearer {
            if let Some(old) = self.versions.get_mut(&bearer) {
                old.stages.remove(label);
            }
            if label == CURRENT {
                self.stage(PREVIOUS, &bearer);
            }
        }
        if let Some(new) = self.versions.get_mut(version) {
            new.stages.insert(label.to_owned());
            if label == CURRENT {
                // What is current again is no longer the previous one.
                new.stages.remove(PREVIOUS);
            }
        }
    }
}

impl Row for Secret {
    const TABLE: &'static str = "secretsmanager.secret";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_ARN]
    }
}

/// The start of the day: Secrets Manager tells accesses by the day only.
pub(crate) fn day(now: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400_000;
    Timestamp(now.millis() - now.millis().rem_euclid(DAY))
}

pub(crate) const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Unique in account and region.
    pub name: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The newest hundred versions, oldest first; never empty.
    pub versions: Vec<ParameterVersion>,
}

/// One version of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterVersion {
    /// From 1.
    pub number: i64,
    /// `String`, `StringList` or `SecureString`.
    pub kind: String,
    /// The value, sealed whatever its kind.
    pub value: Sealed,
    /// A description.
    pub description: Option<String>,
    /// The KMS key that was asked for.
    pub key_id: Option<String>,
    /// What values must match.
    pub allowed_pattern: Option<String>,
    /// `Standard` or `Advanced`.
    pub tier: String,
    /// `text`.
    pub data_type: String,
    /// When it was made.
    pub modified: Timestamp,
    /// By whom.
    pub modified_by: String,
}

impl Parameter {
    /// `arn:aws:ssm:<region>:<account>:parameter/<name>`, with one slash whether or not the name begins with one.
    pub fn arn(scope: &Scope, name: &str) -> String {
        format!("arn:aws:ssm:{}:{}:parameter/{}", scope.region, scope.account, name.trim_start_matches('/'))
    }

    /// The newest version.
    pub fn newest(&self) -> Option<&ParameterVersion> {
        self.versions.last()
    }

    /// The version of that number.
    pub fn version(&self, number: i64) -> Option<&ParameterVersion> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// What a version's value is sealed for.
    pub fn context(scope: &Scope, name: &str, version: i64) -> String {
        format!("ssm.parameter/{}:{version}", Self::arn(scope, name))
    }

    /// Opens a version's value.
    pub fn open(&self, vault: &Vault, scope: &Scope, version: &ParameterVersion) -> Option<String> {
        let plain = vault.unseal(&Self::context(scope, &self.name, version.number), &version.value).ok()?;
        plain.text().map(str::to_owned)
    }
}

impl Row for Parameter {
    const TABLE: &'static str = "ssm.parameter";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        let version = || SecretVersion {
            created: Timestamp(0),
            accessed: None,
            stages: BTreeSet::new(),
            binary: false,
            value: Sealed::from_text(""),
        };
        Secret {
            name: "n".to_owned(),
            arn: "arn".to_owned(),
            description: None,
            kms_key_id: None,
            created: Timestamp(0),
            changed: Timestamp(0),
            accessed: None,
            deletion: None,
            tags: BTreeMap::new(),
            versions: ["a", "b", "c"].map(|id| (id.to_owned(), version())).into(),
        }
    }

    #[test]
    fn labels_move_and_the_previous_version_is_remembered() {
        let mut secret = secret();
        secret.stage(CURRENT, "a");
        assert_eq!((secret.staged(CURRENT), secret.staged(PREVIOUS)), (Some("a"), None));
        secret.stage(CURRENT, "b");
        secret.stage(CURRENT, "c");
        assert_eq!((secret.staged(CURRENT), secret.staged(PREVIOUS)), (Some("c"), Some("b")));
        assert!(secret.versions["a"].stages.is_empty(), "the version before the previous one is deprecated");
        secret.stage(CURRENT, "b");
        assert_eq!((secret.staged(CURRENT), secret.staged(PREVIOUS)), (Some("b"), Some("c")));
        secret.stage(CURRENT, "b");
        assert_eq!((secret.staged(CURRENT), secret.staged(PREVIOUS)), (Some("b"), Some("c")), "nothing moved");
    }
}
