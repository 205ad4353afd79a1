//! `providers[].auth` where somebody issues credentials that expire: whom to ask, and with what.
//!
//! AWS's keys are looked for where AWS's own tools look, in their order
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>, read 2026-11). What is found here is fixed until the
//! configuration is read again; what a platform renews in files or behind addresses is asked for anew each time.

use std::{path::Path, sync::Arc};

use http::Uri;
use serde::Deserialize;
use tollgate_domain::{
    AwsIssuer, AwsKeys, AwsSource, EntraIssuer, Given, GoogleIssuer, Issuer, Secret,
};
use tollgate_upstream::is_private_key;

use crate::config::{
    diagnostics::{Problems, quoted},
    environment::Environment,
    tree::At,
    written,
};

const AWS_SERVICE: &str = "bedrock";
const INSTANCE_URL: &str = "http://169.254.169.254";
const CONTAINER_URL: &str = "http://169.254.170.2";
/// Hosts whose container endpoints may be asked without TLS.
const CONTAINER_HOSTS: [&str; 5] = [
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::23]",
    "127.0.0.1",
    "localhost",
];
const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GOOGLE_METADATA_URL: &str = "http://metadata.google.internal";
const GOOGLE_METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const ENTRA_URL: &str = "https://login.microsoftonline.com";
const ENTRA_SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Resolves what issues a provider's credentials; `None` where it takes keys, or a mistake has been reported.
pub(crate) fn issuer(
    written: &written::Provider,
    signs: bool,
    at: At<'_>,
    environment: &dyn Environment,
    problems: &mut Problems,
) -> Option<Issuer> {
    let has_key = at.has("api_key") || at.has("api_keys");
    let auth = at.key("auth");
    let mut resolver = Resolver {
        environment,
        problems,
    };
    let issuer = match &written.auth {
        None if signs && !has_key => {
            let aws = written::Aws::default();
            return resolver
                .aws(&aws, written.region.as_deref(), at)
                .map(Issuer::Aws);
        }
        Some(written::Auth::Rule(written::AuthRule::Aws)) => {
            let aws = written::Aws::default();
            resolver
                .aws(&aws, written.region.as_deref(), auth)
                .map(Issuer::Aws)
        }
        Some(written::Auth::Aws(form)) => {
            let aws = form.aws.as_ref()?;
            resolver
                .aws(aws, written.region.as_deref(), auth.key("aws"))
                .map(Issuer::Aws)
        }
        Some(written::Auth::Google(form)) => {
            let google = form.google.as_ref()?;
            resolver
                .google(google, auth.key("google"))
                .map(Issuer::Google)
        }
        Some(written::Auth::Entra(form)) => {
            let entra = form.entra.as_ref()?;
            resolver.entra(entra, auth.key("entra")).map(Issuer::Entra)
        }
        None
        | Some(
            written::Auth::Rule(written::AuthRule::Bearer | written::AuthRule::None)
            | written::Auth::Header(_)
            | written::Auth::Query(_),
        ) => return None,
    };
    if has_key {
        problems
            .error(
                auth.key_span(),
                "a key is given, and so is somebody who issues credentials",
            )
            .help("leave out `api_key`, or `auth`");
    }
    issuer
}

struct Resolver<'a> {
    environment: &'a dyn Environment,
    problems: &'a mut Problems,
}

impl Resolver<'_> {
    /// A variable that says something.
    fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .variable(name)
            .filter(|value| !value.trim().is_empty())
    }

    /// An address that the operator gave, or the usual one, with a path after it.
    fn address(
        &mut self,
        written: Option<&str>,
        otherwise: &str,
        path: &str,
        at: At<'_>,
    ) -> Option<Uri> {
        let base = written.unwrap_or(otherwise).trim_end_matches('/');
        let uri: Option<Uri> = format!("{base}{path}").parse().ok();
        let uri = uri.filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if uri.is_none() {
            self.problems
                .error(at.span(), "this is no address")
                .help("write `https://HOST`");
        }
        uri
    }

    // --- AWS ---

    fn aws(
        &mut self,
        written: &written::Aws,
        region: Option<&str>,
        at: At<'_>,
    ) -> Option<AwsIssuer> {
        let region = written.region.as_deref().or(region).map(str::to_owned);
        let region = region
            .or_else(|| self.variable("AWS_REGION"))
            .or_else(|| self.variable("AWS_DEFAULT_REGION"));
        let Some(region) = region else {
            self.problems
                .error(
                    at.span(),
                    "requests are signed for a region, and none is named",
                )
                .help("give `region`, such as `us-east-1`");
            return None;
        };
        let source = self.aws_source(written, &region, at)?;
        Some(AwsIssuer {
            region: region.into(),
            service: written.service.as_deref().unwrap_or(AWS_SERVICE).into(),
            source,
        })
    }

    fn aws_source(
        &mut self,
        written: &written::Aws,
        region: &str,
        at: At<'_>,
    ) -> Option<AwsSource> {
        if written.aws_access_key_id.is_some() || written.aws_secret_access_key.is_some() {
            return self.written_keys(written, at).map(AwsSource::Keys);
        }
        if let Some(profile) = &written.profile {
            let keys = self.shared_keys(profile);
            if keys.is_none() {
                self.problems
                    .error(
                        at.key("profile").span(),
                        format!(
                            "the shared credentials file has no keys for the profile {}",
                            quoted(profile)
                        ),
                    )
                    .help(
                        "it is `~/.aws/credentials`, or what `AWS_SHARED_CREDENTIALS_FILE` names",
                    );
            }
            return keys.map(AwsSource::Keys);
        }
        if written.role_arn.is_some() || written.web_identity_token_file.is_some() {
            let (Some(role), Some(file)) = (&written.role_arn, &written.web_identity_token_file)
            else {
                self.problems.error(
                    at.span(),
                    "`role_arn` and `web_identity_token_file` belong together",
                );
                return None;
            };
            return self.web_identity(role, file, written, region, at);
        }
        let id = self.variable("AWS_ACCESS_KEY_ID");
        if let (Some(id), Some(secret)) = (id, self.variable("AWS_SECRET_ACCESS_KEY")) {
            let session = self.variable("AWS_SESSION_TOKEN");
            return Some(AwsSource::Keys(keys(&id, secret, session)));
        }
        let file = self.variable("AWS_WEB_IDENTITY_TOKEN_FILE");
        if let (Some(file), Some(role)) = (file, self.variable("AWS_ROLE_ARN")) {
            return self.web_identity(&role, &file, written, region, at);
        }
        let profile = self.variable("AWS_PROFILE");
        if let Some(keys) = self.shared_keys(profile.as_deref().unwrap_or("default")) {
            return Some(AwsSource::Keys(keys));
        }
        if let Some(container) = self.container(at) {
            return Some(container);
        }
        if self.variable("AWS_EC2_METADATA_DISABLED").as_deref() == Some("true") {
            self.problems
                .error(at.span(), "no AWS keys are found, and instances are not asked")
                .help("set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or give keys under `auth: {aws: ...}`");
            return None;
        }
        let usual = self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let endpoint = self.address(
            written.metadata_url.as_deref(),
            usual.as_deref().unwrap_or(INSTANCE_URL),
            "",
            at.key("metadata_url"),
        )?;
        Some(AwsSource::Instance { endpoint })
    }

    fn written_keys(&mut self, written: &written::Aws, at: At<'_>) -> Option<AwsKeys> {
        let trimmed = |text: &Option<String>| text.as_deref().map(|text| text.trim().to_owned());
        let id = trimmed(&written.aws_access_key_id).filter(|id| !id.is_empty());
        let secret = trimmed(&written.aws_secret_access_key).filter(|secret| !secret.is_empty());
        let (Some(id), Some(secret)) = (id, secret) else {
            self.problems.error(
                at.span(),
                "`aws_access_key_id` and `aws_secret_access_key` belong together",
            );
            return None;
        };
        Some(keys(&id, secret, trimmed(&written.aws_session_token)))
    }

    fn web_identity(
        &mut self,
        role: &str,
        file: &str,
        written: &written::Aws,
        region: &str,
        at: At<'_>,
    ) -> Option<AwsSource> {
        let usual = format!("https://sts.{region}.amazonaws.com");
        let session = self.variable("AWS_ROLE_SESSION_NAME");
        Some(AwsSource::WebIdentity {
            role: role.into(),
            session: session.as_deref().unwrap_or("tollgate").into(),
            token_file: file.into(),
            endpoint: self.address(written.sts_url.as_deref(), &usual, "/", at.key("sts_url"))?,
        })
    }

    /// Keys of a profile in the shared credentials file.
    fn shared_keys(&self, profile: &str) -> Option<AwsKeys> {
        let path = self.variable("AWS_SHARED_CREDENTIALS_FILE").or_else(|| {
            let home = self.variable("HOME")?;
            Some(format!("{home}/.aws/credentials"))
        })?;
        let content = self.environment.read(Path::new(&path)).ok()?;
        let mut section = "";
        let (mut id, mut secret, mut session) = (None, None, None);
        for line in content.lines().map(str::trim) {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                section = name.trim();
            } else if section == profile
                && let Some((name, value)) = line.split_once('=')
            {
                let place = match name.trim() {
                    "aws_access_key_id" => &mut id,
                    "aws_secret_access_key" => &mut secret,
                    "aws_session_token" => &mut session,
                    _ => continue,
                };
                *place = Some(value.trim().to_owned());
            }
        }
        Some(keys(&id?, secret?, session))
    }

    /// The endpoint that a container is given.
    fn container(&mut self, at: At<'_>) -> Option<AwsSource> {
        let (base, path) = match self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            Some(path) => (CONTAINER_URL.to_owned(), path),
            None => (
                self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
                String::new(),
            ),
        };
        let endpoint = self.address(None, &base, &path, at)?;
        let host = endpoint.host().unwrap_or_default();
        if endpoint.scheme_str() != Some("https") && !CONTAINER_HOSTS.contains(&host) {
            self.problems
                .error(
                    at.span(),
                    "`AWS_CONTAINER_CREDENTIALS_FULL_URI` names a host that may not be asked without TLS",
                )
                .help("use `https`, or give keys under `auth: {aws: ...}`");
            return None;
        }
        let file = self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        let authorization = file.map(|file| Given::File(file.into())).or_else(|| {
            let token = self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")?;
            Some(Given::Here(Secret::new(token)))
        });
        Some(AwsSource::Container {
            endpoint,
            authorization,
        })
    }

    // --- Google ---

    fn google(&mut self, written: &written::Google, at: At<'_>) -> Option<GoogleIssuer> {
        let Some(file) = &written.service_account else {
            if at.has("service_account") {
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
                .help("give the JSON file that Google made: `service_account: file:PATH`");
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

    // --- Entra ---

    fn entra(&mut self, written: &written::Entra, at: At<'_>) -> Option<EntraIssuer> {
        let (tenant, client_id, secret) = (
            written.tenant.as_deref()?,
            written.client_id.as_deref()?,
            written.client_secret.as_deref()?,
        );
        let is_name = |sign: char| sign.is_ascii_alphanumeric() || "-._".contains(sign);
        if tenant.is_empty() || !tenant.chars().all(is_name) {
            self.problems
                .error(
                    at.key("tenant").span(),
                    format!("{} is no tenant", quoted(tenant)),
                )
                .help("give the directory's id or domain");
            return None;
        }
        let endpoint = self.address(
            written.authority.as_deref(),
            ENTRA_URL,
            &format!("/{tenant}/oauth2/v2.0/token"),
            at.key("authority"),
        )?;
        Some(EntraIssuer {
            endpoint,
            client_id: client_id.into(),
            client_secret: Secret::new(secret.trim()),
            scope: written.scope.as_deref().unwrap_or(ENTRA_SCOPE).into(),
        })
    }
}

fn keys(id: &str, secret: String, session: Option<String>) -> AwsKeys {
    AwsKeys {
        id: id.into(),
        secret: Secret::new(secret),
        session: session
            .filter(|session| !session.is_empty())
            .map(Secret::new),
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
