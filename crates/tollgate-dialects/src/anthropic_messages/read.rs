//! From Anthropic's shapes into ours: calls, and the blocks that answers are made of as well.

use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use crate::{
    Call, ChatCall, Extra, MediaSource, Message, Part, PartKind, ReadError, Reasoning,
    ReasoningEffort, ResponseFormat, Role, Tool, ToolChoice, ToolKind, json::Fields,
};

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let mut messages = read_system(&mut fields)?;
    read_messages(&mut fields, &mut messages)?;
    let (tool_choice, parallel_tool_calls) = read_tool_choice(&mut fields)?;
    let (response_format, effort) = read_output_config(&mut fields)?;
    let call = ChatCall {
        model: fields.text("model")?.unwrap_or_default(),
        messages,
        tools: read_tools(&mut fields)?,
        tool_choice,
        parallel_tool_calls,
        max_tokens: fields.count("max_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.count("top_k")?,
        frequency_penalty: None,
        presence_penalty: None,
        seed: None,
        stop: fields.texts("stop_sequences")?,
        n: None,
        logprobs: None,
        top_logprobs: None,
        response_format,
        reasoning: read_thinking(&mut fields, effort)?,
        user: read_user(&mut fields)?,
        service_tier: fields.text("service_tier")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        include_usage: true,
        extra: Extra {
            dialect: Dialect::AnthropicMessages,
            fields: fields.rest(),
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

// === messages ===

/// The top-level `system` is the first message.
fn read_system(fields: &mut Fields) -> Result<Vec<Message>, ReadError> {
    let content = read_content(fields, "system")?;
    let system = message(Role::System, content);
    Ok(Vec::from_iter(
        (!system.content.is_empty()).then_some(system),
    ))
}

fn message(role: Role, content: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        content,
        extra: Map::new(),
    }
}

fn read_messages(fields: &mut Fields, messages: &mut Vec<Message>) -> Result<(), ReadError> {
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "is missing; it must be a list of messages"));
    }
    for (index, value) in fields.list("messages")?.into_iter().enumerate() {
        read_message(Fields::of(format!("messages[{index}]"), value)?, messages)?;
    }
    Ok(())
}

/// The user's message may hold tools' results: those are a message of their own, which comes first, as they answer what
/// was said before.
fn read_message(mut fields: Fields, messages: &mut Vec<Message>) -> Result<(), ReadError> {
    let role = match fields.required_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        // Newer models take further words of the operator within the conversation.
        "system" => Role::System,
        _ => return Err(fields.error("role", "must be user or assistant")),
    };
    if fields.peek("content").is_none() {
        return Err(fields.error(
            "content",
            "is missing; it must be a text or a list of blocks",
        ));
    }
    let content = read_content(&mut fields, "content")?;
    let is_result =
        |part: &Part| role == Role::User && matches!(part.kind, PartKind::ToolResult { .. });
    let (results, rest): (Vec<Part>, Vec<Part>) = content.into_iter().partition(is_result);
    let mut said = Vec::new();
    if !results.is_empty() {
        said.push(message(Role::Tool, results));
    }
    if !rest.is_empty() || said.is_empty() {
        said.push(message(role, rest));
    }
    if let Some(last) = said.last_mut() {
        last.extra = fields.rest();
    }
    messages.append(&mut said);
    Ok(())
}

/// A text, or a list of blocks.
pub(super) fn read_content(fields: &mut Fields, name: &str) -> Result<Vec<Part>, ReadError> {
    match fields.any(name) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(blocks)) => {
            let path = fields.path(name);
            let blocks = blocks.into_iter().enumerate();
            blocks
                .map(|(index, block)| read_block(Fields::of(format!("{path}[{index}]"), block)?))
                .collect()
        }
        Some(_) => Err(fields.error(name, "must be a text or a list of blocks")),
    }
}

fn read_block(mut fields: Fields) -> Result<Part, ReadError> {
    let kind = fields.required_text("type")?;
    let kind = match kind.as_str() {
        "text" => PartKind::Text {
            text: fields.required_text("text")?,
            citations: fields.list("citations")?,
        },
        "image" => PartKind::Image {
            source: read_source(&mut fields)?,
            detail: None,
        },
        "document" => PartKind::Document {
            source: read_source(&mut fields)?,
            name: fields.text("title")?,
        },
        "tool_use" => PartKind::ToolCall {
            id: fields.required_text("id")?,
            name: fields.required_text("name")?,
            arguments: fields
                .any("input")
                .map_or_else(|| "{}".to_owned(), |input| input.to_string()),
            kind: ToolKind::Function,
        },
        "tool_result" => PartKind::ToolResult {
            call_id: fields.required_text("tool_use_id")?,
            content: read_content(&mut fields, "content")?,
            is_error: fields.flag("is_error")?,
        },
        "thinking" => PartKind::Reasoning {
            text: fields.text("thinking")?.unwrap_or_default(),
            signature: fields.text("signature")?,
        },
        "redacted_thinking" => PartKind::RedactedReasoning {
            data: fields.required_text("data")?,
        },
        _ => {
            let mut block = fields.rest();
            block.shift_insert(0, "type".to_owned(), Value::String(kind));
            let value = Value::Object(block);
            return Ok(Part::new(PartKind::Foreign { value }));
        }
    };
    Ok(Part {
        kind,
        cache_control: fields.any("cache_control"),
        extra: fields.rest(),
    })
}

fn read_source(fields: &mut Fields) -> Result<MediaSource, ReadError> {
    let Some(value) = fields.any("source") else {
        return Err(fields.error("source", "is missing; it must be an object"));
    };
    let mut source = Fields::of(fields.path("source"), value.clone())?;
    let known = match source.required_text("type")?.as_str() {
        "base64" => MediaSource::Base64 {
            media_type: source.text("media_type")?.unwrap_or_default(),
            data: source.required_text("data")?,
        },
        "text" => MediaSource::Text {
            media_type: source.text("media_type")?.unwrap_or_default(),
            data: source.required_text("data")?,
        },
        "url" => MediaSource::Url(source.required_text("url")?),
        "file" => MediaSource::FileId(source.required_text("file_id")?),
        _ => return Ok(MediaSource::Foreign(value)),
    };
    // What is more than our form can hold goes back as it came.
    let is_whole = source.rest().is_empty();
    Ok(if is_whole {
        known
    } else {
        MediaSource::Foreign(value)
    })
}

// === tools ===

fn read_tools(fields: &mut Fields) -> Result<Vec<Tool>, ReadError> {
    let tools = fields.list("tools")?.into_iter().enumerate();
    tools
        .map(|(index, tool)| read_tool(Fields::of(format!("tools[{index}]"), tool)?))
        .collect()
}

/// Tools that Anthropic runs or has defined have a type of their own, and stay whole.
fn read_tool(mut fields: Fields) -> Result<Tool, ReadError> {
    let is_foreign = fields.peek("type").is_some_and(|kind| kind != "custom");
    if is_foreign {
        let name = fields.peek("name").and_then(Value::as_str);
        return Ok(Tool {
            kind: ToolKind::Foreign,
            name: name.unwrap_or_default().to_owned(),
            description: None,
            parameters: None,
            strict: None,
            cache_control: None,
            extra: fields.rest(),
        });
    }
    drop(fields.any("type"));
    Ok(Tool {
        kind: ToolKind::Function,
        name: fields.required_text("name")?,
        description: fields.text("description")?,
        parameters: fields.any("input_schema"),
        strict: fields.flag("strict")?,
        cache_control: fields.any("cache_control"),
        extra: fields.rest(),
    })
}

fn read_tool_choice(fields: &mut Fields) -> Result<(Option<ToolChoice>, Option<bool>), ReadError> {
    let Some(value) = fields.any("tool_choice") else {
        return Ok((None, None));
    };
    let mut choice = Fields::of("tool_choice", value.clone())?;
    let parallel = choice.flag("disable_parallel_tool_use")?.map(|off| !off);
    let choice = match choice.required_text("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(choice.required_text("name")?),
        _ => ToolChoice::Foreign(value),
    };
    Ok((Some(choice), parallel))
}

// === how to answer ===

/// The answer's form and the effort. `output_format` is the form's older place.
fn read_output_config(
    fields: &mut Fields,
) -> Result<(Option<ResponseFormat>, Option<ReasoningEffort>), ReadError> {
    let mut format = fields.any("output_format");
    let mut effort = None;
    if let Some(config) = fields.any("output_config") {
        let mut config = Fields::of("output_config", config)?;
        format = config.any("format").or(format);
        effort = config.text("effort")?.map(read_effort);
        leave_rest(fields, "output_config", config);
    }
    Ok((format.map(read_format), effort))
}

/// Leaves what is left of a member where it was.
fn leave_rest(fields: &mut Fields, name: &str, member: Fields) {
    let rest = member.rest();
    if !rest.is_empty() {
        fields.leave(name, Value::Object(rest));
    }
}

fn read_format(format: Value) -> ResponseFormat {
    let members = format.as_object().map_or(0, Map::len);
    match (format["type"].as_str(), format.get("schema")) {
        (Some("json_schema"), Some(schema)) if members == 2 => ResponseFormat::JsonSchema {
            name: None,
            description: None,
            schema: schema.clone(),
            strict: None,
        },
        _ => ResponseFormat::Foreign(format),
    }
}

fn read_effort(word: String) -> ReasoningEffort {
    match word.as_str() {
        "low" => ReasoningEffort::Low,
        "medium" => ReasoningEffort::Medium,
        "high" => ReasoningEffort::High,
        _ => ReasoningEffort::Other(word),
    }
}

/// Takes `thinking`.
pub(crate) fn read_thinking(
    fields: &mut Fields,
    effort: Option<ReasoningEffort>,
) -> Result<Option<Reasoning>, ReadError> {
    let mut reasoning = Reasoning {
        effort,
        ..Reasoning::default()
    };
    if let Some(thinking) = fields.any("thinking") {
        let mut thinking = Fields::of("thinking", thinking)?;
        reasoning.budget_tokens = thinking.count("budget_tokens")?;
        match thinking.required_text("type")?.as_str() {
            "enabled" => reasoning.enabled = Some(true),
            "disabled" => reasoning.enabled = Some(false),
            "adaptive" => (reasoning.enabled, reasoning.adaptive) = (Some(true), true),
            other => thinking.leave("type", Value::from(other)),
        }
        leave_rest(fields, "thinking", thinking);
    }
    Ok((reasoning != Reasoning::default()).then_some(reasoning))
}

fn read_user(fields: &mut Fields) -> Result<Option<String>, ReadError> {
    let Some(metadata) = fields.any("metadata") else {
        return Ok(None);
    };
    let mut metadata = Fields::of("metadata", metadata)?;
    let user = metadata.text("user_id")?;
    leave_rest(fields, "metadata", metadata);
    Ok(user)
}
