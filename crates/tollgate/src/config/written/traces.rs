//! `traces`, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Calls as traces, sent to a collector by OpenTelemetry's protocol (OTLP over HTTP, JSON).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Traces {
    /// The collector's address, such as `http://127.0.0.1:4318`; `none` for no traces. Default: `none`.
    pub(crate) endpoint: Option<String>,
    /// Sent with each request, such as a credential.
    pub(crate) headers: BTreeMap<String, String>,
    /// The share of calls that are told, 0 to 1; a caller's `traceparent` goes before it. Default: 1.
    pub(crate) sample: Option<f64>,
}
