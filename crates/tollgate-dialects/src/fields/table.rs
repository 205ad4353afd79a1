//! The table itself: pairs of dialects, and for each the fields that do not go over as they are.

use tollgate_domain::Dialect::{
    self, AnthropicMessages, MlflowServing, OpenaiChat, OpenaiCompletions, OpenaiEmbeddings,
};

use super::Policy::{self, Dropped, Mapped, Refused};

type Row = (&'static str, Policy);

/// From, to, and what is done with the fields of the first.
pub(super) const PAIRS: &[(Dialect, Dialect, &[Row])] = &[
    (OpenaiChat, AnthropicMessages, OPENAI_TO_ANTHROPIC),
    (AnthropicMessages, OpenaiChat, ANTHROPIC_TO_OPENAI),
    (OpenaiCompletions, OpenaiChat, COMPLETIONS_TO_CHAT),
    (
        OpenaiCompletions,
        AnthropicMessages,
        COMPLETIONS_TO_ANTHROPIC,
    ),
    (OpenaiChat, MlflowServing, OPENAI_TO_MLFLOW),
    // MLflow's chat models take OpenAI's form.
    (AnthropicMessages, MlflowServing, ANTHROPIC_TO_OPENAI),
    (OpenaiCompletions, MlflowServing, COMPLETIONS_TO_MLFLOW),
    (OpenaiEmbeddings, MlflowServing, EMBEDDINGS_TO_MLFLOW),
];

const NO_PLACE: &str = "has no place there";
const HINT: &str = "a hint to the provider, with no place there";
const ONE_ANSWER: &str = "there is one answer";
const NO_SOUND: &str = "there is no sound";
const JSON_TOOLS: &str = "tools take JSON there";
const NO_SAMPLING: &str = "goes up to 1 there, and newer models have none";
const OTHERS_FILE: &str =
    "was uploaded to another provider, or is of a kind that is not taken there";
const OTHERS_TOOL: &str = "runs at another provider";
const OTHERS_RESULT: &str = "what another provider's tools found; only that one can read it";
const OTHERS_PROOF: &str = "proves to another provider what it wrote before";
const CITED: &str = "what was cited before is still told by the text";
const CACHING: &str = "caching is the provider's affair there";
const ONE_TEXT: &str = "a model that takes inputs takes one text";
const ADDRESS: &str = "the address stands for it";
const WHOLE: &str = "answers come whole, and are told as a stream";

const OPENAI_TO_ANTHROPIC: &[Row] = &[
    (
        "messages.system",
        Mapped(
            "what the operator says goes to `system`, also from within the conversation; where nobody else speaks, the user says it",
        ),
    ),
    (
        "messages.tool",
        Mapped("results are blocks of the user's message"),
    ),
    ("messages.name", Dropped(NO_PLACE)),
    ("messages.annotations", Dropped(CITED)),
    ("messages.audio", Refused(NO_SOUND)),
    ("messages.cache_control", Dropped(HINT)),
    (
        "messages.reasoning_content",
        Dropped(
            "reasoning without a signature is refused there; with one, in `reasoning_details`, it becomes `thinking`",
        ),
    ),
    ("messages.content.image_url", Refused(OTHERS_FILE)),
    ("messages.content.image_url.detail", Dropped(HINT)),
    ("messages.content.prompt_cache_breakpoint", Dropped(HINT)),
    ("messages.content.input_audio", Refused(NO_SOUND)),
    ("messages.content.file", Refused(OTHERS_FILE)),
    ("messages.tool_calls.custom", Refused(JSON_TOOLS)),
    ("messages.tool_calls.extra_content", Dropped(OTHERS_PROOF)),
    (
        "messages.tool_calls.function.arguments",
        Refused(
            "arguments are JSON objects there, and these are none; where it may be dropped, the text goes under `_invalid_arguments`",
        ),
    ),
    ("tools.custom", Refused(JSON_TOOLS)),
    (
        "tool_choice",
        Refused("a choice among some of the tools has no place there"),
    ),
    (
        "parallel_tool_calls",
        Mapped(
            "`false` is `tool_choice.disable_parallel_tool_use`; `true` is what Anthropic does anyway",
        ),
    ),
    (
        "max_tokens",
        Mapped(
            "8192, or 4096 for models before Claude 3.5, where it is not given: Anthropic wants one",
        ),
    ),
    (
        "stop",
        Refused("is `stop_sequences`; texts of white space alone are refused there"),
    ),
    ("temperature", Refused(NO_SAMPLING)),
    ("top_p", Refused(NO_SAMPLING)),
    ("frequency_penalty", Refused(NO_PLACE)),
    ("presence_penalty", Refused(NO_PLACE)),
    ("seed", Refused(NO_PLACE)),
    ("n", Refused(ONE_ANSWER)),
    ("logprobs", Refused(NO_PLACE)),
    ("top_logprobs", Refused(NO_PLACE)),
    ("logit_bias", Refused(NO_PLACE)),
    (
        "response_format",
        Refused(
            "a schema is `output_config.format`, without name and strictness; `json_object` is an instruction in `system`; other forms are refused",
        ),
    ),
    (
        "reasoning_effort",
        Dropped(
            "is `output_config.effort` (`minimal` is `low`, what is above `high` is `high`), and `none` switches thinking off; models that know no effort do without",
        ),
    ),
    (
        "thinking",
        Refused("goes over where it is whole, in Anthropic's form; other forms are refused"),
    ),
    ("modalities", Refused("there is text only")),
    ("audio", Refused(NO_SOUND)),
    ("web_search_options", Refused(OTHERS_TOOL)),
    ("user", Mapped("`metadata.user_id`")),
    (
        "service_tier",
        Dropped("`auto` is `auto` and `default` is `standard_only`; others have no place there"),
    ),
    ("metadata", Dropped(HINT)),
    ("prediction", Dropped(HINT)),
    ("prompt_cache_key", Dropped(HINT)),
    ("prompt_cache_options", Dropped(HINT)),
    ("prompt_cache_retention", Dropped(HINT)),
    ("safety_identifier", Dropped(HINT)),
    ("store", Dropped(HINT)),
    ("stream_options", Dropped(HINT)),
    ("verbosity", Dropped(HINT)),
];

const ANTHROPIC_TO_OPENAI: &[Row] = &[
    ("system", Mapped("the first message, of the role `system`")),
    ("cache_control", Dropped(CACHING)),
    ("messages.content", Refused(NO_PLACE)),
    ("messages.content.thinking", Dropped(OTHERS_PROOF)),
    ("messages.content.redacted_thinking", Dropped(OTHERS_PROOF)),
    ("messages.content.citations", Dropped(CITED)),
    ("messages.content.image.source", Refused(OTHERS_FILE)),
    (
        "messages.content.document.source",
        Refused("documents have to be in place there, as base64 or as text"),
    ),
    ("messages.content.document.context", Dropped(NO_PLACE)),
    (
        "messages.content.document.citations",
        Dropped("there are no citations of documents"),
    ),
    ("messages.content.tool_use.caller", Dropped(HINT)),
    (
        "messages.content.tool_result",
        Mapped(
            "a message of the role `tool`; its pictures and documents follow with the user's words",
        ),
    ),
    ("is_error", Dropped("the tool's text says what went wrong")),
    ("messages.content.search_result", Refused(NO_PLACE)),
    ("messages.content.container_upload", Refused(OTHERS_FILE)),
    ("messages.content.server_tool_use", Refused(OTHERS_RESULT)),
    (
        "messages.content.web_search_tool_result",
        Refused(OTHERS_RESULT),
    ),
    (
        "messages.content.web_fetch_tool_result",
        Refused(OTHERS_RESULT),
    ),
    (
        "messages.content.code_execution_tool_result",
        Refused(OTHERS_RESULT),
    ),
    (
        "messages.content.bash_code_execution_tool_result",
        Refused(OTHERS_RESULT),
    ),
    (
        "messages.content.text_editor_code_execution_tool_result",
        Refused(OTHERS_RESULT),
    ),
    (
        "messages.content.tool_search_tool_result",
        Refused(OTHERS_RESULT),
    ),
    ("messages.content.tool_reference", Refused(OTHERS_RESULT)),
    ("messages.content.tool_addition", Refused(NO_PLACE)),
    (
        "messages.content.advisor_tool_result",
        Refused(OTHERS_RESULT),
    ),
    ("messages.content.mcp_tool_use", Refused(OTHERS_RESULT)),
    ("messages.content.mcp_tool_result", Refused(OTHERS_RESULT)),
    ("tools.allowed_callers", Dropped(HINT)),
    ("tools.defer_loading", Dropped(HINT)),
    ("tools.eager_input_streaming", Dropped(HINT)),
    ("tools.input_examples", Dropped(HINT)),
    ("tool_choice", Refused(NO_PLACE)),
    (
        "tool_choice.disable_parallel_tool_use",
        Mapped("`parallel_tool_calls`, the other way round"),
    ),
    (
        "max_tokens",
        Mapped("`max_completion_tokens` for models that know no other name"),
    ),
    (
        "stop_sequences",
        Mapped("`stop`; the answer does not tell which one was hit"),
    ),
    ("top_k", Refused(NO_PLACE)),
    (
        "thinking",
        Mapped(
            "a budget is a `reasoning_effort`: `low` below 4096 tokens, `medium` below 16384, `high` above; without one the model reasons as it does",
        ),
    ),
    (
        "output_config.effort",
        Mapped("`reasoning_effort`; what is above `high` is `high`"),
    ),
    (
        "output_config.format",
        Refused("a schema is `response_format`; other forms have no place there"),
    ),
    ("output_config", Dropped(HINT)),
    ("metadata.user_id", Mapped("`user`")),
    ("metadata", Dropped(HINT)),
    ("service_tier", Mapped("`standard_only` is `default`")),
    ("container", Refused(OTHERS_TOOL)),
    (
        "context_management",
        Dropped("the conversation is sent as it is"),
    ),
    (
        "inference_geo",
        Refused("a promise that another provider does not make"),
    ),
    ("mcp_servers", Refused(OTHERS_TOOL)),
];

const COMPLETIONS_TO_CHAT: &[Row] = &[
    (
        "prompt",
        Mapped("what the user says; several prompts and tokens are refused"),
    ),
    ("suffix", Refused(NO_PLACE)),
    ("echo", Refused(NO_PLACE)),
    ("best_of", Refused(NO_PLACE)),
    ("logprobs", Refused("are told in another form there")),
];

const COMPLETIONS_TO_ANTHROPIC: &[Row] = &[
    (
        "prompt",
        Mapped("what the user says; several prompts and tokens are refused"),
    ),
    ("suffix", Refused(NO_PLACE)),
    ("echo", Refused(NO_PLACE)),
    ("best_of", Refused(NO_PLACE)),
    ("logprobs", Refused(NO_PLACE)),
    (
        "max_tokens",
        Mapped(
            "8192, or 4096 for models before Claude 3.5, where it is not given: Anthropic wants one",
        ),
    ),
    (
        "stop",
        Refused("is `stop_sequences`; texts of white space alone are refused there"),
    ),
    ("temperature", Refused(NO_SAMPLING)),
    ("top_p", Refused(NO_SAMPLING)),
    ("frequency_penalty", Refused(NO_PLACE)),
    ("presence_penalty", Refused(NO_PLACE)),
    ("seed", Refused(NO_PLACE)),
    ("n", Refused(ONE_ANSWER)),
    ("logit_bias", Refused(NO_PLACE)),
    ("user", Mapped("`metadata.user_id`")),
    ("stream_options", Dropped(HINT)),
];

const OPENAI_TO_MLFLOW: &[Row] = &[
    ("model", Mapped(ADDRESS)),
    ("stream", Mapped(WHOLE)),
    ("max_completion_tokens", Mapped("`max_tokens`")),
    // Of models that are no chat models.
    ("messages", Refused(ONE_TEXT)),
    ("tools", Refused(ONE_TEXT)),
    ("tool_choice", Refused(ONE_TEXT)),
    ("response_format", Refused(ONE_TEXT)),
];

const COMPLETIONS_TO_MLFLOW: &[Row] = &[
    ("model", Mapped(ADDRESS)),
    ("stream", Mapped(WHOLE)),
    (
        "prompt",
        Mapped("`inputs`, with all other fields under `params`; tokens are refused"),
    ),
];

const EMBEDDINGS_TO_MLFLOW: &[Row] = &[
    ("model", Mapped(ADDRESS)),
    (
        "input",
        Mapped("`inputs`, with all other fields under `params`; tokens are refused"),
    ),
    (
        "encoding_format",
        Mapped("the gateway writes the vectors as they are asked for"),
    ),
];
