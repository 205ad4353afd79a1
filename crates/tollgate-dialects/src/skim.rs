//! Skimming JSON: where the members of an object and the elements of a list stand, and proof that all of it is JSON of bearable depth, in one
//! pass and without reading values.
//!
//! `serde_json` can do it as well, at four times the instructions for bodies of mostly text: it looks at eight bytes at a time, and takes each value
//! through several layers. What is JSON is the same for both (RFC 8259; half of a surrogate pair may stand, escaped, in a value, as nobody has read that yet);
//! the tests compare them. Why something is no JSON is told by `serde_json` alone.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::ReadError;

/// Room for the brackets that are open, for nearly every body.
const DEPTH_USUAL: usize = 16;

/// Goes through the members of the object that a text holds: the name of each, and the place of its value, which has to be taken by one of
/// [`Skimmer`]'s methods. All of the text was proved to be JSON once this returns; `depth_max` bounds its levels of nesting, the object itself included.
///
/// # Errors
/// When it is not JSON, not an object, or nested too deep. Members may have been seen by then.
pub(crate) fn members<'a>(
    text: &'a str,
    depth_max: usize,
    see: impl FnMut(&str, &mut Skimmer<'a>) -> Result<(), Fault>,
) -> Result<(), ReadError> {
    let mut skimmer = Skimmer::new(text, depth_max);
    match skimmer.object(see).and_then(|()| skimmer.end()) {
        Ok(()) => Ok(()),
        Err(Fault::TooDeep) => Err(ReadError::TooDeep(depth_max)),
        Err(Fault::OtherShape(member)) => Err(ReadError::shape(
            member,
            "is of another shape than it should be",
        )),
        Err(Fault::NotJson) => Err(not_an_object(text)),
    }
}

/// What is wrong with a text that holds no object.
fn not_an_object(text: &str) -> ReadError {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => ReadError::Json(error.to_string()),
        Ok(_) if text.trim_start().starts_with('{') => {
            ReadError::Json("a name holds half of a surrogate pair".to_owned())
        }
        Ok(_) => ReadError::shape("body", "is not a JSON object"),
    }
}

/// Why skimming ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not JSON.
    NotJson,
    /// It is nested too deep.
    TooDeep,
    /// What this member holds is of another shape than it should be.
    OtherShape(&'static str),
}

/// A place in a text, and what is open there.
#[derive(Debug)]
pub(crate) struct Skimmer<'a> {
    text: &'a str,
    at: usize,
    /// The brackets that will close what is open.
    closing: Vec<u8>,
    depth_max: usize,
}

impl<'a> Skimmer<'a> {
    fn new(text: &'a str, depth_max: usize) -> Self {
        Self {
            text,
            at: 0,
            closing: Vec::with_capacity(DEPTH_USUAL),
            depth_max,
        }
    }

    /// Takes a value. Where it is an object, its members are seen, each of which has to take its value.
    pub(crate) fn members(
        &mut self,
        see: impl FnMut(&str, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.skip_spaces();
        if self.byte() == Some(b'{') {
            return self.object(see);
        }
        self.value().map(|_| ())
    }

    /// Takes a value. Where it is a list, its elements are seen, each of which has to be taken.
    pub(crate) fn elements(
        &mut self,
        see: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.skip_spaces();
        if self.byte() == Some(b'[') {
            return self.list(see);
        }
        self.value().map(|_| ())
    }

    fn object(
        &mut self,
        mut see: impl FnMut(&str, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.expect(b'{')?;
        self.open(b'}')?;
        if self.closes(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            let name = self.name()?;
            self.expect(b':')?;
            see(&name, self)?;
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    fn list(&mut self, mut see: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'[')?;
        self.open(b']')?;
        if self.closes(b']') {
            return Ok(());
        }
        loop {
            see(self)?;
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    /// What stands behind a member or an element; says whether it was the last.
    fn ends(&mut self, closing: u8) -> Result<bool, Fault> {
        match self.token()? {
            b',' => Ok(false),
            byte if byte == closing => {
                self.closing.pop();
                Ok(true)
            }
            _ => Err(Fault::NotJson),
        }
    }

    /// Nothing more.
    fn end(&mut self) -> Result<(), Fault> {
        self.skip_spaces();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(Fault::NotJson)
        }
    }

    /// Takes any value, as it stands there.
    pub(crate) fn value(&mut self) -> Result<&'a str, Fault> {
        let around = self.closing.len();
        self.skip_spaces();
        let begin = self.at;
        loop {
            let is_open = self.begin_value()?;
            if is_open {
                continue;
            }
            if !self.after_value(around)? {
                let end = self.at;
                return self.text.get(begin..end).ok_or(Fault::NotJson);
            }
        }
    }

    /// A value with nothing in it, or the beginning of one, up to the first value in it. Says whether that comes next.
    fn begin_value(&mut self) -> Result<bool, Fault> {
        match self.token()? {
            b'"' => self.rest_of_text().map(|_| false),
            b'{' => {
                self.open(b'}')?;
                if self.closes(b'}') {
                    return Ok(false);
                }
                self.member_name()?;
                Ok(true)
            }
            b'[' => {
                self.open(b']')?;
                Ok(!self.closes(b']'))
            }
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            first @ (b'-' | b'0'..=b'9') => self.rest_of_number(first).map(|()| false),
            _ => Err(Fault::NotJson),
        }
    }

    /// What stands behind a value, up to the next one. Says whether there is one before as much is closed as was when it all began.
    fn after_value(&mut self, around: usize) -> Result<bool, Fault> {
        while self.closing.len() > around {
            let closing = self.closing.last().copied().unwrap_or_default();
            match self.token()? {
                b',' => {
                    if closing == b'}' {
                        self.member_name()?;
                    }
                    return Ok(true);
                }
                byte if byte == closing => {
                    self.closing.pop();
                }
                _ => return Err(Fault::NotJson),
            }
        }
        Ok(false)
    }

    fn member_name(&mut self) -> Result<(), Fault> {
        self.expect(b'"')?;
        self.rest_of_text()?;
        self.expect(b':')
    }

    /// A name, behind its opening quote.
    fn name(&mut self) -> Result<Cow<'a, str>, Fault> {
        let begin = self.at;
        if self.rest_of_text()? {
            let quoted = self.text.get(begin.saturating_sub(1)..self.at);
            let name = quoted.and_then(|quoted| serde_json::from_str(quoted).ok());
            return name.map(Cow::Owned).ok_or(Fault::NotJson);
        }
        let name = self.text.get(begin..self.at.saturating_sub(1));
        name.map(Cow::Borrowed).ok_or(Fault::NotJson)
    }

    fn open(&mut self, closing: u8) -> Result<(), Fault> {
        if self.closing.len() >= self.depth_max {
            return Err(Fault::TooDeep);
        }
        self.closing.push(closing);
        Ok(())
    }

    /// Closes what was opened last, if it is empty.
    fn closes(&mut self, closing: u8) -> bool {
        let closes = self.is_next(closing);
        if closes {
            self.closing.pop();
        }
        closes
    }

    /// The next byte that is no space.
    fn token(&mut self) -> Result<u8, Fault> {
        self.skip_spaces();
        let byte = self.byte().ok_or(Fault::NotJson)?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Fault> {
        if self.token()? == wanted {
            Ok(())
        } else {
            Err(Fault::NotJson)
        }
    }

    /// Steps over the next byte that is no space if it is this one.
    fn is_next(&mut self, wanted: u8) -> bool {
        self.skip_spaces();
        let is_next = self.byte() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.byte() {
            self.at += 1;
        }
    }

    /// The rest of `true`, `false` or `null`, in which no value stands.
    fn word(&mut self, rest: &[u8]) -> Result<bool, Fault> {
        let is_there = self
            .text
            .as_bytes()
            .get(self.at..)
            .is_some_and(|bytes| bytes.starts_with(rest));
        self.at += rest.len();
        if is_there {
            Ok(false)
        } else {
            Err(Fault::NotJson)
        }
    }

    /// A number behind its first byte.
    fn rest_of_number(&mut self, first: u8) -> Result<(), Fault> {
        let first = match first {
            b'-' => {
                let first = self.byte().ok_or(Fault::NotJson)?;
                self.at += 1;
                first
            }
            first => first,
        };
        match first {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            _ => return Err(Fault::NotJson),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit at least.
    fn digits(&mut self) -> Result<(), Fault> {
        let begin = self.at;
        self.skip_digits();
        if self.at == begin {
            return Err(Fault::NotJson);
        }
        Ok(())
    }

    fn skip_digits(&mut self) {
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
    }

    /// A text behind its opening quote. Says whether it has escapes.
    fn rest_of_text(&mut self) -> Result<bool, Fault> {
        let mut has_escapes = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain(rest);
            let special = self.byte().ok_or(Fault::NotJson)?;
            self.at += 1;
            match special {
                b'"' => return Ok(has_escapes),
                b'\\' => self.escape()?,
                _ => return Err(Fault::NotJson),
            }
            has_escapes = true;
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<(), Fault> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
            [b'u', digits @ ..] => {
                let digits = digits.first_chunk::<4>().ok_or(Fault::NotJson)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault::NotJson);
                }
                5
            }
            _ => return Err(Fault::NotJson),
        };
        self.at += length;
        Ok(())
    }
}

/// How many bytes of a text stand for themselves before the first that does not: its closing quote, an escape, or what may not stand there.
fn plain(bytes: &[u8]) -> usize {
    // Names and words are short.
    let near = bytes.get(..NEAR).unwrap_or(bytes);
    let mut at = first_special(near);
    if at < near.len() || near.len() < NEAR {
        return at;
    }
    let far = bytes.get(at..).unwrap_or_default();
    for block in far.as_chunks::<32>().0 {
        // Without a way out, so that it is done for many bytes at once.
        if block
            .iter()
            .fold(false, |found, byte| found | is_special(*byte))
        {
            break;
        }
        at += 32;
    }
    at + first_special(bytes.get(at..).unwrap_or_default())
}

/// Bytes that are looked at before many are looked at together.
const NEAR: usize = 16;

/// Where the first one is that does not stand for itself; the length where there is none. Eight are looked at together.
fn first_special(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return place * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let found = rest.iter().position(|byte| is_special(*byte));
    words.len() * 8 + found.unwrap_or(rest.len())
}

/// The highest bit of each byte that does not stand for itself. Of bytes above the first of them it may say so wrongly, where something is borrowed.
const fn specials(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    // A byte is zero where it is the one that is looked for.
    let quote = word ^ (EACH * 0x22);
    let backslash = word ^ (EACH * 0x5c);
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let quote = quote.wrapping_sub(EACH) & !quote;
    let backslash = backslash.wrapping_sub(EACH) & !backslash;
    (control | quote | backslash) & HIGH
}

/// Without a branch, for the same reason.
const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, value::RawValue};

    use super::*;

    type Seen = Vec<(String, String)>;

    fn skimmed(text: &str) -> Result<Seen, ReadError> {
        let mut seen = Seen::new();
        members(text, 64, |name, value| {
            seen.push((name.to_owned(), value.value()?.to_owned()));
            Ok(())
        })?;
        Ok(seen)
    }

    /// The same by `serde_json`.
    fn read(text: &str) -> Option<Seen> {
        struct All(Seen);
        impl<'de> serde::Deserialize<'de> for All {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = All;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<All, A::Error> {
                        let mut all = Seen::new();
                        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                            all.push((name, value.get().to_owned()));
                        }
                        Ok(All(all))
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
        serde_json::from_str::<All>(text).ok().map(|all| all.0)
    }

    #[test]
    fn members_stand_where_they_stand() {
        let text = " {\"a\" : [1, {\"b\": \"]}\\\"\"}] ,\"\\u0063\":-0.5e+7, \"d\":\"ü\\ud800\" , \"e\": {} ,\"f\":[ ]}\n";
        let told = skimmed(text).unwrap();
        let values: Vec<_> = told
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(
            values,
            [
                ("a", "[1, {\"b\": \"]}\\\"\"}]"),
                ("c", "-0.5e+7"),
                ("d", "\"ü\\ud800\""),
                ("e", "{}"),
                ("f", "[ ]")
            ]
        );
        assert_eq!(read(text), Some(told));
    }

    #[test]
    fn what_is_no_object_is_told_why() {
        let is_shape = |text: &str| matches!(skimmed(text), Err(ReadError::Shape { .. }));
        let is_json = |text: &str| matches!(skimmed(text), Err(ReadError::Json(_)));
        for text in ["[]", "7", "null", "\"a\"", " true "] {
            assert!(is_shape(text), "{text}: {:?}", skimmed(text));
        }
        for text in [
            "",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":-}",
            "{\"a\":1e}",
            "{\"a\":tru}",
            "{\"a\":nulL}",
            "{\"a\":[1,]}",
            "{\"a\":[1 2]}",
            "{\"a\":[}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"\n\"}",
            "{\"\\ud800\":1}",
            "{} {}",
            "{}x",
            "{'a':1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":[1}",
        ] {
            assert!(is_json(text), "{text}: {:?}", skimmed(text));
        }
    }

    #[test]
    fn depth_counts_the_object_itself() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(skimmed(&nested(63)).is_ok());
        assert_eq!(skimmed(&nested(64)), Err(ReadError::TooDeep(64)));
        // One after another is not one in another.
        let flat = format!("{{\"a\":[{}[]]}}", "[[]],".repeat(100));
        assert!(skimmed(&flat).is_ok());
    }

    #[test]
    fn what_is_inside_is_seen_on_the_way() {
        let inside = |text: &str| {
            let mut seen = Vec::new();
            members(text, 64, |_, list| {
                list.elements(|element| {
                    element.members(|name, value| {
                        seen.push(format!("{name}={}", value.value()?));
                        Ok(())
                    })
                })
            })
            .map(|()| seen)
        };
        let text = r#"{"a": [ {"b":1, "c" : [2]}, 3, {}, [{"d":4}] ], "e": {"f":5}, "g": [], "h":[{"i":{"j":6}}]}"#;
        assert_eq!(inside(text).unwrap(), ["b=1", "c=[2]", "i={\"j\":6}"]);
        for text in [
            r#"{"a":[1,]}"#,
            r#"{"a":[{"b":1]}"#,
            r#"{"a":[1}"#,
            r#"{"a":[{"b":1}"#,
            r#"{"a":[{"b"}]}"#,
        ] {
            assert!(inside(text).is_err(), "{text}");
        }
        let deep = |depth: usize| format!("{{\"a\":[{}{}]}}", "[".repeat(depth), "]".repeat(depth));
        assert!(inside(&deep(62)).is_ok());
        assert_eq!(inside(&deep(63)), Err(ReadError::TooDeep(64)));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,70}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((".{0,12}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_stands_for_itself_ends_at_the_first_that_does_not(bytes in proptest::collection::vec(prop_oneof![9 => 0x20_u8..=255, 1 => 0_u8..=255], 0..200)) {
            let first = bytes.iter().position(|byte| is_special(*byte));
            prop_assert_eq!(plain(&bytes), first.unwrap_or(bytes.len()));
        }

        #[test]
        fn every_object_is_read_the_same(value in any_json(), is_pretty: bool) {
            let text = if is_pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            prop_assert_eq!(skimmed(&text).ok(), read(&text));
        }

        #[test]
        fn so_is_what_is_broken(value in any_json(), place: prop::sample::Index, what in "[\\[\\]{}\",:\\\\0-9eE.+\\- tnu\u{1}ü]{0,3}", cut: usize) {
            let mut text: Vec<char> = value.to_string().chars().collect();
            let place = place.index(text.len() + 1);
            let end = place + cut.min(4).min(text.len() - place);
            text.splice(place..end, what.chars());
            let text: String = text.into_iter().collect();
            prop_assert_eq!(skimmed(&text).ok(), read(&text), "{}", text);
        }

        #[test]
        fn bytes_of_any_kind_make_nothing_fall(text in any::<String>()) {
            prop_assert_eq!(skimmed(&text).ok(), read(&text));
        }
    }
}
