//! What becomes of the fields of a client's dialect that our form does not model, when the call goes out in another. Within its own dialect all
//! of them go through.

use tollgate_domain::Dialect;

use super::{
    Policy::{self, Dropped, Refused},
    policies::{CITED, HINT, NO_PLACE, OTHERS_FILE, OTHERS_PROOF, OTHERS_RESULT, OTHERS_TOOL},
};

type Row = (&'static str, Policy);

/// The rows for calls of a client's dialect that go out in a provider's.
pub(super) fn of(from: Dialect, to: Dialect) -> Vec<Row> {
    let rows: &[Row] = match (from, to) {
        // They have these fields in common.
        (
            Dialect::OpenaiChat | Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings,
            Dialect::OpenaiChat | Dialect::MlflowServing,
        ) => &[],
        (Dialect::OpenaiChat, _) => OPENAI_CHAT,
        (Dialect::OpenaiCompletions, _) => OPENAI_COMPLETIONS,
        (Dialect::AnthropicMessages, _) => ANTHROPIC_MESSAGES,
        (
            Dialect::OpenaiResponses
            | Dialect::OpenaiEmbeddings
            | Dialect::GeminiGenerate
            | Dialect::GeminiEmbeddings
            | Dialect::CohereChat
            | Dialect::CohereEmbeddings
            | Dialect::CohereRerank
            | Dialect::OllamaChat
            | Dialect::OllamaGenerate
            | Dialect::OllamaEmbeddings
            | Dialect::BedrockConverse
            | Dialect::BedrockEmbeddings
            | Dialect::MlflowServing,
            _,
        ) => &[],
    };
    let is_lost = |name: &str| to != Dialect::BedrockConverse || !IN_CONVERSE.contains(&name);
    rows.iter()
        .copied()
        .filter(|(name, _)| is_lost(name))
        .collect()
}

/// Anthropic's, which Converse has under names of its own.
const IN_CONVERSE: [&str; 3] = [
    "messages.content.document.context",
    "messages.content.document.citations",
    "messages.content.search_result",
];

const NO_SOUND: &str = "there is no sound";

const OPENAI_COMPLETIONS: &[Row] = &[
    ("logit_bias", Refused(NO_PLACE)),
    ("stream_options", Dropped(HINT)),
];

const OPENAI_CHAT: &[Row] = &[
    ("messages.annotations", Dropped(CITED)),
    ("messages.audio", Refused(NO_SOUND)),
    ("messages.cache_control", Dropped(HINT)),
    ("messages.content.prompt_cache_breakpoint", Dropped(HINT)),
    ("messages.tool_calls.extra_content", Dropped(OTHERS_PROOF)),
    ("logit_bias", Refused(NO_PLACE)),
    (
        "thinking",
        Refused("goes over where it is whole, in Anthropic's form; other forms are refused"),
    ),
    ("modalities", Refused("there is text only")),
    ("audio", Refused(NO_SOUND)),
    ("web_search_options", Refused(OTHERS_TOOL)),
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

const ANTHROPIC_MESSAGES: &[Row] = &[
    ("messages.content.document.context", Dropped(NO_PLACE)),
    (
        "messages.content.document.citations",
        Dropped("there are no citations of documents"),
    ),
    ("messages.content.tool_use.caller", Dropped(HINT)),
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
    ("output_config", Dropped(HINT)),
    ("metadata", Dropped(HINT)),
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
