//! Shapes that Ollama's endpoints share: sampling options, thinking, the answer's form, pictures, usage, dates and reasons.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Usage};

use crate::{
    ChatCall, CompletionCall, Field, Gaps, MediaSource, ReadError, Reasoning, ReasoningEffort,
    ResponseFormat, StopReason,
    fields::Place,
    json::{Fields, put},
};

/// Comes before the names of options among the fields that our form does not model.
const OPTION: &str = "options.";

/// Whether a client speaks one of Ollama's languages, whose other fields are the same.
pub(super) fn is_ollamas(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate)
}

// === options ===

/// What our form models of `options`.
#[derive(Debug, Default)]
pub(crate) struct Sampling {
    pub(crate) max_tokens: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<u64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) seed: Option<i64>,
    pub(crate) stop: Vec<String>,
}

/// Takes `options`. Those that our form does not model are left, each under its own name.
pub(crate) fn read_options(fields: &mut Fields) -> Result<Sampling, ReadError> {
    // It would be taken for the option.
    if let Some(name) = fields.names().find(|name| name.starts_with(OPTION)) {
        return Err(fields.error(name, "belongs into `options`, under its own name"));
    }
    let Some(options) = fields.any("options") else {
        return Ok(Sampling::default());
    };
    let mut options = Fields::of("options", options)?;
    // A negative cap is none.
    let is_cap = options.peek("num_predict").and_then(Value::as_f64) >= Some(0.0);
    let sampling = Sampling {
        max_tokens: if is_cap {
            options.count("num_predict")?
        } else {
            None
        },
        temperature: options.number("temperature")?,
        top_p: options.number("top_p")?,
        top_k: options.count("top_k")?,
        frequency_penalty: options.number("frequency_penalty")?,
        presence_penalty: options.number("presence_penalty")?,
        seed: options.integer("seed")?,
        stop: options.texts("stop")?,
    };
    for (name, value) in options.rest() {
        fields.leave(&format!("{OPTION}{name}"), value);
    }
    Ok(sampling)
}

impl Sampling {
    pub(super) fn of_chat(call: &ChatCall) -> Self {
        Self {
            max_tokens: call.max_tokens,
            temperature: call.temperature,
            top_p: call.top_p,
            top_k: call.top_k,
            frequency_penalty: call.frequency_penalty,
            presence_penalty: call.presence_penalty,
            seed: call.seed,
            stop: call.stop.clone(),
        }
    }

    pub(crate) fn of_completion(call: &CompletionCall) -> Self {
        Self {
            max_tokens: call.max_tokens,
            temperature: call.temperature,
            top_p: call.top_p,
            top_k: call.top_k,
            frequency_penalty: call.frequency_penalty,
            presence_penalty: call.presence_penalty,
            seed: call.seed,
            stop: call.stop.clone(),
        }
    }
}

/// Writes `options` and the fields that nothing models: back into Ollama's languages, else a gap each.
pub(crate) fn write_options(
    sampling: Sampling,
    extra: &Map<String, Value>,
    own: bool,
    body: &mut Map<String, Value>,
    gaps: &mut Gaps,
) {
    let mut options = Map::new();
    put(&mut options, "num_predict", sampling.max_tokens);
    put(&mut options, "temperature", sampling.temperature);
    put(&mut options, "top_p", sampling.top_p);
    put(&mut options, "top_k", sampling.top_k);
    put(
        &mut options,
        "frequency_penalty",
        sampling.frequency_penalty,
    );
    put(&mut options, "presence_penalty", sampling.presence_penalty);
    put(&mut options, "seed", sampling.seed);
    put(
        &mut options,
        "stop",
        (!sampling.stop.is_empty()).then_some(sampling.stop),
    );
    for (name, value) in extra {
        match name.strip_prefix(OPTION) {
            _ if !own => gaps.left_out_extra(Place::Body, name),
            Some(option) => put(&mut options, option, Some(value.clone())),
            None => put(body, name, Some(value.clone())),
        }
    }
    put(body, "options", (!options.is_empty()).then_some(options));
}

// === thinking and form ===

/// Takes `think`: whether to, or how much.
pub(crate) fn read_think(fields: &mut Fields) -> Result<Option<Reasoning>, ReadError> {
    let reasoning = match fields.any("think") {
        None => return Ok(None),
        Some(Value::Bool(enabled)) => Reasoning {
            enabled: Some(enabled),
            ..Reasoning::default()
        },
        Some(Value::String(word)) => Reasoning {
            effort: Some(match word.as_str() {
                "low" => ReasoningEffort::Low,
                "medium" => ReasoningEffort::Medium,
                "high" => ReasoningEffort::High,
                _ => ReasoningEffort::Other(word),
            }),
            ..Reasoning::default()
        },
        Some(_) => return Err(fields.error("think", "must be true, false, or a level such as low")),
    };
    Ok(Some(reasoning))
}

/// Writes `think`. Only some models know levels; the others are told whether to think.
pub(crate) fn write_think(
    reasoning: Option<&Reasoning>,
    model: Option<&str>,
    own: bool,
    gaps: &mut Gaps,
) -> Option<Value> {
    let reasoning = reasoning?;
    if reasoning.budget_tokens.is_some() {
        gaps.left_out(Field::ReasoningBudget);
    }
    let word = match (&reasoning.effort, reasoning.enabled) {
        (_, Some(false)) | (Some(ReasoningEffort::None), _) => return Some(json!(false)),
        (None, enabled) => {
            let wanted = enabled == Some(true) || reasoning.budget_tokens.is_some();
            return wanted.then_some(json!(true));
        }
        (Some(ReasoningEffort::Minimal | ReasoningEffort::Low), _) => "low",
        (Some(ReasoningEffort::Medium), _) => "medium",
        (Some(ReasoningEffort::Other(word)), _) if own => word,
        (Some(ReasoningEffort::High | ReasoningEffort::Other(_)), _) => "high",
    };
    if own || takes_levels(model) {
        return Some(json!(word));
    }
    gaps.left_out(Field::ReasoningEffort);
    Some(json!(true))
}

/// Whether a model takes a level of thinking; others refuse it
/// (<https://docs.ollama.com/capabilities/thinking>, read 2026-11).
fn takes_levels(model: Option<&str>) -> bool {
    model.is_some_and(|model| model.contains("gpt-oss"))
}

/// Takes `format`: `json`, or a schema. Empty, as some clients write it, is none.
pub(crate) fn read_format(fields: &mut Fields) -> Option<ResponseFormat> {
    Some(match fields.any("format")? {
        Value::String(word) if word.is_empty() => return None,
        Value::String(word) if word == "json" => ResponseFormat::JsonObject,
        schema @ Value::Object(_) => ResponseFormat::JsonSchema {
            name: None,
            description: None,
            schema,
            strict: None,
        },
        other => ResponseFormat::Foreign(other),
    })
}

/// Writes `format`.
pub(crate) fn write_format(
    format: Option<&ResponseFormat>,
    own: bool,
    gaps: &mut Gaps,
) -> Option<Value> {
    match format? {
        ResponseFormat::Text => None,
        ResponseFormat::JsonObject => Some(json!("json")),
        ResponseFormat::JsonSchema { schema, .. } => Some(schema.clone()),
        ResponseFormat::Foreign(value) if own => Some(value.clone()),
        ResponseFormat::Foreign(_) => {
            gaps.left_out(Field::ResponseFormat);
            None
        }
    }
}

// === pictures ===

/// A picture as its bare base64; `None` where it is elsewhere.
pub(crate) fn write_image(source: &MediaSource, gaps: &mut Gaps) -> Option<String> {
    if let MediaSource::Base64 { data, .. } = source {
        return Some(data.clone());
    }
    gaps.left_out(Field::Image);
    None
}

/// The kind of a picture, told by how its base64 begins; empty where it is another than the usual ones.
pub(super) fn media_type_of(base64: &str) -> &'static str {
    const BEGINNINGS: [(&str, &str); 4] = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
    ];
    let known = BEGINNINGS
        .iter()
        .find(|(beginning, _)| base64.starts_with(beginning));
    known.map_or("", |(_, media_type)| media_type)
}

// === answers ===

/// Takes the counts of tokens. What was found in a cache is not counted; where all of the prompt was, its count is
/// missing.
pub(crate) fn read_metrics(fields: &mut Fields) -> Option<Usage> {
    let mut count = |name: &str| fields.any(name).as_ref().and_then(Value::as_u64);
    usage(count("prompt_eval_count"), count("eval_count"))
}

/// Ollama's counts in our classes.
pub(super) fn usage(prompt: Option<u64>, answer: Option<u64>) -> Option<Usage> {
    let usage = Usage {
        input: prompt,
        output: answer,
        ..Usage::default()
    };
    (usage != Usage::default()).then_some(usage)
}

/// The members by which an answer, or the last line of a stream, says that it is complete.
pub(crate) fn last_members(
    reason: Option<&StopReason>,
    usage: Option<&Usage>,
) -> Map<String, Value> {
    let mut members = Map::new();
    put(&mut members, "done", Some(true));
    put(&mut members, "done_reason", Some(done_word(reason)));
    let usage = usage.copied().unwrap_or_default();
    put(&mut members, "prompt_eval_count", usage.input_total());
    put(&mut members, "eval_count", usage.output_total());
    members
}

/// What a reason means. An end with tool calls asks for their results, which Ollama has no word for.
pub(super) fn stop_reason(word: &str, has_tool_calls: bool) -> StopReason {
    match word {
        "stop" | "" if has_tool_calls => StopReason::ToolUse,
        "stop" | "" => StopReason::EndTurn,
        "length" => StopReason::MaxTokens,
        "content_filter" => StopReason::ContentFilter,
        other => StopReason::Other(other.to_owned()),
    }
}

/// Ollama's word. It has none for a filter; that an answer was withheld must not look like its end.
fn done_word(reason: Option<&StopReason>) -> &'static str {
    match reason {
        None
        | Some(
            StopReason::EndTurn
            | StopReason::StopSequence
            | StopReason::ToolUse
            | StopReason::Pause
            | StopReason::Other(_),
        ) => "stop",
        Some(StopReason::MaxTokens | StopReason::ContextWindow) => "length",
        Some(StopReason::ContentFilter | StopReason::Refusal) => "content_filter",
    }
}

/// A date in seconds since 1970.
pub(super) fn seconds(date: &str) -> Option<i64> {
    date.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// A date as Ollama writes it.
pub(crate) fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

/// An id for a tool call that has none: the same for the same answer, and another for every other, as its date tells them
/// apart.
pub(super) fn tool_call_id(created_at: &str, number: usize) -> String {
    let digits: String = created_at
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    format!("call_{digits}_{number}")
}
