//! The gateway and the provider between which recorded calls are replayed.

use std::{
    collections::HashMap,
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use serde_json::{Value, json};
use tollgate_domain::Dialect;

use crate::{
    Received, Reply, ScriptedProvider, TestGateway,
    client::{self, Answer},
    recordings::Recording,
};

/// A recording that can be replayed.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) recording: Recording,
    pub(super) dialect: Dialect,
    /// The kind of provider that plays it.
    kind: &'static str,
    /// Errors get a provider and a route of their own, so that they set nobody else's aside.
    route: String,
}

/// Kinds of the gateway's table that recordings are of; all others are `custom`.
const KINDS: &[&str] = &[
    "openai",
    "anthropic",
    "mlflow",
    "mistral",
    "groq",
    "together",
    "deepseek",
    "openrouter",
    "perplexity",
    "cerebras",
    "huggingface",
    "databricks",
];

impl Part {
    /// Takes a recording, if the gateway speaks its language.
    pub(super) fn of(recording: Recording) -> Option<Self> {
        let body = &recording.request_body;
        let dialect = match recording.endpoint.as_str() {
            "chat" | "openai_compat_chat" if body["messages"].is_array() => Dialect::OpenaiChat,
            "completions" if recording.provider != "replicate" && !body["prompt"].is_null() => {
                Dialect::OpenaiCompletions
            }
            "embeddings" | "openai_compat_embeddings"
                if recording.provider != "voyage" && !body["input"].is_null() =>
            {
                Dialect::OpenaiEmbeddings
            }
            "messages" | "openai_compat_messages" => Dialect::AnthropicMessages,
            "invocations" if recording.provider == "mlflow" => Dialect::MlflowServing,
            _ => return None,
        };
        if recording.request_body_kind != "json"
            || !body.is_object()
            || !matches!(
                recording.response_body_kind.as_str(),
                "json" | "sse" | "text"
            )
        {
            return None;
        }
        let spoken = |kind: &&&str| **kind == recording.provider;
        let kind = match dialect {
            Dialect::AnthropicMessages => "anthropic",
            _ if recording.provider == "anthropic" => "custom",
            _ => KINDS.iter().find(spoken).copied().unwrap_or("custom"),
        };
        let mut part = Self {
            recording,
            dialect,
            kind,
            route: String::new(),
        };
        let is_trouble = part.tells_trouble();
        part.route = if is_trouble {
            format!("only-{}", part.recording.id)
        } else {
            format!("{kind}-{}", dialect.as_str())
        };
        Some(part)
    }

    /// The name of its route for a client.
    pub(super) fn route(&self, client: Dialect) -> String {
        format!("{}-{}", self.route, client.as_str())
    }

    /// The dialects in which it is asked.
    fn clients(&self) -> impl Iterator<Item = Dialect> {
        std::iter::once(self.dialect).chain(self.other_dialect())
    }

    /// The other dialect in which a client could have asked this.
    pub(super) fn other_dialect(&self) -> Option<Dialect> {
        match self.dialect {
            Dialect::OpenaiChat => Some(Dialect::AnthropicMessages),
            Dialect::AnthropicMessages => Some(Dialect::OpenaiChat),
            Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings | Dialect::MlflowServing => None,
        }
    }

    /// The recorded request, with the route in the model's place.
    pub(super) fn request_for_client(&self) -> Value {
        let mut request = self.recording.request_body.clone();
        if self.dialect != Dialect::MlflowServing {
            request["model"] = json!(self.route(self.dialect));
        }
        request
    }

    /// Whether the client asked for a stream.
    pub(super) fn asks_for_stream(&self) -> bool {
        self.recording.request_body["stream"] == true
    }

    /// Whether an event tells usage alone, and the client did not ask for it.
    pub(super) fn is_hidden(&self, event: &str) -> bool {
        let asked = self.recording.request_body["stream_options"]["include_usage"] == true;
        let chat = matches!(
            self.dialect,
            Dialect::OpenaiChat | Dialect::OpenaiCompletions
        );
        let tells = || {
            serde_json::from_str::<Value>(event).is_ok_and(|event| {
                event["choices"].as_array().is_some_and(Vec::is_empty)
                    && event["usage"].is_object()
                    && event.get("error").is_none()
            })
        };
        chat && !asked && tells()
    }

    /// Whether the answer is an error, holds one, or breaks off.
    pub(super) fn tells_trouble(&self) -> bool {
        self.recording.status >= 400
            || self
                .recording
                .response_bytes()
                .windows(8)
                .any(|bytes| bytes == b"\"error\":")
            || !self.is_whole()
    }

    /// Whether a streamed answer comes to its proper end.
    fn is_whole(&self) -> bool {
        if self.recording.response_body_kind != "sse" {
            return true;
        }
        let events = client::events(&String::from_utf8_lossy(&self.recording.response_bytes()));
        is_complete(self, &events.iter().collect::<Vec<_>>())
    }
}

/// Whether a stream's events come to their proper end.
pub(super) fn is_complete(part: &Part, events: &[&String]) -> bool {
    let has_error = |event: &&&String| {
        serde_json::from_str::<Value>(event)
            .is_ok_and(|event| event["error"].is_object() || event["type"] == "error")
    };
    if events.iter().any(|event| has_error(&event)) {
        return false;
    }
    match part.dialect {
        Dialect::AnthropicMessages => events
            .iter()
            .any(|event| event.contains("\"message_stop\"")),
        _ => {
            let marked = events.iter().any(|event| event.trim() == "[DONE]");
            let finished = || {
                events.iter().any(|event| {
                    serde_json::from_str::<Value>(event)
                        .is_ok_and(|event| event["choices"][0]["finish_reason"].is_string())
                })
            };
            marked
                || (matches!(
                    part.kind,
                    "custom" | "perplexity" | "cerebras" | "huggingface"
                ) && finished())
        }
    }
}

/// A gateway between clients and a provider that answers as recorded.
#[derive(Debug)]
pub(super) struct Stage {
    gateway: TestGateway,
    _provider: ScriptedProvider,
    received: Arc<Mutex<HashMap<usize, Value>>>,
}

impl Stage {
    /// Starts both.
    pub(super) async fn set(program: &Path, parts: Arc<Vec<Part>>) -> Self {
        let received = Arc::<Mutex<HashMap<usize, Value>>>::default();
        let seen = Arc::clone(&received);
        let script_parts = Arc::clone(&parts);
        let provider = ScriptedProvider::start(move |request| {
            let Some(index) = index_of(request) else {
                return Reply::json(500, &json!({"error": "no trace"}));
            };
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index, request.json());
            let Some(part) = script_parts.get(index) else {
                return Reply::json(500, &json!({"error": "no such recording"}));
            };
            let recording = &part.recording;
            let reply = Reply::body(
                recording.status,
                recording.content_type(),
                recording.response_bytes(),
            );
            if recording.response_body_kind == "sse" {
                reply.dripped(700, std::time::Duration::from_micros(10))
            } else {
                reply
            }
        })
        .await;
        let gateway = TestGateway::start(program, &configuration(&parts, &provider.url())).await;
        Self {
            gateway,
            _provider: provider,
            received,
        }
    }

    /// Calls the gateway as a client of a dialect.
    pub(super) async fn call(
        &self,
        index: usize,
        part: &Part,
        client: Dialect,
        request: &Value,
    ) -> Result<Answer> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&index);
        let path = match client {
            Dialect::OpenaiChat => "/v1/chat/completions".to_owned(),
            Dialect::OpenaiCompletions => "/v1/completions".to_owned(),
            Dialect::OpenaiEmbeddings => "/v1/embeddings".to_owned(),
            Dialect::AnthropicMessages => "/v1/messages".to_owned(),
            Dialect::MlflowServing => format!("/gateway/{}/invocations", part.route(client)),
        };
        let trace = format!("00-{:032x}-00000000000000ff-01", index + 1);
        client::post(
            self.gateway.address(),
            &path,
            &[("traceparent", &trace)],
            request.to_string().into_bytes(),
        )
        .await
    }

    /// What reached the provider.
    pub(super) fn received(&self, index: usize) -> Option<Value> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&index)
            .cloned()
    }
}

/// The recording's index, from the trace that the gateway passes on.
fn index_of(request: &Received) -> Option<usize> {
    let trace = request.header("traceparent")?.split('-').nth(1)?;
    usize::from_str_radix(trace, 16).ok()?.checked_sub(1)
}

/// One provider and route for each kind and dialect, and for each recording that means trouble.
fn configuration(parts: &[Part], url: &str) -> String {
    let mut providers = String::from("providers:\n");
    let mut routes = String::from("routes:\n");
    let mut seen = std::collections::HashSet::new();
    let routes_of = |part: &'_ Part| {
        part.clients()
            .map(|client| part.route(client))
            .collect::<Vec<_>>()
    };
    for (part, name) in parts
        .iter()
        .flat_map(|part| routes_of(part).into_iter().map(move |name| (part, name)))
    {
        if !seen.insert(name.clone()) {
            continue;
        }
        let kind = part.kind;
        let address = match (part.dialect, kind) {
            (Dialect::AnthropicMessages, _) | (_, "perplexity") => {
                format!("base_url: \"{url}\", api_key: k")
            }
            (Dialect::MlflowServing, _) => format!("model_server_url: \"{url}\""),
            (_, "custom") => format!("base_url: \"{url}/v1\", stream_end: finish"),
            _ => format!("base_url: \"{url}/v1\", api_key: k"),
        };
        let task = match part.dialect {
            Dialect::OpenaiChat | Dialect::AnthropicMessages => "llm/v1/chat",
            Dialect::OpenaiCompletions => "llm/v1/completions",
            Dialect::OpenaiEmbeddings => "llm/v1/embeddings",
            Dialect::MlflowServing => "ml/v1/predict",
        };
        // Writing to a string cannot fail.
        let paths = if part.dialect == Dialect::OpenaiChat
            || part.dialect == Dialect::AnthropicMessages
            || part.dialect == Dialect::MlflowServing
        {
            ""
        } else {
            ", paths: {completions: /completions, embeddings: /embeddings}"
        };
        let _written = writeln!(
            providers,
            "  - {{name: \"{name}\", type: {kind}, {address}{paths}}}"
        );
        let _written = writeln!(
            routes,
            "  - {{name: \"{name}\", route_type: {task}, drop_unsupported: true, retries: {{per_target: 0, attempts_max: 1}}, model: {{provider: \"{name}\", name: m}}}}"
        );
    }
    format!("log: {{calls: false}}\n{providers}{routes}")
}
