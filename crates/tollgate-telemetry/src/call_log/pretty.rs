//! The call's line for people.

use std::{borrow::Cow, fmt::Write, time::Duration};

use tollgate_domain::Cost;

use super::moment;
use crate::{AttemptOutcome, CallRecord, Outcome, Params};

pub(super) fn format(record: &CallRecord, line: &mut Vec<u8>) {
    let mut text = String::with_capacity(160);
    // Writing to a string cannot fail.
    let _written = write_line(record, &mut text);
    line.extend_from_slice(printable(&text).as_bytes());
}

/// A text without anything that a terminal would obey: control characters are escaped. Names may be anybody's.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
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
    match record.cost {
        Some(Cost::Known(cost)) => write!(text, "  ${cost}")?,
        Some(Cost::Unpriced) => write!(text, "  unpriced")?,
        Some(Cost::AtMost(most)) => write!(text, "  ${most} at most")?,
        None => {}
    }
    if let Some(finish) = &record.finish_reason {
        write!(text, "  {finish}")?;
    }
    if let Some(key) = &record.key {
        write!(text, "  key {key}")?;
    }
    if record.outcome != Outcome::Answered {
        write!(text, "  {}", record.outcome.as_str())?;
    }
    if let Some(code) = &record.error_code {
        write!(text, " {code}")?;
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
    write_params(&record.params, text)?;
    if !record.dropped.is_empty() {
        write!(text, "  dropped {}", record.dropped.join(", "))?;
    }
    write!(text, "  {}  {}", record.client_address, record.request_id)?;
    if let Some(content) = &record.content {
        // Quoted, so that content can neither end the line nor look like another one.
        write!(
            text,
            "  request {:?}  response {:?}",
            content.request, content.response
        )?;
    }
    Ok(())
}

fn write_params(params: &Params, text: &mut String) -> std::fmt::Result {
    if let Some(temperature) = params.temperature {
        write!(text, "  temperature {temperature}")?;
    }
    if let Some(top_p) = params.top_p {
        write!(text, "  top_p {top_p}")?;
    }
    if let Some(max_tokens) = params.max_tokens {
        write!(text, "  max_tokens {max_tokens}")?;
    }
    Ok(())
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1}ms", duration.as_secs_f64() * 1000.0)
}
