//! Gemini's clients and Gemini's providers, Vertex AI among them.

use serde_json::{Value, json};
use tollgate_testkit::{Ending, Received, Reply, ScriptedProvider, TestGateway};

use crate::stage::{
    anthropic_answer, anthropic_events, chat, chat_stream, gateway, openai_answer, openai_events,
};

const CONFIGURATION: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
  - {name: gemini, type: gemini, base_url: "GEMINI", api_key: AIza-up}
  - {name: vertex, type: vertex, project: p-1, location: us-central1, base_url: "GEMINI", api_key: ya29.up}
routes:
  - {name: gpt, retries: {per_target: 0}, model: {provider: openai, name: gpt-4o-mini}}
  - {name: flash, retries: {per_target: 0}, params: {temperature: 0.5}, model: {provider: gemini, name: gemini-2.5-flash}}
  - {name: flash-vertex, model: {provider: vertex, name: gemini-2.5-flash}}
  - {name: claude-vertex, model: {provider: vertex, name: claude-sonnet-4-5@20250929}}
  - {name: pirate, prompt_template: [{role: system, content: "Talk like a pirate."}, {role: user, content: "{{ input.messages }}"}], model: {provider: gemini, name: gemini-2.5-flash}}
  - {name: gpt-vectors, route_type: llm/v1/embeddings, model: {provider: openai, name: text-embedding-3-small}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: gemini, name: gemini-embedding-001}}
  - {name: vertex-vectors, route_type: llm/v1/embeddings, model: {provider: vertex, name: text-embedding-005}}
"#;

async fn stage(openai: &ScriptedProvider, gemini: &ScriptedProvider) -> TestGateway {
    gateway(CONFIGURATION, &[("OPENAI", openai), ("GEMINI", gemini)]).await
}

/// A call of Gemini's.
fn ask() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 9}})
}

fn gemini_chunk(parts: &Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 12, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 19},
        "modelVersion": "gemini-2.5-flash", "responseId": "r-1", "xUnknown": {"kept": true},
    })
}

/// Gemini's stream: a chunk for each word, and a last one.
fn gemini_events(words: &[&str]) -> Vec<String> {
    let event = |chunk: Value| format!("data: {chunk}\r\n\r\n");
    let words = words.iter();
    let said = words.map(|word| event(gemini_chunk(&json!([{"text": word}]), None)));
    let last = event(gemini_chunk(&json!([{"text": ""}]), Some("STOP")));
    said.chain([last]).collect()
}

/// Gemini, Claude on Vertex AI, vectors and counts: what the address asks for.
fn google(request: &Received) -> Reply {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match path.rsplit(':').next() {
        Some("generateContent") => Reply::json(
            200,
            &gemini_chunk(&json!([{"text": "Hello"}]), Some("STOP")),
        ),
        Some("streamGenerateContent") if query == "alt=sse" => {
            Reply::stream(gemini_events(&["Grü", "ße"]))
        }
        Some("rawPredict") if path.ends_with("/count-tokens:rawPredict") => {
            Reply::json(200, &json!({"input_tokens": 14}))
        }
        Some("rawPredict") => Reply::json(200, &anthropic_answer("Hello")),
        Some("streamRawPredict") => Reply::stream(anthropic_events(&["Grü", "ße"])),
        Some("embedContent") => Reply::json(200, &json!({"embedding": {"values": [0.5]}})),
        Some("batchEmbedContents") => Reply::json(
            200,
            &json!({"embeddings": [{"values": [0.5]}, {"values": [1.5]}]}),
        ),
        Some("predict") => Reply::json(
            200,
            &json!({"predictions": [
                {"embeddings": {"values": [0.5], "statistics": {"truncated": false, "token_count": 2}}},
                {"embeddings": {"values": [1.5], "statistics": {"truncated": false, "token_count": 3}}},
            ], "metadata": {"billableCharacterCount": 2}}),
        ),
        Some("countTokens") => Reply::json(200, &json!({"totalTokens": 7})),
        _ => Reply::json(
            404,
            &json!({"error": {"code": 404, "message": "no such method", "status": "NOT_FOUND"}}),
        ),
    }
}

async fn both() -> (ScriptedProvider, ScriptedProvider) {
    let openai = ScriptedProvider::start(|request| {
        let body = request.json();
        if body["input"].is_null() && body["stream"] == true {
            Reply::stream(openai_events(&["Grü", "ße"]))
        } else if body["input"].is_null() {
            Reply::json(200, &openai_answer("Hello"))
        } else {
            Reply::json(200, &json!({"data": [{"index": 0, "embedding": [0.5]}], "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3}}))
        }
    })
    .await;
    (openai, ScriptedProvider::start(google).await)
}

#[tokio::test]
async fn its_clients_are_answered_by_everybody() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    for route in ["gpt", "flash", "flash-vertex", "claude-vertex"] {
        for prefix in ["/v1beta", "/v1", "/gateway/gemini/v1"] {
            let path = format!("{prefix}/models/{route}:generateContent");
            let answer = gateway.post(&path, &ask()).await;
            let candidate = &answer.json()["candidates"][0];
            assert_eq!(
                (
                    &candidate["content"]["parts"][0]["text"],
                    &candidate["finishReason"]
                ),
                (&json!("Hello"), &json!("STOP")),
                "{path}: {}",
                answer.text()
            );
            let usage = &answer.json()["usageMetadata"];
            assert_eq!(
                (
                    &usage["promptTokenCount"],
                    &usage["cachedContentTokenCount"],
                    &usage["totalTokenCount"]
                ),
                (&json!(12), &json!(4), &json!(19)),
                "{path}"
            );
        }
        let path = format!("/v1beta/models/{route}:streamGenerateContent?alt=sse");
        let answer = gateway.post(&path, &ask()).await;
        assert!(
            answer
                .header("content-type")
                .starts_with("text/event-stream")
        );
        let chunks: Vec<Value> = answer
            .events()
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect();
        assert_eq!(said(&chunks), "Grüße", "{path}");
        let last = chunks.last().unwrap();
        assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{path}");
        assert_eq!(last["usageMetadata"]["promptTokenCount"], 12, "{path}");
    }
    // Its own bytes pass through.
    let own = gateway
        .post("/v1beta/models/flash:generateContent", &ask())
        .await;
    assert_eq!(own.json()["xUnknown"], json!({"kept": true}));
}

/// All text of a stream's chunks.
fn said(chunks: &[Value]) -> String {
    let parts = chunks
        .iter()
        .filter_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array())
        .flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

#[tokio::test]
async fn its_providers_answer_everybody() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    for route in ["flash", "flash-vertex", "claude-vertex"] {
        let answer = gateway
            .post("/v1/chat/completions", &chat(route))
            .await
            .json();
        assert_eq!(
            answer["choices"][0]["message"]["content"], "Hello",
            "{answer}"
        );
        assert_eq!(answer["usage"]["total_tokens"], 19, "{answer}");
        let stream = gateway
            .post("/v1/chat/completions", &chat_stream(route))
            .await
            .text();
        assert!(
            stream.contains("Grü") && stream.ends_with("data: [DONE]\n\n"),
            "{stream}"
        );
        let mut call = chat(route);
        call["max_tokens"] = json!(9);
        let answer = gateway.post("/v1/messages", &call).await.json();
        assert_eq!(answer["content"][0]["text"], "Hello", "{answer}");
    }
    let asked: Vec<(String, Value)> = gemini
        .received()
        .iter()
        .map(|request| (request.path.clone(), request.json()))
        .collect();
    let google = "/v1/projects/p-1/locations/us-central1/publishers/google/models/gemini-2.5-flash";
    let claude = "/v1/projects/p-1/locations/us-central1/publishers/anthropic/models/claude-sonnet-4-5%4020250929";
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    let gemini_path = "/v1beta/models/gemini-2.5-flash";
    assert_eq!(
        paths,
        [
            format!("{gemini_path}:generateContent"),
            format!("{gemini_path}:streamGenerateContent?alt=sse"),
            format!("{gemini_path}:generateContent"),
            format!("{google}:generateContent"),
            format!("{google}:streamGenerateContent?alt=sse"),
            format!("{google}:generateContent"),
            format!("{claude}:rawPredict"),
            format!("{claude}:streamRawPredict"),
            format!("{claude}:rawPredict"),
        ]
    );
    for (path, body) in &asked {
        assert!(body.get("model").is_none(), "{path}: {body}");
        let version = path
            .contains("anthropic")
            .then(|| json!("vertex-2023-10-16"));
        assert_eq!(body.get("anthropic_version"), version.as_ref(), "{path}");
    }
    assert_eq!(asked[0].1["generationConfig"], json!({"temperature": 0.5}));
    // What is written depends on the model that is asked, not on the route's name.
    let mut call = chat("claude-vertex");
    call["reasoning_effort"] = json!("low");
    call["temperature"] = json!(0.5);
    let answer = gateway.post("/v1/chat/completions", &call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = gemini.received().pop().unwrap().json();
    assert_eq!(
        (&sent["max_tokens"], sent.get("model")),
        (&json!(8192), None)
    );
    call["model"] = json!("flash-vertex");
    gateway.post("/v1/chat/completions", &call).await;
    let sent = gemini.received().pop().unwrap().json();
    let thinking = &sent["generationConfig"]["thinkingConfig"];
    assert_eq!(thinking["thinkingBudget"], 1024);
    let received = gemini.received();
    assert_eq!(received[0].header("x-goog-api-key"), Some("AIza-up"));
    assert_eq!(received[3].header("authorization"), Some("Bearer ya29.up"));
}

#[tokio::test]
async fn tokens_of_claude_are_counted_at_an_address_of_their_own() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let asked = json!({"model": "claude-vertex", "system": "Be short.", "messages": messages});
    let features = [
        ("anthropic-beta", "context-1m-2025-08-07"),
        ("anthropic-beta", "a,b"),
    ];
    let heard = gateway
        .post_with("/v1/messages/count_tokens", &asked, &features)
        .await;
    assert_eq!(
        (heard.status, heard.json()),
        (200, json!({"input_tokens": 14}))
    );
    let received = gemini.received().remove(0);
    let place = "/v1/projects/p-1/locations/us-central1/publishers/anthropic/models";
    assert_eq!(received.path, format!("{place}/count-tokens:rawPredict"));
    let expected = json!({
        "model": "claude-sonnet-4-5@20250929", "system": "Be short.", "messages": messages,
        "anthropic_version": "vertex-2023-10-16",
    });
    assert_eq!(received.json(), expected);
    assert_eq!(
        received.header_lines("anthropic-beta"),
        ["context-1m-2025-08-07", "a,b"]
    );
    // Gemini's models are not asked by a language that they do not speak.
    let asked = json!({"model": "flash-vertex", "messages": messages});
    let heard = gateway.post("/v1/messages/count_tokens", &asked).await;
    assert_eq!(heard.status, 400, "{}", heard.text());
}

#[tokio::test]
async fn what_a_route_sets_is_set_where_gemini_has_it() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    let mut call = ask();
    call["model"] = json!("models/flash");
    gateway
        .post("/v1beta/models/flash:generateContent", &call)
        .await;
    gateway
        .post("/v1beta/models/pirate:generateContent", &ask())
        .await;
    let received: Vec<Value> = gemini.received().iter().map(Received::json).collect();
    let mut expected = ask();
    expected["generationConfig"]["temperature"] = json!(0.5);
    assert_eq!(received[0], expected);
    assert_eq!(
        received[1]["systemInstruction"],
        json!({"parts": [{"text": "Talk like a pirate."}]})
    );
    assert_eq!(received[1]["contents"], ask()["contents"]);
}

#[tokio::test]
async fn functions_are_called_across_languages() {
    let calls = json!([
        {"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": "c2lnbmVk"},
        {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}},
    ]);
    let gemini = ScriptedProvider::start(move |request| {
        let answer = gemini_chunk(&calls, Some("STOP"));
        if request.path.contains("stream") {
            Reply::stream([format!("data: {answer}\r\n\r\n")])
        } else {
            Reply::json(200, &answer)
        }
    })
    .await;
    let openai = ScriptedProvider::start(|_| {
        let call = |id: &str, city: &str| json!({"id": id, "type": "function", "function": {"name": "weather", "arguments": json!({"city": city}).to_string()}});
        let mut answer = openai_answer("");
        answer["choices"][0]["message"]["tool_calls"] = json!([call("call_1", "Rome"), call("call_2", "Oslo")]);
        answer["choices"][0]["finish_reason"] = json!("tool_calls");
        Reply::json(200, &answer)
    })
    .await;
    let gateway = stage(&openai, &gemini).await;

    // OpenAI's client, Gemini's provider: the proof goes there and comes back.
    let mut call = chat("flash");
    call["tools"] = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"$ref": "#/$defs/c"}}, "$defs": {"c": {"type": "string"}}}}}]);
    let answer = gateway.post("/v1/chat/completions", &call).await.json();
    let message = &answer["choices"][0]["message"];
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let messages = call["messages"].as_array_mut().unwrap();
    messages.push(message.clone());
    for call in message["tool_calls"].as_array().unwrap() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
    }
    call["stream"] = json!(true);
    let stream = gateway.post("/v1/chat/completions", &call).await.text();
    assert!(
        stream.contains("\"finish_reason\":\"tool_calls\""),
        "{stream}"
    );
    let sent = gemini.received().last().unwrap().json();
    assert_eq!(
        sent["contents"][1]["parts"][0]["thoughtSignature"],
        "c2lnbmVk"
    );
    let results = sent["contents"][2]["parts"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(
        results[1]["functionResponse"]["response"],
        json!({"output": "sunny"})
    );
    let function = &sent["tools"][0]["functionDeclarations"][0];
    assert_eq!(
        function["parametersJsonSchema"]["$defs"],
        json!({"c": {"type": "string"}})
    );

    // Gemini's client, OpenAI's provider.
    let mut call = ask();
    call["tools"] = json!([{"functionDeclarations": [{"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}]}]);
    let answer = gateway
        .post("/v1beta/models/gpt:generateContent", &call)
        .await
        .json();
    let said = answer["candidates"][0]["content"].clone();
    assert_eq!(
        said["parts"][1]["functionCall"],
        json!({"id": "call_2", "name": "weather", "args": {"city": "Oslo"}})
    );
    let contents = call["contents"].as_array_mut().unwrap();
    contents.push(said);
    contents.push(json!({"role": "user", "parts": [
        {"functionResponse": {"name": "weather", "response": {"output": "rain"}}},
        {"functionResponse": {"name": "weather", "response": {"temperature": 3}}},
    ]}));
    let answer = gateway
        .post("/v1beta/models/gpt:generateContent", &call)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = openai.received().last().unwrap().json();
    assert_eq!(
        (
            &sent["messages"][2]["tool_call_id"],
            &sent["messages"][3]["content"]
        ),
        (&json!("call_1"), &json!("{\"temperature\":3}"))
    );
    assert_eq!(sent["tools"][0]["function"]["parameters"]["type"], "object");
}

#[tokio::test]
async fn a_stream_that_was_not_asked_for_as_events_is_a_json_array() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    for route in ["gpt", "flash", "claude-vertex"] {
        let path = format!("/v1beta/models/{route}:streamGenerateContent");
        let answer = gateway.post(&path, &ask()).await;
        assert_eq!(answer.header("content-type"), "application/json");
        let chunks = answer.json();
        let chunks = chunks.as_array().expect("an array");
        assert_eq!(said(chunks), "Grüße", "{path}");
        assert_eq!(
            chunks.last().unwrap()["candidates"][0]["finishReason"],
            "STOP"
        );
    }
}

#[tokio::test]
async fn a_broken_stream_never_looks_whole() {
    let (openai, _) = both().await;
    let whole = gemini_events(&["Grü", "ße"]).concat();
    for ending in [Ending::Cut, Ending::Clean] {
        // The last chunk may come without its blank line where the body ends cleanly.
        let complete = if ending == Ending::Clean {
            whole.len() - 4
        } else {
            whole.len()
        };
        for at in (1..whole.len()).step_by(61) {
            let cut = Reply::stream(gemini_events(&["Grü", "ße"])).only(at, ending);
            let gemini = ScriptedProvider::always(cut).await;
            let gateway = stage(&openai, &gemini).await;
            for alternative in ["?alt=sse", ""] {
                let path = format!("/v1beta/models/flash:streamGenerateContent{alternative}");
                let answer = gateway.post(&path, &ask()).await;
                let what = format!("{ending:?} at {at}{alternative}: {}", answer.text());
                assert!(at < complete, "{what}");
                assert!(answer.text().contains("\"error\""), "{what}");
                let looks_whole = answer.status == 200 && answer.json().is_array();
                assert!(!looks_whole, "{what}");
            }
            let stream = gateway
                .post("/v1/chat/completions", &chat_stream("flash"))
                .await;
            assert!(!stream.text().contains("[DONE]"), "{}", stream.text());
        }
    }
}

#[tokio::test]
async fn errors_are_told_as_google_tells_them() {
    let openai = ScriptedProvider::always(Reply::json(
        429,
        &json!({"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}),
    ))
    .await;
    let gemini = ScriptedProvider::always(Reply::json(
        400,
        &json!({"error": {"code": 400, "message": "no such thing", "status": "INVALID_ARGUMENT"}}),
    ))
    .await;
    let gateway = stage(&openai, &gemini).await;
    for (path, body, code, status) in [
        (
            "/v1beta/models/gpt:generateContent",
            ask(),
            429,
            "RESOURCE_EXHAUSTED",
        ),
        (
            "/v1beta/models/flash:generateContent",
            ask(),
            400,
            "INVALID_ARGUMENT",
        ),
        (
            "/v1beta/models/nothing:generateContent",
            ask(),
            404,
            "NOT_FOUND",
        ),
        (
            "/v1beta/models/gpt:generateContent",
            json!({}),
            400,
            "INVALID_ARGUMENT",
        ),
        ("/v1beta/models/gpt:nothing", ask(), 405, "INVALID_ARGUMENT"),
        ("/v1beta/nothing", ask(), 404, "NOT_FOUND"),
    ] {
        let answer = gateway.post(path, &body).await;
        let error = &answer.json()["error"];
        assert_eq!(answer.status, code, "{path}: {}", answer.text());
        assert_eq!(
            (&error["code"], &error["status"]),
            (&json!(code), &json!(status)),
            "{path}"
        );
    }
    let answer = gateway
        .post("/v1/chat/completions", &chat("flash"))
        .await
        .json();
    assert_eq!(answer["error"]["message"], "no such thing");
}

#[tokio::test]
async fn a_refused_key_of_google_is_the_gateways_trouble() {
    let refused = json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}});
    let gemini = ScriptedProvider::always(Reply::json(400, &refused)).await;
    let (openai, _) = both().await;
    let gateway = stage(&openai, &gemini).await;
    let answer = gateway
        .post("/v1beta/models/flash:generateContent", &ask())
        .await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn texts_become_vectors_in_both_languages() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    let content = |text: &str| json!({"content": {"parts": [{"text": text}]}});
    let mut request = content("a");
    request["model"] = json!("models/vectors");
    let several = json!({"requests": [request, request]});
    for route in ["vectors", "gpt-vectors"] {
        let path = format!("/v1beta/models/{route}:embedContent");
        let one = gateway.post(&path, &content("a")).await.json();
        assert_eq!(one["embedding"]["values"], json!([0.5]), "{route}: {one}");
        let path = format!("/v1beta/models/{route}:batchEmbedContents");
        let answer = gateway.post(&path, &several).await.json();
        assert_eq!(
            answer["embeddings"][0]["values"],
            json!([0.5]),
            "{route}: {answer}"
        );
    }
    for input in [json!("a"), json!(["a", "b"])] {
        let call = json!({"model": "vectors", "input": input, "dimensions": 1});
        let answer = gateway.post("/v1/embeddings", &call).await.json();
        assert_eq!(answer["data"][0]["embedding"], json!([0.5]), "{answer}");
    }
    let asked: Vec<(String, Value)> = gemini
        .received()
        .iter()
        .map(|request| (request.path.clone(), request.json()))
        .collect();
    let path = "/v1beta/models/gemini-embedding-001";
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    let (one, batch) = (
        format!("{path}:embedContent"),
        format!("{path}:batchEmbedContents"),
    );
    assert_eq!(paths, [&one, &batch, &one, &batch]);
    assert_eq!(
        asked[1].1["requests"][1]["model"],
        "models/gemini-embedding-001"
    );
    assert_eq!(asked[3].1["requests"][1]["outputDimensionality"], 1);
}

/// Vertex AI has another language for vectors.
#[tokio::test]
async fn texts_become_vectors_by_predict() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    let call = json!({"model": "vertex-vectors", "input": ["a", "b"], "dimensions": 1});
    let answer = gateway.post("/v1/embeddings", &call).await.json();
    assert_eq!(answer["data"][1]["embedding"], json!([1.5]), "{answer}");
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    let text = |text: &str| json!({"model": "models/vertex-vectors", "taskType": "RETRIEVAL_QUERY", "content": {"parts": [{"text": text}]}});
    let path = "/v1beta/models/vertex-vectors:batchEmbedContents";
    let several = json!({"requests": [text("a"), text("b")]});
    let answer = gateway.post(path, &several).await.json();
    assert_eq!(answer["embeddings"][1]["values"], json!([1.5]), "{answer}");
    let asked = gemini.received();
    for request in &asked {
        assert_eq!(
            request.path,
            "/v1/projects/p-1/locations/us-central1/publishers/google/models/text-embedding-005:predict"
        );
    }
    assert_eq!(
        asked[0].json(),
        json!({"instances": [{"content": "a"}, {"content": "b"}], "parameters": {"outputDimensionality": 1}})
    );
    assert_eq!(
        asked[1].json()["instances"][1],
        json!({"content": "b", "task_type": "RETRIEVAL_QUERY"})
    );
}

#[tokio::test]
async fn tokens_are_counted_by_their_own_provider_or_by_nobody() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    let count =
        json!({"generateContentRequest": {"model": "models/flash", "contents": ask()["contents"]}});
    let answer = gateway
        .post("/v1beta/models/flash:countTokens", &count)
        .await;
    assert_eq!(answer.json(), json!({"totalTokens": 7}));
    let asked = gemini.received().pop().unwrap();
    assert_eq!(asked.path, "/v1beta/models/gemini-2.5-flash:countTokens");
    assert_eq!(
        asked.json()["generateContentRequest"]["model"],
        "models/gemini-2.5-flash"
    );
    for route in ["gpt", "claude-vertex", "pirate"] {
        let path = format!("/v1beta/models/{route}:countTokens");
        let answer = gateway.post(&path, &count).await;
        assert_eq!(answer.status, 400, "{route}: {}", answer.text());
        assert!(answer.text().contains("countTokens"), "{}", answer.text());
    }
}

/// Keys `alpha` (all routes) and `beta` (another route), by their hashes.
const KEYS: &str = r#"
keys:
  - {name: alpha, hash: "sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"}
  - {name: beta, hash: "sha256:f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753", routes: [gpt]}
"#;

#[tokio::test]
async fn keys_come_in_a_header_or_in_the_query_and_go_nowhere() {
    let (openai, gemini) = both().await;
    let configuration = format!("log: {{calls: true}}\n{CONFIGURATION}{KEYS}");
    let gateway = gateway(&configuration, &[("OPENAI", &openai), ("GEMINI", &gemini)]).await;
    let path = "/v1beta/models/flash:generateContent";
    let by_header = gateway
        .post_with(path, &ask(), &[("x-goog-api-key", "alpha")])
        .await;
    assert_eq!(by_header.status, 200, "{}", by_header.text());
    for (query, status) in [
        ("?key=alpha", 200),
        ("?alt=json&key=alpha", 200),
        ("?key=wrong", 401),
        ("", 401),
        ("?key=beta", 403),
    ] {
        let answer = gateway.post(&format!("{path}{query}"), &ask()).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    }
    // In other languages a key in the query is none.
    let answer = gateway
        .post("/v1/chat/completions?key=alpha", &chat("flash"))
        .await;
    assert_eq!(answer.status, 401);
    for request in gemini.received() {
        assert!(!request.path.contains("key="), "{}", request.path);
        assert!(
            !format!("{:?}", request.headers).contains("alpha"),
            "{:?}",
            request.headers
        );
    }
    gateway.wait_for_calls(7).await;
    for secret in ["key=alpha", "key=wrong", "key=beta", "wrong"] {
        assert!(!gateway.output().contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn its_lists_are_googles() {
    let (openai, gemini) = both().await;
    let gateway = stage(&openai, &gemini).await;
    for path in [
        "/v1beta/models",
        "/gateway/gemini/v1beta/models?pageSize=50",
    ] {
        let listed = gateway.get(path).await.json();
        let models = listed["models"].as_array().expect("models");
        let flash = models
            .iter()
            .find(|model| model["name"] == "models/flash")
            .expect("flash");
        assert_eq!(
            flash["supportedGenerationMethods"][1],
            "streamGenerateContent"
        );
    }
    let one = gateway.get("/v1beta/models/vectors").await.json();
    assert_eq!(
        (&one["name"], &one["supportedGenerationMethods"]),
        (
            &json!("models/vectors"),
            &json!(["embedContent", "batchEmbedContents"])
        )
    );
    let none = gateway.get("/v1beta/models/nothing").await;
    assert_eq!(
        (none.status, &none.json()["error"]["status"]),
        (404, &json!("NOT_FOUND"))
    );
}

#[tokio::test]
async fn blocks_of_googles_own_tools_are_not_told_to_clients_of_others() {
    let code = json!([{"executableCode": {"language": "PYTHON", "code": "print(1)"}}]);
    let output = json!([{"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}]);
    let mut events: Vec<String> = [code, output]
        .iter()
        .map(|parts| format!("data: {}\r\n\r\n", gemini_chunk(parts, None)))
        .collect();
    events.extend(gemini_events(&["It is ", "1."]));
    let gemini = ScriptedProvider::always(Reply::stream(events)).await;
    let gateway = stage(&crate::stage::nobody().await, &gemini).await;
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses"] {
        let mut call = chat_stream("flash");
        if path == "/v1/responses" {
            call = json!({"model": "flash", "input": "Hi", "stream": true});
        }
        let answer = gateway.post(path, &call).await;
        let text = answer.text();
        assert!(text.contains("It is ") && text.contains("1."), "{text}");
        for own in ["executableCode", "codeExecutionResult"] {
            assert!(!text.contains(own), "{path}: {text}");
        }
    }
}
