//! What may be done to a repository's images, by whichever door it is asked: the registry or the API.
//!
//! All of it happens within the caller's transaction. Blobs are looked at, never written, here.

use crate::manifest::{Descriptor, Manifest, ManifestError};
use crate::notices;
use crate::rows::{Image, Layer, Repository, Scan, ScanStatus, key};
use crate::texts;
use blob::Digest;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Tx, View};
use types::{ApiError, Scope, Timestamp};

/// An image as a client names it; by digest, by tag, or by both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageName {
    /// Its manifest's digest, unparsed.
    pub digest: Option<String>,
    /// A tag.
    pub tag: Option<String>,
}

/// Why an image was not pushed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No such repository.
    #[error("no repository")]
    NoRepository,
    /// Nothing has that tag or digest.
    #[error("no image")]
    NotFound,
    /// The manifest is bad.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The digest that the client named is not that of the manifest.
    #[error("the manifest's digest is {actual}")]
    DigestMismatch {
        /// What it is.
        actual: Digest,
    },
    /// Layers or the configuration are missing.
    #[error("blobs are missing")]
    LayersNotFound(Vec<Digest>),
    /// An index's images are missing.
    #[error("images are missing")]
    ImagesNotFound(Vec<Digest>),
    /// The tag is on another image and must stay there.
    #[error("the tag is immutable")]
    TagImmutable(String),
    /// Indexes list the image.
    #[error("indexes list the image")]
    Referenced(Vec<Digest>),
}

impl ImageError {
    /// The API's error for the repository `name` of `registry`.
    pub fn api(self, name: &str, registry: &str) -> ApiError {
        match self {
            Self::NoRepository => texts::repository_not_found(name, registry),
            Self::NotFound => texts::image_not_found(None, None, name, registry),
            Self::Manifest(error) => texts::invalid_parameter("ImageManifest", &error.to_string()),
            Self::DigestMismatch { actual } => ApiError::new(
                "ImageDigestDoesNotMatchException",
                format!(
                    "The specified image digest does not match the digest '{actual}' that Amazon ECR calculated for the image."
                ),
            ),
            Self::LayersNotFound(digests) => {
                ApiError::new("LayersNotFoundException", texts::layers_not_found(&digests, name, registry))
            }
            Self::ImagesNotFound(digests) => {
                ApiError::new("ReferencedImagesNotFoundException", texts::images_not_found(&digests, name, registry))
            }
            Self::TagImmutable(tag) => ApiError::new("ImageTagAlreadyExistsException", texts::tag_exists(&tag, name)),
            Self::Referenced(digests) => {
                ApiError::new("InvalidParameterException", texts::referenced_by_lists(&digests))
            }
        }
    }
}

/// A manifest that was read. Its bytes must be in the blob store before a transaction with it is committed.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Their length.
    pub length: u64,
    /// What it says.
    pub manifest: Manifest,
}

/// The repository of that name.
pub fn repository(view: &View, scope: &Scope, name: &str) -> Result<Arc<Repository>, ImageError> {
    view.get::<Repository>(scope, name).ok_or(ImageError::NoRepository)
}

/// The image that `name` means in `repository`.
pub fn find(view: &View, scope: &Scope, repository: &str, name: &ImageName) -> Option<Arc<Image>> {
    if let Some(text) = &name.digest {
        let image = view.get::<Image>(scope, &key(repository, &text.parse().ok()?))?;
        return name.tag.as_ref().is_none_or(|tag| image.tags.contains(tag)).then_some(image);
    }
    tagged(view, scope, repository, name.tag.as_ref()?)
}

/// The image that has the tag.
pub fn tagged(view: &View, scope: &Scope, repository: &str, tag: &str) -> Option<Arc<Image>> {
    view.by_index(&Image::BY_TAG, scope, &format!("{repository}:{tag}")).next().cloned()
}

/// Adds the image to the repository, under `tag` if there is one, or moves the tag to it. Returns `false` if all of
/// that was so before.
pub fn push(
    tx: &mut Tx,
    scope: &Scope,
    repository: &Repository,
    pushed: Pushed,
    tag: Option<&str>,
    now: Timestamp,
) -> Result<bool, ImageError> {
    let name = &repository.name;
    let id = key(name, &pushed.digest);
    let before = tx.get::<Image>(scope, &id);
    let nothing_new = before.as_ref().is_some_and(|image| tag.is_none_or(|tag| image.tags.contains(tag)));
    if nothing_new {
        return Ok(false);
    }
    check_content(tx, scope, name, &pushed.manifest)?;
    let old = tag.and_then(|tag| tagged(tx, scope, name, tag).map(|image| (tag, image)));
    if let Some((tag, old)) = old {
        if repository.mutability.fixes(tag) {
            return Err(ImageError::TagImmutable(tag.to_owned()));
        }
        let mut old = Image::clone(&old);
        old.tags.remove(tag);
        tx.put(scope, old);
    }
    let mut image = match before {
        Some(image) => Image::clone(&image),
        None => fresh(tx, scope, repository, pushed, now),
    };
    image.pushed_at = now;
    image.tags.extend(tag.map(str::to_owned));
    let image = tx.put(scope, image);
    notices::action(tx, scope, "PUSH", &image, tag, now);
    Ok(true)
}

fn check_content(view: &View, scope: &Scope, name: &str, manifest: &Manifest) -> Result<(), ImageError> {
    let mut missing = BTreeSet::new();
    for blob in manifest.blobs() {
        match view.get::<Layer>(scope, &key(name, &blob.digest)) {
            Some(layer) if layer.size == blob.size => {}
            Some(layer) => {
                let Descriptor { digest, size, .. } = blob;
                let why = format!("the size of {digest} is {}, not {size}", layer.size);
                return Err(ManifestError::Malformed(why).into());
            }
            None => {
                missing.insert(blob.digest.clone());
            }
        }
    }
    if !missing.is_empty() {
        return Err(ImageError::LayersNotFound(missing.into_iter().collect()));
    }
    let missing: BTreeSet<Digest> = manifest
        .children
        .iter()
        .filter(|child| !view.contains::<Image>(scope, &key(name, &child.digest)))
        .map(|child| child.digest.clone())
        .collect();
    if !missing.is_empty() {
        return Err(ImageError::ImagesNotFound(missing.into_iter().collect()));
    }
    Ok(())
}

fn fresh(view: &View, scope: &Scope, repository: &Repository, pushed: Pushed, now: Timestamp) -> Image {
    let Pushed { digest, length, manifest } = pushed;
    let children = manifest.children.iter();
    let largest = children.filter_map(|child| view.get::<Image>(scope, &key(&repository.name, &child.digest)));
    let size = if manifest.is_index() { largest.map(|image| image.size).max().unwrap_or(0) } else { manifest.size() };
    // Artifacts (signatures, bills of materials) and indexes have no packages of their own.
    let scannable = !manifest.is_index() && manifest.artifact_type.is_none();
    let scan = (repository.scan_on_push && scannable).then(|| Scan::requested(now));
    Image {
        repository: repository.name.clone(),
        digest,
        manifest,
        manifest_size: length,
        size,
        pushed_at: now,
        tags: BTreeSet::new(),
        pulled_at: None,
        scan,
    }
}

impl Scan {
    /// A scan that was just asked for.
    pub fn requested(now: Timestamp) -> Self {
        Self {
            status: ScanStatus::InProgress,
            description: "Scan is in progress.".to_owned(),
            requested_at: now,
            completed_at: None,
            source_updated_at: None,
            findings: Vec::new(),
        }
    }
}

/// Removes the image with all its tags, unless an index lists it, and the blobs that no other image of the repository is
/// made of.
pub fn delete(tx: &mut Tx, scope: &Scope, image: &Image) -> Result<(), ImageError> {
    let id = key(&image.repository, &image.digest);
    let lists: Vec<Digest> = tx
        .by_index(&Image::BY_CHILD, scope, &id)
        .map(|list| list.digest.clone())
        .filter(|d| *d != image.digest)
        .collect();
    if !lists.is_empty() {
        return Err(ImageError::Referenced(lists));
    }
    tx.delete::<Image>(scope, &id);
    for blob in image.manifest.blobs() {
        let id = key(&image.repository, &blob.digest);
        if tx.by_index(&Image::BY_BLOB, scope, &id).next().is_none() {
            tx.delete::<Layer>(scope, &id);
        }
    }
    Ok(())
}

/// Takes `tag` off its image. An image that so loses its last tag stays, untagged.
pub fn untag(tx: &mut Tx, scope: &Scope, image: &Image, tag: &str) {
    let mut image = image.clone();
    image.tags.remove(tag);
    tx.put(scope, image);
}

/// Removes all that a repository holds, and the repository.
pub fn delete_repository(tx: &mut Tx, scope: &Scope, name: &str) {
    let images: Vec<_> = tx.by_index(&Image::BY_REPOSITORY, scope, name).map(|image| image.digest.clone()).collect();
    for digest in images {
        tx.delete::<Image>(scope, &key(name, &digest));
    }
    let layers: Vec<_> = tx.by_index(&Layer::BY_REPOSITORY, scope, name).map(|layer| layer.digest.clone()).collect();
    for digest in layers {
        tx.delete::<Layer>(scope, &key(name, &digest));
    }
    tx.delete::<Repository>(scope, name);
}
