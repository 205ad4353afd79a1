//! Calls as files, written while they are read: a part is in memory at a time, however many there are.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use tokio::time::timeout;
use tollgate_domain::UsageRecord;
use tollgate_store::CallsQuery;

use super::{Format, parquet, place, shown_call};
use crate::{Admin, problem::Problem, resources::REQUEST_TIMEOUT};

/// Calls of a part.
const PART: u32 = 1_000;

/// A file that is being written.
pub(super) enum Writer {
    /// A line each.
    Lines,
    /// Values apart by commas, below a head that is still to be written, or not.
    Csv {
        columns: Vec<String>,
        has_head: bool,
    },
    /// Parquet.
    Parquet(Box<parquet::Writer>),
}

impl Writer {
    pub(super) fn new(format: Format) -> Result<Self, Problem> {
        Ok(match format {
            Format::Json | Format::Jsonl => Self::Lines,
            Format::Csv => Self::Csv {
                columns: columns(),
                has_head: false,
            },
            Format::Parquet => Self::Parquet(Box::new(parquet::Writer::new().map_err(failed)?)),
        })
    }

    /// The bytes of some calls more.
    pub(super) fn part(&mut self, calls: &[UsageRecord]) -> Result<Vec<u8>, Problem> {
        let rows = calls.iter().map(shown_call);
        Ok(match self {
            Self::Lines => rows
                .map(|row| format!("{row}\n"))
                .collect::<String>()
                .into(),
            Self::Csv { columns, has_head } => {
                let head =
                    (!std::mem::replace(has_head, true)).then(|| line(columns.iter().cloned()));
                let lines = rows.map(|row| line(columns.iter().map(|column| field(&row[column]))));
                head.into_iter().chain(lines).collect::<String>().into()
            }
            Self::Parquet(writer) => writer.part(calls).map_err(failed)?,
        })
    }

    /// What comes behind the last call.
    pub(super) fn end(self) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Lines | Self::Csv { .. } => Ok(Vec::new()),
            Self::Parquet(writer) => writer.end().map_err(failed),
        }
    }
}

/// All calls that are asked for. The first part is read before anything is answered, so that what fails at once is told.
pub(super) async fn whole(
    admin: Arc<Admin>,
    query: CallsQuery,
    format: Format,
) -> Result<Body, Problem> {
    let export = Export {
        admin,
        query: CallsQuery {
            most: PART,
            ..query
        },
        writer: Writer::new(format)?,
    };
    let (first, rest) = export.part().await?;
    let rest = stream::try_unfold(rest, async |rest| match rest {
        None => Ok(None),
        Some(export) => export.part().await.map(Some).map_err(told),
    });
    let first = stream::once(future::ready(Ok::<_, std::io::Error>(first)));
    let parts = first.chain(rest);
    // An empty part would be taken for the end.
    let parts = parts.filter(|part| future::ready(!part.as_ref().is_ok_and(Bytes::is_empty)));
    Ok(Body::from_stream(parts))
}

/// A file of which some is still to be written.
struct Export {
    admin: Arc<Admin>,
    query: CallsQuery,
    writer: Writer,
}

impl Export {
    /// The next part, and what is left to be written behind it.
    async fn part(mut self) -> Result<(Bytes, Option<Self>), Problem> {
        let calls = timeout(REQUEST_TIMEOUT, self.admin.store.calls(&self.query)).await;
        let calls = calls.map_err(|_| Problem::Slow)??;
        let mut written = self.writer.part(&calls)?;
        let is_last = u32::try_from(calls.len()).is_ok_and(|count| count < PART);
        match calls.last().filter(|_| !is_last) {
            Some(last) => {
                self.query.before = Some(place(last));
                Ok((written.into(), Some(self)))
            }
            None => {
                written.extend(self.writer.end()?);
                Ok((written.into(), None))
            }
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Problem {
    Problem::File(error.to_string())
}

/// The answer has begun: its client sees it break off, and the log says why.
fn told(problem: Problem) -> std::io::Error {
    tracing::error!(?problem, "a file of calls broke off");
    std::io::Error::other("the file breaks off")
}

/// The names of columns.
fn columns() -> Vec<String> {
    let head = shown_call(&UsageRecord::default());
    let head = head.as_object().into_iter();
    head.flat_map(|head| head.keys().cloned()).collect()
}

/// A line of comma-separated values (RFC 4180).
fn line(fields: impl Iterator<Item = String>) -> String {
    fields.collect::<Vec<_>>().join(",") + "\r\n"
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text.clone()),
        Value::Array(texts) => {
            let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
            quoted(texts.join(","))
        }
        other => quoted(other.to_string()),
    }
}

/// A text between quotes, where it needs them. Callers choose some: one that a spreadsheet would take for a formula has an apostrophe before it
/// (<https://owasp.org/www-community/attacks/CSV_Injection>, read 2026-11).
fn quoted(mut text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && text.parse::<f64>().is_err() {
        text.insert(0, '\'');
    }
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_field_is_taken_for_a_formula() {
        for (value, expected) in [
            (json!("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\""),
            (json!("+cmd|' /C calc'!A0"), "'+cmd|' /C calc'!A0"),
            (json!("-1+1"), "'-1+1"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!("\t=1"), "'\t=1"),
            (json!("\r=1"), "\"'\r=1\""),
            (json!(["=1", "b"]), "\"'=1,b\""),
            (json!(-1.5), "-1.5"),
            (json!("-0.25"), "-0.25"),
            (json!("ann=1"), "ann=1"),
            (json!(null), ""),
        ] {
            assert_eq!(field(&value), expected, "{value}");
        }
    }
}
