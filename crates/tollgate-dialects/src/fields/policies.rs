//! What each provider's dialect does with the fields of our form that it cannot express as they are.

use tollgate_domain::Dialect;

use super::{
    Field,
    Policy::{self, Dropped, Mapped, Refused},
};

type Row = (Field, Policy);

/// The rows of a provider's dialect for calls of a client's.
pub(super) fn of(from: Dialect, to: Dialect) -> Vec<Row> {
    let rows: &[&[Row]] = match to {
        Dialect::OpenaiChat => &[COMPLETION, OPENAI_CHAT],
        Dialect::AnthropicMessages => &[COMPLETION, ANTHROPIC_MESSAGES],
        Dialect::BedrockConverse => &[COMPLETION, BEDROCK_CONVERSE],
        Dialect::BedrockEmbeddings => &[BEDROCK_EMBEDDINGS],
        // MLflow's chat models take OpenAI's form.
        Dialect::MlflowServing => match from {
            Dialect::OpenaiCompletions => &[MLFLOW, MLFLOW_PROMPT],
            Dialect::OpenaiEmbeddings => &[MLFLOW, MLFLOW_INPUT],
            Dialect::OpenaiChat => &[MLFLOW, MLFLOW_TEXT],
            _ => &[MLFLOW, OPENAI_CHAT, MLFLOW_TEXT],
        },
        Dialect::OpenaiResponses
        | Dialect::OpenaiCompletions
        | Dialect::OpenaiEmbeddings
        | Dialect::GeminiGenerate
        | Dialect::GeminiEmbeddings
        | Dialect::CohereChat
        | Dialect::CohereEmbeddings
        | Dialect::CohereRerank
        | Dialect::OllamaChat
        | Dialect::OllamaGenerate
        | Dialect::OllamaEmbeddings => &[],
    };
    let mut found: Vec<Row> = Vec::new();
    for (field, policy) in rows.iter().copied().flatten() {
        if !found.iter().any(|(known, _)| known == field) {
            found.push((*field, *policy));
        }
    }
    found
}

pub(super) const NO_PLACE: &str = "has no place there";
pub(super) const HINT: &str = "a hint to the provider, with no place there";
const ONE_ANSWER: &str = "there is one answer";
const NO_SOUND: &str = "there is no sound";
const JSON_TOOLS: &str = "tools take JSON there";
const NO_SAMPLING: &str = "goes up to 1 there, and newer models have none";
pub(super) const OTHERS_FILE: &str =
    "was uploaded to another provider, or is of a kind that is not taken there";
pub(super) const OTHERS_TOOL: &str = "runs at another provider";
pub(super) const OTHERS_RESULT: &str =
    "what another provider's tools found; only that one can read it";
pub(super) const OTHERS_PROOF: &str = "proves to another provider what it wrote before";
pub(super) const CITED: &str = "what was cited before is still told by the text";
const CACHING: &str = "caching is the provider's affair there";
const ONE_TEXT: &str = "a model that takes inputs takes one text";
const ADDRESS: &str = "the address stands for it";
const WHOLE: &str = "answers come whole, and are told as a stream";

/// What a completion asks and no chat does.
const COMPLETION: &[Row] = &[
    (
        Field::Prompt,
        Mapped("what the user says; several prompts and tokens are refused"),
    ),
    (Field::Suffix, Refused(NO_PLACE)),
    (Field::Echo, Refused(NO_PLACE)),
    (Field::BestOf, Refused(NO_PLACE)),
    (
        Field::CompletionLogprobs,
        Refused("are told in another form there"),
    ),
];

const OPENAI_CHAT: &[Row] = &[
    (
        Field::System,
        Mapped("the first message, of the role `system`"),
    ),
    (Field::CacheControl, Dropped(CACHING)),
    (Field::MisplacedPart, Refused(NO_PLACE)),
    (Field::Image, Refused(OTHERS_FILE)),
    (
        Field::Document,
        Refused("documents have to be in place there, as base64 or as text"),
    ),
    (Field::Citations, Dropped(CITED)),
    (Field::Reasoning, Dropped(OTHERS_PROOF)),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
    (
        Field::ToolResult,
        Mapped(
            "a message of the role `tool`; its pictures and documents follow with the user's words",
        ),
    ),
    (
        Field::IsError,
        Dropped("the tool's text says what went wrong"),
    ),
    (Field::ToolChoice, Refused(NO_PLACE)),
    (
        Field::ParallelToolCalls,
        Mapped("`parallel_tool_calls`, the other way round"),
    ),
    (
        Field::MaxTokens,
        Mapped("`max_completion_tokens` for models that know no other name"),
    ),
    (
        Field::Stop,
        Mapped("`stop`; the answer does not tell which one was hit"),
    ),
    (Field::TopK, Refused(NO_PLACE)),
    (
        Field::ReasoningBudget,
        Mapped(
            "a budget is a `reasoning_effort`: `low` below 4096 tokens, `medium` below 16384, `high` above; without one the model reasons as it does",
        ),
    ),
    (
        Field::ReasoningEffort,
        Mapped("`reasoning_effort`; what is above `high` is `high`"),
    ),
    (
        Field::ResponseFormat,
        Refused("a schema is `response_format`; other forms have no place there"),
    ),
    (Field::User, Mapped("`user`")),
    (Field::ServiceTier, Mapped("`standard_only` is `default`")),
];

const ANTHROPIC_MESSAGES: &[Row] = &[
    (
        Field::SystemMidway,
        Mapped(
            "what the operator says goes to `system`, also from within the conversation; where nobody else speaks, the user says it",
        ),
    ),
    (
        Field::ToolResult,
        Mapped("results are blocks of the user's message"),
    ),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (Field::Citations, Dropped(CITED)),
    (
        Field::Reasoning,
        Dropped(
            "reasoning without a signature is refused there; with one, in `reasoning_details`, it becomes `thinking`",
        ),
    ),
    (Field::Image, Refused(OTHERS_FILE)),
    (Field::ImageDetail, Dropped(HINT)),
    (Field::Audio, Refused(NO_SOUND)),
    (Field::Document, Refused(OTHERS_FILE)),
    (Field::CustomToolCall, Refused(JSON_TOOLS)),
    (
        Field::ToolArguments,
        Refused(
            "arguments are JSON objects there, and these are none; where it may be dropped, the text goes under `_invalid_arguments`",
        ),
    ),
    (Field::CustomTool, Refused(JSON_TOOLS)),
    (
        Field::ToolChoice,
        Refused("a choice among some of the tools has no place there"),
    ),
    (
        Field::ParallelToolCalls,
        Mapped(
            "`false` is `tool_choice.disable_parallel_tool_use`; `true` is what Anthropic does anyway",
        ),
    ),
    (
        Field::MaxTokens,
        Mapped(
            "8192, or 4096 for models before Claude 3.5, where it is not given: Anthropic wants one",
        ),
    ),
    (
        Field::Stop,
        Refused("is `stop_sequences`; texts of white space alone are refused there"),
    ),
    (Field::Temperature, Refused(NO_SAMPLING)),
    (Field::TopP, Refused(NO_SAMPLING)),
    (Field::FrequencyPenalty, Refused(NO_PLACE)),
    (Field::PresencePenalty, Refused(NO_PLACE)),
    (Field::Seed, Refused(NO_PLACE)),
    (Field::N, Refused(ONE_ANSWER)),
    (Field::Logprobs, Refused(NO_PLACE)),
    (Field::TopLogprobs, Refused(NO_PLACE)),
    (
        Field::ResponseFormat,
        Refused(
            "a schema is `output_config.format`, without name and strictness; `json_object` is an instruction in `system`; other forms are refused",
        ),
    ),
    (
        Field::ReasoningEffort,
        Dropped(
            "is `output_config.effort` (`minimal` is `low`, what is above `high` is `high`), and `none` switches thinking off; models that know no effort do without",
        ),
    ),
    (Field::User, Mapped("`metadata.user_id`")),
    (
        Field::ServiceTier,
        Dropped("`auto` is `auto` and `default` is `standard_only`; others have no place there"),
    ),
];

const BEDROCK_CONVERSE: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (Field::Stream, Mapped(ADDRESS)),
    (
        Field::SystemMidway,
        Mapped(
            "what the operator says goes to `system`, also from within the conversation; where nobody else speaks, the user says it",
        ),
    ),
    (
        Field::ToolResult,
        Mapped(
            "results are blocks of the user's message; what one speaker says in a row is one message",
        ),
    ),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (
        Field::CacheControl,
        Dropped("is a `cachePoint` for Claude and Nova; other models do without"),
    ),
    (
        Field::Image,
        Refused("pictures are in place there, or in S3 (`s3://`): PNG, JPEG, GIF, WebP"),
    ),
    (Field::ImageDetail, Dropped(HINT)),
    (
        Field::Audio,
        Refused("is taken in the formats that Bedrock lists"),
    ),
    (
        Field::Document,
        Refused(
            "documents are in place there, or in S3 (`s3://`), in the formats that Bedrock lists",
        ),
    ),
    (
        Field::Reasoning,
        Dropped("reasoning without a signature is refused there"),
    ),
    (Field::CustomToolCall, Refused(JSON_TOOLS)),
    (
        Field::ToolArguments,
        Refused(
            "arguments are JSON objects there, and these are none; where it may be dropped, the text goes under `_invalid_arguments`",
        ),
    ),
    (
        Field::IsError,
        Dropped("is `status` for Claude and Nova; for others the tool's text says what went wrong"),
    ),
    (
        Field::Tools,
        Mapped(
            "tools that were called before and are not offered any more stay in `toolConfig`, which Bedrock insists on, as no longer available",
        ),
    ),
    (Field::CustomTool, Refused(JSON_TOOLS)),
    (
        Field::ToolStrict,
        Dropped("older models do not know it; the schema is told as it is"),
    ),
    (
        Field::ToolChoice,
        Refused(
            "`none` leaves the tools out, which Bedrock does not take where some were called before; a choice among some has no place",
        ),
    ),
    (
        Field::ParallelToolCalls,
        Refused("`false` is told to Claude from 4.5 on; other models cannot be held to it"),
    ),
    (
        Field::MaxTokens,
        Mapped("`inferenceConfig.maxTokens`; Bedrock does without"),
    ),
    (
        Field::Stop,
        Refused("is `stopSequences`; texts of white space alone are refused there"),
    ),
    (Field::Temperature, Refused(NO_SAMPLING)),
    (Field::TopP, Refused(NO_SAMPLING)),
    (
        Field::TopK,
        Refused("goes into `additionalModelRequestFields`; newer Claude models have none"),
    ),
    (Field::FrequencyPenalty, Refused(NO_PLACE)),
    (Field::PresencePenalty, Refused(NO_PLACE)),
    (Field::Seed, Refused(NO_PLACE)),
    (Field::N, Refused(ONE_ANSWER)),
    (Field::Logprobs, Refused(NO_PLACE)),
    (Field::TopLogprobs, Refused(NO_PLACE)),
    (
        Field::ResponseFormat,
        Refused(
            "a schema is `outputConfig.textFormat`, without strictness; `json_object` is an instruction in `system`; other forms are refused",
        ),
    ),
    (
        Field::ReasoningEffort,
        Dropped(
            "is told in each model's own words: Claude's `outputConfig.effort`, Nova's `reasoningConfig`, `reasoning_effort` of gpt-oss, `reasoning_config` of Qwen; what is above `high` is `high`; models without such words do without",
        ),
    ),
    (
        Field::ReasoningBudget,
        Dropped(
            "is Claude's `thinking`; for Nova, gpt-oss and Qwen it is an effort: `low` below 4096 tokens, `medium` below 16384, `high` above; other models do without",
        ),
    ),
    (Field::User, Dropped(HINT)),
    (
        Field::ServiceTier,
        Dropped(
            "`auto` is nothing, `standard_only` is `default`; `default`, `flex`, `priority` and `reserved` are `serviceTier`",
        ),
    ),
];

const BEDROCK_EMBEDDINGS: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (
        Field::Input,
        Mapped(
            "`inputText` of Titan, which takes one text, or `texts` of Cohere; tokens are refused",
        ),
    ),
    (
        Field::Dimensions,
        Refused("vectors of the first Titan have one length"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
    (Field::User, Dropped(HINT)),
];

const MLFLOW: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (Field::Stream, Mapped(WHOLE)),
    (Field::MaxTokens, Mapped("`max_tokens`")),
];

/// Of models that are no chat models.
const MLFLOW_TEXT: &[Row] = &[
    (Field::Messages, Refused(ONE_TEXT)),
    (Field::Tools, Refused(ONE_TEXT)),
    (Field::ToolChoice, Refused(ONE_TEXT)),
    (Field::ParallelToolCalls, Refused(ONE_TEXT)),
    (Field::ResponseFormat, Refused(ONE_TEXT)),
];

const MLFLOW_PROMPT: &[Row] = &[(
    Field::Prompt,
    Mapped("`inputs`, with all other fields under `params`; tokens are refused"),
)];

const MLFLOW_INPUT: &[Row] = &[
    (
        Field::Input,
        Mapped("`inputs`, with all other fields under `params`; tokens are refused"),
    ),
    (
        Field::EncodingFormat,
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
];
