//! OpenAI's text completions: `POST /v1/completions`. Their calls can also be put to a chat model ([`as_chat`]); the reverse
//! is not possible.

mod stream;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, StreamUsage};

pub(crate) use crate::openai_chat::StreamReader;
pub(crate) use stream::StreamWriter;

use crate::{
    Answer, AnswerChoice, AnswerForm, Call, CallForm, ChatCall, CompletionCall, Extra, Field, Gaps,
    Message, Part, PartKind, PromptInput, ReadError, ResponseFormat, Role, Unsupported, Written,
    fields::Place,
    json::{Fields, put},
    openai_chat::{
        self, finish_word, read_answer_with, read_choice_frame, read_stream_options, to_bytes,
        write_frame,
    },
};

// === calls ===

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let (stream, include_usage) = read_stream_options(&mut fields)?;
    let call = CompletionCall {
        model: fields.text("model")?.unwrap_or_default(),
        prompt: read_prompt(&mut fields)?,
        system: None,
        images: Vec::new(),
        suffix: fields.text("suffix")?,
        echo: fields.flag("echo")?,
        best_of: fields.count("best_of")?,
        max_tokens: fields.count("max_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.count("top_k")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        seed: fields.integer("seed")?,
        stop: fields.texts("stop")?,
        n: fields.count("n")?,
        logprobs: fields.count("logprobs")?,
        response_format: None,
        reasoning: None,
        user: fields.text("user")?,
        stream,
        include_usage,
        extra: Extra {
            dialect: Dialect::OpenaiCompletions,
            fields: fields.rest(),
        },
    };
    Ok(Call::Completion(Box::new(call)))
}

fn read_prompt(fields: &mut Fields) -> Result<PromptInput, ReadError> {
    match fields.peek("prompt") {
        Some(Value::String(_)) => Ok(PromptInput::Text(fields.required_text("prompt")?)),
        Some(Value::Array(list)) if !list.is_empty() && list.iter().all(Value::is_string) => {
            Ok(PromptInput::Texts(fields.texts("prompt")?))
        }
        Some(Value::Array(list))
            if !list.is_empty() && list.iter().all(|item| item.is_u64() || item.is_array()) =>
        {
            Ok(PromptInput::Tokens(
                fields.any("prompt").unwrap_or_default(),
            ))
        }
        Some(_) => Err(fields.error("prompt", "must be a text, a list of texts, or tokens")),
        None => Err(fields.error(
            "prompt",
            "is missing; it must be a text, a list of texts, or tokens",
        )),
    }
}

/// Writes a call for a provider.
pub(crate) fn write_call(call: &Call, form: &CallForm<'_>) -> Result<Written, Unsupported> {
    let from = call.dialect();
    let call = match call {
        Call::Completion(call) => call,
        other => return Err(Unsupported::call(other)),
    };
    let own = from == Dialect::OpenaiCompletions;
    let mut gaps = Gaps::new(from, Dialect::OpenaiCompletions);
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    put(&mut body, "prompt", Some(write_prompt(call)));
    put(&mut body, "suffix", call.suffix.clone());
    put(&mut body, "echo", call.echo);
    put(&mut body, "best_of", call.best_of);
    put(&mut body, "max_tokens", call.max_tokens);
    put(&mut body, "temperature", call.temperature);
    put(&mut body, "top_p", call.top_p);
    put(&mut body, "frequency_penalty", call.frequency_penalty);
    put(&mut body, "presence_penalty", call.presence_penalty);
    put(&mut body, "seed", call.seed);
    put(
        &mut body,
        "stop",
        (!call.stop.is_empty()).then(|| call.stop.clone()),
    );
    put(&mut body, "n", call.n);
    put(&mut body, "user", call.user.clone());
    if own {
        put(&mut body, "top_k", call.top_k);
        put(&mut body, "logprobs", call.logprobs);
        body.extend(call.extra.fields.clone());
    } else {
        write_gaps(call, &mut gaps);
    }
    openai_chat::write_stream_options(
        call.stream,
        form.stream_usage == StreamUsage::Ask || own && call.include_usage,
        &mut body,
    );
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: gaps.judge(form.drop_unsupported)?,
    })
}

/// The prompt. There is no other place for what the operator says.
fn write_prompt(call: &CompletionCall) -> Value {
    let with_system = |text: &str| match &call.system {
        Some(system) => format!("{system}\n\n{text}"),
        None => text.to_owned(),
    };
    match &call.prompt {
        PromptInput::Text(text) => json!(with_system(text)),
        PromptInput::Texts(texts) => texts.iter().map(|text| with_system(text)).collect(),
        PromptInput::Tokens(tokens) => tokens.clone(),
    }
}

/// Tells what another dialect's call holds and this one cannot say.
fn write_gaps(call: &CompletionCall, gaps: &mut Gaps) {
    for (field, is_set) in [
        (Field::Image, !call.images.is_empty()),
        (Field::TopK, call.top_k.is_some()),
        (Field::CompletionLogprobs, call.logprobs.is_some()),
        (
            Field::ResponseFormat,
            call.response_format
                .as_ref()
                .is_some_and(|format| *format != ResponseFormat::Text),
        ),
        (Field::ReasoningEffort, call.reasoning.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    for name in call.extra.fields.keys() {
        gaps.left_out_extra(Place::Body, name);
    }
}

/// A call as one of a chat: a completion is put to a chat model.
///
/// # Errors
/// When it is neither, or as [`to_chat`].
pub(crate) fn as_chat<'a>(
    call: &'a Call,
    gaps: &mut Gaps,
) -> Result<Cow<'a, ChatCall>, Unsupported> {
    match call {
        Call::Chat(call) => Ok(Cow::Borrowed(call)),
        Call::Completion(call) => to_chat(call, gaps).map(Cow::Owned),
        other => Err(Unsupported::call(other)),
    }
}

/// Puts a completion to a chat model: the prompt is what the user says.
///
/// # Errors
/// When there is more than one prompt, or the prompt is tokens: a chat has nothing that could stand for that.
fn to_chat(call: &CompletionCall, gaps: &mut Gaps) -> Result<ChatCall, Unsupported> {
    let prompt = match &call.prompt {
        PromptInput::Text(text) => text,
        PromptInput::Texts(texts) if texts.len() == 1 => &texts[0],
        PromptInput::Texts(_) | PromptInput::Tokens(_) => {
            return Err(Unsupported {
                fields: vec!["prompt".to_owned()],
            });
        }
    };
    for (field, is_set) in [
        (
            Field::Suffix,
            call.suffix
                .as_ref()
                .is_some_and(|suffix| !suffix.is_empty()),
        ),
        (Field::Echo, call.echo == Some(true)),
        (Field::BestOf, call.best_of.is_some_and(|count| count > 1)),
        (Field::CompletionLogprobs, call.logprobs.is_some()),
    ] {
        if is_set {
            gaps.left_out(field);
        }
    }
    let message = |role, content| Message {
        role,
        name: None,
        content,
        extra: Map::new(),
    };
    let images = call.images.iter().cloned().map(|source| {
        let detail = None;
        Part::new(PartKind::Image { source, detail })
    });
    let said = images.chain([Part::text(prompt)]).collect();
    let system = call.system.iter();
    let system = system.map(|text| message(Role::System, vec![Part::text(text)]));
    Ok(ChatCall {
        model: call.model.clone(),
        messages: system.chain([message(Role::User, said)]).collect(),
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        max_tokens: call.max_tokens,
        temperature: call.temperature,
        top_p: call.top_p,
        top_k: call.top_k,
        frequency_penalty: call.frequency_penalty,
        presence_penalty: call.presence_penalty,
        seed: call.seed,
        stop: call.stop.clone(),
        n: call.n,
        logprobs: None,
        top_logprobs: None,
        response_format: call.response_format.clone(),
        reasoning: call.reasoning.clone(),
        user: call.user.clone(),
        service_tier: None,
        stream: call.stream,
        include_usage: call.include_usage,
        extra: call.extra.clone(),
    })
}

// === answers ===

/// Reads a provider's whole answer.
pub(crate) fn read_answer(body: &[u8]) -> Result<Answer, ReadError> {
    read_answer_with(body, Dialect::OpenaiCompletions, read_choice)
        .map(|answer| Answer::Chat(Box::new(answer)))
}

fn read_choice(mut fields: Fields) -> Result<AnswerChoice, ReadError> {
    let text = fields.text("text")?;
    let mut choice = read_choice_frame(&mut fields)?;
    choice.content = text.map(Part::text).into_iter().collect();
    choice.extra = fields.rest();
    Ok(choice)
}

/// Writes a whole answer for a client. Of a chat model's answer, what is not text has no place here.
pub(crate) fn write_answer(answer: &Answer, form: &AnswerForm<'_>) -> Bytes {
    let Answer::Chat(answer) = answer else {
        return openai_chat::write_answer(answer, form);
    };
    let own = answer.extra.dialect == Dialect::OpenaiCompletions;
    to_bytes(&write_frame(
        answer,
        form,
        "text_completion",
        own,
        |choice| write_choice(choice, own),
    ))
}

fn write_choice(choice: &AnswerChoice, own: bool) -> Value {
    let text = choice.content.iter().filter_map(|part| match &part.kind {
        PartKind::Text { text, .. } | PartKind::Refusal { text } => Some(text.as_str()),
        _ => None,
    });
    let mut written = Map::new();
    put(&mut written, "text", Some(text.collect::<String>()));
    put(&mut written, "index", Some(choice.index));
    // The two kinds of endpoint have different forms of log-probabilities.
    let logprobs = choice.logprobs.clone().filter(|_| own);
    written.insert("logprobs".to_owned(), logprobs.unwrap_or_default());
    put(
        &mut written,
        "finish_reason",
        Some(finish_word(choice, own)),
    );
    if own {
        written.extend(choice.extra.clone());
    }
    Value::Object(written)
}
