//! Google's tokens for somebody whom another platform vouches for: that platform's token is exchanged for one of Google's, and this one,
//! where it is asked for, for a service account's (<https://google.aip.dev/auth/4117>,
//! <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>,
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken>; all read 2026-11).

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_domain::{
    AwsRegion, AwsSource, ExternalAccount, Impersonation, Secret, SubjectFormat, SubjectSource,
};

use super::{
    Grant, Material, TokenFailure,
    aws::{self, InstanceSession},
    exchange::{Request, read_access_token, read_time, read_token, secret_value},
    files::read_file,
    sign::{GOOGLE_TARGET, sign},
};
use crate::{
    addresses::Reach,
    client::{Upstream, host_of},
};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What the first token is for where it only serves to get the second.
const CLOUD_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

pub(super) async fn issue(
    account: &ExternalAccount,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    let subject = subject(account, upstream, wall).await?;
    let options = account.user_project.as_ref();
    let options = options.map(|project| json!({"userProject": &**project}).to_string());
    let scope = match account.impersonation {
        Some(_) => CLOUD_SCOPE,
        None => &account.scope,
    };
    let mut fields = vec![
        ("grant_type", GRANT_TYPE),
        ("audience", &*account.audience),
        ("scope", scope),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token_type", &*account.subject_token_type),
        ("subject_token", subject.expose()),
    ];
    if let Some(options) = &options {
        fields.push(("options", options));
    }
    let request = Request {
        reach: reach(account),
        ..Request::form(account.endpoint.clone(), &fields)
    };
    let answer = request.send(upstream).await?;
    match &account.impersonation {
        None => read_access_token(&answer, wall),
        Some(impersonation) => {
            let (token, _) = read_token(&answer, wall)?;
            impersonate(account, impersonation, &token, upstream, wall).await
        }
    }
}

/// How far the account's addresses may lead.
fn reach(account: &ExternalAccount) -> Reach {
    if account.allows_private {
        Reach::Platform
    } else {
        Reach::AsNamed
    }
}

/// What `generateAccessToken` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated {
    access_token: String,
    expire_time: String,
}

async fn impersonate(
    account: &ExternalAccount,
    impersonation: &Impersonation,
    token: &Secret,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Grant, TokenFailure> {
    let wanted = json!({
        "scope": [&*account.scope],
        "lifetime": format!("{}s", impersonation.lifetime.as_secs()),
    });
    let request = Request {
        reach: reach(account),
        ..Request::json(impersonation.endpoint.clone(), &wanted)
    };
    let bearer = secret_value(&format!("Bearer {}", token.expose()))?;
    let answer = request
        .header("authorization", bearer)
        .send(upstream)
        .await?;
    let generated: Generated = serde_json::from_slice(&answer)
        // The error would repeat what is there.
        .map_err(|_| TokenFailure::new("the answer holds no token of the service account's"))?;
    let end = read_time(&generated.expire_time)
        .ok_or_else(|| TokenFailure::new("the token's end is no time"))?;
    Ok(Grant {
        material: Material::bearer(&generated.access_token)?,
        lifetime: Some(end.saturating_sub(wall)),
    })
}

/// The token of the other platform's.
async fn subject(
    account: &ExternalAccount,
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Secret, TokenFailure> {
    match &account.subject {
        SubjectSource::File { path, format } => {
            let content = read_file(path).await?;
            unwrapped(content.as_bytes(), format)
        }
        SubjectSource::Url {
            endpoint,
            headers,
            format,
        } => {
            let mut request = Request {
                reach: reach(account),
                ..Request::get(endpoint.clone())
            };
            for (name, value) in headers {
                let value = secret_value(value.expose())?;
                request.headers.insert(name.clone(), value);
            }
            unwrapped(&request.send(upstream).await?, format)
        }
        SubjectSource::Aws {
            source,
            verification,
            region,
        } => {
            let region = match region {
                AwsRegion::Named(region) => region.to_string(),
                AwsRegion::OfInstance(endpoint) => {
                    let session = InstanceSession::open(endpoint, upstream).await?;
                    session.region(upstream).await?
                }
            };
            let address = verification.replace("{region}", &region);
            signed_request(account, source, (&address, &region), upstream, wall).await
        }
    }
}

fn unwrapped(content: &[u8], format: &SubjectFormat) -> Result<Secret, TokenFailure> {
    let nothing = || TokenFailure::new("there is no token of the other platform's");
    let token = match format {
        SubjectFormat::Text => String::from_utf8(content.to_vec()).ok(),
        SubjectFormat::Json(field) => {
            let content: Option<Value> = serde_json::from_slice(content).ok();
            content.and_then(|content| content[&**field].as_str().map(str::to_owned))
        }
    };
    let token = token.map(|token| token.trim().to_owned());
    let token = token.filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(nothing)
}

/// A request to AWS's security token service, as a text that Google turns into a request again.
async fn signed_request(
    account: &ExternalAccount,
    source: &AwsSource,
    (address, region): (&str, &str),
    upstream: &Arc<Upstream>,
    wall: Duration,
) -> Result<Secret, TokenFailure> {
    let uri = address
        .parse()
        .map_err(|_| TokenFailure::new("the address to be signed is none"))?;
    let target = HeaderValue::from_str(&account.audience)
        .map_err(|_| TokenFailure::new("the audience holds signs that no header can carry"))?;
    let (keys, _) = aws::keys(source, upstream, wall).await?;
    let request = Request {
        method: Method::POST,
        ..Request::get(uri)
    };
    let (mut request, _) = request.header(GOOGLE_TARGET, target).into_upstream();
    sign(&mut request, &keys, (region, "sts"), wall)?;
    let host = host_of(&request.uri).unwrap_or_default();
    let mut headers = vec![json!({"key": "host", "value": host})];
    headers.extend(request.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        json!({"key": name.as_str(), "value": value})
    }));
    let told = json!({"url": address, "method": "POST", "headers": headers}).to_string();
    let told = utf8_percent_encode(&told, NON_ALPHANUMERIC).to_string();
    Ok(Secret::new(told))
}
