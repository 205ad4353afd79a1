//! Microsoft Entra's tokens
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>, read 2026-11).

use std::sync::Arc;

use tollgate_domain::EntraIssuer;

use super::{
    Grant, TokenFailure,
    exchange::{Request, read_access_token},
};
use crate::client::Upstream;

pub(super) async fn issue(
    issuer: &EntraIssuer,
    upstream: &Arc<Upstream>,
) -> Result<Grant, TokenFailure> {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", &issuer.client_id),
        ("client_secret", issuer.client_secret.expose()),
        ("scope", &issuer.scope),
    ];
    let request = Request::form(issuer.endpoint.clone(), &fields);
    read_access_token(&request.send(upstream).await?)
}
