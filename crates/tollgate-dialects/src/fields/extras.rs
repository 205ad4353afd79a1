//! What becomes of the fields of a client's dialect that our form does not model, when the call goes out in another. Within its own dialect all
//! of them go through.

use tollgate_domain::Dialect;

use super::{
    Policy::{self, Dropped, Mapped, Refused},
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
        (Dialect::OpenaiChat, Dialect::OpenaiResponses) => OPENAI_CHAT_TO_RESPONSES,
        (Dialect::OpenaiChat, _) => OPENAI_CHAT,
        (Dialect::OpenaiResponses, _) => OPENAI_RESPONSES,
        (Dialect::OpenaiCompletions, _) => OPENAI_COMPLETIONS,
        (Dialect::AnthropicMessages, _) => ANTHROPIC_MESSAGES,
        (
            Dialect::OpenaiEmbeddings
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
    rows.to_vec()
}

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

/// `metadata`, `prompt_cache_key`, `safety_identifier`, `store`, `verbosity` and their like go over.
const OPENAI_CHAT_TO_RESPONSES: &[Row] = &[
    ("messages.annotations", Dropped(CITED)),
    ("messages.audio", Refused(NO_SOUND)),
    ("messages.cache_control", Dropped(HINT)),
    ("messages.content.prompt_cache_breakpoint", Dropped(HINT)),
    ("messages.tool_calls.extra_content", Dropped(OTHERS_PROOF)),
    ("logit_bias", Refused(NO_PLACE)),
    ("modalities", Refused("there is text only")),
    ("audio", Refused(NO_SOUND)),
    ("thinking", Refused(NO_PLACE)),
    ("web_search_options", Refused(OTHERS_TOOL)),
    ("prediction", Dropped(HINT)),
    ("stream_options", Dropped(HINT)),
];

const STORED: &str = "the gateway keeps no stored state: towards a provider that does not speak responses itself this is a 501 (`stored_state_unsupported`)";

const OPENAI_RESPONSES: &[Row] = &[
    (
        "input.item",
        Mapped("ids and states of items mean something to the provider that gave them"),
    ),
    ("input.instructions", Mapped("the operator's first words")),
    ("input.annotations", Dropped(CITED)),
    ("input.logprobs", Dropped(HINT)),
    ("input.prompt_cache_breakpoint", Dropped(HINT)),
    ("input.caller", Dropped(HINT)),
    (
        "input.namespace",
        Refused("there are no namespaces of tools"),
    ),
    ("input.item_reference", Refused(STORED)),
    ("input.compaction", Refused(OTHERS_PROOF)),
    ("input.additional_tools", Refused(NO_PLACE)),
    ("input.web_search_call", Refused(OTHERS_RESULT)),
    ("input.file_search_call", Refused(OTHERS_RESULT)),
    ("input.code_interpreter_call", Refused(OTHERS_RESULT)),
    ("input.image_generation_call", Refused(OTHERS_RESULT)),
    ("input.computer_call", Refused(OTHERS_RESULT)),
    ("input.computer_call_output", Refused(OTHERS_RESULT)),
    ("input.local_shell_call", Refused(OTHERS_RESULT)),
    ("input.local_shell_call_output", Refused(OTHERS_RESULT)),
    ("input.shell_call", Refused(OTHERS_RESULT)),
    ("input.shell_call_output", Refused(OTHERS_RESULT)),
    ("input.apply_patch_call", Refused(OTHERS_RESULT)),
    ("input.apply_patch_call_output", Refused(OTHERS_RESULT)),
    ("input.tool_search_call", Refused(OTHERS_RESULT)),
    ("input.tool_search_output", Refused(OTHERS_RESULT)),
    ("input.mcp_list_tools", Refused(OTHERS_RESULT)),
    ("input.mcp_call", Refused(OTHERS_RESULT)),
    ("input.mcp_approval_request", Refused(OTHERS_RESULT)),
    ("input.mcp_approval_response", Refused(OTHERS_RESULT)),
    ("tools.web_search", Refused(OTHERS_TOOL)),
    ("tools.web_search_preview", Refused(OTHERS_TOOL)),
    ("tools.file_search", Refused(OTHERS_TOOL)),
    ("tools.code_interpreter", Refused(OTHERS_TOOL)),
    ("tools.image_generation", Refused(OTHERS_TOOL)),
    ("tools.computer_use_preview", Refused(OTHERS_TOOL)),
    ("tools.local_shell", Refused(OTHERS_TOOL)),
    ("tools.shell", Refused(OTHERS_TOOL)),
    ("tools.apply_patch", Refused(OTHERS_TOOL)),
    ("tools.mcp", Refused(OTHERS_TOOL)),
    ("tools.tool_search", Refused(OTHERS_TOOL)),
    (
        "tools.namespace",
        Refused("there are no namespaces of tools"),
    ),
    ("tools.allowed_callers", Dropped(HINT)),
    ("tools.defer_loading", Dropped(HINT)),
    ("tools.output_schema", Dropped(HINT)),
    ("previous_response_id", Refused(STORED)),
    ("conversation", Refused(STORED)),
    ("prompt", Refused("is stored at another provider")),
    ("background", Refused("answers are waited for")),
    (
        "context_management",
        Dropped("the conversation is sent as it is"),
    ),
    (
        "include",
        Mapped(
            "reasoning comes with the proof that the provider gives; what its own tools found is not asked for",
        ),
    ),
    (
        "max_tool_calls",
        Dropped("is about the provider's own tools"),
    ),
    ("metadata", Dropped(HINT)),
    ("moderation", Refused(NO_PLACE)),
    ("prompt_cache_key", Dropped(HINT)),
    ("prompt_cache_options", Dropped(HINT)),
    ("prompt_cache_retention", Dropped(HINT)),
    ("reasoning", Dropped(HINT)),
    ("safety_identifier", Dropped(HINT)),
    ("store", Dropped("the gateway keeps no stored state")),
    ("stream_options", Dropped(HINT)),
    ("text", Dropped(HINT)),
    ("truncation", Dropped("the conversation is sent as it is")),
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
