//! Pictures, sound and moderations: passed as they are, in both directions, with the route's model in place of its name.

use serde_json::{Value, json};
use tollgate_testkit::{Ending, Reply, ScriptedProvider, TestGateway, client};

use crate::stage::gateway;

const CONFIGURATION: &str = r#"
providers: [{name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}]
routes:
  - {name: draw, route_type: llm/v1/images, model: {provider: openai, name: gpt-image-1}}
  - {name: say, route_type: llm/v1/speech, model: {provider: openai, name: tts-1}}
  - {name: hear, route_type: llm/v1/transcriptions, model: {provider: openai, name: whisper-1}}
  - {name: judge, route_type: llm/v1/moderations, model: {provider: openai, name: omni-moderation-latest}}
"#;

const BOUNDARY: &str = "multipart/form-data; boundary=xyz";

/// A form with a file, before or after the model's name.
fn form(model: &str, file: &[u8], file_first: bool) -> Vec<u8> {
    let model =
        format!("--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n");
    let head = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n";
    let file = [&head[..], file, b"\r\n"].concat();
    let parts = if file_first {
        [file, model.into_bytes()]
    } else {
        [model.into_bytes(), file]
    };
    [&parts.concat()[..], b"--xyz--\r\n"].concat()
}

async fn post_form(gateway: &TestGateway, path: &str, body: Vec<u8>) -> client::Answer {
    client::post(gateway.address(), path, &[("content-type", BOUNDARY)], body)
        .await
        .expect("an answer")
}

#[tokio::test]
async fn json_calls_pass_with_the_routes_model_and_their_usage_is_told() {
    let answer = json!({"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"total_tokens": 12, "input_tokens": 5, "output_tokens": 7}});
    let provider = ScriptedProvider::always(Reply::json(200, &answer)).await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let call = json!({"model": "draw", "prompt": "a fish", "x_new": [1]});
    let told = gateway.post("/v1/images/generations", &call).await;
    assert_eq!((told.status, told.json()), (200, answer));
    assert_eq!(told.header("x-tollgate-target"), "openai/gpt-image-1");
    let sent = provider.received().pop().expect("a request");
    assert_eq!(sent.path, "/v1/images/generations");
    assert_eq!(
        sent.json(),
        json!({"model": "gpt-image-1", "prompt": "a fish", "x_new": [1]})
    );
    assert_eq!(sent.header("authorization"), Some("Bearer sk-up"));
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("llm/v1/images"), "{metrics}");

    // The only route of its kind need not be named, as with OpenAI.
    let told = gateway
        .post("/v1/moderations", &json!({"input": "hi"}))
        .await;
    assert_eq!(told.status, 200);
    let sent = provider.received().pop().expect("a request");
    assert_eq!(
        (sent.path.as_str(), sent.json()),
        (
            "/v1/moderations",
            json!({"input": "hi", "model": "omni-moderation-latest"})
        )
    );
    let told = gateway
        .post("/v1/images/generations", &json!({"model": "judge"}))
        .await;
    assert_eq!(
        (told.status, &told.json()["error"]["code"]),
        (400, &json!("wrong_task"))
    );
}

#[tokio::test]
async fn forms_go_through_as_they_come_wherever_they_name_their_model() {
    let answer = json!({"text": "hello"});
    let provider = ScriptedProvider::always(Reply::json(200, &answer)).await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let file: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    for (path, file_first) in [
        ("/v1/audio/transcriptions", false),
        ("/v1/audio/translations", true),
    ] {
        let told = post_form(&gateway, path, form("hear", &file, file_first)).await;
        assert_eq!(
            (told.status, told.json()),
            (200, answer.clone()),
            "{}",
            told.text()
        );
        let sent = provider.received().pop().expect("a request");
        assert_eq!(sent.path, path);
        assert_eq!(sent.header("content-type"), Some(BOUNDARY));
        assert!(
            sent.body == form("whisper-1", &file, file_first),
            "the form changed"
        );
    }
}

#[tokio::test]
async fn a_form_that_is_none_or_too_long_is_refused() {
    let provider = ScriptedProvider::always(Reply::json(200, &json!({}))).await;
    let limits = format!("server: {{limits: {{body: 1MiB}}}}\n{CONFIGURATION}");
    let gateway = gateway(&limits, &[("OPENAI", &provider)]).await;
    let path = "/v1/audio/transcriptions";
    let told = post_form(&gateway, path, b"{\"model\": \"hear\"}".to_vec()).await;
    assert_eq!(
        (told.status, &told.json()["error"]["code"]),
        (400, &json!("body_malformed"))
    );
    let told = post_form(&gateway, path, form("nothing", b"x", false)).await;
    assert_eq!(told.status, 404);
    let told = post_form(&gateway, path, form("hear", &[0; 2 << 20], false)).await;
    assert_eq!(
        (told.status, &told.json()["error"]["code"]),
        (413, &json!("body_too_large"))
    );
    assert!(provider.received().is_empty());
}

#[tokio::test]
async fn sound_comes_as_bytes_and_a_broken_answer_does_not_look_whole() {
    let provider = ScriptedProvider::start(|request| {
        let sound = Reply::body(200, "audio/mpeg", vec![7; 100_000]);
        match request.json()["input"].as_str() {
            Some("cut") => sound.only(50_000, Ending::Cut),
            Some("events") => Reply::stream(["data: {\"type\": \"speech.audio.delta\"}\n\n"]),
            Some("no") => Reply::json(
                400,
                &json!({"error": {"message": "no such voice", "type": "invalid_request_error"}}),
            ),
            _ => sound,
        }
    })
    .await;
    let gateway = gateway(CONFIGURATION, &[("OPENAI", &provider)]).await;
    let say = |input: &str| json!({"model": "say", "voice": "alloy", "input": input});
    let told = gateway.post("/v1/audio/speech", &say("hi")).await;
    assert_eq!(
        (told.status, told.header("content-type")),
        (200, "audio/mpeg")
    );
    assert!(told.complete && told.body == vec![7; 100_000]);
    let told = gateway.post("/v1/audio/speech", &say("cut")).await;
    assert!(!told.complete, "a broken answer looks whole");
    let told = gateway.post("/v1/audio/speech", &say("events")).await;
    assert_eq!(told.header("content-type"), "text/event-stream");
    assert_eq!(told.events(), ["{\"type\": \"speech.audio.delta\"}"]);
    let told = gateway.post("/v1/audio/speech", &say("no")).await;
    assert_eq!(
        (told.status, &told.json()["error"]["message"]),
        (400, &Value::from("no such voice"))
    );
}
