//! What the table's rows have in common: endpoints, ways of streaming, and the copy of OpenAI's API that most of them are.

use tollgate_domain::{
    Accent, ChatInput, Dialect, Envelope, Models, Quirks, StreamEnd, StreamUsage, Task, VectorBytes,
};

use super::{KeyNeed, Kind, KindEndpoint, Reach, SignIn, accents::COPY};

pub(super) const fn at(task: Task, dialect: Dialect, path: &'static str) -> KindEndpoint {
    KindEndpoint {
        task,
        dialect,
        path,
        stream_path: None,
        models: Models::Others,
        fields: &[],
        names_model: false,
        envelope: Envelope::Plain,
    }
}

pub(super) const CHAT: KindEndpoint = at(Task::Chat, Dialect::OpenaiChat, "/chat/completions");
pub(super) const RESPONSES: KindEndpoint = at(Task::Chat, Dialect::OpenaiResponses, "/responses");
pub(super) const COMPLETIONS: KindEndpoint = at(
    Task::Completions,
    Dialect::OpenaiCompletions,
    "/completions",
);
pub(super) const IMAGES: KindEndpoint =
    at(Task::Images, Dialect::OpenaiMedia, "/images/{operation}");
pub(super) const SPEECH: KindEndpoint = at(Task::Speech, Dialect::OpenaiMedia, "/audio/speech");
pub(super) const TRANSCRIPTIONS: KindEndpoint = at(
    Task::Transcriptions,
    Dialect::OpenaiMedia,
    "/audio/{operation}",
);
pub(super) const REALTIME: KindEndpoint = at(
    Task::Realtime,
    Dialect::OpenaiMedia,
    "/realtime?model={model}",
);
pub(super) const MODERATIONS: KindEndpoint =
    at(Task::Moderations, Dialect::OpenaiMedia, "/moderations");
pub(super) const EMBEDDINGS: KindEndpoint =
    at(Task::Embeddings, Dialect::OpenaiEmbeddings, "/embeddings");
pub(super) const RERANK: KindEndpoint = at(Task::Rerank, Dialect::CohereRerank, "/rerank");

/// Paths name their version, so that the base URL is the host, as Cohere's own clients have it.
pub(super) const COHERE_ENDPOINTS: &[KindEndpoint] = &[
    at(Task::Chat, Dialect::CohereChat, "/v2/chat"),
    at(Task::Embeddings, Dialect::CohereEmbeddings, "/v2/embed"),
    at(Task::Embeddings, Dialect::CohereOldEmbeddings, "/v1/embed"),
    at(Task::Rerank, Dialect::CohereRerank, "/v2/rerank"),
];

/// All that OpenAI serves.
pub(super) const EVERYTHING: &[KindEndpoint] = &[
    CHAT,
    RESPONSES,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGES,
    SPEECH,
    TRANSCRIPTIONS,
    MODERATIONS,
    REALTIME,
];

/// What a host may serve that offers OpenAI's API; few have its responses.
pub(super) const ALL_BUT_RESPONSES: &[KindEndpoint] = &[
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGES,
    SPEECH,
    TRANSCRIPTIONS,
    MODERATIONS,
    REALTIME,
];

/// Converse takes every model, in Bedrock's own language.
pub(super) const CONVERSE: KindEndpoint = KindEndpoint {
    stream_path: Some("/model/{model}/converse-stream"),
    ..at(
        Task::Chat,
        Dialect::BedrockConverse,
        "/model/{model}/converse",
    )
};

/// `InvokeModel` takes each model in its maker's language
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html>, read 2026-11).
pub(super) const INVOKE_CLAUDE: KindEndpoint = KindEndpoint {
    stream_path: Some("/model/{model}/invoke-with-response-stream"),
    fields: &[("anthropic_version", "bedrock-2023-05-31")],
    envelope: Envelope::Invocation,
    ..at(
        Task::Chat,
        Dialect::AnthropicMessages,
        "/model/{model}/invoke",
    )
};

/// The models that make vectors.
pub(super) const INVOKE_EMBEDDINGS: KindEndpoint = at(
    Task::Embeddings,
    Dialect::BedrockEmbeddings,
    "/model/{model}/invoke",
);

pub(super) const GEMINI_CHAT: KindEndpoint = KindEndpoint {
    stream_path: Some("/models/{model}:streamGenerateContent?alt=sse"),
    ..at(
        Task::Chat,
        Dialect::GeminiGenerate,
        "/models/{model}:generateContent",
    )
};

/// For one text or several; for one alone the last part of the address is `:embedContent`.
pub(super) const GEMINI_EMBEDDINGS: KindEndpoint = at(
    Task::Embeddings,
    Dialect::GeminiEmbeddings,
    "/models/{model}:batchEmbedContents",
);

/// A stream that ends with `[DONE]` and reports usage when asked, as OpenAI's does.
pub(super) const AS_OPENAI: Quirks = Quirks {
    stream_end: StreamEnd::Mark,
    stream_usage: StreamUsage::Ask,
    model_in_body: true,
    chat_input: ChatInput::Messages,
    accent: Accent::NONE,
    vector_bytes: VectorBytes::Floats,
    says_cost: false,
};

/// The same of a copy of OpenAI's API.
pub(super) const AS_COPIED: Quirks = Quirks {
    accent: COPY,
    ..AS_OPENAI
};

/// A stream that ends with `[DONE]` and reports usage unasked.
pub(super) const USAGE_UNASKED: Quirks = Quirks {
    stream_usage: StreamUsage::Unasked,
    ..AS_COPIED
};

/// A stream whose `[DONE]` may be missing, and which reports usage unasked.
pub(super) const NO_END_MARK: Quirks = Quirks {
    stream_end: StreamEnd::Finish,
    ..USAGE_UNASKED
};

/// What a host has that offers OpenAI's API under its own name; each row changes what differs.
pub(super) const OPENAI_SHAPED: Kind = Kind {
    name: "",
    aliases: &[],
    reach: Reach::Http,
    base_url: None,
    regional_url: None,
    version_path: "/v1",
    sign_in: SignIn::Bearer,
    key: KeyNeed::Required,
    endpoints: &[CHAT, COMPLETIONS, EMBEDDINGS],
    headers: &[],
    quirks: AS_OPENAI,
    source: "",
};
