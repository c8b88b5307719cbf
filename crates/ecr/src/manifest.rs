//! Manifests: what an image or an index is made of, read from its JSON. Pure.
//!
//! Accepted are OCI's image manifest and index and Docker's schema 2 manifest and list. Docker's schema 1 is not; its
//! signed form has been deprecated for years.

use blob::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest manifest accepted, as ECR and the distribution specification have it.
pub const MAX_SIZE: usize = 4 * 1024 * 1024;
/// The most descriptors in one manifest. Images have at most 127 layers; indexes have some dozen images.
const MAX_DESCRIPTORS: usize = 10_000;

/// OCI's image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// One of the four media types.
    pub media_type: String,
    /// OCI's `artifactType`.
    pub artifact_type: Option<String>,
    /// An image's configuration.
    pub config: Option<Descriptor>,
    /// An image's layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// An index's images.
    pub children: Vec<Descriptor>,
    /// What it refers to (signatures, bills of materials).
    pub subject: Option<Descriptor>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A reference to content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The content's kind.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// For which machine it is, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// A machine that an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    #[serde(default)]
    pub architecture: String,
    /// `linux`, …
    #[serde(default)]
    pub os: String,
    /// `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON object.
    #[error("Invalid JSON syntax")]
    Syntax,
    /// A media type that is not accepted, or none.
    #[error("manifest media type {0:?} is not supported")]
    MediaType(String),
    /// The header and the document name different media types.
    #[error("the manifest's media type {document:?} is not the {header:?} that the request names")]
    Disagreement {
        /// What the document says.
        document: String,
        /// What the request says.
        header: String,
    },
    /// Something is missing or malformed.
    #[error("{0}")]
    Malformed(String),
}

/// The document as it is on the wire, both kinds at once.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads the manifest in `bytes`; `header` is the media type that the request names, if it names one.
    pub fn parse(bytes: &[u8], header: Option<&str>) -> Result<Self, ManifestError> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| ManifestError::Syntax)?;
        if !value.is_object() {
            return Err(ManifestError::Syntax);
        }
        let said = value.get("mediaType").and_then(|value| value.as_str());
        let media_type = match (said, header) {
            (Some(document), Some(header)) if document != header => {
                return Err(ManifestError::Disagreement { document: document.to_owned(), header: header.to_owned() });
            }
            (Some(media_type), _) | (None, Some(media_type)) => media_type.to_owned(),
            // OCI's documents need not name their own type.
            (None, None) if value.get("manifests").is_some() => OCI_INDEX.to_owned(),
            (None, None) => OCI_MANIFEST.to_owned(),
        };
        let index = match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => false,
            OCI_INDEX | DOCKER_LIST => true,
            _ => return Err(ManifestError::MediaType(media_type)),
        };
        let document: Document =
            serde_json::from_value(value).map_err(|error| ManifestError::Malformed(error.to_string()))?;
        document.check(index)?;
        Ok(Self {
            media_type,
            artifact_type: document.artifact_type,
            config: document.config,
            layers: document.layers.unwrap_or_default(),
            children: document.manifests.unwrap_or_default(),
            subject: document.subject,
            annotations: document.annotations.unwrap_or_default(),
        })
    }

    /// Whether it lists images instead of being one.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_LIST)
    }

    /// The blobs that must be here for the image to be whole. Layers that may only be fetched from elsewhere are not
    /// among them.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(self.layers.iter().filter(|layer| !is_foreign(&layer.media_type)))
    }

    /// The bytes of its blobs.
    pub fn size(&self) -> u64 {
        self.blobs().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// `artifactMediaType`: what the image is for, by its artifact type or else its configuration's.
    pub fn artifact_media_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or(self.config.as_ref().map(|config| config.media_type.as_str()))
    }
}

impl Document {
    fn check(&self, index: bool) -> Result<(), ManifestError> {
        let malformed = |text: &str| Err(ManifestError::Malformed(text.to_owned()));
        if self.schema_version != 2 {
            return malformed("schemaVersion must be 2");
        }
        // One document must not be an image to one reader and an index to another (CVE-2021-41190).
        match (index, &self.config, &self.layers, &self.manifests) {
            (true, None, None, Some(children)) if children.len() <= MAX_DESCRIPTORS => Ok(()),
            (false, Some(_), Some(layers), None) if layers.len() <= MAX_DESCRIPTORS => Ok(()),
            (true, ..) => malformed("an index must have manifests, and neither config nor layers"),
            (false, ..) => malformed("an image manifest must have config and layers, and no manifests"),
        }
    }
}

fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// Whether `name` may name a repository: lower-case words of letters and digits, joined by one `.`, one or two `_`, any
/// number of `-`, or `/`; 2 to 256 characters.
pub fn is_repository_name(name: &str) -> bool {
    (2..=256).contains(&name.len()) && name.split('/').all(is_path_component)
}

fn is_path_component(text: &str) -> bool {
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let Some(first) = rest.first() else { return true };
        let joint = rest.iter().take_while(|b| *b == first).count();
        let fine = match first {
            b'.' => joint == 1,
            b'_' => joint <= 2,
            b'-' => true,
            _ => false,
        };
        if !fine {
            return false;
        }
        rest = &rest[joint..];
    }
}

/// Whether `tag` may be a tag: a letter, digit or `_`, then at most 127 of those, `.` and `-`.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().enumerate().all(|(at, b)| word(b) || at > 0 && (b == b'.' || b == b'-'))
        && !tag.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn blob(media_type: &str) -> serde_json::Value {
        json!({"mediaType": media_type, "digest": Digest::of(media_type.as_bytes()), "size": 10})
    }

    #[test]
    fn the_four_kinds_are_read() {
        let image = json!({"schemaVersion": 2, "config": blob("c"), "layers": [blob("l"), blob("x.foreign.y")]});
        let bytes = image.to_string();
        let parsed = Manifest::parse(bytes.as_bytes(), Some(DOCKER_MANIFEST)).unwrap();
        assert_eq!((parsed.blobs().count(), parsed.size(), parsed.is_index()), (2, 20, false));
        assert_eq!(Manifest::parse(bytes.as_bytes(), None).unwrap().media_type, OCI_MANIFEST);
        let index = json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [blob(DOCKER_MANIFEST)]});
        assert!(Manifest::parse(index.to_string().as_bytes(), None).unwrap().is_index());
    }

    #[test]
    fn ambiguous_or_broken_documents_are_refused() {
        let both = json!({"schemaVersion": 2, "config": blob("c"), "layers": [], "manifests": []});
        let schema1 = json!({"schemaVersion": 1, "name": "x", "config": blob("c"), "layers": []});
        let upwards = json!({"schemaVersion": 2, "config": {"mediaType": "c", "digest": "sha256:../..", "size": 1}, "layers": []});
        let negative = json!({"schemaVersion": 2, "config": {"mediaType": "c", "digest": Digest::of(b""), "size": -1}, "layers": []});
        for bad in [both, schema1, upwards, negative] {
            let result = Manifest::parse(bad.to_string().as_bytes(), None);
            assert!(matches!(result, Err(ManifestError::Malformed(_))), "{bad}: {result:?}");
        }
        assert_eq!(Manifest::parse(b"[]", None), Err(ManifestError::Syntax));
        assert_eq!(Manifest::parse(b"\xff", None), Err(ManifestError::Syntax));
        let other = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).to_string();
        assert!(matches!(
            Manifest::parse(other.as_bytes(), Some(OCI_MANIFEST)),
            Err(ManifestError::Disagreement { .. })
        ));
        assert!(matches!(Manifest::parse(b"{}", Some("text/plain")), Err(ManifestError::MediaType(_))));
    }

    #[test]
    fn repository_names_and_tags_follow_their_grammar() {
        for good in ["ab", "a1/b-c/d__e.f", "team---x/y"] {
            assert!(is_repository_name(good), "{good}");
        }
        for bad in [
            "a",
            "Ab",
            "a/",
            "/a",
            "a//b",
            "a..b",
            "a___b",
            "a._b",
            "-ab",
            "ab-",
            "a b",
            "..",
            "a/../b",
            &"a".repeat(257),
        ] {
            assert!(!is_repository_name(bad), "{bad}");
        }
        assert!(is_tag("v1.0-rc_1") && is_tag("_") && is_tag(&"a".repeat(128)));
        for bad in ["", ".a", "-a", "a/b", "a:b", &"a".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
