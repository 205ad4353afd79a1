//! Blocks of what is said.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{
    super::{
        blocks::{DOCUMENTS, media_type_of_name, write_redacted},
        citations,
    },
    CallWriter,
};
use crate::{
    Field, MediaSource, Part, PartKind, ToolKind,
    anthropic_messages::{invalid_arguments, parse_arguments, to_map},
    fields::Place,
    gemini_generate::geminis_signature,
    json::put,
    openai_responses::is_proof,
};

/// Longest id of a tool call
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolUseBlock.html>, read 2026-11).
const ID_MAX: usize = 64;

/// Formats of sound
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_AudioBlock.html>, read 2026-11).
const SOUNDS: [&str; 12] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "m4a", "mpeg", "pcm", "webm",
];

impl CallWriter<'_> {
    /// A block; `None` where it cannot be written, or says nothing: Bedrock refuses blank texts.
    pub(super) fn block(&mut self, part: &Part) -> Option<Value> {
        let (kind, content, place) = match &part.kind {
            PartKind::Text { text, .. } | PartKind::Refusal { text }
                if !self.own && text.trim().is_empty() =>
            {
                return None;
            }
            PartKind::Text { text, citations } if !citations.is_empty() => {
                let citations = citations.iter();
                let citations: Vec<Value> = citations.filter_map(citations::write).collect();
                let content = json!({"content": [{"text": text}], "citations": citations});
                ("citationsContent", content, Place::Content)
            }
            // A text is no object that could hold more.
            PartKind::Text { text, .. } | PartKind::Refusal { text } => {
                self.extra(&part.extra, Place::Content, &mut Map::new());
                return Some(json!({"text": text}));
            }
            PartKind::Image { source, detail } => {
                if detail.is_some() {
                    self.gaps.left_out(Field::ImageDetail);
                }
                ("image", self.image(source)?, Place::Content)
            }
            PartKind::Audio { data, format } => {
                ("audio", self.audio(data, format)?, Place::Content)
            }
            PartKind::Document { source, name } => {
                let (kind, content) = self.document(source, name.as_deref(), &part.extra)?;
                (kind, content, Place::Document)
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => {
                let input = self.input(arguments, *kind);
                let content = json!({"toolUseId": self.id(id), "name": name, "input": input});
                ("toolUse", content, Place::ToolCall)
            }
            PartKind::ToolResult {
                call_id,
                content,
                is_error,
            } => {
                let content = self.tool_result(call_id, content, *is_error);
                ("toolResult", content, Place::ToolResult)
            }
            PartKind::Reasoning {
                signature: None, ..
            } if !self.own => return self.none(Field::Reasoning),
            PartKind::Reasoning {
                signature: Some(proof),
                ..
            } if is_anothers(proof) => return self.none(Field::Reasoning),
            PartKind::Reasoning { text, signature } => {
                let mut told = to_map(json!({"text": text}));
                put(&mut told, "signature", signature.clone());
                return Some(json!({"reasoningContent": {"reasoningText": told}}));
            }
            PartKind::RedactedReasoning { data } if is_anothers(data) => {
                return self.none(Field::RedactedReasoning);
            }
            PartKind::RedactedReasoning { data } => {
                let content = write_redacted(data);
                return Some(json!({"reasoningContent": {"redactedContent": content}}));
            }
            PartKind::Foreign { value } if self.own => return Some(value.clone()),
            PartKind::Foreign { value } => return self.foreign(value),
        };
        let mut content = to_map(content);
        let mut extra = part.extra.clone();
        if kind == "document" && !self.own {
            // Both are written with the document.
            extra.retain(|name, _| !matches!(name.as_str(), "context" | "citations"));
        }
        self.extra(&extra, place, &mut content);
        Some(json!({ kind: content }))
    }

    fn none<T>(&mut self, field: Field) -> Option<T> {
        self.gaps.left_out(field);
        None
    }

    // --- media ---

    fn image(&mut self, source: &MediaSource) -> Option<Value> {
        let (media_type, source) = match source {
            MediaSource::Base64 { media_type, data } => {
                (media_type.as_str(), json!({"bytes": data}))
            }
            MediaSource::Url(url) => (media_type_of_name(url).unwrap_or_default(), s3(url)),
            _ => return self.none(Field::Image),
        };
        let format = match media_type {
            "image/jpeg" | "image/jpg" => "jpeg",
            "image/gif" => "gif",
            "image/webp" => "webp",
            "image/png" | "" => "png",
            _ => return self.none(Field::Image),
        };
        if source.is_null() {
            return self.none(Field::Image);
        }
        Some(json!({"format": format, "source": source}))
    }

    fn audio(&mut self, data: &str, format: &str) -> Option<Value> {
        if !self.own && !SOUNDS.contains(&format) {
            return self.none(Field::Audio);
        }
        Some(json!({"format": format, "source": {"bytes": data}}))
    }

    /// The block's kind and content: pictures are of another kind.
    fn document(
        &mut self,
        source: &MediaSource,
        name: Option<&str>,
        extra: &Map<String, Value>,
    ) -> Option<(&'static str, Value)> {
        const FIELD: Field = Field::Document;
        let (media_type, place) = match source {
            MediaSource::Base64 { media_type, .. } if media_type.starts_with("image/") => {
                return Some(("image", self.image(source)?));
            }
            MediaSource::Base64 { media_type, data } => match media_type.as_str() {
                "" => ("application/pdf", json!({"bytes": data})),
                kind => (kind, json!({"bytes": data})),
            },
            MediaSource::Text { media_type, data } => (media_type.as_str(), json!({"text": data})),
            MediaSource::Url(url) => (media_type_of_name(url).unwrap_or_default(), s3(url)),
            MediaSource::Foreign(value) if value["type"] == "content" => {
                ("text/plain", json!({"content": texts(&value["content"])}))
            }
            MediaSource::FileId(_) | MediaSource::Foreign(_) => return self.none(FIELD),
        };
        let known = DOCUMENTS.iter().find(|(_, known)| *known == media_type);
        let format = match known {
            Some((format, _)) => *format,
            None if media_type.starts_with("text/") => "txt",
            None => return self.none(FIELD),
        };
        if place.is_null() {
            return self.none(FIELD);
        }
        let mut document = to_map(json!({"format": format, "source": place}));
        put(&mut document, "name", Some(self.document_name(name)));
        if !self.own {
            put(&mut document, "context", extra.get("context").cloned());
            put(&mut document, "citations", extra.get("citations").cloned());
        }
        Some(("document", Value::Object(document)))
    }

    /// A name of the signs that Bedrock takes, which no other document of the call has.
    fn document_name(&mut self, name: Option<&str>) -> String {
        if self.own {
            return name.unwrap_or_default().to_owned();
        }
        let name = name.unwrap_or_default();
        let stem = match name.rsplit_once('.') {
            Some((stem, _)) if !stem.is_empty() && media_type_of_name(name).is_some() => stem,
            _ => name,
        };
        let fits = |sign: char| sign.is_ascii_alphanumeric() || " -()[]".contains(sign);
        let signs = stem.chars().map(|sign| if fits(sign) { sign } else { '-' });
        let signs: String = signs.take(180).collect();
        let words: Vec<&str> = signs.split_whitespace().collect();
        let base = match words.join(" ") {
            empty if empty.is_empty() => "document".to_owned(),
            base => base,
        };
        let mut name = base.clone();
        let mut number = 1;
        while !self.document_names.insert(name.clone()) {
            number += 1;
            name = format!("{base} {number}");
        }
        name
    }

    /// Blocks of other dialects that Converse has as well.
    fn foreign(&mut self, value: &Value) -> Option<Value> {
        if value["type"] == "search_result" {
            let mut result = Map::new();
            for name in ["source", "title", "citations"] {
                put(&mut result, name, value.get(name).cloned());
            }
            put(&mut result, "content", Some(texts(&value["content"])));
            return Some(json!({"searchResult": result}));
        }
        let kind = value["type"].as_str().unwrap_or("unknown");
        self.gaps.left_out_extra(Place::Content, kind);
        None
    }

    // --- tools ---

    /// Converse's `input` is an object. Text of the model's that is none is a gap, but the block stays: a result may answer it.
    fn input(&mut self, arguments: &str, kind: ToolKind) -> Value {
        match parse_arguments(arguments) {
            Some(input) if kind != ToolKind::Custom => input,
            None if self.own => serde_json::from_str(arguments).unwrap_or_default(),
            _ => {
                self.gaps.left_out(match kind {
                    ToolKind::Custom => Field::CustomToolCall,
                    ToolKind::Function | ToolKind::Foreign => Field::ToolArguments,
                });
                invalid_arguments(arguments)
            }
        }
    }

    fn tool_result(&mut self, call_id: &str, parts: &[Part], is_error: Option<bool>) -> Value {
        let mut result = to_map(json!({"toolUseId": self.id(call_id)}));
        let blocks: Vec<Value> = parts.iter().filter_map(|part| self.block(part)).collect();
        put(&mut result, "content", Some(blocks));
        match is_error {
            Some(true) if !self.own && !self.model.knows_status() => {
                self.gaps.left_out(Field::IsError);
            }
            Some(_) if !self.own && !self.model.knows_status() => {}
            Some(is_error) => {
                let status = if is_error { "error" } else { "success" };
                put(&mut result, "status", Some(status));
            }
            None => {}
        }
        Value::Object(result)
    }

    /// An id of the signs that Bedrock takes. One that has others, or is too long, is told by its beginning and by a sum over
    /// it, so that calls and results find each other still.
    fn id(&self, id: &str) -> String {
        let fits = |sign: char| sign.is_ascii_alphanumeric() || "_.:-".contains(sign);
        if self.own || !id.is_empty() && id.len() <= ID_MAX && id.chars().all(fits) {
            return id.to_owned();
        }
        let mut told: String = id
            .chars()
            .filter(|sign| fits(*sign))
            .take(ID_MAX / 2)
            .collect();
        // FNV-1a.
        let sum = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // Writing to a string cannot fail.
        let _written = write!(told, "_{sum:016x}");
        told
    }
}

/// An object in S3; null for other addresses, which Bedrock does not fetch.
fn s3(url: &str) -> Value {
    if url.starts_with("s3://") {
        json!({"s3Location": {"uri": url}})
    } else {
        Value::Null
    }
}

/// Anthropic's text, or list of text blocks, as Converse has them.
fn texts(content: &Value) -> Value {
    match content {
        Value::String(text) => json!([{"text": text}]),
        Value::Array(blocks) => blocks
            .iter()
            .filter(|block| block["text"].is_string())
            .map(|block| json!({"text": block["text"]}))
            .collect(),
        _ => json!([]),
    }
}

/// Whether a proof of reasoning is known to come from a provider whose proofs no model on Bedrock takes.
fn is_anothers(proof: &str) -> bool {
    is_proof(proof) || geminis_signature(proof).is_some()
}
