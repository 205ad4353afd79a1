//! `tollgate completions`: what a shell needs to complete our arguments.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap_complete::Shell;

/// Prints the completions.
pub(crate) fn run(shell: Shell, command: &mut clap::Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "tollgate", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
