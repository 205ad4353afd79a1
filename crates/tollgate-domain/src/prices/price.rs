//! What a model costs: prices by what is counted, and the cost of what a call used. Whose price holds when is told in the module above.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Picodollars, Usage};

/// What is counted and paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// An input token at the full price.
    Input,
    /// An input token read from the provider's cache.
    InputCached,
    /// An input token written to the provider's cache.
    CacheWrite,
    /// An input token written to the provider's cache for an hour.
    CacheWrite1h,
    /// An input token of audio.
    InputAudio,
    /// An input token of a picture.
    InputImage,
    /// An output token.
    Output,
    /// An output token of reasoning.
    OutputReasoning,
    /// An output token of audio.
    OutputAudio,
    /// An output token of a picture.
    OutputImage,
    /// A second of sound that is listened to.
    Second,
    /// A search of a rerank call.
    Search,
    /// A search of the web, made by the provider.
    WebSearch,
    /// The same with OpenAI's older tool, `web_search_preview`.
    WebSearchPreview,
    /// The call itself.
    Call,
}

/// How fast, and how sure, an answer is bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// As usual.
    #[default]
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer.
    Priority,
    /// In a batch, within a day.
    Batch,
}

/// One price of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceComponent {
    /// For what.
    pub unit: Unit,
    /// It holds for calls with more input tokens than this, for all of their tokens.
    pub above: u64,
    /// It holds for this tier.
    pub tier: ServiceTier,
    /// For each.
    pub price: Picodollars,
}

/// All prices of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    components: Vec<PriceComponent>,
    /// Input tokens that the model takes at most.
    input_max: Option<u64>,
    /// Output tokens that it gives at most.
    output_max: Option<u64>,
    /// What it says is all that is paid.
    is_all: bool,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// So much.
    Known(Picodollars),
    /// Nobody has said what the model costs.
    Unpriced,
    /// The provider did not say all that was used; it is this much at most.
    AtMost(Picodollars),
}

impl Cost {
    /// Both together: known where both are.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unpriced, _) | (_, Self::Unpriced) => Self::Unpriced,
            (Self::Known(one), Self::Known(other)) => Self::Known(one.plus(other)),
            (Self::Known(one) | Self::AtMost(one), Self::Known(other) | Self::AtMost(other)) => {
                Self::AtMost(one.plus(other))
            }
        }
    }
}

/// How a catalogue says what a model takes and gives at most.
const INPUT_MAX: &str = "input_max=";
const OUTPUT_MAX: &str = "output_max=";

impl Unit {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 15] = [
        Self::Input,
        Self::InputCached,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::InputAudio,
        Self::InputImage,
        Self::Output,
        Self::OutputReasoning,
        Self::OutputAudio,
        Self::OutputImage,
        Self::Second,
        Self::Search,
        Self::WebSearch,
        Self::WebSearchPreview,
        Self::Call,
    ];

    /// Its word in configurations, catalogues and lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::InputCached => "input_cached",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::InputAudio => "input_audio",
            Self::InputImage => "input_image",
            Self::Output => "output",
            Self::OutputReasoning => "output_reasoning",
            Self::OutputAudio => "output_audio",
            Self::OutputImage => "output_image",
            Self::Second => "second",
            Self::Search => "search",
            Self::WebSearch => "web_search",
            Self::WebSearchPreview => "web_search_preview",
            Self::Call => "call",
        }
    }

    /// What it is a kind of.
    const fn like(self) -> Option<Self> {
        match self {
            Self::InputCached | Self::CacheWrite | Self::InputAudio | Self::InputImage => {
                Some(Self::Input)
            }
            Self::CacheWrite1h => Some(Self::CacheWrite),
            Self::OutputReasoning | Self::OutputAudio | Self::OutputImage => Some(Self::Output),
            Self::WebSearchPreview => Some(Self::WebSearch),
            Self::Input
            | Self::Output
            | Self::Second
            | Self::Search
            | Self::WebSearch
            | Self::Call => None,
        }
    }

    /// What has its price where it has none of its own: a provider that names no price for reasoning bills it as output. Nobody sells pictures
    /// at the price of text.
    fn otherwise(self) -> Option<Self> {
        self.like().filter(|_| self != Self::OutputImage)
    }

    fn used(self, usage: &Usage) -> Option<u64> {
        match self {
            Self::Input => usage.input,
            Self::InputCached => usage.input_cached,
            Self::CacheWrite => usage.cache_write,
            Self::CacheWrite1h => usage.cache_write_1h,
            Self::InputAudio => usage.input_audio,
            Self::InputImage => usage.input_image,
            Self::Output => usage.output,
            Self::OutputReasoning => usage.output_reasoning,
            Self::OutputAudio => usage.output_audio,
            Self::OutputImage => usage.output_image,
            Self::Second => usage.seconds,
            Self::Search => usage.search_units,
            Self::WebSearch => usage.web_searches,
            Self::WebSearchPreview => usage.web_search_previews,
            Self::Call => None,
        }
    }
}

impl ServiceTier {
    /// Its word in catalogues.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Batch => "batch",
        }
    }

    /// The tier of a word that a provider answered with; `None` for what is billed as usual (`default`, `scale` and whatever else).
    pub fn special(word: &str) -> Option<Self> {
        match word {
            "flex" => Some(Self::Flex),
            "priority" => Some(Self::Priority),
            "batch" => Some(Self::Batch),
            _ => None,
        }
    }
}

// === impl Price ===

impl Price {
    /// A price as an operator says it: these are all that is paid.
    pub const fn new(components: Vec<PriceComponent>) -> Self {
        Self {
            components,
            input_max: None,
            output_max: None,
            is_all: true,
        }
    }

    /// The same of a model that gives so many output tokens at most.
    #[must_use]
    pub fn with_output_max(self, output_max: Option<u64>) -> Self {
        Self { output_max, ..self }
    }

    /// Takes from another price of the model what it takes and gives at most, where nothing is said of that here.
    pub(super) fn bound_like(&mut self, other: &Self) {
        self.input_max = self.input_max.or(other.input_max);
        self.output_max = self.output_max.or(other.output_max);
    }

    /// Input tokens that the model takes at most, where that is known.
    pub const fn input_max(&self) -> Option<u64> {
        self.input_max
    }

    /// Output tokens that it gives at most, where that is known.
    pub const fn output_max(&self) -> Option<u64> {
        self.output_max
    }

    /// Reads a price as a catalogue has it.
    pub(super) fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut price = Self::default();
        for word in words {
            let bound = |text: &str| text.parse().map_err(|_| format!("`{word}` is none"));
            if let Some(text) = word.strip_prefix(INPUT_MAX) {
                price.input_max = Some(bound(text)?);
            } else if let Some(text) = word.strip_prefix(OUTPUT_MAX) {
                price.output_max = Some(bound(text)?);
            } else {
                price.components.push(word.parse()?);
            }
        }
        if price.components.is_empty() {
            return Err("it says no price, such as `input=2.5`".to_owned());
        }
        Ok(price)
    }

    /// What it is made of.
    pub fn components(&self) -> &[PriceComponent] {
        &self.components
    }

    /// Whether an operator said it: then it goes before what the provider says.
    pub const fn is_operators(&self) -> bool {
        self.is_all
    }

    /// Whether nothing costs anything.
    pub fn is_free(&self) -> bool {
        let is_free = |component: &PriceComponent| component.price == Picodollars::ZERO;
        !self.components.is_empty() && self.components.iter().all(is_free)
    }

    /// The cost of what a call used; `None` where something was used that has no price.
    pub fn cost(&self, usage: &Usage, tier: ServiceTier) -> Option<Picodollars> {
        let input = usage.input_total().unwrap_or_default();
        let mut cost = self.of(Unit::Call, input, tier).unwrap_or_default();
        for unit in Unit::ALL {
            if let Some(count) = unit.used(usage).filter(|count| *count > 0) {
                cost = cost.plus(self.charged(unit, input, tier)?.times(count));
            }
        }
        Some(cost)
    }

    /// The most that a call can cost whose tokens and searches of the web are at most these, however they are counted in the end.
    pub fn most(&self, input: u64, output: u64, web_searches: u64) -> Option<Picodollars> {
        let is_prioritized = |component: &PriceComponent| component.tier == ServiceTier::Priority;
        let has_priority = self.components.iter().any(is_prioritized);
        let (mut inputs, mut outputs, mut call, mut web_search) = (None, None, None, None);
        for component in &self.components {
            // What a unit falls back on is among those that it is counted with.
            let dearest = match component.unit {
                Unit::Input
                | Unit::InputCached
                | Unit::CacheWrite
                | Unit::CacheWrite1h
                | Unit::InputAudio
                | Unit::InputImage => &mut inputs,
                Unit::Output | Unit::OutputReasoning | Unit::OutputAudio | Unit::OutputImage => {
                    &mut outputs
                }
                Unit::Call | Unit::Search => &mut call,
                Unit::WebSearch | Unit::WebSearchPreview => &mut web_search,
                Unit::Second => continue,
            };
            let price = |tier| self.of(component.unit, input, tier);
            let in_haste = has_priority.then(|| price(ServiceTier::Priority));
            *dearest = (*dearest)
                .max(price(ServiceTier::Standard))
                .max(in_haste.flatten());
        }
        if inputs.is_none() && outputs.is_none() && call.is_none() {
            return None;
        }
        let inputs = inputs.unwrap_or_default().times(input);
        let outputs = outputs.unwrap_or_default().times(output);
        let searches = web_search.unwrap_or_default().times(web_searches);
        let call = call.unwrap_or_default();
        Some(inputs.plus(outputs).plus(searches).plus(call))
    }

    /// What is charged for a unit. Who says what all is paid says that pictures cost what other output does, and searches of the web nothing, where
    /// these have no price; of all others that is not known.
    fn charged(&self, unit: Unit, input: u64, tier: ServiceTier) -> Option<Picodollars> {
        let said = self.of(unit, input, tier);
        match unit {
            Unit::OutputImage if self.is_all => said.or_else(|| self.of(Unit::Output, input, tier)),
            Unit::WebSearch | Unit::WebSearchPreview if self.is_all => {
                said.or(Some(Picodollars::ZERO))
            }
            _ => said,
        }
    }

    /// The price of a unit in a call with so much input.
    ///
    /// What is said of the unit in that tier goes first. Where nothing is, it is sold as what it is like: at that price, or, where it has one of
    /// its own in the usual tier, dearer or cheaper in the same measure.
    fn of(&self, unit: Unit, input: u64, tier: ServiceTier) -> Option<Picodollars> {
        if let Some(price) = self.own(unit, input, tier) {
            return Some(price);
        }
        let usually = ServiceTier::Standard;
        let Some(usual) = self.own(unit, input, usually) else {
            return self.of(unit.otherwise()?, input, tier);
        };
        let like = |tier| self.of(unit.like()?, input, tier);
        match (like(tier), like(usually)) {
            (Some(now), Some(then)) if tier != usually => Some(usual.in_measure(now, then)),
            _ => Some(usual),
        }
    }

    /// What is said of a unit in a tier. A tier that says nothing of long calls sells them dearer in the usual measure.
    fn own(&self, unit: Unit, input: u64, tier: ServiceTier) -> Option<Picodollars> {
        let usually = ServiceTier::Standard;
        let said = self.listed(unit, input, tier)?;
        if tier == usually {
            return Some(said.price);
        }
        let usual = self.listed(unit, input, usually);
        let short = self.listed(unit, said.above.saturating_add(1), usually);
        Some(match (usual, short) {
            (Some(usual), Some(short)) if usual.above > said.above => {
                said.price.in_measure(usual.price, short.price)
            }
            _ => said.price,
        })
    }

    fn listed(&self, unit: Unit, input: u64, tier: ServiceTier) -> Option<&PriceComponent> {
        let fits = |component: &&PriceComponent| {
            component.unit == unit
                && component.tier == tier
                && (component.above == 0 || input > component.above)
        };
        let fitting = self.components.iter().filter(fits);
        fitting.max_by_key(|component| component.above)
    }
}

impl PriceComponent {
    /// What a name says that the price is for: `input`, `input>200000`, `input>200000@flex`; `None` where it says nothing of the kind.
    pub fn named(name: &str, price: Picodollars) -> Option<Self> {
        let (name, tier) = name.split_once('@').unwrap_or((name, "standard"));
        let (name, above) = name.split_once('>').unwrap_or((name, "0"));
        let tiers = [
            ServiceTier::Standard,
            ServiceTier::Flex,
            ServiceTier::Priority,
            ServiceTier::Batch,
        ];
        Some(Self {
            unit: Unit::ALL.into_iter().find(|unit| unit.as_str() == name)?,
            above: above.parse().ok()?,
            tier: tiers.into_iter().find(|known| known.as_str() == tier)?,
            price,
        })
    }
}

/// One component as a catalogue has it: `input=2.5`, `input>200000=5`, `output@flex=5`, in dollars for a million.
impl FromStr for PriceComponent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none");
        let (name, price) = text.split_once('=').ok_or_else(wrong)?;
        let price = Picodollars::parse_per_million(price).map_err(|_| wrong())?;
        Self::named(name, price).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::Catalogue;

    fn price(text: &str) -> Price {
        Price::read(text.split(' ')).unwrap()
    }

    fn cost(price: &Price, usage: &Usage) -> Option<String> {
        let cost = price.cost(usage, ServiceTier::Standard);
        cost.map(|cost| cost.to_string())
    }

    #[test]
    fn each_class_has_its_price_or_that_of_what_it_is_like() {
        let usage = Usage {
            input: Some(1000),
            input_cached: Some(100),
            cache_write: Some(10),
            cache_write_1h: Some(1),
            output: Some(50),
            output_reasoning: Some(7),
            ..Usage::default()
        };
        let whole =
            price("input=3 input_cached=0.3 cache_write=3.75 cache_write_1h=6 output=15 call=1000");
        // 3000 + 30 + 37.5 + 6 + 750 + 105 millionths, and a thousandth for the call.
        assert_eq!(cost(&whole, &usage).as_deref(), Some("0.0049285"));
        let plain = price("input=3 output=15");
        // (1000 + 100 + 10 + 1) * 3 + 57 * 15
        assert_eq!(cost(&plain, &usage).as_deref(), Some("0.004188"));
        assert_eq!(cost(&price("input=3"), &usage), None);
        assert_eq!(
            cost(&price("input=3"), &Usage::default()).as_deref(),
            Some("0")
        );
    }

    #[test]
    fn long_calls_and_other_tiers_have_prices_of_their_own() {
        let price = price("input=1 input>200000=2 output=10 output>200000=15 input@flex=0.5");
        let usage = |input| Usage {
            input: Some(input),
            output: Some(1),
            ..Usage::default()
        };
        assert_eq!(cost(&price, &usage(200_000)).as_deref(), Some("0.20001"));
        assert_eq!(cost(&price, &usage(200_001)).as_deref(), Some("0.400017"));
        let flex = price.cost(&usage(1000), ServiceTier::Flex).unwrap();
        assert_eq!(flex.to_string(), "0.00051");
    }

    #[test]
    fn what_has_no_price_is_not_free() {
        assert!(!Price::default().is_free());
        assert!(price("input=0 output=0").is_free());
        assert!(!price("input=0 output=1").is_free());
    }

    #[test]
    fn a_tier_holds_for_what_is_like_what_it_names() {
        let flash = price(
            "input=0.3 input@flex=0.15 input@priority=0.54 input_audio=1 output=2.5 output@flex=1.25 output@priority=4.5 output_reasoning=2.5 output_image=30",
        );
        let usage = Usage {
            input: Some(1000),
            output: Some(100),
            output_reasoning: Some(900),
            ..Usage::default()
        };
        for (tier, expected) in [
            (ServiceTier::Standard, "0.0028"),
            (ServiceTier::Flex, "0.0014"),
            (ServiceTier::Priority, "0.00504"),
        ] {
            assert_eq!(flash.cost(&usage, tier).unwrap().to_string(), expected);
        }
        let of = |price: &Price, unit, input, tier| {
            let found = price.of(unit, input, tier).unwrap();
            found.per_million().to_string()
        };
        assert_eq!(of(&flash, Unit::InputAudio, 1, ServiceTier::Flex), "0.5");
        assert_eq!(of(&flash, Unit::InputCached, 1, ServiceTier::Flex), "0.15");
        assert_eq!(of(&flash, Unit::OutputImage, 1, ServiceTier::Flex), "15");
        let claude = price(
            "input=5 input@batch=2.5 cache_write=6.25 cache_write@batch=3.125 cache_write_1h=10",
        );
        let hour = of(&claude, Unit::CacheWrite1h, 1, ServiceTier::Batch);
        assert_eq!(hour, "5");
        let long = price("input=2 input>200000=4 input@flex=1 input_cached=0.2");
        assert_eq!(of(&long, Unit::Input, 200_001, ServiceTier::Flex), "2");
        let cached = of(&long, Unit::InputCached, 9, ServiceTier::Flex);
        assert_eq!(cached, "0.1");
        // A price of one's own that says nothing of long calls holds for all.
        let cached = |tier| of(&long, Unit::InputCached, 200_001, tier);
        assert_eq!(cached(ServiceTier::Standard), "0.2");
        assert_eq!(cached(ServiceTier::Flex), "0.1");
        assert_eq!(
            of(&long, Unit::CacheWrite, 200_001, ServiceTier::Standard),
            "4"
        );
    }

    #[test]
    fn pictures_are_not_sold_as_text() {
        let usage = Usage {
            input: Some(10),
            input_image: Some(40),
            output_image: Some(4160),
            ..Usage::default()
        };
        let listed = price("input=5 input_image=8 output=10 output_image=32");
        assert_eq!(cost(&listed, &usage).as_deref(), Some("0.13349"));
        assert_eq!(cost(&price("input=5 output=10"), &usage), None);
        let most = listed.most(50, 4160, 0).unwrap();
        assert!(most >= listed.cost(&usage, ServiceTier::Standard).unwrap());
    }

    #[test]
    fn tiers_of_all_that_is_sold_are_cheaper_and_dearer_as_a_whole() {
        let catalogue = Catalogue::built_in();
        for (kind, model, price) in catalogue.iter() {
            let changed = [ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Batch];
            for (unit, tier) in Unit::ALL
                .into_iter()
                .flat_map(|unit| changed.map(|tier| (unit, tier)))
            {
                let name = format!("{kind} {model} {unit:?} {tier:?}");
                let listed = price.listed(unit, 1, tier);
                let (usual, found) = (
                    price.of(unit, 1, ServiceTier::Standard),
                    price.of(unit, 1, tier),
                );
                if let Some(listed) = listed {
                    assert_eq!(found, Some(listed.price), "{name}");
                } else if let Some(like) = unit.like()
                    && let (Some(usual), Some(found)) = (usual, found)
                    && let Some(then) = price.of(like, 1, ServiceTier::Standard)
                    && let Some(now) = price.of(like, 1, tier)
                {
                    let (one, other) = (found.cmp(&usual), now.cmp(&then));
                    assert!(one == other || usual == Picodollars::ZERO, "{name}");
                }
            }
        }
    }

    #[test]
    fn nothing_costs_more_than_the_most() {
        let price = price("input=3 cache_write_1h=6 output=15 output_audio=80 input@priority=7");
        let most = price.most(10, 2, 0).unwrap();
        // In haste what is written to the cache is dearer in the same measure.
        assert_eq!(most, Picodollars::new(10 * 14_000_000 + 2 * 80_000_000));
        assert_eq!(Price::default().most(1, 1, 0), None);
    }
}
