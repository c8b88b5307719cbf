//! The managed policies that AWS itself offers, as far as container workloads use them: real documents, read once.
//!
//! `aws.json` is data: names, paths, dates and documents as IAM's `GetPolicyVersion` answers them. The ids (`ANPA…`) are not
//! public and are made from the name.

use crate::ids;
use crate::rows::PolicyText;
use policy::{Document, Kind};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use types::Timestamp;

/// What the ARNs of AWS's own policies begin with.
pub const PREFIX: &str = "arn:aws:iam::aws:policy/";

/// A managed policy of AWS.
#[derive(Debug, Deserialize)]
pub struct AwsPolicy {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// When AWS made it.
    pub created: Timestamp,
    /// When AWS last changed it.
    pub updated: Timestamp,
    /// Its default version, `v<n>`.
    pub version: String,
    #[serde(rename = "document")]
    text: String,
    #[serde(skip)]
    parsed: OnceLock<Option<PolicyText>>,
}

impl AwsPolicy {
    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// An id in AWS's form.
    pub fn id(&self) -> String {
        ids::stable("ANPA", &self.arn())
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says. A test holds that every document of ours can be read.
    pub fn document(&self) -> Option<&Arc<Document>> {
        let parsed = self.parsed.get_or_init(|| PolicyText::parse(Kind::Identity, self.text.clone()).ok());
        parsed.as_ref().map(PolicyText::document)
    }
}

/// All of them, by ARN.
pub fn all() -> &'static BTreeMap<String, AwsPolicy> {
    static ALL: OnceLock<BTreeMap<String, AwsPolicy>> = OnceLock::new();
    ALL.get_or_init(|| {
        let list: Vec<AwsPolicy> = serde_json::from_str(include_str!("aws.json")).expect("a test reads this file");
        list.into_iter().map(|policy| (policy.arn(), policy)).collect()
    })
}

/// The one with that ARN.
pub fn get(arn: &str) -> Option<&'static AwsPolicy> {
    // Most ARNs are an account's own: do not read the file for them.
    arn.starts_with(PREFIX).then(|| all().get(arn)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_can_be_read() {
        for (arn, policy) in all() {
            assert!(policy.document().is_some(), "{arn}");
        }
        assert!(get("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy").is_some());
    }
}
