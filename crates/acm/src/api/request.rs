//! Certificates that the local authority issues. They are issued at once: nobody has to show a right to a domain.

use super::{fresh_arn, tags};
use crate::rows::Certificate;
use crate::{Acm, authority, parsed, texts};
use gateway::Context;
use model::acm::{RequestCertificateRequest, RequestCertificateResponse};
use std::collections::BTreeMap;
use types::ApiError;

pub(super) fn request(
    acm: &Acm,
    cx: &mut Context,
    input: RequestCertificateRequest,
) -> Result<RequestCertificateResponse, ApiError> {
    if input.certificate_authority_arn.is_some() {
        return Err(ApiError::not_implemented("private certificate authorities"));
    }
    if input.managed_by.is_some() {
        return Err(ApiError::not_implemented("certificates that CloudFront manages"));
    }
    let options = input.options.unwrap_or_default();
    if options.export.as_deref() == Some("ENABLED") {
        return Err(ApiError::not_implemented("certificates that can be exported"));
    }
    let p384 = match input.key_algorithm.as_deref() {
        None | Some("EC_prime256v1") => false,
        Some("EC_secp384r1") => true,
        Some(other) => {
            return Err(ApiError::not_implemented(format!("issuing certificates with {other} keys")));
        }
    };
    let mut names = vec![input.domain_name.to_ascii_lowercase()];
    for name in input.subject_alternative_names.unwrap_or_default() {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if let Some(bad) = names.iter().find(|name| !is_domain(name)) {
        return Err(texts::invalid_domain(bad));
    }
    let tags = tags::merge(&BTreeMap::new(), input.tags.unwrap_or_default())?;
    let (scope, now) = (cx.scope.clone(), cx.now);
    let tx = cx.tx();
    if let Some(token) = &input.idempotency_token {
        let present = tx.scan::<Certificate>(&scope).find(|row| {
            row.token.as_ref() == Some(token) && row.names == names && now.since(row.created).as_secs() < 3600
        });
        if let Some(present) = present {
            return Ok(RequestCertificateResponse { certificate_arn: Some(present.arn.clone()) });
        }
    }
    let failed = |why: &dyn std::fmt::Display| {
        tracing::error!(%why, "a certificate was not issued");
        ApiError::internal()
    };
    let issued = authority::issue(acm, tx, &scope, &names, p384, now).map_err(|why| failed(&why))?;
    let facts = parsed::read(issued.pem.as_bytes()).map_err(|why| failed(&why))?;
    let arn = fresh_arn(&scope);
    tx.put(
        &scope,
        Certificate {
            key: acm.vault.seal(&arn, issued.key.as_bytes()),
            arn: arn.clone(),
            imported: false,
            domain: names[0].clone(),
            names,
            pem: issued.pem,
            chain: Some(issued.chain),
            serial: facts.serial,
            subject: facts.subject,
            issuer: facts.issuer,
            not_before: facts.not_before,
            not_after: facts.not_after,
            key_algorithm: facts.key_algorithm,
            signature_algorithm: facts.signature_algorithm,
            created: now,
            validation: Some(
                options.validation_method.or(input.validation_method).unwrap_or_else(|| "EMAIL".to_owned()),
            ),
            transparency: options.certificate_transparency_logging_preference.unwrap_or_else(|| "ENABLED".to_owned()),
            token: input.idempotency_token,
            tags,
            used_by: BTreeMap::new(),
        },
    );
    Ok(RequestCertificateResponse { certificate_arn: Some(arn) })
}

/// Labels of letters, digits and dashes, at least two, the first of which may be `*`.
fn is_domain(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && rest.contains('.') && rest.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::is_domain;

    #[test]
    fn domains_have_labels() {
        for good in ["example.com", "*.example.com", "a.b-c.d", "xn--mnchen-3ya.de"] {
            assert!(is_domain(good), "{good}");
        }
        for bad in ["localhost", "", ".", "a..b", "-a.b", "a.*.b", "a b.c"] {
            assert!(!is_domain(bad), "{bad}");
        }
    }
}
