//! `admin`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// The administrative API: organisations, teams, apps, users, keys, limits, budgets; usage, calls and the audit.
///
/// `tollgate user create` makes the first user.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// The address and port of its own that it listens at, such as `127.0.0.1:5001`; `none` for no such API. Default: `none`.
    pub(crate) listen: Option<String>,
}
