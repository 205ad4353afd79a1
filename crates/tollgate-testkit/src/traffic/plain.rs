//! The replay of recorded calls that have no other form: pictures, sound, moderation and counts of tokens. They pass as they are, and so are
//! compared byte by byte; forms too.

use std::{
    collections::HashMap,
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tollgate_dialects::{ErrorKind, read_error};
use tollgate_domain::{Dialect, Task};

use super::{Verdict, stage::index_of, without};
use crate::{
    Reply, ScriptedProvider, TestGateway,
    client::{self, Answer},
    meaning::difference,
    recordings::Recording,
};

/// What the routes' targets are called.
const MODEL: &str = "m";

/// A recording whose call passes as it is.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) recording: Recording,
    dialect: Dialect,
    task: Task,
    /// Where the client calls, with `{route}` where the address names it.
    path: &'static str,
    body: Body,
}

/// What was sent.
#[derive(Debug)]
enum Body {
    Json(Value),
    Form {
        content_type: String,
        bytes: Vec<u8>,
    },
}

impl Plain {
    /// Takes a recording whose call passes as it is.
    pub(super) fn of(recording: &Recording) -> Option<Self> {
        let (dialect, task, path) = address_of(recording)?;
        let body = match recording.request_body_kind.as_str() {
            "json" if recording.request_body.is_object() => {
                let enclosed = enclosed(&recording.request_body);
                Body::Json(enclosed.unwrap_or_else(|| recording.request_body.clone()))
            }
            "multipart" | "multipart-base64" => {
                let content_type = recording.request_headers.get("content-type")?.as_str()?;
                let boundary = content_type.split("boundary=").nth(1)?;
                let bytes = recording.request_bytes();
                // Some recordings leave the form out.
                if !bytes.starts_with(format!("--{boundary}").as_bytes()) {
                    return None;
                }
                Body::Form {
                    content_type: content_type.to_owned(),
                    bytes: with_model(&bytes, boundary, None),
                }
            }
            _ => return None,
        };
        Some(Self {
            recording: recording.clone(),
            dialect,
            task,
            path,
            body,
        })
    }

    /// The kind of provider that plays it.
    fn kind(&self) -> &'static str {
        match (self.recording.provider.as_str(), self.dialect, self.task) {
            ("bedrock", Dialect::AnthropicMessages, _) => "bedrock",
            ("openai", ..) | (_, Dialect::OpenaiResponses, _) => "openai",
            (_, Dialect::AnthropicMessages, _) => "anthropic",
            ("vertex", Dialect::GeminiGenerate, _) => "vertex",
            (_, Dialect::GeminiGenerate, _) => "gemini",
            ("mistral", _, Task::Speech | Task::Transcriptions | Task::Moderations) => "mistral",
            ("together", _, Task::Images | Task::Speech | Task::Transcriptions) => "together",
            ("xai", _, Task::Images) => "xai",
            _ => "custom",
        }
    }

    /// Its route, and its provider's name: one for each, so that no error sets another's provider aside.
    fn route(&self) -> String {
        format!("only-{}", self.recording.id)
    }

    /// What a client sends: the recorded body, with the route where the model was named.
    fn request(&self, model: &str) -> Vec<u8> {
        match &self.body {
            // An address names the model, and the body perhaps again.
            Body::Json(body) if self.dialect == Dialect::GeminiGenerate => {
                body.to_string().into_bytes()
            }
            Body::Json(body) => {
                let mut body = body.clone();
                body["model"] = json!(model);
                body.to_string().into_bytes()
            }
            Body::Form {
                content_type,
                bytes,
            } => {
                let boundary = content_type.split("boundary=").nth(1).unwrap_or_default();
                with_model(bytes, boundary, Some(model))
            }
        }
    }

    fn content_type(&self) -> &str {
        match &self.body {
            Body::Json(_) => "application/json",
            Body::Form { content_type, .. } => content_type,
        }
    }

    /// The provider's answer.
    fn reply(&self) -> Reply {
        let content_type = self
            .recording
            .response_headers
            .get("content-type")
            .and_then(Value::as_str)
            .unwrap_or("application/json");
        Reply::body(
            self.recording.status,
            content_type,
            self.recording.response_bytes(),
        )
    }

    /// Whether what reached the provider is what the client sent, but for the model's name.
    fn same_request(&self, received: &[u8]) -> Result<(), String> {
        let sent = self.request(MODEL);
        if let Body::Form { .. } = self.body {
            return if received == sent {
                Ok(())
            } else {
                Err("the form's bytes changed".to_owned())
            };
        }
        let bare = |bytes: &[u8]| {
            let mut bare = serde_json::from_slice(bytes).unwrap_or(Value::Null);
            // Gemini's may hold a whole question, which names the model again.
            if let Some(question) = bare.get_mut("generateContentRequest") {
                *question = without(question, &["model"]);
            }
            bare
        };
        if self.kind() == "bedrock" {
            let received = enclosed(&bare(received)).unwrap_or_default();
            return match difference(&received, &without(&bare(&sent), &["model"])) {
                Some(difference) => Err(format!("the request changed {difference}")),
                None => Ok(()),
            };
        }
        match difference(&bare(received), &bare(&sent)) {
            Some(difference) => Err(format!("the request changed {difference}")),
            None => Ok(()),
        }
    }

    /// Whether the answer is the provider's own.
    fn same_answer(&self, answer: &Answer) -> Result<(), String> {
        let said = self.recording.response_bytes();
        if self.recording.status < 400 {
            return if answer.status == self.recording.status && answer.body == said {
                Ok(())
            } else {
                Err(format!("{} {}", answer.status, answer.text()))
            };
        }
        let said = read_error(self.dialect, self.recording.status, &said);
        let heard = read_error(self.dialect, answer.status, &answer.body);
        // A refused key is the gateway's.
        let is_same = match said.kind {
            ErrorKind::Authentication => answer.status == 502,
            _ => answer.status == said.status && heard.message == said.message,
        };
        if is_same {
            Ok(())
        } else {
            Err(format!(
                "{said:?} became {} {}",
                answer.status,
                answer.text()
            ))
        }
    }
}

/// What a recording's endpoint is here: the dialect, the task and the client's address.
fn address_of(recording: &Recording) -> Option<(Dialect, Task, &'static str)> {
    let media = |task, path| Some((Dialect::OpenaiMedia, task, path));
    match (recording.endpoint.as_str(), recording.provider.as_str()) {
        ("images_generations", _) => media(Task::Images, "/v1/images/generations"),
        ("images_edits", _) => media(Task::Images, "/v1/images/edits"),
        ("images_variations", _) => media(Task::Images, "/v1/images/variations"),
        ("audio_speech", _) => media(Task::Speech, "/v1/audio/speech"),
        ("audio_transcriptions", _) => media(Task::Transcriptions, "/v1/audio/transcriptions"),
        ("audio_translations", _) => media(Task::Transcriptions, "/v1/audio/translations"),
        ("moderations", _) => media(Task::Moderations, "/v1/moderations"),
        // Of Claude; others are counted in the language of Converse.
        ("count_tokens", provider)
            if provider != "bedrock" || enclosed(&recording.request_body).is_some() =>
        {
            Some((
                Dialect::AnthropicMessages,
                Task::Chat,
                "/v1/messages/count_tokens",
            ))
        }
        ("countTokens", _) => Some((
            Dialect::GeminiGenerate,
            Task::Chat,
            "/v1beta/models/{route}:countTokens",
        )),
        ("responses_input_tokens", _) => Some((
            Dialect::OpenaiResponses,
            Task::Chat,
            "/v1/responses/input_tokens",
        )),
        ("responses_compact", _) => Some((
            Dialect::OpenaiResponses,
            Task::Chat,
            "/v1/responses/compact",
        )),
        _ => None,
    }
}

/// The call that Bedrock is asked to count, where it is one of Claude's.
fn enclosed(question: &Value) -> Option<Value> {
    let body = question["input"]["invokeModel"]["body"].as_str()?;
    serde_json::from_slice(&STANDARD.decode(body).ok()?).ok()
}

/// A form with another model in it: named in its first part, and nowhere else. Without one, without.
fn with_model(form: &[u8], boundary: &str, model: Option<&str>) -> Vec<u8> {
    let mark = format!("--{boundary}");
    let mut bytes = Vec::with_capacity(form.len() + 200);
    if let Some(model) = model {
        bytes.extend(
            format!("{mark}\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n")
                .into_bytes(),
        );
    }
    let mut rest = form;
    while !rest.is_empty() {
        let end = find(&rest[1..], mark.as_bytes()).map_or(rest.len(), |at| at + 1);
        let part = &rest[..end];
        if find(part, b"name=\"model\"").is_none() {
            bytes.extend_from_slice(part);
        }
        rest = &rest[end..];
    }
    bytes
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Replays them, one after the other; how each went, in their order.
pub(super) async fn replay(program: &Path, parts: &Arc<Vec<Plain>>) -> Vec<Verdict> {
    if parts.is_empty() {
        return Vec::new();
    }
    let received = Arc::<Mutex<HashMap<usize, Vec<u8>>>>::default();
    let seen = Arc::clone(&received);
    let script = Arc::clone(parts);
    let provider = ScriptedProvider::start(move |request| {
        let part = index_of(request).and_then(|index| Some((index, script.get(index)?)));
        let Some((index, part)) = part else {
            return Reply::json(500, &json!({"error": "no such recording"}));
        };
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(index, request.body.clone());
        part.reply()
    })
    .await;
    let gateway = TestGateway::start(program, &configuration(parts, &provider.url())).await;
    let mut verdicts = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let route = part.route();
        let trace = format!("00-{:032x}-00000000000000ff-01", index + 1);
        let answer = client::post(
            gateway.address(),
            &part.path.replace("{route}", &route),
            &[
                ("traceparent", &trace),
                ("content-type", part.content_type()),
            ],
            part.request(&route),
        )
        .await;
        let sent = received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&index);
        verdicts.push(match (answer, sent) {
            (Err(error), _) => Verdict::Failed(format!("{error:#}")),
            (Ok(answer), None) => Verdict::Failed(format!(
                "nothing reached the provider: {} {}",
                answer.status,
                answer.text()
            )),
            (Ok(answer), Some(sent)) => part
                .same_request(&sent)
                .and_then(|()| part.same_answer(&answer))
                .map_or_else(Verdict::Failed, |()| Verdict::Passed),
        });
    }
    verdicts
}

/// One provider and route for each.
fn configuration(parts: &[Plain], url: &str) -> String {
    let mut providers = String::from("providers:\n");
    let mut routes = String::from("routes:\n");
    for part in parts {
        let (name, kind) = (part.route(), part.kind());
        let base = match kind {
            "anthropic" | "gemini" => format!("base_url: \"{url}\""),
            "bedrock" => format!("base_url: \"{url}\", dialect: anthropic"),
            "vertex" => format!("base_url: \"{url}\", project: p, location: global"),
            _ => format!("base_url: \"{url}/v1\""),
        };
        // Writing to a string cannot fail.
        let _written = writeln!(
            providers,
            "  - {{name: \"{name}\", type: {kind}, {base}, api_key: k}}"
        );
        let _written = writeln!(
            routes,
            "  - {{name: \"{name}\", route_type: {}, retries: {{per_target: 0, attempts_max: 1}}, model: {{provider: \"{name}\", name: {MODEL}}}}}",
            part.task.as_str()
        );
    }
    format!("store: {{url: none}}\n{providers}{routes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forms_model_is_named_in_its_first_part() {
        let form = b"--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nold\r\n--b--\r\n";
        let changed = String::from_utf8(with_model(form, "b", Some("new"))).unwrap();
        assert_eq!(
            changed,
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nnew\r\n--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--b--\r\n"
        );
        assert!(
            !String::from_utf8(with_model(form, "b", None))
                .unwrap()
                .contains("model")
        );
    }
}
