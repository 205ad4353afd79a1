//! From Converse's shapes into ours: calls.

use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

use super::blocks::read_blocks;
use crate::{
    Call, ChatCall, Extra, Message, Part, PartKind, ReadError, Reasoning, ReasoningEffort,
    ResponseFormat, Role, Tool, ToolChoice, ToolKind, anthropic_messages::read_thinking,
    json::Fields,
};

/// Reads a call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let mut messages = Vec::new();
    let system = read_blocks(&mut fields, "system")?;
    if !system.is_empty() {
        messages.push(message(Role::System, system));
    }
    for (index, value) in fields.list("messages")?.into_iter().enumerate() {
        read_message(
            Fields::of(format!("messages[{index}]"), value)?,
            &mut messages,
        )?;
    }
    let (tools, tool_choice) = read_tool_config(&mut fields)?;
    let inference = fields.any("inferenceConfig");
    let mut inference = Fields::of("inferenceConfig", inference.unwrap_or_else(|| json!({})))?;
    let (response_format, effort) = read_output_config(&mut fields)?;
    let Additional {
        top_k,
        reasoning,
        parallel_tool_calls,
    } = read_additional(&mut fields, effort)?;
    let call = ChatCall {
        model: fields.text("modelId")?.unwrap_or_default(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        max_tokens: inference.count("maxTokens")?,
        temperature: inference.number("temperature")?,
        top_p: inference.number("topP")?,
        top_k,
        frequency_penalty: None,
        presence_penalty: None,
        seed: None,
        stop: inference.texts("stopSequences")?,
        n: None,
        logprobs: None,
        top_logprobs: None,
        response_format,
        reasoning,
        user: None,
        service_tier: read_service_tier(&mut fields)?,
        stream: false,
        include_usage: true,
        extra: {
            leave_rest(&mut fields, "inferenceConfig", inference);
            Extra {
                dialect: Dialect::BedrockConverse,
                fields: fields.rest(),
            }
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

fn message(role: Role, content: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        content,
        extra: Map::new(),
    }
}

/// The user's message may hold tools' results: those are a message of their own, which comes first.
fn read_message(mut fields: Fields, messages: &mut Vec<Message>) -> Result<(), ReadError> {
    let role = match fields.required_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(fields.error("role", "must be user or assistant")),
    };
    let content = read_blocks(&mut fields, "content")?;
    let is_result = |part: &Part| matches!(part.kind, PartKind::ToolResult { .. });
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

/// Leaves what is left of a member where it was.
fn leave_rest(fields: &mut Fields, name: &str, member: Fields) {
    let rest = member.rest();
    if !rest.is_empty() {
        fields.leave(name, Value::Object(rest));
    }
}

// === tools ===

fn read_tool_config(fields: &mut Fields) -> Result<(Vec<Tool>, Option<ToolChoice>), ReadError> {
    let Some(config) = fields.any("toolConfig") else {
        return Ok((Vec::new(), None));
    };
    let mut config = Fields::of("toolConfig", config)?;
    let mut tools: Vec<Tool> = Vec::new();
    for (index, value) in config.list("tools")?.into_iter().enumerate() {
        let mut entry = Fields::of(format!("toolConfig.tools[{index}]"), value)?;
        let spec = entry.any("toolSpec");
        match (spec, entry.any("cachePoint"), tools.last_mut()) {
            (Some(spec), _, _) => tools.push(read_tool(Fields::of(entry.path("toolSpec"), spec)?)?),
            (None, Some(point), Some(tool)) if tool.cache_control.is_none() => {
                tool.cache_control = Some(cache_control(&point));
            }
            (None, Some(point), _) => tools.push(foreign_tool(json!({"cachePoint": point}))),
            (None, None, _) => tools.push(foreign_tool(Value::Object(entry.rest()))),
        }
    }
    let choice = config.any("toolChoice").map(read_tool_choice);
    leave_rest(fields, "toolConfig", config);
    Ok((tools, choice))
}

fn read_tool(mut spec: Fields) -> Result<Tool, ReadError> {
    let schema = match spec.any("inputSchema") {
        Some(Value::Object(mut schema)) => schema.shift_remove("json"),
        _ => None,
    };
    Ok(Tool {
        kind: ToolKind::Function,
        name: spec.required_text("name")?,
        description: spec.text("description")?,
        parameters: schema,
        strict: spec.flag("strict")?,
        cache_control: None,
        extra: spec.rest(),
    })
}

fn foreign_tool(value: Value) -> Tool {
    let name = value["systemTool"]["name"].as_str();
    Tool {
        kind: ToolKind::Foreign,
        name: name.unwrap_or_default().to_owned(),
        description: None,
        parameters: None,
        strict: None,
        cache_control: None,
        extra: match value {
            Value::Object(tool) => tool,
            _ => Map::new(),
        },
    }
}

fn read_tool_choice(choice: Value) -> ToolChoice {
    if choice["auto"].is_object() {
        ToolChoice::Auto
    } else if choice["any"].is_object() {
        ToolChoice::Required
    } else if let Some(name) = choice["tool"]["name"].as_str() {
        ToolChoice::Function(name.to_owned())
    } else {
        ToolChoice::Foreign(choice)
    }
}

/// A `cachePoint` as Anthropic's `cache_control` of what stands before it.
pub(super) fn cache_control(point: &Value) -> Value {
    let mut control = Map::new();
    control.insert("type".to_owned(), json!("ephemeral"));
    if let Some(ttl) = point.get("ttl").filter(|ttl| !ttl.is_null()) {
        control.insert("ttl".to_owned(), ttl.clone());
    }
    Value::Object(control)
}

// === how to answer ===

fn read_service_tier(fields: &mut Fields) -> Result<Option<String>, ReadError> {
    let Some(tier) = fields.any("serviceTier") else {
        return Ok(None);
    };
    let mut tier = Fields::of("serviceTier", tier)?;
    let word = tier.text("type")?;
    leave_rest(fields, "serviceTier", tier);
    Ok(word)
}

fn read_output_config(
    fields: &mut Fields,
) -> Result<(Option<ResponseFormat>, Option<ReasoningEffort>), ReadError> {
    let Some(config) = fields.any("outputConfig") else {
        return Ok((None, None));
    };
    let mut config = Fields::of("outputConfig", config)?;
    let format = config.any("textFormat").map(read_format);
    let effort = config.text("effort")?.map(read_effort);
    leave_rest(fields, "outputConfig", config);
    Ok((format, effort))
}

/// The schema is a text there.
fn read_format(format: Value) -> ResponseFormat {
    let told = &format["structure"]["jsonSchema"];
    let schema = told["schema"]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    match schema {
        Some(schema) => ResponseFormat::JsonSchema {
            name: text("name"),
            description: text("description"),
            schema,
            strict: None,
        },
        None => ResponseFormat::Foreign(format),
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

/// What models take in their own words.
struct Additional {
    top_k: Option<u64>,
    reasoning: Option<Reasoning>,
    parallel_tool_calls: Option<bool>,
}

/// Reads it under the names that Claude, Nova, Qwen and gpt-oss have for it.
fn read_additional(
    fields: &mut Fields,
    effort: Option<ReasoningEffort>,
) -> Result<Additional, ReadError> {
    const NAME: &str = "additionalModelRequestFields";
    let additional = fields.any(NAME).unwrap_or_else(|| json!({}));
    let mut additional = Fields::of(NAME, additional)?;
    let mut top_k = additional.count("top_k")?;
    if let Some(inference) = additional.any("inferenceConfig") {
        let mut inference = Fields::of("additionalModelRequestFields.inferenceConfig", inference)?;
        top_k = inference.count("topK")?.or(top_k);
        leave_rest(&mut additional, "inferenceConfig", inference);
    }
    let mut effort = effort;
    match additional.any("reasoning_config") {
        Some(Value::String(word)) => effort = effort.or(Some(read_effort(word))),
        // Another name for Claude's `thinking`.
        Some(thinking @ Value::Object(_)) => additional.leave("thinking", thinking),
        Some(other) => additional.leave("reasoning_config", other),
        None => {}
    }
    if let Some(word) = additional.text("reasoning_effort")? {
        effort = effort.or(Some(read_effort(word)));
    }
    let mut reasoning = read_thinking(&mut additional, effort)?;
    if let Some(config) = additional.any("reasoningConfig") {
        let mut config = Fields::of("additionalModelRequestFields.reasoningConfig", config)?;
        let reasoning = reasoning.get_or_insert_default();
        reasoning.enabled = config.text("type")?.map(|word| word == "enabled");
        reasoning.effort = config.text("maxReasoningEffort")?.map(read_effort);
        leave_rest(&mut additional, "reasoningConfig", config);
    }
    // Claude's own choice of a tool repeats Converse's, and says one thing more.
    let choice = additional.any("tool_choice");
    let serial = choice
        .as_ref()
        .and_then(|choice| choice["disable_parallel_tool_use"].as_bool());
    if let (Some(choice), None) = (choice, serial) {
        additional.leave("tool_choice", choice);
    }
    leave_rest(fields, NAME, additional);
    Ok(Additional {
        top_k,
        reasoning,
        parallel_tool_calls: serial.map(|serial| !serial),
    })
}
