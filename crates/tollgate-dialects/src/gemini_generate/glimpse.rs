//! What can be seen of a chunk without reading it: enough to look on at a stream that passes through.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_domain::Usage;

use super::{
    searches::Searches,
    wire::{WireUsage, stop_reason},
};
use crate::{
    StopReason,
    openai_chat::{Count, Text, parse},
    watch::add_text,
};

/// What a chunk shows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Glimpse {
    /// A person would see something of it.
    pub(crate) content: bool,
    /// What was used so far.
    pub(crate) usage: Option<Usage>,
    /// The candidates that it holds something of, and why they end where they do.
    pub(crate) candidates: Vec<(u32, Option<StopReason>)>,
    /// The provider failed.
    pub(crate) is_error: bool,
    /// The model that answers, where no chunk before has told it.
    pub(crate) model: Option<String>,
}

/// What is remembered of the chunks of an answer.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// The model has been told.
    names_model: bool,
    /// A function was called, which tells what an end means: there is no word of its own for that.
    called: bool,
    searches: Searches,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChunkGlimpse<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<CandidateGlimpse<'a>>>,
    #[serde(borrow, default)]
    prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model_version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidateGlimpse<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    content: Option<ContentGlimpse<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    grounding_metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ContentGlimpse<'a> {
    #[serde(borrow, default)]
    parts: Option<Vec<BTreeMap<String, &'a RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeedbackGlimpse<'a> {
    #[serde(borrow, default)]
    block_reason: Option<&'a RawValue>,
    #[serde(borrow, default)]
    block_reason_message: Option<Text<'a>>,
}

impl Glimpse {
    /// Looks at a chunk of the answer that is followed; `None` where it is none.
    pub(crate) fn of(data: &[u8], followed: &mut Followed, said: &mut String) -> Option<Self> {
        let chunk: ChunkGlimpse<'_> = serde_json::from_slice(data).ok()?;
        let mut glimpse = Self {
            is_error: chunk.error.is_some(),
            ..Self::default()
        };
        for candidate in chunk.candidates.iter().flatten() {
            let parts = candidate.content.as_ref();
            let parts = parts.and_then(|content| content.parts.as_deref());
            for (name, value) in parts.unwrap_or_default().iter().flatten() {
                glimpse.content |= is_content(name, value);
                match name.as_str() {
                    "text" => {
                        if let Some(Text(text)) = parse::<Text<'_>>(value) {
                            add_text(said, &text);
                        }
                    }
                    "functionCall" => add_text(said, value.get()),
                    _ => {}
                }
                followed.called |= name == "functionCall";
            }
            let word = candidate.finish_reason.map(word);
            let stop = word.and_then(|word| stop_reason(word, followed.called));
            let index = candidate.index.index().unwrap_or(0);
            glimpse.candidates.push((index, stop));
            if let Some(grounding) = candidate.grounding_metadata {
                followed.searches.note(grounding, chunk.model_version);
            }
        }
        if !followed.names_model {
            let model = chunk.model_version.and_then(parse::<Text<'_>>);
            glimpse.model = model.map(|model| model.0.into_owned());
            followed.names_model = glimpse.model.is_some();
        }
        let usage = chunk.usage_metadata.and_then(parse::<WireUsage>);
        let usage = usage.and_then(WireUsage::into_usage);
        glimpse.usage = usage.map(|usage| followed.searches.of(usage));
        let feedback = chunk.prompt_feedback.and_then(parse::<FeedbackGlimpse<'_>>);
        if let Some(feedback) = feedback
            && feedback.block_reason.is_some_and(is_block)
        {
            glimpse.content |= feedback.block_reason_message.is_some();
            glimpse
                .candidates
                .push((0, Some(StopReason::ContentFilter)));
        }
        Some(glimpse)
    }
}

/// A word of an enum, or its number.
pub(super) fn word(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}

/// Whether a prompt was blocked for this reason.
pub(super) fn is_block(reason: &RawValue) -> bool {
    !matches!(
        word(reason),
        "" | "0" | "null" | "BLOCK_REASON_UNSPECIFIED" | "BLOCKED_REASON_UNSPECIFIED"
    )
}

fn is_content(name: &str, value: &RawValue) -> bool {
    match name {
        "thought" | "thoughtSignature" => false,
        "text" => !matches!(value.get(), "\"\"" | "null"),
        _ => value.get() != "null",
    }
}
