//! `keys`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// A caller's key. `tollgate key new` makes one, and prints the line for this list.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "hash"]))]
pub(crate) struct Key {
    /// Whose it is; appears in logs.
    pub(crate) name: Option<String>,
    /// The team that it belongs to, for limits, budgets and sums.
    pub(crate) team: Option<String>,
    /// `sha256:` and 64 hex digits. The key itself is not kept.
    pub(crate) hash: Option<String>,
    /// The routes it opens. Default: `all`.
    pub(crate) routes: Option<KeyRoutes>,
    /// The models that it reaches by them: as providers are asked for them (`gpt-4o`) or `provider/model`, with a `*` at the end all that begin
    /// so. Default: all.
    pub(crate) models: Option<Vec<String>>,
    /// The paths that it may be used at, such as `/v1/embeddings` or, with a `*` at the end, `/v1/audio/*`. Default: all.
    pub(crate) paths: Option<Vec<String>>,
    /// The networks that its clients are in, such as `10.0.0.0/8` or a single address. Default: all.
    pub(crate) networks: Option<Vec<String>>,
    /// When it ends: a date (at 00:00 UTC), or a time as in `2027-01-31T18:00:00Z`. Default: never.
    pub(crate) expires: Option<String>,
}

/// The routes that a key opens.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum KeyRoutes {
    /// Every route.
    Word(All),
    /// These only.
    Only(Vec<String>),
}

/// Every route.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum All {
    All,
}
