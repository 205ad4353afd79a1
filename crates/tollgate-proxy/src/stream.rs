//! A provider's stream on its way to the client: read event by event, passed through or translated, never collected.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;
use tollgate_dialects::{
    AnswerForm, ErrorKind, Frames, JsonArray, PartStart, ProviderError, SseEvent, StopReason,
    StreamEvent, StreamReader, StreamWriter, Watch,
};
use tollgate_domain::{Dialect, Framing, StreamEnd, Usage};
use tollgate_upstream::{Failure, Lane, UpstreamBody};

use crate::responses::{Keeping, Kept};

/// How streams of OpenAI's language end.
const END_MARK: &[u8] = b"[DONE]";

/// Turns the bytes of a provider's stream into those of the client's, as they come.
#[derive(Debug)]
pub(crate) struct Relay {
    source: Source,
    mode: Mode,
    out: Out,
    facts: Facts,
    /// Content has come. With its first the call is committed, whatever came together with it.
    has_begun: bool,
    /// Events have come that were not dealt with yet.
    has_more: bool,
    /// What the answer says, as long as nobody has taken it.
    said: String,
    phase: Phase,
    /// What is kept of the answer.
    keeping: Option<Box<Keeping>>,
    kept: KeptSoon,
}

/// Until the answer is kept.
#[derive(Default)]
struct KeptSoon(Option<Kept>);

impl std::fmt::Debug for KeptSoon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeptSoon").field(&self.0.is_some()).finish()
    }
}

/// Where events come from.
#[derive(Debug)]
enum Source {
    /// A provider's answer.
    Wire {
        body: UpstreamBody,
        splitter: Frames,
    },
    /// A whole answer of a provider that does not stream, told as a stream.
    Told(std::vec::IntoIter<StreamEvent>),
}

/// What becomes of the events.
#[derive(Debug)]
enum Mode {
    /// They pass as they are; the watch looks on.
    Through {
        watch: Box<Watch>,
        writer: StreamWriter,
        hides_usage: bool,
    },
    /// They are read and written anew.
    Translated {
        reader: StreamReader,
        writer: StreamWriter,
        events: Vec<StreamEvent>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The answer is coming.
    Flowing,
    /// The end mark was passed on; what is left is the end of the body, so that the connection can be used again.
    Trailing,
    /// Nothing more comes.
    Over,
}

/// What the stream has told so far, since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Something was said that a person would see.
    pub(crate) content: bool,
    /// What was used. Boxed, since it is large and seldom told.
    pub(crate) usage: Option<Box<Usage>>,
    /// Why the answer ended.
    pub(crate) stop: Option<StopReason>,
    /// The model that answers.
    pub(crate) model: Option<String>,
}

/// What one step of the relay came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// There may be bytes to send.
    Went,
    /// The answer is complete; its end mark is among the bytes to send.
    Complete,
    /// The body has ended as well.
    Over,
    /// The stream broke.
    Failed(Break),
}

/// How a stream broke.
#[derive(Debug)]
pub(crate) enum Break {
    /// The provider said so, in the stream; where the client speaks the same, the event can go on as it came.
    Said {
        error: ProviderError,
        raw: Option<Bytes>,
    },
    /// The body broke off, or its end came too early.
    Cut(Option<Failure>),
    /// What came cannot be understood.
    Unreadable(String),
    /// Nothing came for too long; which patience ended.
    Silent(&'static str),
}

// === impl Relay ===

impl Relay {
    /// For a stream in the client's own dialect. `hides_usage`: the gateway asked for usage where the client had not.
    pub(crate) fn through(
        body: UpstreamBody,
        splitter: Frames,
        dialect: Dialect,
        end: StreamEnd,
        form: &AnswerForm<'_>,
        hides_usage: bool,
    ) -> Self {
        let mode = Mode::Through {
            watch: Box::new(Watch::new(dialect, end)),
            // It writes errors and the end alone, which repeat nothing of the call.
            writer: StreamWriter::new(&AnswerForm {
                asked: &[],
                ..*form
            }),
            hides_usage,
        };
        Self::new(Source::Wire { body, splitter }, mode)
    }

    /// For a stream in another dialect than the client's.
    pub(crate) fn translated(
        body: UpstreamBody,
        splitter: Frames,
        dialect: Dialect,
        end: StreamEnd,
        form: &AnswerForm<'_>,
    ) -> Self {
        let mode = Mode::Translated {
            reader: StreamReader::new(dialect, end),
            writer: StreamWriter::new(form),
            events: Vec::new(),
        };
        Self::new(Source::Wire { body, splitter }, mode)
    }

    /// For a whole answer that is told as a stream.
    pub(crate) fn told(events: Vec<StreamEvent>, dialect: Dialect, form: &AnswerForm<'_>) -> Self {
        let mode = Mode::Translated {
            reader: StreamReader::new(dialect, StreamEnd::Mark),
            writer: StreamWriter::new(form),
            events: Vec::new(),
        };
        Self::new(Source::Told(events.into_iter()), mode)
    }

    fn new(source: Source, mode: Mode) -> Self {
        Self {
            source,
            mode,
            out: Out::default(),
            facts: Facts::default(),
            has_begun: false,
            has_more: false,
            said: String::new(),
            phase: Phase::Flowing,
            keeping: None,
            kept: KeptSoon::default(),
        }
    }

    /// Has the answer kept once it is whole.
    pub(crate) fn kept(mut self, keeping: Option<&Keeping>) -> Self {
        self.keeping = keeping.cloned().map(Box::new);
        self
    }

    /// Cuts into events for the client as it wants.
    pub(crate) fn framed(mut self, framing: Framing) -> Self {
        self.out.array = (framing == Framing::JsonArray).then(JsonArray::default);
        self
    }

    /// What was told since the last call.
    pub(crate) fn take_facts(&mut self) -> Facts {
        std::mem::take(&mut self.facts)
    }

    /// Waits until the answer is kept, where it is to be.
    pub(crate) fn poll_kept(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(kept) = &mut self.kept.0 {
            ready!(kept.as_mut().poll(context));
            self.kept.0 = None;
        }
        Poll::Ready(())
    }

    /// What the answer says so far.
    pub(crate) fn take_said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    /// Bytes for the client, if there are any.
    pub(crate) fn take_bytes(&mut self) -> Option<Bytes> {
        self.out.take()
    }

    /// Whether the answer's end mark has come.
    pub(crate) fn is_complete(&self) -> bool {
        self.phase == Phase::Trailing
    }

    /// Goes on with what came together with the first content, where anything did.
    pub(crate) fn take_more(&mut self) -> Option<Step> {
        (self.has_more && self.phase == Phase::Flowing).then(|| self.take_events())
    }

    /// Whether the answer is to be kept, and is not yet.
    pub(crate) fn is_being_kept(&self) -> bool {
        self.kept.0.is_some()
    }

    /// How many bytes wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Takes in what the provider sends next. Everything that came together is dealt with in one step, so that it
    /// leaves together.
    pub(crate) fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let body = match (&mut self.source, self.phase) {
            (_, Phase::Over) => return Poll::Ready(Step::Over),
            (Source::Told(_), _) => return Poll::Ready(self.tell()),
            (_, Phase::Flowing) if self.has_more => return Poll::Ready(self.take_events()),
            (Source::Wire { body, .. }, _) => body,
        };
        match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => match (frame.into_data(), self.phase) {
                (Ok(data), Phase::Flowing) => Poll::Ready(self.take_in(data)),
                _ => Poll::Ready(Step::Went),
            },
            Some(Err(failure)) if self.phase == Phase::Flowing => {
                Poll::Ready(self.connection_broke(failure))
            }
            None if self.phase == Phase::Flowing => Poll::Ready(self.end_of_body()),
            Some(Err(_)) | None => {
                self.phase = Phase::Over;
                Poll::Ready(Step::Over)
            }
        }
    }

    /// Writes an error event in the client's dialect. Nothing may follow it.
    pub(crate) fn write_break(&mut self, how: Break) {
        self.phase = Phase::Over;
        if let Break::Said { raw: Some(raw), .. } = &how {
            return self.out.push(raw);
        }
        let (Mode::Through { writer, .. } | Mode::Translated { writer, .. }) = &mut self.mode;
        writer.write(
            &StreamEvent::Error(how.into_provider_error()),
            self.out.buffer(),
        );
    }

    fn take_in(&mut self, data: Bytes) -> Step {
        let Source::Wire { splitter, .. } = &mut self.source else {
            return Step::Went;
        };
        splitter.push(data);
        self.take_events()
    }

    /// Deals with the events that are there: up to the first content, or to the last.
    fn take_events(&mut self) -> Step {
        loop {
            let Source::Wire { splitter, .. } = &mut self.source else {
                return Step::Went;
            };
            self.has_more = false;
            match splitter.next() {
                Ok(Some(event)) => match self.event(&event) {
                    Step::Went if self.facts.content && !self.has_begun => {
                        self.has_begun = true;
                        self.has_more = true;
                        return Step::Went;
                    }
                    Step::Went => {}
                    end => return end,
                },
                Ok(None) => return Step::Went,
                Err(too_long) => return self.broken(Break::Unreadable(too_long.to_string())),
            }
        }
    }

    /// Deals with one event.
    fn event(&mut self, event: &SseEvent) -> Step {
        match &mut self.mode {
            Mode::Through {
                watch, hides_usage, ..
            } => {
                let seen = watch.see(event, &mut self.said);
                self.facts.content |= seen.content;
                if let Some(usage) = seen.usage {
                    self.facts.usage.get_or_insert_default().update(&usage);
                }
                if seen.stop.is_some() {
                    self.facts.stop = seen.stop;
                }
                if seen.model.is_some() {
                    self.facts.model = seen.model;
                }
                if let Some(error) = seen.error {
                    return self.broken(Break::Said {
                        error,
                        raw: Some(event.raw.clone()),
                    });
                }
                if !(seen.usage_only && *hides_usage) {
                    self.out.push(&event.raw);
                }
                if seen.end {
                    return self.complete();
                }
                Step::Went
            }
            Mode::Translated { reader, events, .. } => {
                if let Err(error) = reader.read(event, events) {
                    return self.broken(Break::Unreadable(error.to_string()));
                }
                self.write_events()
            }
        }
    }

    /// The connection broke: unless the end mark had come but for its blank line, the answer is cut.
    fn connection_broke(&mut self, failure: Failure) -> Step {
        if let Source::Wire { splitter, .. } = &mut self.source
            && let Some(mut event) = splitter.finish()
            && event.data.trim_ascii() == END_MARK
        {
            event.raw = [&event.raw, &b"\n\n"[..]].concat().into();
            match self.event(&event) {
                Step::Went => {}
                end => return end,
            }
        }
        self.broken(Break::Cut(Some(failure)))
    }

    /// The body has ended cleanly: that is the end of the answer, or it is not.
    fn end_of_body(&mut self) -> Step {
        let Source::Wire { splitter, .. } = &mut self.source else {
            return Step::Over;
        };
        if let Some(event) = splitter.finish() {
            // Some providers leave out the last blank line; a piece of an event is something else.
            if !is_whole(&event.data) {
                return self.broken(Break::Cut(None));
            }
            match self.event(&event) {
                Step::Went => {}
                end => return end,
            }
        }
        match &mut self.mode {
            Mode::Through { watch, writer, .. } => {
                if !watch.complete() {
                    return self.broken(Break::Cut(None));
                }
                writer.write(&StreamEvent::End, self.out.buffer());
                self.complete()
            }
            Mode::Translated { reader, events, .. } => {
                reader.finish(events);
                match self.write_events() {
                    Step::Went => self.broken(Break::Cut(None)),
                    end => end,
                }
            }
        }
    }

    /// Writes the events of a whole answer.
    fn tell(&mut self) -> Step {
        let (Source::Told(told), Mode::Translated { events, .. }) =
            (&mut self.source, &mut self.mode)
        else {
            return Step::Over;
        };
        if self.phase == Phase::Trailing {
            self.phase = Phase::Over;
            return Step::Over;
        }
        events.extend(told);
        match self.write_events() {
            // The events are all there is, and they did not come to an end.
            Step::Went => self.broken(Break::Cut(None)),
            end => end,
        }
    }

    /// Writes what the reader has made of the provider's events.
    fn write_events(&mut self) -> Step {
        let Mode::Translated { writer, events, .. } = &mut self.mode else {
            return Step::Went;
        };
        let is_from_another = matches!(self.source, Source::Wire { .. });
        for mut event in events.drain(..) {
            if is_from_another && let StreamEvent::PartStart { start, .. } = &mut event {
                without_foreign(start);
            }
            match &event {
                StreamEvent::Delta { .. } | StreamEvent::PartStart { .. } => {
                    self.facts.content |= event.is_content();
                    event.say(&mut self.said);
                }
                StreamEvent::Start { model, usage, .. } => {
                    self.facts.model = Some(model.clone()).filter(|model| !model.is_empty());
                    if let Some(usage) = usage {
                        self.facts.usage.get_or_insert_default().update(usage);
                    }
                }
                StreamEvent::Usage(usage) => {
                    self.facts.usage.get_or_insert_default().update(usage);
                }
                StreamEvent::Stop { stop, .. } => self.facts.stop = Some(stop.reason.clone()),
                StreamEvent::Error(error) => {
                    self.phase = Phase::Over;
                    return Step::Failed(Break::Said {
                        error: error.clone(),
                        raw: None,
                    });
                }
                _ => {}
            }
            let before = self.out.buffer().len();
            writer.write(&event, self.out.buffer());
            if event == StreamEvent::End {
                if let Some(keeping) = self.keeping.take() {
                    self.kept.0 = keeping.keep_from_event(&self.out.buffer()[before..]);
                }
                self.phase = Phase::Trailing;
                self.out.is_complete = true;
                return Step::Complete;
            }
        }
        Step::Went
    }

    /// The answer is whole.
    fn complete(&mut self) -> Step {
        self.phase = Phase::Trailing;
        self.out.is_complete = true;
        Step::Complete
    }

    fn broken(&mut self, how: Break) -> Step {
        self.phase = Phase::Over;
        Step::Failed(how)
    }
}

/// Empties a block that only the provider's own dialect understands.
fn without_foreign(start: &mut PartStart) {
    if let PartStart::Foreign(block) = start {
        *block = serde_json::Value::Null;
    }
}

/// Whether an event's data came to its end: an end mark, or JSON.
fn is_whole(data: &[u8]) -> bool {
    data.is_empty()
        || data.trim_ascii() == END_MARK
        || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}

/// An error of the provider's without its credentials and address.
pub(crate) fn discreet(error: ProviderError, lane: &Lane) -> ProviderError {
    let masked = |text: String| lane.discreet(&text).into_owned();
    ProviderError {
        message: masked(error.message),
        code: error.code.map(masked),
        param: error.param.map(masked),
        ..error
    }
}

// === impl Break ===

impl Break {
    /// The same without the provider's credentials and address; an event that shows them does not go on as it came.
    pub(crate) fn discreet(self, lane: &Lane) -> Self {
        match self {
            Self::Said { error, raw } => {
                let is_discreet = |raw: &Bytes| {
                    let text = String::from_utf8_lossy(raw);
                    lane.discreet(&text) == text
                };
                Self::Said {
                    error: discreet(error, lane),
                    raw: raw.filter(is_discreet),
                }
            }
            Self::Unreadable(problem) => Self::Unreadable(lane.discreet(&problem).into_owned()),
            other => other,
        }
    }

    /// The error as the client is told it.
    pub(crate) fn into_provider_error(self) -> ProviderError {
        match self {
            Self::Said { error, .. } => error,
            Self::Cut(_) => gateway_error(
                "upstream_cut",
                "the provider's stream broke off; what came before is incomplete",
            ),
            Self::Unreadable(_) => gateway_error(
                "upstream_unreadable",
                "the provider's stream could not be understood; what came before is incomplete",
            ),
            Self::Silent("whole_timeout") => gateway_error(
                "upstream_timeout",
                "the provider took longer than an answer may take; what came before is incomplete",
            ),
            Self::Silent(_) => gateway_error(
                "upstream_timeout",
                "the provider fell silent; what came before is incomplete",
            ),
        }
    }

    /// A stable word for logs and metrics.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Said { .. } => "error_in_stream",
            Self::Cut(Some(failure)) => failure.kind().as_str(),
            Self::Cut(None) => "cut",
            Self::Unreadable(_) => "unreadable",
            Self::Silent(after) => after,
        }
    }

    /// The text for the log.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Said { error, .. } => error.message.clone(),
            Self::Cut(Some(failure)) => failure.to_string(),
            Self::Cut(None) => "the body ended before the end mark".to_owned(),
            Self::Unreadable(problem) => problem.clone(),
            Self::Silent(after) => (*after).to_owned(),
        }
    }
}

/// An error that the gateway tells inside a stream.
pub(crate) fn gateway_error(code: &str, message: &str) -> ProviderError {
    ProviderError {
        status: 502,
        kind: ErrorKind::Server,
        message: message.to_owned(),
        code: Some(code.to_owned()),
        param: None,
        retry_after: None,
    }
}

/// Room for events that came together, in bytes.
const TOGETHER_USUAL: usize = 4 << 10;

/// Bytes for the client. One event alone is passed on without a copy.
#[derive(Debug, Default)]
struct Out {
    first: Option<Bytes>,
    more: Vec<u8>,
    /// Events become the elements of an array.
    array: Option<JsonArray>,
    /// All events of the answer have come.
    is_complete: bool,
}

impl Out {
    fn push(&mut self, bytes: &Bytes) {
        if self.first.is_none() && self.more.is_empty() {
            self.first = Some(bytes.clone());
        } else {
            self.buffer().extend_from_slice(bytes);
        }
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        if let Some(first) = self.first.take() {
            // Where two come together, there are more, mostly.
            self.more.reserve(TOGETHER_USUAL);
            self.more.extend_from_slice(&first);
        }
        &mut self.more
    }

    fn take(&mut self) -> Option<Bytes> {
        let bytes = self.take_events();
        let Some(array) = &mut self.array else {
            return bytes;
        };
        let mut told = Vec::new();
        array.push(bytes.unwrap_or_default(), &mut told);
        if self.is_complete {
            array.close(&mut told);
        }
        (!told.is_empty()).then(|| Bytes::from(told))
    }

    fn take_events(&mut self) -> Option<Bytes> {
        match self.first.take() {
            Some(first) => Some(first),
            None if self.more.is_empty() => None,
            None => Some(Bytes::from(std::mem::take(&mut self.more))),
        }
    }

    fn len(&self) -> usize {
        self.first.as_ref().map_or(0, Bytes::len) + self.more.len()
    }
}
