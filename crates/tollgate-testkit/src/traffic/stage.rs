//! The gateway and the provider between which recorded calls are replayed.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tollgate_domain::{Dialect, Framing, Task};

use super::{costs, gist};
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
    "azure",
    "anthropic",
    "mlflow",
    "alibaba",
    "baseten",
    "cerebras",
    "cloudflare",
    "databricks",
    "deepseek",
    "doubleword",
    "fireworks",
    "groq",
    "huggingface",
    "hyperbolic",
    "llamacpp",
    "mistral",
    "nebius",
    "novita",
    "ollama",
    "openrouter",
    "perplexity",
    "sambanova",
    "together",
    "venice",
    "vercel",
    "vllm",
    "xai",
    "xiaomi",
    "zai",
];

/// Kinds whose streams may end without an end mark.
const WITHOUT_END_MARK: &[&str] = &["custom", "baseten", "cerebras", "huggingface", "perplexity"];

/// Kinds that serve OpenAI's responses as well as its chat.
const SERVE_RESPONSES: &[&str] = &[
    "openai",
    "azure",
    "deepseek",
    "xai",
    "openrouter",
    "vllm",
    "llamacpp",
];

/// Dialects that the gateway speaks.
const SPOKEN: &[Dialect] = &[
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::OpenaiCompletions,
    Dialect::OpenaiEmbeddings,
    Dialect::AnthropicMessages,
    Dialect::OllamaChat,
    Dialect::OllamaGenerate,
    Dialect::OllamaEmbeddings,
    Dialect::OllamaOldEmbeddings,
    Dialect::GeminiGenerate,
    Dialect::GeminiEmbeddings,
    Dialect::CohereChat,
    Dialect::CohereEmbeddings,
    Dialect::CohereOldEmbeddings,
    Dialect::CohereRerank,
    Dialect::VoyageEmbeddings,
    Dialect::VoyageRerank,
    Dialect::MlflowServing,
    Dialect::BedrockConverse,
    Dialect::BedrockEmbeddings,
    Dialect::VertexEmbeddings,
];

/// The dialect of a recording, by its provider's endpoint and what the body holds.
fn dialect_of(recording: &Recording) -> Option<Dialect> {
    let body = &recording.request_body;
    let dialect = match (recording.endpoint.as_str(), recording.provider.as_str()) {
        ("chat" | "openai_compat_chat" | "mantle_chat", _) if body["messages"].is_array() => {
            Dialect::OpenaiChat
        }
        ("responses" | "mantle_responses", _) if !body["input"].is_null() => {
            Dialect::OpenaiResponses
        }
        ("completions", provider) if provider != "replicate" && !body["prompt"].is_null() => {
            Dialect::OpenaiCompletions
        }
        ("embeddings", "voyage") if !body["input"].is_null() => Dialect::VoyageEmbeddings,
        ("rerank", "voyage") => Dialect::VoyageRerank,
        ("embeddings" | "openai_compat_embeddings", _) if !body["input"].is_null() => {
            Dialect::OpenaiEmbeddings
        }
        ("messages" | "openai_compat_messages", _) => Dialect::AnthropicMessages,
        // Claude on Vertex AI.
        ("rawPredict" | "streamRawPredict", _) if body["messages"].is_array() => {
            Dialect::AnthropicMessages
        }
        ("generateContent" | "streamGenerateContent", _) => Dialect::GeminiGenerate,
        ("embedContent" | "batchEmbedContents", _) => Dialect::GeminiEmbeddings,
        ("chat_v2", _) => Dialect::CohereChat,
        ("embed_v2", _) => Dialect::CohereEmbeddings,
        ("embed_v1", "cohere") => Dialect::CohereOldEmbeddings,
        ("rerank", provider) if provider != "bedrock" => Dialect::CohereRerank,
        ("native_chat", _) => Dialect::OllamaChat,
        ("native_generate", _) => Dialect::OllamaGenerate,
        ("native_embed", _) => Dialect::OllamaEmbeddings,
        // Asked at the old address in the form of the new one.
        ("native_embeddings", _) if !body["input"].is_null() => Dialect::OllamaEmbeddings,
        ("converse" | "converse_stream", _) => Dialect::BedrockConverse,
        ("invoke" | "invoke_stream", "bedrock") if is_enclosed(recording) => {
            Dialect::AnthropicMessages
        }
        ("invoke", "bedrock") if recording.url_path.contains("embed") => Dialect::BedrockEmbeddings,
        ("predict", "vertex") if !body["instances"][0]["content"].is_null() => {
            Dialect::VertexEmbeddings
        }
        ("invocations", "mlflow") => Dialect::MlflowServing,
        _ => return None,
    };
    SPOKEN.contains(&dialect).then_some(dialect)
}

/// Whether it is a call to Claude by Bedrock's `InvokeModel`.
fn is_enclosed(recording: &Recording) -> bool {
    let body = &recording.request_body;
    recording.provider == "bedrock"
        && body["anthropic_version"].is_string()
        && body["messages"].is_array()
}

impl Part {
    /// Takes a recording, if the gateway speaks its language.
    /// # Errors
    /// The recording itself, where it is in no dialect that the gateway speaks.
    pub(super) fn of(recording: Recording) -> Result<Self, Box<Recording>> {
        let Some(dialect) = dialect_of(&recording) else {
            return Err(Box::new(recording));
        };
        if recording.request_body_kind != "json"
            || !recording.request_body.is_object()
            || !matches!(
                recording.response_body_kind.as_str(),
                "json" | "sse" | "ndjson" | "eventstream" | "text"
            )
        {
            return Err(Box::new(recording));
        }
        let spoken = |kind: &&&str| match recording.provider.as_str() {
            "vercel-gateway" => **kind == "vercel",
            provider => **kind == provider,
        };
        let kind = match dialect {
            Dialect::AnthropicMessages | Dialect::GeminiGenerate
                if recording.provider == "vertex" =>
            {
                "vertex"
            }
            Dialect::AnthropicMessages if is_enclosed(&recording) => "bedrock",
            Dialect::AnthropicMessages => "anthropic",
            Dialect::VertexEmbeddings => "vertex",
            // A kind that serves nothing else, so that other clients are answered there as well.
            Dialect::OpenaiResponses => "custom",
            Dialect::GeminiGenerate | Dialect::GeminiEmbeddings => "gemini",
            Dialect::CohereChat
            | Dialect::CohereEmbeddings
            | Dialect::CohereOldEmbeddings
            | Dialect::CohereRerank => "cohere",
            Dialect::OllamaChat | Dialect::OllamaGenerate | Dialect::OllamaEmbeddings => "ollama",
            Dialect::BedrockConverse | Dialect::BedrockEmbeddings => "bedrock",
            Dialect::VoyageEmbeddings | Dialect::VoyageRerank => "voyage",
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
            format!("{kind}-{}{}", dialect.as_str(), part.suffix())
        };
        Ok(part)
    }

    /// The kind of provider that plays it for a client. Some kinds serve chats in two dialects, of which the client's own would be
    /// taken.
    fn kind_for(&self, client: Dialect) -> &'static str {
        let is_own = client == self.dialect;
        match (self.kind, client) {
            ("ollama", _) if !is_own => "custom",
            (kind, Dialect::OpenaiResponses) if !is_own && SERVE_RESPONSES.contains(&kind) => {
                "custom"
            }
            _ => self.kind,
        }
    }

    /// What the provider calls the model, where the call is written differently for different models.
    fn model(&self) -> &str {
        match self.dialect {
            _ if self.kind == "bedrock" => self.recording.model.as_deref().unwrap_or("m"),
            _ => "m",
        }
    }

    /// Tells routes to different models apart.
    fn suffix(&self) -> String {
        let sign = |sign: char| {
            if sign.is_ascii_alphanumeric() {
                sign
            } else {
                '-'
            }
        };
        match self.model() {
            "m" => String::new(),
            model => format!("-{}", model.chars().map(sign).collect::<String>()),
        }
    }

    /// The name of its route for a client.
    pub(super) fn route(&self, client: Dialect) -> String {
        format!("{}-{}", self.route, client.as_str())
    }

    /// The dialects in which it is asked.
    pub(super) fn clients(&self) -> impl Iterator<Item = Dialect> {
        let own = self.dialect;
        let task = own.task();
        SPOKEN
            .iter()
            .copied()
            .filter(move |client| client.is_spoken_by_clients())
            .filter(move |client| *client == own || client.task() == task && task != Task::Predict)
    }

    /// The recorded request, with the route in the model's place.
    pub(super) fn request_for_client(&self) -> Value {
        let mut request = self.recording.request_body.clone();
        if is_enclosed(&self.recording) {
            // What the gateway has to say by the address, and in the client's place.
            request["stream"] = json!(self.asks_for_stream());
            request["anthropic_version"] = Value::Null;
        }
        if !is_named_by_address(self.dialect) {
            request["model"] = json!(self.route(self.dialect));
        }
        request
    }

    /// Whether the client asked for a stream.
    pub(super) fn asks_for_stream(&self) -> bool {
        let asked = &self.recording.request_body["stream"];
        match self.dialect {
            Dialect::AnthropicMessages if is_enclosed(&self.recording) => {
                self.recording.endpoint == "invoke_stream"
            }
            Dialect::GeminiGenerate | Dialect::BedrockConverse => self.recording.streaming,
            Dialect::OllamaChat | Dialect::OllamaGenerate => asked != false,
            _ => asked == true,
        }
    }

    /// Whether its vectors in base64 hold whole numbers of one byte and not `f32`.
    pub(super) fn has_vectors_of_integers(&self) -> bool {
        self.kind == "perplexity" && self.dialect == Dialect::OpenaiEmbeddings
    }

    /// Whether it was answered with a stream.
    pub(super) fn is_answered_by_stream(&self) -> bool {
        matches!(
            self.recording.response_body_kind.as_str(),
            "sse" | "eventstream"
        ) || self.recording.response_body_kind == "ndjson" && self.asks_for_stream()
    }

    /// What the provider said, without what it was put into.
    pub(super) fn said(&self) -> Vec<u8> {
        if !is_enclosed(&self.recording) || !self.is_answered_by_stream() {
            return self.recording.response_bytes();
        }
        let chunks = self.recording.response_events.iter();
        let events = chunks.map(|chunk| {
            let bytes = chunk["payload"]["bytes"].as_str().unwrap_or_default();
            let event = STANDARD.decode(bytes).unwrap_or_default();
            let event = String::from_utf8_lossy(&event).into_owned();
            let read: Value = serde_json::from_str(&event).unwrap_or_default();
            let name = read["type"].as_str().unwrap_or_default();
            format!("event: {name}\ndata: {event}\n\n")
        });
        events.collect::<String>().into_bytes()
    }

    /// The events of a stream in its dialect, as texts.
    pub(super) fn events(&self, body: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(body);
        match self.dialect.framing() {
            Framing::Sse | Framing::JsonArray => client::events(&text),
            Framing::JsonLines => text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(str::to_owned)
                .collect(),
            // Providers alone speak it.
            Framing::AwsFrames | Framing::AwsChunks => Vec::new(),
        }
    }

    /// Whether an event tells usage alone, and the client did not ask for it; or is an end mark of another dialect.
    pub(super) fn is_hidden(&self, event: &str) -> bool {
        if self.dialect == Dialect::OpenaiResponses && event.trim() == "[DONE]" {
            return self
                .recording
                .response_body
                .to_string()
                .contains("response.completed");
        }
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

    /// Whether the answer is an error, holds one, breaks off, or is no answer.
    pub(super) fn tells_trouble(&self) -> bool {
        let body = String::from_utf8_lossy(&self.said()).into_owned();
        let mut errors = body.split("\"error\":").skip(1);
        self.recording.status >= 400
            || errors.any(|error| !error.trim_start().starts_with("null"))
            || !self.is_whole()
            || self.is_nonsense()
    }

    /// Whether the answer is JSON that has nothing of what Gemini's answers consist of: there is a recording of a test with such a one.
    fn is_nonsense(&self) -> bool {
        let members = ["candidates", "promptFeedback", "usageMetadata"];
        self.dialect == Dialect::GeminiGenerate
            && serde_json::from_slice::<Value>(&self.said()).is_ok_and(|said| {
                said.is_object() && members.iter().all(|member| said[member].is_null())
            })
    }

    /// Whether a streamed answer comes to its proper end.
    fn is_whole(&self) -> bool {
        if !self.is_answered_by_stream() {
            return true;
        }
        let events = self.events(&self.said());
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
        Dialect::OpenaiResponses
        | Dialect::GeminiGenerate
        | Dialect::CohereChat
        | Dialect::OllamaChat
        | Dialect::OllamaGenerate
        | Dialect::BedrockConverse => gist::of_answer(part.dialect, true, &part.said()).is_ok(),
        _ => {
            let marked = events.iter().any(|event| event.trim() == "[DONE]");
            let finished = || {
                events.iter().any(|event| {
                    serde_json::from_str::<Value>(event)
                        .is_ok_and(|event| event["choices"][0]["finish_reason"].is_string())
                })
            };
            marked || WITHOUT_END_MARK.contains(&part.kind) && finished()
        }
    }
}

/// Whether a dialect's addresses name the model, so that its bodies do not.
pub(super) fn is_named_by_address(dialect: Dialect) -> bool {
    matches!(
        dialect,
        Dialect::GeminiGenerate
            | Dialect::GeminiEmbeddings
            | Dialect::BedrockConverse
            | Dialect::BedrockEmbeddings
            | Dialect::VertexEmbeddings
            | Dialect::MlflowServing
    )
}

/// A gateway between clients and a provider that answers as recorded.
#[derive(Debug)]
pub(super) struct Stage {
    gateway: TestGateway,
    _provider: ScriptedProvider,
    received: Arc<Mutex<HashMap<usize, Value>>>,
    /// Where translated calls are written down.
    exchanges: Option<Mutex<File>>,
}

impl Stage {
    /// Starts both.
    pub(super) async fn set(
        program: &Path,
        parts: Arc<Vec<Part>>,
        exchanges: Option<File>,
    ) -> Self {
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
            if part.is_answered_by_stream() {
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
            exchanges: exchanges.map(Mutex::new),
        }
    }

    /// Writes down what was said in a translated call, where that is wanted.
    pub(super) fn note(
        &self,
        part: &Part,
        client: Dialect,
        request: &Value,
        answer: &Answer,
    ) -> std::io::Result<()> {
        let Some(exchanges) = &self.exchanges else {
            return Ok(());
        };
        let line = json!({
            "id": part.recording.id,
            "provider": part.recording.provider,
            "client": client.as_str(),
            "upstream": part.dialect.as_str(),
            "request": request,
            "status": answer.status,
            "streamed": part.asks_for_stream(),
            "answer": answer.text(),
        });
        let mut file = exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{line}\n").as_bytes())
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
        let route = part.route(client);
        let streams = part.asks_for_stream();
        let path = match client {
            Dialect::OpenaiChat => "/v1/chat/completions".to_owned(),
            Dialect::OpenaiResponses => "/v1/responses".to_owned(),
            Dialect::OpenaiCompletions => "/v1/completions".to_owned(),
            Dialect::OpenaiEmbeddings => "/v1/embeddings".to_owned(),
            Dialect::AnthropicMessages => "/v1/messages".to_owned(),
            Dialect::GeminiGenerate if streams => {
                format!("/v1beta/models/{route}:streamGenerateContent?alt=sse")
            }
            Dialect::GeminiGenerate => format!("/v1beta/models/{route}:generateContent"),
            Dialect::GeminiEmbeddings if request["requests"].is_array() => {
                format!("/v1beta/models/{route}:batchEmbedContents")
            }
            Dialect::GeminiEmbeddings => format!("/v1beta/models/{route}:embedContent"),
            Dialect::CohereChat => "/v2/chat".to_owned(),
            Dialect::CohereEmbeddings => "/v2/embed".to_owned(),
            Dialect::CohereOldEmbeddings => "/v1/embed".to_owned(),
            Dialect::CohereRerank => "/v2/rerank".to_owned(),
            Dialect::OllamaChat => "/api/chat".to_owned(),
            Dialect::OllamaGenerate => "/api/generate".to_owned(),
            Dialect::OllamaEmbeddings => "/api/embed".to_owned(),
            Dialect::OllamaOldEmbeddings => "/api/embeddings".to_owned(),
            Dialect::MlflowServing => format!("/gateway/{route}/invocations"),
            Dialect::BedrockConverse
            | Dialect::BedrockEmbeddings
            | Dialect::VertexEmbeddings
            | Dialect::WatsonxEmbeddings
            | Dialect::VoyageEmbeddings
            | Dialect::VoyageRerank
            | Dialect::ReplicatePredictions
            | Dialect::OpenaiMedia => {
                anyhow::bail!("no client speaks it")
            }
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

    /// The log's lines of calls that were answered, by recording; and of those whose client is said to have left, as none does.
    pub(super) async fn calls(&self) -> BTreeMap<usize, Vec<Value>> {
        // The log is written behind.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let mut calls = BTreeMap::<usize, Vec<Value>>::new();
        for line in self.gateway.calls() {
            let index = line["traceparent"].as_str().and_then(index_in);
            let is_whole = line["outcome"] == "answered" || line["outcome"] == "client_gone";
            if let (Some(index), true) = (index, is_whole) {
                calls.entry(index).or_default().push(line);
            }
        }
        calls
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
pub(super) fn index_of(request: &Received) -> Option<usize> {
    index_in(request.header("traceparent")?)
}

fn index_in(traceparent: &str) -> Option<usize> {
    let trace = traceparent.split('-').nth(1)?;
    usize::from_str_radix(trace, 16).ok()?.checked_sub(1)
}

/// One provider and route for each kind and dialect, and for each recording that means trouble.
fn configuration(parts: &[Part], url: &str) -> String {
    let mut providers = String::from("providers:\n");
    let mut routes = String::from("routes:\n");
    let mut prices = String::from("prices:\n");
    let mut seen = std::collections::HashSet::new();
    for (part, client) in parts
        .iter()
        .flat_map(|part| part.clients().map(move |client| (part, client)))
    {
        let name = part.route(client);
        if !seen.insert(name.clone()) {
            continue;
        }
        let kind = part.kind_for(client);
        let address = match (part.dialect, kind) {
            (_, "vertex") => {
                format!("base_url: \"{url}\", api_key: k, project: p, location: global")
            }
            // The usual way where the name says whose model it is.
            (Dialect::AnthropicMessages, "bedrock")
                if client != part.dialect || !part.model().contains("anthropic.") =>
            {
                format!("base_url: \"{url}\", api_key: k, dialect: anthropic")
            }
            (Dialect::BedrockConverse, _) => {
                format!("base_url: \"{url}\", api_key: k, dialect: converse")
            }
            (Dialect::AnthropicMessages, _)
            | (_, "perplexity" | "gemini" | "cohere" | "bedrock") => {
                format!("base_url: \"{url}\", api_key: k")
            }
            (Dialect::MlflowServing, _) => format!("model_server_url: \"{url}\""),
            (_, "ollama") => format!("base_url: \"{url}\""),
            (Dialect::OllamaChat | Dialect::OllamaGenerate | Dialect::OllamaEmbeddings, _) => {
                format!("base_url: \"{url}\", dialect: ollama")
            }
            (Dialect::OpenaiResponses, _) => {
                format!("base_url: \"{url}/v1\", dialect: openai_responses")
            }
            (_, "custom") if part.kind == "custom" => {
                format!("base_url: \"{url}/v1\", stream_end: finish")
            }
            _ => format!("base_url: \"{url}/v1\", api_key: k"),
        };
        let task = part.dialect.task().as_str();
        let _written = writeln!(prices, "  - {{provider: \"{name}\", {}}}", costs::PRICES);
        // Writing to a string cannot fail.
        let paths = match part.dialect {
            Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => {
                ", paths: {completions: /completions, embeddings: /embeddings}"
            }
            _ => "",
        };
        let _written = writeln!(
            providers,
            "  - {{name: \"{name}\", type: {kind}, {address}{paths}}}"
        );
        // Vertex AI tells by the model which language is spoken.
        let model = match (part.dialect, kind) {
            (Dialect::AnthropicMessages, "vertex") => "claude",
            _ => part.model(),
        };
        let _written = writeln!(
            routes,
            "  - {{name: \"{name}\", route_type: {task}, drop_unsupported: true, retries: {{per_target: 0, attempts_max: 1}}, model: {{provider: \"{name}\", name: \"{model}\"}}}}"
        );
    }
    format!("store: {{url: none}}\n{providers}{routes}{prices}")
}
