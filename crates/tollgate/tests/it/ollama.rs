//! Ollama's language: its clients against a provider of another, and others' clients against an Ollama server.

use serde_json::{Value, json};
use tollgate_testkit::{Reply, ScriptedProvider};

use crate::stage::{chat, chat_stream, gateway, openai_answer, openai_events};

const OLLAMAS_CLIENTS: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
routes:
  - {name: gpt, model: {provider: openai, name: gpt-4o-mini}}
  - {name: prompted, model: {provider: openai, name: gpt-4o-mini}, prompt_template: [{role: system, content: "Be kind."}, "{{ input.messages }}"]}
  - {name: complete, route_type: llm/v1/completions, model: {provider: openai, name: gpt-4o-mini}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: openai, name: small}}
"#;

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect()
}

#[tokio::test]
async fn ollamas_client_asks_an_openai_provider() {
    let provider = ScriptedProvider::start(|request| {
        let body = request.json();
        if request.path == "/v1/embeddings" {
            return Reply::json(
                200,
                &json!({"object": "list", "model": "small", "data": [{"index": 0, "embedding": [0.25]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
            );
        }
        if request.path == "/v1/completions" {
            return Reply::json(
                200,
                &json!({"id": "1", "model": "m", "choices": [{"index": 0, "text": " upon a time", "finish_reason": "length"}]}),
            );
        }
        if body["model"] == "gpt-4o-mini" && body["messages"][0]["content"] == "fail" {
            return Reply::json(400, &json!({"error": {"message": "too many cooks", "type": "invalid_request_error"}}));
        }
        if body["tools"].is_array() && body["messages"].as_array().is_some_and(|list| list.len() == 1) {
            let call = json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}});
            let mut answer = openai_answer("");
            answer["choices"][0]["message"]["tool_calls"] = json!([call]);
            answer["choices"][0]["finish_reason"] = json!("tool_calls");
            return Reply::json(200, &answer);
        }
        if body["stream"] == true {
            Reply::stream(openai_events(&["Hel", "lo"]))
        } else {
            Reply::json(200, &openai_answer("Hello"))
        }
    })
    .await;
    let gateway = gateway(OLLAMAS_CLIENTS, &[("OPENAI", &provider)]).await;

    // Streams are what Ollama gives unless it is told otherwise.
    let answer = gateway.post("/api/chat", &chat("gpt")).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let told = lines(&answer.text());
    let said: String = told
        .iter()
        .filter_map(|line| line["message"]["content"].as_str())
        .collect();
    assert_eq!(said, "Hello");
    let last = told.last().expect("a last line");
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["eval_count"]),
        (&json!(true), &json!("stop"), &json!(7))
    );

    let mut call = json!({"model": "gpt", "stream": false, "think": false, "options": {"num_predict": 5, "num_ctx": 4096},
        "messages": [{"role": "user", "content": "Weather?"}],
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]});
    let answer = gateway.post("/api/chat", &call).await;
    assert_eq!(answer.header("x-tollgate-dropped"), "options.num_ctx");
    let message = answer.json()["message"].clone();
    assert_eq!(
        message["tool_calls"][0]["function"]["arguments"]["city"],
        "Rome"
    );
    assert_eq!(
        provider.received().last().expect("asked").json()["max_tokens"],
        5
    );
    // Its clients forget ids; the result finds its call all the same.
    call["messages"] = json!([
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
        {"role": "tool", "tool_name": "weather", "content": "sunny"},
    ]);
    let answer = gateway.post("/api/chat", &call).await.json();
    assert_eq!(answer["message"]["content"], "Hello");
    let sent = provider.received().last().expect("asked").json();
    assert_eq!(
        sent["messages"][2]["tool_call_id"],
        sent["messages"][1]["tool_calls"][0]["id"]
    );

    let call = json!({"model": "complete", "prompt": "Once", "stream": false});
    let answer = gateway.post("/api/generate", &call).await.json();
    assert_eq!(
        (&answer["response"], &answer["done_reason"]),
        (&json!(" upon a time"), &json!("length"))
    );
    let call = json!({"model": "vectors", "input": "a"});
    let answer = gateway.post("/api/embed", &call).await.json();
    assert_eq!(answer["embeddings"], json!([[0.25]]));
    // Older clients ask for one.
    let call = json!({"model": "vectors", "prompt": "a", "options": {"num_ctx": 9}});
    let answer = gateway.post("/api/embeddings", &call).await;
    assert_eq!(answer.json(), json!({"embedding": [0.25]}));
    assert_eq!(answer.header("x-tollgate-dropped"), "options");
    let sent = provider.received().last().expect("asked").json();
    assert_eq!(sent["input"], "a");

    // With Ollama one model does both.
    let call = json!({"model": "gpt", "stream": false, "prompt": "Once", "system": "Be brief."});
    let answer = gateway.post("/api/generate", &call).await.json();
    assert_eq!(answer["response"], "Hello");
    let sent = provider.received().pop().expect("a request");
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(
        sent.json()["messages"],
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Once"}])
    );
    let call = json!({"model": "prompted", "stream": false, "prompt": "Once"});
    let answer = gateway.post("/api/generate", &call).await;
    assert_eq!(answer.json()["code"], "wrong_task");

    let mut call = chat("gpt");
    call["messages"][0]["content"] = json!("fail");
    let answer = gateway.post("/api/chat", &call).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]),
        (400, &json!("too many cooks"))
    );
    let answer = gateway.post("/api/chat", &chat("nobody")).await;
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].is_string());
}

#[tokio::test]
async fn ollamas_client_finds_out_what_there_is() {
    let provider = ScriptedProvider::always(Reply::json(200, &openai_answer("Hello"))).await;
    let gateway = gateway(OLLAMAS_CLIENTS, &[("OPENAI", &provider)]).await;
    let tags = gateway.get("/api/tags").await.json();
    let names: Vec<&Value> = tags["models"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| &model["model"])
        .collect();
    assert_eq!(names, ["gpt", "prompted", "complete", "vectors"]);
    let show = gateway.post("/api/show", &json!({"model": "gpt"})).await;
    assert_eq!(show.json()["capabilities"], json!(["completion", "tools"]));
    let show = gateway.post("/api/show", &json!({"model": "nobody"})).await;
    assert_eq!(show.status, 404);
    assert!(show.json()["error"].is_string());
    assert!(gateway.get("/api/version").await.json()["version"].is_string());
    assert_eq!(gateway.get("/api/ps").await.json(), json!({"models": []}));
    assert_eq!(gateway.post("/api/pull", &json!({})).await.status, 404);
}

const OLLAMA: &str = r#"
providers:
  - {name: local, type: ollama, base_url: "OLLAMA/v1", params: {options: {num_ctx: 8192}}}
routes:
  - {name: local, params: {temperature: 0.5}, retries: {per_target: 0}, model: {provider: local, name: "qwen3:4b"}}
"#;

#[tokio::test]
async fn others_clients_ask_an_ollama_server() {
    let line = |message: Value| {
        format!(
            "{}\n",
            json!({"model": "qwen3:4b", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false})
        )
    };
    let done = format!(
        "{}\n",
        json!({"model": "qwen3:4b", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4})
    );
    let call = json!({"function": {"index": 0, "name": "weather", "arguments": {"city": "Rome"}}});
    let stream = [
        line(json!({"role": "assistant", "content": "", "thinking": "hm"})),
        line(json!({"role": "assistant", "content": "Hello"})),
        line(json!({"role": "assistant", "content": "", "tool_calls": [call]})),
        done.clone(),
    ]
    .concat();
    let provider = ScriptedProvider::start(move |request| {
        let body = request.json();
        let asked = body["messages"][0]["content"].as_str().unwrap_or_default();
        match (request.path.as_str(), asked) {
            ("/v1/chat/completions", _) => Reply::json(200, &openai_answer("from the shim")),
            (_, "cut") => Reply::body(200, "application/x-ndjson", line(json!({"content": "Hel"}))),
            (_, "fail") => Reply::json(404, &json!({"error": "model 'qwen3:4b' not found"})),
            _ if body["stream"] == true => Reply::body(200, "application/x-ndjson", stream.clone())
                .dripped(7, std::time::Duration::from_micros(10)),
            _ => {
                let mut answer: Value = serde_json::from_str(&done).unwrap_or_default();
                answer["message"]["content"] = json!("Hello");
                Reply::json(200, &answer)
            }
        }
    })
    .await;
    let gateway = gateway(OLLAMA, &[("OLLAMA", &provider)]).await;
    let anthropic = |text: &str, stream: bool| json!({"model": "local", "max_tokens": 99, "stream": stream, "messages": [{"role": "user", "content": text}]});

    let answer = gateway
        .post("/v1/messages", &anthropic("Hi", false))
        .await
        .json();
    assert_eq!(answer["content"][0]["text"], "Hello");
    assert_eq!(
        (
            &answer["usage"]["input_tokens"],
            &answer["usage"]["output_tokens"]
        ),
        (&json!(9), &json!(4))
    );
    let sent = provider.received().last().expect("asked").clone();
    assert_eq!(sent.path, "/api/chat");
    assert_eq!(
        sent.json(),
        json!({"model": "qwen3:4b", "messages": [{"role": "user", "content": "Hi"}], "stream": false,
            "options": {"num_predict": 99, "temperature": 0.5, "num_ctx": 8192}})
    );

    let text = gateway
        .post("/v1/messages", &anthropic("Hi", true))
        .await
        .text();
    for piece in [
        "\"thinking_delta\"",
        "\"text\":\"Hello\"",
        "\"name\":\"weather\"",
        "\"stop_reason\":\"tool_use\"",
        "message_stop",
    ] {
        assert!(text.contains(piece), "{piece}: {text}");
    }
    // A stream that breaks off has no end, and an error says so.
    let text = gateway
        .post("/v1/messages", &anthropic("cut", true))
        .await
        .text();
    assert!(
        text.contains("event: error") && !text.contains("message_stop"),
        "{text}"
    );
    let answer = gateway
        .post("/v1/messages", &anthropic("fail", false))
        .await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["message"]),
        (404, &json!("model 'qwen3:4b' not found"))
    );

    // OpenAI's clients are understood there as they are, and so are its own.
    let answer = gateway.post("/v1/chat/completions", &chat("local")).await;
    assert_eq!(
        answer.json()["choices"][0]["message"]["content"],
        "from the shim"
    );
    let own = gateway
        .post("/api/chat", &chat_stream("local"))
        .await
        .text();
    assert_eq!(lines(&own).len(), 4);
    assert_eq!(
        provider.received().last().expect("asked").json()["options"],
        json!({"temperature": 0.5, "num_ctx": 8192})
    );
}

/// An Ollama server is asked in the newer form, which tells what was used.
#[tokio::test]
async fn the_older_embeddings_become_the_newer() {
    let answer = json!({"model": "nomic", "embeddings": [[0.25]], "prompt_eval_count": 3});
    let provider = ScriptedProvider::always(Reply::json(200, &answer)).await;
    let configuration = r#"
providers: [{name: local, type: ollama, base_url: "OLLAMA"}]
routes: [{name: vectors, route_type: llm/v1/embeddings, model: {provider: local, name: nomic}}]
"#;
    let gateway = gateway(configuration, &[("OLLAMA", &provider)]).await;
    let call =
        json!({"model": "vectors", "prompt": "a", "options": {"num_ctx": 9}, "keep_alive": "1m"});
    let heard = gateway.post("/api/embeddings", &call).await;
    assert_eq!(heard.json(), json!({"embedding": [0.25]}));
    let asked = provider.received().pop().expect("asked");
    assert_eq!(asked.path, "/api/embed");
    assert_eq!(
        asked.json(),
        json!({"model": "nomic", "input": "a", "options": {"num_ctx": 9}, "keep_alive": "1m"})
    );
    assert_eq!(
        gateway.wait_for_calls(1).await[0]["usage"],
        json!({"input": 3})
    );
    let heard = gateway
        .post("/api/embeddings", &json!({"model": "vectors"}))
        .await;
    assert_eq!(heard.status, 400, "{}", heard.text());
}

/// A prompt's text takes the place of what was said, and the pictures stay.
#[tokio::test]
async fn pictures_go_along_with_a_routes_prompt() {
    let line = json!({"model": "m", "message": {"role": "assistant", "content": "A cat."}, "done": true, "done_reason": "stop"});
    let provider = ScriptedProvider::always(Reply::json(200, &line)).await;
    let configuration = r#"
providers: [{name: local, type: ollama, base_url: "OLLAMA"}]
routes: [{name: look, prompt_template: "Describe: {{ input.text }}", model: {provider: local, name: m}}]
"#;
    let gateway = gateway(configuration, &[("OLLAMA", &provider)]).await;
    let call = json!({"model": "look", "stream": false, "messages": [
        {"role": "user", "content": "this", "images": ["aGVsbG8="]},
        {"role": "assistant", "content": "Which?", "images": ["bm8="]},
        {"role": "user", "content": "and that", "images": ["d29ybGQ="]},
    ]});
    assert_eq!(gateway.post("/api/chat", &call).await.status, 200);
    let sent = provider.received().pop().expect("asked").json();
    let messages = sent["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 1, "{sent}");
    assert_eq!(messages[0]["images"], json!(["aGVsbG8=", "d29ybGQ="]));
    assert!(
        messages[0]["content"]
            .as_str()
            .is_some_and(|text| text.starts_with("Describe: "))
    );
}
