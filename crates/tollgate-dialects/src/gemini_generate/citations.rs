//! Where a text was taken from: Gemini's `groundingMetadata` and `citationMetadata`, and Anthropic's citations, which are our form.
//!
//! Gemini tells places in a text in bytes of UTF-8. A citation of ours that was read here tells them in characters, as
//! `start_index` and `end_index`: Anthropic has no such members, and OpenAI's form wants them.

use serde_json::{Value, json};

/// Reads the sources of a choice's text, of which `text` is the part that they are about.
pub(super) fn read(grounding: Option<&Value>, citations: Option<&Value>, text: &str) -> Vec<Value> {
    let mut read = Vec::new();
    if let Some(grounding) = grounding {
        read_grounding(grounding, text, &mut read);
    }
    let sources = citations.map(|citations| {
        let named = ["citationSources", "citations"];
        named.iter().find_map(|name| citations[*name].as_array())
    });
    for source in sources.flatten().into_iter().flatten() {
        let title = source["title"].as_str();
        read.extend(citation(&source["uri"], title, place(source, text), text));
    }
    read
}

/// The parts of a text that are supported by something; where none are named, everything that was found is about all of it.
fn read_grounding(grounding: &Value, text: &str, read: &mut Vec<Value>) {
    let list = |name: &str| grounding[name].as_array().map_or(&[][..], Vec::as_slice);
    let chunks = list("groundingChunks");
    let one = |chunk: &Value, place: Option<(usize, usize)>| {
        // A page, a document, a place on the map.
        let source = ["web", "retrievedContext", "maps"];
        let source = source.iter().map(|name| &chunk[*name]);
        let source = source.into_iter().find(|source| source.is_object())?;
        citation(&source["uri"], source["title"].as_str(), place, text)
    };
    let supports = list("groundingSupports");
    if supports.is_empty() {
        let whole = (!text.is_empty()).then_some((0, text.len()));
        read.extend(chunks.iter().filter_map(|chunk| one(chunk, whole)));
    }
    for support in supports {
        let place = place(&support["segment"], text);
        let indices = support["groundingChunkIndices"].as_array();
        let indices = indices.into_iter().flatten().filter_map(Value::as_u64);
        let cited = indices.filter_map(|index| chunks.get(usize::try_from(index).ok()?));
        read.extend(cited.filter_map(|chunk| one(chunk, place)));
    }
}

/// The bytes that are meant, if there are such.
fn place(told: &Value, text: &str) -> Option<(usize, usize)> {
    let at = |name: &str| {
        let at = told[name].as_u64();
        at.map_or(Some(0), |at| usize::try_from(at).ok())
    };
    let (start, end) = (at("startIndex")?, at("endIndex")?);
    (start < end && text.get(start..end).is_some()).then_some((start, end))
}

fn citation(
    uri: &Value,
    title: Option<&str>,
    place: Option<(usize, usize)>,
    text: &str,
) -> Option<Value> {
    let uri = uri.as_str()?;
    let mut citation = json!({
        "type": "web_search_result_location",
        "url": uri,
        "title": title.unwrap_or(uri),
        "cited_text": "",
        "encrypted_index": "",
    });
    if let Some((start, end)) = place {
        let characters = |end: usize| text.get(..end).map_or(0, |text| text.chars().count());
        if (start, end) != (0, text.len()) {
            citation["cited_text"] = json!(text.get(start..end));
        }
        citation["start_index"] = json!(characters(start));
        citation["end_index"] = json!(characters(end));
    }
    Some(citation)
}

/// What supports a text, as it is being written.
#[derive(Debug, Default)]
pub(super) struct Grounding {
    chunks: Vec<Value>,
    supports: Vec<Value>,
}

impl Grounding {
    /// Adds citations of a text that begins after so many bytes of its choice.
    pub(super) fn add(&mut self, citations: &[Value], text: &str, start: usize) {
        for citation in citations {
            let Some(uri) = citation["url"].as_str() else {
                continue;
            };
            let title = citation["title"].as_str().unwrap_or(uri);
            let chunk = json!({"web": {"uri": uri, "title": title}});
            let known = self.chunks.iter().position(|known| *known == chunk);
            let index = known.unwrap_or_else(|| {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            });
            let (from, to) = bytes_of(citation, text).unwrap_or((0, text.len()));
            self.supports.push(json!({
                "segment": {"startIndex": start + from, "endIndex": start + to, "text": text.get(from..to)},
                "groundingChunkIndices": [index],
            }));
        }
    }

    /// `groundingMetadata`, if anything was cited.
    pub(super) fn write(&self) -> Option<Value> {
        (!self.chunks.is_empty())
            .then(|| json!({"groundingChunks": self.chunks, "groundingSupports": self.supports}))
    }
}

/// The place that a citation names, in bytes.
fn bytes_of(citation: &Value, text: &str) -> Option<(usize, usize)> {
    let byte = |name: &str| {
        let character = usize::try_from(citation[name].as_u64()?).ok()?;
        let bytes = text.char_indices().map(|(byte, _)| byte);
        bytes.chain([text.len()]).nth(character)
    };
    let (start, end) = (byte("start_index")?, byte("end_index")?);
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_in_characters_and_come_back_in_bytes() {
        let text = "Größe: 5. Alter: 7.";
        let grounding = json!({
            "groundingChunks": [{"web": {"uri": "https://a.example", "title": "a"}}, {"web": {"uri": "https://b.example"}}],
            "groundingSupports": [{"segment": {"endIndex": 11, "text": "x"}, "groundingChunkIndices": [0, 1]}],
        });
        let citations = read(Some(&grounding), None, text);
        assert_eq!(citations.len(), 2);
        assert_eq!(
            (&citations[0]["cited_text"], &citations[0]["end_index"]),
            (&json!("Größe: 5."), &json!(9))
        );
        let mut written = Grounding::default();
        written.add(&citations, text, 100);
        let segment = &written.write().unwrap()["groundingSupports"][1]["segment"];
        assert_eq!(
            (&segment["startIndex"], &segment["endIndex"]),
            (&json!(100), &json!(111))
        );
    }

    #[test]
    fn a_place_that_is_none_is_left_out() {
        let sources = json!({"citationSources": [
            {"startIndex": 1, "endIndex": 2, "uri": "https://a.example"},
            {"startIndex": 5, "endIndex": 900, "uri": "https://b.example"},
            {"startIndex": 0, "endIndex": 1, "license": "mit"},
        ]});
        let citations = read(None, Some(&sources), "ä");
        let places: Vec<&Value> = citations
            .iter()
            .map(|cited| &cited["start_index"])
            .collect();
        assert_eq!(places, [&Value::Null, &Value::Null]);
    }
}
