//! `tollgate providers`: what a configuration's `type` may be.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tollgate_domain::Task;
use tollgate_upstream::providers::{KINDS, KeyNeed, Kind, SignIn};

use super::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print all that is known of each kind, as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the kinds.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.json {
        let kinds: Vec<Value> = KINDS.iter().map(told).collect();
        return output::line(&serde_json::to_string_pretty(&kinds)?);
    }
    output::line(&table(&rows()))
}

fn rows() -> Vec<[String; 5]> {
    let head = ["TYPE", "SERVES", "SPEAKS", "KEY", "ADDRESS"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(KINDS.iter().map(|kind| {
        [
            kind.name.to_owned(),
            distinct(kind.endpoints.iter().map(|endpoint| short(endpoint.task))),
            distinct(
                kind.endpoints
                    .iter()
                    .map(|endpoint| endpoint.dialect.as_str()),
            ),
            key(kind),
            kind.base_url.unwrap_or("to be given").to_owned(),
        ]
    }));
    rows
}

fn short(task: Task) -> &'static str {
    task.as_str().rsplit('/').next().unwrap_or_default()
}

fn distinct(words: impl Iterator<Item = &'static str>) -> String {
    let mut told: Vec<&str> = Vec::new();
    for word in words {
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told.join(", ")
}

fn header(kind: &Kind) -> (&'static str, &'static str) {
    match kind.sign_in {
        SignIn::Bearer => ("authorization", "Bearer "),
        SignIn::Header(name) => (name, ""),
    }
}

fn key(kind: &Kind) -> String {
    let (name, prefix) = header(kind);
    let shown = match prefix.trim_end() {
        "" => name.to_owned(),
        prefix => format!("{name}: {prefix}"),
    };
    match kind.key {
        KeyNeed::Required => shown,
        KeyNeed::Optional => format!("{shown} (optional)"),
    }
}

/// Columns as wide as what is in them; the last one ends with its text.
fn table(rows: &[[String; 5]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn told(kind: &Kind) -> Value {
    let (name, prefix) = header(kind);
    let endpoints: Vec<Value> = kind
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "task": endpoint.task.as_str(),
                "dialect": endpoint.dialect.as_str(),
                "path": endpoint.path,
                "stream_path": endpoint.stream_path,
            })
        })
        .collect();
    json!({
        "type": kind.name,
        "aliases": kind.aliases,
        "base_url": kind.base_url,
        "key": {
            "header": name,
            "prefix": prefix,
            "required": kind.key == KeyNeed::Required,
        },
        "endpoints": endpoints,
        "source": kind.source,
    })
}
