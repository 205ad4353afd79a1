//! YAML text → [`Node`] tree, by the parser underneath `serde-saphyr`, since only its events tell where each
//! key and value stands.
//!
//! Understood: YAML 1.2 with its core schema, anchors and aliases, merge keys (`<<`). All keys are texts.

use std::{borrow::Cow, collections::HashMap};

use serde_json::Number;
use serde_saphyr::granit_parser::{
    self, Event, Parser, ScalarStyle, ScanError, Span as EventSpan, StrInput, Tag, options,
};

use super::{
    diagnostics::Problems,
    tree::{Content, Entry, Filled, Node, Span, Text, TextStyle},
};

/// Aliases may repeat what is written; no more nodes than this come out, however they are nested, and no more text than would
/// weigh as much.
const NODES_MAX: usize = 200_000;

/// A file's tree, and where its comments are.
pub(crate) struct Document {
    pub(crate) root: Node,
    pub(crate) comments: Vec<Span>,
}

/// Reads the one document of a file; `None` when it is not YAML, which is then the one problem reported.
pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<Document> {
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(
            text,
            options! { max_buffered_comment_events: 100_000 },
        ),
        text,
        comments: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        problems,
    };
    match builder.document() {
        Ok(root) => Some(Document {
            root,
            comments: builder.comments,
        }),
        Err(Stop::Syntax(error)) => {
            report_syntax(text, &error, problems);
            None
        }
        Err(Stop::TooLarge) => {
            problems
                .error(0..0, "the configuration is too large")
                .help(format!(
                    "no more than {NODES_MAX} values, repetitions by aliases included"
                ));
            None
        }
    }
}

/// Why reading stopped.
enum Stop {
    Syntax(ScanError),
    TooLarge,
}

struct Builder<'a, 'p> {
    events: Parser<'a, StrInput<'a>>,
    text: &'a str,
    comments: Vec<Span>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: &'p mut Problems,
}

/// The entries of a map that is being read.
#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    places: HashMap<String, usize>,
}

impl Entries {
    /// Adds an entry, unless there is one of its key: then gives it back, with the place of that key.
    fn add(&mut self, entry: Entry) -> Result<(), (Entry, Span)> {
        if let Some(place) = self.places.get(&entry.key) {
            return Err((entry, self.list[*place].key_span.clone()));
        }
        self.places.insert(entry.key.clone(), self.list.len());
        self.list.push(entry);
        Ok(())
    }
}

impl<'a> Builder<'a, '_> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_none() => root = Some(self.node(event, span)?),
                _ => {
                    self.problems
                        .error(span, "the file has more than one YAML document")
                        .help("keep one, without `---` between its parts");
                    break;
                }
            }
        }
        Ok(root.unwrap_or_else(|| Node::new(Content::Null, 0..0)))
    }

    /// The next event that is not a comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        loop {
            let Some(next) = self.events.next() else {
                return Ok((Event::StreamEnd, self.text.len()..self.text.len()));
            };
            let (event, span) = next.map_err(Stop::Syntax)?;
            let span = byte_span(self.text, &span);
            match event {
                Event::Comment(..) => self.comments.push(span),
                event => return Ok((event, span)),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Stop> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Stop::TooLarge);
        }
        let (node, anchor) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(value, style, anchor, tag) => {
                let content = scalar(value, style, tag.as_deref());
                (Node::new(content, span), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(span)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(span)?, anchor),
            _ => (Node::new(Content::Null, span), 0),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&id) else {
            self.problems
                .error(span.clone(), "this alias stands inside of what it repeats");
            return Ok(Node::new(Content::Unknown, span));
        };
        self.nodes += node.weight();
        if self.nodes > NODES_MAX {
            return Err(Stop::TooLarge);
        }
        Ok(Node {
            span,
            ..node.clone()
        })
    }

    fn list(&mut self, mut span: Span) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                span.end = span.end.max(at.end);
                return Ok(Node::new(Content::List(items), span));
            }
            items.push(self.node(event, at)?);
        }
    }

    fn map(&mut self, mut span: Span) -> Result<Node, Stop> {
        let mut entries = Entries::default();
        let mut merged = Vec::new();
        let mut braces = false;
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                span.end = span.end.max(key_span.end);
                break;
            }
            let key = key_text(&event);
            let key_node = self.node(event, key_span.clone())?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span)?;
            match key {
                Some(key) if key == "<<" => merged.push(value),
                Some(key) => self.add(&mut entries, key, key_span, value),
                None => {
                    braces |= matches!(key_node.content, Content::Map(_));
                    if !braces {
                        self.problems.error(key_span, "a key must be text");
                    }
                }
            }
        }
        if braces {
            return Ok(self.bare_braces(span));
        }
        for value in merged {
            self.merge(&mut entries, value);
        }
        Ok(Node::new(Content::Map(entries.list), span))
    }

    fn add(&mut self, entries: &mut Entries, key: String, key_span: Span, value: Node) {
        let entry = Entry {
            key,
            key_span,
            value,
        };
        let Err((entry, first)) = entries.add(entry) else {
            return;
        };
        self.problems.mask(&entry.value);
        self.problems
            .error(entry.key_span, format!("`{}` is written twice", entry.key))
            .label("the second time")
            .related(first, "the first time")
            .help("remove one of the two");
    }

    /// `<<: *name` or `<<: [*one, *two]`: what is written out wins, then the earlier one.
    fn merge(&mut self, entries: &mut Entries, value: Node) {
        match value.content {
            Content::Map(theirs) => {
                for entry in theirs {
                    // One that is there already stays.
                    entries.add(entry).ok();
                }
            }
            Content::List(items) => items.into_iter().for_each(|item| self.merge(entries, item)),
            _ => {
                self.problems
                    .error(value.span, "`<<` takes a map, or a list of maps")
                    .help("give the alias of a map: `<<: *name`");
            }
        }
    }

    /// `key: {{ env.X }}`, which YAML reads as a map that is the key of a map.
    fn bare_braces(&mut self, span: Span) -> Node {
        let written = self.text.get(span.clone()).unwrap_or("{{ … }}");
        let help = format!("write `\"{}\"`", written.trim());
        self.problems
            .error(span.clone(), "`{{ … }}` without quotes is a map in YAML")
            .label("put quotes around it")
            .help(help);
        Node::new(Content::Unknown, span)
    }
}

fn byte_span(text: &str, span: &EventSpan) -> Span {
    let start = span.start.byte_offset().unwrap_or(0).min(text.len());
    let end = span.end.byte_offset().unwrap_or(start).min(text.len());
    let end = end.max(start);
    // A block's span goes to the start of what follows it.
    let trimmed = text
        .get(start..end)
        .map_or(end, |slice| start + slice.trim_end().len());
    start..trimmed
}

fn key_text(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Scalar(value, ..) => Some(value.clone().into_owned()),
        _ => None,
    }
}

fn scalar(value: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Content {
    if style == ScalarStyle::Plain && tag.is_none() {
        return plain(&value);
    }
    let style = match style {
        ScalarStyle::Literal | ScalarStyle::Folded => TextStyle::Block,
        ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
            TextStyle::Inline
        }
    };
    Content::Text(Text {
        value: value.into_owned(),
        filled: Filled::No,
        style,
    })
}

/// Reads a text without quotes by YAML's core schema (<https://yaml.org/spec/1.2.2/#103-core-schema>), in which
/// `yes` and `on` are texts. What is no finite number stays text.
pub(crate) fn plain(value: &str) -> Content {
    match value {
        "" | "~" | "null" | "Null" | "NULL" => return Content::Null,
        "true" | "True" | "TRUE" => return Content::Bool(true),
        "false" | "False" | "FALSE" => return Content::Bool(false),
        _ => {}
    }
    number(value).map_or_else(
        || {
            Content::Text(Text {
                value: value.to_owned(),
                filled: Filled::No,
                style: TextStyle::Inline,
            })
        },
        Content::Number,
    )
}

fn number(value: &str) -> Option<Number> {
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    if let Some(digits) = value.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = value.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None; // `inf`, `nan` and words
    }
    let unsigned = value.strip_prefix('+').unwrap_or(value);
    if let Ok(whole) = unsigned.parse::<u64>() {
        return Some(Number::from(whole));
    }
    if let Ok(whole) = unsigned.parse::<i64>() {
        return Some(Number::from(whole));
    }
    let float = unsigned.parse::<f64>().ok()?;
    Number::from_f64(float)
}

fn report_syntax(text: &str, error: &ScanError, problems: &mut Problems) {
    let start = error.marker().byte_offset().unwrap_or(0).min(text.len());
    let line = text
        .get(..start)
        .map_or(0, |before| before.rfind('\n').map_or(0, |end| end + 1));
    let rest = text.get(line..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let message = granit_message(error);
    let problem = problems.error(start..start, format!("not YAML: {message}"));
    if line.contains('\t') {
        problem.help("YAML does not indent with tabs: use spaces");
    } else if line.contains(": {{") || line.contains("- {{") {
        problem.help("put a value with `{{ … }}` in quotes: `\"{{ env.NAME }}\"`");
    } else {
        problem.help("look at the indentation, quotes and brackets of this line and the one above");
    }
}

fn granit_message(error: &granit_parser::ScanError) -> String {
    let info = error.info();
    info.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What a text means, and what is wrong with it.
    fn read(text: &str) -> (Value, String) {
        let mut problems = Problems::default();
        let value = parse(text, &mut problems).map(|document| document.root.to_json());
        let told: Vec<String> = problems
            .finish("a.yaml", text, &[])
            .iter()
            .map(|diagnostic| diagnostic.one_line())
            .collect();
        (value.unwrap_or_default(), told.join("; "))
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "[1, -2, +3, 0x1F, 0o17, 1.5, 1e3, .5, true, False, ~, null, yes, 1_000, '1', \"true\", 2027-01-31, .inf, 0.1.2, !!str 5]";
        let (value, told) = read(text);
        assert_eq!(told, "");
        assert_eq!(
            value,
            json!([
                1,
                -2,
                3,
                31,
                15,
                1.5,
                1000.0,
                0.5,
                true,
                false,
                null,
                null,
                "yes",
                "1_000",
                "1",
                "true",
                "2027-01-31",
                ".inf",
                "0.1.2",
                "5"
            ])
        );
    }

    #[test]
    fn merged_keys_give_way_to_written_ones() {
        let (value, told) =
            read("one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nall: {<<: [*one, *two], c: 3}\n");
        assert_eq!(told, "");
        assert_eq!(value["all"], json!({"c": 3, "a": 1, "b": 1}));
    }

    #[test]
    fn every_key_that_is_written_twice_is_told() {
        let (value, told) = read("a: 1\na: 2\nb: {c: 1, c: 2}\n");
        assert_eq!(value, json!({"a": 1, "b": {"c": 1}}));
        assert_eq!(
            told,
            "a.yaml:2:1: error: `a` is written twice; a.yaml:3:11: error: `c` is written twice"
        );
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = vec![format!("*a{}", level - 1); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        let (_, told) = read(&text);
        assert_eq!(told, "a.yaml:1:1: error: the configuration is too large");
    }

    #[test]
    fn aliases_of_a_long_text_cannot_blow_up() {
        let long = "x".repeat(1 << 20);
        let text = format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(100));
        let (_, told) = read(&text);
        assert_eq!(told, "a.yaml:1:1: error: the configuration is too large");
    }

    #[test]
    fn an_alias_inside_of_itself_is_told() {
        let (_, told) = read("a: &a [*a]\n");
        assert!(told.contains("alias"), "{told}");
    }

    #[test]
    fn deep_nesting_is_told_and_does_not_overflow() {
        let (_, told) = read(&"[".repeat(100_000));
        assert!(told.contains("not YAML"), "{told}");
    }
}
