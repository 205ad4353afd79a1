//! Endpoints whose address depends on the call: what is asked about a call, and Google's methods.

use http::Uri;
use tollgate_dialects::Head;
use tollgate_domain::{BodyModel, Dialect, Endpoint, Envelope};

use crate::paths::COUNTING;

/// How the addresses of Anthropic's models on Vertex AI end.
const PREDICTING: &str = ":rawPredict";

/// The endpoint at which something about a call is asked.
///
/// Vertex AI counts at one address for all of Anthropic's models, and the body names the model
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/count-tokens>, read 2026-11).
pub(super) fn aside(mut endpoint: Endpoint, side: &str) -> Option<Endpoint> {
    let mut parts = endpoint.uri.clone().into_parts();
    let path = match endpoint.envelope {
        Envelope::Plain => match endpoint.uri.path().rsplit_once('/') {
            Some((models, last)) if last.ends_with(PREDICTING) => {
                endpoint.model = BodyModel::Asked;
                format!("{models}/count-tokens{PREDICTING}")
            }
            _ => format!("{}{side}", endpoint.uri.path()),
        },
        Envelope::Invocation if side == COUNTING => {
            let model = endpoint.uri.path().strip_suffix("/invoke")?;
            format!("{model}/count-tokens")
        }
        Envelope::Invocation => return None,
    };
    let query = endpoint.uri.query();
    let extended = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    parts.path_and_query = Some(extended.parse().ok()?);
    let uri = Uri::from_parts(parts).ok()?;
    Some(Endpoint {
        uri,
        stream_uri: None,
        ..endpoint
    })
}

/// The address that a body belongs to: one text and several have different ones with Gemini.
pub(super) fn for_body(endpoint: Endpoint, head: &Head) -> Endpoint {
    if endpoint.dialect == Dialect::GeminiEmbeddings && head.field("requests").is_none() {
        with_method(endpoint, "embedContent")
    } else {
        endpoint
    }
}

/// An address of Google's with another method at its end.
pub(super) fn with_method(mut endpoint: Endpoint, method: &str) -> Endpoint {
    let mut parts = endpoint.uri.clone().into_parts();
    let path = endpoint.uri.path();
    let (model, _) = path.rsplit_once(':').unwrap_or((path, ""));
    let query = endpoint.uri.query().map(|query| format!("?{query}"));
    let path = format!("{model}:{method}{}", query.unwrap_or_default());
    if let Ok(path) = path.parse() {
        parts.path_and_query = Some(path);
        endpoint.uri = Uri::from_parts(parts).unwrap_or(endpoint.uri);
    }
    endpoint
}
