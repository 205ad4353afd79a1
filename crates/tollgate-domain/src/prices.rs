//! What a model costs: prices by what is counted, and the cost of what a call used.
//!
//! Prices come with the program ([`Catalogue`], whose data and its licence are in `data/`), and from the operator, whose word goes first.
//! A price that is not known is not zero: its calls are unpriced, and say so.

mod map;

use std::{collections::HashMap, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use map::lines_of_map;

use crate::{Picodollars, ProviderName, Usage};

/// The prices that come with the program: a line a model, as [`Catalogue::read`] says.
const BUILT_IN: &str = include_str!("../data/prices.txt");

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

/// The prices of all models.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// By the provider's name in the configuration, then by model; `*` is every other model.
    operators: HashMap<ProviderName, HashMap<Arc<str>, Tariff>>,
    /// Newer than what comes with the program.
    newer: Option<Arc<Catalogue>>,
    catalogue: Arc<Catalogue>,
}

/// The prices of a model over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tariff {
    /// Each with when it begins, since 1970-01-01 UTC, in that order.
    prices: Vec<(Duration, Arc<Price>)>,
}

/// Prices by the kind of a provider and its model.
#[derive(Debug, Default)]
pub struct Catalogue {
    models: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Price>>>,
}

/// What is wrong with a line of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line} is no price: {problem}")]
pub struct CatalogueError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// The price of every other model of a provider.
const EVERY_OTHER: &str = "*";

/// How a catalogue says what a model takes and gives at most.
const INPUT_MAX: &str = "input_max=";
const OUTPUT_MAX: &str = "output_max=";

impl Unit {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 14] = [
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

    /// Input tokens that the model takes at most, where that is known.
    pub const fn input_max(&self) -> Option<u64> {
        self.input_max
    }

    /// Output tokens that it gives at most, where that is known.
    pub const fn output_max(&self) -> Option<u64> {
        self.output_max
    }

    /// Reads a price as a catalogue has it.
    fn read<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
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

    /// The most that a call can cost whose tokens are at most these, however they are counted in the end.
    pub fn most(&self, input: u64, output: u64) -> Option<Picodollars> {
        let is_prioritized = |component: &PriceComponent| component.tier == ServiceTier::Priority;
        let has_priority = self.components.iter().any(is_prioritized);
        let dearest = |units: &[Unit]| {
            // What a unit falls back on is among those that it is counted with.
            let counts = |component: &&PriceComponent| units.contains(&component.unit);
            let prices = self.components.iter().filter(counts).flat_map(|component| {
                let price = |tier| self.of(component.unit, input, tier);
                let in_haste = has_priority.then(|| price(ServiceTier::Priority));
                [price(ServiceTier::Standard), in_haste.flatten()]
            });
            prices.flatten().max()
        };
        let inputs = dearest(&[
            Unit::Input,
            Unit::InputCached,
            Unit::CacheWrite,
            Unit::CacheWrite1h,
            Unit::InputAudio,
            Unit::InputImage,
        ]);
        let outputs = dearest(&[
            Unit::Output,
            Unit::OutputReasoning,
            Unit::OutputAudio,
            Unit::OutputImage,
        ]);
        let call = dearest(&[Unit::Call, Unit::Search]);
        if inputs.is_none() && outputs.is_none() && call.is_none() {
            return None;
        }
        let inputs = inputs.unwrap_or_default().times(input);
        let outputs = outputs.unwrap_or_default().times(output);
        Some(inputs.plus(outputs).plus(call.unwrap_or_default()))
    }

    /// What is charged for a unit. Who says what all is paid says that pictures cost what other output does, and searches of the web nothing, where
    /// these have no price; of all others that is not known.
    fn charged(&self, unit: Unit, input: u64, tier: ServiceTier) -> Option<Picodollars> {
        let said = self.of(unit, input, tier);
        match unit {
            Unit::OutputImage if self.is_all => said.or_else(|| self.of(Unit::Output, input, tier)),
            Unit::WebSearch if self.is_all => said.or(Some(Picodollars::ZERO)),
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

// === impl Prices ===

impl Prices {
    /// The operator's prices, and for all other models those of a catalogue.
    pub fn new(
        operators: HashMap<ProviderName, HashMap<Arc<str>, Tariff>>,
        catalogue: Arc<Catalogue>,
    ) -> Self {
        Self {
            operators,
            newer: None,
            catalogue,
        }
    }

    /// The same with a catalogue that goes before the one that comes with the program.
    pub fn with_newer(self, newer: Option<Arc<Catalogue>>) -> Self {
        Self { newer, ..self }
    }

    /// Adds a price of the operator's that begins at a time, since 1970-01-01 UTC; says whether there was none of that model that begins then.
    pub fn add(
        &mut self,
        provider: ProviderName,
        model: Arc<str>,
        from: Duration,
        price: Arc<Price>,
    ) -> bool {
        let models = self.operators.entry(provider).or_default();
        models.entry(model).or_default().add(from, price)
    }

    /// Whether the operator says what a provider's model costs; `*` is every other model.
    pub fn says(&self, provider: &str, model: &str) -> bool {
        let models = self.operators.get(provider);
        models.is_some_and(|models| models.contains_key(model))
    }

    /// What the operator says: provider, model, when it begins since 1970-01-01 UTC, and the price, in no order.
    pub fn said(&self) -> impl Iterator<Item = (&ProviderName, &str, Duration, &Price)> {
        self.operators.iter().flat_map(|(provider, models)| {
            models.iter().flat_map(move |(model, tariff)| {
                let prices = tariff.prices.iter();
                prices.map(move |(from, price)| (provider, &**model, *from, &**price))
            })
        })
    }

    /// The prices of a provider's model. Until the operator's first begins, it is the catalogue's.
    pub fn of(&self, provider: &str, kind: &str, model: &str) -> Tariff {
        let said = self.operators.get(provider);
        let said = said.and_then(|models| models.get(model).or_else(|| models.get(EVERY_OTHER)));
        let mut tariff = said.cloned().unwrap_or_default();
        if tariff.at(Duration::ZERO).is_none() {
            let newer = self.newer.as_ref().and_then(|newer| newer.of(kind, model));
            let listed = newer.or_else(|| self.catalogue.of(kind, model));
            tariff.prices.splice(
                0..0,
                listed.map(|price| (Duration::ZERO, Arc::clone(price))),
            );
        }
        tariff
    }
}

// === impl Tariff ===

impl Tariff {
    /// Adds a price that begins at a time, since 1970-01-01 UTC; says whether there was none that begins then.
    pub fn add(&mut self, from: Duration, price: Arc<Price>) -> bool {
        match self.prices.binary_search_by_key(&from, |(from, _)| *from) {
            Ok(_) => false,
            Err(place) => {
                self.prices.insert(place, (from, price));
                true
            }
        }
    }

    /// The price at a time, since 1970-01-01 UTC; `None` where nobody has said it.
    pub fn at(&self, now: Duration) -> Option<&Arc<Price>> {
        let later = self.prices.partition_point(|(from, _)| *from <= now);
        let (_, price) = self.prices.get(later.checked_sub(1)?)?;
        Some(price)
    }
}

// === impl Catalogue ===

impl Catalogue {
    /// The prices that come with the program.
    pub fn built_in() -> Self {
        // The file is read by a test; a line that cannot be read would have no price.
        Self::read(BUILT_IN).unwrap_or_default()
    }

    /// Reads a catalogue of either form: lines as [`Self::read`] wants them, or LiteLLM's map of prices as it is published.
    ///
    /// # Errors
    /// The first line that is none, or a map without prices.
    pub fn read_any(text: &str) -> Result<Self, CatalogueError> {
        let whole = |problem: &str| CatalogueError {
            line: 1,
            problem: problem.to_owned(),
        };
        let catalogue = if text.trim_start().starts_with('{') {
            let map = serde_json::from_str(text)
                .map_err(|error| whole(&format!("the map cannot be read: {error}")))?;
            let lines = lines_of_map(&map).into_iter();
            let lines = lines.map(|((kind, model), price)| format!("{kind} {model} {price}\n"));
            Self::read(&lines.collect::<String>())?
        } else {
            Self::read(text)?
        };
        if catalogue.models.is_empty() {
            return Err(whole("there is no price in it"));
        }
        Ok(catalogue)
    }

    /// Reads a catalogue: a line a model, with the kind of its provider, its name, and its prices, between spaces. Lines that begin with
    /// `#` are for people.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn read(text: &str) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: String| CatalogueError {
                line: index + 1,
                problem,
            };
            let mut words = line.split(' ');
            let (Some(kind), Some(model)) = (words.next(), words.next()) else {
                return Err(wrong("it names no model".to_owned()));
            };
            let price = Arc::new(Price::read(words).map_err(wrong)?);
            if !catalogue.models.contains_key(kind) {
                catalogue.models.insert(kind.into(), HashMap::new());
            }
            if let Some(models) = catalogue.models.get_mut(kind) {
                models.insert(model.into(), price);
            }
        }
        Ok(catalogue)
    }

    /// The price of a model of a kind of provider. Fine-tuned models of OpenAI's have the price that is listed for their base.
    pub fn of(&self, kind: &str, model: &str) -> Option<&Arc<Price>> {
        let models = self.models.get(kind)?;
        let found = models.get(model).or_else(|| models.get(EVERY_OTHER));
        found.or_else(|| {
            let (base, _) = model.strip_prefix("ft:")?.split_once(':')?;
            models.get(format!("ft:{base}").as_str())
        })
    }

    /// All of it: kind, model, price.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Price)> {
        self.models.iter().flat_map(|(kind, models)| {
            let models = models.iter();
            models.map(move |(model, price)| (&**kind, &**model, &**price))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let most = listed.most(50, 4160).unwrap();
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
        let most = price.most(10, 2).unwrap();
        // In haste what is written to the cache is dearer in the same measure.
        assert_eq!(most, Picodollars::new(10 * 14_000_000 + 2 * 80_000_000));
        assert_eq!(Price::default().most(1, 1), None);
    }

    #[test]
    fn the_operators_word_goes_first() {
        let catalogue = Catalogue::read("# of today\nopenai gpt input=1\nopenai ft:gpt input=2\n");
        let said = |text| {
            let mut tariff = Tariff::default();
            assert!(tariff.add(Duration::ZERO, Arc::new(price(text))));
            tariff
        };
        let operators = HashMap::from([
            (
                ProviderName::from("mine"),
                HashMap::from([("gpt".into(), said("input=9"))]),
            ),
            (
                ProviderName::from("free"),
                HashMap::from([("*".into(), said("input=0"))]),
            ),
        ]);
        let prices = Prices::new(operators, Arc::new(catalogue.unwrap()));
        let usage = Usage {
            input: Some(1_000_000),
            ..Usage::default()
        };
        let dollars = |provider, kind, model| {
            let tariff = prices.of(provider, kind, model);
            cost(tariff.at(Duration::ZERO)?, &usage)
        };
        assert_eq!(dollars("mine", "openai", "gpt").as_deref(), Some("9"));
        assert_eq!(dollars("other", "openai", "gpt").as_deref(), Some("1"));
        let tuned = dollars("other", "openai", "ft:gpt:acme::1");
        assert_eq!(tuned.as_deref(), Some("2"));
        assert_eq!(dollars("free", "vllm", "llama").as_deref(), Some("0"));
        assert_eq!(dollars("other", "vllm", "llama"), None);
    }

    #[test]
    fn a_price_holds_from_its_day_on() {
        let catalogue = Arc::new(Catalogue::read("openai gpt input=1\n").unwrap());
        let newer = r#"{"gpt": {"litellm_provider": "openai", "input_cost_per_token": 2e-06, "max_input_tokens": 9}}"#;
        let newer = Arc::new(Catalogue::read_any(newer).unwrap());
        let day = |days: u64| Duration::from_secs(days * 86_400);
        let mut tariff = Tariff::default();
        assert!(tariff.add(day(20), Arc::new(price("input=4"))));
        assert!(tariff.add(day(10), Arc::new(price("input=3"))));
        assert!(!tariff.add(day(10), Arc::new(price("input=9"))));
        let mine = HashMap::from([("gpt".into(), tariff)]);
        let prices = Prices::new(
            HashMap::from([(ProviderName::from("mine"), mine)]),
            catalogue,
        );
        let at = |prices: &Prices, days: u64| {
            let tariff = prices.of("mine", "openai", "gpt");
            let price = tariff.at(day(days)).unwrap();
            price.components()[0].price.per_million().to_string()
        };
        let days = [0, 9, 10, 19, 20];
        assert_eq!(
            days.map(|days| at(&prices, days)),
            ["1", "1", "3", "3", "4"]
        );
        let prices = prices.with_newer(Some(newer));
        assert_eq!(at(&prices, 0), "2");
        for text in [
            "{}",
            "",
            "{",
            "gpt",
            "hello world",
            "openai gpt input=1\nopenai gpt-2",
        ] {
            assert!(Catalogue::read_any(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_told_with_its_line() {
        for line in [
            "openai",
            "openai m",
            "Not Found",
            "openai m input_max=9",
            "openai m input",
            "openai m inputs=1",
            "openai m input=x",
            "openai m input@soon=1",
        ] {
            assert_eq!(Catalogue::read(&format!("\n{line}")).unwrap_err().line, 2);
        }
    }

    #[test]
    fn the_catalogue_of_the_program_can_be_read() {
        let catalogue = Catalogue::read(BUILT_IN).unwrap();
        assert!(catalogue.iter().count() > 2000);
        let price = catalogue.of("openai", "gpt-4o").unwrap();
        let usage = Usage {
            input: Some(1),
            output: Some(1),
            ..Usage::default()
        };
        assert_eq!(cost(price, &usage).as_deref(), Some("0.0000125"));
        assert_eq!(
            (price.input_max(), price.output_max()),
            (Some(128_000), Some(16_384))
        );
    }
}
