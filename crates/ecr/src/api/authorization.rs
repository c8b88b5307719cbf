//! The password for `docker login`.

use crate::service::Ecr;
use crate::texts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::Context;
use model::ecr::{AuthorizationData, GetAuthorizationTokenRequest, GetAuthorizationTokenResponse};
use types::ApiError;

pub(super) fn get_authorization_token(
    ecr: &Ecr,
    cx: &mut Context,
    input: GetAuthorizationTokenRequest,
) -> Result<GetAuthorizationTokenResponse, ApiError> {
    let account = cx.scope.account.as_str();
    if input.registry_ids.is_some_and(|ids| ids.iter().any(|id| id != account)) {
        return Err(texts::invalid_parameter("registryIds", "must be the caller's registry"));
    }
    let (password, expires_at) = ecr.key().password(&cx.scope, &cx.principal, cx.now);
    Ok(GetAuthorizationTokenResponse {
        authorization_data: Some(vec![AuthorizationData {
            authorization_token: Some(STANDARD.encode(format!("AWS:{password}"))),
            expires_at: Some(expires_at),
            proxy_endpoint: Some(ecr.config().endpoint.clone()),
        }]),
    })
}
