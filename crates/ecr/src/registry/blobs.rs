//! Blobs: looked up, downloaded whole or in part, deleted.

use super::download::{DownloadError, download};
use super::errors::RegistryError;
use super::uploads::CONTENT_DIGEST;
use super::{Answer, Visit};
use crate::rows::{Image, Layer, key};
use blob::Digest;
use bytes::Bytes;
use gateway::Door;
use gateway::server::full;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION};
use http::{Method, Response, StatusCode};

impl Visit<'_> {
    pub(super) fn get_blob(&self, name: &str, digest: &Digest) -> Answer {
        let looking = self.method == Method::HEAD;
        self.enter(if looking { "BatchCheckLayerAvailability" } else { "GetDownloadUrlForLayer" }, name)?;
        if !self.ecr.store().view().contains::<Layer>(&self.scope, &key(name, digest)) {
            return Err(RegistryError::blob_unknown());
        }
        let response = Response::builder().header(CONTENT_DIGEST, digest.as_str());
        if looking {
            // A client that is told that the blob is here will not send it again: it must stay for a while.
            let size = self.ecr.blobs().vouch(digest)?.ok_or_else(RegistryError::blob_unknown)?;
            let response = response.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, size);
            let response = response.header(ETAG, format!("\"{digest}\"")).header(ACCEPT_RANGES, "bytes");
            return response.body(full(Bytes::new())).map_err(|error| RegistryError::internal(&error));
        }
        // To the machine itself that host is the real Amazon S3, so its users get the bytes here.
        if self.origin.door != Door::Machine {
            let address = self.ecr.layer_address(&self.scope, name, digest, self.now);
            let response = response.status(StatusCode::TEMPORARY_REDIRECT).header(LOCATION, address.url());
            return response.body(full(Bytes::new())).map_err(|error| RegistryError::internal(&error));
        }
        download(self.ecr, digest, &self.headers, response).map_err(|error| match error {
            DownloadError::OutOfRange(size) => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                RegistryError::new(status, "RANGE_INVALID", "the range lies outside the blob")
                    .with_header(CONTENT_RANGE, &format!("bytes */{size}"))
            }
            DownloadError::Blob(error) => error.into(),
            DownloadError::Other(error) => RegistryError::internal(&error),
        })
    }

    /// Takes the blob out of the repository. The bytes go when no repository holds them any more.
    pub(super) async fn delete_blob(&self, name: &str, digest: &Digest) -> Answer {
        self.enter("BatchDeleteImage", name)?;
        let id = key(name, digest);
        let ticket = {
            let mut tx = self.ecr.store().begin();
            if tx.by_index(&Image::BY_BLOB, &self.scope, &id).next().is_some() {
                return Err(RegistryError::unsupported());
            }
            tx.delete::<Layer>(&self.scope, &id).ok_or_else(RegistryError::blob_unknown)?;
            tx.commit()
        };
        ticket.wait().await?;
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}
