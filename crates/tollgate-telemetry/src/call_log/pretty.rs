//! The call's line for people.

use std::{fmt::Write, time::Duration};

use super::{json::outcome, moment};
use crate::{AttemptOutcome, CallRecord};

pub(super) fn format(record: &CallRecord, line: &mut Vec<u8>) {
    let mut text = String::with_capacity(160);
    // Writing to a string cannot fail.
    let _written = write_line(record, &mut text);
    line.extend_from_slice(text.as_bytes());
}

fn write_line(record: &CallRecord, text: &mut String) -> std::fmt::Result {
    write!(text, "{}  {}  ", moment(record.came_at), record.status)?;
    match (&record.route, &record.target) {
        (Some(route), Some(target)) => write!(text, "{route} → {target}")?,
        (Some(route), None) => write!(text, "{route}")?,
        (None, _) => write!(text, "{} {}", record.method, record.path)?,
    }
    write!(text, "  {}", milliseconds(record.duration))?;
    if let (true, Some(first)) = (record.streamed, record.time_to_first_token) {
        write!(text, " (first token {})", milliseconds(first))?;
    }
    if let (Some(input), Some(output)) = (record.usage.input_total(), record.usage.output_total()) {
        write!(text, "  {input} + {output} tokens")?;
    }
    if let Some(finish) = &record.finish_reason {
        write!(text, "  {finish}")?;
    }
    if let Some(key) = &record.key {
        write!(text, "  key {key}")?;
    }
    if let Some(code) = &record.error_code {
        write!(text, "  {} {code}", outcome(record.outcome))?;
    }
    for attempt in record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == AttemptOutcome::Failed)
    {
        write!(
            text,
            "  [{} {} {}]",
            attempt.target,
            attempt.failure.unwrap_or("failed"),
            milliseconds(attempt.duration)
        )?;
    }
    write!(text, "  {}", record.request_id)
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}ms", duration.as_secs_f64() * 1000.0)
}
