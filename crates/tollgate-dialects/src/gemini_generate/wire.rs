//! Shapes that calls, answers and streams share: names in either spelling, usage, finish reasons.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_domain::Usage;

use crate::{
    ReadError, StopReason,
    json::{Fields, put},
    openai_chat::Count,
};

// === names ===

/// An object with its names in Google's first spelling: clients may write `functionCall` or `function_call`.
///
/// # Errors
/// When it is no object, or has a name in both spellings.
pub(crate) fn camel(path: impl Into<String>, value: Value) -> Result<Fields, ReadError> {
    let path = path.into();
    let Value::Object(map) = value else {
        return Fields::of(path, value);
    };
    if !map.keys().any(|name| name.contains('_')) {
        return Fields::of(path, Value::Object(map));
    }
    let mut renamed = Map::new();
    for (name, value) in map {
        let name = camel_name(&name);
        if renamed.contains_key(&name) {
            let problem = format!("has `{name}` in both spellings; leave one of them out");
            return Err(ReadError::shape(path, problem));
        }
        renamed.insert(name, value);
    }
    Fields::of(path, Value::Object(renamed))
}

fn camel_name(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for sign in name.chars() {
        match sign {
            '_' => raise = true,
            sign if raise => {
                camel.extend(sign.to_uppercase());
                raise = false;
            }
            sign => camel.push(sign),
        }
    }
    camel
}

/// Takes a list; Google's APIs take one thing alone for a list of one.
pub(super) fn take_list(fields: &mut Fields, name: &str) -> Result<Vec<Value>, ReadError> {
    match fields.any(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(one @ Value::Object(_)) => Ok(vec![one]),
        Some(_) => Err(fields.error(name, "must be a list")),
    }
}

// === finish reasons ===

/// What a finish reason means; `None` for the word that says nothing. `asks_for_tool`: functions were called, which has no word of
/// its own.
pub(super) fn stop_reason(word: &str, asks_for_tool: bool) -> Option<StopReason> {
    Some(match word {
        "" | "FINISH_REASON_UNSPECIFIED" | "0" => return None,
        "STOP" | "1" if asks_for_tool => StopReason::ToolUse,
        "STOP" | "1" => StopReason::EndTurn,
        "MAX_TOKENS" | "2" => StopReason::MaxTokens,
        // Recorded clients have the enum's numbers as well; from 5 on they differ between Gemini and Vertex.
        "SAFETY"
        | "3"
        | "RECITATION"
        | "4"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => StopReason::ContentFilter,
        other => StopReason::Other(other.to_owned()),
    })
}

/// Gemini's word for a stop reason. Words of other dialects become `STOP`.
pub(super) fn finish_word(reason: &StopReason) -> &str {
    match reason {
        StopReason::MaxTokens | StopReason::ContextWindow => "MAX_TOKENS",
        StopReason::ContentFilter | StopReason::Refusal => "SAFETY",
        StopReason::Other(word) if is_known_word(word) => word,
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::ToolUse
        | StopReason::Pause
        | StopReason::Other(_) => "STOP",
    }
}

/// Whether a word that our form has no reason for is Gemini's
/// (<https://ai.google.dev/api/generate-content#FinishReason>, read 2026-11).
fn is_known_word(word: &str) -> bool {
    matches!(
        word,
        "LANGUAGE"
            | "OTHER"
            | "MALFORMED_FUNCTION_CALL"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS"
            | "MISSING_THOUGHT_SIGNATURE"
            | "MALFORMED_RESPONSE"
            | "NO_IMAGE"
            | "IMAGE_OTHER"
            | "CONTINUATION"
    )
}

// === usage ===

/// `usageMetadata`. `promptTokenCount` holds what was cached, `candidatesTokenCount` does not hold thoughts, and what tools fed to
/// the model is counted beside the prompt.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireUsage {
    prompt_token_count: Count,
    cached_content_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    tool_use_prompt_token_count: Count,
    total_token_count: Count,
    prompt_tokens_details: Option<Vec<WireModality>>,
    cache_tokens_details: Option<Vec<WireModality>>,
    candidates_tokens_details: Option<Vec<WireModality>>,
    service_tier: Value,
}

/// Members of `usageMetadata` that [`Usage`] holds.
pub(super) const KNOWN_USAGE: [&str; 9] = [
    "promptTokenCount",
    "cachedContentTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "totalTokenCount",
    "promptTokensDetails",
    "cacheTokensDetails",
    "candidatesTokensDetails",
];

/// Modalities that have prices of their own.
const AUDIO: &str = "AUDIO";
const IMAGE: &str = "IMAGE";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireModality {
    #[serde(default)]
    modality: Value,
    #[serde(default)]
    token_count: Count,
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    pub(crate) fn into_usage(self) -> Option<Usage> {
        let cached = self.cached_content_token_count.get();
        let read = |modality: &str| {
            let cached = tokens_of(modality, self.cache_tokens_details.as_deref());
            let whole = tokens_of(modality, self.prompt_tokens_details.as_deref())?;
            Some(whole.saturating_sub(cached.unwrap_or(0)))
        };
        let (input_audio, input_image) = (read(AUDIO), read(IMAGE));
        let tools = self.tool_use_prompt_token_count.get();
        let prompt = self
            .prompt_token_count
            .get()
            .or_else(|| self.prompt_by_total());
        let prompt = prompt.map(|prompt| {
            prompt
                .saturating_sub(cached.unwrap_or(0))
                .saturating_sub(input_audio.unwrap_or(0))
                .saturating_sub(input_image.unwrap_or(0))
        });
        let input = match (prompt, tools) {
            (None, None) => None,
            (prompt, tools) => Some(prompt.unwrap_or(0).saturating_add(tools.unwrap_or(0))),
        };
        let made = |modality| tokens_of(modality, self.candidates_tokens_details.as_deref());
        let (output_audio, output_image) = (made(AUDIO), made(IMAGE));
        let candidates = self.candidates_token_count.get();
        let candidates = candidates.or_else(|| self.candidates_by_total());
        let usage = Usage {
            input,
            input_cached: cached,
            input_audio,
            input_image,
            output: candidates.map(|candidates| {
                candidates
                    .saturating_sub(output_audio.unwrap_or(0))
                    .saturating_sub(output_image.unwrap_or(0))
            }),
            output_reasoning: self.thoughts_token_count.get(),
            output_audio,
            output_image,
            ..Usage::default()
        };
        (usage != Usage::default()).then(|| usage.in_tier(self.service_tier.as_str()))
    }

    /// What the total leaves for the prompt where its count is missing. Google leaves counts of zero out, and no prompt has none.
    fn prompt_by_total(&self) -> Option<u64> {
        let candidates = self.candidates_token_count.get().unwrap_or(0);
        self.rest_of_total(candidates)
    }

    /// What the total leaves for the candidates where their count alone is missing.
    fn candidates_by_total(&self) -> Option<u64> {
        self.rest_of_total(self.prompt_token_count.get()?)
    }

    fn rest_of_total(&self, known: u64) -> Option<u64> {
        let counted = [self.thoughts_token_count, self.tool_use_prompt_token_count];
        let counted = counted.into_iter().filter_map(Count::get);
        let counted = counted.fold(known, u64::saturating_add);
        Some(self.total_token_count.get()?.saturating_sub(counted))
    }
}

/// Tokens of a modality.
fn tokens_of(modality: &str, details: Option<&[WireModality]>) -> Option<u64> {
    let of = |detail: &&WireModality| detail.modality == modality;
    details?.iter().find(of)?.token_count.get()
}

/// Usage in Gemini's form. Classes that were not told are left out; the totals have to be there.
pub(super) fn write_usage(usage: &Usage) -> Map<String, Value> {
    let details = |total: Option<u64>, audio: Option<u64>, image: Option<u64>| {
        let others = [(AUDIO, audio), (IMAGE, image)].into_iter();
        let others: Vec<(&str, u64)> = others
            .filter_map(|(modality, count)| Some((modality, count?)))
            .collect();
        let sum = others.iter().map(|(_, count)| *count);
        let text = total
            .unwrap_or(0)
            .saturating_sub(sum.reduce(u64::saturating_add)?);
        let all = std::iter::once(("TEXT", text)).chain(others);
        let all = all.map(|(modality, count)| json!({"modality": modality, "tokenCount": count}));
        Some(all.collect::<Value>())
    };
    let said = [usage.output, usage.output_audio, usage.output_image].into_iter();
    let said = said.flatten().reduce(u64::saturating_add);
    let mut written = Map::new();
    let prompt = usage.input_total();
    put(&mut written, "promptTokenCount", Some(prompt.unwrap_or(0)));
    put(&mut written, "cachedContentTokenCount", usage.input_cached);
    put(&mut written, "candidatesTokenCount", said);
    put(&mut written, "thoughtsTokenCount", usage.output_reasoning);
    let total = usage.total().unwrap_or(0);
    put(&mut written, "totalTokenCount", Some(total));
    let prompt_details = details(prompt, usage.input_audio, usage.input_image);
    put(&mut written, "promptTokensDetails", prompt_details);
    let said_details = details(said, usage.output_audio, usage.output_image);
    put(&mut written, "candidatesTokensDetails", said_details);
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(usage: Value) -> Option<Usage> {
        serde_json::from_value::<WireUsage>(usage)
            .unwrap()
            .into_usage()
    }

    #[test]
    fn names_are_read_in_either_spelling_but_not_in_both() {
        let mut fields = camel("x", json!({"mime_type": "a", "data": 1})).unwrap();
        assert_eq!(fields.text("mimeType"), Ok(Some("a".to_owned())));
        let both = camel("x", json!({"mime_type": "a", "mimeType": "b"})).unwrap_err();
        let expected = "x: has `mimeType` in both spellings; leave one of them out";
        assert_eq!(both.to_string(), expected);
    }

    #[test]
    fn classes_do_not_overlap() {
        let usage = read(json!({
            "promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20, "thoughtsTokenCount": 30,
            "toolUsePromptTokenCount": 7, "totalTokenCount": 157,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 75}, {"modality": "AUDIO", "tokenCount": 25}],
            "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 40}, {"modality": "AUDIO", "tokenCount": 20}],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 15}, {"modality": 1, "tokenCount": 5}],
        }));
        let expected = Usage {
            input: Some(42),
            input_cached: Some(60),
            input_audio: Some(5),
            output: Some(5),
            output_reasoning: Some(30),
            output_audio: Some(15),
            ..Usage::default()
        };
        assert_eq!(usage, Some(expected));
        assert_eq!(expected.total(), Some(157));
        assert_eq!(read(Value::Object(write_usage(&expected))), usage);
    }

    #[test]
    fn pictures_are_a_class_of_their_own() {
        let usage = read(json!({
            "promptTokenCount": 268, "candidatesTokenCount": 1300, "totalTokenCount": 1568,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}, {"modality": "IMAGE", "tokenCount": 258}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        }));
        let expected = Usage {
            input: Some(10),
            input_image: Some(258),
            output: Some(10),
            output_image: Some(1290),
            ..Usage::default()
        };
        assert_eq!(usage, Some(expected));
        assert_eq!(read(Value::Object(write_usage(&expected))), usage);
    }

    #[test]
    fn absent_is_not_zero_unless_the_total_says_so() {
        assert_eq!(read(json!({"trafficType": "ON_DEMAND"})), None);
        let told = |usage| read(usage).map(|usage| (usage.input, usage.output));
        assert_eq!(told(json!({"promptTokenCount": 5})), Some((Some(5), None)));
        let silent = json!({"promptTokenCount": 5, "thoughtsTokenCount": 4, "totalTokenCount": 9});
        assert_eq!(told(silent), Some((Some(5), Some(0))));
        let unasked =
            json!({"candidatesTokenCount": 1, "thoughtsTokenCount": 96, "totalTokenCount": 672});
        assert_eq!(told(unasked), Some((Some(575), Some(1))));
        let both = json!({"thoughtsTokenCount": 94, "totalTokenCount": 390});
        assert_eq!(told(both), Some((Some(296), None)));
    }
}
