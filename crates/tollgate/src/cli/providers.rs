//! `tollgate providers`: the kinds of providers that are known, and what each can do.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tollgate_upstream::providers::{KINDS, KeyNeed, Kind, SignIn};

use super::output;

/// Which providers.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
    /// Only the kinds whose name or alias contains this.
    filter: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let wanted = |kind: &&Kind| {
        arguments.filter.as_deref().is_none_or(|word| {
            let mut names = std::iter::once(&kind.name).chain(kind.aliases);
            names.any(|name| name.contains(word))
        })
    };
    let kinds = KINDS.iter().filter(wanted);
    if arguments.json {
        let kinds: Vec<Value> = kinds.map(as_json).collect();
        return output::line(&serde_json::to_string_pretty(&kinds)?);
    }
    let rows: Vec<[String; 4]> = kinds
        .map(|kind| {
            [
                kind.name.to_owned(),
                kind.tasks().join(", "),
                key(kind),
                kind.base_url.unwrap_or("(give `base_url`)").to_owned(),
            ]
        })
        .collect();
    output::line(&aligned(&rows))
}

fn as_json(kind: &Kind) -> Value {
    let endpoints: Vec<Value> = kind
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "route_type": endpoint.task.as_str(),
                "dialect": endpoint.dialect.as_str(),
                "path": endpoint.path,
                "stream_path": endpoint.stream_path,
            })
        })
        .collect();
    json!({
        "name": kind.name,
        "aliases": kind.aliases,
        "base_url": kind.base_url,
        "key": key(kind),
        "endpoints": endpoints,
        "source": kind.source,
    })
}

/// How a key is sent.
fn key(kind: &Kind) -> String {
    let header = match kind.sign_in {
        SignIn::Bearer | SignIn::AwsOrBearer | SignIn::IbmKey => "Authorization: Bearer",
        SignIn::Header(name) => name,
    };
    match kind.key {
        _ if kind.sign_in == SignIn::AwsOrBearer => format!("{header}, or AWS's keys"),
        _ if kind.sign_in == SignIn::IbmKey => format!("{header}, issued by IBM Cloud for a key"),
        KeyNeed::Required => header.to_owned(),
        KeyNeed::Optional => format!("{header} (optional)"),
    }
}

/// Columns that begin at the same place in each row.
fn aligned(rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let lines = rows.iter().map(|[name, tasks, key, url]| {
        format!(
            "{name:0$}  {tasks:1$}  {key:2$}  {url}",
            widths[0], widths[1], widths[2]
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
