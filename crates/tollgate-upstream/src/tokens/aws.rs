//! AWS's temporary keys, as its SDKs get them
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>, read 2026-11).

use std::{str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Uri};
use serde::Deserialize;
use tollgate_domain::{AssumedRole, AwsIssuer, AwsKeys, AwsSource, Secret};

use super::{
    Grant, Material, TokenFailure,
    exchange::{Request, element, read_time, secret_value},
    files::{read_file, read_given},
};
use crate::client::Upstream;

/// The version of the security token service's interface.
const STS_VERSION: &str = "2011-06-15";

/// How long a session with the instance's metadata service lasts, in seconds.
const SESSION_SECONDS: HeaderValue = HeaderValue::from_static("300");

pub(super) async fn issue(
    issuer: &AwsIssuer,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    let (keys, lifetime) = keys(&issuer.source, upstream, wall).await?;
    Ok(Grant {
        material: Material::Keys(keys),
        lifetime,
    })
}

/// Keys, and how long they last; forever as far as anybody here knows where they are given.
pub(super) async fn keys(
    source: &AwsSource,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<(AwsKeys, Option<Duration>), TokenFailure> {
    match source {
        AwsSource::Keys(keys) => Ok((keys.clone(), None)),
        AwsSource::WebIdentity {
            role,
            session,
            token_file,
            endpoint,
        } => {
            let token = read_file(token_file).await?;
            let fields = [
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", STS_VERSION),
                ("RoleArn", role),
                ("RoleSessionName", session),
                ("WebIdentityToken", &token),
            ];
            let request = Request::form(endpoint.clone(), &fields);
            of_sts(&request.send(upstream).await?)?.until(wall)
        }
        AwsSource::Container {
            endpoint,
            authorization,
        } => {
            let mut request = Request::get(endpoint.clone());
            if let Some(given) = authorization {
                let value = secret_value(&read_given(given).await?)?;
                request = request.header("authorization", value);
            }
            read_keys(&request.send(upstream).await?)?.until(wall)
        }
        AwsSource::Instance { endpoint } => {
            let session = InstanceSession::open(endpoint, upstream).await?;
            session.keys(upstream).await?.until(wall)
        }
        AwsSource::AssumedRole(role) => assume(role, upstream, wall).await?.until(wall),
    }
}

/// `AssumeRole`, signed with the keys of another source
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>, read 2026-11).
async fn assume(
    role: &AssumedRole,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Keys, TokenFailure> {
    // A source that needs another one: its future would hold itself.
    let (base, _) = Box::pin(keys(&role.base, upstream, wall)).await?;
    let mut fields = vec![
        ("Action", "AssumeRole"),
        ("Version", STS_VERSION),
        ("RoleArn", &*role.role),
        ("RoleSessionName", &*role.session),
    ];
    if let Some(external_id) = &role.external_id {
        fields.push(("ExternalId", external_id));
    }
    let seconds = role.lifetime.map(|lifetime| lifetime.as_secs().to_string());
    if let Some(seconds) = &seconds {
        fields.push(("DurationSeconds", seconds));
    }
    let request = Request::form(role.endpoint.clone(), &fields);
    let answer = request.send_signed(&base, (&role.region, "sts"), upstream, wall);
    of_sts(&answer.await?)
}

/// A session with an instance's metadata service (`IMDSv2`).
pub(super) struct InstanceSession<'a> {
    endpoint: &'a Uri,
    token: HeaderValue,
}

impl<'a> InstanceSession<'a> {
    pub(super) async fn open(
        endpoint: &'a Uri,
        upstream: &Arc<Upstream>,
    ) -> Result<Self, TokenFailure> {
        let request = Request {
            method: Method::PUT,
            ..Request::get(at(endpoint, "/latest/api/token")?)
        };
        let request = request.header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
        let token = secret_value(&text(&request.send(upstream).await?)?)?;
        Ok(Self { endpoint, token })
    }

    /// The keys of the instance's role, which is asked for by its name.
    async fn keys(&self, upstream: &Arc<Upstream>) -> Result<Keys, TokenFailure> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let roles = text(&self.get(ROLES, upstream).await?)?;
        let role = roles.lines().next().unwrap_or_default().trim();
        if role.is_empty() {
            return Err(TokenFailure::new("the instance has no role"));
        }
        read_keys(&self.get(&format!("{ROLES}{role}"), upstream).await?)
    }

    /// The region that it is in.
    pub(super) async fn region(&self, upstream: &Arc<Upstream>) -> Result<String, TokenFailure> {
        let answer = self.get("/latest/meta-data/placement/region", upstream);
        let region = text(&answer.await?)?.trim().to_owned();
        let is_region = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
        match !region.is_empty() && region.chars().all(is_region) {
            true => Ok(region),
            false => Err(TokenFailure::new(
                "the instance's region has no usable name",
            )),
        }
    }

    async fn get(&self, path: &str, upstream: &Arc<Upstream>) -> Result<Bytes, TokenFailure> {
        let request = Request::get(at(self.endpoint, path)?);
        let request = request.header("x-aws-ec2-metadata-token", self.token.clone());
        request.send(upstream).await
    }
}

fn at(endpoint: &Uri, path: &str) -> Result<Uri, TokenFailure> {
    let base = endpoint.to_string();
    Uri::from_str(&format!("{}{path}", base.trim_end_matches('/')))
        .map_err(|_| TokenFailure::new("the instance's role has no usable name"))
}

/// Keys as the metadata services and the containers' endpoints give them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
}

fn read_keys(body: &[u8]) -> Result<Keys, TokenFailure> {
    // The error would repeat what is there.
    serde_json::from_slice(body).map_err(|_| TokenFailure::new("the answer holds no keys"))
}

/// The security token service answers in XML, whose values need no unescaping: they are base64 and times.
fn of_sts(answer: &[u8]) -> Result<Keys, TokenFailure> {
    let answer = String::from_utf8_lossy(answer);
    let text = |name: &str| element(&answer, name).map(|text| text.trim().to_owned());
    match (text("AccessKeyId"), text("SecretAccessKey")) {
        (Some(access_key_id), Some(secret_access_key)) => Ok(Keys {
            access_key_id,
            secret_access_key,
            token: text("SessionToken"),
            expiration: text("Expiration"),
        }),
        _ => Err(TokenFailure::new("the answer holds no keys")),
    }
}

impl Keys {
    fn until(self, wall: Duration) -> Result<(AwsKeys, Option<Duration>), TokenFailure> {
        let end = self.expiration.map(|text| {
            read_time(&text).ok_or_else(|| TokenFailure::new("the keys' end is no time"))
        });
        let keys = AwsKeys {
            id: self.access_key_id.into(),
            secret: Secret::new(self.secret_access_key),
            session: self.token.map(Secret::new),
        };
        Ok((keys, end.transpose()?.map(|end| end.saturating_sub(wall))))
    }
}

fn text(bytes: &Bytes) -> Result<String, TokenFailure> {
    String::from_utf8(bytes.to_vec()).map_err(|_| TokenFailure::new("the answer is no text"))
}
