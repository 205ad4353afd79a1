//! Accounts that another platform vouches for, by scripts on loopback.

use std::fs;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tollgate_domain::{
    AwsRegion, ExternalAccount, Impersonation, Secret, SubjectFormat, SubjectSource,
};
use tollgate_testkit::{Received, Reply, ScriptedProvider};

use super::*;

const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

fn account(sts: &ScriptedProvider, subject: SubjectSource) -> ExternalAccount {
    ExternalAccount {
        audience: AUDIENCE.into(),
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt".into(),
        subject,
        endpoint: format!("{}/v1/token", sts.url()).parse().unwrap(),
        scope: SCOPE.into(),
        user_project: None,
        impersonation: None,
        allows_private: true,
    }
}

fn external(account: ExternalAccount) -> Issuer {
    Issuer::Google(GoogleIssuer::External(Box::new(account)))
}

async fn sts() -> ScriptedProvider {
    ScriptedProvider::always(Reply::json(
        200,
        &json!({
            "access_token": "federated", "expires_in": 3599, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }),
    ))
    .await
}

/// The fields of a form that was received.
fn form(received: &Received) -> Value {
    let body = String::from_utf8_lossy(&received.body);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
    let fields = pairs.map(|(name, value)| (name.to_owned(), json!(decoded(value))));
    Value::Object(fields.collect())
}

#[tokio::test]
async fn a_files_token_is_exchanged() {
    let file = std::env::temp_dir().join(format!("tollgate-subject-{}", std::process::id()));
    let field = SubjectFormat::Json("id_token".into());
    for (content, format) in [
        ("a.jwt\n", SubjectFormat::Text),
        (r#"{"id_token": "a.jwt", "x": 1}"#, field.clone()),
    ] {
        let sts = sts().await;
        fs::write(&file, content).unwrap();
        let path = file.clone();
        let mut account = account(&sts, SubjectSource::File { path, format });
        account.user_project = Some("charged".into());
        let (token, lifetime) = issued(external(account)).await.unwrap();
        assert_eq!(bearer(&token), "Bearer federated");
        assert_eq!(lifetime, Some(Duration::from_secs(3599)));
        assert_eq!(sts.received()[0].path, "/v1/token");
        assert_eq!(
            form(&sts.received()[0]),
            json!({
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "audience": AUDIENCE,
                "scope": SCOPE,
                "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "subject_token": "a.jwt",
                "options": r#"{"userProject":"charged"}"#,
            })
        );
    }
    // What is not there is told, and nobody is asked.
    let sts = sts().await;
    for content in ["", r#"{"token": "s3cret"}"#] {
        fs::write(&file, content).unwrap();
        let (path, format) = (file.clone(), field.clone());
        let account = account(&sts, SubjectSource::File { path, format });
        let failure = issued(external(account)).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "there is no token of the other platform's"
        );
    }
    assert!(sts.received().is_empty());
    fs::remove_file(&file).unwrap();
}

/// As on Azure: its metadata service gives the token, and a service account is acted as.
#[tokio::test]
async fn an_addresss_token_becomes_a_service_accounts() {
    let platform =
        ScriptedProvider::always(Reply::json(200, &json!({"access_token": "entra.jwt"}))).await;
    let google = ScriptedProvider::start(|request| match request.path.as_str() {
        "/v1/token" => Reply::json(
            200,
            &json!({"access_token": "federated", "expires_in": 3599}),
        ),
        _ => Reply::json(
            200,
            &json!({"accessToken": "sa", "expireTime": "2026-11-25T04:50:00Z"}),
        ),
    })
    .await;
    let mut account = account(
        &google,
        SubjectSource::Url {
            endpoint: format!("{}/identity?resource=r", platform.url())
                .parse()
                .unwrap(),
            headers: vec![("metadata".parse().unwrap(), Secret::new("True"))],
            format: SubjectFormat::Json("access_token".into()),
        },
    );
    account.scope = "https://www.googleapis.com/auth/aiplatform".into();
    account.impersonation = Some(Impersonation {
        endpoint: format!("{}/sa:generateAccessToken", google.url())
            .parse()
            .unwrap(),
        lifetime: Duration::from_secs(1800),
    });
    let (token, lifetime) = issued(external(account)).await.unwrap();
    assert_eq!(bearer(&token), "Bearer sa");
    assert_eq!(lifetime, Some(Duration::from_secs(1800)));
    let asked = platform.received();
    assert_eq!(asked[0].path, "/identity?resource=r");
    assert_eq!(asked[0].header("metadata"), Some("True"));
    let received = google.received();
    assert_eq!(form(&received[0])["subject_token"], "entra.jwt");
    assert_eq!(form(&received[0])["scope"], SCOPE);
    assert_eq!(received[1].path, "/sa:generateAccessToken");
    assert_eq!(
        received[1].header("authorization"),
        Some("Bearer federated")
    );
    assert_eq!(
        received[1].json(),
        json!({"scope": ["https://www.googleapis.com/auth/aiplatform"], "lifetime": "1800s"})
    );
}

/// The request that Google is to send to AWS: signed over the pool that it is meant for, and never sent from here.
#[tokio::test]
async fn a_request_to_aws_is_signed_for_google() {
    let instance = ScriptedProvider::start(|request| match request.path.as_str() {
        "/latest/api/token" => Reply::body(200, "text/plain", "imds"),
        "/latest/meta-data/placement/region" => Reply::body(200, "text/plain", "eu-west-1"),
        _ => Reply::body(404, "text/plain", ""),
    })
    .await;
    let keys = AwsKeys {
        id: "AKIABASE".into(),
        secret: Secret::new("s3cret"),
        session: Some(Secret::new("session==")),
    };
    for (region, expected) in [
        (AwsRegion::Named("us-east-2".into()), "us-east-2"),
        (
            AwsRegion::OfInstance(instance.url().parse().unwrap()),
            "eu-west-1",
        ),
    ] {
        let sts = sts().await;
        let mut account = account(
            &sts,
            SubjectSource::Aws {
                source: AwsSource::Keys(keys.clone()),
                verification:
                    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
                        .into(),
                region,
            },
        );
        account.subject_token_type = "urn:ietf:params:aws:token-type:aws4_request".into();
        assert_eq!(
            bearer(&issued(external(account)).await.unwrap().0),
            "Bearer federated"
        );
        let form = form(&sts.received()[0]);
        let told = percent_decode_str(form["subject_token"].as_str().unwrap());
        let told: Value = serde_json::from_str(&told.decode_utf8().unwrap()).unwrap();
        assert_eq!(told["method"], "POST");
        assert_eq!(
            told["url"],
            format!(
                "https://sts.{expected}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
            )
        );
        let header = |name: &str| {
            let mut headers = told["headers"].as_array().unwrap().iter();
            let found = headers.find(|header| header["key"] == name);
            found.map(|header| header["value"].as_str().unwrap().to_owned())
        };
        assert_eq!(
            header("host").unwrap(),
            format!("sts.{expected}.amazonaws.com")
        );
        assert_eq!(header("x-goog-cloud-target-resource").unwrap(), AUDIENCE);
        assert_eq!(header("x-amz-security-token").unwrap(), "session==");
        assert_eq!(header("x-amz-date").unwrap(), "20261125T042000Z");
        let authorization = header("authorization").unwrap();
        let start = format!(
            "AWS4-HMAC-SHA256 Credential=AKIABASE/20261125/{expected}/sts/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, Signature="
        );
        assert!(authorization.starts_with(&start), "{authorization}");
        if expected == "us-east-2" {
            // Made by google-auth 2.63.0 for the same keys, pool and time.
            assert!(
                authorization
                    .ends_with("=b729dc6dc43d8bd1b5fc8a1cb18e097001017fde1385874a6070d4bd267ed3b5")
            );
        }
        assert!(!form.to_string().contains("s3cret"));
    }
}

/// A name that looks public, and that every resolver takes for 127.0.0.1.
const LOOKS_PUBLIC: &str = "127.1";

#[tokio::test]
async fn the_private_network_is_reached_only_where_that_is_allowed() {
    let token = json!({"access_token": "federated", "expires_in": 3599});
    let server = ScriptedProvider::always(Reply::json(200, &token)).await;
    let at = |path: &str| {
        let uri = format!("{}{path}", server.url().replace("127.0.0.1", LOOKS_PUBLIC));
        uri.parse().unwrap()
    };
    let file = std::env::temp_dir().join(format!("tollgate-inside-{}", std::process::id()));
    fs::write(&file, "a.jwt").unwrap();
    let of_file = SubjectSource::File {
        path: file.clone(),
        format: SubjectFormat::Text,
    };
    let of_url = SubjectSource::Url {
        endpoint: at("/identity"),
        headers: Vec::new(),
        format: SubjectFormat::Json("access_token".into()),
    };
    for subject in [of_file, of_url] {
        for allows_private in [false, true] {
            let mut account = account(&server, subject.clone());
            account.endpoint = at("/v1/token");
            account.allows_private = allows_private;
            let before = server.received().len();
            let issued = issued(external(account)).await;
            assert_eq!(issued.is_ok(), allows_private, "{issued:?}");
            assert_eq!(server.received().len() > before, allows_private);
        }
    }
    fs::remove_file(&file).unwrap();
}

/// The service account's address is judged as the others are.
#[tokio::test]
async fn impersonation_does_not_lead_into_the_private_network() {
    let sts = sts().await;
    let file = std::env::temp_dir().join(format!("tollgate-acting-{}", std::process::id()));
    fs::write(&file, "a.jwt").unwrap();
    let path = file.clone();
    let format = SubjectFormat::Text;
    let mut account = account(&sts, SubjectSource::File { path, format });
    let inside = sts.url().replace("127.0.0.1", LOOKS_PUBLIC);
    account.impersonation = Some(Impersonation {
        endpoint: format!("{inside}/sa:generateAccessToken").parse().unwrap(),
        lifetime: HOUR,
    });
    account.allows_private = false;
    assert!(issued(external(account)).await.is_err());
    let received = sts.received();
    assert_eq!(received.len(), 1, "the token is shown to nobody");
    assert_eq!(received[0].path, "/v1/token");
    fs::remove_file(&file).unwrap();
}
