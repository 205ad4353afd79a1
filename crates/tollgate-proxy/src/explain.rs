//! What a call would become: the same steps as in `flow.rs`, told instead of done. Nothing is sent, nothing is counted.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tollgate_domain::{Choice, Dialect};
use tollgate_upstream::Lane;

use crate::{
    address::{self, Errand},
    expand,
    keys::Caller,
    paths::{self, What},
    picture::{CompiledRoute, Picture},
    plain::PlainRequest,
    question::{self, Passes, Question},
    refusal::Refusal,
    upload::Upload,
};

/// Tells which route a request would take, whom it would be put to in which order, and what each of them would be sent. Credentials
/// are masked.
pub fn explain(picture: &Picture, path: &str, body: &Bytes) -> Value {
    match story(picture, path, body) {
        Ok(told) => told,
        Err(refusal) => refused(&refusal),
    }
}

fn story(picture: &Picture, path: &str, body: &Bytes) -> Result<Value, Refusal> {
    let limits = &picture.snapshot.limits;
    let asked = picture.asked(&Method::POST, path);
    if let What::Plain { route, rest } = asked.what {
        return plain_story(picture, asked.pattern, (route, rest), body);
    }
    let mut aside = None;
    let (dialect, head, route) = match asked.what {
        What::CallByModel(dialect) | What::SideCall { dialect, .. } => {
            if let What::SideCall { side, .. } = asked.what {
                aside = Some(side);
            }
            let head = question::scan(dialect, body, limits)?;
            let model = head.model.clone().ok_or(Refusal::ModelMissing)?;
            let route = picture.route_of_call(&model, dialect, &Caller::Anyone)?;
            (dialect, head, route)
        }
        What::Media { task, .. } => {
            let head = question::scan(Dialect::OpenaiMedia, body, limits)?;
            let model = head.model.clone().ok_or(Refusal::ModelMissing)?;
            let route = picture.route_or_direct(&model, task, &Caller::Anyone)?;
            (Dialect::OpenaiMedia, head, route)
        }
        What::CallAt {
            dialect,
            name,
            stream,
        } => {
            let mut head = question::scan(dialect, body, limits)?;
            head.stream = stream.unwrap_or(head.stream);
            let name = paths::decoded(name);
            let route = picture.route_or_direct(&name, dialect.task(), &Caller::Anyone)?;
            (dialect, head, route)
        }
        What::CallByName(name) => {
            let route = picture.route(name, &Caller::Anyone)?;
            let dialect = address::dialect_of(route.route.task);
            (dialect, question::scan(dialect, body, limits)?, route)
        }
        What::WrongMethod(wanted) => return Err(Refusal::WrongMethod { wanted }),
        _ => {
            return Err(Refusal::UnknownPath {
                path: path.to_owned(),
            });
        }
    };
    let mut question = match asked.what {
        What::Media { operation, .. } => {
            Question::media(operation, head, Upload::of(body.clone()), route)
        }
        _ => Question::new(dialect, head, body.clone(), route, Errand::Answer).asking(aside),
    };
    expand::expand(&mut question, limits)?;
    let plan = question.route().tree.plan(None);
    let targets: Vec<Value> = plan
        .iter()
        .map(|lane| target(&question, lane, limits))
        .collect();
    Ok(json!({
        "revision": picture.snapshot.revision.as_str(),
        "path": asked.pattern,
        "client_dialect": dialect.as_str(),
        "route": route_of(question.route()),
        "stream": question.head.stream,
        "plan": targets,
    }))
}

/// The same of a request that is passed on as it is.
fn plain_story(
    picture: &Picture,
    pattern: &str,
    (name, rest): (&str, &str),
    body: &Bytes,
) -> Result<Value, Refusal> {
    let route = picture.route(name, &Caller::Anyone)?;
    let request = PlainRequest::new(&Method::POST, rest, None, &route.route)?;
    let question = Question::plain_http(request, body.clone(), route);
    let plan = question.route().tree.plan(None);
    let limits = &picture.snapshot.limits;
    let targets = plan.iter().map(|lane| target(&question, lane, limits));
    Ok(json!({
        "revision": picture.snapshot.revision.as_str(),
        "path": pattern,
        "route": route_of(question.route()),
        "stream": false,
        "plan": targets.collect::<Vec<Value>>(),
    }))
}

fn route_of(compiled: &CompiledRoute) -> Value {
    let route = &compiled.route;
    let weights: Vec<Value> = route
        .strategy
        .choices()
        .iter()
        .map(|choice| match choice {
            Choice::Target(target) => {
                let tags: Vec<&str> = target.tags.iter().map(|tag| &**tag).collect();
                json!({"target": target.name.as_str(), "weight": target.weight, "tags": tags})
            }
            Choice::Nested { weight, strategy } => {
                json!({"strategy": strategy.as_str(), "weight": weight})
            }
        })
        .collect();
    json!({
        "name": route.name.as_str(),
        "route_type": route.task.as_str(),
        "strategy": route.strategy.as_str(),
        "models": weights,
        "prompt_template": compiled.template.is_some(),
        "drop_unsupported": route.drop_unsupported,
    })
}

fn target(question: &Question, lane: &Lane, limits: &tollgate_domain::Limits) -> Value {
    let forwarded = HeaderMap::new();
    let outgoing = match question.write_for(lane, &forwarded, limits) {
        Ok(outgoing) => outgoing,
        Err(refusal) => {
            return json!({"target": lane.name().as_str(), "refused": refused(&refusal)});
        }
    };
    if let Some(text) = lane.unresolved() {
        return json!({"target": lane.name().as_str(), "refused": refused(&Refusal::Unresolved { text: text.to_string() })});
    }
    let request = lane.masked_request(&outgoing.endpoint, outgoing.streams, &forwarded);
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                if value.is_sensitive() {
                    json!("***")
                } else {
                    json!(value.to_str().unwrap_or("***"))
                },
            )
        })
        .collect();
    let timeouts = &lane.provider().timeouts;
    json!({
        "target": lane.name().as_str(),
        "dialect": outgoing.endpoint.dialect.as_str(),
        "body": if outgoing.passes == Passes::Through { "passes through" } else { "translated" },
        "dropped": outgoing.dropped,
        "timeouts_seconds": {
            "connect": seconds(timeouts.connect),
            "first_token": seconds(timeouts.first_token),
            "idle": seconds(timeouts.idle),
            "whole": seconds(timeouts.whole),
        },
        "request": {
            "method": "POST",
            "url": request.uri.to_string(),
            "headers": headers,
            "body": serde_json::from_slice::<Value>(&outgoing.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&outgoing.body))),
        },
    })
}

fn refused(refusal: &Refusal) -> Value {
    json!({"status": refusal.status(), "code": refusal.code(), "message": refusal.detail()})
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
