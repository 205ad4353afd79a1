//! The table of kinds, a row each, and of those that are not spoken yet.

use tollgate_domain::{Dialect, Models, Quirks, StreamEnd, Task, VectorBytes};

use super::{
    KeyNeed, Kind, KindEndpoint, Reach, SignIn, UnspokenKind,
    accents::{
        ALIBABA, CEREBRAS, COHERE, COPY_WITH_TOP_K, DATABRICKS, DEEPSEEK, GROQ, JINA, MISTRAL,
        OPEN_MODELS, PERPLEXITY, ROUTER, THINKER, WATSONX,
    },
    rows::{
        ALL_BUT_RESPONSES, AS_COPIED, AS_OPENAI, CHAT, COHERE_ENDPOINTS, COMPLETIONS, CONVERSE,
        EMBEDDINGS, EVERYTHING, GEMINI_CHAT, GEMINI_EMBEDDINGS, IMAGES, INVOKE_CLAUDE,
        INVOKE_EMBEDDINGS, MODERATIONS, NO_END_MARK, OPENAI_SHAPED, RERANK, RESPONSES, SPEECH,
        TRANSCRIPTIONS, USAGE_UNASKED, at,
    },
};

/// Every kind whose language is spoken, those with a language of their own first.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "openai",
        base_url: Some("https://api.openai.com/v1"),
        endpoints: EVERYTHING,
        source: "https://platform.openai.com/docs/api-reference",
        ..OPENAI_SHAPED
    },
    // The surface without a version in the query. A configuration that names an `api_version` gets
    // `AZURE_DEPLOYMENTS` instead.
    Kind {
        name: "azure",
        aliases: &["azure_openai"],
        version_path: "/openai/v1",
        sign_in: SignIn::Header("api-key"),
        endpoints: EVERYTHING,
        source: "https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "anthropic",
        aliases: &["claude"],
        base_url: Some("https://api.anthropic.com"),
        version_path: "",
        sign_in: SignIn::Header("x-api-key"),
        endpoints: &[at(Task::Chat, Dialect::AnthropicMessages, "/v1/messages")],
        headers: &[("anthropic-version", "2023-06-01")],
        quirks: USAGE_UNASKED,
        source: "https://docs.claude.com/en/api/messages",
        ..OPENAI_SHAPED
    },
    BEDROCK,
    Kind {
        name: "gemini",
        aliases: &["google", "google_ai_studio"],
        base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
        version_path: "/v1beta",
        sign_in: SignIn::Header("x-goog-api-key"),
        endpoints: &[GEMINI_CHAT, GEMINI_EMBEDDINGS],
        quirks: NO_END_MARK,
        source: "https://ai.google.dev/api",
        ..OPENAI_SHAPED
    },
    // Claude has a language of its own there as well. The key is an access token.
    Kind {
        name: "vertex",
        aliases: &["vertex_ai", "vertexai", "google_vertex"],
        endpoints: &[
            KindEndpoint {
                stream_path: Some(
                    "/projects/{project}/locations/{location}/publishers/google/models/{model}:streamGenerateContent?alt=sse",
                ),
                ..at(
                    Task::Chat,
                    Dialect::GeminiGenerate,
                    "/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent",
                )
            },
            KindEndpoint {
                stream_path: Some(
                    "/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:streamRawPredict",
                ),
                models: Models::Beginning("claude"),
                fields: &[("anthropic_version", "vertex-2023-10-16")],
                ..at(
                    Task::Chat,
                    Dialect::AnthropicMessages,
                    "/projects/{project}/locations/{location}/publishers/anthropic/models/{model}:rawPredict",
                )
            },
            at(
                Task::Embeddings,
                Dialect::VertexEmbeddings,
                "/projects/{project}/locations/{location}/publishers/google/models/{model}:predict",
            ),
        ],
        quirks: Quirks {
            model_in_body: false,
            ..NO_END_MARK
        },
        source: "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "watsonx",
        aliases: &["watsonx_ai"],
        regional_url: Some("https://{region}.ml.cloud.ibm.com"),
        version_path: "",
        sign_in: SignIn::IbmKey,
        // The version is the day on which what is asked was known to be answered.
        endpoints: &[
            KindEndpoint {
                stream_path: Some("/ml/v1/text/chat_stream?version=2025-02-06"),
                ..at(
                    Task::Chat,
                    Dialect::OpenaiChat,
                    "/ml/v1/text/chat?version=2025-02-06",
                )
            },
            at(
                Task::Embeddings,
                Dialect::WatsonxEmbeddings,
                "/ml/v1/text/embeddings?version=2025-02-06",
            ),
        ],
        quirks: Quirks {
            accent: WATSONX,
            ..NO_END_MARK
        },
        source: "https://cloud.ibm.com/apidocs/watsonx-ai",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "cohere",
        base_url: Some("https://api.cohere.com"),
        version_path: "",
        endpoints: COHERE_ENDPOINTS,
        quirks: Quirks {
            accent: COHERE,
            ..NO_END_MARK
        },
        source: "https://docs.cohere.com/reference/about",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "voyage",
        aliases: &["voyageai", "voyage_ai"],
        base_url: Some("https://api.voyageai.com/v1"),
        endpoints: &[
            at(Task::Embeddings, Dialect::VoyageEmbeddings, "/embeddings"),
            at(Task::Rerank, Dialect::VoyageRerank, "/rerank"),
        ],
        source: "https://docs.voyageai.com/reference",
        ..OPENAI_SHAPED
    },
    // A version is a model's name as well, with or without the version's own.
    Kind {
        name: "replicate",
        base_url: Some("https://api.replicate.com/v1"),
        endpoints: &[at(
            Task::Chat,
            Dialect::ReplicatePredictions,
            "/predictions",
        )],
        quirks: USAGE_UNASKED,
        source: "https://replicate.com/docs/reference/http",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "mlflow",
        aliases: &["mlflow_model_serving"],
        version_path: "",
        key: KeyNeed::Optional,
        endpoints: &[
            at(Task::Chat, Dialect::MlflowServing, "/invocations"),
            at(Task::Completions, Dialect::MlflowServing, "/invocations"),
            at(Task::Embeddings, Dialect::MlflowServing, "/invocations"),
            at(Task::Predict, Dialect::MlflowServing, "/invocations"),
        ],
        quirks: Quirks {
            model_in_body: false,
            ..USAGE_UNASKED
        },
        source: "https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "demo",
        reach: Reach::Demo,
        base_url: Some("http://demo.invalid/v1"),
        key: KeyNeed::Optional,
        source: "answers from inside the gateway, without key and network",
        ..OPENAI_SHAPED
    },
    // `dialect` and `paths` of the configuration say what is spoken where.
    Kind {
        name: "custom",
        aliases: &["openai_compatible"],
        endpoints: ALL_BUT_RESPONSES,
        key: KeyNeed::Optional,
        source: "the operator",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "mistral",
        base_url: Some("https://api.mistral.ai/v1"),
        endpoints: &[CHAT, EMBEDDINGS, SPEECH, TRANSCRIPTIONS, MODERATIONS],
        quirks: Quirks {
            // Refuses `stream_options` with 422.
            accent: MISTRAL,
            ..USAGE_UNASKED
        },
        source: "https://docs.mistral.ai/api",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "groq",
        base_url: Some("https://api.groq.com/openai/v1"),
        endpoints: &[CHAT, SPEECH, TRANSCRIPTIONS],
        quirks: Quirks {
            accent: GROQ,
            ..AS_OPENAI
        },
        source: "https://console.groq.com/docs/openai",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "jina",
        aliases: &["jinaai", "jina_ai"],
        base_url: Some("https://api.jina.ai/v1"),
        endpoints: &[EMBEDDINGS, RERANK],
        quirks: Quirks {
            accent: JINA,
            ..AS_OPENAI
        },
        source: "https://api.jina.ai/redoc",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "together",
        aliases: &["togetherai", "together_ai"],
        base_url: Some("https://api.together.xyz/v1"),
        endpoints: &[
            CHAT,
            COMPLETIONS,
            EMBEDDINGS,
            IMAGES,
            SPEECH,
            TRANSCRIPTIONS,
            RERANK,
        ],
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..USAGE_UNASKED
        },
        source: "https://docs.together.ai/docs/openai-api-compatibility",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "fireworks",
        aliases: &["fireworks_ai"],
        base_url: Some("https://api.fireworks.ai/inference/v1"),
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..USAGE_UNASKED
        },
        source: "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "deepseek",
        base_url: Some("https://api.deepseek.com/v1"),
        endpoints: &[CHAT, RESPONSES],
        quirks: Quirks {
            accent: DEEPSEEK,
            ..USAGE_UNASKED
        },
        source: "https://api-docs.deepseek.com",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "xai",
        aliases: &["grok"],
        base_url: Some("https://api.x.ai/v1"),
        endpoints: &[CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, IMAGES],
        quirks: Quirks {
            says_cost: true,
            ..AS_COPIED
        },
        source: "https://docs.x.ai/docs/api-reference",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "openrouter",
        base_url: Some("https://openrouter.ai/api/v1"),
        endpoints: &[CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, RERANK],
        quirks: Quirks {
            accent: ROUTER,
            says_cost: true,
            ..USAGE_UNASKED
        },
        source: "https://openrouter.ai/docs/api-reference/overview",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "perplexity",
        base_url: Some("https://api.perplexity.ai"),
        version_path: "",
        endpoints: &[
            CHAT,
            at(
                Task::Embeddings,
                Dialect::OpenaiEmbeddings,
                "/v1/embeddings",
            ),
        ],
        quirks: Quirks {
            accent: PERPLEXITY,
            vector_bytes: VectorBytes::Integers,
            says_cost: true,
            ..NO_END_MARK
        },
        source: "https://docs.perplexity.ai/api-reference/chat-completions-post",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "cerebras",
        base_url: Some("https://api.cerebras.ai/v1"),
        endpoints: &[CHAT, COMPLETIONS],
        quirks: Quirks {
            accent: CEREBRAS,
            ..NO_END_MARK
        },
        source: "https://inference-docs.cerebras.ai/resources/openai",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "nvidia",
        aliases: &["nvidia_nim", "nim"],
        base_url: Some("https://integrate.api.nvidia.com/v1"),
        quirks: USAGE_UNASKED,
        source: "https://docs.api.nvidia.com/nim/reference/llm-apis",
        ..OPENAI_SHAPED
    },
    // Behaves as the provider that it routes to, so nothing is taken for granted.
    Kind {
        name: "huggingface",
        base_url: Some("https://router.huggingface.co/v1"),
        endpoints: &[CHAT],
        quirks: Quirks {
            stream_end: StreamEnd::Finish,
            ..AS_COPIED
        },
        source: "https://huggingface.co/docs/inference-providers",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "databricks",
        aliases: &["databricks_model_serving"],
        version_path: "/serving-endpoints",
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: Quirks {
            // Refuses `stream_options` with 400.
            accent: DATABRICKS,
            ..USAGE_UNASKED
        },
        source: "https://docs.databricks.com/machine-learning/model-serving/score-foundation-models",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "github",
        aliases: &["github_models"],
        base_url: Some("https://models.github.ai/inference"),
        version_path: "/inference",
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: AS_COPIED,
        source: "https://docs.github.com/rest/models/inference",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "sambanova",
        base_url: Some("https://api.sambanova.ai/v1"),
        quirks: AS_COPIED,
        source: "https://docs.sambanova.ai/docs/en/features/openai-compatibility",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "moonshot",
        aliases: &["moonshotai", "kimi"],
        base_url: Some("https://api.moonshot.ai/v1"),
        endpoints: &[CHAT],
        quirks: Quirks {
            accent: THINKER,
            ..AS_OPENAI
        },
        source: "https://platform.moonshot.ai/docs/api/chat",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "alibaba",
        aliases: &["qwen", "dashscope"],
        base_url: Some("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        quirks: Quirks {
            accent: ALIBABA,
            ..AS_OPENAI
        },
        source: "https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "zai",
        aliases: &["z_ai"],
        base_url: Some("https://api.z.ai/api/paas/v4"),
        version_path: "/api/paas/v4",
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: Quirks {
            accent: THINKER,
            ..AS_OPENAI
        },
        source: "https://docs.z.ai/api-reference/introduction",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "zhipu",
        aliases: &["bigmodel"],
        base_url: Some("https://open.bigmodel.cn/api/paas/v4"),
        version_path: "/api/paas/v4",
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: Quirks {
            accent: THINKER,
            ..AS_OPENAI
        },
        source: "https://docs.bigmodel.cn/cn/guide/develop/openai/introduction",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "minimax",
        base_url: Some("https://api.minimax.io/v1"),
        endpoints: &[CHAT],
        quirks: AS_COPIED,
        source: "https://platform.minimax.io/docs/api-reference/text-openai-api",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "ai21",
        aliases: &["ai21labs"],
        base_url: Some("https://api.ai21.com/studio/v1"),
        version_path: "/studio/v1",
        endpoints: &[CHAT],
        quirks: AS_COPIED,
        source: "https://docs.ai21.com/reference/jamba-1-6-api-ref",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "baseten",
        base_url: Some("https://inference.baseten.co/v1"),
        endpoints: &[CHAT],
        quirks: Quirks {
            stream_end: StreamEnd::Finish,
            accent: OPEN_MODELS,
            ..AS_OPENAI
        },
        source: "https://docs.baseten.co/reference/inference-api/chat-completions",
        ..OPENAI_SHAPED
    },
    // The base URL holds the account: `https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1`.
    Kind {
        name: "cloudflare",
        aliases: &["workers_ai"],
        version_path: "",
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: AS_COPIED,
        source: "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "deepinfra",
        base_url: Some("https://api.deepinfra.com/v1/openai"),
        version_path: "/v1/openai",
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..AS_OPENAI
        },
        source: "https://deepinfra.com/docs/openai_api",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "doubleword",
        base_url: Some("https://api.doubleword.ai/v1"),
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: Quirks {
            accent: OPEN_MODELS,
            ..AS_OPENAI
        },
        source: "https://docs.doubleword.ai/inference-api",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "hyperbolic",
        base_url: Some("https://api.hyperbolic.xyz/v1"),
        endpoints: &[CHAT, COMPLETIONS],
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..AS_OPENAI
        },
        source: "https://docs.hyperbolic.xyz/docs/rest-api",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "nebius",
        base_url: Some("https://api.studio.nebius.ai/v1"),
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..AS_OPENAI
        },
        source: "https://docs.studio.nebius.com/api-reference",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "novita",
        base_url: Some("https://api.novita.ai/v3/openai"),
        version_path: "/v3/openai",
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..AS_OPENAI
        },
        source: "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "venice",
        base_url: Some("https://api.venice.ai/api/v1"),
        version_path: "/api/v1",
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: Quirks {
            accent: COPY_WITH_TOP_K,
            ..AS_OPENAI
        },
        source: "https://docs.venice.ai/api-reference/endpoint/chat/completions",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "vercel",
        aliases: &["vercel_gateway", "vercel_ai_gateway"],
        base_url: Some("https://ai-gateway.vercel.sh/v1"),
        endpoints: &[CHAT, EMBEDDINGS],
        quirks: Quirks {
            accent: ROUTER,
            says_cost: true,
            ..AS_OPENAI
        },
        source: "https://vercel.com/docs/ai-gateway/openai-compat",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "xiaomi",
        aliases: &["mimo", "xiaomi_mimo"],
        base_url: Some("https://api.xiaomimimo.com/v1"),
        endpoints: &[CHAT],
        quirks: Quirks {
            accent: THINKER,
            ..USAGE_UNASKED
        },
        source: "https://platform.xiaomimimo.com/#/docs/api/text-generation/openai-api",
        ..OPENAI_SHAPED
    },
    // Its own `/generate` says no more than these.
    Kind {
        name: "tgi",
        aliases: &["huggingface_text_generation_inference"],
        base_url: Some("http://localhost:8080/v1"),
        key: KeyNeed::Optional,
        endpoints: &[CHAT, COMPLETIONS],
        quirks: Quirks {
            stream_end: StreamEnd::Finish,
            ..AS_COPIED
        },
        source: "https://huggingface.co/docs/text-generation-inference/messages_api",
        ..OPENAI_SHAPED
    },
    // Its own language says more than its copies of others', which are for clients that speak those. The version is
    // part of the paths, as its own ones have none.
    Kind {
        name: "ollama",
        base_url: Some("http://localhost:11434"),
        version_path: "",
        key: KeyNeed::Optional,
        endpoints: &[
            at(Task::Chat, Dialect::OllamaChat, "/api/chat"),
            at(Task::Chat, Dialect::OpenaiChat, "/v1/chat/completions"),
            at(Task::Chat, Dialect::OpenaiResponses, "/v1/responses"),
            at(Task::Completions, Dialect::OllamaGenerate, "/api/generate"),
            at(
                Task::Completions,
                Dialect::OpenaiCompletions,
                "/v1/completions",
            ),
            at(Task::Embeddings, Dialect::OllamaEmbeddings, "/api/embed"),
            at(
                Task::Embeddings,
                Dialect::OpenaiEmbeddings,
                "/v1/embeddings",
            ),
        ],
        quirks: AS_COPIED,
        source: "https://docs.ollama.com/api",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "vllm",
        base_url: Some("http://localhost:8000/v1"),
        key: KeyNeed::Optional,
        endpoints: &[CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, RERANK],
        quirks: Quirks {
            accent: OPEN_MODELS,
            ..AS_OPENAI
        },
        source: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "sglang",
        base_url: Some("http://localhost:30000/v1"),
        key: KeyNeed::Optional,
        quirks: Quirks {
            accent: OPEN_MODELS,
            ..AS_OPENAI
        },
        source: "https://docs.sglang.ai/basic_usage/openai_api.html",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "llamacpp",
        aliases: &["llama_cpp"],
        base_url: Some("http://localhost:8080/v1"),
        key: KeyNeed::Optional,
        endpoints: &[CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, RERANK],
        quirks: Quirks {
            accent: OPEN_MODELS,
            ..AS_OPENAI
        },
        source: "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        ..OPENAI_SHAPED
    },
];

/// Bedrock. A client of Anthropic's that asks for Claude is passed on to `InvokeModel`, which loses nothing; all others go to Converse.
/// Bodies name no model.
const BEDROCK: Kind = Kind {
    name: "bedrock",
    aliases: &["amazon_bedrock", "aws_bedrock"],
    regional_url: Some("https://bedrock-runtime.{region}.amazonaws.com"),
    version_path: "",
    sign_in: SignIn::AwsOrBearer,
    key: KeyNeed::Optional,
    endpoints: &[
        CONVERSE,
        KindEndpoint {
            models: Models::Holding("anthropic."),
            ..INVOKE_CLAUDE
        },
        INVOKE_EMBEDDINGS,
    ],
    quirks: Quirks {
        model_in_body: false,
        ..USAGE_UNASKED
    },
    source: "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
    ..OPENAI_SHAPED
};

/// What `type: bedrock` has with `dialect: anthropic`: all its chats are Claude's, whatever its models are called.
pub const BEDROCK_INVOCATIONS: Kind = Kind {
    endpoints: &[INVOKE_CLAUDE, INVOKE_EMBEDDINGS],
    ..BEDROCK
};

/// What `type: bedrock` has with `dialect: converse`: clients of Anthropic's are translated as all others are.
pub const BEDROCK_CONVERSE: Kind = Kind {
    endpoints: &[CONVERSE, INVOKE_EMBEDDINGS],
    ..BEDROCK
};

/// Azure with an `api_version`: one deployment per address, and no model in the body
/// (<https://learn.microsoft.com/azure/ai-foundry/openai/reference>, read 2026-11).
pub const AZURE_DEPLOYMENTS: Kind = Kind {
    name: "azure",
    version_path: "",
    sign_in: SignIn::Header("api-key"),
    endpoints: &[
        at(
            Task::Chat,
            Dialect::OpenaiChat,
            "/openai/deployments/{model}/chat/completions",
        ),
        at(
            Task::Completions,
            Dialect::OpenaiCompletions,
            "/openai/deployments/{model}/completions",
        ),
        at(
            Task::Embeddings,
            Dialect::OpenaiEmbeddings,
            "/openai/deployments/{model}/embeddings",
        ),
        at(
            Task::Images,
            Dialect::OpenaiMedia,
            "/openai/deployments/{model}/images/{operation}",
        ),
        at(
            Task::Speech,
            Dialect::OpenaiMedia,
            "/openai/deployments/{model}/audio/speech",
        ),
        at(
            Task::Transcriptions,
            Dialect::OpenaiMedia,
            "/openai/deployments/{model}/audio/{operation}",
        ),
        at(
            Task::Realtime,
            Dialect::OpenaiMedia,
            "/openai/realtime?deployment={model}",
        ),
        KindEndpoint {
            names_model: true,
            ..at(Task::Chat, Dialect::OpenaiResponses, "/openai/responses")
        },
    ],
    quirks: Quirks {
        model_in_body: false,
        ..AS_OPENAI
    },
    source: "https://learn.microsoft.com/azure/ai-foundry/openai/reference",
    ..OPENAI_SHAPED
};

/// What `type: custom` has with `dialect: anthropic`; the other dialects have the kind's own row.
pub const CUSTOM_ANTHROPIC: Kind = Kind {
    name: "custom",
    version_path: "",
    key: KeyNeed::Optional,
    sign_in: SignIn::Header("x-api-key"),
    endpoints: &[at(Task::Chat, Dialect::AnthropicMessages, "/v1/messages")],
    headers: &[("anthropic-version", "2023-06-01")],
    quirks: USAGE_UNASKED,
    source: "the operator",
    ..OPENAI_SHAPED
};

/// What `type: custom` has with `dialect: ollama`: Ollama's own language and none of its copies of others'.
pub const CUSTOM_OLLAMA: Kind = Kind {
    name: "custom",
    version_path: "",
    key: KeyNeed::Optional,
    endpoints: &[
        at(Task::Chat, Dialect::OllamaChat, "/api/chat"),
        at(Task::Completions, Dialect::OllamaGenerate, "/api/generate"),
        at(Task::Embeddings, Dialect::OllamaEmbeddings, "/api/embed"),
    ],
    source: "the operator",
    ..OPENAI_SHAPED
};

/// What `type: custom` has with `dialect: gemini`.
pub const CUSTOM_GEMINI: Kind = Kind {
    name: "custom",
    version_path: "/v1beta",
    key: KeyNeed::Optional,
    sign_in: SignIn::Header("x-goog-api-key"),
    endpoints: &[GEMINI_CHAT, GEMINI_EMBEDDINGS],
    quirks: NO_END_MARK,
    source: "the operator",
    ..OPENAI_SHAPED
};

/// What `type: custom` has with `dialect: cohere`: a deployment of Cohere's models of one's own, or a gateway to them.
pub const CUSTOM_COHERE: Kind = Kind {
    name: "custom",
    version_path: "",
    key: KeyNeed::Optional,
    endpoints: COHERE_ENDPOINTS,
    quirks: NO_END_MARK,
    source: "the operator",
    ..OPENAI_SHAPED
};

/// What `type: custom` has with `dialect: openai_responses`.
pub const CUSTOM_RESPONSES: Kind = Kind {
    name: "custom",
    key: KeyNeed::Optional,
    endpoints: &[RESPONSES],
    quirks: USAGE_UNASKED,
    source: "the operator",
    ..OPENAI_SHAPED
};

/// Kinds that MLflow or the article know and whose language is not spoken yet.
pub const UNSPOKEN: &[UnspokenKind] = &[
    UnspokenKind {
        names: &["copilot", "github_copilot"],
        instead: "Copilot is for editors, with tokens that last half an hour; GitHub's models for programs are `type: github`",
    },
    UnspokenKind {
        names: &["litellm", "portkey", "sap_ai_core", "typesafe"],
        instead: "where it offers OpenAI's API, use `type: custom` with its `base_url`",
    },
    UnspokenKind {
        names: &["palm", "mosaicml"],
        instead: "the service has been withdrawn",
    },
];
