//! Google's tokens: for a service account, or for whoever the platform says. Those whom others vouch for are in `external`.

use std::sync::Arc;

use serde::Deserialize;
use tollgate_domain::{GoogleIssuer, Secret};
use tollgate_upstream::is_private_key;

use super::Resolver;
use crate::config::{tree::At, written};

const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
pub(super) const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GOOGLE_METADATA_URL: &str = "http://metadata.google.internal";
const GOOGLE_METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

impl Resolver<'_> {
    pub(super) fn google(&mut self, written: &written::Google, at: At<'_>) -> Option<GoogleIssuer> {
        if at.has("service_account") && at.has("external_account") {
            self.problems.error(
                at.key("external_account").key_span(),
                "a service account signs for itself, or somebody else vouches: one of the two",
            );
            return None;
        }
        if let Some(file) = &written.external_account {
            let account = self.external(file, written, at.key("external_account"))?;
            return Some(GoogleIssuer::External(Box::new(account)));
        }
        let Some(file) = &written.service_account else {
            if at.has("service_account") || at.has("external_account") {
                return None; // it could not be filled in, which has been reported
            }
            let endpoint = self.address(
                written.metadata_url.as_deref(),
                GOOGLE_METADATA_URL,
                GOOGLE_METADATA_PATH,
                at.key("metadata_url"),
            )?;
            return Some(GoogleIssuer::Metadata { endpoint });
        };
        let place = at.key("service_account");
        let Ok(key) = serde_json::from_str::<ServiceAccount>(file) else {
            self.problems
                .error(place.span(), "this is no key file of a service account")
                .help("give the JSON file that Google made: `service_account: file:PATH`; one of `type: external_account` is `external_account: file:PATH`");
            return None;
        };
        if !is_private_key(&key.private_key) {
            self.problems.error(
                place.span(),
                "the service account's private key cannot be read",
            );
            return None;
        }
        let endpoint = self.address(key.token_uri.as_deref(), GOOGLE_TOKEN_URL, "", place)?;
        Some(GoogleIssuer::ServiceAccount {
            email: key.client_email.into(),
            key_id: key.private_key_id.map(Arc::from),
            private_key: Secret::new(key.private_key),
            endpoint,
            scope: written.scope.as_deref().unwrap_or(GOOGLE_SCOPE).into(),
        })
    }
}

/// A service account's key file, as far as it is needed.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}
