//! What the store keeps of a registry: repositories, images with their tags, and which blobs a repository holds.
//!
//! The bytes of manifests, configurations and layers are in the blob store, under the digests named here. A blob that
//! several repositories hold is stored once, but each has a [`Layer`] of its own: what is not in a repository cannot be
//! read through it.

use crate::manifest::Manifest;
use blob::Digest;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use store::{Index, Row, TableDef};
use types::Timestamp;

/// The tables of this service.
pub fn tables() -> Vec<TableDef> {
    vec![TableDef::of::<Repository>(), TableDef::of::<Image>(), TableDef::of::<Layer>()]
}

/// A repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repository {
    /// `team/app`.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether tags may move.
    pub mutability: TagMutability,
    /// Whether each pushed image is scanned.
    pub scan_on_push: bool,
    /// `AES256`, `KMS` or `KMS_DSSE`.
    pub encryption_type: String,
    /// The key, for the latter two.
    pub kms_key: Option<String>,
    /// The resource's tags.
    pub tags: BTreeMap<String, String>,
    /// The lifecycle policy as it was put.
    pub lifecycle_policy: Option<String>,
    /// The repository's own IAM policy as it was put.
    pub policy: Option<String>,
}

/// Whether tags may move to another image, and which tags are the exception.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TagMutability {
    /// Tags stay where they are, exceptions aside.
    pub immutable: bool,
    /// Patterns, with `*` for any characters, of the tags for which the opposite holds.
    pub exclusions: Vec<String>,
}

impl TagMutability {
    /// Whether `tag`, once put, must stay on its image.
    pub fn fixes(&self, tag: &str) -> bool {
        let excluded = self.exclusions.iter().any(|pattern| wildcard(pattern.as_bytes(), tag.as_bytes()));
        self.immutable != excluded
    }

    /// AWS's name of the setting.
    pub fn name(&self) -> &'static str {
        match (self.immutable, self.exclusions.is_empty()) {
            (false, true) => "MUTABLE",
            (true, true) => "IMMUTABLE",
            (false, false) => "MUTABLE_WITH_EXCLUSION",
            (true, false) => "IMMUTABLE_WITH_EXCLUSION",
        }
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters. Takes time linear in their product at most.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

impl Row for Repository {
    const TABLE: &'static str = "ecr_repositories";

    fn id(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

/// An image: one manifest in one repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// Its repository's name.
    pub repository: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// What its manifest says.
    pub manifest: Manifest,
    /// The manifest's own length.
    pub manifest_size: u64,
    /// `imageSizeInBytes`: its layers and configuration as they are stored; of an index, those of its largest image.
    pub size: u64,
    /// When it, or a tag of it, was last pushed.
    pub pushed_at: Timestamp,
    /// The tags that name it.
    pub tags: BTreeSet<String>,
    /// When it was last pulled, exact to a day, as on AWS.
    pub pulled_at: Option<Timestamp>,
    /// Its newest scan.
    pub scan: Option<Scan>,
}

impl Image {
    /// Images by `<repository>:<tag>`; at most one each.
    pub const BY_TAG: Index<Self> =
        Index::new("tag", |image| image.tags.iter().map(|tag| format!("{}:{tag}", image.repository)).collect());
    /// Images of a repository.
    pub const BY_REPOSITORY: Index<Self> = Index::new("repository", |image| vec![image.repository.clone()]);
    /// Images that refer to the subject `<repository>@<digest>`.
    pub const BY_SUBJECT: Index<Self> = Index::new("subject", |image| {
        image.manifest.subject.iter().map(|subject| key(&image.repository, &subject.digest)).collect()
    });
    /// Indexes that list the image `<repository>@<digest>`.
    pub const BY_CHILD: Index<Self> = Index::new("child", |image| {
        image.manifest.children.iter().map(|child| key(&image.repository, &child.digest)).collect()
    });
    /// Images that are made of the blob `<repository>@<digest>`.
    pub const BY_BLOB: Index<Self> =
        Index::new("blob", |image| image.manifest.blobs().map(|blob| key(&image.repository, &blob.digest)).collect());
}

impl Row for Image {
    const TABLE: &'static str = "ecr_images";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(key(&self.repository, &self.digest))
    }

    fn indexes() -> &'static [Index<Self>] {
        const ALL: &[Index<Image>] =
            &[Image::BY_TAG, Image::BY_REPOSITORY, Image::BY_SUBJECT, Image::BY_CHILD, Image::BY_BLOB];
        ALL
    }
}

/// A blob that a repository holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layer {
    /// The repository's name.
    pub repository: String,
    /// The blob.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

impl Layer {
    /// The blobs of a repository.
    pub const BY_REPOSITORY: Index<Self> = Index::new("repository", |layer| vec![layer.repository.clone()]);
}

impl Row for Layer {
    const TABLE: &'static str = "ecr_layers";

    fn id(&self) -> Cow<'_, str> {
        Cow::Owned(key(&self.repository, &self.digest))
    }

    fn indexes() -> &'static [Index<Self>] {
        const ALL: &[Index<Layer>] = &[Layer::BY_REPOSITORY];
        ALL
    }
}

/// The id of an [`Image`] or a [`Layer`].
pub fn key(repository: &str, digest: &Digest) -> String {
    format!("{repository}@{digest}")
}

/// Where a scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanStatus {
    /// Asked for, or under way.
    InProgress,
    /// Done.
    Complete,
    /// It could not be done; the description says why.
    Failed,
    /// Nothing of it can be scanned, such as an index.
    UnsupportedImage,
}

impl ScanStatus {
    /// AWS's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Complete => "COMPLETE",
            Self::Failed => "FAILED",
            Self::UnsupportedImage => "UNSUPPORTED_IMAGE",
        }
    }
}

/// A scan of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scan {
    /// Where it stands.
    pub status: ScanStatus,
    /// In words.
    pub description: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// How old the newest vulnerability file is; none if there is none.
    pub source_updated_at: Option<Timestamp>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

/// A known vulnerability of an installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `CVE-2024-1234`.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where to read more.
    pub uri: String,
    /// One of AWS's severities.
    pub severity: String,
    /// The package.
    pub package: String,
    /// Its installed version.
    pub version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_turn_the_setting_round() {
        let fixed = TagMutability { immutable: true, exclusions: vec!["dev-*".into(), "*latest*".into()] };
        assert!(fixed.fixes("v1") && !fixed.fixes("dev-1") && !fixed.fixes("latest") && !fixed.fixes("my-latest-2"));
        assert_eq!(fixed.name(), "IMMUTABLE_WITH_EXCLUSION");
        let loose = TagMutability { immutable: false, exclusions: vec!["v*.*".into()] };
        assert!(loose.fixes("v1.0") && !loose.fixes("v1"));
        assert!(!TagMutability::default().fixes("v1"));
    }
}
