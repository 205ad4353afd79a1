//! What most events of a stream have in common: all but a text or two. Whoever has read one of them knows what another says that
//! differs in these texts alone, without reading it.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

use crate::SseEvent;

/// Where an event holds texts that differ from event to event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holes {
    /// What is said.
    pub(super) said: Range<usize>,
    /// A text that means nothing.
    pub(super) idle: Option<Range<usize>>,
}

/// An event without its texts.
#[derive(Debug)]
pub(super) struct Mold {
    name: Bytes,
    /// Before what is said or does not matter, between, and behind; all but the first begin with the quote that ends a text.
    parts: Vec<Box<[u8]>>,
    /// Which of the texts is what is said.
    said: usize,
}

impl Mold {
    /// Of an event with texts in these places, which are without escapes; `None` where they are not between quotes.
    pub(super) fn of(event: &SseEvent, holes: Holes) -> Option<Self> {
        let mut places = vec![holes.said.clone()];
        places.extend(holes.idle);
        places.sort_by_key(|place| place.start);
        let said = places.iter().position(|place| *place == holes.said)?;
        let mut parts: Vec<Box<[u8]>> = Vec::with_capacity(places.len() + 1);
        let mut from = 0;
        for place in places {
            let part = event.data.get(from..place.start)?;
            let is_quoted = part.ends_with(b"\"") && event.data.get(place.end) == Some(&b'"');
            parts.push(part.into());
            from = is_quoted.then_some(place.end)?;
        }
        parts.push(event.data.get(from..)?.into());
        Some(Self {
            name: event.name.clone(),
            parts,
            said,
        })
    }

    /// What an event says, if it differs from that of the mold in its texts alone, and says something. Texts with escapes are left to who
    /// reads them.
    pub(super) fn said<'a>(&self, event: &'a SseEvent) -> Option<&'a str> {
        let (first, others) = self.parts.split_first()?;
        if event.name != self.name {
            return None;
        }
        let mut rest = event.data.strip_prefix(&**first)?;
        let mut said = None;
        for (place, part) in others.iter().enumerate() {
            let (text, after) = rest.split_at(memchr2(b'"', b'\\', rest)?);
            // JSON has no such signs in texts.
            if text.iter().any(|byte| *byte < b' ') {
                return None;
            }
            let text = std::str::from_utf8(text).ok()?;
            if place == self.said {
                said = Some(text).filter(|text| !text.is_empty());
            }
            rest = after.strip_prefix(&**part)?;
        }
        said.filter(|_| rest.is_empty())
    }
}

/// Where a text is in an event that it was borrowed from.
pub(super) fn place_of(event: &SseEvent, text: &str) -> Option<Range<usize>> {
    let start = text
        .as_ptr()
        .addr()
        .checked_sub(event.data.as_ptr().addr())?;
    let place = start..start.checked_add(text.len())?;
    let is_there = !text.is_empty() && event.data.get(place.clone())? == text.as_bytes();
    is_there.then_some(place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tollgate_domain::{Dialect, StreamEnd};

    use super::*;
    use crate::watch::Watch;

    fn event(data: &Value) -> SseEvent {
        SseEvent {
            raw: Bytes::new(),
            name: Bytes::new(),
            data: data.to_string().into(),
        }
    }

    /// An event that says a text in one of several ways.
    fn saying(dialect: Dialect, way: usize, text: &str, padding: &str) -> Value {
        let delta =
            |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
        if dialect == Dialect::AnthropicMessages {
            return match way {
                0 | 1 => delta(json!({"type": "text_delta", "text": text})),
                2 => delta(json!({"type": "thinking_delta", "thinking": text})),
                3 => delta(json!({"type": "input_json_delta", "partial_json": text})),
                4 => {
                    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": text}})
                }
                _ => {
                    json!({"type": "message_delta", "delta": {"stop_reason": text}, "usage": {"output_tokens": 1}})
                }
            };
        }
        let choice = |delta: Value| json!([{"index": 0, "delta": delta, "finish_reason": null}]);
        match way {
            0 => json!({"id": "1", "choices": choice(json!({"content": text})), "usage": null}),
            1 => {
                json!({"id": "1", "choices": choice(json!({"content": text})), "obfuscation": padding})
            }
            2 => {
                json!({"obfuscation": padding, "choices": choice(json!({"reasoning": text, "content": null}))})
            }
            3 => {
                let function = json!({"name": null, "arguments": text});
                json!({"choices": choice(json!({"tool_calls": [{"index": 0, "function": function}]}))})
            }
            4 => {
                json!({"choices": choice(json!({"content": text, "reasoning_content": text}))})
            }
            _ => {
                json!({"choices": [{"index": 1, "delta": {"content": text}, "finish_reason": text}]})
            }
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z ,.]{0,12}",
            1 => any::<String>(),
            1 => prop::sample::select(vec!["\"", "\\", "\n", "\u{0}", "ä", "content", "\",\"usage\":{"]).prop_map(str::to_owned),
        ]
    }

    proptest! {
        /// Whether it was read or known from another, an event tells the same.
        #[test]
        fn what_is_known_of_an_event_is_what_it_says(
            dialect in prop::sample::select(vec![Dialect::OpenaiChat, Dialect::AnthropicMessages]),
            events in prop::collection::vec((0_usize..6, 1_usize..5, prop::collection::vec((texts(), texts()), 4)), 1..6),
        ) {
            let mut watch = Watch::new(dialect, StreamEnd::Mark);
            for (way, times, texts) in events {
                for (text, padding) in texts.iter().take(times) {
                    let event = event(&saying(dialect, way, text, padding));
                    let (mut said, mut said_alone) = (String::new(), String::new());
                    let mut seen = watch.see(&event, &mut said);
                    let mut alone = Watch::new(dialect, StreamEnd::Mark).see(&event, &mut said_alone);
                    // Anthropic's later events add to what earlier ones told.
                    (seen.usage, alone.usage) = (None, None);
                    prop_assert_eq!(seen, alone);
                    prop_assert_eq!(said, said_alone);
                }
            }
        }
    }

    #[test]
    fn what_differs_in_more_than_its_texts_is_not_known() {
        let first = event(&saying(Dialect::OpenaiChat, 1, "Hi", "abc"));
        let text = str::from_utf8(&first.data).unwrap();
        let at = |word: &str| text.find(word).map(|start| start..start + word.len());
        let holes = Holes {
            said: at("Hi").unwrap(),
            idle: at("abc"),
        };
        let mold = Mold::of(&first, holes).unwrap();
        let with = |from: &str, to: &str| SseEvent {
            data: text.replace(from, to).into(),
            ..first.clone()
        };
        assert_eq!(mold.said(&first), Some("Hi"));
        assert_eq!(mold.said(&with("Hi", "Ho, ho")), Some("Ho, ho"));
        assert_eq!(mold.said(&with("abc", "")), Some("Hi"));
        for (from, to) in [
            ("Hi", ""),
            ("Hi", "a\\n"),
            ("Hi", "a\n"),
            ("\"Hi\"", "null"),
            ("\"1\"", "\"2\""),
            ("null", "\"stop\""),
            ("}", "} "),
        ] {
            assert_eq!(
                mold.said(&with(from, to)),
                None,
                "{to:?} in place of {from:?}"
            );
        }
        let named = SseEvent {
            name: "error".into(),
            ..first.clone()
        };
        assert_eq!(mold.said(&named), None);
        assert_eq!(place_of(&first, "Hi"), None, "it was not borrowed of it");
    }
}
