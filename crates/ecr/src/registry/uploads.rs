//! Uploads of blobs: whole, in chunks, resumed, or mounted from another repository.

use super::body::receive;
use super::errors::RegistryError;
use super::{Answer, Visit};
use crate::rows::{Layer, Repository, key};
use blob::{Digest, Upload};
use bytes::Bytes;
use gateway::server::{Body, full};
use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderName, Response, StatusCode};
use tokio::task::spawn_blocking;
use types::Scope;

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Visit<'_> {
    pub(super) async fn begin_upload<B>(&self, name: &str, body: B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        self.enter("InitiateLayerUpload", name)?;
        if let (Some(digest), Some(from)) = (self.query.digest("mount")?, self.query.get("from"))
            && self.mount(name, from, &digest).await?
        {
            return created(name, &digest);
        }
        let owner = owner(&self.scope, name);
        let id = self.ecr.blobs().begin_upload(&owner)?;
        if let Some(digest) = self.query.digest("digest")? {
            self.enter("CompleteLayerUpload", name)?;
            let upload = self.ecr.blobs().resume_upload(&id, &owner)?;
            let upload = receive(upload, body).await?;
            self.complete(name, upload, digest.clone()).await?;
            return created(name, &digest);
        }
        progress(StatusCode::ACCEPTED, name, &id, 0)
    }

    pub(super) async fn append<B>(&self, name: &str, id: &str, body: B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        self.enter("UploadLayerPart", name)?;
        let upload = self.resume(name, id).await?;
        self.check_range(name, &upload)?;
        let upload = receive(upload, body).await?;
        progress(StatusCode::ACCEPTED, name, id, upload.size())
    }

    pub(super) async fn finish_upload<B>(&self, name: &str, id: &str, body: B) -> Answer
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        self.enter("CompleteLayerUpload", name)?;
        let missing = || RegistryError::digest_invalid("the digest parameter is missing");
        let digest = self.query.digest("digest")?.ok_or_else(missing)?;
        let upload = self.resume(name, id).await?;
        self.check_range(name, &upload)?;
        let upload = receive(upload, body).await?;
        self.complete(name, upload, digest.clone()).await?;
        created(name, &digest)
    }

    pub(super) fn upload_status(&self, name: &str, id: &str) -> Answer {
        self.enter("UploadLayerPart", name)?;
        let size = self.ecr.blobs().upload_size(id, &owner(&self.scope, name))?;
        progress(StatusCode::NO_CONTENT, name, id, size)
    }

    pub(super) fn cancel_upload(&self, name: &str, id: &str) -> Answer {
        self.enter("UploadLayerPart", name)?;
        self.ecr.blobs().resume_upload(id, &owner(&self.scope, name))?.cancel()?;
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// Takes the upload up, on a blocking thread: after a restart all of it is hashed again.
    async fn resume(&self, name: &str, id: &str) -> Result<Upload, RegistryError> {
        let (blobs, id, owner) = (self.ecr.blobs().clone(), id.to_owned(), owner(&self.scope, name));
        Ok(spawn_blocking(move || blobs.resume_upload(&id, &owner)).await??)
    }

    /// A chunk that says where it belongs must belong at the end of what is here.
    fn check_range(&self, name: &str, upload: &Upload) -> Result<(), RegistryError> {
        let Some(header) = self.headers.get(CONTENT_RANGE) else { return Ok(()) };
        let range = header.to_str().ok().and_then(chunk_range);
        match range {
            Some((start, end)) if start == upload.size() && end >= start => Ok(()),
            _ => Err(RegistryError::upload_invalid("the chunk does not follow what was uploaded before")
                .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
                .with_header(RANGE, &received(upload.size()))
                .with_header(LOCATION, &upload_path(name, upload.id()))
                .with_header(UPLOAD_ID, upload.id())),
        }
    }

    async fn complete(&self, name: &str, upload: Upload, digest: Digest) -> Result<(), RegistryError> {
        let expected = digest.clone();
        let size = spawn_blocking(move || upload.finish(&expected)).await??;
        self.hold(name, digest, size).await
    }

    async fn mount(&self, name: &str, from: &str, digest: &Digest) -> Result<bool, RegistryError> {
        let held = self.ecr.store().view().get::<Layer>(&self.scope, &key(from, digest));
        // What the caller may not read, it cannot mount; as for a blob that is not there, an upload begins instead.
        let Some(layer) = held.filter(|_| self.enter("GetDownloadUrlForLayer", from).is_ok()) else { return Ok(false) };
        if self.ecr.blobs().vouch(digest)?.is_none() {
            return Ok(false);
        }
        self.hold(name, digest.clone(), layer.size).await?;
        Ok(true)
    }

    /// Notes that the repository holds the blob, if the repository is still there.
    async fn hold(&self, name: &str, digest: Digest, size: u64) -> Result<(), RegistryError> {
        let ticket = {
            let mut tx = self.ecr.store().begin();
            if !tx.contains::<Repository>(&self.scope, name) {
                return Err(self.image_error(crate::images::ImageError::NoRepository, name));
            }
            if tx.contains::<Layer>(&self.scope, &key(name, &digest)) {
                return Ok(());
            }
            tx.put(&self.scope, Layer { repository: name.to_owned(), digest, size });
            tx.commit()
        };
        ticket.wait().await?;
        Ok(())
    }
}

/// Whose an upload is: nobody reaches it through another repository.
fn owner(scope: &Scope, name: &str) -> String {
    format!("{scope}/{name}")
}

fn upload_path(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// The `Range` header of an upload with `size` bytes. The protocol has no way to write an empty one.
fn received(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

/// The first and the last position in `0-1023`, `bytes 0-1023/*` or `bytes=0-1023`.
fn chunk_range(text: &str) -> Option<(u64, u64)> {
    let text = text.trim_start_matches("bytes").trim_start_matches(['=', ' ']);
    let (start, end) = text.split('/').next()?.split_once('-')?;
    Some((start.trim().parse().ok()?, end.trim().parse().ok()?))
}

fn progress(status: StatusCode, name: &str, id: &str, size: u64) -> Answer {
    Response::builder()
        .status(status)
        .header(LOCATION, upload_path(name, id))
        .header(RANGE, received(size))
        .header(UPLOAD_ID, id)
        .body(full(Bytes::new()))
        .map_err(|error| RegistryError::internal(&error))
}

fn created(name: &str, digest: &Digest) -> Result<Response<Body>, RegistryError> {
    Response::builder()
        .status(StatusCode::CREATED)
        .header(LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .header(CONTENT_DIGEST, digest.as_str())
        .body(full(Bytes::new()))
        .map_err(|error| RegistryError::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ranges_come_in_three_spellings() {
        for text in ["5-9", "bytes 5-9/*", "bytes=5-9", "bytes 5-9/100"] {
            assert_eq!(chunk_range(text), Some((5, 9)), "{text}");
        }
        for text in ["", "5", "-", "a-b", "bytes */5", "18446744073709551616-1"] {
            assert_eq!(chunk_range(text), None, "{text}");
        }
    }
}
