//! Citations. Cohere's name a range of the answer and its sources. Ours belong to a piece of text and are Anthropic's objects
//! (`search_result_location`, <https://docs.claude.com/en/docs/build-with-claude/search-results>, read 2026-11), so that a text is cut where its citations begin
//! and end.

use std::ops::Range;

use serde_json::{Map, Value, json};

use crate::{Part, PartKind, json::put};

/// Members of a document that hold its text, in the order in which they are believed.
const TEXTS: [&str; 4] = ["text", "snippet", "content", "output"];

/// One text, cut into pieces at its citations: Cohere's objects that are about it, in the order of their ranges.
pub(super) fn cut(text: &str, citations: &[&Value]) -> Vec<Part> {
    let mut cited: Vec<(Range<usize>, Vec<Value>)> = Vec::new();
    for citation in citations {
        let range = range_of(text, citation);
        let sources = read(citation);
        match cited.last_mut() {
            // Ranges that overlap are one piece.
            Some((last, known)) if range.start < last.end => {
                last.end = last.end.max(range.end);
                known.extend(sources);
            }
            _ => cited.push((range, sources)),
        }
    }
    let mut parts = Vec::new();
    let mut at = 0;
    for (range, sources) in cited {
        parts.extend(piece(text, at..range.start, Vec::new()));
        at = range.end;
        parts.extend(piece(text, range, sources));
    }
    parts.extend(piece(text, at..text.len(), Vec::new()));
    parts
}

fn piece(text: &str, range: Range<usize>, citations: Vec<Value>) -> Option<Part> {
    let text = text.get(range).filter(|text| !text.is_empty())?;
    Some(Part::new(PartKind::Text {
        text: text.to_owned(),
        citations,
    }))
}

/// Which bytes of a text a citation is about. Cohere counts characters; where what it counts is not what it quotes, the
/// quotation is looked for, and where there is none the citation is about all of it.
fn range_of(text: &str, citation: &Value) -> Range<usize> {
    let place = |name: &str| {
        let number = usize::try_from(citation[name].as_u64()?).ok()?;
        let starts = text.char_indices().map(|(at, _)| at);
        starts.chain([text.len()]).nth(number)
    };
    let quoted = citation["text"].as_str();
    let counted = place("start")
        .zip(place("end"))
        .map(|(start, end)| start..end);
    let is_right = |range: &Range<usize>| {
        range.start < range.end
            && quoted.is_none_or(|quoted| text.get(range.clone()) == Some(quoted))
    };
    let found = || {
        let quoted = quoted.filter(|quoted| !quoted.is_empty())?;
        let start = text.find(quoted)?;
        Some(start..start + quoted.len())
    };
    counted
        .filter(is_right)
        .or_else(found)
        .unwrap_or(0..text.len())
}

/// A citation's sources, as Anthropic's citations.
pub(super) fn read(citation: &Value) -> Vec<Value> {
    let sources = citation["sources"].as_array().into_iter().flatten();
    sources.map(read_source).collect()
}

fn read_source(source: &Value) -> Value {
    let held = match source.get("document") {
        Some(document) => document,
        None => &source["tool_output"],
    };
    let member = |name: &str| held[name].as_str();
    let id = member("url").or(source["id"].as_str()).or(member("id"));
    let text = TEXTS.iter().find_map(|name| member(name));
    let text = text.map_or_else(|| whole(held), str::to_owned);
    // Which of the results it is, and which part of it, is not told; a client's library wants numbers.
    json!({
        "type": "search_result_location",
        "source": id.unwrap_or_default(),
        "title": member("title"),
        "cited_text": text,
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
    })
}

/// All that a source holds beside its names, where no member of it is its text.
fn whole(held: &Value) -> String {
    let mut rest = match held {
        Value::Object(members) => members.clone(),
        Value::String(text) => return text.clone(),
        _ => return String::new(),
    };
    rest.retain(|name, _| !matches!(name.as_str(), "id" | "title" | "url"));
    if rest.is_empty() {
        String::new()
    } else {
        Value::Object(rest).to_string()
    }
}

/// The citations of a piece of text as one of Cohere's, about the characters from `start` on; `None` where there are none.
pub(super) fn write(
    text: &str,
    start: usize,
    content_index: u32,
    citations: &[Value],
) -> Option<Value> {
    let sources: Vec<Value> = citations.iter().map(write_source).collect();
    (!sources.is_empty()).then(|| {
        json!({
            "start": start,
            "end": start + text.chars().count(),
            "text": text,
            "sources": sources,
            "content_index": content_index,
            "type": "TEXT_CONTENT",
        })
    })
}

/// Anthropic's citations tell their source under several names.
fn write_source(citation: &Value) -> Value {
    let member = |name: &str| citation[name].as_str().filter(|text| !text.is_empty());
    let url = member("url").or(member("source").filter(|source| source.starts_with("http")));
    let title = member("title").or(member("document_title"));
    let id = url.or(member("source")).or(title);
    let mut document = Map::new();
    put(&mut document, "id", id);
    put(&mut document, "title", title);
    put(&mut document, "url", url);
    put(&mut document, "text", member("cited_text"));
    json!({"type": "document", "id": id, "document": document})
}
