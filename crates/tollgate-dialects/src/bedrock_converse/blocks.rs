//! Blocks of what is said, as calls and answers hold them. A block has one member, which tells its kind.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{citations, read::cache_control};
use crate::{MediaSource, Part, PartKind, ReadError, ToolKind, json::Fields};

/// What encrypted reasoning begins with that is no text in Anthropic's form; Bedrock's own form of it follows.
const NO_TEXT: &str = "bedrock:";

/// Kinds of blocks that we model.
const KINDS: [&str; 9] = [
    "text",
    "toolUse",
    "toolResult",
    "reasoningContent",
    "citationsContent",
    "image",
    "document",
    "audio",
    "cachePoint",
];

/// Reads a list of blocks. A `cachePoint` is told by what stands before it.
pub(super) fn read_blocks(fields: &mut Fields, name: &str) -> Result<Vec<Part>, ReadError> {
    let path = fields.path(name);
    let mut parts: Vec<Part> = Vec::new();
    for (index, value) in fields.list(name)?.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Value::Object(mut members) = value else {
            return Err(ReadError::shape(path, "must be an object"));
        };
        members.retain(|_, value| !value.is_null());
        // A block has one member; should it have more, what it is counts.
        let kind = KINDS.iter().find(|kind| members.contains_key(**kind));
        let kind = kind.map(|kind| (*kind).to_owned());
        let Some(kind) = kind.or_else(|| members.keys().next().cloned()) else {
            continue;
        };
        let content = members.shift_remove(&kind).unwrap_or_default();
        match (kind.as_str(), parts.last_mut()) {
            ("cachePoint", Some(last)) if last.cache_control.is_none() => {
                last.cache_control = Some(cache_control(&content));
            }
            // What nova_grounding found for the text before it.
            ("citationsContent", Some(last)) if content["content"].is_null() => {
                if let PartKind::Text { citations, .. } = &mut last.kind {
                    citations.extend(citations::read_all(&content["citations"]));
                } else {
                    parts.push(read_block(&path, &kind, content)?);
                }
            }
            _ => parts.push(read_block(&path, &kind, content)?),
        }
    }
    Ok(parts)
}

fn read_block(path: &str, kind: &str, content: Value) -> Result<Part, ReadError> {
    let path = format!("{path}.{kind}");
    let object = |content: &Value| Fields::of(path.clone(), content.clone());
    let part = match kind {
        "text" => match &content {
            Value::String(text) => Some(Part::text(text.clone())),
            _ => return Err(ReadError::shape(path, "must be a text")),
        },
        // What a tool gave, as the text that it is for the model.
        "json" => Some(Part::text(content.to_string())),
        "image" => read_image(object(&content)?)?,
        "audio" => read_audio(object(&content)?)?,
        "document" => read_document(object(&content)?)?,
        "toolUse" => read_tool_use(object(&content)?)?,
        "toolResult" => read_tool_result(object(&content)?)?,
        "reasoningContent" => read_reasoning(&content),
        "citationsContent" => Some(Part::new(PartKind::Text {
            text: texts(&content["content"]),
            citations: citations::read_all(&content["citations"]),
        })),
        _ => None,
    };
    Ok(part.unwrap_or_else(|| {
        let mut block = Map::new();
        block.insert(kind.to_owned(), content);
        foreign(Value::Object(block))
    }))
}

fn foreign(value: Value) -> Part {
    Part::new(PartKind::Foreign { value })
}

/// Texts of a list of blocks, after each other.
pub(super) fn texts(list: &Value) -> String {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|block| block["text"].as_str()).collect()
}

// === media ===

/// Where a picture or a document is; `None` where our form cannot hold it.
fn read_source(
    fields: &mut Fields,
    media_type: Option<&'static str>,
) -> Result<Option<MediaSource>, ReadError> {
    let source = fields.any("source").unwrap_or_else(|| json!({}));
    let mut source = Fields::of(fields.path("source"), source)?;
    if let (Some(data), Some(media_type)) = (source.text("bytes")?, media_type) {
        let media_type = media_type.to_owned();
        return Ok(Some(MediaSource::Base64 { media_type, data }));
    }
    if let Some(data) = source.text("text")? {
        let media_type = "text/plain".to_owned();
        return Ok(Some(MediaSource::Text { media_type, data }));
    }
    if let Some(blocks) = source.any("content") {
        let blocks = blocks.as_array().cloned().unwrap_or_default();
        let block = |block: Value| json!({"type": "text", "text": block["text"]});
        let content: Vec<Value> = blocks.into_iter().map(block).collect();
        return Ok(Some(MediaSource::Foreign(
            json!({"type": "content", "content": content}),
        )));
    }
    let location = source.any("s3Location").unwrap_or_default();
    // The file's name has to tell its format again.
    let url = location["uri"].as_str().filter(|uri| {
        let alone = location["bucketOwner"].is_null();
        alone && media_type.is_some() && media_type_of_name(uri) == media_type
    });
    Ok(url.map(|url| MediaSource::Url(url.to_owned())))
}

fn read_image(mut fields: Fields) -> Result<Option<Part>, ReadError> {
    let media_type = match fields.text("format")?.as_deref() {
        Some("png") => "image/png",
        Some("jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        _ => return Ok(None),
    };
    let Some(source) = read_source(&mut fields, Some(media_type))? else {
        return Ok(None);
    };
    let kind = PartKind::Image {
        source,
        detail: None,
    };
    Ok(Some(with_rest(kind, fields)))
}

fn read_audio(mut fields: Fields) -> Result<Option<Part>, ReadError> {
    let format = fields.required_text("format")?;
    let bytes = fields
        .peek("source")
        .and_then(|source| source["bytes"].as_str())
        .map(str::to_owned);
    drop(fields.any("source"));
    Ok(bytes.map(|data| with_rest(PartKind::Audio { data, format }, fields)))
}

fn read_document(mut fields: Fields) -> Result<Option<Part>, ReadError> {
    let format = fields.text("format")?;
    let media_type = format.as_deref().map_or(Some("text/plain"), |format| {
        DOCUMENTS
            .iter()
            .find(|(known, _)| *known == format)
            .map(|(_, media_type)| *media_type)
    });
    let Some(source) = read_source(&mut fields, media_type)? else {
        return Ok(None);
    };
    let name = fields.text("name")?;
    Ok(Some(with_rest(PartKind::Document { source, name }, fields)))
}

fn with_rest(kind: PartKind, fields: Fields) -> Part {
    Part {
        extra: fields.rest(),
        ..Part::new(kind)
    }
}

/// Formats of documents, and their media types.
pub(super) const DOCUMENTS: [(&str, &str); 9] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    ("xls", "application/vnd.ms-excel"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

/// The media type that the end of a file's name tells.
pub(super) fn media_type_of_name(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    Some(match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "htm" => "text/html",
        other => DOCUMENTS.iter().find(|(format, _)| *format == other)?.1,
    })
}

// === tools ===

fn read_tool_use(mut fields: Fields) -> Result<Option<Part>, ReadError> {
    // A tool of the provider's, which it has run itself.
    if fields
        .peek("type")
        .is_some_and(|kind| kind == "server_tool_use")
    {
        return Ok(None);
    }
    drop(fields.any("type"));
    let kind = PartKind::ToolCall {
        id: fields.required_text("toolUseId")?,
        name: fields.required_text("name")?,
        arguments: fields
            .any("input")
            .map_or_else(|| "{}".to_owned(), |input| input.to_string()),
        kind: ToolKind::Function,
    };
    Ok(Some(with_rest(kind, fields)))
}

fn read_tool_result(mut fields: Fields) -> Result<Option<Part>, ReadError> {
    // What a tool of the provider's has found.
    let of_server = fields
        .peek("type")
        .is_some_and(|kind| kind != "tool_result");
    if of_server {
        return Ok(None);
    }
    drop(fields.any("type"));
    let status = fields.text("status")?;
    let kind = PartKind::ToolResult {
        call_id: fields.required_text("toolUseId")?,
        content: read_blocks(&mut fields, "content")?,
        is_error: status.map(|status| status == "error"),
    };
    Ok(Some(with_rest(kind, fields)))
}

// === reasoning ===

fn read_reasoning(content: &Value) -> Option<Part> {
    if let Some(data) = content["redactedContent"].as_str() {
        let data = read_redacted(data);
        return Some(Part::new(PartKind::RedactedReasoning { data }));
    }
    let told = content["reasoningText"].as_object()?;
    let text = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
    Some(Part::new(PartKind::Reasoning {
        text: text("text").unwrap_or_default(),
        signature: text("signature"),
    }))
}

/// Encrypted reasoning in Anthropic's form: Bedrock has that as bytes, and bytes as base64.
pub(super) fn read_redacted(content: &str) -> String {
    let text = STANDARD.decode(content).ok();
    text.and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| !text.starts_with(NO_TEXT))
        .unwrap_or_else(|| format!("{NO_TEXT}{content}"))
}

/// Encrypted reasoning in Bedrock's form.
pub(super) fn write_redacted(data: &str) -> String {
    match data.strip_prefix(NO_TEXT) {
        Some(content) => content.to_owned(),
        None => STANDARD.encode(data),
    }
}
