//! The documentation's page of providers, made from the table.

use tollgate_domain::{
    Accent, Dialect, Otherwise, ReasoningBack, Task, ThinkingSwitch, ToolCallIds, Turns,
};

use super::{KINDS, KeyNeed, Kind, SignIn, UNSPOKEN};

const HEAD: &str = "\
# Providers

What a configuration's `type` may be. Letter case, `-` and `_` make no difference. Whatever speaks one of these languages elsewhere is
`type: custom` with a `base_url` ([adding a provider](adding-a-provider.md)). Where a kind speaks several languages for a task, a client who speaks one of
them is understood as it is, and everybody else's calls are translated into the first.

`tollgate providers` prints this table, and `tollgate providers --json` all that it says.

This page is made by `cargo xtask docs`.

| type | also | address | key | serves | speaks | facts from |
|---|---|---|---|---|---|---|
";

const ACCENTS: &str = "
## What they take otherwise

A call of OpenAI's own clients passes as it is. A call that is translated is written as the provider takes it:

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
    page += ACCENTS;
    let copies = KINDS.iter().filter(|kind| {
        kind.endpoints
            .iter()
            .any(|endpoint| endpoint.dialect == Dialect::OpenaiChat)
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
    let mut key = match kind.sign_in {
        SignIn::Bearer => "`authorization: Bearer`".to_owned(),
        SignIn::Header(name) => format!("`{name}`"),
    };
    if kind.key == KeyNeed::Optional {
        key += ", if any";
    }
    let serves = distinct(kind.endpoints.iter().map(|endpoint| short(endpoint.task)));
    let speaks = distinct(
        kind.endpoints
            .iter()
            .map(|endpoint| endpoint.dialect.as_str()),
    );
    let source = if kind.source.starts_with("https://") {
        format!("<{}>", kind.source)
    } else {
        kind.source.to_owned()
    };
    format!(
        "| `{}` | {} | {address} | {key} | {} | {} | {source} |\n",
        kind.name,
        names(kind.aliases),
        serves.join(", "),
        names(&speaks),
    )
}

/// A task's name without the words that all have.
fn short(task: Task) -> &'static str {
    task.as_str().rsplit('/').next().unwrap_or_default()
}

fn distinct(words: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut told = Vec::new();
    for word in words {
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told
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
    told
}

fn field(name: &str, otherwise: Otherwise) -> String {
    match otherwise {
        Otherwise::Taken => format!("`{name}` is taken"),
        Otherwise::Named(other) => format!("`{name}` is `{other}`"),
        Otherwise::Dropped => format!("`{name}` is dropped"),
        Otherwise::Refused => format!("`{name}` is refused"),
    }
}
