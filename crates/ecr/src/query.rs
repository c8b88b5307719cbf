//! What others may ask of the registry: which image a task's reference means.

use crate::images::{self, ImageName};
use crate::manifest::{MAX_SIZE, Manifest, is_repository_name, is_tag};
use crate::rows::Image;
use crate::service::repository_arn;
use blob::{BlobError, BlobStore, Digest};
use std::sync::Arc;
use store::View;
use types::{AccountId, Region, Scope};

/// The largest image configuration read.
pub const MAX_CONFIG: u64 = 8 << 20;

/// An image reference whose host is one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry: that of the host's name, or else the task's own account and region.
    pub scope: Scope,
    /// The repository's name.
    pub repository: String,
    /// The tag, `latest` if the reference names neither tag nor digest; or the digest, which wins over a tag.
    pub image: ImageName,
}

impl Reference {
    /// `arn:aws:ecr:…:repository/…`, what a pull needs permission for.
    pub fn repository_arn(&self) -> String {
        repository_arn(&self.scope, &self.repository)
    }
}

/// An image for one platform, ready to be unpacked.
#[derive(Debug, Clone)]
pub struct PullableImage {
    /// What the tag named: of an index, the index's digest. `imageDigest` of a container.
    pub digest: Digest,
    /// The digest of the manifest for the platform.
    pub manifest_digest: Digest,
    /// That manifest's bytes.
    pub manifest: Vec<u8>,
    /// The digest of its configuration.
    pub config_digest: Digest,
    /// The configuration's bytes.
    pub config: Vec<u8>,
}

/// Why a reference means no image that can be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It is not written as a reference is.
    #[error("invalid reference format")]
    InvalidReference,
    /// Its host is another registry, which is never asked.
    #[error("registry {0} is not this one")]
    OtherRegistry(String),
    /// No such repository.
    #[error("The repository with name '{name}' does not exist in the registry with id '{registry}'")]
    NoRepository {
        /// Its name.
        name: String,
        /// The account.
        registry: String,
    },
    /// No such tag or digest.
    #[error("{0}: not found")]
    NoImage(String),
    /// An index without an image for the platform.
    #[error("no match for platform in manifest: not found")]
    NoPlatform(String),
    /// It is an artifact, or its documents are damaged.
    #[error("{0}")]
    Unusable(String),
    /// The blob store failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Reads the reference `text` of a task in `home`, where `host` is the registry's own public host.
pub fn parse(text: &str, home: &Scope, host: &str) -> Result<Reference, PullError> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse::<Digest>().map_err(|_| PullError::InvalidReference)?)),
        None => (text, None),
    };
    // The last colon is a tag's unless a slash follows, in which case it is a port's.
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (name, None),
    };
    let Some((registry, repository)) = path.split_once('/').filter(|(first, _)| is_host(first)) else {
        return Err(if path.split('/').all(|part| !part.is_empty()) && !path.is_empty() {
            PullError::OtherRegistry("docker.io".to_owned())
        } else {
            PullError::InvalidReference
        });
    };
    let scope = match ecr_host(registry) {
        Some(scope) => scope,
        None if registry == host || is_loopback(registry) => home.clone(),
        None => return Err(PullError::OtherRegistry(registry.to_owned())),
    };
    if !is_repository_name(repository) || tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(PullError::InvalidReference);
    }
    let image = match digest {
        Some(digest) => ImageName { digest: Some(digest.to_string()), tag: None },
        None => ImageName { digest: None, tag: Some(tag.unwrap_or("latest").to_owned()) },
    };
    Ok(Reference { scope, repository: repository.to_owned(), image })
}

/// The image that `reference` means, for Linux on `architecture` (`amd64`, `arm64`). Reads small files.
pub fn image(
    view: &View,
    blobs: &BlobStore,
    reference: &Reference,
    text: &str,
    architecture: &str,
) -> Result<PullableImage, PullError> {
    let Reference { scope, repository, image: name } = reference;
    images::repository(view, scope, repository)
        .map_err(|_| PullError::NoRepository { name: repository.clone(), registry: scope.account.to_string() })?;
    let named = images::find(view, scope, repository, name).ok_or_else(|| PullError::NoImage(text.to_owned()))?;
    let row = for_platform(view, reference, &named, architecture, text)?;
    if row.manifest.artifact_type.is_some() {
        return Err(PullError::Unusable(format!("{text} is an artifact, not an image")));
    }
    let config =
        row.manifest.config.as_ref().ok_or_else(|| PullError::Unusable(format!("{text} has no configuration")))?;
    Ok(PullableImage {
        digest: named.digest.clone(),
        manifest_digest: row.digest.clone(),
        manifest: blobs.read_small(&row.digest, MAX_SIZE as u64)?,
        config_digest: config.digest.clone(),
        config: blobs.read_small(&config.digest, MAX_CONFIG)?,
    })
}

/// The image itself, or the one that an index lists for the platform; indexes of indexes are followed a few steps.
fn for_platform(
    view: &View,
    reference: &Reference,
    image: &Arc<Image>,
    architecture: &str,
    text: &str,
) -> Result<Arc<Image>, PullError> {
    let mut image = Arc::clone(image);
    for _ in 0..4 {
        if !image.manifest.is_index() {
            return Ok(image);
        }
        let digest = pick(&image.manifest, architecture).ok_or_else(|| PullError::NoPlatform(text.to_owned()))?;
        let name = ImageName { digest: Some(digest.to_string()), tag: None };
        let child = images::find(view, &reference.scope, &reference.repository, &name);
        image = child.ok_or_else(|| PullError::NoImage(text.to_owned()))?;
    }
    Err(PullError::Unusable(format!("{text} is an index of indexes")))
}

fn pick<'a>(index: &'a Manifest, architecture: &str) -> Option<&'a Digest> {
    let fits = |child: &&crate::manifest::Descriptor| {
        child.platform.as_ref().is_none_or(|platform| platform.os == "linux" && platform.architecture == architecture)
    };
    // An entry that names its platform is better than one that does not.
    let named = index.children.iter().filter(fits).find(|child| child.platform.is_some());
    named.or_else(|| index.children.iter().find(fits)).map(|child| &child.digest)
}

/// Whether the first part of a path is a host: it has a dot or a port, or is `localhost`.
fn is_host(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':'])
}

fn is_loopback(host: &str) -> bool {
    let name = host.split(':').next().unwrap_or(host);
    name == "localhost" || name.ends_with(".localhost") || name.starts_with("127.")
}

/// The registry of `<account>.dkr.ecr.<region>.<suffix>`, with any port.
fn ecr_host(host: &str) -> Option<Scope> {
    let name = host.split(':').next()?;
    let (account, rest) = name.split_once(".dkr.ecr.").or_else(|| name.split_once(".dkr.ecr-fips."))?;
    let (region, suffix) = rest.split_once('.')?;
    let known =
        matches!(suffix, "amazonaws.com" | "amazonaws.com.cn" | "localhost") || suffix.starts_with("localhost.");
    let (account, region) = (account.parse::<AccountId>().ok()?, region.parse::<Region>().ok()?);
    known.then(|| Scope::new(account, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Reference, PullError> {
        parse(text, &Scope::default(), "registry.test:4566")
    }

    #[test]
    fn every_name_of_our_registry_is_understood() {
        let digest = Digest::of(b"x");
        for (text, repository, tag) in [
            ("localhost:4566/team/app:v1", "team/app", "v1"),
            ("registry.test:4566/app", "app", "latest"),
            ("127.0.0.1:5000/app:v2", "app", "v2"),
        ] {
            let reference = parsed(text).unwrap();
            assert_eq!((reference.repository.as_str(), reference.image.tag.as_deref()), (repository, Some(tag)));
            assert_eq!(reference.scope, Scope::default());
        }
        let reference = parsed(&format!("210987654321.dkr.ecr.eu-west-1.amazonaws.com/app:v1@{digest}")).unwrap();
        assert_eq!(reference.scope.to_string(), "210987654321/eu-west-1");
        assert_eq!(reference.image, ImageName { digest: Some(digest.to_string()), tag: None });
        assert_eq!(reference.repository_arn(), "arn:aws:ecr:eu-west-1:210987654321:repository/app");
    }

    #[test]
    fn other_registries_and_nonsense_are_told_apart() {
        for text in
            ["nginx", "nginx:1", "library/nginx:latest", "public.ecr.aws/docker/library/busybox:stable", "ghcr.io/a/b"]
        {
            assert!(matches!(parsed(text), Err(PullError::OtherRegistry(_))), "{text}: {:?}", parsed(text));
        }
        for text in [
            "",
            "/",
            "localhost:4566/",
            "localhost:4566/App",
            "localhost:4566/app:",
            "localhost/app@sha256:1",
            "localhost/a/../b",
        ] {
            assert!(matches!(parsed(text), Err(PullError::InvalidReference)), "{text}: {:?}", parsed(text));
        }
    }
}
