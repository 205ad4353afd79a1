//! Not written yet.

use bytes::Bytes;

use crate::{
    Answer, AnswerForm, Call, CallForm, ReadError, SseEvent, StreamEvent, Unsupported, Written,
};

pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let _ = body;
    Err(ReadError::Json("not written yet".into()))
}

pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let _ = (call, form);
    Err(Unsupported { fields: vec![] })
}

pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    let _ = body;
    Err(ReadError::Json("not written yet".into()))
}

pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let _ = (answer, form);
    Bytes::new()
}

/// Reads the chunks of a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {}

impl StreamReader {
    pub(crate) fn read(
        &mut self,
        event: &SseEvent,
        out: &mut Vec<StreamEvent>,
    ) -> Result<(), ReadError> {
        let _ = (event, out);
        Ok(())
    }

    /// Whether every choice that began has ended.
    pub(crate) fn is_finished(&self) -> bool {
        false
    }
}

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {}

impl StreamWriter {
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        let _ = form;
        Self {}
    }

    pub(crate) fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        let _ = (event, out);
    }
}

/// `usage` as Anthropic writes it.
#[derive(serde::Deserialize)]
pub(crate) struct WireUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<WireCacheCreation>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    output_tokens_details: Option<WireOutputDetails>,
}

#[derive(serde::Deserialize)]
struct WireCacheCreation {
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(serde::Deserialize)]
struct WireOutputDetails {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    pub(crate) fn into_usage(self) -> Option<tollgate_domain::Usage> {
        let written_1h = self
            .cache_creation
            .and_then(|creation| creation.ephemeral_1h_input_tokens);
        let thinking = self
            .output_tokens_details
            .and_then(|details| details.thinking_tokens);
        let usage = tollgate_domain::Usage {
            input: self.input_tokens,
            input_cached: self.cache_read_input_tokens,
            cache_write: self
                .cache_creation_input_tokens
                .map(|written| written.saturating_sub(written_1h.unwrap_or(0))),
            cache_write_1h: written_1h,
            output: self
                .output_tokens
                .map(|output| output.saturating_sub(thinking.unwrap_or(0))),
            output_reasoning: thinking,
            ..tollgate_domain::Usage::default()
        };
        (usage != tollgate_domain::Usage::default()).then_some(usage)
    }
}

/// What a stop reason means.
pub(crate) fn stop_reason(word: &str) -> crate::StopReason {
    match word {
        "end_turn" => crate::StopReason::EndTurn,
        "stop_sequence" => crate::StopReason::StopSequence,
        "max_tokens" => crate::StopReason::MaxTokens,
        "model_context_window_exceeded" => crate::StopReason::ContextWindow,
        "tool_use" => crate::StopReason::ToolUse,
        "refusal" => crate::StopReason::Refusal,
        "pause_turn" => crate::StopReason::Pause,
        other => crate::StopReason::Other(other.to_owned()),
    }
}
