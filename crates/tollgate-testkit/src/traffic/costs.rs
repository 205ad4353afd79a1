//! What recorded calls cost, reckoned from the providers' own numbers by rules of this file alone: it shares no code with the gateway,
//! whose costs are held against it.

use serde_json::Value;
use tollgate_domain::{Dialect, Framing};

use super::stage::Part;

/// The prices of all models of the stage, in dollars for a million. No two are alike, so that a token in the wrong class is seen.
pub(super) const PRICES: &str = "model: \"*\", input: 2, input_cached: 0.5, cache_write: 2.5, cache_write_1h: 4, output: 8, search: 3000, web_search: 7000";

/// The same in picodollars for each.
const INPUT: u64 = 2_000_000;
const CACHED: u64 = 500_000;
const WRITTEN: u64 = 2_500_000;
const WRITTEN_1H: u64 = 4_000_000;
const OUTPUT: u64 = 8_000_000;
const SEARCH: u64 = 3_000_000_000;
const WEB_SEARCH: u64 = 7_000_000_000;

/// The cost of a recorded call; `None` where the provider does not say what was used.
pub(super) fn of(part: &Part) -> Option<u64> {
    let told = told(part)?;
    let tokens = of_tokens(part, &told)?;
    Some(tokens + searches(part.dialect, &told) * WEB_SEARCH)
}

/// The kinds of provider whose answers say what they cost.
pub(super) const SAY_COSTS: [&str; 4] = ["openrouter", "perplexity", "vercel", "xai"];

/// What the provider said that the call cost, in picodollars, where it said so.
pub(super) fn billed(part: &Part) -> Option<u64> {
    let told = told(part)?;
    let usage = |event: &Value| {
        let usage = [&event["usage"], &event["response"]["usage"]];
        usage.into_iter().find(|usage| usage.is_object()).cloned()
    };
    let usage = told.iter().filter_map(usage).next_back()?;
    if let Some(ticks) = usage["cost_in_usd_ticks"].as_u64() {
        return (ticks > 0).then_some(ticks * 100);
    }
    let cost = [&usage["cost"], &usage["cost"]["total_cost"]];
    let cost = cost.into_iter().find_map(Value::as_f64)?;
    if usage["is_byok"] == true {
        return None;
    }
    format!("{:.0}", cost * 1e12).parse().ok()
}

/// What an answer says, as the JSON that it is made of.
fn told(part: &Part) -> Option<Vec<Value>> {
    let recording = &part.recording;
    if recording.status >= 400 {
        return None;
    }
    let body = part.said();
    let told: Vec<Value> =
        if part.is_answered_by_stream() && part.dialect.framing() == Framing::AwsFrames {
            recording.response_events.clone()
        } else if part.is_answered_by_stream() {
            let events = part.events(&body);
            let events = events.iter();
            events
                .filter_map(|event| serde_json::from_str(event).ok())
                .collect()
        } else {
            vec![serde_json::from_slice(&body).ok()?]
        };
    Some(told)
}

/// Searches of the web that are billed.
fn searches(dialect: Dialect, told: &[Value]) -> u64 {
    match dialect {
        Dialect::OpenaiResponses => {
            let output = |event: &Value| {
                let output = [&event["output"], &event["response"]["output"]];
                output.into_iter().find_map(Value::as_array).cloned()
            };
            let items = told.iter().filter_map(output).next_back();
            let is_search = |item: &&Value| {
                item["type"] == "web_search_call" && item["action"]["type"] == "search"
            };
            items.iter().flatten().filter(is_search).count() as u64
        }
        Dialect::OpenaiChat => {
            let tools = last(told, |event| {
                found(&event["usage"]["server_tool_use_details"])
            });
            tools.map_or(0, |tools| count(tools, "web_search_requests"))
        }
        Dialect::AnthropicMessages => {
            let usage =
                |event: &Value| event["usage"]["server_tool_use"]["web_search_requests"].as_u64();
            told.iter()
                .filter_map(usage)
                .next_back()
                .unwrap_or_default()
        }
        Dialect::GeminiGenerate => geminis_searches(told),
        _ => 0,
    }
}

/// From Gemini 3 on one for each question, before that one for an answer that cites a page.
fn geminis_searches(told: &[Value]) -> u64 {
    let candidates = told
        .iter()
        .filter_map(|event| event["candidates"].as_array());
    let (mut questions, mut pages) = (std::collections::HashSet::new(), 0);
    for candidate in candidates.flatten() {
        let grounding = &candidate["groundingMetadata"];
        let list = |name: &str| grounding[name].as_array().cloned().unwrap_or_default();
        questions.extend(
            list("webSearchQueries")
                .iter()
                .filter_map(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
        );
        pages += list("groundingChunks")
            .iter()
            .filter(|chunk| chunk["web"].is_object())
            .count();
    }
    let model = told.iter().find_map(|event| event["modelVersion"].as_str());
    let is_new = model.is_some_and(|model| model.starts_with("gemini-3"));
    match questions.len() as u64 {
        asked if is_new => asked,
        asked if pages > 0 => asked.min(1),
        _ => 0,
    }
}

fn of_tokens(part: &Part, told: &[Value]) -> Option<u64> {
    match part.dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => last(told, openai_usage).map(chat),
        Dialect::OpenaiResponses => last(told, responses_usage).map(responses),
        Dialect::AnthropicMessages => anthropic(told),
        Dialect::GeminiGenerate => gemini(last(told, |event| found(&event["usageMetadata"]))?),
        Dialect::BedrockConverse => bedrock(last(told, bedrock_usage)?),
        Dialect::CohereChat => last(told, cohere_usage).map(cohere),
        Dialect::OllamaChat | Dialect::OllamaGenerate => {
            let counted = |event: &'_ Value| event.get("eval_count").is_some();
            let event = told.iter().rfind(|event| counted(event))?;
            Some(count(event, "prompt_eval_count") * INPUT + count(event, "eval_count") * OUTPUT)
        }
        // Sums, searches and vectors are looked at by tests of their own.
        _ => None,
    }
}

fn found(value: &Value) -> Option<&Value> {
    value.is_object().then_some(value)
}

fn last<'a>(
    told: &'a [Value],
    usage: impl Fn(&'a Value) -> Option<&'a Value>,
) -> Option<&'a Value> {
    told.iter().filter_map(usage).next_back()
}

fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_default()
}

fn openai_usage(event: &Value) -> Option<&Value> {
    found(&event["usage"]).or_else(|| found(&event["x_groq"]["usage"]))
}

/// OpenAI's totals hold all of their parts. What is beyond both totals is sound that was heard (Mistral), or reasoning (xAI, Perplexity,
/// where it is told by that name or by none).
fn chat(usage: &Value) -> u64 {
    let (input, output) = (
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
    );
    let details = &usage["prompt_tokens_details"];
    let cached = [
        count(details, "cached_tokens"),
        count(usage, "prompt_cache_hit_tokens"),
        count(usage, "num_cached_tokens"),
        count(usage, "cached_tokens"),
    ];
    let cached = cached.into_iter().max().unwrap_or_default().min(input);
    let written = count(details, "cache_write_tokens").min(input - cached);
    // Vercel counts the reasoning of some models beside the sum as well, which shows where there is more of it than output.
    let reasoning = count(&usage["completion_tokens_details"], "reasoning_tokens");
    let unsummed = if usage.get("market_cost").is_some() && reasoning > output {
        reasoning
    } else {
        0
    };
    let beside = count(usage, "total_tokens").saturating_sub(input + output);
    let heard = count(details, "audio_tokens");
    let reasoning = &usage["completion_tokens_details"]["reasoning_tokens"];
    let price = match reasoning.as_u64() {
        _ if heard == beside => INPUT,
        Some(reasoning) if reasoning != beside => 0,
        _ => OUTPUT,
    };
    (input - cached - written) * INPUT
        + cached * CACHED
        + written * WRITTEN
        + (output + unsummed) * OUTPUT
        + beside * price
}

fn responses_usage(event: &Value) -> Option<&Value> {
    found(&event["usage"]).or_else(|| found(&event["response"]["usage"]))
}

fn responses(usage: &Value) -> u64 {
    let input = count(usage, "input_tokens");
    let details = &usage["input_tokens_details"];
    let cached = count(details, "cached_tokens").min(input);
    let written = count(details, "cache_write_tokens").min(input - cached);
    (input - cached - written) * INPUT
        + cached * CACHED
        + written * WRITTEN
        + count(usage, "output_tokens") * OUTPUT
}

/// Anthropic's parts stand side by side; a stream tells some at its start and the rest at its end.
fn anthropic(told: &[Value]) -> Option<u64> {
    let mut usage = serde_json::Map::new();
    for event in told {
        for part in [&event["usage"], &event["message"]["usage"]] {
            let fields = part.as_object().into_iter().flatten();
            usage.extend(
                fields
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
    }
    let usage = Value::Object(usage);
    usage.get("output_tokens")?;
    let written_1h = count(&usage["cache_creation"], "ephemeral_1h_input_tokens");
    let written = count(&usage, "cache_creation_input_tokens").saturating_sub(written_1h);
    Some(
        count(&usage, "input_tokens") * INPUT
            + count(&usage, "cache_read_input_tokens") * CACHED
            + written * WRITTEN
            + written_1h * WRITTEN_1H
            + count(&usage, "output_tokens") * OUTPUT,
    )
}

/// Gemini's thoughts stand beside the answer, what is cached within the prompt, and what its tools read beside it. Where the prompt is
/// left out, it is what the sum has beyond the rest; without either nobody knows it.
fn gemini(usage: &Value) -> Option<u64> {
    let output = count(usage, "candidatesTokenCount") + count(usage, "thoughtsTokenCount");
    let tools = count(usage, "toolUsePromptTokenCount");
    let by_total = || {
        let rest = usage["totalTokenCount"].as_u64()?.saturating_sub(output);
        Some(rest.saturating_sub(tools))
    };
    let prompt = usage["promptTokenCount"].as_u64().or_else(by_total)?;
    let cached = count(usage, "cachedContentTokenCount").min(prompt);
    Some((prompt - cached + tools) * INPUT + cached * CACHED + output * OUTPUT)
}

fn bedrock_usage(event: &Value) -> Option<&Value> {
    found(&event["usage"]).or_else(|| found(&event["payload"]["usage"]))
}

/// Bedrock's parts stand side by side.
fn bedrock(usage: &Value) -> Option<u64> {
    Some(
        usage["inputTokens"].as_u64()? * INPUT
            + count(usage, "cacheReadInputTokens") * CACHED
            + count(usage, "cacheWriteInputTokens") * WRITTEN
            + count(usage, "outputTokens") * OUTPUT,
    )
}

fn cohere_usage(event: &Value) -> Option<&Value> {
    found(&event["usage"]).or_else(|| found(&event["delta"]["usage"]))
}

/// What Cohere bills is less than what it counts.
fn cohere(usage: &Value) -> u64 {
    let billed = &usage["billed_units"];
    count(billed, "input_tokens") * INPUT
        + count(billed, "output_tokens") * OUTPUT
        + count(billed, "search_units") * SEARCH
}
