//! What each provider's dialect does with the fields of our form that it cannot express as they are.

mod vectors;

use tollgate_domain::Dialect;

use super::{
    Field,
    Policy::{self, Dropped, Mapped, Refused},
};
use vectors::{
    BEDROCK_EMBEDDINGS, COHERE_EMBEDDINGS, COHERE_OLD_EMBEDDINGS, GEMINI_EMBEDDINGS,
    OLLAMA_EMBEDDINGS, OLLAMA_OLD_EMBEDDINGS, OPENAI_EMBEDDINGS, VERTEX_EMBEDDINGS,
    VOYAGE_EMBEDDINGS, WATSONX_EMBEDDINGS,
};

type Row = (Field, Policy);

/// The rows of a provider's dialect for calls of a client's.
pub(super) fn of(from: Dialect, to: Dialect) -> Vec<Row> {
    let rows: &[&[Row]] = match to {
        Dialect::OpenaiChat => &[COMPLETION, OPENAI_CHAT],
        Dialect::AnthropicMessages => &[COMPLETION, ANTHROPIC_MESSAGES],
        // MLflow's chat models take OpenAI's form.
        Dialect::MlflowServing => match from {
            Dialect::OpenaiCompletions => &[MLFLOW, MLFLOW_PROMPT],
            Dialect::OpenaiEmbeddings => &[MLFLOW, MLFLOW_INPUT],
            Dialect::CohereEmbeddings | Dialect::CohereOldEmbeddings => {
                &[MLFLOW, MLFLOW_INPUT, OPENAI_EMBEDDINGS]
            }
            Dialect::OpenaiChat => &[MLFLOW, MLFLOW_TEXT],
            _ => &[MLFLOW, OPENAI_CHAT, MLFLOW_TEXT],
        },
        Dialect::OpenaiCompletions => &[OPENAI_COMPLETIONS],
        Dialect::OpenaiEmbeddings => &[OPENAI_EMBEDDINGS],
        Dialect::OllamaChat => &[COMPLETION, OLLAMA_CHAT, OLLAMA],
        Dialect::OllamaGenerate => &[OLLAMA_GENERATE, OLLAMA],
        Dialect::OllamaEmbeddings => &[OLLAMA_EMBEDDINGS],
        Dialect::OllamaOldEmbeddings => &[OLLAMA_OLD_EMBEDDINGS],
        Dialect::GeminiGenerate => &[COMPLETION, GEMINI_GENERATE],
        Dialect::GeminiEmbeddings => &[GEMINI_EMBEDDINGS],
        Dialect::OpenaiResponses => &[COMPLETION, OPENAI_RESPONSES],
        Dialect::CohereChat => &[COMPLETION, COHERE_CHAT],
        Dialect::CohereEmbeddings => &[COHERE_EMBEDDINGS],
        Dialect::CohereOldEmbeddings => &[COHERE_OLD_EMBEDDINGS, COHERE_EMBEDDINGS],
        Dialect::VoyageEmbeddings => &[VOYAGE_EMBEDDINGS],
        Dialect::VoyageRerank => &[VOYAGE_RERANK],
        Dialect::BedrockConverse => &[COMPLETION, BEDROCK_CONVERSE],
        Dialect::BedrockEmbeddings => &[BEDROCK_EMBEDDINGS],
        Dialect::VertexEmbeddings => &[VERTEX_EMBEDDINGS],
        Dialect::WatsonxEmbeddings => &[WATSONX_EMBEDDINGS],
        Dialect::ReplicatePredictions => &[COMPLETION, REPLICATE],
        Dialect::OpenaiMedia | Dialect::CohereRerank => &[],
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
const TEXT_ONLY: &str = "there is text only";
const NO_TOOLS: &str = "there are no tools";
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
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
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

const OPENAI_COMPLETIONS: &[Row] = &[
    (Field::System, Mapped("comes before the prompt")),
    (Field::Image, Refused("there is text only")),
    (Field::TopK, Refused(NO_PLACE)),
    (
        Field::CompletionLogprobs,
        Refused("are told in another form there"),
    ),
    (Field::ResponseFormat, Refused(NO_PLACE)),
    (
        Field::ReasoningEffort,
        Dropped("models that continue a text do not reason"),
    ),
];

/// What Ollama's chat and completions have in common.
const OLLAMA: &[Row] = &[
    (
        Field::Stream,
        Mapped("is always said, as answers are streamed without a word"),
    ),
    (Field::MaxTokens, Mapped("`options.num_predict`")),
    (Field::Temperature, Mapped("`options.temperature`")),
    (Field::TopP, Mapped("`options.top_p`")),
    (Field::TopK, Mapped("`options.top_k`")),
    (
        Field::FrequencyPenalty,
        Mapped("`options.frequency_penalty`"),
    ),
    (Field::PresencePenalty, Mapped("`options.presence_penalty`")),
    (Field::Seed, Mapped("`options.seed`")),
    (
        Field::Stop,
        Mapped("`options.stop`; the answer does not tell which one was hit"),
    ),
    (
        Field::Image,
        Refused(
            "pictures are bare base64 there, before the text; addresses and uploaded files are refused",
        ),
    ),
    (
        Field::ResponseFormat,
        Refused(
            "`json_object` is `format: json`, a schema is `format`, without name and strictness; other forms are refused",
        ),
    ),
    (
        Field::ReasoningEffort,
        Mapped("`think`: a level for models that take one, else whether to think"),
    ),
    (
        Field::ReasoningBudget,
        Mapped("`think`; how much is left to the model"),
    ),
    (Field::N, Refused(ONE_ANSWER)),
    (Field::User, Dropped(HINT)),
    (Field::ServiceTier, Dropped(HINT)),
];

const OLLAMA_CHAT: &[Row] = &[
    (Field::System, Mapped("a message of the role `system`")),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (Field::CacheControl, Dropped(CACHING)),
    (Field::MisplacedPart, Refused(NO_PLACE)),
    (Field::ImageDetail, Dropped(HINT)),
    (Field::Audio, Refused(NO_SOUND)),
    (
        Field::Document,
        Refused("documents have to be text or pictures there"),
    ),
    (Field::Citations, Dropped(CITED)),
    (Field::Refusal, Mapped("what is said")),
    (
        Field::Reasoning,
        Mapped("`thinking`, without the proof of who wrote it"),
    ),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
    (
        Field::ToolResult,
        Mapped("a message of the role `tool`, with the tool's name"),
    ),
    (Field::ToolResultMedia, Mapped("`images` of the message")),
    (
        Field::IsError,
        Dropped("the tool's text says what went wrong"),
    ),
    (Field::CustomToolCall, Refused(JSON_TOOLS)),
    (
        Field::ToolArguments,
        Refused(
            "arguments are JSON objects there, and these are none; where it may be dropped, the text goes under `_invalid_arguments`",
        ),
    ),
    (Field::CustomTool, Refused(JSON_TOOLS)),
    (
        Field::ToolStrict,
        Dropped("nothing there makes arguments fit their schema"),
    ),
    (
        Field::ToolChoice,
        Refused("`none` leaves the tools out; that one is called cannot be asked for"),
    ),
    (
        Field::ParallelToolCalls,
        Refused("that tools are called one by one cannot be asked for"),
    ),
];

const OLLAMA_GENERATE: &[Row] = &[
    (
        Field::Prompt,
        Mapped("`prompt`; several prompts and tokens are refused"),
    ),
    (Field::Echo, Refused(NO_PLACE)),
    (Field::BestOf, Refused(NO_PLACE)),
    (
        Field::CompletionLogprobs,
        Refused("are told in another form there"),
    ),
];

const GEMINI_GENERATE: &[Row] = &[
    (Field::Model, Mapped(ADDRESS)),
    (Field::Stream, Mapped(ADDRESS)),
    (Field::System, Mapped("`systemInstruction`")),
    (
        Field::SystemMidway,
        Mapped(
            "what the operator says goes to `systemInstruction`, also from within the conversation; where nobody else speaks, the user says it",
        ),
    ),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (Field::CacheControl, Dropped(CACHING)),
    (Field::MisplacedPart, Refused(NO_PLACE)),
    (Field::Image, Refused(OTHERS_FILE)),
    (Field::ImageDetail, Dropped(HINT)),
    (Field::Document, Refused(OTHERS_FILE)),
    (Field::Citations, Dropped(CITED)),
    (Field::Refusal, Mapped("text")),
    (
        Field::Reasoning,
        Dropped("becomes a `thought`, without the proof of another provider"),
    ),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
    (Field::CustomToolCall, Refused(JSON_TOOLS)),
    (
        Field::ToolArguments,
        Refused(
            "arguments are JSON objects there, and these are none; where it may be dropped, the text goes under `_invalid_arguments`",
        ),
    ),
    (
        Field::ToolResult,
        Mapped(
            "`functionResponse`; a text that is no JSON object is its `output`, and what a tool that failed says is its `error`",
        ),
    ),
    (
        Field::ToolResultMedia,
        Mapped(
            "`functionResponse.parts` for models from Gemini 3 on; for others they follow all functions' answers",
        ),
    ),
    (Field::CustomTool, Refused(JSON_TOOLS)),
    (
        Field::ToolStrict,
        Dropped("schemas are kept to where a function has to be called"),
    ),
    (
        Field::ToolSchema,
        Mapped(
            "`parameters` where Gemini's own subset of a schema can say it, else `parametersJsonSchema`",
        ),
    ),
    (
        Field::ToolChoice,
        Refused("a choice in another dialect's own form has no place there"),
    ),
    (
        Field::ParallelToolCalls,
        Refused("`true` is what Gemini does anyway, and it cannot be told otherwise"),
    ),
    (
        Field::MaxTokens,
        Mapped("`generationConfig.maxOutputTokens`"),
    ),
    (Field::Stop, Mapped("`generationConfig.stopSequences`")),
    (
        Field::Seed,
        Refused("has 32 bits there, and this one has more"),
    ),
    (Field::N, Mapped("`generationConfig.candidateCount`")),
    (
        Field::Logprobs,
        Mapped("`generationConfig.responseLogprobs`"),
    ),
    (Field::TopLogprobs, Mapped("`generationConfig.logprobs`")),
    (
        Field::ResponseFormat,
        Refused(
            "a schema is `responseSchema` or `responseJsonSchema`, without name and strictness, and `json_object` is `responseMimeType`; other forms are refused",
        ),
    ),
    (
        Field::ReasoningEffort,
        Mapped(
            "`thinkingLevel` for models from Gemini 3 on; for others `thinkingBudget`: 1024 for `low`, 8192 for `medium`, 24576 above, 0 for `none`",
        ),
    ),
    (
        Field::ReasoningBudget,
        Mapped("`thinkingBudget`, -1 where the amount is left to the model"),
    ),
    (Field::User, Dropped(NO_PLACE)),
    (
        Field::ServiceTier,
        Dropped("`default` is `standard`, `flex` and `priority` stay; others have no place there"),
    ),
];

const OPENAI_RESPONSES: &[Row] = &[
    (
        Field::System,
        Mapped("the first message, of the role `system`"),
    ),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (Field::CacheControl, Dropped(CACHING)),
    (Field::MisplacedPart, Refused(NO_PLACE)),
    (Field::Image, Refused(OTHERS_FILE)),
    (Field::Audio, Refused(NO_SOUND)),
    (Field::Document, Refused(OTHERS_FILE)),
    (Field::Citations, Dropped(CITED)),
    (Field::Reasoning, Dropped(OTHERS_PROOF)),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
    (
        Field::ToolResult,
        Mapped("an item of the type `function_call_output`"),
    ),
    (
        Field::IsError,
        Dropped("the tool's text says what went wrong"),
    ),
    (
        Field::ToolStrict,
        Mapped("`strict`, which is `false` where it is not given: it would be `true`"),
    ),
    (
        Field::ToolChoice,
        Refused("other choices have no place there"),
    ),
    (
        Field::ParallelToolCalls,
        Mapped("`parallel_tool_calls`, the other way round"),
    ),
    (
        Field::MaxTokens,
        Mapped("`max_output_tokens`, at least 16: less is refused there"),
    ),
    (Field::TopK, Refused(NO_PLACE)),
    (Field::FrequencyPenalty, Refused(NO_PLACE)),
    (Field::PresencePenalty, Refused(NO_PLACE)),
    (Field::Seed, Refused(NO_PLACE)),
    (Field::Stop, Refused(NO_PLACE)),
    (Field::N, Refused(ONE_ANSWER)),
    (
        Field::Logprobs,
        Mapped("`message.output_text.logprobs` in `include`"),
    ),
    (
        Field::ReasoningBudget,
        Mapped(
            "a budget is a `reasoning.effort`: `low` below 4096 tokens, `medium` below 16384, `high` above; without one the model reasons as it does",
        ),
    ),
    (
        Field::ReasoningEffort,
        Mapped("`reasoning.effort`; another provider's words above `high` are `high`"),
    ),
    (
        Field::ResponseFormat,
        Refused("a schema is `text.format`; other forms have no place there"),
    ),
    (Field::User, Mapped("`user`")),
    (Field::ServiceTier, Mapped("`standard_only` is `default`")),
];

const COHERE_CHAT: &[Row] = &[
    (Field::System, Mapped("a message of the role `system`")),
    (
        Field::SystemMidway,
        Mapped("a message of the role `system`"),
    ),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (Field::CacheControl, Dropped(CACHING)),
    (Field::Citations, Dropped(CITED)),
    (
        Field::Reasoning,
        Dropped(
            "is `thinking` for models that reason, without the proof of who wrote it; others do without",
        ),
    ),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
    (Field::Image, Refused(OTHERS_FILE)),
    (Field::Audio, Refused(NO_SOUND)),
    (
        Field::Document,
        Refused("documents have to be text there, and in place"),
    ),
    (Field::CustomToolCall, Refused(JSON_TOOLS)),
    (
        Field::ToolResult,
        Mapped("a message of the role `tool`; its pictures follow with the user's words"),
    ),
    (
        Field::IsError,
        Dropped("the tool's text says what went wrong"),
    ),
    (Field::MisplacedPart, Refused(NO_PLACE)),
    (Field::CustomTool, Refused(JSON_TOOLS)),
    (
        Field::ToolStrict,
        Dropped("is `strict_tools` where all tools are strict"),
    ),
    (
        Field::ToolChoice,
        Refused(
            "one tool is chosen by leaving out all others; a choice among some of the tools has no place there",
        ),
    ),
    (
        Field::ParallelToolCalls,
        Refused("the model may always call several tools"),
    ),
    (Field::TopP, Mapped("`p`, from 0.01 to 0.99")),
    (
        Field::Stop,
        Refused("is `stop_sequences`, of which there are five at most"),
    ),
    (Field::FrequencyPenalty, Refused("is from 0 to 1 there")),
    (Field::PresencePenalty, Refused("is from 0 to 1 there")),
    (Field::Seed, Refused("is not negative there")),
    (Field::N, Refused(ONE_ANSWER)),
    (Field::TopLogprobs, Refused(NO_PLACE)),
    (
        Field::ResponseFormat,
        Refused(
            "a schema is `response_format.json_schema`, without name and strictness; other forms are refused",
        ),
    ),
    (
        Field::ReasoningEffort,
        Dropped(
            "`none` switches `thinking` off and `high` on, without a name for what is between; models that do not reason do without",
        ),
    ),
    (
        Field::ReasoningBudget,
        Dropped("is `thinking.token_budget`; models that do not reason do without"),
    ),
    (Field::User, Dropped(HINT)),
    (Field::ServiceTier, Dropped(HINT)),
];

/// Of language models; each model has inputs of its own, and these are what they have in common.
const REPLICATE: &[Row] = &[
    (Field::Model, Mapped("`version`")),
    (
        Field::System,
        Mapped("`input.system_prompt`, also from within the conversation"),
    ),
    (
        Field::SystemMidway,
        Mapped("`input.system_prompt`, also from within the conversation"),
    ),
    (
        Field::Messages,
        Mapped(
            "`input.prompt`: what the user says where nobody else speaks, else a script of who said what",
        ),
    ),
    (Field::SpeakerName, Dropped(NO_PLACE)),
    (Field::CacheControl, Dropped(CACHING)),
    (Field::Citations, Dropped(CITED)),
    (Field::Refusal, Mapped("what is said")),
    (
        Field::Reasoning,
        Dropped("what was thought before has no place there"),
    ),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
    (Field::Image, Refused(TEXT_ONLY)),
    (Field::Audio, Refused(TEXT_ONLY)),
    (Field::Document, Refused(TEXT_ONLY)),
    (Field::ToolResult, Refused(NO_TOOLS)),
    (Field::Tools, Refused(NO_TOOLS)),
    (Field::CustomTool, Refused(NO_TOOLS)),
    (Field::ToolChoice, Refused(NO_TOOLS)),
    (Field::MaxTokens, Mapped("`input.max_tokens`")),
    (Field::Temperature, Mapped("`input.temperature`")),
    (Field::TopP, Mapped("`input.top_p`")),
    (Field::TopK, Mapped("`input.top_k`")),
    (Field::FrequencyPenalty, Mapped("`input.frequency_penalty`")),
    (Field::PresencePenalty, Mapped("`input.presence_penalty`")),
    (Field::Seed, Mapped("`input.seed`")),
    (
        Field::Stop,
        Refused("is one text there, apart by commas: sequences with a comma in them are refused"),
    ),
    (Field::N, Refused(ONE_ANSWER)),
    (Field::Logprobs, Refused(NO_PLACE)),
    (Field::TopLogprobs, Refused(NO_PLACE)),
    (Field::ResponseFormat, Refused(NO_PLACE)),
    (
        Field::ReasoningEffort,
        Dropped("models reason as they do there"),
    ),
    (
        Field::ReasoningBudget,
        Dropped("models reason as they do there"),
    ),
    (Field::User, Dropped(HINT)),
    (Field::ServiceTier, Dropped(HINT)),
];

const VOYAGE_RERANK: &[Row] = &[(Field::Documents, Refused("texts alone are taken there"))];

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
        Dropped("reasoning without a signature, and with another provider's, is refused there"),
    ),
    (Field::RedactedReasoning, Dropped(OTHERS_PROOF)),
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
