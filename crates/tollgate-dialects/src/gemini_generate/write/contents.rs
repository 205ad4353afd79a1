//! The conversation: who speaks, and the parts of what is said.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{
    super::{
        proofs,
        read::{MADE_UP, is_object},
    },
    CallWriter,
};
use crate::{
    Field, MediaSource, Message, Part, PartKind, Role, ToolKind,
    anthropic_messages::{invalid_arguments, parse_arguments, to_map},
    fields::Place,
    json::put,
    openai_chat::REASONING_FIELDS,
};

/// Fields that belong to the function's call or answer, and not to the part around it.
const INNER: [&str; 4] = ["partialArgs", "willContinue", "scheduling", "response"];

/// What one speaker says in a row.
struct Turn {
    role: Option<&'static str>,
    parts: Vec<Value>,
    extra: Map<String, Value>,
    /// It holds functions' answers, and the user's words that came with them follow.
    is_open: bool,
}

/// Proofs that wait for the part that they belong to, and what is known of the parts to come.
#[derive(Default)]
struct Proofs {
    waiting: Vec<String>,
    /// Those that calls have with them.
    taken: Vec<String>,
    /// Calls that are still to come and have no proof of their own.
    calls_to_come: usize,
}

impl CallWriter<'_> {
    /// Writes `systemInstruction` and `contents`.
    pub(super) fn conversation(&mut self, body: &mut Map<String, Value>) {
        let mut system = Turn::new(None, Vec::new());
        let mut turns = Vec::new();
        for message in &self.call.messages {
            self.message(message, &mut system, &mut turns);
        }
        // Somebody has to speak; with OpenAI the operator may be the only one.
        if !self.own && turns.is_empty() && !system.parts.is_empty() {
            turns.push(Turn::new(Some("user"), std::mem::take(&mut system.parts)));
        }
        let has_system = !system.parts.is_empty() || !system.extra.is_empty();
        put(
            body,
            "systemInstruction",
            has_system.then(|| system.write()),
        );
        let contents: Vec<Value> = turns.into_iter().map(Turn::write).collect();
        put(body, "contents", Some(contents));
    }

    fn message(&mut self, message: &Message, system: &mut Turn, turns: &mut Vec<Turn>) {
        let parts = self.parts_of(message);
        let role = match message.role {
            Role::System | Role::Developer => {
                if !turns.is_empty() {
                    self.gaps.left_out(Field::SystemMidway);
                }
                system.parts.extend(parts);
                if self.own {
                    system.extra.extend(message.extra.clone());
                }
                return;
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        let mut turn = Turn::new(Some(role), parts);
        if self.own {
            turn.extra.clone_from(&message.extra);
            turn.is_open = message.role == Role::Tool;
        } else if turn.parts.is_empty() {
            return;
        }
        match turns.last_mut() {
            // Gemini's calls come as they were, but for answers and words that were one content.
            Some(last) if last.role == Some(role) && (!self.own || last.is_open) => last.join(turn),
            _ => turns.push(turn),
        }
    }

    fn parts_of(&mut self, message: &Message) -> Vec<Value> {
        if message.name.is_some() && message.role != Role::Tool {
            self.gaps.left_out(Field::SpeakerName);
        }
        let mut proofs = Proofs::default();
        if !self.own {
            let names = message.extra.keys().map(String::as_str);
            // Reasoning is among the parts as well.
            for name in names.filter(|name| !REASONING_FIELDS.contains(name)) {
                match signature_in(&message.extra).filter(|_| name == EXTRA_CONTENT) {
                    Some(signature) => proofs.waiting.push(signature.to_owned()),
                    None => self.gaps.left_out_extra(Place::Message, name),
                }
            }
            let is_unproved = |part: &&Part| {
                matches!(part.kind, PartKind::ToolCall { .. })
                    && signature_in(&part.extra).is_none()
            };
            proofs.calls_to_come = message.content.iter().filter(is_unproved).count().min(1);
            let taken = message.content.iter();
            let taken = taken.filter_map(|part| signature_in(&part.extra));
            proofs.taken = taken.map(str::to_owned).collect();
        }
        let mut written = Vec::new();
        let mut after = Vec::new();
        for part in &message.content {
            self.part(part, message, &mut proofs, &mut written, &mut after);
        }
        if self.model.wants_proofs() && !self.own {
            prove_calls(&mut written);
        }
        // What belongs to no part comes in an empty one, as in Gemini's own streams.
        let rest = proofs.waiting.into_iter();
        written.extend(rest.map(|proof| json!({"text": "", "thoughtSignature": proof})));
        written.append(&mut after);
        written
    }

    /// Writes a part, with its proof. `after`: what has to come after all functions' answers.
    fn part(
        &mut self,
        part: &Part,
        message: &Message,
        proofs: &mut Proofs,
        written: &mut Vec<Value>,
        after: &mut Vec<Value>,
    ) {
        if part.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        let (mut content, place, proof) = match &part.kind {
            PartKind::RedactedReasoning { data } => return self.proof(data, proofs),
            PartKind::Text { text, .. } | PartKind::Refusal { text }
                if !self.own && text.is_empty() =>
            {
                return;
            }
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.gaps.left_out(Field::Citations);
                }
                let proof = proofs.of_text(self.own);
                (to_map(json!({"text": text})), Place::Content, proof)
            }
            PartKind::Refusal { text } => (to_map(json!({"text": text})), Place::Content, None),
            PartKind::Reasoning { text, signature } => {
                let Some(thought) = self.thought(text, signature.as_deref()) else {
                    return;
                };
                (thought, Place::Content, None)
            }
            PartKind::ToolCall {
                id,
                name,
                arguments,
                kind,
            } => {
                let call = self.call_part(id, name, arguments, *kind);
                let own_proof = signature_in(&part.extra).filter(|_| !self.own);
                let proof = proofs.of_call(own_proof);
                (call, Place::ToolCall, proof)
            }
            PartKind::ToolResult {
                call_id,
                content,
                is_error,
            } => {
                let result = self.result(call_id, message, content, *is_error, after);
                (result, Place::ToolResult, proofs.of_other())
            }
            PartKind::Foreign { value } if self.own => {
                let mut value = to_map(value.clone());
                value.shift_remove("type");
                (value, Place::Content, proofs.of_other())
            }
            PartKind::Foreign { value } => {
                let kind = value["type"].as_str().unwrap_or("unknown");
                return self.gaps.left_out_extra(Place::Content, kind);
            }
            media => {
                let place = match media {
                    PartKind::Document { .. } => Place::Document,
                    _ => Place::Content,
                };
                let Some(media) = self.media(media, &part.extra) else {
                    return;
                };
                (media, place, proofs.of_other())
            }
        };
        put(&mut content, "thoughtSignature", proof);
        self.part_extra(part, place, &mut content);
        written.push(Value::Object(content));
    }

    /// Fields of a part that nothing models.
    fn part_extra(&mut self, part: &Part, place: Place, content: &mut Map<String, Value>) {
        for (name, value) in &part.extra {
            match name.as_str() {
                // Found its place among the proofs.
                EXTRA_CONTENT if !self.own && signature_in(&part.extra).is_some() => {}
                _ if !self.own => self.gaps.left_out_extra(place, name),
                // Found its place in the file.
                "mimeType" => {}
                name if INNER.contains(&name) => {
                    let object = content.values_mut().find_map(Value::as_object_mut);
                    if let Some(object) = object {
                        object.insert(name.to_owned(), value.clone());
                    }
                }
                name => {
                    content.insert(name.to_owned(), value.clone());
                }
            }
        }
    }

    /// Holds a proof back for its part.
    fn proof(&mut self, data: &str, proofs: &mut Proofs) {
        match proofs::geminis_signature(data) {
            Some(signature) => proofs.wait(signature),
            None if self.own => proofs.waiting.push(proofs::to_wire(data)),
            None => self.gaps.left_out(Field::RedactedReasoning),
        }
    }

    /// A thought; its proof goes along only if it is Gemini's.
    fn thought(&mut self, text: &str, signature: Option<&str>) -> Option<Map<String, Value>> {
        let signature = signature.filter(|signature| !signature.is_empty());
        let proof = match signature {
            Some(proof) if self.own => Some(proofs::to_wire(proof)),
            Some(proof) => proofs::geminis_signature(proof).map(str::to_owned),
            None => None,
        };
        if signature.is_some() && proof.is_none() {
            self.gaps.left_out(Field::Reasoning);
        }
        if text.is_empty() && proof.is_none() && !self.own {
            return None;
        }
        let mut thought = to_map(json!({"text": text, "thought": true}));
        put(&mut thought, "thoughtSignature", proof);
        Some(thought)
    }

    fn call_part(
        &mut self,
        id: &str,
        name: &str,
        arguments: &str,
        kind: ToolKind,
    ) -> Map<String, Value> {
        let args = match parse_arguments(arguments) {
            Some(args) if kind != ToolKind::Custom => args,
            // Its own calls may hold anything, as they came.
            None if self.own => serde_json::from_str(arguments).unwrap_or_default(),
            _ => {
                self.gaps.left_out(match kind {
                    ToolKind::Custom => Field::CustomToolCall,
                    ToolKind::Function | ToolKind::Foreign => Field::ToolArguments,
                });
                invalid_arguments(arguments)
            }
        };
        let mut call = Map::new();
        put(&mut call, "id", self.id(id));
        put(&mut call, "name", Some(name));
        put(&mut call, "args", Some(args));
        to_map(json!({"functionCall": call}))
    }

    /// The id of a call, unless our reader made it up.
    fn id<'a>(&self, id: &'a str) -> Option<&'a str> {
        Some(id).filter(|id| !(id.is_empty() || self.own && id.starts_with(MADE_UP)))
    }

    fn result(
        &mut self,
        call_id: &str,
        message: &Message,
        content: &[Part],
        is_error: Option<bool>,
        after: &mut Vec<Value>,
    ) -> Map<String, Value> {
        let mut texts = Vec::new();
        let mut media = Vec::new();
        for part in content {
            match &part.kind {
                PartKind::Text { text, .. } | PartKind::Refusal { text } => {
                    self.result_extra(part);
                    texts.push(Cow::Borrowed(text.as_str()));
                }
                _ => {
                    let (mut written, mut after) = (Vec::new(), Vec::new());
                    let proofs = &mut Proofs::default();
                    self.part(part, message, proofs, &mut written, &mut after);
                    for part in written {
                        match only_text(&part) {
                            Some(text) if !self.own => texts.push(Cow::Owned(text.to_owned())),
                            _ => media.push(part),
                        }
                    }
                }
            }
        }
        let has_text = !texts.is_empty();
        let text = texts.join("\n");
        let response = if is_error == Some(true) {
            json!({"error": text})
        } else if is_object(&text) {
            serde_json::from_str(&text).unwrap_or_default()
        } else {
            json!({"output": text})
        };
        let mut result = Map::new();
        put(&mut result, "id", self.id(call_id));
        let name = self.name_of(call_id).or(message.name.as_deref());
        put(&mut result, "name", Some(name.unwrap_or(call_id)));
        let response = (has_text || !self.own).then_some(response);
        put(&mut result, "response", response);
        if !media.is_empty() {
            if self.own || self.model.takes_media_of_tools() {
                put(&mut result, "parts", Some(media));
            } else {
                self.gaps.left_out(Field::ToolResultMedia);
                after.append(&mut media);
            }
        }
        to_map(json!({"functionResponse": result}))
    }

    fn result_extra(&mut self, part: &Part) {
        if part.cache_control.is_some() {
            self.gaps.left_out(Field::CacheControl);
        }
        if !self.own {
            for name in part.extra.keys() {
                self.gaps.left_out_extra(Place::Content, name);
            }
        }
    }

    /// The function that was called under an id.
    fn name_of(&self, call_id: &str) -> Option<&str> {
        let parts = self.call.messages.iter().rev();
        let mut parts = parts.flat_map(|message| &message.content);
        parts.find_map(|part| match &part.kind {
            PartKind::ToolCall { id, name, .. } if id == call_id => Some(name.as_str()),
            _ => None,
        })
    }

    // --- media ---

    fn media(&mut self, kind: &PartKind, extra: &Map<String, Value>) -> Option<Map<String, Value>> {
        match kind {
            PartKind::Image { source, detail } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.gaps.left_out(Field::ImageDetail);
                }
                self.source(source, "image/png", Field::Image, None, extra)
            }
            PartKind::Document { source, name } => {
                let name = name.as_deref();
                self.source(source, "application/pdf", Field::Document, name, extra)
            }
            PartKind::Audio { data, format } => {
                Some(inline(&format!("audio/{format}"), data, None))
            }
            _ => None,
        }
    }

    fn source(
        &mut self,
        source: &MediaSource,
        otherwise: &str,
        field: Field,
        name: Option<&str>,
        extra: &Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        match source {
            MediaSource::Base64 { media_type, data } => {
                let media_type = Some(media_type.as_str()).filter(|kind| !kind.is_empty());
                // The Gemini API itself refuses names.
                let name = name.filter(|_| self.own);
                Some(inline(media_type.unwrap_or(otherwise), data, name))
            }
            // Text needs no file around it.
            MediaSource::Text { data, .. } => {
                let text = name.map_or_else(|| data.clone(), |name| format!("{name}\n\n{data}"));
                Some(to_map(json!({"text": text})))
            }
            MediaSource::Url(uri) if self.own || !uri.starts_with("data:") => {
                let told = extra.get("mimeType").and_then(Value::as_str);
                let kind = told.filter(|_| self.own);
                let kind = kind.or((!self.own).then(|| media_type_of(uri, otherwise)));
                Some(file(uri, kind, name.filter(|_| self.own)))
            }
            MediaSource::FileId(uri) if self.own => {
                let kind = extra.get("mimeType").and_then(Value::as_str);
                Some(file(uri, kind, name))
            }
            MediaSource::Url(_) | MediaSource::FileId(_) | MediaSource::Foreign(_) => {
                self.gaps.left_out(field);
                None
            }
        }
    }
}

/// The text of a part that is nothing else, such as a document of text.
fn only_text(part: &Value) -> Option<&str> {
    let part = part.as_object().filter(|part| part.len() == 1)?;
    part.get("text")?.as_str()
}

/// Google's place in OpenAI's messages and tool calls, as its own OpenAI-compatible address has it
/// (<https://ai.google.dev/gemini-api/docs/openai>, read 2026-11).
const EXTRA_CONTENT: &str = "extra_content";

fn signature_in(extra: &Map<String, Value>) -> Option<&str> {
    extra.get(EXTRA_CONTENT)?["google"]["thought_signature"].as_str()
}

fn inline(media_type: &str, data: &str, name: Option<&str>) -> Map<String, Value> {
    let mut blob = to_map(json!({"mimeType": media_type, "data": data}));
    put(&mut blob, "displayName", name);
    to_map(json!({"inlineData": blob}))
}

fn file(uri: &str, media_type: Option<&str>, name: Option<&str>) -> Map<String, Value> {
    let mut file = Map::new();
    put(&mut file, "mimeType", media_type);
    put(&mut file, "fileUri", Some(uri));
    put(&mut file, "displayName", name);
    to_map(json!({"fileData": file}))
}

/// What an address leads to, as far as it tells.
fn media_type_of<'a>(uri: &str, otherwise: &'a str) -> &'a str {
    let path = uri.split(['?', '#']).next().unwrap_or(uri);
    let ending = path.rsplit('.').next().unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        // Most pictures are.
        _ if otherwise == "image/png" => "image/jpeg",
        _ => otherwise,
    }
}

/// Gives the first call of a turn the proof that stands for none, where no call has one: other models' calls have none.
fn prove_calls(parts: &mut [Value]) {
    let mut calls = parts
        .iter_mut()
        .filter(|part| part["functionCall"].is_object());
    if let Some(Value::Object(first)) = calls.next() {
        first
            .entry("thoughtSignature")
            .or_insert_with(|| json!(proofs::NOT_OUR_OWN));
    }
}

// === impl Proofs ===

impl Proofs {
    /// Holds a proof back; the same may be told twice.
    fn wait(&mut self, proof: &str) {
        let is_known = |known: &String| known == proof;
        if !self.taken.iter().any(is_known) && !self.waiting.iter().any(is_known) {
            self.waiting.push(proof.to_owned());
        }
    }

    /// In its own calls a proof stands directly before its part. Others' have them in front of everything, so that a text leaves
    /// to a call what that one needs.
    fn of_text(&mut self, own: bool) -> Option<String> {
        let is_free = own || self.waiting.len() > self.calls_to_come;
        (is_free && !self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    fn of_call(&mut self, own_proof: Option<&str>) -> Option<String> {
        if own_proof.is_some() {
            return own_proof.map(str::to_owned);
        }
        self.calls_to_come = 0;
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    fn of_other(&mut self) -> Option<String> {
        self.of_call(None)
    }
}

// === impl Turn ===

impl Turn {
    fn new(role: Option<&'static str>, parts: Vec<Value>) -> Self {
        Self {
            role,
            parts,
            extra: Map::new(),
            is_open: false,
        }
    }

    fn join(&mut self, more: Self) {
        self.parts.extend(more.parts);
        self.extra.extend(more.extra);
        self.is_open = more.is_open;
    }

    fn write(self) -> Value {
        let mut content = Map::new();
        put(&mut content, "role", self.role);
        put(&mut content, "parts", Some(self.parts));
        content.extend(self.extra);
        Value::Object(content)
    }
}
