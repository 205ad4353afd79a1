//! A glance at a whole answer that passes through: what was used and why it ended, read from its bytes without a form of ours.

use tollgate_domain::{Dialect, Task, Usage};

use crate::{
    Answer, ProviderError, ReadError, StopReason,
    anthropic_messages::{self, WireUsage as AnthropicUsage},
    cohere_embeddings,
    error::read_in_stream,
    head::{lenient, text_of},
    openai_chat::{self, Text, WireUsage, is_failure},
    openai_media, openai_responses, read_answer,
    skim::{self, Fault, Skimmer},
};

/// What is seen at a glance of a whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    /// What was used.
    pub usage: Option<Usage>,
    /// Why the first choice ended.
    pub stop: Option<StopReason>,
    /// The model that answered.
    pub model: Option<String>,
    /// The provider failed, for all that its status says otherwise.
    pub error: Option<ProviderError>,
}

/// What is looked at in a whole answer, unread. Of a field that comes twice the later one counts, as for the readers.
#[derive(Default)]
struct Whole<'a> {
    model: Option<&'a str>,
    usage: Option<&'a str>,
    service_tier: Option<&'a str>,
    /// How each of them ended.
    choices: Vec<ChoiceEnd<'a>>,
    stop_reason: Option<&'a str>,
    error: Option<&'a str>,
}

/// Glances at a whole answer that passes through.
///
/// # Errors
/// When the body is not a JSON object. A score may be anything.
pub fn glance(dialect: Dialect, task: Task, body: &[u8]) -> Result<Glance, ReadError> {
    if task == Task::Predict {
        return Ok(Glance::default());
    }
    if dialect == Dialect::OpenaiMedia {
        return Ok(openai_media::glance(body));
    }
    let is_glimpsed = matches!(
        dialect,
        Dialect::OpenaiChat
            | Dialect::OpenaiCompletions
            | Dialect::OpenaiEmbeddings
            | Dialect::AnthropicMessages
            | Dialect::MlflowServing
    );
    if dialect == Dialect::OpenaiResponses {
        return openai_responses::glance(body);
    }
    // Vectors are long, and what was used stands beside them.
    if matches!(
        dialect,
        Dialect::CohereEmbeddings | Dialect::CohereOldEmbeddings
    ) {
        return cohere_embeddings::read_usage_of(body).map(|usage| Glance {
            usage,
            ..Glance::default()
        });
    }
    if !is_glimpsed {
        return Ok(glance_at(read_answer(dialect, task, body)?));
    }
    let whole = Whole::of(body)?;
    let anthropic = dialect == Dialect::AnthropicMessages;
    let usage = match whole.usage {
        Some(raw) if anthropic => {
            lenient::<AnthropicUsage>(raw).and_then(|usage| usage.into_usage(None))
        }
        Some(raw) if task == Task::Embeddings => {
            lenient::<WireUsage>(raw).and_then(WireUsage::into_input_usage)
        }
        Some(raw) => lenient::<WireUsage>(raw).and_then(WireUsage::into_usage),
        None => None,
    };
    let tier = whole.service_tier.and_then(lenient::<Text<'_>>);
    let tier = tier.as_ref().map(|tier| &*tier.0);
    let usage = usage.map(|usage| usage.in_tier(tier));
    let error = whole.error(dialect, body);
    let stop = if anthropic {
        whole
            .stop_reason
            .and_then(lenient::<Text<'_>>)
            .map(|word| anthropic_messages::stop_reason(&word.0))
    } else {
        let word = whole
            .choices
            .first()
            .and_then(|choice| choice.finish_reason.as_ref());
        word.and_then(|word| openai_chat::stop_reason(&word.0))
    };
    Ok(Glance {
        usage,
        stop,
        model: whole.model.and_then(lenient),
        error,
    })
}

/// The error that an answer holds for all that its status says otherwise.
pub fn error_within(dialect: Dialect, body: &[u8]) -> Option<ProviderError> {
    let whole = Whole::of(body).ok()?;
    whole.error(dialect, body)
}

impl<'a> Whole<'a> {
    fn of(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut whole = Self::default();
        // Whoever passes through is not asked how deep it goes.
        skim::members(text_of(body)?, usize::MAX, |name, value| {
            let place = match name {
                "model" => &mut whole.model,
                "usage" => &mut whole.usage,
                "service_tier" => &mut whole.service_tier,
                "choices" => {
                    whole.choices.clear();
                    return value.elements(|choice| {
                        whole.choices.push(ChoiceEnd::of(choice)?);
                        Ok(())
                    });
                }
                "stop_reason" => &mut whole.stop_reason,
                "error" => &mut whole.error,
                _ => return value.value().map(|_| ()),
            };
            *place = Some(value.value()?).filter(|value| *value != "null");
            Ok(())
        })?;
        Ok(whole)
    }

    fn error(&self, dialect: Dialect, body: &[u8]) -> Option<ProviderError> {
        if self.error.is_some() {
            return Some(read_in_stream(dialect, body));
        }
        let failed = self.choices.iter().any(ChoiceEnd::has_failed);
        failed.then(|| openai_chat::failure(body))
    }
}

/// How a choice of a whole answer ended. What it says is not looked at.
#[derive(Default)]
struct ChoiceEnd<'a> {
    finish_reason: Option<Text<'a>>,
    has_error: bool,
}

impl<'a> ChoiceEnd<'a> {
    fn of(choice: &mut Skimmer<'a>) -> Result<Self, Fault> {
        let mut end = Self::default();
        choice.members(|name, value| {
            let value = value.value()?;
            match name {
                "finish_reason" => end.finish_reason = lenient(value),
                "error" => end.has_error = value != "null",
                _ => {}
            }
            Ok(())
        })?;
        Ok(end)
    }

    fn has_failed(&self) -> bool {
        self.has_error || self.finish_reason.as_ref().is_some_and(is_failure)
    }
}

fn glance_at(answer: Answer) -> Glance {
    let (model, usage, stop) = match answer {
        Answer::Chat(answer) => {
            let stop = answer
                .choices
                .into_iter()
                .next()
                .and_then(|choice| choice.stop);
            (answer.model, answer.usage, stop.map(|stop| stop.reason))
        }
        Answer::Embedding(answer) => (answer.model, answer.usage, None),
        Answer::Rerank(answer) => (answer.model, answer.usage, None),
        Answer::Predict(_) => return Glance::default(),
    };
    Glance {
        usage,
        stop,
        model: Some(model).filter(|model| !model.is_empty()),
        error: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such an answer counted as unreadable, though it passes through.
    #[test]
    fn a_glance_at_a_field_that_comes_twice_sees_the_later_one() {
        let body =
            br#"{"model": "a", "usage": "none", "model": "b", "usage": {"prompt_tokens": 3}}"#;
        let seen = glance(Dialect::OpenaiChat, Task::Chat, body).unwrap();
        assert_eq!(seen.model.as_deref(), Some("b"));
        assert_eq!(seen.usage.unwrap().total(), Some(3));
    }

    #[test]
    fn a_glance_sees_an_error_under_a_status_of_success() {
        let body = b"\n  {\"error\":{\"message\":\"Provider returned error\",\"code\":400}}";
        let seen = glance(Dialect::OpenaiChat, Task::Chat, body).unwrap();
        assert_eq!(seen.error.unwrap().status, 400);
        let body = br#"{"model": "claude", "stop_reason": "max_tokens", "usage": {"input_tokens": 1, "output_tokens": 2}, "error": null}"#;
        let seen = glance(Dialect::AnthropicMessages, Task::Chat, body).unwrap();
        assert_eq!((seen.stop, seen.error), (Some(StopReason::MaxTokens), None));
        assert_eq!(seen.usage.unwrap().total(), Some(3));
        let body = br#"{"choices": [{"finish_reason": null, "error": {"code": 502, "message": "no"}, "message": {"content": "Hel"}}]}"#;
        let seen = glance(Dialect::OpenaiChat, Task::Chat, body).unwrap();
        assert_eq!(seen.error.unwrap().status, 502);
        let body = br#"{"choices": [{"finish_reason": "error", "message": {"content": "Hel"}}]}"#;
        let seen = glance(Dialect::OpenaiChat, Task::Chat, body).unwrap();
        assert_eq!(seen.error.unwrap().kind, crate::ErrorKind::Server);
        assert!(glance(Dialect::OpenaiChat, Task::Chat, b"<html>").is_err());
        assert!(glance(Dialect::MlflowServing, Task::Predict, b"[1]").is_ok());
    }
}
