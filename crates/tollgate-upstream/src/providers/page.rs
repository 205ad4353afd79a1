//! The documentation's page of providers, made from the table.

use tollgate_domain::{
    Accent, Dialect, Documents, Otherwise, ReasoningBack, Spelling, ThinkingSwitch, ToolCallIds,
    Turns,
};

use super::{KINDS, Kind, UNSPOKEN};

const HEAD: &str = "\
# Providers

What a configuration's `type` may be. Letter case, `-` and `_` make no difference. `tollgate providers` lists the same, with how a key is sent;
`tollgate providers --json` has the addresses and dialects of every endpoint. What speaks a known dialect elsewhere is `type: custom`
with a `base_url` ([adding a provider](adding-a-provider.md)).

This page is made by `cargo xtask docs`.

| type | also | address | serves | facts from |
|---|---|---|---|---|
";

const NOTES: &str = "
`bedrock` takes a model's id, an inference profile or an ARN as the model's name. With an `api_key` it is Bedrock's bearer key; without, requests are signed
([configuration](configuration.md#credentials-that-expire)). Chats go to Converse, but for those of Anthropic's clients to models whose names hold
`anthropic.`: they are passed on to `InvokeModel`, which takes Anthropic's own language, and lose nothing (a client's `anthropic-beta` is the body's `anthropic_beta`);
their tokens are counted there as well. `dialect: anthropic` has every client's chats go that way, as for an application's inference profile, whose ARN does not say whose model
it is; `dialect: converse` has none. A text becomes a vector by `InvokeModel`, of Titan (one text a call) and Cohere.

Models on `vertex` whose names begin with `claude` are asked in Anthropic's language, all others in Gemini's; vectors are asked for with `predict`. Claude's tokens are
counted at `count-tokens:rawPredict`, which is there in some locations only.

`replicate` serves language models, by text: a question is the prompt, a conversation a script of who said what. A target's model is `owner/name`, or with a version
`owner/name:version`. A job that takes longer is asked for again until it is done, a stream is listened to where the model has one, and a job is ended whose client leaves.
Pictures, tools and models that make pictures or sound are not asked for.

`watsonx` wants a `region` (or a `base_url`), an `api_key` of IBM Cloud's, which is exchanged for tokens
([configuration](configuration.md#credentials-that-expire)), and `params: {project_id: ...}` or `{space_id: ...}`. Another `version` than the one that is sent is
`query: {version: ...}`. A token that is there already is sent with `auth: bearer`.
";

const ACCENTS: &str = "
## What they take otherwise

A call of OpenAI's own clients passes as it is, but for what is said to be so in every call. A call that is translated is written as the provider takes it:

";

const OTHERS: &str = "
## Others

| type | instead |
|---|---|
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for kind in KINDS {
        page += &row(kind);
    }
    page += NOTES;
    page += ACCENTS;
    let copies = KINDS.iter().filter(|kind| {
        let mut endpoints = kind.endpoints.iter();
        let accent = &kind.quirks.accent;
        endpoints.any(|endpoint| endpoint.dialect == Dialect::OpenaiChat)
            || accent.purpose.is_some()
            || accent.documents == Documents::Texts
    });
    for kind in copies {
        let told = accent(&kind.quirks.accent);
        if !told.is_empty() {
            page += &format!("- `{}`: {}.\n", kind.name, told.join("; "));
        }
    }
    page += OTHERS;
    for kind in UNSPOKEN {
        page += &format!("| {} | {} |\n", names(kind.names), kind.instead);
    }
    page
}

fn row(kind: &Kind) -> String {
    let address = kind
        .base_url
        .map_or_else(|| "to be given".to_owned(), |url| format!("`{url}`"));
    let source = if kind.source.starts_with("https://") {
        format!("<{}>", kind.source)
    } else {
        kind.source.to_owned()
    };
    format!(
        "| `{}` | {} | {address} | {} | {source} |\n",
        kind.name,
        names(kind.aliases),
        kind.tasks().join(", "),
    )
}

fn names(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What an accent says, sentence by sentence.
fn accent(accent: &Accent) -> Vec<String> {
    let mut told: Vec<String> = accent
        .fields
        .iter()
        .map(|(name, otherwise)| field(name, *otherwise))
        .collect();
    if accent.tool_call_ids == ToolCallIds::Nine {
        told.push("ids of tool calls have nine letters and digits".to_owned());
    }
    told.extend(
        match accent.reasoning {
            ReasoningBack::LeftOut => None,
            ReasoningBack::Content => {
                Some("what was thought in a loop of tools goes back as `reasoning_content`")
            }
            ReasoningBack::Details => Some("what was thought goes back as `reasoning_details`"),
        }
        .map(str::to_owned),
    );
    told.extend(
        match accent.thinking {
            ThinkingSwitch::Effort => None,
            ThinkingSwitch::Thinking => Some("thinking is switched by `thinking.type`"),
            ThinkingSwitch::EnableThinking => Some("thinking is switched by `enable_thinking`"),
        }
        .map(str::to_owned),
    );
    if accent.turns == Turns::Alternating {
        told.push("speakers take turns, after the operator".to_owned());
    }
    if let Some(purpose) = accent.purpose {
        let words = purpose.words.iter();
        let words: Vec<String> = words
            .map(|(ours, theirs)| format!("`{theirs}` for `{ours}`"))
            .collect();
        told.push(format!(
            "what vectors are for is `{}`: {}",
            purpose.field,
            words.join(", ")
        ));
    }
    if accent.documents == Documents::Texts {
        told.push("documents to be ranked are texts: objects go as YAML (with the `rank_fields`), and the gateway gives documents back (`return_documents`), in every call".to_owned());
    }
    let spelt = accent.spelling.iter();
    let spelt: Vec<String> = spelt.map(|(name, how)| spelling(name, *how)).collect();
    if !spelt.is_empty() {
        told.push(format!("in every call {}", spelt.join(", ")));
    }
    told
}

fn spelling(name: &str, how: Spelling) -> String {
    match how {
        Spelling::As(other) => format!("`{name}` is `{other}`"),
        Spelling::TextAs(other) => format!("`{name}` is `{other}` where it is a word"),
        Spelling::LeftOut => format!("`{name}` is left out"),
        Spelling::Operators => format!("`{name}` is the operator's, whatever a caller says"),
    }
}

fn field(name: &str, otherwise: Otherwise) -> String {
    match otherwise {
        Otherwise::Taken => format!("`{name}` is taken"),
        Otherwise::Named(other) => format!("`{name}` is `{other}`"),
        Otherwise::Dropped => format!("`{name}` is dropped"),
        Otherwise::Refused => format!("`{name}` is refused"),
    }
}
