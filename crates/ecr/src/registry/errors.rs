//! The registry's errors: OCI's codes, ECR's words.

use crate::images::ImageError;
use crate::texts;
use blob::BlobError;
use gateway::server::{Body, full};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::json;

/// An error document with its status and any headers that go with it.
#[derive(Debug)]
pub(super) struct RegistryError {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl RegistryError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn denied(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    pub(super) fn unsupported() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "The operation is unsupported.")
    }

    pub(super) fn digest_invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn blob_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
    }

    pub(super) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", texts::IMAGE_NOT_FOUND)
    }

    pub(super) fn upload_invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
    }

    /// Our fault; `why` goes to the log alone.
    pub(super) fn internal(why: &dyn std::fmt::Display) -> Self {
        tracing::error!(%why, "the registry failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "unknown error")
    }

    #[must_use]
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    pub(super) fn of_image(error: ImageError, name: &str, registry: &str) -> Self {
        let bad = StatusCode::BAD_REQUEST;
        match error {
            ImageError::NoRepository => {
                Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", texts::repository_not_found_text(name, registry))
            }
            ImageError::NotFound => Self::manifest_unknown(),
            ImageError::Manifest(error) => {
                Self::new(bad, "MANIFEST_INVALID", texts::invalid_parameter_text("ImageManifest", &error.to_string()))
            }
            ImageError::DigestMismatch { .. } => Self::digest_invalid("provided digest did not match uploaded content"),
            ImageError::LayersNotFound(digests) => {
                Self::new(bad, "MANIFEST_BLOB_UNKNOWN", texts::layers_not_found(&digests, name, registry))
            }
            ImageError::ImagesNotFound(digests) => {
                Self::new(bad, "MANIFEST_BLOB_UNKNOWN", texts::images_not_found(&digests, name, registry))
            }
            ImageError::TagImmutable(tag) => Self::new(bad, "TAG_INVALID", texts::tag_exists(&tag, name)),
            ImageError::Referenced(digests) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", texts::referenced_by_lists(&digests))
            }
        }
    }

    pub(super) fn response(self, method: &Method) -> Response<Body> {
        let document = json!({"errors": [{"code": self.code, "message": self.message}]}).to_string();
        let body = if *method == Method::HEAD { String::new() } else { document };
        let mut response = Response::new(full(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        response.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

impl From<BlobError> for RegistryError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Unknown(_) => Self::blob_unknown(),
            BlobError::UnknownUpload(_) => {
                Self::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            }
            BlobError::Busy(_) => Self::new(
                StatusCode::CONFLICT,
                "BLOB_UPLOAD_INVALID",
                "another request is writing to this upload; try again when it has ended",
            ),
            BlobError::Mismatch { .. } => Self::digest_invalid("provided digest did not match uploaded content"),
            BlobError::DiskFull(why) => {
                tracing::error!(%why, "the registry's disk is full");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "the registry's disk is full")
            }
            BlobError::Io(why) => Self::internal(&why),
        }
    }
}

impl From<store::Error> for RegistryError {
    fn from(error: store::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<tokio::task::JoinError> for RegistryError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(&error)
    }
}
