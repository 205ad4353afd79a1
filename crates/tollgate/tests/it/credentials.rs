//! Credentials that expire: got once, renewed early, kept while they last.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use tollgate_testkit::{Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{chat, gateway, openai_answer, program};

const CONFIGURATION: &str = r#"
providers:
  - name: azure
    type: azure
    base_url: "OPENAI/openai/v1"
    auth: {entra: {tenant: contoso, client_id: app, client_secret: s3cret-of-the-app, authority: "ISSUER"}}
routes:
  - {name: gpt, retries: {per_target: 0, attempts_max: 1}, model: {provider: azure, name: gpt-4o-mini}}
"#;

fn token(text: &str, seconds: u64) -> Value {
    json!({"token_type": "Bearer", "access_token": text, "expires_in": seconds})
}

async fn provider() -> ScriptedProvider {
    ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await
}

async fn status(gateway: &TestGateway) -> u16 {
    gateway
        .post("/v1/chat/completions", &chat("gpt"))
        .await
        .status
}

/// The credentials that the provider was shown.
fn shown(provider: &ScriptedProvider) -> Vec<String> {
    let received = provider.received();
    let shown = |request: &Received| request.header("authorization").unwrap_or("none").to_owned();
    received.iter().map(shown).collect()
}

#[tokio::test]
async fn a_hundred_callers_get_one_token() {
    let slow = Reply::json(200, &token("t1", 3600)).after(Duration::from_millis(100));
    let (issuer, provider) = (ScriptedProvider::always(slow).await, provider().await);
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider), ("ISSUER", &issuer)]).await;
    let (gateway, tasks) = (Arc::new(gateway), TaskTracker::new());
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let gateway = Arc::clone(&gateway);
            tasks.spawn(async move { status(&gateway).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), 200);
    }
    assert_eq!(issuer.received().len(), 1);
    assert_eq!(issuer.received()[0].path, "/contoso/oauth2/v2.0/token");
    let shown = shown(&provider);
    assert_eq!(shown.len(), 100);
    assert!(shown.iter().all(|shown| shown == "Bearer t1"));
    assert!(!gateway.output().contains("s3cret-of-the-app"));
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics
            .contains(r#"tollgate_credential_renewals_total{provider="azure",result="renewed"} 1"#),
        "{metrics}"
    );
}

/// A token that lasts six seconds can be used for one, and is renewed within it.
#[tokio::test]
async fn a_token_is_renewed_early_and_kept_when_that_fails() {
    let issuer = ScriptedProvider::in_turn(vec![
        Reply::json(200, &token("t1", 6)),
        Reply::json(200, &token("t2", 7)),
        Reply::json(503, &json!({"error": "temporarily_unavailable"})),
    ])
    .await;
    let provider = provider().await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider), ("ISSUER", &issuer)]).await;
    // Calls keep coming; none of them fails while either token can be used, and then all do.
    let (started, mut status_now) = (Instant::now(), 200);
    while status_now == 200 && started.elapsed() < Duration::from_secs(30) {
        status_now = status(&gateway).await;
        sleep(Duration::from_millis(50)).await;
    }
    let served = started.elapsed();
    assert_eq!(status_now, 503, "the second token ends, too");
    assert!(served > Duration::from_secs(2), "{served:?}");
    let mut shown = shown(&provider);
    shown.dedup();
    assert_eq!(shown, ["Bearer t1", "Bearer t2"]);
    assert!(
        gateway.output().contains("credential not renewed"),
        "{}",
        gateway.output()
    );
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics
            .contains(r#"tollgate_credential_renewals_total{provider="azure",result="renewed"} 2"#),
        "{metrics}"
    );
}

/// Answers as each of the issuers does, after a while; those that are shown an identity of another's want it to be the one of the file.
fn issue(request: &Received) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    let is_known = body.contains("of%2Dthe%2Dplatform") || !body.contains("assertion=");
    let reply = match request.path.split('?').next().unwrap_or_default() {
        "/sts/" if body.contains("Action=AssumeRole&") => Reply::body(
            200,
            "text/xml",
            "<AssumeRoleResponse><AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration></AssumeRoleResponse>",
        ),
        "/sa:generateAccessToken" => Reply::json(
            200,
            &json!({"accessToken": "t1", "expireTime": "2199-01-01T00:00:00Z"}),
        ),
        "/msi/token" => Reply::json(
            200,
            &json!({"access_token": "t1", "expires_on": "7226582400", "token_type": "Bearer"}),
        ),
        _ if is_known => Reply::json(200, &token("t1", 3600)),
        _ => Reply::json(401, &json!({"error": "invalid_client"})),
    };
    reply.after(Duration::from_millis(100))
}

/// Whoever issues: many callers at once are served with what is asked for once.
#[tokio::test]
async fn each_issuer_is_asked_once_for_all_callers() {
    let file = std::env::temp_dir().join(format!("tollgate-platform-{}", std::process::id()));
    std::fs::write(&file, "of-the-platform").unwrap();
    let file = file.display().to_string();
    let issuer = ScriptedProvider::start(issue).await;
    let app_service = format!("{}/msi/token", issuer.url());
    let federation = json!({
        "type": "external_account", "audience": "//iam/pool", "subject_token_type": "urn:jwt",
        "token_url": format!("{}/v1/token", issuer.url()),
        "service_account_impersonation_url": format!("{}/sa:generateAccessToken", issuer.url()),
        "credential_source": {"file": file},
    });
    let federation = json!(federation.to_string());
    for (auth, environment, asked, expected) in [
        (
            "{entra: {authority: \"ISSUER\"}}".to_owned(),
            vec![
                ("AZURE_FEDERATED_TOKEN_FILE", file.as_str()),
                ("AZURE_TENANT_ID", "contoso"),
                ("AZURE_CLIENT_ID", "app"),
            ],
            vec!["/contoso/oauth2/v2.0/token"],
            "Bearer t1",
        ),
        (
            "{entra: {}}".to_owned(),
            vec![
                ("IDENTITY_ENDPOINT", app_service.as_str()),
                ("IDENTITY_HEADER", "s3cret-of-the-app"),
            ],
            vec!["/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fcognitiveservices%2Eazure%2Ecom"],
            "Bearer t1",
        ),
        (
            "{ibm: {api_key: s3cret-of-the-app, iam_url: \"ISSUER\"}}".to_owned(),
            Vec::new(),
            vec!["/identity/token"],
            "Bearer t1",
        ),
        (
            format!("{{google: {{external_account: {federation}}}}}, private_addresses: true"),
            Vec::new(),
            vec!["/v1/token", "/sa:generateAccessToken"],
            "Bearer t1",
        ),
        (
            "{aws: {region: us-east-1, role_arn: \"arn:r\", aws_access_key_id: AKIABASE, aws_secret_access_key: s3cret-of-the-app, sts_url: \"ISSUER/sts\"}}".to_owned(),
            Vec::new(),
            vec!["/sts/"],
            "AWS4-HMAC-SHA256 Credential=ASIAROLE/",
        ),
    ] {
        let provider = provider().await;
        let configuration = format!(
            "providers: [{{name: a, type: custom, base_url: \"{}\", auth: {auth}}}]\nroutes: [{{name: gpt, model: {{provider: a, name: m}}}}]\n",
            provider.url()
        );
        let configuration = configuration.replace("ISSUER", &issuer.url());
        let before = issuer.received().len();
        let gateway = TestGateway::start_with(program(), &configuration, &environment).await;
        let (gateway, tasks) = (Arc::new(gateway), TaskTracker::new());
        let callers: Vec<_> = (0..30)
            .map(|_| {
                let gateway = Arc::clone(&gateway);
                tasks.spawn(async move { status(&gateway).await })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), 200, "{auth}: {}", gateway.output());
        }
        let received = issuer.received().split_off(before);
        let paths: Vec<&str> = received.iter().map(|asked| asked.path.as_str()).collect();
        assert_eq!(paths, asked, "{auth}");
        let shown = shown(&provider);
        assert_eq!(shown.len(), 30);
        assert!(shown.iter().all(|shown| shown.starts_with(expected)), "{shown:?}");
        assert!(!gateway.output().contains("s3cret-of-the-app"));
    }
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_token_outlives_a_change_of_the_configuration() {
    let issuer = ScriptedProvider::always(Reply::json(200, &token("t1", 3600))).await;
    let provider = provider().await;
    let filled = CONFIGURATION
        .replace("OPENAI", &provider.url())
        .replace("ISSUER", &issuer.url());
    let gateway = TestGateway::start(program(), &filled).await;
    assert_eq!(status(&gateway).await, 200);
    // The same issuer with another route, then another secret.
    for (from, to, asked) in [
        ("name: gpt,", "name: gpt-2,", 1),
        ("s3cret-of-the-app", "another", 2),
    ] {
        let changed = filled
            .replace("name: gpt,", "name: gpt-2,")
            .replace(from, to);
        gateway.write_configuration(&changed);
        gateway.signal("HUP");
        for _ in 0..200 {
            let heard = gateway.post("/v1/chat/completions", &chat("gpt-2")).await;
            if heard.status == 200 && issuer.received().len() >= asked {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let heard = gateway.post("/v1/chat/completions", &chat("gpt-2")).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        assert_eq!(issuer.received().len(), asked);
    }
}

#[tokio::test]
async fn without_a_token_the_client_is_told_whose_fault_it_is() {
    let issuer =
        ScriptedProvider::always(Reply::json(401, &json!({"error": "invalid_client"}))).await;
    let provider = provider().await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider), ("ISSUER", &issuer)]).await;
    let heard = gateway.post("/v1/chat/completions", &chat("gpt")).await;
    assert_eq!(
        (heard.status, &heard.json()["error"]["code"]),
        (503, &json!("upstream_credential_missing"))
    );
    // The issuer is not asked again for each call.
    for _ in 0..20 {
        assert_eq!(status(&gateway).await, 503);
    }
    assert!(issuer.received().len() <= 3, "{}", issuer.received().len());
    assert!(provider.received().is_empty());
    assert!(
        gateway.output().contains("invalid_client"),
        "{}",
        gateway.output()
    );
    let line = gateway.calls();
    assert!(
        line.iter()
            .all(|line| !line.to_string().contains("s3cret-of-the-app"))
    );
}

/// AWS's own chain: the environment, then a container's endpoint.
#[tokio::test]
async fn awss_keys_are_found_where_its_tools_find_them() {
    let answer = json!({"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}, "stopReason": "end_turn", "usage": {}});
    let provider = ScriptedProvider::always(Reply::json(200, &answer)).await;
    let keys = json!({"AccessKeyId": "ASIACONTAINER", "SecretAccessKey": "s", "Token": "t", "Expiration": "2199-01-01T00:00:00Z"});
    let container = ScriptedProvider::always(Reply::json(200, &keys)).await;
    let configuration = format!(
        "providers: [{{name: aws, type: bedrock, base_url: \"{}\", region: us-west-2}}]\nroutes: [{{name: gpt, model: {{provider: aws, name: amazon.nova-lite-v1:0}}}}]\n",
        provider.url()
    );
    let endpoint = format!("{}/v1/credentials", container.url());
    for (environment, id) in [
        (
            vec![
                ("AWS_ACCESS_KEY_ID", "AKIAENV"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ],
            "AKIAENV",
        ),
        (
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod"),
            ],
            "ASIACONTAINER",
        ),
    ] {
        let gateway = TestGateway::start_with(program(), &configuration, &environment).await;
        assert_eq!(status(&gateway).await, 200, "{}", gateway.output());
        let shown = shown(&provider).pop().unwrap();
        assert!(
            shown.starts_with(&format!("AWS4-HMAC-SHA256 Credential={id}/")),
            "{shown}"
        );
        assert!(shown.contains("/us-west-2/bedrock/"), "{shown}");
    }
    assert_eq!(container.received()[0].header("authorization"), Some("pod"));
}
