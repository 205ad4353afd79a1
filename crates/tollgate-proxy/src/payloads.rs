//! What was asked and answered, where the operator wants it kept or in the log: chosen, cut to a bound, and without what is not to be kept.
//! Where it is kept is not known here.

use std::borrow::Cow;

use regex::Regex;
use serde_json::Value;
use tollgate_domain::{Keep, PayloadPolicy, Snapshot};
use tollgate_telemetry::CallContent;

/// Stands for what is not kept.
const REDACTED: &str = "[redacted]";

/// How deep JSON is looked for in strings of JSON.
const DEPTH_MAX: usize = 4;

/// How often a text is looked through in which something was found.
const ROUNDS_MAX: usize = 4;

/// The policy, ready to be used.
#[derive(Debug)]
pub(crate) struct Payloads {
    policy: PayloadPolicy,
    redact: Vec<Regex>,
}

impl Payloads {
    /// Of a snapshot; `None` where nothing is kept or taken out. An expression that is none was refused with the configuration.
    pub(crate) fn of(snapshot: &Snapshot) -> Option<Self> {
        let policy = snapshot.payloads.clone();
        if !policy.keeps_some() && policy.redact.is_empty() {
            return None;
        }
        let expressions = policy.redact.iter();
        let redact = expressions.filter_map(|expression| Regex::new(expression).ok());
        let redact = redact.collect();
        Some(Self { policy, redact })
    }

    /// Whether this call's payload is kept.
    pub(crate) fn chooses(&self, route: &str) -> bool {
        match self.policy.of(route) {
            Keep::None => false,
            Keep::All => true,
            Keep::Share(share) => fastrand::f64() < share,
        }
    }

    /// Bytes of each direction at most.
    pub(crate) fn bytes_max(&self) -> usize {
        self.policy.bytes_max
    }

    /// The same without what is not to be kept.
    pub(crate) fn redacted(&self, content: CallContent) -> CallContent {
        CallContent {
            request: self.redacted_text(content.request),
            response: self.redacted_text(content.response),
        }
    }

    /// A text without what is not to be kept.
    pub(crate) fn redacted_text(&self, text: String) -> String {
        if self.redact.is_empty() {
            return text;
        }
        match redact(&self.redact, &text, DEPTH_MAX) {
            Cow::Owned(cleaned) => cleaned,
            Cow::Borrowed(_) => text,
        }
    }
}

/// A text without what expressions find: in its strings as they are meant, and in its bytes as they are.
///
/// The strings come first: seen as it is written, what comes before a word may look like a part of it (`\nann@example.com`). They come last,
/// too, where something else was taken out, which may have changed where strings begin.
fn redact<'a>(expressions: &[Regex], text: &'a str, depth: usize) -> Cow<'a, str> {
    let strings = in_strings(expressions, text, depth);
    match replaced(expressions, &strings) {
        Cow::Owned(cleaned) => Cow::Owned(in_strings(expressions, &cleaned, depth).into_owned()),
        Cow::Borrowed(_) => strings,
    }
}

/// Replaces what expressions find in a text as it is.
///
/// What was taken out may have hidden the beginning or the end of something else, so that it is looked through again, but not for what would
/// be found in the words that stand for it.
fn replaced<'a>(expressions: &[Regex], text: &'a str) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(text);
    for round in 0..ROUNDS_MAX {
        let mut is_changed = false;
        for expression in expressions {
            if round > 0 && expression.is_match(REDACTED) {
                continue;
            }
            if let Cow::Owned(cleaned) = expression.replace_all(&text, REDACTED) {
                text = Cow::Owned(cleaned);
                is_changed = true;
            }
        }
        if !is_changed {
            break;
        }
    }
    text
}

/// Replaces what expressions find in JSON's strings, wherever they are in a text: a body, a body that was cut off, the events of a stream.
/// A string in which nothing is found stays as it was written. No string of JSON goes over a line's end, so that what is no JSON
/// misleads no further.
fn in_strings<'a>(expressions: &[Regex], text: &'a str, depth: usize) -> Cow<'a, str> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Cow::Borrowed(text);
    };
    let (mut cleaned, mut is_changed) = (String::new(), false);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('"') {
        cleaned.push_str(before);
        cleaned.push('"');
        let (written, following) = after.split_at(end_of_string(after));
        match redact_string(expressions, written, deeper) {
            Some(anew) => {
                is_changed = true;
                cleaned.push_str(&anew);
            }
            None => cleaned.push_str(written),
        }
        rest = match following.strip_prefix('"') {
            Some(following) => {
                cleaned.push('"');
                following
            }
            None => following,
        };
    }
    if !is_changed {
        return Cow::Borrowed(text);
    }
    cleaned.push_str(rest);
    Cow::Owned(cleaned)
}

/// Where a string ends that has begun: before its quotation mark, at the line's end, or where the text was cut off.
fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'\n' || byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

/// What is between a string's quotation marks, written anew if something in it is not to be kept. Strings that hold JSON, such as a tool's
/// arguments, are looked into as well.
fn redact_string(expressions: &[Regex], written: &str, deeper: usize) -> Option<String> {
    if written.is_empty() {
        return None;
    }
    let meant = unescaped(written);
    let cleaned = match &meant {
        // Nothing in it is hidden.
        Cow::Borrowed(text) => replaced(expressions, text),
        Cow::Owned(text) => redact(expressions, text, deeper),
    };
    match cleaned {
        Cow::Borrowed(_) => None,
        Cow::Owned(cleaned) => Some(escaped(&cleaned)),
    }
}

/// A string of JSON as it is meant. What is no escape, or only the beginning of one, stands for itself.
fn unescaped(written: &str) -> Cow<'_, str> {
    let Some((before, _)) = written.split_once('\\') else {
        return Cow::Borrowed(written);
    };
    let mut meant = before.to_owned();
    let (_, mut rest) = written.split_at(before.len());
    while let Some((before, after)) = rest.split_once('\\') {
        meant.push_str(before);
        rest = match read_escape(after) {
            Some((character, following)) => {
                meant.push(character);
                following
            }
            None => {
                meant.push('\\');
                after
            }
        };
    }
    meant.push_str(rest);
    Cow::Owned(meant)
}

/// The character that an escape stands for, and what follows it.
fn read_escape(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    let character = match characters.next()? {
        same @ ('"' | '\\' | '/') => same,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return read_unit(characters.as_str()),
        _ => return None,
    };
    Some((character, characters.as_str()))
}

/// The same of one that gives a unit of UTF-16, or a pair of them.
fn read_unit(text: &str) -> Option<(char, &str)> {
    let (first, rest) = hex(text)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, rest));
    }
    let (second, rest) = hex(rest.strip_prefix("\\u")?)?;
    let pair = char::decode_utf16([first, second]).next()?;
    Some((pair.ok()?, rest))
}

fn hex(text: &str) -> Option<(u16, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
    Some((unit, rest))
}

/// A text between the quotation marks of JSON.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let inner = quoted.strip_prefix('"');
    let inner = inner.and_then(|inner| inner.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
