//! Entra's tokens: for an application that has a secret, for one that the platform vouches for with a file, or for the platform's managed
//! identity, looked for in this order, as Azure's own libraries do
//! (<https://learn.microsoft.com/dotnet/azure/sdk/authentication/credential-chains>, read 2026-11).

use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_domain::{EntraIssuer, EntraProof, Secret};

use super::Resolver;
use crate::config::{diagnostics::quoted_node, tree::At, written};

const ENTRA_URL: &str = "https://login.microsoftonline.com";
const ENTRA_SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const MACHINE_URL: &str = "http://169.254.169.254";
const MACHINE_PATH: &str = "/metadata/identity/oauth2/token";
const MACHINE_VERSION: &str = "2018-02-01";
const APP_SERVICE_VERSION: &str = "2019-08-01";

impl Resolver<'_> {
    pub(super) fn entra(&mut self, written: &written::Entra, at: At<'_>) -> Option<EntraIssuer> {
        let has_secret = at.has("client_secret");
        let has_file = at.has("federated_token_file");
        if has_secret && has_file {
            self.problems.error(
                at.key("federated_token_file").key_span(),
                "an application has a secret, or its platform vouches for it: one of the two",
            );
            return None;
        }
        if has_secret {
            let secret = written.client_secret.as_deref()?.trim();
            let authority = written.authority.as_deref().unwrap_or(ENTRA_URL);
            let (tenant, client_id) = (written.tenant.clone(), written.client_id.clone());
            let proof = EntraProof::Secret(Secret::new(secret));
            return self.application(written, (tenant, client_id, authority), proof, at);
        }
        let file = match has_file {
            true => Some(written.federated_token_file.clone()?),
            false => self.variable("AZURE_FEDERATED_TOKEN_FILE"),
        };
        if let Some(file) = file {
            let usual = |name: &str| self.variable(name);
            let tenant = written.tenant.clone().or_else(|| usual("AZURE_TENANT_ID"));
            let client_id = written.client_id.clone();
            let client_id = client_id.or_else(|| usual("AZURE_CLIENT_ID"));
            let authority = written.authority.clone();
            let authority = authority.or_else(|| usual("AZURE_AUTHORITY_HOST"));
            let authority = authority.as_deref().unwrap_or(ENTRA_URL);
            let proof = EntraProof::Federated(file.into());
            return self.application(written, (tenant, client_id, authority), proof, at);
        }
        if at.has("tenant") || at.has("authority") {
            self.problems
                .error(at.span(), "nothing proves who the application is")
                .label("`client_secret` is missing")
                .help("give `client_secret` or `federated_token_file`; for a managed identity, leave out `tenant` and `authority`");
            return None;
        }
        self.managed(written, at)
    }

    fn application(
        &mut self,
        written: &written::Entra,
        (tenant, client_id, authority): (Option<String>, Option<String>, &str),
        proof: EntraProof,
        at: At<'_>,
    ) -> Option<EntraIssuer> {
        for (key, given) in [("tenant", &tenant), ("client_id", &client_id)] {
            // What is written but could not be filled in has been reported.
            if given.is_none() && !at.has(key) {
                self.problems
                    .error(
                        at.span(),
                        format!("an application is named with its `{key}`"),
                    )
                    .label(format!("`{key}` is missing"));
            }
        }
        let (tenant, client_id) = (tenant?, client_id?);
        let is_name = |sign: char| sign.is_ascii_alphanumeric() || "-._".contains(sign);
        if tenant.is_empty() || !tenant.chars().all(is_name) {
            let shown = match at.has("tenant") {
                true => quoted_node(at.key("tenant").node()),
                false => "what `AZURE_TENANT_ID` holds".to_owned(),
            };
            self.problems
                .error(at.key("tenant").span(), format!("{shown} is no tenant"))
                .help("give the directory's id or domain");
            return None;
        }
        let endpoint = self.address(
            Some(authority),
            ENTRA_URL,
            &format!("/{tenant}/oauth2/v2.0/token"),
            at.key("authority"),
        )?;
        Some(EntraIssuer::Application {
            endpoint,
            client_id: client_id.into(),
            proof,
            scope: written.scope.as_deref().unwrap_or(ENTRA_SCOPE).into(),
        })
    }

    /// Who runs here, as App Service or a virtual machine's metadata service says.
    fn managed(&mut self, written: &written::Entra, at: At<'_>) -> Option<EntraIssuer> {
        let scope = written.scope.as_deref().unwrap_or(ENTRA_SCOPE);
        // Managed identities are asked for a resource, which a scope names with a suffix.
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query = format!("resource={}", encode(resource));
        if let Some(client_id) = &written.client_id {
            query = format!("{query}&client_id={}", encode(client_id));
        }
        let of_app = (
            self.variable("IDENTITY_ENDPOINT"),
            self.variable("IDENTITY_HEADER"),
        );
        if let (Some(endpoint), Some(header), None) = (of_app.0, of_app.1, &written.metadata_url) {
            let path = format!("?api-version={APP_SERVICE_VERSION}&{query}");
            let endpoint = self.address(None, &endpoint, &path, at)?;
            let header = Some(Secret::new(header));
            return Some(EntraIssuer::Managed { endpoint, header });
        }
        let path = format!("{MACHINE_PATH}?api-version={MACHINE_VERSION}&{query}");
        let place = at.key("metadata_url");
        let endpoint: Uri =
            self.address(written.metadata_url.as_deref(), MACHINE_URL, &path, place)?;
        Some(EntraIssuer::Managed {
            endpoint,
            header: None,
        })
    }
}
