//! How many searches of the web are billed for an answer, by its `groundingMetadata`.
//!
//! Up to the models of Gemini 2 it is one for an answer that rests on the web, however often that was asked; from Gemini 3 on it is one
//! for each question that was asked, and empty ones do not count (<https://ai.google.dev/gemini-api/docs/google-search>, read 2026-11).

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_domain::Usage;

use crate::openai_chat::{Text, parse};

/// Questions that are remembered at most: no answer has so many.
const QUESTIONS_MAX: usize = 256;

/// What an answer has told so far of searches.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    questions: BTreeSet<String>,
    /// Something of the web was found.
    is_grounded: bool,
    /// The model is billed by the answer.
    is_by_answer: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Grounding<'a> {
    #[serde(borrow, default)]
    web_search_queries: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    grounding_chunks: Option<Vec<Chunk<'a>>>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    web: Option<&'a RawValue>,
}

impl Searches {
    /// Notes what a candidate rests on, and the model that answers.
    pub(super) fn note(&mut self, grounding: &RawValue, model: Option<&RawValue>) {
        let Some(grounding) = parse::<Grounding<'_>>(grounding) else {
            return;
        };
        if let Some(Text(model)) = model.and_then(parse::<Text<'_>>) {
            self.is_by_answer = is_old(&model);
        }
        for Text(question) in grounding.web_search_queries.into_iter().flatten() {
            if !question.trim().is_empty() && self.questions.len() < QUESTIONS_MAX {
                self.questions.insert(question.into_owned());
            }
        }
        let chunks = grounding.grounding_chunks;
        self.is_grounded |= chunks.iter().flatten().any(|chunk| chunk.web.is_some());
    }

    /// Adds those that are billed.
    pub(super) fn of(&self, usage: Usage) -> Usage {
        let asked = self.questions.len() as u64;
        let billed = match self.is_by_answer {
            true if !self.is_grounded => 0,
            true => asked.min(1),
            false => asked,
        };
        Usage {
            web_searches: (billed > 0).then_some(billed),
            ..usage
        }
    }
}

/// Whether it is a model up to Gemini 2.
fn is_old(model: &str) -> bool {
    let version = model.split_once("gemini-").map(|(_, version)| version);
    let version = version.and_then(|version| version.split(['.', '-']).next());
    matches!(version, Some("1" | "2"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    fn billed(model: &str, told: &[Value]) -> Option<u64> {
        let mut searches = Searches::default();
        for grounding in told {
            let model = to_raw_value(model).unwrap();
            searches.note(&to_raw_value(grounding).unwrap(), Some(&model));
        }
        searches.of(Usage::default()).web_searches
    }

    #[test]
    fn newer_models_are_billed_by_the_question_and_older_ones_by_the_answer() {
        let page = json!({"web": {"uri": "https://example.org", "title": "Example"}});
        let told = json!({"webSearchQueries": ["", "a", "b", "a"], "groundingChunks": [page]});
        for (model, expected) in [
            ("gemini-3.5-flash", 2),
            ("models/gemini-10-pro", 2),
            ("gemini-2.5-flash", 1),
            ("models/gemini-2.0-flash", 1),
        ] {
            let twice = [told.clone(), told.clone()];
            assert_eq!(billed(model, &twice), Some(expected), "{model}");
        }
        // Nothing was found, or something that is not of the web.
        let unfound = json!({"webSearchQueries": ["a"]});
        assert_eq!(
            billed("gemini-2.5-flash", std::slice::from_ref(&unfound)),
            None
        );
        assert_eq!(billed("gemini-3-pro", &[unfound]), Some(1));
        let document = json!({"groundingChunks": [{"retrievedContext": {"uri": "x"}}]});
        assert_eq!(billed("gemini-3-pro", &[document]), None);
        assert_eq!(billed("gemini-3-pro", &[json!("none"), json!(null)]), None);
    }
}
