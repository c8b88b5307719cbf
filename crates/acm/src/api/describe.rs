//! What is shown of a certificate.

use super::find;
use crate::Acm;
use crate::rows::Certificate;
use gateway::Context;
use model::acm::{
    CertificateDetail, CertificateOptions, DescribeCertificateRequest, DescribeCertificateResponse, DomainValidation,
    ExtendedKeyUsage, KeyUsage, ResourceRecord,
};
use std::collections::BTreeSet;
use types::{ApiError, Timestamp};

pub(super) fn describe(
    _: &Acm,
    cx: &mut Context,
    input: DescribeCertificateRequest,
) -> Result<DescribeCertificateResponse, ApiError> {
    let (scope, now) = (cx.scope.clone(), cx.now);
    let row = find(cx.view(), &scope, &input.certificate_arn)?;
    Ok(DescribeCertificateResponse { certificate: Some(detail(&row, now)) })
}

/// `ISSUED`, or `EXPIRED`.
pub(super) fn status(row: &Certificate, now: Timestamp) -> &'static str {
    if row.not_after <= now { "EXPIRED" } else { "ISSUED" }
}

/// `IMPORTED` or `AMAZON_ISSUED`.
pub(super) fn kind(row: &Certificate) -> &'static str {
    if row.imported { "IMPORTED" } else { "AMAZON_ISSUED" }
}

/// What ACM itself renews is what it issued and somebody uses.
pub(super) fn renewal(row: &Certificate) -> &'static str {
    if row.imported || row.used_by.is_empty() { "INELIGIBLE" } else { "ELIGIBLE" }
}

fn detail(row: &Certificate, now: Timestamp) -> CertificateDetail {
    let issued = (!row.imported).then_some(row.created);
    let users: BTreeSet<&String> = row.used_by.values().collect();
    CertificateDetail {
        certificate_arn: Some(row.arn.clone()),
        domain_name: Some(row.domain.clone()),
        subject_alternative_names: Some(row.names.clone()),
        domain_validation_options: row
            .validation
            .as_ref()
            .map(|method| row.names.iter().map(|name| validation(row, name, method)).collect()),
        serial: Some(row.serial.clone()),
        subject: Some(row.subject.clone()),
        issuer: Some(row.issuer.clone()),
        created_at: Some(row.created),
        issued_at: issued,
        imported_at: row.imported.then_some(row.created),
        status: Some(status(row, now).to_owned()),
        not_before: Some(row.not_before),
        not_after: Some(row.not_after),
        key_algorithm: Some(row.key_algorithm.clone()),
        signature_algorithm: Some(row.signature_algorithm.clone()),
        in_use_by: Some(users.into_iter().cloned().collect()),
        type_: Some(kind(row).to_owned()),
        key_usages: issued.map(|_| vec![KeyUsage { name: Some("DIGITAL_SIGNATURE".to_owned()) }]),
        extended_key_usages: issued.map(|_| {
            vec![
                usage("TLS_WEB_SERVER_AUTHENTICATION", "1.3.6.1.5.5.7.3.1"),
                usage("TLS_WEB_CLIENT_AUTHENTICATION", "1.3.6.1.5.5.7.3.2"),
            ]
        }),
        renewal_eligibility: Some(renewal(row).to_owned()),
        options: Some(CertificateOptions {
            certificate_transparency_logging_preference: Some(row.transparency.clone()),
            export: issued.map(|_| "DISABLED".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn usage(name: &str, oid: &str) -> ExtendedKeyUsage {
    ExtendedKeyUsage { name: Some(name.to_owned()), oid: Some(oid.to_owned()) }
}

/// The record is made of the certificate's id and the name, so that it is always the same.
fn validation(row: &Certificate, name: &str, method: &str) -> DomainValidation {
    let bare = name.trim_start_matches("*.");
    let id: String = row.arn.chars().rev().filter(char::is_ascii_hexdigit).take(32).collect();
    DomainValidation {
        domain_name: name.to_owned(),
        validation_domain: Some(bare.to_owned()),
        validation_status: Some("SUCCESS".to_owned()),
        validation_method: Some(method.to_owned()),
        resource_record: (method == "DNS").then(|| ResourceRecord {
            name: format!("_{id}.{bare}."),
            type_: "CNAME".to_owned(),
            value: format!("_{id}.acm-validations.aws."),
        }),
        validation_emails: (method == "EMAIL").then(|| {
            let users = ["admin", "administrator", "hostmaster", "postmaster", "webmaster"];
            users.iter().map(|user| format!("{user}@{bare}")).collect()
        }),
        ..Default::default()
    }
}
