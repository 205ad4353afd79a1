//! `tollgate explain`: what a call would become, with nothing sent.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use tollgate_proxy::Picture;

use super::{check_template, output};
use crate::config::{self, ProcessEnvironment};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  echo '{\"model\": \"chat\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}' | tollgate explain tollgate.yaml -")]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// The request's body, in JSON; `-` reads it from standard input.
    #[arg(value_name = "REQUEST.json")]
    request: PathBuf,
    /// The path that the client would call.
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
}

/// Prints the explanation as JSON. Credentials are masked in it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let body = read(&arguments.request)
        .with_context(|| format!("cannot read the request {}", arguments.request.display()))?;
    let resolved = match config::load(&arguments.config, &ProcessEnvironment, &check_template) {
        Ok(resolved) => resolved,
        Err(diagnostics) => {
            output::diagnostics(diagnostics.iter())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    output::diagnostics(&resolved.warnings)?;
    let picture = Picture::build(resolved.snapshot, None)?;
    let explanation = tollgate_proxy::explain(&picture, &arguments.path, &body);
    output::line(&serde_json::to_string_pretty(&explanation)?)
}

fn read(path: &Path) -> io::Result<Bytes> {
    if path != Path::new("-") {
        return fs::read(path).map(Bytes::from);
    }
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    Ok(body.into())
}
