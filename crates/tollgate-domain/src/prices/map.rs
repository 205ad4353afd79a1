//! The map of prices that LiteLLM publishes (`model_prices_and_context_window.json`, read 2026-11), in our words.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};

use super::Unit;

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
    ("input_cost_per_image_token", "input_image"),
    ("output_cost_per_token", "output"),
    ("output_cost_per_reasoning_token", "output_reasoning"),
    ("output_cost_per_audio_token", "output_audio"),
    ("output_cost_per_image_token", "output_image"),
    (SECOND, "second"),
    ("input_cost_per_query", "search"),
    (WEB_SEARCH, "web_search"),
    ("input_cost_per_request", "call"),
];

/// Seconds are of sound with what listens, and of machines with other models.
const SECOND: &str = "input_cost_per_second";
const LISTENS: &str = "audio_transcription";

/// A price by how much of the web is taken into account, which no answer tells: it is one where all are the same.
const WEB_SEARCH: &str = "search_context_cost_per_query";

/// Perplexity's models search for each call, and have a price for it by how much is taken into account: little, where the caller does not
/// say (<https://docs.perplexity.ai/getting-started/pricing>, read 2026-11). What a call cost is in its answer.
const PERPLEXITY: &str = "perplexity";
const LITTLE: &str = "search_context_size_low";

/// What OpenAI takes for a search with its older tool where the model does not reason, and with the newer one whatever the model
/// (<https://developers.openai.com/api/docs/pricing>, read 2026-11). The map has the former alone.
const OPENAI: &str = "openai";
const PREVIEW: &str = "25000";
const NEWER: &str = "10000";

/// What is taken for a search with models that begin so, where the map does not say it
/// (<https://platform.claude.com/docs/en/about-claude/pricing>, <https://developers.openai.com/api/docs/pricing>,
/// <https://docs.x.ai/docs/models>, <https://ai.google.dev/gemini-api/docs/pricing>, read 2026-11).
const UNSAID: [(&str, &str, &str); 9] = [
    ("anthropic", "", "10000"),
    (OPENAI, "", NEWER),
    ("xai", "", "5000"),
    ("gemini", "gemini-2", "35000"),
    ("gemini", "gemini-3", "14000"),
    ("vertex_ai", "gemini-2", "35000"),
    ("vertex_ai", "gemini-3", "14000"),
    ("vertex_ai-language-models", "gemini-2", "35000"),
    ("vertex_ai-language-models", "gemini-3", "14000"),
];

/// Their words for models that can search.
const CAN_SEARCH: [&str; 2] = ["chat", "responses"];

/// How the names of OpenAI's models go on that search for each call (<https://developers.openai.com/api/docs/guides/tools-web-search>, read
/// 2026-11). Their answers do not say so.
const ALWAYS: &str = "-search-";

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

/// The lines of a catalogue that a map of prices comes to, by the kind of a provider and its model.
pub fn lines_of_map(map: &Map<String, Value>) -> BTreeMap<(&'static str, String), String> {
    let mut lines = BTreeMap::new();
    for (name, entry) in map {
        let Some((kind, model)) = entry.as_object().and_then(|entry| whose(name, entry)) else {
            continue;
        };
        let mut components = components(&model, entry);
        if !components.is_empty() {
            for (theirs, ours) in BOUNDS {
                let bound = entry.get(*theirs).and_then(Value::as_u64);
                components.extend(bound.map(|bound| format!("{ours}={bound}")));
            }
            lines.entry((kind, model)).or_insert(components.join(" "));
        }
    }
    lines
}

/// The kind of an entry's provider and its model's own name. Prices of regions are left out: the name of a model does not tell its region.
fn whose(name: &str, entry: &Map<String, Value>) -> Option<(&'static str, String)> {
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
fn components(model: &str, entry: &Value) -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut is_free = true;
    for (name, price) in entry.as_object().into_iter().flatten() {
        let price = match name.as_str() {
            WEB_SEARCH => same_for_all(price),
            SECOND if entry["mode"] != LISTENS => None,
            _ => price.as_f64(),
        };
        let (Some(component), Some(price)) = (component(name), price) else {
            continue;
        };
        if price.is_sign_negative() || !price.is_finite() {
            continue;
        }
        is_free &= price == 0.0 || name == WEB_SEARCH;
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
    if entry["litellm_provider"] == OPENAI {
        mend_cache_of_openai(&mut found);
    }
    if let Some(searches) = searches(model, entry) {
        found.remove(Unit::WebSearch.as_str());
        found.extend(searches.map(|(unit, price)| (unit.as_str().to_owned(), price)));
    }
    let mut components: Vec<String> = found
        .into_iter()
        .map(|(component, price)| format!("{component}={price}"))
        .collect();
    components.sort_by_key(|component| {
        let unit = component.split(['=', '>', '@']).next().unwrap_or_default();
        Unit::ALL.iter().position(|ours| ours.as_str() == unit)
    });
    components
}

/// What OpenAI takes for input that it writes to its cache is no less than for other input, and it has a price for input that is read from there
/// (<https://developers.openai.com/api/docs/pricing>, read 2026-11): a lower one that stands alone is the latter
/// (`ft:gpt-4o-2024-11-20` has that of `ft:gpt-4o-2024-08-06` under the other name).
fn mend_cache_of_openai(found: &mut BTreeMap<String, String>) {
    let price = |unit: Unit| found.get(unit.as_str())?.parse::<f64>().ok();
    let is_less = match (price(Unit::CacheWrite), price(Unit::Input)) {
        (Some(written), Some(input)) => written < input,
        _ => false,
    };
    if is_less && !found.contains_key(Unit::InputCached.as_str()) {
        let read = found.remove(Unit::CacheWrite.as_str());
        found.extend(read.map(|read| (Unit::InputCached.as_str().to_owned(), read)));
    }
}

/// What searches of the web cost with those who have more than a price of each search.
fn searches(model: &str, entry: &Value) -> Option<impl Iterator<Item = (Unit, String)> + use<>> {
    let prices = &entry[WEB_SEARCH];
    let each = same_for_all(prices).map(per_million);
    let searches = match (entry["litellm_provider"].as_str()?, each) {
        (PERPLEXITY, None) => vec![(Unit::Call, per_million(prices[LITTLE].as_f64()?))],
        (OPENAI, Some(each)) if model.contains(ALWAYS) => vec![(Unit::Call, each)],
        (OPENAI, Some(each)) if each == PREVIEW => vec![
            (Unit::WebSearch, NEWER.to_owned()),
            (Unit::WebSearchPreview, each),
        ],
        (provider, None) => unsaid(provider, model, entry)?,
        _ => return None,
    };
    Some(searches.into_iter())
}

/// What a search costs where the map does not say it.
fn unsaid(provider: &str, model: &str, entry: &Value) -> Option<Vec<(Unit, String)>> {
    let mode = entry["mode"].as_str()?;
    let is_said =
        |(whose, begin, _): &&(&str, &str, &str)| *whose == provider && model.starts_with(begin);
    let (_, _, each) = UNSAID.iter().find(is_said)?;
    let mut searches = vec![(Unit::WebSearch, (*each).to_owned())];
    if provider == OPENAI && entry["supports_reasoning"] != true {
        searches.push((Unit::WebSearchPreview, PREVIEW.to_owned()));
    }
    CAN_SEARCH.contains(&mode).then_some(searches)
}

/// The one price of a map of prices; `None` where they differ.
fn same_for_all(prices: &Value) -> Option<f64> {
    let mut prices = prices.as_object()?.values();
    let price = prices.next()?;
    let price = prices.all(|other| other == price).then_some(price);
    price?.as_f64()
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
