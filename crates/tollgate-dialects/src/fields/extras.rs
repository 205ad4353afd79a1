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
        (Dialect::OpenaiChat, _) => OPENAI_CHAT,
        (Dialect::OpenaiCompletions, _) => OPENAI_COMPLETIONS,
        (Dialect::AnthropicMessages, _) => ANTHROPIC_MESSAGES,
        (Dialect::GeminiGenerate, _) => GEMINI_GENERATE,
        (Dialect::GeminiEmbeddings, _) => GEMINI_EMBEDDINGS,
        (
            Dialect::OpenaiResponses
            | Dialect::OpenaiEmbeddings
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
    ("messages.extra_content", Dropped(OTHERS_PROOF)),
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
    ("anthropic_version", Dropped("another language's version")),
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

const FOUND_ITSELF: &str = "the address tells what is found there";

/// Fields of parts have no place elsewhere, and what Google's own tools did means nothing there
/// (<https://ai.google.dev/api/caching#Part>, read 2026-11).
const GEMINI_GENERATE: &[Row] = &[
    ("contents.parts.mimeType", Mapped(FOUND_ITSELF)),
    ("contents.parts.displayName", Dropped(HINT)),
    ("contents.parts.mediaResolution", Dropped(HINT)),
    ("contents.parts.mediaProcessing", Dropped(HINT)),
    ("contents.parts.partMetadata", Dropped(HINT)),
    ("contents.parts.speechMetadata", Dropped(HINT)),
    ("contents.parts.audioTranscription", Dropped(HINT)),
    ("contents.parts.thought", Dropped(HINT)),
    ("contents.parts.videoMetadata", Refused(NO_PLACE)),
    ("contents.parts.willContinue", Refused(NO_PLACE)),
    ("contents.parts.partialArgs", Refused(NO_PLACE)),
    ("contents.parts.scheduling", Refused(NO_PLACE)),
    ("contents.parts.executableCode", Refused(OTHERS_RESULT)),
    ("contents.parts.codeExecutionResult", Refused(OTHERS_RESULT)),
    ("contents.parts.toolCall", Refused(OTHERS_RESULT)),
    ("contents.parts.toolResponse", Refused(OTHERS_RESULT)),
    ("tools.googleSearch", Refused(OTHERS_TOOL)),
    ("tools.googleSearchRetrieval", Refused(OTHERS_TOOL)),
    ("tools.enterpriseWebSearch", Refused(OTHERS_TOOL)),
    ("tools.parallelAiSearch", Refused(OTHERS_TOOL)),
    ("tools.googleMaps", Refused(OTHERS_TOOL)),
    ("tools.urlContext", Refused(OTHERS_TOOL)),
    ("tools.codeExecution", Refused(OTHERS_TOOL)),
    ("tools.fileSearch", Refused(OTHERS_TOOL)),
    ("tools.computerUse", Refused(OTHERS_TOOL)),
    ("tools.retrieval", Refused(OTHERS_TOOL)),
    ("tools.mcpServers", Refused(OTHERS_TOOL)),
    ("tools.behavior", Dropped(HINT)),
    ("tools.response", Dropped(HINT)),
    ("tools.responseJsonSchema", Dropped(HINT)),
    (
        "toolConfig.functionCallingConfig.mode",
        Dropped("`VALIDATED` is `AUTO` where schemas cannot be insisted on"),
    ),
    (
        "toolConfig.functionCallingConfig.streamFunctionCallArguments",
        Dropped(HINT),
    ),
    ("toolConfig.retrievalConfig", Dropped(HINT)),
    ("toolConfig.includeServerSideToolInvocations", Dropped(HINT)),
    (
        "generationConfig.responseModalities",
        Refused("there is text only"),
    ),
    ("generationConfig.speechConfig", Refused(NO_SOUND)),
    (
        "generationConfig.imageConfig",
        Refused("there is text only"),
    ),
    ("generationConfig.audioTimestamp", Dropped(HINT)),
    ("generationConfig.mediaResolution", Dropped(HINT)),
    ("generationConfig.enableAffectiveDialog", Dropped(HINT)),
    ("generationConfig.enableEnhancedCivicAnswers", Dropped(HINT)),
    ("generationConfig.routingConfig", Dropped(HINT)),
    ("generationConfig.modelSelectionConfig", Dropped(HINT)),
    (
        "generationConfig.thinkingConfig.includeThoughts",
        Dropped("thoughts are told where the provider tells them"),
    ),
    (
        "safetySettings",
        Dropped("thresholds of filters that are Google's"),
    ),
    (
        "cachedContent",
        Refused("a part of the conversation that only another provider has"),
    ),
    (
        "modelArmorConfig",
        Refused("a guard that another provider does not keep"),
    ),
    ("labels", Dropped(HINT)),
    ("store", Dropped(HINT)),
];

const GEMINI_EMBEDDINGS: &[Row] = &[
    ("taskType", Refused("others know fewer uses of vectors")),
    ("title", Dropped(HINT)),
    ("autoTruncate", Dropped(HINT)),
];
