//! ECR's API: one file a resource, one function an operation.

mod authorization;
mod images;
mod layers;
mod page;
mod policies;
mod repositories;
mod scanning;
mod tags;

use crate::rows::Repository;
use crate::service::Ecr;
use crate::texts;
use gateway::Context;
use model::ecr::Handlers;
use std::sync::Arc;
use store::View;
use types::{ApiError, Scope};

/// The handlers.
pub fn handlers() -> Handlers<Ecr, Context> {
    Handlers {
        batch_check_layer_availability: layers::batch_check_layer_availability,
        batch_delete_image: images::batch_delete_image,
        batch_get_image: images::batch_get_image,
        create_repository: repositories::create_repository,
        delete_lifecycle_policy: policies::delete_lifecycle_policy,
        delete_repository: repositories::delete_repository,
        delete_repository_policy: policies::delete_repository_policy,
        describe_image_scan_findings: scanning::describe_image_scan_findings,
        describe_images: images::describe_images,
        describe_repositories: repositories::describe_repositories,
        get_authorization_token: authorization::get_authorization_token,
        get_download_url_for_layer: layers::get_download_url_for_layer,
        get_lifecycle_policy: policies::get_lifecycle_policy,
        get_repository_policy: policies::get_repository_policy,
        list_images: images::list_images,
        list_tags_for_resource: tags::list_tags_for_resource,
        put_image: images::put_image,
        put_image_scanning_configuration: scanning::put_image_scanning_configuration,
        put_image_tag_mutability: repositories::put_image_tag_mutability,
        put_lifecycle_policy: policies::put_lifecycle_policy,
        set_repository_policy: policies::set_repository_policy,
        start_image_scan: scanning::start_image_scan,
        tag_resource: tags::tag_resource,
        untag_resource: tags::untag_resource,
    }
}

/// The repository that a request names. There is one registry an account; another's repositories are not found.
fn repository(view: &View, scope: &Scope, registry: Option<&str>, name: &str) -> Result<Arc<Repository>, ApiError> {
    let account = scope.account.as_str();
    let registry = registry.unwrap_or(account);
    view.get::<Repository>(scope, name)
        .filter(|_| registry == account)
        .ok_or_else(|| texts::repository_not_found(name, registry))
}

/// What every answer about a repository begins with.
fn registry_id(cx: &Context) -> String {
    cx.scope.account.to_string()
}

/// Changes the repository that a request names, and returns it as it is then.
fn change(
    cx: &mut Context,
    registry: Option<&str>,
    name: &str,
    change: impl FnOnce(&mut Repository),
) -> Result<Arc<Repository>, ApiError> {
    let scope = cx.scope.clone();
    let mut row = Repository::clone(&*repository(cx.tx(), &scope, registry, name)?);
    change(&mut row);
    Ok(cx.tx().put(&scope, row))
}
