//! `tollgate schema`: the JSON Schema of configuration files.

use std::process::ExitCode;

use super::output;
use crate::config;

/// Prints the schema.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    output::line(&serde_json::to_string_pretty(&config::schema())?)
}
