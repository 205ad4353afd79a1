//! Names of the wire languages and of what a call asks for; how they are read and written lives in
//! `tollgate-dialects`.

use serde::{Deserialize, Serialize};

/// What a call asks a model to do. Routes have one task each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// A conversation is continued.
    #[serde(rename = "llm/v1/chat")]
    Chat,
    /// A text is continued.
    #[serde(rename = "llm/v1/completions")]
    Completions,
    /// Texts become vectors.
    #[serde(rename = "llm/v1/embeddings")]
    Embeddings,
    /// Documents are put in the order of their relevance to a question.
    #[serde(rename = "llm/v1/rerank")]
    Rerank,
    /// Pictures are made or changed.
    #[serde(rename = "llm/v1/images")]
    Images,
    /// Text becomes sound.
    #[serde(rename = "llm/v1/speech")]
    Speech,
    /// Sound becomes text.
    #[serde(rename = "llm/v1/transcriptions")]
    Transcriptions,
    /// Texts and pictures are judged.
    #[serde(rename = "llm/v1/moderations")]
    Moderations,
    /// People and a model talk over a WebSocket.
    #[serde(rename = "llm/v1/realtime")]
    Realtime,
    /// A model that is not a language model scores its inputs.
    #[serde(rename = "ml/v1/predict")]
    Predict,
    /// Whatever a provider's own API does: requests are passed on as they are, and not understood.
    #[serde(rename = "http")]
    Http,
}

impl Task {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Rerank,
        Self::Images,
        Self::Speech,
        Self::Transcriptions,
        Self::Moderations,
        Self::Realtime,
        Self::Predict,
        Self::Http,
    ];

    /// The name used in configuration files, as MLflow writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "llm/v1/chat",
            Self::Completions => "llm/v1/completions",
            Self::Embeddings => "llm/v1/embeddings",
            Self::Rerank => "llm/v1/rerank",
            Self::Images => "llm/v1/images",
            Self::Speech => "llm/v1/speech",
            Self::Transcriptions => "llm/v1/transcriptions",
            Self::Moderations => "llm/v1/moderations",
            Self::Realtime => "llm/v1/realtime",
            Self::Predict => "ml/v1/predict",
            Self::Http => "http",
        }
    }

    /// Whether calls pass to providers as they are, in no other dialect than [`Dialect::OpenaiMedia`].
    pub const fn is_media(self) -> bool {
        matches!(
            self,
            Self::Images | Self::Speech | Self::Transcriptions | Self::Moderations | Self::Realtime
        )
    }

    /// The operation's name in OpenTelemetry's GenAI conventions
    /// (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>, read 2026-11).
    pub const fn operation_name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Images => "image_generation",
            Self::Speech => "speech",
            Self::Transcriptions => "transcription",
            Self::Moderations => "moderation",
            Self::Realtime => "realtime",
            Self::Predict => "predict",
            Self::Http => "http",
        }
    }
}

/// A wire language: the shape of a request body, of its answer and of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `POST /v1/chat/completions` of OpenAI.
    OpenaiChat,
    /// `POST /v1/responses` of OpenAI.
    OpenaiResponses,
    /// `POST /v1/completions` of OpenAI.
    OpenaiCompletions,
    /// `POST /v1/embeddings` of OpenAI.
    OpenaiEmbeddings,
    /// `/v1/images/...`, `/v1/audio/...`, `/v1/moderations` and `/v1/realtime` of OpenAI: JSON or forms in, JSON, text or bytes
    /// out, or messages both ways, passed as they are. The address says which.
    OpenaiMedia,
    /// `POST /v1/messages` of Anthropic.
    AnthropicMessages,
    /// `generateContent` and `streamGenerateContent` of Gemini and Vertex AI. The address names the model and says
    /// whether to stream.
    GeminiGenerate,
    /// `embedContent` and `batchEmbedContents` of Gemini.
    GeminiEmbeddings,
    /// `POST /v2/chat` of Cohere.
    CohereChat,
    /// `POST /v2/embed` of Cohere.
    CohereEmbeddings,
    /// `POST /v1/embed` of Cohere: its predecessor.
    CohereOldEmbeddings,
    /// `POST /v2/rerank` of Cohere, and with few differences of Jina, vLLM and others.
    CohereRerank,
    /// `POST /api/chat` of Ollama. Streams are JSON, line by line.
    OllamaChat,
    /// `POST /api/generate` of Ollama. Streams are JSON, line by line.
    OllamaGenerate,
    /// `POST /api/embed` of Ollama.
    OllamaEmbeddings,
    /// `POST /api/embeddings` of Ollama: its predecessor, for one text. Spoken by clients only: every server has both.
    OllamaOldEmbeddings,
    /// `Converse` and `ConverseStream` of AWS Bedrock, whose streams are binary frames. The address names the model and says whether to
    /// stream. Spoken by providers only.
    BedrockConverse,
    /// `InvokeModel` of AWS Bedrock for the models that make vectors. Spoken by providers only.
    BedrockEmbeddings,
    /// `predict` of Vertex AI for the models that make vectors. The address names the model. Spoken by providers only.
    VertexEmbeddings,
    /// `POST /ml/v1/text/embeddings` of watsonx.ai. Spoken by providers only.
    WatsonxEmbeddings,
    /// `POST /v1/embeddings` of Voyage: OpenAI's with other names. Spoken by providers only.
    VoyageEmbeddings,
    /// `POST /v1/rerank` of Voyage: Cohere's with other names. Spoken by providers only.
    VoyageRerank,
    /// `POST /v1/predictions` of Replicate, for language models: a job that may have to be asked for again. Spoken by providers only.
    ReplicatePredictions,
    /// `POST /invocations` of an MLflow scoring server: a chat body passes whole, anything else is
    /// `inputs` in and `predictions` out. Never streams.
    MlflowServing,
}

/// How a stream is cut into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON object a line.
    JsonLines,
    /// A JSON array, an element an event. Spoken to clients only.
    JsonArray,
    /// Binary frames with checksums (`application/vnd.amazon.eventstream`).
    AwsFrames,
    /// The same, and each holds an event of Anthropic's in base64. A provider's [`crate::Envelope`] says so, no dialect.
    AwsChunks,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: &[Self] = &[
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::OpenaiCompletions,
        Self::OpenaiEmbeddings,
        Self::OpenaiMedia,
        Self::AnthropicMessages,
        Self::GeminiGenerate,
        Self::GeminiEmbeddings,
        Self::CohereChat,
        Self::CohereEmbeddings,
        Self::CohereOldEmbeddings,
        Self::CohereRerank,
        Self::OllamaChat,
        Self::OllamaGenerate,
        Self::OllamaEmbeddings,
        Self::OllamaOldEmbeddings,
        Self::BedrockConverse,
        Self::BedrockEmbeddings,
        Self::VertexEmbeddings,
        Self::WatsonxEmbeddings,
        Self::VoyageEmbeddings,
        Self::VoyageRerank,
        Self::ReplicatePredictions,
        Self::MlflowServing,
    ];

    /// A stable name for logs, metrics and the documentation's tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::OpenaiCompletions => "openai_completions",
            Self::OpenaiEmbeddings => "openai_embeddings",
            Self::OpenaiMedia => "openai_media",
            Self::AnthropicMessages => "anthropic_messages",
            Self::GeminiGenerate => "gemini_generate",
            Self::GeminiEmbeddings => "gemini_embeddings",
            Self::CohereChat => "cohere_chat",
            Self::CohereEmbeddings => "cohere_embeddings",
            Self::CohereOldEmbeddings => "cohere_old_embeddings",
            Self::CohereRerank => "cohere_rerank",
            Self::OllamaChat => "ollama_chat",
            Self::OllamaGenerate => "ollama_generate",
            Self::OllamaEmbeddings => "ollama_embeddings",
            Self::OllamaOldEmbeddings => "ollama_old_embeddings",
            Self::BedrockConverse => "bedrock_converse",
            Self::BedrockEmbeddings => "bedrock_embeddings",
            Self::VertexEmbeddings => "vertex_embeddings",
            Self::WatsonxEmbeddings => "watsonx_embeddings",
            Self::VoyageEmbeddings => "voyage_embeddings",
            Self::VoyageRerank => "voyage_rerank",
            Self::ReplicatePredictions => "replicate_predictions",
            Self::MlflowServing => "mlflow_serving",
        }
    }

    /// What its clients ask for.
    pub const fn task(self) -> Task {
        match self {
            Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::AnthropicMessages
            | Self::GeminiGenerate
            | Self::CohereChat
            | Self::OllamaChat
            | Self::BedrockConverse
            | Self::ReplicatePredictions => Task::Chat,
            Self::OpenaiCompletions | Self::OllamaGenerate => Task::Completions,
            Self::OpenaiEmbeddings
            | Self::GeminiEmbeddings
            | Self::CohereEmbeddings
            | Self::CohereOldEmbeddings
            | Self::OllamaEmbeddings
            | Self::OllamaOldEmbeddings
            | Self::BedrockEmbeddings
            | Self::VertexEmbeddings
            | Self::WatsonxEmbeddings
            | Self::VoyageEmbeddings => Task::Embeddings,
            Self::CohereRerank | Self::VoyageRerank => Task::Rerank,
            // One of the tasks that the address tells apart.
            Self::OpenaiMedia => Task::Images,
            Self::MlflowServing => Task::Predict,
        }
    }

    /// How its streams are cut into events.
    pub const fn framing(self) -> Framing {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => Framing::JsonLines,
            Self::BedrockConverse => Framing::AwsFrames,
            _ => Framing::Sse,
        }
    }

    /// Whether its answers are jobs, which may have to be asked for again.
    pub const fn is_job(self) -> bool {
        matches!(self, Self::ReplicatePredictions)
    }

    /// Whether its answers leave a prompt out of what was used that was read for another call before, and is not read again.
    pub const fn leaves_out_known_prompts(self) -> bool {
        matches!(self, Self::OllamaChat | Self::OllamaGenerate)
    }

    /// Whether a client may speak it to the gateway.
    pub const fn is_spoken_by_clients(self) -> bool {
        !matches!(
            self,
            Self::BedrockConverse
                | Self::BedrockEmbeddings
                | Self::VertexEmbeddings
                | Self::WatsonxEmbeddings
                | Self::VoyageEmbeddings
                | Self::VoyageRerank
                | Self::ReplicatePredictions
        )
    }
}

/// The shape of an error body that a client's library understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorShape {
    /// `{"error": {"message", "type", "param", "code"}}`.
    Openai,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`.
    Anthropic,
    /// `{"error": {"code", "message", "status"}}`, as Google answers.
    Gemini,
    /// `{"message": "text"}`.
    Cohere,
    /// `{"error": "text"}`.
    Ollama,
    /// `{"detail": "text", "error_code": ..., "message": ...}`, as MLflow's gateway and tracking server answer.
    Mlflow,
}

impl ErrorShape {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Openai,
        Self::Anthropic,
        Self::Gemini,
        Self::Cohere,
        Self::Ollama,
        Self::Mlflow,
    ];
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::*;

    /// Names of all variants, as the type that reads them knows them.
    fn names_of<T: DeserializeOwned + Debug>() -> String {
        let error = serde_json::from_str::<T>("\"none of them\"").unwrap_err();
        let text = error.to_string();
        let (_, names) = text.split_once("expected one of ").unwrap();
        names.split(" at line").next().unwrap().to_owned()
    }

    fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }

    #[test]
    fn the_lists_hold_every_dialect_and_task() {
        assert_eq!(
            listed(Dialect::ALL.iter().map(|dialect| dialect.as_str())),
            names_of::<Dialect>()
        );
        assert_eq!(
            listed(Task::ALL.iter().map(|task| task.as_str())),
            names_of::<Task>()
        );
    }
}
