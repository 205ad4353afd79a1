//! A configuration file as a tree whose every node knows where it was written.
//!
//! Nothing here is `Debug`: a tree holds credentials.

use std::ops::Range;

use serde_json::{Map, Number, Value};

/// Bytes of the file's text.
pub(crate) type Span = Range<usize>;

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Node {
    /// What is written.
    pub(crate) content: Content,
    /// Where it is written. For an alias (`*name`), where the alias is.
    pub(crate) span: Span,
    /// Where an alias's value is written; else the same as `span`.
    pub(crate) defined: Span,
}

/// What a node holds.
#[derive(Clone)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Something is written here, but there is a mistake in it, which has been reported. Later checks pass
    /// over it, and do not take it for absent.
    Unknown,
}

/// A text value.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// Whether any of it comes from the environment or from another file.
    pub(crate) filled: Filled,
    /// How it was written.
    pub(crate) style: TextStyle,
}

/// Whether a text comes from the environment or from another file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filled {
    /// It stands in the file as it is.
    No,
    /// Some of it has been filled in, and must not be shown.
    Yes,
}

/// How a text was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextStyle {
    /// On one line, or quoted.
    Inline,
    /// As a block after `|` or `>`, which starts on the line below.
    Block,
}

/// A key and its value.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// A node and the way to its parts: where a check stands. Going to a part that is not written stays where
/// it is, so that a mistake about something missing points at what surrounds it.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    node: &'a Node,
    key_span: Option<&'a Span>,
}

// === impl Node ===

impl Node {
    pub(crate) fn new(content: Content, span: Span) -> Self {
        Self {
            content,
            defined: span.clone(),
            span,
        }
    }

    /// A text that the program made up while rewriting another form.
    pub(crate) fn text(value: &str, span: Span) -> Self {
        let text = Text {
            value: value.to_owned(),
            filled: Filled::No,
            style: TextStyle::Inline,
        };
        Self::new(Content::Text(text), span)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    /// Whether any of it comes from the environment or from another file.
    pub(crate) fn is_filled(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.filled == Filled::Yes)
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of this key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of this key, unless it is null.
    pub(crate) fn value(&self, key: &str) -> Option<&Self> {
        let value = &self.entry(key)?.value;
        (!matches!(value.content, Content::Null)).then_some(value)
    }

    /// Removes the entry of this key.
    pub(crate) fn take(&mut self, key: &str) -> Option<Entry> {
        let Content::Map(entries) = &mut self.content else {
            return None;
        };
        let place = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(place))
    }

    /// Adds an entry to a map.
    pub(crate) fn push(&mut self, key: &str, key_span: Span, value: Self) {
        if let Content::Map(entries) = &mut self.content {
            entries.push(Entry {
                key: key.to_owned(),
                key_span,
                value,
            });
        }
    }

    /// Where to point when something about the whole node is wrong: for a map its first key, since its
    /// span goes over many lines.
    pub(crate) fn head(&self) -> Span {
        self.entries()
            .first()
            .map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
    }

    /// How much it is to copy: its nodes, a long text counting as many.
    pub(crate) fn weight(&self) -> usize {
        const NODE_BYTES: usize = 64;
        1 + match &self.content {
            Content::Text(text) => text.value.len() / NODE_BYTES,
            Content::List(items) => items.iter().map(Self::weight).sum(),
            Content::Map(entries) => entries
                .iter()
                .map(|entry| entry.key.len() / NODE_BYTES + entry.value.weight())
                .sum(),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Unknown => 0,
        }
    }

    /// What kind of value it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
            Content::Unknown => "something unknown",
        }
    }

    /// The tree without its places, and without the entries whose value is unknown.
    pub(crate) fn to_json(&self) -> Value {
        match &self.content {
            Content::Null | Content::Unknown => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(number.clone()),
            Content::Text(text) => Value::String(text.value.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .filter(|entry| !matches!(entry.value.content, Content::Unknown))
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

// === impl At ===

impl<'a> At<'a> {
    /// Stands at the root.
    pub(crate) fn root(node: &'a Node) -> Self {
        Self {
            node,
            key_span: None,
        }
    }

    /// Goes to a key's value.
    pub(crate) fn key(self, key: &str) -> Self {
        self.node.entry(key).map_or(self, |entry| Self {
            node: &entry.value,
            key_span: Some(&entry.key_span),
        })
    }

    /// Goes to an item of a list.
    pub(crate) fn item(self, index: usize) -> Self {
        let item = self.node.as_list().and_then(|items| items.get(index));
        item.map_or(self, |node| Self {
            node,
            key_span: None,
        })
    }

    /// Whether this key is written here, with whatever value.
    pub(crate) fn has(self, key: &str) -> bool {
        self.node.entry(key).is_some()
    }

    pub(crate) fn node(self) -> &'a Node {
        self.node
    }

    /// Where the value is; for a map, where it begins.
    pub(crate) fn span(self) -> Span {
        self.node.head()
    }

    /// Where the key of the value is, or else the value.
    pub(crate) fn key_span(self) -> Span {
        self.key_span.cloned().unwrap_or_else(|| self.span())
    }
}
