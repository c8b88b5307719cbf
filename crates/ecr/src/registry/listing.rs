//! What a repository has: its tags, and what refers to an image of it.

use super::errors::RegistryError;
use super::{Answer, Visit};
use crate::manifest::OCI_INDEX;
use crate::rows::{Image, key};
use blob::Digest;
use gateway::server::full;
use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderName, Response};
use serde_json::json;
use std::collections::BTreeSet;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// The most tags in one answer, and the number where the request names none.
const PAGE: usize = 1000;

impl Visit<'_> {
    pub(super) fn list_tags(&self, name: &str) -> Answer {
        self.enter("ListImages", name)?;
        let view = self.ecr.store().view();
        let images = view.by_index(&Image::BY_REPOSITORY, &self.scope, name);
        let all: BTreeSet<&str> = images.flat_map(|image| image.tags.iter().map(String::as_str)).collect();
        let wanted = match self.query.get("n") {
            None => PAGE,
            Some(text) => text.parse::<usize>().map_err(|_| {
                RegistryError::new(
                    http::StatusCode::BAD_REQUEST,
                    "PAGINATION_NUMBER_INVALID",
                    "invalid number of results requested",
                )
            })?,
        };
        let last = self.query.get("last").unwrap_or("");
        let mut rest = all.into_iter().filter(|tag| last.is_empty() || *tag > last);
        let tags: Vec<&str> = rest.by_ref().take(wanted.min(PAGE)).collect();
        let mut response = Response::builder().header(CONTENT_TYPE, "application/json");
        if let (Some(last), true) = (tags.last(), rest.next().is_some()) {
            response =
                response.header(LINK, format!("</v2/{name}/tags/list?n={}&last={last}>; rel=\"next\"", tags.len()));
        }
        let document = json!({"name": name, "tags": tags}).to_string();
        response.body(full(document)).map_err(|error| RegistryError::internal(&error))
    }

    pub(super) fn list_referrers(&self, name: &str, digest: &Digest) -> Answer {
        self.enter("BatchGetImage", name)?;
        let view = self.ecr.store().view();
        let wanted = self.query.get("artifactType");
        let referrers = view.by_index(&Image::BY_SUBJECT, &self.scope, &key(name, digest));
        let manifests: Vec<_> = referrers
            .filter(|image| wanted.is_none() || image.manifest.artifact_media_type() == wanted)
            .map(|image| {
                json!({
                    "mediaType": image.manifest.media_type,
                    "digest": image.digest,
                    "size": image.manifest_size,
                    "artifactType": image.manifest.artifact_media_type(),
                    "annotations": image.manifest.annotations,
                })
            })
            .collect();
        let mut response = Response::builder().header(CONTENT_TYPE, OCI_INDEX);
        if wanted.is_some() {
            response = response.header(FILTERS_APPLIED, "artifactType");
        }
        let document = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).to_string();
        response.body(full(document)).map_err(|error| RegistryError::internal(&error))
    }
}
