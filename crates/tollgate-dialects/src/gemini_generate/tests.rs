//! What no recorded exchange shows: the odd, the impossible, and proofs on their way through other dialects.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamEnd, StreamUsage, Task};

use crate::{
    Answer, AnswerForm, CallForm, Finish, SseSplitter, StopReason, StreamEvent, StreamReader,
    StreamWriter, Unsupported, Written, read_answer, read_call, write_answer, write_call,
};

const GEMINI: Dialect = Dialect::GeminiGenerate;
const OPENAI: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

// === helpers ===

/// A call as it is written in another dialect.
fn write(from: Dialect, to: Dialect, model: &str, call: &Value) -> Result<Written, Unsupported> {
    let call = read_call(from, call.to_string().as_bytes()).unwrap();
    let form = CallForm {
        dialect: to,
        model: Some(model),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported: false,
    };
    write_call(&call, &form)
}

fn written(from: Dialect, to: Dialect, model: &str, call: &Value) -> Value {
    let written = write(from, to, model, call).unwrap();
    serde_json::from_slice(&written.body).unwrap()
}

/// A call of OpenAI's with something about it, for a model of Gemini's.
fn openai(model: &str, more: Value) -> Result<Value, Vec<String>> {
    let mut call = json!({"messages": [{"role": "user", "content": "Hi"}]});
    call.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    match write(OPENAI, GEMINI, model, &call) {
        Ok(written) => Ok(serde_json::from_slice(&written.body).unwrap()),
        Err(unsupported) => Err(unsupported.fields),
    }
}

fn form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "fallback",
        fallback_model: "fallback",
        created: 1,
        include_usage: true,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

/// A whole answer told in another dialect.
fn told(from: Dialect, to: Dialect, answer: &Value) -> Value {
    let answer = read_answer(from, Task::Chat, answer.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&write_answer(&answer, &form(to))).unwrap()
}

fn events(dialect: Dialect, stream: &str) -> (Vec<StreamEvent>, Finish) {
    let mut splitter = SseSplitter::new(1 << 20);
    let mut reader = StreamReader::new(dialect, StreamEnd::Finish);
    let mut told = Vec::new();
    splitter.push(Bytes::copy_from_slice(stream.as_bytes()));
    while let Some(event) = splitter.next().unwrap() {
        reader.read(&event, &mut told).unwrap();
    }
    let finish = reader.finish(&mut told);
    (told, finish)
}

/// A stream told in another dialect.
fn retold(from: Dialect, to: Dialect, stream: &str) -> String {
    let mut writer = StreamWriter::new(&form(to));
    let mut out = Vec::new();
    for event in events(from, stream).0 {
        writer.write(&event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

/// The chunks of a stream of Gemini's.
fn chunks(stream: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// All parts of a stream of Gemini's.
fn parts(stream: &str) -> Vec<Value> {
    let chunks = chunks(stream).into_iter();
    chunks
        .flat_map(|chunk| {
            chunk["candidates"][0]["content"]["parts"]
                .as_array()
                .cloned()
        })
        .flatten()
        .collect()
}

fn stream_of(chunks: &[Value]) -> String {
    chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\r\n\r\n"))
        .collect()
}

/// A chunk with these parts.
fn chunk(parts: &Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-3-pro", "responseId": "r"})
}

// === calls ===

#[test]
fn its_own_calls_come_back_as_they_were() {
    let call = json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": ""},
                {"inlineData": {"mimeType": "image/png", "data": "AA+/"}, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AA"}},
                {"inlineData": {"mimeType": "video/mp4", "data": "AA"}, "videoMetadata": {"startOffset": "1s"}},
                {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a.jpg"}},
                {"fileData": {"fileUri": "gs://bucket/a.pdf", "displayName": "a"}},
            ]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true, "thoughtSignature": "s0"},
                {"text": "t", "thoughtSignature": "s1"},
                {"text": "", "thoughtSignature": "s2"},
                {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "s3"},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
                {"functionCall": {"name": "f", "args": {"x": [1]}}, "thoughtSignature": "s4"},
                {"functionCall": {"id": "i", "name": "f", "args": {}}},
            ]},
            {"role": "user", "later": 1, "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "{\"a\":1}"}, "willContinue": false}},
                {"functionResponse": {"id": "i", "name": "f", "response": {"error": "no"}, "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}]}},
                {"text": "and?"},
            ]},
        ],
        "tools": [
            {"functionDeclarations": [
                {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}},
                {"name": "g", "parametersJsonSchema": {"type": "object", "additionalProperties": false}, "behavior": "BLOCKING"},
            ]},
            {"googleSearch": {}},
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            "retrievalConfig": {"languageCode": "de"},
        },
        "generationConfig": {
            "temperature": 1.5, "topP": 0.5, "topK": 3, "maxOutputTokens": 5, "stopSequences": ["x"], "candidateCount": 2, "seed": 7,
            "presencePenalty": 0.5, "frequencyPenalty": -0.5, "responseLogprobs": true, "logprobs": 3,
            "responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]},
            "thinkingConfig": {"thinkingBudget": -1, "thinkingLevel": "low", "includeThoughts": true},
            "responseModalities": ["IMAGE"], "speechConfig": {"languageCode": "de"},
        },
        "serviceTier": "flex",
        "safetySettings": [{"category": "c"}],
        "cachedContent": "cachedContents/1",
        "labels": {"a_b": "c"},
        "later": true,
    });
    let written = write(GEMINI, GEMINI, "gemini-3-pro", &call).unwrap();
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(body, call);
    assert_eq!(written.dropped, Vec::<String>::new());
}

#[test]
fn both_spellings_are_one_language() {
    let call = json!({
        "system_instruction": "s",
        "contents": {"parts": [{"file_data": {"mime_type": "image/png", "file_uri": "https://example.com/a"}}]},
        "tools": {"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]},
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_budget": 0, "include_thoughts": false}},
        "safety_settings": [],
    });
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "user", "parts": [{"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a"}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": 0, "includeThoughts": false}},
        "safetySettings": [],
    });
    // A schema that Gemini's own subset can say is written in it.
    let mut expected = expected;
    let function = &mut expected["tools"][0]["functionDeclarations"][0];
    *function = json!({"name": "f", "parameters": {"type": "object"}});
    assert_eq!(written(GEMINI, GEMINI, "m", &call), expected);
}

#[test]
fn an_error_names_the_field() {
    let error = |call: Value| {
        read_call(GEMINI, call.to_string().as_bytes())
            .unwrap_err()
            .to_string()
    };
    let text = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
    for (call, expected) in [
        (
            json!({}),
            "contents: is missing; it must be a list of contents",
        ),
        (
            json!({"contents": [{"role": "assistant", "parts": []}]}),
            "contents[0].role: must be user or model",
        ),
        (
            json!({"contents": [{"parts": [{"functionCall": {}}]}]}),
            "contents[0].parts[0].functionCall.name: is missing; it must be a text",
        ),
        (
            json!({"contents": text, "generationConfig": {"topK": "many"}}),
            "generationConfig.topK: must be a whole number, not negative",
        ),
        (
            json!({"contents": text, "tools": [{"functionDeclarations": [{"name": 1}]}]}),
            "tools[0].functionDeclarations[0].name: must be a text",
        ),
    ] {
        assert_eq!(error(call), expected);
    }
}

#[test]
fn what_changes_the_answer_is_refused_by_name() {
    let refused = |names: &[&str]| Err(names.iter().map(|name| (*name).to_owned()).collect());
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (more, names) in [
        (json!({"logit_bias": {"1": 1}}), vec!["logit_bias"]),
        (json!({"seed": 3_000_000_000_i64}), vec!["seed"]),
        (
            json!({"tools": tools, "parallel_tool_calls": false}),
            vec!["parallel_tool_calls"],
        ),
        (json!({"modalities": ["text", "audio"]}), vec!["modalities"]),
        (json!({"later": 1}), vec!["later"]),
    ] {
        assert_eq!(
            openai("gemini-3-pro", more.clone()),
            refused(&names),
            "{more}"
        );
    }
    let harmless = json!({"logit_bias": {}, "modalities": ["text"], "parallel_tool_calls": true, "seed": -5, "logprobs": false, "n": 2});
    let body = openai("gemini-3-pro", harmless).unwrap();
    assert_eq!(
        body["generationConfig"],
        json!({"candidateCount": 2, "seed": -5})
    );
    let foreign = json!({"contents": [{"parts": [{"executableCode": {}}]}], "tools": [{"google_search": {}}], "cachedContent": "c"});
    let refused = write(GEMINI, OPENAI, "gpt-5", &foreign).unwrap_err().fields;
    assert_eq!(
        refused,
        [
            "contents.parts.executableCode",
            "tools.googleSearch",
            "cachedContent"
        ]
    );
}

#[test]
fn results_find_their_calls_by_name_and_order() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let result =
        |name: &str| json!({"functionResponse": {"name": name, "response": {"output": name}}});
    let conversation = json!({"contents": [
        {"role": "model", "parts": [call("a"), call("b"), call("a")]},
        {"role": "user", "parts": [result("b"), result("a"), result("a")]},
        {"role": "model", "parts": [call("a")]},
        {"role": "function", "parts": [result("renamed")]},
    ]});
    let body = written(GEMINI, OPENAI, "gpt-5", &conversation);
    let ids: Vec<&str> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|message| message["tool_call_id"].as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "gemini_call_2",
            "gemini_call_1",
            "gemini_call_3",
            "gemini_call_4"
        ]
    );
    assert_eq!(body["messages"][0]["tool_calls"][2]["id"], "gemini_call_3");
}

#[test]
fn pictures_of_tools_go_where_the_model_takes_them() {
    let call = json!({"max_tokens": 5, "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}, {"type": "tool_use", "id": "2", "name": "f", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "see"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
            {"type": "tool_result", "tool_use_id": "2", "content": "no", "is_error": true},
            {"type": "text", "text": "and?"},
        ]},
    ]});
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "AA"}});
    let result = |id: &str, response: Value| json!({"functionResponse": {"id": id, "name": "f", "response": response}});
    let failed = result("2", json!({"error": "no"}));
    let before = written(ANTHROPIC, GEMINI, "gemini-2.5-flash", &call);
    assert_eq!(
        before["contents"][1]["parts"],
        json!([result("1", json!({"output": "see"})), failed, picture, {"text": "and?"}])
    );
    let mut shown = result("1", json!({"output": "see"}));
    shown["functionResponse"]["parts"] = json!([picture]);
    let since = written(ANTHROPIC, GEMINI, "gemini-3-pro", &call);
    assert_eq!(
        since["contents"][1]["parts"],
        json!([shown, failed, {"text": "and?"}])
    );
}

#[test]
fn documents_of_tools_are_their_answers() {
    let call = json!({"max_tokens": 5, "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "sunny"}},
            {"type": "text", "text": "and warm"},
        ]}]},
    ]});
    for model in ["gemini-2.5-flash", "gemini-3-pro"] {
        assert_eq!(
            written(ANTHROPIC, GEMINI, model, &call)["contents"][1]["parts"],
            json!([{"functionResponse": {"id": "1", "name": "f", "response": {"output": "sunny\nand warm"}}}])
        );
    }
}

// === proofs ===

/// A call with these words of the assistant's before the user's last.
fn replayed(said: &Value) -> Value {
    json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}, said]})
}

fn models_parts(body: &Value) -> &Value {
    &body["contents"][1]["parts"]
}

#[test]
fn a_proof_comes_back_on_its_part_through_other_languages() {
    let answer = chunk(
        &json!([
            {"text": "hm", "thought": true},
            {"text": "Let me see."},
            {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g", "args": {}}},
        ]),
        Some("STOP"),
    );
    let id = |number: usize| format!("call_r_0_{number}");
    let expected = json!([
        {"text": "hm", "thought": true},
        {"text": "Let me see."},
        {"functionCall": {"id": id(0), "name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": id(1), "name": "g", "args": {}}},
    ]);
    let message = told(GEMINI, OPENAI, &answer)["choices"][0]["message"].clone();
    assert_eq!(
        message["tool_calls"][0]["extra_content"],
        json!({"google": {"thought_signature": "c2ln"}})
    );
    let back = written(OPENAI, GEMINI, "gemini-3-pro", &replayed(&message));
    assert_eq!(models_parts(&back), &expected);

    // A client that keeps nothing but the calls, and one that keeps nothing but the reasoning.
    for kept in ["reasoning_details", "tool_calls"] {
        let mut message = message.clone();
        message["content"] = Value::Null;
        let members = message.as_object_mut().unwrap();
        members.retain(|name, _| name == kept || !name.starts_with("reasoning"));
        if kept == "reasoning_details" {
            for call in members["tool_calls"].as_array_mut().unwrap() {
                call.as_object_mut().unwrap().shift_remove("extra_content");
            }
        }
        let back = written(OPENAI, GEMINI, "gemini-3-pro", &replayed(&message));
        let parts = models_parts(&back).as_array().unwrap();
        let proved: Vec<&Value> = parts
            .iter()
            .filter(|part| part["functionCall"].is_object())
            .map(|part| &part["thoughtSignature"])
            .collect();
        assert_eq!(proved, [&json!("c2ln"), &Value::Null], "{kept}");
    }

    let blocks = told(GEMINI, ANTHROPIC, &answer)["content"].clone();
    let said = json!({"role": "assistant", "content": blocks});
    let back = written(ANTHROPIC, GEMINI, "gemini-3-pro", &replayed(&said));
    assert_eq!(models_parts(&back), &expected);
}

#[test]
fn a_streamed_proof_is_the_same_proof() {
    let stream = stream_of(&[
        chunk(&json!([{"text": "hm", "thought": true}]), None),
        chunk(
            &json!([{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}]),
            None,
        ),
        chunk(&json!([{"text": ""}]), Some("STOP")),
    ]);
    let openai = retold(GEMINI, OPENAI, &stream);
    assert!(
        openai.contains(r#""extra_content":{"google":{"thought_signature":"c2ln"}}"#),
        "{openai}"
    );
    assert!(
        openai.contains(r#""finish_reason":"tool_calls""#),
        "{openai}"
    );
    let anthropic = retold(GEMINI, ANTHROPIC, &stream);
    assert!(
        anthropic.contains(r#"{"type":"redacted_thinking","data":"gemini:c2ln"}"#),
        "{anthropic}"
    );
    let own = retold(GEMINI, GEMINI, &stream);
    assert!(
        parts(&own).contains(&json!({
            "functionCall": {"id": "call_r_0_0", "name": "f", "args": {}}, "thoughtSignature": "c2ln",
        })),
        "{own}"
    );
}

#[test]
fn a_proof_of_a_text_comes_in_an_empty_part() {
    let stream = stream_of(&[
        chunk(&json!([{"text": "Hel"}]), None),
        chunk(
            &json!([{"text": "lo", "thoughtSignature": "c2ln"}]),
            Some("STOP"),
        ),
    ]);
    let expected = [
        json!({"text": "Hel"}),
        json!({"text": "lo"}),
        json!({"text": "", "thoughtSignature": "c2ln"}),
    ];
    assert_eq!(parts(&retold(GEMINI, GEMINI, &stream)), expected);
    let whole = chunk(
        &json!([{"text": "Hello", "thoughtSignature": "c2ln"}]),
        Some("STOP"),
    );
    let message = told(GEMINI, OPENAI, &whole)["choices"][0]["message"].clone();
    let back = written(OPENAI, GEMINI, "gemini-3-pro", &replayed(&message));
    assert_eq!(
        models_parts(&back),
        &json!([{"text": "Hello", "thoughtSignature": "c2ln"}])
    );
}

#[test]
fn no_provider_is_sent_anothers_proof() {
    let said = json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "claudes"},
        {"type": "redacted_thinking", "data": "claudes"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
    ]});
    let written = write(ANTHROPIC, GEMINI, "gemini-2.5-pro", &replayed(&said)).unwrap();
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!(
        models_parts(&body),
        &json!([{"text": "hm", "thought": true}, {"functionCall": {"id": "1", "name": "f", "args": {}}}])
    );
    assert_eq!(
        written.dropped,
        [
            "messages.content.thinking",
            "messages.content.redacted_thinking"
        ]
    );

    let gemini = json!({"role": "assistant", "content": null, "reasoning_details": [
        {"type": "reasoning.encrypted", "data": "gemini:c2ln"}, {"type": "reasoning.text", "text": "hm", "signature": "gemini:c2ln"},
    ], "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let body = self::written(OPENAI, ANTHROPIC, "claude-sonnet-4-5", &replayed(&gemini));
    assert_eq!(
        body["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "1", "name": "f", "input": {}}])
    );
}

#[test]
fn a_call_that_gemini_3_did_not_make_is_sent_with_the_word_for_that() {
    let said = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]});
    let proofs = |model: &str| -> Vec<Value> {
        let body = written(OPENAI, GEMINI, model, &replayed(&said));
        let parts = models_parts(&body).as_array().unwrap();
        parts
            .iter()
            .map(|part| part["thoughtSignature"].clone())
            .collect()
    };
    assert_eq!(
        proofs("gemini-3-pro"),
        [json!("skip_thought_signature_validator"), Value::Null]
    );
    assert_eq!(proofs("gemini-2.5-pro"), [Value::Null, Value::Null]);
}

#[test]
fn a_gemini_client_brings_claudes_proof_back() {
    let content = json!([
        {"type": "thinking", "thinking": "hm", "signature": "Er+/=="},
        {"type": "redacted_thinking", "data": "Em+/=="},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}},
    ]);
    let answer =
        json!({"id": "msg_1", "model": "claude", "content": content, "stop_reason": "tool_use"});
    let told = told(ANTHROPIC, GEMINI, &answer);
    let back = |parts: &Value| {
        let call = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, {"role": "model", "parts": parts}]});
        written(GEMINI, ANTHROPIC, "claude-sonnet-4-5", &call)["messages"][1]["content"].clone()
    };
    assert_eq!(back(&told["candidates"][0]["content"]["parts"]), content);

    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "h"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "m"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "Er+/=="}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "Em+/=="}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "1", "name": "f", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"x\":"}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ];
    let stream: String = events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let heard = parts(&retold(ANTHROPIC, GEMINI, &stream));
    assert_eq!(back(&json!(heard)), content);
    // Google's own client keeps each chunk as a content of its own.
    let kept = heard
        .iter()
        .map(|part| json!({"role": "model", "parts": [part]}));
    let kept: Vec<Value> = [json!({"parts": [{"text": "Hi"}]})]
        .into_iter()
        .chain(kept)
        .collect();
    let call = json!({"contents": kept});
    let body = written(GEMINI, ANTHROPIC, "claude-sonnet-4-5", &call);
    assert_eq!(body["messages"][1]["content"], content);
}

// === answers ===

#[test]
fn a_blocked_prompt_is_a_filters_doing_and_no_unreadable_answer() {
    let blocked = json!({
        "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No such thing."},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
    });
    let openai = told(GEMINI, OPENAI, &blocked);
    assert_eq!(openai["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(openai["choices"][0]["message"]["refusal"], "No such thing.");
    assert_eq!(told(GEMINI, ANTHROPIC, &blocked)["stop_reason"], "refusal");
    let own = told(GEMINI, GEMINI, &blocked);
    assert!(own.get("candidates").is_none(), "{own}");
    assert_eq!(own["promptFeedback"], blocked["promptFeedback"]);
    let (events, finish) = events(GEMINI, &stream_of(&[blocked]));
    assert_eq!(finish, Finish::Complete);
    assert!(
        events.iter().any(|event| matches!(event, StreamEvent::Stop { stop, .. } if stop.reason == StopReason::ContentFilter)),
        "{events:?}"
    );
}

#[test]
fn what_is_no_answer_is_unreadable() {
    let error = |body: &str| {
        read_answer(GEMINI, Task::Chat, body.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(r#"{"this": [{"is": "not one"}]}"#),
        "candidates: is missing; it must be a list of candidates"
    );
    assert_eq!(
        error(r#"{"error": {"code": 500, "message": "no", "status": "INTERNAL"}}"#),
        "error: no"
    );
    let unfinished = json!([chunk(&json!([{"text": "Hel"}]), None)]);
    assert_eq!(
        error(&unfinished.to_string()),
        "candidates: do not come to their end"
    );
}

#[test]
fn a_list_of_chunks_is_one_answer() {
    let mut last = chunk(&json!([{"text": "lo"}]), Some("MAX_TOKENS"));
    last["usageMetadata"] = json!({"promptTokenCount": 1, "candidatesTokenCount": 2});
    let list = json!([chunk(&json!([{"text": "Hel"}]), None), last]);
    let answer = told(GEMINI, OPENAI, &list);
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["total_tokens"], 3);
}

#[test]
fn finish_reasons_mean_what_they_say() {
    for (word, openai, anthropic) in [
        (json!("STOP"), "stop", "end_turn"),
        (json!(1), "stop", "end_turn"),
        (json!("MAX_TOKENS"), "length", "max_tokens"),
        (json!(2), "length", "max_tokens"),
        (json!("RECITATION"), "content_filter", "refusal"),
        (json!("MODEL_ARMOR"), "content_filter", "refusal"),
        (json!("MALFORMED_FUNCTION_CALL"), "stop", "end_turn"),
        (json!("BRAND_NEW"), "stop", "end_turn"),
    ] {
        let mut answer = chunk(&json!([{"text": "Hi"}]), None);
        answer["candidates"][0]["finishReason"] = word.clone();
        assert_eq!(
            told(GEMINI, OPENAI, &answer)["choices"][0]["finish_reason"],
            openai,
            "{word}"
        );
        assert_eq!(
            told(GEMINI, ANTHROPIC, &answer)["stop_reason"],
            anthropic,
            "{word}"
        );
        let own = told(GEMINI, GEMINI, &answer)["candidates"][0]["finishReason"].clone();
        if word.is_string() {
            assert_eq!(own, word);
        }
    }
}

#[test]
fn what_was_found_is_told_as_citations() {
    let mut answer = chunk(&json!([{"text": "Größe: 5. Alter: 7."}]), Some("STOP"));
    answer["candidates"][0]["groundingMetadata"] = json!({
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "a"}}],
        "groundingSupports": [{"segment": {"startIndex": 12, "endIndex": 21}, "groundingChunkIndices": [0]}],
    });
    let openai = told(GEMINI, OPENAI, &answer);
    assert_eq!(
        openai["choices"][0]["message"]["annotations"][0]["url_citation"],
        json!({"url": "https://a.example", "title": "a", "start_index": 10, "end_index": 19})
    );
    let anthropic = told(GEMINI, ANTHROPIC, &answer);
    assert_eq!(
        anthropic["content"][0]["citations"][0]["cited_text"],
        "Alter: 7."
    );
    let stream = retold(GEMINI, OPENAI, &stream_of(&[answer]));
    assert!(
        stream.contains(r#""start_index":10,"end_index":19"#),
        "{stream}"
    );
}

#[test]
fn log_probabilities_go_both_ways() {
    let logprobs =
        json!({"chosenCandidates": [{"token": "Hi", "logProbability": -0.5}], "topCandidates": []});
    let mut answer = chunk(&json!([{"text": "Hi"}]), Some("STOP"));
    answer["candidates"][0]["logprobsResult"] = logprobs;
    let openai = told(GEMINI, OPENAI, &answer);
    assert_eq!(
        openai["choices"][0]["logprobs"]["content"][0]["logprob"],
        -0.5
    );
    let back = told(OPENAI, GEMINI, &openai);
    assert_eq!(
        back["candidates"][0]["logprobsResult"]["chosenCandidates"],
        json!([{"token": "Hi", "logProbability": -0.5}])
    );
}

// === streams ===

/// Some models of before gave a finish reason with every chunk, and a better one at the end.
#[test]
fn the_last_finish_reason_counts() {
    let stream = stream_of(&[
        chunk(&json!([{"text": "a"}]), Some("STOP")),
        chunk(&json!([{"text": "b"}]), Some("STOP")),
        chunk(&json!([]), Some("RECITATION")),
    ]);
    let openai = retold(GEMINI, OPENAI, &stream);
    assert_eq!(openai.matches("finish_reason\":\"").count(), 1, "{openai}");
    assert!(
        openai.contains(r#""finish_reason":"content_filter""#),
        "{openai}"
    );
}

#[test]
fn a_stream_that_breaks_off_never_looks_whole() {
    let openai = |text: &str, finish: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})
        )
    };
    let stream = openai("Hel", Value::Null) + &openai("lo", json!("stop"));
    let mut writer = StreamWriter::new(&form(GEMINI));
    let mut out = Vec::new();
    let (told, _) = events(OPENAI, &stream);
    for event in told.iter().filter(|event| **event != StreamEvent::End) {
        writer.write(event, &mut out);
    }
    let cut = String::from_utf8(out.clone()).unwrap();
    assert!(!cut.contains("finishReason"), "{cut}");
    assert_eq!(events(GEMINI, &cut).1, Finish::Cut);
    writer.write(&StreamEvent::End, &mut out);
    let whole = String::from_utf8(out).unwrap();
    assert_eq!(events(GEMINI, &whole).1, Finish::Complete);
    let last = chunks(&whole).pop().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(
        (&last["modelVersion"], &last["responseId"]),
        (&json!("fallback"), &json!("1"))
    );
}

#[test]
fn an_error_in_a_stream_is_told_in_the_clients_words() {
    let error = json!({"error": {"code": 503, "message": "full", "status": "UNAVAILABLE"}});
    let stream = stream_of(&[chunk(&json!([{"text": "a"}]), None), error]);
    let own = chunks(&retold(GEMINI, GEMINI, &stream)).pop().unwrap();
    assert_eq!(
        (&own["error"]["code"], &own["error"]["status"]),
        (&json!(503), &json!("UNAVAILABLE"))
    );
    assert!(retold(GEMINI, ANTHROPIC, &stream).contains("overloaded_error"));
    let openai = r#"data: {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}"#;
    let told = chunks(&retold(OPENAI, GEMINI, &format!("{openai}\n\n")))
        .pop()
        .unwrap();
    assert_eq!(
        (&told["error"]["code"], &told["error"]["status"]),
        (&json!(429), &json!("RESOURCE_EXHAUSTED"))
    );
}

#[test]
fn several_candidates_end_each_for_itself() {
    let mut both = chunk(&json!([{"text": "a"}]), Some("STOP"));
    let other = json!({"index": 1, "content": {"parts": [{"text": "b"}]}});
    both["candidates"].as_array_mut().unwrap().push(other);
    let first = stream_of(&[both]);
    assert_eq!(events(GEMINI, &first).1, Finish::Cut);
    let rest = json!({"candidates": [{"index": 1, "finishReason": "MAX_TOKENS"}]});
    let whole = first + &stream_of(&[rest]);
    assert_eq!(events(GEMINI, &whole).1, Finish::Complete);
    let own = chunks(&retold(GEMINI, GEMINI, &whole)).pop().unwrap();
    let ends = own["candidates"].as_array().unwrap().iter();
    let ends: Vec<&Value> = ends.map(|candidate| &candidate["finishReason"]).collect();
    assert_eq!(ends, ["STOP", "MAX_TOKENS"]);
}

#[test]
fn an_answer_that_says_nothing_has_a_choice_all_the_same() {
    let silent = json!({"usageMetadata": {"promptTokenCount": 5}, "modelVersion": "m"});
    let answer = read_answer(GEMINI, Task::Chat, silent.to_string().as_bytes()).unwrap();
    let Answer::Chat(answer) = answer else {
        panic!("a chat")
    };
    assert_eq!((answer.choices.len(), answer.choices[0].index), (1, 0));
}
