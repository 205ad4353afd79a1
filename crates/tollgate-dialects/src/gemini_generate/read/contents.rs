//! The conversation: who speaks, and the parts of what is said.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::super::{
    proofs,
    wire::{camel, take_list},
};
use crate::{MediaSource, Message, Part, PartKind, ReadError, Role, ToolKind, json::Fields};

/// Begins the ids of calls that came without one. They are not written back.
pub(in super::super) const MADE_UP: &str = "gemini_call_";

/// Fields of a part that hold what it is; it has one of them.
const DATA: [&str; 5] = [
    "text",
    "functionCall",
    "functionResponse",
    "inlineData",
    "fileData",
];

/// Takes the operator's words and the conversation.
pub(super) fn read(fields: &mut Fields) -> Result<Vec<Message>, ReadError> {
    let mut reader = Reader::default();
    if let Some(system) = fields.any("systemInstruction") {
        reader.system(fields.path("systemInstruction"), system)?;
    }
    if fields.peek("contents").is_none() {
        return Err(fields.error("contents", "is missing; it must be a list of contents"));
    }
    for (index, value) in take_list(fields, "contents")?.into_iter().enumerate() {
        reader.content(camel(format!("contents[{index}]"), value)?)?;
    }
    Ok(reader.messages)
}

#[derive(Default)]
struct Reader {
    messages: Vec<Message>,
    /// How many functions were called.
    calls: usize,
    /// Calls without their results: id and name.
    open: VecDeque<(String, String)>,
}

impl Reader {
    fn system(&mut self, path: String, value: Value) -> Result<(), ReadError> {
        if let Value::String(text) = value {
            self.push(Role::System, vec![Part::text(text)], Map::new());
            return Ok(());
        }
        let mut fields = camel(path, value)?;
        // Whose words they are is told by their place.
        drop(fields.any("role"));
        let parts = self.parts(&mut fields)?;
        self.push(Role::System, parts, fields.rest());
        Ok(())
    }

    /// What the user says may hold functions' results: those are a message of their own, which comes first, as they answer what was
    /// said before.
    fn content(&mut self, mut fields: Fields) -> Result<(), ReadError> {
        let role = match fields.text("role")?.as_deref() {
            None | Some("user" | "function" | "tool") => Role::User,
            Some("model") => Role::Assistant,
            Some(_) => return Err(fields.error("role", "must be user or model")),
        };
        let parts = self.parts(&mut fields)?;
        let is_result =
            |part: &Part| role == Role::User && matches!(part.kind, PartKind::ToolResult { .. });
        let (results, rest): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(is_result);
        let mut extra = fields.rest();
        let has_results = !results.is_empty();
        if has_results {
            let extra = if rest.is_empty() {
                std::mem::take(&mut extra)
            } else {
                Map::new()
            };
            self.push(Role::Tool, results, extra);
        }
        if !rest.is_empty() || !has_results {
            self.push(role, rest, extra);
        }
        Ok(())
    }

    fn push(&mut self, role: Role, content: Vec<Part>, extra: Map<String, Value>) {
        self.messages.push(Message {
            role,
            name: None,
            content,
            extra,
        });
    }

    fn parts(&mut self, fields: &mut Fields) -> Result<Vec<Part>, ReadError> {
        let path = fields.path("parts");
        let mut read = Vec::new();
        for (index, value) in take_list(fields, "parts")?.into_iter().enumerate() {
            self.part(camel(format!("{path}[{index}]"), value)?, &mut read)?;
        }
        Ok(read)
    }

    fn part(&mut self, mut fields: Fields, read: &mut Vec<Part>) -> Result<(), ReadError> {
        let Some(data) = DATA.into_iter().find(|name| fields.peek(name).is_some()) else {
            return self.other(fields, read);
        };
        if fields.peek("thought") == Some(&Value::Bool(false)) {
            drop(fields.any("thought"));
        }
        if data == "text" && fields.peek("thought") == Some(&Value::Bool(true)) {
            return self.thought(fields, read);
        }
        if let Some(signature) = fields.text("thoughtSignature")? {
            let data = proofs::from_wire(&signature);
            read.push(Part::new(PartKind::RedactedReasoning { data }));
        }
        let mut extra = Map::new();
        let kind = match data {
            "text" => PartKind::Text {
                text: fields.required_text("text")?,
                citations: Vec::new(),
            },
            "functionCall" => self.call(&mut fields, &mut extra)?,
            "functionResponse" => self.result(&mut fields, &mut extra)?,
            "inlineData" => read_inline(&mut fields, &mut extra)?,
            _ => read_file(&mut fields, &mut extra)?,
        };
        extra.extend(fields.rest());
        read.push(Part {
            kind,
            cache_control: None,
            extra,
        });
        Ok(())
    }

    fn call(
        &mut self,
        fields: &mut Fields,
        extra: &mut Map<String, Value>,
    ) -> Result<PartKind, ReadError> {
        let mut call = inner(fields, "functionCall")?;
        let name = call.required_text("name")?;
        self.calls += 1;
        let id = call.text("id")?.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("{MADE_UP}{}", self.calls));
        self.open.push_back((id.clone(), name.clone()));
        let arguments = call
            .any("args")
            .map_or_else(|| "{}".to_owned(), |args| args.to_string());
        extra.extend(call.rest());
        Ok(PartKind::ToolCall {
            id,
            name,
            arguments,
            kind: ToolKind::Function,
        })
    }

    fn result(
        &mut self,
        fields: &mut Fields,
        extra: &mut Map<String, Value>,
    ) -> Result<PartKind, ReadError> {
        let mut result = inner(fields, "functionResponse")?;
        let name = result.text("name")?.unwrap_or_default();
        let id = result.text("id")?.filter(|id| !id.is_empty());
        let call_id = self.answered(id, &name);
        let (mut content, is_error) = read_response(result.any("response"));
        let path = result.path("parts");
        for (index, value) in take_list(&mut result, "parts")?.into_iter().enumerate() {
            self.part(camel(format!("{path}[{index}]"), value)?, &mut content)?;
        }
        extra.extend(result.rest());
        Ok(PartKind::ToolResult {
            call_id,
            content,
            is_error,
        })
    }

    /// Thoughts. Clients that heard them as a stream send them in pieces, each in a content of its own, of which the last holds the
    /// proof of all.
    fn thought(&mut self, mut fields: Fields, read: &mut Vec<Part>) -> Result<(), ReadError> {
        drop(fields.any("thought"));
        let mut text = fields.text("text")?.unwrap_or_default();
        let signature = fields.text("thoughtSignature")?;
        let signature = signature.map(|signature| proofs::from_wire(&signature));
        if text.is_empty() && signature.is_some() {
            take_pieces(read, &mut text);
            while read.is_empty()
                && let Some(last) = self.messages.last_mut()
                && last.role == Role::Assistant
            {
                take_pieces(&mut last.content, &mut text);
                if !last.content.is_empty() {
                    break;
                }
                self.messages.pop();
            }
        }
        read.push(Part {
            kind: PartKind::Reasoning { text, signature },
            cache_control: None,
            extra: fields.rest(),
        });
        Ok(())
    }

    /// What only Gemini understands (code that it ran, and the like) stays whole, with the name of what it is as its type. A part with
    /// a proof and nothing else is a thought.
    fn other(&mut self, fields: Fields, read: &mut Vec<Part>) -> Result<(), ReadError> {
        let is_proved = fields.peek("thoughtSignature").is_some();
        let mut part = fields.rest();
        let mut names = part.keys();
        let kind = names.find(|name| !["thought", "thoughtSignature"].contains(&name.as_str()));
        if let Some(kind) = kind.cloned() {
            part.shift_insert(0, "type".to_owned(), Value::String(kind));
            let value = Value::Object(part);
            read.push(Part::new(PartKind::Foreign { value }));
        } else if is_proved {
            self.thought(Fields::of("", Value::Object(part))?, read)?;
        }
        Ok(())
    }

    /// Which call a result answers: the one of its id, else the first of its name that has no answer yet.
    fn answered(&mut self, id: Option<String>, name: &str) -> String {
        let position = match &id {
            Some(id) => self.open.iter().position(|(open, _)| open == id),
            None => {
                let of_name = self.open.iter().position(|(_, open)| open == name);
                of_name.or_else(|| (!self.open.is_empty()).then_some(0))
            }
        };
        let call = position.and_then(|position| self.open.remove(position));
        id.or_else(|| call.map(|(id, _)| id))
            .unwrap_or_else(|| format!("{MADE_UP}0"))
    }
}

/// An object within a part.
fn inner(fields: &mut Fields, name: &str) -> Result<Fields, ReadError> {
    camel(fields.path(name), fields.any(name).unwrap_or_default())
}

/// Takes the thoughts without a proof that stand last: pieces of one that is.
fn take_pieces(parts: &mut Vec<Part>, text: &mut String) {
    let is_piece = |part: &Part| {
        matches!(
            part.kind,
            PartKind::Reasoning {
                signature: None,
                ..
            }
        )
    };
    let pieces = parts.iter().rev().take_while(|part| is_piece(part)).count();
    let pieces = parts.drain(parts.len() - pieces..);
    let pieces = pieces.filter_map(|part| match part.kind {
        PartKind::Reasoning { text, .. } => Some(text),
        _ => None,
    });
    text.insert_str(0, &pieces.collect::<String>());
}

/// A function's answer: its `output` or `error` where there is nothing else and it is no JSON object itself, else the whole object as
/// JSON.
fn read_response(response: Option<Value>) -> (Vec<Part>, Option<bool>) {
    let Some(response) = response else {
        return (Vec::new(), None);
    };
    let alone = |name: &str| match &response {
        Value::Object(members) if members.len() == 1 => members
            .get(name)?
            .as_str()
            .filter(|text| !is_object(text))
            .map(str::to_owned),
        _ => None,
    };
    if let Some(text) = alone("output") {
        return (vec![Part::text(text)], None);
    }
    if let Some(text) = alone("error") {
        return (vec![Part::text(text)], Some(true));
    }
    (vec![Part::text(response.to_string())], None)
}

/// Whether a text is a JSON object.
pub(in super::super) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

// === media ===

fn read_inline(fields: &mut Fields, extra: &mut Map<String, Value>) -> Result<PartKind, ReadError> {
    let mut blob = inner(fields, "inlineData")?;
    let media_type = blob.text("mimeType")?.unwrap_or_default();
    // Google's clients write the other alphabet.
    let data = blob.text("data")?.unwrap_or_default();
    let data = if data.contains(['-', '_']) {
        data.replace('-', "+").replace('_', "/")
    } else {
        data
    };
    let name = blob.text("displayName")?;
    extra.extend(blob.rest());
    Ok(match media_type.split_once('/') {
        Some(("audio", format)) => {
            extra.extend(name.map(|name| ("displayName".to_owned(), Value::String(name))));
            PartKind::Audio {
                data,
                format: match format {
                    "mpeg" | "mpeg3" => "mp3",
                    "x-wav" | "wave" => "wav",
                    format => format,
                }
                .to_owned(),
            }
        }
        Some(("image", _)) => {
            extra.extend(name.map(|name| ("displayName".to_owned(), Value::String(name))));
            PartKind::Image {
                source: MediaSource::Base64 { media_type, data },
                detail: None,
            }
        }
        _ => PartKind::Document {
            source: MediaSource::Base64 { media_type, data },
            name,
        },
    })
}

/// A file that was uploaded to Google before, or that is found at an address.
fn read_file(fields: &mut Fields, extra: &mut Map<String, Value>) -> Result<PartKind, ReadError> {
    let mut file = inner(fields, "fileData")?;
    let media_type = file.text("mimeType")?;
    let uri = file.required_text("fileUri")?;
    let name = file.text("displayName")?;
    extra.extend(file.rest());
    let is_picture = media_type
        .as_deref()
        .is_some_and(|kind| kind.starts_with("image/"));
    extra.extend(media_type.map(|kind| ("mimeType".to_owned(), Value::String(kind))));
    let source = if is_address(&uri) {
        MediaSource::Url(uri)
    } else {
        MediaSource::FileId(uri)
    };
    if is_picture {
        extra.extend(name.map(|name| ("displayName".to_owned(), Value::String(name))));
        return Ok(PartKind::Image {
            source,
            detail: None,
        });
    }
    Ok(PartKind::Document { source, name })
}

/// Whether an address is one that anybody can open.
fn is_address(uri: &str) -> bool {
    let is_web = uri.starts_with("https://") || uri.starts_with("http://");
    is_web && !uri.contains("generativelanguage.googleapis.com/")
}
