//! Citations, between Converse's form and Anthropic's, which is ours
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Citation.html> and
//! <https://docs.claude.com/en/docs/build-with-claude/citations>, read 2026-11).

use serde_json::{Map, Value, json};

use super::blocks::texts;

/// Locations that both have: Converse's name, Anthropic's, and what Anthropic calls the document's number, start and end.
const LOCATIONS: [(&str, &str, [&str; 4]); 4] = [
    (
        "documentChar",
        "char_location",
        [
            "documentIndex",
            "document_index",
            "start_char_index",
            "end_char_index",
        ],
    ),
    (
        "documentPage",
        "page_location",
        [
            "documentIndex",
            "document_index",
            "start_page_number",
            "end_page_number",
        ],
    ),
    (
        "documentChunk",
        "content_block_location",
        [
            "documentIndex",
            "document_index",
            "start_block_index",
            "end_block_index",
        ],
    ),
    (
        "searchResultLocation",
        "search_result_location",
        [
            "searchResultIndex",
            "search_result_index",
            "start_block_index",
            "end_block_index",
        ],
    ),
];

/// A list of citations, in Anthropic's form.
pub(super) fn read_all(list: &Value) -> Vec<Value> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(read).collect()
}

/// A citation, in Anthropic's form; `None` for what has no place there.
pub(super) fn read(citation: &Value) -> Option<Value> {
    let mut told = Map::new();
    let mut tell = |name: &str, value: &Value| {
        if !value.is_null() {
            told.insert(name.to_owned(), value.clone());
        }
    };
    let location = &citation["location"];
    let known = LOCATIONS
        .iter()
        .find(|(name, ..)| location[*name].is_object());
    let is_web = location["web"].is_object();
    match known {
        Some((name, kind, [their_index, index, start, end])) => {
            let place = &location[*name];
            tell("type", &json!(kind));
            tell(index, &place[*their_index]);
            tell(start, &place["start"]);
            tell(end, &place["end"]);
        }
        None if is_web => {
            tell("type", &json!("web_search_result_location"));
            tell("url", &location["web"]["url"]);
        }
        None => return None,
    }
    let source = texts(&citation["sourceContent"]);
    if !source.is_empty() {
        tell("cited_text", &json!(source));
    }
    let is_document = known.is_some_and(|(name, ..)| name.starts_with("document"));
    tell(
        if is_document {
            "document_title"
        } else {
            "title"
        },
        &citation["title"],
    );
    tell("source", &citation["source"]);
    if is_web {
        // Anthropic's clients insist on them.
        for (name, value) in [
            ("cited_text", json!("")),
            ("encrypted_index", json!("")),
            ("title", Value::Null),
        ] {
            told.entry(name).or_insert(value);
        }
    }
    Some(Value::Object(told))
}

/// A citation in Converse's form; `None` for what has no place there.
pub(super) fn write(citation: &Value) -> Option<Value> {
    let mut told = Map::new();
    let title = [&citation["document_title"], &citation["title"]];
    if let Some(title) = title.into_iter().find(|title| title.is_string()) {
        told.insert("title".to_owned(), title.clone());
    }
    if citation["source"].is_string() {
        told.insert("source".to_owned(), citation["source"].clone());
    }
    if let Some(text) = citation["cited_text"].as_str() {
        told.insert("sourceContent".to_owned(), json!([{"text": text}]));
    }
    let kind = citation["type"].as_str()?;
    let location = match LOCATIONS.iter().find(|(_, known, _)| *known == kind) {
        Some((name, _, [their_index, index, start, end])) => {
            let mut place = Map::new();
            for (theirs, ours) in [(their_index, index), (&"start", start), (&"end", end)] {
                if citation[*ours].is_u64() {
                    place.insert((*theirs).to_owned(), citation[*ours].clone());
                }
            }
            json!({ *name: place })
        }
        None => {
            let url = citation["url"].as_str()?;
            let host = url
                .split("://")
                .nth(1)
                .and_then(|rest| rest.split('/').next());
            let domain = host.map(|host| host.trim_start_matches("www."));
            json!({"web": {"url": url, "domain": domain}})
        }
    };
    told.insert("location".to_owned(), location);
    Some(Value::Object(told))
}
