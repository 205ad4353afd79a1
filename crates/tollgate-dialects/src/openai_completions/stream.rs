//! Writes streams of text completions. They are read like those of chat, whose chunks differ in their choices only.

use serde::Serialize;
use serde_json::Value;

use crate::{
    AnswerForm, Delta, StreamEvent,
    openai_chat::{Frame, finish_reason},
    translate::WriteEvents,
};

/// Writes the chunks of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    frame: Frame,
}

#[derive(Serialize)]
struct ChoiceOut<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<&'a Value>,
    finish_reason: Option<&'static str>,
}

impl WriteEvents for StreamWriter {
    /// Appends what an event is in this dialect. Of a chat model's stream, what is not text has no place here.
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        let nothing = ChoiceOut {
            text: "",
            index: 0,
            logprobs: None,
            finish_reason: None,
        };
        let choice = match event {
            StreamEvent::Delta {
                choice,
                delta: Delta::Text(text),
                ..
            } => ChoiceOut {
                text,
                index: *choice,
                ..nothing
            },
            // Log-probabilities of a chat have another form.
            StreamEvent::Logprobs { choice, value } if value.get("tokens").is_some() => ChoiceOut {
                index: *choice,
                logprobs: Some(value),
                ..nothing
            },
            StreamEvent::Stop { choice, stop } => ChoiceOut {
                index: *choice,
                finish_reason: Some(finish_reason(&stop.reason)),
                ..nothing
            },
            _ => return self.frame.write(event, out),
        };
        self.frame.chunk(&[choice], out);
    }
}

impl StreamWriter {
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self {
            frame: Frame::new("text_completion", form),
        }
    }
}
