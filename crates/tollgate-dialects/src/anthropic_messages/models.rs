//! In what Claude's models differ, as far as a call has to be written differently for them.

/// A model's family and generation, as its name tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    family: Family,
    /// `None` where the name does not tell: an alias, or a model of another maker behind the same dialect.
    generation: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Opus,
    Sonnet,
    Haiku,
    /// Families that came later, and models without one.
    Other,
}

impl Model {
    /// Reads a name: `claude-3-5-haiku-20241022`, `claude-opus-4-8`, `us.anthropic.claude-sonnet-4-5-20250929-v1:0`.
    pub(crate) fn named(name: &str) -> Self {
        let words = name.split(|sign: char| !sign.is_ascii_alphanumeric());
        let words: Vec<&str> = words.skip_while(|word| *word != "claude").collect();
        // Dates have eight digits.
        let number = |word: &&str| word.parse::<u32>().ok().filter(|_| word.len() <= 2);
        let mut numbers = words.iter().skip_while(|word| number(word).is_none());
        let major = numbers.next().and_then(number);
        let minor = numbers.next().and_then(number).unwrap_or(0);
        Self {
            family: words
                .iter()
                .find_map(|word| Family::named(word))
                .unwrap_or(Family::Other),
            generation: major.map(|major| (major, minor)),
        }
    }

    /// How many tokens to ask for where the client gave no cap: Anthropic wants one, OpenAI does without. It is within what
    /// every model can give (<https://platform.claude.com/docs/en/about-claude/models/overview>, read 2026-11).
    pub(super) fn max_tokens(self) -> u64 {
        if self.is_before((3, 5)) { 4096 } else { 8192 }
    }

    /// Whether it lets its sampling be changed: `temperature`, `top_p`, `top_k`
    /// (<https://platform.claude.com/docs/en/models/opus-5-5/migration-guide>, read 2026-11).
    pub(crate) fn takes_sampling(self) -> bool {
        self.generation.is_none() || self.is_before((4, 7))
    }

    /// Whether it takes `output_config.effort` (<https://platform.claude.com/docs/en/build-with-claude/effort>, read
    /// 2026-11).
    pub(crate) fn knows_effort(self) -> bool {
        let first = match self.family {
            Family::Opus => (4, 5),
            Family::Sonnet | Family::Other => (4, 6),
            Family::Haiku => (5, 0),
        };
        !self.is_before(first)
    }

    /// What switches its thinking off; `None` where nothing does, and little effort comes closest
    /// (<https://platform.claude.com/docs/en/models/opus-5-5/migration-guide> and
    /// <https://platform.claude.com/docs/en/models/sonnet-5-5/whats-new-sonnet-5-5>, read 2026-11).
    pub(crate) fn thinking_off(self) -> Option<&'static str> {
        match (self.family, self.generation) {
            (Family::Sonnet, Some((5, 5..) | (6.., _))) => Some("between_tools"),
            (Family::Opus, Some((5, 5..) | (6.., _))) | (Family::Other, Some((5.., _))) => None,
            _ => Some("disabled"),
        }
    }

    /// Whether its name tells an earlier generation.
    pub(crate) fn is_before(self, generation: (u32, u32)) -> bool {
        self.generation.is_some_and(|own| own < generation)
    }
}

impl Family {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "opus" => Self::Opus,
            "sonnet" => Self::Sonnet,
            "haiku" => Self::Haiku,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_family_and_generation() {
        for (name, family, generation) in [
            ("claude-2.1", Family::Other, Some((2, 1))),
            ("claude-instant-1.2", Family::Other, Some((1, 2))),
            ("claude-3-opus-20240229", Family::Opus, Some((3, 0))),
            ("claude-3-5-haiku-20241022", Family::Haiku, Some((3, 5))),
            ("claude-opus-4-20250514", Family::Opus, Some((4, 0))),
            ("claude-sonnet-4@20250514", Family::Sonnet, Some((4, 0))),
            (
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                Family::Sonnet,
                Some((4, 5)),
            ),
            ("claude-opus-4-8", Family::Opus, Some((4, 8))),
            ("claude-sonnet-5", Family::Sonnet, Some((5, 0))),
            ("claude-fable-5-1", Family::Other, Some((5, 1))),
            ("claude-sonnet-latest", Family::Sonnet, None),
            ("house-opus-3", Family::Other, None),
        ] {
            assert_eq!(Model::named(name), Model { family, generation }, "{name}");
        }
    }

    #[test]
    fn models_differ() {
        let (disabled, between_tools) = (Some("disabled"), Some("between_tools"));
        for (name, max_tokens, takes_sampling, knows_effort, thinking_off) in [
            ("claude-3-haiku-20240307", 4096, true, false, disabled),
            ("claude-3-5-sonnet-latest", 8192, true, false, disabled),
            ("claude-sonnet-4-5", 8192, true, false, disabled),
            ("claude-opus-4-5", 8192, true, true, disabled),
            ("claude-opus-4-7", 8192, false, true, disabled),
            ("claude-opus-5-5", 8192, false, true, None),
            ("claude-sonnet-5-5", 8192, false, true, between_tools),
            ("claude-haiku-5-5", 8192, false, true, disabled),
            ("claude-fable-5", 8192, false, true, None),
            ("qwen3", 8192, true, true, disabled),
        ] {
            let model = Model::named(name);
            let told = (
                model.max_tokens(),
                model.takes_sampling(),
                model.knows_effort(),
                model.thinking_off(),
            );
            assert_eq!(
                told,
                (max_tokens, takes_sampling, knows_effort, thinking_off),
                "{name}"
            );
        }
    }
}
