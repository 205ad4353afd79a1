//! Makes the prices that come with the program, of the map of prices that LiteLLM publishes (MIT licence; its notice stands at the head of
//! the file that is made). That map is `litellm/model_prices_and_context_window_backup.json` in its Python wheel.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};

use crate::project;

/// What to make prices of.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// LiteLLM's map of prices.
    map: PathBuf,
    /// LiteLLM's version, to be named in the file.
    version: String,
}

/// Where they are kept.
const FILE: &str = "crates/tollgate-domain/data/prices.txt";

/// Fewer would mean that the map has changed its shape.
const MODELS_MIN: usize = 2000;

/// Their providers and our kinds.
const PROVIDERS: &[(&str, &str)] = &[
    ("ai21", "ai21"),
    ("anthropic", "anthropic"),
    ("azure", "azure"),
    ("azure_ai", "azure"),
    ("azure_text", "azure"),
    ("baseten", "baseten"),
    ("bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("cerebras", "cerebras"),
    ("cloudflare", "cloudflare"),
    ("codestral", "mistral"),
    ("cohere", "cohere"),
    ("cohere_chat", "cohere"),
    ("dashscope", "alibaba"),
    ("databricks", "databricks"),
    ("deepinfra", "deepinfra"),
    ("deepseek", "deepseek"),
    ("fireworks_ai", "fireworks"),
    ("fireworks_ai-embedding-models", "fireworks"),
    ("gemini", "gemini"),
    ("groq", "groq"),
    ("hyperbolic", "hyperbolic"),
    ("jina_ai", "jina"),
    ("minimax", "minimax"),
    ("mistral", "mistral"),
    ("moonshot", "moonshot"),
    ("nebius", "nebius"),
    ("novita", "novita"),
    ("nvidia_nim", "nvidia"),
    ("openai", "openai"),
    ("openrouter", "openrouter"),
    ("perplexity", "perplexity"),
    ("sambanova", "sambanova"),
    ("text-completion-openai", "openai"),
    ("together_ai", "together"),
    ("vercel_ai_gateway", "vercel"),
    ("vertex_ai", "vertex"),
    ("vertex_ai-ai21_models", "vertex"),
    ("vertex_ai-anthropic_models", "vertex"),
    ("vertex_ai-deepseek_models", "vertex"),
    ("vertex_ai-embedding-models", "vertex"),
    ("vertex_ai-language-models", "vertex"),
    ("vertex_ai-llama_models", "vertex"),
    ("vertex_ai-mistral_models", "vertex"),
    ("vertex_ai-openai_models", "vertex"),
    ("vertex_ai-qwen_models", "vertex"),
    ("vertex_ai-zai_models", "vertex"),
    ("voyage", "voyage"),
    ("watsonx", "watsonx"),
    ("xai", "xai"),
    ("xiaomi_mimo", "xiaomi"),
    ("zai", "zai"),
];

/// Their fields, without what says when they hold, and our units.
const FIELDS: &[(&str, &str)] = &[
    ("input_cost_per_token", "input"),
    ("cache_read_input_token_cost", "input_cached"),
    ("input_cost_per_token_cache_hit", "input_cached"),
    (
        "cache_creation_input_token_cost_above_1hr",
        "cache_write_1h",
    ),
    ("cache_creation_input_token_cost", "cache_write"),
    ("input_cost_per_audio_token", "input_audio"),
    ("output_cost_per_token", "output"),
    ("output_cost_per_reasoning_token", "output_reasoning"),
    ("output_cost_per_audio_token", "output_audio"),
    ("input_cost_per_query", "search"),
    ("input_cost_per_request", "call"),
];

/// What a model takes and gives at most, in their words and in ours.
const BOUNDS: &[(&str, &str)] = &[
    ("max_input_tokens", "input_max"),
    ("max_output_tokens", "output_max"),
];

/// Their endings for tiers, and our words.
const TIERS: &[(&str, &str)] = &[
    ("_batches", "batch"),
    ("_flex", "flex"),
    ("_priority", "priority"),
];

const HEAD: &str = "\
# Prices of models, by the kind of a provider, in US dollars for a million of what is counted.
# `input_max` and `output_max` are the tokens that a model takes and gives at most. `input>200000` holds for calls with more input tokens than that, `input@flex` for that service tier.
# Made by `cargo xtask prices`. Do not edit: the configuration's `prices` go first.
";

pub(crate) fn prices(arguments: &Arguments) -> Result<()> {
    let text = fs::read_to_string(&arguments.map)
        .with_context(|| format!("cannot read {}", arguments.map.display()))?;
    let map: Map<String, Value> = serde_json::from_str(&text).context("the map is no JSON")?;
    let mut lines: BTreeMap<(&str, String), String> = BTreeMap::new();
    for (name, entry) in &map {
        let Some((kind, model)) = entry.as_object().and_then(|entry| whose(name, entry)) else {
            continue;
        };
        let mut components = components(entry);
        if !components.is_empty() {
            for (theirs, ours) in BOUNDS {
                let bound = entry.get(*theirs).and_then(Value::as_u64);
                components.extend(bound.map(|bound| format!("{ours}={bound}")));
            }
            lines.entry((kind, model)).or_insert(components.join(" "));
        }
    }
    lines.insert(("demo", "*".to_owned()), "input=0 output=0".to_owned());
    ensure!(
        lines.len() >= MODELS_MIN,
        "the map has {} models only",
        lines.len()
    );
    let mut file = HEAD.to_owned();
    writeln!(
        file,
        "#\n# The figures are those of LiteLLM {}, which are under the MIT License:\n#",
        arguments.version
    )?;
    for line in include_str!("../../crates/tollgate-domain/data/LICENSE-prices").lines() {
        writeln!(file, "{}", format!("#   {line}").trim_end())?;
    }
    for ((kind, model), components) in &lines {
        writeln!(file, "{kind} {model} {components}")?;
    }
    fs::write(project::root().join(FILE), file)?;
    println!("{FILE}: {} models", lines.len());
    Ok(())
}

/// The kind of an entry's provider and its model's own name. Prices of regions are left out: the name of a model does not tell its region.
fn whose<'a>(name: &str, entry: &Map<String, Value>) -> Option<(&'a str, String)> {
    let provider = entry.get("litellm_provider")?.as_str()?;
    let (_, kind) = PROVIDERS.iter().find(|(theirs, _)| *theirs == provider)?;
    let model = match name.split_once('/') {
        Some((prefix, model)) if is_prefix(prefix, provider) => model,
        _ => name,
    };
    let is_regional = matches!(*kind, "azure" | "bedrock") && model.contains('/');
    let is_name = !model.is_empty() && !model.contains(char::is_whitespace);
    (is_name && !is_regional).then(|| (*kind, model.to_owned()))
}

/// Whether a name begins with its provider's. Their names of one provider differ behind a `-` or a `_`.
fn is_prefix(prefix: &str, provider: &str) -> bool {
    let known = PROVIDERS.iter().any(|(theirs, _)| *theirs == prefix);
    known || prefix == provider
}

/// The prices of an entry, as the file has them. All of them zero means that nobody knows.
fn components(entry: &Value) -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut is_free = true;
    for (name, price) in entry.as_object().into_iter().flatten() {
        let (Some(component), Some(price)) = (component(name), price.as_f64()) else {
            continue;
        };
        if price.is_sign_negative() || !price.is_finite() {
            continue;
        }
        is_free &= price == 0.0;
        let price = per_million(price);
        // The usual name of a field goes before an older one.
        if name.contains("cache_hit") {
            found.entry(component).or_insert(price);
        } else {
            found.insert(component, price);
        }
    }
    if is_free {
        return Vec::new();
    }
    let mut components: Vec<String> = found
        .into_iter()
        .map(|(component, price)| format!("{component}={price}"))
        .collect();
    components.sort_by_key(|component| {
        let unit = component.split(['=', '>', '@']).next().unwrap_or_default();
        FIELDS.iter().position(|(_, ours)| *ours == unit)
    });
    components
}

/// Our name of one of their fields: `input`, `input>200000`, `input>200000@flex`.
fn component(name: &str) -> Option<String> {
    let (field, unit) = FIELDS.iter().find(|(field, _)| name.starts_with(field))?;
    let mut rest = name.strip_prefix(field)?;
    let mut component = (*unit).to_owned();
    if let Some(above) = rest.strip_prefix("_above_") {
        let (thousands, after) = above.split_once("k_tokens")?;
        let thousands: u64 = thousands.parse().ok()?;
        write!(component, ">{}", thousands * 1000).ok()?;
        rest = after;
    }
    if rest.is_empty() {
        return Some(component);
    }
    let (_, tier) = TIERS.iter().find(|(theirs, _)| *theirs == rest)?;
    Some(format!("{component}@{tier}"))
}

/// Dollars for a million, of dollars for one, with as many digits as prices have.
fn per_million(price: f64) -> String {
    let text = format!("{:.6}", price * 1e6);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
