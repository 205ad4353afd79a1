//! What differs between Gemini's models: how to ask for thoughts
//! (<https://ai.google.dev/gemini-api/docs/thinking> and `/docs/openai#thinking`, read 2026-11).

use serde_json::{Map, Value, json};

use crate::{Reasoning, ReasoningEffort};

/// A model, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// Of generation 3 or later, which thinks at levels.
    Levels(Size),
    /// Of generation 2.5, which thinks within a budget.
    Budget(Size),
    /// Of another name, or before: whoever thinks at all knows budgets.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Pro,
    Flash,
}

impl Model {
    pub(super) fn named(name: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let size = if name.contains("-pro") {
            Size::Pro
        } else {
            Size::Flash
        };
        let Some(version) = name.strip_prefix("gemini-") else {
            return Self::Unknown;
        };
        let number = version.split('-').next().unwrap_or_default();
        match number.parse::<f32>() {
            Ok(generation) if generation >= 3.0 => Self::Levels(size),
            Ok(generation) if generation >= 2.5 => Self::Budget(size),
            _ => Self::Unknown,
        }
    }

    /// Whether it refuses calls in its name without its proof.
    pub(super) fn wants_proofs(self) -> bool {
        matches!(self, Self::Levels(_))
    }

    /// Whether tools may answer with pictures and documents.
    pub(super) fn takes_media_of_tools(self) -> bool {
        matches!(self, Self::Levels(_))
    }

    /// `thinkingConfig` for a call of another dialect; `None` where nothing is asked.
    pub(super) fn thinking(self, reasoning: &Reasoning) -> Option<Map<String, Value>> {
        use ReasoningEffort::{High, Low, Medium, Minimal, None as Not, Other};
        let off = reasoning.effort == Some(Not)
            || reasoning.enabled == Some(false) && reasoning.effort.is_none();
        let mut config = Map::new();
        let mut set = |name: &str, value: Value| config.insert(name.to_owned(), value);
        match (self, &reasoning.effort, reasoning.budget_tokens) {
            (Self::Levels(Size::Pro), ..) if off => set("thinkingLevel", json!("low")),
            (Self::Levels(Size::Flash), ..) if off => set("thinkingLevel", json!("minimal")),
            // It cannot be switched off.
            (Self::Budget(Size::Pro), ..) if off => set("thinkingBudget", json!(128)),
            _ if off => set("thinkingBudget", json!(0)),
            (Self::Levels(size), Some(effort), _) => {
                let level = match (effort, size) {
                    (Not | Minimal, Size::Flash) => "minimal",
                    (Not | Minimal | Low, _) => "low",
                    (Medium, Size::Flash) => "medium",
                    // Not every large model knows the word between.
                    (Medium, Size::Pro) | (High | Other(_), _) => "high",
                };
                set("thinkingLevel", json!(level))
            }
            (_, Some(effort), None) => {
                let budget = match effort {
                    Not | Minimal | Low => 1024,
                    Medium => 8192,
                    High | Other(_) => 24_576,
                };
                set("thinkingBudget", json!(budget))
            }
            (_, _, Some(budget)) => set("thinkingBudget", json!(budget.min(self.budget_max()))),
            (_, None, None) if reasoning.enabled == Some(true) => set("thinkingBudget", json!(-1)),
            (_, None, None) => return None,
        };
        config.insert("includeThoughts".to_owned(), json!(!off));
        Some(config)
    }

    fn budget_max(self) -> u64 {
        match self {
            Self::Budget(Size::Flash) => 24_576,
            Self::Budget(Size::Pro) | Self::Levels(_) => 32_768,
            Self::Unknown => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_told_by_name() {
        for (name, model) in [
            ("gemini-2.5-flash-lite", Model::Budget(Size::Flash)),
            ("gemini-2.5-pro", Model::Budget(Size::Pro)),
            ("gemini-3-pro-preview", Model::Levels(Size::Pro)),
            ("gemini-3.6-flash", Model::Levels(Size::Flash)),
            ("models/gemini-10-pro", Model::Levels(Size::Pro)),
            ("gemini-2.0-flash", Model::Unknown),
            ("gemini-flash-latest", Model::Unknown),
            ("gpt-5", Model::Unknown),
        ] {
            assert_eq!(Model::named(name), model, "{name}");
        }
    }

    #[test]
    fn thinking_is_asked_for_in_the_models_own_way() {
        let effort = |effort| Reasoning {
            effort: Some(effort),
            ..Reasoning::default()
        };
        let budget = |budget| Reasoning {
            enabled: Some(true),
            budget_tokens: Some(budget),
            ..Reasoning::default()
        };
        let off = Reasoning {
            enabled: Some(false),
            ..Reasoning::default()
        };
        let adaptive = Reasoning {
            enabled: Some(true),
            adaptive: true,
            ..Reasoning::default()
        };
        for (model, reasoning, expected) in [
            (
                "gemini-3-pro",
                effort(ReasoningEffort::Medium),
                json!({"thinkingLevel": "high", "includeThoughts": true}),
            ),
            (
                "gemini-3-flash",
                effort(ReasoningEffort::None),
                json!({"thinkingLevel": "minimal", "includeThoughts": false}),
            ),
            (
                "gemini-3-flash",
                budget(4000),
                json!({"thinkingBudget": 4000, "includeThoughts": true}),
            ),
            (
                "gemini-2.5-pro",
                off.clone(),
                json!({"thinkingBudget": 128, "includeThoughts": false}),
            ),
            (
                "gemini-2.5-flash",
                off,
                json!({"thinkingBudget": 0, "includeThoughts": false}),
            ),
            (
                "gemini-2.5-flash",
                budget(60_000),
                json!({"thinkingBudget": 24576, "includeThoughts": true}),
            ),
            (
                "gemini-2.5-flash",
                effort(ReasoningEffort::Low),
                json!({"thinkingBudget": 1024, "includeThoughts": true}),
            ),
            (
                "gemini-2.5-flash",
                adaptive,
                json!({"thinkingBudget": -1, "includeThoughts": true}),
            ),
        ] {
            let config = Model::named(model).thinking(&reasoning).map(Value::Object);
            assert_eq!(config, Some(expected), "{model} {reasoning:?}");
        }
        assert_eq!(Model::Unknown.thinking(&Reasoning::default()), None);
    }
}
