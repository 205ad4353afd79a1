//! `prices`, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Wait;

/// Keys that say when a price holds, as well: `input>200000`, `output@flex`, `input>200000@priority`.
pub(crate) const CONDITIONAL: &str =
    "^[a-z][a-z0-9_]*(>[0-9]+(@(flex|priority|batch))?|@(flex|priority|batch))$";

fn conditional() -> Value {
    json!({CONDITIONAL: {"type": "number", "minimum": 0}})
}

/// What a model costs, in US dollars for a million of what is counted, where the prices that come with the program do not say so, or
/// not what you pay. It stands for all prices of that model. A price may hold for calls with more input tokens than a number alone
/// (`input>200000`), for a service tier alone (`input@flex`), or for both (`input>200000@flex`).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["provider", "model"], "additionalProperties" = false, "patternProperties" = conditional()))]
pub(crate) struct Price {
    /// The name of a provider.
    #[schemars(length(min = 1))]
    pub(crate) provider: Option<String>,
    /// What that provider calls the model; `*` for all others of the provider.
    #[schemars(length(min = 1, max = 512))]
    pub(crate) model: Option<String>,
    /// When it begins: a date (at 00:00 UTC), or a time as in `2027-01-31T18:00:00Z`. Default: it always was.
    pub(crate) from: Option<String>,
    /// Input tokens.
    #[schemars(range(min = 0))]
    pub(crate) input: Option<f64>,
    /// Input tokens that the provider reads from its cache. Default: as `input`.
    #[schemars(range(min = 0))]
    pub(crate) input_cached: Option<f64>,
    /// Input tokens that the provider writes to its cache. Default: as `input`.
    #[schemars(range(min = 0))]
    pub(crate) cache_write: Option<f64>,
    /// The same, kept for an hour. Default: as `cache_write`.
    #[schemars(range(min = 0))]
    pub(crate) cache_write_1h: Option<f64>,
    /// Input tokens of audio. Default: as `input`.
    #[schemars(range(min = 0))]
    pub(crate) input_audio: Option<f64>,
    /// Input tokens of pictures. Default: as `input`.
    #[schemars(range(min = 0))]
    pub(crate) input_image: Option<f64>,
    /// Output tokens.
    #[schemars(range(min = 0))]
    pub(crate) output: Option<f64>,
    /// Output tokens of reasoning. Default: as `output`.
    #[schemars(range(min = 0))]
    pub(crate) output_reasoning: Option<f64>,
    /// Output tokens of audio. Default: as `output`.
    #[schemars(range(min = 0))]
    pub(crate) output_audio: Option<f64>,
    /// Output tokens of pictures. Default: as `output`.
    #[schemars(range(min = 0))]
    pub(crate) output_image: Option<f64>,
    /// Seconds of sound, where the provider counts those: a million of them.
    #[schemars(range(min = 0))]
    pub(crate) second: Option<f64>,
    /// Searches of rerank calls: a million of them.
    #[schemars(range(min = 0))]
    pub(crate) search: Option<f64>,
    /// Searches of the web that the provider makes: a million of them. Default: 0.
    #[schemars(range(min = 0))]
    pub(crate) web_search: Option<f64>,
    /// Calls, whatever they use: a million of them.
    #[schemars(range(min = 0))]
    pub(crate) call: Option<f64>,
    /// Output tokens that the model gives at most: what is reserved of budgets for a call that does not say it. Default: as it is known of the
    /// model, else 65,536.
    #[schemars(range(min = 1))]
    pub(crate) output_max: Option<u64>,
    /// Those that hold for long calls or a service tier alone.
    #[serde(flatten)]
    #[schemars(skip)]
    pub(crate) conditional: BTreeMap<String, f64>,
}

/// Prices that go before those that come with the program, taken again and again without a restart. Give `file` or `url`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Catalogue {
    /// A file: lines as `tollgate prices --lines` writes them, or LiteLLM's map of prices as it is published.
    pub(crate) file: Option<String>,
    /// An address that gives the same.
    pub(crate) url: Option<String>,
    /// How often it is looked at. Default: `1m` for a file, `24h` for an address.
    pub(crate) every: Option<Wait>,
    /// Whether the address may lead into the private network although its name looks public. Default: false.
    pub(crate) private_addresses: bool,
}
