//! What a call or an answer says, without how it says it: what must survive a translation.

use serde_json::{Value, json};
use tollgate_dialects::{
    Answer, AnswerForm, Call, ChatCall, Delta, EmbeddingAnswer, Field, Frames, Message, PartKind,
    PartStart, ResponseFormat, Role, StopReason, StreamEvent, StreamReader, ToolChoice, ToolKind,
    read_answer, read_call, write_answer,
};
use tollgate_domain::{Dialect, StreamEnd, Task, Usage};

use crate::meaning::difference;

/// What a call says, field by field.
pub(super) struct CallGist(Vec<(&'static str, Value)>);

/// What an answer says.
#[derive(Debug)]
pub(super) struct AnswerGist {
    text: String,
    reasoning: String,
    tool_calls: Vec<Value>,
    /// Vectors or ranks.
    values: Vec<Value>,
    stop: Option<&'static str>,
    /// The model declined, which not every dialect tells from an end.
    refused: bool,
    usage: Usage,
}

/// Bytes of one event; recordings hold pictures.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// The gist of a call.
pub(super) fn of_call(dialect: Dialect, body: &[u8]) -> Result<CallGist, String> {
    match read_call(dialect, body).map_err(|error| format!("the call cannot be read: {error}"))? {
        Call::Chat(call) => Ok(CallGist(fields(&call))),
        Call::Completion(call) => Ok(CallGist(vec![
            ("prompt", json!(format!("{:?}", call.prompt))),
            (
                "suffix",
                json!(call.suffix.filter(|suffix| !suffix.is_empty())),
            ),
            ("max_tokens", json!(call.max_tokens)),
            ("temperature", json!(call.temperature)),
            ("top_p", json!(call.top_p)),
            ("stop", json!(call.stop)),
            ("seed", json!(call.seed)),
            ("n", json!(call.n.filter(|n| *n != 1))),
            ("frequency_penalty", json!(call.frequency_penalty)),
            ("presence_penalty", json!(call.presence_penalty)),
            ("user", json!(call.user)),
        ])),
        Call::Embedding(call) => Ok(CallGist(vec![
            (
                "input",
                match &call.input {
                    tollgate_dialects::EmbeddingInput::Text(text) => json!([text]),
                    tollgate_dialects::EmbeddingInput::Texts(texts) => json!(texts),
                    tollgate_dialects::EmbeddingInput::Tokens(tokens) => tokens.clone(),
                },
            ),
            ("dimensions", json!(call.dimensions)),
            ("input_type", json!(call.input_type)),
            ("truncate", json!(call.truncate)),
            ("user", json!(call.user)),
        ])),
        Call::Rerank(call) => Ok(CallGist(vec![
            ("query", json!(call.query)),
            ("documents", json!(call.documents)),
            ("top_n", json!(call.top_n)),
        ])),
        Call::Predict(_) => Err("a score has no gist".to_owned()),
    }
}

fn fields(call: &ChatCall) -> Vec<(&'static str, Value)> {
    vec![
        ("system", json!(texts(call, |role| matches!(role, Role::System | Role::Developer)))),
        ("messages", json!(turns(call))),
        ("tools", json!(call.tools.iter().filter(|tool| tool.kind == ToolKind::Function).map(|tool| json!({"name": tool.name, "description": tool.description.clone().unwrap_or_default(), "parameters": tool.parameters})).collect::<Vec<_>>())),
        ("tool_choice", tool_choice(call)),
        ("parallel_tool_calls", json!(call.parallel_tool_calls)),
        ("max_tokens", json!(call.max_tokens)),
        ("temperature", json!(call.temperature)),
        ("top_p", json!(call.top_p)),
        ("top_k", json!(call.top_k)),
        ("stop", json!(call.stop)),
        ("seed", json!(call.seed)),
        ("n", json!(call.n.filter(|n| *n != 1))),
        ("frequency_penalty", json!(call.frequency_penalty)),
        ("presence_penalty", json!(call.presence_penalty)),
        ("logprobs", json!(call.logprobs)),
        ("response_format", response_format(call)),
        ("reasoning", json!(call.reasoning.as_ref().map(|reasoning| format!("{reasoning:?}")))),
        ("user", json!(call.user)),
        ("stream", json!(call.stream)),
    ]
}

fn texts(call: &ChatCall, wanted: impl Fn(Role) -> bool) -> String {
    let parts = call
        .messages
        .iter()
        .filter(|message| wanted(message.role))
        .flat_map(|message| &message.content);
    let texts = parts.filter_map(|part| {
        if let PartKind::Text { text, .. } = &part.kind {
            Some(text.trim())
        } else {
            None
        }
    });
    texts
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What is said by whom; what the same speaker says in a row is one turn.
fn turns(call: &ChatCall) -> Vec<Value> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in call
        .messages
        .iter()
        .filter(|message| !matches!(message.role, Role::System | Role::Developer))
    {
        let speaker = if message.role == Role::Assistant {
            "assistant"
        } else {
            "user"
        };
        let said = said(message);
        match turns.last_mut() {
            Some((last, all)) if *last == speaker => all.extend(said),
            _ => turns.push((speaker, said)),
        }
    }
    // An empty turn says nothing; its neighbours then speak in a row.
    let mut merged: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for (speaker, said) in turns.into_iter().filter(|(_, said)| !said.is_empty()) {
        match merged.last_mut() {
            Some((last, all)) if *last == speaker => all.extend(said),
            _ => merged.push((speaker, said)),
        }
    }
    merged
        .into_iter()
        .map(|(speaker, said)| json!({"role": speaker, "said": said}))
        .collect()
}

fn said(message: &Message) -> Vec<Value> {
    message
        .content
        .iter()
        .filter_map(|part| piece(&part.kind))
        .collect()
}

fn piece(kind: &PartKind) -> Option<Value> {
    Some(match kind {
        PartKind::Text { text, .. } | PartKind::Refusal { text } if text.trim().is_empty() => {
            return None;
        }
        PartKind::Text { text, .. } | PartKind::Refusal { text } => json!({"text": text.trim()}),
        PartKind::Image { source, .. } => json!({"image": format!("{source:?}")}),
        PartKind::Audio { data, .. } => json!({"audio": data}),
        PartKind::Document { source, .. } => json!({"document": format!("{source:?}")}),
        PartKind::ToolCall {
            id,
            name,
            arguments,
            ..
        } => json!({"call": id, "name": name, "arguments": arguments_of(arguments)}),
        PartKind::ToolResult {
            call_id, content, ..
        } => {
            json!({"result": call_id, "content": content.iter().filter_map(|part| piece(&part.kind)).collect::<Vec<_>>()})
        }
        PartKind::Reasoning { .. } | PartKind::RedactedReasoning { .. } => return None,
        PartKind::Foreign { value } => json!({"foreign": value}),
    })
}

fn arguments_of(text: &str) -> Value {
    if matches!(text.trim(), "" | "null") {
        return json!({});
    }
    // What is no object is told whole under one name.
    serde_json::from_str(text)
        .ok()
        .filter(Value::is_object)
        .unwrap_or_else(|| json!({"_invalid_arguments": text}))
}

fn tool_choice(call: &ChatCall) -> Value {
    match &call.tool_choice {
        None | Some(ToolChoice::Auto) => Value::Null,
        Some(choice) => json!(format!("{choice:?}")),
    }
}

fn response_format(call: &ChatCall) -> Value {
    match &call.response_format {
        None | Some(ResponseFormat::Text) => Value::Null,
        Some(ResponseFormat::JsonSchema { schema, .. }) => schema.clone(),
        Some(other) => json!(format!("{other:?}")),
    }
}

/// Whether a field of our form is about a field of the gist.
pub(super) fn concerns(about: Field, field: &str) -> bool {
    let name = match about {
        Field::System | Field::SystemMidway => return matches!(field, "system" | "messages"),
        Field::Messages
        | Field::SpeakerName
        | Field::CacheControl
        | Field::Image
        | Field::ImageDetail
        | Field::Audio
        | Field::Document
        | Field::Citations
        | Field::Refusal
        | Field::Reasoning
        | Field::RedactedReasoning
        | Field::ToolArguments
        | Field::ToolCallId
        | Field::CustomToolCall
        | Field::ToolResult
        | Field::ToolResultMedia
        | Field::IsError
        | Field::MisplacedPart => return matches!(field, "messages" | "system"),
        Field::Tools | Field::CustomTool | Field::ToolStrict | Field::ToolSchema => "tools",
        Field::ReasoningEffort | Field::ReasoningBudget => "reasoning",
        Field::InputTokens => "input",
        other => other.plain_name(),
    };
    name == field
}

/// Whether a field that our form does not model, by its name in a client's dialect, is about a field of the gist.
pub(super) fn extra_concerns(name: &str, field: &str) -> bool {
    let about = match name.split(['.', '[']).next().unwrap_or(name) {
        "contents" | "input" => "messages",
        "metadata" => "user",
        "thinking" | "output_config" => "reasoning",
        other => other,
    };
    about == field || about == "messages" && field == "system"
}

// === impl CallGist ===

impl CallGist {
    /// The fields that say something else, and what.
    pub(super) fn differences(before: &Self, after: &Self) -> Vec<(&'static str, String)> {
        let pairs = before.0.iter().zip(&after.0);
        pairs
            .filter_map(|((field, before), (_, after))| Some((*field, difference(before, after)?)))
            .collect()
    }
}

/// The gist of an answer, whole or streamed. A stream that does not come to its end has none.
pub(super) fn of_answer(
    dialect: Dialect,
    streamed: bool,
    body: &[u8],
) -> Result<AnswerGist, String> {
    if streamed {
        return of_stream(dialect, body);
    }
    let mut gist = AnswerGist::new();
    let answer = read_answer(dialect, dialect.task(), body).map_err(|error| error.to_string())?;
    match answer {
        Answer::Chat(answer) => {
            let choice = answer.choices.first().ok_or("no choices")?;
            for part in &choice.content {
                match &part.kind {
                    PartKind::Text { text, .. } => gist.text.push_str(text),
                    PartKind::Refusal { text } => {
                        gist.refused = true;
                        gist.text.push_str(text);
                    }
                    PartKind::Reasoning { text, .. } => gist.reasoning.push_str(text),
                    PartKind::ToolCall {
                        name, arguments, ..
                    } => gist
                        .tool_calls
                        .push(json!({"name": name, "arguments": arguments_of(arguments)})),
                    _ => {}
                }
            }
            gist.stop = choice.stop.as_ref().map(|stop| word(&stop.reason));
            gist.usage = answer.usage.unwrap_or_default();
        }
        Answer::Embedding(answer) => {
            gist.values = numbers(&answer);
            gist.usage = answer.usage.unwrap_or_default();
            // Nothing is generated; some say so, and others say nothing.
            gist.usage.output = None;
        }
        Answer::Rerank(answer) => {
            let results = answer.results.iter();
            gist.values = results
                .map(|result| json!([result.index, result.score]))
                .collect();
            gist.usage = answer.usage.unwrap_or_default();
        }
        Answer::Predict(_) => return Err("a score has no gist".to_owned()),
    }
    Ok(gist)
}

/// What an answer says whose vectors in base64 are of whole numbers of one byte.
pub(super) fn of_integers(body: &[u8]) -> Result<AnswerGist, String> {
    let mut gist = of_answer(Dialect::OpenaiEmbeddings, false, body)?;
    let read = read_answer(Dialect::OpenaiEmbeddings, Task::Embeddings, body);
    if let Ok(Answer::Embedding(mut answer)) = read {
        answer.read_integers();
        gist.values = numbers(&answer);
    }
    Ok(gist)
}

/// The vectors as numbers: not every dialect knows base64.
fn numbers(answer: &EmbeddingAnswer) -> Vec<Value> {
    let form = AnswerForm {
        dialect: Dialect::OpenaiEmbeddings,
        fallback_id: "",
        fallback_model: "",
        created: 0,
        include_usage: false,
        base64_vectors: false,
        asked: &[],
        kept: false,
    };
    let written = write_answer(&Answer::Embedding(Box::new(answer.clone())), &form);
    let written: Value = serde_json::from_slice(&written).unwrap_or_default();
    let vectors = written["data"].as_array().into_iter().flatten();
    vectors.map(|vector| single(&vector["embedding"])).collect()
}

/// None of the numbers has more digits than an `f32`.
#[expect(clippy::cast_possible_truncation, reason = "that is what is compared")]
fn single(vector: &Value) -> Value {
    let numbers = vector.as_array().into_iter().flatten();
    let numbers = numbers.filter_map(Value::as_f64);
    let numbers: Vec<f32> = numbers.map(|number| number as f32).collect();
    json!(numbers)
}

fn of_stream(dialect: Dialect, body: &[u8]) -> Result<AnswerGist, String> {
    let mut splitter = Frames::new(dialect.framing(), EVENT_BYTES_MAX);
    let mut reader = StreamReader::new(dialect, StreamEnd::Finish);
    let mut events = Vec::new();
    splitter.push(bytes::Bytes::copy_from_slice(body));
    while let Some(event) = splitter.next().map_err(|error| error.to_string())? {
        reader
            .read(&event, &mut events)
            .map_err(|error| error.to_string())?;
    }
    if let Some(event) = splitter.finish() {
        reader
            .read(&event, &mut events)
            .map_err(|error| error.to_string())?;
    }
    let _finish = reader.finish(&mut events);
    let mut gist = AnswerGist::new();
    let mut calls: Vec<((u32, u32), String, String)> = Vec::new();
    for event in &events {
        match event {
            StreamEvent::Start {
                usage: Some(usage), ..
            }
            | StreamEvent::Usage(usage) => gist.usage.update(usage),
            StreamEvent::PartStart {
                choice: 0,
                part,
                start: PartStart::ToolCall { name, .. },
            } => calls.push(((0, *part), name.clone(), String::new())),
            StreamEvent::PartStart {
                choice: 0,
                start: PartStart::Refusal,
                ..
            } => gist.refused = true,
            StreamEvent::Delta {
                choice: 0,
                part,
                delta,
            } => match delta {
                Delta::Text(text) => gist.text.push_str(text),
                Delta::Reasoning(text) => gist.reasoning.push_str(text),
                Delta::Arguments(piece) => {
                    if let Some((_, _, arguments)) =
                        calls.iter_mut().find(|(place, ..)| *place == (0, *part))
                    {
                        arguments.push_str(piece);
                    }
                }
                _ => {}
            },
            StreamEvent::Stop { choice: 0, stop } => gist.stop = Some(word(&stop.reason)),
            StreamEvent::Error(error) => return Err(error.message.clone()),
            _ => {}
        }
    }
    gist.tool_calls = calls
        .into_iter()
        .map(|(_, name, arguments)| json!({"name": name, "arguments": arguments_of(&arguments)}))
        .collect();
    match events.last() {
        Some(StreamEvent::End) => Ok(gist),
        _ => Err("the stream does not come to its end".to_owned()),
    }
}

/// The stop reason, as far as every dialect can tell it.
fn word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::Pause
        | StopReason::Other(_) => "end",
        StopReason::MaxTokens | StopReason::ContextWindow => "length",
        StopReason::ToolUse => "tools",
        StopReason::ContentFilter | StopReason::Refusal => "filter",
    }
}

// === impl AnswerGist ===

impl AnswerGist {
    fn new() -> Self {
        Self {
            text: String::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            values: Vec::new(),
            stop: None,
            refused: false,
            usage: Usage::default(),
        }
    }

    /// The stop reason; an end with tool calls asks for their results, whatever word the provider had for it.
    fn asks_for(&self) -> Option<&'static str> {
        match self.stop {
            Some("end") if !self.tool_calls.is_empty() => Some("tools"),
            stop => stop,
        }
    }

    /// Whether a client heard what the provider said.
    pub(super) fn compare(&self, heard: &Self) -> Result<(), String> {
        let same = |what: &str, said: &Value, heard: &Value| {
            difference(said, heard)
                .map_or(Ok(()), |problem| Err(format!("{what} changed {problem}")))
        };
        same(
            "the text",
            &json!(self.text.trim()),
            &json!(heard.text.trim()),
        )?;
        same(
            "the reasoning",
            &json!(self.reasoning.trim()),
            &json!(heard.reasoning.trim()),
        )?;
        same(
            "the tool calls",
            &json!(self.tool_calls),
            &json!(heard.tool_calls),
        )?;
        same("the values", &json!(self.values), &json!(heard.values))?;
        if self.stop.is_some() && !self.refused {
            same(
                "the stop reason",
                &json!(self.asks_for()),
                &json!(heard.asks_for()),
            )?;
        }
        if heard.usage.total().is_some() && self.usage.total().is_some() {
            for (what, said, heard) in [
                (
                    "input tokens",
                    self.usage.input_total(),
                    heard.usage.input_total(),
                ),
                (
                    "output tokens",
                    self.usage.output_total(),
                    heard.usage.output_total(),
                ),
            ] {
                // Some dialects insist on a total, and have 0 where nothing was told.
                if said.is_some() || heard != Some(0) {
                    same(what, &json!(said), &json!(heard))?;
                }
            }
        }
        Ok(())
    }
}
