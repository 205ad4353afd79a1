//! Our own form of a question: a superset of what the dialects can ask.
//!
//! What no field here models is kept as [`Extra`], tagged with the dialect it came from: it goes back into that
//! dialect unchanged and never leaks into another. Where readers and writers must agree on a meaning, it is
//! said at the field.

use serde_json::{Map, Value};
use tollgate_domain::Dialect;

/// A question to a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Continue a conversation.
    Chat(Box<ChatCall>),
    /// Continue a text.
    Completion(Box<CompletionCall>),
    /// Turn texts into vectors.
    Embedding(Box<EmbeddingCall>),
    /// Put documents in the order of their relevance.
    Rerank(Box<RerankCall>),
    /// Score inputs; the body is passed whole.
    Predict(Value),
}

impl Call {
    /// What the client speaks.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Chat(call) => call.extra.dialect,
            Self::Completion(call) => call.extra.dialect,
            Self::Embedding(call) => call.extra.dialect,
            Self::Rerank(call) => call.extra.dialect,
            Self::Predict(_) => Dialect::MlflowServing,
        }
    }

    /// Sets `max_tokens`, `temperature` or `top_p` where the client did not; other names are nothing here.
    pub fn set_default(&mut self, name: &str, value: &Value) {
        let (max_tokens, temperature, top_p) = match self {
            Self::Chat(call) => (&mut call.max_tokens, &mut call.temperature, &mut call.top_p),
            Self::Completion(call) => {
                (&mut call.max_tokens, &mut call.temperature, &mut call.top_p)
            }
            Self::Embedding(_) | Self::Rerank(_) | Self::Predict(_) => return,
        };
        match name {
            "max_tokens" => *max_tokens = max_tokens.or(value.as_u64()),
            "temperature" => *temperature = temperature.or(value.as_f64()),
            "top_p" => *top_p = top_p.or(value.as_f64()),
            _ => {}
        }
    }
}

/// Fields that no part of our form models, by name, with the dialect they are meant for.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Where they came from, and the only place where they may go.
    pub dialect: Dialect,
    /// As they were written.
    pub fields: Map<String, Value>,
}

impl Extra {
    /// None yet.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            fields: Map::new(),
        }
    }
}

/// Continue a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatCall {
    /// As the client wrote it; the writer puts the target's model in its place.
    pub model: String,
    /// The conversation, oldest first. System and developer messages stay where they were; Anthropic's
    /// top-level `system` is the first message.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once (`parallel_tool_calls`; the negation of Anthropic's
    /// `disable_parallel_tool_use`).
    pub parallel_tool_calls: Option<bool>,
    /// Most tokens to generate, reasoning included (`max_completion_tokens`, `max_tokens`).
    pub max_tokens: Option<u64>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// At least 1.
    pub top_k: Option<u64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers.
    pub n: Option<u64>,
    /// Whether to give the chosen tokens' log-probabilities.
    pub logprobs: Option<bool>,
    /// How many alternatives to give at each token.
    pub top_logprobs: Option<u64>,
    /// The form that the answer's text must have.
    pub response_format: Option<ResponseFormat>,
    /// How much to reason.
    pub reasoning: Option<Reasoning>,
    /// The end user, as the caller calls them (`user`; Anthropic's `metadata.user_id`).
    pub user: Option<String>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client wants usage in its stream. Anthropic's clients always do.
    pub include_usage: bool,
    /// What nothing above models.
    pub extra: Extra,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The speaker's name within the role.
    pub name: Option<String>,
    /// What is said, in order. Tool calls are parts of the assistant's message, after its text.
    pub content: Vec<Part>,
    /// Fields of the message that nothing above models; of the call's own dialect.
    pub extra: Map<String, Value>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator. Dialects that have one such role write `Developer` the same way.
    System,
    /// The operator, as OpenAI's newer models call it.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Tools: the message holds [`PartKind::ToolResult`] parts only. Anthropic writes these as the first blocks
    /// of the user's next message.
    Tool,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Anthropic's `cache_control` of this piece, as it came. A hint: dialects without it leave it out.
    pub cache_control: Option<Value>,
    /// Fields of the piece that nothing here models; of the call's (or answer's) own dialect.
    pub extra: Map<String, Value>,
}

impl Part {
    /// A piece with nothing special about it.
    pub fn new(kind: PartKind) -> Self {
        Self {
            kind,
            cache_control: None,
            extra: Map::new(),
        }
    }

    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PartKind::Text {
            text: text.into(),
            citations: Vec::new(),
        })
    }
}

/// What a piece of a message is. The same in questions and in answers.
#[derive(Clone, Debug, PartialEq)]
pub enum PartKind {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Where it was taken from: Anthropic's citation objects. OpenAI's `annotations` of an answer are
        /// in the message's or choice's `extra`.
        citations: Vec<Value>,
    },
    /// The model's declining to answer, as OpenAI's `refusal`.
    Refusal {
        /// What it says.
        text: String,
    },
    /// A picture.
    Image {
        /// Where it is.
        source: MediaSource,
        /// OpenAI's `detail`.
        detail: Option<String>,
    },
    /// Sound, base64.
    Audio {
        /// The bytes.
        data: String,
        /// `wav`, `mp3`.
        format: String,
    },
    /// A document, such as a PDF.
    Document {
        /// Where it is.
        source: MediaSource,
        /// Its file name or title.
        name: Option<String>,
    },
    /// The model asks for a tool.
    ToolCall {
        /// Answered under this id.
        id: String,
        /// Which tool.
        name: String,
        /// JSON text as the model wrote it (for [`ToolKind::Custom`]: free text). Anthropic's `input` object,
        /// serialised.
        arguments: String,
        /// Which kind of tool.
        kind: ToolKind,
    },
    /// What the tool said.
    ToolResult {
        /// Which call it answers.
        call_id: String,
        /// Texts, pictures, documents.
        content: Vec<Part>,
        /// Whether the tool failed; `None` where the dialect does not say.
        is_error: Option<bool>,
    },
    /// The model's reasoning, readable.
    Reasoning {
        /// The text; may be empty where only the signature is given.
        text: String,
        /// Proof of origin that has to go back unchanged.
        signature: Option<String>,
    },
    /// The model's reasoning, encrypted; has to go back unchanged. What begins with `gemini:` is Gemini's proof of the part that
    /// comes next, and no other provider can read it.
    RedactedReasoning {
        /// As it came.
        data: String,
    },
    /// A block that only its own dialect understands (Anthropic's server tools and their results, search results, OpenAI's
    /// assistant audio ...), whole. Other dialects report it as a gap.
    Foreign {
        /// The whole block.
        value: Value,
    },
}

/// Where a picture or a document is.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaSource {
    /// In place.
    Base64 {
        /// Such as `image/png`; empty where the dialect did not say.
        media_type: String,
        /// Base64.
        data: String,
    },
    /// In place, plain text (Anthropic's `text` documents).
    Text {
        /// Such as `text/plain`.
        media_type: String,
        /// The text.
        data: String,
    },
    /// Behind an address (not a `data:` one: that is read as [`MediaSource::Base64`]).
    Url(String),
    /// Uploaded to the provider before.
    FileId(String),
    /// Made of content blocks, or anything that only its own dialect understands.
    Foreign(Value),
}

/// What the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Which kind; [`ToolKind::Foreign`] tools are whole in `extra`.
    pub kind: ToolKind,
    /// The tool's name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments, kept whole.
    pub parameters: Option<Value>,
    /// Whether arguments must fit the schema.
    pub strict: Option<bool>,
    /// Anthropic's `cache_control`.
    pub cache_control: Option<Value>,
    /// What nothing above models; of the call's own dialect.
    pub extra: Map<String, Value>,
}

/// Which kind of tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolKind {
    /// Arguments are JSON.
    Function,
    /// OpenAI's `custom` tools: the argument is free text. Their format is in `extra`.
    Custom,
    /// Run by the provider (web search, code execution, computer use ...): `extra` holds the whole tool.
    Foreign,
}

/// Whether the model must call a tool.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// One of them, whichever (OpenAI `required`, Anthropic `any`).
    Required,
    /// This function.
    Function(String),
    /// Anything else; of the call's own dialect.
    Foreign(Value),
}

/// The form that the answer's text must have.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    /// Plain text.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// OpenAI wants a name; others have none.
        name: Option<String>,
        /// What it is.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether the provider must enforce it.
        strict: Option<bool>,
    },
    /// Anything else; of the call's own dialect.
    Foreign(Value),
}

/// How much to reason.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// OpenAI's `reasoning_effort`, Anthropic's `output_config.effort`.
    pub effort: Option<ReasoningEffort>,
    /// Most tokens to spend on it; Anthropic's `thinking.budget_tokens`.
    pub budget_tokens: Option<u64>,
    /// Whether to reason at all; Anthropic's `thinking.type` (`enabled` and `adaptive` are true).
    pub enabled: Option<bool>,
    /// Whether the amount is left to the model; Anthropic's `thinking.type: adaptive`.
    pub adaptive: bool,
}

/// How much to reason, in a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// The usual.
    Medium,
    /// Much.
    High,
    /// A word that came later, kept as written (`xhigh`, `max`).
    Other(String),
}

/// Continue a text.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionCall {
    /// As the client wrote it.
    pub model: String,
    /// What to continue.
    pub prompt: PromptInput,
    /// What the operator says before it, where the model is one of chats (Ollama's `system`).
    pub system: Option<String>,
    /// Pictures that go with it (Ollama's `images`).
    pub images: Vec<MediaSource>,
    /// What comes after the gap to fill.
    pub suffix: Option<String>,
    /// Whether the answer repeats the prompt.
    pub echo: Option<bool>,
    /// How many to make, of which the best are given.
    pub best_of: Option<u64>,
    /// Most tokens to generate.
    pub max_tokens: Option<u64>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// At least 1.
    pub top_k: Option<u64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// How many answers.
    pub n: Option<u64>,
    /// How many alternatives to give at each token.
    pub logprobs: Option<u64>,
    /// The form that the answer's text must have.
    pub response_format: Option<ResponseFormat>,
    /// How much to reason.
    pub reasoning: Option<Reasoning>,
    /// The end user.
    pub user: Option<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client wants usage in its stream.
    pub include_usage: bool,
    /// What nothing above models.
    pub extra: Extra,
}

/// What to continue.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptInput {
    /// One text.
    Text(String),
    /// Several, each continued by itself.
    Texts(Vec<String>),
    /// Tokens, one list or several.
    Tokens(Value),
}

/// Turn texts into vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingCall {
    /// As the client wrote it.
    pub model: String,
    /// The texts.
    pub input: EmbeddingInput,
    /// Length of the vectors.
    pub dimensions: Option<u64>,
    /// `float` or `base64` (little-endian `f32`).
    pub encoding_format: Option<String>,
    /// What the vectors are for, in Cohere's word: `search_document`, `search_query`, `classification`, `clustering`.
    pub input_type: Option<String>,
    /// What is done with a text that is too long, in Cohere's word: `NONE`, `START`, `END`.
    pub truncate: Option<String>,
    /// The end user.
    pub user: Option<String>,
    /// What nothing above models.
    pub extra: Extra,
}

/// What to turn into vectors.
#[derive(Clone, Debug, PartialEq)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// Tokens, one list or several.
    Tokens(Value),
}

/// Put documents in the order of their relevance to a question.
#[derive(Clone, Debug, PartialEq)]
pub struct RerankCall {
    /// As the client wrote it.
    pub model: String,
    /// The question.
    pub query: String,
    /// Texts, or objects that only some providers take.
    pub documents: Vec<Value>,
    /// How many of the best are wanted.
    pub top_n: Option<u64>,
    /// Whether the answer repeats the documents.
    pub return_documents: Option<bool>,
    /// What nothing above models.
    pub extra: Extra,
}
