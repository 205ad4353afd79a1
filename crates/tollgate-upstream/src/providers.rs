//! The known kinds of providers, as data: address, how to sign in, what is spoken where, how it differs.
//!
//! A kind whose language is already spoken is a row in [`KINDS`] and nothing else
//! (`docs/adding-a-provider.md`). The configuration reads the table to fill in what the operator did not write;
//! the data plane sees only the resolved [`tollgate_domain::Provider`].
//!
//! Facts come from each provider's documentation, named in the row and read in 2026-11, and from recorded
//! traffic.

mod accents;
mod page;

use tollgate_domain::{
    Accent, ChatInput, Dialect, Quirks, StreamEnd, StreamUsage, Task, VectorBytes,
};

use accents::{
    ALIBABA, CEREBRAS, COPY, COPY_WITH_TOP_K, DATABRICKS, DEEPSEEK, GROQ, MISTRAL, OPEN_MODELS,
    PERPLEXITY, ROUTER, THINKER,
};
pub use page::page;

/// A kind of provider: what a configuration's `type` names.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name in configuration files, and in metrics as `gen_ai.provider.name`.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// How it is reached.
    pub reach: Reach,
    /// Where it is, without a trailing slash; `None` where every operator has an address of their own.
    pub base_url: Option<&'static str>,
    /// Put between a base URL that is only a host and an endpoint's path, as the official clients'
    /// base URLs contain it: `/v1`, or nothing.
    pub version_path: &'static str,
    /// How a key is sent.
    pub sign_in: SignIn,
    /// Whether a key is wanted.
    pub key: KeyNeed,
    /// What is served, what is spoken there, and where.
    pub endpoints: &'static [KindEndpoint],
    /// Headers with a fixed value, which the configuration may replace.
    pub headers: &'static [(&'static str, &'static str)],
    /// How it differs from its dialect's own description.
    pub quirks: Quirks,
    /// Where the facts of this row come from.
    pub source: &'static str,
}

/// How a kind is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By HTTP.
    Http,
    /// Inside the gateway.
    Demo,
}

/// How a key is sent, unless the configuration says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// The bare key in this header.
    Header(&'static str),
}

/// Whether a kind wants a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNeed {
    /// Every call is refused without one.
    Required,
    /// It depends on the installation.
    Optional,
}

/// An endpoint of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindEndpoint {
    /// What it serves.
    pub task: Task,
    /// What is spoken there.
    pub dialect: Dialect,
    /// Comes after the base URL. `{model}` stands for the model's name.
    pub path: &'static str,
    /// The path for streams, where it is another.
    pub stream_path: Option<&'static str>,
}

/// A kind that configurations name but whose language is not spoken yet.
#[derive(Clone, Copy, Debug)]
pub struct UnspokenKind {
    /// The names it goes by.
    pub names: &'static [&'static str],
    /// What would work today instead.
    pub instead: &'static str,
}

/// The kind of this name; letter case, `-` and `_` make no difference.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| {
        std::iter::once(&kind.name)
            .chain(kind.aliases)
            .any(|known| same_name(known, name))
    })
}

/// The kind of this name whose language is not spoken yet.
pub fn find_unspoken(name: &str) -> Option<&'static UnspokenKind> {
    UNSPOKEN
        .iter()
        .find(|kind| kind.names.iter().any(|known| same_name(known, name)))
}

/// Whether two names of kinds are the same, as MLflow compares them.
fn same_name(left: &str, right: &str) -> bool {
    let fold = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    fold(left) == fold(right)
}

// === impl Kind ===

impl Kind {
    /// The endpoints for a task, the usual one first.
    pub fn serving(&self, task: Task) -> impl Iterator<Item = &'static KindEndpoint> {
        self.endpoints
            .iter()
            .filter(move |endpoint| endpoint.task == task)
    }
}

const fn at(task: Task, dialect: Dialect, path: &'static str) -> KindEndpoint {
    KindEndpoint {
        task,
        dialect,
        path,
        stream_path: None,
    }
}

const CHAT: KindEndpoint = at(Task::Chat, Dialect::OpenaiChat, "/chat/completions");
const COMPLETIONS: KindEndpoint = at(
    Task::Completions,
    Dialect::OpenaiCompletions,
    "/completions",
);
const EMBEDDINGS: KindEndpoint = at(Task::Embeddings, Dialect::OpenaiEmbeddings, "/embeddings");

/// A stream that ends with `[DONE]` and reports usage when asked, as OpenAI's does.
const AS_OPENAI: Quirks = Quirks {
    stream_end: StreamEnd::Mark,
    stream_usage: StreamUsage::Ask,
    model_in_body: true,
    chat_input: ChatInput::Messages,
    accent: Accent::NONE,
    vector_bytes: VectorBytes::Floats,
};

/// The same of a copy of OpenAI's API.
const AS_COPIED: Quirks = Quirks {
    accent: COPY,
    ..AS_OPENAI
};

/// A stream that ends with `[DONE]` and reports usage unasked.
const USAGE_UNASKED: Quirks = Quirks {
    stream_usage: StreamUsage::Unasked,
    ..AS_COPIED
};

/// A stream whose `[DONE]` may be missing, and which reports usage unasked.
const NO_END_MARK: Quirks = Quirks {
    stream_end: StreamEnd::Finish,
    ..USAGE_UNASKED
};

/// What a host has that offers OpenAI's API under its own name; each row changes what differs.
const OPENAI_SHAPED: Kind = Kind {
    name: "",
    aliases: &[],
    reach: Reach::Http,
    base_url: None,
    version_path: "/v1",
    sign_in: SignIn::Bearer,
    key: KeyNeed::Required,
    endpoints: &[CHAT, COMPLETIONS, EMBEDDINGS],
    headers: &[],
    quirks: AS_OPENAI,
    source: "",
};

/// Every kind whose language is spoken, those with a language of their own first.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "openai",
        base_url: Some("https://api.openai.com/v1"),
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
        key: KeyNeed::Optional,
        source: "the operator",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "mistral",
        base_url: Some("https://api.mistral.ai/v1"),
        endpoints: &[CHAT, EMBEDDINGS],
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
        endpoints: &[CHAT],
        quirks: Quirks {
            accent: GROQ,
            ..AS_OPENAI
        },
        source: "https://console.groq.com/docs/openai",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "together",
        aliases: &["togetherai", "together_ai"],
        base_url: Some("https://api.together.xyz/v1"),
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
        endpoints: &[CHAT],
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
        quirks: AS_COPIED,
        source: "https://docs.x.ai/docs/api-reference",
        ..OPENAI_SHAPED
    },
    Kind {
        name: "openrouter",
        base_url: Some("https://openrouter.ai/api/v1"),
        quirks: Quirks {
            accent: ROUTER,
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
        quirks: Quirks {
            accent: OPEN_MODELS,
            ..AS_OPENAI
        },
        source: "https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
        ..OPENAI_SHAPED
    },
];

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

/// Kinds that MLflow or the article know and whose language is not spoken yet.
pub const UNSPOKEN: &[UnspokenKind] = &[
    UnspokenKind {
        names: &["gemini", "google"],
        instead: "Google also answers in OpenAI's language: `type: custom` with `base_url: https://generativelanguage.googleapis.com/v1beta/openai`",
    },
    UnspokenKind {
        names: &["vertex_ai", "vertex"],
        instead: "Vertex AI also answers in OpenAI's language: `type: custom` with `base_url: https://LOCATION-aiplatform.googleapis.com/v1/projects/PROJECT/locations/LOCATION/endpoints/openapi` and an access token as `api_key`",
    },
    UnspokenKind {
        names: &["bedrock", "amazon_bedrock"],
        instead: "Bedrock also answers in OpenAI's language: `type: custom` with `base_url: https://bedrock-runtime.REGION.amazonaws.com/openai/v1` and a Bedrock API key",
    },
    UnspokenKind {
        names: &["cohere"],
        instead: "Cohere also answers in OpenAI's language: `type: custom` with `base_url: https://api.cohere.ai/compatibility/v1`",
    },
    UnspokenKind {
        names: &["watsonx", "watsonx_ai"],
        instead: "watsonx.ai answers in OpenAI's language, but wants access tokens that last an hour: `type: custom` with `base_url: https://REGION.ml.cloud.ibm.com/ml/v1`, a token as `api_key` and `params: {project_id: ...}`",
    },
    UnspokenKind {
        names: &["copilot", "github_copilot"],
        instead: "Copilot is for editors, with tokens that last half an hour; GitHub's models for programs are `type: github`",
    },
    UnspokenKind {
        names: &["replicate"],
        instead: "Replicate's predictions are jobs that are asked for again and again, which no client's language has a place for",
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_folded_as_mlflow_folds_them() {
        assert_eq!(
            find("MLflow-Model-Serving").map(|kind| kind.name),
            Some("mlflow")
        );
        assert_eq!(find("TogetherAI").map(|kind| kind.name), Some("together"));
        assert!(find("").is_none());
        assert!(find_unspoken("amazon-bedrock").is_some());
    }

    #[test]
    fn no_name_stands_for_two_kinds() {
        let mut seen = HashSet::new();
        let spoken = KINDS
            .iter()
            .flat_map(|kind| std::iter::once(&kind.name).chain(kind.aliases));
        let unspoken = UNSPOKEN.iter().flat_map(|kind| kind.names);
        for name in spoken.chain(unspoken) {
            assert!(seen.insert(*name), "{name} twice");
        }
    }

    #[test]
    fn every_row_is_whole() {
        let others = [&AZURE_DEPLOYMENTS, &CUSTOM_ANTHROPIC, &CUSTOM_OLLAMA];
        for kind in KINDS.iter().chain(others) {
            assert!(!kind.name.is_empty() && !kind.source.is_empty(), "{kind:?}");
            assert!(!kind.endpoints.is_empty(), "{}", kind.name);
            if let Some(base) = kind.base_url {
                let uri: http::Uri = base.parse().expect("an address");
                assert!(uri.host().is_some() && !base.ends_with('/'), "{base}");
            }
            for endpoint in kind.endpoints {
                assert!(endpoint.path.starts_with('/'), "{}", kind.name);
            }
        }
    }

    #[test]
    fn the_documentation_is_what_the_table_says() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
        let text = std::fs::read_to_string(path).expect("docs/providers.md");
        assert!(
            text == page(),
            "docs/providers.md is not what the table says: run `cargo xtask docs`"
        );
    }
}
