//! Providers: what their kind says, and what the operator changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use http::{HeaderName, HeaderValue};
use serde_json::Value;
use tollgate_domain::{
    Auth, ChatInput, Provider, ProviderKey, ProviderName, Quirks, Secret, StreamEnd, StreamUsage,
    Timeouts, Transport,
};
use tollgate_upstream::providers::{
    AZURE_DEPLOYMENTS, BEDROCK_CONVERSE, BEDROCK_INVOCATIONS, CUSTOM_ANTHROPIC, CUSTOM_COHERE,
    CUSTOM_GEMINI, CUSTOM_OLLAMA, CUSTOM_RESPONSES, KeyNeed, Kind, Reach, SignIn, find,
};

use super::{
    addresses::{self, Address},
    credentials, is_plain_name,
    routes::Routes,
};
use crate::config::{
    diagnostics::{Problems, quoted, quoted_node},
    environment::Environment,
    kinds, secrets,
    tree::At,
    written,
};

/// Most headers that a provider may be given: servers take a hundred or so.
const HEADERS_MAX: usize = 64;

/// The providers of a file.
pub(crate) struct Providers {
    /// Those without mistakes.
    pub(crate) resolved: HashMap<ProviderName, Arc<Provider>>,
    /// The names of all of them, so that a mistake in one is not taken for its absence.
    pub(crate) names: BTreeSet<String>,
}

/// Resolves the list of providers.
pub(crate) fn resolve(
    written: &[written::Provider],
    at: At<'_>,
    environment: &dyn Environment,
    problems: &mut Problems,
) -> Providers {
    let mut providers = Providers {
        resolved: HashMap::new(),
        names: BTreeSet::new(),
    };
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let Some(name) = &written.name else {
            continue;
        };
        if !is_plain_name(name) {
            problems
                .error(
                    at.key("name").span(),
                    format!(
                        "{} is no name for a provider",
                        quoted_node(at.key("name").node())
                    ),
                )
                .help("use letters, digits, `_`, `.` and `-`");
        } else if providers.names.contains(name) {
            problems
                .error(
                    at.key("name").span(),
                    format!("there are two providers named {}", quoted(name)),
                )
                .help("give each a name of its own");
        }
        providers.names.insert(name.clone());
        if let Some(provider) = provider(name, written, at, environment, problems) {
            providers
                .resolved
                .insert(provider.name.clone(), Arc::new(provider));
        }
    }
    providers
}

/// Says which providers nobody can reach.
pub(crate) fn warn_unused(
    written: &[written::Provider],
    at: At<'_>,
    routes: &Routes,
    direct_use: bool,
    problems: &mut Problems,
) {
    if direct_use || problems.has_errors() {
        return; // with mistakes in the routes, nobody can tell
    }
    for (index, written) in written.iter().enumerate() {
        let Some(name) = &written.name else {
            continue;
        };
        if !routes.providers_used.contains(name.as_str()) {
            problems
                .warning(
                    at.item(index).key("name").span(),
                    format!("no route uses the provider {}", quoted(name)),
                )
                .help("name it in a route, or set `direct_use: true`");
        }
    }
}

fn provider(
    name: &str,
    written: &written::Provider,
    at: At<'_>,
    environment: &dyn Environment,
    problems: &mut Problems,
) -> Option<Provider> {
    let kind = kind(written, at, problems)?;
    report_foreign_settings(kind, written, at, problems);
    let auth = match credentials::issuer(written, kind.sign_in, at, environment, problems) {
        Some(issuer) => Auth::Issued(Arc::new(issuer)),
        None => auth(kind, written, at, problems),
    };
    addresses::report_missing_places(kind, written, at, problems);
    let address = addresses::address(kind, written, at, problems);
    let keys = keys(kind, &auth, &address, written, at, problems);
    let endpoints = match &address {
        Address::At(base) => addresses::endpoints(kind, base, written, at, problems),
        Address::Unresolved(_) => addresses::unresolved_endpoints(kind),
        Address::Wrong => Vec::new(),
    };
    let headers = headers(kind, written, at, problems);
    let (default_model, params) = params(written, at, problems);
    Some(Provider {
        name: ProviderName::new(name),
        kind: kind.name.into(),
        transport: match (kind.reach, address) {
            (Reach::Demo, _) => Transport::Demo,
            (Reach::Http, Address::Unresolved(why)) => Transport::Unresolved(why),
            (Reach::Http, Address::At(_) | Address::Wrong) => Transport::Http,
        },
        endpoints,
        auth,
        keys,
        headers,
        default_model,
        params,
        quirks: quirks(kind, written),
        timeouts: timeouts(&written.timeouts, at.key("timeouts"), problems),
        private_addresses: written.private_addresses.unwrap_or(false),
    })
}

/// The row of the table that fits, by `type` and by what changes its addresses.
fn kind(written: &written::Provider, at: At<'_>, problems: &mut Problems) -> Option<&'static Kind> {
    let name = written.kind.as_deref()?;
    if let Some(kind) = find(name) {
        let deployments = written.api_version.is_some() || written.deployment.is_some();
        return Some(match (kind.name, written.dialect) {
            ("azure", _) if deployments => &AZURE_DEPLOYMENTS,
            ("bedrock", Some(written::SpokenDialect::Anthropic)) => &BEDROCK_INVOCATIONS,
            ("bedrock", Some(written::SpokenDialect::Converse)) => &BEDROCK_CONVERSE,
            ("custom", Some(written::SpokenDialect::Anthropic)) => &CUSTOM_ANTHROPIC,
            ("custom", Some(written::SpokenDialect::Ollama)) => &CUSTOM_OLLAMA,
            ("custom", Some(written::SpokenDialect::Gemini)) => &CUSTOM_GEMINI,
            ("custom", Some(written::SpokenDialect::OpenaiResponses)) => &CUSTOM_RESPONSES,
            ("custom", Some(written::SpokenDialect::Cohere)) => &CUSTOM_COHERE,
            ("custom", Some(written::SpokenDialect::Mlflow)) => find("mlflow").unwrap_or(kind),
            _ => kind,
        });
    }
    kinds::report_unknown(at.key("type").node(), problems);
    None
}

/// Settings that another kind has.
fn report_foreign_settings(
    kind: &Kind,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) {
    let is_custom = written.kind.as_deref().and_then(find).map(|kind| kind.name) == Some("custom");
    let speaks = match written.dialect {
        Some(written::SpokenDialect::Anthropic) => is_custom || kind.name == "bedrock",
        Some(written::SpokenDialect::Converse) => kind.name == "bedrock",
        _ => is_custom,
    };
    let owner_of_dialect = match written.dialect {
        Some(written::SpokenDialect::Converse) => "bedrock",
        _ => "custom",
    };
    let is_mlflow = kind.name == "mlflow";
    let is_azure = kind.name == "azure";
    let is_vertex = kind.name == "vertex";
    for (key, present, fits, owner) in [
        (
            "dialect",
            written.dialect.is_some(),
            speaks,
            owner_of_dialect,
        ),
        (
            "region",
            written.region.is_some(),
            kind.regional_url.is_some(),
            "bedrock",
        ),
        (
            "model_uri",
            written.model_uri.is_some(),
            is_mlflow,
            "mlflow",
        ),
        (
            "model_server_url",
            written.model_server_url.is_some(),
            is_mlflow,
            "mlflow",
        ),
        (
            "tracking_uri",
            written.tracking_uri.is_some(),
            is_mlflow,
            "mlflow",
        ),
        (
            "api_version",
            written.api_version.is_some(),
            is_azure,
            "azure",
        ),
        (
            "deployment",
            written.deployment.is_some(),
            is_azure,
            "azure",
        ),
        ("project", written.project.is_some(), is_vertex, "vertex"),
        ("location", written.location.is_some(), is_vertex, "vertex"),
    ] {
        if present && !fits {
            problems
                .error(
                    at.key(key).key_span(),
                    format!("`{key}` means nothing to a provider of this kind"),
                )
                .help(format!("it belongs to `type: {owner}`"));
        }
    }
}

fn auth(kind: &Kind, written: &written::Provider, at: At<'_>, problems: &mut Problems) -> Auth {
    let at = at.key("auth");
    let bearer = || Auth::Header {
        name: http::header::AUTHORIZATION,
        prefix: "Bearer ".into(),
    };
    match &written.auth {
        None => match kind.sign_in {
            SignIn::Bearer | SignIn::AwsOrBearer => bearer(),
            SignIn::Header(name) => Auth::Header {
                name: HeaderName::from_static(name),
                prefix: "".into(),
            },
            SignIn::IbmKey => Auth::None, // a mistake in its key has been reported
        },
        Some(written::Auth::Rule(written::AuthRule::Bearer)) => bearer(),
        Some(written::Auth::Rule(written::AuthRule::None)) => Auth::None,
        // A mistake in it has been reported.
        Some(
            written::Auth::Rule(written::AuthRule::Aws)
            | written::Auth::Aws(_)
            | written::Auth::Google(_)
            | written::Auth::Entra(_)
            | written::Auth::Ibm(_),
        ) => Auth::None,
        Some(written::Auth::Header(header)) => {
            let Some(written) = &header.header else {
                return Auth::None; // a mistake in it has been reported
            };
            let Ok(name) = written.parse() else {
                problems
                    .error(
                        at.key("header").span(),
                        format!("{} is no name for a header", quoted(written)),
                    )
                    .help("such as `x-api-key`");
                return Auth::None;
            };
            if HeaderValue::from_str(&header.prefix).is_err() {
                problems.error(
                    at.key("prefix").span(),
                    "`prefix` holds signs that cannot be sent in a header",
                );
            }
            Auth::Header {
                name,
                prefix: header.prefix.as_str().into(),
            }
        }
        Some(written::Auth::Query(query)) => Auth::Query {
            name: query.query.as_deref().unwrap_or_default().into(),
        },
    }
}

fn keys(
    kind: &Kind,
    auth: &Auth,
    address: &Address,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> Vec<Arc<ProviderKey>> {
    if written.api_key.is_some() && !written.api_keys.is_empty() {
        problems
            .error(
                at.key("api_keys").key_span(),
                "`api_key` and `api_keys` are both given",
            )
            .related(at.key("api_key").key_span(), "the other one")
            .help("put all keys into `api_keys`");
    }
    if matches!(auth, Auth::Issued(_)) {
        return Vec::new(); // a key that is written beside is exchanged, or has been reported
    }
    let single = written
        .api_key
        .as_deref()
        .map(|key| (key, 1, at.key("api_key")));
    let several = written.api_keys.iter().enumerate();
    let several = several.filter_map(|(index, key)| {
        let at = at.key("api_keys").item(index);
        match key {
            written::ApiKey::Key(key) => Some((key.as_str(), 1, at)),
            written::ApiKey::Weighted(weighted) => {
                let key = weighted.key.as_deref()?;
                Some((key, weighted.weight.unwrap_or(1), at.key("key")))
            }
        }
    });
    let mut keys = Vec::new();
    for (key, weight, at) in single.into_iter().chain(several) {
        let key = key.trim();
        if key.is_empty() {
            problems
                .error(at.span(), "the key is empty")
                .help("check where its value comes from");
        } else if HeaderValue::from_str(key).is_err() {
            problems
                .error(
                    at.span(),
                    "the key holds signs that cannot be sent in a header",
                )
                .help("a key is one line of ASCII: check where its value comes from");
        } else {
            keys.push(Arc::new(ProviderKey {
                ordinal: keys.len() + 1,
                secret: Secret::new(key),
                weight,
            }));
        }
    }
    // A key whose value could not be found is written, though it is not here any more.
    let is_written = at.has("api_key") || at.has("api_keys");
    let is_wanted = kind.key == KeyNeed::Required && matches!(address, Address::At(_));
    if is_wanted && !is_written && *auth != Auth::None {
        problems
            .error(
                at.span(),
                format!("a provider of type `{}` needs a key", kind.name),
            )
            .label("`api_key` is missing")
            .help("give `api_key: \"{{ env.NAME }}\"`, or `auth: none` if it takes calls without");
    }
    keys
}

fn headers(
    kind: &Kind,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: BTreeMap<String, (HeaderName, HeaderValue)> = BTreeMap::new();
    for (name, value) in kind.headers {
        let pair = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        headers.insert((*name).to_owned(), pair);
    }
    if written.headers.len() > HEADERS_MAX {
        problems
            .error(
                at.key("headers").key_span(),
                format!("there are {} headers", written.headers.len()),
            )
            .help(format!("a request takes at most {HEADERS_MAX} of them"));
        return Vec::new();
    }
    for (name, value) in &written.headers {
        let at = at.key("headers").key(name);
        let Ok(parsed) = name.parse::<HeaderName>() else {
            problems.error(
                at.key_span(),
                format!("{} is no name for a header", quoted(name)),
            );
            continue;
        };
        if is_ours(&parsed) {
            problems.error(
                at.key_span(),
                format!("the gateway sets the header {} itself", quoted(name)),
            );
            continue;
        }
        let Ok(mut value) = HeaderValue::from_str(value.trim()) else {
            problems.error(at.span(), "the value holds signs that cannot be sent");
            continue;
        };
        // What is kept outside of the file is not for everybody, whatever it is called.
        value.set_sensitive(secrets::is_secret_header(name) || at.node().is_filled());
        headers.insert(parsed.as_str().to_owned(), (parsed, value));
    }
    headers.into_values().collect()
}

/// Headers that frame the message, or that depend on each call.
fn is_ours(name: &HeaderName) -> bool {
    [
        "connection",
        "content-length",
        "content-type",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
    .contains(&name.as_str())
}

fn params(
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> (Option<Arc<str>>, serde_json::Map<String, Value>) {
    let mut params = written.params.clone();
    let default_model = match params.shift_remove("model") {
        None | Some(Value::Null) => None,
        Some(Value::String(model)) => Some(model.into()),
        Some(_) => {
            problems
                .error(
                    at.key("params").key("model").span(),
                    "`model` must be text: what the provider calls the model",
                )
                .help("put it in quotes");
            None
        }
    };
    (default_model, params)
}

fn quirks(kind: &Kind, written: &written::Provider) -> Quirks {
    Quirks {
        stream_end: match written.stream_end {
            Some(written::StreamEnd::Mark) => StreamEnd::Mark,
            Some(written::StreamEnd::Finish) => StreamEnd::Finish,
            None => kind.quirks.stream_end,
        },
        stream_usage: match written.stream_usage {
            Some(written::StreamUsage::Ask) => StreamUsage::Ask,
            Some(written::StreamUsage::Unasked) => StreamUsage::Unasked,
            None => kind.quirks.stream_usage,
        },
        model_in_body: written.model_in_body.unwrap_or(kind.quirks.model_in_body),
        chat_input: match written.chat_input {
            Some(written::ChatInput::Messages) => ChatInput::Messages,
            Some(written::ChatInput::Text) => ChatInput::Text,
            None => kind.quirks.chat_input,
        },
        says_cost: written.says_cost.unwrap_or(kind.quirks.says_cost),
        ..kind.quirks
    }
}

fn timeouts(written: &written::Timeouts, at: At<'_>, problems: &mut Problems) -> Timeouts {
    let default = Timeouts::default();
    let mut wait = |key: &str, written: Option<written::Wait>, default| {
        let Some(written::Wait(duration)) = written else {
            return default;
        };
        if duration.is_zero() {
            problems
                .error(
                    at.key(key).span(),
                    format!("`{key}` cannot be zero: every call would fail"),
                )
                .help("leave it out for the usual time");
        }
        duration
    };
    Timeouts {
        connect: wait("connect", written.connect, default.connect),
        first_token: wait("first_token", written.first_token, default.first_token),
        idle: wait("idle", written.idle, default.idle),
        whole: wait("whole", written.whole, default.whole),
    }
}
