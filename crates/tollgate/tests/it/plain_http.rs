//! Plain HTTP: what no dialect is spoken in goes to a provider and comes back as it is, with the gateway's credentials in place of the
//! caller's.

use serde_json::json;
use tollgate_testkit::{Reply, ScriptedProvider, TestGateway, client};

use crate::stage::gateway;

const CONFIGURATION: &str = r#"
providers:
  - {name: files, type: openai, base_url: "FILES/v1?version=7", api_key: sk-up, headers: {x-team: ours}}
  - {name: spare, type: custom, base_url: "SPARE", api_key: sk-spare}
routes:
  - {name: files, route_type: http, model: {provider: files}}
  - {name: reading, route_type: http, path: /apis/reading, methods: [GET, HEAD], model: {provider: files, name: reading}}
  - name: either
    route_type: http
    retries: {per_target: 1, backoff: 1ms}
    model: {strategy: {type: ordered, models: [{provider: files}, {provider: spare}]}}
"#;

async fn send(
    gateway: &TestGateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> client::Answer {
    client::send(gateway.address(), method, path, headers, body.to_vec())
        .await
        .expect("an answer")
}

#[tokio::test]
async fn requests_and_answers_pass_as_they_are() {
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let reply = Reply::body(201, "application/x-own", bytes.clone())
        .header("x-own", "1")
        .header("set-cookie", "session=provider")
        .header("location", "/v1/files/1");
    let provider = ScriptedProvider::always(reply).await;
    let pairs = [("FILES", &provider), ("SPARE", &provider)];
    let gateway = gateway(CONFIGURATION, &pairs).await;
    let headers = [
        ("authorization", "Bearer of-the-caller"),
        ("x-api-key", "of-the-caller"),
        ("cookie", "of=the-caller"),
        ("content-type", "text/x-odd"),
        ("x-team", "theirs"),
        ("x-beta", "a"),
    ];
    let path = "/files/v1/files%2Fa?version=1&after=%20x";
    let told = send(&gateway, "PUT", path, &headers, b"\x00\xff{not json").await;
    assert_eq!((told.status, told.body), (201, bytes));
    assert_eq!(told.headers["content-type"], "application/x-own");
    assert_eq!(told.headers["x-own"], "1");
    assert_eq!(told.headers["location"], "/v1/files/1");
    assert_eq!(told.headers["x-tollgate-target"], "files/http");
    assert!(!told.headers.contains_key("set-cookie"));

    let sent = provider.received().pop().expect("a request");
    let line = (sent.method.as_str(), sent.path.as_str());
    assert_eq!(line, ("PUT", "/v1/files%2Fa?version=7&after=%20x"));
    assert_eq!(sent.body, b"\x00\xff{not json");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-up"));
    assert_eq!(sent.header("content-type"), Some("text/x-odd"));
    assert_eq!(sent.header_lines("x-team"), ["ours"]);
    assert_eq!(sent.header("x-beta"), Some("a"));
    let headers = format!("{:?}", sent.headers);
    assert!(!headers.contains("the-caller"), "{headers}");

    let record = gateway.wait_for_calls(1).await.pop().expect("a record");
    assert_eq!(record["outcome"], "answered");
    assert_eq!(record["status"], 201);
    assert_eq!(record["task"], "http");
    assert_eq!(record["response_bytes"], 200_000);
    assert_eq!(record["cost_unknown"], "unpriced");
}

#[tokio::test]
async fn a_question_without_a_body_gets_its_head_alone() {
    let reply = Reply::body(200, "text/plain", "");
    let provider = ScriptedProvider::always(reply).await;
    let pairs = [("FILES", &provider), ("SPARE", &provider)];
    let gateway = gateway(CONFIGURATION, &pairs).await;
    for (method, path) in [("HEAD", "/apis/reading/x"), ("GET", "/apis/reading")] {
        let told = send(&gateway, method, path, &[], b"").await;
        assert_eq!((told.status, told.body.len()), (200, 0), "{method}");
    }
    let sent = provider.received();
    let lines: Vec<_> = sent
        .iter()
        .map(|sent| (sent.method.as_str(), sent.path.as_str()))
        .collect();
    let expected = [("HEAD", "/v1/x?version=7"), ("GET", "/v1?version=7")];
    assert_eq!(lines, expected);
    let told = send(&gateway, "POST", "/apis/reading/x", &[], b"{}").await;
    assert_eq!((told.status, told.header("allow")), (405, "GET, HEAD"));
    let told = send(&gateway, "GET", "/apis/readings", &[], b"").await;
    assert_eq!(told.json()["error"]["code"], "unknown_path");
    let told = send(&gateway, "GET", "/files/../x", &[], b"").await;
    assert_eq!(told.json()["error"]["code"], "path_leads_back");
    assert_eq!(provider.received().len(), 2);
    // They are no models.
    assert_eq!(gateway.get("/v1/models").await.json()["data"], json!([]));
}

#[tokio::test]
async fn an_answer_whose_length_is_told_is_known_to_be_whole() {
    let wire = "HTTP/1.1 203 Odd\r\nContent-Length: 5\r\nX-Own: 1\r\n\r\nhello";
    let provider = ScriptedProvider::always(Reply::garbage(wire)).await;
    let pairs = [("FILES", &provider), ("SPARE", &provider)];
    let gateway = gateway(CONFIGURATION, &pairs).await;
    let told = send(&gateway, "GET", "/files/x", &[], b"").await;
    assert_eq!((told.status, told.text().as_str()), (203, "hello"));
    assert_eq!(told.header("content-length"), "5");
    let record = gateway.wait_for_calls(1).await.pop().expect("a record");
    assert_eq!(record["outcome"], "answered");
}

#[tokio::test]
async fn an_answer_without_a_body_tells_of_the_one_that_there_would_be() {
    for (method, wire) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 71\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 71\r\n\r\n",
        ),
    ] {
        let provider = ScriptedProvider::always(Reply::garbage(wire)).await;
        let pairs = [("FILES", &provider), ("SPARE", &provider)];
        let gateway = gateway(CONFIGURATION, &pairs).await;
        for _ in 0..2 {
            let told = send(&gateway, method, "/files/x", &[], b"").await;
            assert_eq!(told.header("content-length"), "71", "{method}");
            assert!(told.body.is_empty() && told.complete);
        }
        let record = gateway.wait_for_calls(1).await.pop().expect("a record");
        assert_eq!(record["outcome"], "answered");
    }
}

#[tokio::test]
async fn errors_are_told_in_the_providers_own_words() {
    for (status, is_retried) in [
        (400, false),
        (404, false),
        (422, false),
        (302, false),
        (429, true),
        (503, true),
        (500, false),
    ] {
        let reply =
            Reply::body(status, "text/html", "<h1>own words of FILES</h1>").header("x-own", "1");
        let files = ScriptedProvider::always(reply.clone()).await;
        let spare = ScriptedProvider::always(reply).await;
        let gateway = gateway(CONFIGURATION, &[("FILES", &files), ("SPARE", &spare)]).await;
        let told = send(&gateway, "POST", "/either/x", &[], b"{}").await;
        assert_eq!(told.status, status);
        assert_eq!(told.text(), "<h1>own words of FILES</h1>");
        assert_eq!(told.header("content-type"), "text/html");
        assert_eq!(told.header("x-own"), "1");
        assert_eq!(!spare.received().is_empty(), is_retried, "{status}");
        let record = gateway.wait_for_calls(1).await.pop().expect("a record");
        let outcome = if status >= 429 {
            "provider_error"
        } else {
            "answered"
        };
        assert_eq!(record["outcome"], outcome, "{status}");
    }
    // A key of the gateway's that is refused is not the caller's.
    let files = ScriptedProvider::always(Reply::body(401, "text/plain", "bad key sk-up")).await;
    let gateway = gateway(CONFIGURATION, &[("FILES", &files), ("SPARE", &files)]).await;
    let told = send(&gateway, "GET", "/files/x", &[], b"").await;
    assert_eq!(told.status, 502);
    assert!(!told.text().contains("sk-up"));
}

#[tokio::test]
async fn only_what_may_be_done_twice_is_asked_twice() {
    for (method, asked) in [
        ("GET", true),
        ("PUT", true),
        ("DELETE", true),
        ("POST", false),
        ("PATCH", false),
    ] {
        for fault in [Reply::close(), Reply::body(500, "text/plain", "broken")] {
            let files = ScriptedProvider::always(fault).await;
            let spare = ScriptedProvider::always(Reply::body(200, "text/plain", "spare")).await;
            let gateway = gateway(CONFIGURATION, &[("FILES", &files), ("SPARE", &spare)]).await;
            let told = send(&gateway, method, "/either/x", &[], b"").await;
            assert_eq!(told.status == 200, asked, "{method}");
            assert_eq!(spare.received().len(), usize::from(asked), "{method}");
        }
    }
    // Where nobody was reached, nothing was done.
    let spare = ScriptedProvider::always(Reply::body(200, "text/plain", "spare")).await;
    let configuration = CONFIGURATION.replace("FILES", "http://127.0.0.1:9");
    let gateway = gateway(&configuration, &[("SPARE", &spare)]).await;
    let told = send(&gateway, "POST", "/either/x", &[], b"").await;
    assert_eq!((told.status, told.text().as_str()), (200, "spare"));
}

#[tokio::test]
async fn streams_pass_as_they_come_and_what_breaks_off_is_not_taken_for_whole() {
    let pieces = ["data: 1\n\n", "data: 2\n\n"];
    let whole = ScriptedProvider::always(Reply::stream(pieces)).await;
    let cut = Reply::body(200, "text/plain", "0123456789").only(4, tollgate_testkit::Ending::Cut);
    let cut = ScriptedProvider::always(cut).await;
    let gateway = gateway(CONFIGURATION, &[("FILES", &whole), ("SPARE", &cut)]).await;
    let told = send(&gateway, "GET", "/files/events", &[], b"").await;
    assert_eq!(
        (told.text().as_str(), told.complete),
        ("data: 1\n\ndata: 2\n\n", true)
    );
    let configuration = CONFIGURATION.replace("FILES", &cut.url());
    let gateway = crate::stage::gateway(&configuration, &[("SPARE", &cut)]).await;
    let told = send(&gateway, "GET", "/files/events", &[], b"").await;
    assert!(!told.complete);
    let record = gateway.wait_for_calls(1).await.pop().expect("a record");
    assert_eq!(record["outcome"], "cut");
}

#[tokio::test]
async fn keys_and_limits_are_for_plain_http_too() {
    let provider = ScriptedProvider::always(Reply::body(200, "text/plain", "ok")).await;
    let configuration = format!(
        "{CONFIGURATION}keys: [{{name: beta, hash: \"sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753\", routes: [files]}}]\nlimits: [{{name: two, of: {{key: each}}, requests: 2, per: hour}}, {{name: tokens, of: {{key: each}}, tokens: 1, per: hour}}]\n"
    );
    let pairs = [("FILES", &provider), ("SPARE", &provider)];
    let gateway = gateway(&configuration, &pairs).await;
    let key = [("authorization", "Bearer beta")];
    assert_eq!(
        send(&gateway, "GET", "/files/x", &[], b"").await.status,
        401
    );
    assert_eq!(
        send(&gateway, "GET", "/either/x", &key, b"").await.status,
        403
    );
    for expected in [200, 200, 429] {
        let told = send(&gateway, "GET", "/files/x", &key, b"").await;
        assert_eq!(told.status, expected);
    }
    assert_eq!(provider.received().len(), 2);
}
