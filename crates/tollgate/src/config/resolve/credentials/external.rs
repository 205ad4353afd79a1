//! Google's tokens for those whom another platform vouches for: the configuration that Google makes for them (`type: external_account`,
//! <https://google.aip.dev/auth/4117>, read 2026-11). Its addresses come from a file, and are judged more strictly than an operator's own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;
use serde_json::Value;
use tollgate_domain::{
    AwsRegion, ExternalAccount, Impersonation, Secret, SubjectFormat, SubjectSource,
};
use tollgate_upstream::looks_public;

use super::{Resolver, aws::INSTANCE_URL, google::GOOGLE_SCOPE};
use crate::config::{tree::At, written};

const STS_URL: &str = "https://sts.googleapis.com/v1/token";
const VERIFICATION_URL: &str =
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
/// Where platforms have their metadata services, which speak no TLS.
const METADATA_HOSTS: [&str; 2] = ["169.254.169.254", "[fd00:ec2::254]"];
/// How long a service account's token lasts where nobody says, and how long it may last.
const LIFETIME_SECONDS: u64 = 3600;
const LIFETIMES: std::ops::RangeInclusive<u64> = 600..=43_200;

/// The configuration, as far as it is needed.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    audience: String,
    subject_token_type: String,
    #[serde(default)]
    token_url: Option<String>,
    #[serde(default)]
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: WrittenImpersonation,
    #[serde(default)]
    workforce_pool_user_project: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    credential_source: Source,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenImpersonation {
    token_lifetime_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    file: Option<String>,
    url: Option<String>,
    headers: BTreeMap<String, String>,
    format: Format,
    environment_id: Option<String>,
    region_url: Option<String>,
    regional_cred_verification_url: Option<String>,
    executable: Option<Value>,
    certificate: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Format {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

/// Whether an address may be a metadata service's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Metadata {
    Allowed,
    Refused,
}

impl Resolver<'_> {
    pub(super) fn external(
        &mut self,
        file: &str,
        google: &written::Google,
        at: At<'_>,
    ) -> Option<ExternalAccount> {
        let written = serde_json::from_str::<Written>(file).ok();
        let Some(written) = written.filter(|written| written.kind == "external_account") else {
            self.problems
                .error(
                    at.span(),
                    "this is no configuration of a workload identity federation",
                )
                .help("give the JSON file that Google made: `external_account: file:PATH`");
            return None;
        };
        if written.client_id.is_some() {
            self.refuse("`client_id`: no OAuth client is shown to Google", at);
            return None;
        }
        let url = written.token_url.as_deref().unwrap_or(STS_URL);
        let endpoint = self.outside(url, "token_url", Metadata::Refused, at);
        let impersonation = self.impersonation(&written, at);
        let subject = self.subject(written.credential_source, at)?;
        Some(ExternalAccount {
            audience: written.audience.into(),
            subject_token_type: written.subject_token_type.into(),
            subject,
            endpoint: endpoint?,
            scope: google.scope.as_deref().unwrap_or(GOOGLE_SCOPE).into(),
            user_project: written.workforce_pool_user_project.map(Arc::from),
            impersonation: impersonation?,
            allows_private: self.allows_private,
        })
    }

    /// The service account to act as, if any; `None` where a mistake has been reported.
    #[expect(
        clippy::option_option,
        reason = "the outer one is a mistake, as everywhere in this room"
    )]
    fn impersonation(&mut self, written: &Written, at: At<'_>) -> Option<Option<Impersonation>> {
        let Some(url) = &written.service_account_impersonation_url else {
            return Some(None);
        };
        let seconds = written.service_account_impersonation.token_lifetime_seconds;
        let seconds = seconds.unwrap_or(LIFETIME_SECONDS);
        if !LIFETIMES.contains(&seconds) {
            self.refuse(
                "`token_lifetime_seconds` is neither ten minutes nor twelve hours, nor between them",
                at,
            );
            return None;
        }
        let name = "service_account_impersonation_url";
        let endpoint = self.outside(url, name, Metadata::Refused, at)?;
        Some(Some(Impersonation {
            endpoint,
            lifetime: Duration::from_secs(seconds),
        }))
    }

    fn subject(&mut self, source: Source, at: At<'_>) -> Option<SubjectSource> {
        if source.executable.is_some() || source.certificate.is_some() {
            self.refuse(
                "`credential_source`: no programs are run for a token, and no certificates are shown",
                at,
            );
            return None;
        }
        if let Some(id) = &source.environment_id {
            if id != "aws1" {
                self.refuse("`environment_id` is not `aws1`", at);
                return None;
            }
            return self.aws_subject(&source, at);
        }
        let format = self.format(&source.format, at)?;
        match (source.file, source.url) {
            (Some(path), None) => Some(SubjectSource::File {
                path: path.into(),
                format,
            }),
            (None, Some(url)) => {
                let name = "credential_source.url";
                let endpoint = self.outside(&url, name, Metadata::Allowed, at);
                let headers = self.headers(source.headers, at)?;
                Some(SubjectSource::Url {
                    endpoint: endpoint?,
                    headers,
                    format,
                })
            }
            _ => {
                self.refuse(
                    "`credential_source` names neither a `file` nor a `url` alone",
                    at,
                );
                None
            }
        }
    }

    fn format(&mut self, format: &Format, at: At<'_>) -> Option<SubjectFormat> {
        match (format.kind.as_deref(), &format.subject_token_field_name) {
            (None | Some("text"), _) => Some(SubjectFormat::Text),
            (Some("json"), Some(field)) => Some(SubjectFormat::Json(field.as_str().into())),
            _ => {
                self.refuse(
                    "`format` is neither `text` nor `json` with a `subject_token_field_name`",
                    at,
                );
                None
            }
        }
    }

    fn headers(
        &mut self,
        headers: BTreeMap<String, String>,
        at: At<'_>,
    ) -> Option<Vec<(HeaderName, Secret)>> {
        let mut read = Vec::new();
        for (name, value) in headers {
            let name = name.parse::<HeaderName>().ok();
            let name = name.filter(|name| {
                let is_ours = [http::header::HOST, http::header::CONTENT_LENGTH].contains(name);
                !is_ours && HeaderValue::from_str(&value).is_ok()
            });
            let Some(name) = name else {
                self.refuse("`credential_source.headers` holds what cannot be sent", at);
                return None;
            };
            read.push((name, Secret::new(value)));
        }
        Some(read)
    }

    /// Keys of AWS's are looked for as for AWS itself; the metadata service is asked where the configuration says.
    fn aws_subject(&mut self, source: &Source, at: At<'_>) -> Option<SubjectSource> {
        let verification = source.regional_cred_verification_url.as_deref();
        let verification = verification.unwrap_or(VERIFICATION_URL);
        let name = "regional_cred_verification_url";
        let example = verification.replace("{region}", "us-east-1");
        self.outside(&example, name, Metadata::Refused, at)?;
        let url = source.url.as_deref().or(source.region_url.as_deref());
        let url = url.unwrap_or(INSTANCE_URL);
        let instance = self.outside(url, "credential_source.url", Metadata::Allowed, at)?;
        let base = format!(
            "{}://{}",
            instance.scheme_str().unwrap_or("http"),
            instance
                .authority()
                .map_or("", |authority| authority.as_str())
        );
        let region = self.variable("AWS_REGION");
        let region = region.or_else(|| self.variable("AWS_DEFAULT_REGION"));
        let aws = written::Aws {
            metadata_url: Some(base.clone()),
            ..written::Aws::default()
        };
        let usual = region.as_deref().unwrap_or("us-east-1");
        Some(SubjectSource::Aws {
            source: self.aws_source(&aws, usual, at)?,
            verification: verification.into(),
            region: match &region {
                Some(region) => AwsRegion::Named(region.as_str().into()),
                None => AwsRegion::OfInstance(base.parse().ok()?),
            },
        })
    }

    /// An address outside of the private network, reached with TLS; or a metadata service's where a token comes from one.
    fn outside(&mut self, url: &str, name: &str, metadata: Metadata, at: At<'_>) -> Option<Uri> {
        let uri = url.parse::<Uri>().ok();
        let uri = uri.filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        let Some(uri) = uri else {
            self.refuse(&format!("`{name}` is no address"), at);
            return None;
        };
        let host = uri.host().unwrap_or_default();
        let is_outside = uri.scheme_str() == Some("https") && looks_public(host);
        let is_metadata = metadata == Metadata::Allowed && METADATA_HOSTS.contains(&host);
        if self.allows_private || is_outside || is_metadata {
            return Some(uri);
        }
        self.problems
            .error(
                at.span(),
                format!(
                    "`{name}` leads into the private network, or without TLS: a credential would be sent there"
                ),
            )
            .help("where that is as it should be, say `private_addresses: true` at the provider");
        None
    }

    fn refuse(&mut self, message: &str, at: At<'_>) {
        self.problems
            .error(
                at.span(),
                format!("this federation is not supported: {message}"),
            )
            .help("files, addresses and AWS's keys are supported as sources of tokens");
    }
}
