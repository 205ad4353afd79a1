//! Ollama's completions: `POST /api/generate` (<https://docs.ollama.com/api/generate>, read 2026-11). Their calls can also be put to a chat
//! model, which is what Ollama itself does with them, unless they are `raw`.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::Dialect;

pub(crate) use crate::ollama_chat::StreamReader;

use crate::{
    Answer, AnswerForm, Call, CallForm, CompletionCall, Extra, Field, Gaps, PromptInput, ReadError,
    StreamEvent, Unsupported, Written,
    json::{Fields, put},
    ollama_chat::{
        self, Sampling, Shape, read_answer_with, read_format, read_images, read_options,
        read_texts, read_think, write_format, write_frame, write_image, write_options, write_think,
    },
    openai_chat::to_bytes,
    translate::WriteEvents,
};

// === calls ===

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let options = read_options(&mut fields)?;
    let logprobs = fields.flag("logprobs")?.unwrap_or(false);
    let top_logprobs = fields.count("top_logprobs")?.unwrap_or(0);
    leave_out_empty(&mut fields);
    let call = CompletionCall {
        model: fields.text("model")?.unwrap_or_default(),
        prompt: PromptInput::Text(fields.text("prompt")?.unwrap_or_default()),
        system: some_text(&mut fields, "system")?,
        images: read_images(&mut fields)?,
        suffix: some_text(&mut fields, "suffix")?,
        echo: None,
        best_of: None,
        max_tokens: options.max_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        top_k: options.top_k,
        frequency_penalty: options.frequency_penalty,
        presence_penalty: options.presence_penalty,
        seed: options.seed,
        stop: options.stop,
        n: None,
        logprobs: logprobs.then_some(top_logprobs),
        response_format: read_format(&mut fields),
        reasoning: read_think(&mut fields)?,
        user: None,
        stream: fields.flag("stream")?.unwrap_or(true),
        include_usage: true,
        extra: Extra {
            dialect: Dialect::OllamaGenerate,
            fields: fields.rest(),
        },
    };
    Ok(Call::Completion(Box::new(call)))
}

fn some_text(fields: &mut Fields, name: &str) -> Result<Option<String>, ReadError> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()))
}

/// Takes what clients write out though it says nothing.
fn leave_out_empty(fields: &mut Fields) {
    let names = ["raw", "template", "context"];
    let is_empty =
        |value: &Value| *value == json!(false) || *value == json!("") || *value == json!([]);
    for name in names {
        if fields.peek(name).is_some_and(is_empty) {
            drop(fields.any(name));
        }
    }
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let call = match call {
        Call::Completion(call) => call,
        other => return Err(Unsupported::call(other)),
    };
    let prompt = match &call.prompt {
        PromptInput::Text(text) => text,
        PromptInput::Texts(texts) if texts.len() == 1 => &texts[0],
        // There is one answer, to a text.
        PromptInput::Texts(_) | PromptInput::Tokens(_) => return Err(Unsupported::field("prompt")),
    };
    let own = from == Dialect::OllamaGenerate;
    let mut gaps = Gaps::new(from, Dialect::OllamaGenerate);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    put(&mut body, "prompt", Some(prompt.as_str()));
    put(&mut body, "system", call.system.clone());
    put(&mut body, "suffix", call.suffix.clone());
    let images = call.images.iter();
    let images: Vec<String> = images
        .filter_map(|image| write_image(image, &mut gaps))
        .collect();
    put(&mut body, "images", (!images.is_empty()).then_some(images));
    let format = write_format(call.response_format.as_ref(), own, &mut gaps);
    put(&mut body, "format", format);
    let think = write_think(call.reasoning.as_ref(), form.model, own, &mut gaps);
    put(&mut body, "think", think);
    if own {
        put(&mut body, "logprobs", call.logprobs.map(|_| true));
        put(
            &mut body,
            "top_logprobs",
            call.logprobs.filter(|count| *count > 0),
        );
    }
    // Left out, it would mean that the answer is to be streamed.
    put(&mut body, "stream", Some(call.stream));
    write_options(
        Sampling::of_completion(call),
        &call.extra.fields,
        own,
        &mut body,
        &mut gaps,
    );
    for (field, is_set) in [
        (Field::Echo, call.echo == Some(true)),
        (Field::BestOf, call.best_of.is_some_and(|count| count > 1)),
        (Field::N, call.n.is_some_and(|n| n != 1)),
        (Field::CompletionLogprobs, call.logprobs.is_some() && !own),
        (Field::User, call.user.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

// === answers ===

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    read_answer_with(body, Dialect::OllamaGenerate, |fields, _| {
        if fields.peek("response").is_none() {
            return Err(fields.error("response", "is missing; it must be a text"));
        }
        read_texts(fields, "response")
    })
}

/// Writes a whole answer for a client. Of a chat model's answer, what is not text has no place here.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Chat(answer) = answer else {
        return ollama_chat::write_answer(answer, form);
    };
    write_frame(answer, form, |said| {
        let mut written = Map::new();
        put(&mut written, "response", Some(said.text));
        put(&mut written, "thinking", said.thinking);
        written
    })
}

/// Writes the lines of a stream.
#[derive(Debug)]
pub(crate) struct StreamWriter(ollama_chat::StreamWriter);

impl StreamWriter {
    /// For a client.
    pub(crate) fn new(form: &AnswerForm<'_>) -> Self {
        Self(ollama_chat::StreamWriter::of_shape(Shape::Completion, form))
    }
}

impl WriteEvents for StreamWriter {
    fn write(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        self.0.write(event, out);
    }
}
