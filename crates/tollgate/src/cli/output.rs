//! Writing to standard output and standard error.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use tollgate_telemetry::printable;

use crate::config::{self, Diagnostic};

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> anyhow::Result<ExitCode> {
    match writeln!(io::stdout().lock(), "{text}") {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the lines of a table to standard output.
pub(crate) fn table(lines: impl IntoIterator<Item = String>) -> anyhow::Result<ExitCode> {
    let lines: Vec<String> = lines
        .into_iter()
        .map(|line| printable(&line).into_owned())
        .collect();
    line(&lines.join("\n"))
}

/// Writes mistakes and warnings to standard error, with colours on a terminal.
pub(crate) fn diagnostics<'a>(items: impl IntoIterator<Item = &'a Diagnostic>) -> io::Result<()> {
    let colours = config::colours_wanted();
    let mut stderr = io::stderr().lock();
    for item in items {
        let shown = if colours {
            item.styled()
        } else {
            item.to_string()
        };
        writeln!(stderr, "{shown}\n")?;
    }
    Ok(())
}

/// Writes a remark to standard error.
pub(crate) fn remark(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

/// Writes an error and its causes to standard error.
pub(crate) fn error(error: &anyhow::Error) {
    // Where even this cannot be written, the exit status has to do.
    let _unwritten = writeln!(io::stderr().lock(), "error: {error:#}");
}
