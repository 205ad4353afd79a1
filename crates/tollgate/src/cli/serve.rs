//! `tollgate serve`: finds the configuration, applies what the command line says on top, and hands over to
//! [`app::serve`].

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{check_template, output};
use crate::{
    app::{self, Fixed, ServeOptions},
    config::{self, ProcessEnvironment, WorkerCount},
};

/// The configuration that is used when none is named.
const USUAL_FILE: &str = "tollgate.yaml";

#[derive(Debug, Args)]
#[command(after_help = "\
Without --config, ./tollgate.yaml is used if it is there, and otherwise a built-in demo that needs no key and no network.
The configuration is read again when its file changes, and on SIGHUP; one with mistakes is refused, and the old one stays.
SIGTERM lets calls in flight finish.")]
pub(crate) struct Arguments {
    /// The configuration file.
    #[arg(short, long, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The address and port to listen at, instead of the configuration's.
    #[arg(short, long, env = "TOLLGATE_LISTEN", value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    pub(super) listen: Option<SocketAddr>,
    /// How many threads serve calls, instead of the configuration's number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) workers: Option<u16>,
    #[command(flatten)]
    pub(super) consent: Consent,
}

/// Consent to serve strangers.
#[derive(Debug, Default, Args)]
pub(crate) struct Consent {
    /// Listen at an address that others reach although the configuration has no keys. Everyone who reaches it may
    /// then spend your providers' money.
    #[arg(long)]
    public_without_keys: bool,
}

/// Serves until told to stop.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let file = arguments.config.or_else(usual_file);
    let loaded = match &file {
        Some(file) => config::load(file, &ProcessEnvironment, &check_template),
        None => config::load_demo(&ProcessEnvironment, &check_template),
    };
    let mut resolved = match loaded {
        Ok(resolved) => resolved,
        Err(diagnostics) => {
            output::diagnostics(diagnostics.iter())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    output::diagnostics(&resolved.warnings)?;
    let written = Fixed::of(&resolved);
    if let Some(listen) = arguments.listen {
        resolved.server.listen = listen;
    }
    if let Some(workers) = arguments.workers {
        resolved.server.workers = WorkerCount::Number(workers.into());
    }
    resolved.server.public |= arguments.consent.public_without_keys;
    app::serve(
        &ServeOptions {
            config: file,
            written,
        },
        resolved,
    )?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn usual_file() -> Option<PathBuf> {
    let file = Path::new(USUAL_FILE);
    file.is_file().then(|| file.to_owned())
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    config::parse_listen(text)
        .ok_or_else(|| "an IP address with a port is wanted, such as 127.0.0.1:5000".to_owned())
}
