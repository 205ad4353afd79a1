//! The step that fills a route's prompt in and puts it in the place of what the caller sent.

mod geminis;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, Limits, Task};

use crate::{
    address::Errand,
    prompts::{PromptProblem, Rendered, Turn},
    question::Question,
    refusal::Refusal,
};

/// Fields that providers know, and that therefore stay in the body where a template reads them too. Whatever else a
/// template reads was meant for it alone.
const PROVIDERS_FIELDS: &[&str] = &[
    "contents",
    "frequency_penalty",
    "generationConfig",
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
    "systemInstruction",
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
    if question.errand == Errand::CountTokens {
        return Ok(()); // refused when it is written: nobody counts a prompt that the caller does not see
    }
    let mut body: Map<String, Value> =
        serde_json::from_slice(question.body()).map_err(|error| {
            Refusal::BodyInvalid(tollgate_dialects::ReadError::Json(error.to_string()))
        })?;
    if question.dialect == Dialect::OpenaiResponses {
        // Templates know the conversation by one name.
        let messages = input_messages(body.shift_remove("input"));
        body.insert("messages".to_owned(), messages);
    }
    let rendered = if question.dialect == Dialect::GeminiGenerate {
        template.render(&geminis::as_templates_know_it(&body))
    } else {
        template.render(&body)
    };
    let rendered = rendered.map_err(refusal_of)?;
    match (route.route.task, rendered) {
        (Task::Completions, Rendered::Text(text)) => {
            body.insert("prompt".to_owned(), Value::String(text));
        }
        (_, rendered) if question.dialect == Dialect::GeminiGenerate => {
            geminis::put(rendered, &mut body);
        }
        (_, rendered) => {
            let text_kind = match question.dialect {
                Dialect::OpenaiResponses => "input_text",
                _ => "text",
            };
            let mut messages = messages(rendered, body.get("messages"), text_kind);
            if question.dialect == Dialect::AnthropicMessages {
                lift_system(&mut messages, &mut body);
            }
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

/// Puts system messages at the beginning where Anthropic's language has them: into `system`, before what the caller has there.
fn lift_system(messages: &mut Vec<Value>, body: &mut Map<String, Value>) {
    let is_system = |message: &Value| message["role"] == "system" || message["role"] == "developer";
    let first_turn = messages.iter().position(|message| !is_system(message));
    let lifted = messages.drain(..first_turn.unwrap_or(messages.len()));
    let mut system: Vec<Value> = lifted
        .flat_map(|mut message| blocks(message["content"].take()))
        .collect();
    if system.is_empty() {
        return;
    }
    system.extend(body.remove("system").into_iter().flat_map(blocks));
    body.insert("system".to_owned(), Value::Array(system));
}

/// Content as a list of blocks.
fn blocks(content: Value) -> Vec<Value> {
    match content {
        Value::Null => Vec::new(),
        Value::Array(blocks) => blocks,
        text => vec![json!({"type": "text", "text": text})],
    }
}

fn user_message(text: String, sent: &[Value], text_kind: &str) -> Value {
    let is_text = |part: &&Value| {
        part["type"] == text_kind || part["type"] == "tool_result" || part["type"] == "tool_use"
    };
    let of_user = |field: &'static str| {
        let messages = sent.iter().filter(|message| message["role"] == "user");
        messages
            .filter_map(move |message| message[field].as_array())
            .flatten()
            .cloned()
    };
    let attached: Vec<Value> = of_user("content").filter(|part| !is_text(&part)).collect();
    let mut message = if attached.is_empty() {
        json!({"role": "user", "content": text})
    } else {
        let mut content = vec![json!({"type": text_kind, "text": text})];
        content.extend(attached);
        json!({"role": "user", "content": content})
    };
    // Ollama's clients have their pictures beside the text.
    let pictures: Vec<Value> = of_user("images").collect();
    if !pictures.is_empty() {
        message["images"] = Value::Array(pictures);
    }
    message
}

fn refusal_of(problem: PromptProblem) -> Refusal {
    match problem {
        PromptProblem::Missing(names) => Refusal::VariablesMissing { names },
        other => Refusal::PromptFailed {
            problem: other.to_string(),
        },
    }
}
