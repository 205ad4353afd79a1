//! Tokens of an issuer instead of keys: whose they are, what they open, and every way in which they are not good enough.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client};

use crate::stage::{chat, openai_answer, program};

/// A key of an issuer's.
struct IssuerKey {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl IssuerKey {
    fn new(id: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { id, pair }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let part = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id, "x": part(1), "y": part(33)})
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.id.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        let der = self.pair.to_pkcs8v1().expect("it can be written");
        encode(&header, claims, &EncodingKey::from_ec_der(der.as_ref())).expect("it can be signed")
    }
}

/// An issuer that is also the provider, with keys that can be changed.
struct Stage {
    gateway: TestGateway,
    url: String,
    keys: [IssuerKey; 2],
    second_key: Arc<AtomicBool>,
    is_away: Arc<AtomicBool>,
    fetches: Arc<AtomicU64>,
    /// How long the issuer takes to give its keys, in milliseconds.
    slowness: Arc<AtomicU64>,
    _provider: ScriptedProvider,
}

impl Stage {
    async fn new(more: &str) -> Self {
        let keys = [IssuerKey::new("one"), IssuerKey::new("two")];
        let jwks = [keys[0].jwk(), keys[1].jwk()];
        let (second_key, is_away) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (fetches, slowness) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (second, away, count, pause) = (
            Arc::clone(&second_key),
            Arc::clone(&is_away),
            Arc::clone(&fetches),
            Arc::clone(&slowness),
        );
        let provider = ScriptedProvider::start(move |request| {
            let issuer = format!(
                "http://{}/login",
                request.header("host").unwrap_or_default()
            );
            match request.path.as_str() {
                path if path.starts_with("/login") && away.load(Ordering::Relaxed) => {
                    Reply::close()
                }
                "/login/.well-known/openid-configuration" => Reply::json(
                    200,
                    &json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}),
                ),
                "/login/keys" => {
                    count.fetch_add(1, Ordering::Relaxed);
                    let known = if second.load(Ordering::Relaxed) {
                        &jwks[..]
                    } else {
                        &jwks[..1]
                    };
                    // What nobody understands is passed over.
                    let odd = json!({"kty": "odd", "kid": "odd"});
                    let all = [known, &[odd]].concat();
                    let pause = Duration::from_millis(pause.load(Ordering::Relaxed));
                    Reply::json(200, &json!({"keys": all})).after(pause)
                }
                _ => Reply::json(200, &openai_answer("Hello")),
            }
        })
        .await;
        let url = format!("{}/login", provider.url());
        let configuration = format!(
            "issuers:\n  - {{name: login, issuer: \"{url}\", audience: tollgate, claims: {{name: client_id, team: groups, app: azp, user: sub}}, routes: [chat, mini], models: [openai/gpt-4o]}}\n\
             providers:\n  - {{name: openai, type: openai, base_url: \"{}/v1\", api_key: sk-up}}\n\
             routes:\n  - {{name: chat, model: {{provider: openai, name: gpt-4o}}}}\n  - {{name: other, model: {{provider: openai, name: gpt-4o}}}}\n  - {{name: mini, model: {{provider: openai, name: gpt-4o-mini}}}}\n{more}",
            provider.url()
        );
        Self {
            gateway: TestGateway::start(program(), &configuration).await,
            url,
            keys,
            second_key,
            is_away,
            fetches,
            slowness,
            _provider: provider,
        }
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": ["other", "tollgate"], "exp": get_current_timestamp() + 300, "client_id": "bot", "groups": ["research"], "sub": "ann"})
    }

    async fn call(&self, token: &str, route: &str) -> client::Answer {
        let authorization = format!("Bearer {token}");
        self.gateway
            .post_with(
                "/v1/chat/completions",
                &chat(route),
                &[("authorization", &authorization)],
            )
            .await
    }
}

#[tokio::test]
async fn a_token_opens_what_its_issuer_opens_and_says_who_is_calling() {
    let limit = "limits:\n  - {name: of bot, of: {key: \"login:bot\"}, requests: 2, per: hour}\n";
    let stage = Stage::new(limit).await;
    let token = stage.keys[0].sign(&stage.claims());
    assert_eq!(stage.call(&token, "chat").await.status, 200);
    let other = stage.call(&token, "other").await;
    assert_eq!(other.status, 403);
    assert!(
        other.text().contains("this token may not use `other`"),
        "{}",
        other.text()
    );
    let mini = stage.call(&token, "mini").await.json();
    assert_eq!(mini["error"]["code"], "model_not_allowed", "{mini}");
    assert_eq!(stage.call(&token, "chat").await.status, 200);
    let limited = stage.call(&token, "chat").await;
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    // Nobody goes without.
    let unsigned = stage
        .gateway
        .post("/v1/chat/completions", &chat("chat"))
        .await;
    assert_eq!(unsigned.json()["error"]["code"], "key_missing");
    let calls = stage.gateway.wait_for_calls(6).await;
    let call = &calls[0];
    assert_eq!(call["key"], "login:bot");
    for call in calls.iter().filter(|call| call["key"] == "login:bot") {
        assert_eq!(call["user"], "ann", "{call}");
    }
    let mut refused = calls.iter();
    assert!(
        refused.any(|call| call["error_code"] == "route_not_allowed"),
        "{calls:?}"
    );
    let mut told = String::new();
    for _ in 0..50 {
        told = stage
            .gateway
            .command(&["usage", "--json", "--by", "team,user,key"]);
        if told.contains("research") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(
        told.contains("\"team\": \"research\"") && told.contains("\"user\": \"ann\""),
        "{told}"
    );
    assert_eq!(stage.fetches.load(Ordering::Relaxed), 1, "keys are kept");
}

#[tokio::test]
async fn a_caller_with_a_token_belongs_to_an_app_and_to_the_organisation_of_its_team() {
    let admin = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port");
    let stage = Stage::new(&format!(
        "admin: {{listen: \"{admin}\"}}\n\
         limits:\n  - {{name: of acme, of: {{organisation: acme}}, requests: 2, per: year}}\n  - {{name: of the console, of: {{app: console}}, requests: 1, per: year}}\n"
    ))
    .await;
    let owner = stage.gateway.command(&["user", "create", "--name", "root"]);
    let authorization = format!("Bearer {}", owner.trim());
    let headers = [("authorization", authorization.as_str())];
    for (path, body) in [
        ("/api/v1/organisations", json!({"name": "acme"})),
        (
            "/api/v1/teams",
            json!({"name": "research", "organisation": "acme"}),
        ),
    ] {
        let body = body.to_string().into_bytes();
        let made = client::send(admin, "POST", path, &headers, body).await;
        let made = made.expect("the API answers");
        assert_eq!(made.status, 201, "{}", made.text());
    }
    sleep(Duration::from_millis(1500)).await;
    let with = |team: &str, app: &str| {
        let mut claims = stage.claims();
        (claims["groups"], claims["azp"]) = (json!([team]), json!(app));
        stage.keys[0].sign(&claims)
    };
    let refused = |answer: client::Answer, limit: &str| {
        let told = answer.text();
        assert!(
            answer.status == 429 && told.contains(limit),
            "{limit}: {told}"
        );
    };
    let (console, elsewhere, acme, other) = (
        with("research", "console"),
        with("elsewhere", "console"),
        with("research", "other"),
        with("elsewhere", "other"),
    );
    assert_eq!(stage.call(&console, "chat").await.status, 200);
    refused(stage.call(&console, "chat").await, "of the console");
    assert_eq!(stage.call(&acme, "chat").await.status, 200);
    refused(stage.call(&acme, "chat").await, "of acme");
    assert_eq!(stage.call(&other, "chat").await.status, 200);

    // The books know it, too.
    let stage = Stage {
        gateway: stage.gateway.kill_and_restart().await,
        ..stage
    };
    refused(stage.call(&acme, "chat").await, "of acme");
    refused(stage.call(&elsewhere, "chat").await, "of the console");
    assert_eq!(stage.call(&other, "chat").await.status, 200);
    let by_app = stage
        .gateway
        .command(&["usage", "--by", "app", "--app", "console", "--json"]);
    let by_app: Value = serde_json::from_str(&by_app).expect("JSON");
    // What was answered, and what was refused, the last of it as soon as it is entered.
    assert_eq!(by_app[0]["app"], "console", "{by_app:#}");
    assert!(by_app[0]["calls"].as_u64() >= Some(2), "{by_app:#}");
}

#[tokio::test]
async fn a_token_that_is_not_good_enough_opens_nothing() {
    let stage = Stage::new("").await;
    let with = |name: &str, value: Value| {
        let mut claims = stage.claims();
        claims[name] = value;
        stage.keys[0].sign(&claims)
    };
    let now = get_current_timestamp();
    let good = stage.keys[0].sign(&stage.claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let bare = |algorithm: &str| {
        format!(
            "{}.{}",
            part(json!({"alg": algorithm, "kid": "one"})),
            part(stage.claims())
        )
    };
    // Signed with what everybody can read, as if it were a secret.
    let public = stage.keys[0].pair.public_key().as_ref().to_vec();
    let symmetric = encode(
        &Header::new(Algorithm::HS256),
        &stage.claims(),
        &EncodingKey::from_secret(&public),
    )
    .unwrap();
    let mut header = Header::new(Algorithm::ES256);
    (header.kid, header.crit) = (Some("one".to_owned()), Some(vec!["exp".to_owned()]));
    let der = stage.keys[0].pair.to_pkcs8v1().unwrap();
    let key = EncodingKey::from_ec_der(der.as_ref());
    let critical = encode(&header, &stage.claims(), &key).unwrap();
    let mut missing = stage.claims();
    missing.as_object_mut().unwrap().remove("exp");
    for (token, why) in [
        (with("aud", json!("other")), "another audience"),
        (
            with("iss", json!("https://elsewhere.example.com")),
            "not trusted",
        ),
        (with("nbf", json!(now + 300)), "not valid yet"),
        (with("client_id", json!(7)), "who is calling"),
        (stage.keys[0].sign(&missing), "until when"),
        (stage.keys[1].sign(&stage.claims()), "does not have"),
        (format!("{signed}.{}", "A".repeat(86)), "signature"),
        (format!("{}.", bare("none")), "cannot be read"),
        (symmetric, "algorithm"),
        (
            format!("{}.c2ln", bare("RS256")),
            "signed with RS256, and its issuer's key is for ES256",
        ),
        (critical, "`crit`"),
        (
            with("client_id", json!("\u{1b}[31mred")),
            "its name, the claim `client_id`, has control characters",
        ),
        (
            with("groups", json!(["a\nb"])),
            "its team, the claim `groups`",
        ),
        (with("azp", json!("a\u{9b}b")), "its app, the claim `azp`"),
        (
            with("sub", json!("x".repeat(201))),
            "its user, the claim `sub`, has more than 200 bytes",
        ),
        ("eyJh.eyJh.eyJh".to_owned(), "cannot be read"),
    ] {
        let answer = stage.call(&token, "chat").await;
        let told = answer.text();
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].clone()),
            (401, json!("invalid_token")),
            "{why}: {told}"
        );
        assert!(told.contains(why), "{why}: {told}");
    }
    let expired = stage.call(&with("exp", json!(now - 300)), "chat").await;
    assert_eq!(
        (expired.status, expired.json()["error"]["code"].clone()),
        (401, json!("token_expired"))
    );
    assert_eq!(
        stage.call("tg_key", "chat").await.json()["error"]["code"],
        "invalid_api_key"
    );
    assert_eq!(stage.call(&good, "chat").await.status, 200);
    // Invented names of keys do not keep the issuer busy.
    assert!(stage.fetches.load(Ordering::Relaxed) <= 2);
}

#[tokio::test]
async fn keys_are_followed_as_they_change_and_kept_while_their_issuer_is_away() {
    let stage = Stage::new("").await;
    stage.is_away.store(true, Ordering::Relaxed);
    let first = stage.keys[0].sign(&stage.claims());
    let away = stage.call(&first, "chat").await;
    assert_eq!(
        (away.status, away.json()["error"]["code"].clone()),
        (503, json!("issuer_away"))
    );
    assert_eq!(away.header("retry-after"), "10");
    stage.is_away.store(false, Ordering::Relaxed);
    stage.second_key.store(true, Ordering::Relaxed);
    let second = stage.keys[1].sign(&stage.claims());
    let mut status = 0;
    for _ in 0..150 {
        status = stage.call(&second, "chat").await.status;
        if status == 200 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 200);
    // That the issuer has no other is known for a while; then nobody knows.
    let other = IssuerKey::new("three").sign(&stage.claims());
    assert_eq!(stage.call(&other, "chat").await.status, 401);
    stage.is_away.store(true, Ordering::Relaxed);
    let mut told = Value::Null;
    for _ in 0..150 {
        told = stage.call(&other, "chat").await.json();
        if told["error"]["code"] == "issuer_away" {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told["error"]["code"], "issuer_away", "{told}");
    assert_eq!(stage.call(&first, "chat").await.status, 200);
    assert!(
        stage.gateway.output().contains("cannot be had"),
        "{}",
        stage.gateway.output()
    );
}

#[tokio::test]
async fn keys_are_fetched_whoever_hangs_up_meanwhile() {
    let stage = Stage::new("").await;
    // Longer than a call waits.
    stage.slowness.store(6_000, Ordering::Relaxed);
    // Anybody can forge what makes the keys be fetched.
    let forged = stage.keys[1].sign(&stage.claims());
    let hung_up = timeout(Duration::from_millis(300), stage.call(&forged, "chat")).await;
    assert!(hung_up.is_err(), "{hung_up:?}");
    let good = stage.keys[0].sign(&stage.claims());
    let away = stage.call(&good, "chat").await;
    assert_eq!(away.json()["error"]["code"], "issuer_away");
    // What takes that long is still under way.
    assert_eq!(stage.call(&good, "chat").await.status, 200);
    assert_eq!(stage.fetches.load(Ordering::Relaxed), 1);
}
