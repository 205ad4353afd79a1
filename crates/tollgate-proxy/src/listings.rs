//! What may be asked for, listed in the ways that the clients' libraries expect.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_domain::{Choice, Route, Strategy, Target, Task};

use crate::{keys::Caller, picture::Picture};

/// `GET /v1/models` of OpenAI.
pub(crate) fn openai_models(picture: &Picture, caller: &Caller) -> Bytes {
    let models: Vec<Value> = names(picture, caller)
        .map(|(name, route)| openai_model(picture, name, route))
        .collect();
    body(&json!({"object": "list", "data": models}))
}

/// `GET /v1/models/{id}` of OpenAI.
pub(crate) fn openai_model_named(picture: &Picture, caller: &Caller, name: &str) -> Option<Bytes> {
    let (name, route) = names(picture, caller).find(|(known, _)| *known == name)?;
    Some(body(&openai_model(picture, name, route)))
}

/// `GET /v1/models` of Anthropic (<https://docs.anthropic.com/en/api/models-list>, read 2026-11).
pub(crate) fn anthropic_models(picture: &Picture, caller: &Caller) -> Bytes {
    let models: Vec<Value> = names(picture, caller)
        .map(|(name, _)| anthropic_model(picture, name))
        .collect();
    let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
    body(
        &json!({"first_id": id(models.first()), "last_id": id(models.last()), "has_more": false, "data": models}),
    )
}

/// `GET /v1/models/{id}` of Anthropic.
pub(crate) fn anthropic_model_named(
    picture: &Picture,
    caller: &Caller,
    name: &str,
) -> Option<Bytes> {
    let (name, _) = names(picture, caller).find(|(known, _)| *known == name)?;
    Some(body(&anthropic_model(picture, name)))
}

/// The version of Ollama's API that is spoken, which clients ask for to know what they may send: the first with
/// log-probabilities (<https://github.com/ollama/ollama/releases>, read 2026-11).
const OLLAMA_VERSION: &str = "0.12.11";

/// `GET /api/version` of Ollama.
pub(crate) fn ollama_version() -> Bytes {
    body(&json!({"version": OLLAMA_VERSION}))
}

/// `GET /api/ps` of Ollama (<https://docs.ollama.com/api/ps>, read 2026-11): no model is held in the gateway's memory.
pub(crate) fn ollama_running() -> Bytes {
    body(&json!({"models": []}))
}

/// `GET /api/tags` of Ollama (<https://docs.ollama.com/api/tags>, read 2026-11).
pub(crate) fn ollama_models(picture: &Picture, caller: &Caller) -> Bytes {
    let models: Vec<Value> = names(picture, caller)
        .map(|(name, route)| {
            json!({
                "name": name,
                "model": name,
                "modified_at": made_at(picture),
                "size": 0,
                // Ollama's own command shows a piece of it.
                "digest": "0".repeat(64),
                "details": ollama_details(route),
            })
        })
        .collect();
    body(&json!({"models": models}))
}

/// `POST /api/show` of Ollama (<https://docs.ollama.com/api-reference/show-model-details>, read 2026-11). What a target can do beyond
/// its route's task, nobody has told the gateway: that tools go over to every chat is all that is known.
pub(crate) fn ollama_model_named(picture: &Picture, caller: &Caller, name: &str) -> Option<Bytes> {
    let (_, route) = names(picture, caller).find(|(known, _)| *known == name)?;
    let capabilities: &[&str] = match route.task {
        Task::Chat => &["completion", "tools"],
        Task::Completions => &["completion"],
        Task::Embeddings => &["embedding"],
        Task::Rerank
        | Task::Images
        | Task::Speech
        | Task::Transcriptions
        | Task::Moderations
        | Task::Realtime
        | Task::Predict
        | Task::Http => &[],
    };
    Some(body(&json!({
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": ollama_details(route),
        "model_info": {},
        "capabilities": capabilities,
        "modified_at": made_at(picture),
    })))
}

fn ollama_details(route: &Route) -> Value {
    let family = first_target(&route.strategy).map_or("", |target| target.provider.as_str());
    json!({
        "parent_model": "",
        "format": "",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    })
}

/// `GET /api/2.0/endpoints/` of MLflow: one page, as its own pages hold 3,000.
pub(crate) fn mlflow_endpoints(picture: &Picture, caller: &Caller) -> Bytes {
    let endpoints: Vec<Value> = picture
        .routes_for(caller)
        .map(|route| mlflow_endpoint(route))
        .collect();
    body(&json!({"endpoints": endpoints, "next_page_token": null}))
}

/// `GET /api/2.0/endpoints/{name}` of MLflow.
pub(crate) fn mlflow_endpoint_named(
    picture: &Picture,
    caller: &Caller,
    name: &str,
) -> Option<Bytes> {
    let (_, route) = names(picture, caller).find(|(known, _)| *known == name)?;
    Some(body(&mlflow_endpoint(route)))
}

/// `GET /api/2.0/gateway/routes/` of MLflow before 2.9.
pub(crate) fn mlflow_legacy_routes(picture: &Picture, caller: &Caller) -> Bytes {
    let routes: Vec<Value> = picture
        .routes_for(caller)
        .map(|route| mlflow_legacy_route(route))
        .collect();
    body(&json!({"routes": routes, "next_page_token": null}))
}

/// `GET /api/2.0/gateway/routes/{name}` of MLflow before 2.9.
pub(crate) fn mlflow_legacy_route_named(
    picture: &Picture,
    caller: &Caller,
    name: &str,
) -> Option<Bytes> {
    let (_, route) = names(picture, caller).find(|(known, _)| *known == name)?;
    Some(body(&mlflow_legacy_route(route)))
}

/// Every name that a caller may write into `model`, aliases too.
fn names<'a>(
    picture: &'a Picture,
    caller: &'a Caller,
) -> impl Iterator<Item = (&'a str, &'a Route)> {
    picture.routes_for(caller).flat_map(|route| {
        let names = std::iter::once(&route.name).chain(&route.aliases);
        names.map(move |name| (name.as_str(), route.as_ref()))
    })
}

fn openai_model(picture: &Picture, name: &str, route: &Route) -> Value {
    let owner = first_target(&route.strategy).map_or("tollgate", |target| target.provider.as_str());
    json!({"id": name, "object": "model", "created": picture.snapshot.made_at.as_secs(), "owned_by": owner})
}

fn anthropic_model(picture: &Picture, name: &str) -> Value {
    json!({"type": "model", "id": name, "display_name": name, "created_at": made_at(picture)})
}

fn made_at(picture: &Picture) -> String {
    let seconds = i64::try_from(picture.snapshot.made_at.as_secs()).unwrap_or(0);
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

fn mlflow_endpoint(route: &Route) -> Value {
    json!({
        "name": route.name,
        "endpoint_type": route.task.as_str(),
        "model": mlflow_model(route),
        "endpoint_url": format!("/gateway/{}/invocations", route.name),
        "limit": null,
    })
}

fn mlflow_legacy_route(route: &Route) -> Value {
    json!({
        "name": route.name,
        "route_type": route.task.as_str(),
        "model": mlflow_model(route),
        "route_url": format!("/gateway/{}/invocations", route.name),
        "limit": null,
    })
}

fn mlflow_model(route: &Route) -> Value {
    match first_target(&route.strategy) {
        Some(target) => json!({"name": target.model, "provider": target.provider}),
        None => json!({"name": null, "provider": null}),
    }
}

fn first_target(strategy: &Strategy) -> Option<&Target> {
    strategy.choices().iter().find_map(|choice| match choice {
        Choice::Target(target) => Some(target.as_ref()),
        Choice::Nested { strategy, .. } => first_target(strategy),
    })
}

fn body(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

/// `GET /v1beta/models` of Gemini (<https://ai.google.dev/api/models>, read 2026-11).
pub(crate) fn gemini_models(picture: &Picture, caller: &Caller) -> Bytes {
    let models: Vec<Value> = names(picture, caller)
        .map(|(name, route)| gemini_model(name, route))
        .collect();
    body(&json!({"models": models}))
}

/// `GET /v1beta/models/{id}` of Gemini.
pub(crate) fn gemini_model_named(picture: &Picture, caller: &Caller, name: &str) -> Option<Bytes> {
    let (name, route) = names(picture, caller).find(|(known, _)| *known == name)?;
    Some(body(&gemini_model(name, route)))
}

fn gemini_model(name: &str, route: &Route) -> Value {
    let methods: &[&str] = match route.task {
        Task::Chat => &["generateContent", "streamGenerateContent", "countTokens"],
        Task::Embeddings => &["embedContent", "batchEmbedContents"],
        _ => &[],
    };
    json!({
        "name": format!("models/{name}"),
        "version": "1",
        "displayName": name,
        "supportedGenerationMethods": methods,
    })
}
