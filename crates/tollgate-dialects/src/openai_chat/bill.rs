//! What an answer cost, as those providers write it who say so beside the tokens.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use tollgate_domain::Picodollars;

use super::Count;

/// A ten-thousand-millionth of a dollar, as xAI counts (<https://docs.x.ai/docs/api-reference>, read 2026-11).
const TICK: Picodollars = Picodollars::new(100);

/// The members of `usage` that say what an answer cost.
#[derive(Default)]
pub(crate) struct Bill {
    /// `cost`: dollars with OpenRouter and Vercel's gateway, where that is what they take for themselves; by parts, with their sum, with
    /// Perplexity.
    pub(crate) cost: Dollars,
    /// `cost_details`: what the model's own provider takes.
    pub(crate) details: Value,
    /// `is_byok`: that is paid with the caller's own key there, beside `cost`.
    pub(crate) own_key: Value,
    /// `cost_in_usd_ticks` (xAI).
    pub(crate) ticks: Count,
}

impl Bill {
    /// The whole of it, where it is there. Who counts in ticks and counts none has not counted.
    pub(crate) fn whole(self) -> Option<Picodollars> {
        if let Some(ticks) = self.ticks.get().filter(|ticks| *ticks > 0) {
            return Some(TICK.times(ticks));
        }
        let cost = self.cost.0?;
        if self.own_key != true {
            return Some(cost);
        }
        let upstream = Dollars::deserialize(&self.details["upstream_inference_cost"]);
        Some(cost.plus(upstream.ok()?.0?))
    }
}

/// An amount in dollars; nothing where it is written in a way that nobody is known to write it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Dollars(Option<Picodollars>);

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DollarsVisitor)
    }
}

struct DollarsVisitor;

impl<'de> Visitor<'de> for DollarsVisitor {
    type Value = Dollars;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("dollars")
    }

    fn visit_f64<E>(self, dollars: f64) -> Result<Dollars, E> {
        Ok(Dollars(Picodollars::nearest(dollars)))
    }

    fn visit_u64<E>(self, dollars: u64) -> Result<Dollars, E> {
        let dollars = u32::try_from(dollars).ok();
        Ok(Dollars(dollars.and_then(|dollars| {
            Picodollars::nearest(f64::from(dollars))
        })))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Dollars, E> {
        Ok(Dollars(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Dollars, E> {
        let dollars = text.parse().ok();
        Ok(Dollars(dollars.and_then(Picodollars::nearest)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Dollars, E> {
        Ok(Dollars(None))
    }

    fn visit_unit<E>(self) -> Result<Dollars, E> {
        Ok(Dollars(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Dollars, A::Error> {
        IgnoredAny.visit_seq(list).map(|_| Dollars(None))
    }

    /// Perplexity's sum of its parts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dollars, A::Error> {
        let mut total = Dollars(None);
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == "total_cost" {
                total = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(total)
    }
}
