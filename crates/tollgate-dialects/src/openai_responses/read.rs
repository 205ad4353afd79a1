//! From this dialect's shapes into ours: calls, and the items that answers are made of as well.

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::{ITEM, proof, wire::is_foreign_item};
use crate::{
    Call, ChatCall, Extra, MediaSource, Message, Part, PartKind, ReadError, Reasoning,
    ResponseFormat, Role, Tool, ToolChoice, ToolKind,
    json::Fields,
    openai_chat::{read_arguments, read_reasoning_effort, read_url},
};

/// Asks for log-probabilities.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";

/// Marks the operator's message that came as `instructions`.
pub(super) const INSTRUCTIONS: &str = "instructions";

/// Fields that name what is stored, which may say everything.
pub(super) const STORED: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// What an item is besides its content.
const ITEM_FIELDS: [&str; 3] = ["id", "status", "phase"];

/// The same of reasoning: its text is in pieces.
const REASONING_FIELDS: [&str; 4] = ["id", "status", "summary", "content"];

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let mut messages = read_instructions(&mut fields)?;
    read_input(&mut fields, &mut messages)?;
    let tools = read_tools(&mut fields)?;
    let logprobs = read_include(&mut fields);
    for (name, usual) in [
        ("background", json!(false)),
        ("truncation", json!("disabled")),
    ] {
        // Is what is done anyway.
        if fields.peek(name) == Some(&usual) {
            drop(fields.any(name));
        }
    }
    let call = ChatCall {
        model: fields.text("model")?.unwrap_or_default(),
        messages,
        tool_choice: read_tool_choice(&mut fields)?,
        tools,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        max_tokens: fields.count("max_output_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.count("top_k")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        seed: None,
        stop: Vec::new(),
        n: None,
        logprobs,
        top_logprobs: fields.count("top_logprobs")?,
        response_format: read_text_options(&mut fields)?,
        reasoning: read_reasoning_options(&mut fields)?,
        user: fields.text("user")?,
        service_tier: fields.text("service_tier")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        include_usage: true,
        extra: Extra {
            dialect: Dialect::OpenaiResponses,
            fields: fields.rest(),
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

// === the conversation ===

/// `instructions` are the first message.
fn read_instructions(fields: &mut Fields) -> Result<Vec<Message>, ReadError> {
    let Some(text) = fields.text("instructions")? else {
        return Ok(Vec::new());
    };
    let mut first = message(Role::System, vec![Part::text(text)]);
    first.extra.insert(INSTRUCTIONS.to_owned(), json!(true));
    Ok(vec![first])
}

fn message(role: Role, content: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        content,
        extra: Map::new(),
    }
}

fn read_input(fields: &mut Fields, messages: &mut Vec<Message>) -> Result<(), ReadError> {
    match fields.any("input") {
        Some(Value::String(text)) => messages.push(message(Role::User, vec![Part::text(text)])),
        Some(Value::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                read_item(Fields::of(format!("input[{index}]"), item)?, messages)?;
            }
        }
        Some(_) => return Err(fields.error("input", "must be a text or a list of items")),
        None if STORED.iter().any(|name| fields.peek(name).is_some()) => {}
        None => {
            return Err(fields.error("input", "is missing; it must be a text or a list of items"));
        }
    }
    Ok(())
}

fn read_item(mut fields: Fields, messages: &mut Vec<Message>) -> Result<(), ReadError> {
    let kind = match fields.peek("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(_) => return Err(fields.error("type", "must be a text")),
        None if fields.peek("role").is_some() => "message".to_owned(),
        None => "item_reference".to_owned(),
    };
    match kind.as_str() {
        "message" => read_message(fields, messages),
        "function_call_output" | "custom_tool_call_output" => {
            messages.push(message(Role::Tool, vec![read_tool_output(fields)?]));
            Ok(())
        }
        "function_call" | "custom_tool_call" | "reasoning" => {
            let part = read_output_item(fields)?;
            assistant(messages).content.push(part);
            Ok(())
        }
        _ => {
            // As it came, but for where it stands.
            if fields.peek("type").is_none() {
                drop(fields.any("type"));
            }
            let part = foreign_item(Value::Object(fields.rest()));
            if kind.ends_with("_output") || kind.ends_with("_response") {
                messages.push(message(Role::User, vec![part]));
            } else {
                assistant(messages).content.push(part);
            }
            Ok(())
        }
    }
}

/// The assistant's message that the conversation has come to.
fn assistant(messages: &mut Vec<Message>) -> &mut Message {
    if messages.last().map(|last| last.role) != Some(Role::Assistant) {
        messages.push(message(Role::Assistant, Vec::new()));
    }
    messages.last_mut().expect("one was put there just now")
}

/// An item that only its own dialect understands, whole.
fn foreign_item(value: Value) -> Part {
    let mut part = Part::new(PartKind::Foreign { value });
    part.extra.insert(ITEM.to_owned(), json!({}));
    part
}

fn read_message(mut fields: Fields, messages: &mut Vec<Message>) -> Result<(), ReadError> {
    let role = match fields.required_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        _ => {
            return Err(fields.error("role", "must be user, assistant, system or developer"));
        }
    };
    if fields.peek("content").is_none() {
        return Err(fields.error(
            "content",
            "is missing; it must be a text or a list of parts",
        ));
    }
    let mut content = read_content(&mut fields, "content")?;
    drop(fields.any("type"));
    if role == Role::Assistant {
        let item = take_item(&mut fields, &ITEM_FIELDS);
        begin_item(&mut content, item, fields.rest());
        assistant(messages).content.append(&mut content);
        return Ok(());
    }
    let name = fields.text("name")?;
    let item = take_item(&mut fields, &ITEM_FIELDS);
    let mut extra = fields.rest();
    if !item.is_empty() {
        extra.insert(ITEM.to_owned(), Value::Object(item));
    }
    messages.push(Message {
        role,
        name,
        content,
        extra,
    });
    Ok(())
}

/// Marks where an item of the assistant's begins, and what it is besides its content.
fn begin_item(content: &mut Vec<Part>, item: Map<String, Value>, rest: Map<String, Value>) {
    if content.is_empty() {
        content.push(Part::text(""));
    }
    if let Some(first) = content.first_mut() {
        first.extra.extend(rest);
        first.extra.insert(ITEM.to_owned(), Value::Object(item));
    }
}

/// Takes what an item is besides its content.
fn take_item(fields: &mut Fields, names: &[&str]) -> Map<String, Value> {
    let names = names.iter();
    names
        .filter_map(|name| Some(((*name).to_owned(), fields.any(name)?)))
        .collect()
}

/// A text, or a list of parts.
fn read_content(fields: &mut Fields, name: &str) -> Result<Vec<Part>, ReadError> {
    match fields.any(name) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(parts)) => {
            let path = fields.path(name);
            let parts = parts.into_iter().enumerate();
            parts
                .map(|(index, part)| read_part(Fields::of(format!("{path}[{index}]"), part)?))
                .collect()
        }
        // Some agents give what their tools said as it is.
        Some(other) if name == "output" => Ok(vec![Part::text(other.to_string())]),
        Some(_) => Err(fields.error(name, "must be a text or a list of parts")),
    }
}

fn read_part(mut fields: Fields) -> Result<Part, ReadError> {
    let kind = fields.text("type")?.unwrap_or_else(|| "text".to_owned());
    let part = match kind.as_str() {
        "input_text" | "output_text" | "text" => PartKind::Text {
            text: fields.required_text("text")?,
            citations: Vec::new(),
        },
        "refusal" => PartKind::Refusal {
            text: fields.required_text("refusal")?,
        },
        "input_image" => read_image(&mut fields)?,
        "input_file" => read_file(&mut fields)?,
        "input_audio" if fields.peek("input_audio").is_some_and(Value::is_object) => {
            read_audio(&mut fields)?
        }
        _ => {
            let mut part = fields.rest();
            part.shift_insert(0, "type".to_owned(), Value::String(kind));
            let value = Value::Object(part);
            return Ok(Part::new(PartKind::Foreign { value }));
        }
    };
    for name in ["annotations", "logprobs"] {
        if fields.peek(name) == Some(&json!([])) {
            drop(fields.any(name));
        }
    }
    Ok(Part {
        kind: part,
        cache_control: None,
        extra: fields.rest(),
    })
}

fn read_image(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let source = match fields.any("image_url") {
        Some(Value::String(url)) => read_url(url),
        // As in a chat.
        Some(value) => read_url(Fields::of(fields.path("image_url"), value)?.required_text("url")?),
        None => match fields.text("file_id")? {
            Some(id) => MediaSource::FileId(id),
            None => {
                return Err(fields.error(
                    "image_url",
                    "is missing; it must be an address, unless there is a file_id",
                ));
            }
        },
    };
    Ok(PartKind::Image {
        source,
        detail: fields.text("detail")?,
    })
}

fn read_file(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let source = if let Some(data) = fields.text("file_data")? {
        if data.starts_with("data:") {
            read_url(data)
        } else {
            MediaSource::Base64 {
                media_type: String::new(),
                data,
            }
        }
    } else if let Some(url) = fields.text("file_url")? {
        MediaSource::Url(url)
    } else if let Some(id) = fields.text("file_id")? {
        MediaSource::FileId(id)
    } else {
        return Err(fields.error(
            "file_data",
            "is missing; there must be file_data, file_url or file_id",
        ));
    };
    Ok(PartKind::Document {
        source,
        name: fields.text("filename")?,
    })
}

fn read_audio(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let mut audio = Fields::of(
        fields.path("input_audio"),
        fields.any("input_audio").unwrap_or_default(),
    )?;
    Ok(PartKind::Audio {
        data: audio.required_text("data")?,
        format: audio.text("format")?.unwrap_or_default(),
    })
}

/// What a tool said. That it is of a tool that takes free text is told by the item.
fn read_tool_output(mut fields: Fields) -> Result<Part, ReadError> {
    let mut item = take_item(&mut fields, &ITEM_FIELDS);
    if let Some(kind) = fields
        .any("type")
        .filter(|kind| kind != "function_call_output")
    {
        item.insert("type".to_owned(), kind);
    }
    let kind = PartKind::ToolResult {
        call_id: fields.required_text("call_id")?,
        content: read_content(&mut fields, "output")?,
        is_error: None,
    };
    Ok(with_item(kind, item, fields.rest()))
}

fn with_item(kind: PartKind, item: Map<String, Value>, mut extra: Map<String, Value>) -> Part {
    if !item.is_empty() {
        extra.insert(ITEM.to_owned(), Value::Object(item));
    }
    Part {
        kind,
        cache_control: None,
        extra,
    }
}

// === items that answers are made of as well ===

/// Reads a tool call or reasoning; anything else stays whole.
fn read_output_item(mut fields: Fields) -> Result<Part, ReadError> {
    let kind = fields
        .peek("type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    match kind.as_str() {
        "reasoning" => read_reasoning(fields),
        "function_call" | "custom_tool_call" => {
            drop(fields.any("type"));
            let item = take_item(&mut fields, &ITEM_FIELDS);
            let id = match fields.text("call_id")? {
                Some(id) => id,
                None => item
                    .get("id")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            };
            let (argument, kind) = if kind == "custom_tool_call" {
                ("input", ToolKind::Custom)
            } else {
                ("arguments", ToolKind::Function)
            };
            let call = PartKind::ToolCall {
                id,
                name: fields.required_text("name")?,
                arguments: read_arguments(fields.any(argument)),
                kind,
            };
            Ok(with_item(call, item, fields.rest()))
        }
        _ => Ok(foreign_item(Value::Object(fields.rest()))),
    }
}

/// Reasoning. What is only a reference to what the provider has stored stays whole.
fn read_reasoning(mut fields: Fields) -> Result<Part, ReadError> {
    let text = reasoning_text(fields.peek("summary"), fields.peek("content"));
    let encrypted = fields.text("encrypted_content")?;
    match proof::reasoning(text, encrypted) {
        Some(kind) => {
            drop(fields.any("type"));
            let item = take_item(&mut fields, &REASONING_FIELDS);
            Ok(with_item(kind, item, fields.rest()))
        }
        None => Ok(foreign_item(Value::Object(fields.rest()))),
    }
}

/// The readable part of reasoning: its summary, or where there is none, all of it.
pub(super) fn reasoning_text(summary: Option<&Value>, content: Option<&Value>) -> String {
    let texts = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|piece| piece["text"].as_str().map(str::to_owned))
            .filter(|text| !text.is_empty())
            .collect()
    };
    match texts(summary) {
        summary if summary.is_empty() => texts(content).join(""),
        summary => summary.join("\n\n"),
    }
}

/// Reads an item of an answer, and appends the parts that it is in our form.
pub(super) fn read_answer_item(
    path: String,
    item: Value,
    parts: &mut Vec<Part>,
) -> Result<(), ReadError> {
    if item["type"] != "message" {
        // The provider's own form of these is nobody else's affair, and must not spoil the answer.
        let whole = item.clone();
        let is_known = !is_foreign_item(&item) || item["type"] == "reasoning";
        let read = is_known.then(|| Fields::of(path, item).and_then(read_output_item));
        parts.push(match read {
            Some(Ok(part)) => part,
            _ => foreign_item(whole),
        });
        return Ok(());
    }
    let mut fields = Fields::of(path, item)?;
    let mut content = read_content(&mut fields, "content")?;
    drop((fields.any("type"), fields.any("role")));
    let item = take_item(&mut fields, &ITEM_FIELDS);
    begin_item(&mut content, item, fields.rest());
    parts.append(&mut content);
    Ok(())
}

// === tools ===

fn read_tools(fields: &mut Fields) -> Result<Vec<Tool>, ReadError> {
    let tools = fields.list("tools")?.into_iter().enumerate();
    tools
        .map(|(index, tool)| read_tool(Fields::of(format!("tools[{index}]"), tool)?))
        .collect()
}

fn read_tool(mut fields: Fields) -> Result<Tool, ReadError> {
    let kind = fields.peek("type").and_then(Value::as_str);
    let kind = match kind {
        Some("function") => ToolKind::Function,
        Some("custom") => ToolKind::Custom,
        Some(kind) => {
            return Ok(Tool {
                kind: ToolKind::Foreign,
                name: kind.to_owned(),
                description: None,
                parameters: None,
                strict: None,
                cache_control: None,
                extra: fields.rest(),
            });
        }
        None => {
            return Err(fields.error("type", "is missing; it must be a text, such as function"));
        }
    };
    drop(fields.any("type"));
    // As in a chat.
    if fields.peek("name").is_none() && fields.peek("function").is_some_and(Value::is_object) {
        let function = fields.any("function").unwrap_or_default();
        fields = Fields::of(fields.path("function"), function)?;
    }
    Ok(Tool {
        kind,
        name: fields.required_text("name")?,
        description: fields.text("description")?,
        parameters: fields.any("parameters"),
        strict: fields.flag("strict")?,
        cache_control: None,
        extra: fields.rest(),
    })
}

fn read_tool_choice(fields: &mut Fields) -> Result<Option<ToolChoice>, ReadError> {
    let Some(value) = fields.any("tool_choice") else {
        return Ok(None);
    };
    Ok(Some(match &value {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => ToolChoice::Foreign(value),
        },
        Value::Object(choice) => {
            let members = choice.keys().filter(|name| *name != "type").count();
            match (
                choice.get("type").and_then(Value::as_str),
                choice.get("name"),
            ) {
                (None | Some("function"), Some(Value::String(name))) if members == 1 => {
                    ToolChoice::Function(name.clone())
                }
                _ => ToolChoice::Foreign(value),
            }
        }
        _ => {
            return Err(fields.error(
                "tool_choice",
                "must be none, auto, required, or an object that names a tool",
            ));
        }
    }))
}

// === how to answer ===

/// Takes the wish for log-probabilities out of `include`.
fn read_include(fields: &mut Fields) -> Option<bool> {
    let Some(Value::Array(mut include)) = fields.any("include") else {
        return None;
    };
    let wanted = include.len();
    include.retain(|name| name != LOGPROBS);
    let logprobs = (include.len() < wanted).then_some(true);
    if !include.is_empty() {
        fields.leave("include", Value::Array(include));
    }
    logprobs
}

/// Takes the answer's form out of `text`; the rest stays where it is.
fn read_text_options(fields: &mut Fields) -> Result<Option<ResponseFormat>, ReadError> {
    let Some(text) = fields.any("text") else {
        return Ok(None);
    };
    let mut text = Fields::of("text", text)?;
    let format = text.any("format").map(read_format);
    leave_rest(fields, "text", text);
    Ok(format)
}

fn read_format(format: Value) -> ResponseFormat {
    let members = format.as_object().map_or(0, Map::len);
    match format["type"].as_str() {
        Some("text") if members == 1 => ResponseFormat::Text,
        Some("json_object") if members == 1 => ResponseFormat::JsonObject,
        Some("json_schema") => read_json_schema(&format).unwrap_or(ResponseFormat::Foreign(format)),
        _ => ResponseFormat::Foreign(format),
    }
}

fn read_json_schema(format: &Value) -> Option<ResponseFormat> {
    let mut fields = Fields::of("text.format", format.clone()).ok()?;
    drop(fields.any("type"));
    let format = ResponseFormat::JsonSchema {
        name: fields.text("name").ok()?,
        description: fields.text("description").ok()?,
        schema: fields.any("schema")?,
        strict: fields.flag("strict").ok()?,
    };
    fields.rest().is_empty().then_some(format)
}

/// Takes the effort out of `reasoning`; the rest stays where it is.
fn read_reasoning_options(fields: &mut Fields) -> Result<Option<Reasoning>, ReadError> {
    let Some(reasoning) = fields.any("reasoning") else {
        return Ok(None);
    };
    let mut reasoning = Fields::of("reasoning", reasoning)?;
    let effort = reasoning.text("effort")?;
    leave_rest(fields, "reasoning", reasoning);
    Ok(effort.map(read_reasoning_effort))
}

/// Leaves what is left of a member where it was.
fn leave_rest(fields: &mut Fields, name: &str, member: Fields) {
    let rest = member.rest();
    if !rest.is_empty() {
        fields.leave(name, Value::Object(rest));
    }
}
