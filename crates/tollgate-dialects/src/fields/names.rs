//! The fields of our form that some dialect cannot express, and what each client's dialect calls them.

use serde::Serialize;
use tollgate_domain::Dialect;

/// Declares the fields, with their own names for what no dialect's name fits.
macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident $name:literal,)*) => {
        /// A field of our form that some dialect cannot express as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Field {
            $($(#[$doc])* $field,)*
        }

        impl Field {
            /// Every field.
            pub const ALL: &[Self] = &[$(Self::$field,)*];

            /// Its name in our form, which is told where the client's dialect has none for it.
            pub const fn plain_name(self) -> &'static str {
                match self {
                    $(Self::$field => $name,)*
                }
            }
        }
    };
}

fields! {
    /// The model's name.
    Model "model",
    /// Whether to stream.
    Stream "stream",
    /// The conversation as such.
    Messages "messages",
    /// What the operator says at the beginning.
    System "system",
    /// What the operator says within the conversation.
    SystemMidway "system_midway",
    /// The speaker's name.
    SpeakerName "speaker_name",
    /// A hint to cache a piece.
    CacheControl "cache_control",
    /// A picture that cannot be carried over as it is.
    Image "image",
    /// How closely to look at a picture.
    ImageDetail "image_detail",
    /// Sound.
    Audio "audio",
    /// A document that cannot be carried over as it is.
    Document "document",
    /// Citations of what was said before.
    Citations "citations",
    /// What the model declined before.
    Refusal "refusal",
    /// Reasoning of before.
    Reasoning "reasoning_history",
    /// Encrypted reasoning of before.
    RedactedReasoning "redacted_reasoning",
    /// Arguments of a tool call that are no JSON object.
    ToolArguments "tool_arguments",
    /// The id of a tool call.
    ToolCallId "tool_call_id",
    /// A call of a tool that takes free text.
    CustomToolCall "custom_tool_call",
    /// What a tool said.
    ToolResult "tool_result",
    /// Pictures and documents that a tool gave.
    ToolResultMedia "tool_result_media",
    /// Whether a tool failed.
    IsError "is_error",
    /// A part that has no place where it stands.
    MisplacedPart "content",
    /// The tools as such.
    Tools "tools",
    /// A tool that takes free text.
    CustomTool "custom_tool",
    /// Whether arguments must fit the schema.
    ToolStrict "tool_strict",
    /// JSON Schema beyond what the target knows.
    ToolSchema "tool_schema",
    /// A choice of tool beyond what the target knows.
    ToolChoice "tool_choice",
    /// Whether several tools may be called at once.
    ParallelToolCalls "parallel_tool_calls",
    /// Cap on generated tokens.
    MaxTokens "max_tokens",
    /// Sampling temperature.
    Temperature "temperature",
    /// Nucleus sampling.
    TopP "top_p",
    /// Sampling among the first.
    TopK "top_k",
    /// Texts that end the answer.
    Stop "stop",
    /// Penalty by frequency.
    FrequencyPenalty "frequency_penalty",
    /// Penalty by presence.
    PresencePenalty "presence_penalty",
    /// For repeatable sampling.
    Seed "seed",
    /// How many answers.
    N "n",
    /// Log-probabilities.
    Logprobs "logprobs",
    /// Alternatives at each token.
    TopLogprobs "top_logprobs",
    /// The form that the answer must have.
    ResponseFormat "response_format",
    /// How much to reason, in a word.
    ReasoningEffort "reasoning_effort",
    /// How much to reason, in tokens.
    ReasoningBudget "reasoning_budget",
    /// The end user.
    User "user",
    /// The service tier.
    ServiceTier "service_tier",
    /// What a completion continues.
    Prompt "prompt",
    /// What comes after the gap.
    Suffix "suffix",
    /// Whether to repeat the prompt.
    Echo "echo",
    /// Of how many answers the best are wanted.
    BestOf "best_of",
    /// A completion's log-probabilities.
    CompletionLogprobs "completion_logprobs",
    /// Texts to turn into vectors.
    Input "input",
    /// Tokens to turn into vectors.
    InputTokens "input_tokens",
    /// Length of the vectors.
    Dimensions "dimensions",
    /// How vectors are written.
    EncodingFormat "encoding_format",
    /// What the vectors are for.
    InputType "input_type",
    /// What is done with a text that is too long.
    Truncate "truncate",
    /// Documents to put in order that are no texts.
    Documents "documents",
}

/// Where a field stands that our form does not model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The body itself.
    Body,
    /// A message.
    Message,
    /// A piece of a message; also the name of a foreign piece.
    Content,
    /// A document.
    Document,
    /// A tool call.
    ToolCall,
    /// A tool's result.
    ToolResult,
    /// A tool; also the name of a foreign tool.
    Tool,
}

impl Place {
    /// What comes before a field's name in a client's dialect.
    pub(crate) const fn prefix(self, from: Dialect) -> &'static str {
        match (self, from) {
            (Self::Body, _) => "",
            (Self::Tool, _) => "tools.",
            (Self::Message, Dialect::GeminiGenerate) => "contents.",
            (
                Self::Content | Self::Document | Self::ToolCall | Self::ToolResult,
                Dialect::GeminiGenerate,
            ) => "contents.parts.",
            // Items, and the pieces of which some of them consist.
            (_, Dialect::OpenaiResponses) => "input.",
            (Self::ToolCall, Dialect::AnthropicMessages) => "messages.content.tool_use.",
            (Self::ToolResult, Dialect::AnthropicMessages) => "messages.content.tool_result.",
            (Self::Document, Dialect::AnthropicMessages) => "messages.content.document.",
            (Self::ToolCall, _) => "messages.tool_calls.",
            (Self::Message | Self::ToolResult, _) => "messages.",
            (Self::Content | Self::Document, _) => "messages.content.",
        }
    }
}

impl Field {
    /// What a client's dialect calls it; `None` where it cannot ask for it.
    pub fn name(self, from: Dialect) -> Option<&'static str> {
        match from {
            Dialect::OpenaiChat => self.in_openai_chat(),
            Dialect::OpenaiCompletions => self.in_openai_completions(),
            Dialect::OpenaiEmbeddings => self.in_openai_embeddings(),
            Dialect::AnthropicMessages => self.in_anthropic_messages(),
            Dialect::GeminiGenerate => self.in_gemini_generate(),
            Dialect::GeminiEmbeddings => self.in_gemini_embeddings(),
            Dialect::OpenaiResponses => self.in_openai_responses(),
            Dialect::CohereChat => self.in_cohere_chat(),
            Dialect::CohereEmbeddings => self.in_cohere_embeddings(),
            Dialect::CohereOldEmbeddings => match self {
                Self::Dimensions => None,
                _ => self.in_cohere_embeddings(),
            },
            Dialect::CohereRerank => self.in_cohere_rerank(),
            Dialect::OpenaiMedia
            | Dialect::VoyageEmbeddings
            | Dialect::VoyageRerank
            | Dialect::BedrockConverse
            | Dialect::BedrockEmbeddings
            | Dialect::VertexEmbeddings
            | Dialect::WatsonxEmbeddings
            | Dialect::ReplicatePredictions
            | Dialect::MlflowServing => None,
            Dialect::OllamaChat => self.in_ollama_chat(),
            Dialect::OllamaGenerate => self.in_ollama_generate(),
            Dialect::OllamaEmbeddings => self.in_ollama_embeddings(),
            Dialect::OllamaOldEmbeddings => match self {
                Self::Model => Some("model"),
                Self::Input => Some("prompt"),
                _ => None,
            },
        }
    }

    fn in_openai_chat(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::Messages => "messages",
            Self::SystemMidway => "messages.system",
            Self::SpeakerName => "messages.name",
            Self::CacheControl => "messages.content.cache_control",
            Self::Image => "messages.content.image_url",
            Self::ImageDetail => "messages.content.image_url.detail",
            Self::Audio => "messages.content.input_audio",
            Self::Document => "messages.content.file",
            Self::Refusal => "messages.refusal",
            Self::Reasoning => "messages.reasoning_content",
            Self::RedactedReasoning => "messages.reasoning_details",
            Self::ToolArguments => "messages.tool_calls.function.arguments",
            Self::CustomToolCall => "messages.tool_calls.custom",
            Self::ToolResult => "messages.tool",
            Self::ToolResultMedia => "messages.tool.content",
            Self::Tools => "tools",
            Self::CustomTool => "tools.custom",
            Self::ToolStrict => "tools.function.strict",
            Self::ToolSchema => "tools.function.parameters",
            Self::ToolChoice => "tool_choice",
            Self::ParallelToolCalls => "parallel_tool_calls",
            Self::MaxTokens => "max_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::TopK => "top_k",
            Self::Stop => "stop",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Seed => "seed",
            Self::N => "n",
            Self::Logprobs => "logprobs",
            Self::TopLogprobs => "top_logprobs",
            Self::ResponseFormat => "response_format",
            Self::ReasoningEffort => "reasoning_effort",
            Self::User => "user",
            Self::ServiceTier => "service_tier",
            _ => return None,
        })
    }

    fn in_openai_completions(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::Prompt => "prompt",
            Self::Suffix => "suffix",
            Self::Echo => "echo",
            Self::BestOf => "best_of",
            Self::CompletionLogprobs => "logprobs",
            Self::MaxTokens => "max_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::Stop => "stop",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Seed => "seed",
            Self::N => "n",
            Self::User => "user",
            _ => return None,
        })
    }

    fn in_openai_embeddings(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Input | Self::InputTokens => "input",
            Self::Dimensions => "dimensions",
            Self::EncodingFormat => "encoding_format",
            Self::User => "user",
            _ => return None,
        })
    }

    fn in_anthropic_messages(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::Messages => "messages",
            Self::System => "system",
            Self::CacheControl => "cache_control",
            Self::MisplacedPart => "messages.content",
            Self::Image => "messages.content.image.source",
            Self::Document => "messages.content.document.source",
            Self::Citations => "messages.content.citations",
            Self::Reasoning => "messages.content.thinking",
            Self::RedactedReasoning => "messages.content.redacted_thinking",
            Self::ToolArguments => "messages.content.tool_use.input",
            Self::ToolResult => "messages.content.tool_result",
            Self::ToolResultMedia => "messages.content.tool_result.content",
            Self::IsError => "is_error",
            Self::Tools => "tools",
            Self::ToolStrict => "tools.strict",
            Self::ToolSchema => "tools.input_schema",
            Self::ToolChoice => "tool_choice",
            Self::ParallelToolCalls => "tool_choice.disable_parallel_tool_use",
            Self::MaxTokens => "max_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::TopK => "top_k",
            Self::Stop => "stop_sequences",
            Self::ReasoningBudget => "thinking",
            Self::ReasoningEffort => "output_config.effort",
            Self::ResponseFormat => "output_config.format",
            Self::User => "metadata.user_id",
            Self::ServiceTier => "service_tier",
            _ => return None,
        })
    }

    fn in_ollama_chat(self) -> Option<&'static str> {
        Some(match self {
            Self::Messages => "messages",
            Self::SystemMidway => "messages.system",
            Self::Image => "messages.images",
            Self::Reasoning => "messages.thinking",
            Self::ToolArguments => "messages.tool_calls.function.arguments",
            Self::ToolResult => "messages.tool",
            Self::ToolResultMedia => "messages.tool.images",
            Self::Tools => "tools",
            Self::ToolStrict => "tools.function.strict",
            Self::ToolSchema => "tools.function.parameters",
            Self::Logprobs => "logprobs",
            Self::TopLogprobs => "top_logprobs",
            Self::ResponseFormat => "format",
            Self::ReasoningEffort => "think",
            _ => return self.in_ollama_options(),
        })
    }

    fn in_ollama_generate(self) -> Option<&'static str> {
        Some(match self {
            Self::Prompt => "prompt",
            Self::System => "system",
            Self::Suffix => "suffix",
            Self::Image => "images",
            Self::CompletionLogprobs => "logprobs",
            Self::ResponseFormat => "format",
            Self::ReasoningEffort => "think",
            _ => return self.in_ollama_options(),
        })
    }

    /// What Ollama's chat and completions have in common.
    fn in_ollama_options(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::MaxTokens => "options.num_predict",
            Self::Temperature => "options.temperature",
            Self::TopP => "options.top_p",
            Self::TopK => "options.top_k",
            Self::FrequencyPenalty => "options.frequency_penalty",
            Self::PresencePenalty => "options.presence_penalty",
            Self::Seed => "options.seed",
            Self::Stop => "options.stop",
            _ => return None,
        })
    }

    fn in_ollama_embeddings(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Input => "input",
            Self::Dimensions => "dimensions",
            Self::Truncate => "truncate",
            _ => return None,
        })
    }

    fn in_gemini_generate(self) -> Option<&'static str> {
        Some(match self {
            Self::Messages => "contents",
            Self::System => "systemInstruction",
            Self::MisplacedPart => "contents.parts",
            Self::Image => "contents.parts.inlineData",
            Self::Audio => "contents.parts.inlineData.audio",
            Self::Document => "contents.parts.fileData",
            Self::Reasoning => "contents.parts.thought",
            Self::RedactedReasoning => "contents.parts.thoughtSignature",
            Self::ToolArguments => "contents.parts.functionCall.args",
            Self::ToolResult => "contents.parts.functionResponse",
            Self::ToolResultMedia => "contents.parts.functionResponse.parts",
            Self::IsError => "contents.parts.functionResponse.response.error",
            Self::Tools => "tools",
            Self::ToolSchema => "tools.functionDeclarations.parameters",
            Self::ToolChoice => "toolConfig.functionCallingConfig",
            Self::MaxTokens => "generationConfig.maxOutputTokens",
            Self::Temperature => "generationConfig.temperature",
            Self::TopP => "generationConfig.topP",
            Self::TopK => "generationConfig.topK",
            Self::Stop => "generationConfig.stopSequences",
            Self::FrequencyPenalty => "generationConfig.frequencyPenalty",
            Self::PresencePenalty => "generationConfig.presencePenalty",
            Self::Seed => "generationConfig.seed",
            Self::N => "generationConfig.candidateCount",
            Self::Logprobs => "generationConfig.responseLogprobs",
            Self::TopLogprobs => "generationConfig.logprobs",
            Self::ResponseFormat => "generationConfig.responseSchema",
            Self::ReasoningEffort => "generationConfig.thinkingConfig.thinkingLevel",
            Self::ReasoningBudget => "generationConfig.thinkingConfig.thinkingBudget",
            Self::ServiceTier => "serviceTier",
            _ => return None,
        })
    }

    fn in_gemini_embeddings(self) -> Option<&'static str> {
        Some(match self {
            Self::Input => "content",
            Self::Dimensions => "outputDimensionality",
            Self::InputType => "taskType",
            _ => return None,
        })
    }

    fn in_openai_responses(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::Messages => "input",
            Self::System => "instructions",
            Self::SystemMidway => "input.system",
            Self::SpeakerName => "input.name",
            Self::Image => "input.input_image",
            Self::ImageDetail => "input.input_image.detail",
            Self::Audio => "input.input_audio",
            Self::Document => "input.input_file",
            Self::Refusal => "input.refusal",
            Self::Reasoning => "input.reasoning",
            Self::RedactedReasoning => "input.reasoning.encrypted_content",
            Self::ToolArguments => "input.function_call.arguments",
            Self::ToolCallId => "input.function_call.call_id",
            Self::CustomToolCall => "input.custom_tool_call",
            Self::ToolResult => "input.function_call_output",
            Self::ToolResultMedia => "input.function_call_output.output",
            Self::MisplacedPart => "input.content",
            Self::Tools => "tools",
            Self::CustomTool => "tools.custom",
            Self::ToolStrict => "tools.strict",
            Self::ToolSchema => "tools.parameters",
            Self::ToolChoice => "tool_choice",
            Self::ParallelToolCalls => "parallel_tool_calls",
            Self::MaxTokens => "max_output_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "top_p",
            Self::TopK => "top_k",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Logprobs => "include.message.output_text.logprobs",
            Self::TopLogprobs => "top_logprobs",
            Self::ResponseFormat => "text.format",
            Self::ReasoningEffort => "reasoning.effort",
            Self::User => "user",
            Self::ServiceTier => "service_tier",
            _ => return None,
        })
    }

    fn in_cohere_chat(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::Messages => "messages",
            Self::SystemMidway => "messages.system",
            Self::MisplacedPart => "messages.content",
            Self::Image => "messages.content.image_url",
            Self::ImageDetail => "messages.content.image_url.detail",
            Self::Document => "messages.content.document",
            Self::Reasoning => "messages.content.thinking",
            Self::ToolArguments => "messages.tool_calls.function.arguments",
            Self::ToolResult => "messages.tool",
            Self::ToolResultMedia => "messages.tool.content",
            Self::Tools => "tools",
            Self::ToolStrict => "strict_tools",
            Self::ToolSchema => "tools.function.parameters",
            Self::ToolChoice => "tool_choice",
            Self::MaxTokens => "max_tokens",
            Self::Temperature => "temperature",
            Self::TopP => "p",
            Self::TopK => "k",
            Self::Stop => "stop_sequences",
            Self::FrequencyPenalty => "frequency_penalty",
            Self::PresencePenalty => "presence_penalty",
            Self::Seed => "seed",
            Self::Logprobs => "logprobs",
            Self::ResponseFormat => "response_format",
            Self::ReasoningBudget => "thinking",
            _ => return None,
        })
    }

    fn in_cohere_embeddings(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Input => "texts",
            Self::Dimensions => "output_dimension",
            Self::EncodingFormat => "embedding_types",
            Self::InputType => "input_type",
            Self::Truncate => "truncate",
            _ => return None,
        })
    }

    fn in_cohere_rerank(self) -> Option<&'static str> {
        Some(match self {
            Self::Model => "model",
            Self::Documents => "documents",
            _ => return None,
        })
    }
}
