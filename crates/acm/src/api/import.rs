//! Certificates that users bring.

use super::{find, fresh_arn, tags};
use crate::parsed;
use crate::rows::Certificate;
use crate::{Acm, texts};
use gateway::Context;
use model::acm::{ImportCertificateRequest, ImportCertificateResponse};
use std::collections::BTreeMap;
use types::ApiError;

pub(super) fn import(
    acm: &Acm,
    cx: &mut Context,
    input: ImportCertificateRequest,
) -> Result<ImportCertificateResponse, ApiError> {
    let chain = input.certificate_chain.filter(|chain| !chain.is_empty());
    let facts = parsed::check(&input.certificate, &input.private_key, chain.as_deref())?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| ApiError::from(parsed::Error::Certificate));
    let (pem, chain) = (text(input.certificate)?, chain.map(text).transpose()?);
    let (scope, now) = (cx.scope.clone(), cx.now);
    if facts.not_after <= now {
        return Err(texts::invalid("The certificate has expired."));
    }
    if facts.not_before > now {
        return Err(texts::invalid("The certificate is not yet valid."));
    }
    let tx = cx.tx();
    let before = match &input.certificate_arn {
        Some(arn) => Some(find(tx, &scope, arn)?),
        None => None,
    };
    if let Some(before) = &before {
        if !before.imported {
            return Err(texts::invalid("A certificate that ACM issued cannot be imported again."));
        }
        if input.tags.is_some() {
            return Err(texts::invalid("Tagging is not permitted on re-import."));
        }
    }
    let arn = before.as_ref().map_or_else(|| fresh_arn(&scope), |before| before.arn.clone());
    let row = Certificate {
        key: acm.vault.seal(&arn, &input.private_key),
        imported: true,
        domain: facts.domain,
        names: facts.names,
        pem,
        chain,
        serial: facts.serial,
        subject: facts.subject,
        issuer: facts.issuer,
        not_before: facts.not_before,
        not_after: facts.not_after,
        key_algorithm: facts.key_algorithm,
        signature_algorithm: facts.signature_algorithm,
        created: now,
        validation: None,
        transparency: "DISABLED".to_owned(),
        token: None,
        tags: match &before {
            Some(before) => before.tags.clone(),
            None => tags::merge(&BTreeMap::new(), input.tags.unwrap_or_default())?,
        },
        used_by: before.map(|before| before.used_by.clone()).unwrap_or_default(),
        arn: arn.clone(),
    };
    tx.put(&scope, row);
    Ok(ImportCertificateResponse { certificate_arn: Some(arn) })
}
