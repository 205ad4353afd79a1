//! From Ollama's shapes into ours: calls.

use serde_json::Value;
use tollgate_domain::Dialect;

use super::wire::{media_type_of, read_format, read_options, read_think};
use crate::{
    Call, ChatCall, Extra, MediaSource, Message, Part, PartKind, ReadError, Role, ToolKind,
    json::Fields, openai_chat,
};

/// Reads a client's call.
pub(crate) fn read_call(body: &[u8]) -> Result<Call, ReadError> {
    let mut fields = Fields::of_body(body)?;
    let options = read_options(&mut fields)?;
    let tools = fields.list("tools")?.into_iter().enumerate();
    let tools = tools.map(|(index, tool)| openai_chat::read_tool(format!("tools[{index}]"), tool));
    let call = ChatCall {
        model: fields.text("model")?.unwrap_or_default(),
        messages: read_messages(&mut fields)?,
        tools: tools.collect::<Result<_, _>>()?,
        tool_choice: None,
        parallel_tool_calls: None,
        max_tokens: options.max_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        top_k: options.top_k,
        frequency_penalty: options.frequency_penalty,
        presence_penalty: options.presence_penalty,
        seed: options.seed,
        stop: options.stop,
        n: None,
        logprobs: fields.flag("logprobs")?,
        top_logprobs: fields.count("top_logprobs")?,
        response_format: read_format(&mut fields),
        reasoning: read_think(&mut fields)?,
        user: None,
        service_tier: None,
        stream: fields.flag("stream")?.unwrap_or(true),
        include_usage: true,
        extra: Extra {
            dialect: Dialect::OllamaChat,
            fields: fields.rest(),
        },
    };
    Ok(Call::Chat(Box::new(call)))
}

fn read_messages(fields: &mut Fields) -> Result<Vec<Message>, ReadError> {
    if fields.peek("messages").is_none() {
        return Err(fields.error("messages", "is missing; it must be a list of messages"));
    }
    let mut calls = Calls::default();
    let messages = fields.list("messages")?.into_iter().enumerate();
    messages
        .map(|(index, value)| {
            read_message(Fields::of(format!("messages[{index}]"), value)?, &mut calls)
        })
        .collect()
}

fn read_message(mut fields: Fields, calls: &mut Calls) -> Result<Message, ReadError> {
    let role = match fields.required_text("role")?.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(fields.error("role", "must be system, user, assistant or tool")),
    };
    let mut content = Vec::new();
    if role == Role::Assistant
        && let Some(text) = fields.text("thinking")?.filter(|text| !text.is_empty())
    {
        let signature = None;
        content.push(Part::new(PartKind::Reasoning { text, signature }));
    }
    let images = read_images(&mut fields)?;
    content.extend(images.into_iter().map(|source| {
        let detail = None;
        Part::new(PartKind::Image { source, detail })
    }));
    let text = fields.text("content")?.filter(|text| !text.is_empty());
    content.extend(text.map(Part::text));
    let path = fields.path("tool_calls");
    for (index, value) in fields.list("tool_calls")?.into_iter().enumerate() {
        content.push(read_tool_call(format!("{path}[{index}]"), value, calls)?);
    }
    let name = fields.text("tool_name")?;
    if role == Role::Tool {
        let call_id = calls.answered_by(fields.text("tool_call_id")?, name.as_deref());
        content = vec![Part::new(PartKind::ToolResult {
            call_id,
            content,
            is_error: None,
        })];
    }
    Ok(Message {
        role,
        name,
        content,
        extra: fields.rest(),
    })
}

/// Takes `images`: bare base64, never addresses.
pub(crate) fn read_images(fields: &mut Fields) -> Result<Vec<MediaSource>, ReadError> {
    let images = fields.texts("images")?.into_iter();
    let source = |data: String| MediaSource::Base64 {
        media_type: media_type_of(&data).to_owned(),
        data,
    };
    Ok(images.map(source).collect())
}

fn read_tool_call(path: String, value: Value, calls: &mut Calls) -> Result<Part, ReadError> {
    let mut fields = Fields::of(path, value)?;
    let id = fields.text("id")?;
    drop(fields.any("type"));
    let mut function = Fields::of(
        fields.path("function"),
        fields.any("function").unwrap_or_default(),
    )?;
    // Numbers the calls of an answer; clients that send it back leave it in. It says nothing here.
    drop(function.any("index"));
    let name = function.required_text("name")?;
    let arguments = function.any("arguments");
    let mut part = Part::new(PartKind::ToolCall {
        id: calls.asked(id, &name),
        name,
        arguments: arguments.map_or_else(|| "{}".to_owned(), text_of),
        kind: ToolKind::Function,
    });
    part.extra = fields.rest();
    Ok(part)
}

/// Arguments as text; they are an object, but some clients send the text of one.
fn text_of(arguments: Value) -> String {
    match arguments {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The tool calls of a conversation. Many have no ids: those get one from their number, and results that name none
/// answer the first call of their tool that nobody has answered yet.
#[derive(Debug, Default)]
struct Calls(Vec<Asked>);

#[derive(Debug)]
struct Asked {
    id: String,
    name: String,
    answered: bool,
}

impl Calls {
    fn asked(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("ollama_call_{}", self.0.len()));
        self.0.push(Asked {
            id: id.clone(),
            name: name.to_owned(),
            answered: false,
        });
        id
    }

    fn answered_by(&mut self, id: Option<String>, name: Option<&str>) -> String {
        let named = id.filter(|id| !id.is_empty());
        let fits = |asked: &&mut Asked| match (&named, name) {
            (Some(id), _) => asked.id == *id,
            (None, Some(name)) => !asked.answered && asked.name == name,
            (None, None) => !asked.answered,
        };
        match self.0.iter_mut().find(fits) {
            Some(asked) => {
                asked.answered = true;
                asked.id.clone()
            }
            // It answers nothing that was asked; the provider judges that.
            None => named.unwrap_or_else(|| format!("ollama_result_{}", self.0.len())),
        }
    }
}

/// Whether an id was made up here, so that it is left out where it came from.
pub(super) fn is_made_up(id: &str) -> bool {
    id.starts_with("ollama_call_") || id.starts_with("ollama_result_")
}
