//! How a provider that speaks OpenAI's chat, or a common language for vectors or for ranking, differs in what it takes. Calls of OpenAI's own clients pass as they are, but for the
//! spelling; those that are translated are written in the accent.

/// What a provider takes otherwise than OpenAI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accent {
    /// Fields of a call that it calls otherwise, or does not take, by OpenAI's names. `response_format.json_schema` is that one form.
    pub fields: &'static [(&'static str, Otherwise)],
    /// What the ids of tool calls may be.
    pub tool_call_ids: ToolCallIds,
    /// What becomes of the model's earlier reasoning.
    pub reasoning: ReasoningBack,
    /// How thinking is switched on and off.
    pub thinking: ThinkingSwitch,
    /// Who may speak after whom.
    pub turns: Turns,
    /// What it spells otherwise, so that not even calls of OpenAI's own clients are understood as they are.
    pub spelling: &'static [(&'static str, Spelling)],
    /// How it is told what vectors are for, where it speaks OpenAI's embeddings.
    pub purpose: Option<Purpose>,
    /// What it takes as documents to be ranked, where it speaks Cohere's rerank.
    pub documents: Documents,
}

/// How a provider is told what vectors are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The field.
    pub field: &'static str,
    /// Cohere's words, which are ours, and its own.
    pub words: &'static [(&'static str, &'static str)],
}

/// What is taken as documents to be ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Documents {
    /// Whatever the caller sends, and they are given back when that is asked.
    AsSent,
    /// Texts alone, which are not given back.
    Texts,
}

/// How a field of a body is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// It has this name.
    As(&'static str),
    /// It has this name where it is a text, and OpenAI's where it is not.
    TextAs(&'static str),
    /// It is left out: the address says it.
    LeftOut,
    /// It is what the operator gave the provider as `params`, or not there, whatever the caller says.
    Operators,
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is taken, though OpenAI has none of it (`top_k`).
    Taken,
    /// It has this name.
    Named(&'static str),
    /// It is left out and named: a hint.
    Dropped,
    /// It is refused, or left out and named where the route allows: it changes the answer's meaning.
    Refused,
}

/// What the ids of tool calls may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolCallIds {
    /// Any text.
    Any,
    /// Nine letters and digits.
    Nine,
}

/// What becomes of the model's earlier reasoning in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningBack {
    /// It is left out.
    LeftOut,
    /// It is `reasoning_content` of the messages that follow what the user said last: a model that is calling tools wants to know
    /// what it thought.
    Content,
    /// It is `reasoning_details`, proofs included, in OpenRouter's form.
    Details,
}

/// How thinking is switched on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThinkingSwitch {
    /// By the effort, if at all.
    Effort,
    /// By `thinking: {type: enabled | disabled}`.
    Thinking,
    /// By `enable_thinking`.
    EnableThinking,
}

/// Who may speak after whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    /// Anybody.
    Free,
    /// The operator at the beginning, then the user and the assistant in turns.
    Alternating,
}

impl Accent {
    /// OpenAI's own.
    pub const NONE: Self = Self {
        fields: &[],
        tool_call_ids: ToolCallIds::Any,
        reasoning: ReasoningBack::LeftOut,
        thinking: ThinkingSwitch::Effort,
        turns: Turns::Free,
        spelling: &[],
        purpose: None,
        documents: Documents::AsSent,
    };

    /// What is done with a field, if anything.
    pub fn of(&self, field: &str) -> Option<Otherwise> {
        let mut fields = self.fields.iter();
        fields
            .find(|(name, _)| *name == field)
            .map(|(_, otherwise)| *otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_without_a_word_is_as_with_openai() {
        let accent = Accent {
            fields: &[("seed", Otherwise::Named("random_seed"))],
            ..Accent::NONE
        };
        assert_eq!(accent.of("seed"), Some(Otherwise::Named("random_seed")));
        assert_eq!(accent.of("top_p"), None);
    }
}
