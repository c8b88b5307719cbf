//! Scans: asked for here, done by the scanner in [`crate::controller`].

use super::images::identifier;
use super::page::page;
use super::{change, registry_id, repository};
use crate::images::{self, ImageName};
use crate::rows::{Finding, Image, Scan, ScanStatus};
use crate::service::Ecr;
use crate::texts;
use gateway::Context;
use model::ecr::{
    Attribute, DescribeImageScanFindingsRequest, DescribeImageScanFindingsResponse, ImageIdentifier, ImageScanFinding,
    ImageScanFindings, ImageScanFindingsSummary, ImageScanStatus, ImageScanningConfiguration,
    PutImageScanningConfigurationRequest, PutImageScanningConfigurationResponse, StartImageScanRequest,
    StartImageScanResponse,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::ApiError;

pub(super) fn put_image_scanning_configuration(
    _: &Ecr,
    cx: &mut Context,
    input: PutImageScanningConfigurationRequest,
) -> Result<PutImageScanningConfigurationResponse, ApiError> {
    let scan_on_push = input.image_scanning_configuration.scan_on_push.unwrap_or(false);
    let row = change(cx, input.registry_id.as_deref(), &input.repository_name, |row| row.scan_on_push = scan_on_push)?;
    Ok(PutImageScanningConfigurationResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(row.name.clone()),
        image_scanning_configuration: Some(ImageScanningConfiguration { scan_on_push: Some(scan_on_push) }),
    })
}

pub(super) fn start_image_scan(
    _: &Ecr,
    cx: &mut Context,
    input: StartImageScanRequest,
) -> Result<StartImageScanResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let name = input.repository_name.as_str();
    cx.tx();
    let image = find(cx, input.registry_id.as_deref(), name, &input.image_id)?;
    if image.manifest.is_index() || image.manifest.artifact_type.is_some() {
        return Err(ApiError::new(
            "UnsupportedImageTypeException",
            format!(
                "The image with digest '{}' in the repository with name '{name}' in the registry with id '{}' is of a type that cannot be scanned",
                image.digest, scope.account
            ),
        ));
    }
    let scan = Scan::requested(now);
    let status = status(&scan);
    let digest = image.digest.clone();
    cx.tx().put(&scope, Image { scan: Some(scan), ..Image::clone(&image) });
    Ok(StartImageScanResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(name.to_owned()),
        image_id: Some(identifier(&digest, input.image_id.image_tag.as_deref())),
        image_scan_status: Some(status),
    })
}

pub(super) fn describe_image_scan_findings(
    _: &Ecr,
    cx: &mut Context,
    input: DescribeImageScanFindingsRequest,
) -> Result<DescribeImageScanFindingsResponse, ApiError> {
    let name = input.repository_name.as_str();
    let image = find(cx, input.registry_id.as_deref(), name, &input.image_id)?;
    let scan = image.scan.as_ref().ok_or_else(|| {
        let ImageIdentifier { image_digest, image_tag } = &input.image_id;
        texts::scan_not_found(image_digest.as_deref(), image_tag.as_deref(), name, cx.scope.account.as_str())
    })?;
    let order = |(at, _): &(usize, &Finding)| format!("{at:08}");
    let page = page(scan.findings.iter().enumerate(), order, input.next_token.as_deref(), input.max_results)?;
    let summary = summary(scan);
    let findings = (scan.status == ScanStatus::Complete).then(|| ImageScanFindings {
        image_scan_completed_at: summary.image_scan_completed_at,
        vulnerability_source_updated_at: summary.vulnerability_source_updated_at,
        finding_severity_counts: summary.finding_severity_counts,
        findings: Some(page.items.iter().map(|(_, finding)| shape(finding)).collect()),
        enhanced_findings: None,
    });
    Ok(DescribeImageScanFindingsResponse {
        registry_id: Some(registry_id(cx)),
        repository_name: Some(name.to_owned()),
        image_id: Some(identifier(&image.digest, input.image_id.image_tag.as_deref())),
        image_scan_status: Some(status(scan)),
        image_scan_findings: findings,
        next_token: page.next_token,
    })
}

fn find(cx: &mut Context, registry: Option<&str>, name: &str, id: &ImageIdentifier) -> Result<Arc<Image>, ApiError> {
    let scope = cx.scope.clone();
    repository(cx.view(), &scope, registry, name)?;
    let wanted = ImageName { digest: id.image_digest.clone(), tag: id.image_tag.clone() };
    images::find(cx.view(), &scope, name, &wanted).ok_or_else(|| {
        texts::image_not_found(wanted.digest.as_deref(), wanted.tag.as_deref(), name, scope.account.as_str())
    })
}

pub(super) fn status(scan: &Scan) -> ImageScanStatus {
    ImageScanStatus { status: Some(scan.status.name().to_owned()), description: Some(scan.description.clone()) }
}

pub(super) fn summary(scan: &Scan) -> ImageScanFindingsSummary {
    let mut counts = BTreeMap::new();
    for finding in &scan.findings {
        *counts.entry(finding.severity.clone()).or_insert(0) += 1;
    }
    ImageScanFindingsSummary {
        image_scan_completed_at: scan.completed_at,
        vulnerability_source_updated_at: scan.source_updated_at,
        finding_severity_counts: Some(counts),
    }
}

fn shape(finding: &Finding) -> ImageScanFinding {
    let attribute = |key: &str, value: &str| Attribute { key: key.to_owned(), value: Some(value.to_owned()) };
    ImageScanFinding {
        name: Some(finding.name.clone()),
        description: Some(finding.description.clone()),
        uri: Some(finding.uri.clone()),
        severity: Some(finding.severity.clone()),
        attributes: Some(vec![
            attribute("package_version", &finding.version),
            attribute("package_name", &finding.package),
        ]),
    }
}
