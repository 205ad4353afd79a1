//! OpenAI's text completions: `POST /v1/completions`. Their calls can also be put to a chat model ([`to_chat`]); the reverse
//! is not possible.

mod stream;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollgate_domain::{Dialect, StreamUsage};

pub(crate) use crate::openai_chat::StreamReader;
pub(crate) use stream::StreamWriter;

use crate::{
    Answer, AnswerChoice, AnswerForm, Call, CallForm, ChatCall, CompletionCall, Extra, Field, Gaps,
    Message, Part, PartKind, PromptInput, ReadError, Role, Unsupported, Written,
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
        suffix: fields.text("suffix")?,
        echo: fields.flag("echo")?,
        best_of: fields.count("best_of")?,
        max_tokens: fields.count("max_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        seed: fields.integer("seed")?,
        stop: fields.texts("stop")?,
        n: fields.count("n")?,
        logprobs: fields.count("logprobs")?,
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
    let call = match call {
        Call::Completion(call) => call,
        other => return Err(Unsupported::call(other)),
    };
    let mut body = Map::new();
    put(&mut body, "model", form.model);
    let prompt = match &call.prompt {
        PromptInput::Text(text) => json!(text),
        PromptInput::Texts(texts) => json!(texts),
        PromptInput::Tokens(tokens) => tokens.clone(),
    };
    put(&mut body, "prompt", Some(prompt));
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
    put(&mut body, "logprobs", call.logprobs);
    put(&mut body, "user", call.user.clone());
    body.extend(call.extra.fields.clone());
    openai_chat::write_stream_options(
        call.stream,
        form.stream_usage == StreamUsage::Ask || call.include_usage,
        &mut body,
    );
    Ok(Written {
        body: to_bytes(&Value::Object(body)),
        dropped: Vec::new(),
    })
}

/// Puts a completion to a chat model: the prompt is what the user says.
///
/// # Errors
/// When there is more than one prompt, or the prompt is tokens: a chat has nothing that could stand for that.
pub(crate) fn to_chat(call: &CompletionCall, gaps: &mut Gaps) -> Result<ChatCall, Unsupported> {
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
    Ok(ChatCall {
        model: call.model.clone(),
        messages: vec![Message {
            role: Role::User,
            name: None,
            content: vec![Part::text(prompt)],
            extra: Map::new(),
        }],
        tools: Vec::new(),
        tool_choice: None,
        parallel_tool_calls: None,
        max_tokens: call.max_tokens,
        temperature: call.temperature,
        top_p: call.top_p,
        top_k: None,
        frequency_penalty: call.frequency_penalty,
        presence_penalty: call.presence_penalty,
        seed: call.seed,
        stop: call.stop.clone(),
        n: call.n,
        logprobs: None,
        top_logprobs: None,
        response_format: None,
        reasoning: None,
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
