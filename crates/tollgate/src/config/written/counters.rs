//! `counters`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Wait;

/// Where limits and budgets are counted.
///
/// One gateway counts in its own memory. Several that share limits and budgets count in Redis or Valkey: each call asks there once, for all
/// its limits and budgets together.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Counters {
    /// `redis://USER:PASSWORD@HOST:PORT/NUMBER`, `rediss://` for TLS, or `none` for this process's memory. Default: `none`.
    pub(crate) url: Option<String>,
    /// What keys begin with there: gateways that share have the same. Default: `tollgate`.
    pub(crate) prefix: Option<String>,
    /// How long a call waits for an answer. Default: `20ms`.
    pub(crate) deadline: Option<Wait>,
    /// What becomes of calls that have limits or budgets while there is no answer. Default: `refuse`.
    pub(crate) when_away: Option<WhenAway>,
    /// The part of what was left of each limit and budget that this gateway may use by itself, with `when_away: share`; 0 to 1. Default: 0.5.
    pub(crate) share: Option<f64>,
}

/// What becomes of calls while counts do not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenAway {
    /// They are refused with 503: nothing is overrun.
    #[default]
    Refuse,
    /// They are answered; what they use counts when the counts are back.
    Answer,
    /// They are answered as long as this gateway uses no more than its share.
    Share,
}
