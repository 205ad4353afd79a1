//! Mistakes in a configuration file, shown as a compiler would: file, line, column, the line itself, what is wrong,
//! and what would be right.
//!
//! [`Problems`] collects them while a file is read; [`Diagnostic`]s are what is handed out. A diagnostic keeps
//! only the text that may be shown.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{
    secrets::{self, MASK},
    tree::{Content, Filled, Node, Span},
};

/// Most mistakes that are shown: whoever has more has probably given another file than was meant.
const SHOWN_MAX: usize = 200;

/// Words that are longer are not compared with others, which takes time.
const COMPARED_BYTES_MAX: usize = 100;

/// Most known words that are looked through for the one that was meant, and most that are told.
const COMPARED_MAX: usize = 1000;
const TOLD_MAX: usize = 50;

/// Something about a configuration that the operator should know.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    severity: Severity,
    message: String,
    place: Option<Place>,
    help: Vec<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but perhaps not as it was meant.
    Warning,
}

/// The mistakes of one file, in the order of its lines. `Display` shows all of them without colours.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) struct Diagnostics {
    items: Vec<Diagnostic>,
}

/// Collects what is wrong while a file is read.
#[derive(Default)]
pub(crate) struct Problems {
    items: Vec<Problem>,
    masks: Vec<Span>,
}

/// A mistake while it is being described.
pub(crate) struct Problem {
    severity: Severity,
    message: String,
    span: Span,
    /// The line of the block at `span` to point at, from 1, instead of its first.
    block_line: Option<usize>,
    label: String,
    related: Vec<(Span, String)>,
    help: Vec<String>,
}

/// Where a mistake is.
#[derive(Clone, Debug)]
struct Place {
    source: Arc<Source>,
    /// In the shown text.
    span: Range<usize>,
    label: String,
    related: Vec<(Range<usize>, String)>,
}

/// A file's text as it may be shown.
struct Source {
    name: String,
    shown: String,
    pieces: Vec<Piece>,
}

/// A stretch of the text that is shown as it is.
struct Piece {
    original: Range<usize>,
    shown: usize,
}

// === impl Diagnostic ===

impl Diagnostic {
    /// One that is about a file as a whole.
    pub(crate) fn of_file(name: &str, message: &str) -> Self {
        Self {
            severity: Severity::Error,
            message: format!("{name}: {message}"),
            place: None,
            help: Vec::new(),
        }
    }

    /// The whole of it over several lines, with colours for a terminal.
    pub(crate) fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    /// `FILE:LINE:COLUMN: error: MESSAGE`, as editors read it.
    pub(crate) fn one_line(&self) -> String {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Some(place) = &self.place else {
            return format!("{severity}: {}", self.message);
        };
        let (line, column) = place.line_and_column();
        let name = &place.source.name;
        format!("{name}:{line}:{column}: {severity}: {}", self.message)
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let mut group = match &self.place {
            Some(place) => title.element(place.snippet()),
            None => Group::with_title(title),
        };
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

// === impl Diagnostics ===

impl Diagnostics {
    pub(crate) fn new(items: Vec<Diagnostic>) -> Self {
        Self { items }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// What is wrong, in one line, for those who do not see the text; what may be right, warnings, is not said.
    pub(crate) fn in_short(&self) -> String {
        let told = self.errors().map(|item| match item.help.first() {
            Some(help) => format!("{}: {help}", item.message),
            None => item.message.clone(),
        });
        told.collect::<Vec<_>>().join("; ")
    }

    fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        let items = self.items.iter();
        items.filter(|item| item.severity == Severity::Error)
    }

    /// How many are errors, and how many are warnings.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let errors = self.errors().count();
        (errors, self.items.len() - errors)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{item}")?;
        }
        Ok(())
    }
}

// === impl Problems ===

impl Problems {
    /// Starts the description of an error.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, span, message.into())
    }

    /// Starts the description of a warning.
    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Warning, span, message.into())
    }

    fn add(&mut self, severity: Severity, span: Span, message: String) -> &mut Problem {
        let place = self.items.len();
        self.items.push(Problem {
            severity,
            message,
            span,
            block_line: None,
            label: String::new(),
            related: Vec::new(),
            help: Vec::new(),
        });
        &mut self.items[place]
    }

    /// Hides the literal texts at and below a node from what is shown.
    pub(crate) fn mask(&mut self, node: &Node) {
        self.masks.extend(secrets::literal_spans(node));
    }

    /// Hides the value of a key that is not known, unless a harmless one was probably meant: it may be a
    /// misspelt credential.
    pub(crate) fn mask_unknown<'a>(
        &mut self,
        key: &str,
        value: &Node,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        if did_you_mean(key, known).is_none_or(secrets::is_secret_key) {
            self.mask(value);
        }
    }

    /// Hides parts of the file from what is shown.
    pub(crate) fn mask_spans(&mut self, spans: Vec<Span>) {
        self.masks.extend(spans);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity == Severity::Error)
    }

    /// All that was collected, in the order of the file's lines. `comments` are left out of what is shown.
    pub(crate) fn finish(mut self, name: &str, text: &str, comments: &[Span]) -> Vec<Diagnostic> {
        let severity = if self.has_errors() {
            Severity::Error
        } else {
            Severity::Warning
        };
        let source = Arc::new(Source::new(name, text, self.masks, comments));
        for item in &mut self.items {
            item.go_to_block_line(text);
        }
        self.items
            .sort_by_key(|item| (item.span.start, item.span.end));
        self.items
            .dedup_by(|a, b| a.span == b.span && a.message == b.message);
        let more = self.items.len().saturating_sub(SHOWN_MAX);
        let shown = self.items.into_iter().take(SHOWN_MAX);
        let mut diagnostics: Vec<Diagnostic> = shown.map(|item| item.finish(&source)).collect();
        if more > 0 {
            diagnostics.push(Diagnostic {
                severity,
                ..Diagnostic::of_file(name, &format!("{more} more are not shown"))
            });
        }
        diagnostics
    }
}

// === impl Problem ===

impl Problem {
    /// Says what is wrong right beside the place.
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// Points at another place that matters.
    pub(crate) fn related(&mut self, span: Span, label: impl Into<String>) -> &mut Self {
        self.related.push((span, label.into()));
        self
    }

    /// Says what would be right.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help.push(help.into());
        self
    }

    /// Points at a line of a block text (`|`), from 1, instead of the whole.
    pub(crate) fn at_block_line(&mut self, line: usize) -> &mut Self {
        self.block_line = Some(line);
        self
    }

    fn go_to_block_line(&mut self, text: &str) {
        let Some(line) = self.block_line else {
            return;
        };
        let block = text.get(self.span.clone()).unwrap_or_default();
        let header = usize::from(block.starts_with(['|', '>']));
        let lines = lines_with_places(block);
        let place = lines.get(header + line.saturating_sub(1)).or(lines.last());
        if let Some(place) = place {
            let start = self.span.start;
            self.span = start + place.start..start + place.end;
        }
    }

    fn finish(self, source: &Arc<Source>) -> Diagnostic {
        let place = Place {
            span: source.to_shown(&self.span),
            label: self.label,
            related: self
                .related
                .into_iter()
                .map(|(span, label)| (source.to_shown(&span), label))
                .collect(),
            source: Arc::clone(source),
        };
        Diagnostic {
            severity: self.severity,
            message: self.message,
            place: Some(place),
            help: self.help,
        }
    }
}

// === impl Place ===

impl Place {
    /// Both from 1; columns are characters.
    fn line_and_column(&self) -> (usize, usize) {
        let before = self.source.shown.get(..self.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .chars()
            .rev()
            .take_while(|sign| *sign != '\n')
            .count()
            + 1;
        (line, column)
    }

    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let primary = AnnotationKind::Primary
            .span(self.span.clone())
            .label(self.label.as_str());
        let related = self.related.iter().map(|(span, label)| {
            AnnotationKind::Context
                .span(span.clone())
                .label(label.as_str())
        });
        Snippet::source(self.source.shown.as_str())
            .path(self.source.name.as_str())
            .annotation(primary)
            .annotations(related)
    }
}

// === impl Source ===

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

impl Source {
    fn new(name: &str, text: &str, masks: Vec<Span>, comments: &[Span]) -> Self {
        let mut hidden: Vec<(Span, &str)> = masks
            .into_iter()
            .flat_map(|span| lines_of(text, span))
            .map(|span| (span, MASK))
            .chain(
                comments
                    .iter()
                    .map(|span| (with_spaces_before(text, span), "")),
            )
            .collect();
        hidden.sort_by_key(|(span, _)| (span.start, span.end));

        let mut source = Self {
            name: name.to_owned(),
            shown: String::new(),
            pieces: Vec::new(),
        };
        let mut position = 0;
        for (span, stand_in) in hidden {
            if span.start < position {
                position = position.max(span.end); // overlaps the one before, whose stand-in is there
                continue;
            }
            source.show(text, position..span.start);
            source.shown.push_str(stand_in);
            position = span.end;
        }
        source.show(text, position..text.len());
        source
    }

    fn show(&mut self, text: &str, original: Range<usize>) {
        self.pieces.push(Piece {
            original: original.clone(),
            shown: self.shown.len(),
        });
        self.shown.push_str(text.get(original).unwrap_or_default());
    }

    /// Where a place of the file is in the shown text. What is hidden is a place without width, or goes to the
    /// end of its stand-in.
    fn to_shown(&self, span: &Span) -> Range<usize> {
        let start = self.offset(span.start);
        let end = self.offset(span.end).max(start);
        // Several lines under one mark are hard to read: the first one is enough.
        let first_line = self
            .shown
            .get(start..end)
            .and_then(|slice| slice.find('\n'))
            .map_or(end, |length| start + length);
        start..first_line
    }

    fn offset(&self, original: usize) -> usize {
        let next = self
            .pieces
            .partition_point(|piece| piece.original.start <= original);
        let Some(piece) = next.checked_sub(1).and_then(|place| self.pieces.get(place)) else {
            return 0;
        };
        let inside = original.min(piece.original.end) - piece.original.start;
        piece.shown + inside
    }
}

/// The parts of a span that hold anything, line by line, so that the numbers of the lines after it stay
/// right.
fn lines_of(text: &str, span: Span) -> Vec<Span> {
    let start = span.start;
    let lines = lines_with_places(text.get(span).unwrap_or_default());
    lines
        .into_iter()
        .filter(|line| !line.is_empty())
        .map(|line| start + line.start..start + line.end)
        .collect()
}

/// A comment's span with the spaces that part it from what is before it.
fn with_spaces_before(text: &str, span: &Span) -> Span {
    let before = text.get(..span.start).unwrap_or_default();
    before.trim_end_matches([' ', '\t']).len()..span.end
}

/// Where each line is, without the spaces around it.
fn lines_with_places(text: &str) -> Vec<Span> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        lines.push(start + indent..start + indent + line.trim().len());
        start += line.len();
    }
    lines
}

/// A written word in a message, between backticks: shortened, on one line, and hidden where it looks like a
/// credential.
pub(crate) fn quoted(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    if secrets::looks_like_secret(text) {
        return format!("`{MASK}`");
    }
    let mut shown: String = text
        .chars()
        .take(CHARACTERS_MAX)
        .map(|character| {
            if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A value in a message; what was filled in from outside is never shown.
pub(crate) fn quoted_node(node: &Node) -> String {
    match &node.content {
        Content::Text(text) if text.filled == Filled::Yes => "the value filled in here".to_owned(),
        Content::Text(text) => quoted(&text.value),
        Content::Number(number) => quoted(&number.to_string()),
        Content::Bool(value) => quoted(&value.to_string()),
        Content::Null | Content::List(_) | Content::Map(_) | Content::Unknown => {
            node.kind().to_owned()
        }
    }
}

/// The known word that was probably meant.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LIKENESS_MIN: f64 = 0.75;
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let is_short = |word: &str| word.len() <= COMPARED_BYTES_MAX;
    if !is_short(written) {
        return None;
    }
    let written = fold(written);
    known
        .into_iter()
        .take(COMPARED_MAX)
        .filter(|word| is_short(word))
        .map(|word| (strsim::jaro_winkler(&written, &fold(word)), word))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(right.1)))
        .map(|(_, word)| word)
}

/// "did you mean" where something is alike, else the list of what is known.
pub(crate) fn suggestion<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    if let Some(word) = did_you_mean(written, known.clone()) {
        return format!("did you mean `{word}`?");
    }
    let mut known: Vec<&str> = known.into_iter().take(COMPARED_MAX).collect();
    if known.is_empty() {
        return format!("{what}: none yet");
    }
    known.sort_unstable();
    let more = if known.len() > TOLD_MAX { ", …" } else { "" };
    known.truncate(TOLD_MAX);
    format!("{what}: {}{more}", list(&known))
}

/// Words between backticks with commas.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
