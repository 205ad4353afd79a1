//! Prompt templates of routes: their form, and whether they compile.

use std::sync::Arc;

use tollgate_domain::{Prompt, PromptMessage, Task};

use super::Context;
use crate::config::{
    diagnostics::Problems,
    tree::{At, Content, Filled, TextStyle},
    written::{PromptItem, PromptTemplate},
};

/// Resolves a route's template; `None` when there is a mistake in it.
pub(crate) fn resolve(
    written: &PromptTemplate,
    task: Task,
    at: At<'_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Prompt> {
    if !matches!(task, Task::Chat | Task::Completions) {
        problems
            .error(
                at.key_span(),
                format!("a route of type `{}` takes no template", task.as_str()),
            )
            .help("templates are for `llm/v1/chat` and `llm/v1/completions`");
        return None;
    }
    match written {
        PromptTemplate::Text(text) => {
            compile(text, at, context, problems).then(|| Prompt::Text(text.as_str().into()))
        }
        PromptTemplate::Messages(_) if task == Task::Completions => {
            problems
                .error(
                    at.key_span(),
                    "a completion's template is one text, not a list of messages",
                )
                .help("write `prompt_template: |` and the text below it");
            None
        }
        PromptTemplate::Messages(items) => messages(items, at, context, problems),
    }
}

fn messages(
    items: &[PromptItem],
    at: At<'_>,
    context: &Context<'_>,
    problems: &mut Problems,
) -> Option<Prompt> {
    let mut messages = Vec::new();
    let mut whole = true;
    for (index, item) in items.iter().enumerate() {
        let at = at.item(index);
        match item {
            PromptItem::Callers(text) if is_callers_messages(text) => {
                messages.push(PromptMessage::CallersMessages);
            }
            PromptItem::Callers(_) => {
                problems
                    .error(at.span(), "a text among messages can only be the caller's messages")
                    .help(
                        "write `\"{{ input.messages }}\"`, or a message: `{role: user, content: …}`",
                    );
                whole = false;
            }
            PromptItem::Message(message) => {
                let (Some(role), Some(content)) = (message.role, &message.content) else {
                    whole = false;
                    continue;
                };
                whole &= compile(content, at.key("content"), context, problems);
                messages.push(PromptMessage::Templated {
                    role: role.as_str().into(),
                    content: Arc::from(content.as_str()),
                });
            }
        }
    }
    if items.is_empty() {
        problems.error(at.key_span(), "the template has no messages");
        whole = false;
    }
    whole.then_some(Prompt::Messages(messages))
}

fn is_callers_messages(text: &str) -> bool {
    let inside = text
        .trim()
        .strip_prefix("{{")
        .and_then(|rest| rest.strip_suffix("}}"));
    inside.is_some_and(|inside| inside.trim() == "input.messages")
}

/// Whether a template compiles; says where it does not.
fn compile(text: &str, at: At<'_>, context: &Context<'_>, problems: &mut Problems) -> bool {
    let Err(mistake) = (context.check_template)(text) else {
        return true;
    };
    let (line, message) = (mistake.line, mistake.message);
    let Content::Text(written) = &at.node().content else {
        return true;
    };
    let problem = problems
        .error(
            at.node().span.clone(),
            format!("the template cannot be compiled: {message}"),
        )
        .help("templates are Jinja2; the caller's request is `input`, as in `{{ input.text }}`");
    match (written.filled, written.style) {
        (Filled::No, TextStyle::Block) => problem.at_block_line(line),
        (Filled::No, TextStyle::Inline) => problem,
        (Filled::Yes, _) => problem.label(format!("in line {line} of the template")),
    };
    false
}
