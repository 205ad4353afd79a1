//! Holds a file's tree against the schema of [`super::written`]: unknown and missing keys, wrong kinds of values, words that
//! are not known, numbers out of range.
//!
//! What is wrong is reported and taken out of the tree, or made [`Content::Unknown`] where a key stays of interest, so
//! that the rest can be looked at in the same run. What is left always fits the types of [`super::written`].

use std::collections::HashSet;

use serde_json::Value;

use super::{
    diagnostics::{self, Problem, Problems, quoted_node},
    tree::{Content, Entry, Filled, Node, Span},
    units,
    written::CONDITIONAL,
    yaml,
};

/// What messages call the whole file.
const ROOT: &str = "the configuration";

/// Checks a tree against a schema.
pub(crate) struct Checker<'a> {
    pub(crate) schema: &'a Value,
    pub(crate) problems: &'a mut Problems,
}

/// What became of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It fits, now that what did not has been taken out of it.
    Fits,
    /// It must be taken out.
    Out,
}

/// The keys of an object.
struct Keys<'a> {
    properties: Option<&'a serde_json::Map<String, Value>>,
    /// The schema of any other key, or `false`.
    others: &'a Value,
    /// Whether keys may say when their values hold: `input>200000`, `input@flex`.
    conditional: bool,
}

impl<'a> Checker<'a> {
    /// Checks a whole file.
    pub(crate) fn check(&mut self, root: &mut Node) -> Fit {
        let schema = self.schema;
        self.node(root, schema, ROOT)
    }

    /// Checks a node, which messages call `what`.
    fn node(&mut self, node: &mut Node, schema: &'a Value, what: &str) -> Fit {
        if matches!(node.content, Content::Unknown) {
            return Fit::Out; // already reported
        }
        let schema = self.resolve(schema);
        if let Some(branches) = branches(schema) {
            return self.branches(node, branches, what);
        }
        self.single(node, schema, what)
    }

    /// Checks against a schema without branches.
    fn single(&mut self, node: &mut Node, schema: &'a Value, what: &str) -> Fit {
        let kinds = kinds_of(schema);
        if kinds.is_empty() && schema.get("const").is_none() && schema.get("enum").is_none() {
            return Fit::Fits; // anything goes
        }
        coerce(node, &kinds);
        if !kinds.is_empty() && !kinds.iter().any(|kind| is_kind(node, kind)) {
            self.wrong_kind(node, &wanted(schema), what);
            return Fit::Out;
        }
        match &node.content {
            Content::Map(_) => self.map(node, schema),
            Content::List(_) => self.list(node, schema, what),
            Content::Text(_) => self.text(node, schema, what),
            Content::Number(_) => self.number(node, schema, what),
            Content::Null | Content::Bool(_) | Content::Unknown => Fit::Fits,
        }
    }

    /// Checks against the one of several schemas that was most likely meant.
    fn branches(&mut self, node: &mut Node, branches: &'a [Value], what: &str) -> Fit {
        let branches: Vec<&Value> = branches
            .iter()
            .flat_map(|branch| self.flatten(branch))
            .collect();
        let same_kind = |node: &Node| -> Vec<&'a Value> {
            let takes = |branch: &Value| kinds_of(branch).iter().any(|kind| is_kind(node, kind));
            branches
                .iter()
                .copied()
                .filter(|branch| takes(branch))
                .collect()
        };
        let mut candidates = same_kind(node);
        if candidates.is_empty() {
            let kinds: Vec<&str> = branches
                .iter()
                .flat_map(|branch| kinds_of(branch))
                .collect();
            coerce(node, &kinds);
            candidates = same_kind(node);
        }
        match candidates.as_slice() {
            [] => {
                let wanted: Vec<String> = branches.iter().map(|branch| wanted(branch)).collect();
                self.wrong_kind(node, &either(wanted), what);
                Fit::Out
            }
            _ if matches!(node.content, Content::Text(_)) => {
                self.text_branches(node, &branches, &candidates, what)
            }
            [only] => self.single(node, only, what),
            _ => {
                let likeliest = candidates
                    .iter()
                    .copied()
                    .max_by_key(|branch| shared_keys(node, branch))
                    .unwrap_or(&Value::Null);
                self.single(node, likeliest, what)
            }
        }
    }

    /// Checks a text against the branches that take texts.
    fn text_branches(
        &mut self,
        node: &Node,
        branches: &[&Value],
        candidates: &[&Value],
        what: &str,
    ) -> Fit {
        let words: Vec<&str> = candidates
            .iter()
            .flat_map(|branch| words_of(branch))
            .collect();
        let takes_any_text = candidates.iter().any(|branch| words_of(branch).is_empty());
        if takes_any_text || node.as_text().is_some_and(|text| words.contains(&text)) {
            return Fit::Fits;
        }
        if branches.len() == candidates.len() {
            return self.word(node, &words, what);
        }
        let wanted = branches.iter().map(|branch| wanted(branch)).collect();
        let problem = self.wrong_kind(node, &either(wanted), what);
        let meant = diagnostics::did_you_mean(node.as_text().unwrap_or_default(), words);
        if let Some(word) = meant {
            problem.help(format!("did you mean `{word}`?"));
        }
        Fit::Out
    }

    fn map(&mut self, node: &mut Node, schema: &'a Value) -> Fit {
        let keys = Keys::of(schema);
        let head = node.head();
        let Content::Map(entries) = &mut node.content else {
            return Fit::Out;
        };
        let written: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
        let mut present = Vec::new();
        entries.retain_mut(|entry| {
            if keys.properties.is_some() && matches!(entry.value.content, Content::Null) {
                return keys.is_free(&entry.key); // nothing behind the colon: as if it were not there
            }
            let Some(schema) = keys.schema(&entry.key) else {
                if entry.key.starts_with("x-") && schema.get("patternProperties").is_some() {
                    return false;
                }
                self.report_unknown_key(entry, &keys);
                // The key that was meant is not missing, too.
                return match diagnostics::did_you_mean(&entry.key, keys.names()) {
                    Some(meant) if !written.contains(meant) => {
                        present.push(meant.to_owned());
                        entry.key = meant.to_owned();
                        entry.value.content = Content::Unknown;
                        true
                    }
                    _ => false,
                };
            };
            present.push(entry.key.clone());
            let what = format!("`{}`", entry.key);
            if self.node(&mut entry.value, schema, &what) == Fit::Out {
                entry.value.content = Content::Unknown;
            }
            true
        });
        self.report_missing_keys(schema, &present, head);
        Fit::Fits
    }

    fn report_unknown_key(&mut self, entry: &Entry, keys: &Keys<'_>) {
        let key = entry.key.as_str();
        self.problems.mask_unknown(key, &entry.value, keys.names());
        let help = diagnostics::suggestion(key, keys.names(), "the keys that are known here");
        self.problems
            .error(
                entry.key_span.clone(),
                format!("unknown key {}", diagnostics::quoted(key)),
            )
            .help(help);
    }

    fn report_missing_keys(&mut self, schema: &Value, present: &[String], head: Span) {
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        for key in required.filter(|key| !present.iter().any(|name| name == key)) {
            let about = schema
                .pointer(&format!("/properties/{key}/description"))
                .and_then(Value::as_str);
            let problem = self
                .problems
                .error(head.clone(), format!("`{key}` is missing"))
                .label(format!("`{key}` is wanted here"));
            if let Some(about) = about {
                problem.help(format!("`{key}`: {}", one_line(about)));
            }
        }
    }

    fn list(&mut self, node: &mut Node, schema: &'a Value, what: &str) -> Fit {
        let items = schema.get("items").unwrap_or(&Value::Bool(true));
        let what = format!("an item of {what}");
        if let Content::List(nodes) = &mut node.content {
            nodes.retain_mut(|item| self.node(item, items, &what) == Fit::Fits);
        }
        Fit::Fits
    }

    fn text(&mut self, node: &Node, schema: &Value, what: &str) -> Fit {
        let words = words_of(schema);
        if !words.is_empty() {
            return self.word(node, &words, what);
        }
        let Some(text) = node.as_text() else {
            return Fit::Out;
        };
        let right = match schema.get("format").and_then(Value::as_str) {
            Some("tollgate-time") => units::duration(text).is_some(),
            Some("tollgate-size") => units::size(text).is_some_and(|bytes| bytes > 0),
            _ => true,
        };
        if right {
            return Fit::Fits;
        }
        self.wrong_kind(node, &wanted(schema), what);
        Fit::Out
    }

    fn word(&mut self, node: &Node, words: &[&str], what: &str) -> Fit {
        let Some(text) = node.as_text() else {
            return Fit::Out;
        };
        if words.contains(&text) {
            return Fit::Fits;
        }
        let help = diagnostics::suggestion(text, words.iter().copied(), "what is known");
        let shown = quoted_node(node);
        self.problems
            .error(node.span.clone(), format!("{what} cannot be {shown}"))
            .help(help);
        Fit::Out
    }

    fn number(&mut self, node: &Node, schema: &Value, what: &str) -> Fit {
        let Content::Number(number) = &node.content else {
            return Fit::Out;
        };
        let value = number.as_f64().unwrap_or(f64::NAN);
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most) {
            return Fit::Fits;
        }
        let bounds = match (least, most) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (None, most) => format!("{} or less", most.unwrap_or_default()),
        };
        self.problems
            .error(
                node.span.clone(),
                format!("{what} is out of range: {}", quoted_node(node)),
            )
            .help(format!("it may be {bounds}"));
        Fit::Out
    }

    fn wrong_kind(&mut self, node: &Node, wanted: &str, what: &str) -> &mut Problem {
        let found = match &node.content {
            Content::Text(_) | Content::Number(_) | Content::Bool(_) => quoted_node(node),
            _ => node.kind().to_owned(),
        };
        let problem = self
            .problems
            .error(node.head(), format!("{what} must be {wanted}"))
            .label(format!("found {found}"));
        match &node.content {
            Content::Number(number) if wanted.starts_with("text") => {
                problem.help(format!("put it in quotes: `\"{number}\"`"));
            }
            Content::Number(number) if wanted.starts_with("a time") => {
                problem.help(format!("with its unit: `{number}s`"));
            }
            Content::Text(text) if wanted.starts_with("true") => {
                problem.help(match text.value.to_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" => "write `true`, without quotes",
                    "false" | "no" | "off" | "n" => "write `false`, without quotes",
                    _ => "write `true` or `false`, without quotes",
                });
            }
            Content::Map(_) if wanted.starts_with("a list") => {
                problem.help("begin each item with `- `");
            }
            _ if what == ROOT => {
                problem.help("it begins with keys such as `providers:` and `routes:`");
            }
            _ => {}
        }
        problem
    }

    /// Follows a reference, keeping to one schema.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let mut schema = schema;
        for _ in 0..16 {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
                break;
            };
            let pointer = reference.trim_start_matches('#');
            schema = self.schema.pointer(pointer).unwrap_or(&Value::Bool(true));
        }
        schema
    }

    /// A branch's own branches, in place of it.
    fn flatten(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        branches(schema).map_or_else(
            || vec![schema],
            |inner| {
                inner
                    .iter()
                    .flat_map(|branch| self.flatten(branch))
                    .collect()
            },
        )
    }
}

// === impl Keys ===

impl<'a> Keys<'a> {
    fn of(schema: &'a Value) -> Self {
        Self {
            properties: schema.get("properties").and_then(Value::as_object),
            others: schema
                .get("additionalProperties")
                .unwrap_or(&Value::Bool(true)),
            conditional: schema
                .get("patternProperties")
                .is_some_and(|patterns| patterns.get(CONDITIONAL).is_some()),
        }
    }

    fn schema(&self, key: &str) -> Option<&'a Value> {
        let find = |name: &str| self.properties.and_then(|properties| properties.get(name));
        let own = match key.split_once(['>', '@']) {
            Some((name, _)) if self.conditional => {
                find(name).filter(|schema| kinds_of(schema) == ["number"])
            }
            _ => find(key),
        };
        own.or_else(|| (self.others != &Value::Bool(false)).then_some(self.others))
    }

    /// Whether a key of the operator's own choice.
    fn is_free(&self, key: &str) -> bool {
        self.properties
            .is_none_or(|properties| !properties.contains_key(key))
            && self.others != &Value::Bool(false)
    }

    fn names(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.properties
            .into_iter()
            .flat_map(|properties| properties.keys().map(String::as_str))
    }
}

fn branches(schema: &Value) -> Option<&[Value]> {
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf"))?;
    branches.as_array().map(Vec::as_slice)
}

/// The kinds of values that a schema takes; none when it takes any.
fn kinds_of(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => words_of(schema)
            .first()
            .map(|_| "string")
            .into_iter()
            .collect(),
    }
}

/// The words that a schema takes; none when it takes any text.
fn words_of(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(Value::as_str);
    listed
        .chain(schema.get("const").and_then(Value::as_str))
        .collect()
}

fn is_kind(node: &Node, kind: &str) -> bool {
    match &node.content {
        Content::Bool(_) => kind == "boolean",
        Content::Number(number) => {
            kind == "number" || (kind == "integer" && (number.is_u64() || number.is_i64()))
        }
        Content::Text(_) => kind == "string",
        Content::List(_) => kind == "array",
        Content::Map(_) => kind == "object",
        Content::Null | Content::Unknown => false,
    }
}

/// What came from outside is text; where something else is wanted, it is read as YAML would read it.
fn coerce(node: &mut Node, kinds: &[&str]) {
    let Content::Text(text) = &node.content else {
        return;
    };
    if text.filled == Filled::No || kinds.contains(&"string") {
        return;
    }
    let read = Node::new(yaml::plain(text.value.trim()), node.span.clone());
    if kinds.iter().any(|kind| is_kind(&read, kind)) {
        node.content = read.content;
    }
}

fn shared_keys(node: &Node, schema: &Value) -> usize {
    let properties = schema.get("properties").and_then(Value::as_object);
    node.entries()
        .iter()
        .filter(|entry| properties.is_some_and(|properties| properties.contains_key(&entry.key)))
        .count()
}

/// What a schema takes, in words.
fn wanted(schema: &Value) -> String {
    match schema.get("format").and_then(Value::as_str) {
        Some("tollgate-time") => return units::DURATION_FORM.to_owned(),
        Some("tollgate-size") => return units::SIZE_FORM.to_owned(),
        _ => {}
    }
    let words = words_of(schema);
    if !words.is_empty() {
        return either(words.iter().map(|word| format!("`{word}`")).collect());
    }
    let kinds = kinds_of(schema).into_iter().map(|kind| match kind {
        "boolean" => "true or false".to_owned(),
        "integer" => "a whole number".to_owned(),
        "number" => "a number".to_owned(),
        "string" => "text".to_owned(),
        "array" => "a list".to_owned(),
        _ => keys_in_words(schema),
    });
    either(kinds.collect())
}

fn keys_in_words(schema: &Value) -> String {
    const NAMED_MAX: usize = 4;
    let names: Vec<&str> = Keys::of(schema).names().collect();
    if names.is_empty() || names.len() > NAMED_MAX {
        return "a map".to_owned();
    }
    format!("a map with {}", diagnostics::list(&names))
}

fn either(mut options: Vec<String>) -> String {
    options.dedup();
    match options.pop() {
        Some(last) if options.is_empty() => last,
        Some(last) => format!("{} or {last}", options.join(", ")),
        None => String::new(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
