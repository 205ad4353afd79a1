//! Calls, answers and streams told in another dialect than their own: snapshots beside the recordings, and round trips of
//! whatever both dialects can say.

use super::*;
use crate::Part;

const OPENAI: Dialect = Dialect::OpenaiChat;
const RESPONSES: Dialect = Dialect::OpenaiResponses;
const ANTHROPIC: Dialect = Dialect::AnthropicMessages;
const GEMINI: Dialect = Dialect::GeminiGenerate;
const COHERE: Dialect = Dialect::CohereChat;
const CONVERSE: Dialect = Dialect::BedrockConverse;

/// The dialects of chats, and a model to ask in each.
const CHATS: [(Dialect, &str); 6] = [
    (OPENAI, "gpt-5"),
    (RESPONSES, "gpt-5"),
    (ANTHROPIC, "claude-sonnet-4-5"),
    (Dialect::OllamaChat, "gpt-oss:20b"),
    (GEMINI, "gemini-3-flash"),
    (COHERE, "command-a-plus-05-2026"),
];

fn call_form(dialect: Dialect, model: &str, drop_unsupported: bool) -> CallForm<'_> {
    CallForm {
        dialect,
        model: Some(model),
        stream_usage: StreamUsage::Ask,
        chat_input: ChatInput::Messages,
        drop_unsupported,
    }
}

fn answer_form(dialect: Dialect) -> AnswerForm<'static> {
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

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn recordings_in_the_other_dialect() {
    for fixture in fixtures() {
        if fixture.task != Task::Chat {
            continue;
        }
        for (dialect, model) in CHATS.iter().filter(|(to, _)| *to != fixture.dialect) {
            let mut text = told_call(&fixture, *dialect, model);
            if let Some(answer) = fixture.content.get("answer") {
                let answer = answer.to_string();
                let answer = read_answer(fixture.dialect, Task::Chat, answer.as_bytes()).unwrap();
                let written = parse(&write_answer(&answer, &answer_form(*dialect)));
                text += &format!("\n\n# Answer\n{written:#}");
            }
            if let Some(stream) = fixture.content["stream"].as_str() {
                let end = end_of(fixture.dialect);
                let read = read_stream(fixture.dialect, &[stream.as_bytes()], end);
                let written = write_stream(&answer_form(*dialect), &read.unwrap().0);
                text += &format!("\n\n# Stream\n{}", String::from_utf8(written).unwrap());
            }
            fixture.snapshot(dialect.as_str(), text.trim_end());
        }
    }
}

fn told_call(fixture: &Fixture, dialect: Dialect, model: &str) -> String {
    let body = fixture.content["call"].to_string();
    let call = read_call(fixture.dialect, body.as_bytes()).unwrap();
    let refused = match write_call(&call, &call_form(dialect, model, false)) {
        Ok(_) => Vec::new(),
        Err(unsupported) => unsupported.fields,
    };
    let written = write_call(&call, &call_form(dialect, model, true)).unwrap();
    let body = parse(&written.body);
    let dropped = written
        .dropped
        .iter()
        .filter(|name| !refused.contains(name));
    let dropped: Vec<&String> = dropped.collect();
    format!("# Refused\n{refused:?}\n\n# Dropped\n{dropped:?}\n\n# Call\n{body:#}")
}

// === round trips ===

fn texts() -> impl Strategy<Value = String> {
    let text = "[a-zA-Z0-9 äß🌍\"\\\\\n]{1,12}";
    text.prop_filter("says something", |text| !text.trim().is_empty())
}

fn names() -> impl Strategy<Value = String> {
    "[a-z_]{1,8}"
}

fn schemas() -> impl Strategy<Value = Value> {
    let property = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null})),
        Just(json!({"$ref": "#/$defs/x"})),
    ];
    prop::collection::hash_map(names(), property, 0..3).prop_map(|properties| {
        json!({"type": "object", "properties": properties, "$defs": {"x": {"type": "number"}}, "additionalProperties": false})
    })
}

/// What a call holds, in no dialect's words yet.
#[derive(Clone, Debug)]
struct Common {
    system: Option<String>,
    turns: Vec<Turn>,
    tools: Vec<(String, Option<String>, Value)>,
    choice: usize,
    serial: bool,
    max_tokens: u64,
    temperature: Option<f64>,
    stop: Vec<String>,
    user: Option<String>,
    schema: Option<Value>,
    stream: bool,
}

/// What the user says, what the assistant says, and the tools it calls with what they say.
#[derive(Clone, Debug)]
struct Turn {
    asked: Vec<Asked>,
    said: Option<String>,
    calls: Vec<(String, String, String)>,
}

#[derive(Clone, Debug)]
enum Asked {
    Text(String),
    Picture,
    PictureAt(String),
    Document(String),
}

fn turns() -> impl Strategy<Value = Turn> {
    let asked = prop_oneof![
        texts().prop_map(Asked::Text),
        Just(Asked::Picture),
        names().prop_map(Asked::PictureAt),
        names().prop_map(Asked::Document),
    ];
    let calls = prop::collection::vec((names(), texts(), texts()), 0..3);
    let asked = prop::collection::vec(asked, 1..3);
    (asked, texts(), any::<bool>(), calls).prop_map(|(asked, said, is_silent, calls)| Turn {
        asked,
        said: Some(said).filter(|_| !is_silent || calls.is_empty()),
        calls,
    })
}

fn calls() -> impl Strategy<Value = Common> {
    let tools = prop::collection::vec((names(), prop::option::of(texts()), schemas()), 0..3);
    let conversation = (
        prop::option::of(texts()),
        prop::collection::vec(turns(), 1..4),
        tools,
    );
    let settings = (
        0..4_usize,
        any::<bool>(),
        1..9999_u64,
        prop::option::of(0.0..0.99),
        prop::collection::vec(texts(), 0..3),
        prop::option::of(names()),
        prop::option::of(schemas()),
        any::<bool>(),
    );
    (conversation, settings).prop_map(|((system, turns, tools), settings)| {
        let (choice, serial, max_tokens, temperature, stop, user, schema, stream) = settings;
        Common {
            system,
            turns,
            tools,
            choice,
            serial,
            max_tokens,
            temperature,
            stop,
            user,
            schema,
            stream,
        }
    })
}

impl Common {
    fn for_cohere(mut self) -> Self {
        for asked in self.turns.iter_mut().flat_map(|turn| &mut turn.asked) {
            if let Asked::Document(name) = asked {
                *asked = Asked::Text(name.clone());
            }
        }
        Self {
            serial: false,
            user: None,
            choice: self.choice % 3,
            ..self
        }
    }

    fn openai(&self) -> Value {
        let mut messages = Vec::new();
        messages.extend(
            self.system
                .iter()
                .map(|system| json!({"role": "system", "content": system})),
        );
        for (turn_number, turn) in self.turns.iter().enumerate() {
            let asked: Vec<Value> = turn.asked.iter().map(Asked::openai).collect();
            messages.push(json!({"role": "user", "content": alone(asked)}));
            let id = |number: usize| format!("call_{turn_number}_{number}");
            let calls = turn.calls.iter().enumerate().map(|(number, (name, argument, _))| {
                let arguments = json!({"x": argument}).to_string();
                json!({"id": id(number), "type": "function", "function": {"name": name, "arguments": arguments}})
            });
            let calls: Vec<Value> = calls.collect();
            let mut said = json!({"role": "assistant", "content": turn.said});
            if !calls.is_empty() {
                said["tool_calls"] = json!(calls);
            }
            messages.push(said);
            messages.extend(turn.calls.iter().enumerate().map(|(number, (_, _, result))| {
                json!({"role": "tool", "content": result, "tool_call_id": id(number)})
            }));
        }
        let mut call = json!({"model": "gpt-5", "messages": messages, "max_completion_tokens": self.max_tokens});
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(|(name, description, schema)| {
                json!({"type": "function", "function": {"name": name, "description": description, "parameters": schema}})
            });
            call["tools"] = tools.collect();
            call["tool_choice"] = match self.choice {
                0 => json!("auto"),
                1 => json!("none"),
                2 => json!("required"),
                _ => json!({"type": "function", "function": {"name": self.tools[0].0}}),
            };
            if self.is_serial() {
                call["parallel_tool_calls"] = json!(false);
            }
        }
        if let Some(schema) = &self.schema {
            call["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "response", "schema": schema}});
        }
        if self.stream {
            call["stream_options"] = json!({"include_usage": true});
        }
        self.settings(call, "stop", |user| ("user", json!(user)))
    }

    /// The same without what Converse cannot say.
    fn for_converse(mut self) -> Self {
        (self.user, self.stream) = (None, false);
        if self.choice == 1 {
            self.choice = 0;
        }
        if self.tools.is_empty() {
            self.tools
                .push(("f".to_owned(), None, json!({"type": "object"})));
        }
        for asked in self.turns.iter_mut().flat_map(|turn| &mut turn.asked) {
            match asked {
                Asked::PictureAt(_) => *asked = Asked::Picture,
                Asked::Document(name) => "document".clone_into(name),
                Asked::Text(_) | Asked::Picture => {}
            }
        }
        self
    }

    fn anthropic(&self) -> Value {
        let mut messages = Vec::new();
        for (turn_number, turn) in self.turns.iter().enumerate() {
            let id = |number: usize| format!("call_{turn_number}_{number}");
            let mut asked: Vec<Value> = turn.asked.iter().map(Asked::anthropic).collect();
            match messages.last_mut() {
                // The results of the turn before, and what the user says then, are one message.
                Some(Value::Object(last)) if last["role"] == "user" => {
                    let Some(Value::Array(results)) = last.get_mut("content") else {
                        continue;
                    };
                    results.append(&mut asked);
                }
                _ => messages.push(json!({"role": "user", "content": alone(asked)})),
            }
            let text = turn
                .said
                .iter()
                .map(|text| json!({"type": "text", "text": text}));
            let calls = turn.calls.iter().enumerate().map(|(number, (name, argument, _))| {
                json!({"type": "tool_use", "id": id(number), "name": name, "input": {"x": argument}})
            });
            messages
                .push(json!({"role": "assistant", "content": alone(text.chain(calls).collect())}));
            let results = turn.calls.iter().enumerate().map(|(number, (_, _, result))| {
                json!({"type": "tool_result", "tool_use_id": id(number), "content": result})
            });
            let results: Vec<Value> = results.collect();
            if !results.is_empty() {
                messages.push(json!({"role": "user", "content": results}));
            }
        }
        let mut call = json!({"model": "claude-sonnet-4-5", "messages": messages, "max_tokens": self.max_tokens});
        if let Some(system) = &self.system {
            call["system"] = json!(system);
        }
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(|(name, description, schema)| {
                json!({"name": name, "description": description, "input_schema": schema})
            });
            call["tools"] = tools.collect();
            call["tool_choice"] = match self.choice {
                0 => json!({"type": "auto"}),
                1 => json!({"type": "none"}),
                2 => json!({"type": "any"}),
                _ => json!({"type": "tool", "name": self.tools[0].0}),
            };
            if self.is_serial() {
                call["tool_choice"]["disable_parallel_tool_use"] = json!(true);
            }
        }
        if let Some(schema) = &self.schema {
            call["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
        }
        self.settings(call, "stop_sequences", |user| {
            ("metadata", json!({"user_id": user}))
        })
    }

    /// Where no tool is wanted, it says nothing how many are.
    fn is_serial(&self) -> bool {
        self.serial && self.choice != 1
    }

    fn settings(
        &self,
        mut call: Value,
        stop: &str,
        user: impl Fn(&str) -> (&'static str, Value),
    ) -> Value {
        if let Some(temperature) = self.temperature {
            call["temperature"] = json!(temperature);
        }
        if !self.stop.is_empty() {
            call[stop] = json!(self.stop);
        }
        if let Some((name, value)) = self.user.as_deref().map(user) {
            call[name] = value;
        }
        if self.stream {
            call["stream"] = json!(true);
        }
        bare_nulls(call)
    }
}

impl Asked {
    fn openai(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Picture => {
                json!({"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}})
            }
            Self::PictureAt(name) => {
                json!({"type": "image_url", "image_url": {"url": format!("https://example.com/{name}")}})
            }
            Self::Document(name) => {
                json!({"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,AAAA"}})
            }
        }
    }

    fn anthropic(&self) -> Value {
        match self {
            Self::Text(text) => json!({"type": "text", "text": text}),
            Self::Picture => {
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}})
            }
            Self::PictureAt(name) => {
                json!({"type": "image", "source": {"type": "url", "url": format!("https://example.com/{name}")}})
            }
            Self::Document(name) => {
                json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, "title": name})
            }
        }
    }
}

/// A text alone is written as such.
fn alone(parts: Vec<Value>) -> Value {
    match parts.as_slice() {
        [part] if part["type"] == "text" => part["text"].clone(),
        _ => Value::Array(parts),
    }
}

/// Gives every document the same name.
fn name_documents(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["filename", "title"] {
                if members.contains_key(name) {
                    members.insert(name.to_owned(), json!("document"));
                }
            }
            members.values_mut().for_each(name_documents);
        }
        Value::Array(items) => items.iter_mut().for_each(name_documents),
        _ => {}
    }
}

fn bare_nulls(mut value: Value) -> Value {
    strip(&mut value);
    value
}

/// Translates a call that both dialects can express.
fn translated(from: Dialect, to: Dialect, model: &str, call: &Value) -> Value {
    let call = read_call(from, call.to_string().as_bytes()).unwrap();
    let written = write_call(&call, &call_form(to, model, false)).unwrap();
    assert_eq!(written.dropped, Vec::<String>::new());
    bare_nulls(parse(&written.body))
}

/// What is said, by kind; neighbours of a kind are one.
fn said(choice: &AnswerChoice) -> Vec<(&'static str, String)> {
    let mut said: Vec<(&'static str, String)> = Vec::new();
    for part in &choice.content {
        let (kind, text) = match &part.kind {
            PartKind::Text { text, .. } => ("text", text.clone()),
            PartKind::Reasoning { text, signature } => {
                ("reasoning", format!("{text}|{signature:?}"))
            }
            PartKind::RedactedReasoning { data } => ("redacted", data.clone()),
            PartKind::ToolCall {
                id,
                name,
                arguments,
                ..
            } => ("tool", format!("{id} {name} {arguments}")),
            _ => continue,
        };
        said.push((kind, text));
    }
    said
}

fn answers() -> impl Strategy<Value = Value> {
    let usage = (0..1000_u64, 0..1000_u64, 0..1000_u64, 0..1000_u64);
    let tools = prop::collection::vec((names(), texts()), 0..3);
    let reasoning = prop::option::of((texts(), names()));
    (reasoning, prop::option::of(names()), prop::option::of(texts()), tools, usage).prop_map(
        |(reasoning, redacted, text, tools, (input, cached, output, thinking))| {
            let mut content = Vec::new();
            content.extend(reasoning.map(|(text, signature)| json!({"type": "thinking", "thinking": text, "signature": signature})));
            content.extend(redacted.map(|data| json!({"type": "redacted_thinking", "data": data})));
            content.extend(text.map(|text| json!({"type": "text", "text": text})));
            let reason = if tools.is_empty() { "end_turn" } else { "tool_use" };
            content.extend(tools.into_iter().enumerate().map(|(number, (name, argument))| {
                json!({"type": "tool_use", "id": format!("id{number}"), "name": name, "input": {"x": argument}})
            }));
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content,
                "stop_reason": reason, "stop_sequence": null,
                "usage": {
                    "input_tokens": input, "cache_read_input_tokens": cached, "output_tokens": output + thinking,
                    "output_tokens_details": {"thinking_tokens": thinking},
                },
            })
        },
    )
}

/// A call of OpenAI's as far as Gemini can say it: it names no files, wants nobody's name, and what it does anyway it is not told.
fn as_gemini_says_it(mut call: Value) -> Value {
    for message in call["messages"].as_array_mut().into_iter().flatten() {
        let parts = message.get_mut("content").and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            if let Some(file) = part.get_mut("file") {
                file["filename"] = json!("document.pdf");
            }
        }
    }
    if let Value::Object(members) = &mut call {
        for name in ["user", "parallel_tool_calls", "stream", "stream_options"] {
            members.shift_remove(name);
        }
        if members.get("tool_choice") == Some(&json!("auto")) {
            members.shift_remove("tool_choice");
        }
    }
    call
}

proptest! {
    #[test]
    fn openais_call_comes_back_from_gemini_as_it_went(call in calls()) {
        let call = as_gemini_says_it(call.openai());
        let there = translated(OPENAI, GEMINI, "gemini-2.5-flash", &call);
        prop_assert_eq!(translated(GEMINI, OPENAI, "gpt-5", &there), call);
        // In its own language nothing changes.
        prop_assert_eq!(translated(GEMINI, GEMINI, "gemini-2.5-flash", &there), there);
    }

    #[test]
    fn anthropics_answer_comes_back_from_gemini_as_it_went(body in answers()) {
        let answer = read_answer(ANTHROPIC, Task::Chat, body.to_string().as_bytes()).unwrap();
        let there = write_answer(&answer, &answer_form(GEMINI));
        let there = read_answer(GEMINI, Task::Chat, &there).unwrap();
        let (Answer::Chat(said_there), Answer::Chat(answer)) = (&there, &answer) else { panic!("a chat") };
        prop_assert_eq!(said(&said_there.choices[0]), said(&answer.choices[0]));
        prop_assert_eq!(said_there.usage, answer.usage);
        let back = parse(&write_answer(&there, &answer_form(ANTHROPIC)));
        prop_assert_eq!(back, body);
    }

    #[test]
    fn openais_call_comes_back_as_it_went(call in calls()) {
        let there = translated(OPENAI, ANTHROPIC, "claude-sonnet-4-5", &call.openai());
        prop_assert_eq!(&there, &call.anthropic());
        prop_assert_eq!(translated(ANTHROPIC, OPENAI, "gpt-5", &there), call.openai());
    }

    /// But for what responses cannot say, and for what goes without saying elsewhere.
    #[test]
    fn a_chat_comes_back_from_responses_as_it_went(call in calls(), anthropic in any::<bool>()) {
        let call = Common { stop: Vec::new(), max_tokens: call.max_tokens.max(16), ..call };
        let (dialect, model, original) = if anthropic {
            (ANTHROPIC, "claude-sonnet-4-5", call.anthropic())
        } else {
            (OPENAI, "gpt-5", call.openai())
        };
        let there = translated(dialect, RESPONSES, "gpt-5", &original);
        prop_assert_eq!(&there["store"], &json!(false));
        let mut back = read_call(RESPONSES, there.to_string().as_bytes()).unwrap();
        if let Call::Chat(back) = &mut back {
            back.extra.fields.clear();
            back.tools.iter_mut().for_each(|tool| tool.strict = None);
            for part in back.messages.iter_mut().flat_map(|message| &mut message.content) {
                if let PartKind::Image { detail, .. } = &mut part.kind {
                    *detail = None;
                }
            }
        }
        let written = write_call(&back, &call_form(dialect, model, false)).unwrap();
        prop_assert_eq!(written.dropped, Vec::<String>::new());
        prop_assert_eq!(bare_nulls(parse(&written.body)), original);
        let again = translated(RESPONSES, RESPONSES, "gpt-5", &there);
        prop_assert_eq!(again, there);
    }

    /// Reasoning keeps its proof on the way to a client of responses and back, whole and streamed.
    #[test]
    fn an_answer_told_in_responses_goes_back_as_it_came(body in answers(), streamed in any::<bool>()) {
        let answer = read_answer(ANTHROPIC, Task::Chat, body.to_string().as_bytes()).unwrap();
        let form = answer_form(RESPONSES);
        let response = if streamed {
            let written = write_stream(&form, &stream_of(answer.clone()));
            let last = String::from_utf8(written).unwrap();
            let last = last.lines().rfind(|line| line.starts_with("data: ")).unwrap().to_owned();
            parse(&last.as_bytes()[6..])["response"].clone()
        } else {
            parse(&write_answer(&answer, &form))
        };
        let Answer::Chat(answer) = answer else { panic!("a chat") };
        prop_assert_eq!(read_answer(RESPONSES, Task::Chat, response.to_string().as_bytes()).map(|told| {
            let Answer::Chat(told) = told else { panic!("a chat") };
            (said(&told.choices[0]), told.usage.map(|usage| usage.total()))
        }).unwrap(), (said(&answer.choices[0]), answer.usage.map(|usage| usage.total())));

        let mut input = vec![json!({"role": "user", "content": "Hi"})];
        input.extend(response["output"].as_array().unwrap().clone());
        let next = json!({"model": "m", "input": input});
        let next = read_call(RESPONSES, next.to_string().as_bytes()).unwrap();
        let written = write_call(&next, &call_form(ANTHROPIC, "claude-sonnet-4-5", false)).unwrap();
        prop_assert_eq!(written.dropped, Vec::<String>::new());
        let content = body["content"].as_array().unwrap();
        let sent = parse(&written.body)["messages"].as_array().unwrap().get(1).cloned();
        let expected = (!content.is_empty()).then(|| json!({"role": "assistant", "content": alone(content.clone())}));
        prop_assert_eq!(sent, expected);
    }

    /// What both can say: of Cohere's neither the user, nor files, nor whether tools are called one by one.
    #[test]
    fn openais_call_comes_back_from_cohere(call in calls()) {
        let call = call.for_cohere();
        let mut openai = call.openai();
        let there = translated(OPENAI, COHERE, "command-a-plus-05-2026", &openai);
        // What the model does anyway has no word there.
        if openai["tool_choice"] == "auto" {
            openai.as_object_mut().unwrap().remove("tool_choice");
        }
        prop_assert_eq!(translated(COHERE, OPENAI, "gpt-5", &there), openai);
    }

    #[test]
    fn an_answer_comes_back_from_cohere_without_its_proofs(body in answers(), streams in any::<bool>()) {
        let answer = read_answer(ANTHROPIC, Task::Chat, body.to_string().as_bytes()).unwrap();
        let Answer::Chat(said_first) = answer.clone() else { panic!("a chat") };
        let (heard, usage) = if streams {
            let written = write_stream(&answer_form(COHERE), &stream_of(answer));
            let (told, finish) = read_stream(COHERE, &[&written], StreamEnd::Mark).unwrap();
            prop_assert_eq!(finish, Finish::Complete);
            (collected(&told), merged(told).1)
        } else {
            let written = write_answer(&answer, &answer_form(COHERE));
            let Answer::Chat(heard) = read_answer(COHERE, Task::Chat, &written).unwrap() else { panic!("a chat") };
            (said(&heard.choices[0]), heard.usage)
        };
        prop_assert_eq!(without_proofs(heard), without_proofs(said(&said_first.choices[0])));
        let totals = |usage: Option<tollgate_domain::Usage>| usage.map(|usage| (usage.input_total(), usage.output_total()));
        prop_assert_eq!(totals(usage), totals(said_first.usage));
    }

    /// But for what the table names: addresses of pictures, the user, a choice of no tool, names of documents.
    #[test]
    fn a_call_comes_back_from_converse_as_it_went(call in calls()) {
        let call = call.for_converse();
        for (client, model, body) in [
            (OPENAI, "gpt-5", call.openai()),
            (ANTHROPIC, "claude-sonnet-4-5", call.anthropic()),
        ] {
            let there = translated(client, CONVERSE, "anthropic.claude-sonnet-4-5-v1:0", &body);
            let mut back = translated(CONVERSE, client, model, &there);
            name_documents(&mut back);
            prop_assert_eq!(back, body);
        }
    }

    #[test]
    fn anthropics_answer_comes_back_as_it_went(body in answers()) {
        let Answer::Chat(answer) = read_answer(ANTHROPIC, Task::Chat, body.to_string().as_bytes()).unwrap() else {
            panic!("a chat")
        };
        let there = write_answer(&Answer::Chat(answer.clone()), &answer_form(OPENAI));
        let there = read_answer(OPENAI, Task::Chat, &there).unwrap();
        let Answer::Chat(heard) = &there else { panic!("a chat") };
        prop_assert_eq!(said(&heard.choices[0]), said(&answer.choices[0]));
        prop_assert_eq!(heard.usage, answer.usage);
        let back = parse(&write_answer(&there, &answer_form(ANTHROPIC)));
        prop_assert_eq!(back, body);
    }

    /// Whole answers told as streams in either dialect, and read from there.
    #[test]
    fn an_answer_says_the_same_as_a_stream(body in answers(), dialect in prop::sample::select(&[OPENAI, RESPONSES, ANTHROPIC, GEMINI][..])) {
        let answer = read_answer(ANTHROPIC, Task::Chat, body.to_string().as_bytes()).unwrap();
        let written = write_stream(&answer_form(dialect), &stream_of(answer.clone()));
        let (told, finish) = read_stream(dialect, &[&written], end_of(dialect)).unwrap();
        prop_assert_eq!(finish, Finish::Complete);
        let Answer::Chat(answer) = answer else { panic!("a chat") };
        prop_assert_eq!(collected(&told), said(&answer.choices[0]));
        prop_assert_eq!(merged(told).1, answer.usage);
    }
}

fn without_proofs(said: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let said = said.into_iter().filter(|(kind, _)| *kind != "redacted");
    said.map(|(kind, text)| match text.split_once('|') {
        Some((text, _)) if kind == "reasoning" => (kind, text.to_owned()),
        _ => (kind, text),
    })
    .collect()
}

/// What a stream says, part by part.
fn collected(told: &[StreamEvent]) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    for event in told {
        match event {
            StreamEvent::PartStart { start, .. } => parts.push(Part::new(match start {
                PartStart::ToolCall { id, name, kind } => PartKind::ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: String::new(),
                    kind: *kind,
                },
                PartStart::Reasoning => PartKind::Reasoning {
                    text: String::new(),
                    signature: None,
                },
                PartStart::RedactedReasoning { data } => {
                    PartKind::RedactedReasoning { data: data.clone() }
                }
                _ => Part::text("").kind,
            })),
            StreamEvent::Delta { part, delta, .. } => {
                let part = &mut parts[usize::try_from(*part).unwrap()].kind;
                match (part, delta) {
                    (PartKind::Text { text, .. }, Delta::Text(more))
                    | (PartKind::Reasoning { text, .. }, Delta::Reasoning(more))
                    | (
                        PartKind::ToolCall {
                            arguments: text, ..
                        },
                        Delta::Arguments(more),
                    ) => text.push_str(more),
                    (PartKind::Reasoning { signature, .. }, Delta::Signature(more)) => {
                        *signature = Some(more.clone())
                    }
                    other => panic!("{other:?}"),
                }
            }
            _ => {}
        }
    }
    said(&AnswerChoice {
        index: 0,
        content: parts,
        stop: None,
        logprobs: None,
        extra: serde_json::Map::new(),
    })
}
