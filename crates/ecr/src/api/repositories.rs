//! Repositories.

use super::page::page;
use super::{change, registry_id, repository};
use crate::images;
use crate::manifest::is_repository_name;
use crate::rows::{Image, Repository, TagMutability};
use crate::service::{Ecr, repository_arn};
use crate::texts;
use gateway::Context;
use model::ecr::{
    CreateRepositoryRequest, CreateRepositoryResponse, DeleteRepositoryRequest, DeleteRepositoryResponse,
    DescribeRepositoriesRequest, DescribeRepositoriesResponse, EncryptionConfiguration, ImageScanningConfiguration,
    ImageTagMutabilityExclusionFilter, PutImageTagMutabilityRequest, PutImageTagMutabilityResponse,
    Repository as RepositoryShape,
};
use std::sync::Arc;
use types::{ApiError, Scope};

pub(super) fn create_repository(
    ecr: &Ecr,
    cx: &mut Context,
    input: CreateRepositoryRequest,
) -> Result<CreateRepositoryResponse, ApiError> {
    let name = input.repository_name;
    if !is_repository_name(&name) {
        return Err(texts::invalid_parameter("repositoryName", texts::NAME_CONSTRAINT));
    }
    if input.registry_id.as_ref().is_some_and(|id| *id != cx.scope.account.as_str()) {
        return Err(texts::invalid_parameter("registryId", "must be the caller's registry"));
    }
    let setting = input.image_tag_mutability.as_deref().unwrap_or("MUTABLE");
    let mutability = mutability(setting, input.image_tag_mutability_exclusion_filters)?;
    let (encryption_type, kms_key) = input
        .encryption_configuration
        .map_or_else(|| ("AES256".to_owned(), None), |encryption| (encryption.encryption_type, encryption.kms_key));
    let row = Repository {
        created_at: cx.now,
        mutability,
        scan_on_push: input.image_scanning_configuration.and_then(|scanning| scanning.scan_on_push).unwrap_or(false),
        encryption_type,
        kms_key,
        tags: super::tags::checked(input.tags.unwrap_or_default())?,
        lifecycle_policy: None,
        policy: None,
        name,
    };
    let scope = cx.scope.clone();
    if cx.tx().contains::<Repository>(&scope, &row.name) {
        return Err(texts::repository_exists(&row.name, scope.account.as_str()));
    }
    let row = cx.tx().put(&scope, row);
    Ok(CreateRepositoryResponse { repository: Some(shape(ecr, &scope, &row)) })
}

pub(super) fn describe_repositories(
    ecr: &Ecr,
    cx: &mut Context,
    input: DescribeRepositoriesRequest,
) -> Result<DescribeRepositoriesResponse, ApiError> {
    let scope = cx.scope.clone();
    let registry = input.registry_id.as_deref();
    if let Some(names) = input.repository_names {
        let found: Result<Vec<_>, _> = names.iter().map(|name| repository(cx.view(), &scope, registry, name)).collect();
        let repositories = found?.iter().map(|row| shape(ecr, &scope, row)).collect();
        return Ok(DescribeRepositoriesResponse { repositories: Some(repositories), next_token: None });
    }
    let ours = registry.is_none_or(|registry| registry == scope.account.as_str());
    let all = cx.view().scan::<Repository>(&scope).filter(|_| ours);
    let page = page(all, |row| row.name.clone(), input.next_token.as_deref(), input.max_results)?;
    let repositories = page.items.into_iter().map(|row| shape(ecr, &scope, row)).collect();
    Ok(DescribeRepositoriesResponse { repositories: Some(repositories), next_token: page.next_token })
}

pub(super) fn delete_repository(
    ecr: &Ecr,
    cx: &mut Context,
    input: DeleteRepositoryRequest,
) -> Result<DeleteRepositoryResponse, ApiError> {
    let scope = cx.scope.clone();
    let name = &input.repository_name;
    let row = repository(cx.tx(), &scope, input.registry_id.as_deref(), name)?;
    let empty = cx.tx().by_index(&Image::BY_REPOSITORY, &scope, name).next().is_none();
    if !empty && input.force != Some(true) {
        return Err(texts::repository_not_empty(name, scope.account.as_str()));
    }
    images::delete_repository(cx.tx(), &scope, name);
    Ok(DeleteRepositoryResponse { repository: Some(shape(ecr, &scope, &row)) })
}

pub(super) fn put_image_tag_mutability(
    _: &Ecr,
    cx: &mut Context,
    input: PutImageTagMutabilityRequest,
) -> Result<PutImageTagMutabilityResponse, ApiError> {
    let mutability = mutability(&input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?;
    let row = change(cx, input.registry_id.as_deref(), &input.repository_name, |row| row.mutability = mutability)?;
    Ok(PutImageTagMutabilityResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(row.name.clone()),
        image_tag_mutability: Some(row.mutability.name().to_owned()),
        image_tag_mutability_exclusion_filters: filters(&row.mutability),
    })
}

fn mutability(
    setting: &str,
    filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
) -> Result<TagMutability, ApiError> {
    let exclusions: Vec<String> = filters.unwrap_or_default().into_iter().map(|filter| filter.filter).collect();
    let (immutable, with_exclusion) = match setting {
        "MUTABLE" => (false, false),
        "IMMUTABLE" => (true, false),
        "MUTABLE_WITH_EXCLUSION" => (false, true),
        "IMMUTABLE_WITH_EXCLUSION" => (true, true),
        _ => {
            return Err(texts::invalid_parameter(
                "imageTagMutability",
                "Member must satisfy enum value set: [IMMUTABLE, MUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION]",
            ));
        }
    };
    if with_exclusion == exclusions.is_empty() {
        let why = format!(
            "ImageTagMutabilityExclusionFilters {} be null when imageTagMutability is set as {setting}",
            if with_exclusion { "can't" } else { "must" }
        );
        return Err(texts::invalid_parameter("imageTagMutabilityExclusionFilters", &why));
    }
    Ok(TagMutability { immutable, exclusions })
}

fn filters(mutability: &TagMutability) -> Option<Vec<ImageTagMutabilityExclusionFilter>> {
    let filter = |pattern: &String| ImageTagMutabilityExclusionFilter {
        filter_type: "WILDCARD".to_owned(),
        filter: pattern.clone(),
    };
    (!mutability.exclusions.is_empty()).then(|| mutability.exclusions.iter().map(filter).collect())
}

fn shape(ecr: &Ecr, scope: &Scope, row: &Arc<Repository>) -> RepositoryShape {
    RepositoryShape {
        repository_arn: Some(repository_arn(scope, &row.name)),
        registry_id: Some(scope.account.to_string()),
        repository_name: Some(row.name.clone()),
        repository_uri: Some(ecr.repository_uri(&row.name)),
        created_at: Some(row.created_at),
        image_tag_mutability: Some(row.mutability.name().to_owned()),
        image_tag_mutability_exclusion_filters: filters(&row.mutability),
        image_scanning_configuration: Some(ImageScanningConfiguration { scan_on_push: Some(row.scan_on_push) }),
        encryption_configuration: Some(EncryptionConfiguration {
            encryption_type: row.encryption_type.clone(),
            kms_key: row.kms_key.clone(),
        }),
    }
}
