//! How many tokens a call used whose provider did not say: counted with the tokenizer of OpenAI's newer models, and marked as an estimate.
//! Other models cut words otherwise; the difference is mostly within a fifth.

use bytes::Bytes;
use serde_json::Value;

/// Bytes of a call that are kept to be counted; a longer one is taken to go on as it begins.
const SAMPLE_MAX: usize = 16 << 10;

/// Bytes of a text that are counted; a longer one is taken to go on as it begins.
const COUNTED_MAX: usize = 64 << 10;

/// A text of so many bytes without a space is data, not words.
const DATA_BYTES_MIN: usize = 2048;

/// Tokens around a message, and before an answer, as OpenAI's models have them
/// (<https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>, read 2026-11).
const AROUND_MESSAGE: u64 = 3;
const BEFORE_ANSWER: u64 = 3;

/// Members whose texts are not told to the model.
const UNTOLD: [&str; 13] = [
    "model",
    "type",
    "id",
    "tool_call_id",
    "call_id",
    "tool_use_id",
    "url",
    "data",
    "media_type",
    "mime_type",
    "mimeType",
    "user",
    "user_id",
];

/// As much of a call as is needed to count its tokens later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    bytes: Bytes,
    whole_bytes: usize,
}

impl Sample {
    /// Of a body, which it shares.
    pub(crate) fn of(body: &Bytes) -> Self {
        Self {
            bytes: body.slice(..body.len().min(SAMPLE_MAX)),
            whole_bytes: body.len(),
        }
    }

    /// Copies what it shares: a stream, which may last, would hold the whole buffer that its call was read into.
    pub(crate) fn stand_alone(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }

    /// About as many tokens as it has.
    pub(crate) fn tokens(&self) -> u64 {
        match serde_json::from_slice::<Value>(&self.bytes) {
            Ok(call) => told(&call).saturating_add(BEFORE_ANSWER),
            // Cut off: its own form counts a little, too.
            Err(_) => {
                let counted = tokens(&String::from_utf8_lossy(&self.bytes));
                scaled(counted, self.bytes.len(), self.whole_bytes)
            }
        }
    }
}

/// About as many tokens as a text has.
pub(crate) fn tokens(text: &str) -> u64 {
    let counted = &text.as_bytes()[..text.len().min(COUNTED_MAX)];
    // A character may be cut in two at the end.
    let counted = String::from_utf8_lossy(counted);
    let tokens = bpe_openai::o200k_base().count(&counted) as u64;
    scaled(tokens, counted.len(), text.len())
}

fn scaled(counted: u64, of: usize, whole: usize) -> u64 {
    match of {
        0 => 0,
        of => counted.saturating_mul(whole as u64) / of as u64,
    }
}

/// Tokens of all that a call tells a model.
fn told(value: &Value) -> u64 {
    match value {
        Value::String(text) => {
            let is_data = text.len() >= DATA_BYTES_MIN && !text.contains(' ');
            if is_data { 0 } else { tokens(text) }
        }
        Value::Array(items) => items.iter().map(told).sum(),
        Value::Object(members) => {
            let around = u64::from(members.contains_key("role")) * AROUND_MESSAGE;
            let told = members
                .iter()
                .filter(|(name, _)| !UNTOLD.contains(&name.as_str()))
                .map(|(_, value)| told(value));
            around + told.sum::<u64>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counted(call: &Value) -> u64 {
        Sample::of(&Bytes::from(call.to_string())).tokens()
    }

    #[test]
    fn calls_have_about_as_many_tokens_as_openai_counts() {
        // OpenAI: 9 tokens for "Hello" of a user.
        let call = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]});
        assert_eq!(counted(&call), 3 + 1 + 1 + 3);
        assert_eq!(tokens("The quick brown fox jumps over the lazy dog."), 10);
        let picture = json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x".repeat(5000)}}]}]});
        assert_eq!(counted(&picture), 3 + 1 + 3);
    }

    #[test]
    fn what_is_long_goes_on_as_it_begins() {
        let words = "word ".repeat(20_000);
        let whole = bpe_openai::o200k_base().count(&words) as u64;
        let estimate = tokens(&words);
        assert!(estimate.abs_diff(whole) * 50 < whole, "{estimate} {whole}");
        let call = json!({"messages": [{"role": "user", "content": words}]});
        let estimate = counted(&call);
        assert!(estimate.abs_diff(whole) * 20 < whole, "{estimate} {whole}");
    }
}
