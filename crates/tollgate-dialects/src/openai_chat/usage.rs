//! What was used, as those who speak OpenAI's languages write it: many places and names, and one form of ours.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use tollgate_domain::Usage;

use super::{Bill, Dollars};

/// `usage` as providers write it.
#[derive(Deserialize)]
pub(crate) struct WireUsage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    total_tokens: Count,
    /// Without the plural with Writer.
    #[serde(default, alias = "prompt_token_details")]
    prompt_tokens_details: Option<Details>,
    #[serde(default, alias = "completion_token_details")]
    completion_tokens_details: Option<Details>,
    /// DeepSeek's name for cached tokens.
    #[serde(default)]
    prompt_cache_hit_tokens: Count,
    /// Mistral's.
    #[serde(default)]
    num_cached_tokens: Count,
    /// Together's place for them.
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    reasoning_tokens: Count,
    /// What Databricks has of Claude.
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    /// Perplexity's and Vercel's alone: these count reasoning beside both totals.
    #[serde(default)]
    citation_tokens: Count,
    #[serde(default)]
    market_cost: Option<f64>,
    #[serde(default)]
    cost: Dollars,
    #[serde(default)]
    cost_details: Value,
    #[serde(default)]
    is_byok: Value,
    #[serde(default)]
    cost_in_usd_ticks: Count,
    /// OpenRouter's.
    #[serde(default)]
    server_tool_use_details: Value,
}

/// What is told of a total's parts.
#[derive(Default, Deserialize)]
pub(crate) struct Details {
    #[serde(default)]
    pub(crate) cached_tokens: Count,
    #[serde(default)]
    pub(crate) cache_write_tokens: Count,
    #[serde(default)]
    pub(crate) audio_tokens: Count,
    /// Read of what is made alone: pictures that are read have the price of text, and some of them are cached.
    #[serde(default)]
    pub(crate) image_tokens: Count,
    #[serde(default)]
    pub(crate) reasoning_tokens: Count,
}

/// A number that is whole and not negative, or nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count(Option<u64>);

impl Count {
    /// As it is.
    pub(crate) fn get(self) -> Option<u64> {
        self.0
    }

    /// As a place in a list.
    pub(crate) fn index(self) -> Option<u32> {
        self.0.and_then(|count| u32::try_from(count).ok())
    }
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    ///
    /// `prompt_tokens` holds cached, written and audio tokens, `completion_tokens` holds reasoning and audio. Some count
    /// reasoning (xAI, Google's copy, which does not name it) or audio (Mistral) beside them: that is where the total says so. Perplexity
    /// and Vercel's gateway, for Google's models, leave reasoning out of the total as well, and charge it.
    pub(crate) fn into_usage(self) -> Option<Usage> {
        let names_output = self.completion_tokens_details.is_some();
        let input = self.prompt_tokens_details.unwrap_or_default();
        let output = self.completion_tokens_details.unwrap_or_default();
        let (prompt, completion) = (self.prompt_tokens.0, self.completion_tokens.0);
        let beside = self.total_tokens.0.zip(prompt).map(|(total, prompt)| {
            total
                .saturating_sub(prompt)
                .saturating_sub(completion.unwrap_or(0))
        });
        let is_beside = |class: Option<u64>| class.is_some() && class != Some(0) && class == beside;

        let mut rest = prompt;
        let input_audio = take(
            &mut rest,
            input.audio_tokens.0,
            is_beside(input.audio_tokens.0),
        );
        let cached = input
            .cached_tokens
            .0
            .or(self.prompt_cache_hit_tokens.0)
            .or(self.num_cached_tokens.0)
            .or(self.cached_tokens.0)
            .or(self.cache_read_input_tokens.0);
        let input_cached = take(&mut rest, cached, false);
        let written = input.cache_write_tokens.0;
        let written = written.or(self.cache_creation_input_tokens.0);
        let cache_write = take(&mut rest, written, false);
        let input = rest;

        let mut rest = completion;
        let reasoning = output.reasoning_tokens.0.or(self.reasoning_tokens.0);
        let is_charged_beside = reasoning > completion
            && (self.citation_tokens.0.is_some() || self.market_cost.is_some());
        let unnamed = beside.filter(|_| !names_output && input_audio.is_none());
        let (reasoning, reasoning_is_beside) = match reasoning {
            Some(_) => (reasoning, is_beside(reasoning) || is_charged_beside),
            None => (unnamed.filter(|count| *count > 0), true),
        };
        let output_reasoning = take(&mut rest, reasoning, reasoning_is_beside);
        let output_audio = take(&mut rest, output.audio_tokens.0, false);
        let output_image = take(&mut rest, output.image_tokens.0, false);
        let usage = Usage {
            input,
            input_cached,
            cache_write,
            cache_write_1h: None,
            input_audio,
            output: rest,
            output_reasoning,
            output_audio,
            output_image: output_image.filter(|count| *count > 0),
            ..Usage::default()
        };
        let bill = Bill {
            cost: self.cost,
            details: self.cost_details,
            own_key: self.is_byok,
            ticks: self.cost_in_usd_ticks,
        };
        let searches = &self.server_tool_use_details["web_search_requests"];
        (usage != Usage::default()).then(|| Usage {
            web_searches: searches.as_u64(),
            billed: bill.whole(),
            ..usage
        })
    }

    /// The same of a call that generates nothing: where the sum alone is told, it is the input.
    pub(crate) fn into_input_usage(self) -> Option<Usage> {
        let total = self.total_tokens;
        let prompt = if self.prompt_tokens.0.is_none() && self.completion_tokens.0.is_none() {
            total
        } else {
            self.prompt_tokens
        };
        let told = Self {
            prompt_tokens: prompt,
            ..self
        };
        told.into_usage()
    }
}

/// Takes a class out of what is left of a total. A class larger than that is cut down: the total is what was charged.
fn take(rest: &mut Option<u64>, class: Option<u64>, beside: bool) -> Option<u64> {
    let Some(total) = *rest else { return class };
    if beside {
        return class;
    }
    let class = class.map(|class| class.min(total));
    *rest = Some(total - class.unwrap_or(0));
    class
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(Some(count)))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(count).ok()))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole and not negative"
    )]
    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        Ok(Count(
            (count >= 0.0 && count.fract() == 0.0).then_some(count as u64),
        ))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(None))
    }

    // Whatever else one count is, the others stand.

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(Count(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Count, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Count, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Count(None))
    }
}

/// Usage in OpenAI's form. Classes that were not told are left out; the totals have to be there.
pub(crate) fn write_usage(usage: &Usage) -> Value {
    let mut wire = serde_json::json!({
        "prompt_tokens": usage.input_total().unwrap_or(0),
        "completion_tokens": usage.output_total().unwrap_or(0),
        "total_tokens": usage.total().unwrap_or(0),
    });
    let cache_write = match (usage.cache_write, usage.cache_write_1h) {
        (None, None) => None,
        (write, write_1h) => Some(write.unwrap_or(0).saturating_add(write_1h.unwrap_or(0))),
    };
    let prompt = [
        ("cached_tokens", usage.input_cached),
        ("cache_write_tokens", cache_write),
        ("audio_tokens", usage.input_audio),
    ];
    let completion = [
        ("reasoning_tokens", usage.output_reasoning),
        ("audio_tokens", usage.output_audio),
        ("image_tokens", usage.output_image),
    ];
    for (name, classes) in [
        ("prompt_tokens_details", &prompt[..]),
        ("completion_tokens_details", &completion[..]),
    ] {
        let told: serde_json::Map<String, Value> = classes
            .iter()
            .filter_map(|(name, count)| Some(((*name).to_owned(), Value::from((*count)?))))
            .collect();
        if !told.is_empty() {
            wire[name] = Value::Object(told);
        }
    }
    if let Some(searches) = usage.web_searches_total() {
        wire["server_tool_use_details"] = serde_json::json!({"web_search_requests": searches});
    }
    if let Some(billed) = usage.billed {
        wire["cost"] = billed.as_dollars().into();
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(usage: Value) -> Usage {
        serde_json::from_value::<WireUsage>(usage)
            .unwrap()
            .into_usage()
            .unwrap_or_default()
    }

    #[test]
    fn classes_do_not_overlap() {
        let usage = read(serde_json::json!({
            "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10, "cache_write_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": null, "image_tokens": 8},
        }));
        assert_eq!(
            (
                usage.input,
                usage.input_cached,
                usage.cache_write,
                usage.input_audio
            ),
            (Some(25), Some(60), Some(5), Some(10))
        );
        assert_eq!(
            (usage.output, usage.output_reasoning, usage.output_image),
            (Some(12), Some(30), Some(8))
        );
        assert_eq!(usage.total(), Some(150));
    }

    #[test]
    fn reasoning_is_beside_where_the_total_says_so() {
        let usage = read(serde_json::json!({
            "prompt_tokens": 468, "completion_tokens": 82, "total_tokens": 870,
            "completion_tokens_details": {"reasoning_tokens": 320},
        }));
        assert_eq!(
            (usage.output, usage.output_reasoning, usage.total()),
            (Some(82), Some(320), Some(870))
        );
    }

    #[test]
    fn reasoning_that_no_total_holds_is_told_by_who_charges_it() {
        for (usage, output, reasoning) in [
            // Vercel's gateway of Gemini: 28 and 54 tokens at the model's price are the cost.
            (
                serde_json::json!({"prompt_tokens": 28, "completion_tokens": 5, "total_tokens": 33, "market_cost": 0.000_143_4,
                    "completion_tokens_details": {"reasoning_tokens": 49}}),
                5,
                49,
            ),
            (
                serde_json::json!({"prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20016,
                    "reasoning_tokens": 73997}),
                7163,
                73997,
            ),
            // Google's copy of OpenAI's API.
            (
                serde_json::json!({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}),
                12,
                62,
            ),
        ] {
            let usage = read(usage);
            assert_eq!(
                (usage.output, usage.output_reasoning),
                (Some(output), Some(reasoning))
            );
        }
        // What is missing has a name elsewhere, or nobody knows what it is.
        for usage in [
            serde_json::json!({"prompt_tokens": 11, "completion_tokens": 15, "total_tokens": 401, "prompt_tokens_details": {"audio_tokens": 375}}),
            serde_json::json!({"prompt_tokens": 25, "completion_tokens": 2, "total_tokens": 32, "completion_tokens_details": {"reasoning_tokens": 0}}),
            serde_json::json!({"prompt_tokens": 8, "total_tokens": 8}),
        ] {
            assert!(read(usage).output_reasoning.unwrap_or(0) == 0);
        }
    }

    #[test]
    fn a_bill_in_a_strange_form_takes_nothing_from_the_tokens() {
        for (name, strange) in [
            ("cost", serde_json::json!(["much"])),
            ("cost", serde_json::json!({"total_cost": null})),
            ("cost_details", serde_json::json!(3)),
            ("is_byok", serde_json::json!("no")),
            ("cost_in_usd_ticks", serde_json::json!({})),
            ("cost_in_usd_ticks", serde_json::json!("none")),
            ("citation_tokens", serde_json::json!([1])),
            ("num_cached_tokens", serde_json::json!(true)),
            ("server_tool_use_details", serde_json::json!("none")),
        ] {
            let mut told = serde_json::json!({"prompt_tokens": 9, "completion_tokens": 1});
            told[name] = strange;
            let usage = read(told.clone());
            assert_eq!((usage.total(), usage.billed), (Some(10), None), "{told}");
        }
    }

    #[test]
    fn cached_tokens_are_found_in_every_place() {
        for (name, place) in [
            ("cached_tokens", "prompt_tokens_details"),
            ("cached_tokens", "prompt_token_details"),
            ("cached_tokens", ""),
            ("num_cached_tokens", ""),
            ("prompt_cache_hit_tokens", ""),
            ("cache_read_input_tokens", ""),
        ] {
            let mut told =
                serde_json::json!({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10});
            if place.is_empty() {
                told[name] = 4.into();
            } else {
                told[place] = serde_json::json!({name: 4});
            }
            let usage = read(told);
            assert_eq!(
                (usage.input, usage.input_cached, usage.total()),
                (Some(5), Some(4), Some(10)),
                "{place} {name}"
            );
        }
    }

    #[test]
    fn a_class_larger_than_its_total_is_cut_down() {
        let usage = read(serde_json::json!({
            "prompt_tokens": 7, "completion_tokens": 16, "total_tokens": 23,
            "prompt_tokens_details": {"cached_tokens": 161}, "completion_tokens_details": {"reasoning_tokens": 22},
        }));
        assert_eq!((usage.input, usage.input_cached), (Some(0), Some(7)));
        assert_eq!((usage.output, usage.output_reasoning), (Some(0), Some(16)));
    }

    #[test]
    fn what_was_not_told_stays_untold() {
        assert_eq!(
            read(serde_json::json!({"prompt_tokens": 3})),
            Usage {
                input: Some(3),
                ..Usage::default()
            }
        );
        assert!(
            serde_json::from_value::<WireUsage>(serde_json::json!({"prompt_tokens": null}))
                .unwrap()
                .into_usage()
                .is_none()
        );
        let written = write_usage(&Usage {
            input: Some(3),
            output: Some(2),
            ..Usage::default()
        });
        assert_eq!(
            written,
            serde_json::json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5})
        );
    }
}
