//! What is looked at in a member that a person may see something of: whether there is something, and what it says where it is a text.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::openai_chat::Text;

/// Bytes of what is said that are taken down at most.
const SAID_MAX: usize = 256 << 10;

/// Room for what is said at first, in bytes.
const SAID_USUAL: usize = 256;

/// Adds a text to what was said, as far as there is room.
pub(crate) fn add_text(said: &mut String, text: &str) {
    if said.len() + text.len() <= SAID_MAX {
        if said.is_empty() {
            said.reserve(SAID_USUAL);
        }
        said.push_str(text);
    }
}

/// Whether there is something for a person to see: a text that is not empty, also within a list or an object, whose kind, id and
/// format do not count.
#[derive(Clone, Copy, Default)]
pub(super) struct Something(pub(super) bool);

impl<'de> Deserialize<'de> for Something {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SomethingVisitor)
    }
}

struct SomethingVisitor;

impl<'de> Visitor<'de> for SomethingVisitor {
    type Value = Something;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_str<E>(self, text: &str) -> Result<Something, E> {
        Ok(Something(!text.is_empty()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Something, A::Error> {
        let mut some = false;
        while let Some(item) = list.next_element::<Something>()? {
            some |= item.0;
        }
        Ok(Something(some))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Something, A::Error> {
        let mut some = false;
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, Something>()? {
            some |= value.0 && !matches!(&*name, "type" | "id" | "format");
        }
        Ok(Something(some))
    }
}

/// What a text says, or whether there is something else for a person to see.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) is_something: bool,
    text: Cow<'a, str>,
}

impl Said<'_> {
    /// The text as it stands in what it was read of; `None` for one with escapes.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.text {
            Cow::Borrowed(text) => Some(text),
            Cow::Owned(_) => None,
        }
    }

    /// Adds it, as far as there is room.
    pub(super) fn say(&self, said: &mut String) {
        add_text(said, &self.text);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Said<'de>, E> {
        Ok(Said {
            is_something: !text.is_empty(),
            text: Cow::Borrowed(text),
        })
    }

    fn visit_str<E>(self, text: &str) -> Result<Said<'de>, E> {
        Ok(Said {
            is_something: !text.is_empty(),
            text: Cow::Owned(text.to_owned()),
        })
    }

    fn visit_unit<E>(self) -> Result<Said<'de>, E> {
        Ok(Said::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Said<'de>, E> {
        Ok(Said::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Said<'de>, E> {
        Ok(Said::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Said<'de>, E> {
        Ok(Said::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Said<'de>, E> {
        Ok(Said::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Said<'de>, A::Error> {
        SomethingVisitor.visit_seq(list).map(Said::of)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Said<'de>, A::Error> {
        SomethingVisitor.visit_map(map).map(Said::of)
    }
}

impl<'a> Said<'a> {
    /// A text without escapes.
    pub(super) fn plain(text: &'a str) -> Self {
        Self {
            is_something: !text.is_empty(),
            text: Cow::Borrowed(text),
        }
    }
}

impl Said<'_> {
    /// Lists and objects: what they say is not taken down.
    fn of(something: Something) -> Self {
        Self {
            is_something: something.0,
            text: Cow::Borrowed(""),
        }
    }
}
