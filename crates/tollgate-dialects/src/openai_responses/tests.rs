//! What no recorded exchange shows: the odd, the impossible, and what must survive between dialects.

use serde_json::{Value, json};
use tollgate_domain::{ChatInput, Dialect, StreamUsage, Task};

use super::has_others_proof;
use crate::{
    Answer, AnswerForm, CallForm, ErrorKind, PartKind, ReadError, StopReason, Unsupported, Written,
    glance, read_answer, read_call, write_answer, write_call,
};

const RESPONSES: Dialect = Dialect::OpenaiResponses;
const CHAT: Dialect = Dialect::OpenaiChat;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;

// === calls ===

fn write(
    from: Dialect,
    to: Dialect,
    call: &Value,
    drop_unsupported: bool,
) -> Result<Written, Unsupported> {
    let call = read_call(from, call.to_string().as_bytes()).unwrap();
    let form = CallForm {
        dialect: to,
        model: Some("m"),
        stream_usage: StreamUsage::Unasked,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    };
    write_call(&call, &form)
}

/// A call as it is written in another dialect, and what was dropped from it.
fn written(from: Dialect, to: Dialect, call: &Value) -> (Value, Vec<String>) {
    let written = write(from, to, call, false).unwrap();
    (
        serde_json::from_slice(&written.body).unwrap(),
        written.dropped,
    )
}

fn refused(from: Dialect, to: Dialect, call: &Value) -> Vec<String> {
    write(from, to, call, false).unwrap_err().fields
}

#[test]
fn its_own_calls_come_back_as_they_were() {
    let call = json!({
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "developer", "content": "d"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
                {"type": "input_image", "file_id": "f", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
                {"type": "input_file", "file_url": "u"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "later", "x": 1},
            ], "id": "msg_0", "status": "completed"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "b"}, {"type": "summary_text", "text": "c"}], "id": "rs_1", "encrypted_content": "e"},
            {"type": "reasoning", "summary": [], "id": "rs_2"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "d", "annotations": [{"type": "file_citation"}]},
                {"type": "refusal", "refusal": "no"},
            ], "id": "msg_1", "status": "completed", "phase": "commentary"},
            {"type": "message", "role": "assistant", "content": "another"},
            {"type": "web_search_call", "id": "ws_1", "action": {"type": "search"}},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "", "id": "fc_1", "status": "completed", "namespace": "n"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free", "id": "ctc_1"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "1", "x": 1}]},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "2", "id": "o2"},
            {"type": "computer_call_output", "call_id": "c3", "output": {"type": "computer_screenshot"}},
            {"type": "item_reference", "id": "msg_9"},
            {"id": "msg_10"},
        ],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true, "defer_loading": true},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "web_search", "filters": {}},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "parallel_tool_calls": false,
        "max_output_tokens": 5,
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "xhigh", "summary": "auto"},
        "user": "u",
        "service_tier": "flex",
        "stream": true,
        "metadata": {"a": "b"},
        "store": false,
        "previous_response_id": "resp_0",
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    });
    let (body, dropped) = written(RESPONSES, RESPONSES, &call);
    assert_eq!((body, dropped), (call, Vec::new()));
}

#[test]
fn an_error_names_the_field() {
    for (call, expected) in [
        (
            json!({}),
            "input: is missing; it must be a text or a list of items",
        ),
        (
            json!({"input": [{"role": "robot", "content": ""}]}),
            "input[0].role: must be user, assistant, system or developer",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}),
            "input[0].content[0].text: is missing; it must be a text",
        ),
        (
            json!({"input": [{"type": "function_call_output", "output": "x"}]}),
            "input[0].call_id: is missing; it must be a text",
        ),
        (
            json!({"input": "a", "tools": [{"name": "f"}]}),
            "tools[0].type: is missing; it must be a text, such as function",
        ),
    ] {
        let error: ReadError = read_call(RESPONSES, call.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    // What is stored may say everything.
    let stored = json!({"previous_response_id": "resp_0"});
    assert!(read_call(RESPONSES, stored.to_string().as_bytes()).is_ok());
}

#[test]
fn the_assistants_items_in_a_row_are_one_message_elsewhere() {
    let call = json!({"input": [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b", "annotations": []}]},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}", "id": "fc_1", "status": "completed"},
        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"type": "function_call_output", "call_id": "2", "output": "y"},
    ]});
    let (body, dropped) = written(RESPONSES, CHAT, &call);
    let tool_call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "tool_calls": [tool_call("1"), tool_call("2")]},
            {"role": "tool", "content": "x", "tool_call_id": "1"},
            {"role": "tool", "content": "y", "tool_call_id": "2"},
        ])
    );
    assert_eq!(dropped, ["input.reasoning"]);
}

#[test]
fn what_changes_the_answer_is_refused_by_name() {
    let call = json!({
        "input": [{"role": "user", "content": "a"}, {"type": "web_search_call", "id": "w"}, {"type": "item_reference", "id": "i"}],
        "tools": [{"type": "web_search"}], "background": true, "prompt": {"id": "p"}, "later": 1, "store": true,
    });
    for to in [CHAT, ANTHROPIC] {
        assert_eq!(
            refused(RESPONSES, to, &call),
            [
                "input.web_search_call",
                "input.item_reference",
                "tools.web_search",
                "background",
                "prompt",
                "later"
            ]
        );
    }
    // What would be done anyway is no loss.
    let neutral = json!({"input": "a", "background": false, "truncation": "disabled", "store": false, "include": ["reasoning.encrypted_content"]});
    for to in [CHAT, ANTHROPIC] {
        assert_eq!(written(RESPONSES, to, &neutral).1, Vec::<String>::new());
    }
}

#[test]
fn what_responses_cannot_say_is_refused_by_name() {
    let call = json!({"messages": [{"role": "user", "content": "a"}], "seed": 1, "stop": "x", "n": 2, "logit_bias": {"1": 1}, "frequency_penalty": 1, "presence_penalty": 0, "prediction": {}});
    assert_eq!(
        refused(CHAT, RESPONSES, &call),
        ["frequency_penalty", "seed", "stop", "n", "logit_bias"]
    );
}

#[test]
fn a_chats_own_words_go_over() {
    let call = json!({
        "messages": [{"role": "user", "content": "a"}], "max_completion_tokens": 3, "logprobs": true, "top_logprobs": 2,
        "reasoning_effort": "xhigh", "verbosity": "low", "metadata": {"a": "b"}, "store": true, "prompt_cache_key": "k", "stream": true,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "tools": [
            {"type": "function", "function": {"name": "f"}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}},
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "custom", "custom": {"name": "g"}}]}},
    });
    let (body, dropped) = written(CHAT, RESPONSES, &call);
    let expected = json!({
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "a"}],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "g"}]},
        "max_output_tokens": 16,
        "top_logprobs": 2,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "reasoning": {"effort": "xhigh"},
        "stream": true,
        "store": true,
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
    });
    assert_eq!((body, dropped), (expected, Vec::new()));
    let back = json!({"input": "a", "tools": [call_tool()], "tool_choice": {"type": "custom", "name": "g"}});
    let (body, _) = written(RESPONSES, CHAT, &back);
    assert_eq!(
        (&body["tools"][0], &body["tool_choice"]),
        (
            &call["tools"][1],
            &json!({"type": "custom", "custom": {"name": "g"}})
        )
    );
}

fn call_tool() -> Value {
    json!({"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}})
}

// === proofs ===

/// An answer of a provider of responses goes to a client of another dialect, whose next call brings the reasoning back to it.
#[test]
fn encrypted_reasoning_survives_other_dialects() {
    let answer = json!({"id": "resp_1", "model": "m", "status": "completed", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "one"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "two"},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    ]});
    let answer = read_answer(RESPONSES, Task::Chat, answer.to_string().as_bytes()).unwrap();
    for dialect in [CHAT, ANTHROPIC] {
        let told = write_answer(&answer, &form(dialect));
        let told: Value = serde_json::from_slice(&told).unwrap();
        let said = match dialect {
            CHAT => told["choices"][0]["message"].clone(),
            _ => json!({"role": "assistant", "content": told["content"]}),
        };
        let next = json!({"max_tokens": 99, "messages": [{"role": "user", "content": "a"}, said]});
        let (body, _) = written(dialect, RESPONSES, &next);
        let expected = [
            json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "one"}),
            json!({"type": "reasoning", "summary": [], "encrypted_content": "two"}),
        ];
        let items = body["input"].as_array().unwrap();
        assert_eq!(items[1..3], expected, "{dialect:?}");
        assert_eq!(items[3]["type"], "function_call");
        // Nobody else takes it.
        let call = read_call(dialect, next.to_string().as_bytes()).unwrap();
        let form = CallForm {
            dialect: ANTHROPIC,
            model: Some("claude-sonnet-4-5"),
            stream_usage: StreamUsage::Unasked,
            chat_input: ChatInput::Messages,
            drop_unsupported: false,
        };
        let sent = write_call(&call, &form).unwrap();
        assert!(!has_others_proof(ANTHROPIC, &sent.body), "{dialect:?}");
        assert_eq!(sent.dropped.len(), 2, "{dialect:?} {:?}", sent.dropped);
    }
}

#[test]
fn anothers_proof_is_kept_from_a_provider_of_responses() {
    let item = |encrypted: &str| json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": encrypted});
    let call = json!({"input": [{"role": "user", "content": "a"}, item("tollgate:signature:s"), item("own")]});
    assert!(has_others_proof(RESPONSES, call.to_string().as_bytes()));
    let (body, dropped) = written(RESPONSES, RESPONSES, &call);
    assert_eq!(
        body["input"],
        json!([{"type": "message", "role": "user", "content": "a"}, item("own")])
    );
    assert_eq!(dropped, ["input.reasoning"]);
    assert!(!has_others_proof(RESPONSES, body.to_string().as_bytes()));
}

// === answers ===

pub(super) fn form(dialect: Dialect) -> AnswerForm<'static> {
    AnswerForm {
        dialect,
        fallback_id: "1",
        fallback_model: "m",
        created: 7,
        include_usage: true,
        base64_vectors: false,
        asked: &[],
        kept: false,
    }
}

/// An answer as a provider gives it, and what it comes to.
fn stop_of(answer: Value) -> Option<StopReason> {
    let body = answer.to_string();
    let seen = glance(RESPONSES, Task::Chat, body.as_bytes()).unwrap();
    let Answer::Chat(answer) = read_answer(RESPONSES, Task::Chat, body.as_bytes()).unwrap() else {
        panic!("a chat")
    };
    let stop = answer.choices[0].stop.clone().map(|stop| stop.reason);
    assert_eq!(seen.stop, stop);
    stop
}

#[test]
fn why_an_answer_ended_follows_from_its_state() {
    let call = json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}]);
    for (answer, expected) in [
        (
            json!({"status": "completed", "output": []}),
            Some(StopReason::EndTurn),
        ),
        (
            json!({"status": "completed", "output": call}),
            Some(StopReason::ToolUse),
        ),
        (json!({"output": call}), Some(StopReason::ToolUse)),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": call}),
            Some(StopReason::MaxTokens),
        ),
        (
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}),
            Some(StopReason::ContentFilter),
        ),
        (
            json!({"status": "incomplete", "output": []}),
            Some(StopReason::MaxTokens),
        ),
        (json!({"status": "queued", "output": []}), None),
    ] {
        assert_eq!(stop_of(answer.clone()), expected, "{answer}");
    }
}

#[test]
fn a_failed_answer_is_an_error() {
    let body = json!({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "no"}, "output": []}).to_string();
    let error = glance(RESPONSES, Task::Chat, body.as_bytes())
        .unwrap()
        .error
        .unwrap();
    assert_eq!(
        (error.kind, error.status, &*error.message),
        (ErrorKind::RateLimited, 429, "no")
    );
    assert!(read_answer(RESPONSES, Task::Chat, body.as_bytes()).is_err());
    // Counts of tokens are no answer that ends.
    let count = glance(
        RESPONSES,
        Task::Chat,
        br#"{"object": "response.input_tokens", "input_tokens": 11}"#,
    );
    assert_eq!(count.unwrap(), crate::Glance::default());
}

#[test]
fn annotations_and_citations_become_each_other() {
    let annotation =
        json!({"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2});
    let text = json!({"type": "output_text", "text": "abc", "annotations": [annotation], "logprobs": [{"token": "a"}]});
    let body = json!({"status": "completed", "output": [{"type": "message", "content": [text]}]});
    let answer = read_answer(RESPONSES, Task::Chat, body.to_string().as_bytes()).unwrap();
    let chat: Value = serde_json::from_slice(&write_answer(&answer, &form(CHAT))).unwrap();
    assert_eq!(
        chat["choices"][0]["message"]["annotations"],
        json!([{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 1, "end_index": 2}}])
    );
    assert_eq!(
        chat["choices"][0]["logprobs"],
        json!({"content": [{"token": "a"}], "refusal": null})
    );
    let own: Value = serde_json::from_slice(&write_answer(&answer, &form(RESPONSES))).unwrap();
    assert_eq!(own["output"][0]["content"][0], text);
}

#[test]
fn words_of_copies_are_not_told_to_clients_of_responses() {
    for (tier, told) in [("on_demand", Value::Null), ("flex", json!("flex"))] {
        let choice = json!({"message": {"content": "a"}, "logprobs": {"content": null}, "finish_reason": "stop"});
        let body = json!({"choices": [choice], "service_tier": tier}).to_string();
        let answer = read_answer(CHAT, Task::Chat, body.as_bytes()).unwrap();
        let written: Value =
            serde_json::from_slice(&write_answer(&answer, &form(RESPONSES))).unwrap();
        assert_eq!(written["service_tier"], told);
        assert_eq!(
            written["output"][0]["content"][0]["logprobs"],
            json!([]),
            "a list, though nothing is in it"
        );
    }
}

#[test]
fn a_tools_failure_is_named() {
    let call = json!({"max_tokens": 99, "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "bad", "is_error": true}]}]});
    let (body, dropped) = written(ANTHROPIC, RESPONSES, &call);
    assert_eq!(dropped, ["is_error"]);
    assert_eq!(
        body["input"],
        json!([{"type": "function_call_output", "call_id": "t", "output": "bad"}])
    );
}

#[test]
fn an_empty_reasoning_item_is_nothing_elsewhere() {
    let body = json!({"status": "completed", "output": [{"type": "reasoning", "id": "rs", "summary": []}]});
    let Answer::Chat(answer) =
        read_answer(RESPONSES, Task::Chat, body.to_string().as_bytes()).unwrap()
    else {
        panic!("a chat")
    };
    assert!(matches!(
        answer.choices[0].content[0].kind,
        PartKind::Foreign { .. }
    ));
    let chat = write_answer(&Answer::Chat(answer), &form(CHAT));
    assert!(
        !String::from_utf8(chat.to_vec())
            .unwrap()
            .contains("reasoning")
    );
}
