//! `server` and `log`, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Size, Wait};

/// Where the gateway listens, and the bounds it keeps towards its clients.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// The address and port to listen at. Default: `127.0.0.1:5000`.
    pub(crate) listen: Option<String>,
    /// Consent to listen at an address that others reach although there are no `keys`: everyone who reaches it
    /// may then spend your providers' money.
    pub(crate) public: bool,
    /// How many threads serve calls. Default: `auto`, one for each core.
    pub(crate) workers: Option<Workers>,
    /// How work is spread over threads: `per_core` gives each its own connections, `shared` lets them
    /// steal work from each other. Default: `per_core`.
    pub(crate) runtime: Option<Runtime>,
    /// Whether `/metrics` is served at the same address. Default: true.
    pub(crate) metrics: Option<bool>,
    /// Networks of proxies before the gateway, such as `10.0.0.0/8`: a request from there comes from the client that its `X-Forwarded-For`
    /// names, the last that is no such proxy itself. Default: none.
    pub(crate) trusted_proxies: Option<Vec<String>>,
    /// Bounds towards clients.
    pub(crate) limits: Limits,
}

/// How many threads serve calls.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Workers {
    /// This many.
    Number(#[schemars(range(min = 1, max = 1024))] u16),
    /// One for each core.
    Word(Auto),
}

/// The gateway decides.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auto {
    Auto,
}

/// How work is spread over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Runtime {
    /// A runtime for each thread, each with its own connections.
    #[default]
    PerCore,
    /// One runtime whose threads steal work from each other.
    Shared,
}

/// Bounds that the gateway keeps towards its clients.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Size of a request's body after decompression; 413 beyond. Default: `32MiB`.
    pub(crate) body: Option<Size>,
    /// Size of a request's head; 431 beyond. Default: `64KiB`.
    pub(crate) header: Option<Size>,
    /// Length of a request's URL; 414 beyond. Default: `8KiB`.
    pub(crate) url: Option<Size>,
    /// Nesting of a JSON body; 400 beyond. Default: 128.
    #[schemars(range(min = 8, max = 512))]
    pub(crate) json_depth: Option<usize>,
    /// Size of a provider's whole answer. Default: `64MiB`.
    pub(crate) answer: Option<Size>,
    /// Size of one event in a provider's stream. Default: `8MiB`.
    pub(crate) event: Option<Size>,
    /// Connections open at once. Default: 10000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) connections: Option<usize>,
    /// Time for a client to send a request's head; 408 beyond. Default: `15s`.
    pub(crate) header_timeout: Option<Wait>,
    /// Time for a client to send a request's body; 408 beyond. Default: `60s`.
    pub(crate) body_timeout: Option<Wait>,
    /// Time a client may leave an answer unread before the connection is closed. Default: `120s`.
    pub(crate) write_timeout: Option<Wait>,
    /// Time for calls in flight to finish when the gateway is told to stop; who still waits for an answer then is told so (503). Default: `30s`.
    pub(crate) drain_timeout: Option<Wait>,
    /// A worker that is this late with what it has to do refuses some calls with 503 until it keeps up again; `0s`: it never does. Default: `1s`.
    pub(crate) late: Option<Wait>,
}

/// What is logged, and how.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// `json` for machines, `pretty` for people, `auto` for `pretty` on a terminal and `json` elsewhere. Default: `auto`.
    pub(crate) format: Option<LogFormat>,
    /// How much is logged. Default: `info`.
    pub(crate) level: Option<LogLevel>,
    /// Whether each call gets a line. Default: true.
    pub(crate) calls: Option<bool>,
    /// Whether a call's line holds what was asked and answered. Default: false.
    pub(crate) content: bool,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogLevel {
    /// What went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And how.
    Debug,
    /// And every step.
    Trace,
}
