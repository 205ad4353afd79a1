//! From Cohere's shapes into ours: calls, and the content that answers are made of as well.

use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use crate::{
    Call, ChatCall, Extra, MediaSource, Message, Part, PartKind, ReadError, Reasoning,
    ResponseFormat, Role, Tool, ToolChoice, ToolKind, json::Fields, openai_chat::read_url,
};

/// What the assistant says before it calls tools. It is read into a text, and kept among the message's extra fields as well,
/// so that it goes back to this dialect as it came.
pub(super) const TOOL_PLAN: &str = "tool_plan";

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let strict = fields.flag("strict_tools")?;
    drop_empty(&mut fields, "documents");
    let call = ChatCall {
        model: fields.text("model")?.unwrap_or_default(),
        messages: read_messages(&mut fields)?,
        tools: read_tools(&mut fields, strict)?,
        tool_choice: fields.any("tool_choice").map(read_tool_choice),
        parallel_tool_calls: None,
        max_tokens: fields.count("max_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("p")?,
        top_k: fields.count("k")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        seed: fields.integer("seed")?,
        stop: fields.texts("stop_sequences")?,
        n: None,
        logprobs: fields.flag("logprobs")?,
        top_logprobs: None,
        response_format: fields.any("response_format").map(read_response_format),
        reasoning: read_reasoning(&mut fields)?,
        user: None,
        service_tier: None,
        stream: fields.flag("stream")?.unwrap_or(false),
        include_usage: true,
        extra: Extra {
            dialect: Dialect::CohereChat,
            fields: fields.rest(),
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

/// Drops a list that says nothing: clients write it out.
fn drop_empty(fields: &mut Fields, name: &str) {
    if fields
        .peek(name)
        .is_some_and(|value| value.as_array().is_some_and(Vec::is_empty))
    {
        drop(fields.any(name));
    }
}

// === messages ===

fn read_messages(fields: &mut Fields) -> Result<Vec<Message>, ReadError> {
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "is missing; it must be a list of messages"));
    }
    let messages = fields.list("messages")?.into_iter().enumerate();
    messages
        .map(|(index, value)| read_message(Fields::of(format!("messages[{index}]"), value)?))
        .collect()
}

fn read_message(mut fields: Fields) -> Result<Message, ReadError> {
    let role = match fields.required_text("role")?.to_ascii_lowercase().as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(fields.error("role", "must be system, user, assistant or tool")),
    };
    let mut content = read_content(&mut fields)?;
    match role {
        Role::Assistant => {
            content.extend(read_tool_plan(&mut fields)?);
            read_tool_calls(&mut fields, &mut content)?;
            drop_empty(&mut fields, "citations");
        }
        Role::Tool => {
            let call_id = fields.required_text("tool_call_id")?;
            content = vec![Part::new(PartKind::ToolResult {
                call_id,
                content,
                is_error: None,
            })];
        }
        Role::System | Role::Developer | Role::User => {}
    }
    Ok(Message {
        role,
        name: None,
        content,
        extra: fields.rest(),
    })
}

/// A text, or a list of parts.
pub(super) fn read_content(fields: &mut Fields) -> Result<Vec<Part>, ReadError> {
    match fields.any("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(parts)) => {
            let path = fields.path("content");
            let parts = parts.into_iter().enumerate();
            parts
                .map(|(index, part)| read_part(Fields::of(format!("{path}[{index}]"), part)?))
                .collect()
        }
        Some(_) => Err(fields.error("content", "must be a text or a list of parts")),
    }
}

fn read_part(mut fields: Fields) -> Result<Part, ReadError> {
    let kind = fields.text("type")?.unwrap_or_else(|| "text".to_owned());
    let kind = match kind.as_str() {
        "text" => PartKind::Text {
            text: fields.required_text("text")?,
            citations: Vec::new(),
        },
        "thinking" => PartKind::Reasoning {
            text: fields.required_text("thinking")?,
            signature: None,
        },
        "image_url" => read_image(&mut fields)?,
        "document" => read_document(&mut fields)?,
        _ => {
            let mut part = fields.rest();
            part.shift_insert(0, "type".to_owned(), Value::String(kind));
            let value = Value::Object(part);
            return Ok(Part::new(PartKind::Foreign { value }));
        }
    };
    Ok(Part {
        kind,
        cache_control: None,
        extra: fields.rest(),
    })
}

fn read_image(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let Some(image) = fields.any("image_url") else {
        return Err(fields.error("image_url", "is missing; it must be an object with a url"));
    };
    let (url, detail) = if let Value::String(url) = image {
        (url, None)
    } else {
        let mut image = Fields::of(fields.path("image_url"), image)?;
        (image.required_text("url")?, image.text("detail")?)
    };
    Ok(PartKind::Image {
        source: read_url(url),
        detail,
    })
}

/// What a tool found. Its data is an object, which other dialects are told as text.
fn read_document(fields: &mut Fields) -> Result<PartKind, ReadError> {
    let Some(value) = fields.any("document") else {
        return Err(fields.error("document", "is missing; it must be an object with data"));
    };
    let foreign = |value| PartKind::Document {
        source: MediaSource::Foreign(value),
        name: None,
    };
    if !value.is_object() {
        return Ok(foreign(value));
    }
    let mut document = Fields::of(fields.path("document"), value.clone())?;
    let name = document.text("id")?;
    let (media_type, data) = match document.any("data") {
        Some(Value::String(text)) => ("text/plain", text),
        Some(data @ Value::Object(_)) => ("application/json", data.to_string()),
        _ => return Ok(foreign(value)),
    };
    // What is more than our form can hold goes back as it came.
    if !document.rest().is_empty() {
        return Ok(foreign(value));
    }
    let media_type = media_type.to_owned();
    Ok(PartKind::Document {
        source: MediaSource::Text { media_type, data },
        name,
    })
}

/// The plan as a text; the field stays where it is.
fn read_tool_plan(fields: &mut Fields) -> Result<Option<Part>, ReadError> {
    let plan = fields.text(TOOL_PLAN)?.filter(|plan| !plan.is_empty());
    Ok(plan.map(|plan| {
        fields.leave(TOOL_PLAN, Value::from(plan.clone()));
        Part::text(plan)
    }))
}

pub(super) fn read_tool_calls(
    fields: &mut Fields,
    content: &mut Vec<Part>,
) -> Result<(), ReadError> {
    let path = fields.path("tool_calls");
    for (index, value) in fields.list("tool_calls")?.into_iter().enumerate() {
        content.push(read_tool_call(Fields::of(
            format!("{path}[{index}]"),
            value,
        )?)?);
    }
    Ok(())
}

fn read_tool_call(mut fields: Fields) -> Result<Part, ReadError> {
    let id = fields.text("id")?.unwrap_or_default();
    drop(fields.any("type"));
    let function = fields.any("function").unwrap_or_default();
    let mut function = Fields::of(fields.path("function"), function)?;
    let name = function.required_text("name")?;
    let arguments = match function.any("arguments") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    Ok(Part {
        kind: PartKind::ToolCall {
            id,
            name,
            arguments,
            kind: ToolKind::Function,
        },
        cache_control: None,
        extra: fields.rest(),
    })
}

// === tools ===

fn read_tools(fields: &mut Fields, strict: Option<bool>) -> Result<Vec<Tool>, ReadError> {
    let tools = fields.list("tools")?.into_iter().enumerate();
    tools
        .map(|(index, tool)| read_tool(Fields::of(format!("tools[{index}]"), tool)?, strict))
        .collect()
}

fn read_tool(mut fields: Fields, strict: Option<bool>) -> Result<Tool, ReadError> {
    let kind = fields
        .text("type")?
        .unwrap_or_else(|| "function".to_owned());
    if kind != "function" {
        let mut extra = fields.rest();
        extra.shift_insert(0, "type".to_owned(), Value::String(kind.clone()));
        return Ok(Tool {
            kind: ToolKind::Foreign,
            name: kind,
            description: None,
            parameters: None,
            strict: None,
            cache_control: None,
            extra,
        });
    }
    let function = fields.any("function").unwrap_or_default();
    let mut function = Fields::of(fields.path("function"), function)?;
    let mut tool = Tool {
        kind: ToolKind::Function,
        name: function.required_text("name")?,
        description: function.text("description")?,
        parameters: function.any("parameters"),
        strict,
        cache_control: None,
        extra: Map::new(),
    };
    let rest = function.rest();
    if !rest.is_empty() {
        fields.leave("function", Value::Object(rest));
    }
    tool.extra = fields.rest();
    Ok(tool)
}

/// Cohere's documentation writes the words in capitals; its API takes either.
fn read_tool_choice(value: Value) -> ToolChoice {
    let word = value.as_str().unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "required" => ToolChoice::Required,
        "none" => ToolChoice::None,
        _ => ToolChoice::Foreign(value),
    }
}

// === how to answer ===

/// The schema is `json_schema`, or `schema` as it was called first.
fn read_response_format(format: Value) -> ResponseFormat {
    let members = format.as_object().map_or(0, |members| {
        members.values().filter(|value| !value.is_null()).count()
    });
    let schemas = ["json_schema", "schema"].map(|name| &format[name]);
    let schema = schemas.into_iter().find(|schema| schema.is_object());
    match (format["type"].as_str(), schema) {
        (Some("text"), None) if members == 1 => ResponseFormat::Text,
        (Some("json_object"), None) if members == 1 => ResponseFormat::JsonObject,
        (Some("json_object" | "json_schema"), Some(schema)) if members == 2 => {
            ResponseFormat::JsonSchema {
                name: None,
                description: None,
                schema: schema.clone(),
                strict: None,
            }
        }
        _ => ResponseFormat::Foreign(format),
    }
}

fn read_reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, ReadError> {
    let Some(thinking) = fields.any("thinking") else {
        return Ok(None);
    };
    let mut thinking = Fields::of("thinking", thinking)?;
    let mut reasoning = Reasoning {
        budget_tokens: thinking.count("token_budget")?,
        ..Reasoning::default()
    };
    match thinking.text("type")?.as_deref() {
        Some("enabled") => reasoning.enabled = Some(true),
        Some("disabled") => reasoning.enabled = Some(false),
        Some(other) => thinking.leave("type", Value::from(other)),
        None => {}
    }
    let rest = thinking.rest();
    if !rest.is_empty() {
        fields.leave("thinking", Value::Object(rest));
    }
    Ok((reasoning != Reasoning::default()).then_some(reasoning))
}
