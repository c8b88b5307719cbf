//! Lists of certificates. A token names the certificate that the page before ended with.

use super::describe::{kind, renewal, status};
use crate::rows::Certificate;
use crate::{Acm, texts};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::Context;
use model::acm::{CertificateSummary, ListCertificatesRequest, ListCertificatesResponse};
use std::cmp::Reverse;
use std::sync::Arc;
use types::{ApiError, Timestamp};

pub(super) fn list(
    _: &Acm,
    cx: &mut Context,
    input: ListCertificatesRequest,
) -> Result<ListCertificatesResponse, ApiError> {
    if input.sort_by.is_some() != input.sort_order.is_some() {
        return Err(texts::invalid("SortBy and SortOrder must be specified together."));
    }
    let filters = input.includes.unwrap_or_default();
    let (scope, now) = (cx.scope.clone(), cx.now);
    let has = |wanted: &Option<Vec<String>>, value: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted.iter().any(|one| one == value || one == "ANY"))
    };
    let has_some = |wanted: &Option<Vec<String>>, values: &[&str]| {
        wanted.as_ref().is_none_or(Vec::is_empty) || values.iter().any(|value| has(wanted, value))
    };
    let wanted = |row: &Certificate| {
        has(&input.certificate_statuses, status(row, now))
            && has(&filters.key_types, &row.key_algorithm)
            && (row.imported || has_some(&filters.key_usage, &["DIGITAL_SIGNATURE"]))
            && (row.imported
                || has_some(
                    &filters.extended_key_usage,
                    &["TLS_WEB_SERVER_AUTHENTICATION", "TLS_WEB_CLIENT_AUTHENTICATION"],
                ))
            && filters.export_option.as_deref() != Some("ENABLED")
            && filters.managed_by.is_none()
    };
    let mut rows: Vec<Arc<Certificate>> =
        cx.view().scan::<Certificate>(&scope).filter(|row| wanted(row)).cloned().collect();
    match input.sort_order.as_deref() {
        Some("DESCENDING") => rows.sort_by_key(|row| Reverse((row.created, row.arn.clone()))),
        Some(_) => rows.sort_by_key(|row| (row.created, row.arn.clone())),
        None => {}
    }
    let start = match &input.next_token {
        None => 0,
        Some(token) => {
            let last = URL_SAFE_NO_PAD.decode(token).map_err(|_| texts::bad_token())?;
            rows.iter().position(|row| row.arn.as_bytes() == last).ok_or_else(texts::bad_token)? + 1
        }
    };
    let most = input.max_items.and_then(|n| usize::try_from(n).ok()).unwrap_or(1000).clamp(1, 1000);
    let end = (start + most).min(rows.len());
    let page = &rows[start..end];
    let next = page.last().filter(|_| end < rows.len()).map(|row| URL_SAFE_NO_PAD.encode(&row.arn));
    Ok(ListCertificatesResponse {
        next_token: next,
        certificate_summary_list: Some(page.iter().map(|row| summary(row, now)).collect()),
    })
}

fn summary(row: &Certificate, now: Timestamp) -> CertificateSummary {
    let issued = (!row.imported).then_some(row.created);
    let usages = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    CertificateSummary {
        certificate_arn: Some(row.arn.clone()),
        domain_name: Some(row.domain.clone()),
        subject_alternative_name_summaries: Some(row.names.clone()),
        has_additional_subject_alternative_names: Some(false),
        status: Some(status(row, now).to_owned()),
        type_: Some(kind(row).to_owned()),
        key_algorithm: Some(row.key_algorithm.clone()),
        key_usages: issued.and_then(|_| usages(&["DIGITAL_SIGNATURE"])),
        extended_key_usages: issued
            .and_then(|_| usages(&["TLS_WEB_SERVER_AUTHENTICATION", "TLS_WEB_CLIENT_AUTHENTICATION"])),
        in_use: Some(!row.used_by.is_empty()),
        exported: issued.map(|_| false),
        renewal_eligibility: Some(renewal(row).to_owned()),
        not_before: Some(row.not_before),
        not_after: Some(row.not_after),
        created_at: Some(row.created),
        issued_at: issued,
        imported_at: row.imported.then_some(row.created),
        ..Default::default()
    }
}
