//! AWS's temporary keys, as its SDKs get them
//! (<https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>, read 2026-11).

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use tollgate_domain::{AwsIssuer, AwsKeys, AwsSource, Given, Secret};

use super::{
    Grant, Material, TokenFailure,
    exchange::{Request, element},
};
use crate::client::Upstream;

/// Bytes of a file that the platform keeps a token in.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// How long a session with the instance's metadata service lasts, in seconds.
const SESSION_SECONDS: HeaderValue = HeaderValue::from_static("300");

pub(super) async fn issue(
    issuer: &AwsIssuer,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    match &issuer.source {
        AwsSource::Keys(keys) => Ok(Grant {
            material: Material::Keys(keys.clone()),
            lifetime: None,
        }),
        AwsSource::WebIdentity {
            role,
            session,
            token_file,
            endpoint,
        } => {
            let token = read_file(token_file).await?;
            let fields = [
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleArn", role),
                ("RoleSessionName", session),
                ("WebIdentityToken", &token),
            ];
            let request = Request::form(endpoint.clone(), &fields);
            let answer = request.send(upstream).await?;
            of_sts(&String::from_utf8_lossy(&answer)).and_then(|keys| keys.grant(wall))
        }
        AwsSource::Container {
            endpoint,
            authorization,
        } => {
            let mut request = Request::get(endpoint.clone());
            if let Some(given) = authorization {
                request = request.header("authorization", header(&read_given(given).await?)?);
            }
            read_keys(&request.send(upstream).await?)?.grant(wall)
        }
        AwsSource::Instance { endpoint } => instance(endpoint, upstream).await?.grant(wall),
    }
}

/// `IMDSv2`: a session, the role's name, its keys.
async fn instance(endpoint: &Uri, upstream: &Arc<Upstream>) -> Result<Keys, TokenFailure> {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let at = |path: &str| {
        let base = endpoint.to_string();
        Uri::from_str(&format!("{}{path}", base.trim_end_matches('/')))
            .map_err(|_| TokenFailure::new("the instance's role has no usable name"))
    };
    let session = Request {
        method: Method::PUT,
        ..Request::get(at("/latest/api/token")?)
    };
    let session = session.header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
    let session = header(&text(&session.send(upstream).await?)?)?;
    let get = |path: String| {
        let request = at(&path).map(Request::get);
        request.map(|request| request.header("x-aws-ec2-metadata-token", session.clone()))
    };
    let roles = text(&get(ROLES.to_owned())?.send(upstream).await?)?;
    let role = roles.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(TokenFailure::new("the instance has no role"));
    }
    read_keys(&get(format!("{ROLES}{role}"))?.send(upstream).await?)
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
fn of_sts(answer: &str) -> Result<Keys, TokenFailure> {
    let text = |name: &str| element(answer, name).map(|text| text.trim().to_owned());
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
    fn grant(self, wall: Duration) -> Result<Grant, TokenFailure> {
        let until = self.expiration.map(|text| {
            let end: Timestamp = text
                .parse()
                .map_err(|_| TokenFailure::new("the keys' end is no time"))?;
            let end = Duration::try_from(end.as_duration()).unwrap_or_default();
            Ok(end.saturating_sub(wall))
        });
        let keys = AwsKeys {
            id: self.access_key_id.into(),
            secret: Secret::new(self.secret_access_key),
            session: self.token.map(Secret::new),
        };
        Ok(Grant {
            material: Material::Keys(keys),
            lifetime: until.transpose()?,
        })
    }
}

async fn read_given(given: &Given) -> Result<String, TokenFailure> {
    match given {
        Given::Here(secret) => Ok(secret.expose().to_owned()),
        Given::File(path) => read_file(path).await,
    }
}

/// Reads a file apart from the worker, which has calls to serve.
async fn read_file(path: &Path) -> Result<String, TokenFailure> {
    use std::io::Read;
    let shown = path.display().to_string();
    let path = path.to_owned();
    let read = move || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    };
    let text: std::io::Result<String> = tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|error| Err(error.into()));
    text.map_err(|error| TokenFailure::new(format!("cannot read the token in {shown}: {error}")))
}

fn text(bytes: &Bytes) -> Result<String, TokenFailure> {
    String::from_utf8(bytes.to_vec()).map_err(|_| TokenFailure::new("the answer is no text"))
}

fn header(text: &str) -> Result<HeaderValue, TokenFailure> {
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| TokenFailure::new("the token holds signs that no header can carry"))?;
    value.set_sensitive(true);
    Ok(value)
}
