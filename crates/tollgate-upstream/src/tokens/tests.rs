//! How tokens are kept and renewed, in no time; and how issuers are asked, by scripts on loopback.

use std::{fs, sync::atomic::AtomicUsize};

use serde_json::json;
use tokio_util::task::TaskTracker;
use tollgate_domain::{AwsIssuer, EntraIssuer, Given, GoogleIssuer, Secret};
use tollgate_testkit::{Received, Reply, ScriptedProvider};

use super::*;
use crate::UpstreamSettings;

const HOUR: Duration = Duration::from_secs(3600);

/// 2026-11-25T04:20:00Z.
const WALL: Duration = Duration::from_secs(1_795_580_400);

fn source() -> Arc<TokenSource> {
    Arc::new(TokenSource::new(Arc::new(Issuer::Google(
        GoogleIssuer::Metadata {
            endpoint: "http://127.0.0.1:1/token".parse().unwrap(),
        },
    ))))
}

fn grant(text: &str, lifetime: Duration) -> Result<Grant, TokenFailure> {
    Ok(Grant {
        material: Material::bearer(text)?,
        lifetime: Some(lifetime),
    })
}

fn bearer(token: &Token) -> String {
    match token.material() {
        Material::Bearer(value) => value.to_str().unwrap().to_owned(),
        Material::Keys(keys) => keys.id.to_string(),
    }
}

/// What a look gives, in words, and the renewal.
fn look(source: &Arc<TokenSource>, now: Instant) -> (String, Option<Renewal>) {
    let (look, renewal) = source.look(now);
    let word = match look {
        Look::Ready(token) => bearer(&token),
        Look::Coming(_) => "coming".to_owned(),
        Look::Failed(failure) => failure.to_string(),
    };
    (word, renewal)
}

/// Renews as if the issuer had answered so.
fn settle(renewal: Option<Renewal>, result: Result<Grant, TokenFailure>, now: Instant) {
    let mut renewal = renewal.expect("a renewal is due");
    let _outcome = renewal.settle(result, now);
}

#[test]
fn a_token_is_renewed_early_by_one_of_many() {
    let (source, now) = (source(), Instant::now());
    let (word, renewal) = look(&source, now);
    assert_eq!(word, "coming");
    assert!(
        (0..100).all(|_| look(&source, now).1.is_none()),
        "one renews"
    );
    settle(renewal, grant("a", HOUR), now);
    let later = |seconds: u64| now + Duration::from_secs(seconds);
    let (word, renewal) = look(&source, later(3600 - 606));
    assert!(word == "Bearer a" && renewal.is_none());
    let (word, renewal) = look(&source, later(3600 - 299));
    assert!(word == "Bearer a" && renewal.is_some());
    // While it is being renewed, the old one does.
    let (word, other) = look(&source, later(3600 - 10));
    assert!(word == "Bearer a" && other.is_none());
    settle(renewal, grant("b", HOUR), later(3600 - 10));
    assert_eq!(look(&source, later(3600)).0, "Bearer b");
}

#[test]
fn a_failed_renewal_keeps_the_old_token_until_it_expires() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", HOUR), now);
    let late = now + Duration::from_secs(3500);
    settle(
        look(&source, late).1,
        Err(TokenFailure::new("no luck")),
        late,
    );
    let (word, renewal) = look(&source, late);
    assert!(word == "Bearer a" && renewal.is_none(), "there is a pause");
    let (word, renewal) = look(&source, late + FAILED_FIRST * 2);
    assert!(word == "Bearer a" && renewal.is_some(), "then another try");
    settle(renewal, Err(TokenFailure::new("no luck")), late);
    let expired = now + HOUR;
    assert_eq!(look(&source, late).0, "Bearer a");
    let (word, renewal) = look(&source, expired);
    assert!(word == "coming" && renewal.is_some());
    settle(renewal, Err(TokenFailure::new("still none")), expired);
    assert_eq!(look(&source, expired).0, "still none");
}

#[test]
fn pauses_grow_with_failures() {
    let (source, mut now) = (source(), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..10 {
        settle(look(&source, now).1, Err(TokenFailure::new("x")), now);
        let renew_at = source.state().renew_at.unwrap();
        pauses.push(renew_at - now);
        now = renew_at;
    }
    assert!(pauses[0] <= FAILED_FIRST.mul_f64(1.25), "{pauses:?}");
    assert!(pauses[5] > pauses[1] && pauses[9] <= FAILED_LONGEST.mul_f64(1.25));
}

#[test]
fn a_renewal_that_is_dropped_is_left_to_the_next() {
    let (source, now) = (source(), Instant::now());
    drop(look(&source, now));
    assert!(look(&source, now).1.is_some());
}

#[test]
fn a_refused_token_is_renewed_before_its_time() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", HOUR), now);
    let (Look::Ready(token), None) = source.look(now) else {
        panic!("a token");
    };
    source.refused(&token, now);
    assert!(look(&source, now).1.is_none(), "not at once");
    let (word, renewal) = look(&source, now + REFUSED_PAUSE);
    assert!(word == "Bearer a" && renewal.is_some());
    // What is said of a token that is gone counts no more.
    settle(renewal, grant("b", HOUR), now);
    source.refused(&token, now);
    assert!(look(&source, now + REFUSED_PAUSE).1.is_none());
}

#[test]
fn tokens_of_every_lifetime_are_renewed_before_their_end() {
    for seconds in [6, 12, 60, 300, 3600, 86_400] {
        let lifetime = Duration::from_secs(seconds);
        for _ in 0..50 {
            let before = lifetime - renewed_after(lifetime);
            assert!(before > EXPIRES_EARLY, "{seconds}");
            assert!(before <= MARGIN_MAX + EXPIRES_EARLY, "{seconds}");
        }
    }
}

#[test]
fn a_token_that_has_expired_already_is_a_failure() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", EXPIRES_EARLY), now);
    let (word, renewal) = look(&source, now);
    assert_eq!(word, "what the issuer gave has expired, or is about to");
    assert!(renewal.is_none(), "there is a pause");
}

#[test]
fn an_expired_token_is_renewed_whatever_the_time() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("a", HOUR), now);
    // The machine slept, say.
    source.state().renew_at = Some(now + HOUR * 9);
    let (word, renewal) = look(&source, now + HOUR);
    assert!(word == "coming" && renewal.is_some());
}

#[test]
fn tokens_cannot_be_printed() {
    let (source, now) = (source(), Instant::now());
    settle(look(&source, now).1, grant("s3cret", HOUR), now);
    let (look, _) = source.look(now);
    assert!(!format!("{source:?} {look:?}").contains("s3cret"));
}

// === issuers ===

fn upstream() -> Arc<Upstream> {
    Arc::new(Upstream::new(
        UpstreamSettings::default(),
        TaskTracker::new(),
    ))
}

/// The token that an issuer gives, and how long it lasts.
async fn issued(issuer: Issuer) -> Result<(Token, Option<Duration>), TokenFailure> {
    let source = Arc::new(TokenSource::new(Arc::new(issuer)));
    let (_, renewal) = source.look(Instant::now());
    let lifetime = match renewal {
        Some(renewal) => renewal.run(&upstream(), WALL).await?,
        None => None,
    };
    match source.look(Instant::now()).0 {
        Look::Ready(token) => Ok((token, lifetime)),
        other => panic!("{other:?}"),
    }
}

fn entra(url: &str) -> Issuer {
    Issuer::Entra(EntraIssuer {
        endpoint: format!("{url}/tenant/oauth2/v2.0/token").parse().unwrap(),
        client_id: "app".into(),
        client_secret: Secret::new("s3cret&more"),
        scope: "https://cognitiveservices.azure.com/.default".into(),
    })
}

#[tokio::test]
async fn entra_is_shown_the_applications_secret() {
    let server = ScriptedProvider::always(Reply::json(
        200,
        &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "t"}),
    ))
    .await;
    let (token, lifetime) = issued(entra(&server.url())).await.unwrap();
    assert_eq!(bearer(&token), "Bearer t");
    assert_eq!(lifetime, Some(Duration::from_secs(3599)));
    let received = server.received();
    assert_eq!(received[0].path, "/tenant/oauth2/v2.0/token");
    assert_eq!(
        String::from_utf8_lossy(&received[0].body),
        "grant_type=client%5Fcredentials&client_id=app&client_secret=s3cret%26more&scope=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom%2F%2Edefault"
    );
}

#[tokio::test]
async fn what_an_issuer_says_instead_is_told_without_secrets() {
    for (reply, expected) in [
        (
            Reply::json(
                401,
                &json!({"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}),
            ),
            "the issuer answered with 401: invalid_client: AADSTS7000215: Invalid client secret",
        ),
        (
            Reply::body(302, "text/html", "").header("location", "http://169.254.169.254/"),
            "the issuer answered with 302",
        ),
        (
            Reply::json(200, &json!({"access_tokens": "t"})),
            "the issuer's answer holds no access token",
        ),
        (
            Reply::body(200, "application/json", vec![b' '; 300 << 10]),
            "the issuer's answer is too long",
        ),
        (
            Reply::close(),
            "the issuer closed the connection before answering",
        ),
    ] {
        let server = ScriptedProvider::always(reply).await;
        let failure = issued(entra(&server.url())).await.unwrap_err();
        assert_eq!(failure.to_string(), expected);
        assert!(!failure.to_string().contains("s3cret"));
    }
}

#[tokio::test]
async fn googles_metadata_server_is_asked() {
    let server = ScriptedProvider::always(Reply::json(
        200,
        &json!({"access_token": "g", "expires_in": 100, "token_type": "Bearer"}),
    ))
    .await;
    let endpoint = format!("{}/computeMetadata/token", server.url());
    let issuer = Issuer::Google(GoogleIssuer::Metadata {
        endpoint: endpoint.parse().unwrap(),
    });
    assert_eq!(bearer(&issued(issuer).await.unwrap().0), "Bearer g");
    let received = server.received();
    assert_eq!(received[0].method, "GET");
    assert_eq!(received[0].header("metadata-flavor"), Some("Google"));
}

#[tokio::test]
async fn a_service_account_signs_for_its_token() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let server = ScriptedProvider::always(Reply::json(
        200,
        &json!({"access_token": "sa", "expires_in": 3599, "token_type": "Bearer"}),
    ))
    .await;
    let endpoint = format!("{}/token", server.url());
    let issuer = Issuer::Google(GoogleIssuer::ServiceAccount {
        email: "a@example.com".into(),
        key_id: Some("k1".into()),
        private_key: Secret::new(google::tests::private_key().1),
        endpoint: endpoint.parse().unwrap(),
        scope: "https://www.googleapis.com/auth/cloud-platform".into(),
    });
    assert_eq!(bearer(&issued(issuer).await.unwrap().0), "Bearer sa");
    let body = String::from_utf8(server.received()[0].body.clone()).unwrap();
    let (start, assertion) = body.split_once("&assertion=").unwrap();
    assert_eq!(
        start,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant%2Dtype%3Ajwt%2Dbearer"
    );
    let claims = assertion.split("%2E").nth(1).unwrap();
    let claims = claims.replace("%5F", "_").replace("%2D", "-");
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        claims,
        json!({
            "iss": "a@example.com",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": endpoint,
            "iat": WALL.as_secs(),
            "exp": WALL.as_secs() + 3600,
        })
    );
}

fn aws(source: AwsSource) -> Issuer {
    Issuer::Aws(AwsIssuer {
        region: "us-east-1".into(),
        service: "bedrock".into(),
        source,
    })
}

fn keys_reply() -> Reply {
    Reply::json(
        200,
        &json!({
            "AccessKeyId": "ASIA1", "SecretAccessKey": "s3cret", "Token": "session",
            "Expiration": "2026-11-25T05:20:00Z", "Code": "Success",
        }),
    )
}

#[tokio::test]
async fn an_instances_role_is_asked_for_in_a_session() {
    let server =
        ScriptedProvider::start(
            |request| match (request.method.as_str(), request.path.as_str()) {
                ("PUT", "/latest/api/token") => Reply::body(200, "text/plain", "imds"),
                ("GET", _) if request.header("x-aws-ec2-metadata-token") != Some("imds") => {
                    Reply::body(401, "text/plain", "")
                }
                ("GET", "/latest/meta-data/iam/security-credentials/") => {
                    Reply::body(200, "text/plain", "role-1\n")
                }
                ("GET", "/latest/meta-data/iam/security-credentials/role-1") => keys_reply(),
                _ => Reply::body(404, "text/plain", ""),
            },
        )
        .await;
    let endpoint = server.url().parse().unwrap();
    let (token, lifetime) = issued(aws(AwsSource::Instance { endpoint })).await.unwrap();
    assert_eq!((bearer(&token), lifetime), ("ASIA1".to_owned(), Some(HOUR)));
}

#[tokio::test]
async fn a_containers_endpoint_is_shown_the_token_of_its_file() {
    let file = std::env::temp_dir().join(format!("tollgate-token-{}", std::process::id()));
    fs::write(&file, "from-the-platform\n").unwrap();
    let server = ScriptedProvider::always(keys_reply()).await;
    let issuer = aws(AwsSource::Container {
        endpoint: format!("{}/v1/credentials", server.url()).parse().unwrap(),
        authorization: Some(Given::File(file.clone())),
    });
    assert_eq!(bearer(&issued(issuer).await.unwrap().0), "ASIA1");
    fs::remove_file(file).unwrap();
    let received = server.received();
    assert_eq!(
        received[0].header("authorization"),
        Some("from-the-platform")
    );
}

#[tokio::test]
async fn a_role_is_assumed_with_the_platforms_token() {
    let file = std::env::temp_dir().join(format!("tollgate-identity-{}", std::process::id()));
    fs::write(&file, "a.jwt").unwrap();
    let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
        <SessionToken>session==</SessionToken><SecretAccessKey>s3cret</SecretAccessKey>\
        <Expiration>2026-11-25T04:35:00Z</Expiration><AccessKeyId>ASIA2</AccessKeyId>\
        </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
    let refusal = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>no</Message></Error></ErrorResponse>";
    let server = ScriptedProvider::in_turn(vec![
        Reply::body(200, "text/xml", answer),
        Reply::body(400, "text/xml", refusal),
    ])
    .await;
    let issuer = || {
        aws(AwsSource::WebIdentity {
            role: "arn:aws:iam::123456789012:role/r".into(),
            session: "tollgate".into(),
            token_file: file.clone(),
            endpoint: format!("{}/", server.url()).parse().unwrap(),
        })
    };
    let (token, lifetime) = issued(issuer()).await.unwrap();
    assert_eq!(bearer(&token), "ASIA2");
    assert_eq!(lifetime, Some(Duration::from_secs(900)));
    let body = String::from_utf8_lossy(&server.received()[0].body).into_owned();
    assert!(body.contains("Action=AssumeRoleWithWebIdentity&"), "{body}");
    assert!(body.ends_with("&WebIdentityToken=a%2Ejwt"), "{body}");
    let failure = issued(issuer()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the issuer answered with 400: InvalidIdentityToken no"
    );
    fs::remove_file(&file).unwrap();
    let failure = issued(issuer()).await.unwrap_err().to_string();
    assert!(failure.starts_with("cannot read the token in"), "{failure}");
}

/// A hundred callers at once, none of which has a token.
#[tokio::test]
async fn callers_wait_for_one_renewal_together() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = ScriptedProvider::start(move |_: &Received| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let token = json!({"access_token": "t", "expires_in": 3600});
        Reply::json(200, &token).after(Duration::from_millis(50))
    })
    .await;
    let source = Arc::new(TokenSource::new(Arc::new(entra(&server.url()))));
    let (upstream, tasks) = (upstream(), TaskTracker::new());
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (source, upstream, renewals) =
                (Arc::clone(&source), Arc::clone(&upstream), tasks.clone());
            tasks.spawn(async move {
                loop {
                    let (look, renewal) = source.look(Instant::now());
                    if let Some(renewal) = renewal {
                        let upstream = Arc::clone(&upstream);
                        renewals.spawn(async move { renewal.run(&upstream, WALL).await });
                    }
                    match look {
                        Look::Ready(token) => return bearer(&token),
                        Look::Coming(settling) => settling.wait().await,
                        Look::Failed(failure) => return failure.to_string(),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "Bearer t");
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
}
