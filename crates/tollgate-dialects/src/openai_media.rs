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

/// What a message of a realtime session tells of usage.
///
/// Those that end an answer tell what that answer used
/// (<https://platform.openai.com/docs/api-reference/realtime-server-events/response/done>, read 2026-11).
pub fn glance_at_message(message: &str) -> Option<Usage> {
    // Messages are many and mostly sound; the few that matter say so at once.
    if !message.contains("\"response.done\"") {
        return None;
    }
    let told: Done = serde_json::from_str(message).ok()?;
    if told.kind != "response.done" {
        return None;
    }
    told.response.usage?.into_usage()
}

#[derive(Deserialize)]
struct Done {
    #[serde(rename = "type")]
    kind: String,
    response: Told,
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
    /// What is billed by time tells no tokens.
    #[serde(default)]
    seconds: Option<f64>,
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default, alias = "input_tokens_details")]
    input_token_details: Option<Details>,
    #[serde(default, alias = "output_tokens_details")]
    output_token_details: Option<Details>,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    audio_tokens: Option<u64>,
    #[serde(default)]
    image_tokens: Option<u64>,
    /// Of text, sound and pictures together.
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cached_tokens_details: Option<CachedDetails>,
}

#[derive(Deserialize)]
struct CachedDetails {
    #[serde(default)]
    audio_tokens: Option<u64>,
    #[serde(default)]
    image_tokens: Option<u64>,
}

impl WireUsage {
    fn into_usage(self) -> Option<Usage> {
        let Some(total) = self.input_tokens else {
            let seconds = whole_seconds(self.seconds?);
            return Some(Usage {
                seconds: Some(seconds),
                ..Usage::default()
            });
        };
        let input = self.input_token_details.unwrap_or_default();
        // Who reads pictures and does not say what was made has made pictures alone.
        let pictures = || Details {
            image_tokens: self.output_tokens.filter(|_| input.image_tokens.is_some()),
            ..Details::default()
        };
        let output = self.output_token_details.unwrap_or_else(pictures);
        // What is cached counts as cached, whatever it is of.
        let cached = input.cached_tokens_details.as_ref();
        let read = |tokens: Option<u64>, cached: Option<u64>| {
            tokens.map(|tokens| tokens.saturating_sub(cached.unwrap_or(0)))
        };
        let audio = read(input.audio_tokens, cached.and_then(|of| of.audio_tokens));
        let image = read(input.image_tokens, cached.and_then(|of| of.image_tokens));
        let others = [input.cached_tokens, audio, image];
        let made = [output.audio_tokens, output.image_tokens];
        let rest = |total: u64, others: &[Option<u64>]| {
            let others = others.iter().flatten().copied();
            total.saturating_sub(others.fold(0, u64::saturating_add))
        };
        Some(Usage {
            input: Some(rest(total, &others)),
            input_cached: input.cached_tokens,
            input_audio: audio,
            input_image: image,
            output: self.output_tokens.map(|tokens| rest(tokens, &made)),
            output_audio: output.audio_tokens,
            output_image: output.image_tokens,
            ..Usage::default()
        })
    }
}

/// Begun seconds count.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number that is too large or too small becomes the largest or the smallest there is"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil() as u64
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
        let done = r#"{"type": "response.done", "response": {"usage": {"total_tokens": 30, "input_tokens": 20, "output_tokens": 10,
            "input_token_details": {"text_tokens": 8, "audio_tokens": 12, "cached_tokens": 6, "cached_tokens_details": {"text_tokens": 2, "audio_tokens": 4}},
            "output_token_details": {"text_tokens": 3, "audio_tokens": 7}}}}"#;
        let usage = glance_at_message(done).expect("an answer has ended");
        assert_eq!(
            (usage.input, usage.input_cached, usage.input_audio),
            (Some(6), Some(6), Some(8))
        );
        assert_eq!((usage.output, usage.output_audio), (Some(3), Some(7)));
        let other = r#"{"type": "response.text.delta", "delta": "\"response.done\""}"#;
        assert_eq!(glance_at_message(other), None);
        let usage = |body: &str| glance(body.as_bytes()).usage.expect("usage");
        let timed = usage(r#"{"usage": {"type": "duration", "seconds": 9.2}}"#);
        assert_eq!((timed.seconds, timed.total()), (Some(10), None));
        let drawn = usage(
            r#"{"usage": {"input_tokens": 50, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}, "output_tokens": 4170,
                "output_tokens_details": {"image_tokens": 4160, "text_tokens": 10}, "total_tokens": 4220}}"#,
        );
        assert_eq!((drawn.input, drawn.input_image), (Some(10), Some(40)));
        assert_eq!((drawn.output, drawn.output_image), (Some(10), Some(4160)));
        let drawn = usage(
            r#"{"usage": {"input_tokens": 50, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}, "output_tokens": 4160}}"#,
        );
        assert_eq!((drawn.output, drawn.output_image), (Some(0), Some(4160)));
        assert!(glance(b"WEBVTT").usage.is_none());
    }
}
