//! `tollgate usage`: what was used and what it cost, out of the books.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use jiff::{Timestamp, civil::Date};
use serde_json::{Map, Value, json};
use tokio::runtime::Builder;
use tollgate_store::{Dimension, Store, UsageQuery, UsageRow};
use tollgate_telemetry::printable;

use super::{check_template, output, serve};
use crate::config::{self, ProcessEnvironment};

/// Which usage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tollgate usage                               what each key spent
  tollgate usage --by day,model --since 2026-11-01
  tollgate usage --by hour,team --since 2026-11-25
  tollgate usage --by route --key team-a --json

Calls of the last moments may still be in the journal, if the gateway runs.")]
pub(super) struct Arguments {
    /// The configuration file, which says where the books are.
    #[arg(short, long, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// By what it is told apart, between commas; times are those of UTC.
    #[arg(long, value_delimiter = ',', default_value = "key", value_parser = dimensions())]
    by: Vec<Dimension>,
    /// From this day, or time, on: `2026-11-01`, `2026-11-01T08:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Duration>,
    /// Until this day, or time, which does not count.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Duration>,
    /// Of this key only.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Of this team only.
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Of this app's keys only.
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Of this organisation's teams only.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// With this tag only.
    #[arg(long)]
    tag: Option<String>,
    /// Of this route only.
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let (Some(since), Some(until)) = (arguments.since, arguments.until)
        && since > until
    {
        bail!("--since is later than --until: nothing can be between them");
    }
    let Some(file) = arguments.config.clone().or_else(serve::usual_file) else {
        bail!("there is no tollgate.yaml here; --config FILE says where the configuration is");
    };
    let resolved = match config::load(&file, &ProcessEnvironment, &check_template) {
        Ok(resolved) => resolved,
        Err(diagnostics) => {
            output::diagnostics(diagnostics.iter())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let settings = resolved
        .store
        .context("the configuration says `store.url: none`: no books are kept")?;
    if let Some(path) = settings.file()
        && !path.exists()
    {
        bail!("there are no books yet: {} is not there", path.display());
    }
    let query = UsageQuery {
        since_ms: arguments.since.map(milliseconds),
        until_ms: arguments.until.map(milliseconds),
        of: [
            (Dimension::Key, &arguments.key),
            (Dimension::Team, &arguments.team),
            (Dimension::App, &arguments.app),
            (Dimension::Organisation, &arguments.organisation),
            (Dimension::Route, &arguments.route),
            (Dimension::Tag, &arguments.tag),
        ]
        .into_iter()
        .filter_map(|(dimension, value)| Some((dimension, value.clone()?)))
        .collect(),
        keys: None,
        teams: None,
        made: false,
        by: arguments.by.clone(),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut rows = runtime.block_on(async {
        let store = Store::open(settings.url.expose()).await?;
        let rows = store.usage(&query).await;
        store.close().await;
        rows
    })?;
    // Times are read from top to bottom; everything else by what it costs, as it comes.
    if let Some(place) = query.by.iter().position(|by| by.span_ms().is_some()) {
        rows.sort_by_key(|row| time_of(row, place));
    }
    if arguments.json {
        let rows: Vec<Value> = rows.iter().map(|row| as_json(row, &query.by)).collect();
        return output::line(&serde_json::to_string_pretty(&rows)?);
    }
    output::table(table(&rows, &query.by))
}

/// Reads one of the words for what usage is told apart by.
fn dimensions() -> impl TypedValueParser<Value = Dimension> {
    let words = PossibleValuesParser::new(Dimension::ALL.map(Dimension::as_str));
    words.try_map(|word| {
        let mut known = Dimension::ALL.into_iter();
        known
            .find(|dimension| dimension.as_str() == word)
            .ok_or("not one of them")
    })
}

/// A value for people: times are counted in the books.
fn shown(value: Option<&String>, by: Dimension) -> Option<String> {
    let value = value?;
    let Some(span) = by.span_ms() else {
        return Some(value.clone());
    };
    let milliseconds = value.parse::<i64>().ok()?.checked_mul(span)?;
    let time = Timestamp::from_millisecond(milliseconds).ok()?;
    let form = match by {
        Dimension::Day => "%Y-%m-%d",
        _ => "%Y-%m-%dT%H:%MZ",
    };
    Some(time.strftime(form).to_string())
}

/// The time that a row is of, as the books count it.
fn time_of(row: &UsageRow, place: usize) -> Option<i64> {
    row.of.get(place)?.as_ref()?.parse().ok()
}

fn as_json(row: &UsageRow, by: &[Dimension]) -> Value {
    let mut told = Map::new();
    for (value, by) in row.of.iter().zip(by) {
        told.insert(by.as_str().to_owned(), json!(shown(value.as_ref(), *by)));
    }
    told.insert("calls".to_owned(), json!(row.calls));
    told.insert("input_tokens".to_owned(), json!(row.input));
    told.insert("output_tokens".to_owned(), json!(row.output));
    told.insert("cost_dollars".to_owned(), json!(row.known_cost()));
    told.insert("calls_of_unknown_cost".to_owned(), json!(row.unknown));
    told.insert(
        "unknown_cost_at_most_dollars".to_owned(),
        json!(row.at_most),
    );
    Value::Object(told)
}

/// Columns with a head, numbers to the right.
fn table(rows: &[UsageRow], by: &[Dimension]) -> Vec<String> {
    let names = by.iter().map(|by| by.as_str());
    let sums = ["calls", "input", "output", "dollars", "unknown"];
    let mut lines: Vec<Vec<String>> = vec![names.chain(sums).map(str::to_owned).collect()];
    for row in rows {
        let of = row.of.iter().zip(by);
        let mut line: Vec<String> = of
            .map(|(value, by)| {
                shown(value.as_ref(), *by)
                    .map_or_else(|| "-".to_owned(), |value| printable(&value).into_owned())
            })
            .collect();
        line.extend([row.calls, row.input, row.output].map(|number| number.to_string()));
        let cost = row.known_cost().map(|cost| cost.to_string());
        line.push(cost.unwrap_or_else(|| "unknown".to_owned()));
        line.push(row.unknown.to_string());
        lines.push(line);
    }
    let widths: Vec<usize> = (0..by.len() + sums.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| {
            if column < by.len() {
                format!("{cell:width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        cells.collect::<Vec<_>>().join("  ")
    });
    lines.collect()
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "a day such as 2026-11-01 is wanted, or a time such as 2026-11-01T08:00:00Z";
    if text.parse::<Date>().is_err() && text.parse::<Timestamp>().is_err() {
        return Err(wrong().to_owned());
    }
    config::parse_expiry(text).ok_or_else(|| wrong().to_owned())
}
