//! Events in, [`StreamEvent`]s out. Of blocks, those of tools alone are said to begin; others begin with what is first added.

use serde_json::Value;

use super::{
    answer::{read_usage, stop_reason},
    blocks::read_redacted,
    citations,
};
use crate::{
    Delta, ErrorKind, PartStart, ProviderError, ReadError, SseEvent, Stop, StreamEvent, ToolKind,
    frames::aws::EXCEPTION, translate::ReadEvents,
};

/// Most blocks that are open at once: what a reader remembers of a stream has a bound.
const OPEN_MAX: usize = 64;

/// Reads the events of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    /// How many parts have begun.
    parts: u32,
    open: Vec<Open>,
    stopped: bool,
}

/// A block that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Bedrock's number.
    index: u64,
    /// Ours; `None` for a block that no other dialect understands.
    part: Option<u32>,
    kind: Kind,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    ToolCall,
    Foreign,
}

impl ReadEvents for StreamReader {
    fn read(&mut self, event: &SseEvent, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        if let Some(thrown) = event.name.strip_prefix(EXCEPTION) {
            out.push(StreamEvent::Error(read_exception(thrown, &event.data)));
            return Ok(());
        }
        let told: Value = serde_json::from_slice(&event.data)
            .map_err(|error| ReadError::Json(error.to_string()))?;
        match &*event.name {
            b"messageStart" => out.push(StreamEvent::Start {
                id: String::new(),
                model: String::new(),
                created: None,
                usage: None,
            }),
            b"contentBlockStart" => self.block_start(&told, out)?,
            b"contentBlockDelta" => self.block_delta(&told, out)?,
            b"contentBlockStop" => self.block_stop(index_of(&told), out),
            b"messageStop" => {
                self.stopped = true;
                while let Some(open) = self.open.first() {
                    self.block_stop(open.index, out);
                }
                let word = told["stopReason"].as_str().unwrap_or_default();
                let stop = Stop::new(stop_reason(word));
                out.push(StreamEvent::Stop { choice: 0, stop });
            }
            b"metadata" => {
                let tier = told["serviceTier"]["type"].as_str();
                let usage = read_usage(&told["usage"]);
                out.extend(usage.map(|usage| StreamEvent::Usage(usage.in_tier(tier))));
                out.push(StreamEvent::End);
            }
            // What came later.
            _ => out.push(StreamEvent::Foreign(told)),
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.stopped
    }
}

fn index_of(told: &Value) -> u64 {
    told["contentBlockIndex"].as_u64().unwrap_or(0)
}

impl StreamReader {
    fn block_start(&mut self, told: &Value, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let tool = &told["start"]["toolUse"];
        let text = |name: &str| tool[name].as_str().unwrap_or_default().to_owned();
        // A tool of the provider's, which it runs itself, is none of the client's.
        let (kind, start) = if tool.is_object() && tool["type"] != "server_tool_use" {
            let (id, name) = (text("toolUseId"), text("name"));
            let kind = ToolKind::Function;
            (Kind::ToolCall, Some(PartStart::ToolCall { id, name, kind }))
        } else {
            (Kind::Foreign, None)
        };
        self.begin(index_of(told), kind, start, out)?;
        Ok(())
    }

    fn block_delta(&mut self, told: &Value, out: &mut Vec<StreamEvent>) -> Result<(), ReadError> {
        let (index, delta) = (index_of(told), &told["delta"]);
        let reasoning = &delta["reasoningContent"];
        let said = |value: &Value| {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        if let Some(data) = reasoning["redactedContent"].as_str() {
            let data = read_redacted(data);
            let start = PartStart::RedactedReasoning { data };
            self.begin(index, Kind::Reasoning, Some(start), out)?;
            return Ok(());
        }
        let (kind, start, delta) = if delta["text"].is_string() {
            let text = said(&delta["text"]).map(Delta::Text);
            (Kind::Text, Some(PartStart::Text), text)
        } else if reasoning.is_object() {
            let text = said(&reasoning["text"]).map(Delta::Reasoning);
            let text = text.or(said(&reasoning["signature"]).map(Delta::Signature));
            (Kind::Reasoning, Some(PartStart::Reasoning), text)
        } else if delta["toolUse"].is_object() {
            let input = said(&delta["toolUse"]["input"]).map(Delta::Arguments);
            (Kind::ToolCall, None, input)
        } else if delta["citation"].is_object() {
            let citation = citations::read(&delta["citation"]).map(Delta::Citation);
            (Kind::Text, Some(PartStart::Text), citation)
        } else {
            (Kind::Foreign, None, None)
        };
        let known = self.open.iter().find(|open| open.index == index).copied();
        let open = match known {
            // A block that goes on as something else is a part of its own.
            Some(open) if open.kind == kind || start.is_none() => open,
            None if kind == Kind::ToolCall => {
                let problem = "names a tool's block that is not open";
                return Err(ReadError::shape("contentBlockIndex", problem));
            }
            _ => self.begin(index, kind, start, out)?,
        };
        if let (Some(part), Some(delta)) = (open.part.filter(|_| open.kind == kind), delta) {
            out.push(StreamEvent::Delta {
                choice: 0,
                part,
                delta,
            });
        }
        Ok(())
    }

    /// Begins a part. Text and reasoning end before the next part begins.
    fn begin(
        &mut self,
        index: u64,
        kind: Kind,
        start: Option<PartStart>,
        out: &mut Vec<StreamEvent>,
    ) -> Result<Open, ReadError> {
        let ends = |open: &Open| open.index == index || open.kind != Kind::ToolCall;
        let ended: Vec<u64> = self
            .open
            .iter()
            .filter(|open| ends(open))
            .map(|open| open.index)
            .collect();
        for index in ended {
            self.block_stop(index, out);
        }
        if self.open.len() == OPEN_MAX {
            let problem = "too many blocks are open at once";
            return Err(ReadError::shape("contentBlockIndex", problem));
        }
        let part = start.is_some().then_some(self.parts);
        if let Some(start) = start {
            self.parts = self.parts.saturating_add(1);
            out.push(StreamEvent::PartStart {
                choice: 0,
                part: part.unwrap_or_default(),
                start,
            });
        }
        let open = Open { index, part, kind };
        self.open.push(open);
        Ok(open)
    }

    fn block_stop(&mut self, index: u64, out: &mut Vec<StreamEvent>) {
        if let Some(position) = self.open.iter().position(|open| open.index == index) {
            let open = self.open.remove(position);
            out.extend(
                open.part
                    .map(|part| StreamEvent::PartStop { choice: 0, part }),
            );
        }
    }
}

/// What the provider throws inside a stream
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>, read 2026-11).
pub(crate) fn read_exception(thrown: &[u8], data: &[u8]) -> ProviderError {
    let thrown = String::from_utf8_lossy(thrown);
    let body: Value = serde_json::from_slice(data).unwrap_or_default();
    let kind = match &*thrown {
        "validationException" => ErrorKind::InvalidRequest,
        "throttlingException" => ErrorKind::RateLimited,
        "serviceUnavailableException" => ErrorKind::Overloaded,
        "modelTimeoutException" => ErrorKind::Timeout,
        _ => ErrorKind::Server,
    };
    let texts = [&body["message"], &body["Message"], &body["originalMessage"]];
    let message = texts.into_iter().find_map(Value::as_str);
    ProviderError {
        status: kind.status(),
        kind,
        message: message.map_or_else(|| format!("the provider threw {thrown}"), str::to_owned),
        code: Some(thrown.into_owned()).filter(|code| !code.is_empty()),
        param: None,
        retry_after: None,
    }
}
