//! Layers: which are here, and where to download them.

use super::repository;
use crate::rows::{Layer, key};
use crate::service::Ecr;
use crate::texts;
use blob::Digest;
use gateway::{Context, Door};
use model::ecr::{
    BatchCheckLayerAvailabilityRequest, BatchCheckLayerAvailabilityResponse, GetDownloadUrlForLayerRequest,
    GetDownloadUrlForLayerResponse, Layer as LayerShape, LayerFailure,
};
use types::ApiError;

pub(super) fn batch_check_layer_availability(
    ecr: &Ecr,
    cx: &mut Context,
    input: BatchCheckLayerAvailabilityRequest,
) -> Result<BatchCheckLayerAvailabilityResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = input.repository_name.as_str();
    repository(cx.view(), &scope, input.registry_id.as_deref(), name)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in input.layer_digests {
        let (code, reason) = match text.parse::<Digest>() {
            Ok(digest) => {
                let row = cx.view().get::<Layer>(&scope, &key(name, &digest));
                // Who hears that it is here will not send it: it must stay until the image is put.
                let here = row.filter(|_| matches!(ecr.blobs().vouch(&digest), Ok(Some(_))));
                let availability = if here.is_some() { "AVAILABLE" } else { "UNAVAILABLE" };
                layers.push(LayerShape {
                    layer_digest: Some(text),
                    layer_availability: Some(availability.to_owned()),
                    layer_size: here.and_then(|layer| i64::try_from(layer.size).ok()),
                    media_type: None,
                });
                continue;
            }
            Err(_) if text.is_empty() => ("MissingLayerDigest", texts::INVALID_LAYER_DIGEST),
            Err(_) => ("InvalidLayerDigest", texts::INVALID_LAYER_DIGEST),
        };
        failures.push(LayerFailure {
            layer_digest: Some(text),
            failure_code: Some(code.to_owned()),
            failure_reason: Some(reason.to_owned()),
        });
    }
    Ok(BatchCheckLayerAvailabilityResponse { layers: Some(layers), failures: Some(failures) })
}

pub(super) fn get_download_url_for_layer(
    ecr: &Ecr,
    cx: &mut Context,
    input: GetDownloadUrlForLayerRequest,
) -> Result<GetDownloadUrlForLayerResponse, ApiError> {
    let scope = cx.scope.clone();
    let (name, account) = (input.repository_name.as_str(), scope.account.as_str());
    repository(cx.view(), &scope, input.registry_id.as_deref(), name)?;
    let digest = input.layer_digest.parse::<Digest>().ok();
    let layer = digest.and_then(|digest| cx.view().get::<Layer>(&scope, &key(name, &digest)));
    let Some(layer) = layer else {
        return Err(ApiError::new(
            "LayersNotFoundException",
            format!(
                "The layer with digest '{}' does not exist in the repository with name '{name}' in the registry with id '{account}'",
                input.layer_digest
            ),
        ));
    };
    let url = if cx.origin.door == Door::Machine {
        let token = ecr.key().download(&scope, &key(name, &layer.digest), cx.now);
        format!("{}/v2/{name}/blobs/{}?token={token}", ecr.config().endpoint, layer.digest)
    } else {
        ecr.layer_address(&scope, name, &layer.digest, cx.now).url()
    };
    Ok(GetDownloadUrlForLayerResponse { download_url: Some(url), layer_digest: Some(input.layer_digest) })
}
