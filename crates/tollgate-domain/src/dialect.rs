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
    /// A model that is not a language model scores its inputs.
    #[serde(rename = "ml/v1/predict")]
    Predict,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Predict,
    ];

    /// The name used in configuration files, as MLflow writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "llm/v1/chat",
            Self::Completions => "llm/v1/completions",
            Self::Embeddings => "llm/v1/embeddings",
            Self::Predict => "ml/v1/predict",
        }
    }

    /// The operation's name in OpenTelemetry's GenAI conventions
    /// (<https://opentelemetry.io/docs/specs/semconv/gen-ai/>, read 2026-11).
    pub const fn operation_name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Predict => "predict",
        }
    }
}

/// A wire language: the shape of a request body, of its answer and of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `POST /v1/chat/completions` of OpenAI.
    OpenaiChat,
    /// `POST /v1/completions` of OpenAI.
    OpenaiCompletions,
    /// `POST /v1/embeddings` of OpenAI.
    OpenaiEmbeddings,
    /// `POST /v1/messages` of Anthropic.
    AnthropicMessages,
    /// `POST /invocations` of an MLflow scoring server: a chat body passes whole, anything else is
    /// `inputs` in and `predictions` out. Never streams.
    MlflowServing,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::OpenaiChat,
        Self::OpenaiCompletions,
        Self::OpenaiEmbeddings,
        Self::AnthropicMessages,
        Self::MlflowServing,
    ];

    /// A stable name for logs, metrics and the documentation's tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiCompletions => "openai_completions",
            Self::OpenaiEmbeddings => "openai_embeddings",
            Self::AnthropicMessages => "anthropic_messages",
            Self::MlflowServing => "mlflow_serving",
        }
    }
}

/// The shape of an error body that a client's library understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorShape {
    /// `{"error": {"message", "type", "param", "code"}}`.
    Openai,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`.
    Anthropic,
    /// `{"detail": "text", "error_code": ..., "message": ...}`, as MLflow's gateway and tracking server answer.
    Mlflow,
}

impl ErrorShape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Openai, Self::Anthropic, Self::Mlflow];
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
            listed(Dialect::ALL.map(Dialect::as_str)),
            names_of::<Dialect>()
        );
        assert_eq!(listed(Task::ALL.map(Task::as_str)), names_of::<Task>());
    }
}
