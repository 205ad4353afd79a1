//! Fills in what a configuration takes from outside: `{{ env.X }}` anywhere in a text, and as a whole text
//! `$X`, `${X}` or `file:PATH`. `$$` at the start stands for one `$`.
//!
//! Values are not shown, and are not searched for further references.

use std::path::{Path, PathBuf};

use super::{
    diagnostics::{Problems, quoted},
    environment::Environment,
    tree::{Content, Filled, Node, Text},
};

/// Fills in a whole tree, and collects the files that values were read from.
pub(crate) struct Filler<'a> {
    pub(crate) environment: &'a dyn Environment,
    /// Where relative paths start.
    pub(crate) folder: &'a Path,
    pub(crate) files: Vec<PathBuf>,
}

/// What a text says in full.
enum Reference<'a> {
    /// Nothing but itself, perhaps with `{{ env.X }}` in it.
    Literal,
    /// `$$rest`.
    Escaped(&'a str),
    Variable(&'a str),
    File(&'a str),
}

/// A reference that leads nowhere.
struct Mistake {
    message: String,
    label: String,
    help: String,
}

/// Whether the whole text is a reference, so that showing it gives nothing away.
pub(crate) fn is_reference(text: &str) -> bool {
    match Reference::of(text) {
        Reference::Variable(_) | Reference::File(_) => true,
        Reference::Escaped(_) => false,
        Reference::Literal => text
            .trim()
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .is_some_and(|inside| variable_in_braces(inside).is_some()),
    }
}

// === impl Filler ===

impl Filler<'_> {
    /// Fills in every text at and below a node. `path` names the node in messages.
    pub(crate) fn fill(&mut self, node: &mut Node, path: &str, problems: &mut Problems) {
        match &mut node.content {
            Content::Text(text) => match self.fill_text(text, path) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    text.value = value;
                    text.filled = Filled::Yes;
                }
                Err(mistake) => {
                    problems
                        .error(node.span.clone(), mistake.message)
                        .label(mistake.label)
                        .help(mistake.help);
                    node.content = Content::Unknown;
                }
            },
            Content::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.fill(item, &format!("{path}[{index}]"), problems);
                }
            }
            Content::Map(entries) => {
                for entry in entries {
                    let below = if path.is_empty() {
                        entry.key.clone()
                    } else {
                        format!("{path}.{}", entry.key)
                    };
                    self.fill(&mut entry.value, &below, problems);
                }
            }
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Unknown => {}
        }
    }

    /// The text with its references filled in; `None` when there is nothing to fill in.
    fn fill_text(&mut self, text: &Text, path: &str) -> Result<Option<String>, Mistake> {
        match Reference::of(&text.value) {
            Reference::Literal => self.fill_braces(&text.value, path),
            Reference::Escaped(rest) => Ok(Some(rest.to_owned())),
            Reference::Variable(name) => match self.variable(name, path) {
                Ok(value) => Ok(Some(value)),
                Err(mistake) => Err(Mistake {
                    help: format!(
                        "set `{name}`, or write `$${name}` for the text `${name}` itself"
                    ),
                    ..mistake
                }),
            },
            Reference::File(name) => self.file(name, path).map(Some),
        }
    }

    /// Replaces each `{{ env.X }}`. Other braces belong to prompt templates.
    fn fill_braces(&self, text: &str, path: &str) -> Result<Option<String>, Mistake> {
        let mut filled = String::new();
        let mut rest = text;
        let mut found = false;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, behind)) = after.split_once("}}") else {
                break;
            };
            filled.push_str(before);
            if let Some(name) = variable_in_braces(inside) {
                filled.push_str(&self.variable(name, path)?);
                found = true;
            } else if inside.trim_start().starts_with("env.") {
                return Err(Mistake {
                    message: format!("`{{{{{inside}}}}}` names no environment variable"),
                    label: format!("in `{path}`"),
                    help: "write `{{ env.NAME }}`, with letters, digits and `_` in the name"
                        .to_owned(),
                });
            } else {
                filled.extend(["{{", inside, "}}"]);
            }
            rest = behind;
        }
        filled.push_str(rest);
        Ok(found.then_some(filled))
    }

    fn variable(&self, name: &str, path: &str) -> Result<String, Mistake> {
        self.environment.variable(name).ok_or_else(|| Mistake {
            message: format!("the environment variable `{name}` is not set"),
            label: format!("`{path}` takes its value from it"),
            help: format!(
                "set `{name}`, or name another source: `{{{{ env.NAME }}}}`, `file:PATH`"
            ),
        })
    }

    /// The content of a file, if there is one of this name.
    pub(crate) fn existing_file(&mut self, name: &str) -> Option<String> {
        let place = self.folder.join(name);
        let content = self.environment.read(&place).ok()?;
        self.files.push(place);
        Some(without_line_end(&content))
    }

    fn file(&mut self, name: &str, path: &str) -> Result<String, Mistake> {
        let place = self.folder.join(name);
        let content = self.environment.read(&place).map_err(|error| Mistake {
            message: format!("cannot read the file {}: {error}", quoted(name)),
            label: format!("`{path}` takes its value from it"),
            help: format!("looked for {}", quoted(&place.to_string_lossy())),
        })?;
        self.files.push(place);
        Ok(without_line_end(&content))
    }
}

/// A file's content without the line ends that editors put at its end.
fn without_line_end(content: &str) -> String {
    content.trim_end_matches(['\r', '\n']).to_owned()
}

// === impl Reference ===

impl<'a> Reference<'a> {
    fn of(text: &'a str) -> Self {
        if let Some(path) = text.strip_prefix("file:") {
            return Self::File(path.trim());
        }
        let Some(rest) = text.strip_prefix('$') else {
            return Self::Literal;
        };
        if rest.starts_with('$') {
            return Self::Escaped(rest);
        }
        let name = rest
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(rest);
        if is_variable_name(name) {
            Self::Variable(name)
        } else {
            Self::Literal
        }
    }
}

fn variable_in_braces(inside: &str) -> Option<&str> {
    let name = inside.trim().strip_prefix("env.")?;
    is_variable_name(name).then_some(name)
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}
