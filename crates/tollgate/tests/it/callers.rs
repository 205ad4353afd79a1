//! Keys, limits, and what a caller is told.

use std::{
    io::{Read, Write},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client, postgres::Postgres};

use crate::stage::{
    TWO_PROVIDERS, anthropic_answer, chat, gateway, nobody, openai_answer, program,
};

/// Keys `alpha` (all routes), `beta` (another route) and `gone` (expired), by their hashes.
const KEYS: &str = r#"
keys:
  - {name: alpha, hash: "sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"}
  - {name: beta, hash: "sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753", routes: [claude]}
  - {name: gone, hash: "sha256:283bb9deef02e6843abfb538efa1eca70801bd8a701c3f98191e123496339247", expires: 2020-01-01}
"#;

#[tokio::test]
async fn keys_open_their_routes_and_never_go_upstream() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = format!("{TWO_PROVIDERS}{KEYS}");
    let gateway = gateway(
        &configuration,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    for headers in [
        [("authorization", "Bearer alpha")],
        [("x-api-key", "alpha")],
        [("api-key", "alpha")],
    ] {
        assert_eq!(
            gateway
                .post_with("/v1/chat/completions", &chat("gpt"), &headers)
                .await
                .status,
            200,
            "{headers:?}"
        );
    }
    for request in openai.received() {
        assert!(
            !format!("{:?}", request.headers).contains("alpha"),
            "{:?}",
            request.headers
        );
    }
    for (key, status, code) in [
        ("", 401, "key_missing"),
        ("nonsense", 401, "invalid_api_key"),
        ("beta", 403, "route_not_allowed"),
        ("gone", 401, "key_expired"),
    ] {
        let headers: &[(&str, &str)] = if key.is_empty() {
            &[]
        } else {
            &[("x-api-key", key)]
        };
        let answer = gateway
            .post_with("/v1/chat/completions", &chat("gpt"), headers)
            .await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (status, &json!(code)),
            "{key}"
        );
    }
    let models = client::open(
        gateway.address(),
        "GET",
        "/v1/models",
        &[("x-api-key", "beta")],
        Vec::new(),
    )
    .await
    .unwrap();
    assert_eq!(models.status, 200);
    let line = &gateway.wait_for_calls(3).await[0];
    assert_eq!(line["key"], "alpha");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_the_clients_dialect() {
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &nobody().await), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let openai = |answer: &client::Answer| (answer.status, answer.json()["error"]["code"].clone());
    assert_eq!(
        openai(&gateway.post("/v1/chat/completions", &chat("gtp")).await),
        (404, json!("model_not_found"))
    );
    assert!(
        gateway
            .post("/v1/chat/completions", &chat("gtp"))
            .await
            .text()
            .contains("did you mean `gpt`")
    );
    assert_eq!(
        openai(
            &gateway
                .post("/v1/embeddings", &json!({"model": "gpt", "input": "x"}))
                .await
        ),
        (400, json!("wrong_task"))
    );
    assert_eq!(
        openai(
            &gateway
                .post("/v1/chat/completions", &json!({"messages": []}))
                .await
        ),
        (400, json!("model_missing"))
    );
    assert_eq!(
        openai(&gateway.post("/v9/chat", &json!({})).await),
        (404, json!("unknown_path"))
    );
    assert_eq!(
        openai(&gateway.get("/v1/chat/completions").await),
        (405, json!("method_not_allowed"))
    );
    let unsupported = gateway
        .post(
            "/v1/chat/completions",
            &json!({"model": "claude", "seed": 1, "messages": [{"role": "user", "content": "Hi"}]}),
        )
        .await;
    assert_eq!(openai(&unsupported), (400, json!("unsupported_field")));
    assert!(unsupported.text().contains("`seed`"));

    let broken = client::post(
        gateway.address(),
        "/v1/messages",
        &[],
        b"{\"model\": ".to_vec(),
    )
    .await
    .unwrap();
    assert_eq!(
        (
            broken.status,
            &broken.json()["type"],
            &broken.json()["error"]["type"]
        ),
        (400, &json!("error"), &json!("invalid_request_error"))
    );
    assert_eq!(broken.json()["request_id"], broken.header("x-request-id"));
    let mlflow = gateway
        .post("/gateway/nothing/invocations", &json!({}))
        .await;
    assert_eq!(
        (mlflow.status, &mlflow.json()["error_code"]),
        (404, &json!("RESOURCE_DOES_NOT_EXIST"))
    );
    assert!(mlflow.json()["detail"].is_string());
}

#[tokio::test]
async fn sizes_and_depths_are_bounded() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let configuration = format!(
        "{TWO_PROVIDERS}\nserver: {{limits: {{body: 10KiB, url: 200B, json_depth: 20, body_timeout: 300ms, header_timeout: 300ms}}}}\n"
    );
    let gateway = gateway(
        &configuration,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let mut large = chat("gpt");
    large["x"] = json!("y".repeat(11_000));
    assert_eq!(
        gateway.post("/v1/chat/completions", &large).await.status,
        413
    );

    // A client that writes all before it reads hears the refusal, too, and no broken connection.
    let mut stream = std::net::TcpStream::connect(gateway.address()).unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let body = vec![b'y'; 8 << 20];
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(answer.await.unwrap().starts_with("HTTP/1.1 413"));

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(large.to_string().as_bytes()).unwrap();
    let bomb = packed.finish().unwrap();
    let headers = [("content-encoding", "gzip")];
    assert_eq!(
        client::post(gateway.address(), "/v1/chat/completions", &headers, bomb)
            .await
            .unwrap()
            .status,
        413
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed
        .write_all(chat("gpt").to_string().as_bytes())
        .unwrap();
    assert_eq!(
        client::post(
            gateway.address(),
            "/v1/chat/completions",
            &headers,
            packed.finish().unwrap()
        )
        .await
        .unwrap()
        .status,
        200
    );

    let deep = format!(
        "{{\"model\":\"gpt\",\"x\":{}{}}}",
        "[".repeat(30),
        "]".repeat(30)
    );
    assert_eq!(
        client::post(
            gateway.address(),
            "/v1/chat/completions",
            &[],
            deep.into_bytes()
        )
        .await
        .unwrap()
        .status,
        400
    );
    assert_eq!(
        gateway
            .post(
                &format!("/v1/chat/completions?{}", "a".repeat(300)),
                &chat("gpt")
            )
            .await
            .status,
        414
    );

    let mut slow = TcpStream::connect(gateway.address()).await.unwrap();
    slow.write_all(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    )
    .await
    .unwrap();
    let mut heard = vec![0; 4096];
    let bytes = tokio::time::timeout(Duration::from_secs(3), slow.read(&mut heard))
        .await
        .expect("an answer")
        .unwrap();
    assert!(String::from_utf8_lossy(&heard[..bytes]).starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn ids_and_traces_are_passed_on() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &nobody().await)],
    )
    .await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("x-request-id", "mine-1"),
        ("traceparent", trace),
        ("x-tollgate-timing", "1"),
        ("cookie", "secret=1"),
    ];
    let answer = gateway
        .post_with("/v1/chat/completions", &chat("gpt"), &headers)
        .await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert!(
        answer.header("server-timing").starts_with("gateway;dur="),
        "{:?}",
        answer.headers
    );
    assert_eq!(openai.received()[0].header("traceparent"), Some(trace));
    assert_eq!(openai.received()[0].header("cookie"), None);
    let answer = gateway
        .post_with(
            "/v1/chat/completions",
            &chat("gpt"),
            &[("x-request-id", "no good")],
        )
        .await;
    assert_ne!(answer.header("x-request-id"), "no good");
}

#[tokio::test]
async fn beta_features_of_anthropic_go_to_anthropic_alone() {
    let openai = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let anthropic = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
    let gateway = gateway(
        TWO_PROVIDERS,
        &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
    )
    .await;
    for route in ["gpt", "claude"] {
        let call = json!({"model": route, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(
            gateway
                .post_with(
                    "/v1/messages",
                    &call,
                    &[("anthropic-beta", "a,b"), ("anthropic-beta", "c")]
                )
                .await
                .status,
            200
        );
    }
    assert_eq!(
        anthropic.received()[0].header_lines("anthropic-beta"),
        ["a,b", "c"]
    );
    assert_eq!(openai.received()[0].header("anthropic-beta"), None);
}

/// Waits until a call with a key has a status, for a second at most: that is what is promised.
async fn within_a_second(gateway: &TestGateway, key: &str, status: u16) {
    let authorization = format!("Bearer {key}");
    let mut last = 0;
    for _ in 0..50 {
        let headers = [("authorization", authorization.as_str())];
        let call = chat("chat");
        last = gateway
            .post_with("/v1/chat/completions", &call, &headers)
            .await
            .status;
        if last == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(last, status, "{}", gateway.output());
}

const OPEN: &str = "providers: [{name: demo, type: demo}]
routes: [{name: chat, model: {provider: demo, name: m}}, {name: other, model: {provider: demo, name: m}}]
";

#[tokio::test]
async fn keys_in_the_store_are_taken_over_at_once() {
    let gateway = TestGateway::start(program(), OPEN).await;
    let command = |arguments: &[&str]| {
        gateway
            .command(&[&["key"], arguments].concat())
            .trim()
            .to_owned()
    };
    // There are no keys yet: whoever reaches it may call.
    within_a_second(&gateway, "nonsense", 200).await;
    let key = command(&[
        "create", "--name", "app", "--team", "red", "--routes", "chat",
    ]);
    assert!(key.starts_with("tg_"));
    within_a_second(&gateway, "nonsense", 401).await;
    within_a_second(&gateway, &key, 200).await;
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let other = gateway
        .post_with("/v1/chat/completions", &chat("other"), &headers)
        .await;
    assert_eq!(other.status, 403);
    command(&["block", "app"]);
    within_a_second(&gateway, &key, 401).await;
    command(&["unblock", "app"]);
    within_a_second(&gateway, &key, 200).await;
    let second = command(&["rotate", "app"]);
    within_a_second(&gateway, &second, 200).await;
    within_a_second(&gateway, &key, 200).await;
    let third = command(&["rotate", "app", "--overlap", "0s"]);
    within_a_second(&gateway, &second, 401).await;
    within_a_second(&gateway, &third, 200).await;
    let listed: serde_json::Value = serde_json::from_str(&command(&["list", "--json"])).unwrap();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["team"], &listed[0]["state"]),
        (&json!("app"), &json!("red"), &json!("open"))
    );
    // They outlive a change of the file, and a restart.
    gateway.write_configuration(&format!("{OPEN}direct_use: false\n"));
    within_a_second(&gateway, "nonsense", 401).await;
    let gateway = gateway.kill_and_restart().await;
    within_a_second(&gateway, &third, 200).await;
    gateway.command(&["key", "remove", "app"]);
    within_a_second(&gateway, &third, 401).await;
    // Without a key left, nobody is let in without one.
    within_a_second(&gateway, "nonsense", 401).await;
    let calls = gateway.command(&["usage", "--by", "team,key", "--json"]);
    assert!(calls.contains("\"red\""), "{calls}");
    let files = std::fs::read(gateway.folder().join("tollgate.db")).unwrap();
    for secret in [&key, &second, &third] {
        assert!(
            !files
                .windows(secret.len())
                .any(|bytes| bytes == secret.as_bytes())
        );
    }
}

#[tokio::test]
async fn every_node_learns_of_keys_and_goes_on_while_the_database_is_away() {
    let postgres = Postgres::start();
    let configuration = format!("store: {{url: \"{}\"}}\n{OPEN}", postgres.url());
    let one = TestGateway::start(program(), &configuration).await;
    let two = TestGateway::start(program(), &configuration).await;
    let key = one
        .command(&["key", "create", "--name", "app"])
        .trim()
        .to_owned();
    for gateway in [&one, &two] {
        within_a_second(gateway, &key, 200).await;
        within_a_second(gateway, "nonsense", 401).await;
    }
    two.command(&["key", "block", "app"]);
    for gateway in [&one, &two] {
        within_a_second(gateway, &key, 401).await;
    }
    two.command(&["key", "unblock", "app"]);
    within_a_second(&one, &key, 200).await;
    postgres.stop();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    within_a_second(&one, &key, 200).await;
    // A node that starts now knows of no key, and lets nobody in.
    let three = TestGateway::start(program(), &configuration).await;
    within_a_second(&three, &key, 401).await;
    postgres.resume();
    for _ in 0..10 {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let headers = [("authorization", format!("Bearer {key}"))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let answer = three
            .post_with("/v1/chat/completions", &chat("chat"), &headers)
            .await;
        if answer.status == 200 {
            return;
        }
    }
    unreachable!("the third node never learnt of the key: {}", three.output());
}

#[tokio::test]
async fn a_key_opens_nothing_elsewhere() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let hash = |key: &str| tollgate_domain::KeyHash::of(key).to_string();
    let configuration = format!(
        "server: {{trusted_proxies: [127.0.0.0/8, 192.0.2.0/24]}}\n\
         keys:\n  - {{name: paths, hash: \"{}\", paths: [/v1/completions, /v1/chat/*]}}\n  - {{name: networks, hash: \"{}\", networks: [10.0.0.0/8]}}\n\
         providers:\n  - {{name: openai, type: openai, base_url: \"{}/v1\", api_key: sk-up}}\n\
         routes:\n  - {{name: chat, model: {{provider: openai, name: gpt-4o}}}}\n",
        hash("tg_paths"),
        hash("tg_networks"),
        provider.url()
    );
    let gateway = TestGateway::start(program(), &configuration).await;
    let ask = async |path: &str, key: &str, forwarded: &str| {
        let authorization = format!("Bearer {key}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-forwarded-for", forwarded),
        ];
        let answer = gateway.post_with(path, &chat("chat"), &headers).await;
        let code = answer.json()["error"]["code"].clone();
        (answer.status, code.as_str().unwrap_or_default().to_owned())
    };
    let refused = (403, "key_not_for_here".to_owned());
    let open = (200, String::new());
    let path = "/v1/chat/completions";
    assert_eq!(ask(path, "tg_paths", "").await, open);
    assert_eq!(ask("/v1/messages", "tg_paths", "").await, refused);
    // The last address that no trusted proxy has is the client's; what stands before it anybody can write.
    for (forwarded, expected) in [
        ("10.1.2.3", &open),
        ("10.1.2.3, 192.0.2.7", &open),
        ("[::ffff:10.1.2.3]:80", &open),
        ("10.1.2.3, 198.51.100.1", &refused),
        ("10.1.2.3, rubbish", &refused),
        ("", &refused),
    ] {
        assert_eq!(
            &ask(path, "tg_networks", forwarded).await,
            expected,
            "{forwarded}"
        );
    }
    let calls = gateway.wait_for_calls(8).await;
    assert!(
        calls
            .iter()
            .any(|call| call["client_address"] == "198.51.100.1"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_key_reaches_no_other_models_than_its_own() {
    let openai = ScriptedProvider::start(|request| {
        if String::from_utf8_lossy(&request.body).contains("gpt-4o-broken") {
            return Reply::json(500, &json!({"error": {"message": "broken"}}));
        }
        Reply::json(200, &openai_answer("Hello"))
    })
    .await;
    let anthropic = ScriptedProvider::always(Reply::json(200, &anthropic_answer("Salve"))).await;
    let hash = |key: &str| tollgate_domain::KeyHash::of(key).to_string();
    let configuration = format!(
        "direct_use: true\n\
         keys:\n  - {{name: some, hash: \"{}\", models: [gpt-4o*]}}\n  - {{name: all of one, hash: \"{}\", models: [\"openai/*\"]}}\n\
         providers:\n  - {{name: openai, type: openai, base_url: \"OPENAI/v1\", api_key: sk-up}}\n  - {{name: anthropic, type: anthropic, base_url: ANTHROPIC, api_key: sk-ant-up}}\n\
         routes:\n  - {{name: claude, model: {{provider: anthropic, name: claude}}}}\n  - {{name: files, route_type: http, model: {{provider: openai}}}}\n  \
         - {{name: mixed, model: {{strategy: {{type: ordered, models: [{{provider: anthropic, name: claude}}, {{provider: openai, name: gpt-4o}}]}}}}}}\n  \
         - {{name: broken, retries: {{per_target: 0}}, model: {{strategy: {{type: ordered, models: [{{provider: openai, name: gpt-4o-broken}}, {{provider: anthropic, name: claude}}]}}}}}}\n",
        hash("tg_some"),
        hash("tg_openai"),
    );
    let gateway = gateway(
        &configuration,
        &[("OPENAI", &openai), ("ANTHROPIC", &anthropic)],
    )
    .await;
    let ask = async |path: &str, model: &str, key: &str| {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str())];
        gateway.post_with(path, &chat(model), &headers).await
    };
    let path = "/v1/chat/completions";
    let answer = ask(path, "mixed", "tg_some").await;
    assert_eq!(answer.header("x-tollgate-target"), "openai/gpt-4o");
    let broken = ask(path, "broken", "tg_some").await;
    assert_eq!(broken.status, 500, "{}", broken.text());
    assert_eq!(ask(path, "openai/gpt-4o-mini", "tg_some").await.status, 200);
    for (path, model) in [
        (path, "claude"),
        ("/v1/messages", "claude"),
        (path, "anthropic/claude"),
        (path, "openai/o3"),
        ("/files/v1/chat/completions", ""),
    ] {
        let refused = ask(path, model, "tg_some").await;
        let told = refused.text();
        assert_eq!(refused.status, 403, "{path} {model}: {told}");
        assert!(
            told.contains("this key may not use the models behind")
                && told.contains("it may use `gpt-4o*`"),
            "{told}"
        );
    }
    assert!(anthropic.received().is_empty());
    let refused = ask(path, "claude", "tg_openai").await;
    assert_eq!(refused.json()["error"]["code"], "model_not_allowed");
    let plain = ask("/files/v1/chat/completions", "o3", "tg_openai").await;
    assert_eq!(plain.status, 200, "{}", plain.text());

    // What is reached is listed, and nothing else.
    let get = async |path: &str| {
        let headers = [("authorization", "Bearer tg_some")];
        client::send(gateway.address(), "GET", path, &headers, Vec::new())
            .await
            .expect("it answers")
    };
    let listed = get("/v1/models").await.json();
    let listed = listed["data"].as_array().expect("a list");
    let names: Vec<&str> = listed
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(names, ["mixed", "broken"]);
    assert_eq!(get("/v1/models/claude").await.status, 404);
    assert_eq!(get("/v1/models/mixed").await.status, 200);
}

#[tokio::test]
async fn keys_in_the_store_reach_their_models() {
    let gateway = TestGateway::start(
        program(),
        "providers: [{name: demo, type: demo}]\nroutes: [{name: chat, model: {provider: demo, name: m}}, {name: other, model: {provider: demo, name: n}}]\n",
    )
    .await;
    let create = ["key", "create", "--name", "app", "--models", "demo/m,x*"];
    let key = gateway.command(&create).trim().to_owned();
    within_a_second(&gateway, "nonsense", 401).await;
    within_a_second(&gateway, &key, 200).await;
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let other = gateway
        .post_with("/v1/chat/completions", &chat("other"), &headers)
        .await;
    assert_eq!(other.status, 403);
    assert!(
        other.text().contains("it may use `demo/m`, `x*`"),
        "{}",
        other.text()
    );
    let listed = gateway.command(&["key", "list"]);
    assert!(listed.contains("models demo/m,x*"), "{listed}");
}

#[tokio::test]
async fn a_key_in_the_store_opens_a_route_by_whichever_of_its_names() {
    let gateway = TestGateway::start(
        program(),
        "providers: [{name: demo, type: demo}]\nroutes: [{name: chat, aliases: [gpt], model: {provider: demo, name: m}}, {name: other, model: {provider: demo, name: n}}]\n",
    )
    .await;
    let create = ["key", "create", "--name", "app", "--routes", "gpt"];
    let key = gateway.command(&create).trim().to_owned();
    within_a_second(&gateway, "nonsense", 401).await;
    within_a_second(&gateway, &key, 200).await;
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    for (route, status) in [("gpt", 200), ("other", 403)] {
        let answer = gateway
            .post_with("/v1/chat/completions", &chat(route), &headers)
            .await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}
