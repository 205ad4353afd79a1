//! OpenAI's pictures, sound and moderations: `/v1/images/...`, `/v1/audio/...`, `/v1/moderations`. Their calls and answers pass as they are;
//! the gateway reads of them which model is asked for, and what was used.

mod form;

use bytes::Bytes;
use serde::Deserialize;
use tollgate_domain::Usage;

use crate::{
    Answer, AnswerForm, Call, CallForm, Glance, ReadError, Unsupported, Written,
    openai_chat::to_bytes,
};

pub use form::{Form, FormError};

const WHOLE: &str = "is passed on as it is, and in no other dialect";

/// There is nothing to read: such a call passes as it is.
pub(crate) fn read_call(_: &[u8]) -> Result<Call, ReadError> {
    Err(ReadError::shape("body", WHOLE))
}

/// No other call can be put so.
pub(crate) fn write_call(call: &Call, _: &CallForm<'_>) -> Result<Written, Unsupported> {
    Err(Unsupported::call(call))
}

/// There is nothing to read: such an answer passes as it is.
pub(crate) fn read_answer(_: &[u8]) -> Result<Answer, ReadError> {
    Err(ReadError::shape("body", WHOLE))
}

/// Scores are the only answers that have no form either.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    match answer {
        Answer::Predict(value) => to_bytes(value),
        answer => crate::openai_chat::write_answer(answer, form),
    }
}

/// What a JSON answer tells of usage (<https://platform.openai.com/docs/api-reference/images>, read 2026-11). Anything else tells nothing.
pub(crate) fn glance(body: &[u8]) -> Glance {
    let told: Told = serde_json::from_slice(body).unwrap_or_default();
    Glance {
        usage: told.usage.and_then(WireUsage::into_usage),
        ..Glance::default()
    }
}

#[derive(Default, Deserialize)]
struct Told {
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default, alias = "input_tokens_details")]
    input_token_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    audio_tokens: Option<u64>,
}

impl WireUsage {
    fn into_usage(self) -> Option<Usage> {
        let audio = self
            .input_token_details
            .and_then(|details| details.audio_tokens);
        let input = self.input_tokens?;
        Some(Usage {
            input: Some(input.saturating_sub(audio.unwrap_or(0))),
            input_audio: audio,
            output: self.output_tokens,
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_told_by_class_or_not_at_all() {
        let told = glance(
            br#"{"text": "hi", "usage": {"type": "tokens", "input_tokens": 14, "input_token_details": {"text_tokens": 4, "audio_tokens": 10}, "output_tokens": 3}}"#,
        );
        let usage = told.usage.expect("tokens");
        assert_eq!(
            (usage.input, usage.input_audio, usage.output),
            (Some(4), Some(10), Some(3))
        );
        assert!(
            glance(br#"{"usage": {"type": "duration", "seconds": 9}}"#)
                .usage
                .is_none()
        );
        assert!(glance(b"WEBVTT").usage.is_none());
    }
}
