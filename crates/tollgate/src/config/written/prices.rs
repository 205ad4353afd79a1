//! `prices`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Wait;

/// What a model costs, in US dollars for a million of what is counted, where the prices that come with the program do not say so, or
/// not what you pay. It stands for all prices of that model.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["provider", "model"]))]
pub(crate) struct Price {
    /// The name of a provider.
    #[schemars(length(min = 1))]
    pub(crate) provider: Option<String>,
    /// What that provider calls the model; `*` for all others of the provider.
    #[schemars(length(min = 1))]
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
    /// Output tokens.
    #[schemars(range(min = 0))]
    pub(crate) output: Option<f64>,
    /// Output tokens of reasoning. Default: as `output`.
    #[schemars(range(min = 0))]
    pub(crate) output_reasoning: Option<f64>,
    /// Output tokens of audio. Default: as `output`.
    #[schemars(range(min = 0))]
    pub(crate) output_audio: Option<f64>,
    /// Searches of rerank calls: a million of them.
    #[schemars(range(min = 0))]
    pub(crate) search: Option<f64>,
    /// Calls, whatever they use: a million of them.
    #[schemars(range(min = 0))]
    pub(crate) call: Option<f64>,
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
