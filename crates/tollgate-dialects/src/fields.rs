//! The table of what a target dialect cannot express, and what is done about it.
//!
//! Readers and writers carry everything else over. A writer that meets a field it cannot write asks [`Gaps`];
//! the documentation's table and the tests are made from [`rules`].

use serde::Serialize;
use tollgate_domain::Dialect;

use crate::Unsupported;

/// What is done with a field that a target cannot express as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Policy {
    /// Written in another form, as described, with nothing said about it.
    Mapped(&'static str),
    /// Left out, and named in the `x-tollgate-dropped` header: a hint, which changes no answer's meaning.
    Dropped(&'static str),
    /// Refused with a 400 that names it, or left out and named in the header where the route says `drop_unsupported`.
    Refused(&'static str),
}

/// One row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rule {
    /// The client's dialect.
    pub from: Dialect,
    /// The field's name in that dialect.
    pub field: &'static str,
    /// The provider's dialect.
    pub to: Dialect,
    /// What is done.
    pub policy: Policy,
}

/// The whole table.
pub fn rules() -> &'static [Rule] {
    RULES
}

use Dialect::{AnthropicMessages, MlflowServing, OpenaiChat, OpenaiCompletions, OpenaiEmbeddings};
use Policy::{Dropped, Mapped, Refused};

const fn rule(from: Dialect, field: &'static str, to: Dialect, policy: Policy) -> Rule {
    Rule {
        from,
        field,
        to,
        policy,
    }
}

const NO_PLACE: &str = "has no place there";
const HINT: &str = "a hint to the provider, which has none such there";
const OTHERS_TOOL: &str = "runs at the client's own provider";

const RULES: &[Rule] = &[
    // OpenAI's chat to Anthropic's messages.
    rule(
        OpenaiChat,
        "messages.system",
        AnthropicMessages,
        Mapped("system messages within the conversation join the others at its head"),
    ),
    rule(
        OpenaiChat,
        "max_tokens",
        AnthropicMessages,
        Mapped("8,192 (4,096 for older models) where it is not given, as Anthropic wants one"),
    ),
    rule(
        OpenaiChat,
        "response_format",
        AnthropicMessages,
        Mapped(
            "a schema becomes `output_config.format`; `json_object` becomes an instruction; name and strictness have no place",
        ),
    ),
    rule(
        OpenaiChat,
        "stop",
        AnthropicMessages,
        Mapped("`stop_sequences`"),
    ),
    rule(
        OpenaiChat,
        "user",
        AnthropicMessages,
        Mapped("`metadata.user_id`"),
    ),
    rule(
        OpenaiChat,
        "parallel_tool_calls",
        AnthropicMessages,
        Mapped(
            "`false` becomes `tool_choice.disable_parallel_tool_use`; `true` is what Anthropic does anyway",
        ),
    ),
    rule(
        OpenaiChat,
        "tool_choice",
        AnthropicMessages,
        Refused("a choice among some tools has no place there"),
    ),
    rule(
        OpenaiChat,
        "messages.name",
        AnthropicMessages,
        Dropped(NO_PLACE),
    ),
    rule(
        OpenaiChat,
        "messages.annotations",
        AnthropicMessages,
        Dropped("what was cited before means nothing to another provider"),
    ),
    rule(
        OpenaiChat,
        "messages.reasoning_content",
        AnthropicMessages,
        Dropped("reasoning without Anthropic's signature is refused there"),
    ),
    rule(
        OpenaiChat,
        "messages.audio",
        AnthropicMessages,
        Refused("there is no sound"),
    ),
    rule(
        OpenaiChat,
        "messages.content.image_url",
        AnthropicMessages,
        Refused("the picture was uploaded to another provider"),
    ),
    rule(
        OpenaiChat,
        "messages.content.image_url.detail",
        AnthropicMessages,
        Dropped(HINT),
    ),
    rule(
        OpenaiChat,
        "messages.content.input_audio",
        AnthropicMessages,
        Refused("there is no sound"),
    ),
    rule(
        OpenaiChat,
        "messages.content.file",
        AnthropicMessages,
        Refused("the file was uploaded to another provider"),
    ),
    rule(
        OpenaiChat,
        "messages.content.cache_control",
        AnthropicMessages,
        Dropped(HINT),
    ),
    rule(
        OpenaiChat,
        "messages.tool_calls.custom",
        AnthropicMessages,
        Refused("tools take JSON there"),
    ),
    rule(
        OpenaiChat,
        "messages.tool_calls.function.arguments",
        AnthropicMessages,
        Refused("arguments are JSON objects there, and these are none"),
    ),
    rule(
        OpenaiChat,
        "tools.custom",
        AnthropicMessages,
        Refused("tools take JSON there"),
    ),
    rule(
        OpenaiChat,
        "reasoning_effort",
        AnthropicMessages,
        Dropped(
            "`output_config.effort` where the model knows it, and a hint that is left out where not",
        ),
    ),
    rule(
        OpenaiChat,
        "temperature",
        AnthropicMessages,
        Refused("goes up to 1 there"),
    ),
    rule(
        OpenaiChat,
        "frequency_penalty",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiChat,
        "presence_penalty",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(OpenaiChat, "seed", AnthropicMessages, Refused(NO_PLACE)),
    rule(
        OpenaiChat,
        "n",
        AnthropicMessages,
        Refused("there is one answer"),
    ),
    rule(OpenaiChat, "logprobs", AnthropicMessages, Refused(NO_PLACE)),
    rule(
        OpenaiChat,
        "top_logprobs",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiChat,
        "logit_bias",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiChat,
        "modalities",
        AnthropicMessages,
        Refused("there is text only"),
    ),
    rule(
        OpenaiChat,
        "audio",
        AnthropicMessages,
        Refused("there is no sound"),
    ),
    rule(
        OpenaiChat,
        "web_search_options",
        AnthropicMessages,
        Refused(OTHERS_TOOL),
    ),
    rule(
        OpenaiChat,
        "service_tier",
        AnthropicMessages,
        Dropped("`auto` and `default` are kept; other tiers are a hint that is left out"),
    ),
    rule(OpenaiChat, "metadata", AnthropicMessages, Dropped(HINT)),
    rule(OpenaiChat, "store", AnthropicMessages, Dropped(HINT)),
    rule(OpenaiChat, "prediction", AnthropicMessages, Dropped(HINT)),
    rule(
        OpenaiChat,
        "prompt_cache_key",
        AnthropicMessages,
        Dropped(HINT),
    ),
    rule(
        OpenaiChat,
        "prompt_cache_retention",
        AnthropicMessages,
        Dropped(HINT),
    ),
    rule(
        OpenaiChat,
        "safety_identifier",
        AnthropicMessages,
        Dropped(HINT),
    ),
    rule(
        OpenaiChat,
        "stream_options",
        AnthropicMessages,
        Dropped(HINT),
    ),
    rule(OpenaiChat, "verbosity", AnthropicMessages, Dropped(HINT)),
    // Anthropic's messages to OpenAI's chat.
    rule(
        AnthropicMessages,
        "cache_control",
        OpenaiChat,
        Dropped("caching is the provider's affair there"),
    ),
    rule(
        AnthropicMessages,
        "is_error",
        OpenaiChat,
        Dropped("the tool's text says what went wrong"),
    ),
    rule(
        AnthropicMessages,
        "thinking",
        OpenaiChat,
        Mapped(
            "a budget becomes `reasoning_effort`: low below 4,096 tokens, medium below 16,384, high above",
        ),
    ),
    rule(
        AnthropicMessages,
        "stop_sequences",
        OpenaiChat,
        Mapped("`stop`; the answer does not tell which one was hit"),
    ),
    rule(
        AnthropicMessages,
        "metadata.user_id",
        OpenaiChat,
        Mapped("`user`"),
    ),
    rule(
        AnthropicMessages,
        "output_config.format",
        OpenaiChat,
        Refused("only schemas have a place there"),
    ),
    rule(
        AnthropicMessages,
        "output_config",
        OpenaiChat,
        Dropped(HINT),
    ),
    rule(
        AnthropicMessages,
        "tool_choice",
        OpenaiChat,
        Refused(NO_PLACE),
    ),
    rule(AnthropicMessages, "top_k", OpenaiChat, Refused(NO_PLACE)),
    rule(AnthropicMessages, "metadata", OpenaiChat, Dropped(HINT)),
    rule(
        AnthropicMessages,
        "context_management",
        OpenaiChat,
        Dropped(HINT),
    ),
    rule(
        AnthropicMessages,
        "inference_geo",
        OpenaiChat,
        Refused("a promise that another provider does not make"),
    ),
    rule(
        AnthropicMessages,
        "container",
        OpenaiChat,
        Refused(OTHERS_TOOL),
    ),
    rule(
        AnthropicMessages,
        "mcp_servers",
        OpenaiChat,
        Refused(OTHERS_TOOL),
    ),
    rule(
        AnthropicMessages,
        "messages.content.thinking",
        OpenaiChat,
        Dropped("reasoning signed by another provider means nothing there"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.redacted_thinking",
        OpenaiChat,
        Dropped("reasoning encrypted by another provider means nothing there"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.citations",
        OpenaiChat,
        Dropped("what was cited before means nothing to another provider"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.image.source",
        OpenaiChat,
        Refused("the picture was uploaded to another provider"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.document.source",
        OpenaiChat,
        Refused("documents have to be in place there, as PDF or as text"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.document.context",
        OpenaiChat,
        Dropped(NO_PLACE),
    ),
    rule(
        AnthropicMessages,
        "messages.content.document.citations",
        OpenaiChat,
        Dropped("there are no citations of documents"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.search_result",
        OpenaiChat,
        Refused(NO_PLACE),
    ),
    rule(
        AnthropicMessages,
        "messages.content.server_tool_use",
        OpenaiChat,
        Dropped("what another provider's tools did before is told by the text"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.web_search_tool_result",
        OpenaiChat,
        Dropped("what another provider's tools did before is told by the text"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.web_fetch_tool_result",
        OpenaiChat,
        Dropped("what another provider's tools did before is told by the text"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.code_execution_tool_result",
        OpenaiChat,
        Dropped("what another provider's tools did before is told by the text"),
    ),
    rule(
        AnthropicMessages,
        "messages.content.tool_use.caller",
        OpenaiChat,
        Dropped(HINT),
    ),
    rule(
        AnthropicMessages,
        "tools.eager_input_streaming",
        OpenaiChat,
        Dropped(HINT),
    ),
    rule(
        AnthropicMessages,
        "tools.defer_loading",
        OpenaiChat,
        Dropped(HINT),
    ),
    rule(
        AnthropicMessages,
        "tools.input_examples",
        OpenaiChat,
        Dropped(HINT),
    ),
    rule(
        AnthropicMessages,
        "tools.allowed_callers",
        OpenaiChat,
        Dropped(HINT),
    ),
    // OpenAI's completions to chats: the prompt is the user's only message.
    rule(
        OpenaiCompletions,
        "prompt",
        OpenaiChat,
        Mapped("one text becomes the user's only message; several texts and tokens are refused"),
    ),
    rule(OpenaiCompletions, "suffix", OpenaiChat, Refused(NO_PLACE)),
    rule(OpenaiCompletions, "echo", OpenaiChat, Refused(NO_PLACE)),
    rule(OpenaiCompletions, "best_of", OpenaiChat, Refused(NO_PLACE)),
    rule(
        OpenaiCompletions,
        "logprobs",
        OpenaiChat,
        Refused("told in another form there"),
    ),
    rule(
        OpenaiCompletions,
        "prompt",
        AnthropicMessages,
        Mapped("one text becomes the user's only message; several texts and tokens are refused"),
    ),
    rule(
        OpenaiCompletions,
        "suffix",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "echo",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "best_of",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "logprobs",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "temperature",
        AnthropicMessages,
        Refused("goes up to 1 there"),
    ),
    rule(
        OpenaiCompletions,
        "frequency_penalty",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "presence_penalty",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "seed",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "n",
        AnthropicMessages,
        Refused("there is one answer"),
    ),
    rule(
        OpenaiCompletions,
        "logit_bias",
        AnthropicMessages,
        Refused(NO_PLACE),
    ),
    // To an MLflow scoring server. Chats pass in OpenAI's form.
    rule(
        OpenaiCompletions,
        "prompt",
        MlflowServing,
        Mapped("`inputs`; the other fields become `params`"),
    ),
    rule(
        OpenaiCompletions,
        "suffix",
        MlflowServing,
        Refused(NO_PLACE),
    ),
    rule(OpenaiCompletions, "echo", MlflowServing, Refused(NO_PLACE)),
    rule(
        OpenaiCompletions,
        "best_of",
        MlflowServing,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "frequency_penalty",
        MlflowServing,
        Refused(NO_PLACE),
    ),
    rule(
        OpenaiCompletions,
        "presence_penalty",
        MlflowServing,
        Refused(NO_PLACE),
    ),
    rule(OpenaiCompletions, "seed", MlflowServing, Refused(NO_PLACE)),
    rule(
        OpenaiCompletions,
        "logprobs",
        MlflowServing,
        Refused(NO_PLACE),
    ),
    rule(OpenaiCompletions, "user", MlflowServing, Dropped(HINT)),
    rule(OpenaiEmbeddings, "input", MlflowServing, Mapped("`inputs`")),
    rule(
        OpenaiEmbeddings,
        "dimensions",
        MlflowServing,
        Refused(NO_PLACE),
    ),
    rule(OpenaiEmbeddings, "user", MlflowServing, Dropped(HINT)),
];

/// Collects what could not be written, and passes judgement at the end.
#[derive(Debug)]
pub struct Gaps {
    from: Dialect,
    to: Dialect,
    dropped: Vec<String>,
    refused: Vec<String>,
}

impl Gaps {
    /// For a call that came in one dialect and goes out in another.
    pub fn new(from: Dialect, to: Dialect) -> Self {
        Self {
            from,
            to,
            dropped: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// A field was left out. What the table does not name is refused.
    pub fn left_out(&mut self, field: &str) {
        let rule = RULES
            .iter()
            .find(|rule| rule.from == self.from && rule.to == self.to && rule.field == field);
        let list = match rule.map(|rule| rule.policy) {
            Some(Policy::Mapped(_)) => return,
            Some(Policy::Dropped(_)) => &mut self.dropped,
            Some(Policy::Refused(_)) | None => &mut self.refused,
        };
        if !list.iter().any(|known| known == field) {
            list.push(field.to_owned());
        }
    }

    /// The names of what was left out, or the refusal.
    ///
    /// # Errors
    /// When something must be refused and `drop_unsupported` is not set.
    pub fn judge(mut self, drop_unsupported: bool) -> Result<Vec<String>, Unsupported> {
        if self.refused.is_empty() || drop_unsupported {
            self.dropped.append(&mut self.refused);
            Ok(self.dropped)
        } else {
            Err(Unsupported {
                fields: self.refused,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_field_has_two_rules() {
        let mut seen = HashSet::new();
        for rule in rules() {
            assert!(seen.insert((rule.from, rule.field, rule.to)), "{rule:?}");
        }
    }

    #[test]
    fn hints_are_dropped_and_meaning_is_refused_unless_it_may_be_dropped() {
        let gaps = |fields: &[&str]| {
            let mut gaps = Gaps::new(OpenaiChat, AnthropicMessages);
            fields.iter().for_each(|field| gaps.left_out(field));
            gaps
        };
        assert_eq!(
            gaps(&["store", "store"]).judge(false),
            Ok(vec!["store".to_owned()])
        );
        let refused = Unsupported {
            fields: vec!["seed".to_owned(), "brand_new".to_owned()],
        };
        assert_eq!(
            gaps(&["seed", "store", "brand_new"]).judge(false),
            Err(refused)
        );
        assert_eq!(
            gaps(&["seed", "store"]).judge(true),
            Ok(vec!["store".to_owned(), "seed".to_owned()])
        );
        assert_eq!(gaps(&["messages.system"]).judge(false), Ok(Vec::new()));
    }
}
