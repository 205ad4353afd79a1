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
        (Dialect::OpenaiResponses, _) => OPENAI_RESPONSES,
        (Dialect::OpenaiChat, _) => OPENAI_CHAT,
        (Dialect::OpenaiCompletions, _) => OPENAI_COMPLETIONS,
        (Dialect::AnthropicMessages, _) => ANTHROPIC_MESSAGES,
        (Dialect::CohereChat, _) => COHERE_CHAT,
        (Dialect::CohereOldEmbeddings, Dialect::CohereEmbeddings) => &[],
        (Dialect::CohereEmbeddings, Dialect::CohereOldEmbeddings) => COHERE_EMBEDDINGS_TO_OLD,
        (Dialect::CohereEmbeddings, _) => COHERE_EMBEDDINGS,
        (Dialect::CohereOldEmbeddings, _) => COHERE_OLD_EMBEDDINGS,
        (Dialect::CohereRerank, _) => COHERE_RERANK,
        (Dialect::GeminiGenerate, _) => GEMINI_GENERATE,
        (Dialect::GeminiEmbeddings, _) => GEMINI_EMBEDDINGS,
        // They have these fields in common, but for what stands for the conversation.
        (Dialect::OllamaGenerate, Dialect::OllamaChat) => OLLAMA_GENERATE,
        (Dialect::OllamaChat, _) => OLLAMA,
        (Dialect::OllamaGenerate, _) => return [OLLAMA, OLLAMA_GENERATE].concat(),
        // They have these fields in common.
        (
            Dialect::OllamaEmbeddings | Dialect::OllamaOldEmbeddings,
            Dialect::OllamaEmbeddings | Dialect::OllamaOldEmbeddings,
        ) => &[],
        (Dialect::OllamaEmbeddings | Dialect::OllamaOldEmbeddings, _) => OLLAMA_EMBEDDINGS,
        (
            Dialect::OpenaiMedia
            | Dialect::OpenaiEmbeddings
            | Dialect::VoyageEmbeddings
            | Dialect::VoyageRerank
            | Dialect::BedrockConverse
            | Dialect::BedrockEmbeddings
            | Dialect::VertexEmbeddings
            | Dialect::WatsonxEmbeddings
            | Dialect::ReplicatePredictions
            | Dialect::MlflowServing,
            _,
        ) => &[],
    };
    let kept: &[&str] = match to {
        Dialect::BedrockConverse => &IN_CONVERSE,
        Dialect::VertexEmbeddings => &IN_PREDICT,
        _ => &[],
    };
    let is_lost = |name: &str| !kept.contains(&name);
    rows.iter()
        .copied()
        .filter(|(name, _)| is_lost(name))
        .collect()
}

/// Gemini's, which Vertex AI has beside its texts.
const IN_PREDICT: [&str; 3] = ["taskType", "title", "autoTruncate"];

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

const RUNNER: &str = "how a model is run is the provider's affair there";

/// What Ollama's chat and completions have in common
/// (<https://docs.ollama.com/modelfile>, `PARAMETER`, read 2026-11).
const OLLAMA: &[Row] = &[
    ("keep_alive", Dropped(RUNNER)),
    ("shift", Dropped(RUNNER)),
    ("truncate", Dropped(RUNNER)),
    ("options.num_ctx", Dropped(RUNNER)),
    ("options.num_batch", Dropped(RUNNER)),
    ("options.num_gpu", Dropped(RUNNER)),
    ("options.main_gpu", Dropped(RUNNER)),
    ("options.num_thread", Dropped(RUNNER)),
    ("options.num_keep", Dropped(RUNNER)),
    ("options.num_gqa", Dropped(RUNNER)),
    ("options.numa", Dropped(RUNNER)),
    ("options.low_vram", Dropped(RUNNER)),
    ("options.f16_kv", Dropped(RUNNER)),
    ("options.use_mmap", Dropped(RUNNER)),
    ("options.use_mlock", Dropped(RUNNER)),
    ("options.vocab_only", Dropped(RUNNER)),
    ("options.logits_all", Dropped(RUNNER)),
    ("options.embedding_only", Dropped(RUNNER)),
    ("options.num_predict", Dropped("a negative one is no cap")),
    ("options.min_p", Refused(NO_PLACE)),
    ("options.typical_p", Refused(NO_PLACE)),
    ("options.tfs_z", Refused(NO_PLACE)),
    ("options.repeat_penalty", Refused(NO_PLACE)),
    ("options.repeat_last_n", Refused(NO_PLACE)),
    ("options.penalize_newline", Refused(NO_PLACE)),
    ("options.mirostat", Refused(NO_PLACE)),
    ("options.mirostat_tau", Refused(NO_PLACE)),
    ("options.mirostat_eta", Refused(NO_PLACE)),
];

const OLLAMA_GENERATE: &[Row] = &[
    (
        "raw",
        Refused("the model would be asked in the form of a chat all the same"),
    ),
    ("template", Refused(NO_PLACE)),
    ("context", Refused("tokens of another provider's model")),
    ("width", Refused("there are no pictures")),
    ("height", Refused("there are no pictures")),
    ("steps", Refused("there are no pictures")),
];

const OLLAMA_EMBEDDINGS: &[Row] = &[
    ("keep_alive", Dropped(RUNNER)),
    (
        "options",
        Dropped("how a model is run; vectors are not sampled"),
    ),
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

const STORED: &str = "towards a provider that does not speak responses itself this is a 501 (`stored_state_unsupported`); `previous_response_id` is not where the gateway keeps responses (`store.responses_kept`)";

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
    (
        "store",
        Dropped(
            "nothing is stored at the provider; the gateway may keep it (`store.responses_kept`)",
        ),
    ),
    ("stream_options", Dropped(HINT)),
    ("text", Dropped(HINT)),
    ("truncation", Dropped("the conversation is sent as it is")),
];

const COHERE_CHAT: &[Row] = &[
    (
        "messages.tool_plan",
        Mapped("the assistant's text before its tool calls"),
    ),
    ("messages.citations", Dropped(CITED)),
    (
        "documents",
        Refused(
            "sources for an answer with citations, which other providers take as part of the conversation",
        ),
    ),
    ("citation_options", Refused(NO_PLACE)),
    (
        "safety_mode",
        Refused("a promise that another provider does not make"),
    ),
    ("raw_prompting", Refused(NO_PLACE)),
    ("thinking", Refused(NO_PLACE)),
    ("priority", Dropped(HINT)),
];

const COHERE_EMBEDDINGS: &[Row] = &[
    ("images", Refused("texts alone are taken there")),
    ("inputs", Refused("texts alone are taken there")),
    ("embedding_types", Refused("vectors are floats there")),
    ("max_tokens", Refused(NO_PLACE)),
    ("priority", Dropped(HINT)),
];

const COHERE_EMBEDDINGS_TO_OLD: &[Row] = &[
    ("inputs", Refused("came later")),
    ("max_tokens", Refused(NO_PLACE)),
    ("priority", Dropped(HINT)),
];

const COHERE_OLD_EMBEDDINGS: &[Row] = &[
    ("images", Refused("texts alone are taken there")),
    ("embedding_types", Refused("vectors are floats there")),
];

const COHERE_RERANK: &[Row] = &[
    ("max_tokens_per_doc", Refused(NO_PLACE)),
    ("max_chunks_per_doc", Refused(NO_PLACE)),
    ("rank_fields", Refused("documents are texts there")),
    ("relevant_spans", Refused(NO_PLACE)),
    ("priority", Dropped(HINT)),
];
