//! From Gemini's shapes into ours: calls.
//!
//! Names may be written `functionCall` or `function_call`. What our form does not model is kept under its path in the body, such
//! as `generationConfig.mediaResolution`.

mod contents;

pub(super) use contents::{MADE_UP, is_object};

use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use super::{
    schema::to_json_schema,
    wire::{camel, take_list},
};
use crate::{
    Call, ChatCall, Extra, ReadError, Reasoning, ReasoningEffort, ResponseFormat, Tool, ToolChoice,
    ToolKind, json::Fields,
};

/// Reads a client's call. The address names the model and says whether to stream.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let body = Fields::of_body(body)?.rest();
    let mut fields = camel("", Value::Object(body))?;
    let mut extra = Map::new();
    let messages = contents::read(&mut fields)?;
    let tools = read_tools(&mut fields)?;
    let tool_choice = read_tool_choice(&mut fields, &mut extra)?;
    let mut config = take_object(&mut fields, "generationConfig")?;
    let response_format = read_response_format(&mut config)?;
    let reasoning = read_reasoning(&mut config, &mut extra)?;
    leave_out_default_modality(&mut config);
    let call = ChatCall {
        model: fields.text("model")?.unwrap_or_default(),
        messages,
        tools,
        tool_choice,
        parallel_tool_calls: None,
        max_tokens: config.count("maxOutputTokens")?,
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.count("topK")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        presence_penalty: config.number("presencePenalty")?,
        seed: config.integer("seed")?,
        stop: config.texts("stopSequences")?,
        n: config.count("candidateCount")?,
        logprobs: config.flag("responseLogprobs")?,
        top_logprobs: config.count("logprobs")?,
        response_format,
        reasoning,
        user: None,
        service_tier: fields.text("serviceTier")?.map(read_service_tier),
        stream: false,
        include_usage: true,
        extra: Extra {
            dialect: Dialect::GeminiGenerate,
            fields: {
                leave("generationConfig", config, &mut extra);
                extra.extend(fields.rest());
                extra
            },
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

/// Takes an object; one that is not there is empty.
fn take_object(fields: &mut Fields, name: &str) -> Result<Fields, ReadError> {
    let value = fields.any(name);
    let value = value.unwrap_or_else(|| Value::Object(Map::new()));
    camel(fields.path(name), value)
}

/// Keeps what is left of an object, each field under its path.
fn leave(path: &str, object: Fields, extra: &mut Map<String, Value>) {
    for (name, value) in object.rest() {
        extra.insert(format!("{path}.{name}"), value);
    }
}

/// Many clients write out that they want text, which is what there is.
fn leave_out_default_modality(config: &mut Fields) {
    let is_text = |value: &Value| {
        value.as_array().is_some_and(
            |kinds| matches!(kinds.as_slice(), [Value::String(kind)] if kind.eq_ignore_ascii_case("TEXT")),
        )
    };
    if config.peek("responseModalities").is_some_and(is_text) {
        drop(config.any("responseModalities"));
    }
}

/// OpenAI's word for a service tier.
fn read_service_tier(tier: String) -> String {
    match tier.to_ascii_lowercase().as_str() {
        "standard" => "default".to_owned(),
        "unspecified" => "auto".to_owned(),
        tier => tier.to_owned(),
    }
}

// === tools ===

/// A tool of Google's holds any number of functions, or something that Google runs.
fn read_tools(fields: &mut Fields) -> Result<Vec<Tool>, ReadError> {
    let mut tools = Vec::new();
    for (index, value) in take_list(fields, "tools")?.into_iter().enumerate() {
        let mut tool = camel(format!("tools[{index}]"), value)?;
        let path = tool.path("functionDeclarations");
        let functions = take_list(&mut tool, "functionDeclarations")?;
        for (index, value) in functions.into_iter().enumerate() {
            tools.push(read_function(camel(format!("{path}[{index}]"), value)?)?);
        }
        for (name, value) in tool.rest() {
            tools.push(Tool {
                kind: ToolKind::Foreign,
                extra: Map::from_iter([(name.clone(), value)]),
                name,
                description: None,
                parameters: None,
                strict: None,
                cache_control: None,
            });
        }
    }
    Ok(tools)
}

fn read_function(mut fields: Fields) -> Result<Tool, ReadError> {
    let parameters = fields.any("parameters").map(to_json_schema);
    Ok(Tool {
        kind: ToolKind::Function,
        name: fields.required_text("name")?,
        description: fields.text("description")?,
        parameters: fields.any("parametersJsonSchema").or(parameters),
        strict: None,
        cache_control: None,
        extra: fields.rest(),
    })
}

/// `VALIDATED` is a stricter kind of `AUTO`, and stays among the extras.
fn read_tool_choice(
    fields: &mut Fields,
    extra: &mut Map<String, Value>,
) -> Result<Option<ToolChoice>, ReadError> {
    let mut config = take_object(fields, "toolConfig")?;
    let Some(value) = config.any("functionCallingConfig") else {
        leave("toolConfig", config, extra);
        return Ok(None);
    };
    let mut calling = camel(config.path("functionCallingConfig"), value.clone())?;
    let names = calling.texts("allowedFunctionNames")?;
    let mode = calling.text("mode")?.map(|mode| mode.to_ascii_uppercase());
    let choice = match (mode.as_deref(), names.as_slice()) {
        (None | Some("AUTO" | "MODE_UNSPECIFIED"), []) => ToolChoice::Auto,
        (Some("NONE"), []) => ToolChoice::None,
        (Some("ANY"), []) => ToolChoice::Required,
        (Some("ANY"), [name]) => ToolChoice::Function(name.clone()),
        (Some("VALIDATED"), []) => {
            calling.leave("mode", Value::from("VALIDATED"));
            ToolChoice::Auto
        }
        _ => {
            calling = camel(
                config.path("functionCallingConfig"),
                Value::Object(Map::new()),
            )?;
            ToolChoice::Foreign(value)
        }
    };
    leave("toolConfig.functionCallingConfig", calling, extra);
    leave("toolConfig", config, extra);
    Ok(Some(choice))
}

// === how to answer ===

fn read_response_format(config: &mut Fields) -> Result<Option<ResponseFormat>, ReadError> {
    let json_schema = config.any("responseJsonSchema");
    let schema = config.any("responseSchema");
    let kind = config.text("responseMimeType")?;
    let whole = json_schema
        .clone()
        .or_else(|| schema.clone().map(to_json_schema));
    Ok(match (kind.as_deref(), whole) {
        (None, None) => None,
        (Some("text/plain"), None) => Some(ResponseFormat::Text),
        (Some("application/json"), None) => Some(ResponseFormat::JsonObject),
        (Some("application/json"), Some(schema)) => Some(ResponseFormat::JsonSchema {
            name: None,
            description: None,
            schema,
            strict: None,
        }),
        (_, _) => {
            let mut format = Map::new();
            for (name, value) in [
                ("responseMimeType", kind.map(Value::String)),
                ("responseSchema", schema),
                ("responseJsonSchema", json_schema),
            ] {
                format.extend(value.map(|value| (name.to_owned(), value)));
            }
            Some(ResponseFormat::Foreign(Value::Object(format)))
        }
    })
}

/// A budget of 0 is none, one of -1 is left to the model.
fn read_reasoning(
    config: &mut Fields,
    extra: &mut Map<String, Value>,
) -> Result<Option<Reasoning>, ReadError> {
    let mut thinking = take_object(config, "thinkingConfig")?;
    let mut reasoning = Reasoning::default();
    match thinking.integer("thinkingBudget")? {
        None => {}
        Some(0) => reasoning.enabled = Some(false),
        Some(budget) => match u64::try_from(budget) {
            Ok(budget) => reasoning.budget_tokens = Some(budget),
            Err(_) => (reasoning.enabled, reasoning.adaptive) = (Some(true), true),
        },
    }
    reasoning.effort = thinking.text("thinkingLevel")?.map(read_effort);
    leave("generationConfig.thinkingConfig", thinking, extra);
    Ok((reasoning != Reasoning::default()).then_some(reasoning))
}

fn read_effort(word: String) -> ReasoningEffort {
    match word.to_ascii_lowercase().as_str() {
        "minimal" => ReasoningEffort::Minimal,
        "low" => ReasoningEffort::Low,
        "medium" => ReasoningEffort::Medium,
        "high" => ReasoningEffort::High,
        _ => ReasoningEffort::Other(word),
    }
}
