//! The one list of paths: what each of them asks for, in which language, and in which shape its errors are told.

use std::borrow::Cow;

use http::Method;
use tollgate_domain::{Dialect, ErrorShape, Task};

/// What a request asks for, told by its method and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// What to do.
    pub(crate) what: What<'a>,
    /// How errors are told.
    pub(crate) shape: ErrorShape,
    /// The path's pattern: few, so fit for a metric's label.
    pub(crate) pattern: &'static str,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What<'a> {
    /// Ask a model; the body's `model` names the route.
    CallByModel(Dialect),
    /// Ask something about a call; the body's `model` names the route, and its target has to speak the client's dialect.
    SideCall {
        /// What the client speaks.
        dialect: Dialect,
        /// What comes after the dialect's own path.
        side: &'static str,
    },
    /// Ask a model; the path names the route, and the route's task tells the dialect.
    CallByName(&'a str),
    /// Ask a model; the path names the route, in a dialect whose addresses do so.
    CallAt {
        /// What the client speaks.
        dialect: Dialect,
        /// The route, percent-encoded as it came.
        name: &'a str,
        /// Whether to stream, where the address says so.
        stream: Option<bool>,
    },
    /// Ask a model for or about pictures, sound or offence; the body names the route.
    Media {
        /// What is asked for.
        task: Task,
        /// The last part of the address.
        operation: &'static str,
    },
    /// Pass a request on as it is. The snapshot's routes say where such paths begin.
    Plain {
        /// The route's name.
        route: &'a str,
        /// What comes behind the route's path.
        rest: &'a str,
    },
    /// Talk with a model over a WebSocket; the query names the route.
    Realtime,
    /// Have a model count the tokens of a question of Gemini's; the path names the route.
    CountTokens(&'a str),
    /// Give a response that was kept.
    Response(&'a str),
    /// Forget a response that was kept.
    ForgetResponse(&'a str),
    /// List the routes, as OpenAI or Anthropic list models.
    Models,
    /// Describe one route so.
    Model(&'a str),
    /// List the routes, as MLflow lists endpoints.
    Endpoints,
    /// Describe one route so.
    Endpoint(&'a str),
    /// List the routes, as MLflow before 2.9 listed them.
    LegacyRoutes,
    /// Describe one route so.
    LegacyRoute(&'a str),
    /// List the routes, as Ollama lists its models.
    Tags,
    /// Describe the route that the body names, as Ollama describes a model.
    Show,
    /// The version of Ollama's API that is spoken.
    OllamaVersion,
    /// The models that are held in memory.
    OllamaRunning,
    /// Whether the process is alive.
    Health,
    /// Whether it wants traffic.
    Ready,
    /// Prometheus metrics.
    Metrics,
    /// Nothing: the path exists, but not for this method.
    WrongMethod(&'static str),
    /// Nothing: there is no such path.
    Unknown,
}

/// What comes after the path of Anthropic's messages where their tokens are to be counted.
pub(crate) const COUNTING: &str = "/count_tokens";

/// Paths that are written out, with the method they want.
const FIXED: &[(&str, Method, What<'static>, ErrorShape)] = {
    use ErrorShape::{Anthropic, Cohere, Mlflow, Ollama, Openai};
    use What::{
        CallByModel, Endpoints, Health, LegacyRoutes, Metrics, Models, OllamaRunning,
        OllamaVersion, Ready, Realtime, Show, SideCall, Tags,
    };
    const COMPACT: What<'static> = SideCall {
        dialect: Dialect::OpenaiResponses,
        side: "/compact",
    };
    const INPUT_TOKENS: What<'static> = SideCall {
        dialect: Dialect::OpenaiResponses,
        side: "/input_tokens",
    };
    const COUNT_TOKENS: What<'static> = SideCall {
        dialect: Dialect::AnthropicMessages,
        side: COUNTING,
    };
    &[
        (
            "/v1/chat/completions",
            Method::POST,
            CallByModel(Dialect::OpenaiChat),
            Openai,
        ),
        (
            "/v1/responses",
            Method::POST,
            CallByModel(Dialect::OpenaiResponses),
            Openai,
        ),
        ("/v1/responses/compact", Method::POST, COMPACT, Openai),
        (
            "/v1/responses/input_tokens",
            Method::POST,
            INPUT_TOKENS,
            Openai,
        ),
        (
            "/gateway/openai/v1/responses/compact",
            Method::POST,
            COMPACT,
            Openai,
        ),
        (
            "/gateway/openai/v1/responses/input_tokens",
            Method::POST,
            INPUT_TOKENS,
            Openai,
        ),
        (
            "/gateway/openai/v1/responses",
            Method::POST,
            CallByModel(Dialect::OpenaiResponses),
            Openai,
        ),
        // Azure's clients, with and without a version in the query.
        (
            "/openai/v1/responses",
            Method::POST,
            CallByModel(Dialect::OpenaiResponses),
            Openai,
        ),
        (
            "/openai/responses",
            Method::POST,
            CallByModel(Dialect::OpenaiResponses),
            Openai,
        ),
        (
            "/v1/messages",
            Method::POST,
            CallByModel(Dialect::AnthropicMessages),
            Anthropic,
        ),
        (
            "/v1/completions",
            Method::POST,
            CallByModel(Dialect::OpenaiCompletions),
            Openai,
        ),
        (
            "/v1/embeddings",
            Method::POST,
            CallByModel(Dialect::OpenaiEmbeddings),
            Openai,
        ),
        (
            "/v2/chat",
            Method::POST,
            CallByModel(Dialect::CohereChat),
            Cohere,
        ),
        (
            "/v2/embed",
            Method::POST,
            CallByModel(Dialect::CohereEmbeddings),
            Cohere,
        ),
        (
            "/v1/embed",
            Method::POST,
            CallByModel(Dialect::CohereOldEmbeddings),
            Cohere,
        ),
        (
            "/v2/rerank",
            Method::POST,
            CallByModel(Dialect::CohereRerank),
            Cohere,
        ),
        // Jina's clients, and those of others who have it from Cohere.
        (
            "/v1/rerank",
            Method::POST,
            CallByModel(Dialect::CohereRerank),
            Cohere,
        ),
        (
            "/rerank",
            Method::POST,
            CallByModel(Dialect::CohereRerank),
            Cohere,
        ),
        ("/v1/models", Method::GET, Models, Openai),
        ("/v1/realtime", Method::GET, Realtime, Openai),
        ("/gateway/openai/v1/realtime", Method::GET, Realtime, Openai),
        ("/openai/v1/realtime", Method::GET, Realtime, Openai),
        ("/openai/realtime", Method::GET, Realtime, Openai),
        (
            "/gateway/openai/v1/chat/completions",
            Method::POST,
            CallByModel(Dialect::OpenaiChat),
            Openai,
        ),
        (
            "/gateway/openai/v1/completions",
            Method::POST,
            CallByModel(Dialect::OpenaiCompletions),
            Openai,
        ),
        (
            "/gateway/openai/v1/embeddings",
            Method::POST,
            CallByModel(Dialect::OpenaiEmbeddings),
            Openai,
        ),
        ("/gateway/openai/v1/models", Method::GET, Models, Openai),
        (
            "/v1/messages/count_tokens",
            Method::POST,
            COUNT_TOKENS,
            Anthropic,
        ),
        (
            "/gateway/anthropic/v1/messages/count_tokens",
            Method::POST,
            COUNT_TOKENS,
            Anthropic,
        ),
        (
            "/gateway/anthropic/v1/messages",
            Method::POST,
            CallByModel(Dialect::AnthropicMessages),
            Anthropic,
        ),
        (
            "/gateway/anthropic/v1/models",
            Method::GET,
            Models,
            Anthropic,
        ),
        (
            "/gateway/mlflow/v1/chat/completions",
            Method::POST,
            CallByModel(Dialect::OpenaiChat),
            Openai,
        ),
        (
            "/gateway/mlflow/v1/embeddings",
            Method::POST,
            CallByModel(Dialect::OpenaiEmbeddings),
            Openai,
        ),
        ("/gateway/mlflow/v1/models", Method::GET, Models, Openai),
        ("/v1beta/models", Method::GET, Models, ErrorShape::Gemini),
        (
            "/gateway/gemini/v1beta/models",
            Method::GET,
            Models,
            ErrorShape::Gemini,
        ),
        (
            "/gateway/gemini/v1/models",
            Method::GET,
            Models,
            ErrorShape::Gemini,
        ),
        ("/api/2.0/endpoints", Method::GET, Endpoints, Mlflow),
        ("/api/2.0/gateway/routes", Method::GET, LegacyRoutes, Mlflow),
        (
            "/api/chat",
            Method::POST,
            CallByModel(Dialect::OllamaChat),
            Ollama,
        ),
        (
            "/api/generate",
            Method::POST,
            CallByModel(Dialect::OllamaGenerate),
            Ollama,
        ),
        (
            "/api/embed",
            Method::POST,
            CallByModel(Dialect::OllamaEmbeddings),
            Ollama,
        ),
        // Its predecessor, for one text.
        (
            "/api/embeddings",
            Method::POST,
            CallByModel(Dialect::OllamaOldEmbeddings),
            Ollama,
        ),
        ("/api/tags", Method::GET, Tags, Ollama),
        ("/api/show", Method::POST, Show, Ollama),
        ("/api/version", Method::GET, OllamaVersion, Ollama),
        ("/api/ps", Method::GET, OllamaRunning, Ollama),
        ("/healthz", Method::GET, Health, Openai),
        ("/health", Method::GET, Health, Openai),
        ("/readyz", Method::GET, Ready, Openai),
        ("/metrics", Method::GET, Metrics, Openai),
    ]
};

/// First parts of the paths that the gateway answers at itself.
const OWN: &[&str] = &[
    "api",
    "endpoints",
    "gateway",
    "health",
    "healthz",
    "metrics",
    "openai",
    "readyz",
    "rerank",
    "v1",
    "v1beta",
    "v2",
];

/// Whether the gateway itself answers at paths that begin like this one.
pub fn is_own_path(path: &str) -> bool {
    let first = path.split('/').find(|part| !part.is_empty());
    first.is_none_or(|first| OWN.contains(&first))
}

/// Finds what a request asks for. A trailing slash makes no difference.
pub(crate) fn find<'a>(method: &Method, path: &'a str) -> Asked<'a> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let fixed = FIXED.iter().find(|(pattern, ..)| *pattern == path);
    let (pattern, wanted, what, shape) = match fixed {
        Some((pattern, wanted, what, shape)) => (*pattern, wanted, *what, *shape),
        None => match media(path).or_else(|| named(method, path)) {
            Some(found) => found,
            None => {
                return Asked {
                    what: What::Unknown,
                    shape: shape_by_prefix(path),
                    pattern: "unknown",
                };
            }
        },
    };
    if method == wanted || (method == Method::HEAD && wanted == Method::GET) {
        Asked {
            what,
            shape,
            pattern,
        }
    } else {
        // The one path that is asked in two ways says the usual one.
        let wanted = if *wanted == Method::GET {
            "GET"
        } else {
            "POST"
        };
        Asked {
            what: What::WrongMethod(wanted),
            shape,
            pattern,
        }
    }
}

/// OpenAI's paths for media, without their beginning.
const MEDIA: &[(&str, &str, Task, &str)] = &[
    (
        "/images/generations",
        "/v1/images/generations",
        Task::Images,
        "generations",
    ),
    ("/images/edits", "/v1/images/edits", Task::Images, "edits"),
    (
        "/images/variations",
        "/v1/images/variations",
        Task::Images,
        "variations",
    ),
    ("/audio/speech", "/v1/audio/speech", Task::Speech, "speech"),
    (
        "/audio/transcriptions",
        "/v1/audio/transcriptions",
        Task::Transcriptions,
        "transcriptions",
    ),
    (
        "/audio/translations",
        "/v1/audio/translations",
        Task::Transcriptions,
        "translations",
    ),
    (
        "/moderations",
        "/v1/moderations",
        Task::Moderations,
        "moderations",
    ),
];

fn media(path: &str) -> Option<(&'static str, &'static Method, What<'static>, ErrorShape)> {
    let rest = ["/v1", "/gateway/openai/v1", "/openai/v1"]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))?;
    let (_, pattern, task, operation) = MEDIA.iter().find(|(known, ..)| *known == rest)?;
    let what = What::Media {
        task: *task,
        operation,
    };
    Some((*pattern, &Method::POST, what, ErrorShape::Openai))
}

/// Paths with a name in them.
fn named<'a>(
    method: &Method,
    path: &'a str,
) -> Option<(&'static str, &'static Method, What<'a>, ErrorShape)> {
    let between = |prefix: &str, suffix: &str| -> Option<&'a str> {
        let name = path.strip_prefix(prefix)?.strip_suffix(suffix)?;
        (!name.is_empty()).then_some(name)
    };
    let one_segment =
        |prefix: &str, suffix: &str| between(prefix, suffix).filter(|name| !name.contains('/'));

    if let Some((pattern, what)) = geminis(path) {
        return Some((pattern, &Method::POST, what, ErrorShape::Gemini));
    }
    for (prefix, pattern) in [
        ("/v1/responses/", "/v1/responses/{id}"),
        (
            "/gateway/openai/v1/responses/",
            "/gateway/openai/v1/responses/{id}",
        ),
        ("/openai/v1/responses/", "/openai/v1/responses/{id}"),
    ] {
        if let Some(id) = one_segment(prefix, "") {
            let (wanted, what) = match *method {
                Method::DELETE => (&Method::DELETE, What::ForgetResponse(id)),
                _ => (&Method::GET, What::Response(id)),
            };
            return Some((pattern, wanted, what, ErrorShape::Openai));
        }
    }
    // A model may be `provider/model`, so these names may have slashes.
    for (prefix, pattern, shape) in [
        ("/v1/models/", "/v1/models/{id}", ErrorShape::Openai),
        (
            "/gateway/openai/v1/models/",
            "/gateway/openai/v1/models/{id}",
            ErrorShape::Openai,
        ),
        (
            "/gateway/anthropic/v1/models/",
            "/gateway/anthropic/v1/models/{id}",
            ErrorShape::Anthropic,
        ),
        (
            "/gateway/mlflow/v1/models/",
            "/gateway/mlflow/v1/models/{id}",
            ErrorShape::Openai,
        ),
        ("/v1beta/models/", "/v1beta/models/{id}", ErrorShape::Gemini),
        (
            "/gateway/gemini/v1beta/models/",
            "/gateway/gemini/v1beta/models/{id}",
            ErrorShape::Gemini,
        ),
        (
            "/gateway/gemini/v1/models/",
            "/gateway/gemini/v1/models/{id}",
            ErrorShape::Gemini,
        ),
    ] {
        if let Some(name) = between(prefix, "") {
            return Some((pattern, &Method::GET, What::Model(name), shape));
        }
    }
    for (prefix, suffix, pattern) in [
        ("/gateway/routes/", "", "/gateway/routes/{name}"),
        (
            "/gateway/",
            "/mlflow/invocations",
            "/gateway/{name}/mlflow/invocations",
        ),
        ("/gateway/", "/invocations", "/gateway/{name}/invocations"),
        (
            "/endpoints/",
            "/invocations",
            "/endpoints/{name}/invocations",
        ),
    ] {
        if let Some(name) = one_segment(prefix, suffix) {
            return Some((
                pattern,
                &Method::POST,
                What::CallByName(name),
                ErrorShape::Mlflow,
            ));
        }
    }
    // Azure's clients call routes deployments.
    for (suffix, pattern, dialect) in [
        (
            "/chat/completions",
            "/openai/deployments/{name}/chat/completions",
            Dialect::OpenaiChat,
        ),
        (
            "/completions",
            "/openai/deployments/{name}/completions",
            Dialect::OpenaiCompletions,
        ),
        (
            "/embeddings",
            "/openai/deployments/{name}/embeddings",
            Dialect::OpenaiEmbeddings,
        ),
    ] {
        if let Some(name) = one_segment("/openai/deployments/", suffix) {
            let what = What::CallAt {
                dialect,
                name,
                stream: None,
            };
            return Some((pattern, &Method::POST, what, ErrorShape::Openai));
        }
    }
    if let Some(name) = one_segment("/api/2.0/endpoints/", "") {
        return Some((
            "/api/2.0/endpoints/{name}",
            &Method::GET,
            What::Endpoint(name),
            ErrorShape::Mlflow,
        ));
    }
    if let Some(name) = one_segment("/api/2.0/gateway/routes/", "") {
        return Some((
            "/api/2.0/gateway/routes/{name}",
            &Method::GET,
            What::LegacyRoute(name),
            ErrorShape::Mlflow,
        ));
    }
    None
}

/// A name as it is meant: clients write `vendor/model` as `vendor%2Fmodel` into a path. What is no percent-encoding stays as it is.
pub(crate) fn decoded(name: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(name)
        .decode_utf8()
        .unwrap_or(Cow::Borrowed(name))
}

/// Gemini's methods, which come after the model's name.
fn geminis(path: &str) -> Option<(&'static str, What<'_>)> {
    let prefixes = [
        "/v1beta/models/",
        "/v1/models/",
        "/gateway/gemini/v1beta/models/",
        "/gateway/gemini/v1/models/",
    ];
    let prefix = prefixes
        .iter()
        .position(|prefix| path.starts_with(prefix))?;
    let rest = path.get(prefixes[prefix].len()..)?;
    let (name, method) = rest.rsplit_once(':')?;
    let call = |dialect, stream| What::CallAt {
        dialect,
        name,
        stream,
    };
    /// The patterns of a method, one for each prefix.
    macro_rules! patterns {
        ($method:literal) => {
            [
                concat!("/v1beta/models/{name}:", $method),
                concat!("/v1/models/{name}:", $method),
                concat!("/gateway/gemini/v1beta/models/{name}:", $method),
                concat!("/gateway/gemini/v1/models/{name}:", $method),
            ]
        };
    }
    let (patterns, what) = match method {
        "generateContent" => (
            patterns!("generateContent"),
            call(Dialect::GeminiGenerate, Some(false)),
        ),
        "streamGenerateContent" => (
            patterns!("streamGenerateContent"),
            call(Dialect::GeminiGenerate, Some(true)),
        ),
        "embedContent" => (
            patterns!("embedContent"),
            call(Dialect::GeminiEmbeddings, None),
        ),
        "batchEmbedContents" => (
            patterns!("batchEmbedContents"),
            call(Dialect::GeminiEmbeddings, None),
        ),
        "countTokens" => (patterns!("countTokens"), What::CountTokens(name)),
        _ => return None,
    };
    (!name.is_empty()).then_some((patterns[prefix], what))
}

/// Whoever asks for a path that does not exist still wants to understand the answer.
fn shape_by_prefix(path: &str) -> ErrorShape {
    if path.starts_with("/gateway/anthropic/") || path.starts_with("/v1/messages/") {
        ErrorShape::Anthropic
    } else if path.starts_with("/api/") && !path.starts_with("/api/2.0/") {
        ErrorShape::Ollama
    } else if path.starts_with("/v1beta/") || path.starts_with("/gateway/gemini/") {
        ErrorShape::Gemini
    } else if path.starts_with("/v2/") {
        ErrorShape::Cohere
    } else if path.starts_with("/api/")
        || path.starts_with("/endpoints/")
        || path.starts_with("/gateway/")
    {
        ErrorShape::Mlflow
    } else {
        ErrorShape::Openai
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what<'a>(method: &Method, path: &'a str) -> What<'a> {
        find(method, path).what
    }

    #[test]
    fn the_gateway_knows_its_own_paths() {
        for (path, ..) in FIXED {
            assert!(is_own_path(path), "{path}");
        }
        let named = [
            "/v1/images/edits",
            "/openai/v1/audio/speech",
            "/v1beta/models/x:generateContent",
            "/gateway/x/invocations",
            "/endpoints/x/invocations",
            "/openai/deployments/x/embeddings",
            "/api/2.0/endpoints/x",
        ];
        for path in named {
            assert_ne!(what(&Method::POST, path), What::Unknown, "{path}");
            assert!(is_own_path(path), "{path}");
        }
        assert!(is_own_path("/") && !is_own_path("/v1x") && !is_own_path("/apis/v1"));
    }

    #[test]
    fn names_are_taken_from_the_path() {
        assert_eq!(
            what(&Method::POST, "/gateway/chat/invocations"),
            What::CallByName("chat")
        );
        assert_eq!(
            what(&Method::POST, "/gateway/routes/chat"),
            What::CallByName("chat")
        );
        assert_eq!(
            what(&Method::POST, "/endpoints/chat/invocations"),
            What::CallByName("chat")
        );
        assert_eq!(
            what(&Method::GET, "/v1/models/openai/gpt-4o"),
            What::Model("openai/gpt-4o")
        );
        assert_eq!(
            what(&Method::GET, "/api/2.0/gateway/routes/chat"),
            What::LegacyRoute("chat")
        );
    }

    #[test]
    fn names_are_decoded() {
        assert_eq!(
            what(&Method::GET, "/v1/models/vendor%2Fm"),
            What::Model("vendor%2Fm")
        );
        for (written, meant) in [
            ("vendor%2Fm", "vendor/m"),
            ("caf%C3%a9", "café"),
            ("50%", "50%"),
            ("%zz%4", "%zz%4"),
            ("%FF", "%FF"),
        ] {
            assert_eq!(decoded(written), meant);
        }
    }

    #[test]
    fn geminis_methods_come_after_the_models_name() {
        let call = |dialect, name, stream| What::CallAt {
            dialect,
            name,
            stream,
        };
        let chat = |name, stream| call(Dialect::GeminiGenerate, name, Some(stream));
        for (path, expected) in [
            ("/v1beta/models/chat:generateContent", chat("chat", false)),
            (
                "/v1/models/ollama/llama3:8b:streamGenerateContent",
                chat("ollama/llama3:8b", true),
            ),
            (
                "/gateway/gemini/v1beta/models/vectors:batchEmbedContents",
                call(Dialect::GeminiEmbeddings, "vectors", None),
            ),
            ("/v1beta/models/chat:countTokens", What::CountTokens("chat")),
            ("/v1beta/models/chat:predict", What::WrongMethod("GET")),
            ("/v1beta/models/:generateContent", What::WrongMethod("GET")),
        ] {
            assert_eq!(what(&Method::POST, path), expected, "{path}");
        }
        let listed = find(&Method::GET, "/v1beta/models/chat");
        assert_eq!(
            (listed.what, listed.shape),
            (What::Model("chat"), ErrorShape::Gemini)
        );
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        assert_eq!(what(&Method::GET, "/api/2.0/endpoints/"), What::Endpoints);
        assert_eq!(what(&Method::GET, "/api/2.0/endpoints"), What::Endpoints);
        assert_eq!(
            what(&Method::GET, "/api/2.0/endpoints/chat"),
            What::Endpoint("chat")
        );
    }

    #[test]
    fn a_wrong_method_is_told_from_an_unknown_path() {
        assert_eq!(
            what(&Method::GET, "/v1/chat/completions"),
            What::WrongMethod("POST")
        );
        assert_eq!(what(&Method::POST, "/v1/models"), What::WrongMethod("GET"));
        assert_eq!(what(&Method::GET, "/v2/chat"), What::WrongMethod("POST"));
        assert_eq!(what(&Method::POST, "/v2/classify"), What::Unknown);
        assert_eq!(what(&Method::HEAD, "/healthz"), What::Health);
    }

    #[test]
    fn errors_are_told_in_the_language_of_the_path() {
        assert_eq!(
            find(&Method::POST, "/v1/messages").shape,
            ErrorShape::Anthropic
        );
        assert_eq!(
            find(&Method::POST, "/gateway/x/invocations").shape,
            ErrorShape::Mlflow
        );
        assert_eq!(
            find(&Method::POST, "/gateway/nowhere").shape,
            ErrorShape::Mlflow
        );
        assert_eq!(
            find(&Method::POST, "/api/2.0/nowhere").shape,
            ErrorShape::Mlflow
        );
        assert_eq!(find(&Method::POST, "/api/pull").shape, ErrorShape::Ollama);
        for path in ["/v2/classify", "/v2/chat", "/v1/rerank", "/rerank"] {
            assert_eq!(find(&Method::POST, path).shape, ErrorShape::Cohere);
        }
    }
}
