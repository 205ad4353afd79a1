//! How issuers are asked, by scripts on loopback.

use std::{fs, sync::atomic::AtomicUsize};

use serde_json::json;
use tollgate_domain::{AssumedRole, AwsIssuer, EntraIssuer, EntraProof, Given, IbmIssuer, Secret};
use tollgate_testkit::{Received, Reply, ScriptedProvider};

use super::*;

fn entra(url: &str) -> Issuer {
    application(url, EntraProof::Secret(Secret::new("s3cret&more")))
}

fn application(url: &str, proof: EntraProof) -> Issuer {
    Issuer::Entra(EntraIssuer::Application {
        endpoint: format!("{url}/tenant/oauth2/v2.0/token").parse().unwrap(),
        client_id: "app".into(),
        proof,
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
async fn entra_is_shown_the_platforms_token_as_it_is_now() {
    let file = std::env::temp_dir().join(format!("tollgate-federated-{}", std::process::id()));
    let server = ScriptedProvider::always(Reply::json(
        200,
        &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "t"}),
    ))
    .await;
    for token in ["first", "second"] {
        fs::write(&file, format!("{token}.jwt\n")).unwrap();
        let issuer = application(&server.url(), EntraProof::Federated(file.clone()));
        assert_eq!(bearer(&issued(issuer).await.unwrap().0), "Bearer t");
        let body = String::from_utf8(server.received().pop().unwrap().body).unwrap();
        assert_eq!(
            body,
            format!(
                "grant_type=client%5Fcredentials&client_id=app&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient%2Dassertion%2Dtype%3Ajwt%2Dbearer&client_assertion={token}%2Ejwt&scope=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom%2F%2Edefault"
            )
        );
    }
    fs::remove_file(&file).unwrap();
}

/// A virtual machine's service counts in texts; App Service tells the end alone.
#[tokio::test]
async fn azures_platforms_vouch_for_what_runs_there() {
    let end = (WALL + HOUR).as_secs().to_string();
    for (header, shown, answer, lifetime) in [
        (
            None,
            ("metadata", "true"),
            json!({"access_token": "m", "expires_in": "86399", "expires_on": end, "token_type": "Bearer"}),
            Duration::from_secs(86_399),
        ),
        (
            Some("from-the-platform"),
            ("x-identity-header", "from-the-platform"),
            json!({"access_token": "m", "expires_on": end, "token_type": "Bearer"}),
            HOUR,
        ),
    ] {
        let server = ScriptedProvider::always(Reply::json(200, &answer)).await;
        let endpoint = format!("{}/msi/token?api-version=1&resource=r", server.url());
        let issuer = Issuer::Entra(EntraIssuer::Managed {
            endpoint: endpoint.parse().unwrap(),
            header: header.map(Secret::new),
        });
        let (token, left) = issued(issuer).await.unwrap();
        assert_eq!(
            (bearer(&token), left),
            ("Bearer m".to_owned(), Some(lifetime))
        );
        let received = server.received();
        assert_eq!(received[0].method, "GET");
        assert_eq!(received[0].path, "/msi/token?api-version=1&resource=r");
        assert_eq!(received[0].header(shown.0), Some(shown.1));
        let other = match header {
            Some(_) => "metadata",
            None => "x-identity-header",
        };
        assert_eq!(received[0].header(other), None);
    }
}

#[tokio::test]
async fn ibm_exchanges_a_key() {
    let server = ScriptedProvider::always(Reply::json(
        200,
        &json!({"access_token": "i", "refresh_token": "not_supported", "token_type": "Bearer", "expires_in": 3600, "expiration": 1}),
    ))
    .await;
    let issuer = Issuer::Ibm(IbmIssuer {
        endpoint: format!("{}/identity/token", server.url()).parse().unwrap(),
        api_key: Secret::new("s3cret/key"),
    });
    let (token, lifetime) = issued(issuer).await.unwrap();
    assert_eq!(
        (bearer(&token), lifetime),
        ("Bearer i".to_owned(), Some(HOUR))
    );
    let received = server.received();
    assert_eq!(received[0].path, "/identity/token");
    assert_eq!(
        String::from_utf8_lossy(&received[0].body),
        "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant%2Dtype%3Aapikey&apikey=s3cret%2Fkey"
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
            Reply::json(
                400,
                &json!({"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}),
            ),
            "the issuer answered with 400: BXNIM0415E: Provided API key could not be found.",
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
            "the issuer's answer has more than 262144 bytes",
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
async fn an_issuer_that_repeats_what_it_was_sent_is_not_repeated() {
    let server = ScriptedProvider::start(|request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        Reply::json(
            400,
            &json!({"error": "invalid_request", "error_description": form}),
        )
    })
    .await;
    let failure = issued(entra(&server.url())).await.unwrap_err().to_string();
    assert!(failure.contains("client_secret=***"), "{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
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

/// The keys of another source sign the request, and those that come of it are used.
#[tokio::test]
async fn a_role_is_assumed_with_other_keys() {
    let answer = "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
        <AccessKeyId>ASIA3</AccessKeyId><SecretAccessKey>s3cret</SecretAccessKey><SessionToken>assumed==</SessionToken>\
        <Expiration>2026-11-25T05:20:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let sts = ScriptedProvider::always(Reply::body(200, "text/xml", answer)).await;
    let container = ScriptedProvider::always(keys_reply()).await;
    let given = AwsSource::Keys(AwsKeys {
        id: "AKIABASE".into(),
        secret: Secret::new("base"),
        session: None,
    });
    let asked = AwsSource::Container {
        endpoint: container.url().parse().unwrap(),
        authorization: None,
    };
    for (base, external_id, signer, session) in [
        (given, Some("agreed/upon"), "AKIABASE", None),
        (asked, None, "ASIA1", Some("session")),
    ] {
        let issuer = aws(AwsSource::AssumedRole(Box::new(AssumedRole {
            base,
            role: "arn:aws:iam::123456789012:role/r".into(),
            session: "gateway-1".into(),
            external_id: external_id.map(Arc::from),
            lifetime: external_id.map(|_| Duration::from_secs(900)),
            endpoint: format!("{}/", sts.url()).parse().unwrap(),
            region: "eu-west-1".into(),
        })));
        let (token, lifetime) = issued(issuer).await.unwrap();
        assert_eq!((bearer(&token), lifetime), ("ASIA3".to_owned(), Some(HOUR)));
        let received = sts.received().pop().unwrap();
        let authorization = received.header("authorization").unwrap();
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential={signer}/20261125/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date"
        );
        assert!(authorization.starts_with(&expected), "{authorization}");
        assert_eq!(received.header("x-amz-security-token"), session);
        let body = String::from_utf8(received.body).unwrap();
        let external = external_id.map(|_| "&ExternalId=agreed%2Fupon&DurationSeconds=900");
        assert_eq!(
            body,
            format!(
                "Action=AssumeRole&Version=2011%2D06%2D15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr&RoleSessionName=gateway%2D1{}",
                external.unwrap_or_default()
            )
        );
    }
}

/// Without keys of its own, nobody assumes a role.
#[tokio::test]
async fn a_role_that_may_not_be_assumed_is_told() {
    let refusal = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>";
    let sts = ScriptedProvider::always(Reply::body(403, "text/xml", refusal)).await;
    let broken = ScriptedProvider::always(Reply::body(404, "text/plain", "")).await;
    let failure = async |base: AwsSource| {
        let role = AssumedRole {
            base,
            role: "arn:aws:iam::123456789012:role/r".into(),
            session: "tollgate".into(),
            external_id: None,
            lifetime: None,
            endpoint: sts.url().parse().unwrap(),
            region: "us-east-1".into(),
        };
        let issuer = aws(AwsSource::AssumedRole(Box::new(role)));
        issued(issuer).await.unwrap_err().to_string()
    };
    let keys = AwsKeys {
        id: "AKIABASE".into(),
        secret: Secret::new("s3cret"),
        session: None,
    };
    assert_eq!(
        failure(AwsSource::Keys(keys)).await,
        "the issuer answered with 403: AccessDenied not authorized to perform: sts:AssumeRole"
    );
    let endpoint = broken.url().parse().unwrap();
    assert_eq!(
        failure(AwsSource::Instance { endpoint }).await,
        "the issuer answered with 404"
    );
    assert_eq!(sts.received().len(), 1);
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
