//! ECR's words. Sources: the error documents that the service returns to its clients, as quoted in AWS's documentation
//! ("Amazon ECR error messages"), the Terraform provider's acceptance tests and public issue threads.

use blob::Digest;
use types::ApiError;

/// `name` is not a repository of `registry`.
pub fn repository_not_found(name: &str, registry: &str) -> ApiError {
    ApiError::new("RepositoryNotFoundException", repository_not_found_text(name, registry))
}

/// The text of the same, which the registry's own errors carry as well.
pub fn repository_not_found_text(name: &str, registry: &str) -> String {
    format!("The repository with name '{name}' does not exist in the registry with id '{registry}'")
}

/// The name is taken.
pub fn repository_exists(name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "RepositoryAlreadyExistsException",
        format!("The repository with name '{name}' already exists in the registry with id '{registry}'"),
    )
}

/// It has images and `force` was not given.
pub fn repository_not_empty(name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "RepositoryNotEmptyException",
        format!(
            "The repository with name '{name}' in registry with id '{registry}' cannot be deleted because it still contains images"
        ),
    )
}

/// An image named by digest, tag or both is not there.
pub fn image_not_found(digest: Option<&str>, tag: Option<&str>, name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "ImageNotFoundException",
        format!(
            "The image with imageId {} does not exist within the repository with name '{name}' in the registry with id '{registry}'",
            image_id(digest, tag)
        ),
    )
}

/// An image was never scanned.
pub fn scan_not_found(digest: Option<&str>, tag: Option<&str>, name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "ScanNotFoundException",
        format!(
            "Image scan does not exist for the image with '{}' in the repository with name '{name}' in the registry with id '{registry}'",
            image_id(digest, tag)
        ),
    )
}

fn image_id(digest: Option<&str>, tag: Option<&str>) -> String {
    format!("{{imageDigest:'{}', imageTag:'{}'}}", digest.unwrap_or("null"), tag.unwrap_or("null"))
}

/// The very same image was pushed under the very same tag before.
pub fn image_exists(digest: &Digest, tag: Option<&str>, name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "ImageAlreadyExistsException",
        format!(
            "Image with digest '{digest}' and tag '{}' already exists in the repository with name '{name}' in registry with id '{registry}'",
            tag.unwrap_or("null")
        ),
    )
}

/// A tag that must not move was pushed for another image.
pub fn tag_exists(tag: &str, name: &str) -> String {
    format!(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
    )
}

/// A manifest names blobs that the repository does not hold.
pub fn layers_not_found(digests: &[Digest], name: &str, registry: &str) -> String {
    format!(
        "Layers with digests '{}' required for pushing image into repository with name '{name}' in the registry with id '{registry}' do not exist",
        bracketed(digests)
    )
}

/// An index names images that the repository does not hold.
pub fn images_not_found(digests: &[Digest], name: &str, registry: &str) -> String {
    format!(
        "Images with digests '{}' required for pushing image into repository with name '{name}' in the registry with id '{registry}' do not exist",
        bracketed(digests)
    )
}

/// An image cannot go because indexes list it.
pub fn referenced_by_lists(digests: &[Digest]) -> String {
    format!("Requested image referenced by manifest list: {}", bracketed(digests))
}

fn bracketed(digests: &[Digest]) -> String {
    let all: Vec<&str> = digests.iter().map(Digest::as_str).collect();
    format!("[{}]", all.join(", "))
}

/// A parameter is wrong: `Invalid parameter at 'x' failed to satisfy constraint: 'why'`.
pub fn invalid_parameter(parameter: &str, constraint: &str) -> ApiError {
    ApiError::new("InvalidParameterException", invalid_parameter_text(parameter, constraint))
}

/// The text of the same.
pub fn invalid_parameter_text(parameter: &str, constraint: &str) -> String {
    format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'")
}

/// The repository name's grammar, as the error for a bad one quotes it.
pub const NAME_CONSTRAINT: &str =
    "must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'";

/// No lifecycle policy was put.
pub fn lifecycle_policy_not_found(name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "LifecyclePolicyNotFoundException",
        format!(
            "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{registry}'"
        ),
    )
}

/// No repository policy was put.
pub fn repository_policy_not_found(name: &str, registry: &str) -> ApiError {
    ApiError::new(
        "RepositoryPolicyNotFoundException",
        format!(
            "Repository policy does not exist for the repository with name '{name}' in the registry with id '{registry}'"
        ),
    )
}

/// The whole answer to a request without credentials. `docker push` turns it into `no basic auth credentials`.
pub const NOT_AUTHORIZED: &str = "Not Authorized\n";
/// A token older than its twelve hours.
pub const TOKEN_EXPIRED: &str = "Your authorization token has expired. Reauthenticate and try again.";
/// A token that we did not give.
pub const TOKEN_INVALID: &str = "Your Authorization Token is invalid.";
/// No such image, in a batch's failures and in the registry.
pub const IMAGE_NOT_FOUND: &str = "Requested image not found";
/// An image identifier with neither digest nor tag.
pub const MISSING_DIGEST_AND_TAG: &str = "Invalid request parameters: both tag and digest cannot be null";
/// An image identifier with a malformed digest.
pub const INVALID_IMAGE_DIGEST: &str =
    "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
/// An image identifier whose tag is on another digest.
pub const TAG_DOES_NOT_MATCH: &str = "The provided tag does not match the provided digest";
/// A malformed layer digest in a batch.
pub const INVALID_LAYER_DIGEST: &str =
    "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";

/// Amazon S3's, of a signature that does not hold.
pub const S3_MISMATCH: &str =
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
