//! What a search found: told in many places, and one kind of citation in our form.

use serde_json::{Value, json};

use crate::{Part, PartKind};

/// Fields of an answer that tell what a search found, in the order in which they are believed.
pub(super) const SOURCES: [&str; 3] = ["search_results", "citations", "web_search"];

/// What a search found, as citations in Anthropic's form.
pub(super) fn citations_of(sources: &Value) -> Vec<Value> {
    let sources = sources.as_array().into_iter().flatten();
    sources.filter_map(citation_of).collect()
}

/// An address, an object that has one, or OpenAI's `url_citation` (flat with Xiaomi), as a citation in Anthropic's form.
fn citation_of(source: &Value) -> Option<Value> {
    let source = match &source["url_citation"] {
        inner @ Value::Object(_) => inner,
        _ => source,
    };
    let text = |name: &str| source[name].as_str();
    let url = source.as_str().or(text("url")).or(text("link"))?;
    let cited = text("content")
        .or(text("snippet"))
        .or(text("summary"))
        .unwrap_or_default();
    Some(json!({
        "type": "web_search_result_location",
        "url": url,
        "title": text("title"),
        "encrypted_index": "",
        "cited_text": cited,
    }))
}

/// Adds citations to the last text, but for addresses that it cites already.
pub(super) fn cite(content: &mut [Part], more: Vec<Value>) {
    let mut texts = content.iter_mut().rev();
    let last = texts.find_map(|part| match &mut part.kind {
        PartKind::Text { citations, .. } => Some(citations),
        _ => None,
    });
    let Some(citations) = last else { return };
    for citation in more {
        if !citations
            .iter()
            .any(|known| known["url"] == citation["url"])
        {
            citations.push(citation);
        }
    }
}
