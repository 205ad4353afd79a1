//! From OpenAI's shapes into ours: calls.

use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use super::wire::ReasoningDetail;
use crate::{
    Call, ChatCall, Extra, MediaSource, Message, Part, PartKind, ReadError, Reasoning,
    ReasoningEffort, ResponseFormat, Role, Tool, ToolChoice, ToolKind, json::Fields,
};

/// Names under which providers give reasoning, in the order in which they are believed. They are read into parts, and
/// kept among the message's extra fields as well, so that they go back to this dialect as they came.
pub(crate) const REASONING_FIELDS: [&str; 3] =
    ["reasoning_details", "reasoning_content", "reasoning"];

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let (stream, include_usage) = read_stream_options(&mut fields)?;
    let tools = read_tools(&mut fields)?;
    let call = ChatCall {
        model: fields.text("model")?.unwrap_or_default(),
        messages: read_messages(&mut fields)?,
        tool_choice: read_tool_choice(&mut fields)?,
        tools,
        parallel_tool_calls: fields.flag("parallel_tool_calls")?,
        max_tokens: read_max_tokens(&mut fields)?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.count("top_k")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        seed: fields.integer("seed")?,
        stop: fields.texts("stop")?,
        n: fields.count("n")?,
        logprobs: read_logprobs(&mut fields),
        top_logprobs: fields.count("top_logprobs")?,
        response_format: fields.any("response_format").map(read_response_format),
        reasoning: fields.text("reasoning_effort")?.map(read_reasoning_effort),
        user: fields.text("user")?,
        service_tier: fields.text("service_tier")?,
        stream,
        include_usage,
        extra: Extra {
            dialect: Dialect::OpenaiChat,
            fields: fields.rest(),
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

/// Takes `stream` and `include_usage`; other stream options stay where they are.
pub(crate) fn read_stream_options(fields: &mut Fields) -> Result<(bool, bool), ReadError> {
    let stream = fields.flag("stream")?.unwrap_or(false);
    let mut include_usage = false;
    if let Some(options) = fields.any("stream_options") {
        let mut options = Fields::of("stream_options", options)?;
        include_usage = options.flag("include_usage")?.unwrap_or(false);
        let rest = options.rest();
        if !rest.is_empty() {
            fields.leave("stream_options", Value::Object(rest));
        }
    }
    Ok((stream, include_usage))
}

/// Takes both names of the cap. The newer one wins.
fn read_max_tokens(fields: &mut Fields) -> Result<Option<u64>, ReadError> {
    let older = fields.count("max_tokens")?;
    Ok(fields.count("max_completion_tokens")?.or(older))
}

/// Takes `logprobs`, unless it is a number, as some providers have it: that stays where it is.
fn read_logprobs(fields: &mut Fields) -> Option<bool> {
    let flag = fields.peek("logprobs")?.as_bool()?;
    drop(fields.any("logprobs"));
    Some(flag)
}

fn read_messages(fields: &mut Fields) -> Result<Vec<Message>, ReadError> {
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "is missing; it must be a list of messages"));
    }
    let mut messages: Vec<Message> = Vec::new();
    let mut function_calls = 0;
    for (index, value) in fields.list("messages")?.into_iter().enumerate() {
        messages.push(read_message(
            Fields::of(format!("messages[{index}]"), value)?,
            &mut function_calls,
        )?);
    }
    Ok(messages)
}

/// `function_calls` counts calls in the form before tools. They have no ids, so that they get one from their number, and the
/// `function` message that follows answers the last.
fn read_message(mut fields: Fields, function_calls: &mut usize) -> Result<Message, ReadError> {
    let role = match fields.required_text("role")?.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => return read_tool_result(fields, None),
        "function" => return read_tool_result(fields, Some(function_call_id(*function_calls))),
        _ => return Err(fields.error("role", "must be system, developer, user, assistant or tool")),
    };
    let mut content = if role == Role::Assistant {
        read_reasoning(&fields)
    } else {
        Vec::new()
    };
    content.extend(read_content(&mut fields)?);
    if role == Role::Assistant {
        // Mistral's client says in every message that the answer does not begin with it.
        if fields.peek("prefix") == Some(&Value::Bool(false)) {
            drop(fields.any("prefix"));
        }
        read_refusal(&mut fields, &mut content)?;
        read_tool_calls(&mut fields, &mut content)?;
        if let Some(call) = fields.any("function_call") {
            *function_calls += 1;
            content.push(read_function_call(
                Fields::of(fields.path("function_call"), call)?,
                function_call_id(*function_calls),
            )?);
        }
    }
    Ok(Message {
        role,
        name: fields.text("name")?,
        content,
        extra: fields.rest(),
    })
}

fn function_call_id(number: usize) -> String {
    format!("function_call_{number}")
}

fn read_tool_result(
    mut fields: Fields,
    function_call_id: Option<String>,
) -> Result<Message, ReadError> {
    let call_id = match function_call_id {
        Some(id) => id,
        None => fields.required_text("tool_call_id")?,
    };
    let content = read_content(&mut fields)?;
    let result = Part::new(PartKind::ToolResult {
        call_id,
        content,
        is_error: None,
    });
    Ok(Message {
        role: Role::Tool,
        name: fields.text("name")?,
        content: vec![result],
        extra: fields.rest(),
    })
}

fn read_content(fields: &mut Fields) -> Result<Vec<Part>, ReadError> {
    match fields.any("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(parts)) => {
            let path = fields.path("content");
            parts
                .into_iter()
                .enumerate()
                .map(|(index, part)| read_part(format!("{path}[{index}]"), part))
                .collect()
        }
        Some(_) => Err(fields.error("content", "must be a text or a list of parts")),
    }
}

fn read_part(path: String, value: Value) -> Result<Part, ReadError> {
    if is_foreign_part(&value) {
        return Ok(Part::new(PartKind::Foreign { value }));
    }
    let mut fields = Fields::of(path, value)?;
    let cache_control = fields.any("cache_control");
    let kind = match fields.required_text("type")?.as_str() {
        "refusal" => PartKind::Refusal {
            text: fields.required_text("refusal")?,
        },
        "image_url" => read_image(&mut fields)?,
        "input_audio" => read_audio(&mut fields)?,
        "file" => read_file(&mut fields)?,
        _ => PartKind::Text {
            text: fields.required_text("text")?,
            citations: Vec::new(),
        },
    };
    Ok(Part {
        kind,
        cache_control,
        extra: fields.rest(),
    })
}

/// Whether only this dialect's providers can make something of a part.
fn is_foreign_part(value: &Value) -> bool {
    match value.get("type").and_then(Value::as_str) {
        Some("input_audio") => !value["input_audio"].is_object(),
        Some("file") => {
            !(value["file"]["file_data"].is_string() || value["file"]["file_id"].is_string())
        }
        Some("text" | "refusal" | "image_url") | None => false,
        Some(_) => true,
    }
}

fn read_image(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let (url, detail) = match fields.any("image_url") {
        // Mistral's short form.
        Some(Value::String(url)) => (url, None),
        Some(value) => {
            let mut image = Fields::of(fields.path("image_url"), value)?;
            (image.required_text("url")?, image.text("detail")?)
        }
        None => {
            return Err(fields.error("image_url", "is missing; it must be an object with a url"));
        }
    };
    Ok(PartKind::Image {
        source: read_url(url),
        detail,
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

fn read_file(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let mut file = Fields::of(fields.path("file"), fields.any("file").unwrap_or_default())?;
    let source = match file.text("file_data")? {
        Some(data)
            if ["data:", "https:", "http:"]
                .iter()
                .any(|scheme| data.starts_with(scheme)) =>
        {
            read_url(data)
        }
        Some(data) => MediaSource::Base64 {
            media_type: String::new(),
            data,
        },
        None => MediaSource::FileId(file.required_text("file_id")?),
    };
    Ok(PartKind::Document {
        source,
        name: file.text("filename")?,
    })
}

/// An address, or what a base64 `data:` address holds.
pub(crate) fn read_url(url: String) -> MediaSource {
    let held = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','));
    match held.and_then(|(kind, data)| Some((kind.strip_suffix(";base64")?, data))) {
        Some((media_type, data)) => MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        },
        None => MediaSource::Url(url),
    }
}

/// Reasoning under the first name that has some.
pub(super) fn read_reasoning(fields: &Fields) -> Vec<Part> {
    for name in REASONING_FIELDS {
        let parts = match fields.peek(name) {
            Some(Value::String(text)) if !text.is_empty() => {
                vec![Part::new(PartKind::Reasoning {
                    text: text.clone(),
                    signature: None,
                })]
            }
            Some(Value::Array(details)) => {
                details.iter().filter_map(read_reasoning_detail).collect()
            }
            _ => continue,
        };
        if !parts.is_empty() {
            return parts;
        }
    }
    Vec::new()
}

fn read_reasoning_detail(value: &Value) -> Option<Part> {
    let detail = ReasoningDetail::deserialize(value).ok()?;
    let kind = match (
        detail.data,
        detail.text.or(detail.summary),
        detail.signature,
    ) {
        (Some(data), None, None) => PartKind::RedactedReasoning {
            data: data.into_owned(),
        },
        (_, None, None) => return None,
        (_, text, signature) => PartKind::Reasoning {
            text: text.unwrap_or_default().into_owned(),
            signature: signature.map(std::borrow::Cow::into_owned),
        },
    };
    Some(Part::new(kind))
}

pub(super) fn read_refusal(fields: &mut Fields, content: &mut Vec<Part>) -> Result<(), ReadError> {
    if let Some(text) = fields.text("refusal")?.filter(|text| !text.is_empty()) {
        content.push(Part::new(PartKind::Refusal { text }));
    }
    Ok(())
}

/// Takes `tool_calls`. Those of unknown kinds stay where they are.
pub(super) fn read_tool_calls(
    fields: &mut Fields,
    content: &mut Vec<Part>,
) -> Result<(), ReadError> {
    let path = fields.path("tool_calls");
    let mut foreign = Vec::new();
    for (index, value) in fields.list("tool_calls")?.into_iter().enumerate() {
        match value.get("type").and_then(Value::as_str) {
            None | Some("function" | "custom") => {
                content.push(read_tool_call(format!("{path}[{index}]"), value)?)
            }
            Some(_) => foreign.push(value),
        }
    }
    if !foreign.is_empty() {
        fields.leave("tool_calls", Value::Array(foreign));
    }
    Ok(())
}

fn read_tool_call(path: String, value: Value) -> Result<Part, ReadError> {
    let mut fields = Fields::of(path, value)?;
    let id = fields.text("id")?.unwrap_or_default();
    let cache_control = fields.any("cache_control");
    // Numbers the pieces of a stream; clients that put those together leave it in. It says nothing here.
    drop(fields.any("index"));
    let (kind, member, argument) = match fields.text("type")?.as_deref() {
        Some("custom") => (ToolKind::Custom, "custom", "input"),
        _ => (ToolKind::Function, "function", "arguments"),
    };
    let mut tool = Fields::of(fields.path(member), fields.any(member).unwrap_or_default())?;
    let name = tool.required_text("name")?;
    let arguments = read_arguments(tool.any(argument));
    Ok(Part {
        kind: PartKind::ToolCall {
            id,
            name,
            arguments,
            kind,
        },
        cache_control,
        extra: fields.rest(),
    })
}

pub(super) fn read_function_call(mut fields: Fields, id: String) -> Result<Part, ReadError> {
    let name = fields.required_text("name")?;
    let arguments = read_arguments(fields.any("arguments"));
    Ok(Part::new(PartKind::ToolCall {
        id,
        name,
        arguments,
        kind: ToolKind::Function,
    }))
}

/// Arguments as text; some providers give the object itself.
pub(crate) fn read_arguments(value: Option<Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// Takes `tools`, and `functions`, which they were called before.
fn read_tools(fields: &mut Fields) -> Result<Vec<Tool>, ReadError> {
    let mut tools = Vec::new();
    for (index, value) in fields.list("tools")?.into_iter().enumerate() {
        tools.push(read_tool(format!("tools[{index}]"), value)?);
    }
    for (index, value) in fields.list("functions")?.into_iter().enumerate() {
        let mut function = Fields::of(format!("functions[{index}]"), value)?;
        let mut tool = read_function(&mut function)?;
        tool.extra = inner_rest("function", function);
        tools.push(tool);
    }
    Ok(tools)
}

/// A tool in the form that other dialects have taken over.
pub(crate) fn read_tool(path: String, value: Value) -> Result<Tool, ReadError> {
    let member = match value.get("type").and_then(Value::as_str) {
        Some("function") => "function",
        Some("custom") => "custom",
        None if value.get("function").is_some() => "function",
        _ => return foreign_tool(Fields::of(path, value)?),
    };
    let mut fields = Fields::of(path, value)?;
    drop(fields.any("type"));
    let cache_control = fields.any("cache_control");
    let mut inner = Fields::of(fields.path(member), fields.any(member).unwrap_or_default())?;
    let mut tool = read_function(&mut inner)?;
    if member == "custom" {
        tool.kind = ToolKind::Custom;
    }
    tool.cache_control = cache_control;
    tool.extra = inner_rest(member, inner);
    tool.extra.extend(fields.rest());
    Ok(tool)
}

fn read_function(fields: &mut Fields) -> Result<Tool, ReadError> {
    Ok(Tool {
        kind: ToolKind::Function,
        name: fields.required_text("name")?,
        description: fields.text("description")?,
        parameters: fields.any("parameters"),
        strict: fields.flag("strict")?,
        cache_control: None,
        extra: Map::new(),
    })
}

/// What is left of a member, under the member's name.
fn inner_rest(member: &str, fields: Fields) -> Map<String, Value> {
    let rest = fields.rest();
    if rest.is_empty() {
        rest
    } else {
        Map::from_iter([(member.to_owned(), Value::Object(rest))])
    }
}

/// A tool that the provider runs itself, kept whole.
fn foreign_tool(fields: Fields) -> Result<Tool, ReadError> {
    let Some(kind) = fields.peek("type").and_then(Value::as_str) else {
        return Err(fields.error("type", "is missing; it must be a text, such as function"));
    };
    Ok(Tool {
        kind: ToolKind::Foreign,
        name: kind.to_owned(),
        description: None,
        parameters: None,
        strict: None,
        cache_control: None,
        extra: fields.rest(),
    })
}

/// Takes `tool_choice`, or `function_call`, which it was called before.
fn read_tool_choice(fields: &mut Fields) -> Result<Option<ToolChoice>, ReadError> {
    let legacy = fields.any("function_call");
    let Some(value) = fields.any("tool_choice").or(legacy) else {
        return Ok(None);
    };
    Ok(Some(match &value {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            // `any` is Mistral's word.
            "required" | "any" => ToolChoice::Required,
            _ => ToolChoice::Foreign(value),
        },
        Value::Object(choice) => {
            let name = choice
                .get("function")
                .unwrap_or(&value)
                .get("name")
                .and_then(Value::as_str);
            match (choice.get("type").and_then(Value::as_str), name) {
                (None | Some("function"), Some(name)) => ToolChoice::Function(name.to_owned()),
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

fn read_response_format(value: Value) -> ResponseFormat {
    let members = value.as_object().map_or(0, Map::len);
    match value.get("type").and_then(Value::as_str) {
        Some("text") if members == 1 => ResponseFormat::Text,
        Some("json_object") if members == 1 => ResponseFormat::JsonObject,
        Some("json_schema") if members == 2 => {
            read_json_schema(&value["json_schema"]).unwrap_or(ResponseFormat::Foreign(value))
        }
        _ => ResponseFormat::Foreign(value),
    }
}

fn read_json_schema(value: &Value) -> Option<ResponseFormat> {
    let mut fields = Fields::of("response_format.json_schema", value.clone()).ok()?;
    let format = ResponseFormat::JsonSchema {
        name: fields.text("name").ok()?,
        description: fields.text("description").ok()?,
        schema: fields.any("schema")?,
        strict: fields.flag("strict").ok()?,
    };
    fields.rest().is_empty().then_some(format)
}

pub(crate) fn read_reasoning_effort(word: String) -> Reasoning {
    let effort = match word.as_str() {
        "none" => ReasoningEffort::None,
        "minimal" => ReasoningEffort::Minimal,
        "low" => ReasoningEffort::Low,
        "medium" => ReasoningEffort::Medium,
        "high" => ReasoningEffort::High,
        _ => ReasoningEffort::Other(word),
    };
    Reasoning {
        effort: Some(effort),
        ..Reasoning::default()
    }
}
