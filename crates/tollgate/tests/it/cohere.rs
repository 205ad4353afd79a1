//! Cohere's clients and Cohere's models; documents put in order, whoever does it.

use serde_json::{Value, json};
use tollgate_testkit::{Received, Reply, ScriptedProvider};

use crate::stage::{chat, chat_stream, gateway, nobody, openai_answer, openai_events};

const ROUTES: &str = r#"
providers:
  - {name: openai, type: openai, base_url: "OPENAI/v1", api_key: sk-up}
  - {name: cohere, type: cohere, base_url: "COHERE", api_key: co-up}
  - {name: voyage, type: voyage, base_url: "VOYAGE/v1", api_key: pa-up}
  - {name: house, type: custom, base_url: "HOUSE/v1", paths: {rerank: /rerank}}
routes:
  - {name: gpt, model: {provider: openai, name: gpt-4o-mini}}
  - {name: command, model: {provider: cohere, name: command-a-03-2025}, params: {top_p: 0.5}}
  - {name: vectors, route_type: llm/v1/embeddings, model: {provider: openai, name: text-embedding-3-small}}
  - {name: embed, route_type: llm/v1/embeddings, model: {provider: cohere, name: embed-v4.0}}
  - {name: rerank, route_type: llm/v1/rerank, model: {provider: cohere, name: rerank-v3.5}}
  - {name: rerank-voyage, route_type: llm/v1/rerank, model: {provider: voyage, name: rerank-2.5}}
  - {name: rerank-house, route_type: llm/v1/rerank, model: {provider: house, name: bge}}
"#;

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

fn tool_calls() -> Value {
    json!([{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}}])
}

fn cohere_answer(message: &Value, finish: &str) -> Value {
    json!({"id": "co-1", "message": message, "finish_reason": finish, "usage": {
        "billed_units": {"input_tokens": 5, "output_tokens": 3}, "tokens": {"input_tokens": 500, "output_tokens": 6}}})
}

fn cohere_events() -> Vec<String> {
    let event = |event: Value| {
        let name = event["type"].as_str().unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    let content = |text: &str| json!({"message": {"content": {"text": text}}});
    vec![
        event(
            json!({"id": "co-1", "type": "message-start", "delta": {"message": {"role": "assistant"}}}),
        ),
        event(
            json!({"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
        ),
        event(json!({"type": "content-delta", "index": 0, "delta": content("Hel")})),
        event(json!({"type": "content-delta", "index": 0, "delta": content("lo")})),
        event(json!({"type": "content-end", "index": 0})),
        event(
            json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 5, "output_tokens": 3}}}}),
        ),
        "data: [DONE]\n\n".to_owned(),
    ]
}

fn cohere(request: &Received) -> Reply {
    let body = request.json();
    match request.path.as_str() {
        "/v2/chat" if body["stream"] == true => Reply::stream(cohere_events()),
        "/v2/chat" if body["tools"].is_array() => {
            let message =
                json!({"role": "assistant", "tool_plan": "I look.", "tool_calls": tool_calls()});
            Reply::json(200, &cohere_answer(&message, "TOOL_CALL"))
        }
        "/v2/chat" => {
            let message =
                json!({"role": "assistant", "content": [{"type": "text", "text": "Hello"}]});
            Reply::json(200, &cohere_answer(&message, "COMPLETE"))
        }
        "/v2/embed" => Reply::json(
            200,
            &json!({"id": "1", "embeddings": {"float": [[0.5, -1.0]]}, "meta": {"billed_units": {"input_tokens": 2}}}),
        ),
        "/v2/rerank" => Reply::json(
            200,
            &json!({"id": "1", "results": [{"index": 1, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 1}}}),
        ),
        path => Reply::json(404, &json!({"id": "1", "message": format!("no {path}")})),
    }
}

fn openai(request: &Received) -> Reply {
    let body = request.json();
    if request.path == "/v1/embeddings" {
        return Reply::json(
            200,
            &json!({"object": "list", "data": [{"index": 0, "embedding": [0.5, -1.0]}], "model": "e", "usage": {"prompt_tokens": 2, "total_tokens": 2}}),
        );
    }
    if body["messages"][0]["content"] == "too long" {
        return Reply::json(
            400,
            &json!({"error": {"message": "too many tokens", "type": "invalid_request_error", "code": "context_length_exceeded"}}),
        );
    }
    if body["stream"] == true {
        return Reply::stream(openai_events(&["Hel", "lo"]));
    }
    let mut answer = openai_answer("I look.");
    if body["tools"].is_array() {
        answer["choices"][0]["message"]["tool_calls"] = tool_calls();
        answer["choices"][0]["finish_reason"] = json!("tool_calls");
    }
    Reply::json(200, &answer)
}

struct Stage {
    gateway: tollgate_testkit::TestGateway,
    openai: ScriptedProvider,
    cohere: ScriptedProvider,
}

async fn stage() -> Stage {
    let openai = ScriptedProvider::start(openai).await;
    let cohere = ScriptedProvider::start(cohere).await;
    let nobody = nobody().await;
    let providers = [
        ("OPENAI", &openai),
        ("COHERE", &cohere),
        ("VOYAGE", &nobody),
        ("HOUSE", &nobody),
    ];
    let gateway = gateway(ROUTES, &providers).await;
    Stage {
        gateway,
        openai,
        cohere,
    }
}

#[tokio::test]
async fn coheres_clients_reach_a_model_of_openais() {
    let stage = stage().await;
    let mut call = chat("gpt");
    call["tools"] = tools();
    call["tool_choice"] = json!("REQUIRED");
    call["p"] = json!(0.5);
    let answer = stage.gateway.post("/v2/chat", &call).await.json();
    let message = json!({"role": "assistant", "tool_plan": "I look.", "tool_calls": tool_calls()});
    assert_eq!(
        (&answer["message"], &answer["finish_reason"]),
        (&message, &json!("TOOL_CALL"))
    );
    assert_eq!(
        answer["usage"]["billed_units"],
        json!({"input_tokens": 12, "output_tokens": 7})
    );
    let asked = stage.openai.received()[0].json();
    assert_eq!(
        (&asked["tool_choice"], &asked["top_p"]),
        (&json!("required"), &json!(0.5))
    );

    // The calls and what came of them go back.
    let messages = call["messages"].as_array_mut().unwrap();
    messages.push(message);
    messages.push(json!({"role": "tool", "tool_call_id": "call_1", "content": [{"type": "document", "document": {"data": {"sun": "yes"}}}]}));
    stage.gateway.post("/v2/chat", &call).await;
    let asked = stage.openai.received()[1].json();
    assert_eq!(asked["messages"][1]["content"], "I look.");
    assert_eq!(
        asked["messages"][2],
        json!({"role": "tool", "tool_call_id": "call_1", "content": "{\"sun\":\"yes\"}"})
    );

    let text = stage
        .gateway
        .post("/v2/chat", &chat_stream("gpt"))
        .await
        .text();
    assert!(text.starts_with("event: message-start\n"), "{text}");
    assert!(text.contains(r#"{"content":{"text":"Hel"}}"#), "{text}");
    assert!(
        text.contains(r#""finish_reason":"COMPLETE""#) && text.contains(r#""input_tokens":12"#)
    );
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn openais_clients_reach_a_model_of_coheres() {
    let stage = stage().await;
    let mut call = chat("command");
    call["tools"] = tools();
    let answer = stage
        .gateway
        .post("/v1/chat/completions", &call)
        .await
        .json();
    let choice = &answer["choices"][0];
    assert_eq!(
        (
            &choice["message"]["content"],
            &choice["message"]["tool_calls"],
            &choice["finish_reason"]
        ),
        (&json!("I look."), &tool_calls(), &json!("tool_calls"))
    );
    assert_eq!(answer["usage"]["total_tokens"], 8);
    let asked = &stage.cohere.received()[0];
    assert_eq!(asked.header("authorization"), Some("Bearer co-up"));
    assert_eq!(
        (&asked.json()["p"], &asked.json()["model"]),
        (&json!(0.5), &json!("command-a-03-2025"))
    );

    let answer = stage
        .gateway
        .post("/v1/chat/completions", &chat_stream("command"))
        .await;
    let events = answer.events();
    assert!(
        events
            .iter()
            .any(|event| event.contains(r#""content":"Hel""#)),
        "{events:?}"
    );
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
}

#[tokio::test]
async fn in_coheres_own_language_everything_passes() {
    let stage = stage().await;
    let mut call = chat("command");
    call["documents"] = json!(["d"]);
    call["p"] = json!(0.9);
    let answer = stage.gateway.post("/v2/chat", &call).await;
    let message = json!({"role": "assistant", "content": [{"type": "text", "text": "Hello"}]});
    assert_eq!(
        answer.text(),
        cohere_answer(&message, "COMPLETE").to_string()
    );
    call["model"] = json!("command-a-03-2025");
    assert_eq!(stage.cohere.received()[0].json(), call);

    let answer = stage
        .gateway
        .post("/v2/chat", &chat_stream("command"))
        .await;
    assert_eq!(answer.text(), cohere_events().concat());
    assert_eq!(
        stage.cohere.received()[1].json()["p"],
        0.5,
        "the route's default has Cohere's name"
    );
    let line = &stage.gateway.wait_for_calls(2).await[1];
    assert_eq!(
        (&line["gen_ai.usage.input_tokens"], &line["outcome"]),
        (&json!(5), &json!("answered"))
    );
}

#[tokio::test]
async fn errors_are_told_in_coheres_shape() {
    let stage = stage().await;
    let call = json!({"model": "gpt", "messages": [{"role": "user", "content": "too long"}]});
    let answer = stage.gateway.post("/v2/chat", &call).await;
    assert_eq!(
        (answer.status, &answer.json()["message"]),
        (400, &json!("too many tokens"))
    );
    let mut call = chat("gpt");
    call["documents"] = json!(["d"]);
    let answer = stage.gateway.post("/v2/chat", &call).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["message"]
            .as_str()
            .is_some_and(|text| text.contains("documents"))
    );
    let answer = stage
        .gateway
        .post("/v2/rerank", &json!({"model": "nothing"}))
        .await;
    assert_eq!(answer.status, 404);
    assert!(answer.json()["message"].is_string());
}

#[tokio::test]
async fn vectors_are_made_in_either_language() {
    let stage = stage().await;
    let call = json!({"model": "vectors", "texts": ["a"], "input_type": "search_query", "embedding_types": ["base64"]});
    let answer = stage.gateway.post("/v2/embed", &call).await;
    assert_eq!(
        answer.json()["embeddings"],
        json!({"base64": ["AAAAPwAAgL8="]})
    );
    assert_eq!(answer.header("x-tollgate-dropped"), "input_type");
    let call = json!({"model": "embed", "input": "a", "encoding_format": "base64"});
    let answer = stage.gateway.post("/v1/embeddings", &call).await.json();
    assert_eq!(answer["data"][0]["embedding"], "AAAAPwAAgL8=");
    assert_eq!(
        stage.cohere.received()[0].json()["input_type"],
        "search_document"
    );
}

#[tokio::test]
async fn documents_are_put_in_order() {
    let openai = nobody().await;
    let cohere = ScriptedProvider::start(cohere).await;
    let voyage = ScriptedProvider::always(Reply::json(
        200,
        &json!({"object": "list", "data": [{"index": 1, "relevance_score": 0.9}], "model": "rerank-2.5", "usage": {"total_tokens": 9}}),
    ))
    .await;
    let house_answer = json!({"model": "bge", "object": "list", "results": [{"index": 1, "relevance_score": 4.5}], "usage": {"prompt_tokens": 9, "total_tokens": 9}});
    let house = ScriptedProvider::always(Reply::json(200, &house_answer)).await;
    let providers = [
        ("OPENAI", &openai),
        ("COHERE", &cohere),
        ("VOYAGE", &voyage),
        ("HOUSE", &house),
    ];
    let gateway = gateway(ROUTES, &providers).await;
    let call =
        |route: &str| json!({"model": route, "query": "q", "documents": ["a", "b"], "top_n": 1});

    for path in [
        "/v2/rerank",
        "/v1/rerank",
        "/rerank",
        "/gateway/rerank/invocations",
    ] {
        let answer = gateway.post(path, &call("rerank")).await.json();
        assert_eq!(answer["results"][0]["index"], 1, "{path}");
    }
    let answer = gateway.post("/v1/rerank", &call("rerank-house")).await;
    assert_eq!(answer.text(), house_answer.to_string());
    assert_eq!(house.received()[0].path, "/v1/rerank");
    let answer = gateway
        .post("/v2/rerank", &call("rerank-voyage"))
        .await
        .json();
    assert_eq!(
        answer["results"],
        json!([{"index": 1, "relevance_score": 0.9}])
    );
    assert_eq!(voyage.received()[0].json()["top_k"], 1);

    let lines = gateway.wait_for_calls(6).await;
    assert_eq!(lines[0]["usage"], json!({"search_units": 1}));
    assert_eq!(lines[5]["usage"], json!({"input": 9}));
    let metrics = gateway.get("/metrics").await.text();
    let searches = r#"tollgate_search_units_total{route="rerank",target="cohere/rerank-v3.5"} 4"#;
    assert!(metrics.contains(searches), "{metrics}");
    let models = gateway.get("/v1/models").await.text();
    assert!(models.contains("rerank-voyage"), "{models}");
}

/// Cohere takes texts alone and gives none back: what its clients of the first version know is kept by the gateway.
#[tokio::test]
async fn documents_are_texts_for_cohere_and_are_given_back() {
    let cohere = ScriptedProvider::always(Reply::json(
        200,
        &json!({"id": "r-1", "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}}),
    ))
    .await;
    let others = nobody().await;
    let gateway = gateway(
        ROUTES,
        &[
            ("COHERE", &cohere),
            ("OPENAI", &others),
            ("VOYAGE", &others),
            ("HOUSE", &others),
        ],
    )
    .await;
    let call = json!({"model": "rerank", "query": "q", "documents": ["a", {"title": "b", "year": 1876}], "rank_fields": ["title"], "return_documents": true, "top_n": 2});
    let answer = gateway.post("/v1/rerank", &call).await.json();
    assert_eq!(
        answer,
        json!({"id": "r-1", "results": [
            {"index": 1, "relevance_score": 0.9, "document": {"title": "b", "year": 1876}},
            {"index": 0, "relevance_score": 0.1, "document": {"text": "a"}},
        ], "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}})
    );
    assert_eq!(
        cohere.received()[0].json(),
        json!({"model": "rerank-v3.5", "query": "q", "documents": ["a", "title: b\n"], "top_n": 2})
    );
    // What says nothing of the kind passes as it is.
    let call = json!({"query": "q", "documents": ["a", "b"], "model": "rerank"});
    let answer = gateway.post("/v2/rerank", &call).await.json();
    assert!(answer["results"][0].get("document").is_none());
    let sent = String::from_utf8(cohere.received()[1].body.clone()).expect("a text");
    assert_eq!(
        sent,
        call.to_string().replace("\"rerank\"", "\"rerank-v3.5\"")
    );
}

#[tokio::test]
async fn jina_is_told_what_vectors_are_for() {
    let jina = ScriptedProvider::always(Reply::json(
        200,
        &json!({"model": "jina-embeddings-v3", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"total_tokens": 3, "prompt_tokens": 3}}),
    ))
    .await;
    let configuration = r#"
providers: [{name: jina, type: jina, base_url: "JINA/v1", api_key: k}]
routes: [{name: vectors, route_type: llm/v1/embeddings, model: {provider: jina, name: jina-embeddings-v3}}]
"#;
    let gateway = gateway(configuration, &[("JINA", &jina)]).await;
    for (purpose, task) in [
        ("search_query", json!("retrieval.query")),
        ("search_document", json!("retrieval.passage")),
        ("clustering", json!("separation")),
        // It has no word for pictures, and is told nothing.
        ("image", Value::Null),
    ] {
        let call = json!({"model": "vectors", "texts": ["a"], "input_type": purpose, "embedding_types": ["float"]});
        let answer = gateway.post("/v2/embed", &call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = jina.received().pop().expect("asked").json();
        assert_eq!(sent["task"], task, "{purpose}");
        let dropped = answer.header("x-tollgate-dropped");
        assert_eq!(dropped.contains("input_type"), task.is_null(), "{purpose}");
    }
}
