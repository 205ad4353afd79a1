//! What the gateway needs to know of a call's body, found without reading it in full, and the few changes that
//! it makes to a body that passes through.

mod spelling;

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tollgate_domain::Dialect;

use crate::{ReadError, skim};

/// Room for the members of nearly every body.
const MEMBERS_USUAL: usize = 16;

/// Bounds of a body.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Most levels of nesting, the outermost object included.
    pub depth_max: usize,
}

/// What the gateway needs to know of a call's body. That one exists proves that the body is a JSON object of bearable
/// depth, in which no field appears twice: whoever reads it later reads the same.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// What the client asks for; `None` where the body does not say.
    pub model: Option<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client wants usage in its stream. Only OpenAI's older dialects leave the choice.
    pub include_usage: bool,
    /// The end user, as the caller calls them.
    pub user: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Cap on generated tokens.
    pub max_tokens: Option<u64>,
    /// How many answers are asked for, where that is said.
    pub choices: Option<u64>,
    takes_stream_options: bool,
    /// Where sampling has an object of its own: that object, and what the fields that every dialect knows are called in it.
    sampling: Option<&'static Sampling>,
    /// The cap on generated tokens is called `max_output_tokens`.
    caps_output: bool,
    /// What nucleus sampling is called.
    top_p_name: &'static str,
    /// The fields in the order of the body.
    fields: Vec<Field>,
    /// Just after the opening brace.
    start: usize,
}

#[derive(Clone, Debug)]
struct Field {
    name: Box<str>,
    value: Range<usize>,
}

/// An object of a body that holds how to sample: its names, and our names for its fields with its own, in every spelling.
#[derive(Debug)]
struct Sampling {
    objects: &'static [&'static str],
    fields: &'static [(&'static str, &'static [&'static str])],
}

const OLLAMA_OPTIONS: Sampling = Sampling {
    objects: &["options"],
    fields: &[
        ("max_tokens", &["num_predict"]),
        ("temperature", &["temperature"]),
        ("top_p", &["top_p"]),
    ],
};

const GEMINI_SAMPLING: Sampling = Sampling {
    objects: &["generationConfig", "generation_config"],
    fields: &[
        ("max_tokens", &["maxOutputTokens", "max_output_tokens"]),
        ("temperature", &["temperature"]),
        ("top_p", &["topP", "top_p"]),
    ],
};

/// What is done about `model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelEdit<'a> {
    /// Nothing.
    Keep,
    /// The body names this model.
    Set(&'a str),
    /// The body names none.
    Remove,
    /// The body names none, but the object in this field does, or each in the list there.
    Inside {
        /// The field.
        field: &'static str,
        /// As it is named there.
        model: &'a str,
    },
}

/// Changes to a body that otherwise passes through as it is.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'a> {
    /// What is done about `model`.
    pub model: ModelEdit<'a>,
    /// Fields to set where the body has none, or null; an earlier map wins over a later one. `max_tokens` and
    /// `max_completion_tokens` count as one. `model` and `stream` are never set from here.
    pub defaults: &'a [&'a Map<String, Value>],
    /// A stream of OpenAI's is to tell its usage (`stream_options.include_usage`).
    pub ask_usage: bool,
}

// === impl Head ===

impl Head {
    /// Reads what is needed of a body, in one pass and without building a tree.
    ///
    /// # Errors
    /// When the body is not a JSON object, is nested too deep, has a field twice, or has a `model` that is not a text or a
    /// `stream` that is not a boolean.
    pub fn scan(dialect: Dialect, body: &Bytes, limits: HeadLimits) -> Result<Self, ReadError> {
        let mut members = Vec::with_capacity(MEMBERS_USUAL);
        skim::members(text_of(body)?, limits.depth_max, |name, value| {
            members.push((Box::<str>::from(name), value.value()?));
            Ok(())
        })?;
        let takes_stream_options =
            matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiCompletions);
        let mut head = Self {
            stream: matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate),
            include_usage: !takes_stream_options,
            takes_stream_options,
            sampling: match dialect {
                Dialect::OllamaChat | Dialect::OllamaGenerate => Some(&OLLAMA_OPTIONS),
                Dialect::GeminiGenerate => Some(&GEMINI_SAMPLING),
                _ => None,
            },
            caps_output: dialect == Dialect::OpenaiResponses,
            top_p_name: match dialect {
                Dialect::CohereChat => "p",
                _ => "top_p",
            },
            fields: Vec::with_capacity(members.len()),
            start: body
                .iter()
                .position(|byte| *byte == b'{')
                .map_or(0, |at| at + 1),
            ..Self::default()
        };
        for (name, value) in members {
            head.read_field(dialect, &name, value)?;
            let start = value.as_ptr().addr() - body.as_ptr().addr();
            head.fields.push(Field {
                name,
                value: start..start + value.len(),
            });
        }
        head.refuse_doubles()?;
        Ok(head)
    }

    /// Where the value of a field of the outermost object is.
    pub fn field(&self, name: &str) -> Option<Range<usize>> {
        self.fields
            .iter()
            .find(|field| &*field.name == name)
            .map(|field| field.value.clone())
    }

    fn read_field(&mut self, dialect: Dialect, name: &str, value: &str) -> Result<(), ReadError> {
        match name {
            "model" => self.model = typed(name, value, "a text")?,
            "stream" => self.stream = typed(name, value, "true or false")?.unwrap_or(self.stream),
            "stream_options" if self.takes_stream_options => {
                self.include_usage = member(value, "include_usage").unwrap_or(false);
            }
            "user" | "safety_identifier" if self.user.is_none() || name == "user" => {
                self.user = lenient(value).or(self.user.take());
            }
            "metadata" if dialect == Dialect::AnthropicMessages => {
                self.user = member(value, "user_id").or(self.user.take())
            }
            "temperature" => self.temperature = lenient(value),
            "top_p" | "p" => self.top_p = lenient(value).or(self.top_p),
            "n" | "best_of" => self.choices = lenient(value).max(self.choices),
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => {
                self.max_tokens = lenient(value).or(self.max_tokens)
            }
            "generationConfig" | "generation_config" | "options" => self.read_sampling(value),
            _ => {}
        }
        Ok(())
    }

    /// Gemini and Ollama have these in an object of their own.
    fn read_sampling(&mut self, value: &str) {
        let Some(members) = lenient::<Map<String, Value>>(value) else {
            return;
        };
        let first = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
        self.temperature = members.get("temperature").and_then(Value::as_f64);
        self.top_p = first(&["topP", "top_p"]).and_then(Value::as_f64);
        self.choices = first(&["candidateCount", "candidate_count"]).and_then(Value::as_u64);
        self.max_tokens =
            first(&["maxOutputTokens", "max_output_tokens", "num_predict"]).and_then(Value::as_u64);
    }

    /// Two readers may disagree on which of two equal fields counts, so that neither may.
    fn refuse_doubles(&self) -> Result<(), ReadError> {
        let mut names: Vec<&str> = self.fields.iter().map(|field| &*field.name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ReadError::shape(
                pair[0],
                "appears twice; leave one of them out",
            )),
            None => Ok(()),
        }
    }
}

/// A body as text: checked at once, rather than value by value as it is read.
pub(crate) fn text_of(body: &[u8]) -> Result<&str, ReadError> {
    std::str::from_utf8(body).map_err(|error| ReadError::Json(error.to_string()))
}

/// A value that has to be of its type, or null.
fn typed<T: DeserializeOwned>(
    name: &str,
    value: &str,
    wanted: &str,
) -> Result<Option<T>, ReadError> {
    serde_json::from_str(value).map_err(|_| ReadError::shape(name, format!("must be {wanted}")))
}

/// A value that is of its type, or as good as absent: judging it is the provider's part.
pub(crate) fn lenient<'a, T: Deserialize<'a>>(value: &'a str) -> Option<T> {
    serde_json::from_str(value).ok()
}

fn member<T: DeserializeOwned>(value: &str, name: &str) -> Option<T> {
    let mut members: Map<String, Value> = lenient(value)?;
    serde_json::from_value(members.remove(name)?).ok()
}

// === impl Edits ===

impl Edits<'_> {
    /// The body with the changes made. What is not changed keeps its bytes; where nothing is, the body is the same.
    pub fn apply(&self, head: &Head, body: &Bytes) -> Bytes {
        let mut splices = Splices::new(head);
        self.edit_model(head, body, &mut splices);
        if self.ask_usage && head.stream && head.takes_stream_options && !head.include_usage {
            ask_usage(head, body, &mut splices);
        }
        self.set_defaults(head, body, &mut splices);
        if let Some(sampling) = head.sampling {
            self.set_sampling(sampling, head, body, &mut splices);
        }
        splices.apply(body)
    }

    fn edit_model(&self, head: &Head, body: &Bytes, splices: &mut Splices<'_>) {
        match (
            self.model,
            head.fields.iter().position(|field| &*field.name == "model"),
        ) {
            (ModelEdit::Keep, _) | (ModelEdit::Remove, None) => {}
            (ModelEdit::Set(model), _) if head.model.as_deref() == Some(model) => {}
            (ModelEdit::Set(model), _) => splices.set("model", &Value::from(model)),
            (ModelEdit::Remove | ModelEdit::Inside { .. }, Some(index)) => splices.remove(index),
            (ModelEdit::Inside { .. }, None) => {}
        }
        if let ModelEdit::Inside { field, model } = self.model {
            name_inside(head, body, field, model, splices);
        }
    }

    fn set_defaults(&self, head: &Head, body: &Bytes, splices: &mut Splices<'_>) {
        for (name, value) in self.defaults.iter().copied().flatten() {
            if head.sampling.is_some_and(|sampling| sampling.holds(name)) {
                continue;
            }
            let name = match name.as_str() {
                "top_p" => head.top_p_name,
                name => name,
            };
            let (name, names): (&str, &[&str]) = match name {
                "model" | "stream" => continue,
                "max_tokens" | "max_completion_tokens" if head.caps_output => {
                    ("max_output_tokens", &["max_output_tokens"])
                }
                "max_tokens" | "max_completion_tokens" => {
                    (name, &["max_tokens", "max_completion_tokens"])
                }
                name => (name, &[name]),
            };
            let has = |name: &&str| {
                head.field(name)
                    .is_some_and(|range| &body[range] != b"null")
            };
            if !names.iter().any(|name| splices.has_set(name) || has(name)) {
                splices.set(name, value);
            }
        }
    }

    /// Defaults that go into the object for them, beside what the caller has set there.
    fn set_sampling(
        &self,
        sampling: &Sampling,
        head: &Head,
        body: &Bytes,
        splices: &mut Splices<'_>,
    ) {
        let object = sampling
            .objects
            .iter()
            .find(|name| head.field(name).is_some());
        let Some(object) = object.or(sampling.objects.first()) else {
            return;
        };
        let there = head.field(object);
        let there = there.map(|range| serde_json::from_slice(&body[range]));
        let mut members: Map<String, Value> = match there {
            None => Map::new(),
            Some(Ok(members)) => Option::unwrap_or_default(members),
            // It is none; judging it is the provider's part.
            Some(Err(_)) => return,
        };
        let mut is_changed = false;
        for (name, value) in self.defaults.iter().copied().flatten() {
            for (name, value) in sampling.members(name, value) {
                if !sampling.is_set(&name, &members) {
                    members.insert(name, value);
                    is_changed = true;
                }
            }
        }
        if is_changed {
            splices.set(object, &Value::Object(members));
        }
    }
}

// === impl Sampling ===

impl Sampling {
    /// Whether a default belongs into the object, or is meant for it.
    fn holds(&self, name: &str) -> bool {
        self.objects.contains(&name) || self.spellings(name).is_some()
    }

    /// The names that a field which every dialect knows has there.
    fn spellings(&self, name: &str) -> Option<&'static [&'static str]> {
        let name = match name {
            "max_completion_tokens" => "max_tokens",
            name => name,
        };
        let found = self.fields.iter().find(|(ours, _)| *ours == name);
        found.map(|(_, names)| *names)
    }

    /// The members that a default sets there.
    fn members(&self, name: &str, value: &Value) -> Map<String, Value> {
        let mut members = Map::new();
        if let Some([own, ..]) = self.spellings(name) {
            members.insert((*own).to_owned(), value.clone());
        } else if let (true, Value::Object(given)) = (self.objects.contains(&name), value) {
            members.clone_from(given);
        }
        members
    }

    /// Whether the caller has set a member, in whatever spelling.
    fn is_set(&self, name: &str, members: &Map<String, Value>) -> bool {
        let is_there = |name: &str| members.get(name).is_some_and(|value| !value.is_null());
        let mut known = self.fields.iter().map(|(_, names)| *names);
        match known.find(|names| names.contains(&name)) {
            Some(names) => names.iter().any(|name| is_there(name)),
            None => is_there(name),
        }
    }
}

/// A field that is an object.
fn object_in(head: &Head, body: &Bytes, name: &str) -> Option<Map<String, Value>> {
    let range = head.field(name)?;
    serde_json::from_slice::<Option<Map<String, Value>>>(&body[range]).ok()?
}

/// Names the model in an object of the body, or in each object of a list there.
fn name_inside(head: &Head, body: &Bytes, field: &str, model: &str, splices: &mut Splices<'_>) {
    let Some(range) = head.field(field) else {
        return;
    };
    let Ok(mut value) = serde_json::from_slice::<Value>(&body[range]) else {
        return;
    };
    let name = |value: &mut Value| {
        if let Value::Object(object) = value {
            object.insert("model".to_owned(), Value::from(model));
        }
    };
    match &mut value {
        Value::Array(objects) => objects.iter_mut().for_each(name),
        object => name(object),
    }
    splices.set(field, &value);
}

fn ask_usage(head: &Head, body: &Bytes, splices: &mut Splices<'_>) {
    let mut options = object_in(head, body, "stream_options").unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    splices.set("stream_options", &Value::Object(options));
}

/// Replacements of byte ranges.
struct Splices<'a> {
    head: &'a Head,
    list: Vec<(Range<usize>, Vec<u8>)>,
    /// Names of the fields that are set.
    set: Vec<String>,
    /// Fields that are added, each after a comma.
    added: Vec<u8>,
    removed: Option<usize>,
}

impl<'a> Splices<'a> {
    fn new(head: &'a Head) -> Self {
        Self {
            head,
            list: Vec::new(),
            set: Vec::new(),
            added: Vec::new(),
            removed: None,
        }
    }

    fn has_set(&self, name: &str) -> bool {
        self.set.iter().any(|set| set == name)
    }

    fn set(&mut self, name: &str, value: &Value) {
        self.set.push(name.to_owned());
        // Nothing that is a value cannot be written.
        let value = serde_json::to_vec(value).unwrap_or_default();
        match self.head.field(name) {
            Some(range) => self.list.push((range, value)),
            None => {
                self.added.push(b',');
                self.added
                    .extend_from_slice(Value::from(name).to_string().as_bytes());
                self.added.push(b':');
                self.added.extend_from_slice(&value);
            }
        }
    }

    fn remove(&mut self, index: usize) {
        self.removed = Some(index);
    }

    fn apply(mut self, body: &Bytes) -> Bytes {
        if let Some(index) = self.removed {
            self.list.push((self.removal(index, body), Vec::new()));
        }
        if !self.added.is_empty() {
            let alone = self.head.fields.len() == usize::from(self.removed.is_some());
            let end = self
                .head
                .fields
                .last()
                .map_or(self.head.start, |field| field.value.end);
            self.list
                .push((end..end, self.added.split_off(usize::from(alone))));
        }
        if self.list.is_empty() {
            return body.clone();
        }
        self.list.sort_by_key(|(range, _)| (range.start, range.end));
        let grown: usize = self.list.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut edited = Vec::with_capacity(body.len() + grown);
        let mut kept = 0;
        for (range, bytes) in &self.list {
            edited.extend_from_slice(&body[kept..range.start]);
            edited.extend_from_slice(bytes);
            kept = range.end;
        }
        edited.extend_from_slice(&body[kept..]);
        Bytes::from(edited)
    }

    /// A field with the comma that goes with it.
    fn removal(&self, index: usize, body: &[u8]) -> Range<usize> {
        let value_end = self.head.fields[index].value.end;
        match index.checked_sub(1) {
            Some(before) => self.head.fields[before].value.end..value_end,
            None if self.head.fields.len() == 1 => self.head.start..value_end,
            None => {
                let comma = body[value_end..]
                    .iter()
                    .position(|byte| *byte == b',')
                    .map_or(value_end, |at| value_end + at + 1);
                self.head.start..comma
            }
        }
    }
}

#[cfg(test)]
mod tests;
