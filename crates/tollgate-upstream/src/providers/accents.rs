//! What copies of OpenAI's API take otherwise than OpenAI: hints of translated calls that would be refused, and what is called
//! otherwise.

use tollgate_domain::{
    Accent, Documents,
    Otherwise::{Dropped, Named, Refused, Taken},
    Purpose, ReasoningBack, Spelling, ThinkingSwitch, ToolCallIds, Turns,
};

/// What a copy of OpenAI's API takes: tiers are OpenAI's own.
pub(super) const COPY: Accent = Accent {
    fields: &[("service_tier", Dropped)],
    ..Accent::NONE
};

/// A copy that takes `top_k` as well.
pub(super) const COPY_WITH_TOP_K: Accent = Accent {
    fields: &[("service_tier", Dropped), ("top_k", Taken)],
    ..Accent::NONE
};

/// A server of open models: it takes more than OpenAI, and its models want to know what they thought while they call tools.
pub(super) const OPEN_MODELS: Accent = Accent {
    reasoning: ReasoningBack::Content,
    ..COPY_WITH_TOP_K
};

/// A router to models that prove their reasoning.
pub(super) const ROUTER: Accent = Accent {
    reasoning: ReasoningBack::Details,
    ..COPY_WITH_TOP_K
};

/// A model that thinks unless it is told not to, and wants to know what it thought while it calls tools.
pub(super) const THINKER: Accent = Accent {
    reasoning: ReasoningBack::Content,
    thinking: ThinkingSwitch::Thinking,
    ..COPY
};

/// Refuses fields that it does not know with 422, and ids of tool calls that are longer with 400
/// (<https://docs.mistral.ai/api>, read 2026-11).
pub(super) const MISTRAL: Accent = Accent {
    fields: &[
        ("seed", Named("random_seed")),
        ("max_completion_tokens", Named("max_tokens")),
        ("user", Dropped),
        ("service_tier", Dropped),
    ],
    tool_call_ids: ToolCallIds::Nine,
    ..Accent::NONE
};

/// <https://console.groq.com/docs/openai>, "Currently Unsupported", read 2026-11.
pub(super) const GROQ: Accent = Accent {
    fields: &[
        ("service_tier", Dropped),
        ("logprobs", Refused),
        ("top_logprobs", Refused),
    ],
    ..Accent::NONE
};

/// A schema is refused, and thoughts have to come back within a loop of tools
/// (<https://api-docs.deepseek.com/guides/thinking_mode>, read 2026-11).
pub(super) const DEEPSEEK: Accent = Accent {
    fields: &[
        ("response_format.json_schema", Refused),
        ("service_tier", Dropped),
    ],
    ..THINKER
};

/// There are no tools, and speakers take turns (<https://docs.perplexity.ai/api-reference/chat-completions-post>, read 2026-11).
pub(super) const PERPLEXITY: Accent = Accent {
    fields: &[
        ("tools", Refused),
        ("tool_choice", Dropped),
        ("parallel_tool_calls", Dropped),
        ("response_format.json_object", Refused),
        ("service_tier", Dropped),
    ],
    turns: Turns::Alternating,
    ..Accent::NONE
};

/// Refuses fields that it does not know with 400 (<https://inference-docs.cerebras.ai/resources/openai>, read 2026-11).
pub(super) const CEREBRAS: Accent = Accent {
    fields: &[
        ("frequency_penalty", Refused),
        ("presence_penalty", Refused),
        ("service_tier", Dropped),
    ],
    ..Accent::NONE
};

/// Refuses fields that it does not know with 400
/// (<https://docs.databricks.com/machine-learning/foundation-model-apis/api-reference>, read 2026-11).
pub(super) const DATABRICKS: Accent = Accent {
    fields: &[
        ("parallel_tool_calls", Refused),
        ("user", Dropped),
        ("service_tier", Dropped),
    ],
    ..Accent::NONE
};

/// <https://www.alibabacloud.com/help/en/model-studio/deep-thinking>, read 2026-11.
pub(super) const ALIBABA: Accent = Accent {
    thinking: ThinkingSwitch::EnableThinking,
    ..COPY_WITH_TOP_K
};

/// OpenAI's chat at addresses of its own, which say whether to stream
/// (<https://cloud.ibm.com/apidocs/watsonx-ai#text-chat>, read 2026-11).
pub(super) const WATSONX: Accent = Accent {
    fields: &[
        ("user", Dropped),
        ("service_tier", Dropped),
        ("parallel_tool_calls", Dropped),
    ],
    spelling: &[
        ("model", Spelling::As("model_id")),
        ("tool_choice", Spelling::TextAs("tool_choice_option")),
        ("stream", Spelling::LeftOut),
        ("stream_options", Spelling::LeftOut),
        // Who pays is not the caller's to say.
        ("project_id", Spelling::Operators),
        ("space_id", Spelling::Operators),
    ],
    ..Accent::NONE
};

/// OpenAI's embeddings with a word for what they are for (<https://jina.ai/embeddings>, read 2026-11).
pub(super) const JINA: Accent = Accent {
    purpose: Some(Purpose {
        field: "task",
        words: &[
            ("search_query", "retrieval.query"),
            ("search_document", "retrieval.passage"),
            ("classification", "classification"),
            ("clustering", "separation"),
        ],
    }),
    ..Accent::NONE
};

/// Documents are texts since the second version, and are not given back
/// (<https://docs.cohere.com/docs/migrating-v1-to-v2>, read 2026-11).
pub(super) const COHERE: Accent = Accent {
    documents: Documents::Texts,
    ..Accent::NONE
};
