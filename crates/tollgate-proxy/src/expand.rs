//! The step that fills a route's prompt in and puts it in the place of what the caller sent.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Limits, Task};

use crate::{
    prompts::{PromptProblem, Rendered, Turn},
    question::Question,
    refusal::Refusal,
};

/// Fields that providers know, and that therefore stay in the body where a template reads them too. Whatever else a
/// template reads was meant for it alone.
const PROVIDERS_FIELDS: &[&str] = &[
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "n",
    "presence_penalty",
    "prompt",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "stop_sequences",
    "stream",
    "stream_options",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user",
];

/// Fills the route's prompt in, if it has one.
///
/// # Errors
/// When the prompt wants what the call does not give, or becomes too large.
pub(crate) fn expand(question: &mut Question, limits: &Limits) -> Result<(), Refusal> {
    let route = std::sync::Arc::clone(question.route());
    let Some(template) = &route.template else {
        return Ok(());
    };
    let mut body: Map<String, Value> =
        serde_json::from_slice(question.body()).map_err(|error| {
            Refusal::BodyInvalid(tollgate_dialects::ReadError::Json(error.to_string()))
        })?;
    if question.dialect == Dialect::OpenaiResponses {
        // Templates know the conversation by one name.
        let messages = input_messages(body.shift_remove("input"));
        body.insert("messages".to_owned(), messages);
    }
    let rendered = template.render(&body).map_err(refusal_of)?;
    match (route.route.task, rendered) {
        (Task::Completions, Rendered::Text(text)) => {
            body.insert("prompt".to_owned(), Value::String(text));
        }
        (_, rendered) => {
            let text_kind = match question.dialect {
                Dialect::OpenaiResponses => "input_text",
                _ => "text",
            };
            let messages = messages(rendered, body.get("messages"), text_kind);
            body.insert("messages".to_owned(), Value::Array(messages));
        }
    }
    for variable in template.variables() {
        if !PROVIDERS_FIELDS.contains(&variable.as_str()) {
            body.remove(variable);
        }
    }
    if question.dialect == Dialect::OpenaiResponses {
        let messages = body.shift_remove("messages").unwrap_or_default();
        body.insert("input".to_owned(), messages);
    }
    question.replace_body(Bytes::from(Value::Object(body).to_string()), limits)
}

/// The items of a call of responses, as a list.
fn input_messages(input: Option<Value>) -> Value {
    match input {
        Some(Value::String(text)) => json!([{"role": "user", "content": text}]),
        Some(items) => items,
        None => json!([]),
    }
}

/// The messages that the prompt gives. Pictures and the like that the caller sent go along with the last message of the
/// user, as a text cannot hold them.
fn messages(rendered: Rendered, sent: Option<&Value>, text_kind: &str) -> Vec<Value> {
    let sent: &[Value] = sent.and_then(Value::as_array).map_or(&[], Vec::as_slice);
    match rendered {
        Rendered::Text(text) => vec![user_message(text, sent, text_kind)],
        Rendered::Messages(turns) => turns
            .into_iter()
            .flat_map(|turn| match turn {
                Turn::Said { role, content } => vec![json!({"role": role, "content": content})],
                Turn::CallersMessages => sent.to_vec(),
            })
            .collect(),
    }
}

fn user_message(text: String, sent: &[Value], text_kind: &str) -> Value {
    let is_text = |part: &&Value| {
        part["type"] == text_kind || part["type"] == "tool_result" || part["type"] == "tool_use"
    };
    let attached: Vec<Value> = sent
        .iter()
        .filter(|message| message["role"] == "user")
        .filter_map(|message| message["content"].as_array())
        .flatten()
        .filter(|part| !is_text(part))
        .cloned()
        .collect();
    if attached.is_empty() {
        return json!({"role": "user", "content": text});
    }
    let mut content = vec![json!({"type": text_kind, "text": text})];
    content.extend(attached);
    json!({"role": "user", "content": content})
}

fn refusal_of(problem: PromptProblem) -> Refusal {
    match problem {
        PromptProblem::Missing(names) => Refusal::VariablesMissing { names },
        other => Refusal::PromptFailed {
            problem: other.to_string(),
        },
    }
}
