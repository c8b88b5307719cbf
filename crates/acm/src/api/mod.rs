//! The operations.

mod describe;
mod import;
mod list;
mod request;
mod tags;

use crate::rows::Certificate;
use crate::{Acm, texts};
use gateway::Context;
use model::acm::{DeleteCertificateRequest, GetCertificateRequest, GetCertificateResponse, Handlers};
use std::sync::Arc;
use store::View;
use types::arn::Arn;
use types::{ApiError, Scope};

pub(crate) fn handlers() -> Handlers<Acm, Context> {
    Handlers {
        add_tags_to_certificate: tags::add,
        delete_certificate: delete,
        describe_certificate: describe::describe,
        get_certificate: get,
        import_certificate: import::import,
        list_certificates: list::list,
        list_tags_for_certificate: tags::list,
        remove_tags_from_certificate: tags::remove,
        request_certificate: request::request,
    }
}

/// The certificate of that ARN, or AWS's error.
fn find(view: &View, scope: &Scope, arn: &str) -> Result<Arc<Certificate>, ApiError> {
    let fine = arn.parse::<Arn>().is_ok_and(|arn| arn.service == "acm" && arn.resource.starts_with("certificate/"));
    if !fine {
        return Err(texts::invalid_arn(arn));
    }
    view.get::<Certificate>(scope, arn).ok_or_else(|| texts::not_found(arn))
}

fn fresh_arn(scope: &Scope) -> String {
    Arn::new("acm", scope, format!("certificate/{}", types::id::random_uuid())).to_string()
}

fn get(_: &Acm, cx: &mut Context, input: GetCertificateRequest) -> Result<GetCertificateResponse, ApiError> {
    let scope = cx.scope.clone();
    let row = find(cx.view(), &scope, &input.certificate_arn)?;
    Ok(GetCertificateResponse { certificate: Some(row.pem.clone()), certificate_chain: row.chain.clone() })
}

fn delete(_: &Acm, cx: &mut Context, input: DeleteCertificateRequest) -> Result<wire::Unit, ApiError> {
    let scope = cx.scope.clone();
    let tx = cx.tx();
    let row = find(tx, &scope, &input.certificate_arn)?;
    if !row.used_by.is_empty() {
        return Err(texts::in_use(&row.arn, &scope));
    }
    tx.delete::<Certificate>(&scope, &row.arn);
    Ok(wire::Unit)
}
