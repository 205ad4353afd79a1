//! AWS's keys: those that are given, else they are looked for where AWS's own tools look, in their order
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>, read 2026-11).

use std::{path::Path, sync::Arc, time::Duration};

use http::Uri;
use tollgate_domain::{AssumedRole, AwsIssuer, AwsKeys, AwsSource, Given, Secret};

use super::Resolver;
use crate::config::{diagnostics::quoted, tree::At, written};

const AWS_SERVICE: &str = "bedrock";
pub(super) const INSTANCE_URL: &str = "http://169.254.169.254";
const CONTAINER_URL: &str = "http://169.254.170.2";
/// Hosts whose container endpoints may be asked without TLS.
const CONTAINER_HOSTS: [&str; 5] = [
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::23]",
    "127.0.0.1",
    "localhost",
];

impl Resolver<'_> {
    pub(super) fn aws(
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

    pub(super) fn aws_source(
        &mut self,
        written: &written::Aws,
        region: &str,
        at: At<'_>,
    ) -> Option<AwsSource> {
        let Some(role) = &written.role_arn else {
            self.report_without_role(written, at);
            return self.aws_base(written, region, at);
        };
        if let Some(file) = &written.web_identity_token_file {
            return self.web_identity(role, file, written, region, at);
        }
        let base = self.aws_base(written, region, at)?;
        let seconds = written.session_length_seconds;
        Some(AwsSource::AssumedRole(Box::new(AssumedRole {
            base,
            role: role.as_str().into(),
            session: self.session_name(written),
            external_id: written.external_id.as_deref().map(Arc::from),
            lifetime: seconds.map(|seconds| Duration::from_secs(seconds.into())),
            endpoint: self.sts(written, region, at)?,
            region: region.into(),
        })))
    }

    /// Reports what only a role has.
    fn report_without_role(&mut self, written: &written::Aws, at: At<'_>) {
        for (key, is_given) in [
            (
                "web_identity_token_file",
                written.web_identity_token_file.is_some(),
            ),
            ("external_id", written.external_id.is_some()),
            (
                "session_length_seconds",
                written.session_length_seconds.is_some(),
            ),
        ] {
            if is_given && !at.has("role_arn") {
                self.problems
                    .error(
                        at.key(key).key_span(),
                        format!("`{key}` belongs to a role, and none is named"),
                    )
                    .help("give `role_arn`");
            }
        }
    }

    /// Keys that are used as they are, or to assume a role with.
    fn aws_base(&mut self, written: &written::Aws, region: &str, at: At<'_>) -> Option<AwsSource> {
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
        Some(AwsSource::WebIdentity {
            role: role.into(),
            session: self.session_name(written),
            token_file: file.into(),
            endpoint: self.sts(written, region, at)?,
        })
    }

    fn session_name(&self, written: &written::Aws) -> Arc<str> {
        let name = written.session_name.clone();
        let name = name.or_else(|| self.variable("AWS_ROLE_SESSION_NAME"));
        name.as_deref().unwrap_or("tollgate").into()
    }

    fn sts(&mut self, written: &written::Aws, region: &str, at: At<'_>) -> Option<Uri> {
        let usual = format!("https://sts.{region}.amazonaws.com");
        self.address(written.sts_url.as_deref(), &usual, "/", at.key("sts_url"))
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
