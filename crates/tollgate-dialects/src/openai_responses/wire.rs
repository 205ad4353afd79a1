//! Shapes that calls, answers and streams share: usage, states, ids, items, annotations.

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tollgate_domain::Usage;

use crate::{
    StopReason,
    json::put,
    openai_chat::{Bill, Count, Details, Dollars, Text, parse},
};

/// `usage` as it is written here: totals hold their details.
#[derive(Deserialize)]
pub(super) struct WireUsage {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    input_tokens_details: Option<Details>,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    output_tokens_details: Option<Details>,
    #[serde(default)]
    cost: Dollars,
    #[serde(default)]
    cost_details: Value,
    #[serde(default)]
    is_byok: Value,
    #[serde(default)]
    cost_in_usd_ticks: Count,
}

impl WireUsage {
    /// The same in classes that do not overlap; `None` where no tokens are told.
    pub(super) fn into_usage(self) -> Option<Usage> {
        let details = self.input_tokens_details.unwrap_or_default();
        let mut input = self.input_tokens.get();
        let input_cached = take(&mut input, details.cached_tokens.get());
        let cache_write = take(&mut input, details.cache_write_tokens.get());
        let input_audio = take(&mut input, details.audio_tokens.get());
        let details = self.output_tokens_details.unwrap_or_default();
        let mut output = self.output_tokens.get();
        let output_reasoning = take(&mut output, details.reasoning_tokens.get());
        let output_audio = take(&mut output, details.audio_tokens.get());
        let usage = Usage {
            input,
            input_cached,
            cache_write,
            cache_write_1h: None,
            input_audio,
            output,
            output_reasoning,
            output_audio,
            ..Usage::default()
        };
        let bill = Bill {
            cost: self.cost,
            details: self.cost_details,
            own_key: self.is_byok,
            ticks: self.cost_in_usd_ticks,
        };
        (usage != Usage::default()).then(|| Usage {
            billed: bill.whole(),
            ..usage
        })
    }
}

/// What is looked at in an item, to count the provider's searches of the web.
#[derive(Deserialize)]
struct SearchGlimpse<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    action: Option<ActionGlimpse<'a>>,
}

#[derive(Deserialize)]
struct ActionGlimpse<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ToolGlimpse<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
}

/// The item of a search, and the beginning of the name of OpenAI's older tool, whose searches have another price.
const SEARCH: &str = "web_search_call";
const OLDER_TOOL: &str = "web_search_preview";

/// Adds the searches of the web that were made for an answer with these items, with these tools. OpenAI bills each search, and neither
/// the pages that are opened nor how many questions it asks at once: `tool_usage.web_search.num_requests` of newer answers says the same.
pub(super) fn with_searches(
    usage: Usage,
    output: Option<&RawValue>,
    tools: Option<&RawValue>,
) -> Usage {
    let items = output.filter(|items| items.get().contains(SEARCH));
    let items = items.and_then(parse::<Vec<SearchGlimpse<'_>>>);
    let made = items.iter().flatten().filter(|item| item.is_search());
    let searches = Some(made.count() as u64).filter(|searches| *searches > 0);
    if searches.is_none() {
        return usage;
    }
    let tools = tools.and_then(parse::<Vec<ToolGlimpse<'_>>>);
    let is_older =
        |tool: &ToolGlimpse<'_>| is_word(tool.kind.as_ref(), |kind| kind.starts_with(OLDER_TOOL));
    if tools.iter().flatten().any(is_older) {
        Usage {
            web_search_previews: searches,
            ..usage
        }
    } else {
        Usage {
            web_searches: searches,
            ..usage
        }
    }
}

impl SearchGlimpse<'_> {
    /// A search that was made. Older answers do not say what was done.
    fn is_search(&self) -> bool {
        let action = self.action.as_ref().and_then(|action| action.kind.as_ref());
        is_word(self.kind.as_ref(), |kind| kind == SEARCH)
            && !is_word(self.status.as_ref(), |status| status == "failed")
            && action.is_none_or(|action| &*action.0 == "search")
    }
}

fn is_word(word: Option<&Text<'_>>, is: impl Fn(&str) -> bool) -> bool {
    word.is_some_and(|word| is(&word.0))
}

/// Takes a class out of what is left of a total. A class larger than that is cut down: the total is what was charged.
fn take(rest: &mut Option<u64>, class: Option<u64>) -> Option<u64> {
    let Some(total) = *rest else { return class };
    let class = class.map(|class| class.min(total));
    *rest = Some(total - class.unwrap_or(0));
    class
}

/// Usage as it is written here. Its clients insist on the totals and on two of the details, so that what is not known is 0 there.
pub(super) fn write_usage(usage: &Usage) -> Value {
    let sum = |classes: [Option<u64>; 2]| classes.into_iter().flatten().reduce(u64::saturating_add);
    let mut input = Map::new();
    put(
        &mut input,
        "cached_tokens",
        Some(usage.input_cached.unwrap_or(0)),
    );
    let written = sum([usage.cache_write, usage.cache_write_1h]);
    put(&mut input, "cache_write_tokens", written);
    put(&mut input, "audio_tokens", usage.input_audio);
    let mut output = Map::new();
    put(
        &mut output,
        "reasoning_tokens",
        Some(usage.output_reasoning.unwrap_or(0)),
    );
    put(&mut output, "audio_tokens", usage.output_audio);
    let mut written = json!({
        "input_tokens": usage.input_total().unwrap_or(0),
        "input_tokens_details": input,
        "output_tokens": usage.output_total().unwrap_or(0),
        "output_tokens_details": output,
        "total_tokens": usage.total().unwrap_or(0),
    });
    if let Some(billed) = usage.billed {
        written["cost"] = billed.as_dollars().into();
    }
    written
}

// === why an answer ended ===

/// Why an answer ended, from its state, the reason why it is incomplete, and whether tools are asked for; `None` while it goes on.
pub(super) fn stop_reason(
    status: Option<&str>,
    incomplete: Option<&str>,
    asks_for_tool: bool,
) -> Option<StopReason> {
    Some(match (status, incomplete) {
        (Some("queued" | "in_progress"), _) => return None,
        (Some("incomplete"), Some("content_filter")) => StopReason::ContentFilter,
        (Some("incomplete"), None | Some("max_output_tokens" | "max_tokens")) => {
            StopReason::MaxTokens
        }
        (Some("incomplete"), Some(word)) => StopReason::Other(word.to_owned()),
        (Some("cancelled"), _) => StopReason::Other("cancelled".to_owned()),
        _ if asks_for_tool => StopReason::ToolUse,
        _ => StopReason::EndTurn,
    })
}

/// The state of an answer that ended so, and why it is incomplete.
pub(super) fn state(reason: Option<&StopReason>) -> (&'static str, Option<&'static str>) {
    match reason {
        Some(StopReason::MaxTokens | StopReason::ContextWindow) => {
            ("incomplete", Some("max_output_tokens"))
        }
        Some(StopReason::ContentFilter | StopReason::Refusal) => {
            ("incomplete", Some("content_filter"))
        }
        Some(
            StopReason::EndTurn
            | StopReason::StopSequence
            | StopReason::ToolUse
            | StopReason::Pause
            | StopReason::Other(_),
        )
        | None => ("completed", None),
    }
}

/// Whether an item asks the client for a tool.
pub(super) fn is_tool_call(kind: &str) -> bool {
    matches!(kind, "function_call" | "custom_tool_call")
}

/// Whether a block is an item of this dialect that nothing models: what the provider's own tools were asked and said, mostly.
pub(super) fn is_foreign_item(block: &Value) -> bool {
    block["type"].as_str().is_some_and(|kind| {
        (kind.ends_with("_call") || kind.ends_with("_output") || kind.starts_with("mcp_"))
            && !is_tool_call(kind)
            || matches!(kind, "reasoning" | "compaction")
    })
}

// === ids ===

/// The answer's id. Clients tell ids by how they begin.
pub(super) fn response_id(id: &str, fallback: &str) -> String {
    match id {
        "" if fallback.starts_with("resp_") => fallback.to_owned(),
        "" => format!("resp_{fallback}"),
        id => id.to_owned(),
    }
}

/// The id of an item to which the provider gave none: the same for the same answer.
pub(super) fn item_id(kind: &str, response_id: &str, index: usize) -> String {
    let prefix = match kind {
        "message" => "msg",
        "reasoning" => "rs",
        "custom_tool_call" => "ctc",
        _ => "fc",
    };
    let stem = response_id.strip_prefix("resp_").unwrap_or(response_id);
    format!("{prefix}_{stem}_{index}")
}

// === annotations ===

/// An annotation of an answer's text as a citation in Anthropic's form, which remembers its range; `None` for those without an
/// address.
pub(super) fn citation(annotation: &Value, text: &str) -> Option<Value> {
    let url = annotation["url"].as_str()?;
    let place = |name: &str| {
        annotation[name]
            .as_u64()
            .and_then(|place| usize::try_from(place).ok())
    };
    let (start, end) = (place("start_index"), place("end_index"));
    let cited = start.zip(end).map(|(start, end)| {
        let cited = text.chars().skip(start).take(end.saturating_sub(start));
        cited.collect::<String>()
    });
    Some(json!({
        "type": "web_search_result_location",
        "url": url,
        "title": annotation["title"],
        "cited_text": cited.unwrap_or_default(),
        "encrypted_index": "",
        "start_index": start,
        "end_index": end,
    }))
}

/// A citation in Anthropic's form as an annotation of a text of this length, in characters; `None` where it has no address, as those
/// of documents.
pub(super) fn annotation(citation: &Value, length: usize) -> Option<Value> {
    let url = citation["url"].as_str()?;
    let place = |name: &str| citation[name].as_u64();
    Some(json!({
        "type": "url_citation",
        "url": url,
        "title": citation["title"].as_str().unwrap_or(url),
        "start_index": place("start_index").unwrap_or(0),
        "end_index": place("end_index").unwrap_or(length as u64),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(usage: Value) -> Usage {
        let usage: WireUsage = serde_json::from_value(usage).unwrap();
        usage.into_usage().unwrap_or_default()
    }

    #[test]
    fn classes_do_not_overlap() {
        let wire = json!({
            "input_tokens": 100, "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
            "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 30}, "total_tokens": 150,
        });
        let usage = read(wire.clone());
        let expected = Usage {
            input: Some(35),
            input_cached: Some(60),
            cache_write: Some(5),
            output: Some(20),
            output_reasoning: Some(30),
            ..Usage::default()
        };
        assert_eq!((usage, usage.total()), (expected, Some(150)));
        assert_eq!(write_usage(&usage), wire);
    }

    #[test]
    fn what_was_not_told_stays_untold_but_for_what_clients_insist_on() {
        let usage = read(json!({"input_tokens": 3, "output_tokens": null, "total_tokens": 3}));
        let expected = Usage {
            input: Some(3),
            ..Usage::default()
        };
        assert_eq!(usage, expected);
        assert_eq!(
            write_usage(&usage),
            json!({
                "input_tokens": 3, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 3,
            })
        );
    }

    #[test]
    fn a_class_larger_than_its_total_is_cut_down() {
        let usage =
            read(json!({"output_tokens": 16, "output_tokens_details": {"reasoning_tokens": 22}}));
        assert_eq!((usage.output, usage.output_reasoning), (Some(0), Some(16)));
    }

    #[test]
    fn a_range_survives_its_way_through_a_citation() {
        let annotation = json!({"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 3});
        let citation = citation(&annotation, "äöüß").unwrap();
        assert_eq!(citation["cited_text"], "öü");
        assert_eq!(super::annotation(&citation, 4), Some(annotation));
        let without = json!({"url": "u"});
        assert_eq!(
            super::annotation(&without, 4).unwrap()["end_index"],
            json!(4)
        );
    }
}
