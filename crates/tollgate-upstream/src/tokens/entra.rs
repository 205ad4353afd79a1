//! Microsoft Entra's tokens: for an application that shows its secret
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>) or its platform's token
//! (<https://learn.microsoft.com/azure/aks/workload-identity-overview>), and for what runs where the platform vouches for it
//! (<https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>,
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity>; all read 2026-11).

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use tollgate_domain::{EntraIssuer, EntraProof};

use super::{
    Grant, TokenFailure,
    exchange::{Request, read_access_token, secret_value},
    files::read_file,
};
use crate::client::Upstream;

/// A client assertion that is a token (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(super) async fn issue(
    issuer: &EntraIssuer,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    let request = match issuer {
        EntraIssuer::Application {
            endpoint,
            client_id,
            proof,
            scope,
        } => {
            let assertion = match proof {
                EntraProof::Secret(_) => String::new(),
                EntraProof::Federated(path) => read_file(path).await?,
            };
            let mut fields = vec![
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
            ];
            match proof {
                EntraProof::Secret(secret) => fields.push(("client_secret", secret.expose())),
                EntraProof::Federated(_) => fields.extend([
                    ("client_assertion_type", ASSERTION_TYPE),
                    ("client_assertion", assertion.as_str()),
                ]),
            }
            fields.push(("scope", scope));
            Request::form(endpoint.clone(), &fields)
        }
        EntraIssuer::Managed { endpoint, header } => {
            let request = Request::get(endpoint.clone());
            match header {
                Some(secret) => request.header("x-identity-header", secret_value(secret.expose())?),
                None => request.header("metadata", HeaderValue::from_static("true")),
            }
        }
    };
    read_access_token(&request.send(upstream).await?, wall)
}
