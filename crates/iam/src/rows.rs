//! What the store keeps of IAM. All of it is global to its account.

use policy::{Document, Kind, Malformed};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Index, Row};
use types::{AccountId, Scope, Timestamp};
use vault::Sealed;

/// A policy as its owner wrote it, parsed once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "StoredPolicy", into = "StoredPolicy")]
pub struct PolicyText {
    kind: Kind,
    text: String,
    document: Arc<Document>,
}

#[derive(Serialize, Deserialize)]
struct StoredPolicy {
    trust: bool,
    text: String,
}

impl TryFrom<StoredPolicy> for PolicyText {
    type Error = Malformed;

    fn try_from(stored: StoredPolicy) -> Result<Self, Malformed> {
        Self::parse(if stored.trust { Kind::Trust } else { Kind::Identity }, stored.text)
    }
}

impl From<PolicyText> for StoredPolicy {
    fn from(policy: PolicyText) -> Self {
        Self { trust: policy.kind == Kind::Trust, text: policy.text }
    }
}

impl PartialEq for PolicyText {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }
}

impl PolicyText {
    /// Parses `text`, which stays as it is.
    pub fn parse(kind: Kind, text: String) -> Result<Self, Malformed> {
        let document = Arc::new(policy::parse(kind, &text)?);
        Ok(Self { kind, text, document })
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as IAM's responses carry it: percent-encoded as RFC 3986 has it.
    pub fn encoded(&self) -> String {
        encode_document(&self.text)
    }

    /// What it says.
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn encode_document(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// What roles and users have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// Unique in the account without regard to case.
    pub name: String,
    /// `/`, or a path that begins and ends with one.
    pub path: String,
    /// `AROA…` or `AIDA…`.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// The managed policy that bounds it.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Inline policies by name.
    pub inline: BTreeMap<String, PolicyText>,
    /// Attached managed policies' ARNs, in the order in which they were attached.
    pub attached: Vec<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// Name, policies, tags.
    pub owner: Owner,
    /// Who may assume it.
    pub trust: PolicyText,
    /// A description.
    pub description: Option<String>,
    /// Seconds that a session may last.
    pub max_session_duration: i32,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Name, policies, tags.
    pub owner: Owner,
}

/// An instance profile: the role that an EC2 instance has, by the profile's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Unique in the account without regard to case.
    pub name: String,
    /// `/`, or a path that begins and ends with one.
    pub path: String,
    /// `AIPA…`.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// The name of its role.
    pub role: Option<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl InstanceProfile {
    /// Finds profiles by their name in lower case.
    pub const BY_FOLDED_NAME: Index<Self> = Index::new("folded-name", |row| vec![row.name.to_lowercase()]);
    /// Finds profiles by their role's name.
    pub const BY_ROLE: Index<Self> = Index::new("role", |row| row.role.iter().cloned().collect());

    /// `arn:aws:iam::<account>:instance-profile/<path><name>`.
    pub fn arn(&self, account: &AccountId) -> String {
        format!("arn:aws:iam::{account}:instance-profile{}{}", self.path, self.name)
    }
}

impl Row for InstanceProfile {
    const TABLE: &'static str = "iam.instance-profile";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_FOLDED_NAME, Self::BY_ROLE]
    }
}

/// Something that policies are attached to.
pub trait Entity: Row + Clone + PartialEq {
    /// `role` or `user`, as in messages and ARNs.
    const KIND: &'static str;
    /// `Role` or `User`.
    const TITLE: &'static str;
    /// How many managed policies it may have, and that quota's name.
    const ATTACHED: (&'static str, usize);
    /// How many bytes its inline policies may have in all.
    const INLINE_BYTES: usize;
    /// Finds entities by their name in lower case.
    const BY_FOLDED_NAME: Index<Self>;
    /// Finds entities by a managed policy that is attached to them.
    const BY_ATTACHED: Index<Self>;
    /// Finds entities by their boundary.
    const BY_BOUNDARY: Index<Self>;

    /// Name, policies, tags.
    fn owner(&self) -> &Owner;
    /// The same, to be changed.
    fn owner_mut(&mut self) -> &mut Owner;

    /// `arn:aws:iam::<account>:role/<path><name>`.
    fn arn(&self, account: &AccountId) -> String {
        let Owner { path, name, .. } = self.owner();
        format!("arn:aws:iam::{account}:{}{path}{name}", Self::KIND)
    }
}

macro_rules! entity {
    ($type:ident, $table:literal, $kind:literal, $quota:literal, $inline:literal) => {
        impl Row for $type {
            const TABLE: &'static str = $table;

            fn id(&self) -> Cow<'_, str> {
                Cow::Borrowed(&self.owner.name)
            }

            fn indexes() -> &'static [Index<Self>] {
                &[Self::BY_FOLDED_NAME, Self::BY_ATTACHED, Self::BY_BOUNDARY]
            }
        }

        impl Entity for $type {
            const KIND: &'static str = $kind;
            const TITLE: &'static str = stringify!($type);
            const ATTACHED: (&'static str, usize) = ($quota, 10);
            const INLINE_BYTES: usize = $inline;
            const BY_FOLDED_NAME: Index<Self> = Index::new("folded-name", |row| vec![row.owner.name.to_lowercase()]);
            const BY_ATTACHED: Index<Self> = Index::new("attached", |row| row.owner.attached.clone());
            const BY_BOUNDARY: Index<Self> = Index::new("boundary", |row| row.owner.boundary.iter().cloned().collect());

            fn owner(&self) -> &Owner {
                &self.owner
            }

            fn owner_mut(&mut self) -> &mut Owner {
                &mut self.owner
            }
        }
    };
}

entity!(Role, "iam.role", "role", "PoliciesPerRole", 10_240);
entity!(User, "iam.user", "user", "PoliciesPerUser", 2_048);

/// A managed policy of the account's own. Its id in the store is its ARN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Unique in the account without regard to case.
    pub name: String,
    /// `/`, or a path that begins and ends with one.
    pub path: String,
    /// `ANPA…`.
    pub id: String,
    /// `arn:aws:iam::<account>:policy/<path><name>`.
    pub arn: String,
    /// A description, which cannot be changed.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The document of version `v1`; further versions cannot be made yet.
    pub document: PolicyText,
}

impl ManagedPolicy {
    /// Finds policies by their name in lower case.
    pub const BY_FOLDED_NAME: Index<Self> = Index::new("folded-name", |row| vec![row.name.to_lowercase()]);
}

impl Row for ManagedPolicy {
    const TABLE: &'static str = "iam.policy";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.arn)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_FOLDED_NAME]
    }
}

/// A user's long-lived access key. Keys of all accounts lie in [`keys`], since a request names nothing but the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The user's account.
    pub account: AccountId,
    /// The user's name.
    pub user: String,
    /// Whether it may be used.
    pub active: bool,
    /// When it was made.
    pub created: Timestamp,
    /// The secret, sealed for [`AccessKey::context`].
    pub secret: Sealed,
}

impl AccessKey {
    /// Finds keys by account and user.
    pub const BY_USER: Index<Self> = Index::new("user", |row| vec![Self::user_value(&row.account, &row.user)]);

    /// The value of [`AccessKey::BY_USER`].
    pub fn user_value(account: &AccountId, user: &str) -> String {
        format!("{account}/{user}")
    }

    /// What the secret of the key `id` is sealed for.
    pub fn context(id: &str) -> String {
        format!("iam.access-key/{id}")
    }
}

impl Row for AccessKey {
    const TABLE: &'static str = "iam.access-key";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }

    fn indexes() -> &'static [Index<Self>] {
        &[Self::BY_USER]
    }
}

/// A role's session with temporary credentials, until it ends. Sessions of all accounts lie in [`keys`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The access key, `ASIA…`.
    pub id: String,
    /// The role's account.
    pub account: AccountId,
    /// The role's name.
    pub role: String,
    /// `AROA…`: another role of the same name is not meant.
    pub role_id: String,
    /// The session's name.
    pub session: String,
    /// When it ends.
    pub expires: Timestamp,
    /// [`SessionKeys`], sealed for [`Session::context`].
    pub keys: Sealed,
    /// Session policies. None at all differs from an empty list.
    pub policies: Option<Vec<SessionPolicy>>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// `sts:SourceIdentity`.
    pub source_identity: Option<String>,
}

/// What proves a session.
#[derive(Serialize, Deserialize)]
pub(crate) struct SessionKeys {
    pub(crate) secret: String,
    pub(crate) token: String,
}

impl Session {
    /// What the keys of the session `id` are sealed for.
    pub fn context(id: &str) -> String {
        format!("sts.session/{id}")
    }
}

/// One of a session's policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SessionPolicy {
    /// Given with the call.
    Inline(PolicyText),
    /// A managed policy's ARN.
    Managed(String),
}

impl Row for Session {
    const TABLE: &'static str = "sts.session";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.id)
    }
}

/// The scope of access keys and sessions, whatever their account.
pub fn keys() -> Scope {
    Scope::global(AccountId::default())
}

/// The scope of everything else of `account`.
pub fn scope(account: &AccountId) -> Scope {
    Scope::global(account.clone())
}
