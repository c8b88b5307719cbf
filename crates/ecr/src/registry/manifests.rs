//! Manifests: an image becomes visible, is pulled, or goes.

use super::body::whole;
use super::errors::RegistryError;
use super::route::Reference;
use super::uploads::CONTENT_DIGEST;
use super::{Answer, Visit};
use crate::images::{self, ImageError, ImageName, Pushed};
use crate::manifest::{MAX_SIZE, Manifest};
use crate::rows::{Image, key};
use blob::Digest;
use bytes::Bytes;
use gateway::server::full;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderName, Method, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use store::Tx;
use tokio::task::spawn_blocking;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// How exact the time of the last pull is, as on AWS.
const PULL_RESOLUTION: Duration = Duration::from_hours(24);

impl From<&Reference> for ImageName {
    fn from(reference: &Reference) -> Self {
        match reference {
            Reference::Tag(tag) => Self { digest: None, tag: Some(tag.clone()) },
            Reference::Digest(digest) => Self { digest: Some(digest.to_string()), tag: None },
        }
    }
}

impl Visit<'_> {
    pub(super) async fn get_manifest(&self, name: &str, reference: &Reference) -> Answer {
        self.enter("BatchGetImage", name)?;
        let found = images::find(&self.ecr.store().view(), &self.scope, name, &reference.into());
        let image = found.ok_or_else(RegistryError::manifest_unknown)?;
        let response = Response::builder()
            .header(CONTENT_TYPE, image.manifest.media_type.as_str())
            .header(CONTENT_DIGEST, image.digest.as_str())
            .header(ETAG, format!("\"{}\"", image.digest))
            .header(CONTENT_LENGTH, image.manifest_size);
        let body = if self.method == Method::HEAD {
            Bytes::new()
        } else {
            let (blobs, digest) = (self.ecr.blobs().clone(), image.digest.clone());
            let bytes = spawn_blocking(move || blobs.read_small(&digest, MAX_SIZE as u64)).await??;
            self.note_pull(&image).await?;
            bytes.into()
        };
        response.body(full(body)).map_err(|error| RegistryError::internal(&error))
    }

    async fn note_pull(&self, image: &Image) -> Result<(), RegistryError> {
        if image.pulled_at.is_some_and(|at| self.now.since(at) < PULL_RESOLUTION) {
            return Ok(());
        }
        let ticket = {
            let mut tx = self.ecr.store().begin();
            let Some(image) = tx.get::<Image>(&self.scope, &key(&image.repository, &image.digest)) else {
                return Ok(());
            };
            tx.put(&self.scope, Image { pulled_at: Some(self.now), ..Image::clone(&image) });
            tx.commit()
        };
        ticket.wait().await?;
        Ok(())
    }

    pub(super) async fn put_manifest<B>(&self, name: &str, reference: &Reference, body: B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        self.enter("PutImage", name)?;
        let too_large =
            || RegistryError::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "the manifest is larger than 4 MiB");
        let bytes = whole(body, MAX_SIZE).await?.ok_or_else(too_large)?;
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
        let manifest = Manifest::parse(&bytes, media_type).map_err(|e| self.image_error(e.into(), name))?;
        let digest = Digest::of(&bytes);
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(named) if *named == digest => None,
            Reference::Digest(_) => return Err(self.image_error(ImageError::DigestMismatch { actual: digest }, name)),
        };
        let subject = manifest.subject.as_ref().map(|subject| subject.digest.to_string());
        let pushed = Pushed { digest: digest.clone(), length: bytes.len() as u64, manifest };
        // What will be refused leaves no bytes behind; the transaction of this trial is dropped.
        self.push(name, pushed.clone(), tag.as_deref())?;
        let blobs = self.ecr.blobs().clone();
        // Durable before any row names it.
        spawn_blocking(move || blobs.put(&bytes)).await??;
        let ticket = self.push(name, pushed, tag.as_deref())?.commit();
        ticket.wait().await?;
        let mut response = Response::builder()
            .status(StatusCode::CREATED)
            .header(LOCATION, format!("/v2/{name}/manifests/{digest}"))
            .header(CONTENT_DIGEST, digest.as_str());
        if let Some(subject) = subject {
            response = response.header(SUBJECT, subject);
        }
        response.body(full(Bytes::new())).map_err(|error| RegistryError::internal(&error))
    }

    /// The push in a transaction that is not committed yet.
    fn push(&self, name: &str, pushed: Pushed, tag: Option<&str>) -> Result<Tx, RegistryError> {
        let mut tx = self.ecr.store().begin();
        let pushing = images::repository(&tx, &self.scope, name)
            .and_then(|repository| images::push(&mut tx, &self.scope, &repository, pushed, tag, self.now));
        pushing.map_err(|error| self.image_error(error, name))?;
        Ok(tx)
    }

    /// By digest the image goes with all its tags; by tag the tag alone goes, as the distribution protocol has it.
    pub(super) async fn delete_manifest(&self, name: &str, reference: &Reference) -> Answer {
        self.enter("BatchDeleteImage", name)?;
        let ticket = {
            let mut tx = self.ecr.store().begin();
            let found: Option<Arc<Image>> = images::find(&tx, &self.scope, name, &reference.into());
            let image = found.ok_or_else(RegistryError::manifest_unknown)?;
            match reference {
                Reference::Tag(tag) => images::untag(&mut tx, &self.scope, &image, tag),
                Reference::Digest(_) => {
                    images::delete(&mut tx, &self.scope, &image).map_err(|error| self.image_error(error, name))?;
                }
            }
            tx.commit()
        };
        ticket.wait().await?;
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}
