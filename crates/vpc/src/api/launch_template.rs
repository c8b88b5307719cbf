//! Launch templates and their versions.

use super::describe::{self, Kind, Selection, one};
use super::{Ec2, begin, tags};
use crate::launch::template;
use crate::rows::{LaunchTemplate, LaunchTemplateVersion};
use crate::texts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway::Context;
use model::ec2;
use std::sync::Arc;
use types::id::{ImageId, LaunchTemplateId};
use types::{ApiError, Scope, Timestamp};
use wire::{Shape, Stored};

/// The most versions of a template. Source: EC2 Auto Scaling user guide, "Launch template limitations".
const MOST_VERSIONS: usize = 10_000;

/// Checks what can be checked of a template alone: what it names need not be there yet.
fn check(data: &ec2::RequestLaunchTemplateData) -> Result<(), ApiError> {
    if let Some(text) = &data.user_data
        && STANDARD.decode(text.trim()).is_err()
    {
        return Err(texts::template_user_data_not_base64());
    }
    match data.image_id.as_deref() {
        Some(id) if !id.starts_with("resolve:ssm:") && ImageId::parse(id).is_none() => Err(texts::malformed_image(id)),
        _ => Ok(()),
    }
}

pub(crate) fn create(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateLaunchTemplateRequest,
) -> Result<ec2::CreateLaunchTemplateResult, ApiError> {
    let tags = tags::at_creation(input.tag_specifications, "launch-template")?;
    super::refuse(input.operator.is_some(), "managed launch templates")?;
    let name = input.launch_template_name;
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"().-/_".contains(&b);
    if !(3..=128).contains(&name.len()) || !name.bytes().all(fine) {
        return Err(texts::bad_launch_template_name());
    }
    check(&input.launch_template_data)?;
    begin(cx, input.dry_run)?;
    let (scope, now, who) = (cx.scope.clone(), cx.now, cx.principal.arn.clone());
    let tx = cx.tx();
    if tx.by_index(&LaunchTemplate::BY_NAME, &scope, &name).next().is_some() {
        return Err(texts::launch_template_exists());
    }
    let first = version(1, input.version_description, input.launch_template_data, (now, &who));
    let row = LaunchTemplate {
        id: LaunchTemplateId::generate(),
        name,
        created: now,
        created_by: who,
        default_version: 1,
        latest_version: 1,
        versions: vec![first],
        tags,
    };
    let row = tx.put(&scope, row);
    Ok(ec2::CreateLaunchTemplateResult { launch_template: Some(show(&row)), warning: None })
}

fn version(
    number: i64,
    description: Option<String>,
    data: ec2::RequestLaunchTemplateData,
    (created, who): (Timestamp, &str),
) -> LaunchTemplateVersion {
    LaunchTemplateVersion { number, description, created, created_by: who.to_owned(), data: Stored(data) }
}

pub(crate) fn create_version(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::CreateLaunchTemplateVersionRequest,
) -> Result<ec2::CreateLaunchTemplateVersionResult, ApiError> {
    super::refuse(input.resolve_alias == Some(true), "resolving images' parameters in templates")?;
    begin(cx, input.dry_run)?;
    let (scope, now, who) = (cx.scope.clone(), cx.now, cx.principal.arn.clone());
    let tx = cx.tx();
    let row = template(tx, &scope, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    let mut data = input.launch_template_data;
    if let Some(named) = &input.source_version {
        let source = row.version(Some(named)).ok_or_else(|| no_version(&row, named))?;
        data = over(&source.data, data)?;
    }
    check(&data)?;
    if row.versions.len() >= MOST_VERSIONS {
        return Err(texts::too_many_versions());
    }
    let number = row.latest_version + 1;
    let made = version(number, input.version_description, data, (now, &who));
    let row = tx.update::<LaunchTemplate>(&scope, row.id.as_str(), |row| {
        row.versions.push(made.clone());
        row.latest_version = number;
    });
    let shown = row.map(|row| show_version(&row, &made)).transpose()?;
    Ok(ec2::CreateLaunchTemplateVersionResult { launch_template_version: shown, warning: None })
}

/// What `data` says, and `source` where that says nothing.
fn over(
    source: &Stored<ec2::RequestLaunchTemplateData>,
    data: ec2::RequestLaunchTemplateData,
) -> Result<ec2::RequestLaunchTemplateData, ApiError> {
    let internal = |_| ApiError::internal();
    let mut whole = serde_json::to_value(source).map_err(internal)?;
    let own = serde_json::to_value(Stored(data)).map_err(internal)?;
    if let (Some(whole), Some(own)) = (whole.as_object_mut(), own.as_object()) {
        whole.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    serde_json::from_value::<Stored<_>>(whole).map(|whole| whole.0).map_err(internal)
}

fn no_version(row: &LaunchTemplate, named: &str) -> ApiError {
    texts::launch_template_version_not_found(row.id.as_str(), named)
}

fn show(row: &LaunchTemplate) -> ec2::LaunchTemplate {
    ec2::LaunchTemplate {
        launch_template_id: Some(row.id.to_string()),
        launch_template_name: Some(row.name.clone()),
        create_time: Some(row.created),
        created_by: Some(row.created_by.clone()),
        default_version_number: Some(row.default_version),
        latest_version_number: Some(row.latest_version),
        tags: tags::shown(&row.tags),
        operator: Some(ec2::OperatorResponse { managed: Some(false), ..Default::default() }),
    }
}

/// The response's shape has the request's members by the same names.
fn response<A: Shape + Clone, B: Shape>(data: &Stored<A>) -> Result<B, ApiError> {
    let internal = |_| ApiError::internal();
    let json = serde_json::to_value(data).map_err(internal)?;
    serde_json::from_value::<Stored<B>>(json).map(|shown| shown.0).map_err(internal)
}

fn show_version(row: &LaunchTemplate, version: &LaunchTemplateVersion) -> Result<ec2::LaunchTemplateVersion, ApiError> {
    Ok(ec2::LaunchTemplateVersion {
        launch_template_id: Some(row.id.to_string()),
        launch_template_name: Some(row.name.clone()),
        version_number: Some(version.number),
        version_description: version.description.clone(),
        create_time: Some(version.created),
        created_by: Some(version.created_by.clone()),
        default_version: Some(version.number == row.default_version),
        launch_template_data: Some(response(&version.data)?),
        operator: Some(ec2::OperatorResponse { managed: Some(false), ..Default::default() }),
    })
}

const KIND: Kind<LaunchTemplate> = Kind {
    not_found: texts::launch_template_id_not_found,
    tags: |_, row| &row.tags,
    filter: |name| {
        Some(match name {
            "create-time" => Box::new(|_, _, row| one(row.created.iso8601())),
            "launch-template-name" => Box::new(|_, _, row| one(&row.name)),
            _ => return None,
        })
    },
};

pub(crate) fn describe(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeLaunchTemplatesRequest,
) -> Result<ec2::DescribeLaunchTemplatesResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let mut ids = input.launch_template_ids.unwrap_or_default();
    for name in input.launch_template_names.iter().flatten() {
        ids.push(template(cx.view(), &scope, None, Some(name))?.id.to_string());
    }
    let (max_results, next_token) = (input.max_results, input.next_token);
    let selection = Selection { ids: Some(ids), filters: input.filters, max_results, next_token };
    let (rows, next_token) = describe::rows(cx, &KIND, selection)?;
    Ok(ec2::DescribeLaunchTemplatesResult {
        launch_templates: Some(rows.iter().map(|row| show(row)).collect()),
        next_token,
    })
}

pub(crate) fn describe_versions(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DescribeLaunchTemplateVersionsRequest,
) -> Result<ec2::DescribeLaunchTemplateVersionsResult, ApiError> {
    super::refuse(input.resolve_alias == Some(true), "resolving images' parameters in templates")?;
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let view = cx.view();
    let (id, name) = (input.launch_template_id.as_deref(), input.launch_template_name.as_deref());
    let named = input.versions.filter(|versions| !versions.is_empty());
    let mut found: Vec<(Arc<LaunchTemplate>, LaunchTemplateVersion)> = Vec::new();
    if id.or(name).is_none() {
        // Of all templates, only the two versions that have a word of their own can be asked for.
        let words = named.ok_or_else(|| texts::missing("LaunchTemplateId or LaunchTemplateName"))?;
        if words.iter().any(|word| !matches!(word.as_str(), "$Latest" | "$Default")) {
            return Err(texts::invalid_combination(
                "When no launch template is specified, versions must be $Latest, $Default or both.",
            ));
        }
        for row in view.scan::<LaunchTemplate>(&scope) {
            let mut versions: Vec<_> = words.iter().filter_map(|word| row.version(Some(word))).cloned().collect();
            versions.dedup();
            found.extend(versions.into_iter().map(|version| (row.clone(), version)));
        }
    } else {
        let row = template(view, &scope, id, name)?;
        let number = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => {
                row.version(Some(text)).map(|version| Some(version.number)).ok_or_else(|| no_version(&row, text))
            }
        };
        let (least, most) = (number(&input.min_version)?, number(&input.max_version)?);
        for version in &row.versions {
            let within =
                least.is_none_or(|least| version.number >= least) && most.is_none_or(|most| version.number <= most);
            if named.is_none() && within {
                found.push((row.clone(), version.clone()));
            }
        }
        for word in named.iter().flatten() {
            let version = row.version(Some(word)).ok_or_else(|| no_version(&row, word))?;
            found.push((row.clone(), version.clone()));
        }
    }
    let mut kept = Vec::new();
    for (row, version) in found {
        if describe::kept(input.filters.as_deref(), |name| version_filter(&row, &version, name))? {
            kept.push((row, version));
        }
    }
    // The newest first, as AWS has them.
    let key = |(row, version): &(Arc<LaunchTemplate>, LaunchTemplateVersion)| {
        format!("{}/{:020}", row.id, i64::MAX - version.number)
    };
    kept.sort_by_key(key);
    let (page, next_token) = describe::page(kept, input.max_results, input.next_token.as_deref(), key)?;
    let shown = page.iter().map(|(row, version)| show_version(row, version)).collect::<Result<_, _>>()?;
    Ok(ec2::DescribeLaunchTemplateVersionsResult { launch_template_versions: Some(shown), next_token })
}

fn version_filter(row: &LaunchTemplate, version: &LaunchTemplateVersion, name: &str) -> Option<Vec<String>> {
    let data = &version.data;
    let maybe = |value: Option<String>| value.into_iter().collect();
    Some(match name {
        "create-time" => one(version.created.iso8601()),
        "ebs-optimized" => maybe(data.ebs_optimized.map(|value| value.to_string())),
        "iam-instance-profile" => {
            maybe(data.iam_instance_profile.as_ref().and_then(|profile| profile.arn.clone().or(profile.name.clone())))
        }
        "image-id" => maybe(data.image_id.clone()),
        "instance-type" => maybe(data.instance_type.clone()),
        "is-default-version" => one(version.number == row.default_version),
        "kernel-id" => maybe(data.kernel_id.clone()),
        "ram-disk-id" => maybe(data.ram_disk_id.clone()),
        _ => return None,
    })
}

pub(crate) fn modify(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::ModifyLaunchTemplateRequest,
) -> Result<ec2::ModifyLaunchTemplateResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = template(tx, &scope, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    let mut changed = (*row).clone();
    if let Some(named) = &input.default_version {
        changed.default_version = row.version(Some(named)).ok_or_else(|| no_version(&row, named))?.number;
    }
    let row = tx.put(&scope, changed);
    Ok(ec2::ModifyLaunchTemplateResult { launch_template: Some(show(&row)) })
}

pub(crate) fn delete(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteLaunchTemplateRequest,
) -> Result<ec2::DeleteLaunchTemplateResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = template(tx, &scope, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    tx.delete::<LaunchTemplate>(&scope, row.id.as_str());
    Ok(ec2::DeleteLaunchTemplateResult { launch_template: Some(show(&row)) })
}

pub(crate) fn delete_versions(
    _: &Ec2,
    cx: &mut Context,
    input: ec2::DeleteLaunchTemplateVersionsRequest,
) -> Result<ec2::DeleteLaunchTemplateVersionsResult, ApiError> {
    begin(cx, input.dry_run)?;
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = template(tx, &scope, input.launch_template_id.as_deref(), input.launch_template_name.as_deref())?;
    let (mut gone, mut kept) = (Vec::new(), Vec::new());
    for named in &input.versions {
        let number: Option<i64> =
            named.parse().ok().filter(|number| row.versions.iter().any(|at| at.number == *number));
        let refused = match number {
            None => Some(("launchTemplateVersionDoesNotExist", no_version(&row, named).message)),
            Some(number) if number == row.default_version => {
                Some(("unexpectedError", texts::default_version_stays(number)))
            }
            Some(_) => None,
        };
        match refused {
            None => gone.push(number.unwrap_or_default()),
            Some((code, message)) => kept.push(ec2::DeleteLaunchTemplateVersionsResponseErrorItem {
                launch_template_id: Some(row.id.to_string()),
                launch_template_name: Some(row.name.clone()),
                version_number: named.parse().ok(),
                response_error: Some(ec2::ResponseError { code: Some(code.to_owned()), message: Some(message) }),
            }),
        }
    }
    forget(tx, &scope, &row, &gone);
    let shown = gone.into_iter().map(|number| ec2::DeleteLaunchTemplateVersionsResponseSuccessItem {
        launch_template_id: Some(row.id.to_string()),
        launch_template_name: Some(row.name.clone()),
        version_number: Some(number),
    });
    Ok(ec2::DeleteLaunchTemplateVersionsResult {
        successfully_deleted_launch_template_versions: Some(shown.collect()),
        unsuccessfully_deleted_launch_template_versions: Some(kept),
    })
}

fn forget(tx: &mut store::Tx, scope: &Scope, row: &LaunchTemplate, gone: &[i64]) {
    tx.update::<LaunchTemplate>(scope, row.id.as_str(), |row| {
        row.versions.retain(|version| !gone.contains(&version.number));
    });
}
