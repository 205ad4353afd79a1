//! `limits` and `budgets`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Size;

/// How much may be used, in a time or at once. Give one of `requests`, `tokens`, `input_tokens`, `output_tokens`, `concurrent` and
/// `size`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(crate) struct Limit {
    /// Its own; it is told to whom it stops.
    pub(crate) name: Option<String>,
    /// Whose calls it is for. Default: all calls together.
    pub(crate) of: Option<Scope>,
    /// Calls.
    pub(crate) requests: Option<u64>,
    /// Tokens, in and out.
    pub(crate) tokens: Option<u64>,
    /// Tokens in.
    pub(crate) input_tokens: Option<u64>,
    /// Tokens out.
    pub(crate) output_tokens: Option<u64>,
    /// Calls at the same time.
    pub(crate) concurrent: Option<u64>,
    /// Bytes of one call's body, such as `64KiB`. Beyond them it is refused with 413.
    pub(crate) size: Option<Size>,
    /// In this time: `second`, `minute`, `hour`, `day`, `week`, `month`, `year`, or a time such as `10m`. Not with `concurrent` and `size`.
    pub(crate) per: Option<String>,
    /// Whether it is the last so long that counts, whenever it is, and not the time from one full hour, day, … to the next. Default: `false`.
    pub(crate) rolling: Option<bool>,
    /// Where a day, week, month or year begins, such as `Europe/Rome`. Default: `UTC`.
    pub(crate) time_zone: Option<String>,
    /// What happens beyond. Default: `refuse`.
    pub(crate) then: Option<Then>,
    /// Whether answers tell what is left, in `RateLimit` headers. Default: `true`.
    pub(crate) tell: Option<bool>,
}

/// How much money may be spent in a time. Before a call the most that it can cost is reserved, so that a budget is never overrun.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "dollars", "per"]))]
pub(crate) struct Budget {
    /// Its own; it is told to whom it stops.
    pub(crate) name: Option<String>,
    /// Whose calls it is for. Default: all calls together.
    pub(crate) of: Option<Scope>,
    /// So many US dollars.
    #[schemars(range(min = 0))]
    pub(crate) dollars: Option<f64>,
    /// More of them, for a while.
    pub(crate) raise: Option<Raise>,
    /// In this time: `hour`, `day`, `week`, `month`, `year`, or a time such as `10m`.
    pub(crate) per: Option<String>,
    /// Whether it is the last so long that counts, whenever it is, and not the time from one full hour, day, … to the next. Default: `false`.
    pub(crate) rolling: Option<bool>,
    /// Where a day, week, month or year begins, such as `Europe/Rome`. Default: `UTC`.
    pub(crate) time_zone: Option<String>,
    /// What happens beyond. Default: `refuse`.
    pub(crate) then: Option<Then>,
    /// Whether answers tell what is left, in `x-tollgate-budget-remaining`. Default: `false`.
    pub(crate) tell: Option<bool>,
}

/// More money, for a while.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["dollars", "until"]))]
pub(crate) struct Raise {
    /// So many US dollars more.
    #[schemars(range(min = 0))]
    pub(crate) dollars: Option<f64>,
    /// Until a date (at 00:00 UTC), or a time as in `2027-01-31T18:00:00Z`.
    pub(crate) until: Option<String>,
}

/// Whose calls: all that is given has to fit. A name stands for that one, `each` for everyone by itself.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Scope {
    /// A caller's key.
    pub(crate) key: Option<String>,
    /// The team of a key.
    pub(crate) team: Option<String>,
    /// A route.
    pub(crate) route: Option<String>,
    /// The end user whom a call names (`user`, `metadata.user_id`).
    pub(crate) user: Option<String>,
    /// The app of a key in the store.
    pub(crate) app: Option<String>,
    /// The organisation of a key in the store.
    pub(crate) organisation: Option<String>,
    /// The provider that is asked. Where it is used up, the route's other targets are asked.
    pub(crate) provider: Option<String>,
    /// The model that is asked, as its provider calls it. Where it is used up, the route's other targets are asked.
    pub(crate) model: Option<String>,
}

/// What happens beyond an allowance.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    /// Calls are refused with 429.
    Refuse,
    /// The log says so, once a window.
    Warn,
}
