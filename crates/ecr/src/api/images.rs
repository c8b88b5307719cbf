//! Images.

use super::page::page;
use super::{registry_id, repository};
use crate::images::{self, ImageError, ImageName, Pushed};
use crate::manifest::{MAX_SIZE, Manifest, is_tag};
use crate::notices;
use crate::rows::{Image, ScanStatus};
use crate::service::Ecr;
use crate::texts;
use blob::Digest;
use gateway::Context;
use model::ecr::{
    BatchDeleteImageRequest, BatchDeleteImageResponse, BatchGetImageRequest, BatchGetImageResponse,
    DescribeImagesRequest, DescribeImagesResponse, Image as ImageShape, ImageDetail, ImageFailure, ImageIdentifier,
    ListImagesRequest, ListImagesResponse, PutImageRequest, PutImageResponse,
};
use std::sync::Arc;
use types::ApiError;

pub(super) fn put_image(ecr: &Ecr, cx: &mut Context, input: PutImageRequest) -> Result<PutImageResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let (name, account) = (input.repository_name.as_str(), scope.account.as_str());
    let tag = input.image_tag.as_deref();
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(texts::invalid_parameter(
            "imageTag",
            "must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'",
        ));
    }
    repository(cx.view(), &scope, input.registry_id.as_deref(), name)?;
    let bytes = input.image_manifest.as_bytes();
    let manifest = Manifest::parse(bytes, input.image_manifest_media_type.as_deref())
        .map_err(|error| ImageError::from(error).api(name, account))?;
    let digest = Digest::of(bytes);
    if input.image_digest.is_some_and(|named| named != digest.as_str()) {
        return Err(ImageError::DigestMismatch { actual: digest }.api(name, account));
    }
    // Durable before the row that names it; without that row it is garbage, and collected.
    ecr.blobs().put(bytes).map_err(|error| {
        tracing::error!(%error, "cannot store a manifest");
        ApiError::new("ServerException", "These errors are usually caused by a server-side issue.").with_status(500)
    })?;
    let media_type = manifest.media_type.clone();
    let pushed = Pushed { digest: digest.clone(), length: bytes.len() as u64, manifest };
    let row = repository(cx.tx(), &scope, input.registry_id.as_deref(), name)?;
    let new = images::push(cx.tx(), &scope, &row, pushed, tag, now).map_err(|error| error.api(name, account))?;
    if !new {
        return Err(texts::image_exists(&digest, tag, name, account));
    }
    Ok(PutImageResponse {
        image: Some(ImageShape {
            registry_id: Some(registry_id(cx)),
            repository_name: Some(name.to_owned()),
            image_id: Some(identifier(&digest, tag)),
            image_manifest: Some(input.image_manifest.clone()),
            image_manifest_media_type: Some(media_type),
        }),
    })
}

pub(super) fn describe_images(
    _: &Ecr,
    cx: &mut Context,
    input: DescribeImagesRequest,
) -> Result<DescribeImagesResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name.as_str();
    repository(cx.view(), &scope, input.registry_id.as_deref(), name)?;
    if let Some(ids) = input.image_ids {
        let mut details = Vec::new();
        for id in ids {
            let wanted = ImageName { digest: id.image_digest, tag: id.image_tag };
            let found = images::find(cx.view(), &scope, name, &wanted);
            let missing = || {
                texts::image_not_found(wanted.digest.as_deref(), wanted.tag.as_deref(), name, scope.account.as_str())
            };
            let image = found.ok_or_else(missing)?;
            details.push(detail(scope.account.as_str(), &image));
        }
        return Ok(DescribeImagesResponse { image_details: Some(details), next_token: None });
    }
    let filter = input.filter.unwrap_or_default();
    let all = cx.view().by_index(&Image::BY_REPOSITORY, &scope, name);
    let wanted = all.filter(|image| selects(filter.tag_status.as_deref(), filter.image_status.as_deref(), image));
    let page = page(wanted, |image| image.digest.to_string(), input.next_token.as_deref(), input.max_results)?;
    let details = page.items.into_iter().map(|image| detail(scope.account.as_str(), image)).collect();
    Ok(DescribeImagesResponse { image_details: Some(details), next_token: page.next_token })
}

pub(super) fn list_images(_: &Ecr, cx: &mut Context, input: ListImagesRequest) -> Result<ListImagesResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name.as_str();
    repository(cx.view(), &scope, input.registry_id.as_deref(), name)?;
    let filter = input.filter.unwrap_or_default();
    let all = cx.view().by_index(&Image::BY_REPOSITORY, &scope, name);
    let wanted = all.filter(|image| selects(filter.tag_status.as_deref(), filter.image_status.as_deref(), image));
    let ids = wanted.flat_map(|image| identifiers(image));
    let key = |id: &ImageIdentifier| {
        format!("{} {}", id.image_digest.as_deref().unwrap_or(""), id.image_tag.as_deref().unwrap_or(""))
    };
    let page = page(ids, key, input.next_token.as_deref(), input.max_results)?;
    Ok(ListImagesResponse { image_ids: Some(page.items), next_token: page.next_token })
}

pub(super) fn batch_get_image(
    ecr: &Ecr,
    cx: &mut Context,
    input: BatchGetImageRequest,
) -> Result<BatchGetImageResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name.as_str();
    repository(cx.view(), &scope, input.registry_id.as_deref(), name)?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids {
        let image = match look_up(cx, name, &id) {
            Ok(image) => image,
            Err((code, reason)) => {
                failures.push(failure(id, code, reason));
                continue;
            }
        };
        let bytes = ecr.blobs().read_small(&image.digest, MAX_SIZE as u64).map_err(|error| {
            tracing::error!(%error, digest = %image.digest, "cannot read a manifest");
            ApiError::new("ServerException", "These errors are usually caused by a server-side issue.").with_status(500)
        })?;
        found.push(ImageShape {
            registry_id: Some(registry_id(cx)),
            repository_name: Some(name.to_owned()),
            image_id: Some(identifier(&image.digest, id.image_tag.as_deref())),
            image_manifest: Some(String::from_utf8_lossy(&bytes).into_owned()),
            image_manifest_media_type: Some(image.manifest.media_type.clone()),
        });
    }
    Ok(BatchGetImageResponse { images: Some(found), failures: Some(failures) })
}

pub(super) fn batch_delete_image(
    _: &Ecr,
    cx: &mut Context,
    input: BatchDeleteImageRequest,
) -> Result<BatchDeleteImageResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name.as_str();
    repository(cx.tx(), &scope, input.registry_id.as_deref(), name)?;
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids {
        let image = match look_up(cx, name, &id) {
            Ok(image) => image,
            Err((code, reason)) => {
                failures.push(failure(id, code, reason));
                continue;
            }
        };
        // A tag's deletion takes the image along only if it was its last.
        if let Some(tag) = id.image_tag.as_deref().filter(|_| image.tags.len() > 1) {
            images::untag(cx.tx(), &scope, &image, tag);
            let now = cx.now;
            notices::action(cx.tx(), &scope, "DELETE", &image, Some(tag), now);
            deleted.push(identifier(&image.digest, Some(tag)));
            continue;
        }
        match images::delete(cx.tx(), &scope, &image) {
            Ok(()) => {
                let now = cx.now;
                notices::action(cx.tx(), &scope, "DELETE", &image, id.image_tag.as_deref(), now);
                deleted.extend(identifiers(&image));
            }
            Err(ImageError::Referenced(lists)) => {
                let reason = texts::referenced_by_lists(&lists);
                failures.push(failure(id, "ImageReferencedByManifestList", &reason));
            }
            Err(error) => return Err(error.api(name, scope.account.as_str())),
        }
    }
    Ok(BatchDeleteImageResponse { image_ids: Some(deleted), failures: Some(failures) })
}

/// The image that an identifier of a batch means, or the failure's code and reason.
fn look_up(cx: &mut Context, name: &str, id: &ImageIdentifier) -> Result<Arc<Image>, (&'static str, &'static str)> {
    let scope = cx.scope.clone();
    if id.image_digest.is_none() && id.image_tag.is_none() {
        return Err(("MissingDigestAndTag", texts::MISSING_DIGEST_AND_TAG));
    }
    if id.image_digest.as_ref().is_some_and(|digest| digest.parse::<Digest>().is_err()) {
        return Err(("InvalidImageDigest", texts::INVALID_IMAGE_DIGEST));
    }
    let wanted = ImageName { digest: id.image_digest.clone(), tag: id.image_tag.clone() };
    if let Some(image) = images::find(cx.view(), &scope, name, &wanted) {
        return Ok(image);
    }
    let by_tag = id.image_tag.as_ref().and_then(|tag| images::tagged(cx.view(), &scope, name, tag));
    if by_tag.is_some() && id.image_digest.is_some() {
        return Err(("ImageTagDoesNotMatchDigest", texts::TAG_DOES_NOT_MATCH));
    }
    Err(("ImageNotFound", texts::IMAGE_NOT_FOUND))
}

fn failure(id: ImageIdentifier, code: &str, reason: &str) -> ImageFailure {
    ImageFailure { image_id: Some(id), failure_code: Some(code.to_owned()), failure_reason: Some(reason.to_owned()) }
}

fn selects(tag_status: Option<&str>, image_status: Option<&str>, image: &Image) -> bool {
    let tagged = match tag_status {
        Some("TAGGED") => !image.tags.is_empty(),
        Some("UNTAGGED") => image.tags.is_empty(),
        _ => true,
    };
    // Nothing is ever archived here.
    tagged && matches!(image_status, None | Some("ACTIVE" | "ANY"))
}

/// The image's digest with each of its tags, or alone if it has none.
fn identifiers(image: &Image) -> Vec<ImageIdentifier> {
    if image.tags.is_empty() {
        return vec![identifier(&image.digest, None)];
    }
    image.tags.iter().map(|tag| identifier(&image.digest, Some(tag))).collect()
}

pub(super) fn identifier(digest: &Digest, tag: Option<&str>) -> ImageIdentifier {
    ImageIdentifier { image_digest: Some(digest.to_string()), image_tag: tag.map(str::to_owned) }
}

fn detail(account: &str, image: &Image) -> ImageDetail {
    let scan = image.scan.as_ref();
    let finished = scan.filter(|scan| scan.status == ScanStatus::Complete);
    ImageDetail {
        registry_id: Some(account.to_owned()),
        repository_name: Some(image.repository.clone()),
        image_digest: Some(image.digest.to_string()),
        image_tags: (!image.tags.is_empty()).then(|| image.tags.iter().cloned().collect()),
        image_size_in_bytes: i64::try_from(image.size).ok(),
        image_pushed_at: Some(image.pushed_at),
        image_scan_status: scan.map(super::scanning::status),
        image_scan_findings_summary: finished.map(super::scanning::summary),
        image_manifest_media_type: Some(image.manifest.media_type.clone()),
        artifact_media_type: image.manifest.artifact_media_type().map(str::to_owned),
        last_recorded_pull_time: image.pulled_at,
        subject_manifest_digest: image.manifest.subject.as_ref().map(|subject| subject.digest.to_string()),
        image_status: Some("ACTIVE".to_owned()),
        last_archived_at: None,
        last_activated_at: None,
    }
}
