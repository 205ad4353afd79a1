//! Where providers are: base URLs, paths and queries → the address of each endpoint.

mod base;

use std::sync::Arc;

use http::Uri;
use tollgate_domain::{BodyModel, Dialect, Endpoint, Envelope, Models, Task};
use tollgate_upstream::providers::{Kind, KindEndpoint, find};

use base::Base;

use crate::config::{
    diagnostics::{Problems, quoted, quoted_node},
    secrets,
    tree::At,
    written,
};

/// Where a provider is.
pub(crate) enum Address {
    At(Base),
    /// A registry model that nobody has found yet, and why.
    Unresolved(Arc<str>),
    /// A mistake has been reported.
    Wrong,
}

pub(crate) fn address(
    kind: &Kind,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> Address {
    let candidates = [
        ("base_url", &written.base_url),
        ("api_base", &written.api_base),
        ("model_server_url", &written.model_server_url),
    ];
    let mut given = candidates
        .iter()
        .filter_map(|(key, url)| url.as_deref().map(|url| (*key, url)));
    let first = given.next();
    if let (Some((one, _)), Some((other, _))) = (first, given.next()) {
        problems
            .error(
                at.key(other).key_span(),
                format!("`{other}` and `{one}` are the same thing"),
            )
            .related(at.key(one).key_span(), "already given here")
            .help("remove one of the two");
    }
    if let Some((key, url)) = first {
        return match Base::parse(url) {
            Ok(base) => Address::At(base),
            Err(why) => {
                problems
                    .error(at.key(key).span(), format!("`{key}` is no address: {why}"))
                    .help("write `https://HOST/PATH`");
                Address::Wrong
            }
        };
    }
    if let Some(base) = kind.base_url.and_then(|url| Base::parse(url).ok()) {
        return Address::At(base);
    }
    if kind.name == "vertex" {
        return vertex(written);
    }
    if let (Some(url), Some(region)) = (kind.regional_url, &written.region) {
        return regional(url, region, at, problems);
    }
    if let Some(uri) = &written.model_uri {
        return unresolved(uri, written, at, problems);
    }
    let (message, help) = match kind.name {
        "mlflow" => (
            "an `mlflow` provider needs an address",
            "give `model_server_url`, where `mlflow models serve` runs, such as `http://127.0.0.1:5001`",
        ),
        "azure" => (
            "an `azure` provider needs an address",
            "give `base_url`, such as `https://RESOURCE.openai.azure.com`",
        ),
        "bedrock" => (
            "a `bedrock` provider needs a region",
            "give `region`, such as `us-east-1`, or a `base_url`",
        ),
        "databricks" => (
            "a `databricks` provider needs an address",
            "give `base_url`, such as `https://WORKSPACE.cloud.databricks.com`",
        ),
        "watsonx" => (
            "a `watsonx` provider needs a region",
            "give `region`, such as `us-south`, or a `base_url`",
        ),
        "cloudflare" => (
            "a `cloudflare` provider needs an address",
            "give `base_url`, such as `https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai/v1`",
        ),
        _ => (
            "a `custom` provider needs an address",
            "give `base_url`, such as `https://HOST/v1`",
        ),
    };
    problems
        .error(at.span(), message)
        .label("`base_url` is missing")
        .help(help);
    Address::Wrong
}

/// Where Vertex AI is, by its location
/// (<https://docs.cloud.google.com/vertex-ai/generative-ai/docs/learn/locations>, read 2026-11). One that is missing is reported
/// with the paths, which need it as well.
fn vertex(written: &written::Provider) -> Address {
    let host = match written.location.as_deref().map(str::trim) {
        None | Some("") => return Address::Wrong,
        Some("global") => "aiplatform.googleapis.com".to_owned(),
        Some(region @ ("us" | "eu")) => format!("aiplatform.{region}.rep.googleapis.com"),
        Some(location) => format!("{location}-aiplatform.googleapis.com"),
    };
    Base::parse(&format!("https://{host}")).map_or(Address::Wrong, Address::At)
}

/// Reports what the addresses of Vertex AI need and the operator has not given.
pub(crate) fn report_missing_places(
    kind: &Kind,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) {
    if kind.name == "watsonx" {
        report_missing_project(written, at, problems);
    }
    if kind.name != "vertex" {
        return;
    }
    for (key, given, such_as) in [
        (
            "project",
            &written.project,
            "the id of your project in Google Cloud",
        ),
        (
            "location",
            &written.location,
            "a place such as `us-central1` or `global`",
        ),
    ] {
        let is_plain = |text: &str| {
            let is_fit = |sign: char| sign.is_ascii_alphanumeric() || "-_.:".contains(sign);
            !text.is_empty() && text.chars().all(is_fit)
        };
        match given.as_deref() {
            // What is written but could not be filled in has been reported.
            None if at.has(key) => {}
            None => {
                problems
                    .error(at.span(), format!("a `vertex` provider needs a `{key}`"))
                    .label(format!("`{key}` is missing"))
                    .help(format!("give `{key}`: {such_as}"));
            }
            Some(text) if !is_plain(text.trim()) => {
                problems
                    .error(
                        at.key(key).span(),
                        format!("this is no `{key}` of Google Cloud"),
                    )
                    .help(format!("give {such_as}"));
            }
            Some(_) => {}
        }
    }
}

/// Reports that nobody says whose calls they are: watsonx.ai refuses those of nobody.
fn report_missing_project(written: &written::Provider, at: At<'_>, problems: &mut Problems) {
    let given = ["project_id", "space_id"].map(|name| at.key("params").has(name));
    // A deployment has an address of its own, and belongs to somebody already.
    let is_deployment = written.paths.chat.is_some() || written.paths.embeddings.is_some();
    if given.contains(&true) || is_deployment {
        return;
    }
    problems
        .error(
            at.span(),
            "a `watsonx` provider needs a project, or a space",
        )
        .label("`params` name none")
        .help("give `params: {project_id: ...}` or `params: {space_id: ...}`");
}

/// The address of a region. It becomes part of a host's name, so that it may hold nothing else.
fn regional(url: &str, region: &str, at: At<'_>, problems: &mut Problems) -> Address {
    let is_region = !region.is_empty()
        && region
            .chars()
            .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-');
    match Base::parse(&url.replace("{region}", region)) {
        Ok(base) if is_region => Address::At(base),
        _ => {
            problems
                .error(
                    at.key("region").span(),
                    format!("{} is no region", quoted_node(at.key("region").node())),
                )
                .help("such as `us-east-1`");
            Address::Wrong
        }
    }
}

/// A model of the registry: where it is served is not known.
fn unresolved(
    uri: &str,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> Address {
    let node = at.key("model_uri");
    if !uri.starts_with("models:/") {
        problems
            .error(
                node.span(),
                format!(
                    "`model_uri` names no model of a registry: {}",
                    quoted_node(node.node())
                ),
            )
            .help("write `models:/NAME/VERSION`, or give `model_server_url`");
        return Address::Wrong;
    }
    let why = if written.tracking_uri.is_some() {
        "asking the tracking server where a model is served is not supported yet"
    } else {
        "no tracking server is configured that could say where it is served"
    };
    problems
        .warning(
            node.span(),
            format!("{} cannot be reached: {why}", quoted_node(node.node())),
        )
        .label("calls to it will be answered with 503")
        .help("serve it with `mlflow models serve` and give its address as `model_server_url`");
    Address::Unresolved(format!("the model {uri} cannot be reached: {why}").into())
}

pub(crate) fn endpoints(
    kind: &Kind,
    base: &Base,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> Vec<Endpoint> {
    report_secret_parameters(written, at, problems);
    let paths = at.key("paths");
    let mut endpoints = Vec::new();
    for (task, key, path) in [
        (Task::Chat, "chat", &written.paths.chat),
        (Task::Completions, "completions", &written.paths.completions),
        (Task::Embeddings, "embeddings", &written.paths.embeddings),
        (Task::Rerank, "rerank", &written.paths.rerank),
        (Task::Images, "images", &written.paths.images),
        (Task::Speech, "speech", &written.paths.speech),
        (
            Task::Transcriptions,
            "transcriptions",
            &written.paths.transcriptions,
        ),
        (Task::Moderations, "moderations", &written.paths.moderations),
        (Task::Realtime, "realtime", &written.paths.realtime),
        (Task::Predict, "predict", &written.paths.predict),
    ] {
        let mut known: Vec<KindEndpoint> = kind.serving(task).copied().collect();
        if known.is_empty() && path.is_some() {
            known.extend(usual_endpoint(task));
        }
        if known.is_empty() && path.is_some() {
            problems
                .error(
                    paths.key(key).key_span(),
                    format!("a provider of this kind has no `{key}`"),
                )
                .help("a `custom` provider with `dialect: mlflow` serves `predict`");
        }
        for (index, endpoint) in known.iter().enumerate() {
            // A path that the operator gives is that of the usual endpoint.
            let path = path.as_deref().filter(|_| index == 0);
            let place = match path {
                Some(_) => paths.key(key),
                None => at.key("base_url"),
            };
            let finish = |text: String| {
                finish_uri(&text, written)
                    .map_err(|why| (place, format!("this address cannot be used: {why}")))
            };
            let usual = || finish(base.with_usual_path(kind, endpoint.path));
            let uri = path.map_or_else(usual, |path| finish(base.with_path(path)));
            let stream_path = (task == Task::Chat && index == 0)
                .then_some(written.paths.chat_stream.as_deref())
                .flatten();
            let stream_uri = match (stream_path, endpoint.stream_path) {
                (Some(path), Some(_)) => Some(finish(base.with_path(path))),
                (None, Some(path)) => Some(finish(base.with_usual_path(kind, path))),
                (_, None) => None,
            };
            match uri.and_then(|uri| Ok((uri, stream_uri.transpose()?))) {
                Ok((uri, stream_uri)) => endpoints.push(Endpoint {
                    task,
                    dialect: endpoint.dialect,
                    uri,
                    stream_uri,
                    models: endpoint.models,
                    fields: endpoint.fields,
                    model: body_model(kind, endpoint, written),
                    envelope: endpoint.envelope,
                }),
                Err((place, why)) => {
                    problems.error(place.span(), why);
                }
            }
        }
    }
    endpoints.extend(plain_endpoint(base, written, at, problems));
    if !has_responses(kind, written) {
        endpoints.retain(|endpoint| endpoint.dialect != Dialect::OpenaiResponses);
    }
    endpoints
}

/// Where plain HTTP goes: what all addresses of the provider begin with.
fn plain_endpoint(
    base: &Base,
    written: &written::Provider,
    at: At<'_>,
    problems: &mut Problems,
) -> Option<Endpoint> {
    match finish_uri(&base.with_path(""), written) {
        Ok(uri) => Some(Endpoint {
            task: Task::Http,
            // No language; like this one it passes as it is.
            dialect: Dialect::OpenaiMedia,
            uri,
            stream_uri: None,
            models: Models::Others,
            fields: &[],
            model: BodyModel::Unnamed,
            envelope: Envelope::Plain,
        }),
        Err(why) => {
            problems.error(
                at.key("base_url").span(),
                format!("this address cannot be used: {why}"),
            );
            None
        }
    }
}

/// What the bodies of an endpoint call the model.
fn body_model(kind: &Kind, endpoint: &KindEndpoint, written: &written::Provider) -> BodyModel {
    let named = written.model_in_body.unwrap_or(kind.quirks.model_in_body);
    match &written.deployment {
        Some(deployment) if endpoint.names_model => BodyModel::Fixed(deployment.as_str().into()),
        _ if named || endpoint.names_model => BodyModel::Asked,
        _ => BodyModel::Unnamed,
    }
}

/// Whether a provider has responses if its kind does: Azure has them since this version, whose names are days
/// (<https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses>, read 2026-11).
fn has_responses(kind: &Kind, written: &written::Provider) -> bool {
    const SINCE: &str = "2025-03-01";
    let version = written.api_version.as_deref().unwrap_or_default();
    let is_deployments = written.api_version.is_some() || written.deployment.is_some();
    kind.name != "azure" || !is_deployments || version >= SINCE
}

/// Addresses are shown in logs, so that credentials must not be part of them.
fn report_secret_parameters(written: &written::Provider, at: At<'_>, problems: &mut Problems) {
    let names = written
        .query
        .keys()
        .filter(|name| secrets::is_secret_key(name));
    for name in names {
        problems
            .error(
                at.key("query").key(name).key_span(),
                format!(
                    "the query parameter {} looks like a credential",
                    quoted(name)
                ),
            )
            .help(format!(
                "give it as `api_key`, with `auth: {{query: {name}}}`"
            ));
    }
}

/// What a host with OpenAI's API has beside what its kind's row lists. Documents are put in order as Cohere does.
fn usual_endpoint(task: Task) -> Option<KindEndpoint> {
    ["openai", "cohere"]
        .into_iter()
        .filter_map(find)
        .find_map(|kind| kind.serving(task).next())
        .copied()
}

pub(crate) fn unresolved_endpoints(kind: &Kind) -> Vec<Endpoint> {
    let endpoints = kind.endpoints.iter().map(|endpoint| Endpoint {
        task: endpoint.task,
        dialect: endpoint.dialect,
        uri: Uri::from_static("http://unresolved.invalid/invocations"),
        stream_uri: None,
        models: endpoint.models,
        fields: endpoint.fields,
        model: BodyModel::Asked,
        envelope: endpoint.envelope,
    });
    endpoints.collect()
}

/// Adds the query and the deployment, and leaves a place for the model.
fn finish_uri(text: &str, written: &written::Provider) -> Result<Uri, String> {
    let model = written
        .deployment
        .as_deref()
        .map_or_else(|| "%7Bmodel%7D".to_owned(), percent_encode);
    let mut text = text
        .replace("{model}", &model)
        .replace("{operation}", "%7Boperation%7D");
    for (place, given) in [
        ("{project}", &written.project),
        ("{location}", &written.location),
    ] {
        if let Some(given) = given {
            text = text.replace(place, given.trim());
        }
    }
    if let Some(name) = secrets::secret_parameter(&text) {
        return Err(format!(
            "its parameter `{name}` looks like a credential, which belongs under `api_key`, with `auth: {{query: {name}}}`"
        ));
    }
    let version = written
        .api_version
        .as_ref()
        .map(|version| ("api-version", version.as_str()));
    let query = written
        .query
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in version.into_iter().chain(query) {
        text = without_parameter(text, name);
        let separator = if text.contains('?') { '&' } else { '?' };
        text.push(separator);
        text.push_str(&percent_encode(name));
        text.push('=');
        text.push_str(&percent_encode(value));
    }
    text.parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())
}

/// An address without a parameter of its kind's that the operator gives.
fn without_parameter(text: String, name: &str) -> String {
    let Some((path, query)) = text.split_once('?') else {
        return text;
    };
    let kept = query.split('&');
    let kept = kept.filter(|pair| pair.split('=').next() != Some(name));
    let kept: Vec<&str> = kept.collect();
    match kept.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", kept.join("&")),
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vertex_ai_is_where_its_location_says() {
        for (location, host) in [
            ("global", "https://aiplatform.googleapis.com"),
            (
                "us-central1",
                "https://us-central1-aiplatform.googleapis.com",
            ),
            ("eu", "https://aiplatform.eu.rep.googleapis.com"),
        ] {
            let written = written::Provider {
                project: Some("p-1".to_owned()),
                location: Some(location.to_owned()),
                ..written::Provider::default()
            };
            let Address::At(base) = vertex(&written) else {
                panic!("no address for {location}");
            };
            let kind = find("vertex").expect("known");
            let endpoints = kind.serving(Task::Chat);
            let paths = endpoints.map(|endpoint| base.with_usual_path(kind, endpoint.path));
            let uris = paths.map(|path| finish_uri(&path, &written).expect("a URI").to_string());
            let place = format!("{host}/v1/projects/p-1/locations/{location}/publishers");
            let expected = [
                format!("{place}/google/models/%7Bmodel%7D:generateContent"),
                format!("{place}/anthropic/models/%7Bmodel%7D:rawPredict"),
            ];
            assert_eq!(uris.collect::<Vec<_>>(), expected);
        }
    }
}
