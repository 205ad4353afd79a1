//! `tollgate check`: shows every mistake in configuration files.

use std::{io, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{check_template, output};
use crate::config::{self, Diagnostic, Diagnostics, ProcessEnvironment, Resolved};

#[derive(Debug, Args)]
#[command(after_help = "\
The exit status is 0 when all files can be used, and 1 otherwise. Environment variables and files that the \
configuration names must be there: set them to anything where the real ones are not at hand.")]
pub(crate) struct Arguments {
    /// The configuration files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take warnings for mistakes.
    #[arg(long)]
    strict: bool,
    /// Show each mistake on one line: `FILE:LINE:COLUMN: error: MESSAGE`.
    #[arg(long)]
    brief: bool,
}

/// Checks all files; fails when one cannot be used.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.files {
        let name = file.display();
        match config::load(file, &ProcessEnvironment, &check_template) {
            Ok(resolved) => {
                arguments.show(&resolved.warnings)?;
                output::line(&format!("{name}: {}", summary(&resolved)))?;
                if arguments.strict && !resolved.warnings.is_empty() {
                    code = ExitCode::FAILURE;
                }
            }
            Err(diagnostics) => {
                arguments.show(diagnostics.iter())?;
                output::line(&format!("{name}: {}", failure(&diagnostics)))?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

impl Arguments {
    fn show<'a>(&self, items: impl IntoIterator<Item = &'a Diagnostic>) -> io::Result<()> {
        if !self.brief {
            return output::diagnostics(items);
        }
        items
            .into_iter()
            .try_for_each(|item| output::remark(&item.one_line()))
    }
}

fn summary(resolved: &Resolved) -> String {
    let snapshot = &resolved.snapshot;
    let parts = [
        count(snapshot.providers.len(), "provider"),
        count(snapshot.routes.len(), "route"),
        count(snapshot.keys.len(), "key"),
        count(resolved.warnings.len(), "warning"),
    ];
    format!("ok ({}; revision {})", parts.join(", "), snapshot.revision)
}

fn failure(diagnostics: &Diagnostics) -> String {
    let (errors, warnings) = diagnostics.counts();
    format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
