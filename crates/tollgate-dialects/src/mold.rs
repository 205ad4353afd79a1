//! What most events of a stream have in common: all but a text or two. Whoever has read one of them knows what another says that
//! differs in these texts alone, without reading it. Who reads a stream keeps what is [`Repeated`] in it; who looks on keeps a [`Mold`].

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

use crate::{Delta, SseEvent, StreamEvent};

/// Most molds that are made for a stream: one whose events are all different is not worth more.
pub(crate) const MOLDS_MAX: u8 = 16;

/// Where an event holds texts that differ from event to event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes {
    /// What is said.
    pub(crate) said: Range<usize>,
    /// A text that means nothing.
    pub(crate) idle: Option<Range<usize>>,
}

/// An event without its texts.
#[derive(Debug)]
pub(crate) struct Mold {
    name: Bytes,
    /// Before what is said or does not matter, between, and behind; all but the first begin with the quote that ends a text.
    parts: Vec<Box<[u8]>>,
    /// Which of the texts is what is said.
    said: usize,
}

impl Mold {
    /// Of an event with texts in these places, which are without escapes; `None` where they are not between quotes.
    pub(crate) fn of(event: &SseEvent, holes: Holes) -> Option<Self> {
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
    pub(crate) fn said<'a>(&self, event: &'a SseEvent) -> Option<&'a str> {
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

/// What the event that was read last says, and every one that differs from it in its text alone.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    last: Option<Told>,
    /// How often there was something to learn.
    learned: u8,
}

/// A piece of text that an event told, and nothing else.
#[derive(Debug)]
struct Told {
    mold: Mold,
    choice: u32,
    part: u32,
    delta: fn(String) -> Delta,
}

impl Repeated {
    /// Reads an event that is like the last one. What is not is for the reader, and may change what events mean.
    pub(crate) fn read(&mut self, event: &SseEvent) -> Option<StreamEvent> {
        let last = self.last.take()?;
        let text = last.mold.said(event)?.to_owned();
        let told = StreamEvent::Delta {
            choice: last.choice,
            part: last.part,
            delta: (last.delta)(text),
        };
        self.last = Some(last);
        Some(told)
    }

    /// Learns from an event that held this text, without escapes, and told all this. Reading it once more would tell the same again.
    pub(crate) fn learn(
        &mut self,
        event: &SseEvent,
        text: &str,
        padding: Option<&str>,
        told: &[StreamEvent],
    ) {
        let [
            StreamEvent::Delta {
                choice,
                part,
                delta,
            },
        ] = told
        else {
            return;
        };
        let delta: fn(String) -> Delta = match delta {
            Delta::Text(told) if told == text => Delta::Text,
            Delta::Reasoning(told) if told == text => Delta::Reasoning,
            _ => return,
        };
        if self.learned == MOLDS_MAX {
            return;
        }
        self.learned += 1;
        let idle = padding.and_then(|text| place_of(event, text));
        let holes = place_of(event, text).map(|said| Holes { said, idle });
        let mold = holes.and_then(|holes| Mold::of(event, holes));
        self.last = mold.map(|mold| Told {
            mold,
            choice: *choice,
            part: *part,
            delta,
        });
    }
}

/// Where a text is in an event that it was borrowed from.
pub(crate) fn place_of(event: &SseEvent, text: &str) -> Option<Range<usize>> {
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
    use crate::{StreamReader, watch::Watch};

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

    /// What a stream tells, whose first events open what the others go on with.
    fn told(dialect: Dialect, events: &[SseEvent]) -> Vec<StreamEvent> {
        let opening = match dialect {
            Dialect::AnthropicMessages => vec![
                json!({"type": "message_start", "message": {"id": "1", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ],
            _ => Vec::new(),
        };
        let mut reader = StreamReader::new(dialect, StreamEnd::Mark);
        let mut told = Vec::new();
        for event in opening.iter().map(event).chain(events.iter().cloned()) {
            if reader.read(&event, &mut told).is_err() {
                break;
            }
        }
        told
    }

    proptest! {
        /// What comes behind an event is nothing to its readers, but hides that it is like the one before.
        #[test]
        fn what_is_repeated_reads_as_what_is_not(
            dialect in prop::sample::select(vec![Dialect::OpenaiChat, Dialect::AnthropicMessages]),
            events in prop::collection::vec((0_usize..5, 1_usize..5, prop::collection::vec((texts(), texts()), 4)), 1..6),
        ) {
            let mut plain = Vec::new();
            for (way, times, texts) in events {
                let said = texts.iter().take(times);
                plain.extend(said.map(|(text, padding)| event(&saying(dialect, way, text, padding))));
            }
            let varied: Vec<SseEvent> = plain
                .iter()
                .enumerate()
                .map(|(number, event)| SseEvent {
                    data: [&event.data, " ".repeat(number % 3).as_bytes()].concat().into(),
                    ..event.clone()
                })
                .collect();
            prop_assert_eq!(told(dialect, &plain), told(dialect, &varied));
        }
    }

    #[test]
    fn an_event_like_the_last_one_is_read_without_its_reader() {
        let mut repeated = Repeated::default();
        let first = event(&saying(Dialect::OpenaiChat, 1, "Hi", "abc"));
        let text = str::from_utf8(&first.data).unwrap();
        let at = text.find("Hi").unwrap();
        let delta = |text: &str| StreamEvent::Delta {
            choice: 0,
            part: 2,
            delta: Delta::Text(text.to_owned()),
        };
        repeated.learn(&first, text.get(at..at + 2).unwrap(), None, &[delta("Hi")]);
        let second = event(&saying(Dialect::OpenaiChat, 1, "there", "abc"));
        assert_eq!(repeated.read(&second), Some(delta("there")));
        assert_eq!(repeated.read(&second), Some(delta("there")));
        let other = event(&saying(Dialect::OpenaiChat, 0, "there", "abc"));
        assert_eq!(repeated.read(&other), None);
        assert_eq!(
            repeated.read(&second),
            None,
            "another may have changed what it means"
        );
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
